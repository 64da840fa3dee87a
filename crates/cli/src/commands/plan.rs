//! `ketch plan`: what a job would do, as a file or for people.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use ketch_engine::event::Event;
use ketch_engine::file::force_and_close;
use ketch_engine::filter::units::format_size;
use ketch_engine::plan_file::{PlanFile, PlanHeader, PlanTotals, PlanWriter};
use ketch_engine::{JobKind, Report, Settings};
use serde_json::json;

use super::copy;
use super::job::{self, is_standard_output};
use crate::args::{CopyArgs, PlanCommand};
use crate::context::{Context, Done};
use crate::exit;
use crate::hints;
use crate::output::{Answer, Console, Level};
use crate::problem::{Problem, Result, about_file};
use crate::summary;

/// Runs `plan …`.
pub(crate) async fn run(context: &Context, command: &PlanCommand) -> Result<Done> {
    match command {
        PlanCommand::Copy(args) => {
            make(context, JobKind::Copy, &args.job, false, &args.output).await
        }
        PlanCommand::Sync(args) => {
            make(context, JobKind::Sync, &args.job, false, &args.output).await
        }
        PlanCommand::Move(args) => {
            let empty_dirs = args.job.delete_empty_src_dirs;
            make(context, JobKind::Move, &args.job.copy, empty_dirs, &args.output).await
        }
        PlanCommand::Show { file } => show(context, file),
    }
}

/// Where a plan is written. A file has its name only when it is whole.
enum Output<'a> {
    Stdout(Answer<&'a Console>),
    File { file: BufWriter<File>, temporary: PathBuf, path: &'a Path },
}

impl Write for Output<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Output::Stdout(answer) => answer.write(bytes),
            Output::File { file, .. } => file.write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Output::Stdout(answer) => answer.flush(),
            Output::File { file, .. } => file.flush(),
        }
    }
}

impl<'a> Output<'a> {
    fn open(path: Option<&'a PathBuf>, console: &'a Console) -> Result<Self> {
        let Some(path) = path.filter(|path| !is_standard_output(Some(path))) else {
            return Ok(Output::Stdout(Answer::new(console)));
        };
        let mut temporary = path.clone().into_os_string();
        temporary.push(".new");
        let temporary = PathBuf::from(temporary);
        let file = File::create(&temporary).map_err(|error| about_file(path, &error))?;
        Ok(Output::File { file: BufWriter::new(file), temporary, path })
    }

    fn publish(self) -> Result<()> {
        let Output::File { file, temporary, path } = self else { return Ok(()) };
        let written = file.into_inner().map_err(std::io::IntoInnerError::into_error);
        let named =
            written.and_then(force_and_close).and_then(|()| std::fs::rename(temporary, path));
        named.map_err(|error| about_file(path, &error))
    }
}

async fn make(
    context: &Context,
    kind: JobKind,
    args: &CopyArgs,
    delete_empty_source_dirs: bool,
    output: &Option<PathBuf>,
) -> Result<Done> {
    let console = &*context.console;
    if console.is_json() && is_standard_output(output.as_ref()) {
        let text = "a plan is JSON lines already: leave out --json, or give -o FILE";
        return Err(Problem::usage(text));
    }
    if args.records.manifest.is_some() {
        let text =
            "a plan does nothing that could be written down: give --manifest to `ketch apply`";
        return Err(Problem::usage(text));
    }
    let mut remotes = context.remotes(&args.local);
    let signals = context.signals()?;
    let mut job = copy::open(context, &mut remotes, &signals, kind, args, None).await?;
    job.settings = Settings { delete_empty_source_dirs, ..job.settings };
    let created = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let created = created.map_or(0, |since| since.as_secs());
    let header = PlanHeader::new(kind, job.shown.clone(), job.locations.clone(), created);
    let out = Output::open(output.as_ref(), console)?;
    let failed = |error: std::io::Error| match output {
        Some(path) => about_file(path, &error),
        None => Problem::output(&error),
    };
    let mut writer = PlanWriter::new(out, &header).map_err(failed)?;
    let report = job::plan(&signals, context, job, |event| match event {
        Event::Action(planned) => writer.push(planned).map_err(failed),
        _ => Ok(()),
    });
    let report = report.await;
    remotes.close().await;
    let report = report?;
    // A plan that was not made to its end is not a plan: without its totals it cannot be applied.
    let was_limit = report.fatal.as_ref().filter(|_| report.source_entries > 0);
    let over_limit = was_limit.map(|error| hints::with(error.message(), error.hint()));
    if report.stopped || (report.fatal.is_some() && over_limit.is_none()) {
        summary::tell_report(console, &report, true);
        return Ok(Done::with(
            exit::of_report(&report, signals.code()),
            json!({ "stopped": true }),
        ));
    }
    let seen = PlanTotals {
        source_files: report.source_files,
        destination_entries: report.destination_entries,
        unchanged: report.unchanged,
        over_limit,
        ..PlanTotals::default()
    };
    let (out, totals) = writer.finish(seen).map_err(failed)?;
    out.publish()?;
    console.tell(Level::Normal, &totals_line(&totals));
    Ok(Done::with(code_of(&totals, &report), json!({ "plan": totals })))
}

/// A plan in which something could not be looked at is told as such.
fn code_of(totals: &PlanTotals, report: &Report) -> u8 {
    match (totals.refused, &totals.over_limit) {
        (0, None) => exit::OK,
        (0, Some(_)) => exit::FATAL,
        _ => exit::of_report(&Report { failed: report.failed.max(1), ..Report::default() }, None),
    }
}

fn totals_line(totals: &PlanTotals) -> String {
    let mut line = format!(
        "plan: {} items: {} files to transfer ({}), {} deletions, {} unchanged",
        totals.items,
        totals.copies,
        format_size(totals.bytes),
        totals.deletions,
        totals.unchanged,
    );
    if totals.refused > 0 {
        line.push_str(&format!(", {} cannot be done or could not be looked at", totals.refused));
    }
    if let Some(text) = &totals.over_limit {
        line.push_str(&format!("; it is over a limit: {text}"));
    }
    line
}

fn show(context: &Context, path: &Path) -> Result<Done> {
    let console = &*context.console;
    let mut plan = PlanFile::open(path)?;
    let header = &plan.header;
    if console.is_json() {
        let body = json!({ "header": header, "totals": plan.totals, "digest": plan.digest });
        console.event("plan_file", body)?;
        return Ok(Done::ok());
    }
    let made = i64::try_from(header.created).ok();
    let made = made.and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    let made = made.map_or_else(String::new, |made| format!(", made {made}"));
    console.line(&format!(
        "{} {} to {}{made}",
        header.kind.as_str(),
        header.source,
        header.destination
    ))?;
    let mut problem = None;
    plan.for_each(|planned| {
        let size = match planned.bytes() {
            0 => String::new(),
            bytes => format!(", {}", format_size(bytes)),
        };
        let why = hints::with(&planned.explain(), planned.hint());
        let end = format!("  ({why}{size})");
        let told =
            console.named_line(&format!("{:<10} ", planned.word()), planned.path().as_str(), &end);
        problem = told.err();
        match problem {
            Some(_) => Err(ketch_core::Error::cancelled()),
            None => Ok(()),
        }
    })
    .map_err(|error| problem.take().unwrap_or_else(|| error.into()))?;
    console.line(&totals_line(&plan.totals))?;
    Ok(Done::ok())
}
