//! Downloads that the service was asked to make, and how far they are.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;

/// All requests of this run; a restart forgets them.
#[derive(Debug, Default)]
pub(crate) struct Fetches(Mutex<BTreeMap<u64, Fetch>>);

#[derive(Debug, Clone)]
pub(crate) struct Fetch {
    pub(crate) urls: Vec<String>,
    pub(crate) folder: u64,
    pub(crate) requested: i64,
    pub(crate) polls: u32,
    pub(crate) executed: Option<(i64, Vec<Value>)>,
}

impl Fetches {
    pub(crate) fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Fetch>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
