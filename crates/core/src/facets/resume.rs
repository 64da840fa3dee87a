//! Continues, gives up or removes the parts that interrupted transfers left at a place.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::checkpoint::Checkpoint;
use crate::error::Result;
use crate::path::RelPath;
use crate::source::Body;

/// Says whether a job, given by its number, will continue the parts that it left.
pub type Claims = Arc<dyn Fn(u32) -> bool + Send + Sync>;

/// A place at which interrupted transfers leave parts.
#[async_trait]
pub trait Resume: fmt::Debug + Send + Sync + 'static {
    /// The first bytes of the content, which an earlier, interrupted `put` or `copy` to `path` with this checkpoint stored, and
    /// which are proven unchanged since then. A `put` with this checkpoint then keeps these bytes; they must only be read, to
    /// compute digests. `None`: there are none, or nothing proves them.
    async fn partial(&self, _path: &RelPath, _checkpoint: &Checkpoint) -> Result<Option<Body>> {
        Ok(None)
    }

    /// Removes the part that an earlier, interrupted `put` or `copy` to `path` with this checkpoint left, because no process will
    /// continue it. The file at `path` itself stays. If there is no part, that is success.
    async fn abandon(&self, path: &RelPath, checkpoint: &Checkpoint) -> Result<()>;

    /// Returns the folders in which listings or transfers found parts of interrupted transfers, and forgets them. No I/O.
    fn folders_with_leftovers(&self) -> Vec<RelPath> {
        Vec::new()
    }

    /// Can [`Resume::leftovers`] find anything? No I/O.
    fn has_leftovers(&self) -> bool {
        false
    }

    /// The parts that interrupted transfers left directly in the folder `dir`, and in folders in it that no listing shows because
    /// they hold nothing else; listings do not show parts. With `removes`, dead parts are removed before they are returned.
    async fn leftovers(
        &self,
        _dir: &RelPath,
        _claims: &Claims,
        _removes: bool,
    ) -> Result<Vec<Leftover>> {
        Ok(Vec::new())
    }
}

/// A part that an interrupted transfer left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// Where it is.
    pub path: RelPath,
    /// The space that it takes.
    pub bytes: u64,
    /// Whether it is still needed.
    pub state: LeftoverState,
}

/// Whether a leftover is still needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeftoverState {
    /// Dead: no process works on it and no job will continue it.
    Dead,
    /// An interrupted job can continue it.
    Claimed,
    /// A process works on it.
    InUse,
    /// It was written not long ago, and nothing shows whether another machine works on it.
    Unclear,
}
