//! What the scripted backend is made of, and a source that is slow or fails.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use tokio::time::sleep;

use crate::error::{Error, ErrorKind, Result, Retry};
use crate::source::{ByteStream, Source};

/// How one call goes. A call that nothing is scripted for is [`Step::Pass`].
#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    /// As it should.
    Pass,
    /// It fails before anything was done.
    Fail(ErrorKind, Retry),
    /// It takes effect and fails all the same.
    Lost(ErrorKind, Retry),
    /// It never answers.
    Hang,
    /// A `put` takes so many pieces and then no more.
    Stall(usize),
    /// A `put` takes its whole body and never answers.
    NeverCommits,
    /// A stream fails after so many bytes or entries.
    Cut(usize, ErrorKind, Retry),
    /// A stream has one byte or entry each time that passes; a `put` takes one piece.
    Drip(Duration),
}

pub(super) const DOWN: Step = Step::Fail(ErrorKind::Unavailable, Retry::Backoff);

pub(super) fn flood(seconds: u64) -> Step {
    Step::Fail(ErrorKind::Throttled, Retry::After(Duration::from_secs(seconds)))
}

pub(super) fn failure(kind: ErrorKind, retry: Retry) -> Error {
    Error::new(kind, "as scripted").with_retry(retry)
}

#[derive(Debug, Default)]
pub(super) struct InFlight {
    now: AtomicUsize,
    peak: AtomicUsize,
}

pub(super) struct Flying(Arc<InFlight>);

impl InFlight {
    pub(super) fn now(&self) -> usize {
        self.now.load(Ordering::SeqCst)
    }

    pub(super) fn peak(&self) -> usize {
        self.peak.load(Ordering::SeqCst)
    }
}

impl Flying {
    pub(super) fn start(counter: &Arc<InFlight>) -> Self {
        let now = counter.now.fetch_add(1, Ordering::SeqCst) + 1;
        counter.peak.fetch_max(now, Ordering::SeqCst);
        Flying(Arc::clone(counter))
    }
}

impl Drop for Flying {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Items as the step wants them.
pub(super) fn streamed<T: Clone + Send + 'static>(
    items: Vec<T>,
    step: Step,
    flying: Flying,
) -> futures::stream::BoxStream<'static, Result<T>> {
    let count = if let Step::Cut(count, ..) = step { count } else { items.len() };
    let pause = if let Step::Drip(pause) = step { pause } else { Duration::ZERO };
    let mut results: Vec<Result<T>> = items.into_iter().take(count).map(Ok).collect();
    match step {
        Step::Cut(_, kind, retry) | Step::Fail(kind, retry) => {
            results.truncate(count * usize::from(matches!(step, Step::Cut(..))));
            results.push(Err(failure(kind, retry)));
        }
        _ => {}
    }
    let items = futures::stream::iter(results).then(move |item| async move {
        if !pause.is_zero() {
            sleep(pause).await;
        }
        item
    });
    let held = move |item| {
        let _held = &flying;
        item
    };
    if let Step::Hang = step {
        return futures::stream::pending().map(held).boxed();
    }
    items.map(held).boxed()
}

/// A source that waits before each piece, and may fail after its last one.
#[derive(Debug)]
pub(super) struct Slow {
    pub(super) pieces: usize,
    pub(super) piece_bytes: usize,
    pub(super) pause: Duration,
    pub(super) failure: Option<(ErrorKind, Retry)>,
    pub(super) replayable: bool,
    pub(super) opened: AtomicUsize,
}

impl Default for Slow {
    fn default() -> Self {
        Slow {
            pieces: 3,
            piece_bytes: 10,
            pause: Duration::ZERO,
            failure: None,
            replayable: true,
            opened: AtomicUsize::new(0),
        }
    }
}

#[async_trait]
impl Source for Slow {
    fn size(&self) -> Option<u64> {
        self.replayable.then_some((self.pieces * self.piece_bytes) as u64)
    }

    fn replayable(&self) -> bool {
        self.replayable
    }

    async fn open(&self, _range: Range<u64>) -> Result<ByteStream> {
        self.opened.fetch_add(1, Ordering::SeqCst);
        let (pause, piece) = (self.pause, Bytes::from(vec![7; self.piece_bytes]));
        let pieces =
            futures::stream::repeat(piece).take(self.pieces).then(move |piece| async move {
                sleep(pause).await;
                Ok(piece)
            });
        let failure = self.failure.map(|(kind, retry)| Err(failure(kind, retry)));
        Ok(pieces.chain(futures::stream::iter(failure)).boxed())
    }
}

/// Asserts that a future does not end for so long.
pub(super) async fn pending_for<F: Future + Unpin>(future: &mut F, time: Duration) {
    sleep(time).await;
    assert!(future.now_or_never().is_none(), "must still wait after {time:?}");
}
