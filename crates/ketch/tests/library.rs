//! What a program that builds on ketch can rely on.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;
use std::sync::{Arc, Mutex};

use ketch::{ErrorKind, Event, Options, Settings, Stop};
use ketch_testkit::MemoryBackend;

fn write(folder: &Path, name: &str, content: &str) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

#[tokio::test]
async fn a_missing_source_is_an_error_of_the_job_and_no_empty_report() {
    let scratch = tempfile::tempdir().unwrap();
    let source = ketch::local(scratch.path().join("none")).unwrap();
    let destination = ketch::local(scratch.path().join("to")).unwrap();
    for job in [
        ketch::copy(source.clone(), destination.clone()),
        ketch::sync(source.clone(), destination.clone()),
        ketch::move_files(source, destination),
    ] {
        assert_eq!(job.run().await.unwrap_err().kind(), ErrorKind::NotFound);
    }
    assert!(!scratch.path().join("to").exists());
}

#[tokio::test]
async fn what_fails_by_itself_is_in_the_report() {
    let scratch = tempfile::tempdir().unwrap();
    write(scratch.path(), "from/good", "1");
    write(scratch.path(), "from/clash", "2");
    write(scratch.path(), "to/clash/inside", "3");
    let (from, to) = (scratch.path().join("from"), scratch.path().join("to"));
    let job = ketch::copy(ketch::local(from).unwrap(), ketch::local(to).unwrap());
    let report = job.run().await.unwrap();
    assert!(!report.is_success());
    assert_eq!((report.copied, report.failed), (1, 1));
    assert_eq!(report.failures[0].path.as_str(), "clash");
}

#[tokio::test]
async fn a_plan_is_written_shown_and_applied() {
    let scratch = tempfile::tempdir().unwrap();
    write(scratch.path(), "from/a", "1");
    write(scratch.path(), "to/extra", "2");
    let file = scratch.path().join("plan");
    let (from, to) = (scratch.path().join("from"), scratch.path().join("to"));
    let places = || (ketch::local(&from).unwrap(), ketch::local(&to).unwrap());
    let settings =
        || Settings { delete_limit: ketch::DeleteLimit::Percent(100), ..Settings::default() };
    let (source, destination) = places();
    let totals = ketch::sync(source, destination).settings(settings()).plan(&file).await.unwrap();
    assert_eq!((totals.copies, totals.deletions), (1, 1));
    assert!(to.join("extra").exists() && !to.join("a").exists(), "nothing was changed");
    let (source, destination) = places();
    let plan = ketch::PlanFile::open(&file).unwrap();
    let report = ketch::apply(plan, source, destination).settings(settings()).run().await.unwrap();
    assert_eq!((report.copied, report.deleted), (1, 1));
    assert!(!to.join("extra").exists() && to.join("a").exists());
}

#[tokio::test]
async fn a_job_that_is_stopped_is_gone_on_with_where_records_are_kept() {
    let scratch = tempfile::tempdir().unwrap();
    let source = MemoryBackend::new("source");
    for number in 0..200 {
        source.seed(&format!("d{}/f{number}", number % 10), format!("{number}"));
    }
    let (source, destination) = (Arc::new(source), Arc::new(MemoryBackend::new("destination")));
    let job = || {
        ketch::copy(source.clone(), destination.clone())
            .records(scratch.path())
            .settings(Settings { transfers: Some(2), ..Settings::default() })
    };
    let (stop, done) = (Stop::new(), Arc::new(Mutex::new(0)));
    let (stopping, counted) = (stop.clone(), Arc::clone(&done));
    let first = job().stop(stop).on_event(move |event| {
        if matches!(event, Event::ItemDone { .. }) {
            *counted.lock().unwrap() += 1;
            if *counted.lock().unwrap() == 20 {
                stopping.gently.cancel();
            }
        }
    });
    let first = first.run().await.unwrap();
    assert!(first.stopped && first.is_open && first.copied < 200, "{first:?}");
    let going_on = Arc::new(Mutex::new(false));
    let saw = Arc::clone(&going_on);
    let second = job().on_event(move |event| {
        *saw.lock().unwrap() |= matches!(event, Event::GoingOn { .. });
    });
    let second = second.run().await.unwrap();
    assert!(*going_on.lock().unwrap());
    assert_eq!(first.copied + second.copied, 200, "nothing is sent twice");
    assert_eq!(destination.tree(), source.tree());
}

#[tokio::test]
async fn a_job_whose_future_is_dropped_ends_by_itself_and_leaves_whole_files() {
    let source = MemoryBackend::new("source");
    for number in 0..500 {
        source.seed(&format!("f{number}"), vec![7; 1_000]);
    }
    let (source, destination) = (Arc::new(source), Arc::new(MemoryBackend::new("destination")));
    let begun = Arc::new(tokio::sync::Notify::new());
    let tell = Arc::clone(&begun);
    let job = ketch::copy(source.clone(), destination.clone())
        .settings(Settings { transfers: Some(1), ..Settings::default() })
        .on_event(move |event| {
            if matches!(event, Event::ItemDone { .. }) {
                tell.notify_one();
            }
        });
    tokio::select! {
        report = job.run() => panic!("it was to be dropped: {report:?}"),
        () = begun.notified() => {}
    }
    // It is told to stop, and does so in the background.
    let mut last = usize::MAX;
    while last != destination.tree().len() {
        last = destination.tree().len();
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
    }
    assert!(last < 500, "{last}");
    assert!(destination.tree().values().all(|content| content.len() == 1_000));
}

#[tokio::test]
async fn kinds_and_options_are_checked_when_a_place_is_connected() {
    let unknown = ketch::connect("nothing", "/tmp", Options::default(), None).await.unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::InvalidInput);
    let wrong = Options::from_iter([("lnks", "keep")]);
    let wrong = ketch::connect("local", "/tmp", wrong, None).await.unwrap_err();
    assert!(wrong.to_string().contains("lnks"), "{wrong}");
    assert!(ketch::kinds().iter().any(|factory| factory.kind == "local"));
    assert!(ketch::local("").is_err());
}

/// What a program spawns must be `Send`.
#[test]
fn jobs_can_be_spawned() {
    fn is_send<T: Send>(_: &T) {}
    let place = || Arc::new(MemoryBackend::new("place"));
    let job = ketch::copy(place(), place());
    is_send(&job);
    is_send(&job.run());
}
