//! Asks for facts about many files that listings do not show: in a bounded number of requests, or one command for many digests.

use std::fmt;

use async_trait::async_trait;

use crate::entry::Entry;
use crate::error::Result;
use crate::hash::HashAlgo;

/// A place that can tell more about a file than its listings show, without reading its content.
#[async_trait]
pub trait Inspect: fmt::Debug + Send + Sync + 'static {
    /// The same `entries`, in their order, with the facts that the remote knows. A fact that it does not know stays `None`.
    ///
    /// Errors: the outer result has an error of the whole call, an inner one an error of one entry: `NotFound`, and `Changed`
    /// when the object is not the version in the entry.
    async fn inspect(&self, entries: &[Entry], wanted: &Wanted) -> Result<Vec<Result<Entry>>>;
}

/// Which facts are asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wanted {
    /// The modification time of the content.
    pub mtime: bool,
    /// Digests of these kinds.
    pub hashes: Vec<HashAlgo>,
}
