//! The promises of the product that the engine keeps, each as a test named after it, against backends in memory.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use ketch_core::{Backend, Capabilities, Error, ErrorKind, HashAlgo, RelPath, Retry};
use ketch_engine::check::{self, CheckSettings};
use ketch_engine::{
    Compare, DeleteLimit, Event, JobKind, Outcome, Report, Request, Settings, Stop,
    report::Evidence, report::Verdict, start,
};
use ketch_testkit::{Faulty, MemoryBackend, Recorder};

/// Runs a job to its end and gives back what it told.
async fn run(
    kind: JobKind,
    source: Arc<dyn Backend>,
    destination: Arc<dyn Backend>,
    settings: Settings,
) -> (Report, Vec<Event>) {
    let mut job = start(Request { settings, ..Request::new(kind, source, destination) });
    let mut events = Vec::new();
    while let Some(event) = job.events.recv().await {
        events.push(event);
    }
    (job.report().await, events)
}

async fn sync(source: &Arc<MemoryBackend>, destination: &Arc<MemoryBackend>) -> Report {
    run(JobKind::Sync, source.clone(), destination.clone(), Settings::default()).await.0
}

fn memory(name: &str, files: &[(&str, &str)]) -> Arc<MemoryBackend> {
    let backend = MemoryBackend::new(name);
    for (path, content) in files {
        backend.seed(path, content.as_bytes());
    }
    Arc::new(backend)
}

/// Like 1fichier: no modification times, no empty files, duplicates, one digest.
fn service(name: &str, files: &[(&str, &str)]) -> Arc<MemoryBackend> {
    let capabilities = Capabilities {
        read_range: true,
        dirs: true,
        duplicates: true,
        copy: true,
        rename: true,
        hashes: &[HashAlgo::Whirlpool],
        ..Capabilities::default()
    };
    let backend = MemoryBackend::with(name, capabilities);
    for (path, content) in files {
        backend.seed(path, content.as_bytes());
    }
    Arc::new(backend)
}

fn path(text: &str) -> RelPath {
    RelPath::new(text).unwrap()
}

#[tokio::test]
async fn copy_brings_everything_and_deletes_nothing() {
    let source = memory("source", &[("a", "1"), ("d/b", "2"), ("d/e/c", "3")]);
    let destination = memory("destination", &[("extra", "x")]);
    let (report, _) =
        run(JobKind::Copy, source.clone(), destination.clone(), Settings::default()).await;
    assert!(report.is_success(), "{report:?}");
    assert_eq!((report.copied, report.deleted), (3, 0));
    let mut expected = source.tree();
    expected.insert("extra".to_owned(), "x".into());
    assert_eq!(destination.tree(), expected);
}

#[tokio::test]
async fn sync_makes_both_equal_and_a_second_run_plans_nothing() {
    let source = memory("source", &[("a", "1"), ("d/b", "2"), ("d.x", "3"), ("d/e/c", "4")]);
    let destination =
        memory("destination", &[("a", "old!"), ("d/extra", "x"), ("gone/deep/file", "y")]);
    let report = sync(&source, &destination).await;
    assert!(report.is_success(), "{report:?}");
    assert_eq!(destination.tree(), source.tree());
    assert!(!destination.dirs().contains("gone"), "children go before parents");
    assert_eq!(report.deleted, 4);
    let again = sync(&source, &destination).await;
    assert!(!again.changed_anything(), "{again:?}");
    assert_eq!(again.unchanged, 4);
}

#[tokio::test]
async fn promise_1_a_source_folder_that_fails_to_list_deletes_nothing_below_it() {
    let source = memory("source", &[("a", "1"), ("bad/x", "2"), ("good/y", "3")]);
    let destination = memory(
        "destination",
        &[("a", "1"), ("bad/x", "2"), ("bad/only/here", "h"), ("good/y", "3"), ("good/extra", "e")],
    );
    let broken = Error::new(ErrorKind::Unavailable, "HTTP 500").with_retry(Retry::Never);
    let faulty = Arc::new(Faulty::new(source.clone()).fail_list("bad", broken));
    let (report, _) = run(JobKind::Sync, faulty, destination.clone(), Settings::default()).await;
    assert_eq!(report.failed, 1, "{report:?}");
    let tree = destination.tree();
    assert!(tree.contains_key("bad/only/here") && tree.contains_key("bad/x"));
    assert!(!tree.contains_key("good/extra"), "healthy folders reach their deletions");
}

#[tokio::test]
async fn promise_1_a_listing_that_breaks_after_some_entries_counts_as_nothing_known() {
    let source = memory("source", &[("d/a", "1"), ("d/b", "2"), ("d/c", "3"), ("top", "t")]);
    let destination = memory("destination", &[("d/a", "1"), ("d/b", "2"), ("d/c", "3")]);
    let broken = Error::new(ErrorKind::Unavailable, "cut").with_retry(Retry::Never);
    let faulty = Arc::new(Faulty::new(source.clone()).fail_list_after("d", 1, broken));
    let (report, _) = run(JobKind::Sync, faulty, destination.clone(), Settings::default()).await;
    assert_eq!((report.failed, report.deleted), (1, 0), "{report:?}");
    assert_eq!(destination.tree().len(), 4, "nothing is deleted, what is known is copied");
}

#[tokio::test]
async fn promise_1_an_empty_source_stops_before_anything_is_changed() {
    let source = memory("source", &[]);
    let destination = memory("destination", &[("a", "1")]);
    let report = sync(&source, &destination).await;
    assert!(report.fatal.unwrap().message().contains("source is empty"));
    assert_eq!(destination.tree().len(), 1);
}

#[tokio::test]
async fn promise_1_a_plan_above_the_limit_stops_before_the_first_change() {
    let files: Vec<(String, &str)> = (0..30).map(|number| (format!("f{number}"), "x")).collect();
    let files: Vec<(&str, &str)> =
        files.iter().map(|(name, text)| (name.as_str(), *text)).collect();
    let source = memory("source", &[("f0", "x"), ("new", "n")]);
    let destination = memory("destination", &files);
    let recorder = Arc::new(Recorder::new(destination.clone()));
    let settings = Settings { delete_limit: DeleteLimit::Count(28), ..Settings::default() };
    let (report, _) = run(JobKind::Sync, source.clone(), recorder.clone(), settings.clone()).await;
    assert!(report.fatal.unwrap().message().contains("29 of 30"));
    assert_eq!((report.copied, report.deleted), (0, 0));
    assert_eq!((recorder.count("put"), recorder.count("delete")), (0, 0));
    let settings = Settings { delete_limit: DeleteLimit::Count(29), ..settings };
    let (report, _) = run(JobKind::Sync, source.clone(), recorder, settings).await;
    assert!(report.is_success(), "{report:?}");
    assert_eq!(destination.tree(), source.tree());
}

#[tokio::test]
async fn promise_1_a_failed_copy_holds_the_deletions_of_its_folder_only() {
    let source =
        memory("source", &[("d/new-name", "1"), ("e/keep", "2"), ("k1", "1"), ("k2", "2")]);
    let destination = memory(
        "destination",
        &[("d/old-name", "1"), ("e/extra", "x"), ("e/keep", "2"), ("k1", "1"), ("k2", "2")],
    );
    let denied = Error::new(ErrorKind::Denied, "no");
    let faulty = Arc::new(Faulty::new(destination.clone()).fail_path("put", "d/new-name", denied));
    let (report, _) = run(JobKind::Sync, source, faulty, Settings::default()).await;
    assert_eq!((report.failed, report.deletions_held, report.deleted), (1, 1, 1), "{report:?}");
    assert!(destination.tree().contains_key("d/old-name"));
}

#[tokio::test]
async fn promise_3_a_digest_that_differs_after_the_transfer_fails_the_item_and_removes_it() {
    let source = memory("source", &[("a", "right")]);
    let destination = service("destination", &[]);
    let faulty = Arc::new(Faulty::new(destination.clone()).corrupt_put("a"));
    let (report, _) = run(JobKind::Copy, source, faulty, Settings::default()).await;
    assert_eq!(report.failures[0].kind, ErrorKind::Corrupt, "{report:?}");
    assert!(destination.tree().is_empty());
}

#[tokio::test]
async fn promise_3_bytes_that_differ_from_the_listed_digest_never_become_a_file() {
    let source = service("source", &[("a", "right"), ("b", "fine")]);
    source.corrupt("a");
    let destination = memory("destination", &[("a", "old content")]);
    let (report, _) = run(JobKind::Copy, source, destination.clone(), Settings::default()).await;
    assert_eq!(report.failed, 1, "{report:?}");
    assert_eq!(report.failures[0].kind, ErrorKind::Corrupt);
    let tree = destination.tree();
    assert_eq!(tree["a"], "old content");
    assert_eq!(tree["b"], "fine");
}

#[tokio::test]
async fn promise_3_a_same_size_edit_is_found_by_check_and_repaired_by_checksum() {
    let source = memory("source", &[("a", "right"), ("b", "fine")]);
    let destination = service("destination", &[("a", "wrong"), ("b", "fine")]);
    let verdicts = check_all(&source, &destination).await;
    assert_eq!(
        verdicts,
        [
            (path("a"), Verdict::HashDiffers(HashAlgo::Whirlpool)),
            (path("b"), Verdict::Equal(Evidence::Digest(HashAlgo::Whirlpool)))
        ]
    );
    let settings = Settings { compare: Compare::Checksum, ..Settings::default() };
    let (report, _) = run(JobKind::Sync, source.clone(), destination.clone(), settings).await;
    assert_eq!(report.copied, 1, "{report:?}");
    assert_eq!(destination.tree(), source.tree());
}

async fn check_all(
    source: &Arc<MemoryBackend>,
    destination: &Arc<MemoryBackend>,
) -> Vec<(RelPath, Verdict)> {
    let settings = CheckSettings::default();
    let mut job = check::start(source.clone(), destination.clone(), settings, Stop::new());
    let mut verdicts = Vec::new();
    while let Some(event) = job.events.recv().await {
        if let Event::Checked { path, verdict } = event {
            verdicts.push((path, verdict));
        }
    }
    assert!(job.report().await.fatal.is_none());
    verdicts
}

#[tokio::test]
async fn what_an_uploader_claims_is_told_as_a_claim_and_proves_nothing() {
    let capabilities = Capabilities {
        read_local: false,
        hashes: &[],
        claimed_hashes: &[HashAlgo::Md5],
        ..MemoryBackend::everything()
    };
    let destination = Arc::new(MemoryBackend::with("destination", capabilities));
    let source = memory("source", &[("a", "content"), ("b", "other")]);
    let (report, _) =
        run(JobKind::Copy, source.clone(), destination.clone(), Settings::default()).await;
    assert_eq!((report.copied, report.failed), (2, 0), "{report:?}");
    // What the remote stores is damaged, and what was written down beside it stays.
    destination.corrupt("a");
    let claim = Verdict::Equal(Evidence::Claimed(HashAlgo::Md5));
    let verdicts = check_all(&source, &destination).await;
    assert_eq!(verdicts, [(path("a"), claim.clone()), (path("b"), claim)]);
    // A claim may spare a transfer, and never removes a source.
    for compare in [Compare::Checksum, Compare::SizeAndTime] {
        let settings = Settings { compare, ..Settings::default() };
        let copied =
            run(JobKind::Copy, source.clone(), destination.clone(), settings.clone()).await.0;
        assert_eq!((copied.copied, copied.fatal.is_none()), (0, true), "{copied:?}");
        // And it is told that it did.
        let claimed = if compare == Compare::Checksum { 2 } else { 0 };
        assert_eq!((copied.unchanged, copied.unchanged_claimed), (2, claimed), "{compare:?}");
        let (moved, _) = run(JobKind::Move, source.clone(), destination.clone(), settings).await;
        assert_eq!(moved.sources_removed, 0, "{moved:?}");
        assert_eq!(source.tree().len(), 2);
    }
    // A claim that differs is told as one, too.
    source.seed("b", b"0ther");
    let verdicts = check_all(&source, &destination).await;
    assert_eq!(verdicts[1], (path("b"), Verdict::ClaimDiffers(HashAlgo::Md5)));
    source.seed("b", b"other");
    // What is read and does not fit the claim is not handed on.
    for kind in [JobKind::Copy, JobKind::Sync] {
        let away = memory("away", &[]);
        let (report, _) = run(kind, destination.clone(), away.clone(), Settings::default()).await;
        assert_eq!((report.copied, report.failed), (1, 1), "{kind:?}: {report:?}");
        assert!(!away.tree().contains_key("a"));
    }
}

/// A sync in which nothing can be stored below `new`, to a destination that has one extra file.
async fn sync_without_storing(files: usize, extra: &str) -> (Report, Arc<MemoryBackend>) {
    let source = service("source", &[("kept", "kept")]);
    for number in 0..files {
        source.seed(&format!("new/{number}"), format!("content {number:04}").as_bytes());
    }
    let destination = service("destination", &[("kept", "kept"), ("old/extra", extra)]);
    let mut faulty = Faulty::new(destination.clone());
    for number in 0..files {
        let error = Error::new(ErrorKind::Denied, "no");
        faulty = faulty.fail_path("put", &format!("new/{number}"), error);
    }
    let settings = Settings { delete_limit: DeleteLimit::Percent(100), ..Settings::default() };
    let (report, _) = run(JobKind::Sync, source, Arc::new(faulty), settings).await;
    assert_eq!(report.failed, files as u64, "{report:?}");
    (report, destination)
}

#[tokio::test]
async fn an_extra_stays_if_it_may_be_the_only_copy_of_one_of_too_many_that_could_not_be_stored() {
    for (files, extra, stays) in [
        (3, "content 0002", true),
        (3, "content 0003", false),
        (1_000, "content 1001", false),
        (1_001, "content 1001", true),
    ] {
        let (report, destination) = sync_without_storing(files, extra).await;
        let is_there = destination.tree().contains_key("old/extra");
        assert_eq!(is_there, stays, "{files} {extra}: {report:?}");
        assert_eq!(report.deletions_held > 0, stays, "{files} {extra}: {report:?}");
    }
}

#[tokio::test]
async fn an_extra_stays_if_it_is_the_copy_of_what_was_refused_while_planning() {
    for (content, stays) in [("the content", true), ("no longer in", false)] {
        let source = service("source", &[("kept", "kept"), ("new/f", "the content")]);
        source.insert_duplicate("new/f", b"the content");
        let destination = service("destination", &[("kept", "kept"), ("old/f", content)]);
        let settings = Settings { delete_limit: DeleteLimit::Percent(100), ..Settings::default() };
        let (report, _) = run(JobKind::Sync, source, destination.clone(), settings).await;
        assert_eq!(report.failed, 1, "{report:?}");
        assert_eq!(destination.tree().contains_key("old/f"), stays, "{report:?}");
    }
}

#[tokio::test]
async fn promise_5_every_item_has_exactly_one_outcome() {
    let files: Vec<(String, String)> =
        (0..200).map(|number| (format!("d{}/f{number}", number % 7), number.to_string())).collect();
    let files: Vec<(&str, &str)> =
        files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let source = memory("source", &files);
    let destination = memory("destination", &[("d1/old", "x"), ("zz/old", "y")]);
    let denied = Error::new(ErrorKind::Denied, "no");
    let mut faulty = Faulty::new(destination.clone());
    for number in [3, 50, 199] {
        let name = format!("d{}/f{number}", number % 7);
        faulty = faulty.fail_path("put", &name, denied_like(&denied));
    }
    let (report, events) = run(JobKind::Sync, source, Arc::new(faulty), Settings::default()).await;
    let mut outcomes = std::collections::BTreeMap::new();
    let mut planned = None;
    for event in events {
        match event {
            Event::ItemDone { path, .. } => *outcomes.entry(path.to_string()).or_insert(0) += 1,
            Event::ItemFailed { failure, .. } => {
                *outcomes.entry(failure.path.to_string()).or_insert(0) += 1;
            }
            Event::Planned { items, .. } => planned = Some(items),
            _ => {}
        }
    }
    assert!(outcomes.values().all(|times| *times == 1), "{outcomes:?}");
    assert_eq!(outcomes.len() as u64, planned.unwrap());
    assert_eq!(report.failed, 3);
}

fn denied_like(error: &Error) -> Error {
    Error::new(error.kind(), error.message())
}

#[tokio::test]
async fn promise_8_only_what_failed_is_tried_again() {
    let source = memory("source", &[("a", "1"), ("b", "2"), ("c", "3")]);
    let recorder = Arc::new(Recorder::new(source.clone()));
    let destination = memory("destination", &[]);
    let passing = Error::new(ErrorKind::Unavailable, "reset").with_retry(Retry::Backoff);
    let faulty = Arc::new(Faulty::new(destination.clone()).fail_path_once("put", "b", passing));
    let (report, _) = run(JobKind::Copy, recorder.clone(), faulty, Settings::default()).await;
    assert!(report.is_success(), "{report:?}");
    assert_eq!(destination.tree(), source.tree());
    assert_eq!(recorder.count("list"), 1, "one failing item costs no listing");
}

#[tokio::test]
async fn empty_files_are_one_outcome_each_and_block_no_deletion() {
    let source = memory("source", &[("empty", ""), ("full", "x"), ("k", "k")]);
    let destination = service("destination", &[("extra", "e"), ("k", "k")]);
    let (report, events) =
        run(JobKind::Sync, source, destination.clone(), Settings::default()).await;
    assert!(report.is_success(), "{report:?}");
    assert_eq!((report.not_storable, report.deleted, report.copied), (1, 1, 1));
    let told = events.iter().filter(|event| {
        matches!(event, Event::ItemDone { outcome: Outcome::NotStorable, path, .. } if path.as_str() == "empty")
    });
    assert_eq!(told.count(), 1);
}

#[tokio::test]
async fn within_one_account_the_remote_copies_itself() {
    let source = service("one", &[("d/a", "content")]);
    let destination = service("two", &[]);
    source.set_scope("account");
    destination.share_account(&source);
    let (report, _) =
        run(JobKind::Copy, source.clone(), destination.clone(), Settings::default()).await;
    assert!(report.is_success(), "{report:?}");
    assert_eq!(report.copied_by_remote, 1);
    assert_eq!(destination.tree(), source.tree());
}

#[tokio::test]
async fn a_copy_never_lists_folders_that_only_the_destination_has() {
    let source = memory("source", &[("d/a", "1")]);
    let destination = memory("destination", &[("x/1", "1"), ("y/2", "2"), ("d/b", "3")]);
    let recorder = Arc::new(Recorder::new(destination));
    run(JobKind::Copy, source, recorder.clone(), Settings::default()).await;
    assert_eq!(recorder.count("list"), 2, "the root and `d`");
}

#[tokio::test]
async fn a_dry_run_tells_what_the_run_then_does_and_changes_nothing() {
    let source = memory("source", &[("a", "1"), ("d/b", "2"), ("same", "s")]);
    let destination = memory("destination", &[("d/old", "x"), ("same", "s")]);
    let before = destination.tree();
    let told = |events: Vec<Event>| {
        let mut done: Vec<_> = events
            .into_iter()
            .filter_map(|event| match event {
                Event::ItemDone { path, outcome, reason, .. } => {
                    Some(format!("{path} {outcome:?} {reason:?}"))
                }
                _ => None,
            })
            .collect();
        done.sort();
        done
    };
    let settings = Settings { dry_run: true, ..Settings::default() };
    let (_, planned) = run(JobKind::Sync, source.clone(), destination.clone(), settings).await;
    assert_eq!(destination.tree(), before);
    let (_, done) =
        run(JobKind::Sync, source.clone(), destination.clone(), Settings::default()).await;
    assert_eq!(told(planned), told(done));
}

#[tokio::test]
async fn a_missing_source_is_fatal_and_touches_nothing() {
    let source = memory("source", &[]);
    let missing = Error::new(ErrorKind::NotFound, "no such folder");
    let faulty = Arc::new(Faulty::new(source).fail_list("", missing));
    let destination = memory("destination", &[("a", "1")]);
    let (report, _) = run(JobKind::Sync, faulty, destination.clone(), Settings::default()).await;
    assert_eq!(report.fatal.unwrap().kind(), ErrorKind::NotFound);
    assert_eq!(destination.tree().len(), 1);
}

#[tokio::test]
async fn a_full_destination_ends_the_job_and_deletes_nothing() {
    let source = memory("source", &[("a", "1"), ("b", "2"), ("k", "k")]);
    let destination = memory("destination", &[("extra", "e"), ("k", "k")]);
    let full = Error::new(ErrorKind::Quota, "no space left");
    let faulty = Arc::new(Faulty::new(destination.clone()).fail_path("put", "a", full));
    let settings = Settings { transfers: Some(1), ..Settings::default() };
    let (report, _) = run(JobKind::Sync, source, faulty, settings).await;
    assert_eq!(report.fatal.as_ref().unwrap().kind(), ErrorKind::Quota);
    assert_eq!(report.deleted, 0, "{report:?}");
    assert!(destination.tree().contains_key("extra"));
}

#[tokio::test]
async fn a_folder_of_the_destination_is_not_gone_because_its_listing_says_so_once() {
    let gone = || Error::new(ErrorKind::NotFound, "no such folder");
    for dir in ["", "d"] {
        let source = memory("source", &[("a", "1"), ("d/b", "2")]);
        let destination = service("destination", &[("a", "1"), ("d/b", "2")]);
        let there = destination.tree();
        let lies = Arc::new(Faulty::new(destination.clone()).fail_list_once(dir, 0, gone()));
        let (report, _) =
            run(JobKind::Sync, source.clone(), lies.clone(), Settings::default()).await;
        assert!(!report.is_success(), "{dir}: {report:?}");
        assert_eq!((report.copied, report.deleted), (0, 0), "{dir}");
        assert_eq!(destination.tree(), there, "{dir}: stored twice");
    }
}

#[tokio::test]
async fn a_folder_that_really_went_away_is_made_again() {
    let source = memory("source", &[("a", "1"), ("d/b", "2")]);
    let destination = service("destination", &[]);
    let (report, _) =
        run(JobKind::Sync, source.clone(), destination.clone(), Settings::default()).await;
    assert!(report.is_success(), "{report:?}");
    assert_eq!(destination.tree(), source.tree());
}
