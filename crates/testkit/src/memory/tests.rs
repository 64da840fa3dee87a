//! What the suite cannot see from outside: the helpers of tests, accounts, and the strict choices.

use super::*;
use ketch_core::source::{BytesSource, collect};

fn path(text: &str) -> RelPath {
    RelPath::new(text).expect("legal")
}

async fn read(backend: &MemoryBackend, entry: &Entry) -> Result<Bytes> {
    collect(backend.read(entry, ReadOptions::default()).await?, usize::MAX).await
}

#[tokio::test]
async fn what_is_seeded_is_seen_through_the_trait_and_back() {
    let backend = MemoryBackend::new("m");
    backend.seed("d/a", "1");
    backend.seed_dir("e/f");
    backend.put(&path("d/b"), BytesSource::body("2"), PutOptions::default()).await.expect("put");
    let expected = BTreeMap::from([("d/a".into(), "1".into()), ("d/b".into(), "2".into())]);
    assert_eq!(backend.tree(), expected);
    assert_eq!(backend.dirs().into_iter().collect::<Vec<_>>(), ["d", "e", "e/f"]);
    assert_eq!(backend.stat(&path("d/a")).await.expect("there").mtime, Some(seed_time()));
    backend.remove("d");
    assert!(backend.tree().is_empty());
}

#[tokio::test]
async fn corruption_shows_in_the_bytes_and_nowhere_else() {
    let backend = MemoryBackend::new("m");
    backend.seed("a", "right");
    let before = backend.stat(&path("a")).await.expect("there");
    backend.corrupt("a");
    assert_eq!(backend.stat(&path("a")).await.expect("there"), before);
    let content = read(&backend, &before).await.expect("reads");
    assert!(content != "right" && content.len() == 5);
}

#[tokio::test]
async fn a_file_that_is_replaced_while_it_is_read_is_changed() {
    let backend = MemoryBackend::new("m");
    backend.seed("a", vec![1; PIECE_BYTES + 1]);
    let entry = backend.stat(&path("a")).await.expect("there");
    let mut stream = backend.read(&entry, ReadOptions::default()).await.expect("opens");
    stream.next().await.expect("a piece").expect("of the old content");
    backend.seed("a", vec![2; PIECE_BYTES + 1]);
    let error = stream.next().await.expect("not the end").expect_err("changed");
    assert_eq!(error.kind(), ErrorKind::Changed);
    assert!(stream.next().await.is_none());
}

#[tokio::test]
async fn places_of_one_account_take_each_others_entries_and_others_do_not() {
    let (one, two) = (MemoryBackend::new("one"), MemoryBackend::new("two"));
    one.seed("d/a", "content");
    two.seed("mine", "m");
    let entry = one.stat(&path("d/a")).await.expect("there");
    let error = two.copy(&entry, &path("x"), PutOptions::default()).await.expect_err("foreign");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    one.set_scope("account");
    two.share_account(&one);
    assert_eq!(
        (&one.about().scope, &two.about().scope),
        (&Some("account".into()), &Some("account".into()))
    );
    two.copy(&entry, &path("x/copy"), PutOptions::default()).await.expect("copied");
    two.rename(&entry, &path("x/moved")).await.expect("moved");
    assert!(one.tree().is_empty());
    let names: Vec<_> = two.tree().into_keys().collect();
    assert_eq!(names, ["mine", "x/copy", "x/moved"]);
    assert_ne!(one.about().location, two.about().location);
}

#[tokio::test]
async fn without_versions_a_replaced_file_is_gone_as_on_a_remote_of_ids() {
    let backend = MemoryBackend::with("m", MemoryBackend::like_fichier()).without_versions();
    backend.seed("a", "old");
    let old = backend.stat(&path("a")).await.expect("there");
    assert_eq!(old.version, None);
    backend.seed("a", "new");
    assert_eq!(read(&backend, &old).await.expect_err("gone").kind(), ErrorKind::NotFound);
    (&backend as &dyn Backend).delete_one(&old).await.expect("gone already");
    assert_eq!(backend.tree()["a"], "new");
}

#[tokio::test]
async fn a_put_replaces_the_duplicate_it_was_told_of_and_all_when_told_nothing() {
    let backend = MemoryBackend::with("m", MemoryBackend::like_fichier());
    backend.seed("a", "1");
    backend.insert_duplicate("a", "2");
    let listing: Vec<Entry> = backend
        .list(&RelPath::root(), ListOptions::default())
        .map(|e| e.expect("listed"))
        .collect()
        .await;
    assert_eq!(listing.len(), 2);
    let options =
        PutOptions { expect: Expect::Entry(Box::new(listing[0].clone())), ..PutOptions::default() };
    backend.put(&path("a"), BytesSource::body("3"), options).await.expect("put");
    assert_eq!(backend.files().len(), 2);
    backend.put(&path("a"), BytesSource::body("4"), PutOptions::default()).await.expect("put");
    assert_eq!(backend.files().len(), 1);
}

#[tokio::test]
async fn without_folders_of_their_own_a_folder_ends_with_its_last_file() {
    let capabilities = Capabilities { dirs: false, ..MemoryBackend::everything() };
    let backend = MemoryBackend::with("m", capabilities);
    backend.seed("d/e/a", "1");
    let entry = backend.stat(&path("d/e/a")).await.expect("there");
    (&backend as &dyn Backend).delete_one(&entry).await.expect("deleted");
    assert!(backend.dirs().is_empty());
}

#[test]
fn times_are_truncated_downwards_on_both_sides_of_1970() {
    let at = |nanos: i64| match u64::try_from(nanos) {
        Ok(after) => SystemTime::UNIX_EPOCH + Duration::from_nanos(after),
        Err(_) => SystemTime::UNIX_EPOCH - Duration::from_nanos(nanos.unsigned_abs()),
    };
    for (time, precision, expected) in
        [(1_999, 1_000, 1_000), (2_000, 1_000, 2_000), (-1, 1_000, -1_000), (-1_000, 1_000, -1_000)]
    {
        assert_eq!(truncate(at(time), Duration::from_nanos(precision)), at(expected));
    }
}
