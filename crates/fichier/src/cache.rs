//! The listings of the last half minute, kept right by this process's own changes.
//!
//! 1fichier has no call that looks up one name, and lists a folder only every 30 s. So what a listing showed is used again
//! for as long as asking again would have to wait. A change of our own is entered here at once, and also into a listing
//! that was on its way when the change was made.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::board::Board;
use crate::items::Places;
use crate::items::{Change, FileItem, FolderListing};
use crate::known::Known;
use crate::recent::Recent;

/// The most folders, and the most entries in all of them, that are kept.
const FOLDERS_MAX: usize = 64;
const ENTRIES_MAX: usize = 100_000;
/// The most changes, and the longest time, that are remembered for listings on their way and listings that lag.
const CHANGES_MAX: usize = 4_096;
const CHANGES_LIFE: Duration = Duration::from_secs(600);

/// The listings.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    /// Shared by the accounts of this process that are one account.
    inner: Arc<Mutex<Inner>>,
    /// Are listings that others have asked for as good as those of this process?
    takes_adopted: bool,
    /// What folders held that were listed earlier, kept right by the same changes.
    pub(crate) known: Known,
    /// The same for other processes.
    pub(crate) board: Board,
    /// The same changes and those of other processes of this machine.
    pub(crate) recent: Recent,
}

#[derive(Debug, Default)]
pub(crate) struct Inner {
    folders: HashMap<u64, Slot>,
    entries: usize,
    uses: u64,
    changes: VecDeque<(Instant, u64, Change)>,
}

#[derive(Debug)]
struct Slot {
    taken: Instant,
    used: u64,
    listing: Arc<FolderListing>,
    /// Another process has asked for it.
    is_adopted: bool,
}

impl Cache {
    /// A cache beside what is remembered and what is shared.
    pub(crate) fn new(known: Known, recent: Recent, board: Board) -> Self {
        Cache { inner: Arc::default(), takes_adopted: false, known, board, recent }
    }

    /// The same with the listings that `other` holds, as far as this process has asked for them; `takes_adopted`: all of them.
    pub(crate) fn beside(self, other: Option<&Cache>, takes_adopted: bool) -> Self {
        let inner = other.map_or(self.inner, |other| Arc::clone(&other.inner));
        Cache { inner, takes_adopted, ..self }
    }

    fn is_good(&self, slot: &Slot) -> bool {
        self.takes_adopted || !slot.is_adopted
    }

    /// The listing of a folder if it is younger than `life`.
    pub(crate) fn get(&self, folder: u64, life: Duration) -> Option<Arc<FolderListing>> {
        let mut inner = self.lock();
        inner.uses += 1;
        let uses = inner.uses;
        let is_good = |slot: &Slot| slot.taken.elapsed() < life && self.is_good(slot);
        let slot = inner.folders.get_mut(&folder).filter(|slot| is_good(slot))?;
        slot.used = uses;
        Some(Arc::clone(&slot.listing))
    }

    /// The last listing of a folder, however old it is.
    pub(crate) fn last(&self, folder: u64) -> Option<Arc<FolderListing>> {
        let inner = self.lock();
        let slot = inner.folders.get(&folder).filter(|slot| self.is_good(slot));
        slot.map(|slot| Arc::clone(&slot.listing))
    }

    /// The folders in which these addresses were listed last, of those that are kept.
    pub(crate) fn places<'a>(&self, urls: impl Iterator<Item = &'a str>) -> Places {
        let wanted: HashSet<&str> = urls.collect();
        let inner = self.lock();
        let mut places: HashMap<&str, (Instant, u64)> = HashMap::new();
        for (folder, slot) in &inner.folders {
            let urls = slot.listing.files.iter().map(|file| file.url.as_str());
            for url in urls.filter(|url| wanted.contains(url)) {
                let newest = places.entry(url).or_insert((slot.taken, *folder));
                if slot.taken > newest.0 {
                    *newest = (slot.taken, *folder);
                }
            }
        }
        places.into_iter().map(|(url, (_, folder))| (url.to_owned(), folder)).collect()
    }

    /// Has this process removed the file at `url` from `folder` not long ago?
    pub(crate) fn has_removed(&self, folder: u64, url: &str) -> bool {
        let is_it = |change: &Change| matches!(change, Change::RemoveFile(gone) if gone == url);
        self.lock().changes.iter().any(|(_, place, change)| *place == folder && is_it(change))
    }

    /// Keeps a complete listing that was asked for at `asked`, and returns it with our own changes entered.
    ///
    /// What was removed stays removed although the server may go on listing it for a while: an address never comes back.
    /// What was added is entered only if the request may have been answered before.
    pub(crate) fn store(
        &self,
        folder: u64,
        mut listing: FolderListing,
        asked: Instant,
    ) -> Arc<FolderListing> {
        let mut inner = self.lock();
        for (at, place, change) in &inner.changes {
            if *place == folder && (*at >= asked || change.is_removal()) {
                listing.apply(change);
            }
        }
        let listing = Arc::new(listing);
        self.known.learn(folder, &listing);
        inner.keep(folder, &listing, false);
        drop(inner);
        self.board.post(folder, &listing, SystemTime::now() - asked.elapsed());
        listing
    }

    /// Keeps a listing that another process has asked for, as if it were one of now.
    pub(crate) fn adopt(&self, folder: u64, listing: FolderListing) -> Arc<FolderListing> {
        let listing = Arc::new(listing);
        self.lock().keep(folder, &listing, true);
        listing
    }

    /// Enters a change of our own.
    pub(crate) fn change(&self, folder: u64, change: Change) {
        self.recent.note(folder, &change);
        self.known.change(folder, &change);
        self.board.note(folder, &change);
        self.lock().change(folder, change);
    }

    /// Enters a new file, takes all others of its name out and returns them: of several writers of one name, each old
    /// version is handed to exactly one, who enters the removal when it has been made.
    pub(crate) fn replace(&self, folder: u64, file: FileItem) -> Vec<FileItem> {
        let mut inner = self.lock();
        let slot = inner.folders.get(&folder);
        let known = slot.map(|slot| slot.listing.files(&file.name)).unwrap_or_default();
        let old: Vec<FileItem> =
            known.into_iter().filter(|known| known.url != file.url).cloned().collect();
        for file in &old {
            let change = Change::RemoveFile(file.url.clone());
            self.known.change(folder, &change);
            inner.apply(folder, &change);
        }
        let change = Change::AddFile(file);
        self.recent.note(folder, &change);
        self.known.change(folder, &change);
        self.board.note(folder, &change);
        inner.change(folder, change);
        old
    }

    /// Forgets a folder, for example because it is gone.
    pub(crate) fn forget(&self, folder: u64) {
        self.known.forget(folder);
        self.board.forget(folder);
        let mut inner = self.lock();
        if let Some(slot) = inner.folders.remove(&folder) {
            inner.entries -= slot.listing.len();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn keep(&mut self, folder: u64, listing: &Arc<FolderListing>, is_adopted: bool) {
        self.uses += 1;
        let (taken, listing) = (Instant::now(), Arc::clone(listing));
        let slot = Slot { taken, used: self.uses, listing, is_adopted };
        let listing = &slot.listing;
        self.entries += listing.len();
        if let Some(old) = self.folders.insert(folder, slot) {
            self.entries -= old.listing.len();
        }
        self.shrink();
    }

    fn apply(&mut self, folder: u64, change: &Change) {
        if let Some(slot) = self.folders.get_mut(&folder) {
            let before = slot.listing.len();
            let listing = Arc::make_mut(&mut slot.listing);
            listing.apply(change);
            self.entries = self.entries - before + listing.len();
        }
    }

    fn change(&mut self, folder: u64, change: Change) {
        self.apply(folder, &change);
        let now = Instant::now();
        self.changes.retain(|(at, place, old)| {
            now - *at < CHANGES_LIFE && !(*place == folder && change.undoes(old))
        });
        if self.changes.len() == CHANGES_MAX {
            self.changes.pop_front();
        }
        self.changes.push_back((now, folder, change));
    }

    /// Gives up the listings that were not used for the longest time. The last one stays, however long it is.
    fn shrink(&mut self) {
        while self.folders.len() > 1
            && (self.folders.len() > FOLDERS_MAX || self.entries > ENTRIES_MAX)
        {
            let oldest = self.folders.iter().min_by_key(|(_, slot)| slot.used).map(|(id, _)| *id);
            if let Some(slot) = oldest.and_then(|id| self.folders.remove(&id)) {
                self.entries -= slot.listing.len();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFE: Duration = Duration::from_secs(30);

    fn file(name: &str, url: &str) -> FileItem {
        FileItem { name: name.into(), url: url.into(), size: Some(1), date: None, hash: None }
    }

    fn listing(urls: &[&str]) -> FolderListing {
        let files = urls.iter().map(|url| file("f", url)).collect();
        FolderListing { folders: Vec::new(), files }
    }

    fn urls(listing: &FolderListing) -> Vec<&str> {
        let mut urls: Vec<_> = listing.files.iter().map(|file| file.url.as_str()).collect();
        urls.sort_unstable();
        urls
    }

    #[tokio::test(start_paused = true)]
    async fn own_changes_are_in_listings_that_were_on_their_way() {
        let cache = Cache::default();
        cache.change(1, Change::AddFile(file("f", "before")));
        tokio::time::advance(Duration::from_secs(1)).await;
        let asked = Instant::now();
        cache.change(1, Change::AddFile(file("f", "during")));
        cache.change(1, Change::RemoveFile("gone".into()));
        let stored = cache.store(1, listing(&["gone", "there"]), asked);
        assert_eq!(urls(&stored), ["during", "there"]);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(cache.get(1, LIFE).is_none(), "too old");
        let stored = cache.store(1, listing(&["gone", "there"]), Instant::now());
        assert_eq!(urls(&stored), ["there"], "a listing that lags must not bring a file back");
        cache.change(1, Change::AddFile(file("f", "gone")));
        let stored = cache.store(1, listing(&["gone"]), Instant::now());
        assert_eq!(urls(&stored), ["gone"], "moved away and back again");
    }

    #[tokio::test]
    async fn what_others_have_asked_for_is_not_shown_to_those_who_conclude_from_it() {
        let person = Cache { takes_adopted: true, ..Cache::default() };
        let job = Cache::default().beside(Some(&person), false);
        person.store(1, listing(&["a"]), Instant::now());
        person.adopt(2, listing(&["b"]));
        assert!(person.get(1, LIFE).is_some() && person.get(2, LIFE).is_some());
        assert!(job.get(1, LIFE).is_some(), "this process has asked for it");
        assert!(job.get(2, LIFE).is_none() && job.last(2).is_none());
    }

    #[tokio::test]
    async fn each_old_version_is_handed_to_one_writer() {
        let cache = Cache::default();
        cache.store(1, listing(&["a", "b"]), Instant::now());
        let first = cache.replace(1, file("f", "c"));
        assert_eq!(first.len(), 2);
        let second = cache.replace(1, file("f", "d"));
        assert_eq!(second.iter().map(|file| file.url.as_str()).collect::<Vec<_>>(), ["c"]);
        assert_eq!(urls(&cache.get(1, LIFE).expect("kept")), ["d"]);
        let fresh = cache.store(1, listing(&["a", "d"]), Instant::now());
        assert_eq!(urls(&fresh), ["a", "d"], "what was not removed after all is seen again");
    }

    #[tokio::test]
    async fn the_number_of_folders_and_entries_is_bounded() {
        let cache = Cache::default();
        for folder in 0..200 {
            cache.store(folder, listing(&["a"]), Instant::now());
        }
        assert!(cache.lock().folders.len() <= FOLDERS_MAX);
        let many: Vec<String> = (0..60_000).map(|number| number.to_string()).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        cache.store(1_000, listing(&many), Instant::now());
        cache.store(1_001, listing(&many), Instant::now());
        assert_eq!(cache.lock().entries, 60_000);
        assert!(cache.get(1_001, LIFE).is_some());
        cache.forget(1_001);
        assert_eq!(cache.lock().entries, 0);
    }
}
