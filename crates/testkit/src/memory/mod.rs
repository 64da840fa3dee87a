//! A backend in memory: the contract of [`Backend`] as a program, with every capability switchable.
//!
//! Where the contract leaves a choice this backend takes the strict side: it checks versions at each piece of a read, checks
//! `expect` before the body is pulled and again when it is stored, and shows a listing in another order each time unless it
//! claims one.

mod change;
mod facets;
mod parts;
mod seed;
mod shapes;
mod tree;
mod uploads;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use ketch_core::hash::hash_bytes;
use ketch_core::source::{BytesSource, open_exact};
use ketch_core::{
    About, Backend, Body, ByteBudget, ByteStream, Capabilities, Checkpoint, Entry, EntryKind,
    EntryStream, Error, ErrorKind, Expect, Facets, HashAlgo, ListOptions, Metadata, Order, Page,
    PutOptions, ReadOptions, RelPath, Result, compare_keys,
};

use self::parts::{Parts, Receiving};
use self::tree::{File, Folder, Node};
use self::uploads::Uploads;

pub use self::parts::KEPT_BYTES;
pub use shapes::{MakeShape, SHAPES};

/// The modification time of everything that is seeded without one: 2023-11-14 22:13:20 UTC.
pub fn seed_time() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)
}

/// The longest piece a read hands out.
const PIECE_BYTES: usize = 64 * 1024;
/// Entries of one page of a listing of everything.
const FLAT_PAGE: usize = 100;
/// Where the listing order of a new backend starts; see [`MemoryBackend::set_listing_seed`].
const LISTING_SEED: u64 = 0x6b65_7463;

/// Numbers volumes and files, so that no two are taken for one another.
static NEXT_ID: AtomicU64 = AtomicU64::new(1);

fn next_id() -> u64 {
    NEXT_ID.fetch_add(1, Ordering::Relaxed)
}

/// A place in memory. Views made with [`MemoryBackend::reopen`] share its content.
pub struct MemoryBackend {
    name: String,
    capabilities: Capabilities,
    /// Made when it is first asked for: until then scope and location can be set.
    about: OnceLock<About>,
    facets: OnceLock<Facets>,
    volume: Arc<Volume>,
    /// The folder of the volume that is the root.
    prefix: RelPath,
    shows_versions: bool,
    listing_order: Arc<Mutex<fastrand::Rng>>,
}

/// What the views of one place share.
struct Volume {
    id: u64,
    account: Mutex<Arc<Mutex<Account>>>,
    scope: OnceLock<String>,
    location: OnceLock<String>,
    /// What interrupted puts left.
    parts: Arc<Parts>,
    trusts_parts: AtomicBool,
    lists_out_of_order: AtomicBool,
    /// Objects that are being stored as parts.
    uploads: Uploads,
    buffers: ByteBudget,
}

/// Volumes that can copy among each other, under one lock.
type Account = BTreeMap<u64, Folder>;

/// Where the thing of an entry is.
struct Place {
    volume: u64,
    path: RelPath,
    /// Which of the files of that path; `None` when the entry does not say.
    id: Option<u64>,
}

impl fmt::Debug for MemoryBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryBackend").field("name", &self.name).finish_non_exhaustive()
    }
}

impl MemoryBackend {
    /// An empty place that can do everything: key order, ranges, every digest, times to the nanosecond.
    pub fn new(name: &str) -> Self {
        Self::with(name, Self::everything())
    }

    /// An empty place that can do what `capabilities` says and nothing else.
    pub fn with(name: &str, capabilities: Capabilities) -> Self {
        let id = next_id();
        let account = Arc::new(Mutex::new(BTreeMap::from([(id, Folder::new(seed_time()))])));
        MemoryBackend {
            name: name.to_owned(),
            capabilities,
            about: OnceLock::new(),
            facets: OnceLock::new(),
            volume: Arc::new(Volume {
                id,
                account: Mutex::new(account),
                scope: OnceLock::new(),
                location: OnceLock::new(),
                parts: Arc::default(),
                trusts_parts: AtomicBool::new(false),
                lists_out_of_order: AtomicBool::new(false),
                uploads: Uploads::default(),
                buffers: ByteBudget::new(1 << 20),
            }),
            prefix: RelPath::root(),
            shows_versions: true,
            listing_order: Arc::new(Mutex::new(fastrand::Rng::with_seed(LISTING_SEED))),
        }
    }

    /// Entries show no version, as on a remote of ids: an entry whose file was replaced is simply gone.
    pub fn without_versions(mut self) -> Self {
        self.shows_versions = false;
        self
    }

    /// The same place with `folder` of it as the root, whether it exists or not.
    pub fn reopen(&self, folder: &str) -> MemoryBackend {
        let below = RelPath::from_user(folder).expect("a legal path");
        MemoryBackend {
            name: format!("{}/{below}", self.name),
            capabilities: self.capabilities.clone(),
            about: OnceLock::new(),
            facets: OnceLock::new(),
            volume: Arc::clone(&self.volume),
            prefix: self.prefix.join_path(&below),
            shows_versions: self.shows_versions,
            listing_order: Arc::clone(&self.listing_order),
        }
    }

    /// Sets what [`About::scope`] says. Once only.
    pub fn set_scope(&self, scope: &str) {
        self.volume.scope.set(scope.to_owned()).expect("the scope is set once");
    }

    /// Sets what [`About::location`] says of the root of the place. Once only.
    pub fn set_location(&self, location: &str) {
        self.volume.location.set(location.to_owned()).expect("the location is set once");
    }

    /// Makes this place part of the account of `other`, so that each takes the other's entries in `copy` and `rename`.
    /// Both then have the scope of `other`.
    pub fn share_account(&self, other: &MemoryBackend) {
        let scope = || format!("memory-account-{}", other.volume.id);
        let scope = other.volume.scope.get_or_init(scope);
        assert_eq!(
            self.volume.scope.get_or_init(|| scope.clone()),
            scope,
            "one account, one scope"
        );
        let theirs = Arc::clone(&lock(&other.volume.account));
        let mut mine = lock(&self.volume.account);
        if !Arc::ptr_eq(&theirs, &mine) {
            let tree = lock(&mine).remove(&self.volume.id).expect("a volume has a tree");
            lock(&theirs).insert(self.volume.id, tree);
            *mine = theirs;
        }
    }

    /// Starts the order of listings anew from `seed`.
    pub fn set_listing_seed(&self, seed: u64) {
        *lock(&self.listing_order) = fastrand::Rng::with_seed(seed);
    }

    fn account(&self) -> Arc<Mutex<Account>> {
        Arc::clone(&lock(&self.volume.account))
    }

    fn with_tree<T>(&self, work: impl FnOnce(&mut Folder) -> T) -> T {
        work(lock(&self.account()).get_mut(&self.volume.id).expect("a volume has a tree"))
    }

    fn full(&self, path: &RelPath) -> RelPath {
        self.prefix.join_path(path)
    }

    fn entry(&self, path: RelPath, node: &Node) -> Entry {
        let full = self.full(&path);
        let handle = |id: u64| Some(format!("{}:{id}:{full}", self.volume.id).into_boxed_str());
        match node {
            Node::File(file) => Entry {
                size: Some(file.content.len() as u64),
                mtime: Some(file.mtime),
                version: self.shows_versions.then(|| format!("v{}", file.id).into_boxed_str()),
                handle: handle(file.id),
                hashes: file.hashes.clone().map(Box::new),
                claimed: file.claimed.clone().map(Box::new),
                ..Entry::bare(path, EntryKind::File)
            },
            Node::Dir(folder) => Entry {
                mtime: Some(folder.made),
                handle: handle(0),
                ..Entry::bare(path, EntryKind::Dir)
            },
            Node::Special(special) => Entry::bare(path, EntryKind::Special(*special)),
        }
    }

    /// The same as a listing shows it.
    fn listed(&self, path: RelPath, node: &Node) -> Entry {
        let entry = self.entry(path, node);
        let hides_time = self.capabilities.mtime_by_inspect && entry.is_file();
        Entry { mtime: entry.mtime.filter(|_| !hides_time), ..entry }
    }

    fn place(&self, entry: &Entry) -> Place {
        let from_handle = entry.handle.as_deref().and_then(|handle| {
            let mut parts = handle.splitn(3, ':');
            let volume = parts.next()?.parse().ok()?;
            let id: u64 = parts.next()?.parse().ok()?;
            let path = RelPath::new(parts.next()?).ok()?;
            Some(Place { volume, path, id: (id != 0).then_some(id) })
        });
        from_handle.unwrap_or_else(|| Place {
            volume: self.volume.id,
            path: self.full(&entry.path),
            id: None,
        })
    }

    /// The file of `entry`: `Changed` when another has its name, `NotFound` when none has.
    fn find_file<'a>(&self, account: &'a Account, entry: &Entry) -> Result<&'a File> {
        let place = self.place(entry);
        let tree = account.get(&place.volume).ok_or_else(foreign)?;
        let mut files = tree.files(&place.path).peekable();
        let is_there = files.peek().is_some();
        let found = files.find(|file| match (place.id, entry.version.as_deref()) {
            (Some(id), _) => file.id == id,
            (None, Some(version)) => *version == *format!("v{}", file.id),
            (None, None) => true,
        });
        match found {
            Some(file) => Ok(file),
            None if is_there && self.shows_versions => Err(changed()),
            None => Err(not_found()),
        }
    }

    fn file(&self, content: Bytes, mtime: Option<SystemTime>) -> File {
        let digests = |algos: &[HashAlgo]| (!algos.is_empty()).then(|| hash_bytes(algos, &content));
        let hashes = digests(self.capabilities.hashes);
        let claimed = digests(self.capabilities.claimed_hashes);
        let mtime = match (self.capabilities.mtime, mtime) {
            (Some(precision), Some(mtime)) => truncate(mtime, precision),
            (Some(precision), None) => truncate(SystemTime::now(), precision),
            (None, _) => SystemTime::now(),
        };
        File { id: next_id(), content, mtime, hashes, claimed }
    }

    async fn pull(&self, body: &Body, mut receiving: Receiving) -> Result<Bytes> {
        let mut stream = open_exact(&**body).await?;
        while let Some(piece) = stream.next().await {
            receiving.content.extend_from_slice(&piece?);
        }
        Ok(receiving.done())
    }

    /// From now on what interrupted puts left is believed unseen: a fault for tests to find.
    pub fn trust_parts(&self) {
        self.volume.trusts_parts.store(true, Ordering::Relaxed);
    }

    /// Changes a byte of what interrupted puts to `path` left.
    pub fn damage_part(&self, path: &str) {
        let path = RelPath::new(path).expect("a legal path");
        parts::damage_content(&self.volume.parts, &path);
        self.volume.uploads.damage(&path);
    }

    /// How many objects are being stored as parts, by processes that live or that died.
    pub fn open_uploads(&self) -> usize {
        self.volume.uploads.count()
    }

    /// Loses a part of what is known about what interrupted puts to `path` left.
    pub fn damage_part_record(&self, path: &str) {
        let path = RelPath::new(path).expect("a legal path");
        parts::damage_record(&self.volume.parts, &path);
        self.volume.uploads.expire(&path);
    }

    fn list_now(&self, dir: &RelPath) -> Result<Vec<Entry>> {
        let mut entries: Vec<Entry> = self.with_tree(|tree| {
            let folder = tree.folder(&self.full(dir)).ok_or_else(not_found)?;
            let entry = |(name, node)| {
                let path = dir.join(name).expect("names in the tree come from paths");
                self.listed(path, node)
            };
            Ok(folder.children().map(entry).collect())
        })?;
        match self.capabilities.list_order {
            Order::Key => entries.sort_by(Entry::compare_key),
            Order::Unspecified => lock(&self.listing_order).shuffle(&mut entries),
        }
        Ok(entries)
    }

    /// Everything below `dir`, a page for each run of entries of one folder.
    fn list_all(&self, dir: &RelPath, after: Option<&(RelPath, bool)>) -> Result<Vec<Page>> {
        if !self.capabilities.list_recursive {
            return Err(Error::unsupported("list everything"));
        }
        let mut entries: Vec<Entry> = self.with_tree(|tree| {
            let folder = tree.folder(&self.full(dir)).ok_or_else(not_found)?;
            let mut entries = Vec::new();
            folder.walk(dir, &mut |path, node| {
                // Without folders of their own, they are only what the paths of files say.
                if self.capabilities.dirs || !matches!(node, Node::Dir(_)) {
                    entries.push(self.listed(path, node));
                }
            });
            Ok(entries)
        })?;
        entries.sort_by(Entry::compare_key);
        if self.volume.lists_out_of_order.load(Ordering::Relaxed) {
            let middle = entries.len() / 2;
            entries.rotate_left(middle);
        }
        if let Some((path, is_dir)) = after {
            let is_behind = |entry: &Entry| {
                let key = (entry.path.as_str(), entry.is_dir());
                compare_keys(key, (path.as_str(), *is_dir)).is_gt()
            };
            entries.retain(is_behind);
        }
        let mut pages: Vec<Page> = Vec::new();
        for entry in &entries {
            let above = entry.path.parent().unwrap_or_else(RelPath::root);
            if pages.last().is_none_or(|page| *page.dir() != above || page.len() >= FLAT_PAGE) {
                pages.push(Page::new(&above));
            }
            if let Some(page) = pages.last_mut() {
                page.push(entry)?;
            }
        }
        Ok(pages)
    }

    /// From now on everything is listed in another order than the one that is claimed: a fault for callers to find.
    pub fn list_out_of_order(&self) {
        self.volume.lists_out_of_order.store(true, Ordering::Relaxed);
    }

    fn say(&self, operation: &'static str, path: &RelPath) -> impl FnOnce(Error) -> Error {
        let (name, path) = (self.name.clone(), path.clone());
        move |error| error.with_operation(operation).with_remote(&name).with_path(&path)
    }

    /// Another view on the same content, for streams that outlive a borrow.
    fn view(&self) -> MemoryBackend {
        let mut view = self.reopen("");
        view.name.clone_from(&self.name);
        view
    }
}

#[async_trait]
impl Backend for MemoryBackend {
    fn about(&self) -> &About {
        self.about.get_or_init(|| {
            let volume = || format!("memory:{}", self.volume.id);
            let top = self.volume.location.get().cloned().unwrap_or_else(volume);
            let location =
                if self.prefix.is_root() { top } else { format!("{top}/{}", self.prefix) };
            About {
                name: self.name.clone(),
                location,
                scope: self.volume.scope.get().cloned(),
                capabilities: self.capabilities.clone(),
                view_options: String::new(),
            }
        })
    }

    fn facets(&self) -> &Facets {
        self.facets.get_or_init(|| self.own_facets())
    }

    async fn stat(&self, path: &RelPath) -> Result<Entry> {
        tokio::task::yield_now().await;
        let full = self.full(path);
        self.with_tree(|tree| match tree.nodes(&full) {
            [] if full.is_root() => Ok(self.entry(path.clone(), &Node::Dir(tree.clone()))),
            [] => Err(not_found()),
            [node, ..] => Ok(self.entry(path.clone(), node)),
        })
        .map_err(self.say("stat", path))
    }

    fn list(&self, dir: &RelPath, options: ListOptions) -> EntryStream {
        let (view, folder) = (self.view(), dir.clone());
        if options.recursive {
            let pages = futures::stream::once(async move {
                tokio::task::yield_now().await;
                view.list_all(&folder, options.after.as_ref()).map_err(view.say("list", &folder))
            });
            return EntryStream::of_pages(pages.flat_map(|pages| match pages {
                Ok(pages) => futures::stream::iter(pages.into_iter().map(Ok)).boxed(),
                Err(error) => futures::stream::iter([Err(error)]).boxed(),
            }));
        }
        EntryStream::once(dir, async move {
            tokio::task::yield_now().await;
            view.list_now(&folder).map_err(view.say("list", &folder))
        })
    }

    async fn read(&self, entry: &Entry, options: ReadOptions) -> Result<ByteStream> {
        tokio::task::yield_now().await;
        let open = || {
            let account = self.account();
            let account = lock(&account);
            let content = self.find_file(&account, entry)?.content.clone();
            match options.range.clone() {
                None => Ok(content),
                Some(_) if !self.capabilities.read_range => Err(Error::unsupported("read a range")),
                Some(range) if range.start <= range.end && range.end <= content.len() as u64 => {
                    Ok(content.slice(range.start as usize..range.end as usize))
                }
                Some(range) => {
                    let message = format!("{range:?} is not within {} bytes", content.len());
                    Err(Error::new(ErrorKind::InvalidInput, message))
                }
            }
        };
        let content = open().map_err(self.say("read", &entry.path))?;
        let state = Some((content, self.view(), entry.clone()));
        let pieces = futures::stream::unfold(state, |state| async move {
            let (mut content, view, entry) = state?;
            if content.is_empty() {
                return None;
            }
            tokio::task::yield_now().await;
            let checked = view.find_file(&lock(&view.account()), &entry).map(|_| ());
            if let Err(error) = checked {
                return Some((Err(view.say("read", &entry.path)(error)), None));
            }
            let piece = content.split_to(content.len().min(PIECE_BYTES));
            Some((Ok(piece), Some((content, view, entry))))
        });
        Ok(pieces.boxed())
    }

    async fn put(&self, path: &RelPath, body: Body, options: PutOptions) -> Result<Entry> {
        tokio::task::yield_now().await;
        self.try_put(path, body, options).await.map_err(self.say("put", path))
    }

    async fn delete(&self, entries: &[Entry]) -> Vec<Result<()>> {
        let mut results = Vec::with_capacity(entries.len());
        for entry in entries {
            tokio::task::yield_now().await;
            results.push(self.try_delete(entry).map_err(self.say("delete", &entry.path)));
        }
        results
    }

    async fn make_dir(&self, path: &RelPath, _mode: Option<u32>) -> Result<()> {
        tokio::task::yield_now().await;
        if !self.capabilities.dirs {
            return Err(Error::unsupported("make folder").with_remote(&self.name));
        }
        let full = self.full(path);
        let make = |tree: &mut Folder| {
            tree.check_folder(&full)?;
            tree.make_folder(&full, SystemTime::now()).map(|_| ())
        };
        let names = if full.is_root() { Ok(()) } else { self.check_names(&full) };
        names.and_then(|()| self.with_tree(make)).map_err(self.say("make folder", path))
    }

    async fn copy(&self, from: &Entry, to: &RelPath, options: PutOptions) -> Result<Entry> {
        tokio::task::yield_now().await;
        if !self.capabilities.copy {
            return Err(Error::unsupported("copy").with_remote(&self.name));
        }
        self.try_copy(from, to, &options).map_err(self.say("copy", to))
    }

    async fn rename(&self, from: &Entry, to: &RelPath) -> Result<Entry> {
        tokio::task::yield_now().await;
        if !self.capabilities.rename {
            return Err(Error::unsupported("rename").with_remote(&self.name));
        }
        self.try_rename(from, to).map_err(self.say("rename", to))
    }

    async fn set_metadata(&self, entry: &Entry, metadata: &Metadata) -> Result<Entry> {
        tokio::task::yield_now().await;
        let Metadata { mtime: Some(mtime), mode: None } = *metadata else {
            return Err(Error::unsupported(metadata.operation()).with_remote(&self.name));
        };
        let (true, Some(precision)) = (self.capabilities.set_mtime, self.capabilities.mtime) else {
            return Err(Error::unsupported("set time").with_remote(&self.name));
        };
        let account = self.account();
        let mut account = lock(&account);
        let found = self.find_file(&account, entry).map(|file| file.id);
        let id = found.map_err(self.say("set time", &entry.path))?;
        let place = self.place(entry);
        let tree = account.get_mut(&place.volume).expect("the file was found in it");
        let mut files = tree.files_mut(&place.path);
        let file = files.find(|file| file.id == id).expect("it was found above");
        file.mtime = truncate(mtime, precision);
        Ok(self.entry(entry.path.clone(), &Node::File(file.clone())))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn not_found() -> Error {
    Error::new(ErrorKind::NotFound, "nothing is there")
}

fn changed() -> Error {
    Error::new(ErrorKind::Changed, "it is not what was listed")
}

fn foreign() -> Error {
    Error::new(ErrorKind::InvalidInput, "an entry of another account")
}

fn special() -> Error {
    Error::new(ErrorKind::InvalidInput, "neither a file nor a folder")
}

/// The latest time that is a multiple of `precision` and not after `time`.
fn truncate(time: SystemTime, precision: Duration) -> SystemTime {
    let step = precision.as_nanos().max(1);
    let rest = match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => after.as_nanos() % step,
        Err(before) => (step - before.duration().as_nanos() % step) % step,
    };
    time - Duration::new((rest / 1_000_000_000) as u64, (rest % 1_000_000_000) as u32)
}

#[cfg(test)]
mod tests;
