//! Starts a job and gives a handle to it: events while it runs, a report at the end.

use ketch_core::{Error, ErrorKind};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::event::{EVENT_QUEUE, Event, Progress};
use crate::report::Report;
use crate::run;

pub use crate::kind::JobKind;
pub use crate::request::Request;

/// A running job. Dropping it does not stop it; use its [`Stop`](crate::Stop).
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
