//! Places whose listings do not show the times they keep: they are asked for those that a decision needs, and for no others.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::time::Duration;

use ketch_core::{Backend, Capabilities, RelPath};
use ketch_engine::{Compare, JobKind, Report, Request, Settings, start};
use ketch_testkit::{MemoryBackend, Recorder};

fn bucket(name: &str) -> MemoryBackend {
    MemoryBackend::with(
        name,
        Capabilities {
            list_recursive: true,
            mtime_by_inspect: true,
            read_local: false,
            dirs: false,
            hashes: &[ketch_core::HashAlgo::Md5],
            ..MemoryBackend::everything()
        },
    )
}

async fn run(
    kind: JobKind,
    source: &Arc<dyn Backend>,
    destination: &Arc<dyn Backend>,
    settings: Settings,
) -> Report {
    let (source, destination) = (Arc::clone(source), Arc::clone(destination));
    let mut job = start(Request { settings, ..Request::new(kind, source, destination) });
    while job.events.recv().await.is_some() {}
    job.report().await
}

async fn time_of(place: &Arc<dyn Backend>, path: &str) -> std::time::SystemTime {
    place.stat(&RelPath::new(path).unwrap()).await.unwrap().mtime.unwrap()
}

#[tokio::test]
async fn a_file_is_asked_for_its_time_only_if_the_time_decides() {
    let disk = MemoryBackend::new("disk");
    for number in 0..20 {
        disk.seed(&format!("d/{number}"), format!("content {number}").as_bytes());
    }
    let disk: Arc<dyn Backend> = Arc::new(disk);
    let recorder = Arc::new(Recorder::new(Arc::new(bucket("bucket"))));
    let store: Arc<dyn Backend> = Arc::clone(&recorder) as Arc<dyn Backend>;
    // What is new needs no question, and gets its time.
    let first = run(JobKind::Sync, &disk, &store, Settings::default()).await;
    assert_eq!((first.copied, first.failed), (20, 0), "{first:?}");
    assert_eq!(recorder.count("inspect"), 0);
    assert_eq!(time_of(&store, "d/3").await, time_of(&disk, "d/3").await);
    // Of files that are there the times are compared, each by one question, and nothing is copied or read.
    recorder.clear();
    let again = run(JobKind::Sync, &disk, &store, Settings::default()).await;
    assert_eq!((again.copied, again.unchanged, again.failed), (0, 20, 0), "{again:?}");
    assert_eq!((recorder.count("inspect"), recorder.count("set_metadata")), (20, 0));
    // A file of another size is not asked for.
    recorder.clear();
    let file = RelPath::new("d/3").unwrap();
    let body = ketch_core::source::BytesSource::body(b"of another length".to_vec());
    disk.put(&file, body, Default::default()).await.unwrap();
    let changed = run(JobKind::Sync, &disk, &store, Settings::default()).await;
    assert_eq!((changed.copied, changed.unchanged), (1, 19), "{changed:?}");
    assert_eq!(recorder.count("inspect"), 19);
    // Sizes alone need no times.
    recorder.clear();
    let settings = Settings { compare: Compare::SizeOnly, ..Settings::default() };
    run(JobKind::Sync, &disk, &store, settings).await;
    assert_eq!(recorder.count("inspect"), 0);
}

#[tokio::test]
async fn what_comes_from_such_a_place_has_its_time_and_an_edit_of_the_same_size_is_found() {
    let store: Arc<dyn Backend> = Arc::new(bucket("bucket"));
    let path = RelPath::new("d/f").unwrap();
    let time = std::time::UNIX_EPOCH + Duration::from_secs(1_234_567_890);
    let put = async |content: &str, time| {
        let body = ketch_core::source::BytesSource::body(content.as_bytes().to_vec());
        let options = ketch_core::PutOptions { mtime: Some(time), ..Default::default() };
        store.put(&path, body, options).await.unwrap();
    };
    put("one", time).await;
    for kind in [JobKind::Copy, JobKind::Sync] {
        let disk: Arc<dyn Backend> = Arc::new(MemoryBackend::new("disk"));
        put("one", time).await;
        let report = run(kind, &store, &disk, Settings::default()).await;
        assert_eq!((report.copied, report.failed), (1, 0), "{report:?}");
        assert_eq!(time_of(&disk, "d/f").await, time);
        let report = run(kind, &store, &disk, Settings::default()).await;
        assert_eq!((report.copied, report.unchanged), (0, 1), "{report:?}");
        put("two", time + Duration::from_secs(100)).await;
        let report = run(kind, &store, &disk, Settings::default()).await;
        assert_eq!((report.copied, report.failed), (1, 0), "{report:?}");
        assert_eq!(time_of(&disk, "d/f").await, time + Duration::from_secs(100));
    }
    // Between two such places the digests decide, if both show them.
    let other = Arc::new(Recorder::new(Arc::new(bucket("other"))));
    let destination: Arc<dyn Backend> = Arc::clone(&other) as Arc<dyn Backend>;
    run(JobKind::Sync, &store, &destination, Settings::default()).await;
    other.clear();
    let report = run(JobKind::Sync, &store, &destination, Settings::default()).await;
    assert_eq!((report.copied, report.unchanged), (0, 1), "{report:?}");
    assert_eq!(other.count("inspect"), 0);
}

#[tokio::test]
async fn a_time_that_was_stored_or_told_once_is_not_asked_for_again() {
    let folder = tempfile::tempdir().unwrap();
    let disk = MemoryBackend::new("disk");
    (0..20).for_each(|number| disk.seed(&format!("d/{number}"), format!("c{number}").as_bytes()));
    let disk: Arc<dyn Backend> = Arc::new(disk);
    let content = Arc::new(bucket("bucket"));
    let recorder = Arc::new(Recorder::new(Arc::clone(&content) as Arc<dyn Backend>));
    let store: Arc<dyn Backend> = Arc::clone(&recorder) as Arc<dyn Backend>;
    let settings = || Settings {
        digests: ketch_engine::Digests::remembered(folder.path().join("cache")),
        ..Settings::default()
    };
    let run_remembering = async |from: &Arc<dyn Backend>, to: &Arc<dyn Backend>| {
        let settings = settings();
        let digests = settings.digests.clone();
        let report = run(JobKind::Sync, from, to, settings).await;
        digests.finish();
        report
    };
    run_remembering(&disk, &store).await;
    let again = run_remembering(&disk, &store).await;
    assert_eq!((again.copied, again.unchanged), (0, 20), "{again:?}");
    assert_eq!(recorder.count("inspect"), 0, "what was stored is known");
    // Of a file that another client stored the time is asked for once.
    content.seed("d/3", b"c3");
    for asked in [1, 1] {
        run_remembering(&disk, &store).await;
        assert_eq!(recorder.count("inspect"), asked);
    }
}
