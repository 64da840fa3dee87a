//! Which folder the root of a place leads to at this moment.

use std::fmt;

use async_trait::async_trait;

use crate::error::Result;

/// The identity of the folder that the place was opened at.
#[async_trait]
pub trait Root: fmt::Debug + Send + Sync + 'static {
    /// Looks up the root by its path and returns a text that identifies the folder. The text is another one if another folder has
    /// taken its place, for example because a disk was mounted or unmounted there. `None`: unknown.
    ///
    /// Errors: `NotFound` when nothing is there.
    async fn identity(&self) -> Result<Option<String>>;
}
