//! What cases are written with: short ways to do and to look, and the checks that many share.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::SystemTime;

use bytes::Bytes;
use futures::TryStreamExt;
use ketch_core::facets::Wanted;
use ketch_core::hash::hash_bytes;
use ketch_core::source::{BytesSource, collect};
use ketch_core::{
    Backend, Capabilities, Entry, EntryKind, Error, ErrorKind, Expect, ListOptions, PutOptions,
    ReadOptions, RelPath, Result,
};

use super::{Fixture, Harm};
use crate::tree::noise;

/// The fixture of one trial.
pub(super) struct Context {
    fixture: Fixture,
    skipped: OnceLock<&'static str>,
    pub(super) seed: u64,
}

impl Context {
    pub(super) fn new(fixture: Fixture, seed: u64) -> Self {
        Context { fixture, skipped: OnceLock::new(), seed }
    }

    pub(super) fn backend(&self) -> &Arc<dyn Backend> {
        &self.fixture.backend
    }

    pub(super) fn claimed(&self) -> &Capabilities {
        self.fixture.backend.capabilities()
    }

    /// Says that the case turned out not to apply, so that it does not show as passed.
    pub(super) fn skip(&self, reason: &'static str) {
        self.skipped.get_or_init(|| reason);
    }

    /// Why the case turned out not to apply.
    pub(super) fn skipped(&self) -> Option<&'static str> {
        self.skipped.get().copied()
    }

    /// The same place at one of its folders, in the same process.
    pub(super) fn reopen(&self, folder: &str) -> Arc<dyn Backend> {
        (self.fixture.reopen)(folder)
    }

    /// The same place as another process sees it, to be looked at.
    pub(super) fn afresh(&self) -> Arc<dyn Backend> {
        self.fixture.afresh.as_ref().unwrap_or(&self.fixture.reopen)("")
    }

    /// Is a replaced file known by its version? Where duplicates can be, the version names one of several files, and
    /// a file that was replaced is simply gone.
    pub(super) fn tells_versions(&self, entry: &Entry) -> bool {
        entry.version.is_some() && !self.claimed().duplicates
    }

    /// Adds a file beside one of its name. Only where duplicates are claimed.
    pub(super) async fn duplicate(&self, name: &str, content: &[u8]) {
        let duplicate = self.fixture.duplicate.as_ref().expect("checked when trials are made");
        duplicate(name, content).await;
    }

    /// Bytes after which an interrupted put keeps some. Only where resuming is claimed.
    pub(super) fn interrupted_bytes(&self) -> usize {
        self.fixture.interrupting.as_ref().expect("checked when trials are made").bytes
    }

    /// Damages what an interrupted put left. Only where resuming is claimed.
    pub(super) async fn damage(&self, name: &str, harm: Harm) {
        let interrupting = self.fixture.interrupting.as_ref().expect("checked when made");
        (interrupting.damage)(name, harm).await;
    }

    pub(super) async fn put(&self, name: &str, content: impl Into<Bytes>) -> Entry {
        let stored = self.try_put(name, content.into(), PutOptions::default()).await;
        stored.unwrap_or_else(|error| panic!("put {name:?}: {error:?}"))
    }

    /// Stores a file of which the caller knows that it is new, as the first run of a job does.
    pub(super) async fn put_new(&self, name: &str, content: impl Into<Bytes>) -> Entry {
        let options = PutOptions { expect: Expect::Absent, ..PutOptions::default() };
        let stored = self.try_put(name, content.into(), options).await;
        stored.unwrap_or_else(|error| panic!("put {name:?}: {error:?}"))
    }

    pub(super) async fn try_put(
        &self,
        name: &str,
        content: Bytes,
        options: PutOptions,
    ) -> Result<Entry> {
        self.backend().put(&path(name), BytesSource::body(content), options).await
    }

    pub(super) async fn make_dir(&self, name: &str) {
        let made = self.backend().make_dir(&path(name), None).await;
        made.unwrap_or_else(|error| panic!("make folder {name:?}: {error:?}"));
    }

    /// A folder with something in it, on places with and without folders of their own.
    pub(super) async fn fill_dir(&self, name: &str) {
        self.put_new(&format!("{name}/inside"), "inside").await;
    }

    pub(super) async fn stat(&self, name: &str) -> Entry {
        let found = self.backend().stat(&path(name)).await;
        found.unwrap_or_else(|error| panic!("stat {name:?}: {error:?}"))
    }

    pub(super) async fn list(&self, dir: &str) -> Vec<Entry> {
        let entries = try_list(&**self.backend(), dir).await;
        entries.unwrap_or_else(|error| panic!("list {dir:?}: {error:?}"))
    }

    /// The names in a folder as the backend lists them, sorted.
    pub(super) async fn names(&self, dir: &str) -> Vec<String> {
        names_of(&self.list(dir).await)
    }

    pub(super) async fn read(&self, entry: &Entry) -> Bytes {
        let content = try_read(&**self.backend(), entry, None).await;
        content.unwrap_or_else(|error| panic!("read {:?}: {error:?}", entry.path))
    }

    /// The content of all files of this path, as this backend and one with nothing cached list and read them. Panics when
    /// the two disagree.
    pub(super) async fn contents(&self, name: &str) -> Vec<Bytes> {
        let here = contents(&**self.backend(), name).await;
        let afresh = contents(&*self.afresh(), name).await;
        assert!(
            here == afresh,
            "{name:?} has contents of {:?} bytes here, and of {:?} in a backend opened afresh",
            sizes(&here),
            sizes(&afresh)
        );
        here
    }

    /// Exactly one file of this path is there, and it holds this.
    pub(super) async fn expect_file(&self, name: &str, content: &[u8]) {
        let found = self.contents(name).await;
        assert!(
            found.len() == 1 && found[0] == content,
            "{name:?} must be one file of these {} bytes, and is files of {:?} bytes",
            content.len(),
            sizes(&found)
        );
    }

    /// Nothing has this path, in listings and to `stat`.
    pub(super) async fn expect_nothing(&self, name: &str) {
        for backend in [Arc::clone(self.backend()), self.afresh()] {
            let parent = path(name).parent().unwrap_or_else(RelPath::root);
            match try_list(&*backend, parent.as_str()).await {
                Ok(entries) => {
                    let is_there = entries.iter().any(|entry| entry.path.as_str() == name);
                    assert!(!is_there, "{name:?} must not be listed");
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}"),
            }
            expect_error(backend.stat(&path(name)).await, &[ErrorKind::NotFound]);
        }
    }

    /// Checks that an entry that an operation returned is what `stat` and listings show, and what was stored.
    pub(super) async fn check_entry(&self, returned: &Entry, name: &str, content: &[u8]) {
        assert_eq!(returned.path.as_str(), name);
        assert_eq!(returned.kind, EntryKind::File, "{name:?}");
        assert_eq!(returned.size, Some(content.len() as u64), "size of {name:?}");
        let parent = path(name).parent().unwrap_or_else(RelPath::root);
        let listed = self.list(parent.as_str()).await;
        let listed: Vec<_> = listed.iter().filter(|entry| entry.path.as_str() == name).collect();
        assert_eq!(listed.len(), 1, "{name:?} is listed once");
        let seen = [listed[0].clone(), self.stat(name).await];
        for entry in seen.iter().chain([returned]) {
            let facts = |entry: &Entry| (entry.path.clone(), entry.kind, entry.size);
            assert_eq!(facts(entry), facts(returned));
            let same_version = match (&entry.version, &returned.version) {
                (Some(one), Some(other)) => one == other,
                (None, None) => true,
                _ => false,
            };
            assert!(same_version, "version {:?} is not {:?}", entry.version, returned.version);
            if self.claimed().mtime.is_some() {
                assert_eq!(entry.mtime, returned.mtime, "time of {name:?}");
            }
            check_hashes(entry, content);
        }
    }

    /// `length` bytes for the content called `tag`.
    pub(super) fn noise(&self, tag: u64, length: usize) -> Bytes {
        noise(self.seed.wrapping_mul(31).wrapping_add(tag), length)
    }

    /// What is there is one of these, whole, in every view. What was dropped may still be under way on the remote, so the
    /// views need not agree.
    pub(super) async fn expect_one_of(&self, name: &str, wholes: &[&[u8]]) {
        for backend in [Arc::clone(self.backend()), self.afresh()] {
            let found = contents(&*backend, name).await;
            let is_whole = |content: &Bytes| wholes.iter().any(|whole| content == whole);
            assert!(
                !found.is_empty() && found.iter().all(is_whole),
                "{name:?} must be whole, and is files of {:?} bytes",
                sizes(&found)
            );
            assert!(found.len() == 1 || self.claimed().duplicates, "{name:?} is there once");
        }
    }
}

pub(super) fn path(text: &str) -> RelPath {
    RelPath::new(text).unwrap_or_else(|error| panic!("the suite uses legal paths: {error}"))
}

/// The entries of a folder, each a direct child of it.
pub(super) async fn try_list(backend: &dyn Backend, dir: &str) -> Result<Vec<Entry>> {
    let dir = path(dir);
    let entries: Vec<Entry> = backend.list(&dir, ListOptions::default()).try_collect().await?;
    for entry in &entries {
        let parent = entry.path.parent();
        assert_eq!(parent.as_ref(), Some(&dir), "{:?} is listed in {dir:?}", entry.path);
    }
    inspected(backend, entries).await
}

/// Listed entries with their times, where listings do not show them.
pub(super) async fn inspected(backend: &dyn Backend, entries: Vec<Entry>) -> Result<Vec<Entry>> {
    if !backend.capabilities().mtime_by_inspect {
        return Ok(entries);
    }
    let inspect = backend.facets().inspect.clone().expect("claimed by the capabilities");
    let wanted = Wanted { mtime: true, hashes: Vec::new() };
    let files: Vec<Entry> = entries.iter().filter(|entry| entry.is_file()).cloned().collect();
    let mut found = inspect.inspect(&files, &wanted).await?.into_iter();
    let all = entries.into_iter().map(|entry| match entry.is_file() {
        true => match found.next().expect("one for each") {
            // What changed since it was listed stays as it was listed.
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Changed) => {
                Ok(entry)
            }
            found => found,
        },
        false => Ok(entry),
    });
    all.collect()
}

pub(super) fn names_of(entries: &[Entry]) -> Vec<String> {
    let name = |entry: &Entry| entry.path.name().expect("not the root").to_owned();
    let mut names: Vec<_> = entries.iter().map(name).collect();
    names.sort();
    names
}

pub(super) async fn try_read(
    backend: &dyn Backend,
    entry: &Entry,
    range: Option<std::ops::Range<u64>>,
) -> Result<Bytes> {
    collect(backend.read(entry, ReadOptions { range }).await?, usize::MAX).await
}

/// A put that was dropped may replace a file between its listing and its reading so often.
const LATE_CHANGES: usize = 20;

/// The content of all files of this path, sorted.
pub(super) async fn contents(backend: &dyn Backend, name: &str) -> Vec<Bytes> {
    for _ in 0..LATE_CHANGES {
        if let Some(found) = try_contents(backend, name).await {
            return found;
        }
    }
    panic!("{name:?} is replaced again and again");
}

/// `None`: a file was replaced between its listing and its reading.
async fn try_contents(backend: &dyn Backend, name: &str) -> Option<Vec<Bytes>> {
    let parent = path(name).parent().unwrap_or_else(RelPath::root);
    let entries = match try_list(backend, parent.as_str()).await {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Some(Vec::new()),
        Err(error) => panic!("list {parent:?}: {error:?}"),
    };
    let mut found = Vec::new();
    for entry in entries.iter().filter(|entry| entry.path.as_str() == name && entry.is_file()) {
        match try_read(backend, entry, None).await {
            Err(error) if error.kind() == ErrorKind::Changed => return None,
            content => {
                found.push(content.unwrap_or_else(|error| panic!("read {name:?}: {error:?}")));
            }
        }
    }
    found.sort();
    Some(found)
}

fn sizes(contents: &[Bytes]) -> Vec<usize> {
    contents.iter().map(Bytes::len).collect()
}

/// The result is an error of one of these kinds, in one line.
pub(super) fn expect_error<T>(result: Result<T>, kinds: &[ErrorKind]) -> Error {
    match result {
        Ok(_) => panic!("must fail with one of {kinds:?}, and went well"),
        Err(error) => {
            let text = error.to_string();
            assert!(kinds.contains(&error.kind()), "must be one of {kinds:?}: {error:?}");
            assert!(!text.contains('\n') && !error.message().is_empty(), "one line: {text:?}");
            error
        }
    }
}

/// Digests that an entry shows are those of the content.
pub(super) fn check_hashes(entry: &Entry, content: &[u8]) {
    for shown in entry.hashes.iter().flat_map(|hashes| hashes.iter()) {
        let own = hash_bytes(&[shown.algo()], content);
        assert_eq!(Some(shown), own.get(shown.algo()), "digest of {:?}", entry.path);
    }
}

/// How far two times are apart.
pub(super) fn apart(one: SystemTime, other: SystemTime) -> std::time::Duration {
    one.duration_since(other).unwrap_or_else(|before| before.duration())
}

/// Polls `future` at most `polls` times, whenever it asks for it, and drops it if it is not done then.
pub(super) async fn drop_after<T>(future: impl Future<Output = T>, polls: usize) -> Option<T> {
    let mut future = pin!(future);
    let mut left = polls;
    std::future::poll_fn(move |context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}
