//! `ketch manifest create`, `update` and `diff`, and the manifest that a `copy` leaves.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use ketch_core::{Backend, Error, ErrorKind, Hint, RelPath};
use ketch_engine::filter::units::format_size;
use ketch_engine::prove::create::{Made, Older, What, create};
use ketch_engine::prove::{Pass, ProveSettings};
use ketch_manifest::compress::Compressor;
use ketch_manifest::diff::{Difference, diff};
use ketch_manifest::{ManifestEntry, ManifestWriter, Totals};
use serde_json::{Value, json};

use crate::args::{
    CacheArgs, FilterArgs, LocalArgs, ManifestCreateArgs, ManifestDiffArgs, ManifestUpdateArgs,
    RawPlace, ReadArgs,
};
use crate::commands::looking::tell_anew;
use crate::context::{Context, Done};
use crate::hints;
use crate::manifest_file::{Output, Signer, entries, names_within, open};
use crate::output::{Console, Level};
use crate::problem::{Problem, Result, about_file};
use crate::settings;
use crate::signals::Signals;
use crate::values::is_dash;
use crate::{exit, jsonl, watch};

/// How files are read, for all commands of this kind.
pub(super) fn prove_settings(
    context: &Context,
    read: &ReadArgs,
    filter: &FilterArgs,
    only: Option<&str>,
    cache: &CacheArgs,
) -> Result<ProveSettings> {
    Ok(ProveSettings {
        filter: settings::filter(filter, only)?,
        checkers: settings::checkers(read.checkers),
        download: read.download,
        bandwidth: settings::bandwidth(&read.bwlimit)?,
        digests: context.digests(cache),
        ..ProveSettings::default()
    })
}

/// Makes a manifest.
pub(crate) async fn run_create(context: &Context, args: &ManifestCreateArgs) -> Result<Done> {
    let job = Writing {
        place: &args.place,
        output: &args.output,
        sign: args.sign.as_deref(),
        read: &args.read,
        filter: &args.filter,
        cache: &args.cache,
        local: &args.local,
    };
    job.run(context, None).await
}

/// Brings a manifest up to date.
pub(crate) async fn run_update(context: &Context, args: &ManifestUpdateArgs) -> Result<Done> {
    let older = OldManifest::open(&args.manifest)?;
    let job = Writing {
        place: &args.place,
        output: args.output.as_ref().unwrap_or(&args.manifest),
        sign: args.sign.as_deref(),
        read: &args.read,
        filter: &args.filter,
        cache: &args.cache,
        local: &args.local,
    };
    job.run(context, Some(older)).await
}

/// The manifest that is brought up to date. Each pass reads it from its beginning.
pub(super) struct OldManifest<'a> {
    path: &'a Path,
    next: Option<Older>,
}

impl<'a> OldManifest<'a> {
    fn open(path: &'a Path) -> Result<Self> {
        Ok(OldManifest { path, next: Some(older(path)?) })
    }

    /// For the next pass.
    fn take(&mut self) -> Result<Older> {
        match self.next.take() {
            Some(older) => Ok(older),
            None => older(self.path),
        }
    }
}

fn older(path: &Path) -> Result<Older> {
    let (reader, _) = open(path, None)?;
    let mut next = entries(reader, path);
    let mut waiting: Option<ManifestEntry> = None;
    // Both are in key order, so what is behind is not there any more.
    Ok(Box::new(move |path: &RelPath| {
        loop {
            let entry = match waiting.take() {
                Some(entry) => entry,
                None => match next().transpose()? {
                    Some(entry) => entry,
                    None => return Ok(None),
                },
            };
            match entry.path.as_str().cmp(path.as_str()) {
                std::cmp::Ordering::Less => {}
                std::cmp::Ordering::Equal => return Ok(Some(entry)),
                std::cmp::Ordering::Greater => {
                    waiting = Some(entry);
                    return Ok(None);
                }
            }
        }
    }))
}

struct Writing<'a> {
    place: &'a RawPlace,
    output: &'a Path,
    sign: Option<&'a Path>,
    read: &'a ReadArgs,
    filter: &'a FilterArgs,
    cache: &'a CacheArgs,
    local: &'a LocalArgs,
}

impl Writing<'_> {
    async fn run(self, context: &Context, older: Option<OldManifest<'_>>) -> Result<Done> {
        let place = settings::place(self.place)?;
        let file = ManifestFile::open(context, self.output, self.sign)?;
        let mut remotes = context.remotes(self.local);
        let signals = context.signals()?;
        let opened = signals.guard(remotes.open_source(&place)).await?;
        let only = opened.only.as_deref();
        let settings = ProveSettings {
            except: names_within(self.output, remotes.local_folder(&place)?.as_deref()),
            ..prove_settings(context, self.read, self.filter, only, self.cache)?
        };
        context.warn_of_keys(&mut remotes);
        let written =
            file.write(context, &signals, &opened.backend, &settings, older, place.redacted());
        let written = written.await;
        context.finish_digests(&settings.digests).await;
        remotes.close().await;
        let written = written?;
        let mut counts = written.counts();
        jsonl::add_digest_counts(&mut counts, settings.digests.counts());
        let root = written.totals.root;
        Ok(Done::with(exit::OK, json!({ "root": root, "counts": counts })))
    }
}

/// A manifest that is going to be written.
pub(super) struct ManifestFile<'a> {
    path: &'a Path,
    output: Output,
    signer: Option<Signer>,
}

/// What was written.
pub(super) struct Written {
    pub(super) totals: Totals,
    left_out: u64,
}

impl Written {
    pub(super) fn counts(&self) -> Value {
        json!({
            "entries": self.totals.entries, "bytes": self.totals.bytes, "left_out": self.left_out,
        })
    }
}

impl<'a> ManifestFile<'a> {
    /// Makes sure that it can be written and signed, before anything is read for it.
    pub(super) fn open(context: &Context, path: &'a Path, sign: Option<&Path>) -> Result<Self> {
        if is_dash(path) && (context.console.is_json() || sign.is_some()) {
            return Err(Problem::usage(
                "a manifest on standard output leaves no room for --json and --sign",
            ));
        }
        let signer = sign.map(|path| Signer::open(context, path)).transpose()?;
        Ok(ManifestFile { path, output: Output::open(path)?, signer })
    }

    /// Writes down what `backend` holds. Without all of it there is no manifest, and an older one stays.
    pub(super) async fn write(
        self,
        context: &Context,
        signals: &Signals,
        backend: &Arc<dyn Backend>,
        settings: &ProveSettings,
        mut older: Option<OldManifest<'_>>,
        place: String,
    ) -> Result<Written> {
        let console = &*context.console;
        let mut settings = settings.clone();
        let written = loop {
            let older = older.as_mut().map(OldManifest::take).transpose()?;
            let writing = self.fill(context, signals, (backend, &settings), older, place.clone());
            match writing.await? {
                Pass::Done(written) => break written,
                Pass::Void => {
                    tell_anew(console)?;
                    self.output.begin_anew()?;
                    settings.flat = false;
                }
            }
        };
        let totals = &written.totals;
        let signature =
            self.signer.as_ref().map(|signer| signer.sign(&self.output, totals)).transpose()?;
        self.output.keep(signature.as_deref())?;
        let bytes = format_size(totals.bytes);
        console.tell(
            Level::Normal,
            &format!("manifest: {} files ({bytes}), root {}", totals.entries, totals.root),
        );
        Ok(written)
    }

    /// Writes the content.
    async fn fill(
        &self,
        context: &Context,
        signals: &Signals,
        (backend, settings): (&Arc<dyn Backend>, &ProveSettings),
        older: Option<Older>,
        place: String,
    ) -> Result<Pass<Written>> {
        let console = &*context.console;
        let cannot_write = |error: &dyn std::fmt::Display| about_file(self.path, error);
        let compressor = Compressor::by_name(self.path, self.output.writer(&context.console)?)
            .map_err(|error| cannot_write(&error))?;
        let created =
            ManifestEntry::nanoseconds(SystemTime::now()).map(|time| time / 1_000_000_000);
        let mut writer = ManifestWriter::begin(compressor, created, Some(place))
            .map_err(|error| cannot_write(&error))?;
        let (mut failed, mut left_out) = (0_u64, 0_u64);
        let take = |made: Made| {
            match made {
                Made::Entry(entry) => {
                    writer
                        .push(&entry)
                        .map_err(|error| Error::new(ErrorKind::Io, error.to_string()))?;
                }
                Made::Other(path, why, hint) => {
                    left_out += 1;
                    tell_left_out(console, &path, &format!("not in the manifest: {why}"), hint)?;
                }
                Made::Failed(path, error) => {
                    failed += 1;
                    tell_failed(console, &path, &error)?;
                }
            }
            Ok(())
        };
        let work = async { Ok(create(backend, settings, What::Manifest, older, take).await?) };
        match watch::beside(&settings.progress, console, signals.guard(work)).await? {
            Pass::Done(()) => {}
            Pass::Void => return Ok(Pass::Void),
        }
        if failed > 0 {
            let text = format!(
                "{failed} files could not be read, so there is no new manifest at {}",
                self.path.display()
            );
            return Err(Problem { code: exit::PARTIAL, ..Problem::other(text) });
        }
        let (compressor, totals) = writer.finish().map_err(|error| cannot_write(&error))?;
        compressor.finish().map_err(|error| cannot_write(&error))?;
        Ok(Pass::Done(Written { totals, left_out }))
    }
}

/// Tells that a file or a folder could not be read.
pub(super) fn tell_failed(console: &Console, path: &RelPath, error: &Error) -> Result<(), Error> {
    console.tell_error(&with_path(path, error));
    let body = json!({
        "path": path, "operation": "read", "kind": error.kind().as_str(),
        "message": error.to_string(), "hint": error.hint().map(Hint::as_str),
    });
    console.event("file_error", body).map_err(|_| Error::cancelled())
}

/// Tells that something has no part in the answer, and why.
pub(super) fn tell_left_out(
    console: &Console,
    path: &RelPath,
    text: &str,
    hint: Option<Hint>,
) -> Result<(), Error> {
    console.tell_notice(&hints::with(&format!("{path}: {text}"), hint));
    let body = json!({ "path": path, "text": text, "hint": hint.map(Hint::as_str) });
    console.event("notice", body).map_err(|_| Error::cancelled())
}

pub(super) fn with_path(path: &RelPath, error: &Error) -> String {
    match error.path() {
        Some(_) => hints::told(error),
        None => format!("{path}: {}", hints::told(error)),
    }
}

/// Compares two manifests.
pub(crate) fn run_diff(context: &Context, args: &ManifestDiffArgs) -> Result<Done> {
    let console = &*context.console;
    let ((first, _), (second, _)) = (open(&args.first, None)?, open(&args.second, None)?);
    let (mut same, mut touched, mut changed, mut removed, mut added, mut unknown) =
        (0_u64, 0_u64, 0_u64, 0_u64, 0_u64, 0_u64);
    diff(first, second, |entry, difference| {
        let (count, mark, word) = match difference {
            Difference::Same => (&mut same, '=', "same"),
            Difference::Touched => (&mut touched, '~', "touched"),
            Difference::Changed => (&mut changed, '*', "changed"),
            Difference::OnlyFirst => (&mut removed, '-', "removed"),
            Difference::OnlySecond => (&mut added, '+', "added"),
            Difference::Unknown => (&mut unknown, '!', "unverifiable"),
        };
        *count += 1;
        if difference == Difference::Same {
            return Ok(());
        }
        if console.is_json() {
            return console.event("difference", json!({ "path": entry.path, "difference": word }));
        }
        console.named_line(&format!("{mark} "), entry.path.as_str(), &format!("  ({word})"))
    })?;
    let code = match (unknown, changed + removed + added) {
        (0, 0) => exit::OK,
        (0, _) => exit::OTHER,
        _ => exit::PARTIAL,
    };
    let counts = json!({
        "same": same, "touched": touched, "changed": changed, "removed": removed, "added": added,
        "unverifiable": unknown,
    });
    Ok(Done::with(code, json!({ "counts": counts })))
}
