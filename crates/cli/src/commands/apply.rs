//! `ketch apply`: does what a plan says, if both places are still the ones it was made for.

use ketch_engine::plan_file::PlanFile;

use super::job::{self, OpenJob};
use crate::args::{ApplyArgs, RawPlace};
use crate::context::{Context, Done};
use crate::location::Location;
use crate::output::Level;
use crate::problem::{Problem, Result};
use crate::settings;

/// Applies a plan.
pub(crate) async fn run(context: &Context, args: &ApplyArgs) -> Result<Done> {
    let plan = PlanFile::open(&args.plan)?;
    let source_place = place(args.source.as_ref(), &plan.header.source, "--source")?;
    let destination_place =
        place(args.destination.as_ref(), &plan.header.destination, "--destination")?;
    let mut settings =
        settings::for_limits(&args.limits, &args.verify, settings::for_speed(&args.speed)?)?;
    settings.digests = context.digests(&args.cache);
    settings.clocks = context.clocks(&args.cache);
    settings.jobs = context.open_jobs();
    settings.report_unchanged = context.console.tells(Level::Detail);
    settings.report_started = settings.report_unchanged;
    let mut remotes = context.remotes(&args.local);
    let signals = context.signals()?;
    remotes.allow_changes(true);
    let both = remotes.open_job(&source_place, &destination_place);
    let (source, destination) = signals.guard(both).await?;
    context.warn_of_keys(&mut remotes);
    let locations = (
        remotes.lasting_location(&source_place, &*source.backend),
        remotes.lasting_location(&destination_place, &*destination),
    );
    let planned = [&plan.header.source_location, &plan.header.destination_location];
    for (now, planned) in [&locations.0, &locations.1].into_iter().zip(planned) {
        if now != planned {
            return Err(Problem::usage(format!(
                "the plan was made for {planned}, and this is {now}: apply it where it was made for, or plan anew"
            )));
        }
    }
    let job = OpenJob {
        kind: plan.header.kind,
        source: source.backend,
        destination,
        destination_folder: remotes.local_folder(&destination_place)?,
        shown: (source_place.redacted(), destination_place.redacted()),
        locations,
        ages_from: plan.header.created,
        settings,
        records: &args.records,
        plan: Some(plan),
        finishes: None,
    };
    let done = job::run(context, &signals, job).await;
    remotes.close().await;
    done
}

/// A place of the plan, or the one that was given in its stead.
fn place(given: Option<&RawPlace>, planned: &str, flag: &str) -> Result<Location> {
    if let Some(given) = given {
        return settings::place(given);
    }
    if planned.contains("=***") {
        return Err(Problem::usage(format!(
            "the plan is for {planned}, and what is hidden in it is not kept: give the place with {flag}"
        )));
    }
    Location::of_record(planned).map_err(|error| Problem::usage(format!("{error}")))
}
