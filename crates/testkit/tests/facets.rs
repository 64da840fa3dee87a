//! Every facet passes through every layer and every double, each call of it is seen by them, and what they withhold is said here.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use ketch_core::bill::{Bill, Cost, Work};
use ketch_core::facets::{
    Claims, Gaps, Inspect, LocalFile, LocalFiles, ReportUsage, Resume, Root, Snapshot, Usage,
    Wanted,
};
use ketch_core::identity::{Identities, Identity, Mark, Shared, Standing};
use ketch_core::layer::{LimitSettings, RetrySettings, Stack, TimeoutSettings};
use ketch_core::services::Services;
use ketch_core::{
    About, Backend, Body, ByteStream, Checkpoint, Disk, DiskFile, Entry, EntryStream, Error,
    ErrorKind, Facets, Leftover, ListOptions, Note, PutOptions, ReadOptions, RelPath, Result,
    Retry,
};
use ketch_testkit::{Faulty, MemoryBackend, Recorder};

/// Has every facet, and counts what reaches it.
#[derive(Debug, Default)]
struct Every(AtomicUsize);

impl Every {
    fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[derive(Debug)]
struct Place(MemoryBackend, Facets, Arc<Every>);

impl Place {
    fn new() -> Arc<Place> {
        let every = Arc::new(Every::default());
        // Written out: a facet that is added must be tested.
        let facets = Facets {
            disk: Some(Arc::clone(&every) as Arc<dyn Disk>),
            identities: Some(Arc::clone(&every) as Arc<dyn Identities>),
            local_files: Some(Arc::clone(&every) as Arc<dyn LocalFiles>),
            resume: Some(Arc::clone(&every) as Arc<dyn Resume>),
            cost: Some(Arc::clone(&every) as Arc<dyn Cost>),
            snapshot: Some(Arc::clone(&every) as Arc<dyn Snapshot>),
            inspect: Some(Arc::clone(&every) as Arc<dyn Inspect>),
            usage: Some(Arc::clone(&every) as Arc<dyn ReportUsage>),
            root: Some(Arc::clone(&every) as Arc<dyn Root>),
            gaps: Some(Arc::clone(&every) as Arc<dyn Gaps>),
            services: Some(Arc::clone(&every) as Arc<dyn Services>),
        };
        Arc::new(Place(MemoryBackend::new("memory"), facets, every))
    }

    fn reached(&self) -> usize {
        self.2.0.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl Backend for Place {
    fn about(&self) -> &About {
        self.0.about()
    }
    fn facets(&self) -> &Facets {
        &self.1
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
        self.0.put(path, body, options).await
    }
    async fn delete(&self, entries: &[Entry]) -> Vec<Result<()>> {
        self.0.delete(entries).await
    }
}

impl Disk for Every {
    fn open(&self, _: &Entry) -> Result<Box<dyn DiskFile>> {
        Err(Error::unsupported("open"))
    }
    fn is_settled(&self, _: &Entry, _: std::time::SystemTime) -> bool {
        false
    }
    fn proves_versions(&self) -> bool {
        false
    }
}

impl Identities for Every {
    fn standing(&self) -> Result<Standing> {
        Err(Error::unsupported("standing"))
    }
    fn of(&self, _: &RelPath) -> Result<Identity> {
        Err(Error::unsupported("of"))
    }
    fn mark(&self) -> Result<Option<Mark>> {
        Ok(None)
    }
    fn unmark(&self, _: &Mark) -> Result<()> {
        Ok(())
    }
    fn sees(&self, _: &Mark) -> Result<Option<Shared>> {
        Ok(None)
    }
    fn folds(&self, _: &RelPath, _: bool) -> Result<Option<bool>> {
        Ok(None)
    }
    fn listed_as(&self, _: &RelPath, _: &[String]) -> Result<Vec<Option<String>>> {
        Ok(Vec::new())
    }
    fn respell(&self, _: &str) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl LocalFiles for Every {
    fn as_local_file(&self, entry: &Entry) -> LocalFile {
        let entry = entry.clone();
        let place = "place".to_owned();
        LocalFile { place, folder: "/".into(), follows_links: false, has_numbers: true, entry }
    }
    async fn copy_from(&self, file: &LocalFile, _: &RelPath, _: PutOptions) -> Result<Entry> {
        self.count();
        Ok(file.entry.clone())
    }
    async fn take(&self, file: &LocalFile, _: &RelPath, _: PutOptions) -> Result<Entry> {
        self.count();
        Ok(file.entry.clone())
    }
}

#[async_trait]
impl Resume for Every {
    async fn partial(&self, _: &RelPath, _: &Checkpoint) -> Result<Option<Body>> {
        self.count();
        Ok(None)
    }
    async fn abandon(&self, _: &RelPath, _: &Checkpoint) -> Result<()> {
        self.count();
        Ok(())
    }
    fn folders_with_leftovers(&self) -> Vec<RelPath> {
        vec![RelPath::root()]
    }
    fn has_leftovers(&self) -> bool {
        true
    }
    async fn leftovers(&self, _: &RelPath, _: &Claims, _: bool) -> Result<Vec<Leftover>> {
        self.count();
        Ok(Vec::new())
    }
}

impl Cost for Every {
    fn estimate(&self, _: &Work) -> Option<Bill> {
        Some(Bill::default())
    }
}

#[async_trait]
impl Snapshot for Every {
    async fn cached_listing(&self, _: &RelPath) -> Option<Vec<Entry>> {
        Some(Vec::new())
    }
}

#[async_trait]
impl Inspect for Every {
    async fn inspect(&self, _: &[Entry], _: &Wanted) -> Result<Vec<Result<Entry>>> {
        self.count();
        Ok(Vec::new())
    }
}

#[async_trait]
impl ReportUsage for Every {
    async fn usage(&self) -> Result<Usage> {
        self.count();
        Ok(Usage::default())
    }
}

#[async_trait]
impl Root for Every {
    async fn identity(&self) -> Result<Option<String>> {
        self.count();
        Ok(Some("root".to_owned()))
    }
}

impl Gaps for Every {
    fn may_lack(&self) -> Option<String> {
        Some("it was not looked for".to_owned())
    }
}

impl Services for Every {}

#[derive(Debug)]
struct NoNote;

#[async_trait]
impl Note for NoNote {
    async fn load(&self) -> Result<Option<bytes::Bytes>> {
        Ok(None)
    }
    async fn save(&self, _: bytes::Bytes) -> Result<()> {
        Ok(())
    }
}

/// The methods of facets that ask the remote, by the names that rules and records have for them.
const ASKING: [&str; 8] =
    ["partial", "abandon", "leftovers", "inspect", "usage", "root_identity", "copy", "take"];

/// Calls every method of every facet but the disk, and gives what each of [`ASKING`] came to.
async fn call_all(backend: &dyn Backend) -> Vec<Result<()>> {
    let facets = backend.facets().clone();
    // Taken apart: a facet that is added must be called.
    let Facets {
        disk: _,
        identities,
        local_files,
        resume,
        cost,
        snapshot,
        inspect,
        usage,
        root,
        gaps,
        services,
    } = facets;
    let path = RelPath::new("d/f").expect("legal");
    let entry = Entry::file(path.clone(), 1);
    let checkpoint = Checkpoint {
        job: 1,
        source: "source".into(),
        note: Arc::new(NoNote),
        keep: Arc::new(AtomicBool::new(true)),
    };
    let claims: Claims = Arc::new(|_| false);
    identities.expect("handed on").unmark(&no_mark()).expect("done");
    assert!(services.is_some() && gaps.expect("handed on").may_lack().is_some());
    assert!(cost.expect("handed on").estimate(&Work::default()).is_some());
    assert!(snapshot.expect("handed on").cached_listing(&path).await.is_some());
    let resume = resume.expect("handed on");
    assert!(resume.has_leftovers() && resume.folders_with_leftovers().len() == 1);
    let files = local_files.expect("handed on");
    let file = files.as_local_file(&entry);
    vec![
        resume.partial(&path, &checkpoint).await.map(drop),
        resume.abandon(&path, &checkpoint).await,
        resume.leftovers(&path, &claims, false).await.map(drop),
        inspect.expect("handed on").inspect(&[entry], &Wanted::default()).await.map(drop),
        usage.expect("handed on").usage().await.map(drop),
        root.expect("handed on").identity().await.map(drop),
        files.copy_from(&file, &path, PutOptions::default()).await.map(drop),
        files.take(&file, &path, PutOptions::default()).await.map(drop),
    ]
}

fn no_mark() -> Mark {
    Mark { name: "m".to_owned(), folder: Vec::new(), below: Vec::new() }
}

#[tokio::test]
async fn the_recorder_sees_every_call_of_every_facet_and_hands_on_the_disk() {
    let place = Place::new();
    let recorder = Recorder::new(place.clone());
    assert!(call_all(&recorder).await.iter().all(Result::is_ok));
    assert_eq!(place.reached(), ASKING.len());
    for method in ASKING {
        assert_eq!(recorder.count(method), 1, "{method}");
    }
    assert_eq!(recorder.calls().len(), ASKING.len());
    assert!(recorder.facets().disk.is_some());
}

#[tokio::test]
async fn a_faulty_backend_fails_every_call_of_every_facet_and_withholds_the_disk() {
    for (index, method) in ASKING.into_iter().enumerate() {
        let place = Place::new();
        let broken = Error::new(ErrorKind::Denied, "as the test says");
        let faulty = Faulty::new(place.clone()).fail(method, broken);
        let results = call_all(&faulty).await;
        for (other, result) in results.iter().enumerate() {
            assert_eq!(result.is_err(), other == index, "{method}: {result:?}");
        }
        assert_eq!(place.reached(), ASKING.len() - 1, "{method}");
        assert_eq!(faulty.count(method), 1, "{method}");
        assert!(faulty.facets().disk.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn the_layers_hand_on_every_facet_but_the_disk_and_repeat_what_may_be_repeated() {
    let all: [fn(Stack) -> Stack; 3] = [
        |stack| stack.timeout(TimeoutSettings::default()),
        |stack| stack.limit(LimitSettings { concurrent: Some(1), ..LimitSettings::default() }),
        |stack| stack.retry(RetrySettings::default()),
    ];
    for layers in [&all[..1], &all[1..2], &all[2..], &all[..]] {
        let place = Place::new();
        let stack = layers.iter().fold(Stack::new(place.clone()), |stack, layer| layer(stack));
        let backend = stack.build();
        assert!(call_all(&*backend).await.iter().all(Result::is_ok));
        assert_eq!(place.reached(), ASKING.len());
        let repeats_only = layers.len() == 1 && std::ptr::eq(&layers[0], &all[2]);
        assert_eq!(backend.disk().is_some(), repeats_only, "who watches reads withholds the disk");
    }
    for (index, method) in ASKING.into_iter().enumerate() {
        let down = Error::new(ErrorKind::Unavailable, "reset").with_retry(Retry::Backoff);
        let faulty = Arc::new(Faulty::new(Place::new()).fail_nth(method, 1, down));
        let backend = all.iter().fold(Stack::new(faulty.clone()), |s, layer| layer(s)).build();
        let results = call_all(&*backend).await;
        let may_repeat = !["copy", "take"].contains(&method);
        assert_eq!(faulty.count(method), 1 + u64::from(may_repeat), "{method}");
        for (other, result) in results.iter().enumerate() {
            assert_eq!(result.is_ok(), may_repeat || other != index, "{method}: {result:?}");
        }
        if let Err(error) = &results[index] {
            assert_eq!(error.remote(), Some("memory"), "{error}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_of_a_facet_that_never_ends_is_cut() {
    let faulty = Faulty::new(Place::new()).stall("abandon", "d/f");
    let backend = Stack::new(Arc::new(faulty)).timeout(TimeoutSettings::default()).build();
    let results = call_all(&*backend).await;
    let error = results[1].as_ref().expect_err("it is cut");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(error.operation(), Some("abandon"));
}
