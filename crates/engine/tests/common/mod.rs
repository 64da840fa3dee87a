//! What several tests of manifests do.

#![allow(unreachable_pub, reason = "shared by several test files")]
#![allow(dead_code, reason = "each test file uses its own part")]

use std::sync::Arc;

use async_trait::async_trait;
use ketch_core::{
    About, Backend, Body, ByteStream, Capabilities, Entry, EntryKind, EntryStream, Error,
    ErrorKind, ListOptions, Order, Page, PutOptions, ReadOptions, RelPath, Result, Special,
};
use ketch_engine::prove::create::{Made, What, create};
use ketch_engine::prove::{Pass, ProveSettings};
use ketch_manifest::ManifestEntry;

/// The entries of a manifest of all that `backend` holds.
pub async fn manifest_of(
    backend: Arc<dyn Backend>,
    settings: &ProveSettings,
) -> Vec<ManifestEntry> {
    let mut entries = Vec::new();
    let take = |made| {
        match made {
            Made::Entry(entry) => entries.push(entry),
            Made::Other(path, why, _) => panic!("{path}: {why}"),
            Made::Failed(path, error) => panic!("{path}: {error}"),
        }
        Ok(())
    };
    let pass = create(&backend, settings, What::Manifest, None, take).await;
    assert_eq!(pass.expect("a manifest"), Pass::Done(()));
    entries
}

/// A place that shows these entries in this order when everything is listed at once: the order of keys of which one is no path.
#[derive(Debug)]
pub struct Shown {
    about: About,
    entries: Vec<Entry>,
}

impl Shown {
    /// A place that lists everything at once, and folder by folder, too.
    pub fn new(entries: Vec<Entry>) -> Self {
        let capabilities = Capabilities {
            list_recursive: true,
            list_order: Order::Unspecified,
            ..Capabilities::default()
        };
        Shown { about: About { capabilities, ..About::new("shown", "shown:") }, entries }
    }
}

#[async_trait]
impl Backend for Shown {
    fn about(&self) -> &About {
        &self.about
    }

    async fn stat(&self, path: &RelPath) -> Result<Entry> {
        let known = self.entries.iter().find(|entry| entry.path == *path).cloned();
        known.ok_or_else(|| Error::new(ErrorKind::NotFound, "nothing is there"))
    }

    fn list(&self, dir: &RelPath, options: ListOptions) -> EntryStream {
        let parent = |entry: &Entry| entry.path.parent().expect("no root is listed");
        if options.recursive {
            let page = |entry: &Entry| Page::of(&parent(entry), std::slice::from_ref(entry));
            let pages: Vec<_> = self.entries.iter().map(page).collect();
            return EntryStream::of_pages(futures::stream::iter(pages));
        }
        let mut inside: Vec<Entry> = Vec::new();
        for entry in &self.entries {
            if parent(entry) == *dir {
                inside.push(entry.clone());
                continue;
            }
            // A path implies the folders above it.
            let above = entry.path.ancestors().find(|above| above.parent().as_ref() == Some(dir));
            if let Some(above) = above.filter(|above| inside.iter().all(|it| it.path != *above)) {
                inside.push(Entry::dir(above));
            }
        }
        EntryStream::once(dir, async move { Ok(inside) })
    }

    async fn read(&self, _entry: &Entry, _options: ReadOptions) -> Result<ByteStream> {
        Err(Error::unsupported("read"))
    }

    async fn put(&self, _path: &RelPath, _body: Body, _options: PutOptions) -> Result<Entry> {
        Err(Error::unsupported("put"))
    }

    async fn delete(&self, entries: &[Entry]) -> Vec<Result<()>> {
        entries.iter().map(|_| Err(Error::unsupported("delete"))).collect()
    }
}

/// Two files around a name that is no path, as `b//q` is: it comes where its key is, and stands under another name.
pub fn with_an_unusable_name() -> Arc<dyn Backend> {
    let path = |text: &str| RelPath::new(text).expect("a path");
    let unusable = EntryKind::Special(Special::UnusableName);
    Arc::new(Shown::new(vec![
        Entry::file(path("a"), 1),
        Entry::file(path("b/-"), 1),
        Entry::bare(path("b/~q"), unusable),
        Entry::file(path("b/a/f"), 1),
        Entry::file(path("b/c"), 1),
        Entry::file(path("c"), 1),
    ]))
}
