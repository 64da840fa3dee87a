//! The end of a job: what is still to be stored, what earlier jobs left, the report, and whether the records stay.

use super::*;

impl Executor {
    /// Makes both sides store what they know and have not stored yet. If that fails, only facts beside the content are
    /// lost.
    pub(in crate::run) async fn flush_both(&self) {
        if self.context.settings.dry_run {
            return;
        }
        for side in [&self.context.destination, &self.context.source] {
            // CANCEL: a second stop does not wait for it.
            let flushed = tokio::select! {
                flushed = side.finish() => flushed,
                () = self.context.stop.now.cancelled() => return,
            };
            if let Err(error) = flushed {
                let text =
                    format!("not everything that is known of the files could be stored: {error}");
                self.ledger.tell(Event::Notice { path: None, text, hint: None }).await;
            }
        }
    }

    /// Removes what the jobs that this one replaces left at the destination.
    pub(in crate::run) async fn clear_up_after(&self, journal: &Journal) {
        for old in &journal.replaced {
            if let Err(error) = old.abandon(&*self.context.destination).await {
                let text = format!("what an earlier job left could not be removed: {error}");
                self.ledger.tell(Event::Notice { path: None, text, hint: None }).await;
            }
        }
    }

    /// Removes dead parts of interrupted transfers at the destination, and reports those at both sides.
    pub(in crate::run) async fn clear_leftovers(&self, journal: Option<&Journal>) {
        let settings = &self.context.settings;
        // What this job leaves stays if a later process can continue the job.
        let over = journal.filter(|_| !self.ledger.is_open()).map(|journal| journal.header.number);
        let claims = Claims { jobs: settings.jobs.clone(), over };
        let removes = !settings.dry_run && !self.context.is_stopping();
        for (side, removes) in [(&self.context.destination, removes), (&self.context.source, false)]
        {
            if let Some(event) = clear(side, claims.clone(), removes).await {
                self.ledger.tell(event).await;
            }
        }
    }
}
