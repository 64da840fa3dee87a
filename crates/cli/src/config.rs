//! The configuration: a TOML file with one table for each remote, and variables of the environment.
//!
//! A file that others can read is refused when it holds a secret in clear. Its errors never quote it: the line with the
//! mistake may be the one with the key.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write as _};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use ketch_core::factory::{Factory, REMOTE};
use ketch_engine::file::force_and_close;
use secrecy::{ExposeSecret, SecretString};

use crate::environment::Environment;
use crate::location::{Location, Options, is_remote_name};
use crate::problem::{Problem, Result};
use crate::{secrets, text_file};

/// The name of the remote that needs no configuration.
pub(crate) const SANDBOX: &str = "sandbox";
/// The option by which a 1fichier remote was given a catalogue, before that was a kind of remote.
pub(crate) const OLD_CATALOG: &str = "catalog";
/// How the names of variables begin that make a remote.
pub(crate) const PREFIX: &str = "KETCH_REMOTE_";

/// All configured remotes.
#[derive(Debug, Default)]
pub(crate) struct Config {
    /// By name.
    pub(crate) remotes: BTreeMap<String, Remote>,
}

/// One configured remote.
#[derive(Debug, Default)]
pub(crate) struct Remote {
    /// Its kind; empty when nothing says it.
    pub(crate) kind: String,
    /// Its options, references to secrets not yet followed.
    pub(crate) options: Options,
    /// Does it, or a part of it, come from the environment?
    pub(crate) from_environment: bool,
    /// Why it cannot be used, without any value. The others can.
    pub(crate) problem: Option<String>,
}

impl Config {
    /// Reads the file, if there is one, and the environment, which counts for more.
    pub(crate) fn load(
        file: Option<&Path>,
        environment: &Environment,
        kinds: &[Factory],
    ) -> Result<Self> {
        let mut config = Config::default();
        if let Some(file) = file {
            config.read_file(file, kinds)?;
        }
        config.read_environment(environment, kinds)?;
        Ok(config)
    }

    fn read_file(&mut self, path: &Path, kinds: &[Factory]) -> Result<()> {
        let problem = |what: String| Problem::other(format!("{}: {what}", path.display()));
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(problem(format!("cannot be read: {error}"))),
        };
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)
            .map_err(|error| problem(format!("cannot be read: {error}")))?;
        let text = text_file::text(bytes).map_err(problem)?;
        let text = String::from_utf8(text).map_err(|_| problem("it is not UTF-8".to_owned()))?;
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
            let at = error.span().map_or(0, |span| span.start).min(text.len());
            let line = text.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count() + 1;
            problem(format!("line {line} is not TOML: {}", first_line(error.message())))
        })?;
        for (name, value) in table {
            let remote = read_remote(&name, value, kinds);
            self.remotes.insert(name, remote);
        }
        let mode = file.metadata().map_or(0, |data| data.permissions().mode());
        if mode & 0o077 != 0 && self.remotes.values().any(|remote| remote.holds_secret(kinds)) {
            return Err(problem(format!(
                "it holds a key in clear and others can read it: run `chmod 600 {}`",
                path.display()
            )));
        }
        Ok(())
    }

    /// Why the remote of that name cannot be used, if that is so.
    pub(crate) fn problem(&self, name: &str) -> Option<&str> {
        self.remotes.get(name)?.problem.as_deref()
    }

    fn read_environment(&mut self, environment: &Environment, kinds: &[Factory]) -> Result<()> {
        if let Some(name) = environment.odd_value(PREFIX) {
            let text = format!("the environment variable {name} is not UTF-8");
            return Err(Problem::other(text));
        }
        for (rest, value) in environment.with_prefix(PREFIX) {
            let Some((name, option)) = split_variable(rest, kinds) else {
                let known: Vec<_> = known_options(kinds).map(str::to_uppercase).collect();
                return Err(Problem::other(format!(
                    "the environment variable {PREFIX}{rest} names no option \
                     (it is {PREFIX}<NAME>_<OPTION>, with one of the options {})",
                    known.join(", ")
                )));
            };
            let of_file = self.remotes.keys().find(|known| variable_name(known) == name).cloned();
            let remote = self.remotes.entry(of_file.unwrap_or_else(|| name.to_lowercase()));
            let remote = remote.or_default();
            remote.from_environment = true;
            match option.as_str() {
                "type" => remote.kind = value.to_owned(),
                _ => _ = remote.options.insert(option, SecretString::from(value)),
            }
        }
        Ok(())
    }
}

impl Remote {
    fn holds_secret(&self, kinds: &[Factory]) -> bool {
        self.options.iter().any(|(name, value)| {
            let is_secret = kinds
                .iter()
                .flat_map(|kind| kind.options)
                .any(|option| option.secret && option.name == name);
            is_secret && !secrets::is_reference(value.expose_secret())
                || name == REMOTE && has_secret_within(value, kinds)
        })
    }
}

/// Is a key written into the place that a wrapper stands on, `:fichier,api_key=…:box`?
fn has_secret_within(place: &SecretString, kinds: &[Factory]) -> bool {
    let Ok(place) = Location::parse(OsStr::new(place.expose_secret())) else { return false };
    Remote { options: place.options, ..Remote::default() }.holds_secret(kinds)
}

fn read_remote(name: &str, value: toml::Value, kinds: &[Factory]) -> Remote {
    let mut remote = Remote::default();
    let mut problems = Vec::new();
    if name == SANDBOX {
        problems.push(format!("`{SANDBOX}` is built in: give the remote another name"));
    }
    let toml::Value::Table(table) = value else {
        problems.push(format!("`{name}` is outside of a table (a remote is a table: `[{name}]`)"));
        // It may be the key of a remote whose table begins too late.
        if let toml::Value::String(text) = value {
            remote.options.insert(name.to_owned(), SecretString::from(text));
        }
        return Remote { problem: problems.into_iter().next(), ..remote };
    };
    if !is_remote_name(name) {
        problems.push(format!("the name `{name}` is not one that can be typed as `name:`"));
    }
    for (option, value) in table {
        let text = match value {
            toml::Value::String(text) => text,
            toml::Value::Integer(number) => number.to_string(),
            toml::Value::Float(number) => number.to_string(),
            toml::Value::Boolean(yes) => yes.to_string(),
            toml::Value::Datetime(_) | toml::Value::Array(_) | toml::Value::Table(_) => {
                problems.push(format!(
                    "the option `{option}` of `{name}` is not text, a number or true/false"
                ));
                continue;
            }
        };
        if option == "type" {
            remote.kind = text;
        } else {
            remote.options.insert(option, SecretString::from(text));
        }
    }
    // An unknown kind is reported when the remote is used: another version of ketch may know it.
    if let Some(kind) = kinds.iter().find(|kind| kind.kind == remote.kind) {
        problems.extend(check_options(name, kind, &remote.options).err());
    }
    Remote { problem: problems.into_iter().next(), ..remote }
}

/// Is every option one of the kind's?
pub(crate) fn check_options(name: &str, kind: &Factory, options: &Options) -> Result<(), String> {
    let is_old = |option: &str| option == OLD_CATALOG && kind.kind == ketch_fichier::FACTORY.kind;
    let given = options.keys().map(String::as_str).filter(|option| !is_old(option));
    kind.check_names(name, given)
}

fn known_options(kinds: &[Factory]) -> impl Iterator<Item = &'static str> {
    let of_kinds = kinds.iter().flat_map(|kind| kind.options).map(|option| option.name);
    of_kinds.chain(["type", OLD_CATALOG])
}

/// `WORK_API_KEY` is `WORK` and `api_key`: the longest end that is an option.
fn split_variable<'a>(rest: &'a str, kinds: &[Factory]) -> Option<(&'a str, String)> {
    let splits = rest.match_indices('_').map(|(at, _)| (&rest[..at], &rest[at + 1..]));
    splits.map(|(name, option)| (name, option.to_lowercase())).find(|(name, option)| {
        !name.is_empty() && known_options(kinds).any(|known| known == option)
    })
}

/// How a remote's name is written in the name of a variable.
fn variable_name(name: &str) -> String {
    let letter = |c: char| if c.is_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    name.chars().map(letter).collect()
}

/// Adds a remote to the file, which keeps everything else it has. Written through a temporary file, readable by its owner.
pub(crate) fn add_remote(
    path: &Path,
    name: &str,
    kind: &str,
    options: &Options,
) -> Result<PathBuf, String> {
    let problem = |error: std::io::Error| format!("{}: {error}", path.display());
    // A link stays a link: what it points to is replaced.
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        Err(error) => return Err(problem(error)),
    };
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    let separator = if text.is_empty() { "" } else { "\n" };
    let quote = |text: &str| toml::Value::String(text.to_owned()).to_string();
    let is_bare = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    let header = if is_bare { name.to_owned() } else { quote(name) };
    let _ = writeln!(text, "{separator}[{header}]\ntype = {}", quote(kind));
    for (option, value) in options {
        let _ = writeln!(text, "{option} = {}", quote(value.expose_secret()));
    }
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(folder) = folder {
        fs::create_dir_all(folder).map_err(problem)?;
    }
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    let write = || -> std::io::Result<()> {
        let mut file =
            fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(text.as_bytes())?;
        force_and_close(file)?;
        fs::rename(&temporary, path)
    };
    write().map_err(|error| {
        // The first error is the one that matters.
        let _ = fs::remove_file(&temporary);
        problem(error)
    })?;
    Ok(path.clone())
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

#[cfg(test)]
mod tests;
