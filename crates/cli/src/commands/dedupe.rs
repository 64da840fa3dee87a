//! `ketch dedupe`: several files of one name, or of one content, in one folder. Folder by folder, each after its listing
//! was complete; in memory are the entries of the folders on the current path.

use std::collections::BTreeMap;
use std::io::{BufRead, IsTerminal};
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use ketch_core::{Backend, Entry, HashAlgo, Hint, RelPath};
use ketch_engine::filter::units::format_size;
use ketch_engine::walk::{Found, Gather, Walk};
use serde_json::{Value, json};

use super::looking::Look;
use super::service::remotes;
use crate::args::{DedupeArgs, DedupeRule};
use crate::context::{Context, Done};
use crate::hints;
use crate::output::{Console, Level};
use crate::problem::{Problem, Result};
use crate::{exit, settings};

/// Files deleted at the same time where the remote does not gather.
const AT_A_TIME: usize = 4;

/// Finds duplicates and deals with them.
pub(crate) async fn run(context: &Context, args: &DedupeArgs) -> Result<Done> {
    let console = &*context.console;
    let place = settings::place(&args.place)?;
    let mut remotes = remotes(context);
    let signals = context.signals()?;
    let backend = signals.guard(remotes.open(&place)).await?;
    context.warn_of_keys(&mut remotes);
    if args.by_hash && backend.capabilities().hashes.is_empty() {
        let text = format!("{} lists no digests, so --by-hash finds nothing", place.redacted());
        return Err(Problem { code: exit::FATAL, ..Problem::other(text) });
    }
    let asks = args.rule.is_none() && !console.is_json() && std::io::stdin().is_terminal();
    let look = Look::new(console, Walk::new(&backend));
    let counts = Counts::default();
    let mut work = Dedupe { console, backend, args, asks, has_quit: false, counts };
    let looked = signals.guard(work.walk(look)).await?;
    let (counts, has_quit) = (work.counts, work.has_quit);
    remotes.close().await;
    let verb = if args.dry_run { "would delete" } else { "deleted" };
    console.tell(
        Level::Normal,
        &format!(
            "{} groups of duplicates: {verb} {} files ({}), renamed {}, left {}",
            counts.groups,
            counts.deleted,
            format_size(counts.bytes),
            counts.renamed,
            counts.left
        ),
    );
    let is_undecided = counts.left > 0 && args.rule.is_none() && !asks;
    let code = match (counts.failed, is_undecided || has_quit) {
        (0, _) if looked != exit::OK => looked,
        (0, false) => exit::OK,
        (0, true) => exit::OTHER,
        _ => exit::PARTIAL,
    };
    if is_undecided {
        console.tell_notice(
            "--rule says which one is left: newest, oldest, largest, smallest or rename",
        );
    }
    Ok(Done::with(code, json!({ "dry_run": args.dry_run, "counts": counts.json() })))
}

#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    groups: u64,
    deleted: u64,
    renamed: u64,
    left: u64,
    failed: u64,
    bytes: u64,
}

impl Counts {
    /// Everything is looked at once more. What was done is done.
    fn begin_anew(&mut self, dry_run: bool) {
        let Counts { groups, deleted, renamed, left: _, failed: _, bytes } = *self;
        *self = match dry_run {
            true => Counts::default(),
            false => Counts { groups, deleted, renamed, left: 0, failed: 0, bytes },
        };
    }

    fn json(&self) -> Value {
        json!({
            "groups": self.groups, "deleted": self.deleted, "renamed": self.renamed,
            "left": self.left, "failed": self.failed, "bytes": self.bytes,
        })
    }
}

struct Dedupe<'a> {
    console: &'a Console,
    backend: Arc<dyn Backend>,
    args: &'a DedupeArgs,
    asks: bool,
    /// Was it ended before everything was looked at?
    has_quit: bool,
    counts: Counts,
}

/// What is done with a group, newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Choice {
    Keep(usize),
    Rename,
    Leave,
    /// This one is left, and nothing else is looked at.
    Quit,
}

impl Dedupe<'_> {
    /// Deals with each folder when everything in it was found; returns the exit code of the walk. Of a folder that cannot be
    /// listed to its end it is not known which files belong together, so nothing is done in it.
    async fn walk(&mut self, mut look: Look<'_>) -> Result<u8> {
        let mut gather = Gather::new(&RelPath::root());
        while let Some(found) = look.next().await? {
            if matches!(found, Found::Anew) {
                self.counts.begin_anew(self.args.dry_run);
            }
            let Some(folder) = gather.take(found) else { continue };
            self.deal_with(folder.entries.into_iter().map(|shown| shown.entry).collect()).await?;
            if self.has_quit {
                break;
            }
        }
        Ok(look.code())
    }

    /// Deals with the entries of one folder.
    async fn deal_with(&mut self, entries: Vec<Entry>) -> Result<()> {
        let taken: Vec<RelPath> = entries.iter().map(|entry| entry.path.clone()).collect();
        let mut unwanted = Vec::new();
        for group in groups(entries, self.args.by_hash) {
            self.counts.groups += 1;
            match self.choose(&group).await? {
                Choice::Keep(kept) => {
                    let others = group.into_iter().enumerate();
                    unwanted.extend(others.filter(|(index, _)| *index != kept).map(|it| it.1));
                }
                Choice::Rename => self.rename(&group, &taken).await?,
                Choice::Leave => self.counts.left += group.len() as u64 - 1,
                Choice::Quit => {
                    self.counts.left += group.len() as u64 - 1;
                    self.has_quit = true;
                    break;
                }
            }
        }
        // What was chosen before is done.
        self.delete(unwanted).await
    }

    async fn choose(&mut self, group: &[Entry]) -> Result<Choice> {
        self.show(group)?;
        if let Some(rule) = self.args.rule {
            return Ok(choice(group, rule, self.args.by_hash));
        }
        if !self.asks {
            return Ok(Choice::Leave);
        }
        loop {
            let question = match self.args.by_hash {
                true => "keep which? its number, s to skip, q to stop:",
                false => "keep which? its number, r to rename the others, s to skip, q to stop:",
            };
            self.console.tell(Level::Error, question);
            let choice = match answer().await? {
                Some(answer) => understood(&answer, group.len(), self.args.by_hash),
                // The input has ended: no more answers will come.
                None => Some(Choice::Quit),
            };
            if let Some(choice) = choice {
                return Ok(choice);
            }
        }
    }

    fn show(&self, group: &[Entry]) -> Result<()> {
        if self.console.is_json() {
            let files: Vec<Value> = group
                .iter()
                .map(|entry| {
                    let hash = digest(entry);
                    json!({ "path": entry.path, "size": entry.size, "hash": hash })
                })
                .collect();
            let by = if self.args.by_hash { "hash" } else { "name" };
            return self.console.event("duplicates", json!({ "by": by, "files": files }));
        }
        for (index, entry) in group.iter().enumerate() {
            let time = entry.mtime.and_then(|time| Timestamp::try_from(time).ok());
            let time =
                time.map(|time| time.to_zoned(TimeZone::system()).strftime("%F %T").to_string());
            let size = entry.size.map(|size| size.to_string()).unwrap_or_default();
            let hash: String = digest(entry).unwrap_or_default().chars().take(12).collect();
            let line = format!(
                "{:>3}  {size:>12}  {:19}  {hash:12}  ",
                index + 1,
                time.unwrap_or_default()
            );
            self.console.named_line(&line, entry.path.as_str(), "")?;
        }
        self.console.flush()
    }

    async fn rename(&mut self, group: &[Entry], taken: &[RelPath]) -> Result<()> {
        let mut number = 0;
        for entry in &group[1..] {
            let to = loop {
                number += 1;
                let to = numbered(&entry.path, number)?;
                if !taken.contains(&to) {
                    break to;
                }
            };
            if self.args.dry_run {
                self.console.named_line("rename  ", entry.path.as_str(), &format!("  to {to}"))?;
            } else if let Err(error) = self.backend.rename(entry, &to).await {
                self.failed(entry, "rename", &error)?;
                continue;
            }
            self.counts.renamed += 1;
        }
        Ok(())
    }

    async fn delete(&mut self, unwanted: Vec<Entry>) -> Result<()> {
        let claims = self.backend.capabilities();
        let at_a_time = claims.gather.map_or(AT_A_TIME, |gather| gather.items);
        let at_a_time = at_a_time.max(claims.deletes_at_once);
        let (backend, dry_run) = (Arc::clone(&self.backend), self.args.dry_run);
        for some in unwanted.chunks(at_a_time.max(1)) {
            let results = match dry_run {
                true => some.iter().map(|_| Ok(())).collect(),
                false => backend.delete_all(some).await,
            };
            for (entry, result) in some.iter().zip(results) {
                if let Err(error) = result {
                    self.failed(entry, "delete", &error)?;
                    continue;
                }
                self.counts.deleted += 1;
                self.counts.bytes += entry.size.unwrap_or(0);
                let body = json!({
                    "path": entry.path, "outcome": "deleted", "reason": "asked",
                    "size": entry.size, "dry_run": dry_run,
                });
                self.console.event("file_done", body)?;
            }
        }
        Ok(())
    }

    fn failed(
        &mut self,
        entry: &Entry,
        operation: &'static str,
        error: &ketch_core::Error,
    ) -> Result<()> {
        self.counts.failed += 1;
        self.console.tell_error(&hints::told(error));
        let body = json!({
            "path": entry.path, "operation": operation, "kind": error.kind().as_str(),
            "message": error.message(), "hint": error.hint().map(Hint::as_str),
        });
        self.console.event("file_error", body)
    }
}

/// A line that a person types; `None` at the end of the input.
// CANCEL: on a thread of its own, or Ctrl-C would not be obeyed before the next line. What is typed after that is lost with
// the process.
async fn answer() -> Result<Option<String>> {
    let read = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line).map(|count| (count > 0).then_some(line))
    });
    let read = read.await.map_err(|error| Problem::other(format!("reading stopped: {error}")))?;
    read.map_err(|error| Problem::other(format!("the answer cannot be read: {error}")))
}

/// What an answer about so many files means; `None` when it makes no sense.
fn understood(answer: &str, count: usize, by_hash: bool) -> Option<Choice> {
    match answer.trim() {
        "s" | "" => Some(Choice::Leave),
        "q" => Some(Choice::Quit),
        "r" if !by_hash => Some(Choice::Rename),
        text => {
            let number = text.parse::<usize>().ok().filter(|number| (1..=count).contains(number));
            number.map(|number| Choice::Keep(number - 1))
        }
    }
}

fn digest(entry: &Entry) -> Option<String> {
    let hashes = entry.hashes.as_deref()?;
    let mut proving = HashAlgo::BY_STRENGTH.into_iter().filter(|algo| !algo.is_checksum());
    let digest = proving.find_map(|algo| hashes.get(algo))?;
    Some(digest.to_string())
}

/// The files that belong together, each group newest first.
fn groups(entries: Vec<Entry>, by_hash: bool) -> Vec<Vec<Entry>> {
    let mut all: BTreeMap<String, Vec<Entry>> = BTreeMap::new();
    for entry in entries.into_iter().filter(Entry::is_file) {
        let key = match by_hash {
            true => digest(&entry),
            false => Some(entry.path.as_str().to_owned()),
        };
        if let Some(key) = key {
            all.entry(key).or_default().push(entry);
        }
    }
    let mut groups: Vec<Vec<Entry>> = all.into_values().filter(|group| group.len() > 1).collect();
    for group in &mut groups {
        group.sort_by(|left, right| (right.mtime, &right.handle).cmp(&(left.mtime, &left.handle)));
    }
    groups
}

/// What a rule says about a group that is sorted newest first.
fn choice(group: &[Entry], rule: DedupeRule, by_hash: bool) -> Choice {
    let sizes = group.iter().map(|entry| entry.size).enumerate();
    match rule {
        DedupeRule::Newest => Choice::Keep(0),
        DedupeRule::Oldest => Choice::Keep(group.len() - 1),
        // Of several the first counts, which is the newest.
        DedupeRule::Largest => {
            let largest = sizes.rev().max_by_key(|(_, size)| *size);
            Choice::Keep(largest.map_or(0, |(index, _)| index))
        }
        DedupeRule::Smallest => {
            // An unknown size is not a small one.
            let smallest = sizes.min_by_key(|(_, size)| size.unwrap_or(u64::MAX));
            Choice::Keep(smallest.map_or(0, |(index, _)| index))
        }
        DedupeRule::Rename if by_hash => Choice::Leave,
        DedupeRule::Rename => Choice::Rename,
        DedupeRule::List => Choice::Leave,
    }
}

/// `a/f-1.txt` for `a/f.txt`.
fn numbered(path: &RelPath, number: usize) -> Result<RelPath> {
    let name = path.name().unwrap_or_default();
    let (stem, extension) = match name.rfind('.').filter(|at| *at > 0) {
        Some(at) => name.split_at(at),
        None => (name, ""),
    };
    let name = format!("{stem}-{number}{extension}");
    let parent = path.parent().unwrap_or_else(RelPath::root);
    parent.join(&name).map_err(|error| Problem::other(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    fn entry(path: &str, size: u64, seconds: u64) -> Entry {
        let mtime = Some(UNIX_EPOCH + Duration::from_secs(seconds));
        Entry { mtime, ..Entry::file(RelPath::new(path).unwrap(), size) }
    }

    #[test]
    fn each_rule_keeps_the_one_it_names() {
        let all = vec![
            entry("f", 5, 1),
            entry("g", 1, 9),
            entry("f", 9, 2),
            entry("f", 9, 3),
            entry("f", 1, 0),
        ];
        let groups = groups(all, false);
        assert_eq!(groups.len(), 1);
        let check = |rule, size, seconds| {
            let Choice::Keep(index) = choice(&groups[0], rule, false) else { panic!("{rule:?}") };
            assert_eq!(groups[0][index], entry("f", size, seconds), "{rule:?}");
        };
        check(DedupeRule::Newest, 9, 3);
        check(DedupeRule::Oldest, 1, 0);
        check(DedupeRule::Largest, 9, 3);
        check(DedupeRule::Smallest, 1, 0);
        assert_eq!(choice(&groups[0], DedupeRule::Rename, false), Choice::Rename);
        assert_eq!(choice(&groups[0], DedupeRule::List, false), Choice::Leave);
    }

    #[test]
    fn a_number_goes_before_the_ending() {
        for (path, expected) in [
            ("f", "f-2"),
            ("a/f.txt", "a/f-2.txt"),
            (".hidden", ".hidden-2"),
            ("a.tar.gz", "a.tar-2.gz"),
        ] {
            let path = RelPath::new(path).unwrap();
            assert_eq!(numbered(&path, 2).unwrap().as_str(), expected);
        }
    }
}
