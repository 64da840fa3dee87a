//! Starts a job and gives a handle to it: events while it runs, a report at the end.

use std::sync::Arc;

use ketch_core::{Backend, Error, ErrorKind};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::event::{EVENT_QUEUE, Event, Progress};
use crate::journal::{Journal, Recalled};
use crate::plan_file::PlanFile;
use crate::report::Report;
use crate::run;
use crate::settings::{Settings, Stop};

/// The kinds of jobs, by what holds after them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobKind {
    /// The destination has all the source has.
    Copy,
    /// The destination has all the source has, and nothing else.
    Sync,
    /// The destination has all the source had, and the source no longer has what was verified to have arrived.
    Move,
}

impl JobKind {
    /// The verb.
    pub fn as_str(self) -> &'static str {
        match self {
            JobKind::Copy => "copy",
            JobKind::Sync => "sync",
            JobKind::Move => "move",
        }
    }
}

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

/// A running job. Dropping it does not stop it; use its [`Stop`].
#[derive(Debug)]
pub struct Job {
    /// The events. The channel closes when the job ends. A receiver that falls behind slows the job down; if the receiver
    /// is dropped, the job continues.
    pub events: mpsc::Receiver<Event>,
    /// Amounts, to be sampled.
    pub progress: Progress,
    handle: JoinHandle<Report>,
}

impl Job {
    /// Waits for the end. A job that panicked gives a report with a fatal error.
    pub async fn report(self) -> Report {
        // The receiver must be dropped first, or a full channel would keep the job from ending.
        drop(self.events);
        self.handle.await.unwrap_or_else(|panic| Report {
            fatal: Some(
                Error::new(ErrorKind::Io, "the job panicked; this is a bug").with_source(panic),
            ),
            ..Report::default()
        })
    }
}

/// Starts a job on the current runtime.
pub fn start(request: Request) -> Job {
    let (sender, events) = mpsc::channel(EVENT_QUEUE);
    let progress = Progress::default();
    let handle = tokio::spawn(run::run(request, sender, progress.clone()));
    Job { events, progress, handle }
}
