//! One side of one folder, complete and in key order, in as little memory as it takes.
//!
//! A small folder is a list of entries. From [`FEW_ENTRIES`] on the entries are packed: no path (it is the folder's and the
//! name), no allocations, only what is known. Knows nothing of backends; what is packed comes back as it was.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ketch_core::{Entry, EntryKind, RelPath};

/// Entries of a folder that are kept as they are.
const FEW_ENTRIES: usize = 4096;

const KIND_FILE: u8 = 0;
const KIND_DIR: u8 = 1;
const HAS_SIZE: u8 = 1 << 1;
const HAS_TIME: u8 = 1 << 2;
const HAS_VERSION: u8 = 1 << 3;
const HAS_MODE: u8 = 1 << 4;
/// The entry is among those that are not packed.
const IS_APART: u8 = 1 << 7;

/// The entries of one folder on one side.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    dir: Option<RelPath>,
    few: Vec<Entry>,
    packed: Vec<u8>,
    /// Entries with something that is not packed, in order.
    apart: VecDeque<Entry>,
    /// Paths of the folders in it, in order.
    dirs: Vec<RelPath>,
    last: Option<(RelPath, bool)>,
    count: usize,
}

impl Listing {
    /// No entry yet of `dir`.
    pub(crate) fn new(dir: &RelPath) -> Self {
        Listing { dir: Some(dir.clone()), ..Listing::default() }
    }

    /// All entries of `dir`, sorted.
    pub(crate) fn of_sorted(dir: &RelPath, entries: Vec<Entry>) -> Self {
        let mut listing = Listing::new(dir);
        for entry in entries {
            listing.push(entry);
        }
        listing
    }

    /// Adds the next entry, and tells whether it is in order.
    pub(crate) fn push(&mut self, entry: Entry) -> bool {
        let is_in_order = self.last.as_ref().is_none_or(|(path, is_dir)| {
            let new = (entry.path.as_str(), entry.is_dir());
            ketch_core::compare_keys((path.as_str(), *is_dir), new).is_le()
        });
        self.last = Some((entry.path.clone(), entry.is_dir()));
        self.count += 1;
        if entry.is_dir() {
            self.dirs.push(entry.path.clone());
        }
        if self.few.len() < FEW_ENTRIES && self.packed.is_empty() {
            self.few.push(entry);
        } else {
            for early in std::mem::take(&mut self.few) {
                self.pack(early);
            }
            self.pack(entry);
        }
        is_in_order
    }

    /// How many entries there are.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// The folders in it, for whoever takes the entries. They must be in order.
    pub(crate) fn take_dirs(&mut self) -> Dirs {
        Dirs(std::mem::take(&mut self.dirs))
    }

    fn is_child(&self, path: &RelPath) -> bool {
        let Some(dir) = &self.dir else { return false };
        let above = path.as_str().rsplit_once('/').map_or("", |(above, _)| above);
        above == dir.as_str() && !path.is_root()
    }

    fn pack(&mut self, entry: Entry) {
        let kind = match entry.kind {
            EntryKind::File => KIND_FILE,
            EntryKind::Dir => KIND_DIR,
            EntryKind::Link | EntryKind::Special(_) => IS_APART,
        };
        let is_plain = entry.handle.is_none() && entry.hashes.is_none();
        let name = entry.path.name().filter(|_| is_plain && self.is_child(&entry.path));
        let (Some(name), false) = (name, kind == IS_APART) else {
            self.packed.push(IS_APART);
            self.apart.push_back(entry);
            return;
        };
        let flag = |is_known, flag| if is_known { flag } else { 0 };
        self.packed.push(
            kind | flag(entry.size.is_some(), HAS_SIZE)
                | flag(entry.mtime.is_some(), HAS_TIME)
                | flag(entry.version.is_some(), HAS_VERSION)
                | flag(entry.mode.is_some(), HAS_MODE),
        );
        put_bytes(&mut self.packed, name.as_bytes());
        if let Some(size) = entry.size {
            put_number(&mut self.packed, size);
        }
        if let Some(time) = entry.mtime {
            put_time(&mut self.packed, time);
        }
        if let Some(version) = entry.version {
            put_bytes(&mut self.packed, version.as_bytes());
        }
        if let Some(mode) = entry.mode {
            put_number(&mut self.packed, mode.into());
        }
    }
}

/// The folders of a listing, to be searched.
#[derive(Debug)]
pub(crate) struct Dirs(Vec<RelPath>);

impl Dirs {
    /// Is there a folder of that path?
    pub(crate) fn has(&self, path: &RelPath) -> bool {
        let wanted = (path.as_str(), true);
        let compare = |dir: &RelPath| ketch_core::compare_keys((dir.as_str(), true), wanted);
        self.0.binary_search_by(compare).is_ok()
    }
}

impl IntoIterator for Listing {
    type Item = Entry;
    type IntoIter = Entries;

    fn into_iter(self) -> Entries {
        Entries {
            dir: self.dir.unwrap_or_else(RelPath::root),
            few: self.few.into_iter(),
            packed: self.packed,
            at: 0,
            apart: self.apart,
        }
    }
}

/// The entries of a listing, in order.
#[derive(Debug)]
pub(crate) struct Entries {
    dir: RelPath,
    few: std::vec::IntoIter<Entry>,
    packed: Vec<u8>,
    at: usize,
    apart: VecDeque<Entry>,
}

impl Iterator for Entries {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        if let Some(entry) = self.few.next() {
            return Some(entry);
        }
        let flags = *self.packed.get(self.at)?;
        self.at += 1;
        if flags & IS_APART != 0 {
            return self.apart.pop_front();
        }
        let name = take_text(&self.packed, &mut self.at);
        // Never fails: it is the name of an entry that had a path.
        let path = self.dir.join(name).unwrap_or_else(|_| self.dir.clone());
        let kind = if flags & KIND_DIR != 0 { EntryKind::Dir } else { EntryKind::File };
        let mut entry = Entry::bare(path, kind);
        if flags & HAS_SIZE != 0 {
            entry.size = Some(take_number(&self.packed, &mut self.at));
        }
        if flags & HAS_TIME != 0 {
            entry.mtime = Some(take_time(&self.packed, &mut self.at));
        }
        if flags & HAS_VERSION != 0 {
            entry.version = Some(take_text(&self.packed, &mut self.at).into());
        }
        if flags & HAS_MODE != 0 {
            entry.mode = Some(take_number(&self.packed, &mut self.at) as u32);
        }
        Some(entry)
    }
}

fn put_number(packed: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        packed.push(number as u8 | 0x80);
        number >>= 7;
    }
    packed.push(number as u8);
}

fn take_number(packed: &[u8], at: &mut usize) -> u64 {
    let (mut number, mut shift) = (0, 0);
    loop {
        let byte = packed[*at];
        *at += 1;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return number;
        }
        shift += 7;
    }
}

fn put_bytes(packed: &mut Vec<u8>, bytes: &[u8]) {
    put_number(packed, bytes.len() as u64);
    packed.extend_from_slice(bytes);
}

fn take_text<'a>(packed: &'a [u8], at: &mut usize) -> &'a str {
    let length = take_number(packed, at) as usize;
    let bytes = &packed[*at..*at + length];
    *at += length;
    // Never fails: it was a text when it was packed.
    std::str::from_utf8(bytes).unwrap_or_default()
}

/// The sign is in the lowest bit of the seconds.
fn put_time(packed: &mut Vec<u8>, time: SystemTime) {
    let (apart, is_before) = match time.duration_since(UNIX_EPOCH) {
        Ok(after) => (after, 0),
        Err(before) => (before.duration(), 1),
    };
    // No system has times for which the seconds need the highest bit.
    put_number(packed, apart.as_secs() << 1 | is_before);
    put_number(packed, apart.subsec_nanos().into());
}

fn take_time(packed: &[u8], at: &mut usize) -> SystemTime {
    let seconds = take_number(packed, at);
    let apart = Duration::new(seconds >> 1, take_number(packed, at) as u32);
    if seconds & 1 == 1 { UNIX_EPOCH - apart } else { UNIX_EPOCH + apart }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ketch_core::hash::hash_bytes;
    use ketch_core::{HashAlgo, Special};
    use proptest::prelude::*;

    fn child(dir: &RelPath, name: &str) -> RelPath {
        dir.join(name).expect("a legal name")
    }

    /// Entries of all sorts, chosen by the bits of `choice`.
    fn entry(path: RelPath, choice: u32, number: u64) -> Entry {
        let is = |bit: u32| choice & (1 << bit) != 0;
        let kind = match choice % 5 {
            0 => EntryKind::Dir,
            1 => EntryKind::Special(Special::Device),
            2 if is(13) => EntryKind::Link,
            _ => EntryKind::File,
        };
        let apart = Duration::new(number >> 20, (number % 1_000_000_000) as u32);
        Entry {
            size: is(4).then_some(number),
            mtime: is(5).then(|| if is(6) { UNIX_EPOCH - apart } else { UNIX_EPOCH + apart }),
            version: is(7).then(|| format!("version {number}").into()),
            mode: is(12).then_some(choice & 0o777),
            handle: (is(8) && is(9)).then(|| "handle".into()),
            hashes: (is(10) && is(11))
                .then(|| Box::new(hash_bytes(&[HashAlgo::Md5], &number.to_le_bytes()))),
            ..Entry::bare(path, kind)
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8))]
        #[test]
        fn what_is_packed_comes_back_as_it_was(
            choices in proptest::collection::vec((any::<u32>(), any::<u64>()), 1..200),
            is_root in any::<bool>(),
            repeats in prop_oneof![Just(1_usize), Just(60)],
        ) {
            let dir = if is_root { RelPath::root() } else { RelPath::new("a/b").expect("legal") };
            let choices = choices.iter().cycle().take(choices.len() * repeats);
            let mut entries: Vec<Entry> = choices
                .enumerate()
                .map(|(at, (choice, number))| entry(child(&dir, &format!("n{at}")), *choice, *number))
                .collect();
            // One that no backend should list there.
            entries.push(Entry::file(RelPath::new("zzz/other/place").expect("legal"), 3));
            crate::join::sort(&mut entries);
            let mut listing = Listing::of_sorted(&dir, entries.clone());
            prop_assert_eq!(listing.len(), entries.len());
            let dirs = listing.take_dirs();
            for entry in &entries {
                prop_assert_eq!(dirs.has(&entry.path), entry.is_dir());
            }
            prop_assert!(listing.into_iter().eq(entries));
        }
    }

    #[test]
    fn disorder_is_told_also_where_entries_are_packed() {
        for many in [1, FEW_ENTRIES, 2 * FEW_ENTRIES] {
            let dir = RelPath::root();
            let mut listing = Listing::new(&dir);
            for number in 0..many {
                assert!(listing.push(Entry::file(child(&dir, &format!("f{number:09}")), 1)));
            }
            assert!(!listing.push(Entry::file(child(&dir, "a"), 1)));
        }
    }

    #[test]
    fn an_entry_of_a_large_folder_takes_less_than_a_hundred_bytes() {
        let dir = RelPath::new("a/folder/with/a/long/path").expect("legal");
        let mut listing = Listing::new(&dir);
        for number in 0..3 * FEW_ENTRIES {
            let mut entry =
                Entry::file(child(&dir, &format!("picture-{number:012}.jpeg")), 1 << 20);
            entry.mtime = Some(UNIX_EPOCH + Duration::new(1_700_000_000, 123_456_789));
            entry.version = Some("0123456789012345678901234567890123".into());
            listing.push(entry);
        }
        let bytes = listing.packed.len() + listing.few.capacity() * size_of::<Entry>();
        assert!(bytes < 100 * listing.len(), "{bytes} bytes of {} entries", listing.len());
    }
}
