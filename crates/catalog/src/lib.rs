//! A catalogue for remotes that keep little: times, permissions, empty files and symbolic links, in one small object.
//!
//! [`Catalog`] is a wrapper: a [`ketch_core::Backend`] around any other, of which it knows nothing but the contract. What it
//! knows of a file of the remote is a hint that counts only while the listing shows the same object; what the catalogue
//! alone holds (empty files, links) is stored before it is reported done. `docs/CATALOG.md` describes the object and what
//! holds when it is stale, damaged, missing, or written by two processes.

mod book;
mod factory;
mod format;
mod layer;
mod record;
mod records;
mod view;

pub use factory::FACTORY;
pub use format::{FormatError, OBJECT_MAX, RECORDS_MAX, VERSION, decode, encode};
pub use layer::Catalog;
pub use record::{Fact, FileFact, Kept, Record, identity};
pub use records::Records;
pub use view::{NAME, is_own_name};
