//! What a job learns about how its destination stores modification times.

use std::time::SystemTime;

use super::*;

impl Executor {
    /// A file was given the modification time `asked`, and the destination shows `found`.
    pub(super) async fn learn_time(&self, asked: Option<SystemTime>, found: Option<SystemTime>) {
        let keeps = self.context.destination.capabilities().mtime.is_some();
        let Some((asked, found)) = asked.zip(found).filter(|_| keeps) else { return };
        let is_news = self.learner().learn(asked, found, SystemTime::now());
        if is_news {
            self.tell_of_fixed_times().await;
        }
    }

    /// `stored` should have at most the permissions of `source`.
    pub(super) async fn learn_mode(&self, source: &Entry, stored: &Entry) {
        let narrows = self.context.destination.capabilities().narrow_mode;
        let Some((most, found)) = source.mode.zip(stored.mode).filter(|_| narrows) else { return };
        let is_news = self.learner().learn_mode(stored.kind, most, found);
        if is_news {
            let name = self.context.destination.name();
            let text = format!(
                "{name} does not keep permissions: what is private at the source is not there"
            );
            self.ledger.tell(Event::Notice { path: None, text, hint: None }).await;
        }
    }

    /// Handles an `error` of [`Backend::set_metadata`] that says that the destination does not set the time of this file: the
    /// file keeps the time it has. `Err`: the error says something else.
    ///
    /// The job learns something about the place only if the error is `Unsupported`; `Denied` may be true of one file only,
    /// which belongs to another user.
    pub(super) async fn accept_fixed_times(&self, error: Error) -> Result<()> {
        let is_of_the_place = match error.kind() {
            ErrorKind::InvalidInput | ErrorKind::Unsupported => true,
            ErrorKind::Denied => false,
            _ => return Err(error),
        };
        if is_of_the_place && self.learner().refused() {
            self.tell_of_fixed_times().await;
        }
        Ok(())
    }

    /// How the destination stores modification times, as far as is known now.
    pub(in crate::run) fn clock_as_learnt(&self) -> Clock {
        self.learner().clock()
    }

    async fn tell_of_fixed_times(&self) {
        let name = self.context.destination.name();
        let text = format!(
            "{name} does not set modification times: from the next run on a file of equal size counts as \
             unchanged there unless it is newer than the stored copy"
        );
        self.ledger.tell(Event::Notice { path: None, text, hint: None }).await;
    }

    fn learner(&self) -> MutexGuard<'_, Learner> {
        self.learner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers for the next job what was learnt. It is a hint, so an error here does not fail the job.
    pub(in crate::run) async fn remember_clock(&self) {
        let clock = self.learner().clock();
        if clock == self.context.clock || self.context.settings.dry_run {
            return;
        }
        let location = self.context.destination.location();
        let clocks = self.context.settings.clocks.clone();
        let remember = move |_: &CancellationToken| {
            let text = "it cannot be written";
            let failed = |error| Error::new(ErrorKind::Io, text).with_source(error);
            clocks.remember(&location, clock).map_err(failed)
        };
        if let Err(error) = blocking(remember).await {
            tracing::debug!(%error, "what is known of the times of a place is not remembered");
        }
    }
}
