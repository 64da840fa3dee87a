//! Moves whole folders within a remote: one call instead of one for each file, and nothing that was in them stays at the
//! source.
//!
//! This is done only without a filter and without a manifest, because then everything is moved and no bytes must be hashed;
//! and only if the destination has nothing of that name, because two folders are joined file by file.

use futures::TryStreamExt;
use ketch_core::{EntryKind, ListOptions};

use super::executor::Executor;
use super::planner::Planner;
use super::*;
use crate::decide::{Action, Reason};
use crate::join::Pair;

impl Planner {
    /// Does this job move whole folders if the destination has nothing of their name?
    pub(super) fn moves_whole(&self) -> bool {
        let context = &self.context;
        context.kind == JobKind::Move
            && context.destination.capabilities().rename_dir
            && self.transfers.are_one_scope()
            && context.settings.filter.admits_everything()
            && !context.settings.digests.keeps()
    }

    /// The move of a whole folder, if `pair` is one to move so.
    pub(super) fn whole_of(&self, pair: &Pair) -> Option<Action> {
        let source = pair.source.as_ref().filter(|source| source.is_dir())?;
        let is_alone = pair.destination.is_none()
            && !pair.clash
            && !pair.folds
            && !pair.source_duplicates
            && !self.context.owns_below(&source.path);
        (is_alone && self.moves_whole())
            .then(|| Action::MoveDir { source: Box::new(source.clone()) })
    }

    /// Moves the source itself in one step: if the destination does not exist, and the source is not the top folder of a
    /// remote.
    ///
    /// Errors: those of looking at both sides.
    pub(super) async fn whole_root(&self) -> Result<Option<Action>> {
        let root = RelPath::root();
        if !self.moves_whole() || self.context.owns_below(&root) {
            return Ok(None);
        }
        match self.context.destination.stat(&root).await {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Ok(_) => return Ok(None),
            Err(error) => return Err(error),
        }
        let source = self.context.source.stat(&root).await?;
        let can_be_moved = source.kind == EntryKind::Dir && source.handle.is_some();
        Ok(can_be_moved.then(|| Action::MoveDir { source: Box::new(source) }))
    }
}

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
