//! The end of a job: what is still to be stored, what earlier jobs left, the report, and whether the records stay.

use super::*;

impl Runner {
    /// Makes both sides store what they know and have not stored yet. If that fails, only facts beside the content are
    /// lost.
    pub(super) async fn flush_both(&self) {
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
                self.tell(Event::Notice { path: None, text, hint: None }).await;
            }
        }
    }

    /// Removes what the jobs that this one replaces left at the destination.
    pub(super) async fn clear_up_after(&self, journal: &Journal) {
        for old in &journal.replaced {
            if let Err(error) = old.abandon(&*self.context.destination).await {
                let text = format!("what an earlier job left could not be removed: {error}");
                self.tell(Event::Notice { path: None, text, hint: None }).await;
            }
        }
    }

    /// Removes dead parts of interrupted transfers at the destination, and reports those at both sides.
    pub(super) async fn clear_leftovers(&self, journal: Option<&Journal>) {
        let settings = &self.context.settings;
        // What this job leaves stays if a later process can continue the job.
        let is_open =
            self.is_stopping() || self.state().report.fatal.is_some() || self.leaves_something();
        let over = journal.filter(|_| !is_open).map(|journal| journal.header.number);
        let claims = Claims { jobs: settings.jobs.clone(), over };
        let removes = !settings.dry_run && !self.is_stopping();
        for (side, removes) in [(&self.context.destination, removes), (&self.context.source, false)]
        {
            if let Some(event) = clear(side, claims.clone(), removes).await {
                self.tell(event).await;
            }
        }
    }

    /// Is there, or may there be, something at the destination that the next run must know about?
    pub(super) fn leaves_something(&self) -> bool {
        self.records.memory().has_left()
            || self.records.has_open_notes()
            || self.state().keeps_parts
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
