//! S3 and what speaks like it, as a backend.
//!
//! A thin client of our own: only so are upload ids, checksums of parts, pauses and limits in one hand. `docs/S3.md` says what
//! is verified by what and what each provider lacks; the facts come from `remotes.md`.
//!
//! Folders are what the keys say. Listings show the ETag, which is the MD5 of an object that was stored in one piece, and no
//! modification time: that is in the metadata of the object and costs a HEAD ([`ketch_core::facets::Inspect`]).

mod backend;
mod change;
mod client;
mod connect;
mod credentials;
mod error;
mod facets;
mod facts;
mod folder;
mod keys;
mod list;
mod multipart;
mod names;
mod options;
mod provider;
mod put;
mod read;
mod removal;
mod sign;
mod stored;
mod times;
mod uploads;

pub use connect::{FACTORY, raw};
