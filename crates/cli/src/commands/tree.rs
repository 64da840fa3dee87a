//! `ketch tree` and `ketch size`: what is below a folder, drawn or counted. In memory are the entries of the folders on the
//! current path.

use std::sync::Arc;

use futures::StreamExt;
use ketch_core::{Backend, Entry, EntryKind, ListOptions, RelPath};
use ketch_engine::filter::Filter;
use ketch_engine::filter::units::format_size;
use serde_json::json;

use super::ls::admits;
use super::service::path;
use crate::args::{FilterArgs, SizeArgs, TreeArgs};
use crate::context::{Context, Done};
use crate::jsonl;
use crate::output::Console;
use crate::problem::Result;
use crate::{exit, settings};

/// Draws the tree.
pub(crate) async fn run(context: &Context, args: &TreeArgs) -> Result<Done> {
    let place = settings::place(&args.place)?;
    let filter = settings::filter(&FilterArgs::default(), None)?;
    let mut remotes = context.remotes_for_a_look(&args.local, &args.recent, true);
    let signals = context.signals()?;
    let mut walker =
        Walker { filter: &filter, console: &context.console, totals: Totals::default() };
    let deepest = args.max_depth.unwrap_or(usize::MAX);
    let work = async {
        let opened = remotes.open_source(&place).await?;
        if !context.console.is_json() {
            context.console.named_line("", &place.redacted(), "")?;
        }
        if let Some(name) = &opened.only {
            let entry = opened.backend.stat(&path(name)?).await?;
            return walker.draw(&entry, "", true);
        }
        walker.draw_below(&opened.backend, deepest, args.dirs_only).await
    };
    signals.guard(work).await?;
    context.warn_of_keys(&mut remotes);
    let totals = walker.totals;
    if !context.console.is_json() {
        let (dirs, files, bytes) = (totals.dirs, totals.files, format_size(totals.bytes));
        context.console.line(&format!("\n{dirs} folders, {files} files ({bytes})"))?;
    }
    remotes.close().await;
    Ok(Done::with(exit::OK, json!({ "counts": totals.json() })))
}

/// Counts.
pub(crate) async fn size(context: &Context, args: &SizeArgs) -> Result<Done> {
    let place = settings::place(&args.place)?;
    let mut remotes = context.remotes_for_a_look(&args.local, &args.recent, true);
    let signals = context.signals()?;
    let opened = signals.guard(remotes.open_source(&place)).await?;
    let filter = settings::filter(&args.filter, opened.only.as_deref())?;
    context.warn_of_keys(&mut remotes);
    let mut walker =
        Walker { filter: &filter, console: &context.console, totals: Totals::default() };
    let work = async {
        if let Some(name) = &opened.only {
            walker.totals.add(&opened.backend.stat(&path(name)?).await?);
            return Ok(());
        }
        let mut waiting = vec![RelPath::root()];
        while let Some(dir) = waiting.pop() {
            for entry in walker.entries(&opened.backend, &dir).await? {
                walker.totals.add(&entry);
                if entry.is_dir() {
                    waiting.push(entry.path);
                }
            }
        }
        Ok(())
    };
    signals.guard(work).await?;
    let totals = walker.totals;
    if !context.console.is_json() {
        let Totals { files, bytes, unknown, .. } = totals;
        context.console.line(&format!("files  {files}"))?;
        context.console.line(&format!("bytes  {bytes} ({})", format_size(bytes)))?;
        if unknown > 0 {
            context.console.line(&format!("of unknown size  {unknown}"))?;
        }
    }
    remotes.close().await;
    Ok(Done::with(exit::OK, json!({ "counts": totals.json() })))
}

#[derive(Debug, Clone, Copy, Default)]
struct Totals {
    dirs: u64,
    files: u64,
    bytes: u64,
    unknown: u64,
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
            EntryKind::Special(_) => {}
        }
    }

    fn json(&self) -> serde_json::Value {
        json!({ "dirs": self.dirs, "files": self.files, "bytes": self.bytes,
            "unknown_sizes": self.unknown })
    }
}

/// A folder whose entries are being drawn.
struct Level {
    entries: std::vec::IntoIter<Entry>,
    /// What stands before its entries.
    indent: String,
}

struct Walker<'a> {
    filter: &'a Filter,
    console: &'a Console,
    totals: Totals,
}

impl Walker<'_> {
    async fn draw_below(
        &mut self,
        backend: &Arc<dyn Backend>,
        deepest: usize,
        dirs_only: bool,
    ) -> Result<()> {
        let mut levels =
            vec![self.level(backend, &RelPath::root(), String::new(), dirs_only).await?];
        while let Some(level) = levels.last_mut() {
            let Some(entry) = level.entries.next() else {
                levels.pop();
                continue;
            };
            let is_last = level.entries.len() == 0;
            let indent = level.indent.clone();
            self.draw(&entry, &indent, is_last)?;
            if entry.is_dir() && levels.len() < deepest {
                self.console.flush()?;
                let indent = format!("{indent}{}", if is_last { "    " } else { "│   " });
                levels.push(self.level(backend, &entry.path, indent, dirs_only).await?);
            }
        }
        Ok(())
    }

    async fn level(
        &self,
        backend: &Arc<dyn Backend>,
        dir: &RelPath,
        indent: String,
        dirs_only: bool,
    ) -> Result<Level> {
        let mut entries = self.entries(backend, dir).await?;
        entries.retain(|entry| entry.is_dir() || !dirs_only);
        Ok(Level { entries: entries.into_iter(), indent })
    }

    async fn entries(&self, backend: &Arc<dyn Backend>, dir: &RelPath) -> Result<Vec<Entry>> {
        let mut listing = backend.list(dir, ListOptions::default());
        let mut entries = Vec::new();
        while let Some(entry) = listing.next().await {
            let entry = entry?;
            if admits(self.filter, &entry) {
                entries.push(entry);
            }
        }
        entries.sort_by(Entry::compare_key);
        Ok(entries)
    }

    fn draw(&mut self, entry: &Entry, indent: &str, is_last: bool) -> Result<()> {
        self.totals.add(entry);
        if self.console.is_json() {
            let (kind, body) = jsonl::entry(entry);
            return self.console.event(kind, body);
        }
        let branch = if is_last { "└── " } else { "├── " };
        let end = if entry.is_dir() { "/" } else { "" };
        let name = entry.path.name().unwrap_or_default();
        self.console.named_line(&format!("{indent}{branch}"), name, end)
    }
}
