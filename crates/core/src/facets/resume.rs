//! Parts that interrupted transfers left at a place: they are continued, given up, or removed because no job knows them any
//! more.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::checkpoint::Checkpoint;
use crate::error::Result;
use crate::path::RelPath;
use crate::source::Body;

/// Says whether a job, given by its number, will continue the parts that it left.
pub type Claims = Arc<dyn Fn(u32) -> bool + Send + Sync>;

/// A place at which interrupted transfers leave something.
#[async_trait]
pub trait Resume: fmt::Debug + Send + Sync + 'static {
    /// What an earlier, interrupted `put` or `copy` to `path` with this checkpoint has of the content: its first bytes, already
    /// at the destination, proven unchanged since they were received. A `put` with this checkpoint then takes them as they
    /// are and needs them only to be read. `None`: nothing, or nothing that can be proven.
    async fn partial(&self, _path: &RelPath, _checkpoint: &Checkpoint) -> Result<Option<Body>> {
        Ok(None)
    }

    /// Removes what an earlier, interrupted `put` or `copy` to `path` with this checkpoint left behind, because no process
    /// will continue it. What is at `path` itself stays. Nothing left is success.
    async fn abandon(&self, path: &RelPath, checkpoint: &Checkpoint) -> Result<()>;

    /// The folders in which listings or transfers have met what interrupted transfers left, and forgets them. No I/O.
    fn folders_with_leftovers(&self) -> Vec<RelPath> {
        Vec::new()
    }

    /// Can [`Resume::leftovers`] find anything? No I/O.
    fn has_leftovers(&self) -> bool {
        false
    }

    /// What interrupted transfers left directly in the folder `dir`, which listings do not show. With `removes` what is dead is
    /// removed before it is returned.
    async fn leftovers(
        &self,
        _dir: &RelPath,
        _claims: &Claims,
        _removes: bool,
    ) -> Result<Vec<Leftover>> {
        Ok(Vec::new())
    }
}

/// Something that an interrupted transfer left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// Where it is.
    pub path: RelPath,
    /// The room it takes.
    pub bytes: u64,
    /// Whose it is.
    pub state: LeftoverState,
}

/// Whose a leftover is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeftoverState {
    /// Dead: no process works on it and no job will continue it.
    Dead,
    /// An interrupted job can continue it.
    Claimed,
    /// A process works on it.
    InUse,
    /// It cannot be told whether another machine works on it, and it was written not long ago.
    Unclear,
}
