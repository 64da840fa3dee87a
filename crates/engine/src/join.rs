//! Merges the two listings of one folder. Pure and synchronous.
//!
//! Both sides are sorted by key; entries with equal keys form a pair. If one side has several entries of one key (1fichier
//! allows that), the pair holds the newest of them and is marked as having duplicates, so that a decision does not guess
//! which one was meant. A file on one side and a folder of the same name on the other have different keys and are marked as
//! a clash.

use std::cmp::Ordering;

use ketch_core::{Entry, EntryKind, RelPath, Result, View};

use crate::listing::Listing;

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
    /// The other side has an entry of the same name, but of another kind.
    pub clash: bool,
    /// The destination treats the source's name as another spelling of a second name that the source has too.
    pub folds: bool,
}

impl Pair {
    /// A pair of two entries, whatever their names.
    pub fn of(source: Entry, destination: Entry) -> Self {
        Pair {
            source: Some(source),
            destination: Some(destination),
            source_duplicates: false,
            destination_duplicates: false,
            clash: false,
            folds: false,
        }
    }

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

/// What comes next when two listings are joined.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "it lives in one loop, and most are not pairs")]
pub(crate) enum Next {
    /// What both sides have under one key.
    Pair(Pair),
    /// A file that both sides have and that needs nothing; its name is [`Joined::equal`].
    Equal,
    /// There is no more.
    End,
}

/// Joins two sorted listings of one folder, pair by pair.
#[derive(Debug)]
pub(crate) struct Joined {
    source: Listing,
    destination: Listing,
    /// Names met so far that are a folder on one side and another kind of entry on the other. There is hardly ever one. The
    /// other entry has the smaller key and comes first.
    clashes: Vec<String>,
    /// The name of the last file that was equal.
    equal: String,
}

impl Joined {
    pub(crate) fn new(source: Listing, destination: Listing) -> Self {
        Joined { source, destination, clashes: Vec::new(), equal: String::new() }
    }

    /// The name of the last file that was [`Next::Equal`].
    pub(crate) fn equal(&self) -> &str {
        &self.equal
    }

    /// The next pair. Two files for which `settles` is true are not made into one.
    ///
    /// Errors: `Io` when a listing that had no room in memory cannot be read back.
    pub(crate) fn next(
        &mut self,
        settles: impl FnOnce(&View<'_>, &View<'_>) -> bool,
    ) -> Result<Next> {
        self.source.head.fill()?;
        self.destination.head.fill()?;
        let (left, right) = (&self.source.head, &self.destination.head);
        let order = match (left.view(), right.view()) {
            (Some(source), Some(destination)) => {
                let order = source.key().cmp(&destination.key());
                let are_files = order.is_eq()
                    && source.kind == EntryKind::File
                    && destination.kind == EntryKind::File;
                let are_single = !left.has_duplicates() && !right.has_duplicates();
                let dirs = [&self.source.dirs, &self.destination.dirs];
                let is_clash = || dirs.iter().any(|dirs| dirs.has(source.name));
                let is_plain = are_files && are_single && !is_clash();
                if is_plain && settles(&source, &destination) {
                    self.equal.clear();
                    self.equal.push_str(source.name);
                    self.source.head.pass();
                    self.destination.head.pass();
                    return Ok(Next::Equal);
                }
                order
            }
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return Ok(Next::End),
        };
        let source = if order.is_le() { self.source.take()? } else { None };
        let destination = if order.is_ge() { self.destination.take()? } else { None };
        let clash = self.is_clash(source.as_ref(), destination.as_ref());
        let split = |side: Option<(Entry, bool)>| match side {
            Some((entry, duplicates)) => (Some(entry), duplicates),
            None => (None, false),
        };
        // Entries under one key are a pair. If a side also has another kind of entry of that name, that entry is the clash.
        let is_alone = source.is_none() || destination.is_none();
        let (source, source_duplicates) = split(source);
        let (destination, destination_duplicates) = split(destination);
        let clash = clash && is_alone;
        Ok(Next::Pair(Pair {
            source,
            destination,
            source_duplicates,
            destination_duplicates,
            clash,
            folds: false,
        }))
    }

    /// Is the same name something else on the other side?
    fn is_clash(&mut self, left: Option<&(Entry, bool)>, right: Option<&(Entry, bool)>) -> bool {
        let Some((entry, _)) = left.or(right) else { return false };
        let name = entry.path.name().unwrap_or_default();
        if entry.is_dir() {
            return self.clashes.iter().any(|clash| clash == name);
        }
        let is_clash = left.is_some() && self.destination.dirs.has(name)
            || right.is_some() && self.source.dirs.has(name);
        if is_clash {
            self.clashes.push(name.to_owned());
        }
        is_clash
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listing::{Collector, ROOM_BYTES, Room};
    use ketch_core::{Order, Page};
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    fn listing(entries: &[Entry]) -> Listing {
        let root = RelPath::root();
        let room = Room::new(ROOM_BYTES, None);
        let mut collector = Collector::new(&root, Order::Unspecified, &room);
        collector.push(Page::of(&root, entries).expect("children")).expect("room");
        collector.finish().expect("room")
    }

    fn join(source: Vec<Entry>, destination: Vec<Entry>) -> Vec<Pair> {
        let mut joined = Joined::new(listing(&source), listing(&destination));
        let mut pairs = Vec::new();
        loop {
            match joined.next(|_, _| false).expect("in memory") {
                Next::Pair(pair) => pairs.push(pair),
                Next::Equal => panic!("nothing settles it"),
                Next::End => return pairs,
            }
        }
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
        let side = |texts: &[&str]| texts.iter().map(|text| entry(text)).collect();
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

    #[test]
    fn what_is_settled_is_no_pair_unless_it_needs_a_second_look() {
        let entries = |texts: &[&str]| texts.iter().map(|text| entry(text)).collect::<Vec<_>>();
        let source = entries(&["a", "b", "c", "c/", "d", "e", "e", "f/"]);
        let destination = entries(&["a", "b", "c", "d", "d/", "e", "f/"]);
        let mut joined = Joined::new(listing(&source), listing(&destination));
        let mut seen = Vec::new();
        loop {
            match joined.next(|source, _| source.name != "b").expect("in memory") {
                Next::Pair(pair) => seen.push(show(&pair)),
                Next::Equal => seen.push(format!("settled {}", joined.equal())),
                Next::End => break,
            }
        }
        let expected = ["settled a", "=b", "=c", "<c/!", "=d", ">d/!", "=e2", "=f/"];
        assert_eq!(seen, expected);
    }

    proptest! {
        #[test]
        fn joining_agrees_with_sets(
            source in proptest::collection::vec("[a-c]{1,2}(\\.|/)?", 0..12),
            destination in proptest::collection::vec("[a-c]{1,2}(\\.|/)?", 0..12),
        ) {
            let side = |texts: &[String]| -> Vec<Entry> {
                texts.iter().map(|text| entry(text)).collect()
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
