//! Bodies that behave badly, or oddly, in chosen ways.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use ketch_core::{Body, ByteStream, Error, ErrorKind, Result, Source};
use tokio::sync::Notify;

/// The kind of error with which a body of [`Script::fails`] breaks; no backend makes it on its own.
pub(super) const SOURCE_ERROR: ErrorKind = ErrorKind::Denied;
/// Its text.
pub(super) const SOURCE_MESSAGE: &str = "the source broke on purpose";

/// A body that gives `content` and then ends as `end` says, whatever size it declares.
#[derive(Debug, Clone)]
pub(super) struct Script {
    content: Bytes,
    declared: Option<u64>,
    piece_bytes: usize,
    end: End,
}

#[derive(Debug, Clone)]
enum End {
    Close,
    Fail,
    Hang(Arc<Notify>),
}

impl Script {
    /// A body that is what it says.
    pub(super) fn new(content: impl Into<Bytes>) -> Self {
        let content = content.into();
        let declared = Some(content.len() as u64);
        Script { content, declared, piece_bytes: 16 * 1024, end: End::Close }
    }

    /// It declares this size.
    pub(super) fn declares(mut self, size: Option<u64>) -> Self {
        self.declared = size;
        self
    }

    /// It comes in pieces of this size, with an empty piece between any two.
    pub(super) fn in_pieces_of(mut self, bytes: usize) -> Self {
        self.piece_bytes = bytes;
        self
    }

    /// It fails after its content.
    pub(super) fn fails(mut self) -> Self {
        self.end = End::Fail;
        self
    }

    /// It never ends after its content, and notifies when that point is reached.
    pub(super) fn hangs(mut self, reached: Arc<Notify>) -> Self {
        self.end = End::Hang(reached);
        self
    }

    pub(super) fn body(self) -> Body {
        Arc::new(self)
    }
}

#[async_trait]
impl Source for Script {
    fn size(&self) -> Option<u64> {
        self.declared
    }

    async fn open(&self, range: Range<u64>) -> Result<ByteStream> {
        let length = self.content.len();
        let is_rest = self.declared.is_none_or(|declared| range.end >= declared);
        let start = usize::try_from(range.start).unwrap_or(length).min(length);
        // A body that is longer than it declares returns its surplus with the last byte.
        let end = if is_rest { length } else { (range.end as usize).min(length).max(start) };
        let content = self.content.slice(start..end);
        let step = self.piece_bytes;
        let pieces: Vec<Result<Bytes>> = (0..content.len())
            .step_by(step)
            .flat_map(|at| [content.slice(at..content.len().min(at + step)), Bytes::new()])
            .map(Ok)
            .collect();
        let pieces = futures::stream::iter(pieces);
        let is_short = range.end > length as u64;
        Ok(match self.end.clone() {
            End::Close => pieces.boxed(),
            _ if !is_short => pieces.boxed(),
            End::Fail => {
                let error = Error::new(SOURCE_ERROR, SOURCE_MESSAGE);
                pieces.chain(futures::stream::once(async { Err(error) })).boxed()
            }
            End::Hang(reached) => {
                let hang = futures::stream::once(async move {
                    reached.notify_one();
                    std::future::pending().await
                });
                pieces.chain(hang).boxed()
            }
        })
    }
}

/// A body with a size whose bytes must not be asked for.
#[derive(Debug)]
pub(super) struct Untouchable(pub(super) u64);

#[async_trait]
impl Source for Untouchable {
    fn size(&self) -> Option<u64> {
        Some(self.0)
    }

    async fn open(&self, _range: Range<u64>) -> Result<ByteStream> {
        panic!("a body of {} bytes is refused before it is opened", self.0)
    }
}
