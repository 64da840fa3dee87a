//! `ketch ls`: what is in a folder, one line an entry, in key order.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use ketch_core::{Entry, EntryKind, Hint, RelPath};
use ketch_engine::walk::{Found, Walk};
use serde_json::json;

use super::looking::{Look, over};
use crate::args::LsArgs;
use crate::context::{Context, Done};
use crate::exit;
use crate::hints;
use crate::jsonl;
use crate::output::Console;
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
    let console = &*context.console;
    let mut lister =
        Lister { console, zone: TimeZone::system(), entries: 0, specials: BTreeMap::new() };
    let work = async {
        match &opened.only {
            Some(name) => {
                let path = RelPath::new(name).map_err(|error| Problem::usage(error.to_string()))?;
                lister.show(&opened.backend.stat(&path).await?)?;
                Ok(exit::OK)
            }
            None => {
                let depth = (!args.recursive).then_some(1);
                let walk = Walk { depth, ..over(&opened.backend, &filter) };
                lister.list(Look::new(console, walk)).await
            }
        }
    };
    let code = signals.guard(work).await?;
    let entries = lister.entries;
    remotes.close().await;
    Ok(Done::with(code, json!({ "counts": { "entries": entries } })))
}

struct Lister<'a> {
    console: &'a Console,
    zone: TimeZone,
    entries: u64,
    /// How many entries are of each kind about which a person can do something, and what.
    specials: BTreeMap<&'static str, (u64, Hint)>,
}

impl Lister<'_> {
    /// Shows everything; returns the exit code.
    async fn list(&mut self, mut look: Look<'_>) -> Result<u8> {
        while let Some(found) = look.next().await? {
            match found {
                Found::Entry(shown) => self.show(&shown.entry)?,
                Found::Anew => {
                    self.entries = 0;
                    self.specials.clear();
                }
                Found::End { .. } | Found::Failed { .. } => {}
            }
        }
        self.tell_of_specials();
        Ok(look.code())
    }

    /// What a person can do about the entries that are neither files nor folders, once for each kind of them.
    fn tell_of_specials(&self) {
        for (what, (count, hint)) in &self.specials {
            let text = match count {
                1 => format!("1 entry is {what}"),
                count => format!("each of {count} entries is {what}"),
            };
            self.console.tell_notice(&hints::with(&text, Some(*hint)));
        }
    }

    fn show(&mut self, entry: &Entry) -> Result<()> {
        self.entries += 1;
        if let EntryKind::Special(special) = entry.kind
            && let Some(hint) = special.hint()
        {
            self.specials.entry(special.describe()).or_insert((0, hint)).0 += 1;
        }
        let console = self.console;
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
