//! The names that a layer adds to an error.

use std::sync::Arc;

use crate::backend::Backend;
use crate::entry::Entry;
use crate::error::{Error, Result};
use crate::path::RelPath;

/// One request: its operation, whom it goes to and what it is about. Cheap to clone, so that streams can keep it.
#[derive(Debug, Clone)]
pub(super) struct Request {
    operation: &'static str,
    backend: Arc<dyn Backend>,
    path: Option<RelPath>,
}

impl Request {
    pub(super) fn new(
        operation: &'static str,
        backend: &Arc<dyn Backend>,
        path: Option<&RelPath>,
    ) -> Self {
        Request { operation, backend: Arc::clone(backend), path: path.cloned() }
    }

    pub(super) fn operation(&self) -> &'static str {
        self.operation
    }

    pub(super) fn remote(&self) -> &str {
        self.backend.name()
    }

    /// Adds what the error does not say yet. What it says stays: the error of a body that is read from another remote
    /// keeps naming that remote.
    pub(super) fn named(&self, error: Error) -> Error {
        let error = error.with_operation(self.operation).with_remote(self.backend.name());
        match &self.path {
            Some(path) => error.with_path(path),
            None => error,
        }
    }
}

/// The results of a call about several entries, with what their errors do not say yet.
pub(super) fn named_each(
    operation: &'static str,
    backend: &Arc<dyn Backend>,
    entries: &[Entry],
    results: Vec<Result<()>>,
) -> Vec<Result<()>> {
    let named = |(entry, result): (&Entry, Result<()>)| {
        result.map_err(|error| Request::new(operation, backend, Some(&entry.path)).named(error))
    };
    entries.iter().zip(results).map(named).collect()
}
