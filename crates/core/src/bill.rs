//! Estimates how many calls a job makes to a remote, and how long they take, before the job begins.
//!
//! The planner counts the work and knows no remote; the remote knows what work costs ([`Cost`]).

use std::fmt;
use std::time::Duration;

/// A place whose work costs calls and time.
pub trait Cost: fmt::Debug + Send + Sync + 'static {
    /// What this work costs in calls and in time, to show it to a person. No I/O. `None`: nothing worth showing.
    fn estimate(&self, work: &Work) -> Option<Bill>;
}

/// What a job will do at one remote. Items that one request carries together ([`crate::capabilities::Gather`]) count once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Work {
    /// Folders that are listed.
    pub listings: u64,
    /// Files whose content is read.
    pub reads: u64,
    /// Requests that carry content to the remote.
    pub uploads: u64,
    /// Folders that content is sent to.
    pub upload_folders: u64,
    /// Files copied or moved by the remote itself.
    pub copies: u64,
    /// Folders that are made.
    pub folders_made: u64,
    /// Files that are removed, also because a new version takes their place.
    pub files_removed: u64,
    /// Folders that are removed.
    pub folders_removed: u64,
}

/// What the work costs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bill {
    /// How many calls of which kind; kinds without any are left out.
    pub calls: Vec<(&'static str, u64)>,
    /// How long they take at least under the limits of the remote, without the time for content.
    pub time: Duration,
}

impl Bill {
    /// All calls.
    pub fn total(&self) -> u64 {
        self.calls.iter().map(|(_, count)| count).sum()
    }
}
