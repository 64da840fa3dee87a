//! What a job reports while it runs: events for facts, atomics for amounts.
//!
//! Events go through one bounded channel; each variant says whether it comes exactly once. Byte counts never travel as
//! events: [`Progress`] has them.

use ketch_core::bill::Bill;
use ketch_core::{Hint, RelPath};

use crate::decide::Reason;
use crate::outcome::{Failure, ItemOutcome, Outcome, Standing};
use crate::plan::Planned;
use crate::report::Verdict;

pub use crate::progress::{Progress, Snapshot};

/// How many events may wait for a slow reader before the job waits too.
pub const EVENT_QUEUE: usize = 1024;

/// Something that happened. `path` is relative to both roots.
#[derive(Debug, Clone)]
pub enum Event {
    /// Something a person should know that is not a failure. Any number.
    Notice {
        /// What it is about, if about one path.
        path: Option<RelPath>,
        /// One line.
        text: String,
        /// What a person can do about it.
        hint: Option<Hint>,
    },
    /// Something a person should know about a place, but not in every job.
    Reminder {
        /// The name of the place.
        place: String,
        /// One line.
        text: String,
        /// What a person can do about it.
        hint: Option<Hint>,
    },
    /// What interrupted transfers left in folders that the job has listed, and listings do not show. At most once for each side.
    Leftovers {
        /// The name of the place.
        place: String,
        /// How many parts of files.
        parts: u64,
        /// Their bytes.
        bytes: u64,
        /// They were removed, and have not stayed.
        is_removed: bool,
    },
    /// There is an interrupted job between the two places. At most once, before anything else.
    GoingOn {
        /// Its name.
        job: String,
        /// What it has on record.
        standing: Standing,
        /// True: its plan is finished as it is. False: both sides are listed again, and the job only saves work.
        finishes_plan: bool,
    },
    /// All listings are done and the totals are final. Once, unless the job ends before.
    Planned {
        /// Items that will be acted on.
        items: u64,
        /// Bytes that will be transferred.
        bytes: u64,
        /// Deletions among the items.
        deletions: u64,
    },
    /// How many calls the rest of the job makes to a remote. Sent once for each remote that counts calls, after `Planned`;
    /// in a dry run it includes the listings that the job will make again. For the plan of an earlier process it is sent
    /// before that plan is executed.
    Bill {
        /// The remote's name.
        remote: String,
        /// The calls, and how long they take.
        bill: Bill,
    },
    /// A transfer began. Once per attempt at an item, unless [`crate::Settings::report_started`] says otherwise.
    ItemStarted {
        /// What is transferred.
        path: RelPath,
        /// Its size, if known.
        size: Option<u64>,
    },
    /// In a dry run: an action that would be done. Exactly one per planned item, in the order they would be done.
    Action(Box<Planned>),
    /// An item was acted on (or would have been, in a dry run). Exactly one of `ItemDone`, `ItemFailed` per planned item.
    ItemDone {
        /// What it was.
        path: RelPath,
        /// What was done.
        outcome: Outcome,
        /// Why.
        reason: Reason,
        /// Its size, when bytes were transferred or would be.
        size: Option<u64>,
        /// The same with everything that is written down.
        record: Box<ItemOutcome>,
    },
    /// An item could not be acted on, or changed or went away before it could.
    ItemFailed {
        /// What happened.
        failure: Failure,
        /// Is it a failure of the job? A source file that changed or went away is not, if the settings say so.
        is_failure: bool,
        /// The same with everything that is written down.
        record: Box<ItemOutcome>,
    },
    /// A file needed nothing. Once per file, only with [`crate::Settings::report_unchanged`].
    Unchanged {
        /// What it was.
        path: RelPath,
        /// Why nothing was needed.
        reason: Reason,
    },
    /// Of a check: no verdict so far counts, and all of them follow once more. At most once: a listing of everything at once is
    /// not in the order that was promised, or broke off.
    Anew,
    /// The verdict of a check on one file. Exactly one per file of either side, unless
    /// [`crate::check::CheckSettings::equal_is_silent`] leaves out the equal ones.
    Checked {
        /// What it was.
        path: RelPath,
        /// Whether both sides agree.
        verdict: Verdict,
    },
}
