//! Computes what a manifest contains about a file while its bytes are being transferred.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use ketch_core::source::{Observe, PassObserver};
use ketch_core::{HashAlgo, Hashes};

use crate::content::{Facts, FactsHasher};

/// Observes the passes over one file.
#[derive(Clone)]
pub(crate) struct Witness {
    size: u64,
    found: Arc<Mutex<Option<Facts>>>,
}

impl fmt::Debug for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Witness").field("size", &self.size).finish_non_exhaustive()
    }
}

impl Witness {
    /// For a file of `size` bytes.
    pub(crate) fn new(size: u64) -> Self {
        Witness { size, found: Arc::default() }
    }

    /// The result of the last complete pass.
    pub(crate) fn facts(&self) -> Option<Facts> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Observe for Witness {
    fn algos(&self) -> &'static [HashAlgo] {
        &[HashAlgo::Blake3]
    }

    fn begin(&self) -> Box<dyn PassObserver> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).take();
        let hasher = FactsHasher::new(self.algos(), self.size);
        Box::new(Pass { hasher, found: Arc::clone(&self.found) })
    }
}

struct Pass {
    hasher: FactsHasher,
    found: Arc<Mutex<Option<Facts>>>,
}

impl PassObserver for Pass {
    fn update(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
    }

    fn finish(self: Box<Self>) -> Hashes {
        let facts = self.hasher.finish();
        let hashes = facts.hashes.clone();
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = Some(facts);
        hashes
    }
}
