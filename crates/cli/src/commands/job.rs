//! A `copy`, `sync` or `move` from open places to its exit code: records, events, summary.

use std::path::PathBuf;
use std::sync::Arc;

use ketch_core::{Backend, Error, ErrorKind};
use ketch_engine::event::Event;
use ketch_engine::journal::{
    Begin, Earlier, Header, JobIdentity, JobSummary, Journal, Recalled, Roots,
};
use ketch_engine::plan_file::PlanFile;
use ketch_engine::{JobKind, Report, Request, Settings};
use serde_json::{Value, json};

use super::archive::Archive;
use crate::args::RecordArgs;
use crate::context::{Context, Done};
use crate::hints;
use crate::notices::Notices;
use crate::problem::{Problem, Result};
use crate::redact::redact;
use crate::reminders::Reminders;
use crate::reports::Reports;
use crate::signals::Signals;
use crate::teller::Teller;
use crate::{exit, jsonl, summary, watch};

/// A job whose places are open.
pub(crate) struct OpenJob<'a> {
    pub(crate) kind: JobKind,
    pub(crate) source: Arc<dyn Backend>,
    pub(crate) destination: Arc<dyn Backend>,
    /// The folder that the destination is, if it is one of this machine.
    pub(crate) destination_folder: Option<PathBuf>,
    /// The places as a person reads them.
    pub(crate) shown: (String, String),
    /// Where they are, in a form that does not change between processes.
    pub(crate) locations: (String, String),
    /// From when relative ages count, in seconds since 1970.
    pub(crate) ages_from: u64,
    pub(crate) settings: Settings,
    pub(crate) records: &'a RecordArgs,
    pub(crate) plan: Option<PlanFile>,
    /// The open job whose plan is finished.
    pub(crate) finishes: Option<JobSummary>,
}

/// Runs the job and tells of it.
pub(crate) async fn run(context: &Context, signals: &Signals, job: OpenJob<'_>) -> Result<Done> {
    let console = &*context.console;
    let OpenJob { kind, shown, records, plan, .. } = &job;
    let dry_run = job.settings.dry_run;
    let mut reports = Reports::open(records, console)?;
    let archive = match (&records.manifest, dry_run) {
        (Some(path), false) => Some(Archive::open(context, path, &job)?),
        (Some(_), true) => {
            console.tell_notice("a dry run writes no manifest");
            None
        }
        (None, _) => None,
    };
    let (word, (from, to)) = (kind.as_str(), shown);
    let begun = json!({
        "command": word, "source": from, "destination": to, "dry_run": dry_run,
        "plan": plan.as_ref().map(|plan| plan.digest.clone()),
    });
    console.event("start", begun)?;
    let (journal, recalled) = match (records.no_journal, dry_run) {
        (true, _) => (None, None),
        (false, true) => (None, recall(context, &job)?),
        (false, false) => (begin(context, &job).await?, None),
    };
    let job_id = journal.as_ref().map(|journal| journal.header.id());
    let archive = archive.map(|archive| archive.begin(journal.as_ref())).transpose()?;
    let digests = match &archive {
        Some(archive) => archive.digests(&job.settings.digests),
        None => job.settings.digests.clone(),
    };
    let settings = Settings {
        report_unchanged: job.settings.report_unchanged || reports.want_unchanged(),
        digests: digests.clone(),
        ..job.settings.clone()
    };
    let mut running = ketch_engine::start(Request {
        kind: job.kind,
        source: job.source,
        destination: job.destination,
        settings,
        stop: signals.stop.clone(),
        journal,
        plan: job.plan,
        recalled,
    });
    let progress = running.progress.clone();
    let reminders = Reminders::new(context.environment.state_folder());
    let mut teller = Teller { console, dry_run, notices: Notices::default(), reminders };
    let followed = watch::follow(&mut running.events, &progress, console, signals, |event| {
        reports.write(&event)?;
        teller.tell(&event)
    });
    let followed = followed.await;
    let report = watch::end(running.report(), signals).await.unwrap_or_else(not_in_time);
    teller.notices.finish(console);
    context.finish_digests(&digests).await;
    // The result is reported even if standard output is closed.
    summary::tell_report(console, &report, dry_run);
    followed?;
    reports.finish(&report)?;
    let code = exit::of_report(&report, signals.code());
    let manifest = match archive {
        Some(archive) => archive.end(context, signals, &digests, &report, code).await,
        None => Ok((code, Value::Null)),
    };
    let (code, manifest) = manifest.unwrap_or_else(|problem| {
        // What became of the job itself is in the summary all the same.
        (Done::problem(&problem, console).code, Value::Null)
    });
    let error = jsonl::Fatal::of(report.fatal.as_ref());
    let mut counts = jsonl::counts(&report);
    jsonl::add_digest_counts(&mut counts, digests.counts());
    Ok(Done::with(
        code,
        json!({
            "dry_run": dry_run, "manifest": manifest, "counts": counts, "error": error.text,
            "hint": error.hint,
            "stopped": report.stopped, "seconds": report.elapsed.as_secs_f64(),
            "job": job_id, "job_is_open": report.is_open,
        }),
    ))
}

fn not_in_time() -> Report {
    Report {
        stopped: true,
        fatal: Some(Error::new(ErrorKind::Cancelled, "the job did not end in time and was left")),
        ..Report::default()
    }
}

/// What makes another run the same job.
fn identity(job: &OpenJob<'_>) -> JobIdentity {
    let settings = job.settings.identity(&*job.source, &*job.destination);
    JobIdentity {
        kind: job.kind,
        source_location: job.locations.0.clone(),
        destination_location: job.locations.1.clone(),
        options: match &job.plan {
            Some(plan) => format!("plan {} {settings}", plan.digest),
            None => settings,
        },
    }
}

/// What a dry run must know about an interrupted job, to show what the run will do.
fn recall(context: &Context, job: &OpenJob<'_>) -> Result<Option<Recalled>> {
    let jobs = context.jobs().filter(|_| !job.records.fresh && job.plan.is_none());
    let Some(jobs) = jobs else { return Ok(None) };
    Ok(jobs.recall(&identity(job))?)
}

/// Puts the job on record, and takes over from an interrupted one.
async fn begin(context: &Context, job: &OpenJob<'_>) -> Result<Option<Journal>> {
    let console = &*context.console;
    let Some(jobs) = context.jobs() else {
        console.tell_notice(
            "no records are kept of this job, because there is no place for them (set HOME or XDG_STATE_HOME)",
        );
        return Ok(None);
    };
    // If a side cannot be asked now, the error of its listing will say so.
    let roots = Roots {
        source: job.source.root_identity().await.ok().flatten(),
        destination: job.destination.root_identity().await.ok().flatten(),
    };
    let identity = identity(job);
    if let Some(earlier) = &job.finishes {
        may_finish(&earlier.header, &identity, &roots)?;
    }
    let begin = Begin {
        identity,
        source: job.shown.0.clone(),
        destination: job.shown.1.clone(),
        arguments: match &job.finishes {
            Some(earlier) => earlier.header.arguments.clone(),
            None => command_line().unwrap_or_default(),
        },
        folder: std::env::current_dir().ok(),
        ages_from: job.ages_from,
        roots,
    };
    let refused = |error: Error| {
        let code = exit::of_fatal(error.kind());
        Problem { code, ..error.into() }
    };
    let earlier = match (&job.finishes, &job.plan, job.records.fresh) {
        (Some(_), _, _) | (None, Some(_), false) => Earlier::Finish,
        (None, None, false) => Earlier::Remember,
        (None, _, true) => Earlier::Forget,
    };
    jobs.begin(begin, earlier).map(Some).map_err(refused)
}

/// Can the plan of an earlier job be finished by this run?
fn may_finish(earlier: &Header, identity: &JobIdentity, roots: &Roots) -> Result<()> {
    let id = earlier.id();
    let refuse = |why: &str| {
        let text = format!(
            "the plan of job {id} cannot be finished: {why} (the command by itself makes a new plan)"
        );
        Err(Problem { code: exit::FATAL, ..Problem::other(text) })
    };
    if earlier.identity != *identity {
        return refuse(
            "an option, a list of names or something in the environment is not as it was when the job was begun",
        );
    }
    let is_other =
        |before: &Option<String>, now: &Option<String>| before.is_some() && before != now;
    if is_other(&earlier.roots.source, &roots.source) {
        return refuse("the source is another folder now, or is not there (is its disk mounted?)");
    }
    if is_other(&earlier.roots.destination, &roots.destination) {
        return refuse(
            "the destination is another folder now, or is not there (is its disk mounted?)",
        );
    }
    Ok(())
}

/// The command line, if it can be kept: it has no secret in it and is text.
fn command_line() -> Option<Vec<String>> {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let texts: Option<Vec<String>> =
        arguments.iter().map(|argument| argument.to_str().map(str::to_owned)).collect();
    texts.filter(|texts| texts.iter().all(|text| redact(text, &arguments) == *text))
}

/// Plans the job and hands each action to `take`.
pub(crate) async fn plan(
    signals: &Signals,
    context: &Context,
    job: OpenJob<'_>,
    mut take: impl FnMut(&Event) -> Result<()>,
) -> Result<Report> {
    let console = &*context.console;
    let mut running = ketch_engine::start(Request {
        settings: Settings { dry_run: true, ..job.settings },
        stop: signals.stop.clone(),
        ..Request::new(job.kind, job.source, job.destination)
    });
    let progress = running.progress.clone();
    let mut notices = Notices::default();
    let reminders = Reminders::new(context.environment.state_folder());
    let followed = watch::follow(&mut running.events, &progress, console, signals, |event| {
        notices.take(console, &event);
        if let Event::Reminder { place, text, hint } = &event {
            reminders.tell(console, place, &hints::with(text, *hint));
        }
        take(&event)
    });
    let followed = followed.await;
    let report = watch::end(running.report(), signals).await.unwrap_or_else(not_in_time);
    notices.finish(console);
    followed?;
    Ok(report)
}

/// Where a plan or a report goes.
pub(crate) fn is_standard_output(path: Option<&PathBuf>) -> bool {
    path.is_none_or(|path| crate::values::is_dash(path))
}
