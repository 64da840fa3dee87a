//! Reads, as streams, what earlier processes of a job recorded. It keeps in memory one bit for each item, the notes of open
//! transfers, and the folders in which nothing is deleted.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use ketch_core::{RelPath, Result};
use serde::de::DeserializeOwned;

use super::log::LogReader;
use super::records::{Files, FolderTime, Mark, NoteRecord, OutcomeRecord, PlanItem, PlanRecord};
use super::seen::Seen;
use crate::outcome::Status;

/// Folders that are remembered; when there are more, every deletion is held back.
pub(crate) const FOLDERS_LIMIT: usize = 10_000;

/// What earlier processes of a job recorded. By default a new job.
#[derive(Debug, Default)]
pub(crate) struct Resumed {
    /// Is there anything to continue?
    pub(crate) is_resumed: bool,
    /// How far planning has come.
    pub(crate) mark: Mark,
    /// Is the plan complete?
    pub(crate) is_planned: bool,
    /// Items that need nothing more.
    pub(crate) settled: Seen,
    /// How many of them were done, and how many bytes they have.
    pub(crate) done: u64,
    /// Bytes transferred before.
    pub(crate) done_bytes: u64,
    /// What backends noted about items without an outcome.
    pub(crate) notes: HashMap<u64, NoteRecord>,
    /// Folders in which nothing is deleted.
    pub(crate) held: HashSet<RelPath>,
    /// Folders that are kept because they hold excluded entries.
    pub(crate) occupied: HashSet<RelPath>,
    /// The lengths of the lists up to their last whole record.
    pub(crate) plan_length: u64,
    pub(crate) outcomes_length: u64,
    pub(crate) notes_length: u64,
    pub(crate) folders_length: u64,
    /// Items after the last mark are planned again, with the same numbers.
    pub(crate) is_cut: bool,
    /// The highest number with an outcome.
    pub(crate) highest: Option<u64>,
}

impl Resumed {
    /// Reads the folder of a job. `believe_done`: items that are recorded as done are not checked again.
    ///
    /// Damage is never an error: a record that is not whole counts as not written, and its item is planned or done again.
    pub(crate) fn read(folder: &Path, believe_done: bool) -> Result<Self> {
        let mut found = Resumed::default();
        found.read_plan(folder)?;
        found.read_outcomes(folder, believe_done)?;
        found.read_notes(folder)?;
        found.folders_length = whole_length::<FolderTime>(&folder.join(Files::FOLDERS))?;
        Ok(found)
    }

    fn read_plan(&mut self, folder: &Path) -> Result<()> {
        let mut plan = LogReader::<PlanRecord>::open(&folder.join(Files::PLAN))?;
        let deletions = whole_length::<PlanItem>(&folder.join(Files::DELETIONS))?;
        while let Some(record) = plan.next()? {
            match record {
                PlanRecord::Item(_) => {}
                // The plan counts more deletions than are on the disk: it is complete only up to an earlier mark.
                PlanRecord::Mark(mark) if mark.deletions_length > deletions => break,
                PlanRecord::Mark(mark) => {
                    self.is_resumed = true;
                    self.held.extend(mark.held.iter().take(FOLDERS_LIMIT).cloned());
                    self.occupied.extend(mark.occupied.iter().take(FOLDERS_LIMIT).cloned());
                    self.mark = Mark { held: Vec::new(), occupied: Vec::new(), ..mark };
                    self.plan_length = plan.position();
                }
                PlanRecord::Complete => {
                    self.is_planned = true;
                    self.plan_length = plan.position();
                    break;
                }
            }
        }
        self.is_cut = !self.is_planned;
        Ok(())
    }

    fn read_outcomes(&mut self, folder: &Path, believe_done: bool) -> Result<()> {
        let mut outcomes = LogReader::<OutcomeRecord>::open(&folder.join(Files::OUTCOMES))?;
        while let Some(record) = outcomes.next()? {
            let outcome = match record {
                OutcomeRecord::Item(outcome) => outcome,
                OutcomeRecord::Cut(first) => {
                    self.settled.cut(first);
                    continue;
                }
            };
            let Some(seq) = outcome.seq.filter(|seq| *seq < self.mark.next) else { continue };
            self.highest = self.highest.max(Some(seq));
            let believed = outcome.status != Status::Done || believe_done;
            if outcome.status.is_final() && believed {
                self.settled.insert(seq);
            } else {
                self.settled.remove(seq);
            }
            if outcome.status == Status::Done && believe_done {
                self.done += 1;
                self.done_bytes = self.done_bytes.saturating_add(outcome.bytes.unwrap_or(0));
            }
        }
        self.outcomes_length = outcomes.position();
        Ok(())
    }

    fn read_notes(&mut self, folder: &Path) -> Result<()> {
        let mut notes = LogReader::<NoteRecord>::open(&folder.join(Files::NOTES))?;
        while let Some(note) = notes.next()? {
            if note.seq < self.mark.next && !self.settled.contains(note.seq) {
                self.notes.insert(note.seq, note);
            }
        }
        self.notes_length = notes.position();
        Ok(())
    }
}

fn whole_length<T: DeserializeOwned>(path: &Path) -> Result<u64> {
    let mut list = LogReader::<T>::open(path)?;
    while list.next()?.is_some() {}
    Ok(list.position())
}
