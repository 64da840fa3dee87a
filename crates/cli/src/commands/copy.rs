//! `ketch copy` and `ketch sync`.

use ketch_core::{Error, ErrorKind};
use ketch_engine::decide::Reason;
use ketch_engine::event::Event;
use ketch_engine::filter::units::format_size;
use ketch_engine::{JobKind, Outcome, Report};
use serde_json::json;

use crate::args::CopyArgs;
use crate::context::{Context, Done};
use crate::notices::Notices;
use crate::output::{Console, Level};
use crate::problem::Result;
use crate::{exit, jsonl, settings, summary, watch};

/// Runs the job and tells of it.
pub(crate) async fn run(context: &Context, kind: JobKind, args: &CopyArgs) -> Result<Done> {
    let console = &*context.console;
    let (source_place, destination_place) =
        (settings::place(&args.source)?, settings::place(&args.destination)?);
    let (mut settings, spec) = settings::for_copy(args, console.tells(Level::Detail))?;
    let mut remotes = context.remotes(&args.local);
    let signals = context.signals()?;
    let both = remotes.open_both(&source_place, &destination_place);
    let (source, destination) = signals.guard(both).await?;
    settings.filter = settings::compile(spec, source.only.as_deref())?;
    settings.digests = context.digests(&args.cache);
    let digests = settings.digests.clone();
    context.warn_of_keys(&mut remotes);
    let start = json!({
        "command": kind.as_str(), "source": source_place.redacted(),
        "destination": destination_place.redacted(), "dry_run": args.dry_run,
    });
    console.event("start", start)?;

    let stop = signals.stop.clone();
    let mut job = ketch_engine::start(kind, source.backend, destination, settings, stop);
    let progress = job.progress.clone();
    let mut teller = Teller { console, dry_run: args.dry_run, notices: Notices::default() };
    let followed =
        watch::follow(&mut job.events, &progress, console, &signals, |event| teller.tell(&event));
    let followed = followed.await;
    let report = watch::end(job.report(), &signals).await.unwrap_or_else(|| Report {
        stopped: true,
        fatal: Some(Error::new(ErrorKind::Cancelled, "the job did not end in time and was left")),
        ..Report::default()
    });
    teller.notices.finish(console);
    context.finish_digests(&digests).await;
    // What happened is told also when nobody reads the answers any more.
    summary::tell_report(console, &report, args.dry_run);
    remotes.close().await;
    followed?;
    let error = report.fatal.as_ref().map(ToString::to_string);
    let mut counts = jsonl::counts(&report);
    jsonl::add_digest_counts(&mut counts, digests.counts());
    Ok(Done::with(
        exit::of_report(&report, signals.code()),
        json!({
            "dry_run": args.dry_run, "counts": counts, "error": error,
            "stopped": report.stopped, "seconds": report.elapsed.as_secs_f64(),
        }),
    ))
}

struct Teller<'a> {
    console: &'a Console,
    dry_run: bool,
    notices: Notices,
}

impl Teller<'_> {
    fn tell(&mut self, event: &Event) -> Result<()> {
        if let Some((kind, body)) = jsonl::event(event, self.dry_run) {
            self.console.event(kind, body)?;
        }
        match event {
            Event::Notice { path, text } => {
                let path = path.as_ref().map(|path| path.as_str());
                self.notices.tell(self.console, path, text);
            }
            Event::Planned { items, bytes, deletions } => {
                let bytes = format_size(*bytes);
                let text =
                    format!("plan: {items} items, {bytes} to transfer, {deletions} deletions");
                self.console.tell(Level::Item, &text);
            }
            Event::ItemStarted { path, .. } => {
                self.console.tell(Level::Detail, &format!("begin  {path}"));
            }
            Event::ItemDone { path, outcome: Outcome::NotStorable, reason, .. } => {
                self.notices.tell(
                    self.console,
                    Some(path.as_str()),
                    &format!("not stored: {reason}"),
                );
            }
            Event::ItemDone { path, outcome, reason, size } => {
                let detail = detail(*reason, *size);
                if self.dry_run && !self.console.is_json() {
                    return self.console.named_line(plan_word(*outcome), path.as_str(), &detail);
                }
                self.console.tell(Level::Item, &format!("{}{path}{detail}", done_word(*outcome)));
            }
            Event::ItemFailed(failure) => {
                self.console
                    .tell(Level::Item, &format!("failed   {}: {}", failure.path, failure.message));
            }
            Event::Unchanged { path, reason } => {
                self.console.tell(Level::Detail, &format!("same     {path}  ({reason})"));
            }
            Event::Checked { .. } => {}
        }
        Ok(())
    }
}

fn detail(reason: Reason, size: Option<u64>) -> String {
    match size {
        Some(size) => format!("  ({reason}, {})", format_size(size)),
        None => format!("  ({reason})"),
    }
}

fn plan_word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Copied | Outcome::CopiedByRemote => "copy    ",
        Outcome::TimeSet => "settime ",
        Outcome::DirMade => "mkdir   ",
        Outcome::Deleted => "delete  ",
        Outcome::Kept => "keep    ",
        Outcome::Held => "hold    ",
        Outcome::NotStorable => "skip    ",
    }
}

fn done_word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Copied => "copied   ",
        Outcome::CopiedByRemote => "copied*  ",
        Outcome::TimeSet => "time set ",
        Outcome::DirMade => "made     ",
        Outcome::Deleted => "deleted  ",
        Outcome::Kept => "kept     ",
        Outcome::Held => "held     ",
        Outcome::NotStorable => "skipped  ",
    }
}
