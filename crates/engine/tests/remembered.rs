//! Digests that are taken while bytes pass: remembered for remotes that show none later, and written into manifests.

mod common;

use std::path::Path;
use std::sync::Arc;

use common::manifest_of;
use ketch_core::{Backend, Capabilities, ErrorKind, HashAlgo};
use ketch_engine::check::{self, CheckSettings};
use ketch_engine::event::Event;
use ketch_engine::prove::ProveSettings;
use ketch_engine::{
    CheckReport, Compare, Digests, JobKind, Report, Request, Settings, Stop, Verify, start,
};
use ketch_manifest::ManifestEntry;
use ketch_testkit::{MemoryBackend, Recorder};

/// A remote that is read over a network, stores what it is sent, and shows these digests.
fn remote(name: &str, hashes: &'static [HashAlgo]) -> Arc<MemoryBackend> {
    let capabilities = Capabilities {
        read_range: true,
        dirs: true,
        put_empty: true,
        put_unsized: true,
        hashes,
        ..Capabilities::default()
    };
    let backend = MemoryBackend::with(name, capabilities);
    backend.set_location(&format!("{name}:"));
    Arc::new(backend)
}

/// A place whose files can be read for nothing.
fn disk(files: usize) -> Arc<MemoryBackend> {
    let capabilities = Capabilities { hashes: &[], ..MemoryBackend::everything() };
    let backend = MemoryBackend::with("disk", capabilities);
    for number in 0..files {
        backend.seed(&format!("d{}/f{number:02}", number % 3), format!("content {number}"));
    }
    Arc::new(backend)
}

fn cache(folder: &Path) -> Digests {
    Digests::remembered(folder.join("digests.redb"))
}

async fn run(
    kind: JobKind,
    source: &Arc<MemoryBackend>,
    destination: Arc<dyn Backend>,
    settings: Settings,
) -> (Report, Vec<(String, &'static str)>) {
    let digests = settings.digests.clone();
    let request =
        Request { settings, ..Request::new(kind, source.clone() as Arc<dyn Backend>, destination) };
    let mut job = start(request);
    let mut done = Vec::new();
    while let Some(event) = job.events.recv().await {
        if let Event::ItemDone { path, reason, .. } = event {
            done.push((path.to_string(), reason.as_str()));
        }
    }
    digests.finish();
    (job.report().await, done)
}

fn checksum(digests: Digests) -> Settings {
    Settings { compare: Compare::Checksum, digests, ..Settings::default() }
}

async fn check(
    source: &Arc<MemoryBackend>,
    destination: Arc<dyn Backend>,
    digests: Digests,
    digest: Option<HashAlgo>,
) -> CheckReport {
    let settings = CheckSettings {
        settings: Settings { digests, ..Settings::default() },
        digest,
        ..CheckSettings::default()
    };
    let mut job = check::start(source.clone(), destination, settings, Stop::new());
    while job.events.recv().await.is_some() {}
    job.report().await
}

#[tokio::test]
async fn what_was_sent_is_compared_by_digest_where_the_remote_shows_none() {
    let folder = tempfile::tempdir().unwrap();
    let (source, there) = (disk(20), remote("plain", &[]));
    // Nothing was ever sent, so a check and a sync by digest refuse.
    let report = check(&source, there.clone(), cache(folder.path()), None).await;
    assert_eq!(report.fatal.unwrap().kind(), ErrorKind::Unsupported);
    let (report, _) =
        run(JobKind::Sync, &source, there.clone(), checksum(cache(folder.path()))).await;
    assert_eq!(report.fatal.unwrap().kind(), ErrorKind::InvalidInput);

    let settings = Settings { digests: cache(folder.path()), ..Settings::default() };
    let (report, _) = run(JobKind::Copy, &source, there.clone(), settings).await;
    assert_eq!((report.copied, report.failed), (20, 0), "{report:?}");

    let reads = Arc::new(Recorder::new(there.clone()));
    let report = check(&source, reads.clone(), cache(folder.path()), None).await;
    assert_eq!((report.equal, report.equal_by_hash), (20, 20), "{report:?}");
    assert_eq!((report.algo, reads.count("read")), (Some(HashAlgo::Blake3), 0));
    // Another digest than those that were taken is not known of any file.
    let report = check(&source, there.clone(), cache(folder.path()), Some(HashAlgo::Sha1)).await;
    assert_eq!((report.equal, report.unverifiable), (0, 20), "{report:?}");

    // An edit that keeps size and time, which no listing of the remote could show.
    let time = source.files().into_iter().find(|(path, _, _)| path == "d1/f04").unwrap().2;
    source.seed_with_mtime("d1/f04", "CONTENT 4", time);
    let report = check(&source, there.clone(), cache(folder.path()), None).await;
    assert_eq!((report.equal, report.differing), (19, 1), "{report:?}");
    let (report, done) =
        run(JobKind::Sync, &source, there.clone(), checksum(cache(folder.path()))).await;
    assert_eq!((report.copied, report.unchanged), (1, 19), "{report:?}");
    assert_eq!(done, [("d1/f04".to_owned(), "hash_differs")]);
    let (report, _) =
        run(JobKind::Sync, &source, there.clone(), checksum(cache(folder.path()))).await;
    assert_eq!((report.copied, report.unchanged), (0, 20), "{report:?}");
}

#[tokio::test]
async fn a_remembered_digest_is_not_believed_of_anything_else() {
    let folder = tempfile::tempdir().unwrap();
    let (source, there) = (disk(9), remote("plain", &[]));
    let settings = || Settings { digests: cache(folder.path()), ..Settings::default() };
    run(JobKind::Copy, &source, there.clone(), settings()).await;
    // Stored anew by somebody else: the same size, another version.
    there.seed("d0/f00", "content 0");
    there.seed("d1/f01", "CONTENT 1");
    let report = check(&source, there.clone(), cache(folder.path()), None).await;
    assert_eq!((report.equal, report.unverifiable), (7, 2), "{report:?}");
    // Another remote is another place.
    let other = remote("other", &[]);
    there.tree().iter().for_each(|(path, content)| other.seed(path, content));
    let report = check(&source, other, cache(folder.path()), None).await;
    assert_eq!(report.fatal.unwrap().kind(), ErrorKind::Unsupported);
    // What is not known is transferred, and is known then.
    let (report, done) =
        run(JobKind::Sync, &source, there.clone(), checksum(cache(folder.path()))).await;
    assert_eq!((report.copied, report.unchanged), (2, 7), "{report:?}");
    assert!(done.iter().all(|(_, reason)| *reason == "no_digest"), "{done:?}");
    let report = check(&source, there, cache(folder.path()), None).await;
    assert_eq!(report.equal, 9, "{report:?}");
}

#[tokio::test]
async fn where_a_remote_keeps_times_and_no_versions_another_time_is_another_file() {
    let folder = tempfile::tempdir().unwrap();
    let capabilities = Capabilities {
        mtime: Some(std::time::Duration::from_secs(1)),
        put_empty: true,
        dirs: true,
        ..Capabilities::default()
    };
    let there = MemoryBackend::with("timed", capabilities).without_versions();
    there.set_location("timed:");
    let (source, there) = (disk(9), Arc::new(there));
    let settings = Settings { digests: cache(folder.path()), ..Settings::default() };
    run(JobKind::Copy, &source, there.clone(), settings).await;
    let report = check(&source, there.clone(), cache(folder.path()), None).await;
    assert_eq!((report.equal, report.unverifiable), (9, 0), "{report:?}");
    there.touch("d0/f00");
    let report = check(&source, there, cache(folder.path()), None).await;
    assert_eq!((report.equal, report.unverifiable), (8, 1), "{report:?}");
}

#[tokio::test]
async fn nothing_is_remembered_of_what_was_not_hashed_or_not_to_be_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let (source, there) = (disk(3), remote("plain", &[]));
    let unhashed =
        Settings { digests: cache(folder.path()), verify: Verify::Size, ..Settings::default() };
    for settings in [unhashed, Settings::default()] {
        let again = Settings { compare: Compare::IgnoreTimes, ..settings };
        run(JobKind::Copy, &source, there.clone(), again).await;
        let report = check(&source, there.clone(), cache(folder.path()), None).await;
        assert_eq!(report.fatal.unwrap().kind(), ErrorKind::Unsupported);
    }
}

#[tokio::test]
async fn the_manifest_of_what_a_job_stored_costs_no_reading() {
    let folder = tempfile::tempdir().unwrap();
    let source = disk(9);
    // With parts, and with a beginning that is known.
    source.seed("large", vec![7_u8; (9 << 20) + 1]);
    source.seed("empty", "");
    for there in [remote("plain", &[]), remote("whirlpool", &[HashAlgo::Whirlpool])] {
        let digests = Digests::default().keeping(folder.path().join(&there.about().location));
        let settings = Settings { digests: digests.clone(), ..Settings::default() };
        run(JobKind::Copy, &source, there.clone(), settings).await;
        let reads = Arc::new(Recorder::new(there.clone()));
        let of_job = ProveSettings { digests, ..ProveSettings::default() };
        let sent = manifest_of(reads.clone(), &of_job).await;
        assert_eq!((sent.len(), reads.count("read")), (11, 0));
        // It says what reading would have found out.
        let read = manifest_of(source.clone(), &ProveSettings::default()).await;
        for (sent, read) in sent.iter().zip(&read) {
            assert_eq!((&sent.path, sent.size), (&read.path, read.size));
            assert_eq!((sent.prefix, &sent.parts), (read.prefix, &read.parts), "{}", read.path);
            let blake3 = |entry: &ManifestEntry| entry.hashes.get(HashAlgo::Blake3).cloned();
            assert_eq!(blake3(sent), blake3(read), "{}", read.path);
        }
    }
}
