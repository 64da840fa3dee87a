//! The wrapper: a backend around a backend, which adds to every entry what the catalogue knows about it.
//!
//! Files with content go to the remote as they are. Hints about them (times, permissions, digests) are stored at the end,
//! and after every [`HINTS_UNSTORED`] of them; a lost hint costs a comparison by digest. Empty files and links, which only
//! the catalogue holds, are in a stored catalogue before their `put` returns; while one catalogue is being stored, further
//! ones gather, and the next upload stores all of them.

mod change;
mod identities;
mod keep;
mod services;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use futures::TryStreamExt;
use ketch_core::bill::{Bill, Cost, Work};
use ketch_core::facets::{Facets, Gaps};
use ketch_core::services::Services;
use ketch_core::source::{Body, ByteStream, BytesSource};
use ketch_core::{
    About, Backend, Capabilities, Entry, EntryStream, Error, ErrorKind, Expect, HashAlgo,
    Identities, ListOptions, Metadata, MetadataCost, PutOptions, ReadOptions, RelPath, Result,
};

use crate::book::{self, Book};
use crate::format::RECORDS_MAX;
use crate::record::{Fact, Kept, Record};
use crate::records::Records;
use crate::view::{View, is_own_path};

/// How the view options of a place with a catalogue begin.
pub(crate) const VIEW: &str = "catalog";

/// So many hints may be lost with the process.
const HINTS_UNSTORED: u64 = 4096;

/// A backend whose files have times and permissions, and that holds empty files and links.
///
/// It needs a remote with folders of its own; around one without them it keeps times and permissions only. Calls through it
/// cost no additional request, except one download of the catalogue when the first folder is listed, and one upload when
/// something has changed.
#[derive(Debug, Clone)]
pub struct Catalog(Arc<Inner>, Facets);

#[derive(Debug)]
struct Inner {
    remote: Arc<dyn Backend>,
    about: About,
    state: Mutex<State>,
    /// Held while the object is looked for or stored.
    book: tokio::sync::Mutex<Book>,
}

#[derive(Debug, Default)]
struct State {
    records: Records,
    /// Changes so far, and how many of them are in the stored catalogue.
    changes: u64,
    stored: u64,
    /// Hints are stored at this number of changes.
    due: u64,
    /// See [`Gaps::may_lack`].
    doubt: Option<String>,
    is_full: bool,
}

impl Catalog {
    /// A catalogue in the root of `remote`.
    pub fn around(remote: Arc<dyn Backend>) -> Catalog {
        let kept = remote.capabilities();
        let holds = kept.dirs;
        let capabilities = Capabilities {
            put_empty: kept.put_empty || holds,
            links: kept.links || holds,
            mtime: Some(Duration::from_nanos(1)),
            mtime_by_inspect: false,
            set_mtime: true,
            // What is kept beside the content is kept of files.
            dir_times: false,
            set_mode: true,
            narrow_mode: false,
            metadata_cost: MetadataCost::Call,
            // Each place has a catalogue of its own.
            rename_dir: false,
            // What the catalogue knows is added folder by folder.
            list_recursive: false,
            // No remote of today claims one of its own; what the catalogue says is never attested.
            claimed_hashes: &[HashAlgo::Blake3],
            ..kept.clone()
        };
        let state = State {
            due: HINTS_UNSTORED,
            doubt: Some("its catalogue was not looked for yet".to_owned()),
            ..State::default()
        };
        let about = About {
            capabilities,
            // The catalogue itself decides: what it keeps is listed.
            view_options: format!("{VIEW} {}", remote.view_options()),
            ..remote.about().clone()
        };
        let inner = Arc::new(Inner {
            about,
            remote,
            state: Mutex::new(state),
            book: tokio::sync::Mutex::default(),
        });
        let facets = inner.facets();
        Catalog(inner, facets)
    }
}

impl State {
    /// Records what is known about `path` now, with a later time than any record before; returns the old record.
    fn set(&mut self, path: &RelPath, fact: Fact) -> Option<Record> {
        let before = self.records.get(path).map_or(0, |record| record.at);
        let at = book::now().max(before.saturating_add(1));
        self.changes += 1;
        self.records.set(path, Record { at, fact })
    }

    /// Is there room for one more?
    fn has_room(&mut self, path: &RelPath) -> bool {
        let has_room = self.records.len() < RECORDS_MAX || self.records.get(path).is_some();
        if !has_room && !std::mem::replace(&mut self.is_full, true) {
            tracing::warn!("the catalogue is full ({RECORDS_MAX} paths): what is new is not in it");
        }
        has_room
    }

    /// Forgets a hint. An empty file or link leaves a record that it is gone.
    fn forget(&mut self, path: &RelPath) {
        match self.records.get(path).map(|record| record.fact.content().is_some()) {
            Some(true) => drop(self.set(path, Fact::Gone)),
            Some(false) => {
                self.records.remove(path);
                self.changes += 1;
            }
            None => {}
        }
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shown(&self) -> &'static [HashAlgo] {
        self.remote.capabilities().hashes
    }

    fn told(&self, error: Error, operation: &'static str, path: &RelPath) -> Error {
        error.with_operation(operation).with_remote(self.remote.name()).with_path(path)
    }

    fn with_view<T>(&self, work: impl FnOnce(View<'_>) -> T) -> T {
        let state = self.state();
        work(View { records: &state.records, location: &self.about.location, shown: self.shown() })
    }

    /// Reads the object, unless that was done. `listed`: the listing of the root, if the caller has it.
    async fn look(&self, listed: Option<&[Entry]>) -> Result<()> {
        let mut book = self.book.lock().await;
        let found = book.look(&*self.remote, listed).await;
        self.take_over(&book, found)
    }

    fn take_over(&self, book: &Book, found: Result<Records>) -> Result<()> {
        let mut state = self.state();
        state.doubt = book.doubt();
        state.records.merge(found?);
        Ok(())
    }

    /// Returns when a catalogue is stored that has all changes up to the number `wanted`.
    ///
    /// CANCEL: if it is dropped while it waits for its turn, nothing is lost: the next call stores these changes too.
    async fn store(&self, wanted: u64) -> Result<()> {
        let mut book = self.book.lock().await;
        if self.state().stored >= wanted {
            return Ok(());
        }
        // Callers that are about to record something do it now, and need not wait for the next upload.
        tokio::task::yield_now().await;
        let found = book.look(&*self.remote, None).await;
        self.take_over(&book, found)?;
        let mut included = 0;
        let stored = book
            .store(&*self.remote, |others| {
                let mut state = self.state();
                state.records.merge(others);
                included = state.changes;
                book::write(&mut state.records)
            })
            .await;
        let mut state = self.state();
        // Also after a failure: not every further hint is a reason to try again.
        state.due = state.changes + HINTS_UNSTORED;
        if stored.is_ok() {
            state.stored = state.stored.max(included);
            state.doubt = book.doubt();
        }
        stored
    }

    /// Stores hints when there are many. A failure costs only the hints.
    async fn store_many(&self) {
        let due = {
            let state = self.state();
            (state.changes >= state.due).then_some(state.changes)
        };
        if let Some(changes) = due
            && let Err(error) = self.store(changes).await
        {
            tracing::warn!("the catalogue of {} was not stored: {error}", self.remote.name());
        }
    }

    async fn list(&self, dir: &RelPath, options: ListOptions) -> Result<Vec<Entry>> {
        let listed: Vec<Entry> = self.remote.list(dir, options).try_collect().await?;
        self.look(dir.is_root().then_some(&listed[..])).await?;
        let order = self.remote.capabilities().list_order;
        Ok(self.with_view(|view| view.merge(dir, listed, order)))
    }

    async fn stat(&self, path: &RelPath) -> Result<Entry> {
        let nothing = || Error::new(ErrorKind::NotFound, "there is nothing of that name");
        if is_own_path(path) {
            return Err(nothing());
        }
        match self.remote.stat(path).await {
            Ok(entry) if entry.is_file() && !path.is_root() => {
                self.look(None).await?;
                Ok(self.with_view(|view| view.decorate(entry)))
            }
            Err(error) if error.kind() == ErrorKind::NotFound && !path.is_root() => {
                self.look(None).await?;
                let kept = self.with_view(|view| view.kept(path)).ok_or(error)?;
                // In a folder that is gone there is nothing.
                let parent = path.parent().unwrap_or_else(RelPath::root);
                if !parent.is_root() && !self.remote.stat(&parent).await?.is_dir() {
                    return Err(nothing());
                }
                Ok(kept)
            }
            other => other,
        }
    }

    /// The facets of the remote that the catalogue passes on.
    fn facets(self: &Arc<Self>) -> Facets {
        let below = self.remote.facets();
        let services = below.services.clone().map(services::OwnServices);
        Facets {
            // Entries that only the catalogue holds are not on a disk, and facts about a file must be copied with it.
            disk: None,
            local_files: None,
            // It stays known that a place on a disk is another one, or is in it.
            identities: below.identities.clone().map(|below| {
                Arc::new(identities::OwnIdentities(below, Arc::clone(self))) as Arc<dyn Identities>
            }),
            // The catalogue adds entries to a listing, so folders must be listed.
            snapshot: None,
            // The remote does not know digests of entries that only the catalogue holds.
            inspect: None,
            cost: below.cost.clone().map(|below| Arc::new(OwnCost(below)) as Arc<dyn Cost>),
            gaps: Some(Arc::clone(self) as Arc<dyn Gaps>),
            services: services.map(|services| Arc::new(services) as Arc<dyn Services>),
            ..below.clone()
        }
    }
}

impl Gaps for Inner {
    fn may_lack(&self) -> Option<String> {
        let own = self.state().doubt.clone();
        own.or_else(|| self.remote.may_lack())
    }
}

/// The cost of the remote, and of the catalogue on it.
#[derive(Debug)]
struct OwnCost(Arc<dyn Cost>);

impl Cost for OwnCost {
    fn estimate(&self, work: &Work) -> Option<Bill> {
        let changes = work.uploads + work.copies + work.files_removed;
        let stores = u64::from(changes > 0);
        // The catalogue is read once, and replaced once at the end.
        let work = Work {
            reads: work.reads + u64::from(work.listings > 0),
            uploads: work.uploads + stores,
            upload_folders: work.upload_folders + stores,
            files_removed: work.files_removed + stores,
            ..*work
        };
        self.0.estimate(&work)
    }
}

// Every method is written out: a missing one would lose an ability of the remote.
#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Backend for Catalog {
    fn about(&self) -> &About {
        &self.0.about
    }

    fn facets(&self) -> &Facets {
        &self.1
    }

    async fn stat(&self, path: &RelPath) -> Result<Entry> {
        self.0.stat(path).await.map_err(|error| self.0.told(error, "stat", path))
    }

    fn list(&self, dir: &RelPath, options: ListOptions) -> EntryStream {
        let (inner, folder) = (Arc::clone(&self.0), dir.clone());
        EntryStream::once(dir, async move {
            let listed = inner.list(&folder, options).await;
            listed.map_err(|error| inner.told(error, "list", &folder))
        })
    }

    async fn read(&self, entry: &Entry, options: ReadOptions) -> Result<ByteStream> {
        let Some(kept) = Kept::of(entry) else { return self.0.remote.read(entry, options).await };
        let all = kept.content.len() as u64;
        let range = options.range.unwrap_or(0..all);
        if range.start > range.end || range.end > all {
            let message = format!("the range {range:?} is not within the {all} bytes");
            let error = Error::new(ErrorKind::InvalidInput, message);
            return Err(self.0.told(error, "read", &entry.path));
        }
        BytesSource::body(kept.content).open(range).await
    }

    async fn put(&self, path: &RelPath, body: Body, options: PutOptions) -> Result<Entry> {
        let stored = self.0.put(path, body, options).await;
        stored.map_err(|error| self.0.told(error, "put", path))
    }

    async fn delete(&self, entries: &[Entry]) -> Vec<Result<()>> {
        let told = |(entry, result): (&Entry, Result<()>)| {
            result.map_err(|error| self.0.told(error, "delete", &entry.path))
        };
        entries.iter().zip(self.0.delete(entries).await).map(told).collect()
    }

    // Permissions of folders are not among the facts that are kept.
    async fn make_dir(&self, path: &RelPath, _mode: Option<u32>) -> Result<()> {
        let made = self.0.make_dir(path).await;
        made.map_err(|error| self.0.told(error, "make folder", path))
    }

    async fn copy(&self, from: &Entry, to: &RelPath, options: PutOptions) -> Result<Entry> {
        let copied = self.0.copy(from, to, options).await;
        copied.map_err(|error| self.0.told(error, "copy", to))
    }

    async fn rename(&self, from: &Entry, to: &RelPath) -> Result<Entry> {
        let renamed = self.0.rename(from, to).await;
        renamed.map_err(|error| self.0.told(error, "rename", to))
    }

    async fn set_metadata(&self, entry: &Entry, metadata: &Metadata) -> Result<Entry> {
        let set = self.0.set_metadata(entry, metadata).await;
        set.map_err(|error| self.0.told(error, metadata.operation(), &entry.path))
    }

    async fn finish(&self) -> Result<()> {
        let (changes, stored) = {
            let state = self.0.state();
            (state.changes, state.stored)
        };
        let stored = if changes == stored { Ok(()) } else { self.0.store(changes).await };
        // Whether the catalogue was stored or not, what is below it ends what it keeps open.
        let finished = self.0.remote.finish().await;
        stored.and(finished).map_err(|error| self.0.told(error, "finish", &RelPath::root()))
    }
}
