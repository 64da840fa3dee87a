//! What is known about a file without reading it: digests that are remembered between jobs, and digests that this job
//! computed while the bytes passed.
//!
//! A remembered digest is used only for exactly the version of the file that it was computed for. For a local file that is
//! the version its disk shows, once it is settled (old enough that a further write would change it). For a file of a remote
//! it is everything the listing shows: size, version or handle, and time where the remote keeps times; and every digest
//! that the listing shows must agree with the remembered ones. For a file that this job stored itself the version need not
//! be settled: it is the version of the file that the job wrote, and its digest is that of what was sent.

use std::path::PathBuf;
use std::sync::OnceLock;

use ketch_core::{Entry, Hashes, nanoseconds};

use crate::blocking::blocking;
use crate::content::Facts;
use crate::place::Place;
use crate::state::{DigestCache, Marks};

/// A store that is opened when it is first needed. If it cannot be opened, the job works without it.
#[derive(Debug)]
pub(crate) struct Store {
    path: PathBuf,
    open: OnceLock<Option<DigestCache>>,
    unusable: OnceLock<String>,
}

impl Store {
    pub(crate) fn at(path: PathBuf) -> Self {
        Store { path, open: OnceLock::new(), unusable: OnceLock::new() }
    }

    pub(crate) fn path(&self) -> &PathBuf {
        &self.path
    }

    /// Why it was not used, if it was wanted and could not be.
    pub(crate) fn unusable(&self) -> Option<&str> {
        self.unusable.get().map(String::as_str)
    }

    /// The store. Blocks.
    pub(crate) fn get(&self) -> Option<&DigestCache> {
        let open = || match DigestCache::open(&self.path) {
            Ok(cache) => Some(cache),
            Err(error) => {
                self.unusable.get_or_init(|| error.to_string());
                None
            }
        };
        self.open.get_or_init(open).as_ref()
    }

    /// Writes down what was learnt, if it was ever opened. Blocks.
    pub(crate) fn finish(&self) {
        if let Some(Some(cache)) = self.open.get() {
            cache.finish();
        }
    }

    /// What is remembered about this version of a file, if everything that its listing shows agrees. Blocks.
    fn recall(&self, place: &Place, entry: &Entry) -> Option<Facts> {
        let facts = self.get()?.recall(&place.key(entry), &version(place, entry)?)?;
        agrees(&facts.hashes, entry).then_some(facts)
    }

    /// Can one more fact be added without blocking?
    fn takes_at_once(&self) -> bool {
        matches!(self.open.get(), Some(Some(cache)) if cache.takes_at_once())
    }
}

/// Both stores.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Of all jobs; `None` = nothing is remembered.
    pub(crate) cache: Option<Store>,
    /// Of this job alone; `None` = it is not wanted.
    pub(crate) fresh: Option<Store>,
}

impl Known {
    /// What this job itself stored under this name, if it is still that version. Blocks.
    pub(crate) fn stored(&self, place: &Place, entry: &Entry) -> Option<Facts> {
        self.fresh.as_ref()?.recall(place, entry)
    }

    /// What was learnt about a file of a remote when it was sent. Blocks.
    pub(crate) fn sent(&self, place: &Place, entry: &Entry) -> Option<Facts> {
        self.cache_of(place)?.recall(place, entry)
    }

    /// Was anything ever learnt about this place by sending a file? Blocks.
    pub(crate) fn has_sent(&self, place: &Place) -> bool {
        let cache = self.cache_of(place).and_then(Store::get);
        cache.is_some_and(|cache| cache.has_any_below(&place.folder()))
    }

    /// Where digests of files that were sent to a place are remembered; `None` for local files, which are read instead.
    pub(crate) fn cache_of(&self, place: &Place) -> Option<&Store> {
        self.cache.as_ref().filter(|_| !place.is_at_hand())
    }

    /// Remembers the digests that were computed while `stored` was sent.
    pub(crate) async fn learn(
        this: &std::sync::Arc<Self>,
        place: &Place,
        stored: &Entry,
        facts: Facts,
    ) {
        let cache = this.cache_of(place);
        let stores = [this.fresh.as_ref(), cache];
        let Some(version) = version(place, stored).filter(|_| stores.iter().any(Option::is_some))
        else {
            return;
        };
        let (key, mut facts) = (place.key(stored), facts);
        // Later listings are compared with what the remote showed at once.
        let shown = stored.hashes.iter().flat_map(|hashes| hashes.iter());
        shown.for_each(|digest| facts.hashes.insert(digest.clone()));
        if place.backend.capabilities().mtime_by_inspect {
            facts.mtime = stored.mtime;
        }
        let takes_at_once = stores.into_iter().flatten().all(Store::takes_at_once);
        let (this, for_cache) = (std::sync::Arc::clone(this), cache.is_some());
        let remember = move || {
            let cache = this.cache.as_ref().filter(|_| for_cache);
            for store in [this.fresh.as_ref(), cache].into_iter().flatten() {
                if let Some(store) = store.get() {
                    store.remember(key.clone(), version.clone().into(), facts.clone());
                }
            }
        };
        if takes_at_once {
            return remember();
        }
        // Losing it costs time and nothing else.
        let _ = blocking(move |_| {
            remember();
            Ok(())
        })
        .await;
    }
}

/// Does everything that the listing shows agree with what is remembered?
fn agrees(remembered: &Hashes, entry: &Entry) -> bool {
    let mut shown = entry.hashes.iter().flat_map(|hashes| hashes.iter());
    shown.all(|digest| remembered.get(digest.algo()) == Some(digest))
}

/// What distinguishes this content from any other under its name; `None` if nothing does.
fn version(place: &Place, entry: &Entry) -> Option<String> {
    if place.is_at_hand() {
        return entry.version.as_deref().map(str::to_owned);
    }
    let shown = place.backend.capabilities();
    // A time that listings do not show distinguishes no entry from another.
    let time = entry.mtime.filter(|_| shown.mtime.is_some() && !shown.mtime_by_inspect);
    if entry.version.is_none() && entry.handle.is_none() && time.is_none() {
        return None;
    }
    let since = time.map(nanoseconds);
    let fingerprint = Marks::fingerprint(&[
        &format!("{:?} {since:?}", entry.size),
        entry.version.as_deref().unwrap_or_default(),
        entry.handle.as_deref().unwrap_or_default(),
    ]);
    Some(format!("{:032x}", u128::from_be_bytes(fingerprint)))
}
