//! Decides which errors are worth another attempt, how long to wait before it, and when to stop.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};

use super::context::Request;
use crate::error::{Error, ErrorKind, Retry};
use crate::path::RelPath;

/// How often bytes are sent again that arrived wrong, or that their source could not deliver. Both cost a whole transfer, and
/// the source has had its own attempts.
const CONTENT_REPEATS: u32 = 2;

/// How often and how long a request is repeated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetrySettings {
    /// How often a request is sent in all; 0 means 1. An attempt that the remote answered with a pause (`Throttled` with a
    /// time) does not count.
    pub attempts: u32,
    /// The bound of the first wait. It doubles with each failure; the wait is a random part of it.
    pub first_wait: Duration,
    /// The bound of all waits except those that the remote asked for.
    pub longest_wait: Duration,
    /// How long one request may wait in all, without the pauses the remote asked for.
    pub total: Duration,
    /// How long one request may wait in all because the remote asked for it. If the remote asks for a longer pause than this, the
    /// request fails at once.
    pub throttled_total: Duration,
}

/// Five attempts, waits from 0.5 s to 30 s and 10 min in all; half an hour of pauses the remote asked for.
impl Default for RetrySettings {
    fn default() -> Self {
        RetrySettings {
            attempts: 5,
            first_wait: Duration::from_millis(500),
            longest_wait: Duration::from_secs(30),
            total: Duration::from_secs(10 * 60),
            throttled_total: Duration::from_secs(30 * 60),
        }
    }
}

/// Receives a notice of each repeated request, so that a person can see why nothing moves.
pub trait Observer: Send + Sync {
    /// `operation` on `remote` failed with `error` and is sent again after `wait`. Called before the wait; must not block.
    fn retrying(&self, remote: &str, operation: &'static str, error: &Error, wait: Duration);

    /// Requests to `remote` wait for at least `wait` before the next one may be sent, because of `why` (a few words).
    /// Called before each wait of a second or more; must not block.
    fn waiting(&self, _remote: &str, _why: &'static str, _wait: Duration) {}

    /// The listing of the folder `dir` of `place` was made `age` ago, by another process. Must not block.
    fn recent(&self, _place: &str, _dir: &RelPath, _age: Duration) {}
}

/// What all requests of one remote have in common.
pub(super) struct Policy {
    pub(super) settings: RetrySettings,
    pub(super) observer: Option<Arc<dyn Observer>>,
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.settings.fmt(f)
    }
}

/// The account of one request.
#[derive(Debug)]
pub(super) struct Effort {
    policy: Arc<Policy>,
    request: Request,
    failures: u32,
    content_failures: u32,
    waited: Duration,
    throttled: Duration,
}

impl Effort {
    pub(super) fn new(policy: &Arc<Policy>, request: Request) -> Self {
        Effort {
            policy: Arc::clone(policy),
            request,
            failures: 0,
            content_failures: 0,
            waited: Duration::ZERO,
            throttled: Duration::ZERO,
        }
    }

    /// Adds operation, remote and path, if they are missing.
    pub(super) fn named(&self, error: Error) -> Error {
        self.request.named(error)
    }

    /// Bytes or entries arrived: the count of attempts starts again.
    pub(super) fn reset(&mut self) {
        *self = Effort::new(&self.policy, self.request.clone());
    }

    /// Waits before the next attempt. `false`, and at once, when there is none. `by_source`: it was not the remote that
    /// failed but the source of what is sent to it.
    ///
    /// CANCEL: dropping the future ends the wait; nothing runs in the background.
    pub(super) async fn wait(&mut self, error: &Error, by_source: bool) -> bool {
        let Some(wait) = self.next_wait(error, by_source) else { return false };
        if let Some(observer) = &self.policy.observer {
            observer.retrying(self.request.remote(), self.request.operation(), error, wait);
        }
        tokio::time::sleep(wait).await;
        true
    }

    fn next_wait(&mut self, error: &Error, by_source: bool) -> Option<Duration> {
        let settings = &self.policy.settings;
        let is_content = by_source || error.kind() == ErrorKind::Corrupt;
        if error.kind() == ErrorKind::Cancelled
            || is_content && self.content_failures >= CONTENT_REPEATS
        {
            return None;
        }
        let wait = match error.retry() {
            Retry::Never => return None,
            // A remote that asks for no time at all would be asked again without end.
            Retry::After(pause) => pause.max(settings.first_wait),
            Retry::Backoff => self.ceiling().mul_f64(fastrand::f64()),
        };
        let is_asked_for = matches!(error.retry(), Retry::After(_));
        let (sum, longest) = if is_asked_for {
            (self.throttled.saturating_add(wait), settings.throttled_total)
        } else {
            (self.waited.saturating_add(wait), settings.total)
        };
        let is_free = is_asked_for && error.kind() == ErrorKind::Throttled && !wait.is_zero();
        let failures = self.failures + u32::from(!is_free);
        if sum > longest || !is_free && failures >= settings.attempts {
            return None;
        }
        *(if is_asked_for { &mut self.throttled } else { &mut self.waited }) = sum;
        self.failures = failures;
        self.content_failures += u32::from(is_content);
        Some(wait)
    }

    /// The bound of the next wait. The wait is anywhere below it ("full jitter"), so that many requests that failed
    /// together do not come back together; backon's own jitter would only add to the bound.
    fn ceiling(&self) -> Duration {
        let settings = &self.policy.settings;
        let ceilings = ExponentialBuilder::new()
            .with_min_delay(settings.first_wait.min(settings.longest_wait))
            .with_max_delay(settings.longest_wait)
            .without_max_times();
        ceilings.build().nth(self.failures as usize).unwrap_or(settings.longest_wait)
    }
}
