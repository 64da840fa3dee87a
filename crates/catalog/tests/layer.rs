//! What holds around a remote that others use too, that fails, and that knows nothing of catalogues.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures::TryStreamExt;
use futures::future::join_all;
use ketch_catalog::{Catalog, Fact, NAME, Record, Records, encode};
use ketch_core::source::BytesSource;
use ketch_core::{
    Backend, Capabilities, Entry, EntryKind, Error, ErrorKind, Expect, ListOptions, PutOptions,
    RelPath, Result, Retry,
};
use ketch_testkit::{Faulty, MemoryBackend, Recorder};

fn path(text: &str) -> RelPath {
    RelPath::new(text).expect("legal")
}

fn remote() -> Arc<MemoryBackend> {
    Arc::new(MemoryBackend::with("memory", MemoryBackend::like_fichier()).without_versions())
}

/// One that replaces an object only if it is the one that is meant.
fn strict_remote() -> Arc<MemoryBackend> {
    let capabilities = Capabilities { duplicates: false, ..MemoryBackend::like_fichier() };
    Arc::new(MemoryBackend::with("memory", capabilities))
}

fn around(remote: &Arc<MemoryBackend>) -> Arc<dyn Backend> {
    Arc::new(Catalog::around(Arc::clone(remote) as Arc<dyn Backend>))
}

fn time(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::new(seconds, 7)
}

async fn put(backend: &dyn Backend, name: &str, content: &'static str) -> Result<Entry> {
    let options =
        PutOptions { mtime: Some(time(1_000)), expect: Expect::Absent, ..PutOptions::default() };
    backend.put(&path(name), BytesSource::body(content), options).await
}

async fn link(backend: &dyn Backend, name: &str, target: &'static str) -> Result<Entry> {
    let options = PutOptions { is_link: true, expect: Expect::Absent, ..PutOptions::default() };
    backend.put(&path(name), BytesSource::body(target), options).await
}

async fn list(backend: &dyn Backend, folder: &str) -> Result<Vec<Entry>> {
    backend.list(&path(folder), ListOptions::default()).try_collect().await
}

/// Everything below the root: `d/`, `file`, `empty=`, `link@`.
async fn all(backend: &dyn Backend) -> Vec<String> {
    let mut found = Vec::new();
    let mut waiting = vec![String::new()];
    while let Some(folder) = waiting.pop() {
        for entry in list(backend, &folder).await.expect("listed") {
            let end = match (entry.kind, entry.size) {
                (EntryKind::Dir, _) => "/",
                (EntryKind::Link, _) => "@",
                (_, Some(0)) => "=",
                _ => "",
            };
            found.push(format!("{}{end}", entry.path));
            if entry.is_dir() {
                waiting.push(entry.path.to_string());
            }
        }
    }
    found.sort();
    found
}

async fn objects(remote: &Arc<MemoryBackend>) -> usize {
    let listed = list(&**remote, "").await.expect("listed");
    listed.iter().filter(|entry| entry.path.as_str() == NAME).count()
}

#[tokio::test]
async fn what_two_processes_write_at_once_is_there_for_the_next_one() {
    for remote in [remote(), strict_remote()] {
        put(&*around(&remote), "first", "").await.expect("stored");
        let (one, other) = (around(&remote), around(&remote));
        assert_eq!(all(&*one).await, all(&*other).await);
        put(&*one, "d/one", "").await.expect("stored");
        link(&*other, "other", "x").await.expect("stored");
        put(&*one, "file", "content").await.expect("stored");
        one.finish().await.expect("flushed");
        let expected = ["d/", "d/one=", "file", "first=", "other@"];
        let third = around(&remote);
        assert_eq!(all(&*third).await, expected);
        let entry = third.stat(&path("file")).await.expect("there");
        assert_eq!(entry.mtime, Some(time(1_000)));
        put(&*third, "third", "").await.expect("stored");
        assert_eq!(objects(&remote).await, 1);
        let fourth = around(&remote);
        assert_eq!(all(&*fourth).await.len(), expected.len() + 1);
        // What is removed now stays removed.
        let entry = fourth.stat(&path("first")).await.expect("there");
        fourth.delete_one(&entry).await.expect("deleted");
        assert_eq!(all(&*around(&remote)).await, ["d/", "d/one=", "file", "other@", "third="]);
    }
}

#[tokio::test]
async fn several_catalogues_are_taken_in_and_one_is_left() {
    let remote = remote();
    let empty = || Fact::Empty { mtime: None, mode: None };
    let sides = [[("a", 1, empty()), ("b", 5, empty())], [("b", 6, Fact::Gone), ("c", 2, empty())]];
    for side in sides {
        let mut records = Records::default();
        for (name, at, fact) in side {
            records.set(&path(name), Record { at: at + 1_000_000_000_000_000, fact });
        }
        remote.insert_duplicate(NAME, encode(&records).expect("encoded"));
    }
    assert_eq!(objects(&remote).await, 2);
    let catalog = around(&remote);
    assert_eq!(all(&*catalog).await, ["a=", "c="]);
    assert_eq!(objects(&remote).await, 2, "looking changes nothing");
    put(&*catalog, "d", "").await.expect("stored");
    assert_eq!(objects(&remote).await, 1);
    assert_eq!(all(&*around(&remote)).await, ["a=", "c=", "d="]);
}

#[tokio::test]
async fn what_is_stored_at_the_same_time_shares_catalogues() {
    let remote = remote();
    let recorder = Arc::new(Recorder::new(Arc::clone(&remote) as Arc<dyn Backend>));
    let catalog =
        Arc::new(Catalog::around(Arc::clone(&recorder) as Arc<dyn Backend>)) as Arc<dyn Backend>;
    let names: Vec<String> = (0..300).map(|number| format!("d{}/{number}", number % 7)).collect();
    let puts = names.iter().map(|name| put(&*catalog, name, ""));
    for stored in join_all(puts).await {
        stored.expect("stored");
    }
    let count = recorder.count("put");
    assert!(count <= 10, "{count} catalogues for 300 files");
    let listed = all(&*around(&remote)).await;
    assert_eq!(listed.iter().filter(|name| name.ends_with('=')).count(), 300);
}

#[tokio::test]
async fn nothing_is_reported_done_that_is_in_no_stored_catalogue() {
    let remote = remote();
    let broken = Error::new(ErrorKind::Unavailable, "on purpose").with_retry(Retry::Never);
    let faulty = Faulty::new(Arc::clone(&remote) as Arc<dyn Backend>).fail_nth("put", 1, broken);
    let catalog = Arc::new(Catalog::around(Arc::new(faulty))) as Arc<dyn Backend>;
    let error = put(&*catalog, "d/empty", "").await.expect_err("it cannot be stored");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(!all(&*catalog).await.contains(&"d/empty=".to_owned()), "nor is it shown");
    put(&*catalog, "d/empty", "").await.expect("stored");
    assert_eq!(all(&*around(&remote)).await, ["d/", "d/empty="]);
}

#[tokio::test]
async fn a_catalogue_that_cannot_be_had_now_fails_the_listing() {
    let remote = remote();
    put(&*around(&remote), "d/empty", "").await.expect("stored");
    let broken = Error::new(ErrorKind::Unavailable, "on purpose");
    let faulty = Faulty::new(Arc::clone(&remote) as Arc<dyn Backend>).fail_nth("read", 1, broken);
    let catalog = Arc::new(Catalog::around(Arc::new(faulty))) as Arc<dyn Backend>;
    let error = list(&*catalog, "").await.expect_err("what is missing would be taken for absent");
    assert_eq!((error.kind(), error.operation()), (ErrorKind::Unavailable, Some("read")));
    assert!(catalog.may_lack().is_some());
    assert_eq!(all(&*catalog).await, ["d/", "d/empty="]);
    assert_eq!(catalog.may_lack(), None);
}

#[tokio::test]
async fn a_folder_takes_what_is_in_it_along_and_is_not_empty_while_something_is() {
    let remote = remote();
    let catalog = around(&remote);
    put(&*catalog, "d/e/empty", "").await.expect("stored");
    link(&*catalog, "d/link", "e/empty").await.expect("stored");
    put(&*catalog, "d/file", "content").await.expect("stored");
    let folder = catalog.stat(&path("d")).await.expect("there");
    catalog.rename(&folder, &path("new")).await.expect("renamed");
    catalog.finish().await.expect("flushed");
    let other = around(&remote);
    assert_eq!(all(&*other).await, ["new/", "new/e/", "new/e/empty=", "new/file", "new/link@"]);
    assert_eq!(other.stat(&path("new/file")).await.expect("there").mtime, Some(time(1_000)));
    let folder = other.stat(&path("new/e")).await.expect("there");
    let kept = other.delete_one(&folder).await.expect_err("something is in it");
    assert_eq!(kept.kind(), ErrorKind::InvalidInput);
    let entry = other.stat(&path("new/e/empty")).await.expect("there");
    other.delete_one(&entry).await.expect("deleted");
    other.delete_one(&folder).await.expect("deleted");
    assert_eq!(all(&*around(&remote)).await, ["new/", "new/file", "new/link@"]);
}

#[tokio::test]
async fn a_folder_that_was_a_root_goes_with_its_catalogue_when_that_holds_nothing() {
    let remote = remote();
    let below = Arc::new(remote.reopen("d/root"));
    put(&*around(&below), "empty", "").await.expect("stored");
    assert_eq!(objects(&below).await, 1);
    let catalog = around(&remote);
    // It is no content, so nothing else is seen of it here.
    assert_eq!(all(&*catalog).await, ["d/", "d/root/"]);
    let folder = catalog.stat(&path("d/root")).await.expect("there");
    let kept = catalog.delete_one(&folder).await.expect_err("something is in it");
    assert_eq!(kept.kind(), ErrorKind::InvalidInput);
    assert_eq!(all(&*around(&below)).await, ["empty="]);
    let inside = around(&below);
    let entry = inside.stat(&path("empty")).await.expect("there");
    inside.delete_one(&entry).await.expect("deleted");
    catalog.delete_one(&folder).await.expect("deleted");
    assert_eq!(all(&*catalog).await, ["d/"]);
}

#[tokio::test]
async fn names_of_catalogues_are_nobody_elses() {
    let catalog = around(&remote());
    for name in [NAME, "d/.ketch-catalog.zst", ".ketch-catalog.d/f"] {
        let put = put(&*catalog, name, "content").await.expect_err("refused");
        assert_eq!(put.kind(), ErrorKind::InvalidInput, "{name}");
        assert!(catalog.stat(&path(name)).await.is_err(), "{name}");
    }
    put(&*catalog, "empty", "").await.expect("stored");
    let below = put(&*catalog, "empty/below", "content").await.expect_err("refused");
    assert_eq!(below.kind(), ErrorKind::AlreadyExists);
}

#[tokio::test]
async fn hints_are_stored_once_at_the_end_and_nothing_is_where_nothing_changed() {
    let remote = remote();
    let recorder = Arc::new(Recorder::new(Arc::clone(&remote) as Arc<dyn Backend>));
    let catalog =
        Arc::new(Catalog::around(Arc::clone(&recorder) as Arc<dyn Backend>)) as Arc<dyn Backend>;
    for name in ["a", "b", "d/c"] {
        put(&*catalog, name, "content").await.expect("stored");
    }
    assert_eq!(recorder.count("put"), 3);
    for _ in 0..2 {
        catalog.finish().await.expect("flushed");
    }
    assert_eq!(recorder.count("put"), 4);
    let again = around(&remote);
    let times: BTreeMap<String, _> =
        ["a", "b", "d/c"].map(|name| (name.to_owned(), Some(time(1_000)))).into_iter().collect();
    let mut found = BTreeMap::new();
    for folder in ["", "d"] {
        let listed = list(&*again, folder).await.expect("listed");
        let files = listed.into_iter().filter(Entry::is_file);
        found.extend(files.map(|entry| (entry.path.to_string(), entry.mtime)));
    }
    assert_eq!(found, times);
    again.finish().await.expect("flushed");
    assert_eq!(objects(&remote).await, 1);
}

#[tokio::test]
async fn what_was_written_by_a_clock_that_is_ahead_can_be_changed() {
    let remote = remote();
    let mut records = Records::default();
    let fact = Fact::Empty { mtime: None, mode: None };
    records.set(&path("empty"), Record { at: u64::MAX / 2, fact });
    let bytes = encode(&records).expect("encoded");
    let expect = Expect::Absent;
    let options = PutOptions { expect, ..PutOptions::default() };
    remote.put(&path(NAME), BytesSource::body(bytes), options).await.expect("stored");
    let catalog = around(&remote);
    let entry = catalog.stat(&path("empty")).await.expect("there");
    catalog.delete_one(&entry).await.expect("deleted");
    assert_eq!(all(&*around(&remote)).await, [""; 0]);
}
