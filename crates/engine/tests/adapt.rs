//! How many items are transferred at the same time: as many as help, as many as the sides take, as many as were asked for.
//! The clock is virtual.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ketch_core::{
    About, Backend, Body, ByteStream, Entry, EntryStream, Error, ErrorKind, ListOptions,
    PutOptions, ReadOptions, RelPath, Result, Retry,
};
use ketch_engine::{JobKind, Report, Request, Settings, start};
use ketch_testkit::MemoryBackend;
use tokio::sync::Semaphore;

/// Enough for the number to settle.
const FILES: usize = 5_000;

/// A destination that works on so many files at the same time and lets the others wait.
#[derive(Debug)]
struct Busy {
    inner: MemoryBackend,
    about: About,
    places: Semaphore,
    /// What one file takes.
    pace: Duration,
    /// From this many at the same time on it refuses.
    refuses_from: usize,
    now: AtomicUsize,
    /// How many there were, at the beginning of each.
    seen: Mutex<Vec<usize>>,
}

impl Busy {
    fn new(places: usize) -> Self {
        Busy {
            inner: MemoryBackend::new("busy"),
            about: MemoryBackend::new("busy").about().clone(),
            places: Semaphore::new(places),
            pace: Duration::from_millis(100),
            refuses_from: usize::MAX,
            now: AtomicUsize::new(0),
            seen: Mutex::default(),
        }
    }

    fn seen(&self) -> Vec<usize> {
        self.seen.lock().unwrap().clone()
    }
}

#[async_trait::async_trait]
impl Backend for Busy {
    fn about(&self) -> &About {
        &self.about
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
        let together = self.now.fetch_add(1, Ordering::Relaxed) + 1;
        self.seen.lock().unwrap().push(together);
        let stored = async {
            if together >= self.refuses_from {
                return Err(
                    Error::new(ErrorKind::Throttled, "too many at once").with_retry(Retry::Backoff)
                );
            }
            let _place = self.places.acquire().await.unwrap();
            tokio::time::sleep(self.pace).await;
            self.inner.put(path, body, options).await
        };
        let stored = stored.await;
        self.now.fetch_sub(1, Ordering::Relaxed);
        stored
    }
    async fn delete(&self, entries: &[Entry]) -> Vec<Result<()>> {
        self.inner.delete(entries).await
    }
}

async fn copy(files: usize, to: &Arc<Busy>, transfers: Option<usize>) -> Report {
    let source = MemoryBackend::new("source");
    (0..files).for_each(|number| source.seed(&format!("{number:06}"), b"content"));
    let settings = Settings { transfers, ..Settings::default() };
    let request = Request::new(JobKind::Copy, Arc::new(source), Arc::clone(to) as _);
    let mut job = start(Request { settings, ..request });
    while job.events.recv().await.is_some() {}
    job.report().await
}

fn mean(numbers: &[usize]) -> f64 {
    numbers.iter().sum::<usize>() as f64 / numbers.len() as f64
}

#[tokio::test(start_paused = true)]
async fn the_number_settles_where_the_destination_gives_no_more() {
    for (places, least, most) in [(6, 5.0, 7.5), (2, 1.9, 3.5), (100, 13.0, 16.0)] {
        let to = Arc::new(Busy::new(places));
        let report = copy(FILES, &to, None).await;
        assert_eq!((report.copied, report.failed), (FILES as u64, 0));
        let seen = to.seen();
        assert!(seen[..15].iter().all(|together| *together <= 4), "it begins with few");
        // All that begin together end together, so the most of some counts.
        let most_of = |some: &[usize]| some.iter().copied().max().unwrap_or(0);
        let settled = mean(&seen[FILES / 2..].chunks(50).map(most_of).collect::<Vec<_>>());
        assert!(settled >= least && settled <= most, "{places} places: {settled} at once");
    }
}

#[tokio::test(start_paused = true)]
async fn a_number_that_was_asked_for_is_never_passed() {
    for transfers in [1, 3] {
        let to = Arc::new(Busy::new(100));
        let report = copy(1_500, &to, Some(transfers)).await;
        assert_eq!(report.copied, 1_500);
        assert_eq!(to.seen().into_iter().max(), Some(transfers));
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_side_takes_at_once_is_never_passed() {
    let mut to = Busy::new(100);
    to.about.capabilities.at_once = Some(5);
    let to = Arc::new(to);
    assert_eq!(copy(5_000, &to, None).await.copied, 5_000);
    assert_eq!(to.seen().into_iter().max(), Some(5));
}

#[tokio::test(start_paused = true)]
async fn a_destination_that_refuses_is_pressed_less() {
    let mut to = Busy::new(100);
    to.refuses_from = 9;
    let to = Arc::new(to);
    let report = copy(FILES, &to, None).await;
    // What was refused is tried once more at the end.
    assert_eq!((report.copied, report.failed), (FILES as u64, 0), "{report:?}");
    let seen = to.seen();
    let refused = seen.iter().filter(|together| **together >= 9).count();
    assert!(refused > 0, "it was found out");
    assert!(refused < 30, "{refused} were refused");
}
