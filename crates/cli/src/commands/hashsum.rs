//! `ketch hashsum`: digests in the layout of sha256sum, b3sum and rclone, printed or checked.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use ketch_core::names::{bytes_from_core, core_from_bytes};
use ketch_core::{Digest, HashAlgo, RelPath};
use ketch_engine::filter::{Filter, FilterSpec};
use ketch_engine::prove::create::{Made, What, create};
use ketch_engine::prove::{Pass, ProveSettings};
use ketch_manifest::sums::{Form, Sum, SumReader, write_line};
use serde_json::json;

use crate::args::HashsumArgs;
use crate::commands::looking::tell_anew;
use crate::commands::manifest::{prove_settings, tell_failed, tell_left_out};
use crate::context::{Context, Done};
use crate::hints;
use crate::manifest_file::unopened;
use crate::output::{Console, Level};
use crate::problem::{Problem, Result, about_file};
use crate::remotes::Opened;
use crate::settings;
use crate::text_file::is_wide;
use crate::values::is_dash;
use crate::{exit, jsonl, watch};

/// Lines of a SUM file that are in memory together.
const BATCH_LINES: usize = 100_000;

/// Prints or checks digests.
pub(crate) async fn run(context: &Context, args: &HashsumArgs) -> Result<Done> {
    let place = settings::place(&args.place)?;
    let mut remotes = context.remotes(&args.local);
    let signals = context.signals()?;
    let opened = signals.guard(remotes.open_source(&place)).await?;
    let settings =
        prove_settings(context, &args.read, &args.filter, opened.only.as_deref(), &args.cache)?;
    context.warn_of_keys(&mut remotes);
    let console = &*context.console;
    let mut counts = Counts::default();
    let work = async {
        match &args.check {
            None => print(console, args, &opened, &settings, &mut counts).await,
            Some(file) => check(console, args.digest, file, &opened, &settings, &mut counts).await,
        }
    };
    let result = watch::beside(&settings.progress, console, signals.guard(work)).await;
    context.finish_digests(&settings.digests).await;
    remotes.close().await;
    result?;
    let mut body = json!({
        "files": counts.files, "differing": counts.differing, "missing": counts.missing,
        "failed": counts.failed, "bad_lines": counts.bad_lines,
    });
    jsonl::add_digest_counts(&mut body, settings.digests.counts());
    Ok(Done::with(counts.code(), json!({ "counts": body })))
}

#[derive(Debug, Default)]
struct Counts {
    files: u64,
    differing: u64,
    missing: u64,
    failed: u64,
    bad_lines: u64,
}

impl Counts {
    fn code(&self) -> u8 {
        match (self.failed + self.bad_lines, self.differing + self.missing) {
            (0, 0) => exit::OK,
            (0, _) => exit::OTHER,
            _ => exit::PARTIAL,
        }
    }
}

async fn print(
    console: &Console,
    args: &HashsumArgs,
    opened: &Opened,
    settings: &ProveSettings,
    counts: &mut Counts,
) -> Result<()> {
    let form = if args.base64 { Form::Base64 } else { Form::Hex };
    let mut output = Ok(());
    let take = |made: Made| {
        match made {
            Made::Entry(entry) => {
                counts.files += 1;
                if let Some(digest) = entry.hashes.get(args.digest) {
                    output = show(console, &entry.path, digest, form);
                }
            }
            Made::Other(path, why, hint) => {
                tell_left_out(console, &path, &format!("left out: {why}"), hint)?;
            }
            Made::Failed(path, error) => {
                counts.failed += 1;
                tell_failed(console, &path, &error)?;
            }
        }
        // An answer that cannot be written ends it; why is told below.
        output.as_ref().map_err(|_| ketch_core::Error::cancelled()).copied()
    };
    let done = create(&opened.backend, settings, What::Digest(args.digest), None, take).await;
    output?;
    match done? {
        Pass::Done(()) => Ok(()),
        Pass::Void => {
            tell_anew(console)?;
            *counts = Counts::default();
            let settings = ProveSettings { flat: false, ..settings.clone() };
            Box::pin(print(console, args, opened, &settings, counts)).await
        }
    }
}

fn show(console: &Console, path: &RelPath, digest: &Digest, form: Form) -> Result<()> {
    if console.is_json() {
        let body =
            json!({ "path": path, "digest": digest.algo().as_str(), "value": digest.to_string() });
        return console.event("sum", body);
    }
    console.answer(&write_line(digest, &bytes_from_core(path.as_str()), form))
}

async fn check(
    console: &Console,
    algo: HashAlgo,
    file: &Path,
    opened: &Opened,
    settings: &ProveSettings,
    counts: &mut Counts,
) -> Result<()> {
    if opened.only.is_some() || !settings.filter.admits_everything() {
        let text = "--check takes a folder and no filter: the file says which files are meant";
        return Err(Problem::usage(text));
    }
    let cannot_read =
        |error: &std::io::Error| Problem { code: exit::PARTIAL, ..about_file(file, error) };
    let mut reader: Box<dyn BufRead> = match is_dash(file) {
        true => Box::new(std::io::stdin().lock()),
        false => {
            Box::new(BufReader::new(File::open(file).map_err(|error| unopened(file, &error))?))
        }
    };
    if is_wide(reader.fill_buf().map_err(|error| cannot_read(&error))?) {
        let text = format!("{}: it is UTF-16 or UTF-32: save it as UTF-8", file.display());
        return Err(Problem { code: exit::PARTIAL, ..Problem::other(text) });
    }
    let mut sums = SumReader::new(reader, algo);
    let mut has_sums = false;
    let mut has_ended = false;
    while !has_ended {
        let mut batch: HashMap<RelPath, Digest> = HashMap::new();
        while batch.len() < BATCH_LINES {
            match sums.next_line().map_err(|error| cannot_read(&error))? {
                None => {
                    has_ended = true;
                    break;
                }
                Some(Sum::Nothing) => {}
                Some(Sum::Bad) => counts.bad_lines += 1,
                Some(Sum::File(line)) => match RelPath::from_user(&core_from_bytes(&line.name)) {
                    Ok(path) if !path.is_root() => {
                        let before = batch.insert(path.clone(), line.digest.clone());
                        // Of two digests of one file one is wrong.
                        if before.is_some_and(|before| before != line.digest) {
                            counts.differing += 1;
                            tell(console, &path, "FAILED")?;
                        }
                    }
                    Ok(_) | Err(_) => counts.bad_lines += 1,
                },
            }
        }
        has_sums |= !batch.is_empty();
        if !batch.is_empty() {
            check_batch(console, algo, batch, opened, settings, counts).await?;
        }
    }
    if counts.bad_lines > 0 {
        let text = format!("{}: {} lines are no {algo} sums", file.display(), counts.bad_lines);
        console.tell_error(&text);
    }
    if !has_sums {
        let text = format!("{}: it holds no {algo} sum, so it proves nothing", file.display());
        return Err(Problem { code: exit::PARTIAL, ..Problem::other(text) });
    }
    Ok(())
}

async fn check_batch(
    console: &Console,
    algo: HashAlgo,
    mut batch: HashMap<RelPath, Digest>,
    opened: &Opened,
    settings: &ProveSettings,
    counts: &mut Counts,
) -> Result<()> {
    let names = batch.keys().map(ToString::to_string).collect();
    let spec = FilterSpec { files_from_raw: Some(names), ..FilterSpec::default() };
    let filter = Filter::new(&spec).map_err(|error| Problem::other(hints::of_filter(&error)))?;
    // A few named files are no reason to list everything.
    let settings = ProveSettings { filter: filter.into(), flat: false, ..settings.clone() };
    let mut output = Ok(());
    let take = |made: Made| {
        let (path, verdict) = match &made {
            Made::Entry(entry) => {
                let Some(expected) = batch.remove(&entry.path) else { return Ok(()) };
                counts.files += 1;
                let is_equal = entry.hashes.get(algo) == Some(&expected);
                counts.differing += u64::from(!is_equal);
                (&entry.path, if is_equal { "OK" } else { "FAILED" })
            }
            Made::Other(path, why, hint) => {
                counts.failed += u64::from(batch.remove(path).is_some());
                console.tell_error(&hints::with(&format!("{path}: {why}"), *hint));
                (path, "FAILED open or read")
            }
            Made::Failed(path, error) => {
                batch.retain(|known, _| !known.is_within(path));
                counts.failed += 1;
                tell_failed(console, path, error)?;
                (path, "FAILED open or read")
            }
        };
        output = tell(console, path, verdict);
        output.as_ref().map_err(|_| ketch_core::Error::cancelled()).copied()
    };
    let done = create(&opened.backend, &settings, What::Digest(algo), None, take).await;
    output?;
    let (Pass::Done(()) | Pass::Void) = done?;
    let mut missing: Vec<_> = batch.keys().collect();
    missing.sort_by(|left, right| left.as_str().cmp(right.as_str()));
    for path in missing {
        counts.missing += 1;
        tell(console, path, "FAILED open or read")?;
    }
    if !batch.is_empty() {
        console.tell_error(&format!("{} listed files are not there", batch.len()));
    }
    Ok(())
}

/// A line as sha256sum prints it.
fn tell(console: &Console, path: &RelPath, verdict: &str) -> Result<()> {
    if console.is_json() {
        let word = if verdict == "OK" { "equal" } else { "differs" };
        return console
            .event("sum_check", json!({ "path": path, "verdict": word, "text": verdict }));
    }
    if verdict == "OK" && !console.tells(Level::Normal) {
        return Ok(());
    }
    let (mark, name) = sum_name(path.as_str());
    console.named_line(mark, &name, &format!(": {verdict}"))
}

/// A name as a line of a SUM file has it, so that no name makes a line of its own.
fn sum_name(name: &str) -> (&'static str, Cow<'_, str>) {
    if !name.contains(['\\', '\n', '\r']) {
        return ("", Cow::Borrowed(name));
    }
    let escaped = name.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r");
    ("\\", Cow::Owned(escaped))
}
