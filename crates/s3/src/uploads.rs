//! The uploads that this process has begun or gone on with, so that what is open at the service is known as one's own.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ketch_core::LeftoverState;
use ketch_core::facets::Claims;

/// Open uploads by their ids.
#[derive(Debug, Default)]
pub(crate) struct Uploads(Mutex<HashMap<String, Own>>);

#[derive(Debug, Clone, Copy)]
struct Own {
    /// The job that can go on with it.
    job: Option<u32>,
    is_in_use: bool,
}

impl Uploads {
    /// This process works on it.
    pub(crate) fn begin(&self, id: &str, job: Option<u32>) {
        self.all().insert(id.to_owned(), Own { job, is_in_use: true });
    }

    /// This process works on it no longer, and it may still be open.
    pub(crate) fn rest(&self, id: &str) {
        if let Some(own) = self.all().get_mut(id) {
            own.is_in_use = false;
        }
    }

    /// It is not open any more.
    pub(crate) fn end(&self, id: &str) {
        self.all().remove(id);
    }

    /// Whose an open upload is; `None`: another process began it.
    pub(crate) fn state(&self, id: &str, claims: &Claims) -> Option<LeftoverState> {
        let Own { job, is_in_use } = *self.all().get(id)?;
        Some(match (is_in_use, job) {
            (true, _) => LeftoverState::InUse,
            (false, Some(job)) if claims(job) => LeftoverState::Claimed,
            (false, _) => LeftoverState::Dead,
        })
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, Own>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
