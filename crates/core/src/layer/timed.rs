//! A stream whose remote must keep sending. Only the time in which an item is waited for counts.

use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use tokio::time::{Instant, timeout};

use super::context::Request;
use crate::error::{Error, ErrorKind, Result, Retry};

/// Passes `stream` on. Fails with `Unavailable` when no item came for `idle`, or when the items of a whole window of `slowest`
/// had fewer bytes than it says. The stream is dropped together with the returned one.
pub(super) fn timed<T: Send + 'static>(
    stream: BoxStream<'static, Result<T>>,
    idle: Duration,
    slowest: Option<(u64, Duration)>,
    weigh: fn(&T) -> u64,
    request: Request,
) -> BoxStream<'static, Result<T>> {
    let timed = Timed { stream, idle, slowest, weigh, weight: 0, waited: Duration::ZERO };
    futures::stream::try_unfold((timed, request), |(mut timed, request)| async move {
        match timed.next().await {
            Ok(item) => Ok(item.map(|item| (item, (timed, request)))),
            Err(error) => Err(request.named(error)),
        }
    })
    .boxed()
}

struct Timed<T> {
    stream: BoxStream<'static, Result<T>>,
    idle: Duration,
    slowest: Option<(u64, Duration)>,
    weigh: fn(&T) -> u64,
    /// Since the start of the window.
    weight: u64,
    waited: Duration,
}

impl<T> Timed<T> {
    async fn next(&mut self) -> Result<Option<T>> {
        let mut quiet = Duration::ZERO;
        loop {
            let mut longest = self.idle.saturating_sub(quiet);
            if let Some(left) = self.left_of_window()? {
                longest = longest.min(left);
            }
            let asked = Instant::now();
            let outcome = timeout(longest, self.stream.next()).await;
            quiet += asked.elapsed();
            self.waited += asked.elapsed();
            match outcome {
                Ok(item) => {
                    let item = item.transpose()?;
                    self.weight += item.as_ref().map_or(0, self.weigh);
                    return Ok(item);
                }
                Err(_) if quiet >= self.idle => return Err(no_answer(self.idle)),
                Err(_) => {}
            }
        }
    }

    /// Judges the window if it is over, and says how much of it is left.
    fn left_of_window(&mut self) -> Result<Option<Duration>> {
        let Some((bytes, window)) = self.slowest else { return Ok(None) };
        if self.waited >= window {
            if self.weight < bytes {
                return Err(too_slow(bytes, window));
            }
            (self.weight, self.waited) = (0, Duration::ZERO);
        }
        Ok(Some(window - self.waited))
    }
}

pub(super) fn no_answer(limit: Duration) -> Error {
    Error::new(ErrorKind::Unavailable, format!("no answer within {limit:?}"))
        .with_retry(Retry::Backoff)
}

pub(super) fn too_slow(bytes: u64, window: Duration) -> Error {
    Error::new(ErrorKind::Unavailable, format!("fewer than {bytes} bytes in {window:?}"))
        .with_retry(Retry::Backoff)
}
