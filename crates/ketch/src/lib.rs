//! Copy, sync, move and check between any two places, as a library.
//!
//! A *place* is a folder of a remote or of this machine: anything that implements [`Backend`]. A *job* copies, syncs or
//! moves one place to another, verifies every file, and returns a [`Report`]. Everything runs on the tokio runtime of the
//! caller.
//!
//! ```
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! # let scratch = tempfile::tempdir().unwrap();
//! # let (photos, backup) = (scratch.path().join("photos"), scratch.path().join("backup"));
//! # std::fs::create_dir(&photos).unwrap();
//! # std::fs::write(photos.join("a.jpg"), "content").unwrap();
//! let report = ketch::sync(ketch::local(&photos)?, ketch::local(&backup)?).run().await?;
//! assert!(report.is_success());
//! assert_eq!(report.copied, 1);
//! # Ok::<(), ketch::Error>(()) }).unwrap();
//! ```
//!
//! Cargo features (`local`, `fichier`, `s3`, `catalog`) choose the remotes; [`connect`] connects one by its kind and options, which
//! are those of the command's configuration. `docs/LIBRARY.md` explains the rest: events, plans, what stays behind when a
//! future is dropped, a backend of your own.

mod job;
mod place;

pub use ketch_core::factory::{Factory, OptionInfo, Options};
pub use ketch_core::{Backend, Entry, Error, ErrorKind, RelPath, Result};
pub use ketch_engine::event::{Event, Progress, Snapshot};
pub use ketch_engine::plan::Planned;
pub use ketch_engine::plan_file::{PlanFile, PlanTotals};
pub use ketch_engine::report::{Failure, Outcome, Report};
pub use ketch_engine::settings::{Compare, DeleteLimit, OnChanged, Settings, Stop, Verify};

pub use self::job::{Job, apply, copy, move_files, sync};
#[cfg(feature = "local")]
pub use self::place::local;
pub use self::place::{connect, kinds, wrap};

/// The contract, for programs that have a backend, a layer or a source of their own.
pub use ketch_core as contract;
/// The filters of a job ([`Settings::filter`]).
pub use ketch_engine::filter;
