//! `ketch cleanup`: removes the parts that interrupted transfers left and that no job will finish.

use std::collections::HashSet;
use std::sync::Arc;

use ketch_core::facets::{Claims, Resume};
use ketch_core::{Backend, Leftover, LeftoverState, RelPath};
use ketch_engine::filter::units::format_size;
use ketch_engine::walk::{Found, Walk};
use serde_json::json;

use super::looking::Look;
use super::service;
use crate::args::RemoveArgs;
use crate::context::{Context, Done};
use crate::output::Level;
use crate::problem::Result;
use crate::{exit, settings};

/// Looks through a folder and those below it.
pub(crate) async fn run(context: &Context, args: &RemoveArgs) -> Result<Done> {
    let place = settings::place(&args.place)?;
    let mut remotes = service::remotes(context);
    let signals = context.signals()?;
    let backend = signals.guard(remotes.open(&place)).await?;
    context.warn_of_keys(&mut remotes);
    let start = json!({ "command": "cleanup", "place": place.redacted(), "dry_run": args.dry_run });
    context.console.event("start", start)?;
    let resume = backend.facets().resume.clone().filter(|resume| resume.has_leftovers());
    let Some(resume) = resume else {
        let text =
            format!("{}: there is nothing to clean up on a remote like this", backend.name());
        context.console.tell(Level::Normal, &text);
        remotes.close().await;
        return Ok(Done::ok());
    };
    let claims = match context.open_jobs() {
        Some(jobs) => jobs.claims()?,
        None => HashSet::new(),
    };
    let cleaner = Cleaner {
        context,
        backend,
        resume,
        claims: Arc::new(move |number| claims.contains(&number)),
        dry_run: args.dry_run,
    };
    let done = signals.guard(cleaner.clean()).await;
    remotes.close().await;
    done
}

struct Cleaner<'a> {
    context: &'a Context,
    backend: Arc<dyn Backend>,
    resume: Arc<dyn Resume>,
    /// Jobs that can continue the parts that they left.
    claims: Claims,
    dry_run: bool,
}

#[derive(Default)]
struct Counts {
    removed: u64,
    bytes: u64,
    claimed: u64,
    in_use: u64,
    unclear: u64,
    failed: u64,
}

impl Counts {
    /// How many parts were found.
    fn total(&self) -> u64 {
        self.removed + self.claimed + self.in_use + self.unclear
    }
}

impl Cleaner<'_> {
    /// Each folder after everything in it was seen.
    async fn clean(&self) -> Result<Done> {
        let mut counts = Counts::default();
        let walk = Walk { only_dirs: true, ..Walk::new(&self.backend) };
        let mut look = Look::new(&self.context.console, walk);
        loop {
            let found = match look.next().await {
                Ok(Some(found)) => found,
                Ok(None) => break,
                Err(problem) if problem.code != exit::NO_FOLDER => return Err(problem),
                Err(problem) => {
                    // Where folders are only what lies in them, one that holds nothing but parts is in no listing.
                    let before = counts.total();
                    self.clean_folder(&RelPath::root(), &mut counts).await?;
                    match counts.total() > before {
                        true => break,
                        false => return Err(problem),
                    }
                }
            };
            match found {
                Found::Entry(_) => {}
                Found::End { dir, .. } => match self.clean_folder(&dir, &mut counts).await {
                    Ok(()) => {}
                    Err(problem) if dir.is_root() => return Err(problem),
                    Err(problem) => {
                        counts.failed += 1;
                        self.context.console.tell_error(&problem.text.unwrap_or_default());
                    }
                },
                Found::Failed { .. } => counts.failed += 1,
                // What was removed is removed. Everything else is looked at once more.
                Found::Anew if self.dry_run => counts = Counts::default(),
                Found::Anew => {
                    let Counts { removed, bytes, .. } = counts;
                    counts = Counts { removed, bytes, ..Counts::default() };
                }
            }
        }
        let Counts { removed, bytes, claimed, in_use, unclear, failed } = counts;
        let verb = if self.dry_run { "would remove" } else { "removed" };
        let parts = if removed == 1 { "part" } else { "parts" };
        let mut text = format!("{verb} {removed} {parts} ({})", format_size(bytes));
        for (count, why) in [
            (claimed, "belong to interrupted jobs (`ketch jobs list`)"),
            (in_use, "are being worked on"),
            (unclear, "may be another machine's and were written not long ago"),
        ] {
            if count > 0 {
                text.push_str(&format!(", {count} {why}"));
            }
        }
        self.context.console.tell(Level::Normal, &text);
        let code = if failed > 0 { exit::PARTIAL } else { exit::OK };
        let body = json!({
            "dry_run": self.dry_run, "removed": removed, "bytes": bytes, "claimed": claimed,
            "in_use": in_use, "unclear": unclear, "failed": failed,
        });
        Ok(Done::with(code, body))
    }

    async fn clean_folder(&self, dir: &RelPath, counts: &mut Counts) -> Result<()> {
        for left in self.resume.leftovers(dir, &self.claims, !self.dry_run).await? {
            self.count(&left, counts)?;
        }
        Ok(())
    }

    fn count(&self, left: &Leftover, counts: &mut Counts) -> Result<()> {
        match left.state {
            LeftoverState::Dead => {
                counts.removed += 1;
                counts.bytes = counts.bytes.saturating_add(left.bytes);
            }
            LeftoverState::Claimed => counts.claimed += 1,
            LeftoverState::InUse => counts.in_use += 1,
            LeftoverState::Unclear => counts.unclear += 1,
        }
        let word = match left.state {
            LeftoverState::Dead if self.dry_run => "remove  ",
            LeftoverState::Dead => "removed  ",
            LeftoverState::Claimed | LeftoverState::InUse | LeftoverState::Unclear => return Ok(()),
        };
        let body = json!({
            "path": left.path.as_str(), "outcome": "deleted", "reason": "leftover",
            "size": left.bytes, "dry_run": self.dry_run,
        });
        self.context.console.event("file_done", body)?;
        match self.context.console.is_json() {
            true => Ok(()),
            false => self.context.console.named_line(word, left.path.as_str(), ""),
        }
    }
}
