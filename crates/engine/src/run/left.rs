//! What a job with a new plan does about the transfers that earlier processes left open: it continues them or removes them.
//!
//! If a backend noted something about a transfer (an upload that may have arrived), it is asked about it before anything is
//! sent. This is done only for the version of the source that was being transferred. Transfers of other versions are ended
//! before the destination is listed, because they may have left two files of one name. Parts of a local disk have no note:
//! the next transfer of the file finds its part, and parts that no transfer used are removed at the end.

use ketch_core::source_identity;

use super::*;
use crate::decide::{Decision, decide};
use crate::join::Pair;

impl Runner {
    /// Ends open transfers of versions that the source no longer has, or that a filter now excludes.
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
                    let version = source_identity(&self.context.source_location, &now);
                    let is_same = memory.noted_source(path) == Some(&*version);
                    takes_part && is_same && left.action.is_some()
                }
                Err(error) if error.kind() == ErrorKind::NotFound => false,
                // Not known: the listing of the folder will show it.
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

    /// What is done about a pair if a backend noted something about its transfer. `None` also if this run would not
    /// transfer the file: then the open transfer is removed at the end.
    pub(super) fn gone_on_with(&self, pair: &Pair) -> Option<Action> {
        let memory = self.records.memory();
        let source = pair.source.as_ref().filter(|source| source.is_file() && !pair.clash)?;
        let left = memory.noted(&source.path)?;
        let version = source_identity(&self.context.source_location, source);
        if pair.source_duplicates || memory.noted_source(&source.path) != Some(&*version) {
            return None;
        }
        let Ok(Action::Copy { replaces, reason, .. }) = left.action.clone()?.into_action() else {
            return None;
        };
        // The file that arrived must not decide, so the pair is judged by the destination's entry from when the transfer
        // was planned.
        let planned = Pair {
            destination: replaces.as_deref().cloned(),
            destination_duplicates: false,
            ..pair.clone()
        };
        let decision = decide(planned, &self.context.rules());
        if !matches!(decision, Decision::Act(Action::Copy { .. }) | Decision::Compare(_)) {
            return None;
        }
        memory.take(&source.path, pair.destination.clone());
        Some(Action::Copy { source: Box::new(source.clone()), replaces, reason })
    }

    /// Was `action` planned by [`Runner::gone_on_with`], so that both sides are checked before it is done?
    pub(super) fn is_gone_on_with(&self, action: &Action) -> bool {
        match action {
            Action::Copy { source, .. } => self.records.memory().is_taken(&source.path),
            _ => false,
        }
    }

    /// Does the job record which version became which? Only if every file is transferred again, and not in a move, because
    /// a move must also remove the source. And only if an equal version proves equal content.
    pub(super) fn remembers_arrivals(&self) -> bool {
        self.context.settings.compare == Compare::IgnoreTimes
            && self.context.kind != JobKind::Move
            && self.context.proves_versions
    }

    /// Did an earlier process store this version of it?
    pub(super) fn has_arrived(&self, pair: &Pair) -> bool {
        let (Some(source), Some(destination)) = (&pair.source, &pair.destination) else {
            return false;
        };
        self.remembers_arrivals()
            && !pair.destination_duplicates
            && self.records.memory().has_arrived(source, destination)
    }

    /// Removes everything that earlier processes left and that this run did not continue. A job that stays open keeps it.
    pub(super) async fn remove_what_was_left(&self) {
        if self.context.settings.dry_run || self.context.is_stopping() {
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
            if self.context.is_stopping() {
                return Ok(());
            }
            if left.note.is_some() && memory.is_taken(&left.path) {
                // A transfer that was tried again and failed may have stored a file that was not compared with the source.
                // The next run must not take that file for unchanged, so the note stays.
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
        self.ledger.tell(Event::Notice { path: None, text, hint: None }).await;
    }
}
