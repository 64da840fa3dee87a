//! A source that goes away in the middle, and a stop: what is not done any more, and what is kept.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use ketch_core::facets::Root;
use ketch_core::{
    About, Backend, Body, ByteStream, Entry, EntryStream, Error, ErrorKind, Facets, ListOptions,
    PutOptions, ReadOptions, RelPath, Result,
};
use ketch_engine::plan_file::{PlanFile, PlanHeader, PlanTotals, PlanWriter};
use ketch_engine::{
    DeleteLimit, Event, JobKind, OnChanged, Report, Request, Settings, Stop, start,
};
use ketch_testkit::MemoryBackend;
use tokio_util::sync::CancellationToken;

/// What happens to a place after so many of its files were read.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Happening {
    /// Another folder is at its place, and has nothing.
    Another,
    /// Nothing is at its place.
    Gone,
    /// Everything below this folder is gone, and it too.
    FolderGone(&'static str),
    /// So many more files are gone when they are to be read.
    Vanish(u64),
    Nothing,
}

/// A source to which something happens.
#[derive(Debug)]
struct Shaky {
    inner: Arc<MemoryBackend>,
    happening: Happening,
    reads_left: AtomicU64,
    has_happened: Arc<AtomicBool>,
    vanished: AtomicU64,
    facets: Facets,
}

/// Which folder it is.
#[derive(Debug)]
struct ShakyRoot(Happening, Arc<AtomicBool>);

#[async_trait::async_trait]
impl Root for ShakyRoot {
    async fn identity(&self) -> Result<Option<String>> {
        match (self.0, self.1.load(Ordering::SeqCst)) {
            (Happening::Another, true) => Ok(Some("2".to_owned())),
            (Happening::Gone, true) => Err(gone("look", &RelPath::root())),
            _ => Ok(Some("1".to_owned())),
        }
    }
}

impl Shaky {
    fn new(inner: &Arc<MemoryBackend>, happening: Happening, reads: u64) -> Arc<Self> {
        let has_happened = Arc::new(AtomicBool::new(false));
        let root = ShakyRoot(happening, Arc::clone(&has_happened));
        Arc::new(Shaky {
            facets: Facets { root: Some(Arc::new(root)), ..Facets::default() },
            inner: Arc::clone(inner),
            happening,
            reads_left: AtomicU64::new(reads),
            has_happened,
            vanished: AtomicU64::new(0),
        })
    }

    fn is_gone(&self, path: &RelPath, is_read: bool) -> bool {
        if !self.has_happened.load(Ordering::SeqCst) {
            return false;
        }
        match self.happening {
            Happening::Another => !path.is_root(),
            Happening::Gone => true,
            Happening::FolderGone(folder) => {
                path.as_str() == folder || path.as_str().starts_with(&format!("{folder}/"))
            }
            Happening::Vanish(count) => {
                is_read && self.vanished.fetch_add(1, Ordering::SeqCst) < count
            }
            Happening::Nothing => false,
        }
    }
}

fn gone(operation: &'static str, path: &RelPath) -> Error {
    let error = Error::new(ErrorKind::NotFound, "nothing is there").with_operation(operation);
    error.with_path(path).with_remote("source")
}

#[async_trait::async_trait]
impl Backend for Shaky {
    fn about(&self) -> &About {
        self.inner.about()
    }
    fn facets(&self) -> &Facets {
        &self.facets
    }
    async fn stat(&self, path: &RelPath) -> Result<Entry> {
        if self.is_gone(path, false) {
            return Err(gone("stat", path));
        }
        self.inner.stat(path).await
    }
    fn list(&self, dir: &RelPath, options: ListOptions) -> EntryStream {
        self.inner.list(dir, options)
    }
    async fn read(&self, entry: &Entry, options: ReadOptions) -> Result<ByteStream> {
        let before = self
            .reads_left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| Some(left.saturating_sub(1)));
        if before == Ok(0) {
            self.has_happened.store(true, Ordering::SeqCst);
        }
        if self.is_gone(&entry.path, true) {
            return Err(gone("read", &entry.path));
        }
        self.inner.read(entry, options).await
    }
    async fn put(&self, path: &RelPath, body: Body, options: PutOptions) -> Result<Entry> {
        self.inner.put(path, body, options).await
    }
    async fn delete(&self, entries: &[Entry]) -> Vec<Result<()>> {
        self.inner.delete(entries).await
    }
}

fn places() -> (Arc<MemoryBackend>, Arc<MemoryBackend>) {
    let (source, destination) = (MemoryBackend::new("source"), MemoryBackend::new("destination"));
    for number in 0..40 {
        source.seed(&format!("d{}/f{number:02}", number % 4), format!("content {number}"));
    }
    destination.seed("d0/extra", "extra");
    destination.seed("old", "extra");
    (Arc::new(source), Arc::new(destination))
}

async fn sync(
    source: Arc<dyn Backend>,
    destination: Arc<dyn Backend>,
    settings: Settings,
) -> Report {
    start(Request { settings, ..Request::new(JobKind::Sync, source, destination) }).report().await
}

#[tokio::test]
async fn a_source_that_goes_away_in_the_middle_fails_the_job_and_nothing_is_deleted() {
    let plain = || Settings { delete_limit: DeleteLimit::Percent(100), ..Settings::default() };
    let skip = || Settings { on_changed: OnChanged::Skip, ..plain() };
    let fail = || Settings { on_changed: OnChanged::Fail, ..plain() };
    for (happening, settings, fails) in [
        (Happening::Another, plain(), true),
        (Happening::Gone, plain(), true),
        // Whatever was asked for: it is not the folder that was listed.
        (Happening::Another, skip(), true),
        (Happening::FolderGone("d3"), plain(), true),
        (Happening::Vanish(11), plain(), true),
        (Happening::FolderGone("d3"), fail(), true),
        (Happening::Vanish(11), fail(), true),
        // A living source loses a file now and then.
        (Happening::Vanish(3), plain(), false),
        (Happening::Vanish(11), skip(), false),
        (Happening::Nothing, plain(), false),
    ] {
        let (source, destination) = places();
        let from = Shaky::new(&source, happening, 5);
        let report = sync(from, destination.clone(), settings).await;
        let what = format!("{happening:?}: {report:?}");
        let tree = destination.tree();
        let has_extra = tree.contains_key("old") && tree.contains_key("d0/extra");
        assert_eq!(report.is_success(), !fails, "{what}");
        assert_eq!(has_extra, fails, "{what}");
        if fails {
            let fatal = report.fatal.as_ref().expect(&what);
            assert_eq!(fatal.kind(), ErrorKind::Changed, "{what}");
            assert!(fatal.message().contains("deleted"), "{what}");
        }
    }
}

#[tokio::test]
async fn a_destination_that_becomes_another_folder_fails_the_job() {
    let (source, destination) = places();
    // Its first read is none: what happens, happens at once after the listing of its root.
    let to = Shaky::new(&destination, Happening::Another, 0);
    let other = Arc::clone(&to);
    let mut job = start(Request::new(JobKind::Copy, source, to));
    while let Some(event) = job.events.recv().await {
        if matches!(event, Event::Planned { .. } | Event::ItemStarted { .. }) {
            other.has_happened.store(true, Ordering::SeqCst);
        }
    }
    let report = job.report().await;
    let fatal = report.fatal.expect("it is another folder");
    assert!(fatal.message().contains("the destination"), "{fatal}");
}

#[tokio::test]
async fn a_plan_whose_source_goes_away_while_it_is_applied_deletes_nothing() {
    for happening in [Happening::FolderGone("d3"), Happening::Vanish(11)] {
        let (source, destination) = places();
        let settings = || Settings { delete_limit: DeleteLimit::Percent(100), ..<_>::default() };
        let dry = Settings { dry_run: true, ..settings() };
        let request = Request::new(JobKind::Sync, source.clone(), destination.clone());
        let mut job = start(Request { settings: dry, ..request });
        let scratch = tempfile::NamedTempFile::new().unwrap();
        let locations = (source.about().location.clone(), destination.about().location.clone());
        let header = PlanHeader::new(JobKind::Sync, ("a".to_owned(), "b".to_owned()), locations, 0);
        let mut writer = PlanWriter::new(scratch.reopen().unwrap(), &header).unwrap();
        while let Some(event) = job.events.recv().await {
            if let Event::Action(action) = event {
                writer.push(&action).unwrap();
            }
        }
        let seen = job.report().await;
        writer
            .finish(PlanTotals {
                source_files: seen.source_entries,
                destination_entries: seen.destination_entries,
                ..PlanTotals::default()
            })
            .unwrap();
        let plan = Some(PlanFile::open(scratch.path()).unwrap());
        let from = Shaky::new(&source, happening, 5);
        let request = Request::new(JobKind::Sync, from, destination.clone());
        let report = start(Request { settings: settings(), plan, ..request }).report().await;
        let tree = destination.tree();
        assert!(report.fatal.is_some(), "{happening:?}: {report:?}");
        assert!(tree.contains_key("old") && tree.contains_key("d0/extra"), "{happening:?}");
    }
}

/// A destination where nothing is stored before the job is told to stop.
#[derive(Debug)]
struct Patient {
    inner: Arc<MemoryBackend>,
    stop: CancellationToken,
    begun: Mutex<Vec<String>>,
}

#[async_trait::async_trait]
impl Backend for Patient {
    fn about(&self) -> &About {
        self.inner.about()
    }
    async fn stat(&self, path: &RelPath) -> Result<Entry> {
        self.inner.stat(path).await
    }
    fn list(&self, dir: &RelPath, options: ListOptions) -> EntryStream {
        self.inner.list(dir, options)
    }
    async fn read(&self, entry: &Entry, options: ReadOptions) -> Result<ByteStream> {
        self.inner.read(entry, options).await
    }
    async fn put(&self, path: &RelPath, body: Body, options: PutOptions) -> Result<Entry> {
        self.begun.lock().unwrap().push(path.to_string());
        self.stop.cancelled().await;
        self.inner.put(path, body, options).await
    }
    async fn delete(&self, entries: &[Entry]) -> Vec<Result<()>> {
        self.inner.delete(entries).await
    }
}

#[tokio::test]
async fn after_the_first_stop_nothing_new_begins_also_what_waited_for_its_turn() {
    for transfers in [1, 3] {
        let (source, destination) = places();
        let stop = Stop::new();
        let to = Arc::new(Patient {
            inner: destination.clone(),
            stop: stop.gently.clone(),
            begun: Mutex::default(),
        });
        let settings = Settings { transfers: Some(transfers), ..Settings::default() };
        let request = Request {
            settings,
            stop: stop.clone(),
            ..Request::new(JobKind::Copy, source, to.clone())
        };
        let mut job = start(request);
        let (mut is_planned, mut started) = (false, 0);
        while let Some(event) = job.events.recv().await {
            is_planned |= matches!(event, Event::Planned { .. });
            started += usize::from(matches!(event, Event::ItemStarted { .. }));
            if is_planned && started == transfers && !stop.is_stopping() {
                // What comes next has been handed over, and waits for a place.
                for _ in 0..100 {
                    tokio::task::yield_now().await;
                }
                stop.gently.cancel();
            }
        }
        let report = job.report().await;
        assert!(report.stopped, "{report:?}");
        assert_eq!(to.begun.lock().unwrap().len(), transfers, "{transfers} at a time");
        assert_eq!((report.copied, started), (transfers as u64, transfers), "what ran is finished");
    }
}
