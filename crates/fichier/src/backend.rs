//! 1fichier as a [`Backend`]: paths below a root, in terms of an account's folders and addresses.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use ketch_core::factory::{Connect, ConnectRequest, Connecting, Factory};
use ketch_core::layer::{LimitSettings, RetrySettings, Stack, TimeoutSettings};
use ketch_core::source::{Body, ByteStream};
use ketch_core::{
    About, Backend, Capabilities, Entry, EntryStream, Error, ErrorKind, Expect, Facets, HashAlgo,
    Hint, ListOptions, MetadataCost, Order, PutOptions, ReadOptions, RelPath, Result,
};

use crate::account::Account;
use crate::bounds::SIZE_MAX;
use crate::debts;
use crate::entries::{self, Handle};
use crate::items::FileItem;
use crate::looks;
use crate::proof;
use crate::proof::Proof;
use crate::second_calls;
use crate::seek;
use crate::shared::SharedFolder;
use crate::target::Old;
use crate::upload::PutRequest;
use crate::{change, download, facets, places, settings, upload};

/// 1fichier.com.
pub const FACTORY: Factory = Factory {
    kind: "fichier",
    about: "1fichier.com: files up to 300 GB, verified by Whirlpool digests.",
    options: settings::OPTIONS,
    connect: Connect::Remote(connect),
};

/// For how long a call may wait for its turn. The patience with floods comes on top.
const TURN_WAIT: Duration = Duration::from_secs(30 * 60);

fn connect(request: ConnectRequest) -> Connecting {
    Box::pin(std::future::ready(layered(request)))
}

/// Opens a remote with all its layers. Nothing is asked: a wrong key shows at the first use.
///
/// Errors: as [`raw`].
pub fn layered(request: ConnectRequest) -> Result<Arc<dyn Backend>> {
    let account = Account::shared(&request).map_err(|error| opening(error, &request))?;
    // Each request has deadlines of its own below. From above only a whole call is seen, and nearly all of its time may be
    // a wait for the right to ask, so the layer's limits are long and its watch on the throughput is not used.
    let patience = account.api.settings.flood_patience;
    let wait = TURN_WAIT + patience;
    let timeouts = TimeoutSettings {
        call: wait,
        idle: wait,
        finish: account.api.settings.end_wait + wait,
        slowest: None,
    };
    // Pauses that pages and download hosts ask for are waited for there, those of calls below.
    let throttled_total = account.api.settings.scaled(patience);
    let retries = RetrySettings { throttled_total, ..RetrySettings::default() };
    // How many connections there are is counted below, where files that travel together are one.
    let limits = LimitSettings::default();
    let observer = request.observer.clone();
    let mut stack = Stack::new(raw(request)?).timeout(timeouts).limit(limits);
    if let Some(observer) = observer {
        stack = stack.observe(observer);
    }
    Ok(stack.retry(retries).build())
}

/// Opens a remote without any layer around it. Remotes of one account share what is known about it within the process.
///
/// Errors: `InvalidInput` for options that make no sense; `Unsupported` when TLS is needed and has no provider.
pub fn raw(request: ConnectRequest) -> Result<Arc<dyn Backend>> {
    let account = Account::shared(&request).map_err(|error| opening(error, &request))?;
    if request.options.contains("shared_folder") {
        let shared = SharedFolder::new(account, &request);
        return Ok(Arc::new(shared.map_err(|error| opening(error, &request))?));
    }
    let backend = Fichier::new(account, &request);
    Ok(Arc::new(backend.map_err(|error| opening(error, &request))?))
}

/// A folder of a 1fichier account.
pub struct Fichier {
    root: RelPath,
    account: Arc<Account>,
    about: About,
    facets: Facets,
    may_change: bool,
}

impl fmt::Debug for Fichier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fichier")
            .field("name", &self.about.name)
            .field("location", &self.about.location)
            .field("key", &"***")
            .finish_non_exhaustive()
    }
}

/// Files that are asked to be removed at the same time.
const DELETED_AT_ONCE: usize = 100;

/// Files that are sent or read at the same time, unless a person says otherwise: a known client reads ten, and of fourteen
/// that were sent one failed at the node.
const FILES_AT_ONCE: usize = 8;

impl Fichier {
    /// Opens a remote that shares nothing in memory with others, as if it were in a process of its own: limits are shared
    /// through the state folder only.
    pub fn alone(request: &ConnectRequest) -> Result<Self> {
        let account = Account::alone(request);
        let backend = account.and_then(|account| Fichier::new(account, request));
        backend.map_err(|error| opening(error, request))
    }

    fn new(account: Arc<Account>, request: &ConnectRequest) -> Result<Self> {
        let root = RelPath::from_user(&request.root)
            .map_err(|error| Error::new(ErrorKind::InvalidInput, error.to_string()))?;
        let capabilities = Capabilities {
            list_order: Order::Unspecified,
            list_recursive: false,
            read_range: true,
            read_local: false,
            put_unsized: false,
            put_empty: false,
            links: false,
            put_max: Some(SIZE_MAX),
            copy: true,
            rename: true,
            rename_dir: true,
            dirs: true,
            duplicates: true,
            // What a listing shows is when the file was sent.
            mtime: None,
            mtime_by_inspect: false,
            deletes_at_once: 0,
            set_mtime: false,
            dir_times: false,
            set_mode: false,
            narrow_mode: false,
            metadata_cost: MetadataCost::Call,
            claimed_hashes: &[],
            hashes: &[HashAlgo::Whirlpool],
            // The limit is one of characters.
            name_max_bytes: None,
            put_parts: None,
            put_resume: false,
            at_once: Some(FILES_AT_ONCE.min(account.api.settings.connections)),
            gather: Some(account.api.settings.gather).filter(|gather| gather.items > 1),
        };
        let scope = account.scope();
        let location = match root.is_root() {
            true => scope.clone(),
            false => format!("{scope}/{root}"),
        };
        let about = About {
            name: request.name.clone(),
            location,
            scope: Some(scope),
            capabilities,
            view_options: String::new(),
        };
        let facets = facets::facets(&request.name, &root, &account);
        Ok(Fichier { root, account, about, facets, may_change: request.may_change })
    }

    /// Adds to an error what the layers below do not know.
    fn told(&self, error: Error, operation: &'static str, path: &RelPath) -> Error {
        error.with_operation(operation).with_remote(&self.about.name).with_path(path)
    }

    async fn find(&self, path: &RelPath) -> Result<Entry> {
        let account = &self.account;
        let full = self.root.join_path(path);
        let (Some(parent), Some(name)) = (full.parent(), full.name()) else {
            // Asked for, so that a wrong key shows.
            account.tree.listing_of(&account.api, &full).await?;
            let top = crate::items::FolderItem { name: String::new(), id: 0, date: None };
            return Ok(entries::folder(path.clone(), 0, &top));
        };
        if let Some((id, file)) = seek::finish(account, &full).await? {
            return Ok(entries::file(path.clone(), id, &file));
        }
        let mut listings = account.tree.listings_of(&account.api, &parent).await?;
        debts::hide(account, &mut listings, false).await;
        if listings.is_empty() {
            return Err(no_folder(account, &parent));
        }
        if let Some(below) = places::named(&account.tree, &parent, &listings, name) {
            let path = path.clone();
            return Ok(match below.can_be_entered {
                true => entries::folder(path, below.parent, &below.item),
                false => entries::unusable(path),
            });
        }
        for (id, listing) in &listings {
            if let Some(file) = account.lost.newest(&full, &listing.files(name)) {
                return self.proven(path, &full, *id, file).await;
            }
        }
        // A folder may be on its way from here.
        if self.may_change {
            second_calls::finish(account, &full).await?;
        }
        let ages = listings.iter().filter_map(|(id, _)| account.tree.looks.age(*id));
        Err(looks::missing(ages.max()))
    }

    /// The entry of a file that a listing shows. Where that is an older one, the file's address must say so too.
    async fn proven(
        &self,
        path: &RelPath,
        full: &RelPath,
        folder: u64,
        file: &FileItem,
    ) -> Result<Entry> {
        let account = &self.account;
        if account.tree.looks.age(folder).is_none() {
            return Ok(entries::file(path.clone(), folder, file));
        }
        match proof::prove(account, folder, file).await? {
            Proof::There(file) => return Ok(entries::file(path.clone(), folder, &file)),
            Proof::Unknown => return Ok(entries::file(path.clone(), folder, file)),
            Proof::Gone => {}
        }
        let listing = account.tree.listing(&account.api, folder, Duration::ZERO).await?;
        let file = account.lost.newest(full, &listing.files(&file.name));
        let file = file.ok_or_else(|| looks::missing(None))?;
        Ok(entries::file(path.clone(), folder, file))
    }

    async fn read_entry(&self, entry: &Entry, options: ReadOptions) -> Result<ByteStream> {
        let (_, url) = entries::file_of(entry)?;
        let Some(size) = entry.size else {
            let message = "1fichier did not tell the size, so what comes could not be checked";
            return Err(Error::new(ErrorKind::Protocol, message));
        };
        let range = options.range.unwrap_or(0..size);
        // CANCEL: the place is given back with the stream.
        let place = Arc::clone(&self.account.reads).acquire_owned().await;
        let place = place.map_err(|_| Error::new(ErrorKind::Cancelled, "the remote is closed"))?;
        let stream = download::open(&self.account, &url, size, range).await?;
        let held = move |piece| {
            let _held = &place;
            piece
        };
        Ok(stream.map(held).boxed())
    }

    async fn delete_entry(&self, entry: &Entry) -> Result<()> {
        if entries::is_recalled(entry) {
            let message = "its folder was not listed, so it may be somewhere else by now";
            return Err(Error::new(ErrorKind::Changed, message));
        }
        match Handle::of(entry)? {
            Handle::File { folder, url } => {
                let full = self.root.join_path(&entry.path);
                change::delete_file(&self.account, folder, &full, url).await
            }
            Handle::Folder { parent, id } => {
                // Folders of one name are one to those above, so they go together.
                for twin in self.account.tree.twins(&self.root.join_path(&entry.path)) {
                    change::delete_folder(&self.account, parent, twin).await?;
                }
                change::delete_folder(&self.account, parent, id).await
            }
        }
    }

    async fn rename_entry(&self, from: &Entry, to: &RelPath) -> Result<Entry> {
        let full = self.root.join_path(to);
        match Handle::of(from)? {
            Handle::File { .. } => {
                let (folder, file) = change::rename_file(&self.account, from, &full).await?;
                Ok(entries::file(to.clone(), folder, &file))
            }
            Handle::Folder { parent, id } => {
                let name = from.path.name().unwrap_or_default();
                let moved = change::rename_folder(&self.account, (parent, id), name, &full).await?;
                Ok(entries::folder(to.clone(), moved.0, &moved.1))
            }
        }
    }
}

/// The folder is not there; what is, is said.
fn no_folder(account: &Account, folder: &RelPath) -> Error {
    let nearest = account.tree.nearest(folder);
    let above = if nearest.is_root() { "the top".to_owned() } else { format!("`{nearest}`") };
    let age = account.tree.remembered(&nearest).and_then(|id| account.tree.looks.age(id));
    let as_of = age.map(looks::as_of).unwrap_or_default();
    let message = format!("there is no such folder (the nearest above it is {above}){as_of}");
    let error = Error::new(ErrorKind::NotFound, message);
    if age.is_some() { error.with_hint(Hint::Refresh) } else { error }
}

fn opening(error: Error, request: &ConnectRequest) -> Error {
    error.with_operation("open").with_remote(&request.name)
}

/// The addresses that are replaced.
fn replaced(options: &PutOptions) -> Result<Old> {
    Ok(match &options.expect {
        Expect::Anything => Old::Unknown,
        Expect::Absent => Old::Known(Vec::new()),
        Expect::Entry(entry) if entry.is_dir() => {
            let message = "a folder of that name is there";
            return Err(Error::new(ErrorKind::AlreadyExists, message));
        }
        // It may have been moved away since it was seen, and must not be removed there.
        Expect::Entry(entry) if entries::is_recalled(entry) => Old::Unknown,
        Expect::Entry(entry) => {
            let (folder, url) = entries::file_of(entry)?;
            Old::At(folder, url)
        }
    })
}

#[async_trait]
impl Backend for Fichier {
    fn about(&self) -> &About {
        &self.about
    }

    fn facets(&self) -> &Facets {
        &self.facets
    }

    async fn stat(&self, path: &RelPath) -> Result<Entry> {
        self.find(path).await.map_err(|error| self.told(error, "stat", path))
    }

    /// A listing younger than 1fichier allows to repeat (30 s) is shown again, with this process's own changes in it,
    /// instead of waiting for the right to ask. With `pace = off` the server is asked each time.
    fn list(&self, dir: &RelPath, options: ListOptions) -> EntryStream {
        let account = Arc::clone(&self.account);
        let (name, folder) = (self.about.name.clone(), dir.clone());
        let full = self.root.join_path(dir);
        EntryStream::once(dir, async move {
            let listings = account.tree.listings_of(&account.api, &full).await;
            let told =
                |error: Error| error.with_operation("list").with_remote(&name).with_path(&folder);
            let mut listings = listings.map_err(told)?;
            debts::hide(&account, &mut listings, options.may_change).await;
            if listings.is_empty() {
                return Err(told(no_folder(&account, &full)));
            }
            let below = places::below(&account.tree, &full, &listings);
            let ages = listings.iter().filter_map(|(id, _)| account.tree.looks.age(*id));
            if let Some(age) = ages.max() {
                account.api.pacer.tell_age(&name, &folder, age);
            }
            Ok(entries::all(&folder, &listings, &below))
        })
    }

    async fn read(&self, entry: &Entry, options: ReadOptions) -> Result<ByteStream> {
        let result = self.read_entry(entry, options).await;
        result.map_err(|error| self.told(error, "read", &entry.path))
    }

    // CANCEL: dropped before the node has everything, nothing is stored. Dropped later, the new version may stand beside
    // the old one; a reader finds one or the other, each whole.
    async fn put(&self, path: &RelPath, body: Body, options: PutOptions) -> Result<Entry> {
        let full = self.root.join_path(path);
        if options.is_link {
            let error = Error::new(ErrorKind::Unsupported, "1fichier keeps no symbolic links");
            return Err(self.told(error, "put", path));
        }
        let result = match replaced(&options) {
            Ok(old) => {
                let PutOptions { proof, checkpoint, kept, .. } = options;
                let request = PutRequest { old, proof, checkpoint, kept };
                upload::put(&self.account, &full, body, request).await
            }
            Err(error) => Err(error),
        };
        let (folder, file) = result.map_err(|error| self.told(error, "put", path))?;
        Ok(entries::file(path.clone(), folder, &file))
    }

    /// What is not in the way of the others is asked for at the same time, and so travels together.
    async fn delete(&self, entries: &[Entry]) -> Vec<Result<()>> {
        let mut results = Vec::with_capacity(entries.len());
        for some in entries.chunk_by(|before, after| !before.is_dir() && !after.is_dir()) {
            for at_once in some.chunks(DELETED_AT_ONCE) {
                let asked = at_once.iter().map(|entry| self.delete_entry(entry));
                let done = futures::future::join_all(asked).await;
                results.extend(at_once.iter().zip(done).map(|(entry, result)| {
                    result.map_err(|error| self.told(error, "delete", &entry.path))
                }));
            }
        }
        results
    }

    async fn make_dir(&self, path: &RelPath, _mode: Option<u32>) -> Result<()> {
        let full = self.root.join_path(path);
        let result = self.account.tree.ensure(&self.account.api, &full).await;
        if let Some(age) = self.account.tree.looks.found_age(&full) {
            self.account.api.pacer.tell_age(&self.about.name, path, age);
        }
        result.map(|_| ()).map_err(|error| self.told(error, "make folder", path))
    }

    async fn copy(&self, from: &Entry, to: &RelPath, options: PutOptions) -> Result<Entry> {
        let full = self.root.join_path(to);
        let result = match replaced(&options) {
            Ok(old) => change::copy(&self.account, from, &full, old, options.checkpoint).await,
            Err(error) => Err(error),
        };
        let (folder, file) = result.map_err(|error| self.told(error, "copy", to))?;
        Ok(entries::file(to.clone(), folder, &file))
    }

    async fn rename(&self, from: &Entry, to: &RelPath) -> Result<Entry> {
        let result = self.rename_entry(from, to).await;
        result.map_err(|error| self.told(error, "rename", to))
    }

    async fn finish(&self) -> Result<()> {
        self.account.tree.remember();
        Ok(())
    }
}
