//! Moves whole folders within a remote: one call instead of one for each file, and nothing that was in them stays at the
//! source.
//!
//! This is done only without a filter and without a manifest, because then everything is moved and no bytes must be hashed;
//! and only if the destination has nothing of that name, because two folders are joined file by file.

use ketch_core::EntryKind;

use super::*;
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
