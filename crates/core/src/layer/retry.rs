//! The only place in the program that repeats requests.
//!
//! The backend, which understands the wire, decides whether an error is worth another attempt ([`crate::Retry`]). This layer
//! decides what another attempt *means*. It simply sends a request again that changes nothing, or has the same effect twice.
//! Before it repeats a `rename`, it checks whether the rename happened. It repeats a `put` from the start; after
//! `CommitUnknown` it first checks whether the file was stored. It opens broken streams again (see `resume`).
//!
//! CANCEL: all waiting is in the caller's future or stream; dropping it ends the wait and sends nothing more.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::TryStreamExt;

use super::context::{Request, named_each};
use super::effort::{Effort, Policy};
use super::evidence::{is_moved, is_stored, strongest};
use super::resume;
use super::tap::tap;
use crate::about::About;
use crate::backend::Backend;
use crate::entry::Entry;
use crate::entry_stream::EntryStream;
use crate::error::{Error, ErrorKind, Result, Retry as Worth};
use crate::facets::{Call, Facets, Guard};
use crate::options::{ListOptions, Metadata, PutOptions, ReadOptions};
use crate::path::RelPath;
use crate::source::{Body, ByteStream, HashingSource, open_all};

#[derive(Debug)]
pub(super) struct Retry {
    inner: Arc<dyn Backend>,
    policy: Arc<Policy>,
    facets: Facets,
}

/// Repeats the calls of facets.
#[derive(Debug)]
struct Repeats {
    inner: Arc<dyn Backend>,
    policy: Arc<Policy>,
}

impl Guard for Repeats {
    async fn call<'a, T, F>(
        &'a self,
        call: Call<'a>,
        attempt: impl Fn() -> F + Send + Sync + 'a,
    ) -> Result<T>
    where
        T: Send + 'a,
        F: Future<Output = Result<T>> + Send + 'a,
    {
        let request = Request::new(call.operation, &self.inner, call.path);
        if call.may_repeat {
            return repeat(Effort::new(&self.policy, request), attempt).await;
        }
        attempt().await.map_err(|error| request.named(error))
    }
}

/// Sends a request again that may be sent any number of times.
async fn repeat<T, F>(mut effort: Effort, attempt: impl Fn() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
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

impl Retry {
    pub(super) fn new(inner: Arc<dyn Backend>, policy: Policy) -> Self {
        let policy = Arc::new(policy);
        let repeats = Repeats { inner: Arc::clone(&inner), policy: Arc::clone(&policy) };
        let facets = inner.facets().guarded(&Arc::new(repeats));
        Retry { inner, policy, facets }
    }

    fn effort(&self, operation: &'static str, path: Option<&RelPath>) -> Effort {
        Effort::new(&self.policy, Request::new(operation, &self.inner, path))
    }

    async fn repeat<T, F>(
        &self,
        operation: &'static str,
        path: Option<&RelPath>,
        attempt: impl Fn() -> F,
    ) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        repeat(self.effort(operation, path), attempt).await
    }

    /// What is at `path`; `None` when nothing is.
    async fn look(&self, path: &RelPath) -> Result<Option<Entry>> {
        match self.stat(path).await {
            Ok(entry) => Ok(Some(entry)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Checks whether a body was stored after all. Fails when the remote cannot even be asked.
    async fn find_stored(
        &self,
        path: &RelPath,
        body: &Body,
        size: Option<u64>,
        options: &PutOptions,
    ) -> Result<Option<Entry>> {
        let Some(found) = self.look(path).await? else { return Ok(None) };
        let is_stored = match is_stored(&found, size, None, options, self.inner.capabilities()) {
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

/// May another attempt help?
fn is_worth_it(error: &Error) -> bool {
    error.retry() != Worth::Never && error.kind() != ErrorKind::Cancelled
}

/// Which of several entries are sent again: those whose errors are worth it, and the folders that were refused because one of
/// those is still in them.
fn to_repeat(entries: &[Entry], results: &[Result<()>]) -> Vec<usize> {
    let mut open: Vec<usize> = Vec::new();
    for (index, (entry, result)) in entries.iter().zip(results).enumerate() {
        let Err(error) = result else { continue };
        let holds = |index: &usize| entries[*index].path.is_within(&entry.path);
        let was_not_empty =
            entry.is_dir() && error.kind() == ErrorKind::InvalidInput && open.iter().any(holds);
        if is_worth_it(error) || was_not_empty {
            open.push(index);
        }
    }
    open
}

/// How long a pause the remote asks for.
fn pause(error: &Error) -> Duration {
    match error.retry() {
        Worth::After(pause) => pause,
        Worth::Never | Worth::Backoff => Duration::ZERO,
    }
}

/// Could the error come from an earlier attempt of this request that succeeded?
fn is_conflict(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Changed | ErrorKind::AlreadyExists)
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Backend for Retry {
    fn about(&self) -> &About {
        self.inner.about()
    }

    fn facets(&self) -> &Facets {
        &self.facets
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
                    // The remote does not answer, and sending without a check could make a second copy.
                    Err(_) => return Err(error),
                }
            }
            if !repeat {
                return Err(error);
            }
        }
    }

    /// What failed is sent again together, in its order, after the longest pause that was asked for.
    async fn delete(&self, entries: &[Entry]) -> Vec<Result<()>> {
        let mut effort = self.effort("delete", None);
        let results = self.inner.delete(entries).await;
        let mut results = named_each("delete", &self.inner, entries, results);
        loop {
            let errors = || results.iter().filter_map(|result| result.as_ref().err());
            let Some(worst) = errors().filter(|e| is_worth_it(e)).max_by_key(|e| pause(e)) else {
                return results;
            };
            if !effort.wait(worst, false).await {
                return results;
            }
            let open = to_repeat(entries, &results);
            let again: Vec<Entry> = open.iter().map(|index| entries[*index].clone()).collect();
            let sent = self.inner.delete(&again).await;
            let sent = named_each("delete", &self.inner, &again, sent);
            for (index, result) in open.into_iter().zip(sent) {
                results[index] = result;
            }
        }
    }

    async fn make_dir(&self, path: &RelPath, mode: Option<u32>) -> Result<()> {
        self.repeat("make folder", Some(path), || self.inner.make_dir(path, mode)).await
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
                // An error of the check says less than the conflict.
                let found = self.look(to).await.ok().flatten();
                let (size, hashes) = (from.size, from.hashes.as_deref());
                let stored = found.filter(|found| {
                    is_stored(found, size, hashes, &options, self.inner.capabilities())
                        == Some(true)
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
                    Ok(Some(found)) => match is_moved(&found, from, self.inner.capabilities()) {
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

    async fn set_metadata(&self, entry: &Entry, metadata: &Metadata) -> Result<Entry> {
        let attempt = || self.inner.set_metadata(entry, metadata);
        self.repeat(metadata.operation(), Some(&entry.path), attempt).await
    }

    async fn finish(&self) -> Result<()> {
        self.repeat("finish", None, || self.inner.finish()).await
    }
}
