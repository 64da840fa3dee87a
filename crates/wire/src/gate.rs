//! A gate that adapts to what a server takes: so many requests at a time, half as many when the server says that there are too
//! many, and slowly more again while it does not.
//!
//! Pure of the network: the caller says how each request ended.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// After the limit was halved, it is not halved again for so long: requests that were on their way are refused together.
const CALM: Duration = Duration::from_secs(1);
/// The limit before the first refusal.
const START: usize = 32;

/// The gate of one host.
#[derive(Debug, Clone)]
pub struct Gate(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    free: Notify,
    most: usize,
}

#[derive(Debug)]
struct State {
    in_flight: usize,
    limit: usize,
    /// Requests that went well since the limit changed.
    well: usize,
    /// No request begins before.
    until: Option<Instant>,
    halved: Option<Instant>,
}

/// The turn of one request. Dropped, it makes room for the next one.
#[derive(Debug)]
pub struct Turn(Arc<Inner>);

impl Gate {
    /// At most `most` requests at a time, at least one.
    pub fn new(most: usize) -> Gate {
        let most = most.max(1);
        let limit = most.min(START);
        let state = State { in_flight: 0, limit, well: 0, until: None, halved: None };
        Gate(Arc::new(Inner { state: Mutex::new(state), free: Notify::new(), most }))
    }

    /// Waits for a turn.
    ///
    /// CANCEL: dropped while it waits, it takes no turn.
    pub async fn turn(&self) -> Turn {
        loop {
            // ORDER: registered before the look, or a turn that ends in between would be missed.
            let freed = self.0.free.notified();
            tokio::pin!(freed);
            freed.as_mut().enable();
            let pause = {
                let mut state = self.0.lock();
                match state.until.filter(|until| *until > Instant::now()) {
                    Some(until) => Some(until),
                    None if state.in_flight < state.limit => {
                        state.in_flight += 1;
                        return Turn(Arc::clone(&self.0));
                    }
                    None => None,
                }
            };
            match pause {
                Some(until) => tokio::time::sleep_until(until).await,
                None => freed.await,
            }
        }
    }

    /// How many requests may be on their way now.
    pub fn limit(&self) -> usize {
        self.0.lock().limit
    }
}

impl Turn {
    /// The server took the request.
    pub fn went_well(&self) {
        let mut state = self.0.lock();
        state.well += 1;
        if state.well >= state.limit && state.limit < self.0.most {
            (state.limit, state.well) = (state.limit + 1, 0);
            drop(state);
            self.0.free.notify_one();
        }
    }

    /// The server says that there are too many requests, and perhaps for how long it wants none.
    pub fn was_refused(&self, pause: Option<Duration>) {
        let now = Instant::now();
        let mut state = self.0.lock();
        if let Some(pause) = pause {
            state.until = state.until.max(Some(now + pause));
        }
        if state.halved.is_none_or(|halved| now.duration_since(halved) >= CALM) {
            (state.limit, state.well) = ((state.limit / 2).max(1), 0);
            state.halved = Some(now);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.lock().in_flight -= 1;
        self.0.free.notify_one();
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[tokio::test(start_paused = true)]
    async fn a_refusal_halves_and_what_goes_well_recovers_one_by_one() {
        let gate = Gate::new(64);
        let turn = gate.turn().await;
        assert_eq!(gate.limit(), 32);
        turn.was_refused(None);
        turn.was_refused(None);
        assert_eq!(gate.limit(), 16, "what is refused together halves once");
        tokio::time::advance(CALM).await;
        turn.was_refused(None);
        assert_eq!(gate.limit(), 8);
        (0..8).for_each(|_| turn.went_well());
        assert_eq!(gate.limit(), 9);
        (0..64 * 64).for_each(|_| turn.went_well());
        assert_eq!(gate.limit(), 64, "and no further");
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_requests_than_the_limit_and_none_within_a_pause() {
        let gate = Gate::new(2);
        let (one, two) = (gate.turn().await, gate.turn().await);
        let mut third = Box::pin(gate.turn());
        assert!(third.as_mut().now_or_never().is_none());
        one.was_refused(Some(Duration::from_secs(5)));
        drop((one, two));
        let before = Instant::now();
        let third = third.await;
        assert!(before.elapsed() >= Duration::from_secs(5));
        assert_eq!(gate.limit(), 1);
        assert!(gate.turn().now_or_never().is_none());
        drop(third);
        assert!(gate.turn().now_or_never().is_some());
    }
}
