//! What is known about one path, and the check that the listing still shows the same file.

use std::time::SystemTime;

use bytes::Bytes;
use ketch_core::hash::hash_bytes;
use ketch_core::names::{bytes_from_core, core_from_bytes};
use ketch_core::{Digest, Entry, EntryKind, HashAlgo, RelPath};

/// The handle of an entry that only the catalogue holds begins with this; then come the location of the catalogue, NUL, and
/// the content.
const MARK: &str = "ketch-catalog:";

/// What is known of one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// When it was recorded, in milliseconds since 1970. Of two records of one path the later one counts.
    pub at: u64,
    /// What.
    pub fact: Fact,
}

/// What a record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// A file that the remote holds; a hint that counts while the listing shows the same object.
    File(FileFact),
    /// A file without content, which the catalogue alone holds.
    Empty {
        /// Its modification time.
        mtime: Option<SystemTime>,
        /// Its permissions.
        mode: Option<u32>,
    },
    /// A symbolic link, which the catalogue alone holds.
    Link {
        /// What it points to.
        target: Bytes,
        /// Its modification time.
        mtime: Option<SystemTime>,
    },
    /// An empty file or link that was here was removed. Kept for a while, for another process that still has its record.
    Gone,
}

/// What is known of a file that the remote holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileFact {
    /// Its size in bytes.
    pub size: u64,
    /// See [`identity`].
    pub identity: [u8; 16],
    /// The modification time of the content.
    pub mtime: Option<SystemTime>,
    /// Its permissions.
    pub mode: Option<u32>,
    /// Its BLAKE3, as it was computed when it was sent.
    pub blake3: Option<[u8; 32]>,
}

/// A few bytes that identify the content of an entry: made from the strongest digest that the remote shows (one of
/// `shown`), else from the version, else from the handle. `None`: the remote shows none of them.
pub fn identity(entry: &Entry, shown: &[HashAlgo]) -> Option<[u8; 16]> {
    let hashes = entry.hashes.as_deref();
    let digest = HashAlgo::BY_STRENGTH
        .into_iter()
        .filter(|algo| shown.contains(algo))
        .find_map(|algo| hashes?.get(algo));
    let text = match (digest, &entry.version, &entry.handle) {
        (Some(digest), _, _) => format!("{}:{digest}", digest.algo()),
        (None, Some(version), _) => format!("version:{version}"),
        (None, None, Some(handle)) => format!("handle:{handle}"),
        (None, None, None) => return None,
    };
    let mut identity = [0; 16];
    identity.copy_from_slice(&blake3::hash(text.as_bytes()).as_bytes()[..16]);
    Some(identity)
}

impl FileFact {
    /// Is `entry`, as the remote lists it, the file that this record is about?
    pub fn is_of(&self, entry: &Entry, shown: &[HashAlgo]) -> bool {
        entry.size == Some(self.size) && identity(entry, shown) == Some(self.identity)
    }

    /// `entry` with what is known of it.
    pub fn decorate(&self, entry: Entry) -> Entry {
        let mut entry = Entry { mtime: self.mtime, mode: self.mode, ..entry };
        let Some(digest) = self.blake3.and_then(|digest| Digest::new(HashAlgo::Blake3, &digest))
        else {
            return entry;
        };
        // Who wrote the catalogue says so; the remote computed other digests of the bytes, if any.
        entry.claimed.get_or_insert_default().insert(digest);
        entry
    }
}

impl Fact {
    /// The content, if the catalogue alone holds it.
    pub fn content(&self) -> Option<Bytes> {
        match self {
            Fact::Empty { .. } => Some(Bytes::new()),
            Fact::Link { target, .. } => Some(target.clone()),
            Fact::File(_) | Fact::Gone => None,
        }
    }

    /// The entry of what the catalogue at `location` alone holds at `path`, with the digests that the remote shows of others.
    pub fn entry(&self, path: RelPath, location: &str, shown: &[HashAlgo]) -> Option<Entry> {
        let (kind, mtime, mode) = match self {
            Fact::Empty { mtime, mode } => (EntryKind::File, *mtime, *mode),
            Fact::Link { mtime, .. } => (EntryKind::Link, *mtime, None),
            Fact::File(_) | Fact::Gone => return None,
        };
        let content = self.content()?;
        let mut algos = shown.to_vec();
        if !algos.contains(&HashAlgo::Blake3) {
            algos.push(HashAlgo::Blake3);
        }
        let version = blake3::hash(&content).to_hex();
        let handle = format!("{MARK}{location}\0{}", core_from_bytes(&content));
        Some(Entry {
            size: Some(content.len() as u64),
            mtime,
            mode,
            version: Some(version.as_str()[..32].into()),
            handle: Some(handle.into()),
            hashes: Some(Box::new(hash_bytes(&algos, &content))),
            ..Entry::bare(path, kind)
        })
    }
}

/// An entry that a catalogue alone holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Where the catalogue is.
    pub location: String,
    /// The content.
    pub content: Bytes,
}

impl Kept {
    /// What the handle of `entry` says; `None` for an entry of the remote itself.
    pub fn of(entry: &Entry) -> Option<Kept> {
        let (location, content) = entry.handle.as_deref()?.strip_prefix(MARK)?.split_once('\0')?;
        Some(Kept { location: location.to_owned(), content: bytes_from_core(content).into() })
    }
}
