//! From paths to the numbers that 1fichier gives its folders.
//!
//! All paths here are those of the account, not of a remote's root, so that all remotes of an account share what is known.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ketch_core::{Error, ErrorKind, RelPath, Result, Retry};
use tokio::time::Instant;

use crate::api::Api;
use crate::cache::Cache;
use crate::error::Refusal;
use crate::index::Index;
use crate::items::{FolderItem, FolderListing};
use crate::listing::{self, Habits};
use crate::locks::Locks;
use crate::looks::{Bounds, Looks};
use crate::pace::{Listing as ListingCall, Want};
use crate::sending::Sending;

mod finding;
mod making;
mod paths;
mod reconcile;

use paths::Paths;

/// The number of the folder that holds all others.
pub(crate) const TOP: u64 = 0;
/// How often in a run removals that lag are waited for in vain.
const LAGS_MAX: usize = 5;
/// Of how many names several folders are remembered.
const TWINS_MAX: usize = 4_096;

/// A folder's number and its listing.
type Listed = (u64, Arc<FolderListing>);

/// What is known about the folders of an account.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) cache: Cache,
    /// What was seen in this run.
    paths: Mutex<Paths>,
    /// What was seen in earlier ones.
    index: Index,
    /// Folders of one name: those beside the first.
    twins: Mutex<HashMap<RelPath, Vec<u64>>>,
    listing_locks: Locks<u64>,
    making_locks: Locks<RelPath>,
    habits: Habits,
    /// Was a folder found to count what was removed from it?
    lags: AtomicBool,
    /// How often that was waited for in vain.
    lags_in_vain: AtomicUsize,
    /// Folders that could not be made, and what was said.
    refused: Mutex<HashMap<RelPath, (ErrorKind, String)>>,
    /// What was listed by others.
    pub(crate) looks: Looks,
    /// Uploads that were begun.
    pub(crate) sending: Sending,
}

/// What a new listing shows of a folder out of which everything was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    /// Nothing.
    Empty,
    /// Only what this process has removed.
    Removed,
    /// Something else.
    Others,
}

impl Tree {
    /// A tree of which only `index` is known, and what its folders held.
    pub(crate) fn new(index: Index, cache: Cache, looks: Looks, sending: Sending) -> Self {
        let habits = Habits::new(index.habit());
        let paths = Mutex::default();
        let (listing_locks, making_locks) = (Locks::default(), Locks::default());
        let (lags, refused) = (AtomicBool::default(), Mutex::default());
        let twins = Mutex::default();
        Tree {
            cache,
            paths,
            index,
            twins,
            listing_locks,
            making_locks,
            habits,
            lags,
            lags_in_vain: AtomicUsize::default(),
            refused,
            looks,
            sending,
        }
    }

    /// Writes down what the next run may want to know.
    pub(crate) fn remember(&self) {
        self.index.learn_habit(self.habits.known());
        self.index.write(true);
        self.cache.known.write();
    }

    /// The number that the folder at `path` has, or had when an earlier run saw it. Makes no call.
    pub(crate) fn remembered(&self, path: &RelPath) -> Option<u64> {
        self.known(path).or_else(|| self.index.get(path))
    }

    /// Was a folder found to count what was removed from it a moment ago?
    pub(crate) fn lags(&self) -> bool {
        self.lags.load(Ordering::Relaxed)
    }

    /// Notes that one was.
    pub(crate) fn set_lags(&self) {
        self.lags.store(true, Ordering::Relaxed);
    }

    /// Was that waited for so often that it is not waited for any more?
    pub(crate) fn lags_without_end(&self) -> bool {
        self.lags_in_vain.load(Ordering::Relaxed) >= LAGS_MAX
    }

    /// Notes that it was waited for in vain, and says whether that was the last time.
    pub(crate) fn lags_in_vain(&self) -> bool {
        self.lags_in_vain.fetch_add(1, Ordering::Relaxed) + 1 >= LAGS_MAX
    }

    /// What 1fichier itself shows of a folder now, whatever this process knows of it.
    pub(crate) async fn look_into(&self, api: &Api, id: u64) -> Result<Shown, Refusal> {
        let lock = self.listing_locks.get(id);
        let _one = lock.lock().await;
        let asked = Instant::now();
        let (listing, _) = listing::fetch(api, id, &self.habits).await?;
        self.looks.listed(id);
        let is_empty = listing.is_empty();
        let kept = self.cache.store(id, listing, asked);
        Ok(match (is_empty, kept.is_empty()) {
            (true, true) => Shown::Empty,
            (false, true) => Shown::Removed,
            (_, false) => Shown::Others,
        })
    }

    /// The listing of a folder, not older than `life` when this is called. Tasks that want the same one wait for one call.
    pub(crate) async fn listing(
        &self,
        api: &Api,
        id: u64,
        life: Duration,
    ) -> Result<Arc<FolderListing>, Refusal> {
        if let Some(listing) = self.cache.get(id, life) {
            return Ok(listing);
        }
        let called = Instant::now();
        let lock = self.listing_locks.get(id);
        let _one = lock.lock().await;
        // The one that was waited for was asked for before this moment, and is young enough all the same.
        if let Some(listing) = self.cache.get(id, life.saturating_add(called.elapsed())) {
            return Ok(listing);
        }
        self.new_listing(api, id).await
    }

    /// The listing of a folder for a task that holds the lock of another one. It waits for no lock: folders that list each
    /// other would wait for each other without end. Where another task lists the folder, what 1fichier shows is returned
    /// as it is.
    pub(crate) async fn glimpse(
        &self,
        api: &Api,
        id: u64,
        life: Duration,
    ) -> Result<Arc<FolderListing>, Refusal> {
        if let Some(listing) = self.cache.get(id, life) {
            return Ok(listing);
        }
        let lock = self.listing_locks.get(id);
        let Ok(_one) = lock.try_lock() else {
            let (listing, _) = listing::fetch(api, id, &self.habits).await?;
            return Ok(Arc::new(listing));
        };
        self.new_listing(api, id).await
    }

    /// Lists a folder whose lock is held.
    async fn new_listing(&self, api: &Api, id: u64) -> Result<Arc<FolderListing>, Refusal> {
        let asked = Instant::now();
        let (mut listing, tells_folders) = listing::fetch(api, id, &self.habits).await?;
        if !tells_folders && self.has_known_folders(id) {
            let message = "the listing has no `sub_folders`, and there are some";
            let error = Error::new(ErrorKind::Protocol, message).with_retry(Retry::Backoff);
            return Err(error.into());
        }
        self.looks.listed(id);
        reconcile::with_our_own(self, api, id, &mut listing).await?;
        Ok(self.cache.store(id, listing, asked))
    }

    /// The listing of a folder for a look: as young as 1fichier allows, or, for a person who waits, one that another process
    /// has asked for in the last minutes.
    pub(crate) async fn seen(&self, api: &Api, id: u64) -> Result<Arc<FolderListing>, Refusal> {
        let life = api.pacer.listing_life();
        if self.cache.get(id, life).is_none()
            && let Some((age, listing)) = self.shared(api, id).await
        {
            self.looks.taken(id, age);
            return Ok(self.cache.adopt(id, listing));
        }
        self.listing(api, id, life).await
    }

    /// The listing of a folder that another process has asked for, and how old it is, where a person would have to wait for
    /// a new one.
    pub(crate) async fn shared(&self, api: &Api, id: u64) -> Option<(Duration, FolderListing)> {
        let (age, listing) = self.looks.is_on().then(|| self.cache.board.get(id)).flatten()?;
        let wait = api.pacer.wait_for(Want::Listing(ListingCall::Folders, id)).await;
        Bounds::new(&api.settings).is_shown(age, wait).then_some((age, listing))
    }

    /// What is known of a folder without asking.
    pub(crate) fn known_listing(&self, api: &Api, id: u64) -> Option<Arc<FolderListing>> {
        let known = self.cache.get(id, api.pacer.listing_life());
        let shared = || self.cache.board.get(id).map(|(_, listing)| Arc::new(listing));
        known.or_else(|| if self.looks.is_on() { shared() } else { None })
    }

    /// The numbers of the folder at `path` and of all above it, as far as they are known.
    pub(crate) fn above(&self, path: &RelPath) -> Vec<u64> {
        let mut above = Vec::new();
        let mut at = Some(path.clone());
        while let Some(here) = at {
            if let Some(id) = self.remembered(&here) {
                above.push(id);
                above.extend(self.twins(&here));
            }
            at = here.parent();
        }
        above
    }

    /// Remembers all folders of one name: the first is the one that is written to.
    pub(crate) fn learn_all(&self, path: &RelPath, ids: &[u64]) {
        let Some((first, others)) = ids.split_first() else { return };
        self.learn(path, *first);
        let mut twins = self.twins.lock().unwrap_or_else(PoisonError::into_inner);
        if others.is_empty() {
            twins.remove(path);
        } else if twins.len() < TWINS_MAX || twins.contains_key(path) {
            twins.insert(path.clone(), others.to_vec());
        }
    }

    /// The other folders of that name at `path`.
    pub(crate) fn twins(&self, path: &RelPath) -> Vec<u64> {
        let twins = self.twins.lock().unwrap_or_else(PoisonError::into_inner);
        twins.get(path).cloned().unwrap_or_default()
    }

    /// Is the folder `id` one of several of one name in one folder?
    pub(crate) fn is_one_of_several(&self, id: u64) -> bool {
        let twins = self.twins.lock().unwrap_or_else(PoisonError::into_inner);
        twins.iter().any(|(path, others)| others.contains(&id) || self.remembered(path) == Some(id))
    }

    fn all_at(&self, path: &RelPath, id: u64) -> Vec<u64> {
        let mut all = vec![id];
        all.extend(self.twins(path));
        all
    }

    /// The other path at which the folder `id` is known to be, if what is above it was listed and shows it there.
    pub(crate) fn other_place(&self, path: &RelPath, id: u64) -> Option<RelPath> {
        let other = self.paths().of_number(id).filter(|other| other != path)?;
        let parent = self.known(&other.parent()?)?;
        let listing = self.cache.last(parent)?;
        listing.folders.iter().any(|folder| folder.id == id).then_some(other)
    }

    /// Was there a folder in the folder `id`, in this run or in one before it?
    fn has_known_folders(&self, id: u64) -> bool {
        let is_listed = |listing: Arc<FolderListing>| !listing.folders.is_empty();
        let path = self.path_of(id);
        self.cache.last(id).is_some_and(is_listed)
            || path.is_some_and(|path| self.index.has_below(&path))
    }

    /// The folders that an earlier run saw in the folder at `path`.
    pub(crate) fn known_below(&self, path: &RelPath) -> Vec<FolderItem> {
        let known = self.index.children(path).into_iter();
        known.map(|(name, id)| FolderItem { name, id, date: None }).collect()
    }

    /// The path at which the folder `id` was seen last.
    pub(crate) fn path_of(&self, id: u64) -> Option<RelPath> {
        if id == TOP { Some(RelPath::root()) } else { self.paths().of_number(id) }
    }

    /// Notes that a file of the folder at `path` says that it is there.
    pub(crate) fn saw(&self, path: &RelPath) {
        self.index.saw(path);
    }

    /// Was the folder at `path` seen there in the last `span`?
    pub(crate) fn saw_within(&self, path: &RelPath, span: Duration) -> bool {
        self.index.saw_within(path, span)
    }

    /// Remembers where a folder is.
    pub(crate) fn learn(&self, path: &RelPath, id: u64) {
        self.paths().insert(path, id);
        self.index.learn(path, id);
    }

    /// Forgets a folder and all below it.
    pub(crate) fn forget(&self, path: &RelPath) {
        let mut twins = self.twins.lock().unwrap_or_else(PoisonError::into_inner);
        twins.retain(|known, _| !known.is_within(path));
        drop(twins);
        self.paths().remove(path);
        self.index.forget(path);
    }

    /// Forgets what was listed of the folder at `path`, so that the next look is a new one.
    pub(crate) fn distrust(&self, path: &RelPath) {
        if let Some(id) = self.known(path) {
            self.cache.forget(id);
        }
    }

    /// Forgets the folder of that number, wherever it was seen, and all below it.
    pub(crate) fn forget_folder(&self, id: u64) {
        let mut paths = self.paths();
        for path in paths.of(id) {
            paths.remove(&path);
            self.index.forget(&path);
        }
    }

    /// Is `path` in the folder `id`, as far as is known?
    pub(crate) fn is_below(&self, path: &RelPath, id: u64) -> bool {
        path.ancestors().any(|above| self.known(&above) == Some(id))
    }

    fn known(&self, path: &RelPath) -> Option<u64> {
        if path.is_root() { Some(TOP) } else { self.paths().get(path) }
    }

    fn deepest_known(&self, path: &RelPath) -> (RelPath, u64) {
        let mut at = Some(path.clone());
        while let Some(here) = at {
            if let Some(id) = self.known(&here) {
                return (here, id);
            }
            at = here.parent();
        }
        (RelPath::root(), TOP)
    }

    fn paths(&self) -> std::sync::MutexGuard<'_, Paths> {
        self.paths.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An answer of 1fichier itself, and not of something on the way to it.
fn is_clear(refusal: &Refusal) -> bool {
    matches!(refusal.error.kind(), ErrorKind::Denied | ErrorKind::NotFound)
}

fn join(path: &RelPath, name: &str) -> Result<RelPath> {
    path.join(name).map_err(|error| Error::new(ErrorKind::InvalidInput, error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> RelPath {
        RelPath::new(text).expect("legal")
    }

    #[test]
    fn forgetting_a_folder_forgets_what_is_below_it() {
        let tree =
            Tree::new(Index::new(None), Cache::default(), Looks::default(), Sending::default());
        for (number, text) in ["a", "a/b", "a/b/c", "ab"].into_iter().enumerate() {
            tree.learn(&path(text), number as u64 + 1);
        }
        assert!(tree.is_below(&path("a/b/c/new"), 2) && !tree.is_below(&path("ab"), 2));
        tree.forget_folder(1);
        assert_eq!(tree.deepest_known(&path("a/b/c")), (RelPath::root(), TOP));
        assert_eq!(tree.deepest_known(&path("ab/x")), (path("ab"), 4));
    }
}
