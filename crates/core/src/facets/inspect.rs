//! Facts about files that a listing does not show, asked for in bulk: a bounded set of requests, or one command for many digests.

use std::fmt;

use async_trait::async_trait;

use crate::entry::Entry;
use crate::error::Result;
use crate::hash::HashAlgo;

/// A place that finds out more about a file than its listings show, without handing out its content.
#[async_trait]
pub trait Inspect: fmt::Debug + Send + Sync + 'static {
    /// Each of `entries` with what was found out about it, in their order. A fact that the remote does not have stays `None`.
    ///
    /// Errors: of the call as a whole in the result; of one entry in its own: `NotFound`, and `Changed` when the object is not
    /// the version in the entry.
    async fn inspect(&self, entries: &[Entry], wanted: &Wanted) -> Result<Vec<Result<Entry>>>;
}

/// Which facts are asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wanted {
    /// The modification time of the content.
    pub mtime: bool,
    /// Digests by these.
    pub hashes: Vec<HashAlgo>,
}
