//! Builds the layers in the one legal order.

use std::fmt;
use std::sync::Arc;

use super::effort::{Observer, Policy, RetrySettings};
use super::limit::{Limit, LimitSettings};
use super::retry::Retry;
use super::timeout::{Timeout, TimeoutSettings};
use crate::backend::Backend;

/// A backend and the layers to put around it. They may be given in any order, each at most once (the last one counts).
#[must_use]
pub struct Stack {
    raw: Arc<dyn Backend>,
    timeout: Option<TimeoutSettings>,
    limit: Option<LimitSettings>,
    retry: Option<RetrySettings>,
    observer: Option<Arc<dyn Observer>>,
}

impl fmt::Debug for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stack")
            .field("raw", &self.raw)
            .field("timeout", &self.timeout)
            .field("limit", &self.limit)
            .field("retry", &self.retry)
            .field("observer", &self.observer.is_some())
            .finish()
    }
}

impl Stack {
    /// `raw` without any layer.
    pub fn new(raw: Arc<dyn Backend>) -> Self {
        Stack { raw, timeout: None, limit: None, retry: None, observer: None }
    }

    /// Gives each attempt a deadline. An attempt that is cut off is dropped and fails with `Unavailable`, or with
    /// `CommitUnknown` when the whole body of a `put` had been handed over.
    pub fn timeout(mut self, settings: TimeoutSettings) -> Self {
        self.timeout = Some(settings);
        self
    }

    /// Limits the requests to the remote, and keeps the pauses that it asks for. A caller that is dropped while it waits takes
    /// neither a slot nor a start from the others.
    pub fn limit(mut self, settings: LimitSettings) -> Self {
        self.limit = Some(settings);
        self
    }

    /// Repeats requests that may succeed at another attempt. An error that the caller sees is final, or has used up its
    /// attempts.
    ///
    /// * `put` sends a replayable body again from its start. After `CommitUnknown` it looks at the path first, and returns
    ///   what it finds if that is certainly what was sent.
    /// * `rename` is sent again only if the layer has checked that it did not happen. If the layer cannot tell, that is an error.
    /// * `read` continues where it broke, with the same entry, so that another version is `Changed`. After the first byte it
    ///   needs [`crate::Capabilities::read_range`] and a known end.
    /// * `list` starts again from the beginning, only while no entry was passed on.
    /// * `delete` sends again those of several entries that failed, and no others.
    /// * Everything else is simply sent again, except when the system itself copies or moves a file.
    ///
    /// Dropping the future or stream ends the wait and sends nothing more.
    pub fn retry(mut self, settings: RetrySettings) -> Self {
        self.retry = Some(settings);
        self
    }

    /// Receives a notice of each repetition. Without [`Stack::retry`] there are none.
    pub fn observe(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = Some(observer);
        self
    }

    /// The backend with its layers, inside to outside: timeout, limit, retry. A layer that was not given is left out.
    pub fn build(self) -> Arc<dyn Backend> {
        let mut backend = self.raw;
        if let Some(settings) = self.timeout {
            backend = Arc::new(Timeout::new(backend, settings));
        }
        if let Some(settings) = self.limit {
            backend = Arc::new(Limit::new(backend, &settings));
        }
        if let Some(settings) = self.retry {
            backend = Arc::new(Retry::new(backend, Policy { settings, observer: self.observer }));
        }
        backend
    }
}
