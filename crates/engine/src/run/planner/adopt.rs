//! The plan of a file becomes the plan of this job. Its totals are not trusted: they are counted again from the actions, and
//! both places are listed.

use super::*;
use crate::journal::LogWriter;

impl Planner {
    /// Takes a plan file into the records of this job, unless an earlier process did, and counts what it does.
    ///
    /// Errors: the plan is not one that ketch made for this kind of job, or it is not within the limits.
    pub(in crate::run) async fn adopt(&self, mut plan: PlanFile) -> Result<()> {
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
        self.tell_stored_bill().await
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
