//! The contract of ketch: what an entry, a backend, a source and an error are, and the layers that wrap backends.
//!
//! This crate does no I/O of its own and knows no file system, no protocol and no engine. Everything else in the
//! workspace meets here: backends implement [`Backend`], the engine drives it, the command line puts both together.
//! Five nouns carry the product: [`Entry`] (what is there), [`Backend`] (a place), [`Source`] (bytes that can be
//! opened again), and in the engine *action* (what to do) and *event* (what happened).

pub mod about;
pub mod ask;
pub mod backend;
pub mod bill;
pub mod budget;
pub mod capabilities;
pub mod checkpoint;
pub mod disk;
pub mod entry;
mod entry_source;
pub mod entry_stream;
pub mod error;
pub mod facets;
pub mod factory;
pub mod hash;
pub mod hint;
pub mod identity;
pub mod layer;
mod mode;
pub mod multipart;
pub mod names;
pub mod options;
pub mod page;
pub mod path;
pub mod services;
pub mod source;

pub use about::About;
pub use backend::Backend;
pub use budget::ByteBudget;
pub use capabilities::{Capabilities, Gather, MetadataCost, Order, PartRules};
pub use checkpoint::{Checkpoint, Note, source_identity};
pub use disk::{Disk, DiskFile};
pub use entry::{
    Entry, EntryKind, MODE_MASK, Special, nanoseconds, seconds_and_nanoseconds, time_of,
};
pub use entry_source::EntrySource;
pub use entry_stream::EntryStream;
pub use error::{Error, ErrorKind, Result, Retry};
pub use facets::{Facets, Leftover, LeftoverState, Usage};
pub use hash::{Digest, HashAlgo, Hashes, MultiHasher};
pub use hint::Hint;
pub use identity::{Identities, Identity, Mark, ObjectId, Sameness, Shared, Standing};
pub use mode::narrowed;
pub use options::{Expect, ListOptions, Metadata, Proof, PutOptions, ReadOptions};
pub use page::{PackedKey, Page, View};
pub use path::{PathError, RelPath, compare_keys};
pub use source::{Body, ByteStream, Source};
