//! Items that are on record already: planned by an earlier process, or taken from a plan file.

use ketch_core::bill::Work;

use super::*;
use crate::journal::{LogWriter, Status};

impl Runner {
    /// The items that are on record and have no outcome yet, in the order of the plan. Items of earlier processes are
    /// checked before they are done; items that only report something are reported again.
    pub(super) fn stored_tasks(
        self: &Arc<Self>,
    ) -> Result<impl Stream<Item = Result<Task>> + use<>> {
        let mut plan = self.ledger.changes()?;
        let runner = Arc::clone(self);
        let next = move |runner: Arc<Runner>| {
            let found = loop {
                match plan.next() {
                    Ok(Some(PlanRecord::Item(item))) if item.seq < runner.state().valid_from => {}
                    Ok(Some(PlanRecord::Item(item))) => {
                        // `jobs resume`: items that are recorded as done are checked, too.
                        let is_looked_at =
                            runner.context.is_strict && matches!(item.action, Planned::Copy { .. });
                        if is_looked_at || !runner.is_settled(&item) {
                            break Some(Ok(item));
                        }
                    }
                    Ok(Some(PlanRecord::Mark(_) | PlanRecord::Complete)) => {}
                    Ok(None) if plan.is_at_end() => break None,
                    Ok(None) => break Some(Err(damaged())),
                    Err(error) => break Some(Err(error)),
                }
            };
            (found, runner)
        };
        let items = futures::stream::unfold((next, runner), |(mut next, runner)| async move {
            let (found, runner) = next(runner);
            found.map(|found| (found, (next, runner)))
        });
        let runner = Arc::clone(self);
        let tasks = items.filter_map(move |item| {
            let runner = Arc::clone(&runner);
            async move {
                match item {
                    Ok(item) if runner.is_settled(&item) && runner.is_in_place(&item).await => None,
                    Ok(PlanItem { seq, action }) => runner.task_of(seq, action).await.map(Ok),
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

    /// Sends the bill for the items that are on record and have no outcome yet.
    pub(super) async fn tell_stored_bill(&self) -> Result<()> {
        let context = &self.context;
        if ![&context.source, &context.destination].into_iter().any(|side| counts_calls(&**side)) {
            return Ok(());
        }
        let mut tally = Tally::new(context.destination.capabilities());
        let by_remote = self.transfers.can_copy_by_remote();
        let moves = context.kind == JobKind::Move;
        let mut add = |item: PlanItem| {
            let is_void = item.seq < self.state().valid_from;
            if is_void || self.kept.is_settled(item.seq) {
                return;
            }
            // Items that only report something cost nothing.
            if let Ok(action) = item.action.into_action() {
                tally.add_stored(&action, by_remote, moves);
            }
        };
        let mut changes = self.ledger.changes()?;
        while let Some(record) = changes.next()? {
            if let PlanRecord::Item(item) = record {
                add(item);
            }
        }
        let mut deletions = self.ledger.deletions()?;
        while let Some(item) = deletions.next()? {
            add(item);
        }
        let (source, destination) = tally.finish();
        self.tell_bill(source, destination).await;
        Ok(())
    }

    /// Sends the bill for this work at each side that counts calls.
    pub(super) async fn tell_bill(&self, source: Work, destination: Work) {
        let context = &self.context;
        for (side, work) in [(&context.source, source), (&context.destination, destination)] {
            if let Some(bill) = side.estimate_cost(&work) {
                context.progress.billed(side.name(), &bill);
                self.ledger.tell(Event::Bill { remote: side.name().to_owned(), bill }).await;
            }
        }
    }

    /// Executes a plan file. Its totals are not trusted: they are counted again from the actions, and both places are
    /// listed.
    pub(super) async fn apply(self: &Arc<Self>, mut plan: PlanFile) -> Result<()> {
        let mark = match self.kept.is_planned() {
            true => self.kept.mark().clone(),
            false => {
                let mark = self.take_over(&mut plan).await?;
                let mut state = self.state();
                state.deletions = mark.deletions;
                state.planned_bytes = mark.bytes;
                mark
            }
        };
        self.ledger.set_listed(Listed::of(&mark));
        let (items, bytes, deletions) = (self.ledger.planned(), mark.bytes, mark.deletions);
        self.context.progress.planned_all(items, bytes);
        self.ledger.tell(Event::Planned { items, bytes, deletions }).await;
        self.is_within_limits()?;
        self.tell_stored_bill().await?;
        self.act_on(self.stored_tasks()?).await;
        self.try_again().await;
        self.end_with_deletions().await
    }

    /// Takes the actions of a plan file into the records of this job.
    async fn take_over(&self, plan: &mut PlanFile) -> Result<Mark> {
        let claimed = plan.totals.clone();
        let (mut bytes, mut deleted) = (0_u64, 0_u64);
        // A plan file has deletions in the order of execution; the records have them in reverse order.
        let mut deletions = LogWriter::unnamed(self.context.settings.plan_folder.as_deref())?;
        plan.for_each(|planned| {
            may_be_planned(&planned, self.context.kind)?;
            bytes = bytes.saturating_add(planned.bytes());
            deleted += u64::from(matches!(planned, Planned::Delete { .. }));
            match &planned {
                Planned::Delete { .. } | Planned::RemoveSourceDir { .. } => {
                    deletions.push(&planned)
                }
                _ => self.ledger.plan(planned).map(drop),
            }
        })?;
        let mut backward = deletions.backward::<Planned>()?;
        while let Some(planned) = backward.next()? {
            self.ledger.plan(planned)?;
        }
        let seen = self.look_for_totals(deleted).await?;
        let mark = Mark {
            deletions: deleted,
            bytes,
            source_files: claimed.source_files.min(seen.source_files),
            destination_entries: claimed.destination_entries.min(seen.destination_entries),
            unchanged: claimed.unchanged,
            ..Mark::default()
        };
        self.ledger.set_listed(Listed::of(&mark));
        self.ledger.complete(mark.clone())?;
        Ok(mark)
    }
}

/// May a plan of this kind of job contain such an action? In a plan that ketch made it does; a file can contain anything.
fn may_be_planned(planned: &Planned, kind: JobKind) -> Result<()> {
    let refuse = |why: &str| {
        let text = format!("the plan is not one that ketch made: {why} ({})", planned.path());
        Err(Error::new(ErrorKind::InvalidInput, text).with_operation("apply"))
    };
    let other = match planned {
        Planned::Copy { source, replaces, .. } => replaces.as_ref().map(|other| (source, other)),
        Planned::SetTime { source, destination }
        | Planned::RemoveSource { source, destination } => Some((source, destination)),
        _ => None,
    };
    if other.is_some_and(|(source, destination)| source.path() != destination.path()) {
        return refuse("an action is about two paths");
    }
    match (planned, kind) {
        (Planned::Delete { .. }, JobKind::Copy | JobKind::Move) => {
            refuse("only a sync deletes at the destination")
        }
        (
            Planned::RemoveSource { .. }
            | Planned::RemoveSourceDir { .. }
            | Planned::MoveDir { .. },
            JobKind::Copy | JobKind::Sync,
        ) => refuse("only a move removes at the source"),
        _ => Ok(()),
    }
}
