//! The digest of an entry: from the listing when it came for free, else by reading where reading costs no network.

use std::sync::Arc;

use futures::StreamExt;
use ketch_core::{
    Backend, Digest, Entry, Error, ErrorKind, HashAlgo, MultiHasher, ReadOptions, Result,
};

/// Pieces above this size are hashed on a blocking thread.
const INLINE_BYTES: usize = 64 * 1024;

/// The digest of `entry`'s content.
///
/// Errors: `Unsupported` when the listing did not give it and reading would cost network traffic; what reading gives,
/// `Changed` among it.
pub async fn digest_of(
    backend: &Arc<dyn Backend>,
    entry: &Entry,
    algo: HashAlgo,
) -> Result<Digest> {
    if let Some(digest) = entry.hashes.as_ref().and_then(|hashes| hashes.get(algo)) {
        return Ok(digest.clone());
    }
    if !backend.capabilities().read_local {
        let message = format!("the remote shows no {algo} digest of this file");
        return Err(Error::new(ErrorKind::Unsupported, message)
            .with_operation("digest")
            .with_remote(backend.name())
            .with_path(&entry.path));
    }
    content_digest(backend, entry, algo).await
}

/// The digest of what is really read, whatever the listing says.
///
/// Errors: what reading gives, `Changed` among it.
pub async fn content_digest(
    backend: &Arc<dyn Backend>,
    entry: &Entry,
    algo: HashAlgo,
) -> Result<Digest> {
    let mut stream = backend.read(entry, ReadOptions::default()).await?;
    let mut hasher = MultiHasher::new(&[algo]);
    while let Some(piece) = stream.next().await {
        let piece = piece?;
        if piece.len() <= INLINE_BYTES {
            hasher.update(&piece);
        } else {
            hasher = tokio::task::spawn_blocking(move || {
                hasher.update(&piece);
                hasher
            })
            .await
            .map_err(|_| Error::new(ErrorKind::Io, "hashing stopped"))?;
        }
    }
    let hashes = hasher.finish();
    Ok(hashes.get(algo).expect("the digest that was asked for is computed").clone())
}

/// Have both files the same content, by `algo`? Both sides are read at the same time.
pub async fn same_content(
    source: (&Arc<dyn Backend>, &Entry),
    destination: (&Arc<dyn Backend>, &Entry),
    algo: HashAlgo,
) -> Result<bool> {
    let (left, right) = tokio::join!(
        digest_of(source.0, source.1, algo),
        digest_of(destination.0, destination.1, algo)
    );
    Ok(left? == right?)
}
