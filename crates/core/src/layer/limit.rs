//! How hard one remote may be pressed, and the pause of all when it says that it was too hard.
//!
//! The limits are those of one built stack: clones of the `Arc` share them, two stacks do not.

use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use futures::stream::BoxStream;
use futures::{StreamExt, TryFutureExt};

use super::context::Request;
use super::gate::{Gate, Lane, Place};
use super::tap::tap;
use crate::backend::{Backend, ListOptions, PutOptions, ReadOptions, Usage};
use crate::bill::{Bill, Work};
use crate::capabilities::Capabilities;
use crate::checkpoint::Checkpoint;
use crate::disk::Disk;
use crate::entry::Entry;
use crate::entry_stream::EntryStream;
use crate::error::Result;
use crate::identity::Identities;
use crate::path::RelPath;
use crate::services::Services;
use crate::source::{Body, ByteStream};

/// How hard one remote may be pressed. The default sets no limit, and still keeps the pauses a remote asks for: after
/// `Throttled` with a time no request starts before that time has passed. While more than half an hour is left, requests
/// fail at once with `Throttled` and the time that is left.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LimitSettings {
    /// Requests in flight, at least 1; `None` = any number. Reads, listings and all other calls (with `put`) have this
    /// many places *each*: a `put` whose body is read from the same remote, and work that is done for the entries of an
    /// open listing, must find a place while the first one is held, also when there is only one.
    ///
    /// A stream of bytes or entries keeps its place until it ends, fails or is dropped. So a task that holds a stream and
    /// waits for a second one of the same kind from the same remote needs at least 2.
    pub concurrent: Option<usize>,
    /// Request starts, evenly spaced; `None`, or what is not above zero = any number. Opening a stream is one start.
    pub per_second: Option<f64>,
}

#[derive(Debug)]
pub(super) struct Limit {
    inner: Arc<dyn Backend>,
    gate: Arc<Gate>,
}

impl Limit {
    pub(super) fn new(inner: Arc<dyn Backend>, settings: &LimitSettings) -> Self {
        Limit { inner, gate: Arc::new(Gate::new(settings)) }
    }

    async fn call<T>(
        &self,
        operation: &'static str,
        path: Option<&RelPath>,
        call: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let attempt = async {
            let _place = self.gate.enter(Lane::Call).await?;
            call.await.inspect_err(|error| self.gate.note(error))
        };
        attempt.await.map_err(|error| Request::new(operation, &self.inner, path).named(error))
    }
}

/// Keeps `place` as long as `stream` goes on.
fn holding<T: Send + 'static>(
    stream: BoxStream<'static, Result<T>>,
    place: Place,
    gate: Arc<Gate>,
    request: Request,
) -> BoxStream<'static, Result<T>> {
    futures::stream::try_unfold((stream, place, gate, request), |mut held| async move {
        match held.0.next().await {
            Some(Ok(item)) => Ok(Some((item, held))),
            Some(Err(error)) => {
                held.2.note(&error);
                Err(held.3.named(error))
            }
            None => Ok(None),
        }
    })
    .boxed()
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Backend for Limit {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn capabilities(&self) -> &Capabilities {
        self.inner.capabilities()
    }

    fn location(&self) -> String {
        self.inner.location()
    }

    /// Reading it would go round the limit.
    fn doubt(&self) -> Option<String> {
        self.inner.doubt()
    }

    fn disk(&self) -> Option<Arc<dyn Disk>> {
        None
    }

    async fn root_identity(&self) -> Result<Option<String>> {
        self.call("look at the root", None, self.inner.root_identity()).await
    }

    fn view_options(&self) -> String {
        self.inner.view_options()
    }

    fn scope(&self) -> Option<&str> {
        self.inner.scope()
    }

    fn identities(&self) -> Option<Arc<dyn Identities>> {
        self.inner.identities()
    }

    async fn recall(&self, dir: &RelPath) -> Option<Vec<Entry>> {
        self.inner.recall(dir).await
    }

    fn bill(&self, work: &Work) -> Option<Bill> {
        self.inner.bill(work)
    }

    fn services(&self) -> Option<Arc<dyn Services>> {
        self.inner.services()
    }

    fn lend(&self, entry: &Entry) -> Option<Entry> {
        self.inner.lend(entry)
    }

    async fn stat(&self, path: &RelPath) -> Result<Entry> {
        self.call("stat", Some(path), self.inner.stat(path)).await
    }

    fn list(&self, dir: &RelPath, options: ListOptions) -> EntryStream {
        let (inner, gate, dir) = (Arc::clone(&self.inner), Arc::clone(&self.gate), dir.clone());
        let request = Request::new("list", &self.inner, Some(&dir));
        let pages = async move {
            let place = gate.enter(Lane::List).await.map_err(|error| request.named(error))?;
            Ok(holding(inner.list(&dir, options).into_pages(), place, gate, request))
        };
        EntryStream::of_pages(pages.try_flatten_stream())
    }

    async fn read(&self, entry: &Entry, options: ReadOptions) -> Result<ByteStream> {
        let request = Request::new("read", &self.inner, Some(&entry.path));
        let place = self.gate.enter(Lane::Read).await.map_err(|error| request.named(error))?;
        match self.inner.read(entry, options).await {
            Ok(stream) => Ok(holding(stream, place, Arc::clone(&self.gate), request)),
            Err(error) => {
                self.gate.note(&error);
                Err(request.named(error))
            }
        }
    }

    async fn put(&self, path: &RelPath, body: Body, options: PutOptions) -> Result<Entry> {
        let (body, flow) = tap(body, usize::MAX);
        let attempt = async {
            let _place = self.gate.enter(Lane::Call).await?;
            let result = self.inner.put(path, body, options).await;
            // What the body's own remote asks for is kept by that remote's gate.
            result.inspect_err(|error| {
                if !flow.failed() {
                    self.gate.note(error)
                }
            })
        };
        attempt.await.map_err(|error| Request::new("put", &self.inner, Some(path)).named(error))
    }

    async fn delete(&self, entry: &Entry) -> Result<()> {
        self.call("delete", Some(&entry.path), self.inner.delete(entry)).await
    }

    async fn make_dir(&self, path: &RelPath) -> Result<()> {
        self.call("make folder", Some(path), self.inner.make_dir(path)).await
    }

    async fn make_dir_with(&self, path: &RelPath, mode: u32) -> Result<()> {
        self.call("make folder", Some(path), self.inner.make_dir_with(path, mode)).await
    }

    async fn copy(&self, from: &Entry, to: &RelPath, options: PutOptions) -> Result<Entry> {
        self.call("copy", Some(to), self.inner.copy(from, to, options)).await
    }

    async fn rename(&self, from: &Entry, to: &RelPath) -> Result<Entry> {
        self.call("rename", Some(to), self.inner.rename(from, to)).await
    }

    async fn take(&self, lent: &Entry, to: &RelPath, options: PutOptions) -> Result<Entry> {
        self.call("take", Some(to), self.inner.take(lent, to, options)).await
    }

    async fn set_mtime(&self, entry: &Entry, mtime: SystemTime) -> Result<Entry> {
        self.call("set time", Some(&entry.path), self.inner.set_mtime(entry, mtime)).await
    }

    async fn set_mode(&self, entry: &Entry, mode: u32) -> Result<Entry> {
        self.call("set permissions", Some(&entry.path), self.inner.set_mode(entry, mode)).await
    }

    async fn kept(&self, path: &RelPath, checkpoint: &Checkpoint) -> Result<Option<Body>> {
        self.call("look for a part", Some(path), self.inner.kept(path, checkpoint)).await
    }

    async fn abandon(&self, path: &RelPath, checkpoint: &Checkpoint) -> Result<()> {
        self.call("abandon", Some(path), self.inner.abandon(path, checkpoint)).await
    }

    async fn usage(&self) -> Result<Usage> {
        self.call("usage", None, self.inner.usage()).await
    }

    /// Not limited: the requests it is made of are.
    async fn flush(&self) -> Result<()> {
        let result = self.inner.flush().await;
        result.map_err(|error| Request::new("flush", &self.inner, None).named(error))
    }

    /// Not limited: whoever ends the run does not wait behind a pause.
    async fn close(&self) -> Result<()> {
        let result = self.inner.close().await;
        result.map_err(|error| Request::new("close", &self.inner, None).named(error))
    }
}
