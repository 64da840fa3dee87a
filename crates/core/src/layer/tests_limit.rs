//! Places, pace and pauses.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use futures::{FutureExt, StreamExt};
use tokio::time::{Instant, sleep};

use super::tests_parts::{Slow, pending_for};
use super::tests_script::{Scripted, Step, flood, path};
use super::{LimitSettings, Stack};
use crate::backend::Backend;
use crate::entry_source::EntrySource;
use crate::error::{ErrorKind, Retry};
use crate::options::{ListOptions, PutOptions, ReadOptions};
use crate::source::collect;

const SECOND: Duration = Duration::from_secs(1);

fn limited(double: Scripted, settings: LimitSettings) -> (Arc<dyn Backend>, Arc<Scripted>) {
    let double = Arc::new(double);
    (Stack::new(Arc::clone(&double) as Arc<dyn Backend>).limit(settings).build(), double)
}

fn at_once(concurrent: usize) -> LimitSettings {
    LimitSettings { concurrent: Some(concurrent), ..LimitSettings::default() }
}

fn slow_double() -> Scripted {
    Scripted::new().object("a", &[7; 300_000]).answering_after(SECOND)
}

#[tokio::test(start_paused = true)]
async fn no_more_calls_than_places_are_in_flight() {
    for places in [1, 3] {
        let (backend, double) = limited(slow_double(), at_once(places));
        let here = path("a");
        let start = Instant::now();
        join_all((0..12).map(|_| backend.stat(&here))).await;
        assert_eq!(double.peak(), places);
        assert_eq!(start.elapsed().as_secs(), 12 / places as u64, "all places are used");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_keeps_its_place_until_it_ends_fails_or_is_dropped() {
    let cut = Step::Cut(1, ErrorKind::Unavailable, Retry::Backoff);
    let (backend, double) =
        limited(slow_double().script("read", &[Step::Pass, Step::Pass, cut]), at_once(1));
    let entry = double.entry("a").expect("stored");
    let open = || backend.read(&entry, ReadOptions::default());
    let dropped = open().await.expect("opens");
    let mut second = open();
    pending_for(&mut second, 60 * SECOND).await;
    drop(dropped);
    let mut ended = second.await.expect("opens");
    let mut third = open();
    while let Some(piece) = ended.next().await {
        piece.expect("reads");
        pending_for(&mut third, SECOND).await;
    }
    let mut failed = third.await.expect("opens");
    failed.next().await.expect("a byte").expect("reads");
    failed.next().await.expect("an item").expect_err("is cut");
    // `failed` is still alive here.
    drop(open().await.expect("opens"));
    drop(failed);
    assert_eq!(double.peak(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_listing_is_not_asked_for_before_its_place_is_free() {
    let (backend, double) = limited(slow_double(), at_once(1));
    let mut first = backend.list(&path(""), ListOptions::default());
    let mut second = backend.list(&path(""), ListOptions::default());
    assert_eq!(double.count("list"), 0, "nothing is asked before it is polled");
    first.next().await.expect("an entry").expect("lists");
    pending_for(&mut second.next(), 60 * SECOND).await;
    assert!(first.next().await.is_none());
    second.next().await.expect("an entry").expect("lists");
    assert_eq!(double.peak(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_put_that_reads_from_the_same_remote_does_not_block_itself() {
    let (backend, double) = limited(slow_double(), at_once(1));
    // The march puts while it holds a listing.
    let mut listing = backend.list(&path(""), ListOptions::default());
    let entry = listing.next().await.expect("an entry").expect("lists");
    let copies = ["b", "c", "d"].map(path);
    let puts = copies.iter().map(|to| {
        let body = Arc::new(EntrySource::new(Arc::clone(&backend), entry.clone()));
        backend.put(to, body, PutOptions::default())
    });
    let all = tokio::time::timeout(60 * SECOND, join_all(puts)).await.expect("no deadlock");
    assert!(all.into_iter().all(|result| result.is_ok()));
    assert_eq!(double.state().bodies, vec![vec![7; 300_000]; 3]);
}

#[tokio::test(start_paused = true)]
async fn no_second_sees_more_starts_than_allowed() {
    for rate in [5_usize, 3, 1] {
        let settings = LimitSettings { per_second: Some(rate as f64), ..LimitSettings::default() };
        let (backend, double) = limited(Scripted::new().script("stat", &[flood(7)]), settings);
        let here = path("a");
        // Some come together, some later, some give up while they wait.
        let callers = (0..40_u64).map(|number| {
            let call = backend.stat(&here);
            async move {
                sleep(Duration::from_millis(number % 4 * 333)).await;
                let patience = if number % 5 == 0 { SECOND } else { 600 * SECOND };
                tokio::time::timeout(patience, call).await
            }
        });
        join_all(callers).await;
        let starts = double.starts();
        assert!(starts.len() > 25, "{} started", starts.len());
        for window in starts.windows(rate + 1) {
            let apart = window[rate] - window[0];
            assert!(apart >= SECOND, "{} starts within {apart:?}", rate + 1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn row_14_a_flood_lock_pauses_everyone() {
    let double = slow_double().script("stat", &[Step::Pass, Step::Pass, flood(30)]);
    let (backend, double) = limited(double, at_once(4));
    let entry = double.entry("a").expect("stored");
    let here = path("a");
    join_all((0..20).map(|_| backend.stat(&here))).await;
    let body = || Arc::new(EntrySource::new(Arc::clone(&backend), entry.clone()));
    let starts = double.starts();
    let locked = starts[0] + SECOND;
    assert!(starts.iter().all(|at| *at <= locked || *at >= locked + 30 * SECOND), "{starts:?}");
    assert!(starts.iter().filter(|at| **at > locked).count() >= 15);
    // Streams and puts obey, and cause it, as well.
    let cut = Step::Cut(1, ErrorKind::Throttled, Retry::After(9 * SECOND));
    let (backend, double) = limited(slow_double().script("read", &[cut]), at_once(4));
    let stream = backend.read(&entry, ReadOptions::default()).await.expect("opens");
    collect(stream, 10).await.expect_err("is cut");
    let start = Instant::now();
    backend.put(&path("b"), body(), PutOptions::default()).await.expect("stores");
    assert_eq!(double.starts()[1] - start, 9 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn row_15_an_absurd_pause_is_not_sat_out_by_all() {
    for seconds in [3_600, 1_000_000_000, u64::MAX] {
        let (backend, double) =
            limited(Scripted::new().script("stat", &[flood(seconds)]), LimitSettings::default());
        backend.stat(&path("a")).await.expect_err("the lock");
        let error = backend.usage().await.expect_err("fails at once");
        assert_eq!(error.kind(), ErrorKind::Throttled);
        assert!(matches!(error.retry(), Retry::After(left) if left >= 3_599 * SECOND));
        assert_eq!(double.starts().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_source_of_a_body_asks_for_does_not_pause_the_destination() {
    let (backend, _) = limited(slow_double(), at_once(1));
    let failure = Some((ErrorKind::Throttled, Retry::After(60 * SECOND)));
    let body = Arc::new(Slow { failure, ..Slow::default() });
    backend.put(&path("b"), body, PutOptions::default()).await.expect_err("the source's error");
    let start = Instant::now();
    backend.usage().await.expect("answers");
    assert_eq!(start.elapsed(), SECOND);
}

#[tokio::test(start_paused = true)]
async fn whoever_gives_up_waiting_takes_nothing_along() {
    let settings = LimitSettings { concurrent: Some(1), per_second: Some(1.0) };
    let (backend, double) = limited(slow_double(), settings);
    let here = path("a");
    let first = backend.stat(&here);
    let mut given_up = Vec::from_iter((0..10).map(|_| backend.stat(&here)));
    given_up.iter_mut().for_each(|call| assert!(call.now_or_never().is_none()));
    let start = Instant::now();
    drop(given_up);
    first.await.expect("answers");
    backend.stat(&here).await.expect("answers");
    assert!(start.elapsed() < 4 * SECOND, "{:?}", start.elapsed());
    assert!(double.starts().len() <= 3);
}
