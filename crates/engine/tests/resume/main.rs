//! Promise 4 and its neighbours: what is on record of a job, and how a later process goes on.

#![expect(clippy::unwrap_used, reason = "tests")]

mod cut;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use ketch_core::{
    About, Backend, Body, ByteStream, Disk, DiskFile, Entry, EntryStream, Error, ErrorKind, Facets,
    ListOptions, PutOptions, ReadOptions, RelPath,
};
use ketch_engine::journal::{
    Begin, Earlier, ItemOutcome, JobIdentity, JobState, Jobs, Journal, Roots, Status,
};
use ketch_engine::{
    Compare, DeleteLimit, Event, JobKind, OnChanged, Report, Request, Settings, Stop, start,
};
use ketch_testkit::tree::{Shape, random_tree, seed_all};
use ketch_testkit::{Faulty, MemoryBackend, Recorder};

struct Store {
    folder: tempfile::TempDir,
    boot: Option<String>,
}

impl Store {
    fn new() -> Self {
        Store { folder: tempfile::tempdir().unwrap(), boot: Some("one".to_owned()) }
    }

    fn jobs(&self) -> Jobs {
        Jobs::new(self.folder.path().to_owned(), self.boot.clone())
    }

    fn begin(&self, kind: JobKind, earlier: Earlier) -> Journal {
        self.try_begin(kind, "memory:destination", earlier).unwrap()
    }

    fn try_begin(&self, kind: JobKind, to: &str, earlier: Earlier) -> Result<Journal, Error> {
        let begin = Begin {
            identity: JobIdentity {
                kind,
                source_location: "memory:source".to_owned(),
                destination_location: to.to_owned(),
                options: String::new(),
            },
            source: "source".to_owned(),
            destination: "destination".to_owned(),
            arguments: vec!["sync".to_owned()],
            folder: None,
            ages_from: 0,
            roots: Roots::default(),
        };
        self.jobs().begin(begin, earlier)
    }
}

fn settings() -> Settings {
    Settings { delete_limit: DeleteLimit::Percent(100), transfers: Some(2), ..Settings::default() }
}

/// Runs a job; stops it at once after so many items have an outcome.
async fn run_until(
    kind: JobKind,
    sides: (Arc<dyn Backend>, Arc<dyn Backend>),
    settings: Settings,
    journal: Option<Journal>,
    items: usize,
) -> (Report, Vec<Event>) {
    let stop = Stop::new();
    let request =
        Request { settings, stop: stop.clone(), journal, ..Request::new(kind, sides.0, sides.1) };
    let mut job = start(request);
    let (mut events, mut done) = (Vec::new(), 0);
    while let Some(event) = job.events.recv().await {
        done += usize::from(matches!(event, Event::ItemDone { .. } | Event::ItemFailed { .. }));
        if items > 0 && done == items {
            stop.gently.cancel();
            stop.now.cancel();
        }
        events.push(event);
    }
    (job.report().await, events)
}

fn records(events: &[Event]) -> impl Iterator<Item = &ItemOutcome> {
    events.iter().filter_map(|event| match event {
        Event::ItemDone { record, .. } | Event::ItemFailed { record, .. } => Some(&**record),
        _ => None,
    })
}

fn many_folders() -> Arc<MemoryBackend> {
    let source = MemoryBackend::new("source");
    for folder in 0..40 {
        for file in 0..5 {
            source.seed(&format!("d{folder:02}/f{file}"), format!("{folder} {file}"));
        }
    }
    Arc::new(source)
}

#[tokio::test]
async fn promise_4_an_interrupted_copy_looks_at_everything_anew_and_sends_nothing_twice() {
    let store = Store::new();
    let source = many_folders();
    let destination = Arc::new(MemoryBackend::new("destination"));
    let sides =
        || -> (Arc<dyn Backend>, Arc<dyn Backend>) { (source.clone(), destination.clone()) };
    // A small look-ahead, so that planning is not done before the stop.
    let slow = || Settings { checkers: 1, ..settings() };
    let journal = store.begin(JobKind::Copy, Earlier::Remember);
    let (first, _) = run_until(JobKind::Copy, sides(), slow(), Some(journal), 60).await;
    assert!(first.stopped && first.is_open && first.copied < 200, "{first:?}");
    let missing = 200 - destination.tree().len() as u64;

    // What appeared meanwhile in a folder that was finished is seen, too.
    source.seed("d00/later", "new");
    let from = Arc::new(Recorder::new(source.clone()));
    let to = Arc::new(Recorder::new(destination.clone()));
    let journal = store.begin(JobKind::Copy, Earlier::Remember);
    let standing = journal.standing.unwrap();
    assert!(standing.done >= 50, "{standing:?}");
    let (second, events) =
        run_until(JobKind::Copy, (from.clone(), to.clone()), slow(), Some(journal), 0).await;
    assert!(matches!(&events[0], Event::GoingOn { finishes_plan: false, .. }), "{:?}", events[0]);
    assert!(second.is_success() && !second.is_open, "{second:?}");
    assert_eq!(destination.tree(), source.tree());
    assert_eq!(second.copied, missing + 1, "only what was missing is sent");
    assert_eq!(records(&events).count() as u64, missing + 1, "one outcome each");
    assert_eq!(to.count("put") as u64, second.copied);
    assert_eq!(from.count("list"), 41, "every folder once");

    // The job has ended: the next one is another.
    let third = store.begin(JobKind::Copy, Earlier::Remember);
    assert!(third.standing.is_none());
}

#[tokio::test]
async fn a_plan_that_is_finished_lists_no_finished_folder_and_says_what_it_passed_over() {
    for is_changed in [false, true] {
        let store = Store::new();
        let source = many_folders();
        let destination = Arc::new(MemoryBackend::new("destination"));
        let sides =
            || -> (Arc<dyn Backend>, Arc<dyn Backend>) { (source.clone(), destination.clone()) };
        let journal = store.begin(JobKind::Sync, Earlier::Remember);
        let (first, _) = run_until(JobKind::Sync, sides(), settings(), Some(journal), 60).await;
        assert!(first.is_open, "{first:?}");
        if is_changed {
            source.seed("d00/later", "new");
            source.seed("d39/f4", "another content");
        }
        let journal = store.begin(JobKind::Sync, Earlier::Finish);
        assert!(journal.finishes_plan && journal.standing.unwrap().is_planned);
        let (second, _) = run_until(JobKind::Sync, sides(), settings(), Some(journal), 0).await;
        if !is_changed {
            assert!(second.is_success(), "{second:?}");
            assert_eq!(destination.tree(), source.tree());
            continue;
        }
        // The edited file is not the one that was planned, and the new one was never planned.
        assert!(!second.is_success(), "{second:?}");
        assert_eq!((second.failed, second.passed_over), (1, 2), "{second:?}");
        let journal = store.begin(JobKind::Sync, Earlier::Remember);
        let (third, _) = run_until(JobKind::Sync, sides(), settings(), Some(journal), 0).await;
        assert!(third.is_success(), "{third:?}");
        assert_eq!(destination.tree(), source.tree());
    }
}

#[tokio::test]
async fn what_arrived_is_not_sent_again_where_everything_is_and_a_changed_copy_is() {
    let store = Store::new();
    let source = many_folders();
    let destination = Arc::new(MemoryBackend::new("destination"));
    let sides =
        || -> (Arc<dyn Backend>, Arc<dyn Backend>) { (source.clone(), destination.clone()) };
    let again = || Settings { compare: Compare::IgnoreTimes, ..settings() };
    let journal = store.begin(JobKind::Copy, Earlier::Remember);
    let (first, _) = run_until(JobKind::Copy, sides(), again(), Some(journal), 60).await;
    assert!(first.is_open, "{first:?}");
    let arrived = destination.tree().len() as u64;
    let first_path = destination.tree().into_keys().next().unwrap();
    destination.seed(&first_path, "somebody else's");
    let journal = store.begin(JobKind::Copy, Earlier::Remember);
    let (second, _) = run_until(JobKind::Copy, sides(), again(), Some(journal), 0).await;
    assert!(second.is_success(), "{second:?}");
    assert_eq!(destination.tree(), source.tree());
    // A put that was dropped may have arrived without anybody having heard of it.
    let sent = 200 - arrived + 1;
    assert!((sent..=sent + 2).contains(&second.copied), "{} sent, {sent} wanted", second.copied);
    // The job has ended, so now everything is sent again.
    let journal = store.begin(JobKind::Copy, Earlier::Remember);
    let (third, _) = run_until(JobKind::Copy, sides(), again(), Some(journal), 0).await;
    assert_eq!(third.copied, 200, "{third:?}");
}

/// A place at hand, like a network share, where an equal version proves nothing.
#[derive(Debug)]
struct Doubtful(Arc<MemoryBackend>, Facets);

/// What it has at hand.
#[derive(Debug)]
struct DoubtfulDisk;

impl Doubtful {
    fn new(inner: Arc<MemoryBackend>) -> Doubtful {
        Doubtful(inner, Facets { disk: Some(Arc::new(DoubtfulDisk)), ..Facets::default() })
    }
}

impl Disk for DoubtfulDisk {
    fn open(&self, _: &Entry) -> ketch_core::Result<Box<dyn DiskFile>> {
        Err(Error::unsupported("open"))
    }
    fn is_settled(&self, _: &Entry, _: SystemTime) -> bool {
        false
    }
    fn proves_versions(&self) -> bool {
        false
    }
}

#[async_trait::async_trait]
impl Backend for Doubtful {
    fn about(&self) -> &About {
        self.0.about()
    }
    fn facets(&self) -> &Facets {
        &self.1
    }
    async fn stat(&self, path: &RelPath) -> ketch_core::Result<Entry> {
        self.0.stat(path).await
    }
    fn list(&self, dir: &RelPath, options: ListOptions) -> EntryStream {
        self.0.list(dir, options)
    }
    async fn read(&self, entry: &Entry, options: ReadOptions) -> ketch_core::Result<ByteStream> {
        self.0.read(entry, options).await
    }
    async fn put(
        &self,
        path: &RelPath,
        body: Body,
        options: PutOptions,
    ) -> ketch_core::Result<Entry> {
        self.0.put(path, body, options).await
    }
    async fn delete(&self, entries: &[Entry]) -> Vec<ketch_core::Result<()>> {
        self.0.delete(entries).await
    }
}

#[tokio::test]
async fn what_arrived_is_sent_again_where_an_equal_version_proves_nothing() {
    for is_source in [true, false] {
        let store = Store::new();
        let source = many_folders();
        let destination = Arc::new(MemoryBackend::new("destination"));
        let sides = || -> (Arc<dyn Backend>, Arc<dyn Backend>) {
            match is_source {
                true => (Arc::new(Doubtful::new(source.clone())), destination.clone()),
                false => (source.clone(), Arc::new(Doubtful::new(destination.clone()))),
            }
        };
        let again = || Settings { compare: Compare::IgnoreTimes, ..settings() };
        let journal = store.begin(JobKind::Copy, Earlier::Remember);
        let (first, _) = run_until(JobKind::Copy, sides(), again(), Some(journal), 60).await;
        assert!(first.is_open, "{first:?}");
        let journal = store.begin(JobKind::Copy, Earlier::Remember);
        let (second, _) = run_until(JobKind::Copy, sides(), again(), Some(journal), 0).await;
        assert_eq!(second.copied, 200, "{second:?}");
    }
}

#[tokio::test]
async fn a_sync_that_was_interrupted_anywhere_ends_with_equal_trees_and_one_outcome_an_item() {
    for seed in 0..60_u64 {
        let store = Store::new();
        let source = Arc::new(MemoryBackend::new("source"));
        let destination = Arc::new(MemoryBackend::new("destination"));
        let shape = Shape { empty_files: true, ..Shape::default() };
        seed_all(&source, &random_tree(seed, shape));
        seed_all(&destination, &random_tree(seed + 1_000, shape));
        let kind = if seed % 2 == 0 { JobKind::Sync } else { JobKind::Copy };
        let checksum = || Settings { compare: Compare::Checksum, ..settings() };
        let sides =
            || -> (Arc<dyn Backend>, Arc<dyn Backend>) { (source.clone(), destination.clone()) };
        let (mut all, mut stops) = (BTreeMap::new(), 0);
        for turn in 0..50 {
            let journal = store.begin(kind, Earlier::Remember);
            let items = if turn < 6 { 1 + (seed as usize + turn * 7) % 9 } else { 0 };
            let (report, events) = run_until(kind, sides(), checksum(), Some(journal), items).await;
            // Each run makes a plan of its own, and each item of it has one outcome.
            all.clear();
            for record in records(&events) {
                let again = all.insert(record.seq.unwrap(), (record.path.clone(), record.status));
                assert!(again.is_none(), "seed {seed}: {again:?}");
            }
            if !report.is_open {
                break;
            }
            stops += 1;
        }
        let clashes = all.values().filter(|(_, status)| *status == Status::Refused).count();
        if clashes == 0 && kind == JobKind::Sync {
            assert_eq!(destination.tree(), source.tree(), "seed {seed}, {stops} stops");
        }
        let open =
            all.values().find(|(_, status)| matches!(status, Status::Failed | Status::Changed));
        assert!(open.is_none(), "seed {seed}: {open:?}");
        assert_eq!(*all.keys().last().unwrap_or(&0) + 1, all.len().max(1) as u64, "seed {seed}");
    }
}

#[tokio::test]
async fn after_a_restart_of_the_machine_what_is_said_to_be_done_is_looked_at() {
    let mut store = Store::new();
    let source = many_folders();
    let destination = Arc::new(MemoryBackend::new("destination"));
    let sides =
        || -> (Arc<dyn Backend>, Arc<dyn Backend>) { (source.clone(), destination.clone()) };
    let journal = store.begin(JobKind::Sync, Earlier::Remember);
    let (first, _) = run_until(JobKind::Sync, sides(), settings(), Some(journal), 100).await;
    assert!(first.is_open);
    // The rename of one file was not on the disk yet when the power went.
    destination.remove("d00/f0");
    store.boot = Some("two".to_owned());
    let journal = store.begin(JobKind::Sync, Earlier::Remember);
    let (second, _) = run_until(JobKind::Sync, sides(), settings(), Some(journal), 0).await;
    assert!(second.is_success(), "{second:?}");
    assert_eq!(destination.tree(), source.tree());
}

#[tokio::test]
async fn promise_8_one_permanently_failing_file_costs_its_own_attempts_and_no_listing() {
    let source = MemoryBackend::new("source");
    for number in 0..1_000 {
        source.seed(&format!("d{}/f{number}", number % 10), "content");
    }
    let source: Arc<dyn Backend> = Arc::new(source);
    let broken = Error::new(ErrorKind::Io, "bad sector").with_retry(ketch_core::Retry::Backoff);
    let bad = Arc::new(Faulty::new(source).fail_path("read", "d3/f333", broken));
    let from = Arc::new(Recorder::new(bad));
    let to = Arc::new(Recorder::new(Arc::new(MemoryBackend::new("destination"))));
    let (report, events) =
        run_until(JobKind::Copy, (from.clone(), to.clone()), settings(), None, 0).await;
    assert_eq!((report.copied, report.failed), (999, 1));
    assert_eq!((from.count("list"), to.count("list")), (11, 1));
    assert_eq!(from.paths("read").iter().filter(|path| *path == "d3/f333").count(), 2);
    let failed: Vec<_> =
        records(&events).filter(|record| record.status == Status::Failed).collect();
    assert_eq!((failed.len(), failed[0].attempts, failed[0].kind.as_deref()), (1, 2, Some("io")));
}

#[tokio::test]
async fn a_place_that_is_worked_on_is_refused_and_names_the_process() {
    let store = Store::new();
    let held = store.begin(JobKind::Copy, Earlier::Remember);
    for place in ["memory:destination", "memory:destination/inside"] {
        let error = store.try_begin(JobKind::Sync, place, Earlier::Remember).unwrap_err();
        assert!(error.to_string().contains("in use by process"), "{error}");
    }
    assert_eq!(store.jobs().list().unwrap()[0].state, JobState::Running);
    drop(held);
    assert_eq!(store.jobs().list().unwrap()[0].state, JobState::Open);
    store.begin(JobKind::Sync, Earlier::Remember);
}

#[tokio::test]
async fn another_job_on_the_place_ends_the_interrupted_one_and_so_does_fresh() {
    let store = Store::new();
    let source = many_folders();
    let destination = Arc::new(MemoryBackend::new("destination"));
    let sides =
        || -> (Arc<dyn Backend>, Arc<dyn Backend>) { (source.clone(), destination.clone()) };
    let journal = store.begin(JobKind::Copy, Earlier::Remember);
    run_until(JobKind::Copy, sides(), settings(), Some(journal), 10).await;
    let journal = store.begin(JobKind::Copy, Earlier::Forget);
    assert!(journal.standing.is_none(), "--fresh begins anew");
    run_until(JobKind::Copy, sides(), settings(), Some(journal), 20).await;
    let journal = store.begin(JobKind::Sync, Earlier::Remember);
    let (report, _) = run_until(JobKind::Sync, sides(), settings(), Some(journal), 0).await;
    assert!(report.is_success(), "{report:?}");
    let states: Vec<_> = store.jobs().list().unwrap().into_iter().map(|job| job.state).collect();
    assert!(!states.contains(&JobState::Open), "{states:?}");
}

#[tokio::test]
async fn a_job_of_a_later_version_is_refused_politely() {
    let store = Store::new();
    let journal = store.begin(JobKind::Copy, Earlier::Remember);
    let path = store.folder.path().join("jobs").join(journal.header.id()).join("job.json");
    drop(journal);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replacen("\"format\": 1", "\"format\": 2", 1)).unwrap();
    let error =
        store.try_begin(JobKind::Copy, "memory:destination", Earlier::Remember).unwrap_err();
    assert!(error.to_string().contains("later version"), "{error}");
}

#[tokio::test]
async fn a_living_source_fails_nothing_unless_asked_to() {
    for (policy, failed, vanished) in
        [(OnChanged::Retry, 0, 1), (OnChanged::Skip, 0, 1), (OnChanged::Fail, 1, 0)]
    {
        let source = Arc::new(MemoryBackend::new("source"));
        source.seed("stays", "1");
        source.seed("goes", "2");
        let destination = MemoryBackend::new("destination");
        destination.seed("extra", "x");
        let destination = Arc::new(destination);
        // It is listed, and is gone when it is read.
        let gone = Error::new(ErrorKind::NotFound, "nothing is there").with_operation("read");
        let from = Arc::new(Faulty::new(source.clone()).fail_path("read", "goes", gone));
        let settings = Settings { on_changed: policy, ..settings() };
        let (report, events) =
            run_until(JobKind::Sync, (from, destination.clone()), settings, None, 0).await;
        assert_eq!((report.failed, report.vanished), (failed, vanished), "{policy:?}");
        let status = records(&events).find(|record| record.path.as_str() == "goes").unwrap().status;
        assert_eq!(status, Status::Vanished, "{policy:?}");
        // One vanished file does not keep what is extra.
        assert!(!destination.tree().contains_key("extra"), "{policy:?}");
    }
}

#[tokio::test]
async fn a_plan_above_max_transfer_changes_nothing() {
    let source = many_folders();
    let destination = Arc::new(MemoryBackend::new("destination"));
    let limited = |most| Settings { max_transfer: Some(most), ..settings() };
    let sides =
        || -> (Arc<dyn Backend>, Arc<dyn Backend>) { (source.clone(), destination.clone()) };
    let bytes: u64 = source.tree().values().map(|content| content.len() as u64).sum();
    let (report, _) = run_until(JobKind::Copy, sides(), limited(bytes - 1), None, 0).await;
    assert_eq!(report.fatal.unwrap().kind(), ErrorKind::InvalidInput);
    assert!(destination.tree().is_empty());
    let (report, _) = run_until(JobKind::Copy, sides(), limited(bytes), None, 0).await;
    assert!(report.is_success(), "{report:?}");
}

#[tokio::test]
async fn a_move_removes_at_the_source_what_arrived_and_keeps_what_changed_meanwhile() {
    let source = MemoryBackend::new("source");
    for (path, content) in [("a", "1"), ("d/equal", "same"), ("d/moved", "2")] {
        source.seed(path, content);
    }
    let source = Arc::new(source);
    let destination = MemoryBackend::new("destination");
    destination.seed("d/equal", "same");
    destination.seed("other", "stays");
    let destination = Arc::new(destination);
    let tidy = || Settings { delete_empty_source_dirs: true, ..settings() };
    let (report, _) =
        run_until(JobKind::Move, (source.clone(), destination.clone()), tidy(), None, 0).await;
    assert!(report.is_success(), "{report:?}");
    assert!(source.tree().is_empty() && source.dirs().is_empty(), "{:?}", source.dirs());
    let names: Vec<_> = destination.tree().into_keys().collect();
    assert_eq!(names, ["a", "d/equal", "d/moved", "other"]);

    // It cannot be removed because it is not what was copied any more.
    let source = Arc::new(MemoryBackend::new("source"));
    source.seed("a", "1");
    let changed = Error::new(ErrorKind::Changed, "another version").with_operation("delete");
    let from = Arc::new(Faulty::new(source.clone()).fail_path("delete", "a", changed));
    let to = Arc::new(MemoryBackend::new("destination"));
    let (report, _) = run_until(JobKind::Move, (from, to), settings(), None, 0).await;
    assert_eq!(report.failed, 1, "{report:?}");
    assert!(source.tree().contains_key("a"), "what was not removed stays");
}

#[tokio::test]
async fn a_plan_that_is_finished_sends_again_what_went_away_after_it_arrived() {
    let store = Store::new();
    let source = many_folders();
    let destination = Arc::new(MemoryBackend::new("destination"));
    let sides =
        || -> (Arc<dyn Backend>, Arc<dyn Backend>) { (source.clone(), destination.clone()) };
    let journal = store.begin(JobKind::Sync, Earlier::Remember);
    let (first, _) = run_until(JobKind::Sync, sides(), settings(), Some(journal), 60).await;
    assert!(first.is_open, "{first:?}");
    let gone = destination.tree().into_keys().next().unwrap();
    destination.remove(&gone);
    let missing = 200 - destination.tree().len() as u64;
    let journal = store.begin(JobKind::Sync, Earlier::Finish);
    let (second, _) = run_until(JobKind::Sync, sides(), settings(), Some(journal), 0).await;
    assert!(second.is_success(), "{second:?}");
    assert_eq!(second.copied, missing, "nothing else is sent again");
    assert_eq!(destination.tree(), source.tree());
}
