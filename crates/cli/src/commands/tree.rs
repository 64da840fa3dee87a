//! `ketch tree` and `ketch size`: what is below a folder, drawn or counted. In memory are the entries of the folders on the
//! current path.

use ketch_core::{Entry, EntryKind, RelPath};
use ketch_engine::filter::units::format_size;
use serde_json::json;

use super::looking::Look;
use super::service::path;
use crate::args::{FilterArgs, SizeArgs, TreeArgs};
use crate::context::{Context, Done};
use crate::jsonl;
use crate::problem::Result;
use crate::settings;

/// Draws the tree.
pub(crate) async fn run(context: &Context, args: &TreeArgs) -> Result<Done> {
    let place = settings::place(&args.place)?;
    let filter = settings::filter(&FilterArgs::default(), None)?;
    let mut remotes = context.remotes_for_a_look(&args.local, &args.recent, true);
    let signals = context.signals()?;
    let deepest = args.max_depth.unwrap_or(usize::MAX);
    let opened = signals.guard(remotes.open_source(&place)).await?;
    let look = Look::new(&context.console, opened.backend, Some(&filter));
    let mut walker = Walker { look, totals: Totals::default() };
    let work = async {
        if !context.console.is_json() {
            context.console.named_line("", &place.redacted(), "")?;
        }
        if let Some(name) = &opened.only {
            let entry = walker.look.backend.stat(&path(name)?).await?;
            return walker.draw(&entry, "", true);
        }
        walker.draw_below(deepest, args.dirs_only).await
    };
    signals.guard(work).await?;
    context.warn_of_keys(&mut remotes);
    let (code, totals) = (walker.look.code(), walker.totals);
    if !context.console.is_json() {
        let (dirs, files, bytes) = (totals.dirs, totals.files, format_size(totals.bytes));
        context.console.line("")?;
        context.console.line(&format!("{dirs} folders, {files} files ({bytes})"))?;
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
    let look = Look::new(&context.console, opened.backend, Some(&filter));
    let mut walker = Walker { look, totals: Totals::default() };
    let work = async {
        if let Some(name) = &opened.only {
            walker.totals.add(&walker.look.backend.stat(&path(name)?).await?);
            return Ok(());
        }
        let mut waiting = vec![RelPath::root()];
        while let Some(dir) = waiting.pop() {
            for entry in walker.look.entries(&dir).await?.0 {
                walker.totals.add(&entry);
                if entry.is_dir() {
                    waiting.push(entry.path);
                }
            }
        }
        Ok(())
    };
    signals.guard(work).await?;
    let (code, totals) = (walker.look.code(), walker.totals);
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

/// A folder whose entries are being drawn.
struct Level {
    entries: std::vec::IntoIter<Entry>,
    /// What stands before its entries.
    indent: String,
}

struct Walker<'a> {
    look: Look<'a>,
    totals: Totals,
}

impl Walker<'_> {
    async fn draw_below(&mut self, deepest: usize, dirs_only: bool) -> Result<()> {
        let mut levels = vec![self.level(&RelPath::root(), String::new(), dirs_only).await?];
        while let Some(level) = levels.last_mut() {
            let Some(entry) = level.entries.next() else {
                levels.pop();
                continue;
            };
            let is_last = level.entries.len() == 0;
            let indent = level.indent.clone();
            self.draw(&entry, &indent, is_last)?;
            if entry.is_dir() && levels.len() < deepest {
                self.look.console.flush()?;
                let indent = format!("{indent}{}", if is_last { "    " } else { "│   " });
                levels.push(self.level(&entry.path, indent, dirs_only).await?);
            }
        }
        Ok(())
    }

    async fn level(&mut self, dir: &RelPath, indent: String, dirs_only: bool) -> Result<Level> {
        let (mut entries, _) = self.look.entries(dir).await?;
        entries.retain(|entry| entry.is_dir() || !dirs_only);
        Ok(Level { entries: entries.into_iter(), indent })
    }

    fn draw(&mut self, entry: &Entry, indent: &str, is_last: bool) -> Result<()> {
        self.totals.add(entry);
        let console = self.look.console;
        if console.is_json() {
            let (kind, body) = jsonl::entry(entry);
            return console.event(kind, body);
        }
        let branch = if is_last { "└── " } else { "├── " };
        let end = if entry.is_dir() { "/" } else { "" };
        let name = entry.path.name().unwrap_or_default();
        console.named_line(&format!("{indent}{branch}"), name, end)
    }
}
