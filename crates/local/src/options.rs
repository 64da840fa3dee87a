//! The options of a local place.

use std::path::PathBuf;

/// What is done with symbolic links below the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Links {
    /// They are listed as what they are and never entered.
    #[default]
    Skip,
    /// What they point to is listed and read, also outside the root. Nothing is ever written through one.
    Follow,
    /// They are listed, read and stored as [`ketch_core::EntryKind::Link`], and never entered.
    Keep,
}

/// What is forced to the disk before a change counts as done. `write.rs` says what each survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fsync {
    /// Nothing.
    None,
    /// The content of a file, before it gets its name.
    #[default]
    File,
    /// The content, and after that the folder that holds the name.
    All,
}

/// Whether the number of a file (inode) is part of its version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Inodes {
    /// It is, unless the file system is seen to give the same file another number.
    #[default]
    Check,
    /// It is not: for file systems that number their files anew at each mount or look.
    Ignore,
}

/// How a [`LocalBackend`](crate::LocalBackend) behaves.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LocalOptions {
    /// Symbolic links.
    pub links: Links,
    /// Durability.
    pub fsync: Fsync,
    /// The numbers of files.
    pub inodes: Inodes,
    /// Folders, in the form of [`canonical`], that followed links must not lead to: a link to such a folder, into it or
    /// above it is a [`ketch_core::Special::SymlinkLoop`]. Links to what is in the root are allowed, even if the root is in
    /// such a folder. A job gives its other side here.
    pub fence: Vec<PathBuf>,
}
