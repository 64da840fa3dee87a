//! Manifests as files of this machine: opened and checked, and written so that the name is taken when all is well.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufReader, BufWriter, Seek, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ketch_core::names::core_from_bytes;
use ketch_core::{Error, ErrorKind, HashAlgo, RelPath};
use ketch_engine::file::{close, close_once, force};
use ketch_manifest::compress::decompress;
use ketch_manifest::{ManifestEntry, ManifestReader, ReadError, Totals, sign};
use secrecy::ExposeSecret;

use crate::context::Context;
use crate::output::{Answer, Console, Level};
use crate::problem::{Problem, Result, about_file};
use crate::values::is_dash;
use crate::{exit, secrets};

/// Names up to this length leave room for what makes them a name of something unfinished.
const LONGEST_NAME: usize = 230;
/// How often the name of an unfinished manifest is looked for that another process has just finished.
const MOST_TRIES: usize = 100;

/// A manifest whose content has been checked once.
pub(crate) type Reader = ManifestReader<Box<dyn std::io::BufRead + Send>>;

/// Opens a manifest after reading all of it once: its form, its totals, and with `key` its signature. What is read afterwards
/// is checked again on the way, so that it cannot become another in between.
pub(crate) fn open(path: &Path, key: Option<&str>) -> Result<(Reader, Totals)> {
    // 1 is what a comparison finds, and nothing is compared with this.
    let wrong =
        |error: &dyn std::fmt::Display| Problem { code: exit::PARTIAL, ..about_file(path, error) };
    let mut file = File::open(path).map_err(|error| unopened(path, &error))?;
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

/// A file that is to be compared with something cannot be opened.
pub(crate) fn unopened(path: &Path, error: &std::io::Error) -> Problem {
    let code = match error.kind() {
        std::io::ErrorKind::NotFound => exit::NO_FILE,
        _ => exit::PARTIAL,
    };
    Problem { code, ..about_file(path, error) }
}

fn check_signature(path: &Path, file: &mut File, key: &str) -> Result<()> {
    // A key is 56 letters; whatever is there as a file is one.
    let key = match std::fs::read_to_string(key) {
        Ok(text) => text,
        Err(_) => key.to_owned(),
    };
    let beside = signature_path(path);
    let refused = |path: &Path, error: &dyn std::fmt::Display| Problem {
        code: exit::CORRUPT,
        ..about_file(path, error)
    };
    let signature = std::fs::read_to_string(&beside).map_err(|error| refused(&beside, &error))?;
    let verified = sign::verify(BufReader::new(file), &key, &signature);
    verified.map(drop).map_err(|error| refused(path, &error))
}

fn signature_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".minisig");
    name.into()
}

/// The entries of an open manifest for the engine.
pub(crate) fn entries(
    mut reader: Reader,
    path: &Path,
) -> impl FnMut() -> Option<ketch_core::Result<ManifestEntry>> + Send + use<> {
    let name = path.display().to_string();
    move || Some(reader.next_entry()?.map_err(|error| unreadable(&name, &error)))
}

fn unreadable(name: &str, error: &ReadError) -> Error {
    Error::new(ErrorKind::InvalidInput, format!("{name}: {error}"))
}

/// The names below `folder` that belong to the manifest at `path`, if it lies there: the manifest, its signature, and what is
/// there while it is written. They take no part in what it says.
pub(crate) fn names_within(path: &Path, folder: Option<&Path>) -> Vec<RelPath> {
    let Some(folder) = folder.and_then(|folder| folder.canonicalize().ok()) else {
        return Vec::new();
    };
    let real = real_path(path);
    let names = [real.clone(), signature_path(&real), unfinished_path(&real)];
    let below = names.iter().filter_map(|name| name.strip_prefix(&folder).ok());
    below
        .filter_map(|name| RelPath::new(&core_from_bytes(name.as_os_str().as_bytes())).ok())
        .collect()
}

/// Where a path leads, through links. What is not there yet is in the folder it names.
fn real_path(path: &Path) -> PathBuf {
    if let Ok(real) = path.canonicalize() {
        return real;
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    match (parent.unwrap_or(Path::new(".")).canonicalize(), path.file_name()) {
        (Ok(parent), Some(name)) => parent.join(name),
        _ => path.to_owned(),
    }
}

fn unfinished_path(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default();
    let mut unfinished = std::ffi::OsString::from(".");
    if name.len() <= LONGEST_NAME {
        unfinished.push(name);
    } else {
        let digest = ketch_core::hash::hash_bytes(&[HashAlgo::Blake3], name.as_bytes());
        let digest = digest.iter().map(ToString::to_string).collect::<String>();
        unfinished.push(&digest[..32]);
    }
    unfinished.push(".ketch-new");
    path.with_file_name(unfinished)
}

/// Where a manifest is written: to a file that gets its name when it is whole, or to something that is no file.
pub(crate) enum Output {
    File(Unfinished),
    /// Standard output, or a device or a pipe: what was written is written.
    Stream(PathBuf),
}

/// A file that has not its name yet. One process at a time writes it; what one that died left is written over by the next.
pub(crate) struct Unfinished {
    path: PathBuf,
    temporary: PathBuf,
    file: File,
    is_kept: bool,
}

impl Output {
    /// Makes sure that it can be written, before anything is read for it.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        if is_dash(path) {
            return Ok(Output::Stream(path.to_owned()));
        }
        let wrong = |error: &dyn std::fmt::Display| about_file(path, error);
        match path.metadata() {
            Ok(found) if found.is_dir() => return Err(wrong(&"it is a folder")),
            Ok(found) if !found.is_file() => return Ok(Output::Stream(path.to_owned())),
            _ => {}
        }
        let path = real_path(path);
        let temporary = unfinished_path(&path);
        for _ in 0..MOST_TRIES {
            let mut options = OpenOptions::new();
            let no_follow = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
            options.read(true).write(true).create(true).truncate(false).custom_flags(no_follow);
            let file = options.open(&temporary).map_err(|error| wrong(&error))?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    return Err(wrong(&"another process is writing it"));
                }
                Err(TryLockError::Error(error)) => return Err(wrong(&error)),
            }
            // It may have got its name, or have been removed, between opening and locking.
            let mine = file.metadata().map_err(|error| wrong(&error))?;
            let is_mine =
                |found: std::fs::Metadata| (found.dev(), found.ino()) == (mine.dev(), mine.ino());
            if temporary.symlink_metadata().is_ok_and(is_mine) {
                file.set_len(0).map_err(|error| wrong(&error))?;
                return Ok(Output::File(Unfinished { path, temporary, file, is_kept: false }));
            }
        }
        Err(wrong(&"another process is writing it"))
    }

    pub(crate) fn writer(&self, console: &Arc<Console>) -> Result<Box<dyn Write + Send>> {
        let wrong = |path: &Path, error: &std::io::Error| about_file(path, error);
        match self {
            Output::File(unfinished) => {
                let file = unfinished.file.try_clone();
                let file = file.map_err(|error| wrong(&unfinished.path, &error))?;
                Ok(Box::new(BufWriter::new(file)))
            }
            Output::Stream(path) if is_dash(path) => {
                Ok(Box::new(BufWriter::new(Answer::new(Arc::clone(console)))))
            }
            Output::Stream(path) => {
                let file = OpenOptions::new().write(true).open(path);
                Ok(Box::new(BufWriter::new(file.map_err(|error| wrong(path, &error))?)))
            }
        }
    }

    /// Forgets what was written, which does not count.
    pub(crate) fn begin_anew(&self) -> Result<()> {
        match self {
            Output::File(Unfinished { path, file, .. }) => {
                let mut file = file;
                let emptied = file.set_len(0).and_then(|()| file.rewind());
                emptied.map_err(|error| about_file(path, &error))
            }
            Output::Stream(path) => {
                let text = "what was written here cannot be taken back: have the manifest written to a file";
                Err(Problem { code: exit::PARTIAL, ..about_file(path, &text) })
            }
        }
    }

    /// Gives it its name, and the signature beside it.
    pub(crate) fn keep(self, signature: Option<&str>) -> Result<()> {
        let Output::File(mut unfinished) = self else { return Ok(()) };
        let (path, beside) = (unfinished.path.clone(), signature_path(&unfinished.path));
        let mut keep = || {
            force(&unfinished.file)?;
            close_once(&unfinished.file)?;
            // ORDER: an old signature beside a new manifest would be a refusal; none is only no signature.
            match std::fs::remove_file(&beside) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            std::fs::rename(&unfinished.temporary, &unfinished.path)?;
            unfinished.is_kept = true;
            match signature {
                Some(signature) => {
                    let mut file = File::create(&beside)?;
                    file.write_all(signature.as_bytes())?;
                    close(file)
                }
                None => Ok(()),
            }
        };
        keep().map_err(|error| about_file(&path, &error))
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.is_kept {
            // If it stays, the next one that is written takes its place.
            let _ = std::fs::remove_file(&self.temporary);
        }
    }
}

/// A secret key, ready to be used, so that a wrong password shows before everything is read.
pub(crate) struct Signer {
    key: secrecy::SecretString,
    password: Option<secrecy::SecretString>,
}

impl Signer {
    pub(crate) fn open(context: &Context, path: &Path) -> Result<Self> {
        let other = |error: &dyn std::fmt::Display| about_file(path, error);
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

    pub(crate) fn sign(&self, output: &Output, totals: &Totals) -> Result<String> {
        let Output::File(Unfinished { path, file, .. }) = output else {
            return Err(Problem::usage("only a manifest that is a file can be signed"));
        };
        let mut content = file.try_clone().map_err(|error| about_file(path, &error))?;
        content.rewind().map_err(|error| about_file(path, &error))?;
        let comment = format!("ketch manifest, root {}", totals.root);
        let key = self.key.expose_secret();
        sign::sign(BufReader::new(content), key, self.password(), &comment)
            .map_err(|error| about_file(path, &error))
    }
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        Problem::other(error.to_string())
    }
}
