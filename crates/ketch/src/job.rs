//! Jobs: what is to hold between two places, how it is run, and what becomes of it.

use std::fmt;
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use ketch_core::{Backend, Error, ErrorKind, Result};
use ketch_engine::event::{Event, Progress};
use ketch_engine::journal::{Begin, Earlier, JobIdentity, Jobs, Roots};
use ketch_engine::plan_file::{PlanFile, PlanHeader, PlanTotals, PlanWriter};
use ketch_engine::{JobKind, Report, Request, Settings, Stop, start};

/// The destination gets all the source has. Nothing is deleted there.
pub fn copy(source: Arc<dyn Backend>, destination: Arc<dyn Backend>) -> Job {
    Job::new(JobKind::Copy, source, destination)
}

/// The destination gets all the source has, and nothing else. The deletions come last; [`Settings::delete_limit`] bounds them.
pub fn sync(source: Arc<dyn Backend>, destination: Arc<dyn Backend>) -> Job {
    Job::new(JobKind::Sync, source, destination)
}

/// The destination gets all the source has, and what was proven to have arrived is removed at the source.
pub fn move_files(source: Arc<dyn Backend>, destination: Arc<dyn Backend>) -> Job {
    Job::new(JobKind::Move, source, destination)
}

/// Does what `plan` says, each item only if both sides still are as they were when it was made.
pub fn apply(plan: PlanFile, source: Arc<dyn Backend>, destination: Arc<dyn Backend>) -> Job {
    let mut job = Job::new(plan.header.kind, source, destination);
    job.request.plan = Some(plan);
    job
}

/// A job that was not started yet. `Send`, and so is the future of [`Job::run`].
#[must_use = "a job does nothing before it is run"]
pub struct Job {
    request: Request,
    records: Option<PathBuf>,
    on_event: Box<dyn FnMut(&Event) + Send>,
    on_start: Box<dyn FnOnce(Progress) + Send>,
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").field("request", &self.request).finish_non_exhaustive()
    }
}

impl Job {
    fn new(kind: JobKind, source: Arc<dyn Backend>, destination: Arc<dyn Backend>) -> Self {
        Job {
            request: Request::new(kind, source, destination),
            records: None,
            on_event: Box::new(|_| {}),
            on_start: Box::new(|_| {}),
        }
    }

    /// How it is done, in place of the defaults.
    pub fn settings(mut self, settings: Settings) -> Self {
        self.request.settings = settings;
        self
    }

    /// How it is stopped, by who keeps a clone of `stop`.
    pub fn stop(mut self, stop: Stop) -> Self {
        self.request.stop = stop;
        self
    }

    /// Keeps records in this folder: an interrupted job is gone on with by the next one between the same two places, which
    /// sends nothing twice. Without records every job begins from nothing, and what it had begun is removed when it is stopped.
    pub fn records(mut self, folder: impl Into<PathBuf>) -> Self {
        self.records = Some(folder.into());
        self
    }

    /// Is told of every event. It is called on the task that runs the job, so it must not block for long.
    pub fn on_event(mut self, tell: impl FnMut(&Event) + Send + 'static) -> Self {
        self.on_event = Box::new(tell);
        self
    }

    /// Gets the amounts of the job when it starts, to be sampled from another task.
    pub fn on_start(mut self, take: impl FnOnce(Progress) + Send + 'static) -> Self {
        self.on_start = Box::new(take);
        self
    }

    /// Runs it to its end. A report tells of every item that failed; [`Report::is_success`] says whether any did.
    ///
    /// Errors: what ended the whole job, as a source that is not there (`NotFound`), a limit that the plan is over
    /// (`InvalidInput`), a full disk (`Quota`).
    ///
    /// CANCEL: when the future is dropped the job is stopped at once, in the background. Every file of the destination is old or
    /// new, and whole. With [`Job::records`] the next job goes on; without, parts are removed.
    pub async fn run(self) -> Result<Report> {
        let mut report = self.finish().await?;
        match report.fatal.take() {
            Some(error) => Err(error),
            None => Ok(report),
        }
    }

    /// Writes what it would do to `file`, and changes nothing else. [`apply`] does it later.
    ///
    /// Errors: as [`Job::run`]; `Io` when the file cannot be written, and then it is not there.
    pub async fn plan(mut self, file: impl AsRef<Path>) -> Result<PlanTotals> {
        let path = file.as_ref().to_owned();
        let sides = [&self.request.source, &self.request.destination];
        let [names, places] = [
            sides.map(|side| side.about().name.clone()),
            sides.map(|side| side.about().location.clone()),
        ];
        let created = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let header = PlanHeader::new(self.request.kind, names.into(), places.into(), created);
        let failed = |error: std::io::Error| {
            Error::new(ErrorKind::Io, "the plan cannot be written").with_source(error)
        };
        let mut temporary = path.clone().into_os_string();
        temporary.push(".new");
        let out = BufWriter::new(File::create(&temporary).map_err(failed)?);
        let writer =
            Arc::new(std::sync::Mutex::new(Ok(PlanWriter::new(out, &header).map_err(failed)?)));
        self.request.settings.dry_run = true;
        let writing = Arc::clone(&writer);
        let job = self.on_event(move |event| {
            let mut writer = writing.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if let (Event::Action(planned), Ok(open)) = (event, &mut *writer)
                && let Err(error) = open.push(planned)
            {
                *writer = Err(error);
            }
        });
        let report = job.finish().await;
        let report = report.and_then(|report| match report.fatal {
            Some(error) => Err(error),
            // A plan that was not made to its end is none.
            None if report.stopped => Err(Error::cancelled()),
            None => Ok(report),
        });
        let report = match report {
            Ok(report) => report,
            Err(error) => {
                // Why there is no plan says more than that its beginning is still there.
                let _ = std::fs::remove_file(&temporary);
                return Err(error);
            }
        };
        let seen = PlanTotals {
            source_files: report.source_files,
            destination_entries: report.destination_entries,
            unchanged: report.unchanged,
            ..PlanTotals::default()
        };
        let writer = Arc::into_inner(writer).map(std::sync::Mutex::into_inner);
        let Some(Ok(writer)) = writer else {
            return Err(Error::new(ErrorKind::Io, "the plan was not written to its end"));
        };
        let (out, totals) = writer.and_then(|writer| writer.finish(seen)).map_err(failed)?;
        let file = out.into_inner().map_err(|error| failed(error.into_error()))?;
        ketch_engine::file::force_and_close(file).map_err(failed)?;
        std::fs::rename(&temporary, &path).map_err(failed)?;
        Ok(totals)
    }

    async fn finish(self) -> Result<Report> {
        let Job { mut request, records, mut on_event, on_start } = self;
        if let Some(folder) = records {
            let jobs = Jobs::new(folder, None);
            request.journal = begin(&request, &jobs).await?;
            // What jobs that are over have left is cleared up by the next one.
            request.settings.jobs.get_or_insert_with(|| Arc::new(jobs));
        }
        // CANCEL: dropped from here on, the job is told to stop at once.
        let stop = request.stop.now.clone().drop_guard();
        let mut running = start(request);
        on_start(running.progress.clone());
        while let Some(event) = running.events.recv().await {
            on_event(&event);
        }
        let report = running.report().await;
        stop.disarm();
        Ok(report)
    }
}

/// Puts the job on record, and takes over what an interrupted one between the same places left.
async fn begin(request: &Request, jobs: &Jobs) -> Result<Option<ketch_engine::journal::Journal>> {
    if request.settings.dry_run {
        return Ok(None);
    }
    let (source, destination) = (&request.source, &request.destination);
    let options = request.settings.identity(&**source, &**destination);
    let options = match &request.plan {
        Some(plan) => format!("plan {} {options}", plan.digest),
        None => options,
    };
    let begin = Begin {
        identity: JobIdentity {
            kind: request.kind,
            source_location: source.about().location.clone(),
            destination_location: destination.about().location.clone(),
            options,
        },
        source: source.about().name.clone(),
        destination: destination.about().name.clone(),
        arguments: Vec::new(),
        folder: None,
        ages_from: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
        roots: Roots::default(),
    };
    let earlier = match request.plan {
        Some(_) => Earlier::Finish,
        None => Earlier::Remember,
    };
    jobs.begin(begin, earlier).map(Some)
}
