//! The records of a job on disk: its header, its plan, the outcome of each item, and notes about open transfers.
//!
//! Each job has a folder with append-only lists in it ([`log`]):
//!
//! | file | what |
//! |---|---|
//! | `job.json` | the [`Header`]: identity, number, when |
//! | `plan` | the actions in the order they are done, and marks: how far the planning is |
//! | `deletions` | the deletions of a `sync`, read from the back |
//! | `folders` | the times of folders in which something is done, to be set at the end |
//! | `outcomes` | one record per item, after the act |
//! | `notes` | what backends note about open transfers ([`ketch_core::Note`]) |
//! | `left` | what processes before the plan may have begun and not ended ([`memory`]) |
//! | `arrived` | which version became which, where everything is transferred again |
//! | `report.json` | how the job ended; a job without it is open |
//! | `lock` | locked while a process works on the job |
//!
//! **The same command makes a new plan.** It takes over what saves work ([`memory`]) and lists both sides again. The
//! recorded plan is finished only if the user asks for it ([`Earlier::Finish`]).
//!
//! **The journal is a hint, never a fact.** A record may be lost when the process dies or the power fails, and the engine
//! checks what a record says before it relies on it: an item without an outcome is compared on both sides before anything
//! is sent, and after a restart of the machine so is an item that is recorded as done (its rename may not be on the disk).
//! But nothing runs without being on record: a plan is handed to the system before any of it is executed.
//!
//! No secret is in these files: places are recorded as [`crate::job`] gets them, with option values hidden.

mod header;
mod lock;
mod log;
mod memory;
mod records;
mod resume;
mod seen;
mod store;

pub use crate::outcome::{ItemOutcome, Standing, Status};
pub use header::{Header, JobIdentity, Roots};
pub(crate) use memory::{Left, Memory, arrival};
pub(crate) use records::{FolderTime, Mark, PlanItem, PlanRecord, Records};
pub(crate) use store::now;
pub use store::{Begin, Earlier, Ended, JobState, JobSummary, Jobs, Journal, OldJob, Recalled};

pub(crate) use log::{LogBackward, LogReader, LogWriter, damaged};
