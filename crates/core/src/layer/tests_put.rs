//! When a body is sent again, and when it is found to be there already.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::tests_parts::Slow;
use super::tests_script::{DOWN, Scripted, Step, path};
use super::{RetrySettings, Stack};
use crate::backend::Backend;
use crate::entry::Entry;
use crate::error::{ErrorKind, Result, Retry};
use crate::options::{Expect, PutOptions};
use crate::source::BytesSource;

/// Commits, and the answer is lost.
const STORED: Step = Step::Lost(ErrorKind::CommitUnknown, Retry::Backoff);
/// Takes the whole body, does not commit, and nobody knows.
const NOT_STORED: Step = Step::Cut(0, ErrorKind::CommitUnknown, Retry::Backoff);

fn retried(double: Scripted) -> (Arc<dyn Backend>, Arc<Scripted>) {
    let double = Arc::new(double);
    let stack = Stack::new(Arc::clone(&double) as Arc<dyn Backend>);
    (stack.retry(RetrySettings::default()).build(), double)
}

async fn put(double: Scripted, expect: Expect) -> (Result<Entry>, Arc<Scripted>) {
    let (backend, double) = retried(double);
    let options = PutOptions { expect, ..PutOptions::default() };
    (backend.put(&path("a"), BytesSource::body("new"), options).await, double)
}

#[tokio::test(start_paused = true)]
async fn row_2_a_put_is_repeated_from_the_start_with_the_whole_body() {
    let reset = Step::Cut(0, ErrorKind::Unavailable, Retry::Backoff);
    let steps = [DOWN, reset, reset, DOWN];
    let (result, double) = put(Scripted::new().script("put", &steps), Expect::Absent).await;
    result.expect("is stored");
    assert_eq!(double.state().bodies, [b"new", b"new", b"new"]);
    assert_eq!((double.count("put"), double.count("stat")), (5, 0));
}

async fn put_body(backend: &dyn Backend, body: &Arc<Slow>) -> Result<Entry> {
    backend.put(&path("a"), Arc::clone(body) as _, PutOptions::default()).await
}

#[tokio::test(start_paused = true)]
async fn a_body_that_cannot_be_opened_again_is_opened_once() {
    let reset = Step::Cut(0, ErrorKind::Unavailable, Retry::Backoff);
    let (backend, double) = retried(Scripted::new().script("put", &[reset]));
    let body = Arc::new(Slow { replayable: false, ..Slow::default() });
    let put = put_body(&*backend, &body);
    assert_eq!(put.await.expect_err("is not repeated").kind(), ErrorKind::Unavailable);
    assert_eq!((double.count("put"), body.opened.load(Ordering::SeqCst)), (1, 1));
    // As long as it was not opened, nothing is lost.
    let (backend, double) = retried(Scripted::new().script("put", &[DOWN]));
    let body = Arc::new(Slow { replayable: false, ..Slow::default() });
    let put = put_body(&*backend, &body);
    put.await.expect("is stored");
    assert_eq!((double.count("put"), body.opened.load(Ordering::SeqCst)), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn never_is_sent_once() {
    let denied = Step::Fail(ErrorKind::Denied, Retry::Never);
    let (result, double) = put(Scripted::new().script("put", &[denied]), Expect::Absent).await;
    assert_eq!(result.expect_err("passes through").kind(), ErrorKind::Denied);
    assert_eq!((double.count("put"), double.count("stat")), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn row_27_a_put_whose_answer_was_lost_is_found_and_not_sent_again() {
    let check = |double: Scripted, expect, puts| async move {
        let (result, double) = put(double, expect).await;
        assert_eq!(Some(result.expect("is stored")), double.entry("a"));
        assert_eq!(double.state().objects["a"].0, "new");
        assert_eq!(double.count("put"), puts);
    };
    let scripted = |steps: &[Step]| Scripted::new().script("put", steps);
    check(scripted(&[STORED]), Expect::Absent, 1).await;
    check(scripted(&[NOT_STORED]), Expect::Absent, 2).await;
    check(scripted(&[NOT_STORED, STORED]), Expect::Absent, 2).await;
    check(scripted(&[DOWN, STORED]), Expect::Absent, 2).await;

    // Something of the same size was there before.
    let replacing = |steps: &[Step]| scripted(steps).object("a", b"old");
    let before = |double: &Scripted| Expect::Entry(Box::new(double.entry("a").expect("stored")));
    for (steps, puts) in [([STORED], 1), ([NOT_STORED], 2)] {
        let double = replacing(&steps);
        let expect = before(&double);
        check(double, expect, puts).await;
        // Without versions and digests nothing is proven, so it is sent again.
        let double = replacing(&steps).without_versions();
        let expect = before(&double);
        check(double, expect, 2).await;
        // Digests prove it, also when nobody knows what was there.
        let double = replacing(&steps).with_hashes();
        check(double, Expect::Anything, puts).await;
        check(replacing(&steps), Expect::Anything, 2).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_commit_that_shows_up_late_is_no_conflict_with_itself() {
    // The look after the first attempt fails to see it; the second attempt meets it.
    let double = Scripted::new()
        .script("put", &[STORED])
        .script("stat", &[Step::Fail(ErrorKind::NotFound, Retry::Never)]);
    let (result, double) = put(double, Expect::Absent).await;
    assert_eq!(Some(result.expect("is stored")), double.entry("a"));
    assert_eq!((double.count("put"), double.count("stat")), (2, 2));
    assert_eq!(double.state().bodies.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_real_conflict_stays_one() {
    let (result, double) = put(Scripted::new().object("a", b"others"), Expect::Absent).await;
    assert_eq!(result.expect_err("a conflict").kind(), ErrorKind::Changed);
    assert_eq!((double.count("put"), double.count("stat")), (1, 0));
    let lost = Step::Fail(ErrorKind::CommitUnknown, Retry::Backoff);
    let double = Scripted::new().object("a", b"others").script("put", &[lost]);
    let (result, double) = put(double, Expect::Absent).await;
    assert_eq!(result.expect_err("a conflict").kind(), ErrorKind::Changed);
    assert_eq!(double.state().objects["a"].0, "others");
}

#[tokio::test(start_paused = true)]
async fn the_last_and_the_unrepeatable_attempt_are_looked_after_too() {
    let (result, double) =
        put(Scripted::new().script("put", &[DOWN, DOWN, DOWN, DOWN, STORED]), Expect::Absent).await;
    result.expect("is stored");
    assert_eq!(double.count("put"), 5);
    for retry in [Retry::Backoff, Retry::Never] {
        let lost = Step::Lost(ErrorKind::CommitUnknown, retry);
        let (backend, double) = retried(Scripted::new().script("put", &[lost]));
        let body = Arc::new(Slow { replayable: false, ..Slow::default() });
        let options = PutOptions { expect: Expect::Absent, ..PutOptions::default() };
        backend.put(&path("a"), body, options).await.expect("is stored");
        assert_eq!((double.count("put"), double.count("stat")), (1, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_remote_that_cannot_be_asked_gets_no_second_copy() {
    let double = Scripted::new().script("put", &[STORED]).script("stat", &[DOWN; 9]);
    let (result, double) = put(double, Expect::Absent).await;
    assert_eq!(result.expect_err("unknown").kind(), ErrorKind::CommitUnknown);
    assert_eq!((double.count("put"), double.count("stat")), (1, 5));
}

#[tokio::test(start_paused = true)]
async fn row_25_wrong_bytes_are_sent_again_twice_and_no_more() {
    let corrupt = Step::Cut(0, ErrorKind::Corrupt, Retry::Backoff);
    for (failures, stored) in [(2, true), (9, false)] {
        let steps = vec![corrupt; failures];
        let (result, double) = put(Scripted::new().script("put", &steps), Expect::Absent).await;
        assert_eq!(result.is_ok(), stored);
        assert_eq!(double.count("put"), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn attempts_of_source_and_destination_do_not_multiply() {
    for retry in [Retry::Backoff, Retry::After(std::time::Duration::from_secs(1))] {
        let (backend, double) = retried(Scripted::new());
        let failure = Some((ErrorKind::Throttled, retry));
        let body = Arc::new(Slow { failure, ..Slow::default() });
        let put = put_body(&*backend, &body);
        put.await.expect_err("the source's error");
        assert_eq!((double.count("put"), body.opened.load(Ordering::SeqCst)), (3, 3));
    }
}
