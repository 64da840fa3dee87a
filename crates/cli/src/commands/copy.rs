//! `ketch copy`, `ketch sync` and `ketch move`: from the command line to open places.

use std::path::Path;

use ketch_engine::filter::FilterSpec;
use ketch_engine::{JobKind, Settings};

use super::job::{self, OpenJob};
use crate::args::{CopyArgs, Fsync, LocalArgs};
use crate::context::{Context, Done};
use crate::output::Level;
use crate::problem::{Problem, Result};
use crate::remotes::Remotes;
use crate::signals::Signals;
use crate::{reports, settings};

/// Runs the job.
pub(crate) async fn run(
    context: &Context,
    kind: JobKind,
    args: &CopyArgs,
    delete_empty_source_dirs: bool,
) -> Result<Done> {
    let local = LocalArgs {
        // What is removed at the source must be where it went even if the power goes: its name too.
        fsync: args.local.fsync.or((kind == JobKind::Move).then_some(Fsync::All)),
        ..args.local.clone()
    };
    let mut remotes = context.remotes(&local);
    let signals = context.signals()?;
    let job = open(context, &mut remotes, &signals, kind, args).await?;
    let settings = Settings { delete_empty_source_dirs, ..job.settings };
    let done = job::run(context, &signals, OpenJob { settings, ..job }).await;
    remotes.close().await;
    done
}

/// Understands the command line and opens both places.
pub(crate) async fn open<'a>(
    context: &Context,
    remotes: &mut Remotes,
    signals: &Signals,
    kind: JobKind,
    args: &'a CopyArgs,
) -> Result<OpenJob<'a>> {
    let (source_place, destination_place) =
        (settings::place(&args.source)?, settings::place(&args.destination)?);
    let every_file = context.console.tells(Level::Detail);
    let (settings, mut spec) = settings::for_copy(args, every_file)?;
    if let Some(failed) = &args.retry_failed {
        spec.files_from_raw = Some(failed_paths(context, failed)?);
    }
    let both = remotes.open_job(&source_place, &destination_place);
    let (source, destination) = signals.guard(both).await?;
    context.warn_of_keys(remotes);
    let options = options(args, &settings, &spec, source.only.as_deref());
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
        options,
        settings: Settings { filter, digests: context.digests(&args.cache), ..settings },
        records: &args.records,
        plan: None,
    })
}

/// Everything that decides what is planned, as a text: two runs of equal text are one job. Ages count as they were typed,
/// because the time they stand for is another one each time.
fn options(args: &CopyArgs, settings: &Settings, spec: &FilterSpec, only: Option<&str>) -> String {
    let ageless = FilterSpec { modified_after: None, modified_before: None, ..spec.clone() };
    format!(
        "{only:?} {ageless:?} {:?} {:?} {:?} {} {} {:?} {}",
        args.filter.min_age,
        args.filter.max_age,
        settings.compare,
        settings.update,
        settings.ignore_existing,
        settings.modify_window,
        settings.create_empty_dirs,
    )
}

/// The paths that failed before: of a report, or of a job on record.
fn failed_paths(context: &Context, report_or_job: &Path) -> Result<Vec<String>> {
    let paths = if report_or_job.exists() {
        reports::failed_paths(report_or_job)?
    } else {
        let jobs = context.need_jobs()?;
        let name = report_or_job.display().to_string();
        let job = jobs.find(&name).map_err(|error| {
            Problem::usage(format!("--retry-failed {name}: no such file, and {}", error.message()))
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
