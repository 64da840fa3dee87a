//! The behaviour of the backend, on real files. What each file tests is its name.

mod change;
mod keep;
mod leftover;
mod link;
mod list;
mod read;
mod resume;
mod safety;
mod sparse;
mod system;
mod write;

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use ketch_core::source::{BytesSource, Source};
use ketch_core::{
    Backend, Body, ByteStream, Entry, Error, ErrorKind, ListOptions, PutOptions, ReadOptions,
    RelPath, Result,
};
use tempfile::TempDir;

use crate::{Links, LocalBackend, LocalOptions};

/// A backend at the folder `root` of a scratch folder; what is beside it is outside.
struct Place {
    scratch: TempDir,
    backend: Arc<dyn Backend>,
}

fn place() -> Place {
    place_with(LocalOptions::default())
}

fn following() -> Place {
    place_with(LocalOptions { links: Links::Follow, ..LocalOptions::default() })
}

fn place_with(options: LocalOptions) -> Place {
    let scratch = tempfile::tempdir().expect("scratch");
    std::fs::create_dir(scratch.path().join("root")).expect("made");
    let backend = LocalBackend::open(scratch.path().join("root"), options);
    Place { scratch, backend }
}

fn path(text: &str) -> RelPath {
    RelPath::new(text).expect("legal")
}

fn byte_body(bytes: impl Into<Bytes>) -> Body {
    BytesSource::body(bytes)
}

/// Pieces, and then the end or nothing ever.
#[derive(Debug, Clone)]
struct Pieces {
    size: Option<u64>,
    piece: Bytes,
    count: usize,
    ends: bool,
}

#[async_trait]
impl Source for Pieces {
    fn size(&self) -> Option<u64> {
        self.size
    }

    async fn open(&self, _range: Range<u64>) -> Result<ByteStream> {
        let pieces = futures::stream::iter(vec![self.piece.clone(); self.count]).map(Ok);
        Ok(match self.ends {
            true => pieces.boxed(),
            false => pieces.chain(futures::stream::pending()).boxed(),
        })
    }
}

impl Place {
    fn files(&self) -> Arc<dyn ketch_core::facets::LocalFiles> {
        self.backend.facets().local_files.clone().expect("a disk has files")
    }

    fn file(&self, below: &str) -> PathBuf {
        self.scratch.path().join("root").join(below)
    }

    fn write(&self, below: &str, content: impl AsRef<[u8]>) {
        let file = self.file(below);
        std::fs::create_dir_all(file.parent().expect("below a folder")).expect("made");
        std::fs::write(file, content).expect("written");
    }

    fn link(&self, target: &str, below: &str) {
        std::os::unix::fs::symlink(target, self.file(below)).expect("linked");
    }

    async fn stat(&self, below: &str) -> Entry {
        self.backend.stat(&path(below)).await.expect("is there")
    }

    async fn try_list(&self, below: &str) -> Result<Vec<Entry>> {
        self.backend.list(&path(below), ListOptions::default()).try_collect().await
    }

    async fn names(&self, below: &str) -> Vec<String> {
        let entries = self.try_list(below).await.expect("listed");
        entries.iter().map(|entry| entry.path.name().expect("a name").to_owned()).collect()
    }

    async fn put(&self, below: &str, content: &'static str) -> Result<Entry> {
        self.put_with(below, content, PutOptions::default()).await
    }

    async fn put_with(
        &self,
        below: &str,
        content: &'static str,
        options: PutOptions,
    ) -> Result<Entry> {
        self.put_body(below, byte_body(content), options).await
    }

    async fn put_body(&self, below: &str, body: Body, options: PutOptions) -> Result<Entry> {
        self.backend.put(&path(below), body, options).await
    }

    async fn read(&self, entry: &Entry) -> Result<Vec<u8>> {
        self.read_range(entry, None).await
    }

    async fn read_range(&self, entry: &Entry, range: Option<Range<u64>>) -> Result<Vec<u8>> {
        let stream = self.backend.read(entry, ReadOptions { range }).await?;
        let pieces: Vec<Bytes> = stream.try_collect().await?;
        Ok(pieces.concat())
    }

    /// Everything on the disk, also what listings hide.
    fn raw_names(&self) -> Vec<String> {
        fn gather(folder: PathBuf, names: &mut Vec<String>) {
            for found in std::fs::read_dir(folder).expect("readable") {
                let found = found.expect("readable");
                names.push(found.file_name().to_string_lossy().into_owned());
                if found.file_type().expect("known").is_dir() {
                    gather(found.path(), names);
                }
            }
        }
        let mut names = Vec::new();
        gather(self.file(""), &mut names);
        names.sort();
        names
    }

    /// Work that was cancelled cleans up on its own thread: waits until it has.
    async fn eventually_holds(&self, expected: &[&str]) {
        // What never comes is a test that never ends, and not one that fails on a machine with much to do.
        while self.raw_names() != expected {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

fn kind<T: std::fmt::Debug>(result: Result<T, Error>) -> ErrorKind {
    result.expect_err("must fail").kind()
}
