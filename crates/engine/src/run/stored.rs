//! Items that are on record already: those an earlier process planned, and those of a plan that was made before.

use ketch_core::bill::Work;

use super::*;
use crate::journal::{LogWriter, Status};

impl Runner {
    /// The items that are on record and have no outcome yet, in the order of the plan. Those of earlier processes are looked
    /// at before they are done; what only tells something is told again.
    pub(super) fn stored_tasks(
        self: &Arc<Self>,
    ) -> Result<impl Stream<Item = Result<Task>> + use<>> {
        let mut plan = self.records.changes()?;
        let runner = Arc::clone(self);
        let next = move |runner: Arc<Runner>| {
            let found = loop {
                match plan.next() {
                    Ok(Some(PlanRecord::Item(item))) => {
                        if !runner.records.resumed().settled.contains(item.seq) {
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
                    Ok(PlanItem { seq, action }) => runner.task_of(seq, action).await.map(Ok),
                    Err(error) => Some(Err(error)),
                }
            }
        });
        Ok(tasks.boxed())
    }

    /// The task of a planned item; `None` for one that only tells something, which is told.
    pub(super) async fn task_of(&self, seq: u64, planned: Planned) -> Option<Task> {
        let is_stored = self.is_strict || seq < self.records.resumed().mark.next;
        let planned = match planned.into_action() {
            Ok(action) => {
                let is_stored = is_stored || self.is_gone_on_with(&action);
                return Some(Task::new(seq, action, is_stored));
            }
            Err(planned) => *planned,
        };
        // Told while it was planned, unless that was another process.
        if let Planned::Refuse { path, operation, kind, message, at_source } = planned
            && is_stored
        {
            let kind = ErrorKind::from_word(&kind).unwrap_or(ErrorKind::Io);
            if operation == "list" {
                self.state().hold_deletions_in(path.clone());
            }
            let failure = Failure { path, operation, kind, message, at_source };
            self.refused(seq, failure, Status::Failed).await;
        }
        None
    }

    /// Says what the items cost that are on record already and have no outcome yet.
    pub(super) async fn tell_stored_bill(&self) -> Result<()> {
        let context = &self.context;
        if ![&context.source, &context.destination].into_iter().any(|side| counts_calls(&**side)) {
            return Ok(());
        }
        let mut tally = Tally::new(context.destination.capabilities());
        let by_remote = self.transfers.can_copy_by_remote();
        let moves = context.kind == JobKind::Move;
        let mut add = |item: PlanItem| {
            if self.records.resumed().settled.contains(item.seq) {
                return;
            }
            // What only tells something costs nothing.
            if let Ok(action) = item.action.into_action() {
                tally.add_stored(&action, by_remote, moves);
            }
        };
        let mut changes = self.records.changes()?;
        while let Some(record) = changes.next()? {
            if let PlanRecord::Item(item) = record {
                add(item);
            }
        }
        let mut deletions = self.records.deletions()?;
        while let Some(item) = deletions.next()? {
            add(item);
        }
        let (source, destination) = tally.finish();
        self.tell_bill(source, destination).await;
        Ok(())
    }

    /// Says what so much work costs at each side where calls are counted.
    pub(super) async fn tell_bill(&self, source: Work, destination: Work) {
        let context = &self.context;
        for (side, work) in [(&context.source, source), (&context.destination, destination)] {
            if let Some(bill) = side.bill(&work) {
                context.progress.billed(side.name(), &bill);
                self.tell(Event::Bill { remote: side.name().to_owned(), bill }).await;
            }
        }
    }

    /// Does a plan that was made before.
    pub(super) async fn apply(self: &Arc<Self>, mut plan: PlanFile) -> Result<()> {
        let totals = plan.totals.clone();
        {
            let mut state = self.state();
            state.report.source_files = totals.source_files;
            state.report.destination_entries = totals.destination_entries;
            state.report.unchanged = totals.unchanged;
        }
        if !self.records.resumed().is_planned {
            self.take_over(&mut plan)?;
        }
        self.context.progress.planned_all(totals.items, totals.bytes);
        let (items, bytes, deletions) = (totals.items, totals.bytes, totals.deletions);
        self.tell(Event::Planned { items, bytes, deletions }).await;
        self.is_within_limits()?;
        self.tell_stored_bill().await?;
        self.act_on(self.stored_tasks()?).await;
        self.try_again().await;
        self.end_with_deletions().await
    }

    /// Takes the actions of a plan file into the records of this job.
    fn take_over(&self, plan: &mut PlanFile) -> Result<()> {
        let totals = plan.totals.clone();
        // In a file deletions are in the order they are done, on record the other way round.
        let mut deletions = LogWriter::unnamed(self.context.settings.plan_folder.as_deref())?;
        plan.for_each(|planned| match &planned {
            Planned::Delete { .. } | Planned::RemoveSourceDir { .. } => deletions.push(&planned),
            _ => self.records.plan(planned).map(drop),
        })?;
        let mut backward = deletions.backward::<Planned>()?;
        while let Some(planned) = backward.next()? {
            self.records.plan(planned)?;
        }
        let mark = Mark {
            deletions: totals.deletions,
            bytes: totals.bytes,
            source_files: totals.source_files,
            destination_entries: totals.destination_entries,
            unchanged: totals.unchanged,
            ..Mark::default()
        };
        {
            let mut state = self.state();
            state.deletions = totals.deletions;
            state.planned_bytes = totals.bytes;
        }
        self.records.complete(mark)
    }
}
