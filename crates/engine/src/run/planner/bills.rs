//! What a plan costs at each side that counts calls.

use ketch_core::bill::Work;

use super::*;

impl Planner {
    /// Sends the bill of the plan for each side that counts calls.
    pub(super) async fn tell_bills(&self) {
        let work = self.state().tally.as_mut().map(Tally::finish);
        let Some((mut source, mut destination)) = work else { return };
        if !self.context.settings.dry_run {
            // These listings have been made.
            (source.listings, destination.listings) = (0, 0);
        }
        self.tell_bill(source, destination).await;
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
    async fn tell_bill(&self, source: Work, destination: Work) {
        let context = &self.context;
        for (side, work) in [(&context.source, source), (&context.destination, destination)] {
            if let Some(bill) = side.estimate_cost(&work) {
                context.progress.billed(side.name(), &bill);
                self.ledger.tell(Event::Bill { remote: side.name().to_owned(), bill }).await;
            }
        }
    }
}
