//! What a running `copy`, `sync` or `move` tells a person, item by item.

use std::time::Duration;

use ketch_engine::Outcome;
use ketch_engine::decide::Reason;
use ketch_engine::event::Event;
use ketch_engine::filter::units::format_size;

use crate::bill::bill_line;
use crate::hints;
use crate::jsonl;
use crate::notices::Notices;
use crate::output::{Console, Level};
use crate::problem::Result;
use crate::reminders::Reminders;

/// Tells of a running job.
pub(crate) struct Teller<'a> {
    pub(crate) console: &'a Console,
    pub(crate) dry_run: bool,
    pub(crate) notices: Notices,
    pub(crate) reminders: Reminders,
}

impl Teller<'_> {
    /// Tells of one event.
    pub(crate) fn tell(&mut self, event: &Event) -> Result<()> {
        if self.console.is_json()
            && let Some((kind, body)) = jsonl::event(event, self.dry_run)
        {
            self.console.event(kind, body)?;
        }
        match event {
            Event::ItemStarted { .. }
            | Event::ItemDone { .. }
            | Event::ItemFailed { .. }
            | Event::Unchanged { .. } => self.tell_of_item(event),
            Event::Action(_) | Event::Checked { .. } => Ok(()),
            event => {
                self.tell_of_job(event);
                Ok(())
            }
        }
    }

    /// Tells of what concerns the whole job.
    fn tell_of_job(&mut self, event: &Event) {
        if self.notices.take(self.console, event) {
            return;
        }
        match event {
            Event::Reminder { place, text, hint } => {
                self.reminders.tell(self.console, place, &hints::with(text, *hint));
            }
            Event::GoingOn { job, standing, finishes_plan } => {
                let bound = if standing.is_planned { "" } else { "at least " };
                let amount = format!(
                    "{} of {bound}{} items are done ({})",
                    standing.done,
                    standing.planned,
                    format_size(standing.done_bytes)
                );
                let text = match finishes_plan {
                    true => format!("finishing the plan of job {job}: {amount}"),
                    false => format!(
                        "continuing after the interrupted job {job}: {amount}; ketch lists both sides again, and what \
                         arrived is not sent again (--fresh forgets that job)"
                    ),
                };
                self.console.tell(Level::Error, &text);
            }
            Event::Planned { items, bytes, deletions } => {
                let bytes = format_size(*bytes);
                let text =
                    format!("plan: {items} items, {bytes} to transfer, {deletions} deletions");
                self.console.tell(Level::Item, &text);
            }
            Event::Bill { remote, bill } => {
                // A person who has to wait long wants to know it beforehand.
                let is_long = bill.time >= LONG;
                let level = if self.dry_run || is_long { Level::Normal } else { Level::Item };
                self.console.tell(level, &bill_line(remote, bill));
            }
            _ => {}
        }
    }

    /// Tells of one item.
    fn tell_of_item(&mut self, event: &Event) -> Result<()> {
        match event {
            Event::ItemStarted { path, .. } => {
                self.console.tell(Level::Detail, &format!("begin  {path}"));
            }
            Event::ItemDone { path, outcome: Outcome::NotStorable, reason, .. } => {
                self.notices.tell(
                    self.console,
                    Some(path.as_str()),
                    &hints::with(&format!("not stored: {reason}"), reason.hint()),
                );
            }
            // A folder of the source in which something is left is not reported.
            Event::ItemDone { path, outcome: Outcome::Kept, reason: Reason::Extra, .. }
                if !self.dry_run && !self.console.tells(Level::Item) =>
            {
                let text = "kept: the folder holds something that takes no part in the job";
                self.notices.tell(self.console, Some(path.as_str()), text);
            }
            Event::ItemDone { path, outcome: Outcome::Held, .. }
                if !self.dry_run && !self.console.tells(Level::Item) =>
            {
                let text = "held back: something in its folder failed, or the job was stopped";
                self.notices.tell(self.console, Some(path.as_str()), text);
            }
            Event::ItemDone { path, outcome, reason, size, .. } => {
                if self.dry_run && !self.console.is_json() {
                    let detail = detail(*reason, *size);
                    return self.console.named_line(plan_word(*outcome), path.as_str(), &detail);
                }
                self.console.tell_of(Level::Item, || {
                    format!("{}{path}{}", done_word(*outcome), detail(*reason, *size))
                });
            }
            Event::ItemFailed { failure, is_failure: false, record } => {
                let message = hints::with(&failure.message, failure.hint);
                let text = format!("{}: {message}", record.status.as_str());
                self.notices.tell(self.console, Some(failure.path.as_str()), &text);
            }
            Event::ItemFailed { failure, record, .. } => {
                let (word, path) = (record.status.as_str(), failure.path.as_str());
                let message = hints::with(&failure.message, failure.hint);
                self.console.tell(Level::Item, &format!("{word:<8} {path}: {message}"));
            }
            Event::Unchanged { path, reason } => {
                self.console.tell(Level::Detail, &format!("same     {path}  ({reason})"));
            }
            _ => {}
        }
        Ok(())
    }
}

/// From here on a bill is told without being asked for.
const LONG: Duration = Duration::from_secs(10);

fn detail(reason: Reason, size: Option<u64>) -> String {
    let reason = hints::with(&reason.to_string(), reason.hint());
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
        Outcome::Moved | Outcome::Renamed | Outcome::MovedByRemote | Outcome::DirMoved => {
            "move    "
        }
        Outcome::SourceRemoved => "remove  ",
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
        Outcome::Moved => "moved    ",
        Outcome::Renamed => "renamed  ",
        Outcome::MovedByRemote | Outcome::DirMoved => "moved*   ",
        Outcome::SourceRemoved => "removed  ",
    }
}
