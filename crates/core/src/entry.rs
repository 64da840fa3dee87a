//! What a listing shows: one file or folder of a remote.

use std::cmp::Ordering;
use std::time::{Duration, SystemTime};

use crate::hash::{Digest, Hashes};
use crate::hint::Hint;
use crate::path::{RelPath, compare_keys};

/// One file or folder, as a listing or a `stat` showed it. Unknown is `None`, never a zero in disguise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it is, relative to the root of its backend.
    pub path: RelPath,
    /// File, folder, link, or something that can be neither copied nor entered.
    pub kind: EntryKind,
    /// Bytes; `None` for folders and when the remote does not tell.
    pub size: Option<u64>,
    /// The time the remote shows. [`crate::Capabilities::mtime`] says whether it is the modification time of the content or
    /// only the time at which it was stored.
    pub mtime: Option<SystemTime>,
    /// Changes when the content changes (an etag, or inode and change time); compared for equality only.
    pub version: Option<Box<str>>,
    /// Private to the backend that made the entry (a URL, an id). No other code reads it.
    pub handle: Option<Box<str>>,
    /// Digests that came for free with the listing and that the remote attests: it has computed them from what it stores.
    pub hashes: Option<Box<Hashes>>,
    /// Digests that an uploader wrote down beside the content, in the metadata of an object or in a catalogue. Nothing shows
    /// that the stored bytes have them: they may spare a transfer, and never prove anything.
    pub claimed: Option<Box<Hashes>>,
    /// Permission bits of a file (`rwxrwxrwx`, at most [`MODE_MASK`]), where they are kept.
    pub mode: Option<u32>,
}

/// The permission bits that are copied. Set-user-id, set-group-id and sticky bits are not among them.
pub const MODE_MASK: u32 = 0o777;

/// Nanoseconds since 1970, negative before it: the form of a time that is only compared for equality.
pub fn nanoseconds(time: SystemTime) -> i128 {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => after.as_nanos() as i128,
        Err(before) => -(before.duration().as_nanos() as i128),
    }
}

/// Seconds since 1970, rounded down, and the remaining nanoseconds: the form of a time in files.
pub fn seconds_and_nanoseconds(time: SystemTime) -> (i64, u32) {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => (after.as_secs() as i64, after.subsec_nanos()),
        Err(before) => {
            let before = before.duration();
            match before.subsec_nanos() {
                0 => (-(before.as_secs() as i64), 0),
                part => (-(before.as_secs() as i64) - 1, 1_000_000_000 - part),
            }
        }
    }
}

/// The time that [`seconds_and_nanoseconds`] wrote; `None` for one that the system cannot hold.
pub fn time_of((seconds, nanoseconds): (i64, u32)) -> Option<SystemTime> {
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let start = if seconds >= 0 {
        SystemTime::UNIX_EPOCH.checked_add(whole)?
    } else {
        SystemTime::UNIX_EPOCH.checked_sub(whole)?
    };
    start.checked_add(Duration::from_nanos(u64::from(nanoseconds)))
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EntryKind {
    /// Bytes with a name.
    File,
    /// A folder.
    Dir,
    /// A symbolic link that is kept as one: its content is the path it points to, as bytes.
    Link,
    /// Something that is listed so that it can be reported, and is never copied, entered or replaced. Only `purge` deletes
    /// it, if the backend can.
    Special(Special),
}

/// Things in a file system that are neither files nor folders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Special {
    /// A symbolic link that is not followed.
    Symlink,
    /// A symbolic link that is followed but points nowhere.
    BrokenSymlink,
    /// A symbolic link that is followed but points to a folder above itself, or to one that is also in the other place of the
    /// job.
    SymlinkLoop,
    /// A socket, pipe or device.
    Device,
    /// A name the backend shows but cannot address.
    UnusableName,
}

impl Special {
    /// A few words for a notice: what it is.
    pub fn describe(self) -> &'static str {
        match self {
            Special::Symlink => "a symbolic link",
            Special::BrokenSymlink => "a symbolic link that points nowhere",
            Special::SymlinkLoop => {
                "a symbolic link to a folder above itself or to the other side of the job"
            }
            Special::Device => "a socket, pipe or device",
            Special::UnusableName => "a name that cannot be addressed",
        }
    }

    /// What a person can do to have it copied.
    pub fn hint(self) -> Option<Hint> {
        match self {
            Special::Symlink => Some(Hint::KeepOrFollowLinks),
            Special::BrokenSymlink => Some(Hint::KeepLinks),
            Special::SymlinkLoop | Special::Device | Special::UnusableName => None,
        }
    }
}

impl Entry {
    /// The digest that its content must have when it is read: the strongest attested digest, else the strongest claimed one.
    /// Bytes with another digest than the claimed one are an error; bytes with the claimed one are not proven by it.
    pub fn to_expect(&self) -> Option<&Digest> {
        let known = [&self.hashes, &self.claimed].into_iter().flatten();
        known.filter_map(|hashes| hashes.strongest()).next()
    }

    /// A file of known size and nothing else known.
    pub fn file(path: RelPath, size: u64) -> Self {
        Entry { size: Some(size), ..Entry::bare(path, EntryKind::File) }
    }

    /// A folder of which nothing else is known.
    pub fn dir(path: RelPath) -> Self {
        Entry::bare(path, EntryKind::Dir)
    }

    /// An entry with all optional facts unknown.
    pub fn bare(path: RelPath, kind: EntryKind) -> Self {
        Entry {
            path,
            kind,
            size: None,
            mtime: None,
            version: None,
            handle: None,
            hashes: None,
            claimed: None,
            mode: None,
        }
    }

    /// Is it a folder?
    pub fn is_dir(&self) -> bool {
        self.kind == EntryKind::Dir
    }

    /// Is it a file?
    pub fn is_file(&self) -> bool {
        self.kind == EntryKind::File
    }

    /// Is it something with content, a file or a link that is kept?
    pub fn has_content(&self) -> bool {
        matches!(self.kind, EntryKind::File | EntryKind::Link)
    }

    /// Compares by sort key (see [`compare_keys`]).
    pub fn compare_key(&self, other: &Entry) -> Ordering {
        compare_keys((self.path.as_str(), self.is_dir()), (other.path.as_str(), other.is_dir()))
    }
}
