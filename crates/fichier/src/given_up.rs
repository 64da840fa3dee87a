//! Transfers that this process has ended and that may still bring something.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use crate::note::Note;

/// How many transfers that were given up are remembered.
const GIVEN_UP_MAX: usize = 256;

/// Transfers that this process has ended and of which something may still arrive, or something stayed that a listing may not
/// show yet: the next upload under that name looks for it once more.
#[derive(Debug, Default)]
pub(crate) struct GivenUp(Mutex<VecDeque<(Note, Vec<String>)>>);

impl GivenUp {
    /// The last one of that name in that folder, and the addresses of what stayed there.
    pub(crate) fn of(&self, folder: u64, name: &str) -> Option<(Note, Vec<String>)> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().rev().find(|(note, _)| note.folder == folder && note.name == name).cloned()
    }

    pub(crate) fn add(&self, note: Note, stayed: Vec<String>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() == GIVEN_UP_MAX {
            all.pop_front();
        }
        all.push_back((note, stayed));
    }
}
