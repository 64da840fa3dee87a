//! All records of a catalogue, folder by folder.

use std::collections::BTreeMap;

use ketch_core::RelPath;

use crate::record::{Fact, Record};

/// Records by folder and name. A folder's path is held once.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Records {
    folders: BTreeMap<Box<str>, BTreeMap<Box<str>, Record>>,
    count: usize,
}

impl Records {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Are there none?
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The record of `path`.
    pub fn get(&self, path: &RelPath) -> Option<&Record> {
        let (folder, name) = split(path);
        self.folders.get(folder)?.get(name)
    }

    /// The record of `path`, to be changed.
    pub fn get_mut(&mut self, path: &RelPath) -> Option<&mut Record> {
        let (folder, name) = split(path);
        self.folders.get_mut(folder)?.get_mut(name)
    }

    /// Writes a record down in place of the one that was there, which comes back.
    pub fn set(&mut self, path: &RelPath, record: Record) -> Option<Record> {
        let (folder, name) = split(path);
        let names = match self.folders.get_mut(folder) {
            Some(names) => names,
            None => self.folders.entry(folder.into()).or_default(),
        };
        let before = match names.get_mut(name) {
            Some(known) => Some(std::mem::replace(known, record)),
            None => names.insert(name.into(), record),
        };
        self.count += usize::from(before.is_none());
        before
    }

    /// Forgets the record of `path`, which comes back.
    pub fn remove(&mut self, path: &RelPath) -> Option<Record> {
        let (folder, name) = split(path);
        let names = self.folders.get_mut(folder)?;
        let removed = names.remove(name)?;
        if names.is_empty() {
            self.folders.remove(folder);
        }
        self.count -= 1;
        Some(removed)
    }

    /// The records of what is directly in `folder`, by name.
    pub fn in_folder(&self, folder: &RelPath) -> impl Iterator<Item = (&str, &Record)> {
        let names = self.folders.get(folder.as_str());
        names.into_iter().flatten().map(|(name, record)| (&**name, record))
    }

    /// The paths of all records below `folder`.
    pub fn below(&self, folder: &RelPath) -> Vec<RelPath> {
        let folders = self.folders.iter().filter(|(path, _)| {
            folder.is_root()
                || path
                    .strip_prefix(folder.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        });
        folders.flat_map(|(path, names)| names.keys().map(move |name| join(path, name))).collect()
    }

    /// Takes what `other` knows. Of two records of one path the later one counts; of two of one time, the one that is here.
    pub fn merge(&mut self, other: Records) {
        for (folder, names) in other.folders {
            for (name, record) in names {
                let path = join(&folder, &name);
                if self.get(&path).is_none_or(|known| known.at < record.at) {
                    self.set(&path, record);
                }
            }
        }
    }

    /// Forgets what was removed before `at`.
    pub fn forget_gone_before(&mut self, at: u64) {
        let is_old = |record: &Record| record.fact == Fact::Gone && record.at < at;
        for names in self.folders.values_mut() {
            let before = names.len();
            names.retain(|_, record| !is_old(record));
            self.count -= before - names.len();
        }
        self.folders.retain(|_, names| !names.is_empty());
    }

    /// All records, by folder and name.
    pub fn iter(&self) -> impl Iterator<Item = (RelPath, &Record)> {
        self.folders.iter().flat_map(|(folder, names)| {
            names.iter().map(move |(name, record)| (join(folder, name), record))
        })
    }
}

fn split(path: &RelPath) -> (&str, &str) {
    path.as_str().rsplit_once('/').unwrap_or(("", path.as_str()))
}

fn join(folder: &str, name: &str) -> RelPath {
    let text = if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
    // Never fails: both are parts of a path.
    RelPath::new(&text).unwrap_or_else(|_| RelPath::root())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> RelPath {
        RelPath::new(text).expect("legal")
    }

    fn empty(at: u64) -> Record {
        Record { at, fact: Fact::Empty { mtime: None, mode: None } }
    }

    fn gone(at: u64) -> Record {
        Record { at, fact: Fact::Gone }
    }

    fn all(records: &Records) -> Vec<(String, u64)> {
        records.iter().map(|(path, record)| (path.to_string(), record.at)).collect()
    }

    #[test]
    fn records_are_found_by_folder_and_counted() {
        let mut records = Records::default();
        for (at, text) in ["a", "d/a", "d/e/a", "d-x/a", "de"].into_iter().enumerate() {
            assert_eq!(records.set(&path(text), empty(at as u64)), None);
        }
        assert_eq!(records.set(&path("a"), empty(9)), Some(empty(0)));
        assert_eq!(records.len(), 5);
        let names: Vec<_> = records.in_folder(&path("d")).map(|(name, _)| name).collect();
        assert_eq!(names, ["a"]);
        assert_eq!(records.below(&path("d")), [path("d/a"), path("d/e/a")]);
        assert_eq!(records.below(&RelPath::root()).len(), 5);
        assert_eq!(records.remove(&path("d/a")), Some(empty(1)));
        assert_eq!(records.remove(&path("d/a")), None);
        assert_eq!(records.len(), 4);
    }

    #[test]
    fn of_two_records_the_later_one_counts_on_whichever_side_it_is() {
        let side = |records: &[(&str, Record)]| {
            let mut side = Records::default();
            for (text, record) in records {
                side.set(&path(text), record.clone());
            }
            side
        };
        let left = side(&[("a", empty(1)), ("b", empty(5)), ("c", gone(7))]);
        let right = side(&[("a", gone(2)), ("b", gone(4)), ("d", empty(1))]);
        for (mut one, other) in [(left.clone(), right.clone()), (right, left)] {
            one.merge(other);
            let expected = [("a", 2), ("b", 5), ("c", 7), ("d", 1)];
            assert_eq!(all(&one), expected.map(|(text, at)| (text.to_owned(), at)));
            assert_eq!(one.get(&path("a")), Some(&gone(2)));
            one.forget_gone_before(3);
            assert_eq!(one.len(), 3);
            one.forget_gone_before(8);
            assert_eq!(all(&one), [("b".to_owned(), 5), ("d".to_owned(), 1)]);
        }
    }
}
