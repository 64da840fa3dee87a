//! The digests of files that a check reads over a network, and the second look before a difference is a verdict.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::StreamExt;
use ketch_core::{
    Backend, Digest, Entry, Error, ErrorKind, HashAlgo, Hashes, MultiHasher, ReadOptions, Result,
};

use crate::bandwidth::Bandwidth;

/// The digest of what is really read, whatever a listing says. `counter` shows how far it is.
pub(super) async fn read_digest(
    backend: &Arc<dyn Backend>,
    entry: &Entry,
    bandwidth: Option<&Bandwidth>,
    counter: Option<&AtomicU64>,
) -> Result<Digest> {
    let hashes = read_hashes(backend, entry, &[HashAlgo::Blake3], bandwidth, counter).await?;
    Ok(hashes.get(HashAlgo::Blake3).expect("the digest that was asked for").clone())
}

/// The digest of what a second look reads, where the first one had the digest `first` and came over a network.
///
/// Errors: `Corrupt` when the two looks differ and the second is not what is listed either: then nothing is known.
pub(super) async fn read_again(
    backend: &Arc<dyn Backend>,
    entry: &Entry,
    first: &Digest,
    bandwidth: Option<&Bandwidth>,
) -> Result<Digest> {
    if backend.capabilities().read_local {
        return Ok(first.clone());
    }
    let listed = entry.hashes.as_deref().and_then(|listed| listed.iter().next());
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
