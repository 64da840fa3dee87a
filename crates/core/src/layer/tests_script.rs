//! A backend whose n-th call of an operation goes wrong in a given way.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::TryStreamExt;
use tokio::time::{Instant, sleep};

pub(super) use super::tests_parts::{DOWN, Step, flood};
use super::tests_parts::{Flying, InFlight, failure, streamed};
use crate::about::About;
use crate::backend::Backend;
use crate::capabilities::Capabilities;
use crate::entry::Entry;
use crate::entry_stream::EntryStream;
use crate::error::{Error, ErrorKind, Result};
use crate::facets::{Facets, ReportUsage, Root, Usage};
use crate::hash::{HashAlgo, hash_bytes};
use crate::options::{Expect, ListOptions, Metadata, PutOptions, ReadOptions};
use crate::path::RelPath;
use crate::source::{Body, ByteStream, open_all};

#[derive(Debug, Default)]
pub(super) struct State {
    script: HashMap<&'static str, VecDeque<Step>>,
    pub(super) objects: BTreeMap<String, (Bytes, u64)>,
    pub(super) calls: Vec<(&'static str, Instant)>,
    /// Bytes that arrived with each `put`.
    pub(super) bodies: Vec<Vec<u8>>,
    /// The ranges that were read.
    pub(super) ranges: Vec<Option<Range<u64>>>,
    versions: u64,
}

#[derive(Debug)]
pub(crate) struct Scripted {
    about: About,
    shows_version: bool,
    shows_hash: bool,
    script: Script,
    facets: OnceLock<Facets>,
}

/// What is shared with the facets.
#[derive(Debug, Clone)]
struct Script {
    latency: Duration,
    state: Arc<Mutex<State>>,
    in_flight: Arc<InFlight>,
}

pub(super) fn path(text: &str) -> RelPath {
    RelPath::new(text).expect("legal")
}

impl Scripted {
    pub(crate) fn new() -> Self {
        fastrand::seed(7);
        Scripted {
            about: About {
                capabilities: Capabilities { read_range: true, ..Capabilities::default() },
                ..About::new("double:", "double")
            },
            shows_version: true,
            shows_hash: false,
            script: Script {
                latency: Duration::ZERO,
                state: Arc::default(),
                in_flight: Arc::default(),
            },
            facets: OnceLock::new(),
        }
    }

    pub(super) fn without_ranges(mut self) -> Self {
        self.about.capabilities.read_range = false;
        self
    }

    /// Entries show no version.
    pub(super) fn without_versions(mut self) -> Self {
        self.shows_version = false;
        self
    }

    /// Entries show an MD5 digest.
    pub(super) fn with_hashes(mut self) -> Self {
        self.shows_hash = true;
        self
    }

    /// Each answer takes so long.
    pub(super) fn answering_after(mut self, latency: Duration) -> Self {
        self.script.latency = latency;
        self
    }

    pub(super) fn script(self, operation: &'static str, steps: &[Step]) -> Self {
        self.state().script.entry(operation).or_default().extend(steps);
        self
    }

    pub(super) fn object(self, path: &str, content: &[u8]) -> Self {
        self.state().store(path, content);
        self
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.script.state()
    }

    pub(super) fn count(&self, operation: &str) -> usize {
        self.state().calls.iter().filter(|(name, _)| *name == operation).count()
    }

    pub(super) fn starts(&self) -> Vec<Instant> {
        self.state().calls.iter().map(|(_, at)| *at).collect()
    }

    pub(super) fn peak(&self) -> usize {
        self.script.in_flight.peak()
    }

    pub(super) fn in_flight(&self) -> usize {
        self.script.in_flight.now()
    }

    /// What is at `at`, without a call.
    pub(super) fn entry(&self, at: &str) -> Option<Entry> {
        let state = self.state();
        let (content, version) = state.objects.get(at)?;
        let hashes = hash_bytes(&[HashAlgo::Md5], content);
        Some(Entry {
            version: self.shows_version.then(|| version.to_string().into()),
            hashes: self.shows_hash.then(|| Box::new(hashes)),
            ..Entry::file(path(at), content.len() as u64)
        })
    }

    async fn call<T>(
        &self,
        operation: &'static str,
        effect: impl FnOnce() -> Result<T> + Send,
    ) -> Result<T> {
        self.script.call(operation, effect).await
    }
}

impl Script {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panics while it holds the lock")
    }

    fn start(&self, operation: &'static str) -> (Step, Flying) {
        let mut state = self.state();
        state.calls.push((operation, Instant::now()));
        let step = state.script.get_mut(operation).and_then(VecDeque::pop_front);
        (step.unwrap_or(Step::Pass), Flying::start(&self.in_flight))
    }

    async fn call<T>(
        &self,
        operation: &'static str,
        effect: impl FnOnce() -> Result<T> + Send,
    ) -> Result<T> {
        let (step, _flying) = self.start(operation);
        sleep(self.latency).await;
        match step {
            Step::Fail(kind, retry) => Err(failure(kind, retry)),
            Step::Lost(kind, retry) => effect().and(Err(failure(kind, retry))),
            Step::Hang => std::future::pending().await,
            _ => effect(),
        }
    }
}

impl State {
    fn store(&mut self, path: &str, content: &[u8]) {
        self.versions += 1;
        let object = (Bytes::copy_from_slice(content), self.versions);
        self.objects.insert(path.to_owned(), object);
    }
}

fn not_found() -> Error {
    Error::new(ErrorKind::NotFound, "nothing is there")
}

#[async_trait]
impl Backend for Scripted {
    fn about(&self) -> &About {
        &self.about
    }

    fn facets(&self) -> &Facets {
        self.facets.get_or_init(|| Facets {
            usage: Some(Arc::new(self.script.clone())),
            root: Some(Arc::new(self.script.clone())),
            ..Facets::default()
        })
    }

    async fn stat(&self, path: &RelPath) -> Result<Entry> {
        self.call("stat", || self.entry(path.as_str()).ok_or_else(not_found)).await
    }

    fn list(&self, dir: &RelPath, _options: ListOptions) -> EntryStream {
        let (step, flying) = self.script.start("list");
        let names: Vec<_> = self.state().objects.keys().cloned().collect();
        let entries = names.iter().filter_map(|name| self.entry(name)).collect();
        EntryStream::of_entries(dir, streamed(entries, step, flying))
    }

    async fn read(&self, entry: &Entry, options: ReadOptions) -> Result<ByteStream> {
        let (step, flying) = self.script.start("read");
        self.state().ranges.push(options.range.clone());
        sleep(self.script.latency).await;
        if let Step::Fail(kind, retry) = step {
            return Err(failure(kind, retry));
        }
        let found = self.entry(entry.path.as_str()).ok_or_else(not_found)?;
        if found.version != entry.version {
            return Err(Error::new(ErrorKind::Changed, "another version"));
        }
        let content = self.state().objects[entry.path.as_str()].0.clone();
        let range = options.range.map_or(0..content.len(), |range| {
            usize::try_from(range.start).expect("small")..usize::try_from(range.end).expect("small")
        });
        let content = content.slice(range);
        if let Step::Cut(..) | Step::Drip(_) = step {
            let bytes = content.iter().map(|byte| Bytes::copy_from_slice(&[*byte])).collect();
            return Ok(streamed(bytes, step, flying));
        }
        let pieces = content.chunks(100_000).map(Bytes::copy_from_slice).collect();
        Ok(streamed(pieces, step, flying))
    }

    async fn put(&self, path: &RelPath, body: Body, options: PutOptions) -> Result<Entry> {
        let (step, _flying) = self.script.start("put");
        sleep(self.script.latency).await;
        if let Step::Fail(kind, retry) = step {
            return Err(failure(kind, retry));
        }
        if matches!(options.expect, Expect::Absent) && self.entry(path.as_str()).is_some() {
            return Err(Error::new(ErrorKind::Changed, "something is there"));
        }
        if let Step::Hang = step {
            return std::future::pending().await;
        }
        let mut stream = open_all(&*body).await?;
        let (mut content, mut taken) = (Vec::new(), 0);
        loop {
            match step {
                Step::Stall(pieces) if taken == pieces => return std::future::pending().await,
                Step::Drip(pause) => sleep(pause).await,
                _ => {}
            }
            let Some(piece) = stream.try_next().await? else { break };
            content.extend_from_slice(&piece);
            taken += 1;
        }
        self.state().bodies.push(content.clone());
        match step {
            Step::NeverCommits => std::future::pending().await,
            Step::Cut(_, kind, retry) => Err(failure(kind, retry)),
            step => {
                self.state().store(path.as_str(), &content);
                match step {
                    Step::Lost(kind, retry) => Err(failure(kind, retry)),
                    _ => self.entry(path.as_str()).ok_or_else(not_found),
                }
            }
        }
    }

    /// Each entry takes a step of the script.
    async fn delete(&self, entries: &[Entry]) -> Vec<Result<()>> {
        let mut results = Vec::new();
        for entry in entries {
            let effect = || {
                self.state().objects.remove(entry.path.as_str());
                Ok(())
            };
            results.push(self.call("delete", effect).await);
        }
        results
    }

    async fn make_dir(&self, _path: &RelPath, _mode: Option<u32>) -> Result<()> {
        self.call("make folder", || Ok(())).await
    }

    async fn copy(&self, from: &Entry, to: &RelPath, options: PutOptions) -> Result<Entry> {
        let effect = || {
            let mut state = self.state();
            if matches!(options.expect, Expect::Absent) && state.objects.contains_key(to.as_str()) {
                return Err(Error::new(ErrorKind::Changed, "something is there"));
            }
            let content = state.objects.get(from.path.as_str()).ok_or_else(not_found)?.0.clone();
            state.store(to.as_str(), &content);
            drop(state);
            self.entry(to.as_str()).ok_or_else(not_found)
        };
        self.call("copy", effect).await
    }

    async fn rename(&self, from: &Entry, to: &RelPath) -> Result<Entry> {
        let effect = || {
            let mut state = self.state();
            let object = state.objects.remove(from.path.as_str()).ok_or_else(not_found)?;
            state.objects.insert(to.as_str().to_owned(), object);
            drop(state);
            self.entry(to.as_str()).ok_or_else(not_found)
        };
        self.call("rename", effect).await
    }

    async fn set_metadata(&self, entry: &Entry, _metadata: &Metadata) -> Result<Entry> {
        self.call("set time", || self.entry(entry.path.as_str()).ok_or_else(not_found)).await
    }
}

#[async_trait]
impl ReportUsage for Script {
    async fn usage(&self) -> Result<Usage> {
        self.call("usage", || Ok(Usage::default())).await
    }
}

#[async_trait]
impl Root for Script {
    async fn identity(&self) -> Result<Option<String>> {
        self.call("look at the root", || Ok(Some("root".to_owned()))).await
    }
}
