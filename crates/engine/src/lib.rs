//! The jobs of ketch between any two backends: march, filter, decide, run, verify, report.
//!
//! This crate knows no concrete backend, prints nothing and reads no environment. A job is started with two backends and
//! [`Settings`], tells what happens through [`Event`]s and [`Progress`], and ends with a [`Report`]:
//!
//! ```text
//! list(source folder) ─ filter ┐
//!                              ├ join ─ decide ─► plan ─► run ─► verify ─► report
//! list(dest.  folder) ─ filter ┘     (march, in key order)  └──► events
//! ```

pub mod bandwidth;
mod bill;
mod blocking;
pub mod check;
pub mod clock;
mod compare;
pub mod content;
pub mod decide;
pub mod digest;
pub mod estimate;
pub mod event;
pub mod file;
pub mod filter;
mod flat;
mod identity;
pub mod job;
pub mod join;
pub mod journal;
mod kind;
mod known;
mod leftovers;
mod listing;
pub mod march;
mod metered;
pub mod open_jobs;
mod outcome;
mod place;
pub mod plan;
pub mod plan_file;
mod progress;
pub mod prove;
pub mod report;
mod request;
mod run;
pub mod settings;
pub mod state;
mod times;
pub mod transfer;
pub mod walk;
mod witness;

pub use digest::{DigestCounts, Digests};
pub use event::{Event, Progress};
pub use job::{Job, JobKind, Request, start};
pub use report::{CheckReport, Evidence, Failure, Outcome, Report};
pub use settings::{Compare, DeleteLimit, OnChanged, Settings, Stop, Verify};
