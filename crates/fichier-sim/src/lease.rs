//! A download that is under way keeps its token busy.

use std::sync::Arc;

use crate::http::Watcher;
use crate::world::World;

/// Keeps a token busy while a body is sent; dropping it frees the token.
pub(crate) struct Lease {
    world: Arc<World>,
    number: u64,
    /// How many bytes must be sent to reach the end of the file.
    needed: u64,
    /// The token has already been told that this request is over.
    is_over: bool,
}

impl Lease {
    /// For a body that was started with `is_body`.
    pub(crate) fn new(world: Arc<World>, number: u64) -> Self {
        Self { world, number, needed: u64::MAX, is_over: false }
    }

    /// Says how many bytes must be sent to reach the end of the file.
    pub(crate) fn needed(&mut self, bytes: u64) {
        self.needed = bytes;
    }
}

impl std::fmt::Debug for Lease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lease").field("number", &self.number).finish_non_exhaustive()
    }
}

impl Watcher for Lease {
    fn sends_last_piece(&mut self, bytes: u64) {
        self.is_over = true;
        self.world.tokens.finish(self.number, bytes >= self.needed);
    }

    fn lost_last_piece(&mut self) {
        self.world.tokens.revive(self.number);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if !self.is_over {
            self.world.tokens.finish(self.number, false);
        }
    }
}
