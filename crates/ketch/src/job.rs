//! Jobs: a copy, sync or move between two places, its settings, and its result.

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

/// Copies everything that the source has to the destination, and deletes nothing there.
pub fn copy(source: Arc<dyn Backend>, destination: Arc<dyn Backend>) -> Job {
    Job::new(JobKind::Copy, source, destination)
}

/// Makes the destination equal to the source, and deletes what only the destination has. The deletions come last;
/// [`Settings::delete_limit`] bounds them.
pub fn sync(source: Arc<dyn Backend>, destination: Arc<dyn Backend>) -> Job {
    Job::new(JobKind::Sync, source, destination)
}

/// Copies everything that the source has to the destination, and removes each file at the source after its copy is proven.
pub fn move_files(source: Arc<dyn Backend>, destination: Arc<dyn Backend>) -> Job {
    Job::new(JobKind::Move, source, destination)
}

/// Executes `plan`, each item only if both sides are still as they were when the plan was made.
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

    /// Uses these settings instead of the defaults.
    pub fn settings(mut self, settings: Settings) -> Self {
        self.request.settings = settings;
        self
    }

    /// Lets the caller stop the job: it keeps a clone of `stop`.
    pub fn stop(mut self, stop: Stop) -> Self {
        self.request.stop = stop;
        self
    }

    /// Keeps records in this folder. The next job between the same two places then continues an interrupted one and sends
    /// nothing twice. Without records every job begins from nothing, and removes what it began when it is stopped.
    pub fn records(mut self, folder: impl Into<PathBuf>) -> Self {
        self.records = Some(folder.into());
        self
    }

    /// Calls `tell` with every event, on the task that runs the job; so `tell` must not block for long.
    pub fn on_event(mut self, tell: impl FnMut(&Event) + Send + 'static) -> Self {
        self.on_event = Box::new(tell);
        self
    }

    /// Calls `take` when the job starts, with its amounts, which another task can sample.
    pub fn on_start(mut self, take: impl FnOnce(Progress) + Send + 'static) -> Self {
        self.on_start = Box::new(take);
        self
    }

    /// Runs the job to its end. The report counts the items that failed; [`Report::is_success`] is true if none did.
    ///
    /// Errors: an error that ended the whole job, such as a source that does not exist (`NotFound`), a plan above a limit
    /// (`InvalidInput`) or a full disk (`Quota`).
    ///
    /// CANCEL: when the future is dropped, the job stops at once, in the background. Every file of the destination is old or
    /// new, and whole. With [`Job::records`] the next job continues; without them the parts are removed.
    pub async fn run(self) -> Result<Report> {
        let mut report = self.finish().await?;
        match report.fatal.take() {
            Some(error) => Err(error),
            None => Ok(report),
        }
    }

    /// Writes a plan of what the job would do to `file`, and changes nothing else. [`apply`] executes the plan later.
    ///
    /// Errors: as [`Job::run`]; `Io` when the file cannot be written, and then there is no file.
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
            // A plan that was not made to its end must not be applied.
            None if report.stopped => Err(Error::cancelled()),
            None => Ok(report),
        });
        let report = match report {
            Ok(report) => report,
            Err(error) => {
                // The first error matters more than one that the removal has.
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
            // The next job removes what jobs that have ended left behind.
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

/// Begins the records of the job, and takes over what an interrupted one between the same places left.
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
