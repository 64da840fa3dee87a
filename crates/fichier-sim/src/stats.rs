//! What passed the emulator, for tests that count requests.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;

use serde::Serialize;

/// How many requests the log remembers.
const LOG_ENTRIES: usize = 100_000;

/// Everything since the start or the last reset.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Requests by endpoint: `file/ls` and its like, and `upload`, `end.pl`, `download`, `other`.
    pub requests: BTreeMap<String, u64>,
    /// Flood answers of the rate limits; injected ones are not counted.
    pub floods: u64,
    /// Files received and stored.
    pub uploads_stored: u64,
    /// Download tokens handed out.
    pub tokens: u64,
    /// Bytes read from all sockets, since the start.
    pub bytes_in: u64,
    /// Bytes written to all sockets, since the start.
    pub bytes_out: u64,
    /// Visible files at this moment.
    pub files: u64,
    /// Folders at this moment, without the root.
    pub folders: u64,
    /// Requests that are held at this moment.
    pub held: u64,
    /// The last 100 000 requests, oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<LoggedRequest>,
}

impl Stats {
    /// All requests that the rate limits of the API host count.
    pub fn api_requests(&self) -> u64 {
        self.requests.iter().filter(|(name, _)| name.contains('/')).map(|(_, count)| count).sum()
    }

    /// Requests of one endpoint, 0 when there were none.
    pub fn of(&self, endpoint: &str) -> u64 {
        self.requests.get(endpoint).copied().unwrap_or(0)
    }
}

/// One request, without anything secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LoggedRequest {
    /// The HTTP method.
    pub method: String,
    /// The path with its query.
    pub path: String,
    /// The `Host` header.
    pub host: String,
    /// Whether there was an `Authorization` header.
    pub has_authorization: bool,
    /// Whether that header carried one of the configured keys. The key itself is never kept.
    pub has_known_key: bool,
}

/// One file that is stored, of which there may be several with one path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StoredFile {
    /// Where it is in the account: `a/b.txt`.
    pub path: String,
    /// Where its bytes are on this machine.
    pub content: PathBuf,
}

/// The counters behind [`Stats`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) requests: BTreeMap<String, u64>,
    pub(crate) floods: u64,
    pub(crate) uploads_stored: u64,
    pub(crate) tokens: u64,
    log: VecDeque<LoggedRequest>,
}

impl Counters {
    /// Counts and logs one request.
    pub(crate) fn note(&mut self, endpoint: &str, request: LoggedRequest) {
        match self.requests.get_mut(endpoint) {
            Some(count) => *count += 1,
            None => drop(self.requests.insert(endpoint.to_owned(), 1)),
        }
        if self.log.len() == LOG_ENTRIES {
            self.log.pop_front();
        }
        self.log.push_back(request);
    }

    /// A copy; sockets and tables are filled in by the caller.
    pub(crate) fn stats(&self) -> Stats {
        Stats {
            requests: self.requests.clone(),
            floods: self.floods,
            uploads_stored: self.uploads_stored,
            tokens: self.tokens,
            log: self.log.iter().cloned().collect(),
            ..Stats::default()
        }
    }
}
