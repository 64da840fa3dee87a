//! Each rule once, and the counting of calls.

use super::*;
use crate::MemoryBackend;
use ::bytes::Bytes;
use futures::TryStreamExt;
use ketch_core::HashAlgo;
use ketch_core::source::{BytesSource, HashingSource};

fn path(text: &str) -> RelPath {
    RelPath::new(text).expect("legal")
}

fn broken() -> Error {
    Error::new(ErrorKind::Unavailable, "reset").with_retry(Retry::Backoff)
}

fn memory() -> Arc<MemoryBackend> {
    let memory = MemoryBackend::new("m");
    for name in ["d/a", "d/b", "d/c"] {
        memory.seed(name, "0123456789");
    }
    Arc::new(memory)
}

async fn list(backend: &Faulty, dir: &str) -> (usize, Option<ErrorKind>) {
    let entries: Vec<_> = backend.list(&path(dir), ListOptions::default()).collect().await;
    let error = entries.iter().find_map(|entry| entry.as_ref().err()).map(Error::kind);
    (entries.iter().filter(|entry| entry.is_ok()).count(), error)
}

async fn read(backend: &Faulty, name: &str, range: Option<std::ops::Range<u64>>) -> (String, bool) {
    let entry = backend.stat(&path(name)).await.expect("there");
    let mut stream = backend.read(&entry, ReadOptions { range }).await.expect("opens");
    let mut text = String::new();
    while let Some(piece) = stream.next().await {
        match piece {
            Ok(piece) => text.push_str(std::str::from_utf8(&piece).expect("text")),
            Err(_) => return (text, true),
        }
    }
    (text, false)
}

async fn put(backend: &Faulty, name: &str) -> Result<Entry> {
    let body = BytesSource::body("0123456789");
    backend.put(&path(name), body, PutOptions::default()).await
}

#[tokio::test]
async fn the_nth_call_fails_and_no_other() {
    let faulty = Faulty::new(memory()).fail_nth("stat", 2, broken());
    for expected in [true, false, true] {
        assert_eq!(faulty.stat(&path("d/a")).await.is_ok(), expected);
    }
    assert_eq!((faulty.count("stat"), faulty.count_all()), (3, 3));
}

#[tokio::test]
async fn a_path_fails_always_or_as_often_as_was_said() {
    let faulty =
        Faulty::new(memory()).fail_path("put", "x", broken()).fail_path_once("put", "y", broken());
    for _ in 0..3 {
        let error = put(&faulty, "x").await.expect_err("fails");
        assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Backoff));
    }
    put(&faulty, "y").await.expect_err("fails once");
    put(&faulty, "y").await.expect("then not");
}

#[tokio::test]
async fn a_listing_fails_before_or_after_some_entries_and_others_do_not() {
    let faulty = Faulty::new(memory()).fail_list("d", broken());
    assert_eq!(list(&faulty, "d").await, (0, Some(ErrorKind::Unavailable)));
    assert_eq!(list(&faulty, "").await, (1, None));
    let faulty = Faulty::new(memory()).fail_list_after("d", 2, broken());
    assert_eq!(list(&faulty, "d").await, (2, Some(ErrorKind::Unavailable)));
}

#[tokio::test]
async fn a_read_breaks_at_the_byte_if_it_covers_it() {
    let faulty = Faulty::new(memory()).fail_read_at("d/a", 4, broken());
    assert_eq!(read(&faulty, "d/a", None).await, ("0123".into(), true));
    assert_eq!(read(&faulty, "d/a", Some(2..6)).await, ("23".into(), true));
    assert_eq!(read(&faulty, "d/a", Some(5..8)).await, ("567".into(), false));
    assert_eq!(read(&faulty, "d/b", None).await, ("0123456789".into(), false));
    let faulty = Faulty::new(memory()).cut_read("d/a", 4).corrupt_read("d/b");
    assert_eq!(read(&faulty, "d/a", None).await, ("0123".into(), false));
    assert_eq!(read(&faulty, "d/b", None).await, ("1123456789".into(), false));
}

#[tokio::test]
async fn a_lost_answer_is_an_error_after_the_effect() {
    let memory = memory();
    let faulty = Faulty::new(memory.clone()).lose("put", "x", broken());
    put(&faulty, "x").await.expect_err("lost");
    assert_eq!(memory.tree()["x"], "0123456789");
}

#[tokio::test]
async fn a_harmed_put_says_that_all_went_well() {
    let memory = memory();
    let faulty = Faulty::new(memory.clone()).cut_put("x", 4).corrupt_put("y");
    let entry = put(&faulty, "x").await.expect("put");
    assert_eq!(entry.size, Some(4));
    put(&faulty, "y").await.expect("put");
    assert_eq!(
        (&memory.tree()["x"], &memory.tree()["y"]),
        (&Bytes::from("0123"), &Bytes::from("1123456789"))
    );
}

#[tokio::test]
async fn the_sender_of_a_cut_body_sees_all_of_it_pass() {
    let faulty = Faulty::new(memory()).cut_put("x", 4);
    let sent = Arc::new(HashingSource::new(BytesSource::body("0123456789"), vec![HashAlgo::Md5]));
    faulty.put(&path("x"), sent.clone(), PutOptions::default()).await.expect("put");
    assert!(sent.hashes().is_some());
}

#[tokio::test]
async fn a_stalled_call_never_ends() {
    let faulty = Faulty::new(memory()).stall("put", "x").stall("list", "d");
    assert!(futures::poll!(Box::pin(put(&faulty, "x"))).is_pending());
    let mut listing = faulty.list(&path("d"), ListOptions::default());
    assert!(futures::poll!(listing.try_next()).is_pending());
}

#[tokio::test]
async fn the_same_seed_gives_the_same_failures() {
    let run = async |seed| {
        let faulty = Faulty::new(memory()).fail_randomly(seed, 0.5, broken());
        let mut failed = Vec::new();
        for _ in 0..64 {
            failed.push(faulty.stat(&path("d/a")).await.is_err());
        }
        failed
    };
    let (one, two, other) = (run(7).await, run(7).await, run(8).await);
    assert_eq!(one, two);
    assert_ne!(one, other);
}
