//! A place as digests see it.

use std::sync::Arc;

use ketch_core::{Backend, Disk, Entry};

/// A backend with what is asked of it for each file.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) disk: Option<Arc<dyn Disk>>,
    location: String,
}

impl Place {
    pub(crate) fn new(backend: &Arc<dyn Backend>) -> Self {
        let (disk, location) = (backend.disk(), backend.location());
        Place { backend: Arc::clone(backend), disk, location }
    }

    /// The key of a file of this place in the cache.
    pub(crate) fn key(&self, entry: &Entry) -> String {
        let mut key = String::new();
        self.put_key(entry, &mut key);
        key
    }

    /// Makes `key` the key of a file of this place in the cache.
    pub(crate) fn put_key(&self, entry: &Entry, key: &mut String) {
        key.clear();
        key.push_str(&self.location);
        key.push('/');
        key.push_str(entry.path.as_str());
    }

    /// What all its keys begin with.
    pub(crate) fn folder(&self) -> String {
        format!("{}/", self.location)
    }

    /// Is reading its files as cheap as looking up their digests?
    pub(crate) fn is_at_hand(&self) -> bool {
        self.disk.is_some() || self.backend.capabilities().read_local
    }
}
