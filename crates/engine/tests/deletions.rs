//! Deletions that one request carries: few calls, one outcome for each file, and what is refused stays alone.

use std::sync::Arc;

use ketch_core::{Backend, Capabilities, Error, ErrorKind};
use ketch_engine::{DeleteLimit, Event, JobKind, Outcome, Request, Settings, start};
use ketch_testkit::{Faulty, MemoryBackend, Recorder};

const TOGETHER: usize = 10;

fn bucket(files: usize) -> Arc<MemoryBackend> {
    let capabilities = Capabilities {
        deletes_at_once: TOGETHER,
        read_local: false,
        ..MemoryBackend::everything()
    };
    let bucket = MemoryBackend::with("bucket", capabilities);
    bucket.seed("kept", b"kept");
    (0..files).for_each(|number| bucket.seed(&format!("extra/{number:03}"), b"x"));
    Arc::new(bucket)
}

async fn sync(destination: Arc<dyn Backend>) -> (ketch_engine::Report, usize) {
    let source = MemoryBackend::new("source");
    source.seed("kept", b"kept");
    let settings = Settings { delete_limit: DeleteLimit::Percent(100), ..Settings::default() };
    let request = Request::new(JobKind::Sync, Arc::new(source), destination);
    let mut job = start(Request { settings, ..request });
    let mut deleted = 0;
    while let Some(event) = job.events.recv().await {
        deleted += usize::from(matches!(event, Event::ItemDone { outcome: Outcome::Deleted, .. }));
    }
    (job.report().await, deleted)
}

#[tokio::test]
async fn many_deletions_are_few_calls_and_each_has_its_outcome() {
    for (files, calls) in [(1, 2), (10, 2), (95, 11), (100, 11)] {
        let bucket = bucket(files);
        let recorder = Arc::new(Recorder::new(Arc::clone(&bucket) as Arc<dyn Backend>));
        let (report, deleted) = sync(Arc::clone(&recorder) as Arc<dyn Backend>).await;
        assert!(report.is_success(), "{report:?}");
        // And the folder, after everything that was in it.
        assert_eq!((report.deleted as usize, deleted), (files + 1, files + 1), "{report:?}");
        assert_eq!(bucket.tree().keys().collect::<Vec<_>>(), ["kept"]);
        assert_eq!(recorder.deletions(), calls);
    }
}

#[tokio::test]
async fn what_the_remote_refuses_stays_and_nothing_else() {
    let bucket = bucket(30);
    let denied = Error::new(ErrorKind::Denied, "no");
    let faulty = Faulty::new(Arc::clone(&bucket) as Arc<dyn Backend>);
    let faulty = faulty.fail_path("delete", "extra/013", denied);
    let (report, _) = sync(Arc::new(faulty)).await;
    assert_eq!((report.failed, report.deleted), (1, 29), "{report:?}");
    let left: Vec<_> = bucket.tree().into_keys().collect();
    assert_eq!(left, ["extra/013", "kept"]);
}
