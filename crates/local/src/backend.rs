//! The local disk as a [`Backend`]: each method is handed to the module that knows it, on a thread that may block.

use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt};
use ketch_core::names::core_from_bytes;
use ketch_core::{
    About, Backend, Body, ByteStream, Capabilities, Entry, EntryStream, Error, ErrorKind, Facets,
    Gather, ListOptions, Metadata, MetadataCost, Order, PutOptions, ReadOptions, RelPath, Result,
};
use rustix::fs;

use crate::copy::{Lender, SMALL_BYTES};
use crate::entry::{Folder, entry};
use crate::names::NAME_MAX;
use crate::options::{Links, LocalOptions};
use crate::root::{Root, blocking};
use crate::stat::kind_of;
use crate::{copy, delete, facets, list, read, rename, write};

const CAPABILITIES: Capabilities = Capabilities {
    list_order: Order::Key,
    list_recursive: false,
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
    mtime_by_inspect: false,
    deletes_at_once: 0,
    set_mtime: true,
    dir_times: true,
    set_mode: false,
    narrow_mode: true,
    metadata_cost: MetadataCost::Call,
    claimed_hashes: &[],
    hashes: &[],
    name_max_bytes: Some(NAME_MAX),
    put_parts: None,
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
    /// Where the place is, is looked up when it is first asked for.
    about: OnceLock<About>,
    facets: Facets,
    givers: Arc<facets::Givers>,
}

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
        let givers = Arc::default();
        let facets = facets::facets(&name, &root, &givers);
        LocalBackend { name, capabilities, root, about: OnceLock::new(), facets, givers }
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

    fn explain(&self, error: Error, operation: &'static str, path: &RelPath) -> Error {
        error.with_operation(operation).with_path(path).with_remote(&self.name)
    }
}

#[async_trait]
impl Backend for LocalBackend {
    fn about(&self) -> &About {
        self.about.get_or_init(|| {
            // What is forced to the disk, what a followed link must not lead to, and whether numbers of files count, is seen
            // in no listing.
            let LocalOptions { links, fsync: _, inodes: _, fence: _ } = &self.root.options;
            About {
                name: self.name.clone(),
                location: self.root.location(),
                scope: None,
                capabilities: self.capabilities.clone(),
                view_options: format!("links {links:?}"),
            }
        })
    }

    fn facets(&self) -> &Facets {
        &self.facets
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

    async fn delete(&self, entries: &[Entry]) -> Vec<Result<()>> {
        let (root, known) = (Arc::clone(&self.root), entries.to_vec());
        // CANCEL: what is removed by then is removed; the thread goes on to the end.
        let delete = move || Ok(known.iter().map(|entry| delete::delete(&root, entry)).collect());
        let results: Result<Vec<Result<()>>> = blocking(delete).await;
        let told = |(entry, result): (&Entry, Result<()>)| {
            result.map_err(|error| self.explain(error, "delete", &entry.path))
        };
        match results {
            Ok(results) => entries.iter().zip(results).map(told).collect(),
            Err(error) => {
                let stopped = || error.twin();
                entries.iter().map(|entry| told((entry, Err(stopped())))).collect()
            }
        }
    }

    async fn make_dir(&self, path: &RelPath, mode: Option<u32>) -> Result<()> {
        let wanted = path.clone();
        let make = move |root: &Root| match mode {
            Some(mode) => root.make_folder_with(&wanted, mode).map(drop),
            None => root.make_folder(&wanted).map(drop),
        };
        self.run("make folder", path, make).await
    }

    async fn set_metadata(&self, entry: &Entry, metadata: &Metadata) -> Result<Entry> {
        let (known, Metadata { mtime, mode }) = (entry.clone(), *metadata);
        let set = move |root: &Root| {
            // ORDER: the permissions first: a time that is set belongs to what is left of them.
            let mut now = known;
            if let Some(mode) = mode {
                now = delete::narrow_mode(root, &now, mode)?;
            }
            match mtime {
                Some(mtime) => delete::set_mtime(root, &now, mtime),
                None => Ok(now),
            }
        };
        self.run(metadata.operation(), &entry.path, set).await
    }

    async fn copy(&self, from: &Entry, to: &RelPath, options: PutOptions) -> Result<Entry> {
        if from.handle.is_some() {
            let error = Error::new(ErrorKind::InvalidInput, "it is an entry of another remote");
            return Err(self.explain(error, "copy", to));
        }
        let source = Lender { root: Arc::clone(&self.root), name: self.name.as_str().into() };
        copy::copy(source, Arc::clone(&self.root), from.clone(), to.clone(), options)
            .await
            .map_err(|error| self.explain(error, "copy", to))
    }

    async fn rename(&self, from: &Entry, to: &RelPath) -> Result<Entry> {
        let (known, wanted) = (from.clone(), to.clone());
        self.run("rename", to, move |root| rename::rename(root, &known, &wanted)).await
    }

    async fn finish(&self) -> Result<()> {
        self.root.forget_folders();
        self.givers.forget();
        Ok(())
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
