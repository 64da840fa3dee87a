//! A folder of a bucket as a backend.

use std::sync::Arc;

use async_trait::async_trait;
use ketch_core::facets::{Inspect, Resume};
use ketch_core::{
    About, Backend, Body, ByteStream, Entry, EntryStream, Error, ErrorKind, Facets, ListOptions,
    Metadata, PutOptions, ReadOptions, RelPath, Result,
};

use crate::folder::S3;
use crate::list::{Lister, Wanted};
use crate::{change, put, read};

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
        loop {
            let Some((place, id)) = self.s3.take_left() else { return Ok(()) };
            if let Err(error) = self.s3.abort(&place, &id).await {
                // Tried again by the next call.
                self.s3.leave(place, id);
                return Err(error);
            }
        }
    }
}
