//! Reads and writes, as streams, files that list the contents of a tree: manifests, SUM files, and the signatures of
//! manifests.
//!
//! This crate knows formats and no place: it reads and writes bytes it is given, holds one line of a file in memory, and
//! trusts nothing that it reads. `docs/MANIFEST.md` is the format in words.

pub mod compress;
pub mod diff;
pub mod entry;
mod line;
pub mod parts;
pub mod read;
pub mod sign;
pub mod sums;
pub mod write;

pub use entry::{Header, ManifestEntry, Totals, prefix_length};
pub use parts::Parts;
pub use read::{ManifestReader, ReadError};
pub use write::{ManifestWriter, WriteError};
