//! The branches of a tree that is drawn while it is walked. Pure.
//!
//! Entries come in key order. The branch of one is known when it is known whether it is the last of its folder: the walk
//! says so, or the next entry that is not in it does.

use std::collections::VecDeque;

use ketch_core::Entry;

/// Entries that may wait. With more the first of them are drawn as if others followed in their folders.
const HELD: usize = 65_536;

/// An entry, and what stands before its name.
#[derive(Debug, PartialEq)]
pub(super) struct Line {
    pub(super) branch: String,
    pub(super) entry: Entry,
}

/// Holds entries until their branches are known.
#[derive(Debug, Default)]
pub(super) struct Branches {
    held: VecDeque<(Entry, Option<bool>)>,
    /// The number of the first that is held.
    first: u64,
    /// The depths and numbers of those of which it is not known, the deepest last: at most one for each depth.
    open: Vec<(usize, u64)>,
    /// Of the entry that was drawn last and of each folder above it, from the top down: is it the last of its folder?
    last: Vec<bool>,
}

impl Branches {
    /// Takes the next entry and whether it is the last of its folder, and returns what can be drawn now.
    pub(super) fn add(&mut self, entry: Entry, is_last: Option<bool>) -> Vec<Line> {
        let depth = entry.path.depth();
        while let Some((held_depth, number)) = self.open.pop_if(|(held, _)| *held >= depth) {
            let index = number.checked_sub(self.first).and_then(|index| index.try_into().ok());
            if let Some((_, is_last)) = index.and_then(|index: usize| self.held.get_mut(index)) {
                *is_last = Some(held_depth > depth);
            }
        }
        if is_last.is_none() {
            self.open.push((depth, self.first + self.held.len() as u64));
        }
        self.held.push_back((entry, is_last));
        let mut lines = Vec::new();
        while let Some((entry, is_last)) = self.held.pop_front() {
            let Some(is_last) = is_last.or((self.held.len() >= HELD).then_some(false)) else {
                self.held.push_front((entry, None));
                break;
            };
            self.first += 1;
            lines.push(self.line(entry, is_last));
        }
        lines
    }

    /// Nothing follows.
    pub(super) fn finish(&mut self) -> Vec<Line> {
        let held = std::mem::take(&mut self.held);
        held.into_iter().map(|(entry, is_last)| self.line(entry, is_last.unwrap_or(true))).collect()
    }

    fn line(&mut self, entry: Entry, is_last: bool) -> Line {
        self.last.truncate(entry.path.depth().saturating_sub(1));
        let above = self.last.iter().map(|is_last| if *is_last { "    " } else { "│   " });
        let mut branch: String = above.collect();
        self.last.push(is_last);
        branch.push_str(if is_last { "└── " } else { "├── " });
        Line { branch, entry }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ketch_core::RelPath;

    #[test]
    fn the_tree_is_the_same_whether_the_walk_knows_the_last_of_a_folder_or_not() {
        // Each with whether it is the last of its folder.
        let entries = [
            ("a", false),
            ("a/b", false),
            ("a/b/c", true),
            ("a/b/c/d", true),
            ("a/g", true),
            ("y", false),
            ("z", true),
            ("z/f", true),
        ];
        let entry = |path: &str| Entry::dir(RelPath::new(path).expect("a path"));
        let draw = |knows: &dyn Fn(usize) -> bool| {
            let mut branches = Branches::default();
            let mut lines = Vec::new();
            for (number, (path, is_last)) in entries.into_iter().enumerate() {
                lines.extend(branches.add(entry(path), knows(number).then_some(is_last)));
            }
            lines.extend(branches.finish());
            let shown = |line: &Line| format!("{}{}", line.branch, line.entry.path);
            lines.iter().map(shown).collect::<Vec<_>>()
        };
        let expected = [
            "├── a",
            "│   ├── a/b",
            "│   │   └── a/b/c",
            "│   │       └── a/b/c/d",
            "│   └── a/g",
            "├── y",
            "└── z",
            "    └── z/f",
        ];
        for mask in 0..1_usize << entries.len() {
            assert_eq!(draw(&|number| mask >> number & 1 == 1), expected, "known: {mask:b}");
        }
    }

    #[test]
    fn no_more_than_a_bounded_number_of_entries_waits() {
        let mut branches = Branches::default();
        let entry = |path: String| Entry::dir(RelPath::new(&path).expect("a path"));
        assert!(branches.add(entry("a".to_owned()), None).is_empty());
        let mut drawn = 0;
        for number in 0..2 * HELD {
            drawn += branches.add(entry(format!("a/{number:07}")), None).len();
            assert!(branches.held.len() <= HELD + 1);
        }
        drawn += branches.finish().len();
        assert_eq!(drawn, 1 + 2 * HELD);
    }
}
