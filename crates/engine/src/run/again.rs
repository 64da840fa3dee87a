//! The second try: what failed in a way that may pass, once more at the end, each item looked at anew.

use super::*;

/// What a second look at a failed item shows.
enum Again {
    /// It is to be done as planned.
    Act(Action),
    /// It was done, only its answer was lost.
    Stored,
    /// Something else is at its place now.
    Stranger,
}

fn is_same_version(left: &Entry, right: &Entry) -> bool {
    match (&left.version, &right.version, &left.handle, &right.handle) {
        (Some(left), Some(right), _, _) | (_, _, Some(left), Some(right)) => left == right,
        _ => (left.size, left.mtime) == (right.size, right.mtime),
    }
}

impl Runner {
    pub(super) fn is_worth_another_try(&self, action: &Action, error: &Error) -> bool {
        let kind = matches!(error.kind(), ErrorKind::Changed | ErrorKind::CommitUnknown);
        let retryable = kind || error.retry() != Retry::Never;
        let is_copy = matches!(action, Action::Copy { .. });
        is_copy
            && retryable
            && !error.is_fatal()
            && !self.is_stopping()
            && self.state().again.len() < AGAIN_LIMIT
    }

    /// The items that failed in a way that may pass, once more, each looked at anew.
    pub(super) async fn try_again(self: &Arc<Self>) {
        let again = std::mem::take(&mut self.state().again);
        for (action, error) in again {
            let Action::Copy { source, replaces, reason } = action else { continue };
            if self.is_stopping() {
                self.failed(&source.path, "copy", error).await;
                continue;
            }
            match self.look_again(&source.path, replaces, reason).await {
                Ok(Again::Act(action)) => self.act(action, true).await,
                Ok(Again::Stranger) => self.failed(&source.path, "copy", error).await,
                Ok(Again::Stored) => {
                    let (path, size) = (source.path.clone(), source.size);
                    self.succeeded(path, Outcome::Copied, reason, size).await;
                }
                Err(look) => {
                    tracing::debug!(error = %look, "looked at again");
                    self.failed(&source.path, "copy", error).await;
                }
            }
        }
    }

    /// What is to be done about an item that failed, from what both sides show now. An upload whose end was lost may be
    /// there all the same, and then nothing is sent twice. What appeared there meanwhile is nobody's to overwrite.
    async fn look_again(
        &self,
        path: &RelPath,
        planned: Option<Box<Entry>>,
        reason: Reason,
    ) -> Result<Again> {
        let (from, to) = (&self.context.source, &self.context.destination);
        let source = from.stat(path).await?;
        let there = match to.stat(path).await {
            Ok(entry) => Some(entry),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        if let Some(there) = &there
            && there.size == source.size
            && let Some(algo) = self.rules().common_hash()
            && self
                .context
                .settings
                .digests
                .same_content((from, &source), (to, there), algo)
                .await?
        {
            let old = planned.filter(|old| old.handle.is_some() && old.handle != there.handle);
            if let Some(old) = old.filter(|_| to.capabilities().duplicates) {
                to.delete(&old).await?;
            }
            return Ok(Again::Stored);
        }
        let is_planned = match (&planned, &there) {
            (_, None) => true,
            (Some(planned), Some(there)) => is_same_version(planned, there),
            (None, Some(_)) => false,
        };
        if !is_planned {
            return Ok(Again::Stranger);
        }
        let replaces = there.and(planned);
        Ok(Again::Act(Action::Copy { source: Box::new(source), replaces, reason }))
    }
}
