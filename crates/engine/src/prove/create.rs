//! Makes a manifest, or brings one up to date: finds the digests of each file, in key order.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::{StreamExt, TryStreamExt};
use ketch_core::{
    Backend, Digest, Entry, Error, ErrorKind, HashAlgo, Hashes, Hint, RelPath, Result,
};
use ketch_manifest::ManifestEntry;
use tokio::sync::Semaphore;

use crate::bandwidth::Bandwidth;
use crate::blocking::blocking;
use crate::content::{Facts, Scratch};
use crate::digest::AtHand;
use crate::place::Place;
use crate::progress::Progress;
use crate::prove::walk::{Files, Found, files};
use crate::prove::{CountedDisk, Pace, Pass, ProveSettings, download_facts};

/// Entries that are handled together, so that many small files cost one hop to another thread.
const BATCH: usize = 64;
/// Files above this size have a hop of their own.
const BATCHED_BYTES: u64 = 1024 * 1024;

/// The result for one path.
#[derive(Debug)]
pub enum Made {
    /// It is in the manifest.
    Entry(ManifestEntry),
    /// It cannot be in a manifest; says why, and what helps.
    Other(RelPath, String, Option<Hint>),
    /// It could not be read or listed, so that the manifest is not one of all files.
    Failed(RelPath, Error),
}

/// What an older manifest says about a file, asked for in key order.
pub type Older = Box<dyn FnMut(&RelPath) -> Result<Option<ManifestEntry>> + Send>;

/// What must be found out about each file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// What a manifest contains: BLAKE3 with its parts if the file is read, and the digests in the listing.
    Manifest,
    /// This digest.
    Digest(HashAlgo),
}

/// Walks `backend` and hands the manifest entry of each file to `take`, in key order. A file that has the size and time
/// that `older` has of it is not read again.
///
/// Errors: what ends the walk, what `older` or `take` give.
pub async fn create(
    backend: &Arc<dyn Backend>,
    settings: &ProveSettings,
    what: What,
    mut older: Option<Older>,
    mut take: impl FnMut(Made) -> Result<()>,
) -> Result<Pass<()>> {
    let maker = Maker {
        place: Place::new(backend),
        settings,
        what,
        bandwidth: settings.bandwidth.map(Bandwidth::new),
        at_once: Semaphore::new(settings.checkers.max(1)),
    };
    let Files { found, are_void } = files(backend, settings);
    let chunks = found.ready_chunks(BATCH).map(|found| {
        let found = found.into_iter().map(|found| {
            let found = found?;
            if let Found::File(entry) = &found {
                settings.progress.planned(entry.size.unwrap_or(0));
            }
            let known = match (&found, &mut older) {
                (Found::File(entry), Some(older)) => {
                    older(&entry.path)?.filter(|known| maker.is_unchanged(known, entry))
                }
                _ => None,
            };
            Ok((found, known))
        });
        let found: Result<Vec<_>> = found.collect();
        async { maker.make_all(found?).await }
    });
    let mut made = Box::pin(chunks.buffered(settings.checkers.max(1)));
    while let Some(chunk) = made.try_next().await? {
        for made in chunk {
            take(made)?;
        }
    }
    Ok(if are_void.load(Ordering::Relaxed) { Pass::Void } else { Pass::Done(()) })
}

struct Maker<'a> {
    place: Place,
    settings: &'a ProveSettings,
    what: What,
    bandwidth: Option<Bandwidth>,
    at_once: Semaphore,
}

impl Maker<'_> {
    /// Is the file still the one in an older manifest, as far as can be said without reading it?
    fn is_unchanged(&self, known: &ManifestEntry, entry: &Entry) -> bool {
        if entry.size != Some(known.size) {
            return false;
        }
        if let Some(free) = &entry.hashes {
            return free.iter().any(|digest| known.hashes.get(digest.algo()) == Some(digest));
        }
        let keeps_times = self.place.backend.capabilities().mtime.is_some();
        keeps_times && known.mtime.is_some() && known.mtime == nanoseconds(entry)
    }

    async fn make_all(&self, found: Vec<(Found, Option<ManifestEntry>)>) -> Result<Vec<Made>> {
        let mut made: Vec<Option<Made>> = Vec::with_capacity(found.len());
        let (mut small, mut single) = (Vec::new(), Vec::new());
        for (found, known) in found {
            let index = made.len();
            made.push(match (found, known) {
                (Found::File(_), Some(known)) => {
                    self.settings.progress.done(known.size);
                    Some(Made::Entry(known))
                }
                (Found::File(entry), None) => {
                    let is_small = entry.size.is_some_and(|size| size <= BATCHED_BYTES);
                    let at_hand = self.place.disk.is_some();
                    if at_hand && is_small { &mut small } else { &mut single }.push((index, entry));
                    None
                }
                (Found::Other(path, why, hint), _) => Some(Made::Other(path, why, hint)),
                (Found::Unusable(path, why), _) => Some(Made::Other(path, why, None)),
                (Found::Failed(path, error), _) => Some(Made::Failed(path, error)),
            });
        }
        let singles = single
            .into_iter()
            .map(|(index, entry)| async move { Ok::<_, Error>((index, self.make(entry).await?)) });
        let (small, single) = futures::future::try_join(
            self.make_at_hand(small, Arc::default()),
            futures::future::try_join_all(singles),
        )
        .await?;
        for (index, entry) in small.into_iter().chain(single) {
            made[index] = Some(entry);
        }
        Ok(made.into_iter().flatten().collect())
    }

    async fn make(&self, entry: Entry) -> Result<Made> {
        let shown = self.settings.progress.start(&entry.path, entry.size);
        let counter = shown.counter();
        if self.place.disk.is_some() {
            let made = self.make_at_hand(vec![(0, entry)], counter).await?;
            return made.into_iter().map(|(_, made)| made).next().ok_or_else(Error::cancelled);
        }
        let free = entry.hashes.as_deref();
        let (algo, is_free) = match self.what {
            What::Digest(algo) => (algo, free.is_some_and(|free| free.get(algo).is_some())),
            What::Manifest => (HashAlgo::Blake3, false),
        };
        // If the caller asked to read files, this file is read, unless this same job has just sent it.
        let known = self.settings.digests.known(&self.place, &entry, self.settings.download).await;
        let known = known.filter(|known| known.hashes.get(algo).is_some());
        let facts = if is_free {
            Ok(Facts::default())
        } else if let Some(known) = known {
            Ok(known)
        } else if self.settings.download || self.place.backend.capabilities().read_local {
            let _permit = self.permit().await?;
            let pace = Pace { bandwidth: self.bandwidth.as_ref(), counter: &counter };
            self.download(&entry, algo, pace).await
        } else if self.what == What::Manifest
            && free.is_some_and(|free| free.iter().next().is_some())
        {
            Ok(Facts::default())
        } else {
            let wanted = match self.what {
                What::Digest(algo) => format!("{algo} digest"),
                What::Manifest => "digest".to_owned(),
            };
            let text = format!("the remote shows no {wanted} of this file");
            Err(Error::new(ErrorKind::Unsupported, text).with_hint(Hint::ReadContent))
        };
        let made = made(entry, facts)?;
        count(&made, &self.settings.progress);
        Ok(made)
    }

    /// Reads a file over a network. The content must have the digest that the listing shows.
    async fn download(&self, entry: &Entry, algo: HashAlgo, pace: Pace<'_>) -> Result<Facts> {
        let listed = entry.to_expect();
        let mut algos = vec![algo];
        algos.extend(listed.map(Digest::algo).filter(|listed| *listed != algo));
        let mut facts = download_facts(&self.place.backend, entry, &algos, pace).await?;
        let is_wrong = |facts: &Facts| {
            listed.is_some_and(|listed| {
                facts.hashes.get(listed.algo()).is_some_and(|found| found != listed)
            })
        };
        if is_wrong(&facts) {
            // Most often it was damaged during the download. Its bytes count once.
            let again = Pace { counter: &AtomicU64::new(0), ..pace };
            facts = download_facts(&self.place.backend, entry, &algos, again).await?;
        }
        match listed.and_then(|listed| Some((listed, facts.hashes.get(listed.algo())?))) {
            Some((listed, found)) if listed != found => {
                let text = format!(
                    "the bytes that were read have the {} digest {found} and {listed} was listed",
                    listed.algo()
                );
                Err(Error::new(ErrorKind::Corrupt, text)
                    .with_operation("read")
                    .with_remote(self.place.backend.name())
                    .with_path(&entry.path))
            }
            _ => Ok(facts),
        }
    }

    async fn make_at_hand(
        &self,
        entries: Vec<(usize, Entry)>,
        counter: Arc<AtomicU64>,
    ) -> Result<Vec<(usize, Made)>> {
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        let _permit = self.permit().await?;
        let (place, digests) = (self.place.clone(), self.settings.digests.clone());
        let progress = self.settings.progress.clone();
        let what = self.what;
        blocking(move |cancel| {
            let Some(disk) = &place.disk else { return Err(Error::unsupported("read")) };
            let disk = CountedDisk { disk: &**disk, counter };
            let mut scratch = Scratch::default();
            let make = |(index, entry): (usize, Entry)| {
                let key = place.key(&entry);
                let file = AtHand { disk: &disk, key: &key, entry: &entry };
                let facts = match what {
                    What::Manifest => {
                        digests.facts_for_manifest(&place, file, &mut scratch, cancel)
                    }
                    What::Digest(algo) => digests
                        .hashes_at_hand(file, &[algo], &mut scratch, cancel)
                        .map(|hashes| Facts { hashes, ..Facts::default() }),
                };
                let made = made(entry, facts)?;
                count(&made, &progress);
                Ok((index, made))
            };
            entries.into_iter().map(make).collect()
        })
        .await
    }

    async fn permit(&self) -> Result<tokio::sync::SemaphorePermit<'_>> {
        self.at_once.acquire().await.map_err(|_| Error::cancelled())
    }
}

fn count(made: &Made, progress: &Progress) {
    match made {
        Made::Entry(entry) => progress.done(entry.size),
        Made::Failed(..) => progress.failed(),
        Made::Other(..) => {}
    }
}

/// The manifest entry of a file, or why there is none. `Err` ends the walk.
fn made(entry: Entry, facts: Result<Facts>) -> Result<Made> {
    match facts {
        Ok(facts) => {
            let mut hashes = Hashes::default();
            let all = facts.hashes.iter().chain(entry.hashes.iter().flat_map(|free| free.iter()));
            all.for_each(|digest| hashes.insert(digest.clone()));
            let Some(size) = entry.size else {
                let error = Error::new(ErrorKind::Unsupported, "its size is not known");
                return Ok(Made::Failed(entry.path, error));
            };
            Ok(Made::Entry(ManifestEntry {
                size,
                mtime: nanoseconds(&entry),
                path: entry.path,
                hashes,
                prefix: facts.prefix,
                parts: facts.parts,
            }))
        }
        Err(error) if error.is_fatal() || error.kind() == ErrorKind::Cancelled => Err(error),
        Err(error) => Ok(Made::Failed(entry.path, error)),
    }
}

pub(crate) fn nanoseconds(entry: &Entry) -> Option<i64> {
    entry.mtime.and_then(ManifestEntry::nanoseconds)
}
