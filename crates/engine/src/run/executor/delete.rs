//! Deletions: last of all, children before parents, never in a folder in which something failed, and never of what is the
//! only copy of a file that could not be stored.

use ketch_core::EntryKind;

use super::*;
use crate::digest::Memory;

/// Is this an entry that a place may hold without listing it ([`ketch_core::facets::Gaps`])?
fn may_be_unseen(entry: &Entry) -> bool {
    entry.kind == EntryKind::Link || entry.is_file() && entry.size == Some(0)
}

impl Executor {
    /// Executes the deletions of the plan, from the last to the first. Several files are deleted at a time; a folder waits
    /// for all deletions before it. Those numbered below `valid_from` do not count.
    pub(in crate::run) async fn delete_all(
        self: &Arc<Self>,
        mut deletions: LogBackward<PlanItem>,
        valid_from: u64,
    ) -> Result<()> {
        let to = self.context.destination.capabilities();
        // Deletions that one request can carry are started together. A disk gathers nothing here.
        let gathered = to.gather.filter(|_| !to.read_local).map_or(1, |gather| gather.items);
        let at_a_time =
            self.context.settings.transfers.unwrap_or(adapt::START).max(gathered).max(1);
        let mut running = tokio::task::JoinSet::new();
        let mut batch = Vec::new();
        let mut is_doubt_told = false;
        let start = |running: &mut tokio::task::JoinSet<()>, tasks: Vec<Task>| {
            if !tasks.is_empty() {
                let executor = Arc::clone(self);
                running.spawn(async move { executor.delete_together(tasks).await });
            }
        };
        while let Some(PlanItem { seq, action }) = deletions.next()? {
            if seq < valid_from || self.kept.is_settled(seq) {
                continue;
            }
            let Some(task) = self.task_of(seq, action).await else { continue };
            let entry = match &task.action {
                Action::Delete { entry } => entry,
                // A folder of the source: a failure at the destination does not keep an empty folder at the source.
                Action::RemoveSourceDir { .. } => {
                    start(&mut running, std::mem::take(&mut batch));
                    while !running.is_empty() {
                        self.wait_for_one(&mut running).await;
                    }
                    if !self.context.is_stopping() {
                        self.act(task, true).await;
                    }
                    continue;
                }
                _ => continue,
            };
            let limit = if entry.is_dir() { 1 } else { at_a_time };
            if entry.is_dir() {
                start(&mut running, std::mem::take(&mut batch));
            }
            while running.len() >= limit {
                self.wait_for_one(&mut running).await;
            }
            if let Some(doubt) = self.doubt_about(entry).await {
                if !std::mem::replace(&mut is_doubt_told, true) {
                    let name = self.context.source.name();
                    let text = format!(
                        "empty files and links are not deleted, because {name} may have them: {doubt}"
                    );
                    self.ledger.tell(Event::Notice { path: None, text, hint: None }).await;
                }
                let dir = entry.path.parent().unwrap_or_else(RelPath::root);
                self.ledger.occupy(dir);
                self.ledger.succeeded(&task, Outcome::Held.into()).await;
                continue;
            }
            if let Some(outcome) = self.ledger.stays(entry) {
                self.ledger.succeeded(&task, outcome.into()).await;
                continue;
            }
            if self.is_copy_of_what_is_not_stored(entry).await {
                let dir = entry.path.parent().unwrap_or_else(RelPath::root);
                self.ledger.occupy(dir);
                self.ledger.succeeded(&task, Outcome::Held.into()).await;
                continue;
            }
            let now = match entry.is_dir() {
                true => vec![task],
                false => self.batched(&mut batch, task),
            };
            start(&mut running, now);
        }
        start(&mut running, std::mem::take(&mut batch));
        while !running.is_empty() {
            self.wait_for_one(&mut running).await;
        }
        Ok(())
    }

    /// Why the source may have entries that it did not list; known once one of its folders was listed.
    async fn doubt_about(&self, entry: &Entry) -> Option<String> {
        let source = &self.context.source;
        if !may_be_unseen(entry) {
            return None;
        }
        source.may_lack()?;
        // A place that was not listed yet (when a plan is applied) is listed now. If that fails, entries may be missing.
        let _ = source.stat(&entry.path).await;
        source.may_lack()
    }

    /// Does an extra file hold what a file of the source holds that could not be stored in this run? The source may have moved
    /// it, and then the extra is the only copy. It is known by its size and the digest that its listing shows; without a digest the size decides. A file of the source that
    /// cannot be read may be any, and if there are too many to remember, each extra file may be the copy of one.
    async fn is_copy_of_what_is_not_stored(&self, extra: &Entry) -> bool {
        if extra.is_file() && self.ledger.with_unstored(|all| all.are_too_many()) {
            return true;
        }
        let Some(size) = extra.size else { return false };
        let unstored = self.ledger.with_unstored(|all| all.of_size(size));
        if unstored.is_empty() {
            return false;
        }
        // Where no digest says that it is another content, it may be the copy.
        let Some(algo) = self.context.rules().common_hash() else { return true };
        let Some(shown) = extra.hashes.as_deref().and_then(|hashes| hashes.get(algo)) else {
            return true;
        };
        let (digests, from) = (&self.context.settings.digests, &self.context.source);
        for (index, (file, known)) in unstored.into_iter().enumerate() {
            let digest = match known {
                Some(digest) => digest,
                None => {
                    let read = tokio::select! {
                        read = digests.of(from, &file, algo, Memory::IsNoProof) => read.ok(),
                        () = self.context.stop.now.cancelled() => None,
                    };
                    let Some((digest, _)) = read else { return true };
                    self.ledger.with_unstored(|all| all.learn(size, index, digest.clone()));
                    digest
                }
            };
            if digest == *shown {
                return true;
            }
        }
        false
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
            self.ledger.fatal(Error::new(ErrorKind::Io, "an item's task panicked; this is a bug"));
        }
    }
}
