//! What a layer does around each call of a facet, written once for all facets.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use super::{
    Claims, Inspect, Leftover, LocalFile, LocalFiles, ReportUsage, Resume, Root, Usage, Wanted,
};
use crate::checkpoint::Checkpoint;
use crate::entry::Entry;
use crate::error::Result;
use crate::options::PutOptions;
use crate::path::RelPath;
use crate::source::Body;

/// One call of a facet.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// The method: `partial`, `usage`.
    pub method: &'static str,
    /// The operation that an error names.
    pub operation: &'static str,
    /// The path that it is about.
    pub path: Option<&'a RelPath>,
    /// `path` is the target, and this is the source.
    pub from: Option<&'a RelPath>,
    /// After a failure the call may be repeated: two attempts have the same effect as one.
    pub may_repeat: bool,
}

/// The side of a layer that facets use: it makes each call to the remote.
pub trait Guard: fmt::Debug + Send + Sync + 'static {
    /// Makes the call, by one attempt or by several.
    fn call<'a, T, F>(
        &'a self,
        call: Call<'a>,
        attempt: impl Fn() -> F + Send + Sync + 'a,
    ) -> impl Future<Output = Result<T>> + Send + 'a
    where
        T: Send + 'a,
        F: Future<Output = Result<T>> + Send + 'a;
}

/// A facet with a guard around it.
pub(super) struct Guarded<G, F: ?Sized> {
    guard: Arc<G>,
    inner: Arc<F>,
}

impl<G: fmt::Debug, F: fmt::Debug + ?Sized> fmt::Debug for Guarded<G, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Guarded").field(&self.guard).field(&&*self.inner).finish()
    }
}

pub(super) fn around<G, F: ?Sized>(guard: &Arc<G>, inner: Arc<F>) -> Arc<Guarded<G, F>> {
    Arc::new(Guarded { guard: Arc::clone(guard), inner })
}

fn call<'a>(method: &'static str, operation: &'static str, path: Option<&'a RelPath>) -> Call<'a> {
    Call { method, operation, path, from: None, may_repeat: true }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl<G: Guard> Resume for Guarded<G, dyn Resume> {
    async fn partial(&self, path: &RelPath, checkpoint: &Checkpoint) -> Result<Option<Body>> {
        let call = call("partial", "look for a part", Some(path));
        self.guard.call(call, || self.inner.partial(path, checkpoint)).await
    }

    async fn abandon(&self, path: &RelPath, checkpoint: &Checkpoint) -> Result<()> {
        let call = call("abandon", "abandon", Some(path));
        self.guard.call(call, || self.inner.abandon(path, checkpoint)).await
    }

    fn folders_with_leftovers(&self) -> Vec<RelPath> {
        self.inner.folders_with_leftovers()
    }

    fn has_leftovers(&self) -> bool {
        self.inner.has_leftovers()
    }

    async fn leftovers(
        &self,
        dir: &RelPath,
        claims: &Claims,
        removes: bool,
    ) -> Result<Vec<Leftover>> {
        let call = call("leftovers", "clean up", Some(dir));
        self.guard.call(call, || self.inner.leftovers(dir, claims, removes)).await
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl<G: Guard> Inspect for Guarded<G, dyn Inspect> {
    async fn inspect(&self, entries: &[Entry], wanted: &Wanted) -> Result<Vec<Result<Entry>>> {
        let call = call("inspect", "inspect", entries.first().map(|entry| &entry.path));
        self.guard.call(call, || self.inner.inspect(entries, wanted)).await
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl<G: Guard> ReportUsage for Guarded<G, dyn ReportUsage> {
    async fn usage(&self) -> Result<Usage> {
        self.guard.call(call("usage", "usage", None), || self.inner.usage()).await
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl<G: Guard> Root for Guarded<G, dyn Root> {
    async fn identity(&self) -> Result<Option<String>> {
        let call = call("root_identity", "look at the root", None);
        self.guard.call(call, || self.inner.identity()).await
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl<G: Guard> LocalFiles for Guarded<G, dyn LocalFiles> {
    fn as_local_file(&self, entry: &Entry) -> LocalFile {
        self.inner.as_local_file(entry)
    }

    // Neither is repeated: whether an attempt that failed has stored or taken it cannot be told from outside.
    async fn copy_from(
        &self,
        from: &LocalFile,
        to: &RelPath,
        options: PutOptions,
    ) -> Result<Entry> {
        let call = Call {
            from: Some(&from.entry.path),
            may_repeat: false,
            ..call("copy", "copy", Some(to))
        };
        self.guard.call(call, || self.inner.copy_from(from, to, options.clone())).await
    }

    async fn take(&self, from: &LocalFile, to: &RelPath, options: PutOptions) -> Result<Entry> {
        let call = Call {
            from: Some(&from.entry.path),
            may_repeat: false,
            ..call("take", "take", Some(to))
        };
        self.guard.call(call, || self.inner.take(from, to, options.clone())).await
    }
}
