//! Promise 6 as a test: a sync of trees that nothing holds in memory, and the peak memory of the process.
//!
//! The trees are generated as they are listed. `KETCH_SCALING` sets how many files each side has; the default keeps the run
//! to seconds in a build without optimisation. The peak is the system's high-water mark of this process, which is why
//! this file has one test.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use async_trait::async_trait;
use futures::{StreamExt, stream};
use ketch_core::{
    Backend, Body, ByteStream, Capabilities, Entry, EntryStream, Error, ListOptions, Order,
    PutOptions, ReadOptions, RelPath, Result,
};
use ketch_engine::{JobKind, Request, Settings, start};

/// What a job may take beside what the process takes anyway.
const GROWTH_MAX_KIB: u64 = 64 * 1024;
const FILES_DEFAULT: u64 = 100_000;
const FILES_OF_ONE_FOLDER_MAX: u64 = 200_000;
const FILES_OF_A_FOLDER: u64 = 1_000;

/// Folders of files that exist only while they are listed. What would change anything is refused.
#[derive(Debug)]
struct Generated {
    name: &'static str,
    capabilities: Capabilities,
    folders: u64,
    files: u64,
}

impl Generated {
    fn place(name: &'static str, folders: u64, files: u64) -> Arc<dyn Backend> {
        let capabilities = Capabilities {
            list_order: Order::Key,
            dirs: true,
            mtime: Some(Duration::from_nanos(1)),
            ..Capabilities::default()
        };
        Arc::new(Generated { name, capabilities, folders, files })
    }
}

#[async_trait]
impl Backend for Generated {
    fn name(&self) -> &str {
        self.name
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn location(&self) -> String {
        self.name.to_owned()
    }

    async fn stat(&self, path: &RelPath) -> Result<Entry> {
        Ok(Entry::dir(path.clone()))
    }

    fn list(&self, dir: &RelPath, _options: ListOptions) -> EntryStream {
        if dir.is_root() {
            let folder = |number| RelPath::new(&format!("folder-{number:06}")).unwrap();
            return stream::iter((0..self.folders).map(move |at| Ok(Entry::dir(folder(at)))))
                .boxed();
        }
        let dir = dir.clone();
        let file = move |number: u64| {
            let path = dir.join(&format!("picture-{number:09}.jpeg")).unwrap();
            let mtime = UNIX_EPOCH + Duration::new(1_700_000_000 + number, 123_456_789);
            let version = format!("0123456789abcdef-{number:016x}");
            Ok(Entry {
                mtime: Some(mtime),
                version: Some(version.into()),
                ..Entry::file(path, number)
            })
        };
        stream::iter((0..self.files).map(file)).boxed()
    }

    async fn read(&self, _entry: &Entry, _options: ReadOptions) -> Result<ByteStream> {
        Err(Error::unsupported("read"))
    }

    async fn put(&self, _path: &RelPath, _body: Body, _options: PutOptions) -> Result<Entry> {
        Err(Error::unsupported("put"))
    }

    async fn delete(&self, _entry: &Entry) -> Result<()> {
        Err(Error::unsupported("delete"))
    }
}

/// The high-water mark of this process.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_6_memory_does_not_grow_with_the_tree() {
    let files = match std::env::var("KETCH_SCALING") {
        Ok(text) => text.parse().expect("KETCH_SCALING is a number"),
        Err(_) => FILES_DEFAULT, // Not set.
    };
    // Many folders, and then a tenth of the files in a single one, as far as one folder is held in memory (packed).
    let one = (files / 10).min(FILES_OF_ONE_FOLDER_MAX);
    for (folders, in_each) in [(files / FILES_OF_A_FOLDER, FILES_OF_A_FOLDER), (1, one)] {
        let before = peak_kib();
        let source = Generated::place("source", folders, in_each);
        let destination = Generated::place("destination", folders, in_each);
        let settings = Settings::default();
        let request = Request { settings, ..Request::new(JobKind::Sync, source, destination) };
        let mut job = start(request);
        while job.events.recv().await.is_some() {}
        let report = job.report().await;
        assert!(report.is_success(), "{report:?}");
        assert_eq!(report.unchanged, folders * in_each);
        let growth = peak_kib() - before;
        println!(
            "{folders} folders of {in_each} files on both sides: {growth} KiB more at the peak"
        );
        assert!(growth < GROWTH_MAX_KIB, "{growth} KiB for {folders} folders of {in_each} files");
    }
}
