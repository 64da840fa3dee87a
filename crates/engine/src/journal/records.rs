//! The lists of a running job: with a journal they are files in its folder, without one they have no name and end with the
//! process. Code above need not know which.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use ketch_core::{Checkpoint, Entry, Error, ErrorKind, Note, RelPath, Result, source_identity};
use serde::{Deserialize, Serialize};

use super::log::{LogBackward, LogReader, LogWriter};
use super::memory::Memory;
use super::resume::Resumed;
use crate::outcome::{ItemOutcome, Status};
use crate::plan::Planned;

/// Outcomes that may wait in memory; outcomes of large items never wait.
const WAITING_OUTCOMES: u64 = 64;
/// From this size of an item on, its outcome is written at once.
const LARGE_BYTES: u64 = 1024 * 1024;

/// A record of the plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PlanRecord {
    /// An action.
    Item(PlanItem),
    /// A mark: everything up to here is planned.
    Mark(Mark),
    /// The plan is whole.
    Complete,
}

/// An action and its number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct PlanItem {
    /// Numbers increase in the order of planning; deletions have numbers too.
    pub(crate) seq: u64,
    /// The action.
    pub(crate) action: Planned,
}

/// A mark: how far planning has come, and what the end of the job must know about the planned items.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Mark {
    /// The key up to which everything is planned: a path, and whether it is a folder's.
    pub(crate) key: Option<(RelPath, bool)>,
    /// The number of the next item.
    pub(crate) next: u64,
    /// Deletions so far.
    pub(crate) deletions: u64,
    /// Bytes of the list of deletions so far.
    pub(crate) deletions_length: u64,
    /// Bytes to transfer so far.
    pub(crate) bytes: u64,
    /// Files that the source's listings showed.
    pub(crate) source_files: u64,
    /// Entries that the source's listings showed.
    pub(crate) source_entries: u64,
    /// Entries that the destination's listings showed.
    pub(crate) destination_entries: u64,
    /// Files that need nothing.
    pub(crate) unchanged: u64,
    /// Items before this number do not count: the plan was made anew.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) valid_from: u64,
    /// Folders, since the mark before, in which something failed: nothing is deleted in them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) held: Vec<RelPath>,
    /// Folders, since the mark before, that hold excluded entries: they are kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) occupied: Vec<RelPath>,
}

/// A record of the outcomes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OutcomeRecord {
    /// The outcome of an item; the last record of an item counts.
    Item(Box<ItemOutcome>),
    /// The plan was cut before this number and made anew from there: earlier outcomes of this number and later ones are
    /// void.
    Cut(u64),
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What a backend noted about an open transfer; the last note of an item counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct NoteRecord {
    /// The number of the item.
    pub(crate) seq: u64,
    /// The path, so that the note is still useful if its plan was lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) path: Option<RelPath>,
    /// The version of the source that is transferred.
    pub(crate) source: Box<str>,
    /// The backend's own text.
    pub(crate) note: String,
}

/// The time that a folder must have when the job is done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct FolderTime {
    /// Relative to both roots.
    pub(crate) path: RelPath,
    /// As the source had it before anything was done in the folder: seconds and nanoseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) mtime: Option<(i64, u32)>,
    /// The permissions of the source's folder, if they restrict its owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) mode: Option<u32>,
}

/// The names of the files of a job.
pub(crate) struct Files;

impl Files {
    pub(crate) const PLAN: &'static str = "plan";
    pub(crate) const DELETIONS: &'static str = "deletions";
    pub(crate) const OUTCOMES: &'static str = "outcomes";
    pub(crate) const NOTES: &'static str = "notes";
    pub(crate) const FOLDERS: &'static str = "folders";
    pub(crate) const LEFT: &'static str = "left";
    pub(crate) const ARRIVED: &'static str = "arrived";
}

/// The lists of a running job.
#[derive(Debug)]
pub(crate) struct Records {
    lists: Mutex<Lists>,
    /// The number of a job that is on disk.
    job: Option<u32>,
    /// What earlier processes of this job planned and did, if their plan is being finished.
    resumed: Resumed,
    /// What earlier processes left that saves work for a new plan.
    memory: Memory,
    /// While set, a dropped transfer leaves a part that a later process can continue.
    keep: Arc<AtomicBool>,
}

#[derive(Debug)]
struct Lists {
    plan: LogWriter,
    deletions: LogWriter,
    /// Made when there is something to write in it, or when it is there already.
    folders: Option<LogWriter>,
    /// Where unnamed lists are made.
    unnamed_in: Option<PathBuf>,
    /// Of a job that is on disk.
    kept: Option<Kept>,
    next: u64,
}

#[derive(Debug)]
struct Kept {
    outcomes: LogWriter,
    notes: LogWriter,
    /// Made when there is something to write in it.
    arrived: Option<LogWriter>,
    folder: PathBuf,
    waiting: u64,
    /// What backends noted in this process about items that have not succeeded.
    noted: HashMap<u64, NoteRecord>,
}

impl Lists {
    /// Hands the outcomes, and the lists that belong to them, to the system, if the job is on disk.
    fn flush(&mut self) -> Result<()> {
        let Some(kept) = &mut self.kept else { return Ok(()) };
        kept.waiting = 0;
        // ORDER: the time of a folder is on record before an outcome in it.
        self.folders.as_mut().map_or(Ok(()), LogWriter::flush)?;
        kept.arrived.as_mut().map_or(Ok(()), LogWriter::flush)?;
        kept.outcomes.flush()
    }
}

impl Records {
    /// Lists without a name, in `folder` or in the system's folder for temporary files, and the memory of another job.
    pub(crate) fn unnamed(folder: Option<&Path>, memory: Memory) -> Result<Self> {
        let (plan, deletions) = (LogWriter::unnamed(folder)?, LogWriter::unnamed(folder)?);
        let unnamed_in = folder.map(Path::to_owned);
        let lists = Lists { plan, deletions, folders: None, unnamed_in, kept: None, next: 0 };
        Ok(Records {
            lists: Mutex::new(lists),
            job: None,
            resumed: Resumed::default(),
            memory,
            keep: Arc::default(),
        })
    }

    /// The lists in the folder of a job, continued after the part that is whole, as `resumed` says.
    pub(crate) fn open(folder: &Path, job: u32, resumed: Resumed, memory: Memory) -> Result<Self> {
        let at = |name: &str| -> PathBuf { folder.join(name) };
        let mut outcomes = LogWriter::open(&at(Files::OUTCOMES), resumed.outcomes_length)?;
        if resumed.is_cut {
            outcomes.push(&OutcomeRecord::Cut(resumed.mark.next))?;
        }
        let kept = Kept {
            outcomes,
            notes: LogWriter::open(&at(Files::NOTES), resumed.notes_length)?,
            arrived: None,
            folder: folder.to_owned(),
            waiting: 0,
            noted: HashMap::new(),
        };
        let lists = Lists {
            plan: LogWriter::open(&at(Files::PLAN), resumed.plan_length)?,
            deletions: LogWriter::open(&at(Files::DELETIONS), resumed.mark.deletions_length)?,
            folders: Some(LogWriter::open(&at(Files::FOLDERS), resumed.folders_length)?),
            unnamed_in: None,
            kept: Some(kept),
            next: resumed.mark.next,
        };
        // The part of a failed or dropped transfer is kept: the next run of this job continues it.
        let (lists, keep) = (Mutex::new(lists), Arc::new(AtomicBool::new(true)));
        Ok(Records { lists, job: Some(job), resumed, memory, keep })
    }

    fn lists(&self) -> MutexGuard<'_, Lists> {
        self.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What earlier processes planned and did, if their plan is being finished; nothing if a new plan is made.
    pub(crate) fn resumed(&self) -> &Resumed {
        &self.resumed
    }

    /// What earlier processes left that saves work.
    pub(crate) fn memory(&self) -> &Memory {
        &self.memory
    }

    /// The number of the job, if it is on disk.
    pub(crate) fn job(&self) -> Option<u32> {
        self.job
    }

    /// Writes down which version of the source became which version at the destination.
    pub(crate) fn arrived(&self, print: u128) -> Result<()> {
        let lists = &mut *self.lists();
        let Some(kept) = &mut lists.kept else { return Ok(()) };
        let list = match &mut kept.arrived {
            Some(list) => list,
            None => {
                let path = kept.folder.join(Files::ARRIVED);
                let mut before = LogReader::<String>::open(&path)?;
                while before.next()?.is_some() {}
                kept.arrived.insert(LogWriter::open(&path, before.position())?)
            }
        };
        list.push(&format!("{print:032x}"))
    }

    /// Adds an action to the plan and returns its number.
    pub(crate) fn plan(&self, action: Planned) -> Result<u64> {
        let lists = &mut *self.lists();
        let seq = lists.next;
        let is_last = matches!(action, Planned::Delete { .. } | Planned::RemoveSourceDir { .. });
        let item = PlanItem { seq, action };
        match is_last {
            true => lists.deletions.push(&item)?,
            false => lists.plan.push(&PlanRecord::Item(item))?,
        }
        lists.next += 1;
        Ok(seq)
    }

    /// Items of the plan so far, including those of earlier processes.
    pub(crate) fn planned(&self) -> u64 {
        self.lists().next
    }

    /// Writes a mark, and hands the plan to the system. `mark` has everything except the numbers of the lists.
    pub(crate) fn mark(&self, mut mark: Mark) -> Result<()> {
        let lists = &mut *self.lists();
        mark.next = lists.next;
        mark.deletions_length = lists.deletions.length();
        lists.deletions.flush()?;
        lists.plan.push(&PlanRecord::Mark(mark))?;
        lists.plan.flush()
    }

    /// Writes down that the plan is complete, and forces it to the disk if the job is on disk.
    pub(crate) fn complete(&self, mark: Mark) -> Result<()> {
        self.mark(mark)?;
        let lists = &mut *self.lists();
        lists.plan.push(&PlanRecord::Complete)?;
        if self.job.is_none() {
            return lists.plan.flush();
        }
        lists.deletions.sync()?;
        lists.plan.sync()
    }

    /// The plan so far, from its beginning.
    pub(crate) fn changes(&self) -> Result<LogReader<PlanRecord>> {
        self.lists().plan.reader()
    }

    /// The deletions so far, from the last.
    pub(crate) fn deletions(&self) -> Result<LogBackward<PlanItem>> {
        self.lists().deletions.backward()
    }

    /// Writes down the time that a folder must have. It is handed to the system together with the outcomes in that folder.
    pub(crate) fn folder(&self, folder: &FolderTime) -> Result<()> {
        let lists = &mut *self.lists();
        match &mut lists.folders {
            Some(folders) => folders.push(folder),
            None => {
                let mut folders = LogWriter::unnamed(lists.unnamed_in.as_deref())?;
                folders.push(folder)?;
                lists.folders = Some(folders);
                Ok(())
            }
        }
    }

    /// The folders so far, from the last. `None`: there are none.
    pub(crate) fn folders(&self) -> Result<Option<LogBackward<FolderTime>>> {
        self.lists().folders.as_mut().map(LogWriter::backward).transpose()
    }

    /// Writes down the outcome of an item.
    pub(crate) fn outcome(&self, outcome: &ItemOutcome) -> Result<()> {
        let lists = &mut *self.lists();
        let Some(kept) = &mut lists.kept else { return Ok(()) };
        kept.outcomes.push(&OutcomeRecord::Item(Box::new(outcome.clone())))?;
        if let Some(seq) =
            outcome.seq.filter(|_| matches!(outcome.status, Status::Done | Status::Skipped))
        {
            kept.noted.remove(&seq);
        }
        kept.waiting += 1;
        let is_large = outcome.bytes.is_some_and(|bytes| bytes >= LARGE_BYTES);
        if is_large || kept.waiting >= WAITING_OUTCOMES { lists.flush() } else { Ok(()) }
    }

    /// Did this process leave a transfer that a backend noted something about? It may have stored a file that was not
    /// compared with its source.
    pub(crate) fn has_open_notes(&self) -> bool {
        self.lists().kept.as_ref().is_some_and(|kept| !kept.noted.is_empty())
    }

    /// Hands everything that still waits to the system.
    pub(crate) fn flush(&self) -> Result<()> {
        self.lists().flush()
    }

    /// Forces everything to the disk.
    pub(crate) fn sync(&self) -> Result<()> {
        let lists = &mut *self.lists();
        let Some(kept) = &mut lists.kept else { return Ok(()) };
        lists.plan.sync()?;
        lists.deletions.sync()?;
        lists.folders.as_mut().map_or(Ok(()), LogWriter::sync)?;
        kept.outcomes.sync()?;
        kept.notes.sync()
    }

    /// The `checkpoint` that an earlier process had for item `seq` or its path, whatever the version of the source was.
    pub(crate) fn noted_checkpoint(
        self: &Arc<Self>,
        seq: u64,
        path: &RelPath,
        checkpoint: Checkpoint,
    ) -> Checkpoint {
        let noted = self.resumed.notes.get(&seq).map(|noted| noted.source.clone());
        let Some(source) = noted.or_else(|| self.memory.noted_source(path).map(Box::from)) else {
            return checkpoint;
        };
        let note = Arc::new(ItemNote {
            records: Arc::clone(self),
            seq,
            path: path.clone(),
            source: source.clone(),
        });
        Checkpoint { source, note, ..checkpoint }
    }

    /// The checkpoint by which a later process can continue the transfer of `entry`, which is item `seq`. `None` without a
    /// journal.
    pub(crate) fn checkpoint(
        self: &Arc<Self>,
        seq: u64,
        location: &str,
        entry: &Entry,
    ) -> Option<Checkpoint> {
        let job = self.job?;
        let source = source_identity(location, entry);
        let (path, records) = (entry.path.clone(), Arc::clone(self));
        let note = Arc::new(ItemNote { records, seq, path, source: source.clone() });
        Some(Checkpoint { job, source, note, keep: Arc::clone(&self.keep) })
    }
}

/// The note of one item.
#[derive(Debug)]
struct ItemNote {
    records: Arc<Records>,
    seq: u64,
    path: RelPath,
    source: Box<str>,
}

#[async_trait]
impl Note for ItemNote {
    async fn load(&self) -> Result<Option<Bytes>> {
        // A second try in the same process continues with the note of the first one.
        if let Some(kept) = &self.records.lists().kept
            && let Some(own) = kept.noted.get(&self.seq)
            && own.source == self.source
        {
            return Ok(Some(Bytes::from(own.note.clone())));
        }
        let found = self.records.resumed.notes.get(&self.seq);
        let of_this_version = found.filter(|note| note.source == self.source);
        let of_this_plan = of_this_version.map(|note| Bytes::from(note.note.clone()));
        Ok(of_this_plan.or_else(|| self.records.memory.note(&self.path, &self.source)))
    }

    async fn save(&self, note: Bytes) -> Result<()> {
        let note = String::from_utf8(note.to_vec()).map_err(|error| {
            Error::new(ErrorKind::InvalidInput, "a note must be text").with_source(error)
        })?;
        let (path, source) = (Some(self.path.clone()), self.source.clone());
        let record = NoteRecord { seq: self.seq, path, source, note };
        let records = Arc::clone(&self.records);
        // Forced to the disk: the upload that the note describes is at a remote and survives a power cut of this machine.
        let save = move || {
            let lists = &mut *records.lists();
            let Some(kept) = &mut lists.kept else { return Ok(()) };
            lists.plan.sync()?;
            kept.notes.push(&record)?;
            kept.notes.sync()?;
            match record.note.is_empty() {
                true => kept.noted.remove(&record.seq),
                false => kept.noted.insert(record.seq, record),
            };
            Ok(())
        };
        tokio::task::spawn_blocking(save)
            .await
            .map_err(|_| Error::new(ErrorKind::Io, "a note was not written"))?
    }
}
