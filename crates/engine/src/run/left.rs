//! What earlier processes left, on its way through a job that makes its plan anew: gone on with, or removed.
//!
//! A backend that noted something about a transfer (an upload that may have arrived) is asked about it before anything is
//! sent. That is only for the version of the source that was being transferred; what is left of another is ended before the
//! destination is listed, because it may show two files of one name. What leaves no note (parts of a local disk) is found
//! again by whoever writes the file, and removed at the end where nobody did.

use ketch_core::source_identity;

use super::*;
use crate::decide::{Decision, decide};
use crate::join::Pair;

impl Runner {
    /// Ends open transfers of versions that the source does not have any more, or that take no part.
    pub(super) async fn end_what_is_of_no_use(&self) {
        let memory = self.records.memory();
        let Some(job) = self.records.job() else { return };
        let (from, to) = (&self.context.source, &self.context.destination);
        for left in memory.all_noted() {
            let path = &left.path;
            let is_of_use = match from.stat(path).await {
                Ok(now) => {
                    let takes_part = self.context.settings.filter.admits_file(
                        path.as_str(),
                        now.size,
                        now.mtime,
                    );
                    let version = source_identity(&self.source_location, &now);
                    let is_same = memory.noted_source(path) == Some(&*version);
                    takes_part && is_same && left.action.is_some()
                }
                Err(error) if error.kind() == ErrorKind::NotFound => false,
                // Nobody knows: it is seen when the folder is listed.
                Err(_) => true,
            };
            if is_of_use {
                continue;
            }
            match to.abandon(path, &left.checkpoint(job)).await {
                Ok(()) => memory.end(path),
                Err(error) => self.tell_left(&error).await,
            }
        }
    }

    /// What is done about a pair whose transfer a backend noted something about. `None`, too, where the options of this run
    /// do not ask for that transfer: then what was begun is removed at the end.
    pub(super) fn gone_on_with(&self, pair: &Pair) -> Option<Action> {
        let memory = self.records.memory();
        let source = pair.source.as_ref().filter(|source| source.is_file() && !pair.clash)?;
        let left = memory.noted(&source.path)?;
        let version = source_identity(&self.source_location, source);
        if pair.source_duplicates || memory.noted_source(&source.path) != Some(&*version) {
            return None;
        }
        let Ok(Action::Copy { replaces, reason, .. }) = left.action.clone()?.into_action() else {
            return None;
        };
        // What arrived of it must not decide, so the destination is taken as it was when the transfer was planned.
        let planned = Pair {
            destination: replaces.as_deref().cloned(),
            destination_duplicates: false,
            ..pair.clone()
        };
        let decision = decide(planned, &self.rules());
        if !matches!(decision, Decision::Act(Action::Copy { .. }) | Decision::Compare(_)) {
            return None;
        }
        memory.take(&source.path, pair.destination.clone());
        Some(Action::Copy { source: Box::new(source.clone()), replaces, reason })
    }

    /// Was `action` planned by [`Runner::gone_on_with`], so that both sides are looked at before it is done?
    pub(super) fn is_gone_on_with(&self, action: &Action) -> bool {
        match action {
            Action::Copy { source, .. } => self.records.memory().is_taken(&source.path),
            _ => false,
        }
    }

    /// Is it kept in mind which version became which? Only where everything is transferred again, and not by a move: what is
    /// still at its source is to be removed there, which takes more than having arrived. And only where an equal version
    /// proves equal content.
    pub(super) fn remembers_arrivals(&self) -> bool {
        self.context.settings.compare == Compare::IgnoreTimes
            && self.context.kind != JobKind::Move
            && self.proves_versions
    }

    /// Did an earlier process bring this version of it?
    pub(super) fn has_arrived(&self, pair: &Pair) -> bool {
        let (Some(source), Some(destination)) = (&pair.source, &pair.destination) else {
            return false;
        };
        self.remembers_arrivals()
            && !pair.destination_duplicates
            && self.records.memory().has_arrived(source, destination)
    }

    /// Removes everything that earlier processes left and that was not gone on with. A job that stays open keeps it.
    pub(super) async fn remove_what_was_left(&self) {
        if self.context.settings.dry_run || self.is_stopping() {
            return;
        }
        if let Err(error) = self.try_to_remove_what_was_left().await {
            self.tell_left(&error).await;
        }
    }

    async fn try_to_remove_what_was_left(&self) -> Result<()> {
        let memory = self.records.memory();
        let Some(job) = self.records.job() else { return Ok(()) };
        let Some(mut list) = memory.left()? else { return Ok(()) };
        let mut first_error = None;
        let mut is_all = true;
        while let Some(left) = list.next()? {
            if self.is_stopping() {
                return Ok(());
            }
            if left.note.is_some() && memory.is_taken(&left.path) {
                // One that was tried again and failed may have stored what nobody has compared with the source: the next run
                // must not take it for unchanged, so it must know.
                is_all &= memory.is_ended(&left.path);
                continue;
            }
            let removed = self.context.destination.abandon(&left.path, &left.checkpoint(job)).await;
            if let Err(error) = removed {
                first_error.get_or_insert(error);
            }
        }
        match first_error {
            Some(error) => Err(error),
            None if is_all => memory.is_cleared(),
            None => Ok(()),
        }
    }

    async fn tell_left(&self, error: &Error) {
        let text = format!("what an interrupted run left could not be removed: {error}");
        self.tell(Event::Notice { path: None, text }).await;
    }
}
