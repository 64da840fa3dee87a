//! Properties over random trees and random faults. Every failure names its seed.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use ketch_core::{Backend, Error, ErrorKind, Retry};
use ketch_engine::{Compare, DeleteLimit, JobKind, Report, Request, Settings, start};
use ketch_testkit::tree::{Shape, random_tree, seed_all};
use ketch_testkit::{Faulty, MemoryBackend};

fn settings() -> Settings {
    Settings {
        compare: Compare::Checksum,
        delete_limit: DeleteLimit::Percent(100),
        ..Settings::default()
    }
}

async fn sync(source: Arc<dyn Backend>, destination: Arc<dyn Backend>) -> Report {
    let mut job =
        start(Request { settings: settings(), ..Request::new(JobKind::Sync, source, destination) });
    while job.events.recv().await.is_some() {}
    job.report().await
}

/// A destination as a disk has it, or as 1fichier does.
fn pair(seed: u64) -> (Arc<MemoryBackend>, Arc<MemoryBackend>) {
    let like_fichier = seed.is_multiple_of(2);
    let capabilities =
        if like_fichier { MemoryBackend::like_fichier() } else { MemoryBackend::everything() };
    let source = MemoryBackend::new("source");
    let destination = MemoryBackend::with("destination", capabilities);
    let shape = Shape { empty_files: !like_fichier, ..Shape::default() };
    seed_all(&source, &random_tree(seed, shape));
    seed_all(&destination, &random_tree(seed + 10_000, shape));
    (Arc::new(source), Arc::new(destination))
}

/// A file on one side where the other has a folder is refused, and is the only thing that may differ in the end.
fn without_clashes(mut tree: BTreeMap<String, Bytes>, report: &Report) -> BTreeMap<String, Bytes> {
    for failure in &report.failures {
        assert_eq!(failure.kind, ErrorKind::AlreadyExists, "{failure:?}");
        let inside = format!("{}/", failure.path);
        tree.retain(|path, _| path != failure.path.as_str() && !path.starts_with(&inside));
    }
    tree
}

#[tokio::test]
async fn after_a_sync_both_trees_are_equal_and_a_second_one_plans_nothing() {
    for seed in 0..150 {
        let (source, destination) = pair(seed);
        let report = sync(source.clone(), destination.clone()).await;
        assert!(report.fatal.is_none(), "seed {seed}: {report:?}");
        let left = without_clashes(source.tree(), &report);
        let right = without_clashes(destination.tree(), &report);
        assert_eq!(left, right, "seed {seed}");
        let again = sync(source.clone(), destination.clone()).await;
        assert!(!again.changed_anything(), "seed {seed}: {again:?}");
    }
}

#[tokio::test]
async fn promise_1_and_2_random_faults_lose_nothing_and_tear_nothing_and_a_rerun_converges() {
    let (mut faults, mut deletions) = (0, 0);
    for seed in 0..150 {
        let (source, destination) = pair(seed);
        let before = destination.tree();
        let wanted = source.tree();
        let broken = || Error::new(ErrorKind::Unavailable, "injected").with_retry(Retry::Never);
        let from = Faulty::new(source.clone()).fail_randomly(seed, 0.08, broken());
        let to = Faulty::new(destination.clone())
            .fail_randomly(seed + 1, 0.08, broken())
            .lose_randomly(seed + 2, 0.04, broken());
        let report = sync(Arc::new(from), Arc::new(to)).await;
        faults += report.failed;
        deletions += report.deleted;
        let after = destination.tree();
        for (path, content) in &after {
            let known = before.get(path) == Some(content) || wanted.get(path) == Some(content);
            assert!(known, "seed {seed}: {path} holds what neither side had");
        }
        for path in before.keys().filter(|path| wanted.contains_key(*path)) {
            assert!(after.contains_key(path), "seed {seed}: {path} is at the source and was lost");
        }
        for _ in 0..2 {
            sync(source.clone(), destination.clone()).await;
        }
        let last = sync(source.clone(), destination.clone()).await;
        let left = without_clashes(source.tree(), &last);
        let right = without_clashes(destination.tree(), &last);
        assert_eq!(left, right, "seed {seed}: a rerun must converge");
    }
    assert!(faults > 100 && deletions > 100, "the test must have teeth: {faults} {deletions}");
}

#[tokio::test]
async fn promise_1_a_failed_source_listing_never_deletes_in_any_mode() {
    for seed in 0..100 {
        let (source, destination) = pair(seed * 2 + 1);
        let before = destination.tree();
        let dirs: Vec<String> = source.dirs().into_iter().collect();
        let Some(bad) = dirs.get(seed as usize % dirs.len().max(1)).cloned() else { continue };
        let broken = Error::new(ErrorKind::Denied, "unreadable");
        let from = Faulty::new(source.clone()).fail_list_after(&bad, seed as usize % 3, broken);
        sync(Arc::new(from), destination.clone()).await;
        let after = destination.tree();
        let inside = format!("{bad}/");
        for path in before.keys().filter(|path| path.starts_with(&inside)) {
            assert!(after.contains_key(path), "seed {seed}: {path} below {bad} was deleted");
        }
    }
}

/// A source that fails in one of the ways that real ones do: folders that cannot be listed, answers of 5xx, resets in the
/// middle of a content, content that ends early or is wrong, a key that is refused half-way.
fn failing(source: &Arc<MemoryBackend>, seed: u64) -> Faulty {
    let mut random = fastrand::Rng::with_seed(seed);
    let error = |kind| Error::new(kind, "injected").with_retry(Retry::Never);
    let dirs: Vec<String> = source.dirs().into_iter().collect();
    let files: Vec<String> = source.tree().into_keys().collect();
    let mut from = Faulty::new(source.clone());
    for _ in 0..1 + random.usize(..3) {
        let dir = random.choice(&dirs).cloned().unwrap_or_default();
        let file = random.choice(&files).cloned().unwrap_or_default();
        from = match random.u8(..8) {
            0 => from.fail_list(&dir, error(ErrorKind::Denied)),
            1 => from.fail_list_after(&dir, random.usize(..4), error(ErrorKind::Unavailable)),
            2 => from.fail_list_once(&dir, random.usize(..4), error(ErrorKind::Protocol)),
            3 => from.fail_path("read", &file, error(ErrorKind::Unavailable)),
            4 => from.fail_read_at(&file, random.u64(..40), error(ErrorKind::Unavailable)),
            5 => from.cut_read(&file, random.u64(..40)),
            6 => from.corrupt_read(&file),
            _ => from.fail_nth("list", 2 + random.u64(..6), error(ErrorKind::Unauthenticated)),
        };
    }
    from
}

/// What fault runs came to.
#[derive(Debug, Default)]
struct Tally {
    failures: u64,
    fatal: u64,
    deleted: u64,
    healthy: u64,
}

/// One run with a failing source; panics when anything is deleted that must not be, or stays that need not.
async fn fault_run(seed: u64, tally: &mut Tally) {
    let (source, destination) = pair(seed);
    let (wanted, before) = (source.tree(), destination.tree());
    let from = failing(&source, seed);
    let report = sync(Arc::new(from), destination.clone()).await;
    let after = destination.tree();
    tally.failures += report.failed;
    tally.fatal += u64::from(report.fatal.is_some());
    tally.deleted += report.deleted;
    for path in before.keys().filter(|path| wanted.contains_key(*path)) {
        assert!(after.contains_key(path), "seed {seed}: {path} is at the source and was deleted");
    }
    let inside = |path: &str, dir: &str| {
        dir.is_empty() || path.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/'))
    };
    let unlisted: Vec<_> = report
        .failures
        .iter()
        .filter(|failure| failure.operation == "list")
        .map(|failure| failure.path.to_string())
        .collect();
    for path in before.keys() {
        let hidden = unlisted.iter().any(|dir| inside(path, dir));
        assert!(!hidden || after.contains_key(path), "seed {seed}: {path} was in no listing");
    }
    if report.fatal.is_some() {
        assert_eq!(report.deleted, 0, "seed {seed}: a job that ended early deletes nothing");
        return;
    }
    for path in before.keys().filter(|path| !wanted.contains_key(*path)) {
        let dir = path.rsplit_once('/').map_or("", |(dir, _)| dir);
        let touched = report.failures.iter().any(|failure| {
            let parent = failure.path.parent().map(|parent| parent.to_string());
            let failed = failure.path.as_str();
            parent.as_deref() == Some(dir) || failed == dir || inside(path, failed)
        });
        if !touched {
            tally.healthy += 1;
            assert!(!after.contains_key(path), "seed {seed}: {path} is extra in a healthy folder");
        }
    }
}

/// Claim O1: no run deletes anything that the source has or may have, and every folder that was listed without an error, and in
/// which nothing failed, still gets all of its deletions. `KETCH_FAULT_RUNS` is how many runs there are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promise_1_no_fault_deletes_wrongly_and_healthy_folders_get_all_of_their_deletions() {
    let runs = std::env::var("KETCH_FAULT_RUNS").ok().and_then(|text| text.parse().ok());
    let runs: u64 = runs.unwrap_or(1_000);
    println!("seeds 0 to {runs}");
    let halves: Vec<_> = (0..2)
        .map(|half| {
            tokio::spawn(async move {
                let mut tally = Tally::default();
                for seed in (half..runs).step_by(2) {
                    fault_run(seed, &mut tally).await;
                }
                tally
            })
        })
        .collect();
    let mut all = Tally::default();
    for half in halves {
        let tally = half.await.expect("no seed fails");
        all.failures += tally.failures;
        all.fatal += tally.fatal;
        all.deleted += tally.deleted;
        all.healthy += tally.healthy;
    }
    println!("{all:?}");
    let has_teeth = all.failures > runs && all.fatal > runs / 50 && all.healthy > runs;
    assert!(has_teeth, "the test must have teeth");
}
