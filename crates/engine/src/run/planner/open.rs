//! Transfers that earlier processes left open and that a new plan contains again: they are continued.
//!
//! If a backend noted something about a transfer (an upload that may have arrived), it is asked about it before anything is
//! sent. This is done only for the version of the source that was being transferred.

use super::*;
use crate::decide::{Decision, decide};
use crate::join::Pair;

impl Planner {
    /// What is done about a pair if a backend noted something about its transfer. `None` also if this run would not
    /// transfer the file: then the open transfer is removed at the end.
    pub(super) fn gone_on_with(&self, pair: &Pair) -> Option<Action> {
        let source = pair.source.as_ref().filter(|source| source.is_file() && !pair.clash)?;
        let left = self.kept.open_of(source).filter(|_| !pair.source_duplicates)?;
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
        self.kept.take(&source.path, pair.destination.clone());
        Some(Action::Copy { source: Box::new(source.clone()), replaces, reason })
    }

    /// Did an earlier process store this version of it?
    pub(super) fn has_arrived(&self, pair: &Pair) -> bool {
        let (Some(source), Some(destination)) = (&pair.source, &pair.destination) else {
            return false;
        };
        self.context.remembers_arrivals()
            && !pair.destination_duplicates
            && self.kept.has_arrived(source, destination)
    }
}
