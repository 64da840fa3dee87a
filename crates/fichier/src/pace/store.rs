//! Where the times of calls are kept: in memory, or in a file that the processes of one machine share.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::rules::State;

/// A file longer than this is not one of ours.
const FILE_MAX_BYTES: u64 = 1 << 20;

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
        let opened = self.file.as_deref().map(open_locked);
        let Some(Ok((mut file, mut state))) = opened else {
            self.warn();
            return self.in_memory(step, since_1970().as_millis() as u64);
        };
        // ORDER: the clock is read under the lock, or an older time could be written over a newer one.
        let result = step(&mut state, since_1970().as_millis() as u64);
        if write(&mut file, &state).is_err() {
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

fn open_locked(path: &Path) -> std::io::Result<(File, State)> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let mut file = match options.open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            std::fs::create_dir_all(path.parent().unwrap_or(path))?;
            options.open(path)?
        }
        other => other?,
    };
    file.lock()?;
    let mut text = Vec::new();
    (&mut file).take(FILE_MAX_BYTES).read_to_end(&mut text)?;
    // A file that was cut by a crash, or is none of ours, is begun anew.
    Ok((file, serde_json::from_slice(&text).unwrap_or_default()))
}

fn write(file: &mut File, state: &State) -> std::io::Result<()> {
    let text = serde_json::to_vec(state)?;
    file.seek(SeekFrom::Start(0))?;
    file.set_len(0)?;
    file.write_all(&text)
}

/// The time of the machine.
pub(crate) fn since_1970() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
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
    async fn a_folder_that_cannot_be_written_leaves_the_limits_in_memory() {
        let store = Store::new(Some(PathBuf::from("/proc/none/times.json")));
        store.step(|state, _| state.usage = Some([Some(7), None, None])).await;
        assert_eq!(store.step(|state, _| state.usage).await, Some([Some(7), None, None]));
    }
}
