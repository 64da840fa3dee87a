//! A folder of a bucket as a backend.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use ketch_core::facets::{Inspect, Resume};
use ketch_core::{
    About, Backend, Body, ByteStream, Capabilities, Entry, EntryStream, Error, ErrorKind, Facets,
    Gather, HashAlgo, ListOptions, Metadata, MetadataCost, Order, PutOptions, ReadOptions, RelPath,
    Result,
};

use crate::client::Client;
use crate::keys::{Place, Root};
use crate::list::{Lister, Wanted};
use crate::{change, multipart, put, read};

/// The largest object: ten thousand parts, and what the service allows.
const SIZE_MAX: u64 = 5 << 40;
/// The longest key in bytes.
const KEY_BYTES: usize = 1024;

/// An opened folder. Clones share everything.
#[derive(Clone)]
pub(crate) struct S3 {
    pub(crate) client: Arc<Client>,
    pub(crate) root: Root,
    about: Arc<About>,
    /// Uploads that were begun, will not be completed, and could not be given up where that was seen.
    left: Arc<Mutex<Vec<(Place, String)>>>,
}

impl fmt::Debug for S3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3").field("location", &self.about.location).finish_non_exhaustive()
    }
}

impl S3 {
    pub(crate) fn new(client: Arc<Client>, root: Root, name: &str) -> S3 {
        let settings = &client.settings;
        let quirks = settings.quirks;
        let capabilities = Capabilities {
            list_order: if quirks.is_ordered { Order::Key } else { Order::Unspecified },
            list_recursive: !root.is_account(),
            read_range: true,
            put_empty: true,
            put_max: Some(SIZE_MAX),
            copy: true,
            dirs: settings.directory_markers,
            mtime: Some(Duration::from_nanos(1)),
            set_mtime: true,
            metadata_cost: MetadataCost::Copy,
            hashes: &[HashAlgo::Md5, HashAlgo::Crc64Nvme],
            name_max_bytes: Some(KEY_BYTES),
            put_parts: Some(multipart::rules(settings)),
            gather: Some(Gather { items: 1000, item_bytes: 0, bytes: 0 }),
            ..Capabilities::default()
        };
        let host = settings.endpoint.host_str().unwrap_or_default();
        let port = settings.endpoint.port().map(|port| format!(":{port}")).unwrap_or_default();
        let scope = format!("s3:{host}{port}");
        let about = About {
            name: name.to_owned(),
            location: format!("{scope}/{}", root.path()),
            scope: Some(scope),
            capabilities,
            view_options: String::new(),
        };
        S3 { client, root, about: Arc::new(about), left: Arc::default() }
    }

    /// An upload that is to be given up when the job ends.
    pub(crate) fn leave(&self, place: Place, id: String) {
        self.left.lock().unwrap_or_else(PoisonError::into_inner).push((place, id));
    }
}

/// The backend with its facets.
#[derive(Debug)]
pub(crate) struct Opened {
    s3: S3,
    facets: Facets,
}

impl Opened {
    pub(crate) fn new(s3: S3) -> Opened {
        let shared = Arc::new(s3.clone());
        let facets = Facets {
            resume: Some(Arc::clone(&shared) as Arc<dyn Resume>),
            inspect: Some(shared as Arc<dyn Inspect>),
            ..Facets::default()
        };
        Opened { s3, facets }
    }
}

#[async_trait]
impl Backend for Opened {
    fn about(&self) -> &About {
        &self.s3.about
    }

    fn facets(&self) -> &Facets {
        &self.facets
    }

    async fn stat(&self, path: &RelPath) -> Result<Entry> {
        let s3 = &self.s3;
        if s3.root.is_account() && path.is_root() {
            return Ok(Entry::dir(path.clone()));
        }
        let folder = s3.root.folder(path)?;
        if !folder.key.is_empty() {
            match s3.head(&s3.root.file(path)?).await {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                found => return Ok(Entry { path: path.clone(), ..found? }),
            }
        }
        let wanted = Wanted { place: &folder, is_flat: true, after: None, keys: "1" };
        let found = s3.client.list_once(&wanted, None).await?;
        match folder.key.is_empty() || !found.objects.is_empty() {
            true => Ok(Entry::dir(path.clone())),
            false => Err(Error::new(ErrorKind::NotFound, "there is nothing of that name")),
        }
    }

    fn list(&self, dir: &RelPath, options: ListOptions) -> EntryStream {
        let lister = Lister { client: Arc::clone(&self.s3.client), root: self.s3.root.clone() };
        lister.list(dir, options)
    }

    async fn read(&self, entry: &Entry, options: ReadOptions) -> Result<ByteStream> {
        read::read(&self.s3, entry, options).await
    }

    async fn put(&self, path: &RelPath, body: Body, options: PutOptions) -> Result<Entry> {
        put::put(&self.s3, path, body, options).await
    }

    async fn delete(&self, entries: &[Entry]) -> Vec<Result<()>> {
        change::delete(&self.s3, entries).await
    }

    async fn make_dir(&self, path: &RelPath, _mode: Option<u32>) -> Result<()> {
        change::make_dir(&self.s3, path).await
    }

    async fn copy(&self, from: &Entry, to: &RelPath, options: PutOptions) -> Result<Entry> {
        change::copy(&self.s3, from, to, &options).await
    }

    async fn set_metadata(&self, entry: &Entry, metadata: &Metadata) -> Result<Entry> {
        change::set_metadata(&self.s3, entry, metadata).await
    }

    async fn finish(&self) -> Result<()> {
        let mut first = Ok(());
        loop {
            let next = self.s3.left.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let Some((place, id)) = next else { return first };
            let ended = self.s3.abort(&place, &id).await;
            first = first.and(ended);
        }
    }
}
