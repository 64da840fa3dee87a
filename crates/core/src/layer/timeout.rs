//! Each attempt has a deadline.
//!
//! A deadline on the whole of a transfer would have to be longer than the longest transfer, so streams and bodies are
//! watched by their progress instead: a longest silence, and a least throughput, because a silence alone never comes when
//! one byte arrives every 0.7 s. Only the remote is timed. While a caller does not ask for more of a stream, or while the
//! source of a body has nothing to hand over, no time passes here (a source that is a remote has a timeout of its own).

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, timeout};

use super::context::{Request, named_each};
use super::tap::{Flow, tap};
use super::timed::{no_answer, timed, too_slow};
use crate::about::About;
use crate::backend::Backend;
use crate::entry::Entry;
use crate::entry_stream::EntryStream;
use crate::error::{Error, ErrorKind, Result, Retry};
use crate::facets::{Call, Facets, Guard};
use crate::options::{ListOptions, Metadata, PutOptions, ReadOptions};
use crate::path::RelPath;
use crate::source::{Body, ByteStream};

/// A body is handed on in slices of this size, or a slow but steady remote that is handed megabytes at once would look
/// like one that has stopped.
const SLICE_BYTES: usize = 64 * 1024;

/// How long a remote may take. An attempt that takes longer fails with `Unavailable` and may be repeated after a pause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeoutSettings {
    /// For a whole stat, make_dir, copy, rename, set_metadata, finish or call of a facet, for each entry of a delete, and for
    /// opening a read.
    pub call: Duration,
    /// The longest time without an item of a listing or a piece of a read, and the longest time in which a `put` takes
    /// nothing more of its body.
    pub idle: Duration,
    /// How long a `put` may take to complete after its body has been handed over; some remotes scan for minutes. Longer is
    /// `CommitUnknown`: it is not known whether the file will still appear.
    pub finish: Duration,
    /// The least number of bytes in a window of time, for reads and for bodies. Only complete windows are judged. `None`, zero
    /// bytes or an empty window: any throughput will do.
    pub slowest: Option<(u64, Duration)>,
}

/// One minute of silence, ten to complete, and about a kilobyte per second.
impl Default for TimeoutSettings {
    fn default() -> Self {
        TimeoutSettings {
            call: Duration::from_secs(60),
            idle: Duration::from_secs(60),
            finish: Duration::from_secs(600),
            slowest: Some((64 * 1024, Duration::from_secs(60))),
        }
    }
}

impl TimeoutSettings {
    pub(super) fn slowest(&self) -> Option<(u64, Duration)> {
        self.slowest.filter(|(bytes, window)| *bytes > 0 && !window.is_zero())
    }
}

#[derive(Debug)]
pub(super) struct Timeout {
    inner: Arc<dyn Backend>,
    settings: TimeoutSettings,
    deadline: Arc<Deadline>,
    facets: Facets,
}

/// The deadline of a whole call.
#[derive(Debug)]
struct Deadline {
    inner: Arc<dyn Backend>,
    longest: Duration,
}

impl Deadline {
    async fn within<T>(
        &self,
        operation: &'static str,
        path: Option<&RelPath>,
        call: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let result = timeout(self.longest, call).await;
        let result = result.unwrap_or_else(|_| Err(no_answer(self.longest)));
        result.map_err(|error| Request::new(operation, &self.inner, path).named(error))
    }
}

impl Guard for Deadline {
    async fn call<'a, T, F>(
        &'a self,
        call: Call<'a>,
        attempt: impl Fn() -> F + Send + Sync + 'a,
    ) -> Result<T>
    where
        T: Send + 'a,
        F: Future<Output = Result<T>> + Send + 'a,
    {
        self.within(call.operation, call.path, attempt()).await
    }
}

impl Timeout {
    pub(super) fn new(inner: Arc<dyn Backend>, settings: TimeoutSettings) -> Self {
        let deadline = Deadline { inner: Arc::clone(&inner), longest: settings.call };
        let deadline = Arc::new(deadline);
        // What is read from the disk goes round the clock.
        let facets = Facets { disk: None, ..inner.facets().guarded(&deadline) };
        Timeout { inner, settings, deadline, facets }
    }

    async fn within<T>(
        &self,
        operation: &'static str,
        path: Option<&RelPath>,
        call: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        self.deadline.within(operation, path, call).await
    }

    async fn watched_put(&self, path: &RelPath, body: Body, options: PutOptions) -> Result<Entry> {
        let (body, flow) = tap(body, SLICE_BYTES);
        let mut watch = Watch::new(&self.settings);
        // CANCEL: dropped together with this future, also when the watch gives up.
        let mut put = self.inner.put(path, body, options);
        loop {
            let look_again = watch.look(&flow)?;
            if let Ok(result) = timeout(look_again, &mut put).await {
                return result;
            }
        }
    }
}

/// Judges the flow of one body. Time in which the source is waited for does not count.
struct Watch<'a> {
    settings: &'a TimeoutSettings,
    window: Window,
}

struct Window {
    start: Instant,
    handed: u64,
    source_time: Duration,
}

impl<'a> Watch<'a> {
    fn new(settings: &'a TimeoutSettings) -> Self {
        let window = Window { start: Instant::now(), handed: 0, source_time: Duration::ZERO };
        Watch { settings, window }
    }

    /// When to look again, or that the remote has taken too long.
    fn look(&mut self, flow: &Flow) -> Result<Duration> {
        let level = flow.level();
        if level.complete {
            let finish = self.settings.finish;
            return match finish.checked_sub(level.quiet) {
                Some(left) if !left.is_zero() => Ok(left),
                _ => Err(not_completed(finish)),
            };
        }
        let idle = self.settings.idle;
        let mut look_again = idle.saturating_sub(level.quiet);
        if look_again.is_zero() {
            return Err(takes_nothing(idle));
        }
        if let Some((bytes, length)) = self.settings.slowest() {
            let source_time = level.source_time - self.window.source_time;
            let mut taken = self.window.start.elapsed().saturating_sub(source_time);
            if taken >= length {
                if level.handed - self.window.handed < bytes {
                    return Err(too_slow(bytes, length));
                }
                self.window = Window {
                    start: Instant::now(),
                    handed: level.handed,
                    source_time: level.source_time,
                };
                taken = Duration::ZERO;
            }
            look_again = look_again.min(length - taken);
        }
        // The body may be handed over in the meantime, and the time to complete may be the shortest of all.
        Ok(look_again.min(self.settings.finish.max(Duration::from_millis(1))))
    }
}

fn takes_nothing(idle: Duration) -> Error {
    Error::new(ErrorKind::Unavailable, format!("the remote took no data for {idle:?}"))
        .with_retry(Retry::Backoff)
}

fn not_completed(finish: Duration) -> Error {
    let message = format!("no answer within {finish:?} after all bytes had been sent");
    Error::new(ErrorKind::CommitUnknown, message).with_retry(Retry::Backoff)
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Backend for Timeout {
    fn about(&self) -> &About {
        self.inner.about()
    }

    fn facets(&self) -> &Facets {
        &self.facets
    }

    async fn stat(&self, path: &RelPath) -> Result<Entry> {
        self.within("stat", Some(path), self.inner.stat(path)).await
    }

    fn list(&self, dir: &RelPath, options: ListOptions) -> EntryStream {
        let request = Request::new("list", &self.inner, Some(dir));
        let pages = self.inner.list(dir, options).into_pages();
        EntryStream::of_pages(timed(pages, self.settings.idle, None, |_| 0, request))
    }

    async fn read(&self, entry: &Entry, options: ReadOptions) -> Result<ByteStream> {
        let path = &entry.path;
        let stream = self.within("read", Some(path), self.inner.read(entry, options)).await?;
        let request = Request::new("read", &self.inner, Some(path));
        let (idle, slowest) = (self.settings.idle, self.settings.slowest());
        Ok(timed(stream, idle, slowest, |piece| piece.len() as u64, request))
    }

    async fn put(&self, path: &RelPath, body: Body, options: PutOptions) -> Result<Entry> {
        let result = self.watched_put(path, body, options).await;
        result.map_err(|error| Request::new("put", &self.inner, Some(path)).named(error))
    }

    async fn delete(&self, entries: &[Entry]) -> Vec<Result<()>> {
        // A remote may remove them one after the other, so each has the time of a call.
        let many = u32::try_from(entries.len()).unwrap_or(u32::MAX);
        let longest = self.settings.call.saturating_mul(many);
        match timeout(longest, self.inner.delete(entries)).await {
            Ok(results) => named_each("delete", &self.inner, entries, results),
            Err(_) => {
                let late = entries.iter().map(|_| Err(no_answer(longest))).collect();
                named_each("delete", &self.inner, entries, late)
            }
        }
    }

    async fn make_dir(&self, path: &RelPath, mode: Option<u32>) -> Result<()> {
        self.within("make folder", Some(path), self.inner.make_dir(path, mode)).await
    }

    async fn copy(&self, from: &Entry, to: &RelPath, options: PutOptions) -> Result<Entry> {
        self.within("copy", Some(to), self.inner.copy(from, to, options)).await
    }

    async fn rename(&self, from: &Entry, to: &RelPath) -> Result<Entry> {
        self.within("rename", Some(to), self.inner.rename(from, to)).await
    }

    async fn set_metadata(&self, entry: &Entry, metadata: &Metadata) -> Result<Entry> {
        let set = self.inner.set_metadata(entry, metadata);
        self.within(metadata.operation(), Some(&entry.path), set).await
    }

    async fn finish(&self) -> Result<()> {
        self.within("finish", None, self.inner.finish()).await
    }
}
