//! How a `put` continues after its process died.
//!
//! A job that keeps a journal gives each `put` a [`Checkpoint`]: a number by which the backend can find again what an
//! earlier process of the same job left behind, the version of the source by which it is judged, and a small note that
//! outlives the process. The note may be wrong or out of date, so the backend checks it before it relies on it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::Bytes;

use crate::entry::{Entry, nanoseconds};
use crate::error::Result;

/// One transfer of a job, across all processes that work on it.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    /// The number of the job: the same for all its transfers. Together with the path it names what is left behind.
    pub job: u32,
    /// Which version of which source is transferred, by [`source_identity`]: a part of another version is never continued.
    pub source: Box<str>,
    /// What the backend wrote down.
    pub note: Arc<dyn Note>,
    /// While this is set, a drop or a failure leaves the part that a later process can continue, instead of removing it.
    pub keep: Arc<AtomicBool>,
}

impl Checkpoint {
    /// Must a part be kept?
    pub fn keeps(&self) -> bool {
        self.keep.load(Ordering::Relaxed)
    }
}

/// A few bytes of a backend that outlive the process: the id of an upload, how far a file is.
#[async_trait]
pub trait Note: fmt::Debug + Send + Sync {
    /// What was written last; `None` = nothing yet.
    async fn load(&self) -> Result<Option<Bytes>>;

    /// Replaces what was written. When this returns, it survives the death of the process.
    ///
    /// ORDER: what the note describes must be on the disk, or at the remote, before the note is written.
    async fn save(&self, note: Bytes) -> Result<()>;
}

/// What tells versions of a source apart: where it is, its size, time, version and digests. Stable across processes.
pub fn source_identity(location: &str, entry: &Entry) -> Box<str> {
    let time = entry.mtime.map(nanoseconds);
    let mut text = format!("{location}\n{}\n{:?}\n{time:?}\n", entry.path, entry.size);
    text.push_str(entry.version.as_deref().unwrap_or_default());
    text.push('\n');
    text.push_str(entry.handle.as_deref().unwrap_or_default());
    for digest in entry.hashes.iter().flat_map(|hashes| hashes.iter()) {
        text.push_str(&format!("\n{}:{digest}", digest.algo()));
    }
    blake3::hash(text.as_bytes()).to_hex().as_str().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path::RelPath;
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn every_fact_about_a_source_tells_versions_apart() {
        let entry = Entry::file(RelPath::new("a").expect("legal"), 3);
        let same = source_identity("local:/x", &entry);
        assert_eq!(same, source_identity("local:/x", &entry.clone()));
        let later = UNIX_EPOCH + Duration::from_nanos(1);
        let others = [
            source_identity("local:/y", &entry),
            source_identity("local:/x", &Entry { size: Some(4), ..entry.clone() }),
            source_identity("local:/x", &Entry { mtime: Some(later), ..entry.clone() }),
            source_identity("local:/x", &Entry { version: Some("v".into()), ..entry.clone() }),
            source_identity("local:/x", &Entry { handle: Some("h".into()), ..entry.clone() }),
        ];
        for other in others {
            assert_ne!(same, other);
        }
    }
}
