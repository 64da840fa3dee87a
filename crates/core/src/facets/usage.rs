//! How much space a place has.

use std::fmt;

use async_trait::async_trait;

use crate::error::Result;

/// A place that can tell how much space it has.
#[async_trait]
pub trait ReportUsage: fmt::Debug + Send + Sync + 'static {
    /// How much space there is.
    async fn usage(&self) -> Result<Usage>;
}

/// How much space a remote has, in bytes. Unknown is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Total space.
    pub total: Option<u64>,
    /// Used space.
    pub used: Option<u64>,
    /// Free space.
    pub free: Option<u64>,
}
