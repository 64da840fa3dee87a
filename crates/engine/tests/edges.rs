//! Where filters, clashes, duplicates and strangers meet deletions and second tries. Each was found by a review.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::time::Duration;

use ketch_core::{
    About, Backend, Body, ByteStream, Entry, EntryStream, Error, ErrorKind, ListOptions,
    PutOptions, ReadOptions, RelPath, Result, Retry, Special,
};
use ketch_engine::check::{self, CheckSettings};
use ketch_engine::filter::{Filter, FilterSpec};
use ketch_engine::report::Verdict;
use ketch_engine::{Event, JobKind, Outcome, Report, Request, Settings, Stop, start};
use ketch_testkit::{Faulty, MemoryBackend, Recorder, seed_time};

fn memory(name: &str, files: &[(&str, &str)]) -> Arc<MemoryBackend> {
    let backend = MemoryBackend::new(name);
    files.iter().for_each(|(path, content)| backend.seed(path, content.as_bytes()));
    Arc::new(backend)
}

fn filtered(change: impl FnOnce(&mut FilterSpec)) -> Settings {
    let mut spec = FilterSpec::default();
    change(&mut spec);
    Settings { filter: Arc::new(Filter::new(&spec).unwrap()), ..Settings::default() }
}

async fn run(
    kind: JobKind,
    source: &Arc<MemoryBackend>,
    destination: Arc<dyn Backend>,
    settings: Settings,
) -> (Report, Vec<Event>) {
    let mut job = start(Request { settings, ..Request::new(kind, source.clone(), destination) });
    let mut events = Vec::new();
    while let Some(event) = job.events.recv().await {
        events.push(event);
    }
    (job.report().await, events)
}

#[tokio::test]
async fn promise_1_a_name_that_the_source_has_is_never_deleted_whatever_the_filter_says() {
    let day = Duration::from_secs(86_400);
    let cases: [(&str, Settings); 3] = [
        ("max-age", filtered(|spec| spec.modified_after = Some(seed_time() - day))),
        ("min-age", filtered(|spec| spec.modified_before = Some(seed_time() + day))),
        ("max-size", filtered(|spec| spec.max_size = Some(10))),
    ];
    for (name, settings) in cases {
        let source = memory("source", &[("keep", "k")]);
        match name {
            "max-age" => source.seed_with_mtime("log", "old", seed_time() - 9 * day),
            "min-age" => source.seed_with_mtime("log", "new", seed_time() + 9 * day),
            _ => source.seed("log", "much longer than ten bytes"),
        }
        let destination = memory("destination", &[("keep", "k"), ("log", "log"), ("extra", "x")]);
        let (report, _) = run(JobKind::Sync, &source, destination.clone(), settings).await;
        assert!(report.is_success(), "{name}: {report:?}");
        let tree = destination.tree();
        assert_eq!(tree["log"], "log", "{name}");
        assert!(!tree.contains_key("extra"), "{name}: what the source lacks is still deleted");
    }
}

#[tokio::test]
async fn promise_1_a_folder_whose_name_the_source_has_as_something_else_stays() {
    let source = memory("source", &[("log", "much longer than ten bytes"), ("keep", "k")]);
    source.seed_special("photos", Special::Symlink);
    let files = [("log/x", "x"), ("photos/a.txt", "a"), ("keep", "k")];
    let destination = memory("destination", &files);
    let settings = filtered(|spec| {
        spec.max_size = Some(10);
        spec.include = vec!["*.txt".to_owned(), "keep".to_owned(), "x".to_owned()];
    });
    let (report, _) = run(JobKind::Sync, &source, destination.clone(), settings).await;
    assert_eq!(report.deleted, 0, "{report:?}");
    assert_eq!(destination.tree().len(), 3);
}

#[tokio::test]
async fn a_destination_file_outside_the_filter_is_still_what_is_replaced() {
    let source = memory("source", &[("f", "a content that is long enough")]);
    let destination = Arc::new(MemoryBackend::with("there", MemoryBackend::like_fichier()));
    destination.seed("f", "short");
    let settings = filtered(|spec| spec.min_size = Some(10));
    let keep = Settings { ignore_existing: true, ..settings.clone() };
    let (report, _) = run(JobKind::Copy, &source, destination.clone(), keep).await;
    assert_eq!((report.copied, report.unchanged), (0, 1), "{report:?}");
    run(JobKind::Copy, &source, destination.clone(), settings).await;
    assert_eq!(destination.files().len(), 1, "no second file of that name");
    assert_eq!(destination.tree(), source.tree());
}

/// A destination where somebody else stores a file just before ours comes.
#[derive(Debug)]
struct Intruded(Arc<MemoryBackend>);

#[async_trait::async_trait]
impl Backend for Intruded {
    fn about(&self) -> &About {
        self.0.about()
    }
    async fn stat(&self, path: &RelPath) -> Result<Entry> {
        self.0.stat(path).await
    }
    fn list(&self, dir: &RelPath, options: ListOptions) -> EntryStream {
        self.0.list(dir, options)
    }
    async fn read(&self, entry: &Entry, options: ReadOptions) -> Result<ByteStream> {
        self.0.read(entry, options).await
    }
    async fn put(&self, path: &RelPath, body: Body, options: PutOptions) -> Result<Entry> {
        self.0.seed(path.as_str(), "a stranger's");
        self.0.put(path, body, options).await
    }
    async fn delete(&self, entries: &[Entry]) -> Vec<Result<()>> {
        self.0.delete(entries).await
    }
}

#[tokio::test]
async fn fault_60_a_stranger_that_appears_meanwhile_is_never_overwritten() {
    for before in [None, Some("an older version")] {
        let source = memory("source", &[("f", "ours"), ("k", "k")]);
        let destination = memory("destination", &[("k", "k")]);
        if let Some(content) = before {
            destination.seed("f", content);
        }
        let intruded = Arc::new(Intruded(destination.clone()));
        let (report, _) = run(JobKind::Copy, &source, intruded, Settings::default()).await;
        assert_eq!(report.failures[0].kind, ErrorKind::Changed, "{report:?}");
        assert_eq!(destination.tree()["f"], "a stranger's");
    }
}

#[tokio::test]
async fn promise_1_a_source_with_nothing_but_folders_is_empty() {
    let source = memory("source", &[]);
    source.seed_dir("mnt");
    let destination = memory("destination", &[("mnt/a", "1"), ("mnt/b", "2")]);
    let (report, _) = run(JobKind::Sync, &source, destination.clone(), Settings::default()).await;
    assert!(report.fatal.unwrap().message().contains("source is empty"));
    assert_eq!(destination.tree().len(), 2);
}

#[tokio::test]
async fn several_extra_files_of_one_name_are_refused_and_none_is_deleted() {
    let source = memory("source", &[("k", "k")]);
    let destination = MemoryBackend::with("there", MemoryBackend::like_fichier());
    destination.seed("k", "k");
    (0..3).for_each(|number| destination.insert_duplicate("x", [number]));
    let destination = Arc::new(destination);
    let (report, _) = run(JobKind::Sync, &source, destination.clone(), Settings::default()).await;
    assert_eq!((report.failed, report.deleted), (1, 0), "{report:?}");
    assert_eq!(destination.files().len(), 4);
}

#[tokio::test]
async fn a_clash_of_kinds_is_no_equality_in_a_check() {
    let source = memory("source", &[("photos/a", "1"), ("same", "s")]);
    let destination = memory("destination", &[("photos", "a file"), ("same", "s")]);
    for one_way in [false, true] {
        let settings = CheckSettings { one_way, ..CheckSettings::default() };
        let mut job = check::start(source.clone(), destination.clone(), settings, Stop::new());
        let mut verdicts = Vec::new();
        while let Some(event) = job.events.recv().await {
            if let Event::Checked { path, verdict } = event {
                verdicts.push((path.to_string(), verdict));
            }
        }
        let report = job.report().await;
        assert_eq!((report.equal, report.unverifiable), (1, 1), "{verdicts:?}");
        let unverifiable = verdicts.iter().find(|(path, _)| path == "photos");
        assert!(matches!(unverifiable, Some((_, Verdict::Unverifiable(..)))), "{verdicts:?}");
    }
}

#[tokio::test]
async fn promise_5_an_item_that_waits_for_its_second_try_has_an_outcome_when_the_job_ends_badly() {
    let source = memory("source", &[("a", "1"), ("z/b", "2")]);
    let dead = Error::new(ErrorKind::Unauthenticated, "the key is dead");
    let passing = Error::new(ErrorKind::Unavailable, "reset").with_retry(Retry::Backoff);
    let from = Arc::new(Faulty::new(source.clone()).fail_list("z", dead));
    let destination = memory("destination", &[]);
    let to = Arc::new(Faulty::new(destination).fail_path("put", "a", passing));
    let mut job = start(Request::new(JobKind::Copy, from, to));
    let mut failed = Vec::new();
    while let Some(event) = job.events.recv().await {
        if let Event::ItemFailed { failure, .. } = event {
            failed.push(failure.path.to_string());
        }
    }
    let report = job.report().await;
    assert_eq!(report.fatal.unwrap().kind(), ErrorKind::Unauthenticated);
    assert_eq!(failed, ["a"]);
}

#[tokio::test]
async fn promise_5_what_is_dropped_by_a_stop_at_once_has_an_outcome() {
    let source = memory("source", &[("a", "1"), ("b", "2")]);
    let destination = memory("destination", &[]);
    let to = Arc::new(Faulty::new(destination).stall("put", "a").stall("put", "b"));
    let stop = Stop::new();
    let mut job = start(Request { stop: stop.clone(), ..Request::new(JobKind::Copy, source, to) });
    let (mut begun, mut failed) = (0, 0);
    while let Some(event) = job.events.recv().await {
        match event {
            Event::ItemStarted { .. } => {
                begun += 1;
                if begun == 2 {
                    stop.gently.cancel();
                    stop.now.cancel();
                }
            }
            Event::ItemFailed { failure, .. } => {
                assert_eq!(failure.kind, ErrorKind::Cancelled);
                failed += 1;
            }
            _ => {}
        }
    }
    assert_eq!((begun, failed), (2, 2));
    assert!(job.report().await.stopped);
}

#[tokio::test(start_paused = true)]
async fn what_runs_at_the_first_stop_has_its_time_and_no_more_and_nothing_new_is_begun() {
    let source = memory("source", &[("a", "1"), ("b", "2"), ("c", "3")]);
    let destination = memory("destination", &[]);
    let to = Arc::new(Faulty::new(destination.clone()).stall("put", "a").stall("put", "b"));
    let stop = Stop::new();
    let settings = Settings { transfers: Some(2), ..Settings::default() };
    let grace = settings.stop_grace;
    let request = Request::new(JobKind::Copy, source, to);
    let mut job = start(Request { stop: stop.clone(), settings, ..request });
    let mut begun = 0;
    let mut stopped_at = None;
    let mut failed = Vec::new();
    while let Some(event) = job.events.recv().await {
        match event {
            Event::ItemStarted { .. } => {
                begun += 1;
                if begun == 2 {
                    stop.gently.cancel();
                    stopped_at = Some(tokio::time::Instant::now());
                }
            }
            Event::ItemFailed { failure, .. } => {
                failed.push((failure.path.to_string(), failure.kind))
            }
            _ => {}
        }
    }
    let took = stopped_at.unwrap().elapsed();
    assert!(took >= grace && took < grace + grace / 10, "{took:?}");
    failed.sort_by(|one, other| one.0.cmp(&other.0));
    let cancelled = |path: &str| (path.to_owned(), ErrorKind::Cancelled);
    assert_eq!(failed, [cancelled("a"), cancelled("b")]);
    assert!(destination.tree().is_empty(), "`c` was begun after the stop");
    assert!(job.report().await.stopped);
}

#[tokio::test]
async fn a_dry_run_keeps_the_folders_that_the_run_keeps() {
    let settings = || filtered(|spec| spec.include = vec!["*.txt".to_owned()]);
    let told = |events: &[Event]| {
        let mut told: Vec<String> = events
            .iter()
            .filter_map(|event| match event {
                Event::ItemDone { path, outcome, .. } => Some(format!("{path} {outcome:?}")),
                _ => None,
            })
            .collect();
        told.sort();
        told
    };
    let source = memory("source", &[("a.txt", "a")]);
    let destination =
        memory("destination", &[("a.txt", "a"), ("d/x/keep.jpg", "k"), ("d/x/b.txt", "b")]);
    let dry = Settings { dry_run: true, ..settings() };
    let (_, planned) = run(JobKind::Sync, &source, destination.clone(), dry).await;
    let (report, done) = run(JobKind::Sync, &source, destination.clone(), settings()).await;
    assert_eq!(told(&planned), told(&done));
    assert_eq!((report.deleted, report.kept), (1, 2), "{report:?}");
    assert!(told(&done).contains(&format!("d {:?}", Outcome::Kept)));
}

#[tokio::test]
async fn one_folder_that_neither_side_can_list_is_one_failure() {
    let source = memory("source", &[("d/a", "1")]);
    let destination = memory("destination", &[("d/b", "2"), ("k", "k")]);
    let broken = || Error::new(ErrorKind::Denied, "no").with_retry(Retry::Never);
    let from = Arc::new(Faulty::new(source).fail_list("d", broken()));
    let to = Arc::new(Faulty::new(destination).fail_list("d", broken()));
    let mut job = start(Request::new(JobKind::Copy, from, to));
    while job.events.recv().await.is_some() {}
    assert_eq!(job.report().await.failed, 1);
}

#[tokio::test]
async fn a_no_op_sync_lists_each_folder_once_and_asks_for_nothing_else() {
    let files: Vec<(String, String)> = (0..1_000)
        .map(|number| (format!("d{}/f{number}", number % 9), number.to_string()))
        .collect();
    let files: Vec<(&str, &str)> =
        files.iter().map(|(path, content)| (path.as_str(), content.as_str())).collect();
    let source = memory("source", &files);
    let recorder = Arc::new(Recorder::new(memory("destination", &files)));
    let (report, _) = run(JobKind::Sync, &source, recorder.clone(), Settings::default()).await;
    assert_eq!(report.unchanged, 1_000);
    assert_eq!(recorder.count("list"), 10);
    // At the end it may store what it knows, which is no request where it knows nothing.
    assert_eq!(recorder.count("finish"), 1);
    assert_eq!(recorder.calls().len(), 11);
}
