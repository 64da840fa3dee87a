//! What a job is started with.

use std::sync::Arc;

use ketch_core::Backend;

use crate::journal::{Journal, Recalled};
use crate::kind::JobKind;
use crate::plan_file::PlanFile;
use crate::settings::{Settings, Stop};

/// What a job is started with. The backends are wrapped in their layers by the caller.
#[derive(Debug)]
pub struct Request {
    /// Which kind of job it is.
    pub kind: JobKind,
    /// Where the files come from.
    pub source: Arc<dyn Backend>,
    /// Where they go.
    pub destination: Arc<dyn Backend>,
    /// How.
    pub settings: Settings,
    /// How it is stopped.
    pub stop: Stop,
    /// Its records on disk, with what earlier processes left that saves work. `None`: the job has no records, and no later
    /// process can continue it.
    pub journal: Option<Journal>,
    /// A plan that was made earlier and is executed instead of a new one. Each of its items is done only if both sides are
    /// still as they were when it was planned.
    pub plan: Option<PlanFile>,
    /// Without a journal, as in a dry run: what the journal would take over from an interrupted job.
    pub recalled: Option<Recalled>,
}

impl Request {
    /// A job with default settings that is not on record.
    pub fn new(kind: JobKind, source: Arc<dyn Backend>, destination: Arc<dyn Backend>) -> Self {
        let (settings, stop) = (Settings::default(), Stop::new());
        Request {
            kind,
            source,
            destination,
            settings,
            stop,
            journal: None,
            plan: None,
            recalled: None,
        }
    }
}
