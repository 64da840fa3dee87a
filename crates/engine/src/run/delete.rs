//! Deletions: last of all, children before parents, never in a folder in which something failed.

use super::*;

impl Runner {
    /// Deletes what the plan holds, from its back to its front. Files go several at a time; a folder waits for all before it.
    pub(super) async fn delete_all(self: &Arc<Self>, mut deletions: SpoolBackward) -> Result<()> {
        let at_a_time = self.context.settings.transfers.max(1);
        let mut running = tokio::task::JoinSet::new();
        while let Some(planned) = deletions.next()? {
            let action = planned.into_action();
            let Action::Delete { entry } = &action else { continue };
            if self.is_stopping() {
                self.state().report.deletions_held += 1;
                continue;
            }
            let limit = if entry.is_dir() { 1 } else { at_a_time };
            while running.len() >= limit {
                self.wait_for_one(&mut running).await;
            }
            if self.hold(entry) {
                continue;
            }
            let runner = Arc::clone(self);
            running.spawn(async move { runner.act(action, true).await });
        }
        while !running.is_empty() {
            self.wait_for_one(&mut running).await;
        }
        Ok(())
    }

    /// Holds a deletion back if something failed in its folder, and then its folder's deletion too.
    fn hold(&self, entry: &ketch_core::Entry) -> bool {
        let mut state = self.state();
        let dir = entry.path.parent().unwrap_or_else(RelPath::root);
        let inside_failed = entry.is_dir() && state.must_hold_deletions_in(&entry.path);
        if !inside_failed && !state.must_hold_deletions_in(&dir) {
            return false;
        }
        state.hold_deletions_in(dir);
        state.report.deletions_held += 1;
        true
    }

    async fn wait_for_one(&self, running: &mut tokio::task::JoinSet<()>) {
        let ended = tokio::select! {
            ended = running.join_next() => ended,
            () = self.context.stop.now.cancelled() => {
                running.abort_all();
                running.join_next().await
            }
        };
        if let Some(Err(error)) = ended
            && error.is_panic()
        {
            self.fatal(Error::new(ErrorKind::Io, "an item's task panicked; this is a bug"));
        }
    }
}
