//! The files of the source that could not be stored in this run. Deletions ask whether an extra file is the copy of one of
//! them. Knows nothing of how digests are found.

use std::collections::HashMap;

use ketch_core::{Digest, Entry};

/// Files that are remembered. When there are more, each extra file may be the copy of one.
const LIMIT: usize = 1_000;

/// Files of the source that could not be stored, by their sizes, with the digest once it was needed.
#[derive(Debug, Default)]
pub(super) struct Unstored {
    files: HashMap<u64, Vec<(Entry, Option<Digest>)>>,
    count: usize,
    are_too_many: bool,
}

impl Unstored {
    /// Remembers a file of the source. An empty one has nothing to lose.
    pub(super) fn add(&mut self, file: &Entry) {
        let Some(size) = file.size else {
            // It may be any.
            self.are_too_many = true;
            return;
        };
        if size == 0 {
            return;
        }
        if self.count >= LIMIT {
            self.are_too_many = true;
            return;
        }
        self.count += 1;
        self.files.entry(size).or_default().push((file.clone(), None));
    }

    /// Were there more than are remembered?
    pub(super) fn are_too_many(&self) -> bool {
        self.are_too_many
    }

    /// Those of one size, in a fixed order.
    pub(super) fn of_size(&self, size: u64) -> Vec<(Entry, Option<Digest>)> {
        self.files.get(&size).cloned().unwrap_or_default()
    }

    /// Remembers the digest of one of those of a size, by its place among them.
    pub(super) fn learn(&mut self, size: u64, index: usize, digest: Digest) {
        if let Some((_, known)) = self.files.get_mut(&size).and_then(|all| all.get_mut(index)) {
            *known = Some(digest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ketch_core::{EntryKind, RelPath};

    fn file(number: u64, size: u64) -> Entry {
        let path = RelPath::new(&format!("f{number}")).expect("a path");
        Entry { size: Some(size), ..Entry::bare(path, EntryKind::File) }
    }

    #[test]
    fn beyond_the_limit_it_is_known_that_not_all_are_remembered() {
        let mut unstored = Unstored::default();
        (0..LIMIT as u64).for_each(|number| unstored.add(&file(number, 1 + number % 3)));
        unstored.add(&file(0, 0));
        assert!(!unstored.are_too_many());
        assert_eq!(unstored.of_size(2).len(), 333);
        assert!(unstored.of_size(4).is_empty());
        unstored.add(&file(LIMIT as u64, 4));
        assert!(unstored.are_too_many());
    }
}
