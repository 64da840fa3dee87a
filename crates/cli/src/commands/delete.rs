//! `ketch delete`, `purge` and `rmdir`: the files below a folder, folder by folder, each only after everything in it was found.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use ketch_core::{Backend, Entry, EntryKind, Error, ErrorKind, Hint, RelPath, Special};
use ketch_engine::filter::Filter;
use ketch_engine::filter::units::{format_duration, format_size};
use ketch_engine::report::KEPT_FAILURES;
use ketch_engine::walk::{Found, Gather, Shown, Walk, WholeFolder};
use ketch_engine::{Failure, Report, Stop};
use serde_json::json;

use super::looking::{over, tell_anew};
use super::service;
use crate::args::{DeleteArgs, FilterArgs, Links, LocalArgs, RemoveArgs, RmdirArgs};
use crate::context::{Context, Done};
use crate::notices::Notices;
use crate::output::{Console, Level};
use crate::problem::{Problem, Result};
use crate::signals::Signals;
use crate::{exit, hints, jsonl, settings, summary};

/// Files deleted at the same time where the remote does not gather.
const AT_A_TIME: usize = 4;

/// Deletes, and tells what.
pub(crate) async fn run(context: &Context, args: &DeleteArgs) -> Result<Done> {
    let console = &*context.console;
    let place = settings::place(&args.place)?;
    let mut remotes = context.remotes_for_a_look(&args.local, &args.recent, true);
    let signals = context.signals()?;
    let mut opened = signals.guard(remotes.open_source(&place)).await?;
    if opened.only.is_none() {
        // One file is proven by its address. What goes with a whole folder is what is in it now.
        remotes.accept_recent(false);
        opened = signals.guard(remotes.open_source(&place)).await?;
    }
    let filter = settings::filter(&args.filter, opened.only.as_deref())?;
    context.warn_of_keys(&mut remotes);
    let start = json!({ "command": "delete", "place": place.redacted(), "dry_run": args.dry_run });
    console.event("start", start)?;
    let started = Instant::now();
    let mut deleter = Deleter {
        console,
        backend: opened.backend,
        filter,
        dry_run: args.dry_run,
        rmdirs: args.rmdirs && opened.only.is_none(),
        takes_specials: false,
        top: None,
        stop: &signals.stop,
        report: Report::default(),
        passed_over: 0,
        notices: Notices::default(),
        gone: HashSet::new(),
    };
    let work = async {
        match &opened.only {
            Some(name) => deleter.delete_one(name).await,
            None => deleter.delete_below().await,
        }
    };
    let result = tokio::select! {
        result = work => result,
        () = signals.stop.now.cancelled() => Ok(()),
    };
    let done = deleter.finish(&signals, started);
    remotes.close().await;
    result?;
    Ok(done)
}

/// Deletes a folder with everything in it: links themselves and never what they point to, pipes, sockets and devices.
pub(crate) async fn purge(context: &Context, args: &RemoveArgs) -> Result<Done> {
    let console = &*context.console;
    let keep = LocalArgs { links: Some(Links::Keep), ..LocalArgs::default() };
    let mut remotes = context.remotes(&keep);
    let signals = context.signals()?;
    let place = settings::place(&args.place)?;
    let place = signals.guard(remotes.meant(&place)).await?;
    let thing = signals.guard(service::find(&mut remotes, &place)).await?;
    context.warn_of_keys(&mut remotes);
    if !thing.entry.is_dir() {
        let place = place.redacted();
        let text = match thing.entry.kind {
            EntryKind::Link => format!(
                "{place} is a symbolic link: nothing behind it is purged (`rm` removes the link)"
            ),
            _ => format!("{place} is not a folder (`ketch delete` deletes files)"),
        };
        return Err(Problem { code: exit::NO_FOLDER, ..Problem::other(text) });
    }
    let start = json!({ "command": "purge", "place": place.redacted(), "dry_run": args.dry_run });
    console.event("start", start)?;
    let started = Instant::now();
    let filter = settings::filter(&FilterArgs::default(), None)?;
    // What a catalogue of the folder holds is only seen from within.
    let kept = thing.backend.capabilities();
    let (backend, top) = match kept.links && !kept.read_local && !place.path.is_empty() {
        true => {
            let inside = signals.guard(remotes.open(&place)).await?;
            let top = signals.guard(async { Ok(inside.stat(&RelPath::root()).await?) }).await?;
            (inside, top)
        }
        false => (thing.backend, thing.entry),
    };
    let mut deleter = Deleter {
        console,
        backend,
        filter,
        dry_run: args.dry_run,
        rmdirs: true,
        takes_specials: true,
        top: Some(top),
        stop: &signals.stop,
        report: Report::default(),
        passed_over: 0,
        notices: Notices::default(),
        gone: HashSet::new(),
    };
    let result = tokio::select! {
        result = deleter.delete_below() => result,
        () = signals.stop.now.cancelled() => Ok(()),
    };
    let done = deleter.finish(&signals, started);
    remotes.close().await;
    result?;
    Ok(done)
}

/// Deletes a folder that is empty.
pub(crate) async fn rmdir(context: &Context, args: &RmdirArgs) -> Result<Done> {
    let RmdirArgs { recent, remove: args } = args;
    let place = settings::place(&args.place)?;
    let mut remotes = context.remotes_for_a_look(&LocalArgs::default(), recent, false);
    let signals = context.signals()?;
    let work = async {
        let thing = service::find(&mut remotes, &place).await?;
        if !thing.entry.is_dir() {
            let text = format!("{} is not a folder", place.redacted());
            return Err(Problem { code: exit::NO_FOLDER, ..Problem::other(text) });
        }
        if args.dry_run {
            return context.console.named_line("delete  ", &place.redacted(), "");
        }
        match thing.backend.delete_one(&thing.entry).await {
            Err(error) if error.kind() == ErrorKind::InvalidInput => Err(Problem::other(format!(
                "{error} (`ketch purge` deletes a folder with what is in it)"
            ))),
            result => Ok(result?),
        }
    };
    signals.guard(work).await?;
    context.warn_of_keys(&mut remotes);
    remotes.close().await;
    Ok(Done::ok())
}

fn line(report: &Report, passed_over: u64, dry_run: bool) -> String {
    let verb = if dry_run { "would delete" } else { "deleted" };
    let (count, bytes) = (report.deleted, format_size(report.bytes));
    let failed =
        if report.failed > 0 { format!(", failed {}", report.failed) } else { String::new() };
    let passed =
        if passed_over > 0 { format!(", passed over {passed_over}") } else { String::new() };
    let stopped = if report.stopped { "stopped: " } else { "" };
    let time = format_duration(report.elapsed);
    format!("{stopped}{verb} {count} ({bytes}){failed}{passed}, in {time}")
}

struct Deleter<'a> {
    console: &'a Console,
    backend: Arc<dyn Backend>,
    filter: Arc<Filter>,
    dry_run: bool,
    rmdirs: bool,
    /// What is neither a file, a folder nor a link goes, too.
    takes_specials: bool,
    /// The folder below which everything goes, and then itself; `None` = the root of the backend, which stays.
    top: Option<Entry>,
    stop: &'a Stop,
    report: Report,
    /// What was left alone although no filter says so.
    passed_over: u64,
    notices: Notices,
    /// Folders that were deleted, until the one that they are in is dealt with.
    gone: HashSet<RelPath>,
}

impl Deleter<'_> {
    /// Tells how it went.
    fn finish(self, signals: &Signals, started: Instant) -> Done {
        let Deleter { console, dry_run, mut report, passed_over, notices, .. } = self;
        notices.finish(console);
        report.stopped = signals.stop.is_stopping();
        report.elapsed = started.elapsed();
        let code = exit::of_report(&report, signals.code());
        let code = exit::with_passed_over(code, passed_over);
        let level = if code == exit::OK { Level::Normal } else { Level::Error };
        console.tell(level, &line(&report, passed_over, dry_run));
        summary::tell_failures(console, &report);
        let error = jsonl::Fatal::of(report.fatal.as_ref());
        let mut counts = jsonl::counts(&report);
        counts["passed_over"] = passed_over.into();
        Done::with(
            code,
            json!({
                "dry_run": dry_run, "counts": counts, "error": error.text,
                "hint": error.hint,
                "stopped": report.stopped, "seconds": report.elapsed.as_secs_f64(),
            }),
        )
    }

    async fn delete_one(&mut self, name: &str) -> Result<()> {
        let path = RelPath::new(name).map_err(|error| Problem::usage(error.to_string()))?;
        let entry = self.backend.stat(&path).await?;
        if !self.backend.capabilities().duplicates {
            return self.delete(&entry).await.map(|_| ());
        }
        // Whoever names a file wants nothing of that name to be left.
        let mut same = service::same_name(&self.backend, &entry).await?;
        if same.is_empty() {
            same.push(entry);
        }
        for entry in same.iter().filter(|entry| entry.has_content()) {
            self.delete(entry).await?;
        }
        Ok(())
    }

    /// Held in memory: what is in the folders on the current path.
    async fn delete_below(&mut self) -> Result<()> {
        let top = self.top.as_ref().map_or_else(RelPath::root, |top| top.path.clone());
        let walk = Walk { top: top.clone(), ..over(&self.backend, &self.filter) };
        let (mut walking, mut gather) = (walk.start(), Gather::new(&top));
        while let Some(found) = walking.next().await {
            if self.is_ending() {
                return Ok(());
            }
            let found = match found {
                Ok(found) => found,
                // Without the top folder there is nothing, and of some errors it is known that every folder would give them.
                Err(error) => {
                    self.failed(&top, "list", &error)?;
                    if error.is_fatal() || top.is_root() {
                        self.report.fatal.get_or_insert(error);
                    }
                    break;
                }
            };
            match &found {
                Found::Failed { dir, error } => self.failed(dir, "list", error)?,
                Found::Anew => self.begin_anew()?,
                Found::Entry(_) | Found::End { .. } => {}
            }
            // ORDER: nothing is deleted in a folder before everything in it was found.
            if let Some(folder) = gather.take(found) {
                self.empty_folder(folder).await?;
            }
        }
        Ok(())
    }

    /// Deletes what is to be deleted in a folder, and then the folder itself if that is wanted and nothing in it stays.
    async fn empty_folder(&mut self, folder: WholeFolder) -> Result<()> {
        let WholeFolder { dir: _, entry, entries, has_others } = folder;
        // What takes no part was asked to stay.
        let mut stays = has_others;
        let mut files = Vec::new();
        for Shown { entry, .. } in entries {
            match entry.kind {
                EntryKind::Dir => stays |= !self.gone.remove(&entry.path),
                EntryKind::File | EntryKind::Link => files.push(entry),
                EntryKind::Special(_) if self.takes_specials => files.push(entry),
                EntryKind::Special(special) => {
                    stays = true;
                    self.pass_over(&entry, special)?;
                }
            }
        }
        let (backend, dry_run) = (Arc::clone(&self.backend), self.dry_run);
        let stop = self.stop;
        let claims = self.backend.capabilities();
        let at_a_time = claims.gather.map_or(AT_A_TIME, |gather| gather.items);
        let at_a_time = at_a_time.max(claims.deletes_at_once);
        for some in files.chunks(at_a_time.max(1)) {
            if stop.is_stopping() {
                break;
            }
            let results = match dry_run {
                true => some.iter().map(|_| Ok(())).collect(),
                false => backend.delete_all(some).await,
            };
            for (entry, result) in some.iter().zip(results) {
                stays |= !self.outcome(entry, result)?;
            }
        }
        stays |= self.is_ending();
        // The root of the backend stays, unless it is what is purged.
        match entry.or_else(|| self.top.clone()) {
            Some(dir) if self.rmdirs && !stays && self.delete(&dir).await? => {
                self.gone.insert(dir.path);
            }
            Some(_) | None => {}
        }
        Ok(())
    }

    /// Everything is found once more. What is deleted is deleted.
    fn begin_anew(&mut self) -> Result<()> {
        tell_anew(self.console)?;
        self.gone.clear();
        if self.dry_run {
            (self.report.deleted, self.report.bytes) = (0, 0);
        }
        self.passed_over = 0;
        self.report.failed = 0;
        self.report.failures.clear();
        Ok(())
    }

    /// Deletes one thing; says whether it is gone.
    async fn delete(&mut self, entry: &Entry) -> Result<bool> {
        let result = if self.dry_run { Ok(()) } else { self.backend.delete_one(entry).await };
        self.outcome(entry, result)
    }

    fn pass_over(&mut self, entry: &Entry, special: Special) -> Result<()> {
        self.passed_over += 1;
        let (path, hint) = (entry.path.as_str(), special.hint());
        let text = format!("not deleted: {}", special.describe());
        self.notices.tell(self.console, Some(path), &hints::with(&text, hint));
        let body = json!({ "path": path, "text": text, "hint": hint.map(Hint::as_str) });
        self.console.event("notice", body)
    }

    fn outcome(&mut self, entry: &Entry, result: ketch_core::Result<()>) -> Result<bool> {
        if let Err(error) = result {
            self.failed(&entry.path, "delete", &error)?;
            if error.is_fatal() {
                self.report.fatal.get_or_insert(error);
            }
            return Ok(false);
        }
        self.report.deleted += 1;
        self.report.bytes += entry.size.unwrap_or(0);
        let (path, end) = (entry.path.as_str(), if entry.is_dir() { "/" } else { "" });
        let body = json!({
            "path": path, "outcome": "deleted", "reason": "asked", "size": entry.size,
            "dry_run": self.dry_run,
        });
        self.console.event("file_done", body)?;
        if self.dry_run && !self.console.is_json() {
            self.console.named_line("delete  ", path, end)?;
        } else {
            self.console.tell(Level::Item, &format!("deleted  {path}{end}"));
        }
        Ok(true)
    }

    fn failed(&mut self, path: &RelPath, operation: &'static str, error: &Error) -> Result<()> {
        let failure = Failure::new(path, operation, error);
        let body = json!({
            "path": path, "operation": operation, "kind": error.kind().as_str(),
            "message": failure.message, "hint": failure.hint.map(Hint::as_str),
        });
        self.console.event("file_error", body)?;
        self.report.failed += 1;
        if self.report.failures.len() < KEPT_FAILURES {
            self.report.failures.push(failure);
        }
        Ok(())
    }

    fn is_ending(&self) -> bool {
        self.stop.is_stopping() || self.report.fatal.is_some()
    }
}
