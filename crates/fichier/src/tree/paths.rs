//! Which paths have which numbers, as far as a run remembers.

use std::collections::HashMap;

use ketch_core::RelPath;

/// How many paths are remembered: at most twice this.
const PATHS_MAX: usize = 100_000;

/// Paths and numbers in two generations: when the young one is full it becomes the old one, and the old one is dropped,
/// unless it was used.
#[derive(Debug, Default)]
pub(super) struct Paths {
    young: HashMap<RelPath, u64>,
    old: HashMap<RelPath, u64>,
    /// The path that was learnt last of each number of the young ones.
    numbers: HashMap<u64, RelPath>,
}

impl Paths {
    pub(super) fn get(&mut self, path: &RelPath) -> Option<u64> {
        if let Some(id) = self.young.get(path) {
            return Some(*id);
        }
        let id = self.old.remove(path)?;
        self.insert(path, id);
        Some(id)
    }

    pub(super) fn insert(&mut self, path: &RelPath, id: u64) {
        if self.young.len() >= PATHS_MAX {
            self.old = std::mem::take(&mut self.young);
            self.numbers.clear();
        }
        self.young.insert(path.clone(), id);
        self.numbers.insert(id, path.clone());
    }

    /// The path at which a number was seen, of those that are still known.
    pub(super) fn of_number(&self, id: u64) -> Option<RelPath> {
        self.numbers.get(&id).cloned()
    }

    pub(super) fn of(&self, id: u64) -> Vec<RelPath> {
        let all = self.young.iter().chain(&self.old);
        all.filter(|(_, known)| **known == id).map(|(path, _)| path.clone()).collect()
    }

    pub(super) fn remove(&mut self, path: &RelPath) {
        self.numbers.retain(|_, known| !known.is_within(path));
        self.young.retain(|known, _| !known.is_within(path));
        self.old.retain(|known, _| !known.is_within(path));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> RelPath {
        RelPath::new(text).expect("legal")
    }

    #[test]
    fn paths_in_use_survive_and_the_number_is_bounded() {
        let mut paths = Paths::default();
        paths.insert(&path("used"), 7);
        for number in 0..(PATHS_MAX as u64 * 3) {
            paths.insert(&path(&format!("p{number}")), number);
            if number % 1_000 == 0 {
                assert_eq!(paths.get(&path("used")), Some(7));
            }
        }
        assert!(paths.young.len() + paths.old.len() <= PATHS_MAX * 2);
    }
}
