//! Manifests of any backend: writes down what a place holds, and compares a place with a manifest.
//!
//! Everything here is a stream in key order with bounded memory. Results are handed to the caller one by one; only
//! [`repair`] changes anything.

pub mod create;
mod pair;
pub mod repair;
pub mod verify;
mod walk;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use futures::StreamExt;
use ketch_core::source::exact_length;
use ketch_core::{
    Backend, Disk, DiskFile, Entry, Error, ErrorKind, HashAlgo, ReadOptions, RelPath, Result,
};

use crate::bandwidth::Bandwidth;
use crate::content::{Facts, FactsHasher};
use crate::digest::Digests;
use crate::filter::Filter;
use crate::progress::Progress;

/// How a place is walked.
#[derive(Debug, Clone)]
pub struct ProveSettings {
    /// What takes part.
    pub filter: Arc<Filter>,
    /// Folders listed ahead and files read at the same time; at least 1.
    pub checkers: usize,
    /// Read content over a network if the listing shows no suitable digest.
    pub download: bool,
    /// Bytes a second of what is read over a network; `None` = as fast as it goes.
    pub bandwidth: Option<u64>,
    /// Where digests of local files come from, and where they are remembered.
    pub digests: Digests,
    /// A place that lists everything at once is asked to. Then a pass may end with [`Pass::Void`].
    pub flat: bool,
    /// Files that are left out whatever the filter says: the manifest itself, if it lies in the place.
    pub except: Vec<RelPath>,
    /// Where progress is counted.
    pub progress: Progress,
}

impl Default for ProveSettings {
    fn default() -> Self {
        ProveSettings {
            filter: Arc::new(Filter::everything()),
            checkers: 8,
            download: false,
            bandwidth: None,
            digests: Digests::default(),
            flat: true,
            except: Vec::new(),
            progress: Progress::default(),
        }
    }
}

/// How a pass over a place ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Pass<T> {
    /// At its end.
    Done(T),
    /// Nothing that it said counts: a listing of everything at once is not in the order that was promised. The same pass
    /// without [`ProveSettings::flat`] says everything.
    Void,
}

/// The limit for bytes that are read, and where they are counted.
#[derive(Clone, Copy)]
pub(crate) struct Pace<'a> {
    pub(crate) bandwidth: Option<&'a Bandwidth>,
    pub(crate) counter: &'a AtomicU64,
}

/// A disk whose bytes are counted as they are read.
#[derive(Debug)]
pub(crate) struct CountedDisk<'a> {
    pub(crate) disk: &'a dyn Disk,
    pub(crate) counter: Arc<AtomicU64>,
}

struct CountedFile {
    file: Box<dyn DiskFile>,
    counter: Arc<AtomicU64>,
}

impl Disk for CountedDisk<'_> {
    fn open(&self, entry: &Entry) -> Result<Box<dyn DiskFile>> {
        let counter = Arc::clone(&self.counter);
        Ok(Box::new(CountedFile { file: self.disk.open(entry)?, counter }))
    }

    fn is_settled(&self, entry: &Entry, time: SystemTime) -> bool {
        self.disk.is_settled(entry, time)
    }

    fn proves_versions(&self) -> bool {
        self.disk.proves_versions()
    }
}

impl DiskFile for CountedFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let got = self.file.read_at(buffer, offset)?;
        self.counter.fetch_add(got as u64, Ordering::Relaxed);
        Ok(got)
    }

    fn check_unchanged(&self) -> Result<()> {
        self.file.check_unchanged()
    }
}

/// Reads a file over a network to its end, or a range of it, and computes what a manifest contains about it.
pub(crate) async fn download(
    backend: &Arc<dyn Backend>,
    entry: &Entry,
    range: Option<std::ops::Range<u64>>,
    pace: Pace<'_>,
    mut take: impl FnMut(&[u8]),
) -> Result<()> {
    let size = entry.size.ok_or_else(|| {
        Error::new(ErrorKind::Unsupported, "its size is not known").with_path(&entry.path)
    })?;
    let whole = 0..size;
    let wanted = range.clone().unwrap_or(whole);
    if wanted.is_empty() {
        return Ok(());
    }
    let stream = backend.read(entry, ReadOptions { range }).await?;
    let mut stream = exact_length(stream, wanted.end - wanted.start);
    while let Some(piece) = stream.next().await {
        let piece = piece?;
        if let Some(bandwidth) = pace.bandwidth {
            bandwidth.pass(piece.len() as u64).await;
        }
        pace.counter.fetch_add(piece.len() as u64, Ordering::Relaxed);
        take(&piece);
    }
    Ok(())
}

/// What a manifest contains about a file that is read over a network.
pub(crate) async fn download_facts(
    backend: &Arc<dyn Backend>,
    entry: &Entry,
    algos: &[HashAlgo],
    pace: Pace<'_>,
) -> Result<Facts> {
    let mut hasher = FactsHasher::new(algos, entry.size.unwrap_or_default());
    download(backend, entry, None, pace, |piece| hasher.update(piece)).await?;
    Ok(hasher.finish())
}
