//! The local disk as a [`ketch_core::Backend`].
//!
//! All access below the root is relative to descriptors of folders and never through a symbolic link, unless links are
//! followed, and then only for reading. So a program that replaces a folder by a link while ketch runs cannot make it write
//! outside the root. The root path itself may lead through links.
//!
//! A name of the form `.*.ketch-????????.part` (eight hexadecimal digits) that is a regular file or a link is a part: a
//! file that ketch is writing, or that a crash left. A name that ends in `.ledger` is the ledger of a part. They are never
//! content: they are not listed, and nothing can be stored under such a name.
//!
//! Linux only: the crate is written to `openat2`, `renameat2` and `getdents64`.

mod backend;
mod batch;
mod beneath;
mod connect;
mod copy;
mod delete;
mod disk;
mod entry;
mod error;
mod facets;
mod fence;
mod find;
mod holes;
mod identity;
mod ledger;
mod leftover;
mod lenient;
mod link;
mod list;
mod lock;
mod mover;
mod nameless;
mod names;
mod number;
mod open;
mod options;
mod part;
mod read;
mod rename;
mod root;
mod spelling;
mod stat;
mod symlink;
mod temp;
mod unique;
mod volume;
mod write;

#[cfg(test)]
mod tests;

pub use backend::LocalBackend;
pub use connect::{FACTORY, canonical};
pub use options::{Fsync, Inodes, Links, LocalOptions};
