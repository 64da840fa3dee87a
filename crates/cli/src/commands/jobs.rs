//! `ketch jobs`: lists the jobs on record, and finishes interrupted ones.

use clap::Parser;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use ketch_core::Hint;
use ketch_engine::JobKind;
use ketch_engine::filter::units::format_size;
use ketch_engine::journal::{JobState, JobSummary, Jobs, Standing};
use serde_json::{Value, json};

use super::{apply, copy};
use crate::args::{Cli, Command, JobsCommand, LocalArgs};
use crate::context::{Context, Done};
use crate::hints;
use crate::location::Location;
use crate::output::{Console, Level};
use crate::problem::{Problem, Result, about_file};
use crate::reports;

/// Runs `jobs …`.
pub(crate) async fn run(context: &Context, command: &JobsCommand) -> Result<Done> {
    let jobs = context.need_jobs()?;
    match command {
        JobsCommand::List => list(&context.console, &jobs),
        JobsCommand::Show { job } => show(&context.console, &jobs, job),
        JobsCommand::Resume { job } => resume(context, &jobs, job.as_deref()).await,
        JobsCommand::Forget { jobs: names } => forget(context, &jobs, names).await,
    }
}

fn list(console: &Console, jobs: &Jobs) -> Result<Done> {
    for job in jobs.list()? {
        let standing = match job.state {
            JobState::Ended(_) => None,
            JobState::Running | JobState::Open => Some(jobs.standing(&job)?),
        };
        console.event("job", body(&job, standing))?;
        if !console.is_json() {
            console.line(&line(&job, standing))?;
        }
    }
    Ok(Done::ok())
}

fn line(job: &JobSummary, standing: Option<Standing>) -> String {
    let header = &job.header;
    let amount = match (&job.state, standing) {
        (JobState::Ended(ended), _) => format!("{} done, {} failed", ended.done, ended.failed),
        (_, Some(standing)) => amount(standing),
        (_, None) => String::new(),
    };
    format!(
        "{}  {:<8}  {}  {} {} -> {}  ({amount})",
        header.id(),
        word(&job.state),
        time(header.created),
        header.identity.kind.as_str(),
        header.source,
        header.destination,
    )
}

fn amount(standing: Standing) -> String {
    let bound = if standing.is_planned { "" } else { "at least " };
    format!(
        "{} of {bound}{} items done, {}",
        standing.done,
        standing.planned,
        format_size(standing.done_bytes)
    )
}

fn word(state: &JobState) -> &str {
    match state {
        JobState::Running => "running",
        JobState::Open => "open",
        JobState::Ended(ended) => &ended.state,
    }
}

fn time(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    let Some(time) = time else { return "?".to_owned() };
    time.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M").to_string()
}

fn body(job: &JobSummary, standing: Option<Standing>) -> Value {
    let header = &job.header;
    let ended = match &job.state {
        JobState::Ended(ended) => Some(ended),
        JobState::Running | JobState::Open => None,
    };
    json!({
        "job": header.id(), "state": word(&job.state), "kind": header.identity.kind.as_str(),
        "source": header.source, "destination": header.destination, "created": header.created,
        "done": ended.map(|ended| ended.done).or(standing.map(|standing| standing.done)),
        "failed": ended.map(|ended| ended.failed),
        "items": standing.map(|standing| standing.planned),
        "items_final": standing.map(|standing| standing.is_planned),
        "error": ended.map(|ended| ended.text.clone()).filter(|text| !text.is_empty()),
        "hint": ended.and_then(|ended| ended.hint.clone()),
    })
}

fn show(console: &Console, jobs: &Jobs, name: &str) -> Result<Done> {
    let job = jobs.find(name)?;
    let standing = jobs.standing(&job)?;
    console.event("job", body(&job, Some(standing)))?;
    if !console.is_json() {
        console.line(&line(&job, Some(standing)))?;
        if !job.header.arguments.is_empty() {
            console.line(&format!("  ketch {}", job.header.arguments.join(" ")))?;
        }
        if let JobState::Ended(ended) = &job.state
            && !ended.text.is_empty()
        {
            let hint = ended.hint.as_deref().and_then(Hint::from_word);
            console.line(&format!("  {}", hints::with(&ended.text, hint)))?;
        }
    }
    let mut problem = Ok(());
    jobs.outcomes(&job, |outcome| {
        if problem.is_err() || !(reports::was_not_done(&outcome) || console.tells(Level::Item)) {
            return;
        }
        problem = match console.is_json() {
            true => console.event("item", reports::item(&outcome)),
            false => {
                let text = outcome.message.as_deref().unwrap_or(&outcome.action);
                let hint = outcome.hint.as_deref().and_then(Hint::from_word);
                let text = hints::with(text, hint);
                let before = format!("  {:<8} ", outcome.status.as_str());
                console.named_line(&before, outcome.path.as_str(), &format!("  ({text})"))
            }
        };
    })?;
    problem?;
    Ok(Done::ok())
}

/// Finishes the plan of an open job, with the settings that it was begun with.
async fn resume(context: &Context, jobs: &Jobs, name: Option<&str>) -> Result<Done> {
    let job = match name {
        Some(name) => jobs.find(name)?,
        None => jobs
            .list()?
            .into_iter()
            .find(|job| job.state == JobState::Open)
            .ok_or_else(|| Problem::other("no job is open (`ketch jobs list` shows all)"))?,
    };
    let id = job.header.id();
    match &job.state {
        JobState::Open => {}
        JobState::Running => return Err(Problem::other(format!("the job {id} is running"))),
        JobState::Ended(_) => {
            return Err(Problem::other(format!(
                "the job {id} has ended; --retry-failed {id} does what failed in it"
            )));
        }
    }
    if job.header.arguments.is_empty() {
        return Err(Problem::other(format!(
            "the command of job {id} had a secret in it and is not kept: run it again as it was typed"
        )));
    }
    if let Some(folder) = &job.header.folder {
        std::env::set_current_dir(folder).map_err(|error| about_file(folder, &error))?;
    }
    let words = std::iter::once("ketch").chain(job.header.arguments.iter().map(String::as_str));
    let cli = Cli::try_parse_from(words).map_err(|_| {
        Problem::other(format!("the command of job {id} is not understood any more"))
    })?;
    match cli.command {
        Command::Copy(args) => copy::run(context, JobKind::Copy, &args, false, Some(&job)).await,
        Command::Sync(args) => copy::run(context, JobKind::Sync, &args, false, Some(&job)).await,
        Command::Move(args) => {
            let empty_dirs = args.delete_empty_src_dirs;
            copy::run(context, JobKind::Move, &args.copy, empty_dirs, Some(&job)).await
        }
        Command::Apply(args) => apply::run(context, &args).await,
        _ => {
            Err(Problem::other(format!("the command of job {id} is not one that can be continued")))
        }
    }
}

async fn forget(context: &Context, jobs: &Jobs, names: &[String]) -> Result<Done> {
    let console = &*context.console;
    for name in names {
        let job = jobs.find(name)?;
        let old = jobs.take(&job)?;
        if job.state == JobState::Open {
            clear_up(context, &job, &old).await;
        }
        old.remove()?;
        console.tell(Level::Normal, &format!("forgotten: {}", job.header.id()));
    }
    Ok(Done::ok())
}

/// Removes what an interrupted job left at its destination, if that can be reached.
async fn clear_up(context: &Context, job: &JobSummary, old: &ketch_engine::journal::OldJob) {
    let console = &*context.console;
    let mut remotes = context.remotes(&LocalArgs::default());
    let relative = job.header.folder.as_deref().map(std::env::set_current_dir);
    if let Some(Err(error)) = relative {
        console.tell_notice(&format!("the folder the job was begun in cannot be entered: {error}"));
    }
    let result = async {
        let place = Location::of_record(&job.header.destination)
            .map_err(|error| Problem::usage(format!("{error}")))?;
        let destination = remotes.open(&place).await?;
        old.abandon(&*destination).await.map_err(Problem::from)
    };
    if let Err(problem) = result.await {
        let text = problem.text.unwrap_or_default();
        let place = &job.header.destination;
        console.tell_notice(&format!("what the job left at {place} could not be removed: {text}"));
    }
    remotes.close().await;
}
