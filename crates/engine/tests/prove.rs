//! Manifests and checks of any backend: what they cost, what they find, and that they go on where they were.

mod common;

use std::sync::Arc;

use common::{manifest_of, with_an_unusable_name};
use ketch_core::{Backend, Capabilities, Error, ErrorKind, HashAlgo, Hint, Order};
use ketch_engine::check::{self, CheckSettings};
use ketch_engine::prove::create::{Made, What, create};
use ketch_engine::prove::repair::repair;
use ketch_engine::prove::verify::{Coverage, Sample, Verdict, VerifySettings, verify};
use ketch_engine::prove::{Pass, ProveSettings};
use ketch_engine::state::Marks;
use ketch_engine::{CheckReport, Progress, Settings, Stop};
use ketch_manifest::ManifestEntry;
use ketch_testkit::{Faulty, MemoryBackend, Recorder};

/// A remote that is read over a network and shows these digests.
fn remote(name: &str, hashes: &'static [HashAlgo], files: usize) -> Arc<MemoryBackend> {
    let capabilities = Capabilities {
        read_range: true,
        dirs: true,
        put_empty: true,
        hashes,
        ..Capabilities::default()
    };
    let backend = MemoryBackend::with(name, capabilities);
    for number in 0..files {
        backend.seed(&format!("d{}/f{number:04}", number % 3), format!("content {number}"));
    }
    Arc::new(backend)
}

fn recorded(backend: &Arc<MemoryBackend>) -> Arc<Recorder> {
    Arc::new(Recorder::new(backend.clone()))
}

fn refused() -> Error {
    Error::new(ErrorKind::Unauthenticated, "who are you?")
}

async fn run_check(
    source: Arc<dyn Backend>,
    destination: Arc<dyn Backend>,
    marks: Option<Marks>,
) -> CheckReport {
    let settings = CheckSettings {
        settings: Settings { checkers: 1, ..Settings::default() },
        download: marks.is_some(),
        marks: marks.map(Arc::new),
        ..CheckSettings::default()
    };
    let mut job = check::start(source, destination, settings, Stop::new());
    while job.events.recv().await.is_some() {}
    job.report().await
}

#[tokio::test]
async fn equal_files_are_counted_when_they_are_not_told_of_and_others_are_told_of() {
    for (equal_is_silent, expected) in [(false, 30), (true, 1)] {
        let (source, destination) = (remote("source", &[], 30), remote("destination", &[], 30));
        destination.seed("d0/f0003", "something else, of another size");
        let settings =
            CheckSettings { download: true, equal_is_silent, ..CheckSettings::default() };
        let mut job = check::start(source, destination, settings, Stop::new());
        let mut told = Vec::new();
        while let Some(event) = job.events.recv().await {
            if let ketch_engine::event::Event::Checked { path, verdict } = event {
                told.push((path.to_string(), verdict));
            }
        }
        assert_eq!(told.len(), expected);
        assert!(
            told.contains(&("d0/f0003".to_owned(), ketch_engine::report::Verdict::SizeDiffers))
        );
        let report = job.report().await;
        assert_eq!((report.equal, report.differing), (29, 1));
    }
}

#[tokio::test]
async fn an_interrupted_check_by_download_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let marks = || Some(Marks::open(folder.path(), &["check"]).unwrap());
    let (source, destination) = (remote("source", &[], 30), remote("destination", &[], 30));
    let faulty = Arc::new(Faulty::new(destination.clone()).fail_nth("read", 13, refused()));
    let report = run_check(source.clone(), faulty, marks()).await;
    assert_eq!(report.fatal.unwrap().kind(), ErrorKind::Unauthenticated);

    // One of those that were equal is another version now, and is read again.
    destination.touch("d0/f0000");
    let reads = recorded(&destination);
    let report = run_check(source.clone(), reads.clone(), marks()).await;
    assert_eq!((report.equal, report.resumed), (30, 11), "{report:?}");
    assert_eq!(reads.count("read"), 19);

    // It came to its end, so the next one is another check.
    let reads = recorded(&destination);
    let report = run_check(source, reads.clone(), marks()).await;
    assert_eq!((report.equal, report.resumed, reads.count("read")), (30, 0, 30));
}

#[tokio::test]
async fn a_check_of_a_thousand_remote_files_costs_listings_only() {
    let hashes = &[HashAlgo::Whirlpool];
    let (source, destination) =
        (remote("source", hashes, 1000), remote("destination", hashes, 1000));
    let (from, to) = (recorded(&source), recorded(&destination));
    let report = run_check(from.clone(), to.clone(), None).await;
    assert_eq!((report.equal, report.equal_by_hash), (1000, 1000), "{report:?}");
    for side in [from, to] {
        assert_eq!(side.count("list"), 4);
        assert_eq!(side.calls().len(), 4, "{:?}", side.calls());
    }
}

async fn verdicts(
    backend: Arc<dyn Backend>,
    entries: &[ManifestEntry],
    settings: &VerifySettings,
) -> ketch_core::Result<(Vec<(String, Verdict)>, Coverage)> {
    let mut entries = Vec::from(entries).into_iter();
    let entries = Box::new(move || entries.next().map(Ok));
    let mut told = Vec::new();
    let coverage = verify(&backend, entries, settings, |verified| {
        told.push((verified.path.to_string(), verified.verdict));
        Ok(())
    });
    let Pass::Done(coverage) = coverage.await? else { panic!("it is not flat") };
    Ok((told, coverage))
}

fn downloading() -> ProveSettings {
    ProveSettings { download: true, checkers: 1, ..ProveSettings::default() }
}

#[tokio::test]
async fn a_remote_with_digests_is_written_down_and_verified_by_listings_only() {
    let backend = remote("r", &[HashAlgo::Whirlpool], 100);
    let recorder = recorded(&backend);
    let entries = manifest_of(recorder.clone(), &ProveSettings::default()).await;
    assert_eq!(entries.len(), 100);
    assert!(entries.iter().all(|entry| entry.digest(HashAlgo::Whirlpool).is_some()));
    backend.seed("d0/f0000", "CONTENT 0");
    backend.remove("d1/f0001");
    backend.seed("new", "x");
    let settings = VerifySettings::default();
    let (told, _) = verdicts(recorder.clone(), &entries, &settings).await.unwrap();
    let odd: Vec<_> = told.into_iter().filter(|(_, verdict)| *verdict != Verdict::Ok).collect();
    // No time is kept that could say that somebody changed it.
    assert!(matches!(odd[0], (_, Verdict::Rotted(_))), "{odd:?}");
    assert_eq!(odd[1], ("d1/f0001".to_owned(), Verdict::Missing));
    assert_eq!(odd[2], ("new".to_owned(), Verdict::Extra));
    assert_eq!((odd.len(), recorder.count("read")), (3, 0));
}

#[tokio::test]
async fn a_remote_without_digests_is_unverifiable_unless_it_is_read() {
    let backend = remote("r", &[], 5);
    let entries = manifest_of(backend.clone(), &downloading()).await;
    let settings = VerifySettings::default();
    let (told, _) = verdicts(backend.clone(), &entries, &settings).await.unwrap();
    assert!(
        told.iter().all(|(_, verdict)| matches!(verdict, Verdict::Unverifiable(..))),
        "{told:?}"
    );
    let settings = VerifySettings { prove: downloading(), ..VerifySettings::default() };
    let (told, _) = verdicts(backend, &entries, &settings).await.unwrap();
    assert!(told.iter().all(|(_, verdict)| *verdict == Verdict::Ok), "{told:?}");
}

#[tokio::test]
async fn an_interrupted_verification_goes_on_where_it_was_also_within_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let backend = remote("r", &[], 12);
    // Three parts.
    backend.seed("d1/large", vec![5; 9 * 1024 * 1024]);
    let entries = manifest_of(backend.clone(), &downloading()).await;
    let settings = || VerifySettings {
        prove: downloading(),
        marks: Some(Arc::new(Marks::open(folder.path(), &["verify"]).unwrap())),
        ..VerifySettings::default()
    };
    // d0 and d1 have four small files each, so the tenth call is for the second part of the large one.
    let faulty = Arc::new(Faulty::new(backend.clone()).fail_nth("read", 10, refused()));
    verdicts(faulty, &entries, &settings()).await.expect_err("it ends in the middle");
    let reads = recorded(&backend);
    let (told, coverage) = verdicts(reads.clone(), &entries, &settings()).await.unwrap();
    assert!(told.iter().all(|(_, verdict)| *verdict == Verdict::Ok), "{told:?}");
    assert_eq!((coverage.resumed, reads.count("read")), (9, 6));
}

#[tokio::test]
async fn what_is_in_a_folder_that_cannot_be_listed_is_not_missing() {
    let backend = remote("r", &[HashAlgo::Md5], 9);
    backend.seed("d1.x", "after the folder's name and before its files");
    let entries = manifest_of(backend.clone(), &ProveSettings::default()).await;
    let denied = Error::new(ErrorKind::Denied, "no");
    let faulty = Arc::new(Faulty::new(backend).fail_list("d1", denied));
    let (told, _) = verdicts(faulty, &entries, &VerifySettings::default()).await.unwrap();
    for (path, verdict) in told {
        let is_inside = path.starts_with("d1/") || path == "d1";
        let is_unverifiable = matches!(verdict, Verdict::Unverifiable(..));
        assert_eq!(is_inside, is_unverifiable, "{path}: {verdict:?}");
        assert!(is_inside || verdict == Verdict::Ok, "{path}: {verdict:?}");
    }
}

#[tokio::test]
async fn the_rounds_of_a_sample_together_read_everything_once() {
    let backend = remote("r", &[], 60);
    backend.seed("large", vec![5; 21 * 1024 * 1024]);
    let entries = manifest_of(backend.clone(), &downloading()).await;
    let bytes: u64 = entries.iter().map(|entry| entry.size).sum();
    let mut compared = 0;
    for round in 0..7 {
        let sample = Some(Sample { rounds: 7, round });
        let settings = VerifySettings { prove: downloading(), sample, ..VerifySettings::default() };
        let (told, coverage) = verdicts(backend.clone(), &entries, &settings).await.unwrap();
        assert_eq!(told.len(), 61);
        assert!(coverage.bytes < bytes);
        compared += coverage.bytes;
    }
    assert_eq!(compared, bytes);
}

#[tokio::test]
async fn a_repair_fetches_the_damaged_part_only_and_never_stores_what_is_not_right() {
    let content: Vec<u8> = (0..9 * 1024 * 1024_u32).map(|at| (at / 7 % 251) as u8).collect();
    let mut rotten = content.clone();
    rotten[5_000_000] ^= 4;
    let (damaged, whole) = (remote("damaged", &[], 0), remote("whole", &[], 0));
    damaged.seed("large", content.clone());
    whole.seed("large", content.clone());
    let entries = manifest_of(damaged.clone(), &downloading()).await;
    damaged.seed("large", rotten.clone());
    let place: Arc<dyn Backend> = damaged.clone();
    let find = || async {
        let mut found = None;
        let mut entries = entries.clone().into_iter();
        let entries = Box::new(move || entries.next().map(Ok));
        let settings = VerifySettings { prove: downloading(), ..VerifySettings::default() };
        let pass = verify(&place, entries, &settings, |verified| {
            found = Some(verified);
            Ok(())
        });
        assert!(matches!(pass.await, Ok(Pass::Done(_))));
        found.unwrap()
    };
    let part = 4 * 1024 * 1024;
    let verified = find().await;
    assert_eq!(verified.verdict, Verdict::Rotted(std::iter::once(part..2 * part).collect()));

    let other: Arc<dyn Backend> = remote("other", &[], 0);
    let error =
        repair(&place, &other, &verified, &Progress::default()).await.expect_err("it is not there");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let other = remote("other", &[], 0);
    other.seed("large", rotten.clone());
    let other: Arc<dyn Backend> = other;
    let error = repair(&place, &other, &verified, &Progress::default())
        .await
        .expect_err("it is damaged too");
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert!(damaged.tree()["large"] == rotten, "the old content stays");

    let other: Arc<dyn Backend> = whole;
    let repaired = repair(&place, &other, &verified, &Progress::default()).await.unwrap();
    assert_eq!(repaired.fetched, part);
    assert!(damaged.tree()["large"] == content);
    assert_eq!(find().await.verdict, Verdict::Ok);
}

#[tokio::test]
async fn bytes_that_do_not_fit_what_was_claimed_of_them_get_into_no_manifest() {
    let capabilities = Capabilities {
        read_range: true,
        put_empty: true,
        claimed_hashes: &[HashAlgo::Md5],
        ..Capabilities::default()
    };
    let place = MemoryBackend::with("remote", capabilities);
    for name in ["bad", "good"] {
        place.seed(name, name);
    }
    place.corrupt("bad");
    let (mut entered, mut failed) = (Vec::new(), Vec::new());
    let take = |made| {
        match made {
            Made::Entry(entry) => entered.push(entry.path.to_string()),
            Made::Failed(path, error) => failed.push((path.to_string(), error.kind())),
            Made::Other(path, why, _) => panic!("{path}: {why}"),
        }
        Ok(())
    };
    let place: Arc<dyn Backend> = Arc::new(place);
    let pass = create(&place, &downloading(), What::Manifest, None, take).await;
    assert_eq!(pass.expect("a manifest"), Pass::Done(()));
    assert_eq!(entered, ["good"]);
    assert_eq!(failed, [("bad".to_owned(), ErrorKind::Corrupt)]);
}

/// A remote that lists everything at once.
fn flat_remote(files: usize) -> Arc<MemoryBackend> {
    let capabilities = Capabilities {
        list_recursive: true,
        list_order: Order::Key,
        read_range: true,
        put_empty: true,
        hashes: &[HashAlgo::Sha256],
        ..Capabilities::default()
    };
    let backend = MemoryBackend::with("flat", capabilities);
    for number in 0..files {
        backend.seed(&format!("d{:03}/f{number:04}", number / 3), format!("content {number}"));
    }
    Arc::new(backend)
}

#[tokio::test]
async fn a_manifest_of_a_place_that_lists_everything_at_once_costs_one_listing() {
    let place = flat_remote(300);
    let settings = ProveSettings::default();
    let folder_by_folder = ProveSettings { flat: false, ..ProveSettings::default() };
    let expected = manifest_of(place.clone(), &folder_by_folder).await;
    assert_eq!(expected.len(), 300);
    let lists = recorded(&place);
    assert_eq!(manifest_of(lists.clone(), &settings).await, expected);
    assert_eq!(lists.count("list"), 1);
    let lists = recorded(&place);
    let verify_settings = VerifySettings { prove: settings.clone(), ..VerifySettings::default() };
    let (told, _) = verdicts(lists.clone(), &expected, &verify_settings).await.unwrap();
    assert_eq!((told.len(), lists.count("list")), (300, 1));
    assert!(told.iter().all(|(_, verdict)| *verdict == Verdict::Ok), "{told:?}");

    // Where a listing breaks off, ketch continues folder by folder.
    let error = || Error::new(ErrorKind::Unavailable, "the line is cut");
    let cut = Arc::new(Faulty::new(place.clone()).fail_list_once("", 150, error()));
    assert_eq!(manifest_of(cut, &settings).await, expected);
    // Of a folder that cannot be listed nothing is said to be missing, and with each file in it comes what helps.
    let refused = error().with_hint(Hint::Refresh);
    let cut = Faulty::new(place.clone()).fail_list_once("", 150, error());
    let cut = cut.fail_list("d060", refused);
    let (told, _) = verdicts(Arc::new(cut), &expected, &verify_settings).await.unwrap();
    let is_refused =
        |verdict: &Verdict| matches!(verdict, Verdict::Unverifiable(_, Some(Hint::Refresh)));
    let unverifiable = told.iter().filter(|(_, verdict)| is_refused(verdict)).count();
    // The three files, and the folder itself.
    assert_eq!((told.len(), unverifiable), (301, 4), "{told:?}");
}

#[tokio::test]
async fn a_manifest_from_a_listing_that_is_not_in_order_is_void() {
    let place = flat_remote(90);
    let entries = manifest_of(place.clone(), &ProveSettings::default()).await;
    place.list_out_of_order();
    let backend: Arc<dyn Backend> = place.clone();
    let settings = ProveSettings::default();
    let pass = create(&backend, &settings, What::Manifest, None, |_| Ok(())).await;
    assert_eq!(pass.unwrap(), Pass::Void);
    let verify_settings = VerifySettings { prove: settings, ..VerifySettings::default() };
    let mut rest = entries.clone().into_iter();
    let again = Box::new(move || rest.next().map(Ok));
    let pass = verify(&backend, again, &verify_settings, |_| Ok(())).await;
    assert_eq!(pass.unwrap(), Pass::Void);

    let settings = ProveSettings { flat: false, ..ProveSettings::default() };
    assert_eq!(manifest_of(place.clone(), &settings).await, entries);
    let verify_settings = VerifySettings { prove: settings, ..VerifySettings::default() };
    let (told, _) = verdicts(place, &entries, &verify_settings).await.unwrap();
    assert!(told.iter().all(|(_, verdict)| *verdict == Verdict::Ok), "{told:?}");
}

#[tokio::test]
async fn a_name_that_is_no_path_is_left_out_of_a_manifest_and_hides_nothing() {
    let place = with_an_unusable_name();
    let entry = |path: &str| ManifestEntry {
        path: ketch_core::RelPath::new(path).unwrap(),
        size: 1,
        mtime: None,
        hashes: ketch_core::Hashes::default(),
        prefix: None,
        parts: None,
    };
    let entries: Vec<_> = ["a", "b/-", "b/a/f", "b/c", "c"].map(entry).into();
    let (told, _) = verdicts(place.clone(), &entries, &VerifySettings::default()).await.unwrap();
    // Without a digest nothing is proven, but every file is found.
    assert_eq!(told.len(), 5, "{told:?}");
    let is_found = |verdict: &Verdict| !matches!(verdict, Verdict::Missing | Verdict::Extra);
    assert!(told.iter().all(|(_, verdict)| is_found(verdict)), "{told:?}");
    let mut left_out = Vec::new();
    let take = |made| {
        if let Made::Other(path, ..) = made {
            left_out.push(path.to_string());
        }
        Ok(())
    };
    let pass = create(&place, &ProveSettings::default(), What::Manifest, None, take).await;
    assert_eq!((pass.unwrap(), left_out), (Pass::Done(()), vec!["b~~q".to_owned()]));
}
