//! Puts what was found on record: an action with its number in the plan, or the outcome of what needs no action.

use super::consider::Found;
use super::*;
use crate::journal::Status;

impl Planner {
    /// Writes the outcomes of items that need no action, and records the actions. Returns what can be done at once.
    pub(super) async fn settle(&self, found: Found) -> Result<Option<Task>> {
        match found {
            Found::Nothing | Found::Anew => Ok(None),
            Found::Failed(failure) => {
                self.refuse(failure, Status::Failed).await?;
                Ok(None)
            }
            Found::Both(first, last) => {
                let task = self.settle_action(first).await?;
                self.settle_action(last).await?;
                Ok(task)
            }
            Found::Action(action) => self.settle_action(action).await,
        }
    }

    /// Records an item that only reports a failure, and its outcome.
    pub(super) async fn refuse(&self, failure: Failure, status: Status) -> Result<()> {
        let seq = self.ledger.plan(Planned::refusal(&failure))?;
        self.ledger.refused(seq, failure, status).await;
        Ok(())
    }

    async fn settle_action(&self, action: Action) -> Result<Option<Task>> {
        match action {
            Action::Skip { path, reason } => self.ledger.unchanged(path, reason).await,
            Action::NotStorable { path, reason } => {
                let (word, text) = (reason.as_str().into(), reason.to_string().into());
                let hint = reason.hint().map(|hint| hint.as_str().into());
                let planned = Planned::Leave { path: path.clone(), reason: word, text, hint };
                let seq = self.ledger.plan(planned)?;
                let task = Task::new(seq, Action::NotStorable { path, reason }, false);
                self.ledger.succeeded(&task, Outcome::NotStorable.into()).await;
            }
            Action::Refuse { path, reason } => {
                let error = Error::new(refusal_kind(reason), reason.to_string());
                let failure = Failure::new(&path, "copy", &error);
                let failure = Failure { hint: reason.hint(), ..failure };
                self.refuse(failure, Status::Refused).await?;
            }
            action => return self.record(action),
        }
        Ok(None)
    }

    /// Records an action and counts it. `None`: it is done after everything else, in the order of the records.
    fn record(&self, action: Action) -> Result<Option<Task>> {
        let size = size_of(&action).unwrap_or(0);
        let is_deletion = matches!(action, Action::Delete { .. });
        if let Some(tally) = &mut self.state().tally {
            let moves = self.context.kind == JobKind::Move;
            tally.add(&action, self.transfers.can_copy_by_remote(), moves);
        }
        let Ok(planned) = Planned::from_action(action.clone()) else { return Ok(None) };
        let seq = self.ledger.plan(planned)?;
        {
            let mut state = self.state();
            state.deletions += u64::from(is_deletion);
            state.planned_bytes = state.planned_bytes.saturating_add(size);
        }
        self.context.progress.planned(size);
        let is_last = is_deletion || matches!(action, Action::RemoveSourceDir { .. });
        let is_stored = self.kept.is_taken_by(&action);
        Ok((!is_last).then(|| Task::new(seq, action, is_stored)))
    }
}

fn refusal_kind(reason: Reason) -> ErrorKind {
    match reason {
        Reason::TooLarge | Reason::UnknownSize | Reason::EmptyFileOverOld => ErrorKind::Unsupported,
        _ => ErrorKind::AlreadyExists,
    }
}
