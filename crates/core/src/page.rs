//! Some entries of one folder in packed form: how a listing travels from a backend to the code that compares it.
//!
//! A listing of a million files is a million of these, so an entry costs no allocation and no path here: its name and what
//! is known, in some tens of bytes. A [`View`] reads one in place; an [`Entry`] is made only if something is done about it.
//! Where only the order counts, a [`PackedKey`] is enough. Packed bytes are for one process and its own scratch files: the
//! form may change with every release.

use std::cmp::Ordering;
use std::time::SystemTime;

use crate::entry::{Entry, EntryKind, Special, seconds_and_nanoseconds, time_of};
use crate::error::{Error, ErrorKind, Result};
use crate::hash::{Digest, HashAlgo, Hashes};
use crate::path::{RelPath, compare_key_bytes};

const KIND_BITS: u8 = 0b111;
const HAS_SIZE: u8 = 1 << 3;
const HAS_TIME: u8 = 1 << 4;
const HAS_VERSION: u8 = 1 << 5;
const HAS_MODE: u8 = 1 << 6;
/// A second byte of flags follows.
const HAS_MORE: u8 = 1 << 7;

const HAS_HANDLE: u8 = 1 << 0;
const HAS_HASHES: u8 = 1 << 1;
const HAS_CLAIMED: u8 = 1 << 2;

/// Kinds by their number.
const KINDS: [EntryKind; 8] = [
    EntryKind::File,
    EntryKind::Dir,
    EntryKind::Link,
    EntryKind::Special(Special::Symlink),
    EntryKind::Special(Special::BrokenSymlink),
    EntryKind::Special(Special::SymlinkLoop),
    EntryKind::Special(Special::Device),
    EntryKind::Special(Special::UnusableName),
];

fn number_of(kind: EntryKind) -> u8 {
    match kind {
        EntryKind::File => 0,
        EntryKind::Dir => 1,
        EntryKind::Link => 2,
        EntryKind::Special(Special::Symlink) => 3,
        EntryKind::Special(Special::BrokenSymlink) => 4,
        EntryKind::Special(Special::SymlinkLoop) => 5,
        EntryKind::Special(Special::Device) => 6,
        EntryKind::Special(Special::UnusableName) => 7,
    }
}

/// Some entries of one folder, in the order in which they were pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    dir: RelPath,
    bytes: Vec<u8>,
    /// Where the last entry begins.
    last: usize,
    count: usize,
    is_unsorted: bool,
    folding: Option<bool>,
}

/// One packed entry, read in place. The fields mean what those of [`Entry`] mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View<'a> {
    /// The last component of its path.
    pub name: &'a str,
    /// See [`Entry::kind`].
    pub kind: EntryKind,
    /// See [`Entry::size`].
    pub size: Option<u64>,
    /// See [`Entry::mtime`]: what [`seconds_and_nanoseconds`] makes of it.
    pub time: Option<(i64, u32)>,
    /// See [`Entry::mode`].
    pub mode: Option<u32>,
    // Looked into only where an entry is made.
    version: Option<&'a [u8]>,
    handle: Option<&'a [u8]>,
    hashes: &'a [u8],
    claimed: &'a [u8],
}

/// The sort key of a packed entry: the bytes of its name, and whether it is a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackedKey<'a> {
    name: &'a [u8],
    is_dir: bool,
}

impl<'a> PackedKey<'a> {
    /// The sort key of the entry at the beginning of `bytes`, as [`View::first`].
    pub fn first(bytes: &'a [u8]) -> Option<(Self, usize)> {
        let mut reader = Reader { bytes, at: 0 };
        let length = reader.length()?;
        let flags = reader.byte()?;
        let is_dir = KINDS[usize::from(flags & KIND_BITS)] == EntryKind::Dir;
        Some((PackedKey { name: reader.bytes(), is_dir }, length))
    }

    /// Is it the sort key of a folder?
    pub fn is_dir(&self) -> bool {
        self.is_dir
    }

    /// The name.
    pub fn name(&self) -> &'a str {
        text_of(self.name)
    }
}

/// The order of [`crate::compare_keys`].
impl Ord for PackedKey<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        compare_key_bytes((self.name, self.is_dir), (other.name, other.is_dir))
    }
}

impl PartialOrd for PackedKey<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<'a> View<'a> {
    /// A name of a kind, and nothing else known.
    pub fn bare(name: &'a str, kind: EntryKind) -> Self {
        View {
            name,
            kind,
            size: None,
            time: None,
            mode: None,
            version: None,
            handle: None,
            hashes: &[],
            claimed: &[],
        }
    }

    /// With this version.
    pub fn with_version(self, version: &'a str) -> Self {
        View { version: Some(version.as_bytes()), ..self }
    }

    /// See [`Entry::mtime`].
    pub fn mtime(&self) -> Option<SystemTime> {
        self.time.and_then(time_of)
    }

    /// Is it a folder?
    pub fn is_dir(&self) -> bool {
        self.kind == EntryKind::Dir
    }

    /// Its sort key.
    pub fn key(&self) -> PackedKey<'a> {
        PackedKey { name: self.name.as_bytes(), is_dir: self.is_dir() }
    }

    /// The entry, in the folder `dir`. Errors: `Protocol` for a name that no path can have.
    pub fn to_entry(&self, dir: &RelPath) -> Result<Entry> {
        let path = dir.join(self.name).map_err(|error| {
            Error::new(ErrorKind::Protocol, format!("a name that cannot be: {error}"))
                .with_path(dir)
        })?;
        Ok(self.to_entry_at(path))
    }

    /// The entry, at `path` whatever its name here is.
    pub fn to_entry_at(&self, path: RelPath) -> Entry {
        Entry {
            size: self.size,
            mtime: self.mtime(),
            version: self.version.map(|version| text_of(version).into()),
            mode: self.mode,
            handle: self.handle.map(|handle| text_of(handle).into()),
            hashes: (!self.hashes.is_empty()).then(|| Box::new(take_hashes(self.hashes))),
            claimed: (!self.claimed.is_empty()).then(|| Box::new(take_hashes(self.claimed))),
            ..Entry::bare(path, self.kind)
        }
    }

    /// Reads the entry at the beginning of `bytes`, which holds whole entries as [`Page::into_bytes`] gave them. Also: how
    /// many bytes it takes. `None` = there is no more.
    pub fn first(bytes: &'a [u8]) -> Option<(Self, usize)> {
        let mut reader = Reader { bytes, at: 0 };
        let length = reader.length()?;
        let flags = reader.byte()?;
        let name = text_of(reader.bytes());
        let mut view = View::bare(name, KINDS[usize::from(flags & KIND_BITS)]);
        let more = if flags & HAS_MORE != 0 { reader.byte().unwrap_or(0) } else { 0 };
        if flags & HAS_SIZE != 0 {
            view.size = Some(reader.number());
        }
        if flags & HAS_TIME != 0 {
            view.time = Some((reader.fixed_i64(), reader.fixed_u32()));
        }
        if flags & HAS_VERSION != 0 {
            view.version = Some(reader.bytes());
        }
        if flags & HAS_MODE != 0 {
            view.mode = Some(reader.number() as u32);
        }
        if more & HAS_HANDLE != 0 {
            view.handle = Some(reader.bytes());
        }
        if more & HAS_HASHES != 0 {
            view.hashes = reader.bytes();
        }
        if more & HAS_CLAIMED != 0 {
            view.claimed = reader.bytes();
        }
        Some((view, length))
    }
}

impl Page {
    /// No entry yet of the folder `dir`.
    pub fn new(dir: &RelPath) -> Self {
        Page {
            dir: dir.clone(),
            bytes: Vec::new(),
            last: 0,
            count: 0,
            is_unsorted: false,
            folding: None,
        }
    }

    /// The same, with room for about so many entries.
    pub fn with_capacity(dir: &RelPath, entries: usize) -> Self {
        Page { bytes: Vec::with_capacity(entries.saturating_mul(ENTRY_BYTES)), ..Page::new(dir) }
    }

    /// These entries. Errors: those of [`Page::push`].
    pub fn of(dir: &RelPath, entries: &[Entry]) -> Result<Self> {
        let mut page = Page::with_capacity(dir, entries.len());
        entries.iter().try_for_each(|entry| page.push(entry))?;
        Ok(page)
    }

    /// From here on the listing has no order, although the remote usually lists in order, because the folder is too large.
    pub fn unsorted(self) -> Self {
        Page { is_unsorted: true, ..self }
    }

    /// See [`Page::unsorted`].
    pub fn is_unsorted(&self) -> bool {
        self.is_unsorted
    }

    /// Whether the folder finds a name in other spellings too (case, encoding of an accent). Then listed names exist under
    /// those spellings as well, and [`crate::Identities::listed_as`] knows them.
    pub fn with_folding(self, folding: Option<bool>) -> Self {
        Page { folding, ..self }
    }

    /// See [`Page::with_folding`]. `None`: not known.
    pub fn folding(&self) -> Option<bool> {
        self.folding
    }

    /// The folder.
    pub fn dir(&self) -> &RelPath {
        &self.dir
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Is there none?
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The last entry, packed; nothing where there is none.
    pub fn last(&self) -> &[u8] {
        &self.bytes[self.last..]
    }

    /// The entries, packed one after the other, for [`View::first`].
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// The entries.
    pub fn views(&self) -> impl Iterator<Item = View<'_>> {
        walk(&self.bytes, View::first)
    }

    /// The sort keys of the entries.
    pub fn keys(&self) -> impl Iterator<Item = PackedKey<'_>> {
        walk(&self.bytes, PackedKey::first)
    }

    /// Adds an entry. Errors: `Protocol` for one that does not lie directly in the folder; the page is as before then.
    pub fn push(&mut self, entry: &Entry) -> Result<()> {
        let path = entry.path.as_str();
        let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
        if above != self.dir.as_str() || name.is_empty() {
            let message = format!("a listing showed `{path}`, which does not lie in the folder");
            return Err(Error::new(ErrorKind::Protocol, message).with_path(&self.dir));
        }
        let mut hashes = Vec::new();
        entry.hashes.iter().for_each(|known| put_hashes(&mut hashes, known));
        let mut claimed = Vec::new();
        entry.claimed.iter().for_each(|known| put_hashes(&mut claimed, known));
        self.push_view(&View {
            name,
            kind: entry.kind,
            size: entry.size,
            time: entry.mtime.map(seconds_and_nanoseconds),
            mode: entry.mode,
            version: entry.version.as_deref().map(str::as_bytes),
            handle: entry.handle.as_deref().map(str::as_bytes),
            hashes: &hashes,
            claimed: &claimed,
        });
        Ok(())
    }

    /// Adds an entry of this folder.
    pub fn push_view(&mut self, view: &View<'_>) {
        // It stands at the place of a name that it does not have.
        self.is_unsorted |= view.kind == EntryKind::Special(Special::UnusableName);
        let flag = |is_known: bool, flag: u8| if is_known { flag } else { 0 };
        let more = flag(view.handle.is_some(), HAS_HANDLE)
            | flag(!view.hashes.is_empty(), HAS_HASHES)
            | flag(!view.claimed.is_empty(), HAS_CLAIMED);
        let bytes = &mut self.bytes;
        let start = bytes.len();
        self.last = start;
        // The length of the whole comes here at the end.
        bytes.extend_from_slice(&[0; LENGTH_BYTES]);
        bytes.push(
            number_of(view.kind)
                | flag(view.size.is_some(), HAS_SIZE)
                | flag(view.time.is_some(), HAS_TIME)
                | flag(view.version.is_some(), HAS_VERSION)
                | flag(view.mode.is_some(), HAS_MODE)
                | flag(more != 0, HAS_MORE),
        );
        put_bytes(bytes, view.name.as_bytes());
        if more != 0 {
            bytes.push(more);
        }
        if let Some(size) = view.size {
            put_number(bytes, size);
        }
        if let Some((seconds, nanoseconds)) = view.time {
            bytes.extend_from_slice(&seconds.to_le_bytes());
            bytes.extend_from_slice(&nanoseconds.to_le_bytes());
        }
        if let Some(version) = view.version {
            put_bytes(bytes, version);
        }
        if let Some(mode) = view.mode {
            put_number(bytes, mode.into());
        }
        if let Some(handle) = view.handle {
            put_bytes(bytes, handle);
        }
        if !view.hashes.is_empty() {
            put_bytes(bytes, view.hashes);
        }
        if !view.claimed.is_empty() {
            put_bytes(bytes, view.claimed);
        }
        // No listing holds an entry of four gigabytes.
        let length = u32::try_from(bytes.len() - start).unwrap_or(u32::MAX);
        bytes[start..start + LENGTH_BYTES].copy_from_slice(&length.to_le_bytes());
        self.count += 1;
    }
}

/// What `first` reads of each packed entry, and how many bytes that takes.
fn walk<'a, T>(
    mut rest: &'a [u8],
    first: fn(&'a [u8]) -> Option<(T, usize)>,
) -> impl Iterator<Item = T> {
    std::iter::from_fn(move || {
        let (read, length) = first(rest)?;
        rest = &rest[length..];
        Some(read)
    })
}

/// Before each entry: how many bytes it takes, these included.
const LENGTH_BYTES: usize = 4;

/// About what an entry of a disk takes.
const ENTRY_BYTES: usize = 80;

fn put_number(packed: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        packed.push(number as u8 | 0x80);
        number >>= 7;
    }
    packed.push(number as u8);
}

fn put_bytes(packed: &mut Vec<u8>, bytes: &[u8]) {
    put_number(packed, bytes.len() as u64);
    packed.extend_from_slice(bytes);
}

/// Kind and digest, one after the other: the kind says how long the digest is.
fn put_hashes(packed: &mut Vec<u8>, hashes: &Hashes) {
    let numbered = |algo| HashAlgo::BY_STRENGTH.iter().position(|known| *known == algo);
    // An empty set is not the same as none.
    packed.push(u8::MAX);
    for digest in hashes.iter() {
        packed.push(numbered(digest.algo()).unwrap_or(0) as u8);
        packed.extend_from_slice(digest.as_bytes());
    }
}

fn take_hashes(packed: &[u8]) -> Hashes {
    let mut hashes = Hashes::default();
    let mut rest = packed.get(1..).unwrap_or_default();
    while let Some((number, after)) = rest.split_first() {
        let algo = HashAlgo::BY_STRENGTH[usize::from(*number)];
        let (digest, after) = after.split_at(algo.bytes());
        Digest::new(algo, digest).into_iter().for_each(|digest| hashes.insert(digest));
        rest = after;
    }
    hashes
}

/// Never fails: it was a text when it was packed.
fn text_of(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

/// Reads what was packed. Bytes that were not packed here make it panic; it never reads outside of them.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Option<u8> {
        let byte = self.bytes.get(self.at).copied()?;
        self.at += 1;
        Some(byte)
    }

    fn number(&mut self) -> u64 {
        let (mut number, mut shift) = (0, 0);
        loop {
            let byte = self.bytes[self.at];
            self.at += 1;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return number;
            }
            shift += 7;
        }
    }

    fn bytes(&mut self) -> &'a [u8] {
        let length = self.number() as usize;
        let bytes = &self.bytes[self.at..self.at + length];
        self.at += length;
        bytes
    }

    /// The length of the entry that begins here; `None` = there is none.
    fn length(&mut self) -> Option<usize> {
        (self.at < self.bytes.len()).then(|| self.fixed_u32() as usize)
    }

    fn array<const LENGTH: usize>(&mut self) -> [u8; LENGTH] {
        let mut array = [0; LENGTH];
        array.copy_from_slice(&self.bytes[self.at..self.at + LENGTH]);
        self.at += LENGTH;
        array
    }

    fn fixed_i64(&mut self) -> i64 {
        i64::from_le_bytes(self.array())
    }

    fn fixed_u32(&mut self) -> u32 {
        u32::from_le_bytes(self.array())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::hash_bytes;
    use proptest::prelude::*;
    use std::time::{Duration, UNIX_EPOCH};

    /// Entries of all sorts, chosen by the bits of `choice`.
    fn entry(path: RelPath, choice: u32, number: u64) -> Entry {
        let is = |bit: u32| choice & (1 << bit) != 0;
        let apart = Duration::new(number >> 20, (number % 1_000_000_000) as u32);
        let mut hashes = hash_bytes(&[HashAlgo::Md5], &number.to_le_bytes());
        if is(14) {
            hashes.insert(Digest::new(HashAlgo::Whirlpool, &[number as u8; 64]).expect("64 bytes"));
        }
        Entry {
            size: is(4).then_some(number),
            mtime: is(5).then(|| if is(6) { UNIX_EPOCH - apart } else { UNIX_EPOCH + apart }),
            version: is(7).then(|| format!("version {number}").into()),
            mode: is(12).then_some(choice & 0o777),
            handle: is(8).then(|| "handle".into()),
            claimed: is(9).then(|| Box::new(hashes.clone())),
            hashes: is(10).then(|| Box::new(if is(15) { Hashes::default() } else { hashes })),
            ..Entry::bare(path, KINDS[(choice % 8) as usize])
        }
    }

    proptest! {
        #[test]
        fn what_is_packed_comes_back_as_it_was(
            choices in proptest::collection::vec((any::<u32>(), any::<u64>()), 1..100),
            is_root in any::<bool>(),
        ) {
            let dir = if is_root { RelPath::root() } else { RelPath::new("a/bé").expect("legal") };
            let mut page = Page::new(&dir);
            let entries: Vec<Entry> = choices
                .iter()
                .enumerate()
                .map(|(at, (choice, number))| {
                    entry(dir.join(&format!("n{at}ü")).expect("legal"), *choice, *number)
                })
                .collect();
            for entry in &entries {
                page.push(entry).expect("it lies there");
            }
            prop_assert_eq!(page.len(), entries.len());
            let keys = page.keys().map(|key| (key.name().to_owned(), key.is_dir()));
            let expected = entries.iter().map(|entry| {
                (entry.path.name().expect("not the root").to_owned(), entry.is_dir())
            });
            prop_assert!(keys.eq(expected));
            let back: Vec<Entry> =
                page.views().map(|view| view.to_entry(&dir).expect("legal")).collect();
            prop_assert_eq!(back, entries);
        }
    }

    #[test]
    fn what_lies_elsewhere_is_refused() {
        let dir = RelPath::new("a/b").expect("legal");
        let mut page = Page::new(&dir);
        for elsewhere in ["a", "a/b", "a/bc", "a/b/c/d", "x"] {
            let entry = Entry::file(RelPath::new(elsewhere).expect("legal"), 1);
            let error = page.push(&entry).expect_err("it lies elsewhere");
            assert_eq!(error.kind(), ErrorKind::Protocol, "{elsewhere}");
        }
        assert!(page.is_empty());
        page.push(&Entry::file(dir.join("c").expect("legal"), 1)).expect("it lies there");
        assert_eq!(page.len(), 1);
    }

    #[test]
    fn an_entry_of_a_disk_takes_less_than_a_hundred_bytes() {
        let dir = RelPath::new("a/folder/with/a/long/path").expect("legal");
        let mut page = Page::new(&dir);
        let path = dir.join("picture-000000123456.jpeg").expect("legal");
        let mut entry = Entry::file(path, 1 << 20);
        entry.mtime = Some(UNIX_EPOCH + Duration::new(1_700_000_000, 123_456_789));
        entry.version = Some("0123456789012345678901234567890123".into());
        entry.mode = Some(0o644);
        page.push(&entry).expect("it lies there");
        assert!(page.into_bytes().len() < ENTRY_BYTES.max(100));
    }
}
