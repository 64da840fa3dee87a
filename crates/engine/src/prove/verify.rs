//! Comparing a place with its manifest: every file is read, whatever its times say and whatever the digest cache knows, because
//! what rots keeps its times.
//!
//! The unit of the work is a part: of a large file the parts of its manifest entry, of any other file the whole. A sample
//! takes each part in one of a number of rounds, so that the rounds together take all; a run that was interrupted skips the parts
//! that it had found to be right, as long as the file is the same version.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::{StreamExt, TryStreamExt};
use ketch_core::{Backend, Entry, Error, ErrorKind, HashAlgo, RelPath, Result, source_identity};
use ketch_manifest::parts::{PartHasher, Parts, part_count};
use ketch_manifest::{ManifestEntry, prefix_length};
use tokio::sync::Semaphore;

use crate::bandwidth::Bandwidth;
use crate::content::{Scratch, prefix_digest};
use crate::digest::{AtHand, Place, blocking};
use crate::prove::create::nanoseconds;
use crate::prove::pair::{Case, join};
use crate::prove::{Found, ProveSettings, download, download_facts, walk};
use crate::state::Marks;

/// Files that are verified together, so that small ones cost one hop to another thread for many.
const BATCH: usize = 64;

/// What is true of a file of the manifest, or of the place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It has the content it had. In a sample: what was read of it has.
    Ok,
    /// Its content is another, and so is its size or time: somebody changed it.
    Edited,
    /// Its content is another although its size and time are not: nobody meant to change it. These ranges are damaged.
    Rotted(Vec<Range<u64>>),
    /// Its end is missing; of a file with parts also the damaged ranges of what is left.
    Truncated(Vec<Range<u64>>),
    /// It is not there.
    Missing,
    /// The manifest does not have it.
    Extra,
    /// It could not be compared; says why.
    Unverifiable(String),
    /// It is there with its size, and the sample has nothing of its content.
    NotSampled,
}

/// A verdict and what it is about.
#[derive(Debug)]
pub struct Verified {
    /// Where it is.
    pub path: RelPath,
    /// What is true of it.
    pub verdict: Verdict,
    /// What the manifest says.
    pub manifest: Option<ManifestEntry>,
    /// What is there.
    pub entry: Option<Entry>,
}

/// One of so many rounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// How many rounds take everything.
    pub rounds: u32,
    /// Which of them this is, counted from 0.
    pub round: u32,
}

impl Sample {
    /// Does this round take this part?
    fn takes(self, path: &RelPath, part: u64) -> bool {
        let mut hasher = blake3::Hasher::new();
        hasher.update(path.as_str().as_bytes()).update(&part.to_le_bytes());
        let mut number = [0; 8];
        number.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
        u64::from_le_bytes(number) % u64::from(self.rounds.max(1)) == u64::from(self.round)
    }
}

/// How a place is verified.
#[derive(Debug, Clone, Default)]
pub struct VerifySettings {
    /// How it is gone through.
    pub prove: ProveSettings,
    /// Read only this part of it.
    pub sample: Option<Sample>,
    /// What an interrupted run had found to be right.
    pub marks: Option<Arc<Marks>>,
}

/// How much of the content a verification was about, in parts and bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Coverage {
    /// Bytes compared by reading or by a listed digest.
    pub bytes: u64,
    /// Parts that an interrupted run had found to be right.
    pub resumed: u64,
}

/// The entries of a manifest, in key order.
pub type Entries = Box<dyn FnMut() -> Option<Result<ManifestEntry>> + Send>;

/// Compares all of `backend` with `entries` and gives a verdict on every file of either to `take`, in key order.
///
/// Errors: what ends the walk, what `entries` or `take` give.
pub async fn verify(
    backend: &Arc<dyn Backend>,
    entries: Entries,
    settings: &VerifySettings,
    mut take: impl FnMut(Verified) -> Result<()>,
) -> Result<Coverage> {
    let verifier = Arc::new(Verifier {
        place: Place::new(backend),
        bandwidth: settings.prove.bandwidth.map(Bandwidth::new),
        at_once: Semaphore::new(settings.prove.checkers.max(1)),
        settings: settings.clone(),
        bytes: AtomicU64::new(0),
        resumed: AtomicU64::new(0),
    });
    let chunks = join(entries, walk(backend, &settings.prove)).chunks(BATCH);
    let verdicts = chunks.map(|cases| {
        let verifier = Arc::clone(&verifier);
        async move { verifier.judge_all(cases.into_iter().collect::<Result<_>>()?).await }
    });
    let mut verdicts = Box::pin(verdicts.buffered(settings.prove.checkers.max(1)));
    while let Some(chunk) = verdicts.try_next().await? {
        for verified in chunk {
            take(verified)?;
        }
    }
    drop(verdicts);
    Ok(Coverage {
        bytes: verifier.bytes.load(Ordering::Relaxed),
        resumed: verifier.resumed.load(Ordering::Relaxed),
    })
}

struct Verifier {
    place: Place,
    settings: VerifySettings,
    bandwidth: Option<Bandwidth>,
    at_once: Semaphore,
    bytes: AtomicU64,
    resumed: AtomicU64,
}

impl Verifier {
    async fn judge_all(self: Arc<Self>, cases: Vec<Case>) -> Result<Vec<Verified>> {
        let mut verified = Vec::with_capacity(cases.len());
        let mut to_read = Vec::new();
        for case in cases {
            let Case { manifest, found, unlisted } = case;
            let path = match (&manifest, &found) {
                (Some(manifest), _) => manifest.path.clone(),
                (None, Some(found)) => found.path().clone(),
                (None, None) => continue,
            };
            let (verdict, entry) = match (&manifest, found) {
                (Some(_), None) => match unlisted {
                    Some(why) => (Some(Verdict::Unverifiable(why)), None),
                    None => (Some(Verdict::Missing), None),
                },
                (None, Some(Found::File(entry))) => (Some(Verdict::Extra), Some(entry)),
                // What can be in no manifest is not extra.
                (None, Some(Found::Other(..))) => continue,
                (None | Some(_), Some(Found::Failed(_, error))) => {
                    (Some(Verdict::Unverifiable(error.to_string())), None)
                }
                (Some(_), Some(Found::Other(_, why))) => (Some(Verdict::Unverifiable(why)), None),
                (Some(manifest), Some(Found::File(entry))) => {
                    let verdict = self.judge_by_listing(manifest, &entry);
                    if verdict.is_none() {
                        to_read.push(verified.len());
                    }
                    (verdict, Some(entry))
                }
                (None, None) => continue,
            };
            // What has none yet is read below.
            let verdict = verdict.unwrap_or(Verdict::NotSampled);
            verified.push(Verified { path, verdict, manifest, entry });
        }
        let pairs: Vec<(usize, ManifestEntry, Entry)> = to_read
            .into_iter()
            .filter_map(|index| {
                let verified: &Verified = &verified[index];
                Some((index, verified.manifest.clone()?, verified.entry.clone()?))
            })
            .collect();
        for (index, verdict) in self.read_all(pairs).await? {
            verified[index].verdict = verdict;
        }
        Ok(verified)
    }

    /// What can be said without reading.
    fn judge_by_listing(&self, manifest: &ManifestEntry, entry: &Entry) -> Option<Verdict> {
        let Some(size) = entry.size else {
            return Some(Verdict::Unverifiable("the place does not tell its size".to_owned()));
        };
        if size > manifest.size {
            return Some(Verdict::Edited);
        }
        if size < manifest.size {
            return self.can_read().is_err().then_some(Verdict::Truncated(Vec::new()));
        }
        let free = entry.hashes.as_ref().filter(|_| !self.settings.prove.download);
        let common = free.and_then(|free| {
            HashAlgo::BY_STRENGTH
                .into_iter()
                .find_map(|algo| free.get(algo).zip(manifest.hashes.get(algo)))
        });
        if let Some((now, before)) = common {
            self.bytes.fetch_add(size, Ordering::Relaxed);
            return Some(match now == before {
                true => Verdict::Ok,
                false => self.changed(manifest, entry, one(0..size)),
            });
        }
        self.can_read().err().map(Verdict::Unverifiable)
    }

    fn can_read(&self) -> std::result::Result<(), String> {
        if self.place.backend.capabilities().read_local || self.settings.prove.download {
            return Ok(());
        }
        let text = "the place shows no digest that the manifest has (--download reads it)";
        Err(text.to_owned())
    }

    /// The content is not what it was, and the size is: does the time say that somebody changed it?
    fn changed(
        &self,
        manifest: &ManifestEntry,
        entry: &Entry,
        damaged: Vec<Range<u64>>,
    ) -> Verdict {
        let precision = self.place.backend.capabilities().mtime;
        let times = manifest.mtime.zip(nanoseconds(entry)).zip(precision);
        let has_moved = times.is_some_and(|((before, now), precision)| {
            u128::from(before.abs_diff(now)) >= precision.as_nanos().max(1)
        });
        if has_moved { Verdict::Edited } else { Verdict::Rotted(damaged) }
    }

    async fn read_all(
        self: &Arc<Self>,
        pairs: Vec<(usize, ManifestEntry, Entry)>,
    ) -> Result<Vec<(usize, Verdict)>> {
        let at_hand = self.place.disk.is_some();
        let (small, single): (Vec<_>, Vec<_>) =
            pairs.into_iter().partition(|(_, manifest, _)| at_hand && manifest.parts.is_none());
        let singles = single.into_iter().map(|(index, manifest, entry)| async move {
            let verdict = match at_hand {
                true => self.read_at_hand(vec![(index, manifest, entry)]).await?,
                false => vec![(index, self.read_stream(&manifest, &entry).await?)],
            };
            Ok::<_, Error>(verdict)
        });
        let (small, single) = futures::future::try_join(
            self.read_at_hand(small),
            futures::future::try_join_all(singles),
        )
        .await?;
        Ok(small.into_iter().chain(single.into_iter().flatten()).collect())
    }

    async fn read_at_hand(
        self: &Arc<Self>,
        pairs: Vec<(usize, ManifestEntry, Entry)>,
    ) -> Result<Vec<(usize, Verdict)>> {
        if pairs.is_empty() {
            return Ok(Vec::new());
        }
        let _permit = self.at_once.acquire().await.map_err(|_| Error::cancelled())?;
        let this = Arc::clone(self);
        blocking(move |cancel| {
            let mut scratch = Scratch::default();
            let judge = |(index, manifest, entry): &(usize, ManifestEntry, Entry)| {
                Ok((*index, told(this.judge_at_hand(manifest, entry, &mut scratch, cancel))?))
            };
            pairs.iter().map(judge).collect()
        })
        .await
    }

    fn judge_at_hand(
        &self,
        manifest: &ManifestEntry,
        entry: &Entry,
        scratch: &mut Scratch,
        cancel: &tokio_util::sync::CancellationToken,
    ) -> Result<Verdict> {
        let Some(disk) = &self.place.disk else { return Err(Error::unsupported("read")) };
        let reader = self.settings.prove.digests.reader();
        let size = entry.size.unwrap_or_default();
        let is_short = size < manifest.size;
        if is_short && prefix_length(manifest.size) <= size {
            let prefix = reader.prefix(&**disk, entry, manifest.size)?;
            if manifest.prefix.is_some_and(|before| before != prefix) {
                return Ok(Verdict::Edited);
            }
        }
        let fingerprint = fingerprint(manifest, entry);
        let Some(parts) = &manifest.parts else {
            if is_short {
                return Ok(Verdict::Truncated(one(size..manifest.size)));
            }
            if self.wanted_parts(manifest, 1, fingerprint).is_empty() {
                return Ok(self.nothing_wanted(manifest, 1));
            }
            let algo = strongest(manifest)?;
            let key = self.place.key(entry);
            let file = AtHand { disk: &**disk, key: &key, entry };
            let digests = &self.settings.prove.digests;
            let facts = digests.facts_at_hand(file, &[algo], scratch, cancel)?;
            self.bytes.fetch_add(size, Ordering::Relaxed);
            if facts.hashes.get(algo) != manifest.hashes.get(algo) {
                return Ok(self.changed(manifest, entry, one(0..size)));
            }
            self.mark(manifest, 0, fingerprint);
            return Ok(Verdict::Ok);
        };
        let whole_parts = if is_short { size / parts.bytes } else { part_count(size, parts.bytes) };
        let wanted = self.wanted_parts(manifest, whole_parts, fingerprint);
        if wanted.is_empty() && !is_short {
            return Ok(self.nothing_wanted(manifest, whole_parts));
        }
        let right = |index| self.mark(manifest, index, fingerprint);
        let wrong = reader.wrong_parts(&**disk, entry, parts, &wanted, &right, cancel)?;
        let range = |index: u64| part_range(parts, index, size);
        self.bytes
            .fetch_add(wanted.iter().map(|index| length(&range(*index))).sum(), Ordering::Relaxed);
        Ok(self.of_parts(manifest, entry, parts, whole_parts, &wrong))
    }

    async fn read_stream(&self, manifest: &ManifestEntry, entry: &Entry) -> Result<Verdict> {
        let _permit = self.at_once.acquire().await.map_err(|_| Error::cancelled())?;
        told(self.judge_stream(manifest, entry).await)
    }

    async fn judge_stream(&self, manifest: &ManifestEntry, entry: &Entry) -> Result<Verdict> {
        let backend = &self.place.backend;
        let bandwidth = self.bandwidth.as_ref();
        let size = entry.size.unwrap_or_default();
        let is_short = size < manifest.size;
        let prefix = prefix_length(manifest.size);
        let ranges = backend.capabilities().read_range;
        if is_short && prefix <= size && ranges {
            let mut bytes = Vec::new();
            let take = |piece: &[u8]| bytes.extend_from_slice(piece);
            download(backend, entry, Some(0..prefix), bandwidth, take).await?;
            if manifest.prefix.is_some_and(|before| before != prefix_digest(&bytes)) {
                return Ok(Verdict::Edited);
            }
        }
        let fingerprint = fingerprint(manifest, entry);
        let parts = match &manifest.parts {
            Some(parts) if ranges => parts,
            Some(_) | None => {
                if is_short {
                    return Ok(Verdict::Truncated(one(size..manifest.size)));
                }
                if self.wanted_parts(manifest, 1, fingerprint).is_empty() {
                    return Ok(self.nothing_wanted(manifest, 1));
                }
                let algo = strongest(manifest)?;
                let facts = download_facts(backend, entry, &[algo], bandwidth).await?;
                self.bytes.fetch_add(size, Ordering::Relaxed);
                if facts.hashes.get(algo) != manifest.hashes.get(algo) {
                    return Ok(self.changed(manifest, entry, one(0..size)));
                }
                self.mark(manifest, 0, fingerprint);
                return Ok(Verdict::Ok);
            }
        };
        let whole_parts = if is_short { size / parts.bytes } else { part_count(size, parts.bytes) };
        let wanted = self.wanted_parts(manifest, whole_parts, fingerprint);
        if wanted.is_empty() && !is_short {
            return Ok(self.nothing_wanted(manifest, whole_parts));
        }
        let mut wrong = Vec::new();
        for index in wanted {
            let range = part_range(parts, index, size);
            let mut hasher = PartHasher::at(range.start);
            let take = |piece: &[u8]| hasher.update(piece);
            download(backend, entry, Some(range.clone()), bandwidth, take).await?;
            self.bytes.fetch_add(length(&range), Ordering::Relaxed);
            if parts.digests.get(index as usize) == Some(&hasher.finish()) {
                self.mark(manifest, index, fingerprint);
            } else {
                wrong.push(index);
            }
        }
        Ok(self.of_parts(manifest, entry, parts, whole_parts, &wrong))
    }

    /// The verdict on a file of which these parts are wrong.
    fn of_parts(
        &self,
        manifest: &ManifestEntry,
        entry: &Entry,
        parts: &Parts,
        whole_parts: u64,
        wrong: &[u64],
    ) -> Verdict {
        let mut damaged =
            merged(wrong.iter().map(|index| part_range(parts, *index, manifest.size)));
        let size = entry.size.unwrap_or_default();
        if size < manifest.size {
            damaged.push(whole_parts * parts.bytes..manifest.size);
            return Verdict::Truncated(merged(damaged.into_iter()));
        }
        if damaged.is_empty() { Verdict::Ok } else { self.changed(manifest, entry, damaged) }
    }

    /// The parts of this run that no earlier one has found to be right.
    fn wanted_parts(
        &self,
        manifest: &ManifestEntry,
        count: u64,
        fingerprint: [u8; 16],
    ) -> Vec<u64> {
        let sample = self.settings.sample;
        let taken = (0..count)
            .filter(|index| sample.is_none_or(|sample| sample.takes(&manifest.path, *index)));
        let is_new = |index: &u64| {
            let marks = self.settings.marks.as_ref();
            let known =
                marks.is_some_and(|marks| marks.is_marked(&key(manifest, *index), fingerprint));
            self.resumed.fetch_add(u64::from(known), Ordering::Relaxed);
            !known
        };
        taken.filter(is_new).collect()
    }

    /// Nothing of a file is to be read: because all of it was, or because nothing of it is in the sample.
    fn nothing_wanted(&self, manifest: &ManifestEntry, count: u64) -> Verdict {
        let takes = |sample: Sample| (0..count).any(|index| sample.takes(&manifest.path, index));
        match self.settings.sample {
            Some(sample) if !takes(sample) => Verdict::NotSampled,
            Some(_) | None => Verdict::Ok,
        }
    }

    fn mark(&self, manifest: &ManifestEntry, part: u64, fingerprint: [u8; 16]) {
        if let Some(marks) = &self.settings.marks {
            marks.mark(key(manifest, part), fingerprint);
        }
    }
}

/// A path never holds a NUL.
fn key(manifest: &ManifestEntry, part: u64) -> String {
    format!("{}\0{part}", manifest.path)
}

/// Of the version that is there and of what it is compared with.
fn fingerprint(manifest: &ManifestEntry, entry: &Entry) -> [u8; 16] {
    let digests: Vec<_> = manifest.hashes.iter().map(|digest| format!("{digest:?}")).collect();
    Marks::fingerprint(&[&source_identity("", entry), &digests.concat()])
}

fn strongest(manifest: &ManifestEntry) -> Result<HashAlgo> {
    let has = |algo: &HashAlgo| manifest.hashes.get(*algo).is_some();
    let none = || Error::new(ErrorKind::Unsupported, "the manifest has no digest of this file");
    HashAlgo::BY_STRENGTH.into_iter().find(has).ok_or_else(none)
}

fn part_range(parts: &Parts, index: u64, size: u64) -> Range<u64> {
    let start = index.saturating_mul(parts.bytes);
    start..size.min(start.saturating_add(parts.bytes))
}

fn length(range: &Range<u64>) -> u64 {
    range.end.saturating_sub(range.start)
}

fn one(range: Range<u64>) -> Vec<Range<u64>> {
    std::iter::once(range).collect()
}

/// Ranges that touch, as one.
fn merged(ranges: impl Iterator<Item = Range<u64>>) -> Vec<Range<u64>> {
    let mut merged: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        match merged.last_mut() {
            Some(last) if last.end >= range.start => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

/// What could not be read is a verdict. `Err` ends the verification.
fn told(judged: Result<Verdict>) -> Result<Verdict> {
    match judged {
        Err(error) if error.is_fatal() || error.kind() == ErrorKind::Cancelled => Err(error),
        Err(error) => Ok(Verdict::Unverifiable(error.to_string())),
        judged => judged,
    }
}
