//! What outlives a job and is looked up, each in an embedded database of its own. All of it is a hint: it can be
//! lost, or be in use by another process, and then costs time and nothing else.

mod cache;
mod marks;
mod store;
mod sweep;

pub(crate) use cache::View;
pub use cache::{CacheStats, DigestCache};
pub use marks::Marks;
pub use store::OpenError;
