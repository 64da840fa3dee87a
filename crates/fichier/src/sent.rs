//! The digest of what is sent: taken while it passes, or read for when it turns out to be needed.
//!
//! Whirlpool is the cost of a large upload. A caller that wants to know the size only does not pay for it, until something has to be
//! recognised: a size and a name are shared by an old version and the new one, a digest is not.

use std::sync::Arc;

use futures::TryStreamExt;
use ketch_core::source::{Body, ExactSource, HashingSource, Passed, Source, open_all};
use ketch_core::{Digest, HashAlgo, Proof, Result};
use tokio::sync::OnceCell;

/// One file of a request.
#[derive(Debug)]
pub(crate) struct SendDigest {
    /// What is sent.
    pub(crate) source: Arc<HashingSource>,
    body: Body,
    /// Is the digest left until it is needed?
    is_spared: bool,
    late: OnceCell<Option<Digest>>,
}

impl SendDigest {
    /// Of `body`, for a caller that wants `proof`. The digest of a body that can be read only once is taken at once.
    pub(crate) fn new(body: &Body, proof: Proof) -> Self {
        let exact = ExactSource::body(Arc::clone(body));
        let is_taken = exact.passed(HashAlgo::Whirlpool) != Passed::NotTaken;
        let is_spared = !is_taken && proof == Proof::Size && body.replayable();
        // Taken here only if no source below takes it.
        let algos = if is_taken || is_spared { Vec::new() } else { vec![HashAlgo::Whirlpool] };
        let source = Arc::new(HashingSource::new(exact, algos));
        SendDigest { source, body: Arc::clone(body), is_spared, late: OnceCell::new() }
    }

    /// The digest that was taken while it passed. Known only if everything was read; without it nothing is taken for ours.
    pub(crate) fn taken(&self) -> Option<Digest> {
        match self.source.passed(HashAlgo::Whirlpool) {
            Passed::Digest(digest) => Some(digest),
            Passed::NotTaken | Passed::NotYet => None,
        }
    }

    /// The same, or the digest of a second reading if none was taken. `None` also when it cannot be read any more.
    pub(crate) async fn digest(&self) -> Option<Digest> {
        if !self.is_spared {
            return self.taken();
        }
        let read = async || match digest_of(&self.body).await {
            Ok(digest) => digest,
            Err(error) => {
                tracing::debug!(%error, "what was sent cannot be read again to be recognised");
                None
            }
        };
        self.late.get_or_init(read).await.clone()
    }

    /// Has a second reading for the digest failed?
    pub(crate) fn is_unknowable(&self) -> bool {
        matches!(self.late.get(), Some(None))
    }
}

/// Reads a body, which costs less than to send it.
pub(crate) async fn digest_of(body: &Body) -> Result<Option<Digest>> {
    let source = HashingSource::new(Arc::clone(body), vec![HashAlgo::Whirlpool]);
    let mut stream = open_all(&source).await?;
    while stream.try_next().await?.is_some() {}
    Ok(source.hashes().and_then(|hashes| hashes.get(HashAlgo::Whirlpool).cloned()))
}
