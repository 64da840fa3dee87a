//! How a `put` goes on after the death of its process.
//!
//! A job that keeps a journal gives each `put` a [`Checkpoint`]: a number by which the backend can find again what an earlier
//! process of the same job left behind, the version of the source by which it is judged, and a small note that outlives
//! the process. The note is a hint and never a fact: what it speaks of is looked at before it is believed.

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
    /// The same for all transfers of one job, and another for other jobs. With the path it names what is left behind.
    pub job: u32,
    /// Which version of which source is transferred, as [`source_identity`] gives it: what is left of another version is
    /// never gone on with.
    pub source: Box<str>,
    /// What the backend wrote down.
    pub note: Arc<dyn Note>,
    /// Set while a drop or a failure is to leave what could be gone on with (the job will be resumed) instead of removing it.
    pub keep: Arc<AtomicBool>,
}

impl Checkpoint {
    /// Is what is left behind to be kept?
    pub fn keeps(&self) -> bool {
        self.keep.load(Ordering::Relaxed)
    }
}

/// A few bytes of a backend that outlive the process: an upload's id, how far a file is.
#[async_trait]
pub trait Note: fmt::Debug + Send + Sync {
    /// What was written last; `None` = nothing yet.
    async fn load(&self) -> Result<Option<Bytes>>;

    /// Replaces what was written. When this returns, it survives the death of the process.
    ///
    /// ORDER: what the note speaks of must be on the disk, or at the remote, before the note is.
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
