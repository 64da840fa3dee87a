//! `ketch tree` and `ketch size`: what is below a folder, drawn or counted.

mod branches;

use ketch_core::{Entry, EntryKind};
use ketch_engine::filter::units::format_size;
use ketch_engine::walk::{Found, Walk};
use serde_json::json;

use self::branches::{Branches, Line};
use super::looking::{Look, over};
use super::service::path;
use crate::args::{FilterArgs, SizeArgs, TreeArgs};
use crate::context::{Context, Done};
use crate::output::Console;
use crate::problem::Result;
use crate::{exit, jsonl, settings};

/// Draws the tree.
pub(crate) async fn run(context: &Context, args: &TreeArgs) -> Result<Done> {
    let place = settings::place(&args.place)?;
    let filter = settings::filter(&FilterArgs::default(), None)?;
    let mut remotes = context.remotes_for_a_look(&args.local, &args.recent, true);
    let signals = context.signals()?;
    let opened = signals.guard(remotes.open_source(&place)).await?;
    let console = &*context.console;
    let mut totals = Totals::default();
    let work = async {
        if !console.is_json() {
            console.named_line("", &place.redacted(), "")?;
        }
        if let Some(name) = &opened.only {
            let entry = opened.backend.stat(&path(name)?).await?;
            totals.add(&entry);
            show(console, &mut Branches::default(), entry, Some(true))?;
            return Ok(exit::OK);
        }
        let walk = Walk {
            depth: args.max_depth,
            only_dirs: args.dirs_only,
            ..over(&opened.backend, &filter)
        };
        let (mut look, mut branches) = (Look::new(console, walk), Branches::default());
        while let Some(found) = look.next().await? {
            match found {
                Found::Entry(shown) => {
                    totals.add(&shown.entry);
                    show(console, &mut branches, shown.entry, shown.is_last)?;
                }
                Found::Anew => {
                    totals = Totals::default();
                    branches = Branches::default();
                }
                Found::End { .. } | Found::Failed { .. } => {}
            }
        }
        draw(console, branches.finish())?;
        Ok(look.code())
    };
    let code = signals.guard(work).await?;
    context.warn_of_keys(&mut remotes);
    if !console.is_json() {
        let (dirs, files, bytes) = (totals.dirs, totals.files, format_size(totals.bytes));
        console.line("")?;
        console.line(&format!("{dirs} folders, {files} files ({bytes})"))?;
    }
    remotes.close().await;
    Ok(Done::with(code, json!({ "counts": totals.json() })))
}

/// Counts.
pub(crate) async fn size(context: &Context, args: &SizeArgs) -> Result<Done> {
    let place = settings::place(&args.place)?;
    let mut remotes = context.remotes_for_a_look(&args.local, &args.recent, true);
    let signals = context.signals()?;
    let opened = signals.guard(remotes.open_source(&place)).await?;
    let filter = settings::filter(&args.filter, opened.only.as_deref())?;
    context.warn_of_keys(&mut remotes);
    let mut totals = Totals::default();
    let work = async {
        if let Some(name) = &opened.only {
            totals.add(&opened.backend.stat(&path(name)?).await?);
            return Ok(exit::OK);
        }
        let mut look = Look::new(&context.console, over(&opened.backend, &filter));
        while let Some(found) = look.next().await? {
            match found {
                Found::Entry(shown) => totals.add(&shown.entry),
                Found::Anew => totals = Totals::default(),
                Found::End { .. } | Found::Failed { .. } => {}
            }
        }
        Ok(look.code())
    };
    let code = signals.guard(work).await?;
    if !context.console.is_json() {
        let Totals { files, bytes, unknown, others, .. } = totals;
        context.console.line(&format!("files  {files}"))?;
        context.console.line(&format!("bytes  {bytes} ({})", format_size(bytes)))?;
        if unknown > 0 {
            context.console.line(&format!("of unknown size  {unknown}"))?;
        }
        if others > 0 {
            let text = format!("neither files nor folders, and not counted  {others}");
            context.console.line(&text)?;
        }
    }
    remotes.close().await;
    Ok(Done::with(code, json!({ "counts": totals.json() })))
}

#[derive(Debug, Clone, Copy, Default)]
struct Totals {
    dirs: u64,
    files: u64,
    bytes: u64,
    unknown: u64,
    /// Links that are not followed, sockets and the like.
    others: u64,
}

impl Totals {
    fn add(&mut self, entry: &Entry) {
        match entry.kind {
            EntryKind::Dir => self.dirs += 1,
            EntryKind::File | EntryKind::Link => {
                self.files += 1;
                match entry.size {
                    Some(size) => self.bytes += size,
                    None => self.unknown += 1,
                }
            }
            EntryKind::Special(_) => self.others += 1,
        }
    }

    fn json(&self) -> serde_json::Value {
        json!({ "dirs": self.dirs, "files": self.files, "bytes": self.bytes,
            "unknown_sizes": self.unknown, "passed_over": self.others })
    }
}

fn show(
    console: &Console,
    branches: &mut Branches,
    entry: Entry,
    is_last: Option<bool>,
) -> Result<()> {
    if console.is_json() {
        let (kind, body) = jsonl::entry(&entry);
        return console.event(kind, body);
    }
    draw(console, branches.add(entry, is_last))
}

fn draw(console: &Console, lines: Vec<Line>) -> Result<()> {
    for Line { branch, entry } in lines {
        let end = if entry.is_dir() { "/" } else { "" };
        let name = entry.path.name().unwrap_or_default();
        console.named_line(&branch, name, end)?;
    }
    Ok(())
}
