//! What was asked, by kind.

use std::collections::BTreeMap;

/// Requests that came, by their kind, whatever became of them.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Stats {
    /// Only the kinds that came.
    pub requests: BTreeMap<&'static str, u64>,
    /// Bytes of bodies of parts and objects that came.
    pub stored_bytes: u64,
}

impl Stats {
    /// How many requests of a kind came.
    pub fn of(&self, kind: &str) -> u64 {
        self.requests.get(kind).copied().unwrap_or(0)
    }

    /// How many requests came.
    pub fn total(&self) -> u64 {
        self.requests.values().sum()
    }

    /// What came since the earlier moment.
    pub fn since(&self, earlier: &Stats) -> Stats {
        let requests = self.requests.iter().map(|(kind, count)| (*kind, count - earlier.of(kind)));
        Stats {
            requests: requests.filter(|(_, count)| *count > 0).collect(),
            stored_bytes: self.stored_bytes - earlier.stored_bytes,
        }
    }
}
