//! Uploads of this machine that were begun, on record until what became of them is known.
//!
//! A process that dies with an upload on its way has told no other process of the file, and a listing may not show it yet. So each process
//! has a file of its own in the state folder, which it holds locked while it lives: one line when an upload begins, one when its
//! files have been verified and are in the record of changes (`recent`). A file that is not locked is that of a process that has
//! ended, and what is open in it is asked for at its node before a listing of the folder is believed. Makes no call.

use std::collections::{HashMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::since_1970;
use crate::report::Upload;
use crate::state_files::append_line;
use crate::types::Link;

/// For how long an upload is remembered. A node forgets its report after two hours.
const LIFE: Duration = Duration::from_secs(3_600);
/// The longest file that is read, and the most processes whose files are.
const FILE_MAX_BYTES: u64 = 4 << 20;
const FILES_MAX: usize = 256;
/// The most open uploads of one folder that are asked about.
const LEFT_MAX: usize = 32;

/// The record.
#[derive(Debug, Default)]
pub(crate) struct Sending {
    /// Where the files of all processes are; `None`: nothing is remembered.
    folder: Option<PathBuf>,
    own: Mutex<Own>,
    /// What the nodes have said of the uploads of processes that have ended.
    told: Mutex<HashMap<String, Vec<Link>>>,
}

/// What this process has written.
#[derive(Debug, Default)]
struct Own {
    path: Option<PathBuf>,
    /// Held for as long as the process lives.
    lock: Option<File>,
    open: HashSet<String>,
}

/// One line of a file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Begun {
        /// Seconds since 1970.
        at: u64,
        folder: u64,
        upload: Upload,
    },
    Ended {
        xid: String,
    },
}

impl Sending {
    /// The record in `folder`. Nothing is read or made yet.
    pub(crate) fn new(folder: Option<PathBuf>) -> Self {
        Sending { folder, own: Mutex::default(), told: Mutex::default() }
    }

    /// Writes down that `upload` into `folder` is about to begin.
    pub(crate) fn begin(&self, folder: u64, upload: &Upload) {
        let Some(place) = &self.folder else { return };
        let mut own = self.own();
        let line = Line::Begun { at: now(), folder, upload: upload.clone() };
        own.open.insert(upload.xid.clone());
        if let Err(error) = own.made_in(place).and_then(|path| append(&path, &line)) {
            tracing::debug!(%error, "an upload cannot be remembered for other processes");
        }
    }

    /// Writes down that nothing of the upload is unknown any more.
    pub(crate) fn end(&self, xid: &str) {
        let mut own = self.own();
        own.open.remove(xid);
        let Some(path) = &own.path else { return };
        if let Err(error) = append(path, &Line::Ended { xid: xid.to_owned() }) {
            tracing::debug!(%error, "the end of an upload cannot be remembered for other processes");
        }
    }

    /// The uploads into `folder` that processes which have ended left open in the last hour.
    pub(crate) fn left(&self, folder: u64) -> Vec<Upload> {
        let Some(place) = &self.folder else { return Vec::new() };
        let Ok(files) = std::fs::read_dir(place) else { return Vec::new() };
        let own = self.own().path.clone();
        let mut left = Vec::new();
        for file in files.take(FILES_MAX).flatten() {
            let path = file.path();
            if own.as_ref() != Some(&path) {
                left.extend(read(&path).into_iter().filter(|(_, at, _)| *at == folder));
            }
        }
        left.sort_by_key(|(at, ..)| std::cmp::Reverse(*at));
        left.into_iter().take(LEFT_MAX).map(|(_, _, upload)| upload).collect()
    }

    /// What a node has said of an upload before.
    pub(crate) fn told(&self, xid: &str) -> Option<Vec<Link>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).get(xid).cloned()
    }

    /// Remembers what a node has said of an upload, if that is anything.
    pub(crate) fn learn(&self, xid: &str, links: &[Link]) {
        if !links.is_empty() {
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            told.insert(xid.to_owned(), links.to_vec());
        }
    }

    fn own(&self) -> MutexGuard<'_, Own> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Own {
    /// The file of this process, which is made and locked first.
    fn made_in(&mut self, place: &Path) -> std::io::Result<PathBuf> {
        if let Some(path) = &self.path {
            return Ok(path.clone());
        }
        let path = place.join(format!("{}-{:016x}.jsonl", std::process::id(), fastrand::u64(..)));
        let make = || {
            std::fs::create_dir_all(place)?;
            OpenOptions::new().create_new(true).append(true).open(&path)
        };
        let file = match make() {
            // The last process that had a file there has removed the folder in between.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => make()?,
            made => made?,
        };
        file.lock()?;
        self.lock = Some(file);
        Ok(self.path.insert(path).clone())
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        if let Some(path) = self.path.take().filter(|_| self.open.is_empty()) {
            // A file that stays is removed by a later process. The folder stays while there are other files in it.
            let _ = std::fs::remove_file(&path);
            let _ = path.parent().map(std::fs::remove_dir);
        }
    }
}

/// When they were begun, into which folder, and the uploads that are open in the file of a process that has ended. The file of
/// one that lives has none. A file in which nothing is young is removed.
fn read(path: &Path) -> Vec<(u64, u64, Upload)> {
    let Ok(mut file) = File::open(path) else { return Vec::new() };
    let Ok(facts) = file.metadata() else { return Vec::new() };
    if file.try_lock_shared().is_err() || facts.len() > FILE_MAX_BYTES {
        return Vec::new();
    }
    let is_old = facts.modified().is_ok_and(|at| at.elapsed().is_ok_and(|age| age > LIFE));
    if is_old {
        let _ = std::fs::remove_file(path);
        return Vec::new();
    }
    let mut text = Vec::new();
    if file.read_to_end(&mut text).is_err() {
        return Vec::new();
    }
    let mut open = HashMap::new();
    for line in text.split(|byte| *byte == b'\n') {
        // A line of which only a part was written is passed over.
        match serde_json::from_slice(line) {
            Ok(Line::Begun { at, folder, upload }) => {
                open.insert(upload.xid.clone(), (at, folder, upload));
            }
            Ok(Line::Ended { xid }) => drop(open.remove(&xid)),
            Err(_) => {}
        }
    }
    let is_young = |at: u64| Duration::from_secs(now().saturating_sub(at)) < LIFE;
    open.into_values().filter(|(at, ..)| is_young(*at)).collect()
}

fn append(path: &Path, line: &Line) -> std::io::Result<()> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    append_line(path, text)
}

fn now() -> u64 {
    since_1970().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upload(xid: &str) -> Upload {
        Upload { node: "up2.1fichier.com".into(), xid: xid.into(), files: 1, size: None }
    }

    fn left(sending: &Sending, folder: u64) -> Vec<String> {
        sending.left(folder).into_iter().map(|upload| upload.xid).collect()
    }

    #[test]
    fn what_a_process_left_open_is_known_when_it_has_ended_and_not_before() {
        let scratch = tempfile::tempdir().expect("scratch");
        let place = scratch.path().join("state/sending");
        let (one, two) = (Sending::new(Some(place.clone())), Sending::new(Some(place.clone())));
        one.begin(7, &upload("a"));
        one.begin(7, &upload("b"));
        one.begin(8, &upload("c"));
        one.end("b");
        two.begin(7, &upload("d"));
        assert!(left(&two, 7).is_empty(), "the first one lives");
        drop(one);
        assert_eq!((left(&two, 7), left(&two, 8)), (vec!["a".to_owned()], vec!["c".to_owned()]));
        two.end("d");
        drop(two);
        let files = std::fs::read_dir(&place).expect("there").count();
        assert_eq!(files, 1, "a file without an open upload goes with its process");
        let third = Sending::new(Some(place.clone()));
        assert_eq!(left(&third, 7), ["a"]);
        for file in std::fs::read_dir(&place).expect("there").flatten() {
            let file = OpenOptions::new().append(true).open(file.path()).expect("there");
            let old = std::time::SystemTime::now() - LIFE - Duration::from_secs(1);
            file.set_modified(old).expect("set");
        }
        assert!(left(&third, 7).is_empty());
        assert_eq!(std::fs::read_dir(&place).expect("there").count(), 0, "what is old is removed");
        third.begin(7, &upload("e"));
        third.end("e");
        drop(third);
        assert!(!place.exists());
    }

    #[test]
    fn without_a_state_folder_nothing_is_remembered() {
        let sending = Sending::default();
        sending.begin(7, &upload("a"));
        sending.end("a");
        assert!(left(&sending, 7).is_empty());
    }
}
