//! What a job did: counts, and the failed items by name.

use std::time::Duration;

use ketch_core::{Error, ErrorKind, HashAlgo, Hint};

use crate::digest::DigestCounts;
use crate::outcome::Standing;
use crate::progress::Progress;

pub use crate::outcome::{Failure, Outcome};

/// Failures that a report keeps in memory; further ones are only counted (an event was sent for each).
pub const KEPT_FAILURES: usize = 1_000;

/// What a `copy` or `sync` did.
#[derive(Debug, Default)]
pub struct Report {
    /// Entries seen at the source, after filtering.
    pub source_entries: u64,
    /// Those of them that are files.
    pub source_files: u64,
    /// Entries seen at the destination, after filtering.
    pub destination_entries: u64,
    /// Items that were done.
    pub done: u64,
    /// Files transferred.
    pub copied: u64,
    /// Of these, copied by the remote itself.
    pub copied_by_remote: u64,
    /// Of the files transferred, those that a digest should have verified and that had none to compare.
    pub unverified: u64,
    /// Files that got their new name within one file system, by a `move`. No bytes of them were transferred.
    pub renamed: u64,
    /// Bytes of the files transferred, without those that the destination had from an earlier try.
    pub bytes: u64,
    /// Bytes of the files transferred that the destination had from an earlier try.
    pub bytes_kept: u64,
    /// Modification times set.
    pub times_set: u64,
    /// Folders made.
    pub dirs_made: u64,
    /// Folders that were moved with everything in them.
    pub dirs_moved: u64,
    /// Files and folders deleted.
    pub deleted: u64,
    /// Folders that were to be deleted and were not empty.
    pub kept: u64,
    /// Files that needed nothing.
    pub unchanged: u64,
    /// Of these, known to be equal only by a digest that an uploader wrote down.
    pub unchanged_claimed: u64,
    /// Things that cannot exist at the destination.
    pub not_storable: u64,
    /// Files removed at the source of a move, after their copy was verified.
    pub sources_removed: u64,
    /// Files that went away at the source before they were read, where that is no failure.
    pub vanished: u64,
    /// Files that changed while they were read, where that is no failure.
    pub changed: u64,
    /// Items that failed.
    pub failed: u64,
    /// After the plan of an earlier process was finished: how many items a new plan would still have.
    pub passed_over: u64,
    /// Deletions that were held back because something in their folder failed or the job was stopped.
    pub deletions_held: u64,
    /// The first [`KEPT_FAILURES`] failures.
    pub failures: Vec<Failure>,
    /// Why the job ended before its end, if it did.
    pub fatal: Option<Error>,
    /// The job was stopped by its caller.
    pub stopped: bool,
    /// What earlier processes of this job did; not counted above.
    pub before: Option<Standing>,
    /// The job is open: the same command continues it.
    pub is_open: bool,
    /// How long it took.
    pub elapsed: Duration,
}

impl Report {
    /// Did everything that was planned succeed?
    pub fn is_success(&self) -> bool {
        self.failed == 0 && self.fatal.is_none() && !self.stopped && self.passed_over == 0
    }

    /// Did the job change anything?
    pub fn changed_anything(&self) -> bool {
        self.done > 0
    }

    pub(crate) fn add_failure(&mut self, failure: Failure, progress: &Progress) {
        self.failed += 1;
        progress.failed();
        if self.failures.len() < KEPT_FAILURES {
            self.failures.push(failure);
        }
    }
}

/// What shows that two files are equal, or different.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evidence {
    /// Their sizes alone.
    Size,
    /// Their bytes, compared one by one, now.
    Content,
    /// At least one of the files was not read now: what is remembered about these versions says that they are equal, by
    /// this digest, or byte for byte.
    Remembered(Option<HashAlgo>),
    /// A digest.
    Digest(HashAlgo),
    /// A digest that an uploader wrote down for one of the files. It proves nothing.
    Claimed(HashAlgo),
}

/// The verdict of a check on one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Both sides agree.
    Equal(Evidence),
    /// The sizes differ.
    SizeDiffers,
    /// The digests differ.
    HashDiffers(HashAlgo),
    /// The digest that an uploader wrote down for one of the files is not that of the other. The claim or the file is wrong.
    ClaimDiffers(HashAlgo),
    /// The sizes agree and the bytes do not.
    ContentDiffers,
    /// Only the source has it.
    MissingOnDestination,
    /// Only the destination has it.
    MissingOnSource,
    /// It was passed over: it is neither a file nor a folder, or the destination cannot hold it.
    NotStorable(&'static str, Option<Hint>),
    /// It could not be compared; says why, and what a person can do about it.
    Unverifiable(String, Option<Hint>),
    /// A side could not be read; says why, and what a person can do about it.
    Error(ErrorKind, String, Option<Hint>),
}

/// What a `check` found.
#[derive(Debug, Default)]
pub struct CheckReport {
    /// Files that agree.
    pub equal: u64,
    /// Of these, by digest, remembered or not; not by a claimed one.
    pub equal_by_hash: u64,
    /// Of these, by a digest that is only claimed.
    pub equal_claimed: u64,
    /// Of these, byte for byte, read now.
    pub equal_by_content: u64,
    /// Of these, at least one of the two files was not read now: the digest cache has what is known about it.
    pub equal_remembered: u64,
    /// Files that differ in size or digest.
    pub differing: u64,
    /// Files only at the source.
    pub missing_on_destination: u64,
    /// Files only at the destination.
    pub missing_on_source: u64,
    /// Entries that were passed over: neither files nor folders, or the destination cannot hold them.
    pub not_storable: u64,
    /// Files that could not be compared.
    pub unverifiable: u64,
    /// Files or folders that could not be read.
    pub errors: u64,
    /// Why the check ended before its end, if it did.
    pub fatal: Option<Error>,
    /// The kinds of the errors counted, for the exit code.
    pub error_kinds: Vec<ErrorKind>,
    /// The digest used, if any.
    pub algo: Option<HashAlgo>,
    /// Files whose verdict was known from an interrupted run of the same check.
    pub resumed: u64,
    /// What was read.
    pub digests: DigestCounts,
    /// The check was stopped by its caller.
    pub stopped: bool,
    /// How long it took.
    pub elapsed: Duration,
}

impl CheckReport {
    /// How many files differ or are missing on a side.
    pub fn differences(&self) -> u64 {
        self.differing + self.missing_on_destination + self.missing_on_source
    }
}
