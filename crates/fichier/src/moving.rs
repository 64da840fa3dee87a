//! Moves of folders in two calls, on record until both are made.
//!
//! 1fichier moves a folder or renames it, and never does both in one call. A process that dies between the two leaves the
//! folder in its new place under its old name, where no command looks for it. So the move is written down before the first call,
//! and a command that may change things and looks for the folder in its old place in the next hours makes the second one. Nothing
//! is done without a look: the folder must be where the first call has put it, by its number and under the name that this
//! call left it, and nothing may have its new name.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ketch_core::{ErrorKind, RelPath};
use serde::{Deserialize, Serialize};

use crate::clock::since_1970;
use crate::error::{Refusal, Said};
use crate::state_files::lock_file;
use crate::state_files::replace;

/// For how long a move is remembered, in seconds: longer than the service answers nothing for.
const LIFE: u64 = 6 * 3_600;
/// The most moves that are remembered, and the longest file that is read.
const MOVES_MAX: usize = 64;
const FILE_MAX_BYTES: u64 = 1 << 20;

/// The moves of an account that may be half made.
#[derive(Debug, Default)]
pub(crate) struct Moving {
    /// `None`: of this process only.
    file: Option<PathBuf>,
    steps: Mutex<Vec<Step>>,
}

/// One move.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Step {
    pub(crate) folder: u64,
    /// Paths in the account.
    pub(crate) from: String,
    pub(crate) to: String,
    /// The folder that it is in, and the one that it goes into.
    pub(crate) parent: u64,
    pub(crate) destination: u64,
    /// In seconds since 1970.
    #[serde(default)]
    pub(crate) at: u64,
}

impl Step {
    /// The move of `folder` from a path, and the folder of that, to others.
    pub(crate) fn new(folder: u64, from: (&RelPath, u64), to: (&RelPath, u64)) -> Step {
        let ((from, parent), (to, destination)) = (from, to);
        let (from, to) = (from.to_string(), to.to_string());
        Step { folder, from, to, parent, destination, at: since_1970().as_secs() }
    }
}

impl Moving {
    /// What is in `file`. Nothing is read yet.
    pub(crate) fn new(file: Option<PathBuf>) -> Self {
        Moving { file, steps: Mutex::default() }
    }

    /// Writes down a move before its first call.
    pub(crate) fn begin(&self, step: Step) {
        self.change(|steps| {
            steps.retain(|known| known.folder != step.folder);
            if steps.len() == MOVES_MAX {
                steps.remove(0);
            }
            steps.push(step);
        });
    }

    /// Forgets a move that was made or was given up.
    pub(crate) fn end(&self, folder: u64) {
        if self.read(&self.lock()).iter().any(|step| step.folder == folder) {
            self.change(|steps| steps.retain(|step| step.folder != folder));
        }
    }

    /// Where a folder was before its move began.
    pub(crate) fn path_of(&self, folder: u64) -> Option<RelPath> {
        let step = self.read(&self.lock()).into_iter().find(|step| step.folder == folder)?;
        RelPath::new(&step.from).ok()
    }

    pub(crate) fn of(&self, from: &RelPath) -> Option<Step> {
        let steps = self.read(&self.lock());
        steps.into_iter().find(|step| step.from == from.as_str())
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Step>)) {
        let mut known = self.lock();
        // ORDER: held until the new content is in place, or a move that another process writes down meanwhile is lost.
        let _lock = self.file.as_deref().and_then(|file| match lock_file(file) {
            Ok(lock) => Some(lock),
            Err(error) => {
                tracing::warn!(%error, ?file, "the record of moves cannot be locked");
                None
            }
        });
        let mut steps = self.read(&known);
        change(&mut steps);
        let written = self.file.as_ref().map(|file| {
            serde_json::to_vec(&steps).map_err(Into::into).and_then(|text| replace(file, &text))
        });
        if let Some(Err(error)) = written {
            tracing::warn!(%error, file = ?self.file, "the move of a folder cannot be written down");
        }
        *known = steps;
    }

    fn read(&self, known: &[Step]) -> Vec<Step> {
        let now = since_1970().as_secs();
        let is_small = |file: &&PathBuf| {
            std::fs::metadata(file).is_ok_and(|found| found.len() <= FILE_MAX_BYTES)
        };
        let read = self.file.as_ref().filter(is_small).and_then(|file| std::fs::read(file).ok());
        let read = read.and_then(|text| serde_json::from_slice(&text).ok());
        let mut steps: Vec<Step> = read.unwrap_or_else(|| known.to_vec());
        steps.retain(|step| now.saturating_sub(step.at) < LIFE);
        steps
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Step>> {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Is it said of this folder, and will be said again?
pub(crate) fn is_final(refusal: &Refusal) -> bool {
    match refusal.said {
        Said::NotFound | Said::Forbidden | Said::Name => true,
        Said::Other => matches!(refusal.error.kind(), ErrorKind::NotFound | ErrorKind::Denied),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> RelPath {
        RelPath::new(text).expect("legal")
    }

    #[test]
    fn a_move_is_known_to_the_next_process_until_it_is_ended_or_old() {
        let scratch = tempfile::tempdir().expect("scratch");
        let file = Some(scratch.path().join("state/moving.json"));
        let one = Moving::new(file.clone());
        let step = Step::new(7, (&path("a"), 1), (&path("new/b"), 3));
        one.begin(step.clone());
        let two = Moving::new(file.clone());
        assert_eq!(two.of(&path("a")), Some(step.clone()));
        assert_eq!(two.of(&path("b")), None);
        two.end(7);
        assert_eq!(one.of(&path("a")), None);
        one.begin(Step { at: 1, ..step });
        assert_eq!(one.of(&path("a")), None);
        std::fs::write(file.as_ref().expect("given"), "{").expect("written");
        assert_eq!(Moving::new(file).of(&path("a")), None);
    }
}
