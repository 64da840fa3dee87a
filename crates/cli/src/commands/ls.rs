//! `ketch ls`: what is in a folder, one line an entry, in key order.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use ketch_core::{Entry, EntryKind, RelPath};
use ketch_engine::filter::Filter;
use serde_json::json;

use super::looking::Look;
use crate::args::LsArgs;
use crate::context::{Context, Done};
use crate::jsonl;
use crate::problem::{Problem, Result};
use crate::settings;

/// Lists a folder, or shows one file.
pub(crate) async fn run(context: &Context, args: &LsArgs) -> Result<Done> {
    let place = settings::place(&args.place)?;
    let mut remotes = context.remotes_for_a_look(&args.local, &args.recent, true);
    let signals = context.signals()?;
    let opened = signals.guard(remotes.open_source(&place)).await?;
    let filter = settings::filter(&args.filter, opened.only.as_deref())?;
    context.warn_of_keys(&mut remotes);
    let look = Look::new(&context.console, opened.backend, Some(&filter));
    let mut lister = Lister { look, zone: TimeZone::system(), entries: 0 };
    let work = async {
        match &opened.only {
            Some(name) => {
                let path = RelPath::new(name).map_err(|error| Problem::usage(error.to_string()))?;
                let entry = lister.look.backend.stat(&path).await?;
                lister.show(&entry)
            }
            None => lister.list(args.recursive).await,
        }
    };
    signals.guard(work).await?;
    let (code, entries) = (lister.look.code(), lister.entries);
    remotes.close().await;
    Ok(Done::with(code, json!({ "counts": { "entries": entries } })))
}

struct Lister<'a> {
    look: Look<'a>,
    zone: TimeZone,
    entries: u64,
}

impl Lister<'_> {
    /// Depth first. Held in memory: the folders on the current path, and the entries of one.
    async fn list(&mut self, recursive: bool) -> Result<()> {
        let mut waiting = vec![RelPath::root()];
        while let Some(dir) = waiting.pop() {
            let (entries, _) = self.look.entries(&dir).await?;
            for entry in &entries {
                self.show(entry)?;
            }
            self.look.console.flush()?;
            if recursive {
                let dirs = entries.into_iter().filter(Entry::is_dir).map(|entry| entry.path);
                waiting.extend(dirs.rev());
            }
        }
        Ok(())
    }

    fn show(&mut self, entry: &Entry) -> Result<()> {
        self.entries += 1;
        let console = self.look.console;
        if console.is_json() {
            let (kind, body) = jsonl::entry(entry);
            return console.event(kind, body);
        }
        let size = entry.size.map_or_else(|| "-".to_owned(), |size| size.to_string());
        let date = entry.mtime.and_then(|time| Timestamp::try_from(time).ok());
        let date = date.map(|time| time.to_zoned(self.zone.clone()));
        let date = date.map_or_else(String::new, |time| time.strftime("%F %T").to_string());
        let end = match entry.kind {
            EntryKind::File => "",
            EntryKind::Dir => "/",
            EntryKind::Link => "@",
            EntryKind::Special(special) => &format!("  ({})", special.describe()),
        };
        console.named_line(&format!("{size:>12}  {date:19}  "), entry.path.as_str(), end)
    }
}

/// Does the entry take part?
pub(crate) fn admits(filter: &Filter, entry: &Entry) -> bool {
    match entry.kind {
        EntryKind::Dir => filter.admits_dir(entry.path.as_str()),
        EntryKind::File | EntryKind::Link => {
            filter.admits_file(entry.path.as_str(), entry.size, entry.mtime)
        }
        EntryKind::Special(_) => filter.admits_file(entry.path.as_str(), None, None),
    }
}
