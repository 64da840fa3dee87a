//! The local disk as a [`Backend`]: each method is handed to the module that knows it, on a thread that may block.

use std::ffi::OsString;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt};
use ketch_core::names::{bytes_from_core, core_from_bytes};
use ketch_core::{
    Backend, Body, ByteStream, Capabilities, Checkpoint, Disk, Entry, EntryKind, EntryStream,
    Error, ErrorKind, Gather, Identities, ListOptions, Order, PutOptions, ReadOptions, RelPath,
    Result, Usage,
};
use rustix::fs;
use tokio_util::sync::CancellationToken;

use crate::copy::{Lender, SMALL_BYTES};
use crate::disk::LocalDisk;
use crate::entry::{Folder, entry, identity, kind_of};
use crate::identity::LocalIdentities;
use crate::names::NAME_MAX;
use crate::options::{Inodes, Links, LocalOptions};
use crate::root::{Root, blocking};
use crate::{copy, delete, list, part, read, rename, write};

const CAPABILITIES: Capabilities = Capabilities {
    list_order: Order::Key,
    read_range: true,
    read_local: true,
    put_unsized: true,
    put_empty: true,
    links: false,
    put_max: None,
    copy: true,
    rename: true,
    // Links, sockets and other file systems in a folder take no part in a move; each name is given anew by itself.
    rename_dir: false,
    dirs: true,
    duplicates: false,
    mtime: Some(Duration::from_nanos(1)),
    set_mtime: true,
    dir_times: true,
    set_mode: false,
    narrow_mode: true,
    hashes: &[],
    name_max_bytes: Some(NAME_MAX),
    put_resume: true,
    at_once: None,
    gather: Some(Gather { items: 64, item_bytes: SMALL_BYTES, bytes: 64 * SMALL_BYTES }),
};

/// A folder of this machine.
///
/// Paths are in core form ([`ketch_core::names`]), so names that are not UTF-8 survive. Lengths of names count the bytes on
/// the disk. A listing is taken by one thread at once and sorted, so one folder's entries are in memory together.
#[derive(Debug)]
pub struct LocalBackend {
    name: String,
    capabilities: Capabilities,
    root: Arc<Root>,
    location: OnceLock<String>,
    /// Whose entry was copied last.
    lender: Mutex<Option<(Box<str>, Lender)>>,
}

/// The handle of an entry that is lent: this, how links and numbers are taken, the root of the lender, NUL, and what it is called.
const LENT: &str = "disk:";
const FOLLOWING: &str = "follow:";
/// The numbers of files mean nothing to the lender.
const UNNUMBERED: &str = "unnumbered:";

impl LocalBackend {
    /// The folder `root`, which need not exist: it is made by the first `put` or `make_dir`. A relative path is taken from
    /// the working folder of now. No other I/O.
    pub fn new(root: PathBuf, options: LocalOptions) -> LocalBackend {
        let name = core_from_bytes(root.as_os_str().as_encoded_bytes());
        LocalBackend::named(name, root, options)
    }

    /// [`LocalBackend::new`], ready to be shared.
    pub fn open(root: PathBuf, options: LocalOptions) -> Arc<dyn Backend> {
        Arc::new(LocalBackend::new(root, options))
    }

    pub(crate) fn named(name: String, root: PathBuf, options: LocalOptions) -> LocalBackend {
        let links = options.links == Links::Keep;
        let capabilities = Capabilities { links, ..CAPABILITIES };
        let root = Arc::new(Root::new(&root, options));
        LocalBackend {
            name,
            capabilities,
            root,
            location: OnceLock::new(),
            lender: Mutex::default(),
        }
    }

    /// Runs `work` on another thread and says in its error what was done and where.
    async fn run<T: Send + 'static>(
        &self,
        operation: &'static str,
        path: &RelPath,
        work: impl FnOnce(&Root) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let root = Arc::clone(&self.root);
        blocking(move || work(&root)).await.map_err(|error| self.explain(error, operation, path))
    }

    /// The place an entry was lent by; `None` = it is one of our own.
    fn lender(&self, entry: &Entry) -> Result<Option<Lender>> {
        let Some(handle) = &entry.handle else { return Ok(None) };
        let foreign = || Error::new(ErrorKind::InvalidInput, "it is an entry of another remote");
        let place = handle.strip_prefix(LENT).ok_or_else(foreign)?;
        let (links, place) = match place.strip_prefix(FOLLOWING) {
            Some(place) => (Links::Follow, place),
            None => (Links::Skip, place),
        };
        let (inodes, place) = match place.strip_prefix(UNNUMBERED) {
            Some(place) => (Inodes::Ignore, place),
            None => (Inodes::Check, place),
        };
        let (path, name) = place.split_once('\0').ok_or_else(foreign)?;
        let mut last = self.lender.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, lender)) = &*last
            && known == handle
        {
            return Ok(Some(lender.clone()));
        }
        let path = PathBuf::from(OsString::from_vec(bytes_from_core(path)));
        let options = LocalOptions { links, inodes, ..LocalOptions::default() };
        let root = Arc::new(Root::new(&path, options));
        let lender = Lender { root, name: name.into() };
        *last = Some((handle.clone(), lender.clone()));
        Ok(Some(lender))
    }

    fn explain(&self, error: Error, operation: &'static str, path: &RelPath) -> Error {
        error.with_operation(operation).with_path(path).with_remote(&self.name)
    }
}

#[async_trait]
impl Backend for LocalBackend {
    fn name(&self) -> &str {
        &self.name
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn location(&self) -> String {
        self.location.get_or_init(|| self.root.location()).clone()
    }

    async fn root_identity(&self) -> Result<Option<String>> {
        let look = |root: &Root| {
            let path = RelPath::root();
            // By its path and not by what is kept open: another folder may have taken its place.
            let stat = || fs::stat(&root.path).map_err(|errno| root.error(errno, &path));
            let (first, second) = (identity(&stat()?), identity(&stat()?));
            // Where numbers mean nothing they tell nothing.
            let is_told = first == second && !root.has_loose_numbers.load(Ordering::Relaxed);
            let (device, inode) = first;
            Ok(is_told.then(|| format!("{device}:{inode}")))
        };
        self.run("look at the root", &RelPath::root(), look).await
    }

    fn view_options(&self) -> String {
        // What is forced to the disk, what a followed link must not lead to, and whether numbers of files count, is seen in
        // no listing.
        let LocalOptions { links, fsync: _, inodes: _, fence: _ } = &self.root.options;
        format!("links {links:?}")
    }

    fn lend(&self, entry: &Entry) -> Option<Entry> {
        let mut handle = LENT.to_owned();
        if self.root.follows_links() {
            handle.push_str(FOLLOWING);
        }
        if self.root.has_loose_numbers.load(Ordering::Relaxed) {
            handle.push_str(UNNUMBERED);
        }
        handle.push_str(&core_from_bytes(self.root.path.as_os_str().as_encoded_bytes()));
        handle.push('\0');
        handle.push_str(&self.name);
        Some(Entry { handle: Some(handle.into_boxed_str()), ..entry.clone() })
    }

    async fn stat(&self, path: &RelPath) -> Result<Entry> {
        let wanted = path.clone();
        self.run("stat", path, move |root| stat(root, wanted)).await
    }

    fn list(&self, dir: &RelPath, _options: ListOptions) -> EntryStream {
        let (name, path) = (self.name.clone(), dir.clone());
        let pages = list::list(Arc::clone(&self.root), dir.clone()).into_pages();
        EntryStream::of_pages(
            pages.map_err(move |error| {
                error.with_operation("list").with_path(&path).with_remote(&name)
            }),
        )
    }

    async fn read(&self, entry: &Entry, options: ReadOptions) -> Result<ByteStream> {
        let (name, path) = (self.name.clone(), entry.path.clone());
        let explain =
            move |error: Error| error.with_operation("read").with_path(&path).with_remote(&name);
        match read::read(Arc::clone(&self.root), entry.clone(), options.range).await {
            Ok(stream) => Ok(stream.map_err(explain).boxed()),
            Err(error) => Err(explain(error)),
        }
    }

    async fn put(&self, path: &RelPath, body: Body, options: PutOptions) -> Result<Entry> {
        write::put(Arc::clone(&self.root), path.clone(), body, options)
            .await
            .map_err(|error| self.explain(error, "put", path))
    }

    async fn delete(&self, entry: &Entry) -> Result<()> {
        let known = entry.clone();
        self.run("delete", &entry.path, move |root| delete::delete(root, &known)).await
    }

    async fn make_dir(&self, path: &RelPath) -> Result<()> {
        let wanted = path.clone();
        self.run("make folder", path, move |root| root.make_folder(&wanted).map(drop)).await
    }

    async fn make_dir_with(&self, path: &RelPath, mode: u32) -> Result<()> {
        let wanted = path.clone();
        let make = move |root: &Root| root.make_folder_with(&wanted, mode).map(drop);
        self.run("make folder", path, make).await
    }

    async fn set_mode(&self, entry: &Entry, mode: u32) -> Result<Entry> {
        let known = entry.clone();
        let set = move |root: &Root| delete::narrow_mode(root, &known, mode);
        self.run("set permissions", &entry.path, set).await
    }

    async fn copy(&self, from: &Entry, to: &RelPath, options: PutOptions) -> Result<Entry> {
        let lender = self.lender(from).map_err(|error| self.explain(error, "copy", to))?;
        let source = match lender {
            Some(lender) => lender,
            None => Lender { root: Arc::clone(&self.root), name: self.name.as_str().into() },
        };
        copy::copy(source, Arc::clone(&self.root), from.clone(), to.clone(), options)
            .await
            .map_err(|error| self.explain(error, "copy", to))
    }

    async fn rename(&self, from: &Entry, to: &RelPath) -> Result<Entry> {
        let (known, wanted) = (from.clone(), to.clone());
        self.run("rename", to, move |root| rename::rename(root, &known, &wanted)).await
    }

    async fn kept(&self, path: &RelPath, checkpoint: &Checkpoint) -> Result<Option<Body>> {
        let (root, wanted, checkpoint) = (Arc::clone(&self.root), path.clone(), checkpoint.clone());
        let cancel = CancellationToken::new();
        let _stops_when_dropped = cancel.clone().drop_guard();
        blocking(move || part::kept(&root, &wanted, &checkpoint, &cancel))
            .await
            .map_err(|error| self.explain(error, "look for a part", path))
    }

    async fn abandon(&self, path: &RelPath, checkpoint: &Checkpoint) -> Result<()> {
        let (wanted, checkpoint) = (path.clone(), checkpoint.clone());
        let cancel = CancellationToken::new();
        let _stops_when_dropped = cancel.clone().drop_guard();
        let abandon = move |root: &Root| part::abandon(root, &wanted, &checkpoint, &cancel);
        self.run("abandon", path, abandon).await
    }

    async fn set_mtime(&self, entry: &Entry, mtime: SystemTime) -> Result<Entry> {
        let known = entry.clone();
        let set = move |root: &Root| delete::set_mtime(root, &known, mtime);
        self.run("set time", &entry.path, set).await
    }

    fn identities(&self) -> Option<Arc<dyn Identities>> {
        Some(Arc::new(LocalIdentities::new(self.name.clone(), Arc::clone(&self.root))))
    }

    async fn take(&self, lent: &Entry, to: &RelPath, options: PutOptions) -> Result<Entry> {
        let lender = self.lender(lent).map_err(|error| self.explain(error, "take", to))?;
        let from = match lender.map(|lender| lender.root) {
            // Only a place that keeps links lists one as an entry to be taken.
            Some(root) if lent.kind == EntryKind::Link => {
                let options = LocalOptions { links: Links::Keep, ..LocalOptions::default() };
                Arc::new(Root::new(&root.path, options))
            }
            Some(root) => root,
            None => Arc::clone(&self.root),
        };
        let (known, wanted) = (lent.clone(), to.clone());
        let take = move |root: &Root| rename::take(&from, root, &known, &wanted, &options.expect);
        self.run("take", to, take).await
    }

    fn disk(&self) -> Option<Arc<dyn Disk>> {
        Some(Arc::new(LocalDisk { name: self.name.clone(), root: Arc::clone(&self.root) }))
    }

    async fn close(&self) -> Result<()> {
        self.root.forget_folders();
        Ok(())
    }

    async fn usage(&self) -> Result<Usage> {
        self.run("usage", &RelPath::root(), usage).await
    }
}

fn stat(root: &Root, path: RelPath) -> Result<Entry> {
    let fail = |errno| root.error(errno, &path);
    if path.is_root() {
        // The root itself may be a link, and is then what that points to.
        let stat = fs::stat(&root.path).map_err(fail)?;
        return Ok(entry(path, kind_of(&stat), &stat));
    }
    let parent = path.parent().unwrap_or_else(RelPath::root);
    let (folder, name) = root.open_parent(&path, root.reading()).map_err(fail)?;
    Folder::new(root, folder.as_fd(), &parent)
        .look(&name, path.clone())
        .map(|seen| seen.entry)
        .map_err(fail)
}

fn usage(root: &Root) -> Result<Usage> {
    let stat = fs::statvfs(&root.path).map_err(|errno| root.error(errno, &RelPath::root()))?;
    let bytes = |blocks: u64| blocks.checked_mul(stat.f_frsize);
    Ok(Usage {
        total: bytes(stat.f_blocks),
        used: bytes(stat.f_blocks.saturating_sub(stat.f_bfree)),
        // What this user may fill, which is less than what is free.
        free: bytes(stat.f_bavail),
    })
}
