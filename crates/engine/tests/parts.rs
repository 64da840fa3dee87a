//! Large files to a place that takes parts: one proof whatever the order, kept work told apart from moved work.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use ketch_core::{Backend, Capabilities, Error, ErrorKind, HashAlgo, PartRules, RelPath, Retry};
use ketch_engine::journal::{Begin, Earlier, JobIdentity, Jobs, Journal, Roots};
use ketch_engine::{Event, JobKind, Report, Request, Settings, Stop, start};
use ketch_testkit::{Faulty, MemoryBackend, Recorder};

const PART: usize = 64 * 1024;

fn store_of_parts(hashes: &'static [HashAlgo]) -> Arc<MemoryBackend> {
    let parts =
        PartRules { from: 2 * PART as u64, part_bytes: PART as u64, parts_max: 1_000, at_once: 4 };
    let capabilities = Capabilities {
        put_parts: Some(parts),
        put_resume: false,
        put_unsized: false,
        read_local: false,
        mtime: None,
        set_mtime: false,
        hashes,
        ..MemoryBackend::everything()
    };
    Arc::new(MemoryBackend::with("store", capabilities))
}

fn network() -> MemoryBackend {
    let capabilities =
        Capabilities { read_local: false, hashes: &[], ..MemoryBackend::everything() };
    MemoryBackend::with("source", capabilities)
}

fn content(size: usize) -> Vec<u8> {
    (0..size).map(|at| (at * 7 + at / 256) as u8).collect()
}

fn begin(folder: &tempfile::TempDir) -> Journal {
    let begin = Begin {
        identity: JobIdentity {
            kind: JobKind::Copy,
            source_location: "memory:source".to_owned(),
            destination_location: "memory:store".to_owned(),
            options: String::new(),
        },
        source: "source".to_owned(),
        destination: "store".to_owned(),
        arguments: Vec::new(),
        folder: None,
        ages_from: 0,
        roots: Roots::default(),
    };
    let jobs = Jobs::new(folder.path().to_owned(), Some("boot".to_owned()));
    jobs.begin(begin, Earlier::Remember).unwrap()
}

async fn copy(
    source: Arc<dyn Backend>,
    destination: Arc<dyn Backend>,
    journal: Option<Journal>,
) -> (Report, Vec<Event>) {
    let request = Request {
        settings: Settings::default(),
        stop: Stop::new(),
        journal,
        ..Request::new(JobKind::Copy, source, destination)
    };
    let mut job = start(request);
    let mut events = Vec::new();
    while let Some(event) = job.events.recv().await {
        events.push(event);
    }
    (job.report().await, events)
}

#[tokio::test]
async fn a_large_file_goes_as_parts_and_is_proven_by_what_the_store_shows() {
    for hashes in [&[HashAlgo::Crc64Nvme][..], &[HashAlgo::Blake3], &[HashAlgo::Md5], &[]] {
        let (source, store) = (network(), store_of_parts(hashes));
        let bytes = content(5 * PART + 321);
        source.seed("d/large", bytes.clone());
        source.seed("d/small", "small");
        let reads = Arc::new(Recorder::new(Arc::new(source)));
        let (report, events) = copy(reads.clone(), store.clone(), None).await;
        assert!(report.is_success() && report.unverified == 0, "{hashes:?}: {report:?}");
        assert_eq!(store.tree()["d/large"], bytes);
        assert_eq!(report.bytes, bytes.len() as u64 + 5);
        assert_eq!(report.bytes_kept, 0);
        assert_eq!(store.open_uploads(), 0);
        // Read part by part, unless the only digest there is needs every byte in order.
        let is_ordered = hashes == [HashAlgo::Md5];
        assert_eq!(reads.count("read"), if is_ordered { 2 } else { 7 }, "{hashes:?}");
        let digests = events.iter().find_map(|event| match event {
            Event::ItemDone { path, record, .. } if path.as_str() == "d/large" => {
                Some(record.digests.clone())
            }
            _ => None,
        });
        let blake3 = blake3::hash(&bytes).to_string();
        assert_eq!(digests.unwrap()["blake3"], blake3, "{hashes:?}");
    }
}

#[tokio::test]
async fn an_upload_that_was_interrupted_is_gone_on_with_and_what_was_kept_is_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let (source, store) = (network(), store_of_parts(&[HashAlgo::Crc64Nvme]));
    let bytes = content(9 * PART + 5);
    source.seed("large", bytes.clone());
    let source: Arc<dyn Backend> = Arc::new(source);
    let broken = Error::new(ErrorKind::Denied, "the line is cut").with_retry(Retry::Never);
    let cut = Faulty::new(source.clone()).fail_read_at("large", 7 * PART as u64 + 10, broken);
    let journal = begin(&folder);
    let (first, _) = copy(Arc::new(cut), store.clone(), Some(journal)).await;
    assert_eq!((first.failed, first.copied), (1, 0), "{first:?}");
    assert!(store.tree().is_empty(), "nothing is seen of it");

    let (second, _) = copy(source.clone(), store.clone(), Some(begin(&folder))).await;
    assert!(second.is_success() && second.unverified == 0, "{second:?}");
    assert_eq!(store.tree()["large"], bytes);
    assert_eq!(second.bytes + second.bytes_kept, bytes.len() as u64, "{second:?}");
    assert_eq!(store.open_uploads(), 0);
}

#[tokio::test]
async fn a_source_that_changes_between_two_parts_is_never_complete() {
    let (source, store) = (network(), store_of_parts(&[HashAlgo::Crc64Nvme]));
    source.seed("large", content(6 * PART));
    let source = Arc::new(source);
    let changed = Error::new(ErrorKind::Changed, "another version").with_retry(Retry::Never);
    let changes = Faulty::new(source.clone()).fail_read_at("large", 5 * PART as u64, changed);
    let (report, _) = copy(Arc::new(changes), store.clone(), None).await;
    assert_eq!(report.copied, 0, "{report:?}");
    assert!(store.tree().is_empty());
    assert_eq!(store.open_uploads(), 0, "and nothing is left of it");
}

#[tokio::test]
async fn what_the_store_damages_is_found_and_removed() {
    let (source, store) = (network(), store_of_parts(&[HashAlgo::Crc64Nvme]));
    source.seed("large", content(6 * PART));
    let damaging = Arc::new(Faulty::new(store.clone()).corrupt_put("large"));
    let (report, _) = copy(Arc::new(source), damaging, None).await;
    assert_eq!((report.copied, report.failed), (0, 1), "{report:?}");
    assert!(store.stat(&RelPath::new("large").unwrap()).await.is_err());
}
