//! Deletions that one request of the remote can carry.

use super::*;
use crate::run::item::operation_of;

impl Executor {
    /// Adds the deletion of a file to those that wait to be sent together. Returns what is to be done now: nothing, the full
    /// batch, or the item alone, where it cannot travel with others.
    pub(super) fn batched(&self, batch: &mut Vec<Task>, task: Task) -> Vec<Task> {
        let most = self.context.destination.capabilities().deletes_at_once;
        // An item of an older plan is looked at first, by itself.
        let is_alone = task.is_stored
            || self.context.settings.dry_run
            || self.context.is_owned(path_of(&task.action));
        if most <= 1 || is_alone {
            return vec![task];
        }
        batch.push(task);
        match batch.len() >= most {
            true => std::mem::take(batch),
            false => Vec::new(),
        }
    }

    /// Deletes files, all by one call, and writes down the one outcome of each.
    pub(super) async fn delete_together(self: &Arc<Self>, mut tasks: Vec<Task>) {
        if self.context.is_stopping() {
            // They were admitted before the stop; nothing new is begun after it.
            for task in tasks {
                self.ledger.succeeded(&task, Outcome::Held.into()).await;
            }
            return;
        }
        if tasks.len() == 1 {
            for task in tasks {
                self.act(task, true).await;
            }
            return;
        }
        let started = Instant::now();
        let mut entries = Vec::with_capacity(tasks.len());
        let mut noted = Vec::with_capacity(tasks.len());
        for mut task in tasks.drain(..) {
            task.attempts += 1;
            let path = path_of(&task.action).clone();
            match (self.note_folders(&task.action).await, &task.action) {
                (Ok(()), Action::Delete { entry }) => {
                    entries.push((**entry).clone());
                    self.state().begun.insert(task.seq, (path, operation_of(&task.action)));
                    noted.push(task);
                }
                (Ok(()), _) => self.ledger.failed(&task, "delete", Error::unsupported("act")).await,
                (Err(error), _) => self.ledger.failed(&task, "delete", error).await,
            }
        }
        let results = self.context.destination.delete_all(&entries).await;
        let milliseconds = started.elapsed().as_millis() as u64;
        for (mut task, result) in noted.into_iter().zip(results) {
            task.milliseconds += milliseconds;
            self.state().begun.remove(&task.seq);
            match result {
                Ok(()) => self.ledger.succeeded(&task, Outcome::Deleted.into()).await,
                Err(error) => self.ledger.failed(&task, "delete", error).await,
            }
        }
    }
}
