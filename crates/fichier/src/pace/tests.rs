//! The distances that calls keep, the floods, and what processes share of both.

use super::*;

fn pacer(scale: &str, folder: Option<&std::path::Path>) -> Arc<Pacer> {
    let options = [("api_key", "KETCHCANARY"), ("pace_scale", scale)];
    let options = options.into_iter().collect();
    Arc::new(Pacer::new(&Settings::new(&options).expect("legal"), folder, None))
}

/// Runs all wants at once and returns when each was let go, in milliseconds.
async fn run(pacer: &Arc<Pacer>, wants: Vec<Want>) -> Vec<(u64, Want)> {
    let start = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for want in wants {
        let pacer = Arc::clone(pacer);
        tasks.spawn(async move {
            pacer.admit(want).await.expect("no lock");
            (start.elapsed().as_millis() as u64, want)
        });
    }
    let mut times = tasks.join_all().await;
    times.sort_by_key(|(time, _)| *time);
    times
}

async fn flooded(pacer: &Pacer) -> Result<()> {
    pacer.flooded(Want::Call, "file/rm.cgi", "Flood detected: IP Locked #374").await
}

fn check_distance(times: &[(u64, Want)], which: impl Fn(Want) -> bool, distance: u64) {
    let chosen: Vec<u64> =
        times.iter().filter(|(_, want)| which(*want)).map(|(time, _)| *time).collect();
    for pair in chosen.windows(2) {
        assert!(pair[1] - pair[0] >= distance, "{} and {} are too near", pair[0], pair[1]);
    }
}

#[tokio::test(start_paused = true)]
async fn never_more_than_allowed_in_any_window() {
    for seed in 0..8 {
        let mut random = fastrand::Rng::with_seed(seed);
        let wants: Vec<Want> = (0..60)
            .map(|_| match random.u8(0..6) {
                0 => Want::Listing(Listing::Files, random.u64(0..4)),
                1 => Want::Listing(Listing::Folders, random.u64(0..4)),
                _ => Want::Call,
            })
            .collect();
        let times = run(&pacer("1", None), wants).await;
        check_distance(&times, |_| true, 500);
        check_distance(&times, |want| matches!(want, Want::Listing(..)), 3_000);
        for endpoint in [Listing::Files, Listing::Folders] {
            for folder in 0..4 {
                check_distance(&times, |want| want == Want::Listing(endpoint, folder), 30_000);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_listing_that_never_reached_the_service_costs_no_half_minute() {
    let pacer = pacer("1", None);
    let want = Want::Listing(Listing::Files, 1);
    pacer.admit(want).await.expect("free");
    pacer.unsent(want).await;
    let start = Instant::now();
    pacer.admit(want).await.expect("waits");
    assert!(start.elapsed() <= Duration::from_secs(4), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn the_distance_between_listings_counts_from_the_answer() {
    let pacer = pacer("1", None);
    let (one, two) = (Want::Listing(Listing::Files, 1), Want::Listing(Listing::Files, 2));
    pacer.admit(one).await.expect("free");
    tokio::time::sleep(Duration::from_secs(2)).await;
    pacer.answered(one).await;
    let start = Instant::now();
    pacer.admit(two).await.expect("waits");
    assert!(start.elapsed() >= Duration::from_secs(3), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn no_listing_goes_while_another_waits_for_its_answer() {
    let pacer = pacer("1", None);
    let (one, two) = (Want::Listing(Listing::Files, 1), Want::Listing(Listing::Files, 2));
    let turn = pacer.admit(one).await.expect("free");
    let start = Instant::now();
    let other = Arc::clone(&pacer);
    let second = tokio::spawn(async move { other.admit(two).await.map(|_| start.elapsed()) });
    tokio::time::sleep(Duration::from_secs(20)).await;
    // Other calls go on.
    pacer.admit(Want::Call).await.expect("free");
    pacer.answered(one).await;
    drop(turn);
    let waited = second.await.expect("ends").expect("waits");
    assert!(waited >= Duration::from_secs(23), "{waited:?}");
}

#[tokio::test]
async fn a_listing_of_another_process_that_has_no_answer_is_waited_for() {
    let folder = tempfile::tempdir().expect("scratch");
    let (first, second) = (pacer("100", Some(folder.path())), pacer("100", Some(folder.path())));
    let turn = first.admit(Want::Listing(Listing::Files, 1)).await.expect("free");
    let wait = second.admit(Want::Listing(Listing::Files, 2));
    // Three seconds are 30 ms.
    assert!(tokio::time::timeout(Duration::from_millis(200), wait).await.is_err());
    drop(turn);
    second.admit(Want::Listing(Listing::Files, 2)).await.expect("free");
}

#[tokio::test]
async fn a_process_that_was_stopped_during_its_listing_is_not_waited_for_without_end() {
    let folder = tempfile::tempdir().expect("scratch");
    let (first, second) = (pacer("1000", Some(folder.path())), pacer("1000", Some(folder.path())));
    let _stopped = first.admit(Want::Listing(Listing::Files, 1)).await.expect("free");
    let wait = second.admit(Want::Listing(Listing::Files, 2));
    let turn = tokio::time::timeout(Duration::from_secs(120), wait).await.expect("ends");
    turn.expect("goes");
}

#[tokio::test(start_paused = true)]
async fn a_folder_that_must_wait_holds_up_nobody_else() {
    let pacer = pacer("1", None);
    let same = Want::Listing(Listing::Files, 1);
    let other = Want::Listing(Listing::Files, 2);
    let times = run(&pacer, vec![same, same, other, Want::Call, Want::Call]).await;
    let last = times.last().expect("five");
    assert_eq!(last.1, same);
    assert!((30_000..32_000).contains(&last.0), "{times:?}");
    assert!(times[3].0 < 4_000, "{times:?}");
}

#[tokio::test(start_paused = true)]
async fn a_flood_stops_everyone_who_waits_and_lasts_longer_each_time() {
    let pacer = pacer("1", None);
    let mut start = Instant::now();
    for expected in [30, 60, 120, 240, 300, 300] {
        flooded(&pacer).await.expect("in patience");
        flooded(&pacer).await.expect("in patience");
        pacer.admit(Want::Call).await.expect("waits");
        let waited = start.elapsed().as_secs_f64();
        let most = f64::from(expected) * 17.0 / 16.0 + 2.0;
        assert!((f64::from(expected)..most).contains(&waited), "{waited}");
        start = Instant::now();
    }
    tokio::time::sleep(Duration::from_secs(1_000)).await;
    start = Instant::now();
    flooded(&pacer).await.expect("in patience");
    pacer.admit(Want::Call).await.expect("waits");
    assert!(start.elapsed() < Duration::from_secs(33), "an old flood must be forgotten");
}

#[tokio::test(start_paused = true)]
async fn a_flood_without_end_is_waited_for_half_an_hour_and_then_told() {
    let pacer = pacer("1", None);
    let start = Instant::now();
    let error = loop {
        pacer.admit(Want::Call).await.expect("waits");
        if let Err(error) = flooded(&pacer).await {
            break error;
        }
    };
    let waited = start.elapsed().as_secs();
    assert!((25 * 60..30 * 60).contains(&waited), "{waited}");
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Throttled, Retry::Never));
    for words in ["minutes of waiting", "flood_patience", "#374"] {
        assert!(error.message().contains(words), "{error}");
    }
    // No later request waits for it, whatever its kind.
    for want in [Want::Call, Want::Listing(Listing::Files, 1)] {
        assert_eq!(pacer.admit(want).await.expect_err("given up").kind(), ErrorKind::Throttled);
    }
    assert!(start.elapsed().as_secs() <= waited, "at once");
    // What comes later may ask once, and a good answer ends it.
    tokio::time::sleep(Duration::from_secs(320)).await;
    pacer.admit(Want::Call).await.expect("free");
    pacer.spoke("file/rm.cgi");
    flooded(&pacer).await.expect("a new one");
}

#[tokio::test(start_paused = true)]
async fn floods_of_other_processes_are_not_waited_for_without_end_either() {
    let pacer = pacer("1", None);
    let store = pacer.store.clone();
    // As another process would: each pause is followed by the next one before anybody gets through.
    let others = tokio::spawn(async move {
        loop {
            store.step(|state, now| state.cooldown_until = now + 300_000).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    tokio::time::sleep(Duration::from_millis(500)).await;
    let start = Instant::now();
    let error = pacer.admit(Want::Call).await.expect_err("without end");
    others.abort();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Throttled, Retry::Never));
    assert!(error.message().contains("another process"), "{error}");
    let waited = start.elapsed().as_secs();
    assert!((25 * 60..=30 * 60).contains(&waited), "{waited}");
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_user_info_leaves_the_rest_alone() {
    let pacer = pacer("1", None);
    pacer.admit(Want::UserInfo).await.expect("first");
    pacer.flooded(Want::UserInfo, "user/info.cgi", "Flood").await.expect("its own");
    let start = Instant::now();
    pacer.admit(Want::Call).await.expect("not locked");
    assert!(start.elapsed() < Duration::from_secs(1));
    let error = pacer.admit(Want::UserInfo).await.expect_err("five minutes");
    assert_eq!(error.kind(), ErrorKind::Throttled);
    assert_eq!(error.retry(), Retry::Never, "others must not wait for it");
    assert!(error.message().contains("another 300 s"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_long_lock_is_reported_and_not_waited_for() {
    let pacer = pacer("1", None);
    pacer.locked().await;
    let error = pacer.admit(Want::Call).await.expect_err("locked");
    assert!(matches!(error.retry(), Retry::After(wait) if wait > Duration::from_secs(3_500)));
}

#[tokio::test]
async fn another_process_sees_the_times_through_the_file() {
    let folder = tempfile::tempdir().expect("scratch");
    let (first, second) = (pacer("100", Some(folder.path())), pacer("100", Some(folder.path())));
    let start = Instant::now();
    for _ in 0..5 {
        first.admit(Want::Call).await.expect("free");
        second.admit(Want::Call).await.expect("free");
    }
    // Ten calls, 5 ms apart at this scale.
    assert!(start.elapsed() >= Duration::from_millis(45), "{:?}", start.elapsed());
    let start = Instant::now();
    flooded(&first).await.expect("in patience");
    second.admit(Want::Call).await.expect("waits");
    assert!(start.elapsed() >= Duration::from_millis(290), "{:?}", start.elapsed());
    let files: Vec<_> = std::fs::read_dir(folder.path()).expect("readable").collect();
    // The times and their lock.
    assert_eq!(files.len(), 2);
    for file in files {
        let path = file.expect("entry").path();
        assert!(!std::fs::read_to_string(path).expect("text").contains("CANARY"));
    }
}

#[tokio::test(start_paused = true)]
async fn usage_is_kept_for_as_long_as_it_may_not_be_asked_for() {
    let pacer = pacer("1", None);
    assert_eq!(pacer.kept_usage().await, None);
    pacer.admit(Want::UserInfo).await.expect("first");
    let usage = Usage { total: Some(3), used: Some(1), free: Some(2) };
    pacer.keep_usage(usage).await;
    assert_eq!(pacer.kept_usage().await, Some(usage));
    tokio::time::sleep(Duration::from_secs(301)).await;
    assert_eq!(pacer.kept_usage().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_budget_for_the_hour_is_kept_and_waits_are_told() {
    #[derive(Default)]
    struct Told(std::sync::Mutex<Vec<Duration>>);
    impl Observer for Told {
        fn retrying(&self, _: &str, _: &'static str, _: &Error, _: Duration) {}

        fn waiting(&self, remote: &str, _: &'static str, wait: Duration) {
            assert_eq!(remote, "work:");
            self.0.lock().expect("sane").push(wait);
        }
    }
    let options = [("api_key", "KETCHCANARY"), ("requests_per_hour", "10")];
    let options = options.into_iter().collect();
    let told = Arc::new(Told::default());
    let observer = Arc::clone(&told) as Arc<dyn Observer>;
    let watch = Some(Watch { observer, remote: "work:".into() });
    let pacer = Pacer::new(&Settings::new(&options).expect("legal"), None, watch);
    let start = Instant::now();
    for _ in 0..10 {
        pacer.admit(Want::Call).await.expect("in the budget");
    }
    assert!(start.elapsed() < Duration::from_secs(10));
    let error = pacer.admit(Want::Call).await.expect_err("the budget is used up");
    assert!(matches!(error.retry(), Retry::After(wait) if wait > Duration::from_secs(3_500)));
    tokio::time::sleep(Duration::from_secs(50 * 60)).await;
    pacer.admit(Want::Call).await.expect("waits for the rest of the hour");
    assert!(start.elapsed() >= Duration::from_secs(3_600));
    let told = told.0.lock().expect("sane").clone();
    assert!(told.iter().any(|wait| *wait > Duration::from_secs(500)), "{told:?}");
}
