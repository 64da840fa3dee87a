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
    /// The caller is a job that may change this place. A backend may then first make a change in this folder that an earlier job
    /// could not finish.
    pub may_change: bool,
    /// Everything below the folder, and not only what is directly in it: files, and folders where they exist on their own, in
    /// the order of their sort keys, each page with the entries of one folder. Only where
    /// [`crate::Capabilities::list_recursive`] says so. An object whose name is not a path ([`crate::Special::UnusableName`])
    /// comes where its object key sorts, under a made-up name. Callers rely neither on that name nor on the folder it is in.
    pub recursive: bool,
    /// Of a recursive listing: only the entries after this sort key (a path, and whether it is a folder).
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
    /// What is at the path now, as far as the caller knows.
    pub expect: Expect,
    /// What must be verified about the stored file.
    pub proof: Proof,
    /// How a later process can continue this transfer if its process dies. `None`: it cannot be continued, and nothing is
    /// left behind that a later process would look for.
    pub checkpoint: Option<Checkpoint>,
    /// A `copy` counts here the bytes that are at the destination so far. `None`: the caller does not watch.
    pub progress: Option<Arc<AtomicU64>>,
    /// A `put` or `copy` writes here how many bytes the destination kept from an earlier try, so that they were not transferred
    /// again. `None`: the caller does not ask.
    pub kept: Option<Arc<AtomicU64>>,
}

/// What a caller wants to have verified about what a [`crate::Backend::put`] stored. A remote may verify more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Proof {
    /// The stored file has the digest of the content that was sent, where the remote shows a digest.
    #[default]
    Digest,
    /// The stored file has the size of the content that was sent. No digest is computed, unless the answer to the `put` was
    /// lost: then the stored file is recognised by its digest.
    Size,
}

/// What is at a path before it is written, as far as the caller knows. It is a precondition where the remote can check it. A
/// remote that finds a name only by listing its folder is spared this listing.
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

/// The facts that [`crate::Backend::set_metadata`] sets; `None` stays as it is.
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
