//! Promise 6 as a test: syncs of trees that nothing holds in memory, under a limit that no allocation passes.
//!
//! The trees are generated as they are listed. `KETCH_SCALING` sets how many files each side has; the default is a million.
//! Allocations beyond the limit fail, and the process with them. This file has one test, so that nothing else counts.

use std::alloc::System;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use cap::Cap;
use futures::stream;
use ketch_core::{
    About, Backend, Body, ByteStream, Capabilities, Entry, EntryKind, EntryStream, Error,
    ListOptions, Order, Page, PutOptions, ReadOptions, RelPath, Result, View,
};
use ketch_engine::{JobKind, Request, Settings, start};

#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, usize::MAX);

/// What the process may have allocated at any time, with so many files on each side.
fn limit(files: u64) -> usize {
    if files <= 1_000_000 { 64 << 20 } else { 128 << 20 }
}

const FILES_DEFAULT: u64 = 1_000_000;
const FILES_OF_A_FOLDER: u64 = 1_000;
/// Entries that the generated place hands out together.
const PAGE_FILES: u64 = 2_048;

/// Folders of files that exist only while they are listed. What would change anything is refused.
#[derive(Debug)]
struct Generated {
    about: About,
    folders: u64,
    files: u64,
}

impl Generated {
    fn place(name: &'static str, folders: u64, files: u64, order: Order) -> Arc<dyn Backend> {
        let capabilities = Capabilities {
            list_order: order,
            dirs: true,
            mtime: Some(Duration::from_nanos(1)),
            ..Capabilities::default()
        };
        let about = About { capabilities, ..About::new(name, name) };
        Arc::new(Generated { about, folders, files })
    }
}

#[async_trait]
impl Backend for Generated {
    fn about(&self) -> &About {
        &self.about
    }

    async fn stat(&self, path: &RelPath) -> Result<Entry> {
        Ok(Entry::dir(path.clone()))
    }

    fn list(&self, dir: &RelPath, _options: ListOptions) -> EntryStream {
        let (dir, is_shuffled) = (dir.clone(), self.about.capabilities.list_order != Order::Key);
        let (many, kind) = match dir.is_root() {
            true => (self.folders, EntryKind::Dir),
            false => (self.files, EntryKind::File),
        };
        let page = move |first: u64| {
            let mut page = Page::new(&dir);
            for number in first..many.min(first + PAGE_FILES) {
                let number = if is_shuffled { shuffled(number, many) } else { number };
                let name = format!("picture-{number:09}.jpeg");
                let version = format!("0123456789abcdef-{number:016x}");
                let mut view = View::bare(&name, kind);
                if kind == EntryKind::File {
                    view.size = Some(number);
                    view.time = Some((1_700_000_000 + number as i64, 123_456_789));
                    view = view.with_version(&version);
                }
                page.push_view(&view);
            }
            Ok(page)
        };
        let firsts = (0..many).step_by(PAGE_FILES as usize);
        EntryStream::of_pages(stream::iter(firsts.map(page)))
    }

    async fn read(&self, _entry: &Entry, _options: ReadOptions) -> Result<ByteStream> {
        Err(Error::unsupported("read"))
    }

    async fn put(&self, _path: &RelPath, _body: Body, _options: PutOptions) -> Result<Entry> {
        Err(Error::unsupported("put"))
    }

    async fn delete(&self, entries: &[Entry]) -> Vec<Result<()>> {
        entries.iter().map(|_| Err(Error::unsupported("delete"))).collect()
    }
}

/// Every number below `many` once, in another order.
fn shuffled(number: u64, many: u64) -> u64 {
    // A prime that divides no count of this test.
    number * 7_919 % many
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_6_memory_does_not_grow_with_the_tree() {
    let files = match std::env::var("KETCH_SCALING") {
        Ok(text) => text.parse().expect("KETCH_SCALING is a number"),
        Err(_) => FILES_DEFAULT, // Not set.
    };
    MEMORY.set_limit(limit(files)).expect("less is in use");
    // Many folders, and then all files in one: listed in order, and in none.
    let shapes = [
        (files / FILES_OF_A_FOLDER, FILES_OF_A_FOLDER, Order::Key),
        (1, files, Order::Key),
        (1, files, Order::Unspecified),
    ];
    for (folders, in_each, order) in shapes {
        let started = Instant::now();
        let source = Generated::place("source", folders, in_each, order);
        let destination = Generated::place("destination", folders, in_each, Order::Key);
        let settings = Settings::default();
        let request = Request { settings, ..Request::new(JobKind::Sync, source, destination) };
        let mut job = start(request);
        while job.events.recv().await.is_some() {}
        let report = job.report().await;
        assert!(report.is_success(), "{report:?}");
        assert_eq!(report.unchanged, folders * in_each);
        println!(
            "{folders} folders of {in_each} files on both sides, the source in {order:?} order: {:.1} s, at most {} MiB \
             allocated so far",
            started.elapsed().as_secs_f64(),
            MEMORY.max_allocated() >> 20,
        );
    }
}
