//! What became of one item: what was done, or how it failed; and the same as it is written to the journal and to the report
//! file.

use std::borrow::Cow;
use std::collections::BTreeMap;

use ketch_core::{Error, ErrorKind, Hashes, Hint, RelPath};
use serde::{Deserialize, Serialize};

/// What was done with an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Transferred and verified.
    Copied,
    /// Copied within the remote, without moving bytes through this machine.
    CopiedByRemote,
    /// Its modification time was set; the content was equal.
    TimeSet,
    /// The folder was made.
    DirMade,
    /// Deleted.
    Deleted,
    /// A folder that was to be deleted and still holds an entry that a filter excludes.
    Kept,
    /// It was to be deleted and stays, because something in its folder failed or the job was stopped.
    Held,
    /// It cannot exist at the destination (a socket, or an empty file where the remote stores none): reported, and not a
    /// failure.
    NotStorable,
    /// Transferred and verified, and then removed at the source.
    Moved,
    /// Given its new name within one file system: the file itself is at the destination now.
    Renamed,
    /// Moved within the remote, without moving bytes through this machine.
    MovedByRemote,
    /// A folder that was moved within the remote with everything in it.
    DirMoved,
    /// Removed at the source, because it was verified that the destination has it.
    SourceRemoved,
}

impl Outcome {
    /// The stable word for JSON lines.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Copied => "copied",
            Outcome::CopiedByRemote => "copied_by_remote",
            Outcome::TimeSet => "time_set",
            Outcome::DirMade => "dir_made",
            Outcome::Deleted => "deleted",
            Outcome::Kept => "kept",
            Outcome::Held => "held",
            Outcome::NotStorable => "not_storable",
            Outcome::Moved => "moved",
            Outcome::Renamed => "renamed",
            Outcome::MovedByRemote => "moved_by_remote",
            Outcome::DirMoved => "dir_moved",
            Outcome::SourceRemoved => "source_removed",
        }
    }

    /// The state it stands for.
    pub fn status(self) -> Status {
        match self {
            Outcome::Copied
            | Outcome::CopiedByRemote
            | Outcome::TimeSet
            | Outcome::DirMade
            | Outcome::Deleted
            | Outcome::Moved
            | Outcome::Renamed
            | Outcome::MovedByRemote
            | Outcome::DirMoved
            | Outcome::SourceRemoved => Status::Done,
            Outcome::Kept | Outcome::Held | Outcome::NotStorable => Status::Skipped,
        }
    }
}

/// An item that failed.
#[derive(Debug, Clone)]
pub struct Failure {
    /// What it was.
    pub path: RelPath,
    /// What was tried: `copy`, `delete`, `list`, ….
    pub operation: Cow<'static, str>,
    /// The kind of the error.
    pub kind: ErrorKind,
    /// The error's line.
    pub message: String,
    /// What a person can do about it.
    pub hint: Option<Hint>,
    /// It was the source that could not be found or read.
    pub at_source: bool,
}

impl Failure {
    /// The failure of `operation` at `path`. An error that came up while content was read is one of the source.
    pub fn new(path: &RelPath, operation: &'static str, error: &Error) -> Self {
        Failure {
            path: path.clone(),
            operation: Cow::Borrowed(operation),
            kind: error.kind(),
            message: error.to_string(),
            hint: error.hint(),
            at_source: error.operation() == Some("read"),
        }
    }
}

/// What an open job has on record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Standing {
    /// Items planned so far.
    pub planned: u64,
    /// Is the plan whole?
    pub is_planned: bool,
    /// Items that were done.
    pub done: u64,
    /// Bytes that were transferred.
    pub done_bytes: u64,
}

/// The final status of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It was done, and verified as far as the policy requires.
    Done,
    /// Nothing was needed, or it cannot exist at the destination.
    Skipped,
    /// A side is no longer as it was when the item was planned; nothing was changed.
    Changed,
    /// The source went away before it was read; nothing was changed.
    Vanished,
    /// It cannot be done as things are: reported, and not tried.
    Refused,
    /// It was tried and failed.
    Failed,
}

impl Status {
    /// The stable word.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Done => "done",
            Status::Skipped => "skipped",
            Status::Changed => "changed",
            Status::Vanished => "vanished",
            Status::Refused => "refused",
            Status::Failed => "failed",
        }
    }

    /// Does a job that finishes its plan leave the item as it is?
    pub(crate) fn is_final(self) -> bool {
        match self {
            Status::Done | Status::Skipped | Status::Vanished | Status::Refused => true,
            Status::Changed | Status::Failed => false,
        }
    }
}

/// One item and its outcome.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ItemOutcome {
    /// Its number in the plan; `None` for what needed no plan (a file that is equal).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// Relative to both roots.
    pub path: RelPath,
    /// The last state.
    pub status: Status,
    /// The act that was done or tried: `copied`, `deleted`, `copy`, `list`, ….
    pub action: Cow<'static, str>,
    /// Why, in the words of [`crate::decide::Reason`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Cow<'static, str>>,
    /// Bytes that were transferred.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Bytes that the destination had from an earlier try; `None` = none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<u64>,
    /// Digests that were computed while the content passed: name to hexadecimal digits.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub digests: BTreeMap<String, String>,
    /// How long the act took, all attempts together.
    #[serde(default)]
    pub milliseconds: u64,
    /// How often it was tried; 0 = it needed no act.
    #[serde(default)]
    pub attempts: u32,
    /// The kind of the error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Cow<'static, str>>,
    /// The error's line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// What a person can do about it: the word of a [`Hint`](ketch_core::Hint).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<Cow<'static, str>>,
}

impl ItemOutcome {
    /// An outcome with only the values that are always known.
    pub fn new(path: RelPath, status: Status, action: &'static str) -> Self {
        ItemOutcome {
            seq: None,
            path,
            status,
            action: Cow::Borrowed(action),
            reason: None,
            bytes: None,
            kept: None,
            digests: BTreeMap::new(),
            milliseconds: 0,
            attempts: 0,
            kind: None,
            message: None,
            hint: None,
        }
    }

    /// With digests.
    pub(crate) fn with_digests(mut self, hashes: Option<&Hashes>) -> Self {
        let hashes = hashes.into_iter().flat_map(Hashes::iter);
        self.digests =
            hashes.map(|digest| (digest.algo().to_string(), digest.to_string())).collect();
        self
    }

    /// The mark that rclone's `--combined` lists give it: `=` equal, `-` missing at the source, `+` missing at the
    /// destination, `*` different, `!` an error, or something that was not compared. As in rclone, a mark says how the
    /// files were *found*.
    pub fn mark(&self) -> char {
        match (self.status, self.reason.as_deref(), self.action.as_ref()) {
            (Status::Failed | Status::Changed | Status::Refused | Status::Vanished, _, _) => '!',
            (_, _, "not_storable") => '!',
            (_, Some("existing" | "destination_newer" | "unproven"), _) => '!',
            (_, Some("extra"), _) => '-',
            (_, Some("missing"), _) => '+',
            (Status::Skipped, _, _) | (_, Some("only_time_differs"), _) => '=',
            (Status::Done, _, _) => '*',
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_back_as_it_was_written_and_unknown_fields_are_passed_over() {
        let mut outcome =
            ItemOutcome::new(RelPath::new("a/b").expect("legal"), Status::Done, "copied");
        outcome.seq = Some(7);
        outcome.bytes = Some(12);
        outcome.digests.insert("blake3".into(), "00".into());
        let text = serde_json::to_string(&outcome).expect("serialises");
        assert_eq!(serde_json::from_str::<ItemOutcome>(&text).expect("parses"), outcome);
        let newer = text.replacen('{', "{\"later\":1,", 1);
        assert_eq!(serde_json::from_str::<ItemOutcome>(&newer).expect("parses"), outcome);
    }

    #[test]
    fn marks_are_rclones() {
        let check = |status, reason: &'static str, action, mark| {
            let path = RelPath::new("a").expect("legal");
            let outcome = ItemOutcome::new(path, status, action);
            let outcome = ItemOutcome { reason: Some(reason.into()), ..outcome };
            assert_eq!(outcome.mark(), mark, "{outcome:?}");
        };
        check(Status::Done, "missing", "copied", '+');
        check(Status::Done, "size_differs", "copied", '*');
        check(Status::Done, "extra", "deleted", '-');
        check(Status::Skipped, "same_hash", "unchanged", '=');
        check(Status::Done, "only_time_differs", "time_set", '=');
        check(Status::Failed, "missing", "copy", '!');
        check(Status::Skipped, "extra", "kept", '-');
        // These were not compared.
        check(Status::Skipped, "empty_file", "not_storable", '!');
        check(Status::Skipped, "existing", "unchanged", '!');
        check(Status::Skipped, "destination_newer", "unchanged", '!');
        check(Status::Skipped, "unproven", "unchanged", '!');
    }
}
