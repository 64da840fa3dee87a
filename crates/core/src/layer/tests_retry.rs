//! Which calls are repeated, how often, and after which wait.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use futures::FutureExt;
use tokio::time::{Instant, sleep};

use super::tests_script::{DOWN, Scripted, Step, flood, path};
use super::{LimitSettings, Observer, RetrySettings, Stack, TimeoutSettings};
use crate::backend::Backend;
use crate::error::{Error, ErrorKind, Retry};
use crate::options::{Expect, PutOptions};

const UNKNOWN: Step = Step::Lost(ErrorKind::CommitUnknown, Retry::Backoff);
const LOST: Step = Step::Lost(ErrorKind::Unavailable, Retry::Backoff);

fn retried(double: Scripted) -> (Arc<dyn Backend>, Arc<Scripted>) {
    retried_with(double, RetrySettings::default())
}

fn retried_with(double: Scripted, settings: RetrySettings) -> (Arc<dyn Backend>, Arc<Scripted>) {
    let double = Arc::new(double);
    (Stack::new(Arc::clone(&double) as Arc<dyn Backend>).retry(settings).build(), double)
}

#[tokio::test(start_paused = true)]
async fn what_may_be_sent_twice_is_sent_until_it_succeeds_and_at_most_five_times() {
    let all = ["stat", "delete", "make folder", "set time", "usage", "look at the root", "copy"];
    for (failures, asked, succeeds) in [(4, 5, true), (9, 5, false)] {
        let double = all.iter().fold(Scripted::new().object("a", b"abc"), |double, operation| {
            double.script(operation, &vec![DOWN; failures])
        });
        let (backend, double) = retried(double);
        let (here, entry) = (path("a"), double.entry("a").expect("stored"));
        let results = [
            backend.stat(&here).await.map(drop),
            backend.set_mtime(&entry, SystemTime::UNIX_EPOCH).await.map(drop),
            backend.make_dir(&path("d"), None).await,
            backend.usage().await.map(drop),
            backend.root_identity().await.map(drop),
            backend.copy(&entry, &path("b"), PutOptions::default()).await.map(drop),
            backend.delete_one(&entry).await,
        ];
        for result in results {
            assert_eq!(result.is_ok(), succeeds, "{result:?}");
        }
        for operation in all {
            assert_eq!(double.count(operation), asked, "{operation}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn never_means_asked_exactly_once() {
    for (kind, retry) in [
        (ErrorKind::Denied, Retry::Never),
        (ErrorKind::CommitUnknown, Retry::Never),
        (ErrorKind::Cancelled, Retry::Backoff),
    ] {
        let (backend, double) = retried(Scripted::new().script("stat", &[Step::Fail(kind, retry)]));
        let start = Instant::now();
        let error = backend.stat(&path("a")).await.expect_err("passes through");
        assert_eq!((error.kind(), double.count("stat")), (kind, 1));
        assert_eq!(start.elapsed(), Duration::ZERO);
        assert_eq!(error.to_string(), "stat on double: a: as scripted");
    }
    let denied = Step::Fail(ErrorKind::Denied, Retry::Never);
    let double = Scripted::new().object("a", b"abc").script("rename", &[denied]);
    let (backend, double) = retried(double);
    let entry = double.entry("a").expect("stored");
    backend.rename(&entry, &path("b")).await.expect_err("passes through");
    assert_eq!((double.count("rename"), double.count("stat")), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn waits_double_up_to_a_bound_and_are_a_random_part_of_it() {
    let settings = RetrySettings {
        attempts: 8,
        first_wait: Duration::from_secs(1),
        longest_wait: Duration::from_secs(8),
        ..RetrySettings::default()
    };
    let mut longest = [Duration::ZERO; 7];
    let mut shortest = [Duration::MAX; 7];
    for _ in 0..50 {
        let double = Scripted::new().script("usage", &[DOWN; 7]);
        // The double seeds the randomness, and fifty equal runs would show nothing.
        fastrand::seed(longest[0].as_nanos() as u64 + shortest[0].subsec_nanos() as u64);
        let (backend, double) = retried_with(double, settings.clone());
        backend.usage().await.expect("answers in the end");
        for (number, pair) in double.starts().windows(2).enumerate() {
            longest[number] = longest[number].max(pair[1] - pair[0]);
            shortest[number] = shortest[number].min(pair[1] - pair[0]);
        }
    }
    // The timer is a millisecond coarse.
    for (number, bound) in [1, 2, 4, 8, 8, 8, 8].into_iter().enumerate() {
        let bound = Duration::from_secs(bound);
        assert!(longest[number] <= bound + Duration::from_millis(1), "{longest:?}");
        assert!(shortest[number] < longest[number], "{shortest:?} {longest:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn backoff_waits_are_capped_in_all() {
    let settings = RetrySettings {
        attempts: u32::MAX,
        total: Duration::from_secs(60),
        ..RetrySettings::default()
    };
    let (backend, double) = retried_with(Scripted::new().script("usage", &[DOWN; 1000]), settings);
    let start = Instant::now();
    backend.usage().await.expect_err("gives up");
    assert!(start.elapsed() <= Duration::from_secs(61), "{:?}", start.elapsed());
    assert!(double.count("usage") > 5);
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_was_asked_for_is_kept_and_is_no_attempt() {
    let (backend, double) = retried(Scripted::new().script("usage", &[flood(30); 20]));
    let start = Instant::now();
    backend.usage().await.expect("answers in the end");
    assert_eq!(double.count("usage"), 21);
    assert_eq!(start.elapsed(), Duration::from_secs(600));
}

#[tokio::test(start_paused = true)]
async fn pauses_that_were_asked_for_are_capped() {
    let check = |pauses: Step, expected_requests, expected_seconds| async move {
        let (backend, double) = retried(Scripted::new().script("usage", &[pauses; 5000]));
        let start = Instant::now();
        let error = backend.usage().await.expect_err("gives up");
        assert_eq!(error.kind(), ErrorKind::Throttled);
        assert_eq!(double.count("usage"), expected_requests);
        assert_eq!(start.elapsed().as_secs(), expected_seconds);
    };
    check(flood(30), 61, 1800).await;
    check(flood(1801), 1, 0).await;
    check(flood(u64::MAX), 1, 0).await;
    // A remote that asks for no time is not asked again without end.
    check(flood(0), 3601, 1800).await;
    let hasty = RetrySettings { first_wait: Duration::ZERO, ..RetrySettings::default() };
    let (backend, double) = retried_with(Scripted::new().script("usage", &[flood(0); 50]), hasty);
    backend.usage().await.expect_err("gives up");
    assert_eq!(double.count("usage"), 5);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_hangs_is_cut_and_sent_again() {
    let double = Arc::new(Scripted::new().script("usage", &[Step::Hang, Step::Hang]));
    let backend = Stack::new(Arc::clone(&double) as Arc<dyn Backend>)
        .retry(RetrySettings::default())
        .timeout(TimeoutSettings::default())
        .build();
    let start = Instant::now();
    backend.usage().await.expect("answers the third time");
    assert!((120..123).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_place_is_not_held_during_the_wait() {
    let double = Arc::new(Scripted::new().script("stat", &[DOWN; 4]).object("a", b"abc"));
    let backend = Stack::new(Arc::clone(&double) as Arc<dyn Backend>)
        .retry(RetrySettings {
            first_wait: Duration::from_secs(600),
            longest_wait: Duration::from_secs(600),
            total: Duration::from_secs(6000),
            ..RetrySettings::default()
        })
        .limit(LimitSettings { concurrent: Some(1), ..LimitSettings::default() })
        .build();
    let here = path("a");
    let mut waiting = backend.stat(&here);
    assert!((&mut waiting).now_or_never().is_none());
    let start = Instant::now();
    backend.usage().await.expect("answers");
    assert_eq!(start.elapsed(), Duration::ZERO);
    waiting.await.expect("answers in the end");
}

#[tokio::test(start_paused = true)]
async fn dropping_the_future_during_the_wait_stops_everything() {
    let (backend, double) = retried(Scripted::new().script("usage", &[flood(30)]));
    let call = tokio::time::timeout(Duration::from_secs(10), backend.usage()).await;
    assert!(call.is_err(), "was waiting");
    sleep(Duration::from_secs(3600)).await;
    assert_eq!((double.count("usage"), double.in_flight()), (1, 0));
}

#[derive(Default)]
struct Seen(Mutex<Vec<String>>);

impl Observer for Seen {
    fn retrying(&self, remote: &str, operation: &'static str, error: &Error, wait: Duration) {
        let line = format!("{remote} {operation} {:?} {wait:?}", error.kind());
        self.0.lock().expect("not poisoned").push(line);
    }
}

#[tokio::test(start_paused = true)]
async fn the_observer_is_told_before_each_wait() {
    let seen = Arc::new(Seen::default());
    let backend = Stack::new(Arc::new(Scripted::new().script("usage", &[flood(30), flood(31)])))
        .observe(Arc::clone(&seen) as Arc<dyn Observer>)
        .retry(RetrySettings::default())
        .build();
    let mut call = Box::pin(backend.usage());
    assert!((&mut call).now_or_never().is_none());
    assert_eq!(*seen.0.lock().expect("not poisoned"), ["double: usage Throttled 30s"]);
    call.await.expect("answers");
    assert_eq!(seen.0.lock().expect("not poisoned").len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_rename_is_repeated_only_when_it_did_not_happen() {
    let check = |steps: Vec<Step>, renames, stats| async move {
        let double = Scripted::new().object("a", b"abc").script("rename", &steps);
        let (backend, double) = retried(double);
        let entry = double.entry("a").expect("stored");
        let moved = backend.rename(&entry, &path("b")).await.expect("is moved");
        assert_eq!(Some(moved), double.entry("b"));
        assert_eq!((double.count("rename"), double.count("stat")), (renames, stats), "{steps:?}");
    };
    check(vec![Step::Pass], 1, 0).await;
    check(vec![DOWN, DOWN], 3, 2).await;
    check(vec![UNKNOWN], 1, 1).await;
    check(vec![LOST], 1, 1).await;
    check(vec![DOWN, UNKNOWN], 2, 2).await;
    check(vec![flood(30)], 2, 1).await;
    check(vec![Step::Lost(ErrorKind::CommitUnknown, Retry::Never)], 1, 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_rename_that_cannot_be_told_from_what_was_there_is_an_error() {
    let double = Scripted::new().object("a", b"abc").object("b", b"xyz").without_versions();
    let (backend, double) = retried(double.script("rename", &[DOWN]));
    let entry = double.entry("a").expect("stored");
    let error = backend.rename(&entry, &path("b")).await.expect_err("cannot tell");
    assert_eq!((error.kind(), double.count("rename")), (ErrorKind::Unavailable, 1));
    // What is certainly something else is replaced.
    let double = Scripted::new().object("a", b"abc").object("b", b"other size");
    let (backend, double) = retried(double.script("rename", &[DOWN]));
    let entry = double.entry("a").expect("stored");
    backend.rename(&entry, &path("b")).await.expect("is moved");
    assert_eq!(double.count("rename"), 2);
}

#[tokio::test(start_paused = true)]
async fn the_own_success_of_a_copy_is_no_conflict() {
    let double = Scripted::new().object("a", b"abc").script("copy", &[LOST]);
    let (backend, double) = retried(double);
    let entry = double.entry("a").expect("stored");
    let absent = || PutOptions { expect: Expect::Absent, ..PutOptions::default() };
    let copied = backend.copy(&entry, &path("b"), absent()).await.expect("is copied");
    assert_eq!(Some(copied), double.entry("b"));
    assert_eq!((double.count("copy"), double.count("stat")), (2, 1));
    let error = backend.copy(&entry, &path("b"), absent()).await.expect_err("a real conflict");
    assert_eq!((error.kind(), double.count("stat")), (ErrorKind::Changed, 1));
}

#[tokio::test(start_paused = true)]
async fn of_several_that_are_deleted_only_what_failed_is_sent_again() {
    let denied = Step::Fail(ErrorKind::Denied, Retry::Never);
    // The second and the third fail in the first call, the third once more.
    let double = ["a", "b", "c", "d"]
        .into_iter()
        .fold(Scripted::new(), |double, name| double.object(name, b"abc"))
        .script("delete", &[Step::Pass, DOWN, DOWN, denied, Step::Pass, DOWN, Step::Pass]);
    let (backend, double) = retried(double);
    let entries: Vec<_> = ["a", "b", "c", "d"].iter().filter_map(|at| double.entry(at)).collect();
    let results = backend.delete(&entries).await;
    assert!(results[..3].iter().all(|result| result.is_ok()), "{results:?}");
    let error = results[3].as_ref().expect_err("it is denied");
    assert_eq!(error.to_string(), "delete on double: d: as scripted");
    assert_eq!(double.count("delete"), 4 + 2 + 1, "each call has what failed before");
    assert!(double.entry("c").is_none() && double.entry("d").is_some());
}
