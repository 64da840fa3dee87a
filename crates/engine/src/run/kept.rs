//! What is kept of a job from one process to the next, and all that a running job asks of it.
//!
//! The contract, which anything that keeps a job's ledger must fulfil:
//!
//! * **What was kept is a hint.** It may lack what was done last, and it never says that something is stored that was not
//!   reported as stored. The job checks both sides before it relies on it.
//! * **The plan.** [`Kept::mark`] says how far an earlier process planned. If [`Kept::is_planned`], the plan on record is
//!   whole. An item for which [`Kept::is_settled`] needs nothing more; every other one is done, or done again.
//! * **Open transfers.** A transfer is open from when the backend noted something about it until [`Kept::ended`] or
//!   [`Kept::is_over`]. At most one is open for a path, and it belongs to one version of the source: for another version it
//!   is of no use. A new plan that contains the transfer says so once ([`Kept::take`]).
//! * **Arrivals.** [`Kept::has_arrived`] is true only of a version of the source and a version of the destination for which
//!   [`Kept::arrived`] was called.
//! * What is kept of earlier processes does not change while the job runs, except by [`Kept::take`],
//!   [`Kept::forget_taken`], [`Kept::ended`] and [`Kept::is_cleared`]. Every method may be called by many tasks at the same
//!   time, and none waits for a remote, except [`Kept::abandon`].

use std::collections::HashSet;

use ketch_core::{Checkpoint, source_identity};

use super::*;
use crate::journal::{Left, LogReader, arrival};

/// See the top of the file.
#[derive(Debug)]
pub(super) struct Kept {
    records: Arc<Records>,
    /// Where the source is, in a form that does not change between processes.
    source_location: String,
}

impl Kept {
    pub(super) fn new(records: &Arc<Records>, source_location: String) -> Self {
        Kept { records: Arc::clone(records), source_location }
    }

    fn memory(&self) -> &Memory {
        self.records.memory()
    }

    fn version(&self, source: &Entry) -> Box<str> {
        source_identity(&self.source_location, source)
    }

    /// Is this process finishing the plan of an earlier one?
    pub(super) fn is_resumed(&self) -> bool {
        self.records.resumed().is_resumed
    }

    /// Did an earlier process complete the plan?
    pub(super) fn is_planned(&self) -> bool {
        self.records.resumed().is_planned
    }

    /// How far earlier processes planned, without the folders ([`Kept::held`], [`Kept::occupied`]).
    pub(super) fn mark(&self) -> &Mark {
        &self.records.resumed().mark
    }

    /// Folders in which an earlier process deletes nothing.
    pub(super) fn held(&self) -> &HashSet<RelPath> {
        &self.records.resumed().held
    }

    /// Folders of the destination that an earlier process keeps.
    pub(super) fn occupied(&self) -> &HashSet<RelPath> {
        &self.records.resumed().occupied
    }

    /// Does item `seq` need nothing more?
    pub(super) fn is_settled(&self, seq: u64) -> bool {
        self.records.resumed().settled.contains(seq)
    }

    /// Is this job on disk, so that a later process can continue it?
    pub(super) fn is_on_disk(&self) -> bool {
        self.records.job().is_some()
    }

    /// The checkpoint by which a later process can continue the transfer of `source`, which is item `seq`. `None` if the
    /// job is not on disk.
    pub(super) fn checkpoint(&self, seq: u64, source: &Entry) -> Option<Checkpoint> {
        self.records.checkpoint(seq, &self.source_location, source)
    }

    /// The checkpoint of the transfer that an earlier process began for item `seq` or its path, if it was for another
    /// version than `source`.
    pub(super) fn checkpoint_of_other_version(
        &self,
        seq: u64,
        source: &Entry,
    ) -> Option<Checkpoint> {
        let of_plan = self.records.resumed().notes.get(&seq).map(|note| &*note.source);
        let noted = of_plan.or_else(|| self.memory().noted_source(&source.path))?;
        let checkpoint = self.checkpoint(seq, source)?;
        (*noted != *checkpoint.source)
            .then(|| self.records.noted_checkpoint(seq, &source.path, checkpoint))
    }

    /// Every open transfer that a backend noted something about and that is not planned again.
    pub(super) fn open(&self) -> impl Iterator<Item = &Left> {
        self.memory().all_noted()
    }

    /// The open transfer of this version of a file that a backend noted something about.
    pub(super) fn open_of(&self, source: &Entry) -> Option<&Left> {
        let left = self.memory().noted(&source.path)?;
        self.is_for(left, source).then_some(left)
    }

    /// Is the open transfer for this version of the source?
    pub(super) fn is_for(&self, left: &Left, source: &Entry) -> bool {
        self.memory().noted_source(&left.path) == Some(&*self.version(source))
    }

    /// The open transfer of `path` is planned again, and the destination's listing shows `listed` there.
    pub(super) fn take(&self, path: &RelPath, listed: Option<Entry>) {
        self.memory().take(path, listed);
    }

    /// Was the open transfer of `path` planned again?
    pub(super) fn is_taken(&self, path: &RelPath) -> bool {
        self.memory().is_taken(path)
    }

    /// Does `action` continue an open transfer, so that both sides are checked before it is done?
    pub(super) fn is_taken_by(&self, action: &Action) -> bool {
        match action {
            Action::Copy { source, .. } => self.is_taken(&source.path),
            _ => false,
        }
    }

    /// What the destination's listing showed when the open transfer of `path` was planned again.
    pub(super) fn listed(&self, path: &RelPath) -> Option<Entry> {
        self.memory().listed(path)
    }

    /// What was planned so far does not count.
    pub(super) fn forget_taken(&self) {
        self.memory().forget_taken();
    }

    /// This version of a file is done. So is its open transfer, unless that is for another version, of which a part
    /// remains.
    pub(super) fn ended(&self, source: &Entry) {
        let noted = self.memory().noted_source(&source.path);
        if noted.is_none_or(|noted| *noted == *self.version(source)) {
            self.memory().end(&source.path);
        }
    }

    /// Has the open transfer of `path` ended?
    pub(super) fn is_ended(&self, path: &RelPath) -> bool {
        self.memory().is_ended(path)
    }

    /// Removes from `destination` what an open transfer left there. Whether it has ended is for the caller to say
    /// ([`Kept::is_over`], [`Kept::is_cleared`]).
    ///
    /// Errors: those of the destination.
    pub(super) async fn abandon(&self, left: &Left, destination: &dyn Backend) -> Result<()> {
        let Some(job) = self.records.job() else { return Ok(()) };
        destination.abandon(&left.path, &left.checkpoint(job)).await
    }

    /// What the open transfer of `path` left was removed.
    pub(super) fn is_over(&self, path: &RelPath) {
        self.memory().end(path);
    }

    /// Everything that may be left at the destination. `None`: nothing.
    pub(super) fn left(&self) -> Result<Option<LogReader<Left>>> {
        self.memory().left()
    }

    /// Nothing is left there any more.
    pub(super) fn is_cleared(&self) -> Result<()> {
        self.memory().is_cleared()
    }

    /// May something be left there that the next process must know about, of earlier processes or of this one?
    pub(super) fn leaves_something(&self) -> bool {
        self.memory().has_left() || self.records.has_open_notes()
    }

    /// This version of `source` became this version of `destination`.
    pub(super) fn arrived(&self, source: &Entry, destination: &Entry) -> Result<()> {
        arrival(source, destination).map_or(Ok(()), |print| self.records.arrived(print))
    }

    /// Did an earlier process store this version of `source` as this version of `destination`?
    pub(super) fn has_arrived(&self, source: &Entry, destination: &Entry) -> bool {
        self.memory().has_arrived(source, destination)
    }
}
