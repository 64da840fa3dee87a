//! A source around a body that shows a layer how far a `put` has come, and whether it waits for the source or for the
//! remote.
//!
//! The layers cannot see the wire, but they can see the body being pulled: a backend that asks for the next piece has got
//! rid of the one before. Time spent in the source's own poll is the source's, all other time is the remote's.

use std::ops::Range;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{Stream, StreamExt};
use tokio::time::Instant;

use crate::error::Result;
use crate::hash::HashAlgo;
use crate::source::{Body, ByteStream, Passed, Source};

#[derive(Debug)]
struct Tap {
    inner: Body,
    flow: Arc<Flow>,
    largest: usize,
}

/// The progress of a body, over all the streams that were opened of it.
#[derive(Debug)]
pub(super) struct Flow(Mutex<State>);

#[derive(Debug)]
struct State {
    total: Option<u64>,
    handed: u64,
    opened: bool,
    ended: bool,
    failed: bool,
    /// Streams that wait for the source now.
    waiting: usize,
    /// When the last piece was handed over, or the last wait for the source began or ended.
    since: Instant,
    /// Time spent waiting for the source, without a wait that has not ended.
    source_time: Duration,
}

/// A [`Flow`] at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Level {
    /// Bytes handed over.
    pub(super) handed: u64,
    /// Nothing is left to hand over.
    pub(super) complete: bool,
    /// How long the remote has not asked for more; zero while it waits for the source.
    pub(super) quiet: Duration,
    /// How long the source has been waited for in all.
    pub(super) source_time: Duration,
}

/// `body` with a tap, and what the tap shows. Pieces are handed on in slices of at most `largest` bytes.
pub(super) fn tap(body: Body, largest: usize) -> (Body, Arc<Flow>) {
    let state = State {
        total: body.size(),
        handed: 0,
        opened: false,
        ended: false,
        failed: false,
        waiting: 0,
        since: Instant::now(),
        source_time: Duration::ZERO,
    };
    let flow = Arc::new(Flow(Mutex::new(state)));
    (Arc::new(Tap { inner: body, flow: Arc::clone(&flow), largest }), flow)
}

impl Flow {
    pub(super) fn level(&self) -> Level {
        let state = self.state();
        let since = state.since.elapsed();
        let (quiet, running) =
            if state.waiting > 0 { (Duration::ZERO, since) } else { (since, Duration::ZERO) };
        Level {
            handed: state.handed,
            complete: state.is_complete(),
            quiet,
            source_time: state.source_time + running,
        }
    }

    /// Was an error of the body the reason why the `put` failed?
    pub(super) fn failed(&self) -> bool {
        self.state().failed
    }

    /// Was the body opened at all?
    pub(super) fn opened(&self) -> bool {
        self.state().opened
    }

    /// The size of the body: as it was declared, or as it was found when it had been handed over to its end.
    pub(super) fn size(&self) -> Option<u64> {
        let state = self.state();
        state.total.or(state.ended.then_some(state.handed))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_complete(&self) -> bool {
        // A reader that knows the length stops at the last byte and never asks for the end.
        self.total.map_or(self.ended, |total| self.handed >= total)
    }
}

/// A wait for the source; it ends when this is dropped.
struct SourceWait(Arc<Flow>);

impl SourceWait {
    fn begin(flow: &Arc<Flow>) -> Self {
        let mut state = flow.state();
        if state.waiting == 0 {
            state.since = Instant::now();
        }
        state.waiting += 1;
        SourceWait(Arc::clone(flow))
    }
}

impl Drop for SourceWait {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.waiting -= 1;
        if state.waiting == 0 {
            let now = Instant::now();
            let waited = now - state.since;
            state.source_time += waited;
            state.since = now;
        }
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Source for Tap {
    fn size(&self) -> Option<u64> {
        self.inner.size()
    }

    fn replayable(&self) -> bool {
        self.inner.replayable()
    }

    fn any_order(&self) -> bool {
        self.inner.any_order()
    }

    fn passed(&self, algo: HashAlgo) -> Passed {
        self.inner.passed(algo)
    }

    async fn open(&self, range: Range<u64>) -> Result<ByteStream> {
        self.flow.state().opened = true;
        let wait = SourceWait::begin(&self.flow);
        let opened = self.inner.open(range).await;
        drop(wait);
        match opened {
            Ok(stream) => {
                let flow = Arc::clone(&self.flow);
                let (rest, largest) = (Bytes::new(), self.largest);
                Ok(TapStream { stream, flow, largest, rest, wait: None }.boxed())
            }
            Err(error) => {
                self.flow.state().failed = true;
                Err(error)
            }
        }
    }
}

struct TapStream {
    stream: ByteStream,
    flow: Arc<Flow>,
    largest: usize,
    rest: Bytes,
    wait: Option<SourceWait>,
}

impl TapStream {
    fn hand_over(&mut self) -> Bytes {
        let piece = self.rest.split_to(self.rest.len().min(self.largest));
        let mut state = self.flow.state();
        state.handed += piece.len() as u64;
        // While another stream waits for the source, `since` is the start of that wait.
        if state.waiting == 0 {
            state.since = Instant::now();
        }
        piece
    }
}

impl Stream for TapStream {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.rest.is_empty() {
            let Poll::Ready(item) = self.stream.poll_next_unpin(cx) else {
                if self.wait.is_none() {
                    self.wait = Some(SourceWait::begin(&self.flow));
                }
                return Poll::Pending;
            };
            self.wait = None;
            match item {
                Some(Ok(piece)) => self.rest = piece,
                Some(Err(error)) => {
                    self.flow.state().failed = true;
                    return Poll::Ready(Some(Err(error)));
                }
                None => {
                    self.flow.state().ended = true;
                    return Poll::Ready(None);
                }
            }
        }
        Poll::Ready(Some(Ok(self.hand_over())))
    }
}
