//! What is cut, when, and what is not.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use tokio::time::{Instant, sleep};

use super::tests_parts::Slow;
use super::tests_script::{Scripted, Step, path};
use super::{Stack, TimeoutSettings};
use crate::backend::Backend;
use crate::error::{Error, ErrorKind, Retry};
use crate::options::{ListOptions, PutOptions, ReadOptions};
use crate::source::{Body, BytesSource, collect};

const MINUTE: Duration = Duration::from_secs(60);

fn timed(double: Scripted) -> Arc<dyn Backend> {
    Stack::new(Arc::new(double)).timeout(TimeoutSettings::default()).build()
}

async fn put_error(double: Scripted, body: Body) -> (Error, Duration) {
    let start = Instant::now();
    let result = timed(double).put(&path("a"), body, PutOptions::default()).await;
    (result.expect_err("is cut"), start.elapsed())
}

fn pieces(count: usize) -> Body {
    Arc::new(Slow { pieces: count, ..Slow::default() })
}

#[tokio::test(start_paused = true)]
async fn a_call_without_an_answer_is_cut_and_says_so() {
    let backend = timed(Scripted::new().script("stat", &[Step::Hang]));
    let start = Instant::now();
    let error = backend.stat(&path("a/b")).await.expect_err("is cut");
    assert_eq!(start.elapsed().as_secs(), 60);
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Backoff));
    assert_eq!(error.to_string(), "stat on double: a/b: no answer within 60s");
}

#[tokio::test(start_paused = true)]
async fn row_10_silent_streams_are_cut() {
    let double = Scripted::new().object("a", b"abc");
    let entry = double.entry("a").expect("stored");
    let backend = timed(double.script("read", &[Step::Hang]).script("list", &[Step::Hang]));
    let start = Instant::now();
    let stream = backend.read(&entry, ReadOptions::default()).await.expect("opens");
    let error = collect(stream, 10).await.expect_err("is cut");
    assert_eq!((error.kind(), start.elapsed().as_secs()), (ErrorKind::Unavailable, 60));
    let mut entries = backend.list(&path(""), ListOptions::default());
    let error = entries.next().await.expect("an item").expect_err("is cut");
    assert_eq!(error.operation(), Some("list"));
    assert!(entries.next().await.is_none(), "after an error the stream has ended");
}

#[tokio::test(start_paused = true)]
async fn row_9_trap_a_drip_is_cut_although_it_is_never_silent() {
    let double = Scripted::new().object("a", &[7; 200]);
    let entry = double.entry("a").expect("stored");
    let drip = Step::Drip(Duration::from_millis(700));
    let backend = timed(double.script("read", &[drip]));
    let start = Instant::now();
    let stream = backend.read(&entry, ReadOptions::default()).await.expect("opens");
    let error = collect(stream, 200).await.expect_err("is cut");
    assert_eq!(error.message(), "fewer than 65536 bytes in 60s");
    assert_eq!(start.elapsed().as_secs(), 60);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_takes_its_time_is_not_the_remotes_fault() {
    let double = Scripted::new().object("a", &[7; 300_000]);
    let entry = double.entry("a").expect("stored");
    let backend = timed(double);
    let mut stream = backend.read(&entry, ReadOptions::default()).await.expect("opens");
    for _ in 0..3 {
        sleep(10 * MINUTE).await;
        stream.next().await.expect("a piece").expect("not cut");
    }
    assert!(stream.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn row_11_a_put_that_takes_nothing_more_is_cut() {
    let (error, after) =
        put_error(Scripted::new().script("put", &[Step::Stall(2)]), pieces(5)).await;
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Backoff));
    assert_eq!(error.to_string(), "put on double: a: the remote took no data for 60s");
    assert_eq!(after.as_secs(), 60);
    let (error, _) = put_error(Scripted::new().script("put", &[Step::Hang]), pieces(5)).await;
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn a_put_that_takes_a_little_at_a_time_is_cut() {
    let drip = Step::Drip(Duration::from_secs(20));
    let (error, after) = put_error(Scripted::new().script("put", &[drip]), pieces(100)).await;
    assert_eq!(error.message(), "fewer than 65536 bytes in 60s");
    assert_eq!(after.as_secs(), 60);
}

#[tokio::test(start_paused = true)]
async fn a_large_piece_on_a_slow_line_is_not_a_silence() {
    // 2 MiB at one slice in 30 s: the whole piece takes sixteen minutes.
    let backend = timed(Scripted::new().script("put", &[Step::Drip(MINUTE / 2)]));
    let body = BytesSource::body(vec![7; 2 << 20]);
    backend.put(&path("a"), body, PutOptions::default()).await.expect("is not cut");
}

#[tokio::test(start_paused = true)]
async fn a_slow_source_does_not_trip_the_watch_on_the_remote() {
    let source =
        |pause| Slow { pieces: 4, pause, piece_bytes: 10, replayable: true, ..Slow::default() };
    for step in [Step::Pass, Step::Drip(Duration::from_secs(1))] {
        let backend = timed(Scripted::new().script("put", &[step]));
        let body = Arc::new(source(5 * MINUTE));
        backend.put(&path("a"), body, PutOptions::default()).await.expect("is not cut");
    }
    // The remote's own silence counts as before.
    let double = Scripted::new().script("put", &[Step::Stall(2)]);
    let (error, after) = put_error(double, Arc::new(source(5 * MINUTE))).await;
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(after, 11 * MINUTE);
}

#[tokio::test(start_paused = true)]
async fn a_put_without_an_answer_after_its_last_byte_may_have_happened() {
    for body in [pieces(2), BytesSource::body(""), BytesSource::body("abc")] {
        let double = Scripted::new().script("put", &[Step::NeverCommits]);
        let (error, after) = put_error(double, body).await;
        assert_eq!((error.kind(), error.retry()), (ErrorKind::CommitUnknown, Retry::Backoff));
        assert_eq!(after.as_secs(), 600);
    }
    let unsized_body = Arc::new(Slow { replayable: false, ..Slow::default() });
    let double = Scripted::new().script("put", &[Step::NeverCommits]);
    assert_eq!(put_error(double, unsized_body).await.0.kind(), ErrorKind::CommitUnknown);
}
