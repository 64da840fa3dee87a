//! Finds names that the destination spells in another way than the source, where it finds a name in any spelling.

use super::*;
use crate::join::Pair;

/// Names that are remembered; more are left to the next run.
const RESPELL_LIMIT: usize = 10_000;

/// A name of the destination and how the source spells it.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::run) struct Respelling {
    pub(in crate::run) is: RelPath,
    pub(in crate::run) to_be: RelPath,
}

impl Planner {
    /// Remembers a name that both sides have in different spellings.
    pub(super) fn note_spelling(&self, pair: &Pair) {
        let Some((source, there)) = pair.source.as_ref().zip(pair.destination.as_ref()) else {
            return;
        };
        let mut state = self.state();
        if source.path != there.path && state.respell.len() < RESPELL_LIMIT {
            state.respell.push(Respelling { is: there.path.clone(), to_be: source.path.clone() });
        }
    }

    /// The names that were found, for the end of the job.
    pub(in crate::run) fn spellings(&self) -> Vec<Respelling> {
        std::mem::take(&mut self.state().respell)
    }
}
