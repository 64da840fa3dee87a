//! The options of the methods of [`crate::Backend`].

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::SystemTime;

use crate::checkpoint::Checkpoint;
use crate::entry::Entry;
use crate::path::RelPath;

/// Options of [`crate::Backend::list`].
#[derive(Debug, Clone, Default)]
pub struct ListOptions {
    /// The caller is a job that may change what is here. Then a backend may first make a change in this folder that an
    /// earlier job wanted and could not make.
    pub may_change: bool,
    /// Everything below the folder, and not only what is directly in it: files, and folders where they exist on their own, in
    /// the order of their keys, each page with the entries of one folder. Only where
    /// [`crate::Capabilities::list_recursive`] says so. A key that is no path ([`crate::Special::UnusableName`]) comes at the place
    /// of the key under a name that stands for it; what that name and its folder are is not looked at.
    pub recursive: bool,
    /// Of a recursive listing: only what lies behind this key, a path and whether it is a folder's.
    pub after: Option<(RelPath, bool)>,
}

/// Options of [`crate::Backend::read`].
#[derive(Debug, Clone, Default)]
pub struct ReadOptions {
    /// The bytes wanted; `None` = all.
    pub range: Option<Range<u64>>,
}

/// Options of [`crate::Backend::put`] and [`crate::Backend::copy`].
#[derive(Debug, Clone, Default)]
pub struct PutOptions {
    /// The modification time to store, if the remote keeps one.
    pub mtime: Option<SystemTime>,
    /// The permission bits to store with a new file, if the remote keeps any ([`crate::MODE_MASK`]).
    pub mode: Option<u32>,
    /// What is stored is a symbolic link, and the body is what it points to. Only where the capabilities have links.
    pub is_link: bool,
    /// What the caller knows to be at the path now.
    pub expect: Expect,
    /// What must be verified about the stored file.
    pub proof: Proof,
    /// How a later process can continue this transfer if its process dies. `None`: it cannot be continued, and nothing is
    /// left behind that a later process would look for.
    pub checkpoint: Option<Checkpoint>,
    /// Where a `copy` shows how many bytes of the content are at the destination so far. `None`: the caller does not watch.
    pub progress: Option<Arc<AtomicU64>>,
    /// Where a `put` or a `copy` writes how many bytes of the content the destination had from an earlier try, so that they
    /// were not transferred again. `None`: the caller does not ask.
    pub kept: Option<Arc<AtomicU64>>,
}

/// What a caller wants to have verified about what a [`crate::Backend::put`] stored. A remote may verify more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Proof {
    /// That it has the digest of what was sent, where the remote shows one.
    #[default]
    Digest,
    /// That it has the size of what was sent. This saves the time that a digest takes, as long as it is clear what became
    /// of the body; if it is not clear, the stored file is still recognised by its digest.
    Size,
}

/// What a caller knows to be at a path before it is written. It is a precondition where the remote can check it, and
/// saves a remote that must list a folder to find a name from doing so.
#[derive(Debug, Clone, Default)]
pub enum Expect {
    /// Nothing is known: whatever is there is replaced.
    #[default]
    Anything,
    /// A completed listing showed nothing of that name.
    Absent,
    /// A completed listing showed this entry, which is replaced.
    Entry(Box<Entry>),
}

/// What is to be set by [`crate::Backend::set_metadata`]; `None` stays as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Metadata {
    /// The modification time of the content.
    pub mtime: Option<SystemTime>,
    /// The permissions ([`crate::MODE_MASK`]).
    pub mode: Option<u32>,
}

impl Metadata {
    /// What an error says was being done.
    pub fn operation(&self) -> &'static str {
        match (self.mtime, self.mode) {
            (_, None) => "set time",
            (None, Some(_)) => "set permissions",
            (Some(_), Some(_)) => "set time and permissions",
        }
    }
}
