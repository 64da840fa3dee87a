//! Files that say what a tree held, read and written as streams: manifests, SUM files, and the signatures of manifests.
//!
//! This crate knows formats and no place: it reads and writes bytes it is given, holds one line of a file in memory, and
//! takes nothing it reads for true. `docs/MANIFEST.md` is the format in words.

pub mod parts;

pub use parts::Parts;
