//! `ketch copy`, `ketch sync` and `ketch move`: from the command line to open places.

use std::path::Path;

use jiff::Timestamp;
use ketch_engine::journal::JobSummary;
use ketch_engine::{JobKind, Settings};

use super::job::{self, OpenJob};
use crate::args::{CopyArgs, Fsync, LocalArgs};
use crate::context::{Context, Done};
use crate::output::Level;
use crate::problem::{Problem, Result};
use crate::remotes::Remotes;
use crate::signals::Signals;
use crate::{reports, settings};

/// Runs the job; one that `finishes` what an earlier process planned does that and makes no plan of its own.
pub(crate) async fn run(
    context: &Context,
    kind: JobKind,
    args: &CopyArgs,
    delete_empty_source_dirs: bool,
    finishes: Option<&JobSummary>,
) -> Result<Done> {
    let local = LocalArgs {
        // What is removed at the source must be where it went even if the power goes: its name too.
        fsync: args.local.fsync.or((kind == JobKind::Move).then_some(Fsync::All)),
        ..args.local.clone()
    };
    let mut remotes = context.remotes(&local);
    remotes.allow_changes(!args.dry_run);
    let signals = context.signals()?;
    let ages_from = finishes.map(|job| job.header.ages_from);
    let job = open(context, &mut remotes, &signals, kind, args, ages_from).await?;
    let settings = Settings { delete_empty_source_dirs, ..job.settings };
    let finishes = finishes.cloned();
    let done = job::run(context, &signals, OpenJob { settings, finishes, ..job }).await;
    remotes.close().await;
    done
}

/// Understands the command line and opens both places. Ages count from `ages_from`, or from now.
pub(crate) async fn open<'a>(
    context: &Context,
    remotes: &mut Remotes,
    signals: &Signals,
    kind: JobKind,
    args: &'a CopyArgs,
    ages_from: Option<u64>,
) -> Result<OpenJob<'a>> {
    let (source_place, destination_place) =
        (settings::place(&args.source)?, settings::place(&args.destination)?);
    let every_file = context.console.tells(Level::Detail);
    // In whole seconds, so that it is the same moment for who finishes the job.
    let now = ages_from.and_then(|seconds| i64::try_from(seconds).ok());
    let now = now.unwrap_or_else(|| Timestamp::now().as_second());
    let from = Timestamp::from_second(now)
        .map_err(|error| Problem::other(format!("the time of the job: {error}")))?;
    let (settings, mut spec) = settings::for_copy(args, every_file, from)?;
    if let Some(failed) = &args.retry_failed {
        spec.files_from_raw = Some(failed_paths(context, failed)?);
    }
    let both = remotes.open_job(&source_place, &destination_place);
    let (source, destination) = signals.guard(both).await?;
    context.warn_of_keys(remotes);
    let filter = settings::compile(spec, source.only.as_deref())?;
    Ok(OpenJob {
        kind,
        shown: (source_place.redacted(), destination_place.redacted()),
        locations: (
            remotes.lasting_location(&source_place, &*source.backend),
            remotes.lasting_location(&destination_place, &*destination),
        ),
        source: source.backend,
        destination,
        destination_folder: remotes.local_folder(&destination_place)?,
        ages_from: now.unsigned_abs(),
        settings: Settings {
            filter,
            digests: context.digests(&args.cache),
            clocks: context.clocks(&args.cache),
            jobs: context.open_jobs(),
            ..settings
        },
        records: &args.records,
        plan: None,
        finishes: None,
    })
}

/// The paths that failed before: of a report, or of a job on record.
fn failed_paths(context: &Context, report_or_job: &Path) -> Result<Vec<String>> {
    let paths = if report_or_job.exists() {
        reports::failed_paths(report_or_job)?
    } else {
        let jobs = context.need_jobs()?;
        let name = report_or_job.display().to_string();
        let job = jobs.find(&name).map_err(|error| {
            let text = format!("--retry-failed {name}: no such file, and {}", error.message());
            Problem::usage(text).with_hint(error.hint())
        })?;
        let mut paths = Vec::new();
        jobs.outcomes(&job, |outcome| {
            if reports::was_not_done(&outcome) {
                paths.push(outcome.path.as_str().to_owned());
            }
        })?;
        paths
    };
    if paths.is_empty() {
        let text = format!("--retry-failed {}: nothing failed there", report_or_job.display());
        return Err(Problem::usage(text));
    }
    Ok(paths)
}
