//! The facets of a local place.

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use ketch_core::facets::{
    Claims, LocalFile, LocalFiles, ReportUsage, Resume, Root as CoreRoot, Usage,
};
use ketch_core::{
    Body, Checkpoint, Entry, EntryKind, Error, Facets, Leftover, PutOptions, RelPath, Result,
};
use rustix::fs;
use tokio_util::sync::CancellationToken;

use crate::copy::Lender;
use crate::disk::LocalDisk;
use crate::identity::LocalIdentities;
use crate::options::{Inodes, Links, LocalOptions};
use crate::root::{Root, blocking};
use crate::stat::identity;
use crate::{copy, leftover, part, rename};

/// A place and what it is called.
#[derive(Debug)]
struct OfPlace {
    name: String,
    root: Arc<Root>,
    givers: Arc<Givers>,
}

/// The other places that files come from.
#[derive(Debug, Default)]
pub(crate) struct Givers {
    /// The place whose file was copied or taken last.
    last: Mutex<Option<(Giver, Arc<Root>)>>,
}

impl Givers {
    /// Closes what is kept open of them.
    pub(crate) fn forget(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> MutexGuard<'_, Option<(Giver, Arc<Root>)>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What tells places apart that files come from.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Giver {
    folder: PathBuf,
    follows_links: bool,
    has_numbers: bool,
}

/// All facets of a local place.
pub(crate) fn facets(name: &str, root: &Arc<Root>, givers: &Arc<Givers>) -> Facets {
    let (name, root, givers) = (name.to_owned(), Arc::clone(root), Arc::clone(givers));
    let disk = LocalDisk { name: name.clone(), root: Arc::clone(&root) };
    let identities = LocalIdentities::new(name.clone(), Arc::clone(&root));
    let place = Arc::new(OfPlace { name, root, givers });
    Facets {
        disk: Some(Arc::new(disk)),
        identities: Some(Arc::new(identities)),
        local_files: Some(Arc::clone(&place) as Arc<dyn LocalFiles>),
        resume: Some(Arc::clone(&place) as Arc<dyn Resume>),
        usage: Some(Arc::clone(&place) as Arc<dyn ReportUsage>),
        root: Some(place as Arc<dyn CoreRoot>),
        ..Facets::default()
    }
}

impl OfPlace {
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

    /// The place that a file comes from.
    fn giver(&self, from: &LocalFile) -> Arc<Root> {
        let LocalFile { place: _, folder, follows_links, has_numbers, entry: _ } = from;
        let giver = Giver {
            folder: folder.clone(),
            follows_links: *follows_links,
            has_numbers: *has_numbers,
        };
        let mut last = self.givers.lock();
        if let Some((known, root)) = &*last
            && *known == giver
        {
            return Arc::clone(root);
        }
        let options = LocalOptions {
            links: if *follows_links { Links::Follow } else { Links::Skip },
            inodes: if *has_numbers { Inodes::Check } else { Inodes::Ignore },
            ..LocalOptions::default()
        };
        let root = Arc::new(Root::new(folder, options));
        *last = Some((giver, Arc::clone(&root)));
        root
    }

    fn explain(&self, error: Error, operation: &'static str, path: &RelPath) -> Error {
        error.with_operation(operation).with_path(path).with_remote(&self.name)
    }
}

#[async_trait]
impl LocalFiles for OfPlace {
    fn as_local_file(&self, entry: &Entry) -> LocalFile {
        LocalFile {
            place: self.name.clone(),
            folder: self.root.path.clone(),
            follows_links: self.root.follows_links(),
            has_numbers: !self.root.has_loose_numbers.load(Ordering::Relaxed),
            entry: entry.clone(),
        }
    }

    async fn copy_from(
        &self,
        from: &LocalFile,
        to: &RelPath,
        options: PutOptions,
    ) -> Result<Entry> {
        let lender = Lender { root: self.giver(from), name: from.place.as_str().into() };
        copy::copy(lender, Arc::clone(&self.root), from.entry.clone(), to.clone(), options)
            .await
            .map_err(|error| self.explain(error, "copy", to))
    }

    async fn take(&self, from: &LocalFile, to: &RelPath, options: PutOptions) -> Result<Entry> {
        let giver = self.giver(from);
        // Only a place that keeps links lists one as an entry to move.
        let giver = if from.entry.kind == EntryKind::Link {
            let options = LocalOptions { links: Links::Keep, ..LocalOptions::default() };
            Arc::new(Root::new(&giver.path, options))
        } else {
            giver
        };
        let (known, wanted) = (from.entry.clone(), to.clone());
        let take = move |root: &Root| rename::take(&giver, root, &known, &wanted, &options.expect);
        self.run("take", to, take).await
    }
}

#[async_trait]
impl Resume for OfPlace {
    async fn partial(&self, path: &RelPath, checkpoint: &Checkpoint) -> Result<Option<Body>> {
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

    fn folders_with_leftovers(&self) -> Vec<RelPath> {
        std::mem::take(&mut *self.root.leftovers()).into_iter().collect()
    }

    fn has_leftovers(&self) -> bool {
        true
    }

    async fn leftovers(
        &self,
        dir: &RelPath,
        claims: &Claims,
        removes: bool,
    ) -> Result<Vec<Leftover>> {
        let (folder, claims) = (dir.clone(), Claims::clone(claims));
        let look = move |root: &Root| leftover::leftovers(root, &folder, &*claims, removes);
        let root = Arc::clone(&self.root);
        let found = blocking(move || look(&root)).await;
        found.map_err(|error| error.with_operation("clean up").with_remote(&self.name))
    }
}

#[async_trait]
impl CoreRoot for OfPlace {
    async fn identity(&self) -> Result<Option<String>> {
        let look = |root: &Root| {
            let path = RelPath::root();
            // By its path and not by an open descriptor: another folder may have taken its place.
            let stat = || fs::stat(&root.path).map_err(|errno| root.error(errno, &path));
            let (first, second) = (identity(&stat()?), identity(&stat()?));
            // Where inode numbers mean nothing they cannot identify the folder.
            let is_told = first == second && !root.has_loose_numbers.load(Ordering::Relaxed);
            let (device, inode) = first;
            Ok(is_told.then(|| format!("{device}:{inode}")))
        };
        self.run("look at the root", &RelPath::root(), look).await
    }
}

#[async_trait]
impl ReportUsage for OfPlace {
    async fn usage(&self) -> Result<Usage> {
        self.run("usage", &RelPath::root(), usage).await
    }
}

fn usage(root: &Root) -> Result<Usage> {
    let stat = fs::statvfs(&root.path).map_err(|errno| root.error(errno, &RelPath::root()))?;
    let bytes = |blocks: u64| blocks.checked_mul(stat.f_frsize);
    Ok(Usage {
        total: bytes(stat.f_blocks),
        used: bytes(stat.f_blocks.saturating_sub(stat.f_bfree)),
        // The space that this user may use, which is less than the free space.
        free: bytes(stat.f_bavail),
    })
}
