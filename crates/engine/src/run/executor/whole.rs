//! Moves the entries of a folder that the remote could not move whole, as the plan wanted (`planner/whole.rs`).

use futures::TryStreamExt;
use ketch_core::{EntryKind, ListOptions};

use super::*;

impl Executor {
    /// Moves the entries of a folder that cannot be moved whole, one by one. An entry that could not be moved stays, and
    /// the first error is returned after everything else was moved.
    pub(super) async fn move_files_of(self: &Arc<Self>, task: &Task, dir: &Entry) -> Result<()> {
        let (from, to) = (&self.context.source, &self.context.destination);
        let (mut first_error, mut waiting, mut emptied) = (None, vec![dir.clone()], Vec::new());
        while let Some(dir) = waiting.pop() {
            let options = ListOptions { may_change: true, ..ListOptions::default() };
            let entries: Vec<Entry> = from.list(&dir.path, options).try_collect().await?;
            if entries.is_empty() {
                to.make_dir(&dir.path, None).await?;
            }
            // As `decide` refuses it: of two of one name one would replace the other.
            let mut counts = HashMap::<&RelPath, u32>::new();
            entries.iter().for_each(|entry| *counts.entry(&entry.path).or_default() += 1);
            for entry in &entries {
                if self.context.is_stopping() {
                    return Err(Error::new(ErrorKind::Cancelled, "the job is being stopped"));
                }
                let moved = match entry.kind {
                    _ if counts[&entry.path] > 1 => Err(several(Reason::AmbiguousSource)),
                    EntryKind::Dir => match to.rename(entry, &entry.path).await {
                        Err(error) if error.kind() == ErrorKind::Unsupported => {
                            waiting.push(entry.clone());
                            Ok(())
                        }
                        moved => moved.map(drop),
                    },
                    EntryKind::File => match to.stat(&entry.path).await {
                        Ok(_) => Err(several(Reason::AmbiguousDestination)),
                        Err(error) if error.kind() == ErrorKind::NotFound => {
                            self.move_file(task, entry, None).await.map(drop)
                        }
                        Err(error) => Err(error),
                    },
                    EntryKind::Link | EntryKind::Special(_) => Err(Error::unsupported("move")),
                };
                if let Err(error) = moved {
                    first_error.get_or_insert(error.with_path(&entry.path));
                }
            }
            emptied.push(dir);
        }
        // What was moved whole leaves nothing behind. A folder in which something had to stay does.
        for dir in emptied.iter().rev().filter(|dir| !dir.path.is_root()) {
            match from.delete_one(dir).await {
                Err(error) if error.kind() == ErrorKind::InvalidInput => {}
                Err(error) => _ = first_error.get_or_insert(error.with_path(&dir.path)),
                Ok(()) => {}
            }
        }
        first_error.map_or(Ok(()), Err)
    }
}

fn several(reason: Reason) -> Error {
    Error::new(ErrorKind::AlreadyExists, reason.to_string())
}
