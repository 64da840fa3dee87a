//! Limits the requests to one remote, and pauses all of them when the remote says that there were too many.
//!
//! The limits are those of one built stack: clones of the `Arc` share them, two stacks do not.

use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::BoxStream;
use futures::{StreamExt, TryFutureExt};

use super::context::{Request, named_each};
use super::gate::{Gate, Lane, Place};
use super::tap::tap;
use crate::about::About;
use crate::backend::Backend;
use crate::entry::Entry;
use crate::entry_stream::EntryStream;
use crate::error::Result;
use crate::facets::{Call, Facets, Guard};
use crate::options::{ListOptions, Metadata, PutOptions, ReadOptions};
use crate::path::RelPath;
use crate::source::{Body, ByteStream};

/// The limits of requests to one remote. The default sets no limit, but keeps the pauses that a remote asks for: after
/// `Throttled` with a time no request starts before that time has passed. While more than half an hour is left, requests
/// fail at once with `Throttled` and the time that is left.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LimitSettings {
    /// Requests in flight, at least 1; `None` = any number. Reads, listings and all other calls (with `put`) have this many
    /// slots *each*: the body of a `put` may be read from the same remote, and calls may be made for the entries of an open
    /// listing. They must find a slot while the first call holds one, also if this number is 1.
    ///
    /// A stream of bytes or entries keeps its slot until it ends, fails or is dropped. So a task that holds a stream and
    /// waits for a second one of the same kind from the same remote needs at least 2.
    pub concurrent: Option<usize>,
    /// Request starts in a second, evenly spaced; `None`, zero or less = any number. Opening a stream is one start.
    pub per_second: Option<f64>,
}

#[derive(Debug)]
pub(super) struct Limit {
    inner: Arc<dyn Backend>,
    gate: Arc<Gate>,
    turns: Arc<Turns>,
    facets: Facets,
}

/// The turn of a call.
#[derive(Debug)]
struct Turns {
    inner: Arc<dyn Backend>,
    gate: Arc<Gate>,
}

impl Turns {
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

impl Guard for Turns {
    async fn call<'a, T, F>(
        &'a self,
        call: Call<'a>,
        attempt: impl Fn() -> F + Send + Sync + 'a,
    ) -> Result<T>
    where
        T: Send + 'a,
        F: Future<Output = Result<T>> + Send + 'a,
    {
        self.call(call.operation, call.path, attempt()).await
    }
}

impl Limit {
    pub(super) fn new(inner: Arc<dyn Backend>, settings: &LimitSettings) -> Self {
        let gate = Arc::new(Gate::new(settings));
        let turns = Arc::new(Turns { inner: Arc::clone(&inner), gate: Arc::clone(&gate) });
        // What is read from the disk goes round the limit.
        let facets = Facets { disk: None, ..inner.facets().guarded(&turns) };
        Limit { inner, gate, turns, facets }
    }

    async fn call<T>(
        &self,
        operation: &'static str,
        path: Option<&RelPath>,
        call: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        self.turns.call(operation, path, call).await
    }
}

/// Keeps `place` until `stream` ends.
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
    fn about(&self) -> &About {
        self.inner.about()
    }

    fn facets(&self) -> &Facets {
        &self.facets
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

    /// One turn for all of them: they are one call.
    async fn delete(&self, entries: &[Entry]) -> Vec<Result<()>> {
        let results = match self.gate.enter(Lane::Call).await {
            Ok(_place) => {
                let results = self.inner.delete(entries).await;
                for error in results.iter().filter_map(|result| result.as_ref().err()) {
                    self.gate.note(error);
                }
                results
            }
            Err(error) => entries.iter().map(|_| Err(error.twin())).collect(),
        };
        named_each("delete", &self.inner, entries, results)
    }

    async fn make_dir(&self, path: &RelPath, mode: Option<u32>) -> Result<()> {
        self.call("make folder", Some(path), self.inner.make_dir(path, mode)).await
    }

    async fn copy(&self, from: &Entry, to: &RelPath, options: PutOptions) -> Result<Entry> {
        self.call("copy", Some(to), self.inner.copy(from, to, options)).await
    }

    async fn rename(&self, from: &Entry, to: &RelPath) -> Result<Entry> {
        self.call("rename", Some(to), self.inner.rename(from, to)).await
    }

    async fn set_metadata(&self, entry: &Entry, metadata: &Metadata) -> Result<Entry> {
        let set = self.inner.set_metadata(entry, metadata);
        self.call(metadata.operation(), Some(&entry.path), set).await
    }

    /// Not limited itself; its requests are. So a caller that ends the run does not wait behind a pause.
    async fn finish(&self) -> Result<()> {
        let result = self.inner.finish().await;
        result.map_err(|error| Request::new("finish", &self.inner, None).named(error))
    }
}
