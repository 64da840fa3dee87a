//! The content of an entry of a backend, as a source.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;

use crate::backend::Backend;
use crate::entry::Entry;
use crate::error::Result;
use crate::options::ReadOptions;
use crate::source::{ByteStream, Source};

/// The content of an entry of a backend.
#[derive(Debug, Clone)]
pub struct EntrySource {
    backend: Arc<dyn Backend>,
    entry: Entry,
}

impl EntrySource {
    /// The content of `entry`, read from `backend`, which made the entry.
    pub fn new(backend: Arc<dyn Backend>, entry: Entry) -> Self {
        EntrySource { backend, entry }
    }
}

#[async_trait]
impl Source for EntrySource {
    fn size(&self) -> Option<u64> {
        self.entry.size
    }

    fn any_order(&self) -> bool {
        self.entry.size.is_some() && self.backend.capabilities().read_range
    }

    async fn open(&self, range: Range<u64>) -> Result<ByteStream> {
        let whole = range.start == 0 && self.entry.size.is_none_or(|size| range.end >= size);
        let range = (!whole).then_some(range);
        self.backend.read(&self.entry, ReadOptions { range }).await
    }
}
