//! The ledger of a job: each item's one outcome, counted, sent as an event and recorded; failures; folders in which nothing
//! is deleted; the report; and the records of the journal. It knows nothing of how a plan is made or of who does the items.
//!
//! Of each item it is told once: [`Ledger::succeeded`], [`Ledger::failed`] or [`Ledger::refused`].

use std::borrow::Cow;

use super::item::{Acted, Task, path_of, reason_of, size_of};
use super::kept::Kept;
use super::roots::Roots;
use super::unstored::Unstored;
use super::*;
use crate::journal::{FolderTime, ItemOutcome, LogReader, Status};
use crate::settings::OnChanged;
use crate::transfer::RESUME_FROM;

/// Folders with failures that are remembered; when there are more, every deletion is held back.
const FAILED_DIRS_LIMIT: usize = 10_000;

/// See the top of the file. Every method may be called by many tasks at the same time.
#[derive(Debug)]
pub(super) struct Ledger {
    context: Arc<Context>,
    events: mpsc::Sender<Event>,
    records: Arc<Records>,
    kept: Arc<Kept>,
    roots: Arc<Roots>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    report: Report,
    /// Folders in which something failed: nothing is deleted in them.
    failed_dirs: HashSet<RelPath>,
    /// Folders that only the destination has and that hold an entry which a filter excludes: they are kept.
    occupied_dirs: HashSet<RelPath>,
    /// Of both, those that are not on record yet.
    new_failed_dirs: Vec<RelPath>,
    new_occupied_dirs: Vec<RelPath>,
    /// Files of the source that could not be stored: an extra may be the only copy of one of them.
    unstored: Unstored,
    /// A large file failed, and the destination may hold a part of it that the next run continues.
    keeps_parts: bool,
    /// The whole source is at the destination now, and no more where it was.
    is_root_moved: bool,
}

/// What the listings of both sides showed.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Listed {
    pub(super) source_files: u64,
    pub(super) source_entries: u64,
    pub(super) destination_entries: u64,
    /// Files that need nothing.
    pub(super) unchanged: u64,
}

impl Listed {
    /// What a plan was made from, up to `mark`.
    pub(super) fn of(mark: &Mark) -> Self {
        Listed {
            source_files: mark.source_files,
            source_entries: mark.source_entries,
            destination_entries: mark.destination_entries,
            unchanged: mark.unchanged,
        }
    }
}

impl Ledger {
    /// A ledger that continues what `records` have.
    pub(super) fn new(
        context: &Arc<Context>,
        events: mpsc::Sender<Event>,
        records: &Arc<Records>,
        kept: &Arc<Kept>,
        roots: &Arc<Roots>,
    ) -> Self {
        let state = State {
            failed_dirs: kept.held().clone(),
            occupied_dirs: kept.occupied().clone(),
            ..State::default()
        };
        Ledger {
            context: Arc::clone(context),
            events,
            records: Arc::clone(records),
            kept: Arc::clone(kept),
            roots: Arc::clone(roots),
            state: Mutex::new(state),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends an event. If the receiver of events is gone, the job continues.
    pub(super) async fn tell(&self, event: Event) {
        let _ = self.events.send(event).await;
    }

    /// Sends a notice.
    pub(super) async fn notice(&self, path: Option<RelPath>, text: String, hint: Option<Hint>) {
        self.tell(Event::Notice { path, text, hint }).await;
    }

    /// Ends the job: no new item is started.
    pub(super) fn fatal(&self, error: Error) {
        self.ended_by(error);
        self.context.abort.cancel();
    }

    /// The steps of the job ended with `error`. Of several errors the first one is reported.
    pub(super) fn ended_by(&self, error: Error) {
        self.state().report.fatal.get_or_insert(error);
    }

    /// What the listings showed so far, with those of earlier processes.
    pub(super) fn listed(&self) -> Listed {
        let report = &self.state().report;
        Listed {
            source_files: report.source_files,
            source_entries: report.source_entries,
            destination_entries: report.destination_entries,
            unchanged: report.unchanged,
        }
    }

    /// The plan begins with `listed`: by an earlier process, or anew.
    pub(super) fn set_listed(&self, listed: Listed) {
        let Listed { source_files, source_entries, destination_entries, unchanged } = listed;
        let report = &mut self.state().report;
        (report.source_files, report.source_entries) = (source_files, source_entries);
        (report.destination_entries, report.unchanged) = (destination_entries, unchanged);
    }

    /// A listing showed so many more.
    pub(super) fn saw(&self, more: Listed) {
        let Listed { source_files, source_entries, destination_entries, unchanged } = more;
        let report = &mut self.state().report;
        report.source_files += source_files;
        report.source_entries += source_entries;
        report.destination_entries += destination_entries;
        report.unchanged += unchanged;
    }

    /// A file needs nothing.
    pub(super) async fn unchanged(&self, path: RelPath, reason: Reason) {
        {
            let report = &mut self.state().report;
            report.unchanged += 1;
            report.unchanged_claimed += u64::from(reason == Reason::SameClaim);
        }
        if reason == Reason::Unproven {
            self.notice(Some(path.clone()), reason.to_string(), reason.hint()).await;
        }
        if self.context.settings.report_unchanged {
            self.tell(Event::Unchanged { path, reason }).await;
        }
    }

    /// Nothing showed that the copy of a file that was transferred is right.
    pub(super) fn unverified(&self) {
        self.state().report.unverified += 1;
    }

    /// A plan that was finished does not contain something that both sides differ in now.
    pub(super) fn passed_over(&self) {
        self.state().report.passed_over += 1;
    }

    /// Is the whole source at the destination now, and no more where it was?
    pub(super) fn is_root_moved(&self) -> bool {
        self.state().is_root_moved
    }

    /// Nothing is deleted in `dir`: something in it failed, or is not known.
    pub(super) fn hold_deletions_in(&self, dir: RelPath) {
        self.state().hold_deletions_in(dir);
    }

    /// `dir` of the destination is kept: something stays in it.
    pub(super) fn occupy(&self, dir: RelPath) {
        self.state().occupy(dir);
    }

    /// Does an extra entry stay, and with which outcome? If it stays, so does its folder.
    pub(super) fn stays(&self, entry: &Entry) -> Option<Outcome> {
        let stopping = self.context.is_stopping();
        let mut state = self.state();
        let dir = entry.path.parent().unwrap_or_else(RelPath::root);
        let inside_failed = entry.is_dir() && state.must_hold_deletions_in(&entry.path);
        if stopping || inside_failed || state.must_hold_deletions_in(&dir) {
            state.hold_deletions_in(dir);
            return Some(Outcome::Held);
        }
        if entry.is_dir() && state.occupied_dirs.contains(&entry.path) {
            state.occupy(dir);
            return Some(Outcome::Kept);
        }
        None
    }

    /// Files of the source that could not be stored; lock it only for one look.
    pub(super) fn with_unstored<T>(&self, look: impl FnOnce(&mut Unstored) -> T) -> T {
        look(&mut self.state().unstored)
    }

    /// Is there, or may there be, something at the destination that the next run must know about?
    pub(super) fn leaves_something(&self) -> bool {
        self.kept.leaves_something() || self.state().keeps_parts
    }

    /// Can a later process continue this job, or must it know what this one left?
    pub(super) fn is_open(&self) -> bool {
        self.context.is_stopping() || self.state().report.fatal.is_some() || self.leaves_something()
    }

    /// Writes down what was done.
    pub(super) async fn succeeded(&self, task: &Task, acted: Acted) {
        let Acted { outcome, hashes, bytes, kept } = acted;
        self.count_done(&task.action, outcome, bytes.unwrap_or(0), kept);
        self.context.progress.done(bytes.unwrap_or(0));
        self.context.progress.kept(kept);
        // A move that finds its file stored only removes it at the source.
        if let Action::Copy { source, .. } | Action::RemoveSource { source, .. } = &task.action {
            self.kept.ended(source);
        }
        let (path, reason) = (path_of(&task.action).clone(), reason_of(&task.action));
        let record = ItemOutcome {
            seq: Some(task.seq),
            reason: Some(Cow::Borrowed(reason.as_str())),
            bytes,
            kept: Some(kept).filter(|kept| *kept > 0),
            milliseconds: task.milliseconds,
            attempts: task.attempts,
            ..ItemOutcome::new(path.clone(), outcome.status(), outcome.as_str())
        };
        let record = Box::new(record.with_digests(hashes.as_ref()));
        // Deletions that are held back because the job is stopped are done by the process that continues it.
        if outcome != Outcome::Held {
            self.put_on_record(&record);
        }
        if self.context.settings.dry_run
            && let Ok(planned) = Planned::from_action(task.action.clone())
        {
            self.tell(Event::Action(Box::new(planned))).await;
        }
        let size = size_of(&task.action);
        self.tell(Event::ItemDone { path, outcome, reason, size, record }).await;
    }

    /// Writes down what was not done.
    pub(super) async fn failed(&self, task: &Task, operation: &'static str, error: Error) {
        let failure = self.failure(path_of(&task.action), operation, &error);
        if error.is_fatal() {
            self.fatal(error);
        }
        self.write_failure(task, failure).await;
    }

    /// Writes down a failure whose text is complete.
    async fn write_failure(&self, task: &Task, failure: Failure) {
        let (status, mut is_failure) = self.judge(&task.action, &failure);
        let is_large = size_of(&task.action).is_some_and(|size| size >= RESUME_FROM);
        if status == Status::Failed && is_large && self.may_leave_parts() && !failure.at_source {
            self.state().keeps_parts = true;
        }
        if status == Status::Vanished {
            // Checked also if it is a failure anyway, because it decides whether anything may be deleted.
            is_failure |= self.roots.is_source_going_away(&failure).await;
        }
        if is_failure && let Action::Copy { source, .. } = &task.action {
            self.state().unstored.add(source);
        }
        self.count_failure(&failure, status, is_failure);
        let record = ItemOutcome {
            seq: Some(task.seq),
            milliseconds: task.milliseconds,
            attempts: task.attempts,
            ..record_of(&failure, status)
        };
        self.put_on_record(&record);
        self.tell(Event::ItemFailed { failure, is_failure, record: Box::new(record) }).await;
    }

    /// Writes down a failure that was found while planning: this item of the plan needs no act.
    pub(super) async fn refused(&self, seq: u64, failure: Failure, status: Status) {
        self.count_failure(&failure, status, true);
        let record = ItemOutcome { seq: Some(seq), ..record_of(&failure, status) };
        self.put_on_record(&record);
        if self.context.settings.dry_run {
            self.tell(Event::Action(Box::new(Planned::refusal(&failure)))).await;
        }
        let record = Box::new(record);
        self.tell(Event::ItemFailed { failure, is_failure: true, record }).await;
    }

    /// Does the destination keep parts of what failed, for a job that is on record?
    fn may_leave_parts(&self) -> bool {
        let to = self.context.destination.capabilities();
        let can_continue = self.context.source.capabilities().read_range;
        self.kept.is_on_disk() && can_continue && (to.put_resume || to.put_parts.is_some())
    }

    fn count_failure(&self, failure: &Failure, status: Status, is_failure: bool) {
        let mut state = self.state();
        match (is_failure, status) {
            (false, Status::Vanished) => state.report.vanished += 1,
            (false, _) => state.report.changed += 1,
            (true, status) => {
                // A file that changed or went away says nothing about other names.
                if matches!(status, Status::Failed | Status::Refused) {
                    let dir = failure.path.parent().unwrap_or_else(RelPath::root);
                    state.hold_deletions_in(dir);
                }
                state.report.add_failure(failure.clone(), &self.context.progress);
                return;
            }
        }
        self.context.progress.done(0);
    }

    /// If the records cannot be written, the job ends.
    fn put_on_record(&self, record: &ItemOutcome) {
        if self.context.settings.dry_run {
            return;
        }
        if let Err(error) = self.records.outcome(record) {
            self.fatal(error);
        }
    }

    pub(super) fn failure(
        &self,
        path: &RelPath,
        operation: &'static str,
        error: &Error,
    ) -> Failure {
        let failure = Failure::new(path, operation, error);
        let at_source = failure.at_source || error.remote() == Some(self.context.source.name());
        Failure { at_source, ..failure }
    }

    fn count_done(&self, action: &Action, outcome: Outcome, bytes: u64, kept: u64) {
        let state = &mut *self.state();
        let report = &mut state.report;
        report.done += u64::from(outcome.status() == Status::Done);
        match outcome {
            Outcome::Copied => report.copied += 1,
            Outcome::CopiedByRemote => {
                report.copied += 1;
                report.copied_by_remote += 1;
            }
            Outcome::Moved => {
                report.copied += 1;
                report.sources_removed += 1;
            }
            Outcome::Renamed => {
                report.renamed += 1;
                report.sources_removed += 1;
            }
            Outcome::MovedByRemote => {
                report.copied += 1;
                report.copied_by_remote += 1;
                report.sources_removed += 1;
            }
            Outcome::SourceRemoved => {
                report.sources_removed += u64::from(!is_dir_removal(action));
            }
            Outcome::TimeSet => report.times_set += 1,
            Outcome::DirMade => report.dirs_made += 1,
            Outcome::DirMoved => {
                report.dirs_moved += 1;
                state.is_root_moved |= path_of(action).is_root();
            }
            Outcome::Deleted => report.deleted += 1,
            // A folder of the source in which something is left is not reported.
            Outcome::Kept => report.kept += u64::from(!is_dir_removal(action)),
            Outcome::Held => report.deletions_held += 1,
            Outcome::NotStorable => report.not_storable += 1,
        }
        report.bytes = report.bytes.saturating_add(bytes);
        report.bytes_kept = report.bytes_kept.saturating_add(kept);
    }

    /// The status of an item after an error, and whether it is a failure of the job.
    fn judge(&self, action: &Action, failure: &Failure) -> (Status, bool) {
        let moves_bytes = matches!(action, Action::Copy { .. } | Action::RemoveSource { .. });
        let policy = self.context.settings.on_changed;
        match failure.kind {
            ErrorKind::NotFound if moves_bytes && failure.at_source => {
                // If a plan that was made earlier cannot be executed completely, that is a failure.
                (Status::Vanished, policy == OnChanged::Fail || self.context.is_strict)
            }
            ErrorKind::Changed if failure.at_source => (Status::Changed, policy != OnChanged::Skip),
            ErrorKind::Changed => (Status::Changed, true),
            _ => (Status::Failed, true),
        }
    }

    /// Adds an action to the plan on record and returns its number.
    pub(super) fn plan(&self, action: Planned) -> Result<u64> {
        self.records.plan(action)
    }

    /// Items of the plan on record, with those of earlier processes.
    pub(super) fn planned(&self) -> u64 {
        self.records.planned()
    }

    /// Records how far planning has come. `mark` has what the plan counts; the rest of it is added here.
    pub(super) fn mark(&self, mark: Mark) -> Result<()> {
        self.records.mark(self.completed(mark))
    }

    /// Records that the plan is complete.
    pub(super) fn complete(&self, mark: Mark) -> Result<()> {
        self.records.complete(self.completed(mark))
    }

    /// A mark with what the listings showed, and with the folders that were not on record yet.
    fn completed(&self, mark: Mark) -> Mark {
        let Listed { source_files, source_entries, destination_entries, unchanged } = self.listed();
        let state = &mut *self.state();
        Mark {
            source_files,
            source_entries,
            destination_entries,
            unchanged,
            held: std::mem::take(&mut state.new_failed_dirs),
            occupied: std::mem::take(&mut state.new_occupied_dirs),
            ..mark
        }
    }

    /// The plan on record, without its deletions, from its beginning.
    pub(super) fn changes(&self) -> Result<LogReader<PlanRecord>> {
        self.records.changes()
    }

    /// The deletions on record, from the last.
    pub(super) fn deletions(&self) -> Result<LogBackward<PlanItem>> {
        self.records.deletions()
    }

    /// Records the time that a folder must have.
    pub(super) fn folder(&self, folder: &FolderTime) -> Result<()> {
        self.records.folder(folder)
    }

    /// The folders on record, from the last. `None`: there are none.
    pub(super) fn folders(&self) -> Result<Option<LogBackward<FolderTime>>> {
        self.records.folders()
    }

    /// Hands every outcome that still waits to the system. If that fails, the job ends.
    pub(super) fn flush(&self) {
        if let Err(error) = self.records.flush() {
            self.fatal(error);
        }
    }

    /// Makes the report and ends the records. A job that was stopped, or that an outside cause ended, stays open.
    pub(super) fn end(&self, journal: Option<Journal>, started: Instant) -> Report {
        let mut report = std::mem::take(&mut self.state().report);
        report.stopped = self.context.stop.is_stopping();
        report.elapsed = started.elapsed();
        let Some(journal) = journal else { return report };
        report.before = journal.standing;
        let refused = |error: &Error| {
            use ErrorKind::{InvalidInput, NotFound, Unsupported};
            matches!(error.kind(), InvalidInput | NotFound | Unsupported)
        };
        let is_over = !report.stopped
            && report.fatal.as_ref().is_none_or(refused)
            && !self.leaves_something();
        let state = match (&report.fatal, report.failed) {
            (Some(_), _) => "failed",
            (None, 0) => "done",
            (None, _) => "partial",
        };
        let ended = Ended {
            state: state.to_owned(),
            done: report.done + journal.standing.map_or(0, |before| before.done),
            failed: report.failed,
            text: match &report.fatal {
                Some(error) => error.to_string(),
                None => String::new(),
            },
            hint: report.fatal.as_ref().and_then(Error::hint).map(|hint| hint.as_str().to_owned()),
            at: crate::journal::now(),
        };
        let written = match is_over {
            true => journal.close(&ended),
            false => self.records.sync(),
        };
        report.is_open = !is_over;
        if let Err(error) = written {
            report.fatal.get_or_insert(error);
        }
        report
    }
}

impl State {
    fn hold_deletions_in(&mut self, dir: RelPath) {
        if self.failed_dirs.len() < FAILED_DIRS_LIMIT && self.failed_dirs.insert(dir.clone()) {
            self.new_failed_dirs.push(dir);
        }
    }

    fn occupy(&mut self, dir: RelPath) {
        if self.occupied_dirs.len() < FAILED_DIRS_LIMIT && self.occupied_dirs.insert(dir.clone()) {
            self.new_occupied_dirs.push(dir);
        }
    }

    fn must_hold_deletions_in(&self, dir: &RelPath) -> bool {
        self.failed_dirs.len() >= FAILED_DIRS_LIMIT || self.failed_dirs.contains(dir)
    }
}

/// A failure as it is written down, without its number in the plan and what the tries took.
fn record_of(failure: &Failure, status: Status) -> ItemOutcome {
    ItemOutcome {
        kind: Some(Cow::Borrowed(failure.kind.as_str())),
        message: Some(failure.message.clone()),
        hint: failure.hint.map(|hint| Cow::Borrowed(hint.as_str())),
        action: failure.operation.clone(),
        ..ItemOutcome::new(failure.path.clone(), status, "")
    }
}

fn is_dir_removal(action: &Action) -> bool {
    matches!(action, Action::RemoveSourceDir { .. })
}
