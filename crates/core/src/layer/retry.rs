//! The only place in the program that repeats requests.
//!
//! Whether an error is worth another attempt was decided by the layer that understands the wire ([`crate::Retry`]); here
//! it is decided what another attempt *means*. What changes nothing, or the same thing twice, is simply sent again. A
//! `rename` is looked after first. A `put` is repeated whole, and after `CommitUnknown` looked after first. Broken streams
//! are taken up again (see `resume`).
//!
//! CANCEL: all waiting is in the caller's future or stream; dropping it ends the wait and sends nothing more.

use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use futures::TryStreamExt;

use super::context::Request;
use super::effort::{Effort, Policy};
use super::evidence::{is_moved, is_stored, strongest};
use super::resume;
use super::tap::tap;
use crate::backend::{Backend, ListOptions, PutOptions, ReadOptions, Usage};
use crate::bill::{Bill, Work};
use crate::capabilities::Capabilities;
use crate::checkpoint::Checkpoint;
use crate::disk::Disk;
use crate::entry::Entry;
use crate::entry_stream::EntryStream;
use crate::error::{Error, ErrorKind, Result, Retry as Worth};
use crate::identity::Identities;
use crate::path::RelPath;
use crate::services::Services;
use crate::source::{Body, ByteStream, HashingSource, open_all};

#[derive(Debug)]
pub(super) struct Retry {
    inner: Arc<dyn Backend>,
    policy: Arc<Policy>,
}

impl Retry {
    pub(super) fn new(inner: Arc<dyn Backend>, policy: Policy) -> Self {
        Retry { inner, policy: Arc::new(policy) }
    }

    fn effort(&self, operation: &'static str, path: Option<&RelPath>) -> Effort {
        Effort::new(&self.policy, Request::new(operation, &self.inner, path))
    }

    /// Sends a request again that may be sent any number of times.
    async fn repeat<T, F>(
        &self,
        operation: &'static str,
        path: Option<&RelPath>,
        mut attempt: impl FnMut() -> F,
    ) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let mut effort = self.effort(operation, path);
        loop {
            match attempt().await {
                Ok(value) => return Ok(value),
                Err(error) => {
                    let error = effort.named(error);
                    if !effort.wait(&error, false).await {
                        return Err(error);
                    }
                }
            }
        }
    }

    /// What is at `path`; `None` when nothing is.
    async fn look(&self, path: &RelPath) -> Result<Option<Entry>> {
        match self.stat(path).await {
            Ok(entry) => Ok(Some(entry)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Looks whether a body is stored after all. Fails when the remote cannot even be asked.
    async fn find_stored(
        &self,
        path: &RelPath,
        body: &Body,
        size: Option<u64>,
        options: &PutOptions,
    ) -> Result<Option<Entry>> {
        let Some(found) = self.look(path).await? else { return Ok(None) };
        let is_stored = match is_stored(&found, size, None, options, self.capabilities()) {
            Some(is_stored) => is_stored,
            None => has_digest_of(&found, body).await,
        };
        Ok(is_stored.then_some(found))
    }
}

/// Reads the body once more to compare digests. That costs less than sending it once more.
async fn has_digest_of(found: &Entry, body: &Body) -> bool {
    let Some(expected) = strongest(found).filter(|_| body.replayable()) else { return false };
    let source = HashingSource::new(Arc::clone(body), vec![expected.algo()]);
    let pass = async {
        let mut stream = open_all(&source).await?;
        while stream.try_next().await?.is_some() {}
        Ok::<_, Error>(source.hashes())
    };
    // An error of the body means that nothing is proven. Another attempt meets it again and reports it.
    let hashes = pass.await.ok().flatten();
    hashes.is_some_and(|hashes| hashes.get(expected.algo()) == Some(expected))
}

/// Does the error look like what one's own earlier success would cause?
fn is_conflict(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Changed | ErrorKind::AlreadyExists)
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Backend for Retry {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn capabilities(&self) -> &Capabilities {
        self.inner.capabilities()
    }

    fn location(&self) -> String {
        self.inner.location()
    }

    fn doubt(&self) -> Option<String> {
        self.inner.doubt()
    }

    fn disk(&self) -> Option<Arc<dyn Disk>> {
        self.inner.disk()
    }

    async fn root_identity(&self) -> Result<Option<String>> {
        self.repeat("look at the root", None, || self.inner.root_identity()).await
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
        self.repeat("stat", Some(path), || self.inner.stat(path)).await
    }

    fn list(&self, dir: &RelPath, options: ListOptions) -> EntryStream {
        let effort = self.effort("list", Some(dir));
        resume::list(Arc::clone(&self.inner), dir.clone(), options, effort)
    }

    async fn read(&self, entry: &Entry, options: ReadOptions) -> Result<ByteStream> {
        let effort = self.effort("read", Some(&entry.path));
        resume::read(Arc::clone(&self.inner), entry.clone(), options, effort).await
    }

    async fn put(&self, path: &RelPath, body: Body, options: PutOptions) -> Result<Entry> {
        let mut effort = self.effort("put", Some(path));
        let mut is_in_doubt = false;
        loop {
            let (tapped, flow) = tap(Arc::clone(&body), usize::MAX);
            let error = match self.inner.put(path, tapped, options.clone()).await {
                Ok(entry) => return Ok(entry),
                Err(error) => effort.named(error),
            };
            // Once a commit was lost it can show up at any later time, also as a conflict with a repeated attempt.
            is_in_doubt |= error.kind() == ErrorKind::CommitUnknown;
            let can_repeat = body.replayable() || !flow.opened();
            let repeat = can_repeat && effort.wait(&error, flow.failed()).await;
            if is_in_doubt {
                match self.find_stored(path, &body, flow.size(), &options).await {
                    Ok(Some(entry)) => return Ok(entry),
                    Ok(None) => {}
                    // Nobody answers, and sending blindly could make a second copy.
                    Err(_) => return Err(error),
                }
            }
            if !repeat {
                return Err(error);
            }
        }
    }

    async fn delete(&self, entry: &Entry) -> Result<()> {
        self.repeat("delete", Some(&entry.path), || self.inner.delete(entry)).await
    }

    async fn make_dir(&self, path: &RelPath) -> Result<()> {
        self.repeat("make folder", Some(path), || self.inner.make_dir(path)).await
    }

    async fn make_dir_with(&self, path: &RelPath, mode: u32) -> Result<()> {
        self.repeat("make folder", Some(path), || self.inner.make_dir_with(path, mode)).await
    }

    async fn copy(&self, from: &Entry, to: &RelPath, options: PutOptions) -> Result<Entry> {
        let mut effort = self.effort("copy", Some(to));
        let mut is_in_doubt = false;
        loop {
            let error = match self.inner.copy(from, to, options.clone()).await {
                Ok(entry) => return Ok(entry),
                Err(error) => effort.named(error),
            };
            if is_in_doubt && is_conflict(&error) {
                // An error of the look is less telling than the conflict.
                let found = self.look(to).await.ok().flatten();
                let (size, hashes) = (from.size, from.hashes.as_deref());
                let stored = found.filter(|found| {
                    is_stored(found, size, hashes, &options, self.capabilities()) == Some(true)
                });
                return stored.ok_or(error);
            }
            if !effort.wait(&error, false).await {
                return Err(error);
            }
            is_in_doubt |= error.kind() != ErrorKind::Throttled;
        }
    }

    async fn rename(&self, from: &Entry, to: &RelPath) -> Result<Entry> {
        let mut effort = self.effort("rename", Some(to));
        let mut is_in_doubt = false;
        loop {
            let error = match self.inner.rename(from, to).await {
                Ok(entry) => return Ok(entry),
                Err(error) => effort.named(error),
            };
            is_in_doubt |=
                error.retry() != Worth::Never || error.kind() == ErrorKind::CommitUnknown;
            let repeat = effort.wait(&error, false).await;
            if is_in_doubt {
                match self.look(to).await {
                    Ok(None) => {}
                    Ok(Some(found)) => match is_moved(&found, from, self.capabilities()) {
                        Some(true) => return Ok(found),
                        Some(false) => {}
                        None => return Err(error),
                    },
                    Err(_) => return Err(error),
                }
            }
            if !repeat {
                return Err(error);
            }
        }
    }

    async fn take(&self, lent: &Entry, to: &RelPath, options: PutOptions) -> Result<Entry> {
        // Not repeated: whether an attempt that failed has taken it cannot be told from outside.
        let result = self.inner.take(lent, to, options).await;
        result.map_err(|error| Request::new("take", &self.inner, Some(to)).named(error))
    }

    async fn set_mtime(&self, entry: &Entry, mtime: SystemTime) -> Result<Entry> {
        let attempt = || self.inner.set_mtime(entry, mtime);
        self.repeat("set time", Some(&entry.path), attempt).await
    }

    async fn set_mode(&self, entry: &Entry, mode: u32) -> Result<Entry> {
        let attempt = || self.inner.set_mode(entry, mode);
        self.repeat("set permissions", Some(&entry.path), attempt).await
    }

    async fn kept(&self, path: &RelPath, checkpoint: &Checkpoint) -> Result<Option<Body>> {
        self.repeat("look for a part", Some(path), || self.inner.kept(path, checkpoint)).await
    }

    async fn abandon(&self, path: &RelPath, checkpoint: &Checkpoint) -> Result<()> {
        self.repeat("abandon", Some(path), || self.inner.abandon(path, checkpoint)).await
    }

    async fn usage(&self) -> Result<Usage> {
        self.repeat("usage", None, || self.inner.usage()).await
    }

    async fn flush(&self) -> Result<()> {
        self.repeat("flush", None, || self.inner.flush()).await
    }

    /// Not repeated: the run is over.
    async fn close(&self) -> Result<()> {
        let result = self.inner.close().await;
        result.map_err(|error| Request::new("close", &self.inner, None).named(error))
    }
}
