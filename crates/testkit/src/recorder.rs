//! A backend that writes down what it is asked and passes it on.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;
use ketch_core::{
    Backend, Body, ByteStream, Capabilities, Checkpoint, Disk, DiskFile, Entry, EntryStream,
    ListOptions, PutOptions, ReadOptions, RelPath, Result, Usage,
};

/// One thing a backend was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The method of the trait: `stat`, `list`, `read`, `put`, `delete`, `make_dir`, `copy`, `rename`, `set_mtime`, `usage`
    /// or `close`.
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
        Recorder { inner, calls: Arc::default() }
    }

    /// All calls.
    pub fn calls(&self) -> Vec<Call> {
        self.lock().clone()
    }

    /// How often `operation` was called.
    pub fn count(&self, operation: &str) -> usize {
        self.lock().iter().filter(|call| call.operation == operation).count()
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
        self.lock().push(Call { operation, path: path.clone(), to: to.cloned() });
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Call>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Backend for Recorder {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn capabilities(&self) -> &Capabilities {
        self.inner.capabilities()
    }

    fn location(&self) -> String {
        self.inner.location()
    }

    /// Opening a file of it is recorded as `read`.
    fn doubt(&self) -> Option<String> {
        self.inner.doubt()
    }

    fn disk(&self) -> Option<Arc<dyn Disk>> {
        let inner = self.inner.disk()?;
        Some(Arc::new(RecordedDisk { inner, calls: Arc::clone(&self.calls) }))
    }

    async fn root_identity(&self) -> Result<Option<String>> {
        self.inner.root_identity().await
    }

    fn view_options(&self) -> String {
        self.inner.view_options()
    }

    fn scope(&self) -> Option<&str> {
        self.inner.scope()
    }

    fn identities(&self) -> Option<Arc<dyn ketch_core::identity::Identities>> {
        self.inner.identities()
    }

    async fn recall(&self, dir: &RelPath) -> Option<Vec<Entry>> {
        self.inner.recall(dir).await
    }

    fn bill(&self, work: &ketch_core::bill::Work) -> Option<ketch_core::bill::Bill> {
        self.inner.bill(work)
    }

    fn services(&self) -> Option<Arc<dyn ketch_core::services::Services>> {
        self.inner.services()
    }

    fn lend(&self, entry: &Entry) -> Option<Entry> {
        self.inner.lend(entry)
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

    async fn delete(&self, entry: &Entry) -> Result<()> {
        self.note("delete", &entry.path, None);
        self.inner.delete(entry).await
    }

    async fn make_dir(&self, path: &RelPath) -> Result<()> {
        self.note("make_dir", path, None);
        self.inner.make_dir(path).await
    }

    async fn make_dir_with(&self, path: &RelPath, mode: u32) -> Result<()> {
        self.note("make_dir", path, None);
        self.inner.make_dir_with(path, mode).await
    }

    async fn copy(&self, from: &Entry, to: &RelPath, options: PutOptions) -> Result<Entry> {
        self.note("copy", &from.path, Some(to));
        self.inner.copy(from, to, options).await
    }

    async fn rename(&self, from: &Entry, to: &RelPath) -> Result<Entry> {
        self.note("rename", &from.path, Some(to));
        self.inner.rename(from, to).await
    }

    async fn take(&self, lent: &Entry, to: &RelPath, options: PutOptions) -> Result<Entry> {
        self.note("take", &lent.path, Some(to));
        self.inner.take(lent, to, options).await
    }

    async fn set_mtime(&self, entry: &Entry, mtime: SystemTime) -> Result<Entry> {
        self.note("set_mtime", &entry.path, None);
        self.inner.set_mtime(entry, mtime).await
    }

    async fn set_mode(&self, entry: &Entry, mode: u32) -> Result<Entry> {
        self.note("set_mode", &entry.path, None);
        self.inner.set_mode(entry, mode).await
    }

    async fn kept(&self, path: &RelPath, checkpoint: &Checkpoint) -> Result<Option<Body>> {
        self.note("kept", path, None);
        self.inner.kept(path, checkpoint).await
    }

    async fn abandon(&self, path: &RelPath, checkpoint: &Checkpoint) -> Result<()> {
        self.note("abandon", path, None);
        self.inner.abandon(path, checkpoint).await
    }

    async fn usage(&self) -> Result<Usage> {
        self.note("usage", &RelPath::root(), None);
        self.inner.usage().await
    }

    async fn flush(&self) -> Result<()> {
        self.note("flush", &RelPath::root(), None);
        self.inner.flush().await
    }

    async fn close(&self) -> Result<()> {
        self.note("close", &RelPath::root(), None);
        self.inner.close().await
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
