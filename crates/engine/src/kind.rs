//! The kinds of jobs.

use serde::{Deserialize, Serialize};

/// The kinds of jobs, by what holds after them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobKind {
    /// The destination has all the source has.
    Copy,
    /// The destination has all the source has, and nothing else.
    Sync,
    /// The destination has all the source had, and the source no longer has what was verified to have arrived.
    Move,
}

impl JobKind {
    /// The verb.
    pub fn as_str(self) -> &'static str {
        match self {
            JobKind::Copy => "copy",
            JobKind::Sync => "sync",
            JobKind::Move => "move",
        }
    }
}
