//! Harm to bytes that pass: an error at an offset, a silent end, a flipped bit.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use ketch_core::{Body, ByteStream, Result, Source};

use super::Failure;

/// What happens to a stream; offsets are those of the content.
#[derive(Debug, Clone)]
pub(super) enum Damage {
    /// An error in place of the byte at this offset.
    Fail(u64, Failure),
    /// The bytes from this offset on are swallowed.
    Cut(u64),
    /// A bit of the first byte of the content is flipped.
    Flip,
}

/// Harms the part `start..end` of a content. The inner stream is always read to its end, as far as nothing fails, so that a
/// layer that watches it sees no error.
pub(super) fn damage(
    stream: ByteStream,
    start: u64,
    end: Option<u64>,
    damage: Damage,
) -> ByteStream {
    let is_covered = |at: u64| at >= start && end.is_none_or(|end| at < end);
    match damage {
        Damage::Fail(at, failure) if is_covered(at) => {
            let error = failure.error().with_operation("read");
            keep(stream, at - start).chain(futures::stream::once(async { Err(error) })).boxed()
        }
        Damage::Cut(at) => keep(stream, at.saturating_sub(start)),
        Damage::Flip if start == 0 => flip(stream),
        Damage::Fail(..) | Damage::Flip => stream,
    }
}

/// The first `left` bytes.
fn keep(stream: ByteStream, left: u64) -> ByteStream {
    let pieces = stream.scan(left, |left, piece| {
        let piece = piece.map(|mut piece: Bytes| {
            piece.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
            *left -= piece.len() as u64;
            piece
        });
        std::future::ready(Some(piece))
    });
    pieces
        .filter(|piece| std::future::ready(!matches!(piece, Ok(piece) if piece.is_empty())))
        .boxed()
}

fn flip(stream: ByteStream) -> ByteStream {
    let pieces = stream.scan(false, |is_done, piece| {
        let piece = piece.map(|piece: Bytes| match (*is_done, piece.is_empty()) {
            (false, false) => {
                *is_done = true;
                let mut bytes = piece.to_vec();
                bytes[0] ^= 1;
                bytes.into()
            }
            _ => piece,
        });
        std::future::ready(Some(piece))
    });
    pieces.boxed()
}

/// A body that is harmed on its way, and declares the size that is left.
#[derive(Debug)]
pub(super) struct DamagedSource {
    inner: Body,
    damage: Damage,
}

impl DamagedSource {
    pub(super) fn body(inner: Body, damage: Damage) -> Body {
        Arc::new(DamagedSource { inner, damage })
    }
}

#[async_trait]
impl Source for DamagedSource {
    fn size(&self) -> Option<u64> {
        let size = self.inner.size()?;
        Some(if let Damage::Cut(at) = self.damage { size.min(at) } else { size })
    }

    fn replayable(&self) -> bool {
        self.inner.replayable()
    }

    async fn open(&self, range: Range<u64>) -> Result<ByteStream> {
        let is_rest = self.size().is_some_and(|size| range.end == size);
        let end = if is_rest { self.inner.size().unwrap_or(range.end) } else { range.end };
        let stream = self.inner.open(range.start..end).await?;
        Ok(damage(stream, range.start, Some(range.end), self.damage.clone()))
    }
}
