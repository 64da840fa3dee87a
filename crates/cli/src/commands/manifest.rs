//! `ketch manifest create`, `update` and `diff`, and how manifests are opened, checked and signed.

use std::fs::File;
use std::io::{BufReader, BufWriter, Seek, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use ketch_core::{Error, ErrorKind, RelPath};
use ketch_engine::filter::units::format_size;
use ketch_engine::prove::ProveSettings;
use ketch_engine::prove::create::{Made, Older, What, create};
use ketch_manifest::compress::{Compressor, decompress};
use ketch_manifest::diff::{Difference, diff};
use ketch_manifest::{ManifestEntry, ManifestReader, ManifestWriter, ReadError, Totals, sign};
use secrecy::ExposeSecret;
use serde_json::json;
use tempfile::NamedTempFile;

use crate::args::{
    CacheArgs, FilterArgs, LocalArgs, ManifestCreateArgs, ManifestDiffArgs, ManifestUpdateArgs,
    RawPlace, ReadArgs,
};
use crate::context::{Context, Done};
use crate::output::Level;
use crate::problem::{Problem, Result};
use crate::settings::{self, is_dash};
use crate::{exit, secrets};

/// A manifest whose content has been checked once.
pub(super) type Reader = ManifestReader<Box<dyn std::io::BufRead + Send>>;

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
        checkers: usize::from(read.checkers),
        download: read.download,
        bandwidth: settings::bandwidth(&read.bwlimit)?,
        digests: context.digests(cache),
    })
}

/// Opens a manifest after reading all of it once: its form, its totals, and with `key` its signature. What is read afterwards
/// is checked again on the way, so that it cannot become another in between.
pub(super) fn open(path: &Path, key: Option<&str>) -> Result<(Reader, Totals)> {
    let wrong =
        |error: &dyn std::fmt::Display| Problem::other(format!("{}: {error}", path.display()));
    let mut file = File::open(path).map_err(|error| wrong(&error))?;
    if let Some(key) = key {
        check_signature(path, &mut file, key)?;
    }
    let begin = |file: &File| -> Result<Reader, ReadError> {
        let mut file = file.try_clone()?;
        file.rewind()?;
        ManifestReader::begin(decompress(file)?)
    };
    let totals = begin(&file).and_then(ManifestReader::check).map_err(|error| wrong(&error))?;
    Ok((begin(&file).map_err(|error| wrong(&error))?, totals))
}

fn check_signature(path: &Path, file: &mut File, key: &str) -> Result<()> {
    // A key is 56 letters; whatever is there as a file is one.
    let key = match std::fs::read_to_string(key) {
        Ok(text) => text,
        Err(_) => key.to_owned(),
    };
    let beside = signature_path(path);
    let signature = std::fs::read_to_string(&beside).map_err(|error| Problem {
        code: exit::CORRUPT,
        text: Some(format!("{}: {error}", beside.display())),
    })?;
    sign::verify(BufReader::new(file), &key, &signature).map(drop).map_err(|error| Problem {
        code: exit::CORRUPT,
        text: Some(format!("{}: {error}", path.display())),
    })
}

fn signature_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".minisig");
    name.into()
}

/// The entries of an open manifest for the engine.
pub(super) fn entries(
    mut reader: Reader,
    path: &Path,
) -> impl FnMut() -> Option<ketch_core::Result<ManifestEntry>> + Send + use<> {
    let name = path.display().to_string();
    move || Some(reader.next_entry()?.map_err(|error| unreadable(&name, &error)))
}

fn unreadable(name: &str, error: &ReadError) -> Error {
    Error::new(ErrorKind::InvalidInput, format!("{name}: {error}"))
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
    let (reader, _) = open(&args.manifest, None)?;
    let mut next = entries(reader, &args.manifest);
    let mut waiting: Option<ManifestEntry> = None;
    // Both are in key order, so what is behind is not there any more.
    let older = move |path: &RelPath| loop {
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
    };
    let job = Writing {
        place: &args.place,
        output: args.output.as_ref().unwrap_or(&args.manifest),
        sign: args.sign.as_deref(),
        read: &args.read,
        filter: &args.filter,
        cache: &args.cache,
        local: &args.local,
    };
    job.run(context, Some(Box::new(older))).await
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
    async fn run(self, context: &Context, older: Option<Older>) -> Result<Done> {
        let console = &*context.console;
        let place = settings::place(self.place)?;
        if is_dash(self.output) && (console.is_json() || self.sign.is_some()) {
            return Err(Problem::usage(
                "a manifest on standard output leaves no room for --json and --sign",
            ));
        }
        let signer = self.sign.map(|path| Signer::open(context, path)).transpose()?;
        let mut remotes = context.remotes(self.local);
        let signals = context.signals()?;
        let opened = signals.guard(remotes.open_source(&place)).await?;
        let settings =
            prove_settings(context, self.read, self.filter, opened.only.as_deref(), self.cache)?;
        context.warn_of_keys(&mut remotes);
        let output = Output::open(self.output)?;
        let compressor = Compressor::by_name(self.output, output.writer()?)
            .map_err(|error| cannot_write(self.output, &error))?;
        let created =
            ManifestEntry::nanoseconds(SystemTime::now()).map(|time| time / 1_000_000_000);
        let mut writer = ManifestWriter::begin(compressor, created, Some(place.redacted()))
            .map_err(|error| cannot_write(self.output, &error))?;
        let (mut failed, mut left_out) = (0_u64, 0_u64);
        let take = |made: Made| {
            match made {
                Made::Entry(entry) => {
                    writer
                        .push(&entry)
                        .map_err(|error| Error::new(ErrorKind::Io, error.to_string()))?;
                }
                Made::Other(path, why) => {
                    left_out += 1;
                    console.tell_notice(&format!("{path}: not in the manifest: {why}"));
                }
                Made::Failed(path, error) => {
                    failed += 1;
                    console.tell_error(&with_path(&path, &error));
                }
            }
            Ok(())
        };
        let work =
            async { Ok(create(&opened.backend, &settings, What::Manifest, older, take).await?) };
        signals.guard(work).await?;
        context.finish_digests(&settings.digests).await;
        remotes.close().await;
        let counts = settings.digests.counts();
        if failed > 0 {
            let text = format!("{failed} files could not be read, so there is no manifest");
            return Err(Problem { code: exit::PARTIAL, text: Some(text) });
        }
        let (compressor, totals) =
            writer.finish().map_err(|error| cannot_write(self.output, &error))?;
        compressor.finish().map_err(|error| cannot_write(self.output, &error))?;
        let signature = signer.map(|signer| signer.sign(&output, &totals)).transpose()?;
        output.keep(signature.as_deref())?;
        let bytes = format_size(totals.bytes);
        console.tell(
            Level::Normal,
            &format!("{} files ({bytes}), root {}", totals.entries, totals.root),
        );
        Ok(Done::with(
            exit::OK,
            json!({ "root": totals.root, "counts": {
                "entries": totals.entries, "bytes": totals.bytes, "left_out": left_out,
                "digest_files_read": counts.files_read, "digest_bytes_read": counts.bytes_read,
                "digests_from_cache": counts.from_cache,
            }}),
        ))
    }
}

pub(super) fn with_path(path: &RelPath, error: &Error) -> String {
    match error.path() {
        Some(_) => error.to_string(),
        None => format!("{path}: {error}"),
    }
}

/// Where a manifest is written: to a file that gets its name when it is whole, or to standard output.
enum Output<'a> {
    File { path: &'a Path, file: NamedTempFile },
    Stdout,
}

impl<'a> Output<'a> {
    fn open(path: &'a Path) -> Result<Self> {
        if is_dash(path) {
            return Ok(Output::Stdout);
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let mut builder = tempfile::Builder::new();
        builder.prefix(".ketch-manifest-");
        // As any other file that a person makes, and not for its owner alone.
        let file = builder
            .permissions(std::fs::Permissions::from_mode(0o666))
            .tempfile_in(folder.unwrap_or(Path::new(".")))
            .map_err(|error| cannot_write(path, &error))?;
        Ok(Output::File { path, file })
    }

    fn writer(&self) -> Result<Box<dyn Write + Send>> {
        match self {
            Output::File { path, file } => {
                let file = file.reopen().map_err(|error| cannot_write(path, &error))?;
                Ok(Box::new(BufWriter::new(file)))
            }
            Output::Stdout => Ok(Box::new(BufWriter::new(std::io::stdout()))),
        }
    }

    fn keep(self, signature: Option<&str>) -> Result<()> {
        let Output::File { path, file } = self else { return Ok(()) };
        let keep = || {
            file.as_file().sync_all()?;
            file.persist(path).map_err(|error| error.error)?;
            match signature {
                Some(signature) => std::fs::write(signature_path(path), signature),
                None => Ok(()),
            }
        };
        keep().map_err(|error| cannot_write(path, &error))
    }
}

/// A secret key, ready to be used, so that a wrong password shows before everything is read.
struct Signer {
    key: secrecy::SecretString,
    password: Option<secrecy::SecretString>,
}

impl Signer {
    fn open(context: &Context, path: &Path) -> Result<Self> {
        let other =
            |error: &dyn std::fmt::Display| Problem::other(format!("{}: {error}", path.display()));
        let key = std::fs::read_to_string(path).map_err(|error| other(&error))?;
        let password = match sign::needs_password(&key).map_err(|error| other(&error))? {
            true => {
                let prompt = || {
                    context.console.tell(Level::Error, &format!("password of {}", path.display()));
                };
                let password = secrets::ask(prompt)
                    .map_err(|error| Problem::other(format!("standard input: {error}")))?;
                Some(password)
            }
            false => None,
        };
        let signer = Signer { key: key.into(), password };
        sign::check_key(signer.key.expose_secret(), signer.password())
            .map_err(|error| other(&error))?;
        Ok(signer)
    }

    fn password(&self) -> Option<String> {
        self.password.as_ref().map(|password| password.expose_secret().to_owned())
    }

    fn sign(&self, output: &Output<'_>, totals: &Totals) -> Result<String> {
        let Output::File { path, file } = output else {
            return Err(Problem::usage("what is written to standard output cannot be signed"));
        };
        let content = file.reopen().map_err(|error| cannot_write(path, &error))?;
        let comment = format!("ketch manifest, root {}", totals.root);
        let key = self.key.expose_secret();
        sign::sign(BufReader::new(content), key, self.password(), &comment)
            .map_err(|error| Problem::other(format!("{}: {error}", path.display())))
    }
}

fn cannot_write(path: &Path, error: &dyn std::fmt::Display) -> Problem {
    Problem::other(format!("{}: {error}", path.display()))
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        Problem::other(error.to_string())
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
