//! A backend that fails where a test says, and works everywhere else.
//!
//! Rules are looked at in the order in which they were added; the first that applies to a call decides it. A rule that names
//! a path of a copy or rename means either end.

mod bytes;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use async_trait::async_trait;
use futures::StreamExt;
use ketch_core::facets::{Call, Guard};
use ketch_core::{
    About, Backend, Body, ByteStream, Entry, EntryStream, Error, ErrorKind, Facets, Hint,
    ListOptions, Metadata, Page, PutOptions, ReadOptions, RelPath, Result, Retry,
};

use self::bytes::{Damage, DamagedSource, damage};

/// What a rule can name: the methods of the trait, and those of its facets.
const OPERATIONS: [&str; 17] = [
    "stat",
    "list",
    "read",
    "put",
    "delete",
    "make_dir",
    "copy",
    "rename",
    "set_metadata",
    "finish",
    "partial",
    "abandon",
    "leftovers",
    "inspect",
    "usage",
    "root_identity",
    "take",
];

/// Breaks a backend.
#[derive(Debug)]
pub struct Faulty {
    inner: Arc<dyn Backend>,
    rules: Arc<Rules>,
    /// Made when they are first asked for: until then rules are added.
    facets: OnceLock<Facets>,
}

/// What goes wrong, and what was called.
#[derive(Debug, Default)]
struct Rules {
    rules: Vec<Rule>,
    random: Vec<Random>,
    calls: Mutex<BTreeMap<&'static str, u64>>,
}

#[derive(Debug)]
struct Rule {
    operation: &'static str,
    /// `None`: every path.
    path: Option<RelPath>,
    /// The calls that match are counted from 1; the rule applies to `first` and the `times - 1` after it.
    first: u64,
    times: u64,
    seen: AtomicU64,
    harm: Harm,
}

#[derive(Debug, Clone)]
enum Harm {
    Fail(Failure),
    Lose(Failure),
    Stall,
    ListAfter(usize, Failure),
    Read(Damage),
    Put(Damage),
}

#[derive(Debug)]
struct Random {
    generator: Mutex<fastrand::Rng>,
    probability: f64,
    harm: Harm,
}

/// An error that can be made again and again.
#[derive(Debug, Clone)]
struct Failure {
    kind: ErrorKind,
    retry: Retry,
    message: String,
    hint: Option<Hint>,
}

impl Failure {
    fn of(error: &Error) -> Self {
        let message = error.message().to_owned();
        Failure { kind: error.kind(), retry: error.retry(), message, hint: error.hint() }
    }

    fn error(&self) -> Error {
        let error = Error::new(self.kind, self.message.clone()).with_retry(self.retry);
        error.with_hint(self.hint)
    }
}

impl Faulty {
    /// A backend that does what `inner` does until a rule is added.
    pub fn new(inner: Arc<dyn Backend>) -> Self {
        Faulty { inner, rules: Arc::default(), facets: OnceLock::new() }
    }

    /// Every call of `operation` fails.
    pub fn fail(self, operation: &str, error: Error) -> Self {
        self.rule(operation, None, 1, u64::MAX, Harm::Fail(Failure::of(&error)))
    }

    /// The `nth` call of `operation` fails, counted from 1.
    pub fn fail_nth(self, operation: &str, nth: u64, error: Error) -> Self {
        self.rule(operation, None, nth, 1, Harm::Fail(Failure::of(&error)))
    }

    /// Every call of `operation` about `path` fails.
    pub fn fail_path(self, operation: &str, path: &str, error: Error) -> Self {
        self.fail_path_times(operation, path, u64::MAX, error)
    }

    /// The first call of `operation` about `path` fails.
    pub fn fail_path_once(self, operation: &str, path: &str, error: Error) -> Self {
        self.fail_path_times(operation, path, 1, error)
    }

    /// The first `times` calls of `operation` about `path` fail.
    pub fn fail_path_times(self, operation: &str, path: &str, times: u64, error: Error) -> Self {
        self.rule(operation, Some(path), 1, times, Harm::Fail(Failure::of(&error)))
    }

    /// Every listing of the folder `dir` fails before its first entry.
    pub fn fail_list(self, dir: &str, error: Error) -> Self {
        self.fail_path("list", dir, error)
    }

    /// Every listing of the folder `dir` fails after `entries` entries, or at its end if it has fewer.
    pub fn fail_list_after(self, dir: &str, entries: usize, error: Error) -> Self {
        let harm = Harm::ListAfter(entries, Failure::of(&error));
        self.rule("list", Some(dir), 1, u64::MAX, harm)
    }

    /// The listing of `dir` fails once after `entries` entries.
    pub fn fail_list_once(self, dir: &str, entries: usize, error: Error) -> Self {
        let harm = Harm::ListAfter(entries, Failure::of(&error));
        self.rule("list", Some(dir), 1, 1, harm)
    }

    /// Every read of `path` that covers the offset `byte` fails there.
    pub fn fail_read_at(self, path: &str, byte: u64, error: Error) -> Self {
        let harm = Harm::Read(Damage::Fail(byte, Failure::of(&error)));
        self.rule("read", Some(path), 1, u64::MAX, harm)
    }

    /// The first read of `path` fails at the offset `byte`, if it covers it.
    pub fn fail_read_once_at(self, path: &str, byte: u64, error: Error) -> Self {
        let harm = Harm::Read(Damage::Fail(byte, Failure::of(&error)));
        self.rule("read", Some(path), 1, 1, harm)
    }

    /// Every read of `path` ends at the offset `byte` as if that were its end.
    pub fn cut_read(self, path: &str, byte: u64) -> Self {
        self.rule("read", Some(path), 1, u64::MAX, Harm::Read(Damage::Cut(byte)))
    }

    /// Every read of `path` from its start has a bit flipped in its first byte.
    pub fn corrupt_read(self, path: &str) -> Self {
        self.rule("read", Some(path), 1, u64::MAX, Harm::Read(Damage::Flip))
    }

    /// Every put at `path` stores content with a bit flipped in its first byte, and says it went well.
    pub fn corrupt_put(self, path: &str) -> Self {
        self.rule("put", Some(path), 1, u64::MAX, Harm::Put(Damage::Flip))
    }

    /// Every put at `path` stores no more than the first `bytes` bytes, and says it went well.
    pub fn cut_put(self, path: &str, bytes: u64) -> Self {
        self.rule("put", Some(path), 1, u64::MAX, Harm::Put(Damage::Cut(bytes)))
    }

    /// The first call of `operation` about `path` takes effect and fails all the same, as when the answer is lost.
    pub fn lose(self, operation: &str, path: &str, error: Error) -> Self {
        self.rule(operation, Some(path), 1, 1, Harm::Lose(Failure::of(&error)))
    }

    /// Calls of `operation` about `path` never end.
    pub fn stall(self, operation: &str, path: &str) -> Self {
        self.rule(operation, Some(path), 1, u64::MAX, Harm::Stall)
    }

    /// Every call that no rule decides fails with `probability`, before it has any effect. The same `seed` and the same
    /// order of calls give the same failures.
    pub fn fail_randomly(self, seed: u64, probability: f64, error: Error) -> Self {
        self.randomly(seed, probability, Harm::Fail(Failure::of(&error)))
    }

    /// Every call that no rule decides fails with `probability`, after it has taken effect.
    pub fn lose_randomly(self, seed: u64, probability: f64, error: Error) -> Self {
        self.randomly(seed, probability, Harm::Lose(Failure::of(&error)))
    }

    /// How often `operation` was called, failures included.
    pub fn count(&self, operation: &str) -> u64 {
        let calls = self.rules.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.get(known(operation)).copied().unwrap_or(0)
    }

    /// How often anything was called.
    pub fn count_all(&self) -> u64 {
        self.rules.calls.lock().unwrap_or_else(PoisonError::into_inner).values().sum()
    }

    fn rule(
        mut self,
        operation: &str,
        path: Option<&str>,
        first: u64,
        times: u64,
        harm: Harm,
    ) -> Self {
        self.rules_mut().rules.push(Rule {
            operation: known(operation),
            path: path.map(|path| RelPath::new(path).expect("a legal path")),
            first,
            times,
            seen: AtomicU64::new(0),
            harm,
        });
        self
    }

    fn randomly(mut self, seed: u64, probability: f64, harm: Harm) -> Self {
        let generator = Mutex::new(fastrand::Rng::with_seed(seed));
        self.rules_mut().random.push(Random { generator, probability, harm });
        self
    }

    fn rules_mut(&mut self) -> &mut Rules {
        Arc::get_mut(&mut self.rules).expect("rules are added before the first call")
    }
}

impl Rules {
    /// Counts a call and says what is to happen to it.
    fn harm(&self, operation: &'static str, paths: &[&RelPath]) -> Option<Harm> {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        *calls.entry(operation).or_insert(0) += 1;
        drop(calls);
        for rule in self.rules.iter().filter(|rule| rule.operation == operation) {
            if rule.path.as_ref().is_none_or(|path| paths.contains(&path)) {
                let nth = rule.seen.fetch_add(1, Ordering::Relaxed) + 1;
                if nth >= rule.first && nth - rule.first < rule.times {
                    return Some(rule.harm.clone());
                }
            }
        }
        let hit = self.random.iter().find(|random| {
            let mut generator = random.generator.lock().unwrap_or_else(PoisonError::into_inner);
            generator.f64() < random.probability
        });
        hit.map(|random| random.harm.clone())
    }

    /// What most operations do: fail, take effect and fail, never end, or pass.
    async fn pass<T>(
        &self,
        operation: &'static str,
        paths: &[&RelPath],
        call: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        let named = |failure: Failure| match paths {
            [path, ..] => failure.error().with_operation(operation).with_path(path),
            [] => failure.error().with_operation(operation),
        };
        match self.harm(operation, paths) {
            Some(Harm::Fail(failure)) => Err(named(failure)),
            Some(Harm::Lose(failure)) => {
                call.await?;
                Err(named(failure))
            }
            Some(Harm::Stall) => std::future::pending().await,
            None | Some(Harm::ListAfter(..) | Harm::Read(_) | Harm::Put(_)) => call.await,
        }
    }
}

impl Guard for Rules {
    async fn call<'a, T, F>(
        &'a self,
        call: Call<'a>,
        attempt: impl Fn() -> F + Send + Sync + 'a,
    ) -> Result<T>
    where
        T: Send + 'a,
        F: Future<Output = Result<T>> + Send + 'a,
    {
        let paths: Vec<_> = call.path.into_iter().chain(call.from).collect();
        self.pass(call.method, &paths, attempt()).await
    }
}

fn known(operation: &str) -> &'static str {
    let found = OPERATIONS.into_iter().find(|name| *name == operation);
    found.unwrap_or_else(|| panic!("there is no operation {operation:?}, but {OPERATIONS:?}"))
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Backend for Faulty {
    fn about(&self) -> &About {
        self.inner.about()
    }

    fn facets(&self) -> &Facets {
        // What is read from the disk goes round the faults.
        let facets = || Facets { disk: None, ..self.inner.facets().guarded(&self.rules) };
        self.facets.get_or_init(facets)
    }

    async fn stat(&self, path: &RelPath) -> Result<Entry> {
        self.rules.pass("stat", &[path], self.inner.stat(path)).await
    }

    fn list(&self, dir: &RelPath, options: ListOptions) -> EntryStream {
        let (entries, failure) = match self.rules.harm("list", &[dir]) {
            None => return self.inner.list(dir, options),
            Some(Harm::Stall) => return EntryStream::of_pages(futures::stream::pending()),
            Some(Harm::ListAfter(entries, failure)) => (entries, failure),
            Some(Harm::Lose(failure)) => (usize::MAX, failure),
            Some(Harm::Fail(failure)) => (0, failure),
            Some(Harm::Read(_) | Harm::Put(_)) => return self.inner.list(dir, options),
        };
        let error = failure.error().with_operation("list").with_path(dir);
        let end = futures::stream::once(std::future::ready(Err(error)));
        let pages = self.inner.list(dir, options).into_pages();
        let cut = pages.scan(entries, |left, page| {
            std::future::ready(match page {
                Ok(_) if *left == 0 => None,
                Ok(page) => Some(first_of(page, left)),
                Err(error) => Some(Err(error)),
            })
        });
        EntryStream::of_pages(cut.chain(end))
    }

    async fn read(&self, entry: &Entry, options: ReadOptions) -> Result<ByteStream> {
        match self.rules.harm("read", &[&entry.path]) {
            Some(Harm::Read(wanted)) => {
                let start = options.range.as_ref().map_or(0, |range| range.start);
                let end = options.range.as_ref().map(|range| range.end).or(entry.size);
                let stream = self.inner.read(entry, options).await?;
                Ok(damage(stream, start, end, wanted))
            }
            Some(Harm::Fail(failure) | Harm::Lose(failure)) => {
                Err(failure.error().with_operation("read").with_path(&entry.path))
            }
            Some(Harm::Stall) => std::future::pending().await,
            None | Some(Harm::ListAfter(..) | Harm::Put(_)) => {
                self.inner.read(entry, options).await
            }
        }
    }

    async fn put(&self, path: &RelPath, body: Body, options: PutOptions) -> Result<Entry> {
        match self.rules.harm("put", &[path]) {
            Some(Harm::Put(wanted)) => {
                let body = DamagedSource::body(body, wanted);
                self.inner.put(path, body, options).await
            }
            Some(Harm::Fail(failure)) => Err(failure.error().with_operation("put").with_path(path)),
            Some(Harm::Lose(failure)) => {
                self.inner.put(path, body, options).await?;
                Err(failure.error().with_operation("put").with_path(path))
            }
            Some(Harm::Stall) => std::future::pending().await,
            None | Some(Harm::ListAfter(..) | Harm::Read(_)) => {
                self.inner.put(path, body, options).await
            }
        }
    }

    /// Each entry is a call of its own to the rules; the rest goes on together.
    async fn delete(&self, entries: &[Entry]) -> Vec<Result<()>> {
        let mut results = Vec::with_capacity(entries.len());
        for entry in entries {
            let deleted = self.inner.delete_one(entry);
            results.push(self.rules.pass("delete", &[&entry.path], deleted).await);
        }
        results
    }

    async fn make_dir(&self, path: &RelPath, mode: Option<u32>) -> Result<()> {
        self.rules.pass("make_dir", &[path], self.inner.make_dir(path, mode)).await
    }

    async fn copy(&self, from: &Entry, to: &RelPath, options: PutOptions) -> Result<Entry> {
        self.rules.pass("copy", &[to, &from.path], self.inner.copy(from, to, options)).await
    }

    async fn rename(&self, from: &Entry, to: &RelPath) -> Result<Entry> {
        self.rules.pass("rename", &[to, &from.path], self.inner.rename(from, to)).await
    }

    async fn set_metadata(&self, entry: &Entry, metadata: &Metadata) -> Result<Entry> {
        let set = self.inner.set_metadata(entry, metadata);
        self.rules.pass("set_metadata", &[&entry.path], set).await
    }

    async fn finish(&self) -> Result<()> {
        self.rules.pass("finish", &[], self.inner.finish()).await
    }
}

/// The first `left` entries of a page, which are counted off.
fn first_of(page: Page, left: &mut usize) -> Result<Page> {
    if page.len() <= *left {
        *left -= page.len();
        return Ok(page);
    }
    let mut first = Page::new(page.dir());
    page.views().take(std::mem::take(left)).for_each(|view| first.push_view(&view));
    Ok(first)
}

#[cfg(test)]
mod tests;
