//! The merge of one folder's two listings. Pure and synchronous.
//!
//! Both sides are sorted by key; equal keys meet. Several entries of one key on one side (1fichier allows that) become the
//! newest of them and a mark: nobody guesses which one was meant. A file on one side and a folder of the same name on the
//! other have different keys and are marked as a clash.

use std::cmp::Ordering;

use ketch_core::{Entry, RelPath};

use crate::listing::{Dirs, Entries, Listing};

/// What the two sides have under one key.
#[derive(Debug, Clone, PartialEq)]
pub struct Pair {
    /// The source's entry.
    pub source: Option<Entry>,
    /// The destination's entry.
    pub destination: Option<Entry>,
    /// The source had several; `source` is the newest.
    pub source_duplicates: bool,
    /// The destination had several; `destination` is the newest.
    pub destination_duplicates: bool,
    /// The other side has the same name as another kind of entry.
    pub clash: bool,
}

impl Pair {
    /// Where.
    pub fn path(&self) -> &RelPath {
        match (&self.source, &self.destination) {
            (Some(entry), _) | (None, Some(entry)) => &entry.path,
            (None, None) => unreachable!("a pair has at least one side"),
        }
    }

    /// Is it a folder wherever it is?
    pub fn is_dir(&self) -> bool {
        self.source.iter().chain(&self.destination).all(Entry::is_dir)
    }
}

/// Sorts a folder's entries by key, the newest of equal ones first.
pub fn sort(entries: &mut [Entry]) {
    entries
        .sort_by(|left, right| left.compare_key(right).then_with(|| right.mtime.cmp(&left.mtime)));
}

/// Joins two sorted listings of one folder, pair by pair.
#[derive(Debug)]
pub(crate) struct Joined {
    left: Distinct,
    right: Distinct,
    left_dirs: Dirs,
    right_dirs: Dirs,
    /// Paths that are a folder on one side and something else on the other, as far as they were met. There is hardly ever
    /// one. The something else has the smaller key and comes first.
    clashes: Vec<RelPath>,
}

impl Joined {
    pub(crate) fn new(mut source: Listing, mut destination: Listing) -> Self {
        let (left_dirs, right_dirs) = (source.take_dirs(), destination.take_dirs());
        let (left, right) = (Distinct::of(source), Distinct::of(destination));
        Joined { left, right, left_dirs, right_dirs, clashes: Vec::new() }
    }

    /// Is the same path something else on the other side?
    fn is_clash(&mut self, left: Option<&Entry>, right: Option<&Entry>) -> bool {
        let Some(entry) = left.or(right) else { return false };
        let path = &entry.path;
        if entry.is_dir() {
            return self.clashes.contains(path);
        }
        let is_clash = left.is_some() && self.right_dirs.has(path)
            || right.is_some() && self.left_dirs.has(path);
        if is_clash {
            self.clashes.push(path.clone());
        }
        is_clash
    }
}

impl Iterator for Joined {
    type Item = Pair;

    fn next(&mut self) -> Option<Pair> {
        let order = match (self.left.peek(), self.right.peek()) {
            (Some(left), Some(right)) => left.compare_key(right),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return None,
        };
        let split = |side: Option<(Entry, bool)>| match side {
            Some((entry, duplicates)) => (Some(entry), duplicates),
            None => (None, false),
        };
        let (source, source_duplicates) =
            split(if order.is_le() { self.left.next() } else { None });
        let (destination, destination_duplicates) =
            split(if order.is_ge() { self.right.next() } else { None });
        // What both have under one key is a pair; that a side has another kind besides is its twin's clash.
        let is_alone = source.is_none() || destination.is_none();
        let clash = self.is_clash(source.as_ref(), destination.as_ref()) && is_alone;
        Some(Pair { source, destination, source_duplicates, destination_duplicates, clash })
    }
}

/// One side, equal keys collapsed to the first.
#[derive(Debug)]
struct Distinct(std::iter::Peekable<Entries>);

impl Distinct {
    fn of(sorted: Listing) -> Self {
        Distinct(sorted.into_iter().peekable())
    }

    fn peek(&mut self) -> Option<&Entry> {
        self.0.peek()
    }

    fn next(&mut self) -> Option<(Entry, bool)> {
        let first = self.0.next()?;
        let mut duplicates = false;
        while self.0.next_if(|other| other.compare_key(&first).is_eq()).is_some() {
            duplicates = true;
        }
        Some((first, duplicates))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    fn join(source: Vec<Entry>, destination: Vec<Entry>) -> Vec<Pair> {
        let listing = |entries| Listing::of_sorted(&RelPath::root(), entries);
        Joined::new(listing(source), listing(destination)).collect()
    }

    fn entry(text: &str) -> Entry {
        match text.strip_suffix('/') {
            Some(dir) => Entry::dir(RelPath::new(dir).expect("legal")),
            None => Entry::file(RelPath::new(text).expect("legal"), 1),
        }
    }

    fn key(entry: &Entry) -> String {
        format!("{}{}", entry.path, if entry.is_dir() { "/" } else { "" })
    }

    /// `=key` both, `<key` only source, `>key` only destination, `!` clash, `2` duplicates.
    fn check(source: &[&str], destination: &[&str], expected: &[&str]) {
        let side = |texts: &[&str]| {
            let mut entries: Vec<_> = texts.iter().map(|text| entry(text)).collect();
            sort(&mut entries);
            entries
        };
        let shown: Vec<_> = join(side(source), side(destination)).iter().map(show).collect();
        assert_eq!(shown, expected);
    }

    fn show(pair: &Pair) -> String {
        let sign = match (&pair.source, &pair.destination) {
            (Some(_), Some(_)) => "=",
            (Some(_), None) => "<",
            _ => ">",
        };
        let any = pair.source.as_ref().or(pair.destination.as_ref()).expect("one side");
        let marks = if pair.clash { "!" } else { "" };
        let twice = if pair.source_duplicates || pair.destination_duplicates { "2" } else { "" };
        format!("{sign}{}{marks}{twice}", key(any))
    }

    #[test]
    fn equal_keys_meet_and_others_stand_alone() {
        check(&["b", "a"], &["b", "c"], &["<a", "=b", ">c"]);
        check(&[], &["x"], &[">x"]);
        check(&["a/", "a.txt"], &["a/"], &["<a.txt", "=a/"]);
    }

    #[test]
    fn a_file_against_a_folder_is_a_clash_on_both_sides() {
        check(&["a"], &["a/", "a.b"], &["<a!", ">a.b", ">a/!"]);
        check(&["a/"], &["a", "a.b"], &[">a!", ">a.b", "<a/!"]);
        check(&["a", "a/"], &["a"], &["=a", "<a/!"]);
        check(&["a", "a/"], &["a/"], &["<a!", "=a/"]);
        check(&["a", "a/"], &[], &["<a", "<a/"]);
    }

    #[test]
    fn duplicates_become_the_newest_and_a_mark() {
        check(&["a"], &["a", "a"], &["=a2"]);
        check(&["a", "a", "a"], &[], &["<a2"]);
    }

    proptest! {
        #[test]
        fn joining_agrees_with_sets(
            source in proptest::collection::vec("[a-c]{1,2}(\\.|/)?", 0..12),
            destination in proptest::collection::vec("[a-c]{1,2}(\\.|/)?", 0..12),
        ) {
            let side = |texts: &[String]| {
                let mut entries: Vec<_> = texts.iter().map(|text| entry(text)).collect();
                sort(&mut entries);
                entries
            };
            let (left, right) = (side(&source), side(&destination));
            let keys = |entries: &[Entry]| entries.iter().map(key).collect::<BTreeSet<_>>();
            let (left_keys, right_keys) = (keys(&left), keys(&right));
            let pairs = join(left, right);
            let mut seen = BTreeMap::new();
            for pair in &pairs {
                let any = pair.source.as_ref().or(pair.destination.as_ref()).expect("one side");
                let sides = (pair.source.is_some(), pair.destination.is_some());
                prop_assert!(seen.insert(key(any), sides).is_none(), "each key once");
            }
            for name in left_keys.union(&right_keys) {
                let expected = (left_keys.contains(name), right_keys.contains(name));
                prop_assert_eq!(seen.get(name), Some(&expected));
            }
            for pair in &pairs {
                let alone = match (&pair.source, &pair.destination) {
                    (Some(entry), None) => Some((entry, &right_keys)),
                    (None, Some(entry)) => Some((entry, &left_keys)),
                    _ => None,
                };
                let other = |entry: &Entry| match entry.is_dir() {
                    true => entry.path.to_string(),
                    false => format!("{}/", entry.path),
                };
                let expected = alone.is_some_and(|(entry, keys)| keys.contains(&other(entry)));
                prop_assert_eq!(pair.clash, expected, "{:?}", pair);
            }
            prop_assert_eq!(seen.len(), left_keys.union(&right_keys).count());
        }
    }
}
