//! What earlier processes of a job left that saves work and proves nothing: transfers that they may have begun, with the
//! notes of the backend about them, and files that are known to have arrived.
//!
//! A job that continues lists both sides again. The memory never decides what is done: a note is used only for the version
//! of the source that it was written for, and a file counts as arrived only while both listings still show the recorded
//! versions. Transfers that were begun and are not planned again are removed at the end ([`Memory::left`]).
//!
//! It holds the notes of open transfers, which are few, and up to [`ARRIVED_LIMIT`] fingerprints.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use ketch_core::{Checkpoint, Entry, Note, RelPath, Result, source_identity};
use serde::{Deserialize, Serialize};

use super::log::{LogReader, LogWriter, failed};
use super::records::{Files, NoteRecord, PlanItem, PlanRecord};
use super::resume::Resumed;
use crate::plan::Planned;

/// So many items after the last one that is known to have been begun may have been begun too: more than there can be
/// workers and outcomes that wait to be written. Deletions are in a list of their own and do not count.
const BEGUN_AHEAD: u64 = 4_096;
/// Files that are remembered to have arrived; with `--ignore-times`, further ones are transferred again.
const ARRIVED_LIMIT: usize = 1_000_000;
/// Paths of the list that are kept apart; further ones may be on it twice, which costs one more check.
const KNOWN_LIMIT: usize = 1_000_000;

/// A transfer that an earlier process may have begun and did not end.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Left {
    /// Where.
    pub(crate) path: RelPath,
    /// What was planned: a [`Planned::Copy`]. `None`: the plan was lost.
    pub(crate) action: Option<Planned>,
    /// What the backend noted about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) note: Option<NoteRecord>,
}

impl Left {
    /// The checkpoint by which a backend finds what is left of it, of job number `job`.
    pub(crate) fn checkpoint(&self, job: u32) -> Checkpoint {
        Checkpoint {
            job,
            source: self.note.as_ref().map_or_else(|| "".into(), |note| note.source.clone()),
            note: Arc::new(OldNote(self.note.as_ref().map(|note| note.note.clone()))),
            keep: Arc::default(),
        }
    }
}

/// What earlier processes of a job left. By default nothing.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    noted: HashMap<RelPath, Left>,
    arrived: HashSet<u128>,
    /// Noted transfers that this process has planned again, or ended, and what its listing of the destination showed there.
    taken: Mutex<HashMap<RelPath, Option<Entry>>>,
    /// Those of them that succeeded.
    ended: Mutex<HashSet<RelPath>>,
    /// The list of everything that may be left; `None` where nothing is removed.
    list: Option<PathBuf>,
}

impl Memory {
    /// Reads what the lists of the job in `folder` say, and changes nothing.
    pub(super) fn look(folder: &Path, resumed: &Resumed) -> Result<Self> {
        let noted = collect(folder, resumed, |_| Ok(()))?;
        Ok(Memory { noted, arrived: read_arrived(folder)?, ..Memory::default() })
    }

    /// Writes down everything that the job in `folder` may have left, so that its plan may be replaced.
    pub(super) fn keep(folder: &Path, resumed: &Resumed) -> Result<Self> {
        let noted = write_list(folder, resumed)?;
        let list = Some(folder.join(Files::LEFT));
        Ok(Memory { noted, arrived: read_arrived(folder)?, list, ..Memory::default() })
    }

    /// What processes from before the current plan of the job in `folder` left.
    pub(super) fn before_plan(folder: &Path) -> Result<Self> {
        let list = folder.join(Files::LEFT);
        let mut noted = HashMap::new();
        let mut reader = LogReader::<Left>::open(&list)?;
        while let Some(left) = reader.next()? {
            if left.note.is_some() {
                noted.insert(left.path.clone(), left);
            }
        }
        let list = Some(list);
        Ok(Memory { noted, arrived: read_arrived(folder)?, list, ..Memory::default() })
    }

    /// The open transfer of `path` that a backend noted something about.
    pub(crate) fn noted(&self, path: &RelPath) -> Option<&Left> {
        if self.noted.is_empty() || self.is_taken(path) {
            return None;
        }
        self.noted.get(path)
    }

    /// Every open transfer that a backend noted something about and that was not planned again.
    pub(crate) fn all_noted(&self) -> impl Iterator<Item = &Left> {
        self.noted.values().filter(|left| !self.is_taken(&left.path))
    }

    /// The note of `path`, if it is of this version of the source.
    pub(crate) fn note(&self, path: &RelPath, source: &str) -> Option<Bytes> {
        let note = self.noted.get(path)?.note.as_ref()?;
        (&*note.source == source).then(|| Bytes::from(note.note.clone()))
    }

    /// The version of the source that the note of `path` is about.
    pub(crate) fn noted_source(&self, path: &RelPath) -> Option<&str> {
        self.noted.get(path)?.note.as_ref().map(|note| &*note.source)
    }

    /// Records that the open transfer is planned again, and that the destination's listing shows `listed` at its path.
    pub(crate) fn take(&self, path: &RelPath, listed: Option<Entry>) {
        self.lock_taken().insert(path.clone(), listed);
    }

    pub(crate) fn is_taken(&self, path: &RelPath) -> bool {
        !self.noted.is_empty() && self.lock_taken().contains_key(path)
    }

    /// What the destination's listing showed when the open transfer of `path` was planned again.
    pub(crate) fn listed(&self, path: &RelPath) -> Option<Entry> {
        self.lock_taken().get(path).cloned().flatten()
    }

    fn lock_taken(&self) -> MutexGuard<'_, HashMap<RelPath, Option<Entry>>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records that the open transfer has ended: its file arrived, or what it left was removed.
    pub(crate) fn end(&self, path: &RelPath) {
        if self.noted.contains_key(path) {
            self.take(path, None);
            self.ended.lock().unwrap_or_else(PoisonError::into_inner).insert(path.clone());
        }
    }

    /// What was planned so far does not count.
    pub(crate) fn forget_taken(&self) {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        self.lock_taken().retain(|path, _| ended.contains(path));
    }

    pub(crate) fn is_ended(&self, path: &RelPath) -> bool {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).contains(path)
    }

    /// Did an earlier process store this version of `source` as this version of `destination`?
    pub(crate) fn has_arrived(&self, source: &Entry, destination: &Entry) -> bool {
        !self.arrived.is_empty()
            && arrival(source, destination).is_some_and(|print| self.arrived.contains(&print))
    }

    /// Everything that may be left at the destination. `None`: nothing.
    pub(crate) fn left(&self) -> Result<Option<LogReader<Left>>> {
        self.list.as_deref().map(LogReader::open).transpose()
    }

    /// Records that nothing is left any more.
    pub(crate) fn is_cleared(&self) -> Result<()> {
        let Some(list) = &self.list else { return Ok(()) };
        match fs::remove_file(list) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed(error)),
            _ => Ok(()),
        }
    }

    /// Is there something that may be left and was not cleared?
    pub(crate) fn has_left(&self) -> bool {
        self.list
            .as_deref()
            .is_some_and(|list| fs::metadata(list).is_ok_and(|found| found.len() > 0))
    }
}

/// The fingerprint which says that this version of the destination was made from that version of the source. `None`: a side
/// shows no version.
pub(crate) fn arrival(source: &Entry, destination: &Entry) -> Option<u128> {
    let version = |entry: &Entry| entry.version.is_some() || entry.handle.is_some();
    if !version(source) || !version(destination) {
        return None;
    }
    // A listing may show more digests than the answer to the upload did.
    let plain = |entry: &Entry| Entry { hashes: None, claimed: None, mtime: None, ..entry.clone() };
    let text = format!(
        "{}{}",
        source_identity("", &plain(source)),
        source_identity("", &plain(destination))
    );
    let mut print = [0; 16];
    print.copy_from_slice(&blake3::hash(text.as_bytes()).as_bytes()[..16]);
    Some(u128::from_le_bytes(print))
}

fn read_arrived(folder: &Path) -> Result<HashSet<u128>> {
    let mut arrived = HashSet::new();
    let mut reader = LogReader::<String>::open(&folder.join(Files::ARRIVED))?;
    while arrived.len() < ARRIVED_LIMIT
        && let Some(print) = reader.next()?
    {
        arrived.extend(u128::from_str_radix(&print, 16));
    }
    Ok(arrived)
}

/// Writes the list of everything that the job in `folder` may have left. Returns the transfers that backends noted
/// something about.
///
/// ORDER: the whole list is on the disk before the plan from which it was made may be cut.
pub(super) fn write_list(folder: &Path, resumed: &Resumed) -> Result<HashMap<RelPath, Left>> {
    let path = folder.join(Files::LEFT);
    let new = folder.join(format!("{}.new", Files::LEFT));
    let mut list = LogWriter::open(&new, 0)?;
    let noted = collect(folder, resumed, |left| list.push(left))?;
    for left in noted.values() {
        list.push(left)?;
    }
    list.sync()?;
    drop(list);
    fs::rename(&new, &path)
        .and_then(|()| File::open(folder))
        .and_then(|folder| crate::file::force(&folder))
        .map_err(failed)?;
    Ok(noted)
}

/// Goes through the transfers that earlier processes of the job in `folder` may have begun and did not end. Returns those
/// that backends noted something about; hands the rest to `other`.
fn collect(
    folder: &Path,
    resumed: &Resumed,
    mut other: impl FnMut(&Left) -> Result<()>,
) -> Result<HashMap<RelPath, Left>> {
    let mut noted = HashMap::new();
    let mut known = HashSet::new();
    let mut tell = |left: &Left| {
        let is_new = known.len() >= KNOWN_LIMIT || known.insert(left.path.clone());
        if is_new { other(left) } else { Ok(()) }
    };
    let mut before = LogReader::<Left>::open(&folder.join(Files::LEFT))?;
    while let Some(left) = before.next()? {
        match left.note {
            Some(_) => _ = noted.insert(left.path.clone(), left),
            None => tell(&left)?,
        }
    }
    // A transfer with a note was begun, however far it is after the last outcome.
    let highest = resumed.highest.max(resumed.notes.keys().max().copied());
    let mut ahead = 0;
    let mut plan = LogReader::<PlanRecord>::open(&folder.join(Files::PLAN))?;
    while let Some(record) = plan.next()? {
        let PlanRecord::Item(PlanItem { seq, action }) = record else { continue };
        // Numbers increase, but not by one: deletions have numbers too, and have no outcome until the end.
        ahead += u64::from(highest.is_none_or(|highest| seq > highest));
        if ahead > BEGUN_AHEAD {
            break;
        }
        if !matches!(action, Planned::Copy { .. }) {
            continue;
        }
        let path = action.path().clone();
        if resumed.settled.contains(seq) {
            noted.remove(&path);
            continue;
        }
        let note = resumed.notes.get(&seq);
        if note.is_some_and(|note| note.note.is_empty()) {
            // The backend has ended it.
            noted.remove(&path);
        }
        match note.filter(|note| !note.note.is_empty()).cloned() {
            Some(note) => {
                let left = Left { path: path.clone(), action: Some(action), note: Some(note) };
                noted.insert(path, left);
            }
            None if noted.contains_key(&path) => {}
            None => tell(&Left { path, action: Some(action), note: None })?,
        }
    }
    // Notes of a plan that was lost, for example in a power cut.
    let mut notes = LogReader::<NoteRecord>::open(&folder.join(Files::NOTES))?;
    while let Some(note) = notes.next()? {
        let Some(path) = note.path.clone().filter(|_| note.seq >= resumed.mark.next) else {
            continue;
        };
        match note.note.is_empty() {
            true => _ = noted.remove(&path),
            false => {
                // The planned action is still known if the note is about the same version.
                let before: Option<Left> = noted.remove(&path);
                let is_same = |left: &Left| {
                    left.note.as_ref().is_some_and(|before| before.source == note.source)
                };
                let action = before.filter(is_same).and_then(|left| left.action);
                noted.insert(path.clone(), Left { path, action, note: Some(note) });
            }
        }
    }
    Ok(noted)
}

/// A note of a process that has ended.
#[derive(Debug)]
struct OldNote(Option<String>);

#[async_trait::async_trait]
impl Note for OldNote {
    async fn load(&self) -> Result<Option<Bytes>> {
        Ok(self.0.clone().map(Bytes::from))
    }

    async fn save(&self, _note: Bytes) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::{Action, Reason};

    fn copy_of(name: &str) -> Planned {
        let source = Box::new(Entry::file(RelPath::new(name).expect("a path"), 1));
        let action = Action::Copy { source, replaces: None, reason: Reason::Missing };
        Planned::from_action(action).expect("something to do")
    }

    #[test]
    fn a_noted_transfer_behind_many_deletions_is_not_forgotten() {
        let folder = tempfile::tempdir().expect("scratch");
        let mut plan = LogWriter::open(&folder.path().join(Files::PLAN), 0).expect("opened");
        // All numbers in between are those of deletions, which are in another list.
        let items = [(0, "done"), (BEGUN_AHEAD + 900, "begun"), (BEGUN_AHEAD * 3, "noted")];
        for (seq, name) in items {
            plan.push(&PlanRecord::Item(PlanItem { seq, action: copy_of(name) })).expect("pushed");
        }
        // More than any number of workers had begun behind them.
        for number in 1..=BEGUN_AHEAD + 1 {
            let action = copy_of(&format!("later-{number}"));
            let seq = BEGUN_AHEAD * 3 + number;
            plan.push(&PlanRecord::Item(PlanItem { seq, action })).expect("pushed");
        }
        plan.sync().expect("forced");
        let seq = BEGUN_AHEAD * 3;
        let note = NoteRecord { seq, path: None, source: "version".into(), note: "id".into() };
        let noted =
            Resumed { highest: Some(0), notes: HashMap::from([(seq, note)]), ..Resumed::default() };
        let mut others = 0;
        let count = |_: &Left| {
            others += 1;
            Ok(())
        };
        let found = collect(folder.path(), &noted, count).expect("read");
        assert_eq!(found.keys().map(RelPath::as_str).collect::<Vec<_>>(), ["noted"]);
        assert_eq!(others, 2 + BEGUN_AHEAD, "`done`, `begun`, and as many as may have been begun");

        // What leaves no note is found behind deletions, too.
        let plain = Resumed { highest: Some(0), ..Resumed::default() };
        let mut paths = Vec::new();
        let list = |left: &Left| {
            paths.push(left.path.as_str().to_owned());
            Ok(())
        };
        assert!(collect(folder.path(), &plain, list).expect("read").is_empty());
        assert_eq!(paths[..3], ["done", "begun", "noted"]);
        assert_eq!(paths.len() as u64, 1 + BEGUN_AHEAD);
    }
}
