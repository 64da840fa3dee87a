//! Compares a place with its manifest. Every file is read, whatever its times are and whatever the digest cache holds,
//! because bit rot does not change times.
//!
//! The unit of work is a part: for a large file one of the parts in its manifest entry, for any other file the whole file.
//! With a sample, each part is read in one of several rounds, so that all rounds together read everything. After an
//! interruption, parts that were found to be right are not read again, as long as the file is the same version.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::{StreamExt, TryStreamExt};
use ketch_core::{
    Backend, Disk, Entry, Error, ErrorKind, HashAlgo, Hashes, Hint, RelPath, Result,
    source_identity,
};
use ketch_manifest::parts::{PartHasher, Parts, part_count};
use ketch_manifest::{ManifestEntry, prefix_length};
use tokio::sync::Semaphore;

use crate::bandwidth::Bandwidth;
use crate::blocking::blocking;
use crate::content::{Scratch, prefix_digest};
use crate::digest::AtHand;
use crate::place::Place;
use crate::prove::create::nanoseconds;
use crate::prove::pair::{Case, join};
use crate::prove::walk::{Files, Found, files};
use crate::prove::{CountedDisk, Pace, Pass, ProveSettings, download, download_facts};
use crate::state::Marks;

/// Files that are verified together, so that many small ones cost one hop to another thread.
const BATCH: usize = 64;

/// The verdict on a file of the manifest, or of the place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It has the same content. In a sample: the parts that were read have.
    Ok,
    /// Its content differs, and so does its size or time: it was edited.
    Edited,
    /// Its content differs although its size and time are the same: it was not edited. These ranges are damaged.
    Rotted(Vec<Range<u64>>),
    /// Its end is missing; of a file with parts also the damaged ranges of what is left.
    Truncated(Vec<Range<u64>>),
    /// It is not there.
    Missing,
    /// The manifest does not have it.
    Extra,
    /// It could not be compared; says why.
    Unverifiable(String, Option<Hint>),
    /// It is there with its size, and none of its parts are in the sample.
    NotSampled,
}

/// A verdict and what it is about.
#[derive(Debug)]
pub struct Verified {
    /// Where it is.
    pub path: RelPath,
    /// The verdict.
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
    /// How it is walked.
    pub prove: ProveSettings,
    /// Read only this part of it.
    pub sample: Option<Sample>,
    /// Marks of the parts that an interrupted run found to be right.
    pub marks: Option<Arc<Marks>>,
}

/// How much of the content was verified, in parts and bytes.
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
) -> Result<Pass<Coverage>> {
    let verifier = Arc::new(Verifier {
        place: Place::new(backend),
        bandwidth: settings.prove.bandwidth.map(Bandwidth::new),
        at_once: Semaphore::new(settings.prove.checkers.max(1)),
        settings: settings.clone(),
        bytes: AtomicU64::new(0),
        resumed: AtomicU64::new(0),
    });
    let Files { found, are_void } = files(backend, &settings.prove);
    let chunks = join(entries, found).chunks(BATCH);
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
    Ok(match are_void.load(Ordering::Relaxed) {
        true => Pass::Void,
        false => Pass::Done(Coverage {
            bytes: verifier.bytes.load(Ordering::Relaxed),
            resumed: verifier.resumed.load(Ordering::Relaxed),
        }),
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
                    Some((why, hint)) => (Some(Verdict::Unverifiable(why, hint)), None),
                    None => (Some(Verdict::Missing), None),
                },
                (None, Some(Found::File(entry))) => (Some(Verdict::Extra), Some(entry)),
                // An entry that no manifest can contain is not extra.
                (None | Some(_), Some(Found::Unusable(..))) | (None, Some(Found::Other(..))) => {
                    continue;
                }
                (None | Some(_), Some(Found::Failed(_, error))) => {
                    (Some(Verdict::Unverifiable(error.to_string(), error.hint())), None)
                }
                (Some(_), Some(Found::Other(_, why, hint))) => {
                    (Some(Verdict::Unverifiable(why, hint)), None)
                }
                (Some(manifest), Some(Found::File(entry))) => {
                    let verdict = self.judge_by_listing(manifest, &entry);
                    self.settings.prove.progress.planned(entry.size.unwrap_or(0));
                    match verdict.is_some() {
                        true => self.settings.prove.progress.done(entry.size.unwrap_or(0)),
                        false => to_read.push(verified.len()),
                    }
                    (verdict, Some(entry))
                }
                (None, None) => continue,
            };
            // Files without a verdict yet are read below.
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

    /// What is known without reading.
    fn judge_by_listing(&self, manifest: &ManifestEntry, entry: &Entry) -> Option<Verdict> {
        let Some(size) = entry.size else {
            return Some(Verdict::Unverifiable(
                "the place does not tell its size".to_owned(),
                None,
            ));
        };
        if size > manifest.size {
            return Some(Verdict::Edited);
        }
        if size < manifest.size {
            return (!self.can_read()).then_some(Verdict::Truncated(Vec::new()));
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
        (!self.can_read()).then(|| {
            let text = "the place shows no digest that the manifest has".to_owned();
            Verdict::Unverifiable(text, Some(Hint::ReadContent))
        })
    }

    fn can_read(&self) -> bool {
        self.place.backend.capabilities().read_local || self.settings.prove.download
    }

    /// The content differs and the size is the same: was the file edited, by its time?
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
        let progress = &self.settings.prove.progress;
        let singles = single.into_iter().map(|(index, manifest, entry)| async move {
            let _permit = self.permit().await?;
            let shown = progress.start(&entry.path, entry.size);
            let (size, counter) = (entry.size.unwrap_or(0), shown.counter());
            let judged = match at_hand {
                true => self.read_at_hand(vec![(index, manifest, entry)], counter).await?,
                false => {
                    vec![(index, told(self.judge_stream(&manifest, &entry, &counter).await)?)]
                }
            };
            progress.done(size);
            Ok::<_, Error>(judged)
        });
        let smalls = async {
            if small.is_empty() {
                return Ok(Vec::new());
            }
            let sizes: Vec<u64> = small.iter().filter_map(|(_, _, entry)| entry.size).collect();
            let _permit = self.permit().await?;
            let judged = self.read_at_hand(small, Arc::default()).await?;
            sizes.into_iter().for_each(|size| progress.done(size));
            Ok(judged)
        };
        let singles = futures::future::try_join_all(singles);
        let (small, single) = futures::future::try_join(smalls, singles).await?;
        Ok(small.into_iter().chain(single.into_iter().flatten()).collect())
    }

    async fn permit(&self) -> Result<tokio::sync::SemaphorePermit<'_>> {
        self.at_once.acquire().await.map_err(|_| Error::cancelled())
    }

    async fn read_at_hand(
        self: &Arc<Self>,
        pairs: Vec<(usize, ManifestEntry, Entry)>,
        counter: Arc<AtomicU64>,
    ) -> Result<Vec<(usize, Verdict)>> {
        let this = Arc::clone(self);
        blocking(move |cancel| {
            let Some(disk) = &this.place.disk else { return Err(Error::unsupported("read")) };
            let disk = CountedDisk { disk: &**disk, counter };
            let mut scratch = Scratch::default();
            let judge = |(index, manifest, entry): &(usize, ManifestEntry, Entry)| {
                let judged = this.judge_at_hand(&disk, manifest, entry, &mut scratch, cancel);
                Ok((*index, told(judged)?))
            };
            pairs.iter().map(judge).collect()
        })
        .await
    }

    fn judge_at_hand(
        &self,
        disk: &dyn Disk,
        manifest: &ManifestEntry,
        entry: &Entry,
        scratch: &mut Scratch,
        cancel: &tokio_util::sync::CancellationToken,
    ) -> Result<Verdict> {
        let digests = &self.settings.prove.digests;
        let reader = digests.reader();
        if let Some(before) = beginning_to_compare(manifest, entry)
            && reader.prefix(disk, entry, manifest.size)? != before
        {
            return Ok(Verdict::Edited);
        }
        match self.work(manifest, entry, manifest.parts.as_ref())? {
            Work::None(verdict) => Ok(verdict),
            Work::Whole(algo) => {
                let key = self.place.key(entry);
                let file = AtHand { disk, key: &key, entry };
                let facts = digests.facts_at_hand(file, &[algo], scratch, cancel)?;
                Ok(self.of_whole(manifest, entry, algo, &facts.hashes))
            }
            Work::Parts { parts, wanted, whole_parts } => {
                let fingerprint = fingerprint(manifest, entry);
                let right = |index| self.mark(manifest, index, fingerprint);
                let wrong = reader.wrong_parts(disk, entry, parts, &wanted, &right, cancel)?;
                let size = entry.size.unwrap_or_default();
                let ranges = wanted.iter().map(|index| part_range(parts, *index, size));
                self.bytes.fetch_add(ranges.map(|range| length(&range)).sum(), Ordering::Relaxed);
                Ok(self.of_parts(manifest, entry, parts, whole_parts, &wrong))
            }
        }
    }

    async fn judge_stream(
        &self,
        manifest: &ManifestEntry,
        entry: &Entry,
        counter: &AtomicU64,
    ) -> Result<Verdict> {
        let backend = &self.place.backend;
        let pace = Pace { bandwidth: self.bandwidth.as_ref(), counter };
        let has_ranges = backend.capabilities().read_range;
        if let Some(before) = beginning_to_compare(manifest, entry).filter(|_| has_ranges) {
            let mut bytes = Vec::new();
            let take = |piece: &[u8]| bytes.extend_from_slice(piece);
            download(backend, entry, Some(0..prefix_length(manifest.size)), pace, take).await?;
            if prefix_digest(&bytes) != before {
                return Ok(Verdict::Edited);
            }
        }
        // Without ranges a part costs as much as all.
        match self.work(manifest, entry, manifest.parts.as_ref().filter(|_| has_ranges))? {
            Work::None(verdict) => Ok(verdict),
            Work::Whole(algo) => {
                let mut facts = download_facts(backend, entry, &[algo], pace).await?;
                if facts.hashes.get(algo) != manifest.hashes.get(algo) {
                    // It may only have been damaged during the download. Its bytes count once.
                    let again = Pace { counter: &AtomicU64::new(0), ..pace };
                    facts = download_facts(backend, entry, &[algo], again).await?;
                }
                Ok(self.of_whole(manifest, entry, algo, &facts.hashes))
            }
            Work::Parts { parts, wanted, whole_parts } => {
                let fingerprint = fingerprint(manifest, entry);
                let mut wrong = Vec::new();
                for index in wanted {
                    let range = part_range(parts, index, entry.size.unwrap_or_default());
                    let mut is_right = false;
                    // What was damaged on its way is not damaged where it is.
                    let again = Pace { counter: &AtomicU64::new(0), ..pace };
                    for pace in [pace, again] {
                        let mut hasher = PartHasher::at(range.start);
                        let take = |piece: &[u8]| hasher.update(piece);
                        download(backend, entry, Some(range.clone()), pace, take).await?;
                        self.bytes.fetch_add(length(&range), Ordering::Relaxed);
                        is_right = parts.digests.get(index as usize) == Some(&hasher.finish());
                        if is_right {
                            break;
                        }
                    }
                    if is_right {
                        self.mark_now(manifest, index, fingerprint).await?;
                    } else {
                        wrong.push(index);
                    }
                }
                Ok(self.of_parts(manifest, entry, parts, whole_parts, &wrong))
            }
        }
    }

    /// What must be read of a file that is not longer than in the manifest, and whose `parts` can be read one by one.
    fn work<'a>(
        &self,
        manifest: &ManifestEntry,
        entry: &Entry,
        parts: Option<&'a Parts>,
    ) -> Result<Work<'a>> {
        let size = entry.size.unwrap_or_default();
        let is_short = size < manifest.size;
        let whole_parts = match parts {
            None if is_short => {
                return Ok(Work::None(Verdict::Truncated(one(size..manifest.size))));
            }
            None => 1,
            Some(parts) if is_short => size / parts.bytes,
            Some(parts) => part_count(size, parts.bytes),
        };
        let wanted = self.wanted_parts(manifest, whole_parts, fingerprint(manifest, entry));
        if wanted.is_empty() && !is_short {
            return Ok(Work::None(self.nothing_wanted(manifest, whole_parts)));
        }
        Ok(match parts {
            None => Work::Whole(strongest(manifest)?),
            Some(parts) => Work::Parts { parts, wanted, whole_parts },
        })
    }

    /// The verdict on a file that was read to its end and has these digests.
    fn of_whole(
        &self,
        manifest: &ManifestEntry,
        entry: &Entry,
        algo: HashAlgo,
        found: &Hashes,
    ) -> Verdict {
        let size = entry.size.unwrap_or_default();
        self.bytes.fetch_add(size, Ordering::Relaxed);
        if found.get(algo) != manifest.hashes.get(algo) {
            return self.changed(manifest, entry, one(0..size));
        }
        self.mark(manifest, 0, fingerprint(manifest, entry));
        Verdict::Ok
    }

    /// The verdict on a file with these damaged parts.
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

    /// Nothing of a file must be read: all of it was, or none of it is in the sample.
    fn nothing_wanted(&self, manifest: &ManifestEntry, count: u64) -> Verdict {
        let takes = |sample: Sample| (0..count).any(|index| sample.takes(&manifest.path, index));
        match self.settings.sample {
            Some(sample) if !takes(sample) => Verdict::NotSampled,
            Some(_) | None => Verdict::Ok,
        }
    }

    /// Bytes that came over a network must not be read again.
    async fn mark_now(
        &self,
        manifest: &ManifestEntry,
        part: u64,
        fingerprint: [u8; 16],
    ) -> Result<()> {
        let Some(marks) = self.settings.marks.clone() else { return Ok(()) };
        let key = key(manifest, part);
        blocking(move |_| {
            marks.mark_now(key, fingerprint);
            Ok(())
        })
        .await
    }

    fn mark(&self, manifest: &ManifestEntry, part: u64, fingerprint: [u8; 16]) {
        if let Some(marks) = &self.settings.marks {
            marks.mark(key(manifest, part), fingerprint);
        }
    }
}

/// What must be read of a file.
enum Work<'a> {
    /// Nothing: this is the verdict.
    None(Verdict),
    /// All of it, for this digest.
    Whole(HashAlgo),
    /// These of its parts; so many of them are complete in the file.
    Parts { parts: &'a Parts, wanted: Vec<u64>, whole_parts: u64 },
}

/// For a file that is shorter than in the manifest: what its beginning is compared with.
fn beginning_to_compare(manifest: &ManifestEntry, entry: &Entry) -> Option<[u8; 4]> {
    let size = entry.size.unwrap_or_default();
    let is_there = size < manifest.size && prefix_length(manifest.size) <= size;
    manifest.prefix.filter(|_| is_there)
}

/// A path never holds a NUL.
fn key(manifest: &ManifestEntry, part: u64) -> String {
    format!("{}\0{part}", manifest.path)
}

/// The fingerprint of the version that is there and of what it is compared with.
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

/// Joins adjacent ranges.
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

/// An error of reading is a verdict. `Err` ends the verification.
fn told(judged: Result<Verdict>) -> Result<Verdict> {
    match judged {
        Err(error) if error.is_fatal() || error.kind() == ErrorKind::Cancelled => Err(error),
        Err(error) => Ok(Verdict::Unverifiable(error.to_string(), error.hint())),
        judged => judged,
    }
}
