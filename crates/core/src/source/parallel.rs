//! Reads several ranges of one content at the same time and passes them on in order.
//!
//! It reads ahead in order and does not write at offsets. So every destination gets one stream, the digest is computed in the
//! same pass, and a destination that can only be written from start to end gains as much as a disk.
//!
//! Each range is read into one buffer of its size. The network delivers pieces in buffers of any size, and many of those would
//! be mostly empty. So the memory is one range more than there are streams, and not twice that. A buffer is used again when
//! the last byte of its range has been dropped: fresh memory costs the system as much time as the bytes that pass through it.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use tokio_util::task::AbortOnDropHandle;

use super::exact::exact_length;
use super::{Body, ByteStream, Source};
use crate::budget::{ByteBudget, BytePermit};
use crate::error::{Error, ErrorKind, Result};

/// A range is passed on in slices of this size, so that the next stage can begin with it.
const SLICE_BYTES: usize = 256 * 1024;

/// A source that reads `streams` ranges of `part_bytes` ahead.
#[derive(Debug)]
pub struct ParallelSource {
    inner: Body,
    part_bytes: u64,
    streams: usize,
    budget: ByteBudget,
}

impl ParallelSource {
    /// Reads `inner` in ranges of `part_bytes` (at least 1), `streams` at a time, buffered within `budget`.
    pub fn body(inner: Body, part_bytes: u64, streams: usize, budget: ByteBudget) -> Body {
        let part_bytes = part_bytes.max(1);
        Arc::new(ParallelSource { inner, part_bytes, streams, budget })
    }
}

#[async_trait]
impl Source for ParallelSource {
    fn size(&self) -> Option<u64> {
        self.inner.size()
    }

    fn replayable(&self) -> bool {
        self.inner.replayable()
    }

    async fn open(&self, range: Range<u64>) -> Result<ByteStream> {
        let one_part = range.end - range.start <= self.part_bytes;
        if one_part || self.streams <= 1 || self.inner.size().is_none() {
            return self.inner.open(range).await;
        }
        let parts = parts_of(range, self.part_bytes);
        let (inner, budget) = (Arc::clone(&self.inner), self.budget.clone());
        let buffers = Buffers { free: Arc::default(), most: self.streams + 1 };
        // ORDER: memory for parts is taken in the order of the parts, so a part that has memory can be finished without
        // more.
        let streams = futures::stream::iter(parts)
            .then(move |part| {
                let (inner, budget) = (Arc::clone(&inner), budget.clone());
                let buffers = buffers.clone();
                async move {
                    let permit = budget.acquire(part.end - part.start).await;
                    AbortOnDropHandle::new(tokio::spawn(read_part(inner, part, buffers, permit)))
                }
            })
            .map(|task| async move {
                task.await.map_err(|_| Error::new(ErrorKind::Io, "a reading task stopped"))?
            })
            .buffered(self.streams);
        // `permit` lives as long as slices of its part wait here.
        let pieces = streams.map_ok(|(mut part, permit)| {
            let slices = std::iter::from_fn(move || {
                let _held = &permit;
                let length = part.len().min(SLICE_BYTES);
                (length > 0).then(|| Ok(part.split_to(length)))
            });
            futures::stream::iter(slices)
        });
        Ok(pieces.try_flatten().boxed())
    }
}

fn parts_of(range: Range<u64>, part_bytes: u64) -> impl Iterator<Item = Range<u64>> {
    let mut next = range.start;
    std::iter::from_fn(move || {
        let part = next..range.end.min(next.saturating_add(part_bytes));
        next = part.end;
        (part.start < part.end).then_some(part)
    })
}

/// Free buffers that can be used again, and the most that are kept.
#[derive(Debug, Clone)]
struct Buffers {
    free: Arc<Mutex<Vec<Vec<u8>>>>,
    most: usize,
}

impl Buffers {
    /// An empty buffer with room for a range.
    fn take(&self, part_bytes: usize) -> Buffer {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut bytes = free.unwrap_or_default();
        bytes.reserve_exact(part_bytes);
        Buffer { bytes, home: self.clone() }
    }
}

/// A buffer with the bytes of a range.
struct Buffer {
    bytes: Vec<u8>,
    home: Buffers,
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        let mut free = self.home.free.lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() < self.home.most {
            free.push(bytes);
        }
    }
}

async fn read_part(
    inner: Body,
    part: Range<u64>,
    buffers: Buffers,
    permit: BytePermit,
) -> Result<(Bytes, BytePermit)> {
    let length = part.end - part.start;
    let mut stream = exact_length(inner.open(part).await?, length);
    let length = usize::try_from(length)
        .map_err(|_| Error::new(ErrorKind::InvalidInput, "a part is larger than the memory"))?;
    let mut whole = buffers.take(length);
    while let Some(piece) = stream.try_next().await? {
        whole.bytes.extend_from_slice(&piece);
    }
    Ok((Bytes::from_owner(whole), permit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{BytesSource, collect, open_all};

    #[tokio::test]
    async fn parts_come_in_order_and_whole_within_the_budget() {
        let bytes: Vec<u8> = (0..100_003_u32).map(|number| (number % 251) as u8).collect();
        for (part_bytes, streams, total) in [(1_000, 4, 4_000), (33_334, 3, 10), (1 << 20, 4, 64)] {
            let budget = ByteBudget::new(total);
            let source = ParallelSource::body(
                BytesSource::body(bytes.clone()),
                part_bytes,
                streams,
                budget.clone(),
            );
            let stream = open_all(&*source).await.expect("opens");
            let passed = collect(stream, usize::MAX).await.expect("reads");
            assert!(passed == bytes, "parts of {part_bytes} must give the same bytes");
            assert_eq!(budget.available() as u64, total);
        }
    }

    #[test]
    fn a_buffer_is_used_again_when_the_last_slice_of_its_part_is_gone() {
        let buffers = Buffers { free: Arc::default(), most: 1 };
        let part = |bytes: &[u8]| {
            let mut buffer = buffers.take(8);
            buffer.bytes.extend_from_slice(bytes);
            (buffer.bytes.as_ptr(), Bytes::from_owner(buffer))
        };
        let (first, mut whole) = part(b"abcdefgh");
        let slice = whole.split_to(3);
        drop(whole);
        let (second, other) = part(b"ij");
        assert_ne!(first, second, "a slice of it is still held");
        assert_eq!((&slice[..], &other[..]), (&b"abc"[..], &b"ij"[..]));
        drop(slice);
        assert_eq!(part(b"k").0, first);
        drop(other);
        let free = buffers.free.lock().expect("sane");
        assert!(free.len() == 1 && free[0].is_empty(), "{free:?}");
    }

    #[test]
    fn parts_cover_the_range_without_overlap() {
        let parts: Vec<_> = parts_of(5..23, 10).collect();
        assert_eq!(parts, [5..15, 15..23]);
        assert_eq!(parts_of(0..0, 10).count(), 0);
    }
}
