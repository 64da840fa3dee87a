//! Items that are on record already: planned by an earlier process, or taken from a plan file.

use super::*;
use crate::journal::Status;

impl Executor {
    /// The items that are on record and have no outcome yet, in the order of the plan, without those
    /// before `valid_from`. Items of earlier processes are
    /// checked before they are done; items that only report something are reported again.
    pub(super) fn stored_tasks(
        self: &Arc<Self>,
        valid_from: u64,
    ) -> Result<impl Stream<Item = Result<Task>> + use<>> {
        let mut plan = self.ledger.changes()?;
        let executor = Arc::clone(self);
        let next = move |executor: Arc<Executor>| {
            let found = loop {
                match plan.next() {
                    Ok(Some(PlanRecord::Item(item))) if item.seq < valid_from => {}
                    Ok(Some(PlanRecord::Item(item))) => {
                        // `jobs resume`: items that are recorded as done are checked, too.
                        let is_looked_at = executor.context.is_strict
                            && matches!(item.action, Planned::Copy { .. });
                        if is_looked_at || !executor.is_settled(&item) {
                            break Some(Ok(item));
                        }
                    }
                    Ok(Some(PlanRecord::Mark(_) | PlanRecord::Complete)) => {}
                    Ok(None) if plan.is_at_end() => break None,
                    Ok(None) => break Some(Err(damaged())),
                    Err(error) => break Some(Err(error)),
                }
            };
            (found, executor)
        };
        let items = futures::stream::unfold((next, executor), |(mut next, executor)| async move {
            let (found, executor) = next(executor);
            found.map(|found| (found, (next, executor)))
        });
        let executor = Arc::clone(self);
        let tasks = items.filter_map(move |item| {
            let executor = Arc::clone(&executor);
            async move {
                match item {
                    Ok(item) if executor.is_settled(&item) && executor.is_in_place(&item).await => {
                        None
                    }
                    Ok(PlanItem { seq, action }) => executor.task_of(seq, action).await.map(Ok),
                    Err(error) => Some(Err(error)),
                }
            }
        });
        Ok(tasks.boxed())
    }

    fn is_settled(&self, item: &PlanItem) -> bool {
        self.kept.is_settled(item.seq)
    }

    /// Does the destination still have what is recorded as arrived? Yes, if it cannot be asked.
    async fn is_in_place(&self, item: &PlanItem) -> bool {
        let Planned::Copy { source, .. } = &item.action else { return true };
        let planned = Entry::from(source.clone());
        let there = match self.context.destination.stat(&planned.path).await {
            Ok(there) => there,
            Err(error) => return error.kind() != ErrorKind::NotFound,
        };
        let keeps_times = self.context.rules().keeps_times();
        there.kind == planned.kind
            && (planned.size.is_none() || there.size == planned.size)
            && (!keeps_times || there.mtime == planned.mtime)
    }

    /// The task of a planned item; `None` for an item that only reports something: it is reported here.
    pub(super) async fn task_of(&self, seq: u64, planned: Planned) -> Option<Task> {
        let is_stored = self.context.is_strict || seq < self.kept.mark().next;
        let planned = match planned.into_action() {
            Ok(action) => {
                let is_stored = is_stored || self.kept.is_taken_by(&action);
                return Some(Task::new(seq, action, is_stored));
            }
            Err(planned) => *planned,
        };
        // Already reported while planning, unless another process planned it.
        if let Planned::Refuse { path, operation, kind, message, at_source, hint } = planned
            && is_stored
        {
            let kind = ErrorKind::from_word(&kind).unwrap_or(ErrorKind::Io);
            if operation == "list" {
                self.ledger.hold_deletions_in(path.clone());
            }
            let hint = hint.as_deref().and_then(Hint::from_word);
            let failure = Failure { path, operation, kind, message, hint, at_source };
            self.ledger.refused(seq, failure, Status::Failed).await;
        }
        None
    }
}
