//! A layer of your own around a place: it counts how often a file is read. `own_layer FROM TO`.

#![allow(clippy::print_stdout, reason = "an example")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use ketch::contract::facets::Facets;
use ketch::contract::{
    About, Backend, Body, ByteStream, Entry, EntryStream, ListOptions, Metadata, PutOptions,
    ReadOptions, RelPath, Result,
};

#[derive(Debug)]
struct Counted {
    inner: Arc<dyn Backend>,
    facets: Facets,
    reads: AtomicU64,
}

impl Counted {
    fn around(inner: Arc<dyn Backend>) -> Arc<Counted> {
        // Reads through these two facets would not be counted, so the layer withholds them and passes on all others.
        let facets = Facets { disk: None, local_files: None, ..inner.facets().clone() };
        Arc::new(Counted { inner, facets, reads: AtomicU64::new(0) })
    }
}

#[async_trait]
impl Backend for Counted {
    fn about(&self) -> &About {
        self.inner.about()
    }

    fn facets(&self) -> &Facets {
        &self.facets
    }

    async fn stat(&self, path: &RelPath) -> Result<Entry> {
        self.inner.stat(path).await
    }

    fn list(&self, dir: &RelPath, options: ListOptions) -> EntryStream {
        self.inner.list(dir, options)
    }

    async fn read(&self, entry: &Entry, options: ReadOptions) -> Result<ByteStream> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.inner.read(entry, options).await
    }

    async fn put(&self, path: &RelPath, body: Body, options: PutOptions) -> Result<Entry> {
        self.inner.put(path, body, options).await
    }

    async fn delete(&self, entries: &[Entry]) -> Vec<Result<()>> {
        self.inner.delete(entries).await
    }

    async fn make_dir(&self, path: &RelPath, mode: Option<u32>) -> Result<()> {
        self.inner.make_dir(path, mode).await
    }

    async fn copy(&self, from: &Entry, to: &RelPath, options: PutOptions) -> Result<Entry> {
        self.inner.copy(from, to, options).await
    }

    async fn rename(&self, from: &Entry, to: &RelPath) -> Result<Entry> {
        self.inner.rename(from, to).await
    }

    async fn set_metadata(&self, entry: &Entry, metadata: &Metadata) -> Result<Entry> {
        self.inner.set_metadata(entry, metadata).await
    }

    async fn finish(&self) -> Result<()> {
        self.inner.finish().await
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(from), Some(to)) = (arguments.next(), arguments.next()) else {
        println!("usage: own_layer FROM TO");
        return Ok(());
    };
    let counted = Counted::around(ketch::local(from)?);
    let report = ketch::copy(counted.clone(), ketch::local(to)?).run().await?;
    println!("{} files, {} reads", report.copied, counted.reads.load(Ordering::Relaxed));
    Ok(())
}
