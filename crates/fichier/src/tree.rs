//! From paths to the numbers that 1fichier gives its folders.
//!
//! All paths here are those of the account, not of a remote's root, so that all remotes of an account share what is known.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use ketch_core::{Error, ErrorKind, RelPath, Result, Retry};
use tokio::time::Instant;

use crate::api::{Api, polls};
use crate::cache::{Cache, Change, FolderItem, FolderListing};
use crate::error::{Refusal, Said};
use crate::index::Index;
use crate::listing::{self, Habits};
use crate::looks::{Bounds, Looks};
use crate::pace::{Listing as ListingCall, Want};
use crate::{names, reconcile};

/// The number of the folder that holds all others.
pub(crate) const TOP: u64 = 0;
/// How many paths are remembered: at most twice this.
const PATHS_MAX: usize = 100_000;
/// How often in a run removals that lag are waited for in vain.
const LAGS_MAX: usize = 5;
/// How many folders are remembered that could not be made.
const REFUSED_MAX: usize = 4_096;
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
    pub(crate) fn new(index: Index, cache: Cache, looks: Looks) -> Self {
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

    /// The listing of the folder at `path`; `None` when there is no such folder, as a listing of its parent shows.
    ///
    /// Errors: `Unavailable` when 1fichier does not find a folder that its parent shows, or the top.
    pub(crate) async fn listing_of(
        &self,
        api: &Api,
        path: &RelPath,
    ) -> Result<Option<(u64, Arc<FolderListing>)>> {
        let Some(id) = self.resolve(api, path).await? else { return Ok(None) };
        self.listing_at(api, path, id).await
    }

    /// The listings of all folders at `path`: the first is that of [`Tree::listing_of`], the others are of folders of the
    /// same name.
    pub(crate) async fn listings_of(
        &self,
        api: &Api,
        path: &RelPath,
    ) -> Result<Vec<(u64, Arc<FolderListing>)>> {
        let Some(first) = self.listing_of(api, path).await? else { return Ok(Vec::new()) };
        let mut all = vec![first];
        for id in self.twins(path) {
            all.push((id, self.twin(api, path, id).await?));
        }
        Ok(all)
    }

    /// The listing of another folder at `path`. Where it is not found, the next look begins with a new one at its parent.
    async fn twin(&self, api: &Api, path: &RelPath, id: u64) -> Result<Arc<FolderListing>> {
        match self.seen(api, id).await {
            Ok(listing) => Ok(listing),
            Err(refusal) if refusal.error.kind() == ErrorKind::NotFound => {
                self.forget(path);
                if let Some(parent) = path.parent() {
                    self.distrust(&parent);
                }
                Err(not_found(path).with_retry(Retry::Backoff))
            }
            Err(refusal) => Err(refusal.into()),
        }
    }

    /// The listing of the folder that is known to have the number `id` at `path`. One answer that it is not there proves
    /// nothing: its parent is asked, and where that shows it, or there is none, it is asked once more.
    fn listing_at<'a>(
        &'a self,
        api: &'a Api,
        path: &'a RelPath,
        id: u64,
    ) -> BoxFuture<'a, Result<Option<Listed>>> {
        async move {
            let refusal = match self.seen(api, id).await {
                Ok(listing) => return Ok(Some((id, listing))),
                Err(refusal) => refusal,
            };
            if !matches!(refusal.said, Said::NotFound | Said::Other) || !is_clear(&refusal) {
                return Err(refusal.into());
            }
            let is_missing =
                refusal.said == Said::NotFound || refusal.error.kind() == ErrorKind::NotFound;
            let Some(parent) = path.parent().filter(|_| id != TOP) else {
                if !is_missing {
                    return Err(refusal.into());
                }
                return self.once_more(api, path, id).await;
            };
            // The number may be out of date: what a folder that is gone is answered with is not known.
            self.forget(path);
            self.distrust(&parent);
            match self.resolve(api, path).await? {
                None => Ok(None),
                Some(again) if again == id && is_missing => self.once_more(api, path, id).await,
                Some(again) if again == id => Err(refusal.into()),
                Some(again) => match self.seen(api, again).await {
                    Ok(listing) => Ok(Some((again, listing))),
                    Err(refusal) if refusal.said == Said::NotFound => Err(not_found(path)),
                    Err(refusal) => Err(refusal.into()),
                },
            }
        }
        .boxed()
    }

    async fn once_more(
        &self,
        api: &Api,
        path: &RelPath,
        id: u64,
    ) -> Result<Option<(u64, Arc<FolderListing>)>> {
        if let Some(wait) = polls(&api.settings).next() {
            tokio::time::sleep(wait).await;
        }
        match self.listing(api, id, api.pacer.listing_life()).await {
            Ok(listing) => Ok(Some((id, listing))),
            Err(refusal) if refusal.error.kind() == ErrorKind::NotFound => Err(not_found(path)),
            Err(refusal) => Err(refusal.into()),
        }
    }

    /// The number of the folder at `path`; `None` when there is no such folder.
    pub(crate) async fn resolve(&self, api: &Api, path: &RelPath) -> Result<Option<u64>> {
        self.recall(api, path).await?;
        let (mut at, id) = self.deepest_known(path);
        let Some(rest) = path.relative_to(&at) else { return Ok(None) };
        let from_top = id == TOP;
        let mut ids = self.all_at(&at, id);
        for name in rest.parts() {
            let below = join(&at, name)?;
            let Some(found) = self.find(api, &at, &ids, name).await? else { return Ok(None) };
            self.learn_all(&below, &found);
            (at, ids) = (below, found);
        }
        if from_top {
            self.index.saw(path);
        }
        Ok(ids.first().copied())
    }

    /// The numbers of the folders called `name` in the folders `ids`, which are all at `path`: the oldest first. `None`: there
    /// is none.
    async fn find(
        &self,
        api: &Api,
        path: &RelPath,
        ids: &[u64],
        name: &str,
    ) -> Result<Option<Vec<u64>>> {
        let above = self.above(path);
        let mut found = Vec::new();
        for (index, id) in ids.iter().enumerate() {
            let listing = match index {
                0 => match self.listing_at(api, path, *id).await? {
                    Some((_, listing)) => listing,
                    None => return Ok(None),
                },
                _ => self.twin(api, path, *id).await?,
            };
            found.extend(listing.folders_of(name).map(|folder| folder.id));
        }
        // A folder that lists one above itself would have no end.
        found.retain(|id| *id != TOP && !ids.contains(id) && !above.contains(id));
        found.sort_unstable();
        found.dedup();
        Ok((!found.is_empty()).then_some(found))
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
            let below = join(&at, name)?;
            id = self.ensure_one(api, (&at, id), &below, name).await?;
            at = below;
        }
        if from_top {
            self.index.saw(path);
        }
        Ok(id)
    }

    async fn ensure_one(
        &self,
        api: &Api,
        (above, parent): (&RelPath, u64),
        path: &RelPath,
        name: &str,
    ) -> Result<u64> {
        // ORDER: a lock of each folder and not one of all in its parent. Whoever waits for a folder goes on as soon as it is
        // made, and not when those are made that others asked for meanwhile: files of one folder then travel together.
        let lock = self.making_locks.get(path.clone());
        let _one = lock.lock().await;
        if let Some(id) = self.known(path) {
            return Ok(id);
        }
        let ids = self.all_at(above, parent);
        if let Some(found) = self.find(api, above, &ids, name).await? {
            if let Some(age) = self.looks.age(parent) {
                self.looks.found(path, age);
            }
            self.learn_all(path, &found);
            return Ok(found[0]);
        }
        let listing = self.cache.last(parent);
        if listing.is_some_and(|listing| listing.files.iter().any(|file| file.name == name)) {
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

    /// Was the folder at `path` seen there in the last `span`?
    pub(crate) fn saw_within(&self, path: &RelPath, span: Duration) -> bool {
        self.index.saw_within(path, span)
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

/// 1fichier says that a folder is not there which is.
fn not_found(path: &RelPath) -> Error {
    let what = if path.is_root() { "its top folder".to_owned() } else { format!("`{path}`") };
    let message = format!(
        "1fichier does not find {what}, which must be there: nothing is concluded from that"
    );
    Error::new(ErrorKind::Unavailable, message)
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
    /// The path that was learnt last of each number of the young ones.
    numbers: HashMap<u64, RelPath>,
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
            self.numbers.clear();
        }
        self.young.insert(path.clone(), id);
        self.numbers.insert(id, path.clone());
    }

    /// The path at which a number was seen, of those that are still known.
    fn of_number(&self, id: u64) -> Option<RelPath> {
        self.numbers.get(&id).cloned()
    }

    fn of(&self, id: u64) -> Vec<RelPath> {
        let all = self.young.iter().chain(&self.old);
        all.filter(|(_, known)| **known == id).map(|(path, _)| path.clone()).collect()
    }

    fn remove(&mut self, path: &RelPath) {
        self.numbers.retain(|_, known| !known.is_within(path));
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
        let tree = Tree::new(Index::new(None), Cache::default(), Looks::default());
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
