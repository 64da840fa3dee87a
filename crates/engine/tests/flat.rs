//! A march over places that list everything at once is the march folder by folder, with fewer listings.

#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use std::sync::Arc;

use common::with_an_unusable_name;
use ketch_core::{Backend, Capabilities, Error, ErrorKind, RelPath};
use ketch_engine::check::{self, CheckSettings};
use ketch_engine::filter::{Filter, FilterSpec};
use ketch_engine::march::{March, Step};
use ketch_engine::{
    CheckReport, Compare, DeleteLimit, Event, JobKind, Report, Request, Settings, Stop, start,
};
use ketch_testkit::tree::{Shape, random_tree, seed_all};
use ketch_testkit::{Faulty, MemoryBackend, Recorder};

const SHAPE: Shape = Shape { files: 30, folders: 8, bytes_max: 20, empty_files: true };

fn place(name: &str, is_flat: bool, dirs: bool) -> MemoryBackend {
    let capabilities = Capabilities {
        list_recursive: is_flat,
        dirs,
        read_local: false,
        duplicates: true,
        ..MemoryBackend::everything()
    };
    MemoryBackend::with(name, capabilities)
}

fn march(
    source: &Arc<dyn Backend>,
    destination: &Arc<dyn Backend>,
    flat: bool,
    sync: bool,
) -> March {
    March {
        source: Arc::clone(source),
        destination: Arc::clone(destination),
        filter: Arc::default(),
        enter_extra: sync,
        after: None,
        may_change: false,
        flat,
        lookahead: 4,
        recall: false,
        settles: None,
        whole: false,
        moves: false,
        may_write: false,
        scratch: None,
        progress: Default::default(),
    }
}

/// What a march says, in lines.
async fn said(march: March) -> Vec<String> {
    let mut steps = march.start();
    let mut said = Vec::new();
    while let Some(step) = steps.next().await {
        said.push(match step {
            Step::Pair(pair) => format!(
                "{}{} {}{}{}{}{}",
                pair.path(),
                if pair.is_dir() { "/" } else { "" },
                if pair.source.is_some() { "s" } else { "-" },
                if pair.destination.is_some() { "d" } else { "-" },
                if pair.source_duplicates { " twice at the source" } else { "" },
                if pair.destination_duplicates { " twice" } else { "" },
                if pair.clash { " clash" } else { "" },
            ),
            Step::Equal { count, last } => format!("{count} equal up to {last}"),
            Step::Occupied { dir } => format!("{dir} is occupied"),
            Step::Failed { dir, error, .. } => format!("{dir} failed: {:?}", error.kind()),
            Step::Anew => "anew".to_owned(),
        });
    }
    said
}

async fn compare(
    source: MemoryBackend,
    destination: MemoryBackend,
    filter: &Arc<Filter>,
    name: &str,
) {
    let (source, destination): (Arc<dyn Backend>, Arc<dyn Backend>) =
        (Arc::new(source), Arc::new(destination));
    for sync in [true, false] {
        let of =
            |flat| March { filter: Arc::clone(filter), ..march(&source, &destination, flat, sync) };
        // When a folder is said to be occupied does not matter.
        let apart = |said: Vec<String>| -> (Vec<String>, std::collections::BTreeSet<String>) {
            let (occupied, others): (Vec<_>, Vec<_>) =
                said.into_iter().partition(|line| line.ends_with("is occupied"));
            (others, occupied.into_iter().collect())
        };
        let (walked, flat) = (apart(said(of(false)).await), apart(said(of(true)).await));
        assert_eq!(flat, walked, "{name}, sync {sync}");
    }
}

#[tokio::test]
async fn a_flat_march_says_what_a_march_folder_by_folder_says() {
    let first = std::env::var("KETCH_FLAT_SEED").ok().and_then(|text| text.parse().ok());
    let first: u64 = first.unwrap_or(1_000);
    eprintln!("seeds from {first} (KETCH_FLAT_SEED)");
    let rules = ["- /b/**\n", "- *a*\n", "+ *.txt\n- *\n", "- /a\n"];
    for seed in first..first + 120 {
        let mut random = fastrand::Rng::with_seed(seed);
        let dirs = random.bool();
        let (flat_source, flat_destination) =
            [(true, true), (true, false), (false, true)][random.usize(0..3)];
        let source = place("source", flat_source, dirs);
        let destination = place("destination", flat_destination, dirs);
        seed_all(&source, &random_tree(random.u64(..), SHAPE));
        seed_all(&destination, &random_tree(random.u64(..), SHAPE));
        // Names around the key of a folder, and twins of files and folders.
        for _ in 0..20 {
            let name =
                ["a", "a-b", "a.b", "a b", "a0", "a/x", "a/a", "a-b/c", "b/a/x", "b/a", "b/a-x"];
            let path = name[random.usize(0..name.len())];
            let side = if random.bool() { &source } else { &destination };
            if side.tree().keys().any(|known| clashes(known, path)) {
                continue;
            }
            side.seed(path, vec![0; random.usize(0..9)]);
            if random.u8(0..5) == 0 {
                side.insert_duplicate(path, b"twin");
            }
        }
        let filter = match random.usize(0..8) {
            number if number < rules.len() => compiled(rules[number]),
            _ => Arc::default(),
        };
        compare(source, destination, &filter, &format!("seed {seed}")).await;
    }
}

/// Is one a file where the other wants a folder, on one side?
fn clashes(known: &str, path: &str) -> bool {
    let is_in = |inner: &str, outer: &str| {
        inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('/'))
    };
    is_in(known, path) || is_in(path, known)
}

fn compiled(rules: &str) -> Arc<Filter> {
    let rules = rules.lines().map(str::to_owned).collect();
    let spec = FilterSpec { filter: rules, ..FilterSpec::default() };
    Arc::new(Filter::new(&spec).unwrap())
}

async fn sync(source: Arc<dyn Backend>, destination: Arc<dyn Backend>) -> (Report, Vec<String>) {
    run(JobKind::Sync, source, destination).await
}

async fn run(
    kind: JobKind,
    source: Arc<dyn Backend>,
    destination: Arc<dyn Backend>,
) -> (Report, Vec<String>) {
    let settings = Settings { delete_limit: DeleteLimit::Percent(100), ..Settings::default() };
    let request = Request { settings, ..Request::new(kind, source, destination) };
    let mut job = start(request);
    let mut notices = Vec::new();
    while let Some(event) = job.events.recv().await {
        if let Event::Notice { text, .. } = event {
            notices.push(text);
        }
    }
    (job.report().await, notices)
}

fn filled(name: &str, is_flat: bool, files: usize) -> Arc<MemoryBackend> {
    let backend = place(name, is_flat, true);
    for number in 0..files {
        backend
            .seed(&format!("d{:02}/e{}/f{number}", number % 20, number % 3), format!("{number}"));
    }
    Arc::new(backend)
}

#[tokio::test]
async fn a_thousand_objects_are_one_listing_and_a_sync_makes_both_equal() {
    let (source, destination) = (filled("source", true, 1_000), filled("destination", true, 300));
    destination.seed("extra/one", "1");
    destination.seed("d00/extra", "2");
    let (from, to) =
        (Arc::new(Recorder::new(source.clone())), Arc::new(Recorder::new(destination.clone())));
    let (report, _) = sync(from.clone(), to.clone()).await;
    assert!(report.is_success(), "{report:?}");
    assert_eq!(destination.tree(), source.tree());
    assert_eq!((report.copied, report.deleted), (700, 3), "two files and a folder");
    assert_eq!((from.count("list"), to.count("list")), (1, 1));
    let (again, _) = sync(from.clone(), to.clone()).await;
    assert_eq!((again.copied, again.deleted, again.unchanged), (0, 0, 1_000));
}

#[tokio::test]
async fn a_listing_that_is_not_in_order_is_found_and_nothing_concluded_from_it_counts() {
    for lies in ["source", "destination"] {
        let (source, destination) = (filled("source", true, 200), filled("destination", true, 200));
        destination.seed("zz/extra", "2");
        let liar = if lies == "source" { &source } else { &destination };
        liar.list_out_of_order();
        let before = source.tree();
        let (report, notices) = sync(source.clone(), destination.clone()).await;
        assert!(report.is_success(), "{lies}: {report:?}");
        assert_eq!((report.copied, report.unchanged), (0, 200), "{lies}: nothing is sent for it");
        assert_eq!(report.deleted, 2, "{lies}: the extra file and its folder");
        assert_eq!((source.tree(), destination.tree()), (before.clone(), before), "{lies}");
        assert!(notices.iter().any(|text| text.contains("folder by folder")), "{notices:?}");
    }
}

#[tokio::test]
async fn a_copy_that_acts_while_it_lists_sends_nothing_twice_when_the_order_is_found_wrong() {
    for kind in [JobKind::Copy, JobKind::Move] {
        let (source, destination) = (filled("source", true, 200), filled("destination", true, 0));
        source.list_out_of_order();
        let expected = source.tree();
        let (report, _) = run(kind, source.clone(), destination.clone()).await;
        assert!(report.is_success(), "{kind:?}: {report:?}");
        assert_eq!(report.copied, 200, "{kind:?}: {report:?}");
        assert_eq!(destination.tree(), expected, "{kind:?}");
        assert_eq!(source.tree().is_empty(), kind == JobKind::Move);
    }
}

#[tokio::test]
async fn promise_1_a_flat_listing_that_breaks_off_deletes_nothing() {
    let (source, destination) = (filled("source", true, 200), filled("destination", true, 200));
    destination.seed("a-extra", "1");
    let there = destination.tree();
    let broken = Error::new(ErrorKind::Unavailable, "the line is cut");
    let from = Arc::new(Faulty::new(source).fail_list_after("", 150, broken));
    let (report, _) = sync(from, destination.clone()).await;
    assert!(report.fatal.is_some() && report.deleted == 0, "{report:?}");
    assert_eq!(destination.tree(), there);
}

#[tokio::test]
async fn a_destination_that_is_not_there_yet_is_filled() {
    let source = filled("source", true, 50);
    let destination = place("destination", true, true).reopen("deep/down");
    let destination = Arc::new(destination);
    let (report, _) = sync(source.clone(), destination.clone()).await;
    assert!(report.is_success(), "{report:?}");
    assert!(destination.stat(&RelPath::new("d01/e1/f1").unwrap()).await.is_ok());
}

#[tokio::test]
async fn a_sync_that_compares_every_digest_costs_one_listing_of_each_side_too() {
    let (source, destination) = (filled("source", true, 100), filled("destination", true, 100));
    let (from, to) = (Arc::new(Recorder::new(source)), Arc::new(Recorder::new(destination)));
    let settings = Settings { compare: Compare::Checksum, ..Settings::default() };
    let request = Request { settings, ..Request::new(JobKind::Sync, from.clone(), to.clone()) };
    let mut job = start(request);
    while job.events.recv().await.is_some() {}
    let report = job.report().await;
    assert_eq!((report.copied, report.deleted, report.unchanged), (0, 0, 100), "{report:?}");
    assert_eq!((from.count("list"), to.count("list")), (1, 1));
}

/// The verdicts of a check, and what it counted.
async fn run_check(
    source: Arc<dyn Backend>,
    destination: Arc<dyn Backend>,
    one_way: bool,
) -> (Vec<String>, CheckReport) {
    let settings = CheckSettings { one_way, ..CheckSettings::default() };
    let mut job = check::start(source, destination, settings, Stop::new());
    let mut verdicts = Vec::new();
    while let Some(event) = job.events.recv().await {
        match event {
            Event::Checked { path, verdict } => verdicts.push(format!("{path}: {verdict:?}")),
            Event::Anew => verdicts.clear(),
            _ => {}
        }
    }
    let report = job.report().await;
    (verdicts, report)
}

fn counts(report: &CheckReport) -> [u64; 5] {
    let found = report.missing_on_source + report.missing_on_destination;
    [report.equal, report.differing, found, report.unverifiable, report.errors]
}

#[tokio::test]
async fn a_check_of_flat_places_says_what_a_check_folder_by_folder_says() {
    let first = std::env::var("KETCH_FLAT_SEED").ok().and_then(|text| text.parse().ok());
    let first: u64 = first.unwrap_or(3_000);
    eprintln!("seeds from {first} (KETCH_FLAT_SEED)");
    for seed in first..first + 60 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (left, right) =
            (random_tree(random.u64(..), SHAPE), random_tree(random.u64(..), SHAPE));
        let flat = [(true, true), (true, false), (false, true)][random.usize(0..3)];
        let one_way = random.bool();
        let twins: Vec<String> =
            left.keys().filter(|_| random.u8(0..6) == 0).map(ToString::to_string).collect();
        let make = |is_flat: (bool, bool)| {
            let (source, destination) =
                (place("source", is_flat.0, true), place("destination", is_flat.1, true));
            seed_all(&source, &left);
            seed_all(&destination, &right);
            // Some files are equal, and some are twice at the destination.
            seed_all(&destination, &left.clone().into_iter().step_by(3).collect());
            for path in &twins {
                if destination.tree().contains_key(path) {
                    destination.insert_duplicate(path, b"twin");
                }
            }
            (Arc::new(source), Arc::new(destination))
        };
        let (source, destination) = make((false, false));
        let (expected, report) = run_check(source, destination, one_way).await;
        let (source, destination) = make(flat);
        let (told, flat_report) = run_check(source.clone(), destination.clone(), one_way).await;
        assert_eq!(told, expected, "seed {seed}");
        assert_eq!(counts(&flat_report), counts(&report), "seed {seed}");
        for lies in [&source, &destination] {
            lies.list_out_of_order();
            let (told, flat_report) = run_check(source.clone(), destination.clone(), one_way).await;
            assert_eq!(told, expected, "seed {seed}, out of order");
            assert_eq!(counts(&flat_report), counts(&report), "seed {seed}, out of order");
        }
    }
}

#[tokio::test]
async fn a_check_of_a_thousand_objects_is_one_listing_of_each_side() {
    let (source, destination) = (filled("source", true, 1_000), filled("destination", true, 1_000));
    destination.seed("extra/one", "1");
    let (from, to) =
        (Arc::new(Recorder::new(source.clone())), Arc::new(Recorder::new(destination.clone())));
    let (told, report) = run_check(from.clone(), to.clone(), false).await;
    assert_eq!(counts(&report), [1_000, 0, 1, 0, 0], "{report:?}");
    assert_eq!((told.len(), from.count("list"), to.count("list")), (1_001, 1, 1));
    // Then only the folders of the destination are listed that the source has.
    let (told, _) = run_check(from.clone(), to.clone(), true).await;
    assert_eq!((told.len(), from.count("list")), (1_000, 2));
}

#[tokio::test]
async fn a_check_over_a_flat_listing_that_breaks_off_finds_nothing_missing() {
    let (source, destination) = (filled("source", true, 200), filled("destination", true, 200));
    let broken = || Error::new(ErrorKind::Unavailable, "the line is cut");
    let to = Arc::new(Faulty::new(destination.clone()).fail_list_after("", 150, broken()));
    let (_, report) = run_check(source.clone(), to, false).await;
    assert!(report.fatal.is_some(), "{report:?}");
    assert_eq!((report.missing_on_destination, report.missing_on_source), (0, 0));
    // If it is a folder that cannot be listed, the others are compared.
    for (fails, expected) in [("none", [200, 0, 0, 0, 0]), ("d07/e1", [196, 0, 0, 0, 1])] {
        let to = Faulty::new(destination.clone()).fail_list_once("", 150, broken());
        let to = Arc::new(to.fail_list(fails, broken()));
        let (told, report) = run_check(source.clone(), to, false).await;
        assert_eq!(counts(&report), expected, "{report:?}");
        assert_eq!(told.len() as u64, expected.iter().sum::<u64>(), "{told:?}");
    }
}

#[tokio::test]
async fn a_name_that_is_no_path_takes_nothing_from_the_names_around_it() {
    let odd = with_an_unusable_name();
    for is_flat in [true, false] {
        let plain = place("plain", is_flat, true);
        for path in ["a", "b/-", "b/a/f", "b/c", "c"] {
            plain.seed(path, "1");
        }
        let plain: Arc<dyn Backend> = Arc::new(plain);
        for (from, to, mark) in [(&odd, &plain, "s-"), (&plain, &odd, "-d")] {
            let mut flat = said(march(from, to, true, true)).await;
            let expected = ["a sd", "b/ sd", "b/- sd", "b/a/ sd", "b/a/f sd", "b/c sd", "c sd"];
            let unusable = flat.iter().position(|line| *line == format!("b/~q {mark}"));
            flat.remove(unusable.expect("it is said"));
            assert_eq!(flat, expected, "plain is flat: {is_flat}");
        }
        // A folder that only the destination has cannot be deleted over it.
        let empty: Arc<dyn Backend> = Arc::new(place("empty", is_flat, true));
        let steps = said(march(&empty, &odd, true, true)).await;
        assert!(steps.contains(&"b is occupied".to_owned()), "{steps:?}");
    }
}
