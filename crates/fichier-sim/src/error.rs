//! What can go wrong before the emulator serves its first request.

use std::io;
use std::path::PathBuf;

/// Why [`crate::Sim::start`] failed.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// Another live process owns the state folder.
    #[error("state folder {path} is in use by process {pid}")]
    InUse {
        /// The state folder.
        path: PathBuf,
        /// The process that holds it, as it wrote itself into the lock file; 0 when unreadable.
        pid: u32,
    },
    /// A journal line other than the last one could not be read.
    #[error("journal {path} is damaged at line {line}: {reason}")]
    Journal {
        /// The journal.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What the JSON reader said.
        reason: String,
    },
    /// The disk or the socket refused.
    #[error("{action}: {source}")]
    Io {
        /// What was attempted, with its place.
        action: String,
        /// The operating system's answer.
        source: io::Error,
    },
}

impl SimError {
    /// For `map_err`: wraps an [`io::Error`] with what was attempted.
    pub(crate) fn io(action: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let action = action.into();
        move |source| Self::Io { action, source }
    }
}
