//! What a place holds, written down, and compared with what was written down: manifests of any backend.
//!
//! Everything here is a stream in key order with bounded memory. What is found goes to the caller one by one; nothing is
//! changed but by [`repair`].

pub mod create;
mod pair;
pub mod repair;
pub mod verify;
mod walk;

use std::sync::Arc;

use futures::StreamExt;
use ketch_core::source::exact_length;
use ketch_core::{Backend, Entry, Error, ErrorKind, HashAlgo, ReadOptions, Result};

use crate::bandwidth::Bandwidth;
use crate::content::{Facts, FactsHasher};
use crate::digest::Digests;
use crate::filter::Filter;

pub use walk::{Found, walk};

/// How a place is gone through.
#[derive(Debug, Clone)]
pub struct ProveSettings {
    /// What takes part.
    pub filter: Arc<Filter>,
    /// Folders listed ahead and files read at the same time; at least 1.
    pub checkers: usize,
    /// Read content over a network where no digest came for free.
    pub download: bool,
    /// Bytes a second of what is read over a network; `None` = as fast as it goes.
    pub bandwidth: Option<u64>,
    /// Where digests of local files come from, and where they are remembered.
    pub digests: Digests,
}

impl Default for ProveSettings {
    fn default() -> Self {
        ProveSettings {
            filter: Arc::new(Filter::everything()),
            checkers: 8,
            download: false,
            bandwidth: None,
            digests: Digests::default(),
        }
    }
}

/// Reads a file over a network to its end, or a range of it, and finds out what a manifest says about it.
pub(crate) async fn download(
    backend: &Arc<dyn Backend>,
    entry: &Entry,
    range: Option<std::ops::Range<u64>>,
    bandwidth: Option<&Bandwidth>,
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
        if let Some(bandwidth) = bandwidth {
            bandwidth.pass(piece.len() as u64).await;
        }
        take(&piece);
    }
    Ok(())
}

/// What a manifest says about a file that is read over a network.
pub(crate) async fn download_facts(
    backend: &Arc<dyn Backend>,
    entry: &Entry,
    algos: &[HashAlgo],
    bandwidth: Option<&Bandwidth>,
) -> Result<Facts> {
    let mut hasher = FactsHasher::new(algos, entry.size.unwrap_or_default());
    download(backend, entry, None, bandwidth, |piece| hasher.update(piece)).await?;
    Ok(hasher.finish())
}
