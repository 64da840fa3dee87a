//! Which folder a place is at this moment.

use std::fmt;

use async_trait::async_trait;

use crate::error::Result;

/// The identity of the folder that the place was opened at.
#[async_trait]
pub trait Root: fmt::Debug + Send + Sync + 'static {
    /// Which folder the root is, looked up anew by its path: another text when another folder has taken its place, as when a
    /// disk is mounted or unmounted there. `None`: it cannot be told.
    ///
    /// Errors: `NotFound` when nothing is there.
    async fn identity(&self) -> Result<Option<String>>;
}
