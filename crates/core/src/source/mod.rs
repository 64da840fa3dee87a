//! Bytes that can be opened again.
//!
//! A body is *pulled* by the backend that stores it: a retry opens it again from the start, and it is read only as
//! fast as the backend asks for more. Middleware is a source around a source: [`ExactSource`] guards the length,
//! [`HashingSource`] computes digests while the bytes pass, [`ParallelSource`] reads several ranges ahead and
//! passes them on in order.

mod exact;
mod hashing;
mod parallel;
mod resumed;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;

use crate::error::{Error, ErrorKind, Result};
use crate::hash::{Digest, HashAlgo};

pub use exact::{ExactSource, exact_length};
pub use hashing::{HashingSource, Observe, PassObserver};
pub use parallel::ParallelSource;
pub use resumed::ResumedSource;

/// Pieces of content, in order. After an `Err` the stream has ended.
pub type ByteStream = BoxStream<'static, Result<Bytes>>;

/// A source in the form that [`crate::Backend::put`] takes.
pub type Body = Arc<dyn Source>;

/// Bytes that can be opened again.
#[async_trait]
pub trait Source: fmt::Debug + Send + Sync {
    /// How many bytes there are; `None` = not known beforehand.
    fn size(&self) -> Option<u64>;

    /// Can it be opened more than once? Standard input cannot.
    fn replayable(&self) -> bool {
        true
    }

    /// Can several ranges be read at the same time and in any order, while length and digests are still checked?
    fn any_order(&self) -> bool {
        false
    }

    /// The digest of the last complete pass, if this source computes one while it is read from start to end. A reader then need
    /// not compute it a second time.
    fn passed(&self, _algo: HashAlgo) -> Passed {
        Passed::NotTaken
    }

    /// The bytes of `range`. With a known size the range must lie within it; with an unknown size only `0..u64::MAX`
    /// may be asked for, and means all there is.
    async fn open(&self, range: Range<u64>) -> Result<ByteStream>;
}

/// The digest of the last complete pass over a source, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Passed {
    /// The source does not compute this digest.
    NotTaken,
    /// The source computes it, and no pass has reached its end yet.
    NotYet,
    /// The digest.
    Digest(Digest),
}

/// Opens all of a source.
pub async fn open_all(source: &dyn Source) -> Result<ByteStream> {
    source.open(0..source.size().unwrap_or(u64::MAX)).await
}

/// Opens all of a source. If it gives another number of bytes than its size, an error of kind `Changed` comes in place of the
/// last piece.
pub async fn open_exact(source: &dyn Source) -> Result<ByteStream> {
    let stream = open_all(source).await?;
    Ok(match source.size() {
        Some(size) => exact_length(stream, size),
        None => stream,
    })
}

/// Collects a stream that is known to be short. Fails with `InvalidInput` above `limit` bytes.
pub async fn collect(mut stream: ByteStream, limit: usize) -> Result<Bytes> {
    let mut all = bytes::BytesMut::new();
    while let Some(piece) = stream.next().await {
        let piece = piece?;
        if all.len() + piece.len() > limit {
            let message = format!("more than {limit} bytes came");
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        all.extend_from_slice(&piece);
    }
    Ok(all.freeze())
}

/// Bytes in memory.
#[derive(Debug, Clone)]
pub struct BytesSource(Bytes);

impl BytesSource {
    /// A body of these bytes.
    pub fn body(bytes: impl Into<Bytes>) -> Body {
        Arc::new(BytesSource(bytes.into()))
    }
}

#[async_trait]
impl Source for BytesSource {
    fn size(&self) -> Option<u64> {
        Some(self.0.len() as u64)
    }

    fn any_order(&self) -> bool {
        true
    }

    async fn open(&self, range: Range<u64>) -> Result<ByteStream> {
        let (start, end) = (range.start as usize, (range.end as usize).min(self.0.len()));
        let piece = self.0.slice(start.min(end)..end);
        let pieces = (!piece.is_empty()).then_some(Ok(piece));
        Ok(futures::stream::iter(pieces).boxed())
    }
}
