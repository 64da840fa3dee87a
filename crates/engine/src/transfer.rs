//! One file from one backend to the other: by the remote itself where it can, else as a stream that is counted, slowed down,
//! hashed and guarded, and verified before it counts as done.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use futures::StreamExt;
use ketch_core::source::{EntrySource, ExactSource, HashingSource, ParallelSource};
use ketch_core::{
    Backend, Body, ByteBudget, ByteStream, Entry, Error, ErrorKind, Expect, HashAlgo, Hashes,
    PutOptions, Result, Retry, Source,
};

use crate::bandwidth::Bandwidth;
use crate::report::Outcome;
use crate::settings::Settings;

/// How a transfer went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transferred {
    /// By whom.
    pub outcome: Outcome,
    /// Every digest that could be expected was there and agreed.
    pub verified: bool,
}

/// What all transfers of a job share.
#[derive(Debug)]
pub struct Transfers {
    source: Arc<dyn Backend>,
    destination: Arc<dyn Backend>,
    bandwidth: Option<Arc<Bandwidth>>,
    budget: ByteBudget,
    parallel_from: u64,
    streams: usize,
    part_bytes: u64,
}

impl Transfers {
    /// Transfers from `source` to `destination` with the bounds of `settings`.
    pub fn new(
        source: Arc<dyn Backend>,
        destination: Arc<dyn Backend>,
        settings: &Settings,
    ) -> Self {
        Transfers {
            source,
            destination,
            bandwidth: settings.bandwidth.map(|limit| Arc::new(Bandwidth::new(limit))),
            budget: ByteBudget::new(settings.buffer_bytes),
            parallel_from: settings.parallel_from,
            streams: settings.streams,
            part_bytes: settings.part_bytes,
        }
    }

    /// Stores the content of `entry` under its path at the destination, in place of `replaces`. Bytes are counted in
    /// `counter` as they pass.
    ///
    /// Errors: what reading and storing give; `Corrupt` when size or digest do not agree afterwards, and then what was
    /// stored is removed again.
    pub async fn transfer(
        &self,
        entry: &Entry,
        replaces: Option<&Entry>,
        counter: Arc<AtomicU64>,
    ) -> Result<Transferred> {
        let expect = match replaces {
            Some(old) => Expect::Entry(Box::new(old.clone())),
            None => Expect::Absent,
        };
        let options = PutOptions { mtime: entry.mtime, expect, checkpoint: None };
        if let Some(stored) = self.copy_by_remote(entry, options.clone()).await? {
            let verified = self.verify(entry, &stored, None).await?;
            return Ok(Transferred { outcome: Outcome::CopiedByRemote, verified });
        }
        let hashing = Arc::new(self.hashing(entry, counter));
        let body = ExactSource::body(Arc::clone(&hashing) as Body);
        let stored = self.destination.put(&entry.path, body, options).await?;
        let verified = self.verify(entry, &stored, hashing.hashes()).await?;
        Ok(Transferred { outcome: Outcome::Copied, verified })
    }

    /// The copy that the remote makes itself; `None` when it cannot.
    async fn copy_by_remote(&self, entry: &Entry, options: PutOptions) -> Result<Option<Entry>> {
        let shared = self.source.scope().zip(self.destination.scope());
        let can = self.destination.capabilities().copy;
        if !can || shared.is_none_or(|(left, right)| left != right) {
            return Ok(None);
        }
        self.destination.copy(entry, &entry.path, options).await.map(Some)
    }

    /// The body as it is sent: read (in parts where that helps), slowed down and counted, hashed.
    fn hashing(&self, entry: &Entry, counter: Arc<AtomicU64>) -> HashingSource {
        let mut body: Body = Arc::new(EntrySource::new(Arc::clone(&self.source), entry.clone()));
        let from = self.source.capabilities();
        let large = entry.size.is_some_and(|size| size >= self.parallel_from);
        // A disk gains nothing from several readers of one file; a network does.
        if large && from.read_range && !from.read_local {
            let budget = self.budget.clone();
            body = ParallelSource::body(body, self.part_bytes, self.streams, budget);
        }
        body = Arc::new(Metered { inner: body, counter, bandwidth: self.bandwidth.clone() });
        let stored_as = strongest(|algo| self.destination.capabilities().hashes.contains(&algo));
        let hashing = HashingSource::new(body, stored_as.into_iter().collect());
        let listed = entry.hashes.as_ref().and_then(|hashes| {
            let algo = strongest(|algo| hashes.get(algo).is_some())?;
            hashes.get(algo).cloned()
        });
        match listed {
            Some(digest) => hashing.expecting(digest),
            None => hashing,
        }
    }

    /// Compares what is stored with what was listed and sent. `Ok(false)`: nothing disagrees, and a digest that the
    /// remotes usually show was not there to compare.
    async fn verify(&self, entry: &Entry, stored: &Entry, sent: Option<Hashes>) -> Result<bool> {
        let wrong = match disagreement(entry, stored, sent.as_ref()) {
            Some(wrong) => wrong,
            None => {
                let kept = !self.destination.capabilities().hashes.is_empty();
                let listed = !self.source.capabilities().hashes.is_empty();
                let is_missing =
                    kept && stored.hashes.is_none() || listed && entry.hashes.is_none();
                return Ok(!is_missing);
            }
        };
        // What is stored is not what was sent; nobody may find it. If it cannot be removed that is part of the message.
        let removed = match self.destination.delete(stored).await {
            Ok(()) => "it was removed".to_owned(),
            Err(error) => format!("and it could not be removed ({error})"),
        };
        Err(Error::new(ErrorKind::Corrupt, format!("{wrong}; {removed}"))
            .with_retry(Retry::Backoff)
            .with_operation("verify")
            .with_remote(self.destination.name())
            .with_path(&entry.path))
    }
}

/// In what the stored entry differs from what was listed and sent; `None` when nothing says that it does.
fn disagreement(entry: &Entry, stored: &Entry, sent: Option<&Hashes>) -> Option<String> {
    if let (Some(listed), Some(kept)) = (entry.size, stored.size)
        && listed != kept
    {
        return Some(format!("{kept} of {listed} bytes were stored"));
    }
    let kept = stored.hashes.as_ref()?;
    let known = [sent, entry.hashes.as_deref()].into_iter().flatten().flat_map(Hashes::iter);
    known
        .filter_map(|digest| Some((digest, kept.get(digest.algo())?)))
        .find(|(digest, kept)| digest != kept)
        .map(|(digest, kept)| {
            format!("the remote shows the {} digest {kept}, sent was {digest}", digest.algo())
        })
}

fn strongest(has: impl Fn(HashAlgo) -> bool) -> Option<HashAlgo> {
    HashAlgo::BY_STRENGTH.into_iter().find(|algo| has(*algo))
}

/// Counts the bytes that pass and lets only so many pass.
#[derive(Debug)]
struct Metered {
    inner: Body,
    counter: Arc<AtomicU64>,
    bandwidth: Option<Arc<Bandwidth>>,
}

#[async_trait]
impl Source for Metered {
    fn size(&self) -> Option<u64> {
        self.inner.size()
    }

    fn replayable(&self) -> bool {
        self.inner.replayable()
    }

    async fn open(&self, range: Range<u64>) -> Result<ByteStream> {
        if range.start == 0 {
            self.counter.store(0, Ordering::Relaxed);
        }
        let counter = Arc::clone(&self.counter);
        let bandwidth = self.bandwidth.clone();
        let stream = self.inner.open(range).await?.then(move |piece| {
            let (counter, bandwidth) = (Arc::clone(&counter), bandwidth.clone());
            async move {
                let piece = piece?;
                if let Some(bandwidth) = bandwidth {
                    bandwidth.pass(piece.len() as u64).await;
                }
                counter.fetch_add(piece.len() as u64, Ordering::Relaxed);
                Ok(piece)
            }
        });
        Ok(stream.boxed())
    }
}
