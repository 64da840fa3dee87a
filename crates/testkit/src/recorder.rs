//! A backend that writes down what it is asked and passes it on.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;
use ketch_core::facets::{self, Guard};
use ketch_core::{
    About, Backend, Body, ByteStream, Disk, DiskFile, Entry, EntryStream, Facets, ListOptions,
    Metadata, PutOptions, ReadOptions, RelPath, Result,
};

/// One thing a backend was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The method of the trait: `stat`, `list`, `read`, `put`, `delete` (one for each entry), `make_dir`, `copy`, `rename`,
    /// `set_metadata` or `finish`; or of a facet: `partial`, `abandon`, `leftovers`, `inspect`, `usage`, `root_identity`, `take`,
    /// and `copy` from another place of this machine.
    pub operation: &'static str,
    /// What it was about; the source of a copy or rename.
    pub path: RelPath,
    /// The target of a copy or rename.
    pub to: Option<RelPath>,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.operation, self.path)?;
        match &self.to {
            Some(to) => write!(f, " -> {to}"),
            None => Ok(()),
        }
    }
}

/// Records the calls to a backend, in the order in which they began.
#[derive(Debug)]
pub struct Recorder {
    inner: Arc<dyn Backend>,
    calls: Arc<Mutex<Vec<Call>>>,
    facets: Facets,
    hook: Option<Hook>,
    deletions: AtomicUsize,
}

/// What is done when the call of that number begins.
struct Hook(usize, Box<dyn Fn() + Send + Sync>);

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at call {}", self.0)
    }
}

/// Records the calls of facets.
#[derive(Debug)]
struct Notes(Arc<Mutex<Vec<Call>>>);

impl Guard for Notes {
    async fn call<'a, T, F>(
        &'a self,
        call: facets::Call<'a>,
        attempt: impl Fn() -> F + Send + Sync + 'a,
    ) -> Result<T>
    where
        T: Send + 'a,
        F: Future<Output = Result<T>> + Send + 'a,
    {
        let path = call.path.cloned().unwrap_or_else(RelPath::root);
        let call = match call.from {
            Some(from) => Call { operation: call.method, path: from.clone(), to: Some(path) },
            None => Call { operation: call.method, path, to: None },
        };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(call);
        attempt().await
    }
}

/// The disk of a [`Recorder`].
#[derive(Debug)]
struct RecordedDisk {
    inner: Arc<dyn Disk>,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl Disk for RecordedDisk {
    fn open(&self, entry: &Entry) -> Result<Box<dyn DiskFile>> {
        let call = Call { operation: "read", path: entry.path.clone(), to: None };
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).push(call);
        self.inner.open(entry)
    }

    fn is_settled(&self, entry: &Entry, time: SystemTime) -> bool {
        self.inner.is_settled(entry, time)
    }

    fn proves_versions(&self) -> bool {
        self.inner.proves_versions()
    }
}

impl Recorder {
    /// Records what `inner` is asked from now on.
    pub fn new(inner: Arc<dyn Backend>) -> Self {
        let calls: Arc<Mutex<Vec<Call>>> = Arc::default();
        // Opening a file of the disk is recorded as `read`.
        let disk = inner.disk().map(|inner| {
            Arc::new(RecordedDisk { inner, calls: Arc::clone(&calls) }) as Arc<dyn Disk>
        });
        let notes = Arc::new(Notes(Arc::clone(&calls)));
        let facets = Facets { disk, ..inner.facets().guarded(&notes) };
        Recorder { inner, calls, facets, hook: None, deletions: AtomicUsize::new(0) }
    }

    /// Calls `hook` when the call of that number begins, counted from 1.
    pub fn at_call(mut self, number: usize, hook: impl Fn() + Send + Sync + 'static) -> Self {
        self.hook = Some(Hook(number, Box::new(hook)));
        self
    }

    /// All calls.
    pub fn calls(&self) -> Vec<Call> {
        self.lock().clone()
    }

    /// How often `operation` was called.
    pub fn count(&self, operation: &str) -> usize {
        self.lock().iter().filter(|call| call.operation == operation).count()
    }

    /// How often `delete` was called, with however many entries.
    pub fn deletions(&self) -> usize {
        self.deletions.load(Ordering::Relaxed)
    }

    /// What `operation` was called with, in order.
    pub fn paths(&self, operation: &str) -> Vec<String> {
        let calls = self.lock();
        let meant = calls.iter().filter(|call| call.operation == operation);
        meant.map(|call| call.path.to_string()).collect()
    }

    /// Forgets all calls.
    pub fn clear(&self) {
        self.lock().clear();
    }

    fn note(&self, operation: &'static str, path: &RelPath, to: Option<&RelPath>) {
        let mut calls = self.lock();
        calls.push(Call { operation, path: path.clone(), to: to.cloned() });
        let count = calls.len();
        drop(calls);
        if let Some(Hook(number, hook)) = &self.hook
            && *number == count
        {
            hook();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Call>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Backend for Recorder {
    fn about(&self) -> &About {
        self.inner.about()
    }

    fn facets(&self) -> &Facets {
        &self.facets
    }

    async fn stat(&self, path: &RelPath) -> Result<Entry> {
        self.note("stat", path, None);
        self.inner.stat(path).await
    }

    fn list(&self, dir: &RelPath, options: ListOptions) -> EntryStream {
        self.note("list", dir, None);
        self.inner.list(dir, options)
    }

    async fn read(&self, entry: &Entry, options: ReadOptions) -> Result<ByteStream> {
        self.note("read", &entry.path, None);
        self.inner.read(entry, options).await
    }

    async fn put(&self, path: &RelPath, body: Body, options: PutOptions) -> Result<Entry> {
        self.note("put", path, None);
        self.inner.put(path, body, options).await
    }

    async fn delete(&self, entries: &[Entry]) -> Vec<Result<()>> {
        self.deletions.fetch_add(1, Ordering::Relaxed);
        entries.iter().for_each(|entry| self.note("delete", &entry.path, None));
        self.inner.delete(entries).await
    }

    async fn make_dir(&self, path: &RelPath, mode: Option<u32>) -> Result<()> {
        self.note("make_dir", path, None);
        self.inner.make_dir(path, mode).await
    }

    async fn copy(&self, from: &Entry, to: &RelPath, options: PutOptions) -> Result<Entry> {
        self.note("copy", &from.path, Some(to));
        self.inner.copy(from, to, options).await
    }

    async fn rename(&self, from: &Entry, to: &RelPath) -> Result<Entry> {
        self.note("rename", &from.path, Some(to));
        self.inner.rename(from, to).await
    }

    async fn set_metadata(&self, entry: &Entry, metadata: &Metadata) -> Result<Entry> {
        self.note("set_metadata", &entry.path, None);
        self.inner.set_metadata(entry, metadata).await
    }

    async fn finish(&self) -> Result<()> {
        self.note("finish", &RelPath::root(), None);
        self.inner.finish().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryBackend;
    use futures::StreamExt;

    #[tokio::test]
    async fn calls_are_recorded_in_order_with_what_they_were_about() {
        let memory = Arc::new(MemoryBackend::new("m"));
        memory.seed("d/a", "1");
        let recorder = Recorder::new(memory);
        let path = RelPath::new("d/a").expect("legal");
        let _listing = recorder.list(&RelPath::root(), ListOptions::default()).count().await;
        let entry = recorder.stat(&path).await.expect("there");
        recorder.rename(&entry, &RelPath::new("b").expect("legal")).await.expect("moved");
        let lines: Vec<_> = recorder.calls().iter().map(Call::to_string).collect();
        assert_eq!(lines, ["list ", "stat d/a", "rename d/a -> b"]);
        assert_eq!((recorder.count("stat"), recorder.count("put")), (1, 0));
        assert_eq!(recorder.paths("rename"), ["d/a"]);
        recorder.clear();
        assert!(recorder.calls().is_empty());
    }
}
