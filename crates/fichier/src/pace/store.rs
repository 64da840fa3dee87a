//! Where the times of calls are kept: in memory, or in a file that the processes of one machine share.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::rules::State;
use crate::clock::since_1970;

/// A file longer than this is not one of ours.
const FILE_MAX_BYTES: u64 = 1 << 20;

/// Who has the lock of listings.
#[derive(Debug)]
pub(super) enum Held {
    /// This process now does, as long as the file is open.
    Ours(File),
    /// Another one does.
    Others,
}

/// The times, changed one step at a time.
#[derive(Debug, Clone)]
pub(super) struct Store(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// The times of this process; the file, if there is one, counts more.
    memory: Mutex<State>,
    file: Option<PathBuf>,
    warned: AtomicBool,
    /// Without a file nobody else's clock matters, and one that is never put back is better.
    start: (Duration, Instant),
}

impl Store {
    /// Keeps the times in `file`, or in memory.
    pub(super) fn new(file: Option<PathBuf>) -> Self {
        let start = (since_1970(), Instant::now());
        Store(Arc::new(Inner { memory: Mutex::default(), file, warned: false.into(), start }))
    }

    /// Takes the lock that the one process holds which waits for the answer to a listing. `None`: nothing is shared.
    pub(super) async fn try_lock_listings(&self) -> Option<Held> {
        let inner = Arc::clone(&self.0);
        let path = inner.file.as_ref()?.with_extension("listing");
        let task = tokio::task::spawn_blocking(move || {
            let file = open(&path)?;
            match file.try_lock() {
                Ok(()) => Ok(Held::Ours(file)),
                Err(TryLockError::WouldBlock) => Ok(Held::Others),
                Err(TryLockError::Error(error)) => Err(error),
            }
        });
        task.await.ok().and_then(std::io::Result::ok)
    }

    /// Does one step with the times locked, and returns its result.
    ///
    /// A file that cannot be used is reported once; the limits then hold for this process only.
    // CANCEL: a step that has begun is finished; at worst one turn is taken that nobody uses.
    pub(super) async fn step<T: Send + 'static>(
        &self,
        step: impl FnOnce(&mut State, u64) -> T + Send + 'static,
    ) -> T {
        let inner = Arc::clone(&self.0);
        if inner.file.is_none() {
            let now = inner.start.0 + inner.start.1.elapsed();
            return inner.in_memory(step, now.as_millis() as u64);
        }
        let task = tokio::task::spawn_blocking(move || inner.in_file(step));
        match task.await.map_err(tokio::task::JoinError::try_into_panic) {
            Ok(result) => result,
            Err(Ok(panic)) => std::panic::resume_unwind(panic),
            // The runtime is shutting down and nothing is polled any more.
            Err(Err(_)) => std::future::pending().await,
        }
    }
}

impl Inner {
    fn in_memory<T>(&self, step: impl FnOnce(&mut State, u64) -> T, now: u64) -> T {
        step(&mut self.memory.lock().unwrap_or_else(PoisonError::into_inner), now)
    }

    fn in_file<T>(&self, step: impl FnOnce(&mut State, u64) -> T) -> T {
        let opened = self.file.as_deref().map(|path| Ok((path, lock(path)?, read(path)?)));
        let Some(Ok::<_, std::io::Error>((path, _lock, mut state))) = opened else {
            self.warn();
            return self.in_memory(step, since_1970().as_millis() as u64);
        };
        // ORDER: the clock is read under the lock, or an older time could be written over a newer one.
        let result = step(&mut state, since_1970().as_millis() as u64);
        if write(path, &state).is_err() {
            self.warn();
            *self.memory.lock().unwrap_or_else(PoisonError::into_inner) = state;
        }
        result
    }

    fn warn(&self) {
        if !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                file = ?self.file,
                "the times of calls cannot be shared with other processes: limits hold for this one only"
            );
        }
    }
}

/// The lock of the file at `path`. It is a file of its own, because the other one is replaced.
fn lock(path: &Path) -> std::io::Result<File> {
    let file = open(&path.with_extension("lock"))?;
    file.lock()?;
    Ok(file)
}

fn open(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    match options.open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            std::fs::create_dir_all(path.parent().unwrap_or(path))?;
            options.open(path)
        }
        other => other,
    }
}

/// A file that was cut, or is none of ours, is begun anew.
fn read(path: &Path) -> std::io::Result<State> {
    let mut text = Vec::new();
    match File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        file => drop(file?.take(FILE_MAX_BYTES).read_to_end(&mut text)?),
    }
    Ok(serde_json::from_slice(&text).unwrap_or_default())
}

/// Written beside and renamed: a process that dies leaves the times before or after, and never none.
fn write(path: &Path, state: &State) -> std::io::Result<()> {
    // Under the lock there is only one.
    let new = path.with_extension("new");
    std::fs::write(&new, serde_json::to_vec(state)?)?;
    std::fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_that_makes_no_sense_is_begun_anew() {
        let folder = tempfile::tempdir().expect("scratch");
        for text in ["", "{", "[1]", r#"{"any":"x"}"#, "\0\0\0"] {
            let path = folder.path().join("times.json");
            std::fs::write(&path, text).expect("written");
            let store = Store::new(Some(path.clone()));
            store.step(|state, _| state.usage = Some([Some(1), None, None])).await;
            let kept = Store::new(Some(path)).step(|state, _| state.usage).await;
            assert_eq!(kept, Some([Some(1), None, None]), "{text:?}");
        }
    }

    #[tokio::test]
    async fn a_process_that_dies_while_it_writes_leaves_the_times_before() {
        let folder = tempfile::tempdir().expect("scratch");
        let path = folder.path().join("times.json");
        let store = Store::new(Some(path.clone()));
        store.step(|state, _| state.usage = Some([Some(1), None, None])).await;
        let reader = File::open(&path).expect("there");
        // A process that has it open sees it whole, whatever is written: it is never emptied.
        store.step(|state, _| state.usage = Some([Some(2), None, None])).await;
        let kept: State = serde_json::from_reader(reader).expect("whole");
        assert_eq!(kept.usage, Some([Some(1), None, None]));
        // What was left half written beside it is not read.
        std::fs::write(path.with_extension("new"), "{").expect("written");
        assert_eq!(store.step(|state, _| state.usage).await, Some([Some(2), None, None]));
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_written_leaves_the_limits_in_memory() {
        let store = Store::new(Some(PathBuf::from("/proc/none/times.json")));
        store.step(|state, _| state.usage = Some([Some(7), None, None])).await;
        assert_eq!(store.step(|state, _| state.usage).await, Some([Some(7), None, None]));
    }
}
