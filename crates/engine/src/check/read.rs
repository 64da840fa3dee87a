//! Reads files over a network for a check and computes their digests; a file that differs is read a second time before the
//! difference counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::StreamExt;
use ketch_core::{
    Backend, Digest, Entry, Error, ErrorKind, HashAlgo, Hashes, MultiHasher, ReadOptions, Result,
};

use crate::bandwidth::Bandwidth;

/// The digest of the bytes that are read, whatever a listing says. `counter` counts them.
pub(super) async fn read_digest(
    backend: &Arc<dyn Backend>,
    entry: &Entry,
    bandwidth: Option<&Bandwidth>,
    counter: Option<&AtomicU64>,
) -> Result<Digest> {
    let hashes = read_hashes(backend, entry, &[HashAlgo::Blake3], bandwidth, counter).await?;
    Ok(hashes.get(HashAlgo::Blake3).expect("the digest that was asked for").clone())
}

/// Reads a file a second time and gives its digest. The first read came over a network and gave `first`.
///
/// Errors: `Corrupt` when the two reads differ and the second one does not have the listed digest either: then the content
/// is not known.
pub(super) async fn read_again(
    backend: &Arc<dyn Backend>,
    entry: &Entry,
    first: &Digest,
    bandwidth: Option<&Bandwidth>,
) -> Result<Digest> {
    if backend.capabilities().read_local {
        return Ok(first.clone());
    }
    let listed = entry.to_expect();
    let algos: Vec<HashAlgo> =
        [HashAlgo::Blake3].into_iter().chain(listed.map(Digest::algo)).collect();
    let hashes = read_hashes(backend, entry, &algos, bandwidth, None).await?;
    let again = hashes.get(HashAlgo::Blake3).expect("the digest that was asked for").clone();
    let is_as_listed =
        listed.is_none_or(|listed| hashes.get(listed.algo()).is_none_or(|found| found == listed));
    if is_as_listed || again == *first {
        return Ok(again);
    }
    let message = "each time it was read it had other bytes, and never those that were listed";
    Err(Error::new(ErrorKind::Corrupt, message).with_operation("read").with_path(&entry.path))
}

async fn read_hashes(
    backend: &Arc<dyn Backend>,
    entry: &Entry,
    algos: &[HashAlgo],
    bandwidth: Option<&Bandwidth>,
    counter: Option<&AtomicU64>,
) -> Result<Hashes> {
    let mut stream = backend.read(entry, ReadOptions::default()).await?;
    let mut hasher = MultiHasher::new(algos);
    while let Some(piece) = stream.next().await {
        let piece = piece?;
        if let Some(bandwidth) = bandwidth {
            bandwidth.pass(piece.len() as u64).await;
        }
        if let Some(counter) = counter {
            counter.fetch_add(piece.len() as u64, Ordering::Relaxed);
        }
        hasher.update(&piece);
    }
    Ok(hasher.finish())
}
