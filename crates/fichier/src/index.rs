//! What is remembered of the folder tree from run to run: which path had which number.
//!
//! A small file is enough and a database would be no better: it is read once, written whole through a new name, and what
//! two processes write over each other costs a listing. Nothing in it is believed without a look (`tree`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ketch_core::RelPath;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::clock::since_1970;
use crate::state_files::replace;

/// The version of the format. Another one is not read.
const VERSION: u32 = 1;
/// The most folders that are remembered, and the longest file that is read.
const FOLDERS_MAX: usize = 100_000;
const FILE_MAX_BYTES: u64 = 64 << 20;
/// The file is not written more often than this, except at the end.
const WRITE_EVERY: Duration = Duration::from_secs(10);
/// For how long a folder that was seen at its path is taken to be there by the runs after it, where calls are paced.
const TRUSTED_FOR: Duration = Duration::from_secs(120);
/// How many of those are remembered.
const SEEN_MAX: usize = 4_096;

/// The file.
#[derive(Debug)]
pub(crate) struct Index {
    file: Option<PathBuf>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    remembered: BTreeMap<String, u64>,
    /// When a folder was last seen at its path, in milliseconds since 1970.
    seen: BTreeMap<String, u64>,
    habit: u8,
    is_read: bool,
    is_changed: bool,
    written: Option<Instant>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Content {
    v: u32,
    /// Whether the server lists files with folders, see `listing`.
    #[serde(default)]
    files: u8,
    folders: BTreeMap<String, u64>,
    /// When those were last seen at their paths that were seen just now.
    #[serde(default)]
    seen: BTreeMap<String, u64>,
}

impl Index {
    /// An index in `file`, or of this process only. Nothing is read yet.
    pub(crate) fn new(file: Option<PathBuf>) -> Self {
        Index { file, state: Mutex::default() }
    }

    /// The number that the folder at `path` had when it was last seen.
    pub(crate) fn get(&self, path: &RelPath) -> Option<u64> {
        self.file.as_ref()?;
        self.with(|state| state.remembered.get(path.as_str()).copied())
    }

    /// Is a folder below `path` remembered?
    pub(crate) fn has_below(&self, path: &RelPath) -> bool {
        if self.file.is_none() {
            return false;
        }
        let start = if path.is_root() { String::new() } else { format!("{path}/") };
        self.with(|state| {
            let mut from = state.remembered.range(start.clone()..);
            from.next().is_some_and(|(known, _)| known.starts_with(&start))
        })
    }

    /// The names and numbers of the folders that are remembered in the folder at `path`.
    pub(crate) fn children(&self, path: &RelPath) -> Vec<(String, u64)> {
        if self.file.is_none() {
            return Vec::new();
        }
        let start = if path.is_root() { String::new() } else { format!("{path}/") };
        self.with(|state| {
            let below = state.remembered.range(start.clone()..);
            let below = below.take_while(|(known, _)| known.starts_with(&start));
            let named = below.filter_map(|(known, id)| Some((known.strip_prefix(&start)?, *id)));
            let direct = named.filter(|(name, _)| !name.contains('/'));
            direct.map(|(name, id)| (name.to_owned(), id)).collect()
        })
    }

    /// Remembers a folder that was seen.
    pub(crate) fn learn(&self, path: &RelPath, id: u64) {
        if self.file.is_none() {
            return;
        }
        self.with(|state| {
            let is_known = state.remembered.get(path.as_str()) == Some(&id);
            if !is_known && state.remembered.len() < FOLDERS_MAX {
                state.remembered.insert(path.as_str().to_owned(), id);
                state.is_changed = true;
            }
        });
        self.write(false);
    }

    /// Notes that the folder at `path`, and all above it, were seen to be there now.
    pub(crate) fn saw(&self, path: &RelPath) {
        if self.file.is_none() {
            return;
        }
        let now = milliseconds();
        self.with(|state| {
            state.seen.retain(|_, at| is_fresh(*at, now));
            for folder in path.ancestors().chain([path.clone()]).filter(|path| !path.is_root()) {
                if state.seen.len() < SEEN_MAX {
                    state.seen.insert(folder.as_str().to_owned(), now);
                    state.is_changed = true;
                }
            }
        });
    }

    /// Was the folder at `path` seen there just now, by this run or one before it?
    pub(crate) fn is_trusted(&self, path: &RelPath) -> bool {
        let now = milliseconds();
        let is_seen =
            |state: &mut State| state.seen.get(path.as_str()).is_some_and(|at| is_fresh(*at, now));
        self.file.is_some() && self.with(is_seen)
    }

    /// Was the folder at `path` seen there in the last `span`?
    pub(crate) fn saw_within(&self, path: &RelPath, span: Duration) -> bool {
        let now = milliseconds();
        let is_within =
            |at: &u64| now.checked_sub(*at).is_some_and(|age| u128::from(age) < span.as_millis());
        self.file.is_some()
            && self.with(|state| state.seen.get(path.as_str()).is_some_and(is_within))
    }

    /// Forgets a folder and all below it.
    pub(crate) fn forget(&self, path: &RelPath) {
        if self.file.is_none() {
            return;
        }
        self.with(|state| {
            let below = format!("{path}/");
            let before = state.remembered.len();
            let is_other = |known: &String| known != path.as_str() && !known.starts_with(&below);
            state.remembered.retain(|known, _| is_other(known));
            state.seen.retain(|known, _| is_other(known));
            state.is_changed |= state.remembered.len() != before;
        });
    }

    /// What was found out about the server's answers.
    pub(crate) fn habit(&self) -> u8 {
        if self.file.is_none() { 0 } else { self.with(|state| state.habit) }
    }

    /// Remembers what was found out about the server's answers.
    pub(crate) fn learn_habit(&self, habit: u8) {
        if self.file.is_some() {
            self.with(|state| {
                state.is_changed |= state.habit != habit;
                state.habit = habit;
            });
        }
    }

    /// Writes what has changed; what cannot be written is looked up again by the next process.
    pub(crate) fn write(&self, now: bool) {
        let Some(file) = &self.file else { return };
        let content = self.with(|state| {
            let is_due = now || state.written.is_none_or(|at| at.elapsed() >= WRITE_EVERY);
            if !state.is_changed || !is_due {
                return None;
            }
            state.is_changed = false;
            state.written = Some(Instant::now());
            let folders = state.remembered.clone();
            let seen = state.seen.clone();
            Some(Content { v: VERSION, files: state.habit, folders, seen })
        });
        if let Some(content) = content
            && let Err(error) = serde_json::to_vec(&content)
                .map_err(Into::into)
                .and_then(|text| replace(file, &text))
        {
            tracing::debug!(%error, ?file, "the folder tree cannot be remembered");
        }
    }

    fn with<T>(&self, step: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let (false, Some(file)) = (state.is_read, &self.file) {
            state.is_read = true;
            if let Some(content) = read(file) {
                state.habit = content.files;
                state.remembered = content.folders;
                state.seen = content.seen;
            }
        }
        step(&mut state)
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        self.write(true);
    }
}

fn milliseconds() -> u64 {
    u64::try_from(since_1970().as_millis()).unwrap_or(u64::MAX)
}

/// A time in the future comes from a clock that was put back and proves nothing.
fn is_fresh(at: u64, now: u64) -> bool {
    now.checked_sub(at).is_some_and(|age| u128::from(age) < TRUSTED_FOR.as_millis())
}

/// What is in the file; `None` for none, for another version and for what makes no sense.
fn read(file: &Path) -> Option<Content> {
    let length = std::fs::metadata(file).ok()?.len();
    if length > FILE_MAX_BYTES {
        return None;
    }
    let content: Content = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
    (content.v == VERSION && content.folders.len() <= FOLDERS_MAX).then_some(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> RelPath {
        RelPath::new(text).expect("legal")
    }

    #[test]
    fn what_is_learnt_is_there_in_the_next_run() {
        let folder = tempfile::tempdir().expect("scratch");
        let file = folder.path().join("state/tree.json");
        let index = Index::new(Some(file.clone()));
        for (number, text) in ["a", "a/b", "a/b/c", "ab"].into_iter().enumerate() {
            index.learn(&path(text), number as u64 + 1);
        }
        index.forget(&path("a/b"));
        index.learn_habit(2);
        drop(index);
        let index = Index::new(Some(file));
        let found = ["a", "a/b", "a/b/c", "ab"].map(|text| index.get(&path(text)));
        assert_eq!((found, index.habit()), ([Some(1), None, None, Some(4)], 2));
        let left = std::fs::read_dir(folder.path().join("state")).expect("readable").count();
        assert_eq!(left, 1, "no half-written file is left");
    }

    #[test]
    fn what_makes_no_sense_is_nothing() {
        let folder = tempfile::tempdir().expect("scratch");
        let file = folder.path().join("tree.json");
        for text in ["", "{", "[]", r#"{"v":2,"folders":{"a":1}}"#, r#"{"v":1,"folders":{"a":-1}}"#]
        {
            std::fs::write(&file, text).expect("written");
            assert_eq!(Index::new(Some(file.clone())).get(&path("a")), None, "{text}");
        }
    }

    #[test]
    fn without_a_file_nothing_is_kept() {
        let index = Index::new(None);
        index.learn(&path("a"), 1);
        assert_eq!(index.get(&path("a")), None);
    }
}
