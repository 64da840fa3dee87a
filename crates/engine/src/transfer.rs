//! Transfers one file from one backend to the other. The remote itself copies it if it can; else it is a stream that is
//! counted, slowed down, hashed, guarded to its length, and verified before it counts as done.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ketch_core::EntrySource;
use ketch_core::facets::{LocalFile, LocalFiles};
use ketch_core::hash::PART_ALGOS;
use ketch_core::source::{ExactSource, HashingSource, ParallelSource, ResumedSource};
use ketch_core::{
    Backend, Body, ByteBudget, Checkpoint, Entry, EntryKind, Error, ErrorKind, Expect, HashAlgo,
    Hashes, Proof, PutOptions, Result, Retry,
};

use crate::bandwidth::Bandwidth;
use crate::content::Facts;
use crate::digest::{Digests, content_digest};
use crate::metered::Metered;
use crate::place::Place;
use crate::report::Outcome;
use crate::settings::{Settings, Verify};
use crate::times::{add_time, lacks_time};
use crate::witness::Witness;

/// Files from this size on may leave a part that a later process continues.
pub(crate) const RESUME_FROM: u64 = 16 * 1024 * 1024;

/// How a transfer went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transferred {
    /// Who transferred it.
    pub outcome: Outcome,
    /// Every expected digest was there and agreed.
    pub verified: bool,
    /// Bytes that the destination had from an earlier try.
    pub kept: u64,
    /// Digests of the content, computed while it passed; `None` when it did not pass through this machine.
    pub hashes: Option<Hashes>,
    /// What the destination has now.
    pub stored: Entry,
}

/// One transfer.
#[derive(Debug)]
pub struct Transfer<'a> {
    /// What is transferred.
    pub entry: &'a Entry,
    /// What the destination has at its path.
    pub replaces: Option<&'a Entry>,
    /// Where bytes are counted as they pass.
    pub counter: Arc<AtomicU64>,
    /// Where it is said how many bytes the destination had from an earlier try.
    pub kept: Arc<AtomicU64>,
    /// How a later process can continue it.
    pub checkpoint: Option<Checkpoint>,
}

/// What all transfers of a job share.
#[derive(Debug)]
pub struct Transfers {
    source: Arc<dyn Backend>,
    destination: Arc<dyn Backend>,
    /// The destination's place in the digest cache, and where digests are remembered.
    place: Place,
    digests: Digests,
    bandwidth: Option<Arc<Bandwidth>>,
    budget: ByteBudget,
    parallel_from: u64,
    streams: usize,
    part_bytes: u64,
    verify: Verify,
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
            place: Place::new(&destination),
            destination,
            digests: settings.digests.clone(),
            bandwidth: settings.bandwidth.map(|limit| Arc::new(Bandwidth::new(limit))),
            budget: ByteBudget::new(settings.buffer_bytes),
            parallel_from: settings.parallel_from,
            streams: settings.streams,
            part_bytes: settings.part_bytes,
            verify: settings.verify,
        }
    }

    /// Stores the content of an entry at its path at the destination.
    ///
    /// Errors: those of reading and storing; `Corrupt` when size or digest do not agree afterwards, and then what was
    /// stored is removed.
    pub async fn transfer(&self, transfer: Transfer<'_>) -> Result<Transferred> {
        let Transfer { entry, replaces, counter, kept, checkpoint } = transfer;
        // The time of the content is stored with it, also where the listing did not show it.
        let mut timed = None;
        if lacks_time(&*self.source, entry) {
            add_time(&self.digests, &self.source, timed.insert(entry.clone())).await?;
        }
        let entry = timed.as_ref().unwrap_or(entry);
        let expect = match replaces {
            Some(old) => Expect::Entry(Box::new(old.clone())),
            None => Expect::Absent,
        };
        let is_link = entry.kind == EntryKind::Link;
        let options = PutOptions {
            mtime: entry.mtime,
            mode: entry.mode,
            is_link,
            expect,
            proof: match self.verify {
                Verify::None | Verify::Size => Proof::Size,
                Verify::Hash | Verify::ReadBack => Proof::Digest,
            },
            checkpoint,
            progress: Some(Arc::clone(&counter)),
            kept: Some(Arc::clone(&kept)),
        };
        if let Some(stored) = self.copy_by_remote(entry, options.clone()).await? {
            let verified = self.verify(entry, &stored, None).await?;
            let outcome = Outcome::CopiedByRemote;
            return Ok(Transferred { outcome, verified, kept: 0, hashes: None, stored });
        }
        if let Some(stored) = self.copy_by_system(entry, options.clone()).await? {
            counter.store(stored.size.unwrap_or(0), Ordering::Relaxed);
            let verified = self.verify(entry, &stored, None).await?;
            let hashes = stored.hashes.as_deref().cloned();
            let (outcome, kept) = (Outcome::Copied, kept.load(Ordering::Relaxed));
            return Ok(Transferred { outcome, verified, kept, hashes, stored });
        }
        let beginning = self.kept(entry, options.checkpoint.as_ref()).await;
        let beginning_bytes = beginning.as_ref().and_then(|kept| kept.size()).unwrap_or(0);
        // What is there already is no transfer, and the bar begins behind it.
        kept.store(beginning_bytes, Ordering::Relaxed);
        counter.store(beginning_bytes, Ordering::Relaxed);
        let witness = entry.size.filter(|_| self.digests.keeps()).map(Witness::new);
        let hashing = self.hashing(entry, counter, beginning);
        let hashing = Arc::new(match &witness {
            Some(witness) => hashing.observed(Arc::new(witness.clone())),
            None => hashing,
        });
        let body = ExactSource::body(Arc::clone(&hashing) as Body);
        let stored = self.destination.put(&entry.path, body, options).await?;
        let mut hashes = hashing.hashes();
        if hashes.is_none() && self.verify == Verify::Hash {
            hashes = self.digest_of_adopted(entry, &stored).await?;
        }
        let verified = self.verify(entry, &stored, hashes.as_ref()).await?;
        if let Some(hashes) = &hashes {
            let found = witness.and_then(|witness| witness.facts()).unwrap_or_default();
            let facts = Facts { hashes: hashes.clone(), ..found };
            self.digests.learn(&self.place, &stored, facts).await;
        }
        let kept = kept.load(Ordering::Relaxed);
        Ok(Transferred { outcome: Outcome::Copied, verified, kept, hashes, stored })
    }

    /// The beginning of the file that an earlier process stored at the destination. If it cannot be found, that costs only
    /// time.
    async fn kept(&self, entry: &Entry, checkpoint: Option<&Checkpoint>) -> Option<Body> {
        let is_large = entry.size.is_some_and(|size| size >= RESUME_FROM);
        let can =
            self.destination.capabilities().put_resume && self.source.capabilities().read_range;
        let checkpoint = checkpoint.filter(|_| is_large && can)?;
        match self.destination.partial(&entry.path, checkpoint).await {
            Ok(kept) => {
                kept.filter(|kept| kept.size().is_some_and(|size| Some(size) <= entry.size))
            }
            Err(error) => {
                tracing::warn!(%error, "what an earlier run transferred cannot be used");
                None
            }
        }
    }

    /// Can files be copied from one side to the other without passing through this machine?
    pub(crate) fn can_copy_by_remote(&self) -> bool {
        self.destination.capabilities().copy && self.are_one_scope()
    }

    /// Does each side accept the entries of the other?
    pub(crate) fn are_one_scope(&self) -> bool {
        let scopes = self.source.scope().zip(self.destination.scope());
        scopes.is_some_and(|(left, right)| left == right)
    }

    /// Renames the file to its path at the destination, if both are on one file system of this machine; `None` when that
    /// cannot be done, and then it is copied. A renamed file needs no verification: it is the same object.
    pub(crate) async fn take(
        &self,
        entry: &Entry,
        replaces: Option<&Entry>,
    ) -> Result<Option<Entry>> {
        let to = self.destination.capabilities();
        // For a manifest the bytes must pass through ketch.
        if self.digests.keeps() || !to.rename || !to.read_local {
            return Ok(None);
        }
        let Some((file, disk)) = self.local_file(entry) else { return Ok(None) };
        let expect = replaces.map_or(Expect::Absent, |old| Expect::Entry(Box::new(old.clone())));
        let options = PutOptions { expect, ..PutOptions::default() };
        match disk.take(&file, &entry.path, options).await {
            Ok(taken) => Ok(Some(taken)),
            Err(error) if error.kind() == ErrorKind::Unsupported => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Does the destination store it as parts, which it reads in any order?
    fn goes_as_parts(&self, entry: &Entry) -> bool {
        let parts = self.destination.capabilities().put_parts;
        self.source.capabilities().read_range
            && parts.zip(entry.size).is_some_and(|(rules, size)| size >= rules.from)
    }

    /// Makes the remote itself copy the file; `None` when it cannot.
    async fn copy_by_remote(&self, entry: &Entry, options: PutOptions) -> Result<Option<Entry>> {
        if !self.can_copy_by_remote() {
            return Ok(None);
        }
        self.destination.copy(entry, &entry.path, options).await.map(Some)
    }

    /// Makes the system copy the file from one disk of this machine to another; `None` when it cannot, or when the
    /// bandwidth is limited.
    async fn copy_by_system(&self, entry: &Entry, options: PutOptions) -> Result<Option<Entry>> {
        let to = self.destination.capabilities();
        // ketch does not see bytes that the system copies, so it cannot hash them.
        if !entry.is_file()
            || self.digests.keeps()
            || !to.copy
            || !to.read_local
            || self.bandwidth.is_some()
            || entry.hashes.is_some()
        {
            return Ok(None);
        }
        let Some((file, disk)) = self.local_file(entry) else { return Ok(None) };
        disk.copy_from(&file, &entry.path, options).await.map(Some)
    }

    /// A file of the source for the destination, if both are on disks of this machine.
    fn local_file(&self, entry: &Entry) -> Option<(LocalFile, Arc<dyn LocalFiles>)> {
        let (from, to) = (self.source.facets(), self.destination.facets());
        let file = from.local_files.as_ref()?.as_local_file(entry);
        Some((file, Arc::clone(to.local_files.as_ref()?)))
    }

    /// The body to send: read (in several ranges where that helps), slowed down and counted, hashed.
    fn hashing(&self, entry: &Entry, counter: Arc<AtomicU64>, kept: Option<Body>) -> HashingSource {
        let mut body: Body = Arc::new(EntrySource::new(Arc::clone(&self.source), entry.clone()));
        let from = self.source.capabilities();
        let large = entry.size.is_some_and(|size| size >= self.parallel_from);
        let as_parts = self.goes_as_parts(entry) && kept.is_none();
        // A disk gains nothing from several readers of one file; a network does. A destination that takes parts reads several
        // at the same time by itself.
        if large && !as_parts && from.read_range && !from.read_local {
            let budget = self.budget.clone();
            body = ParallelSource::body(body, self.part_bytes, self.streams, budget);
        }
        body = Metered::body(body, counter, self.bandwidth.clone());
        if let Some(kept) = kept {
            body = ResumedSource::body(kept, body);
        }
        let mut algos = Vec::new();
        let by_digest = matches!(self.verify, Verify::Hash | Verify::ReadBack);
        if by_digest {
            let shown = self.destination.capabilities().hashes;
            // What can be taken of parts is preferred where parts are sent: other digests need every byte in order.
            let of_parts = |algo: HashAlgo| as_parts && PART_ALGOS.contains(&algo);
            let best = strongest(|algo| shown.contains(&algo) && of_parts(algo));
            algos.extend(best.or_else(|| strongest(|algo| shown.contains(&algo))));
            // BLAKE3 costs next to nothing, and reports, manifests and `read-back` use it.
            if !algos.contains(&HashAlgo::Blake3) {
                algos.push(HashAlgo::Blake3);
            }
        }
        let hashing = HashingSource::new(body, algos);
        // With `Verify::Size` the caller wants to save the time that a digest takes.
        match entry.to_expect().filter(|_| by_digest) {
            Some(digest) => hashing.expecting(digest.clone()),
            None => hashing,
        }
    }

    /// How the stored file differs from what was listed and sent, by the chosen policy.
    async fn disagreement(
        &self,
        entry: &Entry,
        stored: &Entry,
        sent: Option<&Hashes>,
    ) -> Result<Option<String>> {
        match self.verify {
            Verify::None => Ok(None),
            Verify::Size => Ok(size_disagreement(entry, stored)),
            Verify::Hash => Ok(disagreement(entry, stored, sent)),
            Verify::ReadBack => {
                if let Some(wrong) = disagreement(entry, stored, sent) {
                    return Ok(Some(wrong));
                }
                let algo = HashAlgo::Blake3;
                let expected = match sent.and_then(|sent| sent.get(algo)) {
                    Some(digest) => digest.clone(),
                    None => content_digest(&self.source, entry, algo).await?,
                };
                let mut found = content_digest(&self.destination, stored, algo).await?;
                if found != expected {
                    // It may only have been damaged while it was read back.
                    found = content_digest(&self.destination, stored, algo).await?;
                }
                let wrong =
                    format!("read back, it has the {algo} digest {found}, sent was {expected}");
                Ok((found != expected).then_some(wrong))
            }
        }
    }

    /// The digest of the source, where the destination had the file from an earlier try and read nothing of the body: what is
    /// there is proven by what the source holds now.
    async fn digest_of_adopted(&self, entry: &Entry, stored: &Entry) -> Result<Option<Hashes>> {
        let Some(shown) = stored.hashes.as_deref().and_then(Hashes::strongest) else {
            return Ok(None);
        };
        let digest = content_digest(&self.source, entry, shown.algo()).await?;
        Ok(Some(Hashes::of(digest)))
    }

    /// Compares what is stored with what was listed and sent. `Ok(false)`: nothing disagrees, and a digest that the
    /// remotes usually show was not there to compare.
    async fn verify(&self, entry: &Entry, stored: &Entry, sent: Option<&Hashes>) -> Result<bool> {
        let wrong = match self.disagreement(entry, stored, sent).await? {
            Some(wrong) => wrong,
            None => {
                if self.verify != Verify::Hash {
                    return Ok(true);
                }
                let kept = !self.destination.capabilities().hashes.is_empty();
                let listed = !self.source.capabilities().hashes.is_empty();
                let is_missing =
                    kept && !shares_digest(stored, sent, entry) || listed && entry.hashes.is_none();
                return Ok(!is_missing);
            }
        };
        // The stored file is not what was sent, so it must not stay. If it cannot be removed, the message says so.
        let removed = match self.destination.delete_one(stored).await {
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

/// Does what is stored show a digest that is known of what was sent or listed, too?
fn shares_digest(stored: &Entry, sent: Option<&Hashes>, entry: &Entry) -> bool {
    let Some(kept) = &stored.hashes else { return false };
    let known = [sent, entry.hashes.as_deref()];
    known
        .into_iter()
        .flatten()
        .flat_map(Hashes::iter)
        .any(|digest| kept.get(digest.algo()).is_some())
}

/// How size or digests of the stored entry differ from what was listed and sent; `None` if they do not.
fn disagreement(entry: &Entry, stored: &Entry, sent: Option<&Hashes>) -> Option<String> {
    if let Some(wrong) = size_disagreement(entry, stored) {
        return Some(wrong);
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

fn size_disagreement(entry: &Entry, stored: &Entry) -> Option<String> {
    let (listed, kept) = entry.size.zip(stored.size)?;
    (listed != kept).then(|| format!("{kept} of {listed} bytes were stored"))
}

fn strongest(has: impl Fn(HashAlgo) -> bool) -> Option<HashAlgo> {
    HashAlgo::BY_STRENGTH.into_iter().find(|algo| has(*algo))
}
