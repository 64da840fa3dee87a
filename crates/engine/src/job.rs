//! Starting a job and holding it: events on one side, the report at the end.

use std::sync::Arc;

use ketch_core::{Backend, Error, ErrorKind};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::event::{EVENT_QUEUE, Event, Progress};
use crate::report::Report;
use crate::run;
use crate::settings::{Settings, Stop};

/// What a job is to bring about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobKind {
    /// The destination has all the source has.
    Copy,
    /// The destination has all the source has, and nothing else.
    Sync,
}

impl JobKind {
    /// The verb.
    pub fn as_str(self) -> &'static str {
        match self {
            JobKind::Copy => "copy",
            JobKind::Sync => "sync",
        }
    }
}

/// A running job. Dropping it does not stop it; use its [`Stop`].
#[derive(Debug)]
pub struct Job {
    /// What happens. The channel ends when the job has. A reader that falls behind slows the job down; a reader that
    /// goes away does not.
    pub events: mpsc::Receiver<Event>,
    /// Amounts, to be sampled.
    pub progress: Progress,
    handle: JoinHandle<Report>,
}

impl Job {
    /// Waits for the end. A job that panicked gives a report with a fatal error.
    pub async fn report(self) -> Report {
        // The events must be gone first, or a full channel would keep the job from ending.
        drop(self.events);
        self.handle.await.unwrap_or_else(|panic| Report {
            fatal: Some(
                Error::new(ErrorKind::Io, "the job panicked; this is a bug").with_source(panic),
            ),
            ..Report::default()
        })
    }
}

/// Starts a job between two backends, each wrapped in its layers by the caller. Runs on the current runtime.
pub fn start(
    kind: JobKind,
    source: Arc<dyn Backend>,
    destination: Arc<dyn Backend>,
    settings: Settings,
    stop: Stop,
) -> Job {
    let (sender, events) = mpsc::channel(EVENT_QUEUE);
    let progress = Progress::default();
    let context = run::Context {
        kind,
        source,
        destination,
        settings: Arc::new(settings),
        stop,
        events: sender,
        progress: progress.clone(),
    };
    Job { events, progress, handle: tokio::spawn(run::run(context)) }
}
