//! Walks all files of one place in key order: a march with an empty place as the other side.

use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::{BoxStream, StreamExt};
use ketch_core::{
    About, Backend, Body, ByteStream, Capabilities, Entry, EntryKind, EntryStream, Error,
    ErrorKind, ListOptions, Order, PutOptions, ReadOptions, RelPath, Result,
};

use crate::march::{March, Step};
use crate::prove::ProveSettings;

/// What the walk found next.
#[derive(Debug)]
pub enum Found {
    /// A file.
    File(Entry),
    /// An entry that is left out because it is neither a file nor a folder, or one of several of one name; with the reason.
    Other(RelPath, String),
    /// A folder could not be listed; nothing is known about its contents.
    Failed(RelPath, Error),
}

impl Found {
    /// Where it is.
    pub fn path(&self) -> &RelPath {
        match self {
            Found::File(entry) => &entry.path,
            Found::Other(path, _) | Found::Failed(path, _) => path,
        }
    }
}

/// Everything below the root of `backend` that takes part, in key order. `Err` ends it: without the root there is nothing.
pub fn walk(
    backend: &Arc<dyn Backend>,
    settings: &ProveSettings,
) -> BoxStream<'static, Result<Found>> {
    let march = March {
        source: Arc::clone(backend),
        destination: Arc::new(Nothing),
        filter: Arc::clone(&settings.filter),
        enter_extra: false,
        after: None,
        may_change: false,
        lookahead: settings.checkers.max(1),
        recall: false,
        settles: None,
        whole: false,
        flat: false,
        moves: false,
        may_write: false,
        scratch: None,
        progress: settings.progress.clone(),
    };
    let progress = settings.progress.clone();
    let steps = futures::stream::unfold((march.start(), progress), |(mut steps, progress)| async {
        match steps.next().await {
            Some(step) => Some((step, (steps, progress))),
            None => {
                progress.finish_listing();
                None
            }
        }
    });
    let except = settings.except.clone();
    let takes_part = move |found: &Result<Found>| match found {
        Ok(Found::File(entry)) => !except.contains(&entry.path),
        _ => true,
    };
    let found = steps.filter_map(|step| std::future::ready(understand(step)));
    found.filter(move |found| std::future::ready(takes_part(found))).boxed()
}

fn understand(step: Step) -> Option<Result<Found>> {
    match step {
        Step::Pair(pair) => {
            let duplicates = pair.source_duplicates;
            let entry = pair.source?;
            let other = |why: String| Some(Ok(Found::Other(entry.path.clone(), why)));
            match entry.kind {
                EntryKind::File if duplicates => other("there are several of that name".to_owned()),
                EntryKind::Dir if duplicates => {
                    let text = "there are several of that name, so none of them is entered";
                    let error = Error::new(ErrorKind::AlreadyExists, text).with_path(&entry.path);
                    Some(Ok(Found::Failed(entry.path.clone(), error)))
                }
                EntryKind::File => Some(Ok(Found::File(entry))),
                EntryKind::Dir => None,
                EntryKind::Link => other("a symbolic link".to_owned()),
                EntryKind::Special(special) => other(special.describe().to_owned()),
            }
        }
        // The last is never said, because the march is not flat.
        Step::Occupied { .. } | Step::Equal { .. } | Step::Anew => None,
        Step::Failed { dir, error, .. } if dir.is_root() || error.is_fatal() => Some(Err(error)),
        Step::Failed { dir, error, .. } => Some(Ok(Found::Failed(dir, error))),
    }
}

/// A place that is empty and stores nothing.
#[derive(Debug)]
struct Nothing;

static NOTHING: std::sync::LazyLock<About> = std::sync::LazyLock::new(|| About {
    capabilities: Capabilities { list_order: Order::Key, ..Capabilities::default() },
    ..About::new("nothing", "nothing:")
});

#[async_trait]
impl Backend for Nothing {
    fn about(&self) -> &About {
        &NOTHING
    }

    async fn stat(&self, _path: &RelPath) -> Result<Entry> {
        Err(Error::new(ErrorKind::NotFound, "nothing is there"))
    }

    fn list(&self, _dir: &RelPath, _options: ListOptions) -> EntryStream {
        EntryStream::of_pages(futures::stream::empty())
    }

    async fn read(&self, _entry: &Entry, _options: ReadOptions) -> Result<ByteStream> {
        Err(Error::new(ErrorKind::NotFound, "nothing is there"))
    }

    async fn put(&self, _path: &RelPath, _body: Body, _options: PutOptions) -> Result<Entry> {
        Err(Error::unsupported("put"))
    }

    async fn delete(&self, entries: &[Entry]) -> Vec<Result<()>> {
        entries.iter().map(|_| Err(Error::unsupported("delete"))).collect()
    }
}
