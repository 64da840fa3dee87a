//! Exit code 0 is the truth (promise 11) at remotes of every shape: a job is interrupted anywhere, both sides change, and the same
//! job runs again until it says that it succeeded. Then the destination holds what the source holds.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use ketch_core::Backend;
use ketch_engine::journal::{Begin, Earlier, JobIdentity, Jobs, Journal, Roots};
use ketch_engine::{Compare, DeleteLimit, JobKind, Report, Request, Settings, Stop, start};
use ketch_testkit::tree::{Shape, random_tree, seed_all};
use ketch_testkit::{MakeShape, MemoryBackend, Recorder, SHAPES};

/// How often a job may be begun again: each run but the last is interrupted, or finds what changed meanwhile.
const RUNS_MAX: usize = 12;

fn begin(jobs: &Jobs, kind: JobKind) -> Journal {
    let identity = JobIdentity {
        kind,
        source_location: "memory:source".to_owned(),
        destination_location: "memory:destination".to_owned(),
        options: String::new(),
    };
    let begin = Begin {
        identity,
        source: "source".to_owned(),
        destination: "destination".to_owned(),
        arguments: Vec::new(),
        folder: None,
        ages_from: 0,
        roots: Roots::default(),
    };
    jobs.begin(begin, Earlier::Remember).unwrap()
}

/// Stops a job when it has asked its destination so many times.
async fn run(
    kind: JobKind,
    sides: (Arc<dyn Backend>, Arc<dyn Backend>),
    settings: Settings,
    journal: Journal,
    calls: Option<usize>,
) -> Report {
    let stop = Stop::new();
    let destination = match calls {
        Some(calls) => {
            let (now, gently) = (stop.now.clone(), stop.gently.clone());
            Arc::new(Recorder::new(sides.1).at_call(calls, move || {
                gently.cancel();
                now.cancel();
            })) as Arc<dyn Backend>
        }
        None => sides.1,
    };
    let request = Request {
        settings,
        stop,
        journal: Some(journal),
        ..Request::new(kind, sides.0, destination)
    };
    let mut job = start(request);
    while job.events.recv().await.is_some() {}
    job.report().await
}

/// A file is added, edited within its size, edited to another one, or removed; at either side.
fn change(random: &mut fastrand::Rng, backend: &MemoryBackend, is_source: bool) {
    let names: Vec<String> = backend.tree().into_keys().collect();
    let some = (!names.is_empty()).then(|| names[random.usize(..names.len())].clone());
    match (random.u8(..4), some) {
        (0, Some(name)) => {
            let length = backend.tree()[&name].len().max(1);
            backend.seed(&name, vec![random.u8(b'a'..=b'z'); length]);
        }
        (1, Some(name)) => backend.seed(&name, format!("edited {}", random.u64(..))),
        (2, Some(name)) => backend.remove(&name),
        (_, _) if is_source => backend.seed(&format!("new{}", random.u8(..)), "new"),
        (_, _) => backend.seed(&format!("extra{}", random.u8(..)), "extra"),
    }
}

/// Names without those that one side has as a file and the other as a folder: such pairs are refused and told.
fn files(backend: &MemoryBackend, takes_empty: bool) -> BTreeMap<String, Bytes> {
    backend.tree().into_iter().filter(|(_, content)| takes_empty || !content.is_empty()).collect()
}

/// Did the last run succeed? Otherwise something was told to be impossible.
async fn one(shape: (&str, MakeShape), seed: u64) -> bool {
    let (name, make) = shape;
    let mut random = fastrand::Rng::with_seed(seed);
    let source = Arc::new(MemoryBackend::new("source"));
    let destination = Arc::new(make());
    let (here, there) =
        (source.about().capabilities.clone(), destination.about().capabilities.clone());
    let takes_empty = there.put_empty;
    seed_all(&source, &random_tree(seed, Shape { empty_files: takes_empty, ..Shape::default() }));
    // Some that travel in parts, where there are any.
    for number in 0..2 {
        let bytes = (0..200_000).map(|_| random.u8(..)).collect::<Vec<u8>>();
        source.seed(&format!("large{number}"), bytes);
    }
    let folder = tempfile::tempdir().unwrap();
    let jobs = Jobs::new(folder.path().to_owned(), Some("one".to_owned()));
    let kind = if seed.is_multiple_of(2) { JobKind::Sync } else { JobKind::Copy };
    // By content, for edits within one size and one moment are not to be seen otherwise.
    let compare = match here.common_hash(&there) {
        Some(_) => Compare::Checksum,
        None => Compare::IgnoreTimes,
    };
    let settings = || Settings {
        compare,
        delete_limit: DeleteLimit::Percent(100),
        allow_empty_source: true,
        transfers: Some(1 + (seed % 3) as usize),
        ..Settings::default()
    };
    let stops = random.usize(1..4);
    for turn in 0..RUNS_MAX {
        let calls = (turn < stops).then(|| random.usize(1..40));
        let sides = (source.clone() as Arc<dyn Backend>, destination.clone() as Arc<dyn Backend>);
        let report = run(kind, sides, settings(), begin(&jobs, kind), calls).await;
        if turn < stops {
            for _ in 0..random.usize(..4) {
                change(&mut random, &source, true);
                change(&mut random, &destination, false);
            }
            continue;
        }
        assert!(report.fatal.is_none(), "{name}, seed {seed}: {report:?}");
        if !report.is_success() {
            // Something of one name is a file here and a folder there: that is told, and stays told.
            assert!(
                report.failures.len() as u64 == report.failed,
                "{name}, seed {seed}: {report:?}"
            );
            return false;
        }
        let (wanted, found) = (files(&source, takes_empty), files(&destination, true));
        match kind {
            JobKind::Sync => assert_eq!(found, wanted, "{name}, seed {seed}"),
            _ => {
                for (path, content) in &wanted {
                    assert_eq!(found.get(path), Some(content), "{name}, seed {seed}: {path}");
                }
            }
        }
        return true;
    }
    panic!("{name}, seed {seed}: never ended");
}

#[tokio::test]
async fn an_interrupted_job_that_is_run_again_and_succeeds_has_done_all_at_remotes_of_every_shape()
{
    let first: u64 = std::env::var("KETCH_SHAPES_SEED").map_or(0, |text| text.parse().unwrap());
    let rounds: u64 = std::env::var("KETCH_SHAPES_ROUNDS").map_or(9, |text| text.parse().unwrap());
    println!("seeds {first} to {} (KETCH_SHAPES_SEED, KETCH_SHAPES_ROUNDS)", first + rounds - 1);
    let mut succeeded = 0;
    for seed in first..first + rounds {
        for shape in SHAPES {
            succeeded += u64::from(one(shape, seed).await);
        }
    }
    // Most must, or nothing was shown.
    let all = rounds * SHAPES.len() as u64;
    println!("{succeeded} of {all} jobs succeeded at last");
    assert!(succeeded * 2 > all, "{succeeded} of {all}");
}
