//! Earlier listings that are still true, where the remote can tell this for less than a new listing costs.

use std::fmt;

use async_trait::async_trait;

use crate::entry::Entry;
use crate::path::RelPath;

/// A place that remembers its last listings and can find out whether they are still true.
#[async_trait]
pub trait Snapshot: fmt::Debug + Send + Sync + 'static {
    /// The entries of the folder's last listing, if the remote has found out that all its files are still there unchanged.
    /// `None`: list the folder.
    ///
    /// Another client may have moved something since. So the result can only show that there is nothing to do: a caller that
    /// finds an entry missing, extra or different must list the folder.
    async fn cached_listing(&self, dir: &RelPath) -> Option<Vec<Entry>>;
}
