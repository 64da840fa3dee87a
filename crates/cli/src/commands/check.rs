//! `ketch check`.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ketch_core::names::bytes_from_core;
use ketch_core::{Entry, Error, ErrorKind};
use ketch_engine::check::CheckSettings;
use ketch_engine::event::Event;
use ketch_engine::file::close_once;
use ketch_engine::report::{Evidence, Verdict};
use ketch_engine::{CheckReport, Compare, Settings};
use serde_json::json;

use super::looking::tell_anew;
use super::service::path;
use crate::args::CheckArgs;
use crate::context::{Context, Done};
use crate::hints;
use crate::location::Location;
use crate::notices::Notices;
use crate::output::{Console, Level};
use crate::problem::{Problem, Result, about_file};
use crate::remotes::Opened;
use crate::settings;
use crate::signals::Signals;
use crate::values::is_dash;
use crate::{exit, jsonl, summary, watch};

/// Runs the check and tells what it finds.
pub(crate) async fn run(context: &Context, args: &CheckArgs) -> Result<Done> {
    let console = &*context.console;
    let (source_place, destination_place) =
        (settings::place(&args.source)?, settings::place(&args.destination)?);
    let speed = settings::for_speed(&args.speed)?;
    let spec = crate::filters::spec(&args.filter, jiff::Timestamp::now())?;
    let mut lists = Lists::open(args, console)?;
    let mut remotes = context.remotes(&args.local);
    let signals = context.signals()?;
    let both = remotes.open_to_compare(&source_place, &destination_place);
    let (source, destination) = signals.guard(both).await?;
    let pair = pair(&source, &destination, (&source_place, &destination_place), &signals).await?;
    let destination = destination.backend;
    let digests = context.digests(&args.cache);
    let mut check_settings = CheckSettings {
        settings: Settings {
            digests: digests.clone(),
            jobs: context.open_jobs(),
            filter: settings::compile(spec, source.only.as_deref())?,
            compare: if args.size_only { Compare::SizeOnly } else { Compare::SizeAndTime },
            ..speed
        },
        one_way: args.one_way,
        download: args.download,
        digest: args.digest,
        marks: None,
        pair,
        equal_is_silent: !lists.want('=') && !console.tells(Level::Item) && !console.is_json(),
    };
    // Without a cache everything is read anew.
    if args.download && !args.cache.no_cache {
        let how = check_settings.identity(&*source.backend, &*destination);
        let (left, right) = (source.backend.location(), destination.location());
        check_settings.marks = context.marks(&["check", &left, &right, &how]);
    }
    context.warn_of_keys(&mut remotes);
    let start = json!({
        "command": "check", "source": source_place.redacted(),
        "destination": destination_place.redacted(), "dry_run": false,
    });
    console.event("start", start)?;

    let stop = signals.stop.clone();
    let mut job = ketch_engine::check::start(source.backend, destination, check_settings, stop);
    let progress = job.progress.clone();
    let mut notices = Notices::default();
    let followed = watch::follow(&mut job.events, &progress, console, &signals, |event| {
        take(console, &mut lists, &mut notices, event)
    });
    let followed = followed.await;
    let report = watch::end(job.report(), &signals).await.unwrap_or_else(|| CheckReport {
        stopped: true,
        fatal: Some(Error::new(ErrorKind::Cancelled, "the check did not end in time and was left")),
        ..CheckReport::default()
    });
    notices.finish(console);
    context.tell_of_cache(&digests);
    summary::tell_check(console, &report);
    remotes.close().await;
    followed?;
    lists.finish()?;
    let error = jsonl::Fatal::of(report.fatal.as_ref());
    Ok(Done::with(
        exit::of_check(&report, signals.code()),
        json!({
            "counts": jsonl::check_counts(&report), "error": error.text, "hint": error.hint, "stopped": report.stopped,
            "seconds": report.elapsed.as_secs_f64(),
        }),
    ))
}

/// The two files, where both places name one.
///
/// Errors: when the source is a folder and the destination a file.
async fn pair(
    source: &Opened,
    destination: &Opened,
    places: (&Location, &Location),
    signals: &Signals,
) -> Result<Option<Box<(Entry, Entry)>>> {
    match (&source.only, &destination.only) {
        (Some(left), Some(right)) => {
            let (left, right) = (path(left)?, path(right)?);
            let both = async {
                Ok((source.backend.stat(&left).await?, destination.backend.stat(&right).await?))
            };
            Ok(Some(Box::new(signals.guard(both).await?)))
        }
        (None, Some(_)) => {
            let (source, destination) = (places.0.redacted(), places.1.redacted());
            let text = format!("{source} is a folder and {destination} is a file");
            Err(Problem { code: exit::NO_FOLDER, ..Problem::other(text) })
        }
        (_, None) => Ok(None),
    }
}

/// Tells of one event.
fn take(console: &Console, lists: &mut Lists, notices: &mut Notices, event: Event) -> Result<()> {
    if console.is_json()
        && let Some((kind, body)) = jsonl::event(&event, false)
    {
        console.event(kind, body)?;
    }
    if let Event::Checked { path, verdict } = &event {
        lists.write(path.as_str(), verdict)?;
        return tell(console, lists, path.as_str(), verdict);
    }
    if matches!(event, Event::Anew) {
        tell_anew(console)?;
        return lists.begin_anew();
    }
    notices.take(console, &event);
    Ok(())
}

/// rclone's mark of a verdict.
fn mark(verdict: &Verdict) -> char {
    match verdict {
        Verdict::Equal(_) => '=',
        Verdict::SizeDiffers
        | Verdict::HashDiffers(_)
        | Verdict::ClaimDiffers(_)
        | Verdict::ContentDiffers => '*',
        Verdict::MissingOnSource => '-',
        Verdict::MissingOnDestination => '+',
        Verdict::Unverifiable(..) | Verdict::Error(..) | Verdict::NotStorable(..) => '!',
    }
}

/// Prints what is no match; with `-v` also what is.
fn tell(console: &Console, lists: &Lists, path: &str, verdict: &Verdict) -> Result<()> {
    let text = match verdict {
        Verdict::Equal(Evidence::Digest(algo)) => format!("equal by {algo}"),
        Verdict::Equal(Evidence::Content) => "equal byte for byte".to_owned(),
        Verdict::Equal(Evidence::Remembered(Some(algo))) => format!("equal by remembered {algo}"),
        Verdict::Equal(Evidence::Remembered(None)) => {
            "equal when both were last read, and not changed since".to_owned()
        }
        Verdict::Equal(Evidence::Claimed(algo)) => {
            format!("equal by a {algo} that is only claimed")
        }
        Verdict::Equal(Evidence::Size) => "equal in size".to_owned(),
        Verdict::SizeDiffers => "sizes differ".to_owned(),
        Verdict::HashDiffers(algo) => format!("{algo} digests differ"),
        Verdict::ClaimDiffers(algo) => format!("the {algo} that is only claimed differs"),
        Verdict::ContentDiffers => "contents differ".to_owned(),
        Verdict::MissingOnSource => "not at the source".to_owned(),
        Verdict::MissingOnDestination => "not at the destination".to_owned(),
        Verdict::Unverifiable(why, hint) | Verdict::Error(_, why, hint) => hints::with(why, *hint),
        Verdict::NotStorable(why, hint) => hints::with(&format!("not compared: {why}"), *hint),
    };
    let mark = mark(verdict);
    if let Verdict::Equal(_) = verdict {
        console.tell(Level::Item, &format!("{mark} {path}  ({text})"));
        return Ok(());
    }
    // Lists that go to standard output are the answer then.
    if console.is_json() || lists.uses_stdout {
        return Ok(());
    }
    console.named_line(&format!("{mark} "), path, &format!("  ({text})"))
}

/// What is no file, such as a pipe, keeps what it has.
fn begin_file_anew(file: &mut File) -> std::io::Result<()> {
    match file.metadata()?.is_file() {
        true => file.set_len(0).and_then(|()| file.rewind()),
        false => Ok(()),
    }
}

/// Where lists of paths go.
struct Lists<'a> {
    lists: Vec<List<'a>>,
    uses_stdout: bool,
}

struct List<'a> {
    marks: &'static str,
    with_mark: bool,
    target: Target<'a>,
}

#[derive(Clone)]
enum Target<'a> {
    Stdout(&'a Console),
    File(PathBuf, Arc<Mutex<BufWriter<File>>>),
}

impl<'a> Lists<'a> {
    /// Makes all files, so that a mistake shows before anything is read.
    fn open(args: &CheckArgs, console: &'a Console) -> Result<Self> {
        let wanted = [
            (&args.combined, "=-+*!", true),
            (&args.matching, "=", false),
            (&args.differ, "*", false),
            (&args.missing_on_src, "-", false),
            (&args.missing_on_dst, "+", false),
            (&args.error, "!", false),
        ];
        let mut open: HashMap<&Path, Target<'a>> = HashMap::new();
        let mut lists = Lists { lists: Vec::new(), uses_stdout: false };
        for (path, marks, with_mark) in wanted {
            let Some(path) = path else { continue };
            if is_dash(path) && console.is_json() {
                return Err(Problem::usage(
                    "`-` and --json both mean standard output: give one of them",
                ));
            }
            let target = match open.get(path.as_path()) {
                Some(target) => target.clone(),
                None if is_dash(path) => Target::Stdout(console),
                None => {
                    let file = File::create(path).map_err(|error| about_file(path, &error))?;
                    Target::File(path.clone(), Arc::new(Mutex::new(BufWriter::new(file))))
                }
            };
            open.insert(path, target.clone());
            lists.uses_stdout |= is_dash(path);
            lists.lists.push(List { marks, with_mark, target });
        }
        Ok(lists)
    }

    /// Is there a list of what has this mark?
    fn want(&self, mark: char) -> bool {
        self.lists.iter().any(|list| list.marks.contains(mark))
    }

    fn write(&mut self, path: &str, verdict: &Verdict) -> Result<()> {
        let mark = mark(verdict);
        for list in self.lists.iter().filter(|list| list.marks.contains(mark)) {
            let before = if list.with_mark { format!("{mark} ") } else { String::new() };
            match &list.target {
                Target::Stdout(console) => console.named_line(&before, path, "")?,
                Target::File(name, file) => {
                    let line = [before.as_bytes(), &bytes_from_core(path), b"\n"].concat();
                    let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
                    file.write_all(&line).map_err(|error| about_file(name, &error))?;
                }
            }
        }
        Ok(())
    }

    /// Forgets what was written, which does not count. What went to standard output is there.
    fn begin_anew(&mut self) -> Result<()> {
        for list in &self.lists {
            if let Target::File(name, file) = &list.target {
                let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
                let flushed = file.flush();
                let emptied = flushed.and_then(|()| begin_file_anew(file.get_mut()));
                emptied.map_err(|error| about_file(name, &error))?;
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<()> {
        for list in self.lists {
            if let Target::File(name, file) = list.target {
                let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
                let written = file.flush().and_then(|()| close_once(file.get_ref()));
                written.map_err(|error| about_file(&name, &error))?;
            }
        }
        Ok(())
    }
}
