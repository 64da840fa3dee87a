//! What a caller can choose about a job, validated once and passed by reference.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ketch_core::{Error, ErrorKind, Hint};
use tokio_util::sync::CancellationToken;

use crate::clock::Clocks;
use crate::digest::Digests;
use crate::filter::Filter;
use crate::open_jobs::OpenJobs;

/// How a job decides and works. The default is what a plain `copy` or `sync` does.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What takes part; the filter applies to both sides, so that an excluded file is not "missing" anywhere.
    pub filter: Arc<Filter>,
    /// How two files of one name are compared.
    pub compare: Compare,
    /// Leave a file alone when the destination's is newer.
    pub update: bool,
    /// Leave every file alone that the destination has.
    pub ignore_existing: bool,
    /// Times that differ by less than this are equal. If the precision of a side is coarser, that counts instead.
    pub modify_window: Duration,
    /// Make folders that hold no files.
    pub create_empty_dirs: bool,
    /// Give folders in which the job did something the modification time of the source, if both sides keep times of
    /// folders.
    pub dir_times: bool,
    /// How many deletions a plan may contain; a plan with more is not executed.
    pub delete_limit: DeleteLimit,
    /// Make and report the plan, and change nothing.
    pub dry_run: bool,
    /// Items that are transferred at the same time; at least 1. `None` = the job finds out by trying how many help.
    pub transfers: Option<usize>,
    /// Folders listed ahead and digests computed at the same time while planning; at least 1.
    pub checkers: usize,
    /// Files from this size on are read in several ranges at once, where the source allows it.
    pub parallel_from: u64,
    /// How many ranges of one file are read at the same time.
    pub streams: usize,
    /// Size of such a range in bytes.
    pub part_bytes: u64,
    /// Bytes that may be buffered by all transfers together.
    pub buffer_bytes: u64,
    /// Bytes a second of all transfers together; `None` = as fast as it goes.
    pub bandwidth: Option<u64>,
    /// Where the plan of a `sync` waits; `None` = the system's folder for temporary files.
    pub plan_folder: Option<PathBuf>,
    /// Send an [`crate::Event::Unchanged`] for every file that is left alone.
    pub report_unchanged: bool,
    /// Send an [`crate::Event::ItemStarted`] for every transfer that begins.
    pub report_started: bool,
    /// Bytes that a plan may transfer; a plan with more is not executed. `None` = any number.
    pub max_transfer: Option<u64>,
    /// A `sync` from a source without any file may delete everything.
    pub allow_empty_source: bool,
    /// What happens if a source file changes while it is read, or goes away before.
    pub on_changed: OnChanged,
    /// How long running items may continue after a first stop.
    pub stop_grace: Duration,
    /// Of a `move`: remove folders of the source in which nothing is left.
    pub delete_empty_source_dirs: bool,
    /// How content is verified that was transferred.
    pub verify: Verify,
    /// Where digests of local files come from.
    pub digests: Digests,
    /// Where it is remembered how places store modification times. It is a hint: it never overrules a comparison of
    /// contents.
    pub clocks: Clocks,
    /// The jobs of this machine. Parts at the destination that one of them can continue stay; other parts of interrupted
    /// transfers are removed. `None`: it is not known which parts those are, so all parts are reported and stay.
    pub jobs: Option<Arc<dyn OpenJobs>>,
}

/// What happens if a source file changes while it is read, or goes away before that. Nothing of such a file is ever stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnChanged {
    /// A file that changes is tried once more at the end, and is a failure if it changes again; a file that went away is
    /// reported.
    #[default]
    Retry,
    /// Both are reported, and neither is a failure.
    Skip,
    /// Both are failures, at once.
    Fail,
}

/// How content is verified after it was transferred.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Verify {
    /// Not at all, beyond the length that every destination checks.
    None,
    /// By the size the destination shows.
    Size,
    /// By size, and by the strongest digest that the destination shows.
    #[default]
    Hash,
    /// By reading back what was stored.
    ReadBack,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            filter: Arc::new(Filter::everything()),
            compare: Compare::SizeAndTime,
            update: false,
            ignore_existing: false,
            modify_window: Duration::from_nanos(1),
            create_empty_dirs: false,
            dir_times: true,
            delete_limit: DeleteLimit::default(),
            dry_run: false,
            transfers: None,
            checkers: 8,
            parallel_from: 64 * 1024 * 1024,
            streams: 4,
            part_bytes: 4 * 1024 * 1024,
            buffer_bytes: 256 * 1024 * 1024,
            bandwidth: None,
            plan_folder: None,
            report_unchanged: false,
            report_started: true,
            max_transfer: None,
            allow_empty_source: false,
            on_changed: OnChanged::default(),
            stop_grace: Duration::from_secs(30),
            delete_empty_source_dirs: false,
            verify: Verify::default(),
            digests: Digests::default(),
            clocks: Clocks::default(),
            jobs: None,
        }
    }
}

/// How two files of one name are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compare {
    /// By size and modification time; where a side keeps no modification time, by size, and by digest when the
    /// source is newer than the stored copy.
    #[default]
    SizeAndTime,
    /// By size and the strongest digest both sides have. Without one the job does not start.
    Checksum,
    /// By size alone.
    SizeOnly,
    /// Never equal: everything is transferred again.
    IgnoreTimes,
}

/// How many deletions a plan may hold. A plan above it changes nothing at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeleteLimit {
    /// At most half of the destination's entries, or ten; and nothing if the source is empty.
    #[default]
    Guarded,
    /// At most this many.
    Count(u64),
    /// At most this share of the destination's entries, in percent; 100 allows any number of deletions, but not an empty
    /// source.
    Percent(u8),
}

impl DeleteLimit {
    /// May a plan with `deletions` of `destination_total` entries go ahead? `Err` says why not and what to do.
    ///
    /// `source_total` counts what the source listing showed after filtering.
    pub fn admits(
        self,
        deletions: u64,
        destination_total: u64,
        source_total: u64,
    ) -> Result<(), Error> {
        if deletions == 0 {
            return Ok(());
        }
        // No limit allows this: a share of 100 % means everything that the source does not have, and not a source without
        // files.
        if source_total == 0 {
            let text = format!(
                "the source is empty and {deletions} deletions would follow; nothing was changed"
            );
            return Err(Error::new(ErrorKind::InvalidInput, text).with_hint(Hint::AllowEmptySource));
        }
        let allowed = match self {
            DeleteLimit::Guarded => (destination_total / 2).max(10),
            DeleteLimit::Count(count) => count,
            DeleteLimit::Percent(percent) => {
                destination_total.saturating_mul(u64::from(percent)) / 100
            }
        };
        if deletions <= allowed {
            return Ok(());
        }
        let text = format!(
            "the plan deletes {deletions} of {destination_total} entries and {allowed} are allowed; \
             nothing was changed"
        );
        let hint = Hint::AllowDeletions(deletions);
        Err(Error::new(ErrorKind::InvalidInput, text).with_hint(hint))
    }
}

/// The two steps in which a job is stopped.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    /// Start nothing new, and finish running items.
    pub gently: CancellationToken,
    /// Drop running items, and remove what was being written.
    pub now: CancellationToken,
}

impl Stop {
    /// A stop that has not been asked for.
    pub fn new() -> Self {
        Self::default()
    }

    /// Has any step been asked for?
    pub fn is_stopping(&self) -> bool {
        self.gently.is_cancelled() || self.now.is_cancelled()
    }

    /// Ends when any step is asked for.
    pub async fn stopping(&self) {
        tokio::select! {
            () = self.gently.cancelled() => {}
            () = self.now.cancelled() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn promise_1_a_plan_above_the_limit_or_from_an_empty_source_is_refused() {
        let check = |limit: DeleteLimit, deletions, total, source, admitted: bool| {
            assert_eq!(
                limit.admits(deletions, total, source).is_ok(),
                admitted,
                "{limit:?} {deletions} of {total}, source {source}"
            );
        };
        check(DeleteLimit::Guarded, 0, 0, 0, true);
        check(DeleteLimit::Guarded, 10, 12, 2, true);
        check(DeleteLimit::Guarded, 11, 12, 1, false);
        check(DeleteLimit::Guarded, 50, 100, 50, true);
        check(DeleteLimit::Guarded, 51, 100, 49, false);
        check(DeleteLimit::Guarded, 1, 1, 0, false);
        check(DeleteLimit::Count(3), 3, 100, 97, true);
        check(DeleteLimit::Count(3), 4, 100, 96, false);
        check(DeleteLimit::Count(1000), 5, 5, 0, false);
        check(DeleteLimit::Percent(10), 10, 100, 90, true);
        check(DeleteLimit::Percent(10), 11, 100, 89, false);
        check(DeleteLimit::Percent(100), 5, 5, 0, false);
        check(DeleteLimit::Percent(100), 5, 5, 1, true);
        check(DeleteLimit::Count(0), 1, 100, 99, false);
    }
}
