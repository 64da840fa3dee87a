//! Replaces damaged files by whole ones. The undamaged ranges come from the file itself, the damaged ones from another
//! place, and the result is verified against the manifest before it gets its name.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use futures::StreamExt;
use ketch_core::EntrySource;
use ketch_core::source::{ExactSource, HashingSource};
use ketch_core::{
    Backend, Body, ByteStream, Entry, Error, ErrorKind, Expect, HashAlgo, PutOptions, Result,
    Source,
};
use ketch_manifest::ManifestEntry;

use crate::progress::Progress;
use crate::prove::verify::{Verdict, Verified};

/// How a file was repaired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repaired {
    /// Bytes that came from the other place.
    pub fetched: u64,
}

/// Can a file with this verdict be repaired, and which ranges must be fetched? `None` for files that are right, and for
/// files that were edited.
pub fn damage(verified: &Verified) -> Option<Vec<Range<u64>>> {
    let manifest = verified.manifest.as_ref()?;
    let size = manifest.size;
    // For a file without parts it is not known which ranges are right.
    let has_parts = manifest.parts.is_some();
    match &verified.verdict {
        Verdict::Rotted(ranges) | Verdict::Truncated(ranges) if has_parts && !ranges.is_empty() => {
            Some(ranges.clone())
        }
        Verdict::Rotted(_) | Verdict::Truncated(_) | Verdict::Missing => {
            Some(std::iter::once(0..size).collect())
        }
        Verdict::Ok
        | Verdict::Edited
        | Verdict::Extra
        | Verdict::Unverifiable(..)
        | Verdict::NotSampled => None,
    }
}

/// Repairs one file of `place` with bytes of the file of that name in `other`.
///
/// Errors: `NotFound` and `Changed` when `other` has no file of that name and size; `Corrupt` when the result would not
/// have the digest in the manifest, and then nothing is changed; the errors of reading and storing.
pub async fn repair(
    place: &Arc<dyn Backend>,
    other: &Arc<dyn Backend>,
    verified: &Verified,
    progress: &Progress,
) -> Result<Repaired> {
    let (Some(manifest), Some(damaged)) = (&verified.manifest, damage(verified)) else {
        return Err(Error::new(ErrorKind::InvalidInput, "there is nothing to repair"));
    };
    let from = other.stat(&manifest.path).await?;
    if !from.is_file() || from.size.is_some_and(|size| size != manifest.size) {
        return Err(Error::new(
            ErrorKind::Changed,
            "what has that name there has not the size that the manifest says",
        )
        .with_operation("repair")
        .with_remote(other.name())
        .with_path(&manifest.path));
    }
    let wanted = damaged.iter().map(|range| range.end - range.start).sum();
    let shown = progress.start(&manifest.path, Some(wanted));
    let fetched = shown.counter();
    let body = patched(place, other, verified.entry.as_ref(), &from, manifest, damaged, &fetched);
    let algo = HashAlgo::BY_STRENGTH.into_iter().find(|algo| manifest.hashes.get(*algo).is_some());
    let digest = algo.and_then(|algo| manifest.hashes.get(algo)).cloned();
    let digest = digest.ok_or_else(|| Error::unsupported("repair"))?;
    let kept = place.capabilities().hashes;
    let kept = HashAlgo::BY_STRENGTH.into_iter().find(|algo| kept.contains(algo));
    let hashing = Arc::new(HashingSource::new(body, kept.into_iter().collect()).expecting(digest));
    let options = PutOptions {
        mtime: manifest.modified(),
        expect: match &verified.entry {
            Some(entry) => Expect::Entry(Box::new(entry.clone())),
            None => Expect::Absent,
        },
        ..PutOptions::default()
    };
    let stored =
        place.put(&manifest.path, ExactSource::body(Arc::clone(&hashing) as Body), options);
    let stored = stored.await?;
    check_stored(place, manifest, &stored, &hashing)?;
    let fetched = fetched.load(Ordering::Relaxed);
    drop(shown);
    progress.done(fetched);
    Ok(Repaired { fetched })
}

/// The place must have stored exactly what was sent.
fn check_stored(
    place: &Arc<dyn Backend>,
    manifest: &ManifestEntry,
    stored: &Entry,
    passed: &HashingSource,
) -> Result<()> {
    let kept = stored.hashes.as_deref();
    let passed = passed.hashes().unwrap_or_default();
    let is_wrong = stored.size.is_some_and(|size| size != manifest.size)
        || passed.iter().any(|digest| {
            kept.and_then(|kept| kept.get(digest.algo())).is_some_and(|kept| kept != digest)
        });
    if is_wrong {
        return Err(Error::new(ErrorKind::Corrupt, "what was stored is not what was sent")
            .with_operation("repair")
            .with_remote(place.name())
            .with_path(&manifest.path));
    }
    Ok(())
}

fn patched(
    place: &Arc<dyn Backend>,
    other: &Arc<dyn Backend>,
    here: Option<&Entry>,
    there: &Entry,
    manifest: &ManifestEntry,
    damaged: Vec<Range<u64>>,
    fetched: &Arc<AtomicU64>,
) -> Body {
    let there: Body = Arc::new(EntrySource::new(Arc::clone(other), there.clone()));
    let size = manifest.size;
    // Without ranges a part costs as much as all.
    let ranges = place.capabilities().read_range && other.capabilities().read_range;
    let here = here.filter(|_| ranges);
    let Some(here) = here else {
        let pieces = (size > 0).then(|| Piece { range: 0..size, from: there, is_fetched: true });
        return Arc::new(Patched {
            size,
            pieces: pieces.into_iter().collect(),
            fetched: Arc::clone(fetched),
        });
    };
    let here: Body = Arc::new(EntrySource::new(Arc::clone(place), here.clone()));
    let mut pieces = Vec::new();
    let mut at = 0;
    for range in damaged {
        if at < range.start {
            let from = Arc::clone(&here);
            pieces.push(Piece { range: at..range.start, from, is_fetched: false });
        }
        at = range.end;
        pieces.push(Piece { range, from: Arc::clone(&there), is_fetched: true });
    }
    if at < size {
        pieces.push(Piece { range: at..size, from: here, is_fetched: false });
    }
    Arc::new(Patched { size, pieces, fetched: Arc::clone(fetched) })
}

/// Content that is put together from ranges of other contents, each at its own offset.
#[derive(Debug)]
struct Patched {
    size: u64,
    pieces: Vec<Piece>,
    fetched: Arc<AtomicU64>,
}

#[derive(Debug, Clone)]
struct Piece {
    range: Range<u64>,
    from: Body,
    is_fetched: bool,
}

#[async_trait]
impl Source for Patched {
    fn size(&self) -> Option<u64> {
        Some(self.size)
    }

    async fn open(&self, range: Range<u64>) -> Result<ByteStream> {
        let wanted: Vec<Piece> = self
            .pieces
            .iter()
            .filter_map(|piece| {
                let range = piece.range.start.max(range.start)..piece.range.end.min(range.end);
                (range.start < range.end).then(|| Piece { range, ..piece.clone() })
            })
            .collect();
        let fetched = Arc::clone(&self.fetched);
        let streams = futures::stream::iter(wanted).then(move |piece| {
            let fetched = Arc::clone(&fetched);
            async move {
                let stream = piece.from.open(piece.range).await?;
                let count = move |bytes: &Result<bytes::Bytes>| {
                    if let (true, Ok(bytes)) = (piece.is_fetched, bytes) {
                        fetched.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                    }
                };
                Ok::<_, Error>(stream.inspect(count))
            }
        });
        Ok(futures::TryStreamExt::try_flatten(streams).boxed())
    }
}
