//! Streams that break are taken up again, and callers see one.

use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt, StreamExt, TryStreamExt};
use proptest::prelude::*;
use tokio::time::{Instant, sleep};

use super::resume::PROGRESS_BYTES;
use super::tests_script::{DOWN, Scripted, Step, flood, path};
use super::{LimitSettings, RetrySettings, Stack, TimeoutSettings};
use crate::backend::Backend;
use crate::entry::Entry;
use crate::error::{ErrorKind, Result, Retry};
use crate::options::{ListOptions, ReadOptions};
use crate::source::collect;

fn cut(after: usize) -> Step {
    Step::Cut(after, ErrorKind::Unavailable, Retry::Backoff)
}

/// The whole stack, with a single place, so that a broken stream that keeps its place would show.
fn stack(double: Scripted) -> (Arc<dyn Backend>, Arc<Scripted>) {
    let double = Arc::new(double);
    let backend = Stack::new(Arc::clone(&double) as Arc<dyn Backend>)
        .limit(LimitSettings { concurrent: Some(1), ..LimitSettings::default() })
        .retry(RetrySettings::default())
        .timeout(TimeoutSettings::default())
        .build();
    (backend, double)
}

fn content(size: usize) -> Vec<u8> {
    (0..size).map(|number| (number % 251) as u8).collect()
}

async fn read(
    double: Scripted,
    range: Option<std::ops::Range<u64>>,
) -> (Result<bytes::Bytes>, Arc<Scripted>) {
    let (backend, double) = stack(double);
    let entry = double.entry("a").expect("stored");
    let result = match backend.read(&entry, ReadOptions { range }).await {
        Ok(stream) => collect(stream, usize::MAX).await,
        Err(error) => Err(error),
    };
    (result, double)
}

#[tokio::test(start_paused = true)]
async fn row_1_a_read_that_is_cut_anywhere_has_the_same_bytes() {
    let bytes = content(40);
    for after in 0..=40 {
        let double = Scripted::new().object("a", &bytes).script("read", &[cut(after)]);
        let (result, double) = read(double, None).await;
        assert_eq!(result.expect("is resumed"), bytes);
        let mut expected = vec![None];
        match after {
            0 => expected.push(None),
            // All bytes had come: there is nothing left to ask for.
            40 => {}
            _ => expected.push(Some(after as u64..40)),
        }
        assert_eq!(double.state().ranges, expected);
    }
}

proptest! {
    #[test]
    fn a_read_that_breaks_four_times_has_the_same_bytes(
        size in 1_usize..200,
        cuts in proptest::collection::vec(0_usize..60, 0..5),
        edges in (0_u64..200, 0_u64..200),
        ranged: bool,
    ) {
        let (start, end) = (edges.0.min(edges.1), edges.0.max(edges.1).min(size as u64));
        let range = (ranged && start <= end).then_some(start..end);
        let bytes = content(size);
        let steps: Vec<_> = cuts.into_iter().map(cut).collect();
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().expect("a runtime");
        let double = Scripted::new().object("a", &bytes).script("read", &steps);
        let (result, _) = runtime.block_on(read(double, range.clone()));
        let expected = range.map_or(0..size, |range| range.start as usize..range.end as usize);
        prop_assert_eq!(&result.expect("is resumed")[..], &bytes[expected]);
    }
}

#[tokio::test(start_paused = true)]
async fn five_attempts_without_progress_are_all() {
    let double = Scripted::new().object("a", &content(100)).script("read", &[cut(1); 9]);
    let (result, double) = read(double, None).await;
    let error = result.expect_err("gives up");
    assert_eq!(error.to_string(), "read on double: a: as scripted");
    assert_eq!((double.count("read"), double.peak()), (5, 1));
}

#[tokio::test(start_paused = true)]
async fn progress_lets_the_attempts_count_anew() {
    let step = PROGRESS_BYTES as usize;
    let bytes = content(9 * step);
    let double = Scripted::new().object("a", &bytes).script("read", &[cut(step); 8]);
    let (result, double) = read(double, None).await;
    assert!(result.expect("is resumed") == bytes);
    assert_eq!(double.count("read"), 9);
}

#[tokio::test(start_paused = true)]
async fn row_9_a_drip_is_cut_each_time_and_does_not_go_on_for_ever() {
    let drip = Step::Drip(Duration::from_millis(700));
    let double = Scripted::new().object("a", &content(1000)).script("read", &[drip; 20]);
    let start = Instant::now();
    let (result, double) = read(double, None).await;
    assert_eq!(result.expect_err("gives up").message(), "fewer than 65536 bytes in 60s");
    assert_eq!(double.count("read"), 5);
    assert!(start.elapsed() < Duration::from_secs(330));
}

#[tokio::test(start_paused = true)]
async fn a_changed_object_is_told_and_never_mixed() {
    let (backend, double) = stack(Scripted::new().object("a", b"before").script("read", &[cut(2)]));
    let entry = double.entry("a").expect("stored");
    let mut stream = backend.read(&entry, ReadOptions::default()).await.expect("opens");
    stream.next().await.expect("a byte").expect("reads");
    stream.next().await.expect("a byte").expect("reads");
    double.state().objects.insert("a".to_owned(), ("behind".into(), 9));
    let error = stream.next().await.expect("an item").expect_err("another version");
    assert_eq!((error.kind(), double.count("read")), (ErrorKind::Changed, 2));
    assert!(stream.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn without_ranges_a_read_is_opened_again_only_before_its_first_byte() {
    let double = || Scripted::new().object("a", b"abc").without_ranges();
    let (result, _) = read(double().script("read", &[DOWN, cut(0), cut(0)]), None).await;
    assert_eq!(result.expect("nothing was handed out"), "abc");
    let (result, double) = read(double().script("read", &[cut(1)]), None).await;
    assert_eq!(result.expect_err("one byte was").kind(), ErrorKind::Unavailable);
    assert_eq!(double.count("read"), 1);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_size_cannot_be_resumed() {
    let (backend, double) = stack(Scripted::new().object("a", b"abc").script("read", &[cut(1)]));
    let entry = Entry { size: None, ..double.entry("a").expect("stored") };
    let stream = backend.read(&entry, ReadOptions::default()).await.expect("opens");
    collect(stream, 10).await.expect_err("the end is not known");
    assert_eq!(double.count("read"), 1);
}

#[tokio::test(start_paused = true)]
async fn more_bytes_than_asked_for_are_not_taken_for_success() {
    let surplus = Step::Cut(3, ErrorKind::Corrupt, Retry::Backoff);
    let double = Scripted::new().object("a", b"abc").script("read", &[surplus]);
    let (result, double) = read(double, None).await;
    assert_eq!(result.expect_err("is corrupt").kind(), ErrorKind::Corrupt);
    assert_eq!(double.count("read"), 1);
}

#[tokio::test(start_paused = true)]
async fn never_ends_a_stream_at_once() {
    let denied = Step::Cut(1, ErrorKind::Denied, Retry::Never);
    let double = Scripted::new().object("a", b"abc").script("read", &[denied]);
    let (result, double) = read(double, None).await;
    assert_eq!(result.expect_err("passes through").kind(), ErrorKind::Denied);
    assert_eq!(double.count("read"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_listing_starts_anew_only_while_nothing_was_handed_out() {
    let check = |steps: Vec<Step>, lists, entries: Option<usize>| async move {
        let double = Scripted::new().object("a", b"1").object("b", b"2").script("list", &steps);
        let (backend, double) = stack(double);
        let listed = backend.list(&path(""), ListOptions::default()).try_collect::<Vec<_>>().await;
        assert_eq!(listed.ok().map(|listed| listed.len()), entries, "{steps:?}");
        assert_eq!(double.count("list"), lists, "{steps:?}");
    };
    check(vec![DOWN, cut(0), flood(30)], 4, Some(2)).await;
    check(vec![cut(1)], 1, None).await;
    check(vec![DOWN, cut(2)], 2, None).await;
    check(vec![DOWN; 9], 5, None).await;
    check(vec![Step::Fail(ErrorKind::Denied, Retry::Never)], 1, None).await;
    check(vec![Step::Hang], 2, Some(2)).await;
}

#[tokio::test(start_paused = true)]
async fn dropping_a_stream_during_the_wait_stops_everything() {
    let double = Scripted::new().object("a", b"abc");
    let steps = [Step::Cut(1, ErrorKind::Throttled, Retry::After(Duration::from_secs(30)))];
    let (backend, double) = stack(double.script("read", &steps).script("list", &[flood(30)]));
    let entry = double.entry("a").expect("stored");
    let mut stream = backend.read(&entry, ReadOptions::default()).await.expect("opens");
    stream.next().await.expect("a byte").expect("reads");
    let mut listing = backend.list(&path(""), ListOptions::default());
    assert!(listing.next().now_or_never().is_none());
    assert!(stream.next().now_or_never().is_none());
    assert_eq!(double.in_flight(), 0, "nothing is held during the wait");
    drop((stream, listing));
    sleep(Duration::from_secs(3600)).await;
    assert_eq!((double.count("read"), double.count("list")), (1, 1));
}
