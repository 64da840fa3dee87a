//! Listings that cost less than a listing, because the remote can tell that an earlier one still holds.

use std::fmt;

use async_trait::async_trait;

use crate::entry::Entry;
use crate::path::RelPath;

/// What folders held when they were last listed.
#[async_trait]
pub trait Snapshot: fmt::Debug + Send + Sync + 'static {
    /// What the folder held when it was last listed, where the remote has found out for less than a listing costs that all
    /// files of it are still there unchanged. `None`: list it.
    ///
    /// Others may have moved something since, so it can show that nothing is to be done and nothing else: a caller that finds
    /// something missing, extra or different lists the folder.
    async fn cached_listing(&self, dir: &RelPath) -> Option<Vec<Entry>>;
}
