//! From paths to the numbers that 1fichier gives its folders.
//!
//! All paths here are those of the account, not of a remote's root, so that all remotes of an account share what is known.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use ketch_core::{Error, ErrorKind, RelPath, Result};
use tokio::time::Instant;

use crate::api::Api;
use crate::board::Board;
use crate::cache::{Cache, Change, FolderItem, FolderListing};
use crate::error::{Refusal, Said};
use crate::index::Index;
use crate::known::Known;
use crate::listing::{self, Habits};
use crate::looks::{Bounds, Looks};
use crate::names;
use crate::pace::{Listing as ListingCall, Want};

/// The number of the folder that holds all others.
pub(crate) const TOP: u64 = 0;
/// How many paths are remembered: at most twice this.
const PATHS_MAX: usize = 100_000;
/// How often in a run removals that lag are waited for in vain.
const LAGS_MAX: usize = 5;
/// How many folders are remembered that could not be made.
const REFUSED_MAX: usize = 4_096;

/// What is known about the folders of an account.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) cache: Cache,
    /// What was seen in this run.
    paths: Mutex<Paths>,
    /// What was seen in earlier ones.
    index: Index,
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
    pub(crate) fn new(index: Index, known: Known, board: Board, looks: Looks) -> Self {
        let habits = Habits::new(index.habit());
        let (cache, paths) = (Cache::new(known, board), Mutex::default());
        let (listing_locks, making_locks) = (Locks::default(), Locks::default());
        let (lags, refused) = (AtomicBool::default(), Mutex::default());
        Tree {
            cache,
            paths,
            index,
            listing_locks,
            making_locks,
            habits,
            lags,
            lags_in_vain: AtomicUsize::default(),
            refused,
            looks,
        }
    }

    /// Writes down what the next run may want to know.
    pub(crate) fn remember(&self) {
        self.index.learn_habit(self.habits.files());
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
        let listing = listing::fetch(api, id, &self.habits).await?;
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
        let asked = Instant::now();
        let listing = listing::fetch(api, id, &self.habits).await?;
        self.looks.listed(id);
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

    /// The listing of the folder at `path`; `None` when there is no such folder.
    pub(crate) async fn listing_of(
        &self,
        api: &Api,
        path: &RelPath,
    ) -> Result<Option<(u64, Arc<FolderListing>)>> {
        let Some(id) = self.resolve(api, path).await? else { return Ok(None) };
        let refusal = match self.seen(api, id).await {
            Ok(listing) => return Ok(Some((id, listing))),
            Err(refusal) => refusal,
        };
        if !matches!(refusal.said, Said::NotFound | Said::Other) || !is_clear(&refusal) || id == TOP
        {
            return Err(refusal.into());
        }
        // The number may be out of date: what a folder that is gone is answered with is not known.
        self.forget(path);
        if let Some(parent) = path.parent().and_then(|parent| self.known(&parent)) {
            self.cache.forget(parent);
        }
        match self.resolve(api, path).await? {
            None => Ok(None),
            Some(again) if again == id => Err(refusal.into()),
            Some(again) => Ok(Some((again, self.seen(api, again).await?))),
        }
    }

    /// The number of the folder at `path`; `None` when there is no such folder.
    pub(crate) async fn resolve(&self, api: &Api, path: &RelPath) -> Result<Option<u64>> {
        self.recall(api, path).await?;
        let (mut at, mut id) = self.deepest_known(path);
        let Some(rest) = path.relative_to(&at) else { return Ok(None) };
        let from_top = id == TOP;
        for name in rest.parts() {
            let listing = self.seen(api, id).await?;
            let Some(folder) = listing.folder(name) else { return Ok(None) };
            id = folder.id;
            at = join(&at, name)?;
            self.learn(&at, id);
        }
        if from_top {
            self.index.saw(path);
        }
        Ok(Some(id))
    }

    /// Makes what an earlier run knew of the folder at `path` known in this one, if it is proven: the folder has its name, and
    /// one of its files says that it is at that path. That saves the listings of all folders above. A number that is out of
    /// date is forgotten, and its folder is looked for from above.
    async fn recall(&self, api: &Api, path: &RelPath) -> Result<()> {
        let above = path.parent().filter(|above| !above.is_root());
        let Some(above) =
            above.filter(|above| self.known(path).is_none() && self.known(above).is_none())
        else {
            return Ok(());
        };
        // With the folder above known, one listing of it would tell as much.
        let Some(id) = self.index.get(path) else { return Ok(()) };
        tracing::trace!(%above, id, "an earlier run knew the folder");
        let listing = match self.seen(api, id).await {
            Ok(listing) => listing,
            Err(refusal) if is_clear(&refusal) && refusal.said != Said::Forbidden => {
                self.index.forget(path);
                return Ok(());
            }
            Err(refusal) => return Err(refusal.into()),
        };
        // Somebody may have moved it in the minutes since it was seen there, as somebody may while a run goes on. Only where
        // calls are dear is that taken into account.
        if api.settings.paced && self.index.is_trusted(path) {
            self.learn(path, id);
        } else if self.is_proven(api, path, id, &listing).await? {
            self.learn(path, id);
            self.index.saw(path);
        } else {
            self.index.forget(path);
        }
        Ok(())
    }

    /// Does one of the files of the folder, or of its first sub-folder, say that it is at that path?
    async fn is_proven(
        &self,
        api: &Api,
        path: &RelPath,
        id: u64,
        listing: &FolderListing,
    ) -> Result<bool> {
        let (path, id, file) = match (listing.files.first(), listing.folders.first()) {
            (Some(file), _) => (path.clone(), id, Some(file.clone())),
            (None, Some(below)) => {
                let Ok(path) = path.join(&below.name) else { return Ok(false) };
                let listing = self.seen(api, below.id).await?;
                (path, below.id, listing.files.first().cloned())
            }
            (None, None) => return Ok(false),
        };
        let Some(file) = file else { return Ok(false) };
        // Whoever does not answer has proven nothing, and the folders above are listed.
        let Ok(info) = api.file_info(&file.url).await else { return Ok(false) };
        Ok(info.folder_id == Some(id) && info.is_at(&path))
    }

    /// The number of the folder at `path`, made with all above it if need be. However many tasks ask for it at the same
    /// time, each folder is made once.
    pub(crate) async fn ensure(&self, api: &Api, path: &RelPath) -> Result<u64> {
        match (self.ensure_from_known(api, path).await, path.parts().next()) {
            // A folder above has gone since it was seen.
            (Err(error), Some(first)) if error.kind() == ErrorKind::NotFound => {
                self.forget(&join(&RelPath::root(), first)?);
                self.ensure_from_known(api, path).await
            }
            (result, _) => result,
        }
    }

    async fn ensure_from_known(&self, api: &Api, path: &RelPath) -> Result<u64> {
        self.recall(api, path).await?;
        // A person who waits is spared the listings of all folders above one that an earlier run knew.
        let mut above = path.parent().filter(|_| self.looks.is_on());
        while let Some(here) = above.filter(|here| self.known(here).is_none()) {
            self.recall(api, &here).await?;
            above = here.parent().filter(|_| self.known(&here).is_none());
        }
        let (mut at, mut id) = self.deepest_known(path);
        let Some(rest) = path.relative_to(&at) else { return Ok(TOP) };
        let from_top = id == TOP;
        for name in rest.parts() {
            at = join(&at, name)?;
            id = self.ensure_one(api, id, &at, name).await?;
        }
        if from_top {
            self.index.saw(path);
        }
        Ok(id)
    }

    async fn ensure_one(&self, api: &Api, parent: u64, path: &RelPath, name: &str) -> Result<u64> {
        // ORDER: a lock of each folder and not one of all in its parent. Whoever waits for a folder goes on as soon as it is
        // made, and not when those are made that others asked for meanwhile: files of one folder then travel together.
        let lock = self.making_locks.get(path.clone());
        let _one = lock.lock().await;
        if let Some(id) = self.known(path) {
            return Ok(id);
        }
        let listing = self.seen(api, parent).await?;
        if let Some(folder) = listing.folder(name) {
            if let Some(age) = self.looks.age(parent) {
                self.looks.found(path, age);
            }
            self.learn(path, folder.id);
            return Ok(folder.id);
        }
        if listing.files.iter().any(|file| file.name == name) {
            let message = format!("`{name}` is a file, a folder is needed there");
            return Err(Error::new(ErrorKind::AlreadyExists, message));
        }
        if let Some((kind, message)) = self.refused().get(path) {
            return Err(Error::new(*kind, message.as_str()));
        }
        let asked = Instant::now();
        let id = match api.mkdir(parent, &names::to_remote(name)?).await {
            Ok(id) => {
                // It was made just now, so what is in it need not be asked.
                self.cache.store(id, FolderListing::default(), asked);
                id
            }
            // Refused because it is there, or made although the answer was lost: the next listing tells.
            Err(refusal)
                if refusal.said == Said::Other
                    && matches!(
                        refusal.error.kind(),
                        ErrorKind::Denied | ErrorKind::CommitUnknown
                    ) =>
            {
                let listing = self.listing(api, parent, Duration::ZERO).await?;
                match listing.folder(name) {
                    Some(folder) => folder.id,
                    None => {
                        // Another file of the folder would ask for the same.
                        if refusal.error.kind() == ErrorKind::Denied {
                            let told = refusal.error.message().to_owned();
                            self.refused().insert(path.clone(), (ErrorKind::Denied, told));
                        }
                        return Err(refusal.into());
                    }
                }
            }
            Err(refusal) => {
                if refusal.said == Said::Name {
                    let told = refusal.error.message().to_owned();
                    self.refused().insert(path.clone(), (refusal.error.kind(), told));
                }
                return Err(refusal.into());
            }
        };
        let folder = FolderItem { name: name.to_owned(), id, date: None };
        self.cache.change(parent, Change::AddFolder(folder));
        self.learn(path, id);
        Ok(id)
    }

    /// Notes that a file of the folder at `path` says that it is there.
    pub(crate) fn saw(&self, path: &RelPath) {
        self.index.saw(path);
    }

    /// How many folders must be made, as far as is known, so that `path` is one.
    pub(crate) fn missing(&self, path: &RelPath) -> usize {
        path.parts().count() - self.deepest_known(path).0.parts().count()
    }

    /// The nearest folder above `path` that is known to be there.
    pub(crate) fn nearest(&self, path: &RelPath) -> RelPath {
        self.deepest_known(path).0
    }

    /// Remembers where a folder is.
    pub(crate) fn learn(&self, path: &RelPath, id: u64) {
        self.paths().insert(path, id);
        self.index.learn(path, id);
    }

    /// Forgets a folder and all below it.
    pub(crate) fn forget(&self, path: &RelPath) {
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

    fn refused(&self) -> std::sync::MutexGuard<'_, HashMap<RelPath, (ErrorKind, String)>> {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.len() >= REFUSED_MAX {
            refused.clear();
        }
        refused
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

/// Paths and numbers in two generations: when the young one is full it becomes the old one, and the old one is dropped,
/// unless it was used.
#[derive(Debug, Default)]
struct Paths {
    young: HashMap<RelPath, u64>,
    old: HashMap<RelPath, u64>,
}

impl Paths {
    fn get(&mut self, path: &RelPath) -> Option<u64> {
        if let Some(id) = self.young.get(path) {
            return Some(*id);
        }
        let id = self.old.remove(path)?;
        self.insert(path, id);
        Some(id)
    }

    fn insert(&mut self, path: &RelPath, id: u64) {
        if self.young.len() >= PATHS_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(path.clone(), id);
    }

    fn of(&self, id: u64) -> Vec<RelPath> {
        let all = self.young.iter().chain(&self.old);
        all.filter(|(_, known)| **known == id).map(|(path, _)| path.clone()).collect()
    }

    fn remove(&mut self, path: &RelPath) {
        self.young.retain(|known, _| !known.is_within(path));
        self.old.retain(|known, _| !known.is_within(path));
    }
}

/// One lock for each key that is in use.
#[derive(Debug)]
pub(crate) struct Locks<K>(Mutex<HashMap<K, Weak<tokio::sync::Mutex<()>>>>);

impl<K> Default for Locks<K> {
    fn default() -> Self {
        Locks(Mutex::default())
    }
}

impl<K: Eq + Hash> Locks<K> {
    /// The lock of `key`.
    pub(crate) fn get(&self, key: K) -> Arc<tokio::sync::Mutex<()>> {
        let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lock) = locks.get(&key).and_then(Weak::upgrade) {
            return lock;
        }
        if locks.len() >= 1_024 {
            locks.retain(|_, lock| lock.strong_count() > 0);
        }
        let lock = Arc::default();
        locks.insert(key, Arc::downgrade(&lock));
        lock
    }
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
            Tree::new(Index::new(None), Known::default(), Board::default(), Looks::default());
        for (number, text) in ["a", "a/b", "a/b/c", "ab"].into_iter().enumerate() {
            tree.learn(&path(text), number as u64 + 1);
        }
        assert!(tree.is_below(&path("a/b/c/new"), 2) && !tree.is_below(&path("ab"), 2));
        tree.forget_folder(1);
        assert_eq!(tree.deepest_known(&path("a/b/c")), (RelPath::root(), TOP));
        assert_eq!(tree.deepest_known(&path("ab/x")), (path("ab"), 4));
    }

    #[test]
    fn paths_in_use_survive_and_the_number_is_bounded() {
        let mut paths = Paths::default();
        paths.insert(&path("used"), 7);
        for number in 0..(PATHS_MAX as u64 * 3) {
            paths.insert(&path(&format!("p{number}")), number);
            if number % 1_000 == 0 {
                assert_eq!(paths.get(&path("used")), Some(7));
            }
        }
        assert!(paths.young.len() + paths.old.len() <= PATHS_MAX * 2);
    }

    #[test]
    fn a_lock_is_shared_while_it_is_in_use() {
        let locks = Locks::<u64>::default();
        let first = locks.get(1);
        assert!(Arc::ptr_eq(&first, &locks.get(1)));
        assert!(!Arc::ptr_eq(&first, &locks.get(2)));
    }
}
