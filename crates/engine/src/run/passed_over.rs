//! The end of a plan that an earlier process made: a look at both sides, because what changed since is not in it.
//!
//! The plan is done as it is, so the look changes nothing. It counts what a new plan would hold, and that many things were
//! passed over: the job is no success then, and the command by itself does the rest.

use futures::StreamExt;

use super::planner::Found;
use super::*;

impl Runner {
    /// Counts what both sides still differ in.
    pub(super) async fn look_for_what_was_passed_over(self: &Arc<Self>) -> Result<()> {
        let steps =
            futures::stream::unfold(self.march(None, None).start(), |mut steps| async move {
                steps.next().await.map(|step| (step, steps))
            });
        let found = steps.map(|step| {
            let runner = Arc::clone(self);
            async move { runner.consider(step).await }
        });
        let mut found = Box::pin(found.buffered(self.context.settings.checkers.max(1)));
        loop {
            let next = tokio::select! {
                next = found.next() => next,
                () = self.stopping() => return Ok(()),
            };
            let Some(next) = next else { return Ok(()) };
            self.state().report.passed_over += u64::from(is_undone(&next?));
        }
    }
}

/// Is it something that a finished job would have done?
fn is_undone(found: &Found) -> bool {
    let Found::Action(action) = found else { return matches!(found, Found::Failed(_)) };
    match action {
        // Where everything is transferred again it is again.
        Action::Copy { reason, .. } => *reason != Reason::Asked,
        Action::MakeDir { .. } | Action::Delete { .. } | Action::RemoveSource { .. } => true,
        // The content is there; a folder in which something is left stays.
        Action::SetTime { .. } | Action::RemoveSourceDir { .. } => false,
        // Told of as what they are.
        Action::Skip { .. } | Action::NotStorable { .. } | Action::Refuse { .. } => false,
    }
}
