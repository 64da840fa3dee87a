//! Data that outlives a job and is looked up by key, each kind in an embedded database of its own. All of it is a hint: if
//! it is lost, or in use by another process, that costs time and nothing else.

mod cache;
mod marks;
mod store;
mod sweep;

pub(crate) use cache::View;
pub use cache::{CacheStats, DigestCache};
pub use marks::Marks;
pub use store::OpenError;
