//! Which jobs of this machine can be continued, for code that must not know how jobs are kept.

use std::collections::HashSet;
use std::fmt;

use ketch_core::Result;

/// The jobs that can be continued: their parts stay.
pub trait OpenJobs: fmt::Debug + Send + Sync + 'static {
    /// The numbers of the jobs that are running or can be continued. Blocks.
    fn claims(&self) -> Result<HashSet<u32>>;
}
