//! An item of the plan on its way to its outcome, what was done about it, and plain facts about actions. Does nothing.

use ketch_core::{Hashes, RelPath};

use crate::decide::{Action, Reason};
use crate::report::Outcome;

/// One item on its way from the plan to its outcome.
#[derive(Debug)]
pub(super) struct Task {
    /// Its number in the plan.
    pub(super) seq: u64,
    pub(super) action: Action,
    /// It was planned by an earlier process, or long ago: both sides are checked before anything is done.
    pub(super) is_stored: bool,
    pub(super) attempts: u32,
    pub(super) milliseconds: u64,
}

impl Task {
    pub(super) fn new(seq: u64, action: Action, is_stored: bool) -> Self {
        Task { seq, action, is_stored, attempts: 0, milliseconds: 0 }
    }
}

/// The result of an act.
pub(super) struct Acted {
    pub(super) outcome: Outcome,
    pub(super) hashes: Option<Hashes>,
    /// Bytes that were transferred.
    pub(super) bytes: Option<u64>,
    /// Bytes that the destination had from an earlier try.
    pub(super) kept: u64,
}

impl From<Outcome> for Acted {
    fn from(outcome: Outcome) -> Self {
        Acted { outcome, hashes: None, bytes: None, kept: 0 }
    }
}

pub(super) fn path_of(action: &Action) -> &RelPath {
    match action {
        Action::Copy { source, .. }
        | Action::SetTime { source, .. }
        | Action::MoveDir { source }
        | Action::RemoveSource { source, .. } => &source.path,
        Action::Delete { entry } | Action::RemoveSourceDir { entry } => &entry.path,
        Action::MakeDir { path }
        | Action::Skip { path, .. }
        | Action::NotStorable { path, .. }
        | Action::Refuse { path, .. } => path,
    }
}

pub(super) fn operation_of(action: &Action) -> &'static str {
    match action {
        Action::Copy { .. } | Action::Refuse { .. } => "copy",
        Action::SetTime { .. } => "set time",
        Action::MakeDir { .. } => "make folder",
        Action::MoveDir { .. } => "move folder",
        Action::Delete { .. } => "delete",
        Action::RemoveSource { .. } | Action::RemoveSourceDir { .. } => "remove at the source",
        Action::Skip { .. } | Action::NotStorable { .. } => "leave",
    }
}

/// Bytes that an action would transfer.
pub(super) fn size_of(action: &Action) -> Option<u64> {
    match action {
        Action::Copy { source, .. } => source.size,
        _ => None,
    }
}

pub(super) fn would_be(action: &Action) -> Outcome {
    match action {
        Action::Copy { .. } => Outcome::Copied,
        Action::SetTime { .. } => Outcome::TimeSet,
        Action::MakeDir { .. } => Outcome::DirMade,
        Action::MoveDir { .. } => Outcome::DirMoved,
        Action::Delete { .. } => Outcome::Deleted,
        Action::RemoveSource { .. } | Action::RemoveSourceDir { .. } => Outcome::SourceRemoved,
        Action::Skip { .. } | Action::Refuse { .. } => Outcome::Kept,
        Action::NotStorable { .. } => Outcome::NotStorable,
    }
}

/// Why an action is done.
pub(super) fn reason_of(action: &Action) -> Reason {
    match action {
        Action::Copy { reason, .. }
        | Action::Skip { reason, .. }
        | Action::NotStorable { reason, .. }
        | Action::Refuse { reason, .. } => *reason,
        Action::SetTime { .. } => Reason::OnlyTimeDiffers,
        Action::Delete { .. } => Reason::Extra,
        Action::MakeDir { .. } | Action::MoveDir { .. } => Reason::Missing,
        Action::RemoveSource { .. } | Action::RemoveSourceDir { .. } => Reason::SameHash,
    }
}
