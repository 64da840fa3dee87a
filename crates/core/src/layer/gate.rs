//! The gate in front of one remote: it limits the number of requests, spaces their starts, and keeps the pause that the
//! remote asked for.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};

use super::limit::LimitSettings;
use crate::error::{Error, ErrorKind, Result, Retry};

/// A longer pause is not waited for here: requests fail at once and say how long it still lasts, and the retry layer
/// decides, as it does for the request that met the pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30 * 60);
/// Nothing is ever further away than this, or an absurd number from a server would overflow the clock.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// Kinds of requests that have places of their own (see [`LimitSettings::concurrent`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    Call,
    Read,
    List,
}

/// A place in a lane. Given back when dropped; `None` when places are not counted.
pub(super) type Place = Option<OwnedSemaphorePermit>;

#[derive(Debug)]
pub(super) struct Gate {
    places: Option<[Arc<Semaphore>; 3]>,
    /// The time between two starts.
    interval: Duration,
    /// The earliest time of the next start. Who holds it is the next to start; the lock is fair.
    turn: tokio::sync::Mutex<Instant>,
    paused_until: Mutex<Instant>,
}

impl Gate {
    pub(super) fn new(settings: &LimitSettings) -> Self {
        let places = settings.concurrent.map(|count| {
            let count = count.clamp(1, Semaphore::MAX_PERMITS);
            std::array::from_fn(|_| Arc::new(Semaphore::new(count)))
        });
        let rate = settings.per_second.filter(|rate| rate.is_finite() && *rate > 0.0);
        let interval = rate.map_or(Duration::ZERO, |rate| {
            // Rounded up, so that a second never holds one start more.
            let interval = Duration::try_from_secs_f64(1.0 / rate).unwrap_or(FOREVER);
            interval.min(FOREVER) + Duration::from_nanos(1)
        });
        let now = Instant::now();
        Gate { places, interval, turn: tokio::sync::Mutex::new(now), paused_until: Mutex::new(now) }
    }

    /// Waits until a request may start. Fails with `Throttled` when the remote is paused for very long.
    ///
    /// CANCEL: a caller that stops waiting takes neither a slot nor a turn from the others.
    pub(super) async fn enter(&self, lane: Lane) -> Result<Place> {
        // ORDER: first the place, then the turn. The other way round, a turn could go stale while a place is waited for,
        // and starts would bunch.
        let place = match &self.places {
            Some(places) => {
                let place = Arc::clone(&places[lane as usize]).acquire_owned().await;
                Some(place.expect("the semaphore is never closed"))
            }
            None => None,
        };
        let mut turn = self.turn.lock().await;
        loop {
            let (now, paused_until) = (Instant::now(), self.paused_until());
            let left = paused_until.saturating_duration_since(now);
            if left > LONGEST_PAUSE {
                return Err(paused(left));
            }
            // A pause can be prolonged during the sleep, so both are looked at again after it.
            let start = paused_until.max(*turn);
            if start <= now {
                *turn = now + self.interval;
                return Ok(place);
            }
            sleep_until(start).await;
        }
    }

    /// Pauses the remote if the error says so.
    pub(super) fn note(&self, error: &Error) {
        if let (ErrorKind::Throttled, Retry::After(pause)) = (error.kind(), error.retry()) {
            let until = Instant::now() + pause.min(FOREVER);
            let mut paused = self.paused_until.lock().unwrap_or_else(PoisonError::into_inner);
            *paused = until.max(*paused);
        }
    }

    fn paused_until(&self) -> Instant {
        *self.paused_until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn paused(left: Duration) -> Error {
    let message = format!("the remote asked for a pause of which {}s are left", left.as_secs());
    Error::new(ErrorKind::Throttled, message).with_retry(Retry::After(left))
}
