//! How much room a place has.

use std::fmt;

use async_trait::async_trait;

use crate::error::Result;

/// A place that can tell how full it is.
#[async_trait]
pub trait ReportUsage: fmt::Debug + Send + Sync + 'static {
    /// How much room there is.
    async fn usage(&self) -> Result<Usage>;
}

/// How much room a remote has, in bytes. Unknown is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Room in all.
    pub total: Option<u64>,
    /// Room taken.
    pub used: Option<u64>,
    /// Room left.
    pub free: Option<u64>,
}
