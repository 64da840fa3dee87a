//! Deletions: last of all, children before parents, never in a folder in which something failed.

use super::*;

impl Runner {
    /// Deletes what the plan holds, from its back to its front. Files go several at a time; a folder waits for all before it.
    pub(super) async fn delete_all(
        self: &Arc<Self>,
        mut deletions: LogBackward<PlanItem>,
    ) -> Result<()> {
        let at_a_time = self.context.settings.transfers.max(1);
        let mut running = tokio::task::JoinSet::new();
        while let Some(PlanItem { seq, action }) = deletions.next()? {
            if self.records.resumed().settled.contains(seq) {
                continue;
            }
            let Some(task) = self.task_of(seq, action).await else { continue };
            let entry = match &task.action {
                Action::Delete { entry } => entry,
                // Of the source: what fails at the destination does not keep an empty folder there.
                Action::RemoveSourceDir { .. } => {
                    while !running.is_empty() {
                        self.wait_for_one(&mut running).await;
                    }
                    if !self.is_stopping() {
                        self.act(task, true).await;
                    }
                    continue;
                }
                _ => continue,
            };
            let limit = if entry.is_dir() { 1 } else { at_a_time };
            while running.len() >= limit {
                self.wait_for_one(&mut running).await;
            }
            if let Some(outcome) = self.stays(entry) {
                self.succeeded(&task, outcome.into()).await;
                continue;
            }
            let runner = Arc::clone(self);
            running.spawn(async move { runner.act(task, true).await });
        }
        while !running.is_empty() {
            self.wait_for_one(&mut running).await;
        }
        Ok(())
    }

    /// Whether an entry stays, and with which outcome. If it does, so does its folder.
    fn stays(&self, entry: &Entry) -> Option<Outcome> {
        let stopping = self.is_stopping();
        let mut state = self.state();
        let dir = entry.path.parent().unwrap_or_else(RelPath::root);
        let inside_failed = entry.is_dir() && state.must_hold_deletions_in(&entry.path);
        if stopping || inside_failed || state.must_hold_deletions_in(&dir) {
            state.hold_deletions_in(dir);
            return Some(Outcome::Held);
        }
        if entry.is_dir() && state.occupied_dirs.contains(&entry.path) {
            state.occupy(dir);
            return Some(Outcome::Kept);
        }
        None
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
