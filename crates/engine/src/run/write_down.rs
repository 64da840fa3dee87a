//! Writes the one outcome of an item: counts it, sends the event, and records it.

use std::borrow::Cow;

use ketch_core::source_identity;

use super::act::{Acted, reason_of};
use super::*;
use crate::journal::{ItemOutcome, Status};
use crate::transfer::RESUME_FROM;

impl Runner {
    /// Writes down what was done.
    pub(super) async fn succeeded(&self, task: &Task, acted: Acted) {
        let Acted { outcome, hashes, bytes, kept } = acted;
        {
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
                    report.sources_removed += u64::from(!is_dir_removal(&task.action));
                }
                Outcome::TimeSet => report.times_set += 1,
                Outcome::DirMade => report.dirs_made += 1,
                Outcome::DirMoved => {
                    report.dirs_moved += 1;
                    state.is_root_moved |= act::path_of(&task.action).is_root();
                }
                Outcome::Deleted => report.deleted += 1,
                // A folder of the source in which something is left is not reported.
                Outcome::Kept => report.kept += u64::from(!is_dir_removal(&task.action)),
                Outcome::Held => report.deletions_held += 1,
                Outcome::NotStorable => report.not_storable += 1,
            }
            report.bytes = report.bytes.saturating_add(bytes.unwrap_or(0));
            report.bytes_kept = report.bytes_kept.saturating_add(kept);
        }
        self.context.progress.done(bytes.unwrap_or(0));
        self.context.progress.kept(kept);
        // A move that finds its file stored only removes it at the source.
        if let Action::Copy { source, .. } | Action::RemoveSource { source, .. } = &task.action {
            // A part of another version still remains.
            let (memory, version) =
                (self.records.memory(), source_identity(&self.source_location, source));
            if memory.noted_source(&source.path).is_none_or(|noted| *noted == *version) {
                memory.end(&source.path);
            }
        }
        let (path, reason) = (act::path_of(&task.action).clone(), reason_of(&task.action));
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
        let size = act::size_of(&task.action);
        self.tell(Event::ItemDone { path, outcome, reason, size, record }).await;
    }

    /// Writes down what was not done.
    pub(super) async fn failed(&self, task: &Task, operation: &'static str, error: Error) {
        let failure = self.failure(act::path_of(&task.action), operation, &error);
        if error.is_fatal() {
            self.fatal(error);
        }
        self.write_failure(task, failure).await;
    }

    /// Writes down a failure whose text is complete.
    pub(super) async fn write_failure(&self, task: &Task, failure: Failure) {
        let (status, mut is_failure) = self.judge(&task.action, &failure);
        let is_large = act::size_of(&task.action).is_some_and(|size| size >= RESUME_FROM);
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
        self.records.job().is_some() && can_continue && (to.put_resume || to.put_parts.is_some())
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
    pub(super) fn put_on_record(&self, record: &ItemOutcome) {
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
