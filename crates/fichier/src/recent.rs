//! What this machine changed in the account in the last hour, remembered across processes.
//!
//! Listings lag: what was stored just now is missing for a while, and what was removed is still shown. The next process must
//! neither store the first again nor believe in the second. So each change is a line in a file of its hour, appended by all
//! processes of the machine, and every listing is compared with them. Knows what was changed and never what is there now.

use std::collections::{HashMap, HashSet};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::clock::since_1970;
use crate::items::{Change, FileItem, FolderItem};
use crate::links;
use crate::state_files::append_line;

/// For how long a change is remembered.
pub(crate) const LIFE: Duration = Duration::from_secs(3_600);
/// For how long a listing may lag.
pub(crate) const LAG: Duration = Duration::from_secs(120);
/// The most changes that are kept in memory, and the longest file that is read.
const CHANGES_MAX: usize = 50_000;
const FILE_MAX_BYTES: u64 = 32 << 20;

/// The changes.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    /// The path of the files without the hour; `None`: of this process only.
    stem: Option<PathBuf>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The last change of each thing in each folder.
    files: HashMap<(u64, String), Last>,
    folders: HashMap<(u64, u64), Last>,
    /// How far the file of each hour has been read.
    read: HashMap<u64, u64>,
}

#[derive(Debug, Clone)]
struct Last {
    /// Milliseconds since 1970.
    at: u64,
    change: Change,
}

/// One line of the file.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    at: u64,
    folder: u64,
    #[serde(flatten)]
    what: What,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
enum What {
    AddFile {
        name: String,
        url: String,
        size: Option<u64>,
        date: Option<u64>,
        whirlpool: Option<String>,
    },
    RemoveFile {
        url: String,
    },
    AddFolder {
        name: String,
        id: u64,
    },
    RemoveFolder {
        id: u64,
    },
}

/// What was changed in one folder.
#[derive(Debug, Default)]
pub(crate) struct Changed {
    /// Addresses and numbers that were removed from it, or moved elsewhere just now.
    pub(crate) gone_files: Vec<String>,
    pub(crate) gone_folders: Vec<u64>,
    /// What was put there, with its age, the oldest first.
    pub(crate) files: Vec<(Duration, FileItem)>,
    pub(crate) folders: Vec<(Duration, FolderItem)>,
}

impl Recent {
    /// The changes in the files that begin with `stem`. Nothing is read yet.
    pub(crate) fn new(stem: Option<PathBuf>) -> Self {
        Recent { stem, state: Mutex::default() }
    }

    /// Remembers a change that was made now.
    pub(crate) fn note(&self, folder: u64, change: &Change) {
        let at = now();
        let mut state = self.lock();
        state.enter(folder, Last { at, change: change.clone() });
        let Some(stem) = &self.stem else { return };
        let line = Line { at, folder, what: What::of(change) };
        if let Err(error) = append(&name(stem, hour(at)), &line) {
            tracing::debug!(%error, "a change cannot be remembered for other processes");
        }
    }

    /// Did this machine put the file at `url` into a folder, verified, in the last hour?
    pub(crate) fn has_added(&self, folder: u64, url: &str) -> bool {
        self.of(folder).files.iter().any(|(_, file)| file.url == url)
    }

    /// Forgets that a file was put into a folder: it is not there any more.
    pub(crate) fn forget_file(&self, folder: u64, url: &str) {
        self.lock().files.remove(&(folder, url.to_owned()));
    }

    /// The same for a folder.
    pub(crate) fn forget_folder(&self, folder: u64, id: u64) {
        self.lock().folders.remove(&(folder, id));
    }

    /// What this machine changed in a folder, as far as it is not too long ago to matter.
    pub(crate) fn of(&self, folder: u64) -> Changed {
        let now = now();
        let mut state = self.lock();
        if let Some(stem) = &self.stem {
            state.read(stem, now);
        }
        state.shrink(now);
        let added: HashSet<&str> = state.files.iter().filter_map(added).collect();
        let mut changed = Changed::default();
        for ((_, url), last) in state.files.iter().filter(|((place, _), _)| *place == folder) {
            let age = age(now, last.at);
            match &last.change {
                Change::AddFile(file) => changed.files.push((age, file.clone())),
                // Others may move back what was moved away, and not what is dead.
                _ if age < LAG || !added.contains(url.as_str()) => {
                    changed.gone_files.push(url.clone());
                }
                _ => {}
            }
        }
        for ((_, id), last) in state.folders.iter().filter(|((place, _), _)| *place == folder) {
            let age = age(now, last.at);
            match &last.change {
                Change::AddFolder(item) => changed.folders.push((age, item.clone())),
                _ if age < LAG => changed.gone_folders.push(*id),
                _ => {}
            }
        }
        changed.files.sort_by_key(|(age, _)| std::cmp::Reverse(*age));
        changed.folders.sort_by_key(|(age, _)| std::cmp::Reverse(*age));
        changed
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn enter(&mut self, folder: u64, last: Last) {
        match &last.change {
            Change::AddFile(FileItem { url, .. }) | Change::RemoveFile(url) => {
                self.files.insert((folder, url.clone()), last);
            }
            Change::AddFolder(FolderItem { id, .. }) | Change::RemoveFolder(id) => {
                self.folders.insert((folder, *id), last);
            }
        }
    }

    fn shrink(&mut self, now: u64) {
        self.files.retain(|_, last| age(now, last.at) < LIFE);
        self.folders.retain(|_, last| age(now, last.at) < LIFE);
        if self.files.len() > CHANGES_MAX {
            // What is left out is listed by then.
            self.files.retain(|_, last| age(now, last.at) < LAG);
        }
    }

    /// Reads what other processes have appended since.
    fn read(&mut self, stem: &Path, now: u64) {
        let hours = [hour(now).saturating_sub(1), hour(now)];
        self.read.retain(|hour, _| hours.contains(hour));
        for hour in hours {
            let from = self.read.get(&hour).copied().unwrap_or(0);
            let Some((lines, to)) = tail(&name(stem, hour), from) else { continue };
            self.read.insert(hour, to);
            for line in lines {
                let key_at = match &line.what {
                    What::AddFile { url, .. } | What::RemoveFile { url } => {
                        self.files.get(&(line.folder, url.clone())).map(|last| last.at)
                    }
                    What::AddFolder { id, .. } | What::RemoveFolder { id } => {
                        self.folders.get(&(line.folder, *id)).map(|last| last.at)
                    }
                };
                // ORDER: of two changes of one moment the later line counts.
                if key_at.is_none_or(|at| at <= line.at) && age(now, line.at) < LIFE {
                    self.enter(line.folder, Last { at: line.at, change: line.what.change() });
                }
            }
        }
        if hours[0] > 0 {
            // Nothing reads it any more.
            let _ = std::fs::remove_file(name(stem, hours[0] - 1));
        }
    }
}

/// The address that was put somewhere last.
fn added<'a>(((_, url), last): (&'a (u64, String), &Last)) -> Option<&'a str> {
    matches!(last.change, Change::AddFile(_)).then_some(url.as_str())
}

impl What {
    fn of(change: &Change) -> What {
        match change {
            Change::AddFile(file) => What::AddFile {
                name: file.name.clone(),
                url: file.url.clone(),
                size: file.size,
                date: file.date.map(seconds),
                whirlpool: file.hash.as_ref().map(ToString::to_string),
            },
            Change::RemoveFile(url) => What::RemoveFile { url: url.clone() },
            Change::AddFolder(folder) => {
                What::AddFolder { name: folder.name.clone(), id: folder.id }
            }
            Change::RemoveFolder(id) => What::RemoveFolder { id: *id },
        }
    }

    fn change(self) -> Change {
        match self {
            What::AddFile { name, url, size, date, whirlpool } => Change::AddFile(FileItem {
                name,
                url,
                size,
                date: date.map(|date| UNIX_EPOCH + Duration::from_secs(date)),
                hash: whirlpool.as_deref().and_then(links::digest),
            }),
            What::RemoveFile { url } => Change::RemoveFile(url),
            What::AddFolder { name, id } => Change::AddFolder(FolderItem { name, id, date: None }),
            What::RemoveFolder { id } => Change::RemoveFolder(id),
        }
    }
}

fn now() -> u64 {
    u64::try_from(since_1970().as_millis()).unwrap_or(u64::MAX)
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// A time in the future comes from a clock that was put back.
fn age(now: u64, at: u64) -> Duration {
    Duration::from_millis(now.saturating_sub(at))
}

fn hour(at: u64) -> u64 {
    at / 3_600_000
}

fn name(stem: &Path, hour: u64) -> PathBuf {
    let mut name = stem.as_os_str().to_owned();
    name.push(format!("-{hour}.jsonl"));
    name.into()
}

fn append(file: &Path, line: &Line) -> std::io::Result<()> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    append_line(file, text)
}

/// The whole lines behind `from`, and where they end. What makes no sense is passed over.
fn tail(file: &Path, from: u64) -> Option<(Vec<Line>, u64)> {
    let mut file = std::fs::File::open(file).ok()?;
    let length = file.metadata().ok()?.len();
    if length <= from || length > FILE_MAX_BYTES {
        return None;
    }
    file.seek(SeekFrom::Start(from)).ok()?;
    let mut text = Vec::new();
    file.take(length - from).read_to_end(&mut text).ok()?;
    let whole = text.iter().rposition(|byte| *byte == b'\n')? + 1;
    let lines = text[..whole].split(|byte| *byte == b'\n');
    let lines = lines.filter_map(|line| serde_json::from_slice(line).ok()).collect();
    Some((lines, from + whole as u64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::OpenOptions;
    use std::io::Write;

    fn file(url: &str) -> FileItem {
        FileItem { name: "f".into(), url: url.into(), size: Some(1), date: None, hash: None }
    }

    fn urls(changed: &Changed) -> Vec<&str> {
        changed.files.iter().map(|(_, file)| file.url.as_str()).collect()
    }

    #[test]
    fn what_one_process_changed_another_one_knows() {
        let scratch = tempfile::tempdir().expect("scratch");
        let stem = Some(scratch.path().join("state/recent"));
        let (one, two) = (Recent::new(stem.clone()), Recent::new(stem.clone()));
        one.note(7, &Change::AddFile(file("a")));
        one.note(7, &Change::AddFolder(FolderItem { name: "d".into(), id: 9, date: None }));
        let seen = two.of(7);
        assert_eq!((urls(&seen), seen.folders[0].1.id), (vec!["a"], 9));
        two.note(7, &Change::RemoveFile("a".into()));
        two.note(7, &Change::RemoveFolder(9));
        let third = Recent::new(stem).of(7);
        assert!(third.files.is_empty() && third.folders.is_empty());
        assert_eq!((third.gone_files, third.gone_folders), (vec!["a".to_owned()], vec![9]));
        assert!(two.of(8).gone_files.is_empty());
    }

    #[test]
    fn of_two_changes_of_one_moment_the_last_counts() {
        let scratch = tempfile::tempdir().expect("scratch");
        let stem = Some(scratch.path().join("recent"));
        let recent = Recent::new(stem.clone());
        for _ in 0..50 {
            recent.note(7, &Change::RemoveFile("a".into()));
            recent.note(7, &Change::AddFile(file("a")));
        }
        assert_eq!(urls(&Recent::new(stem).of(7)), ["a"]);
        assert_eq!(urls(&recent.of(7)), ["a"]);
    }

    #[test]
    fn lines_that_make_no_sense_are_passed_over() {
        let scratch = tempfile::tempdir().expect("scratch");
        let stem = scratch.path().join("recent");
        let recent = Recent::new(Some(stem.clone()));
        recent.note(7, &Change::AddFile(file("a")));
        let now = now();
        let mut other =
            OpenOptions::new().append(true).open(name(&stem, hour(now))).expect("there");
        other.write_all(b"{\n[]\n\xff\n{\"at\":1").expect("written");
        assert_eq!(urls(&Recent::new(Some(stem.clone())).of(7)), ["a"]);
        // A part of a line does not take the next one with it.
        recent.note(7, &Change::RemoveFile("a".into()));
        assert_eq!(Recent::new(Some(stem)).of(7).gone_files, ["a"]);
    }

    #[test]
    fn what_is_old_is_forgotten() {
        let recent = Recent::new(None);
        recent.note(7, &Change::AddFile(file("a")));
        for last in recent.lock().files.values_mut() {
            last.at -= 3_600_001;
        }
        assert!(recent.of(7).files.is_empty());
    }
}
