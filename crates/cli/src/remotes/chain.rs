//! What a place stands on: the wrappers around it, from the outermost on, and the remote at the bottom.
//!
//! A wrapper names the remote it stands on in its option `remote`, which is a place like one on the command line. Nothing is
//! opened here, and no secret is followed.

use std::ffi::OsStr;

use ketch_core::RelPath;
use ketch_core::factory::{Factory, REMOTE};
use secrecy::ExposeSecret;

use super::*;
use crate::config::OLD_CATALOG;

/// So many wrappers may stand on one another.
const NESTED_MAX: usize = 16;

/// A place and what it stands on.
pub(super) struct Chain {
    /// The wrappers with their options, the outermost first.
    pub(super) wrappers: Vec<(Factory, Options)>,
    /// What the innermost one stands on.
    pub(super) bottom: Bottom,
    /// Where the place is at the bottom.
    pub(super) bottom_place: Location,
}

/// A remote that stands on nothing.
pub(super) enum Bottom {
    /// One of a kind.
    Remote {
        /// What connects it.
        factory: Factory,
        /// Its options, references not yet followed.
        options: Options,
    },
    /// The emulator.
    Sandbox {
        /// What was given with the place.
        options: Options,
    },
}

impl Remotes {
    /// Follows a place to the bottom.
    pub(super) fn chain(&mut self, place: &Location) -> Result<Chain> {
        let mut wrappers = Vec::new();
        let mut names: Vec<String> = Vec::new();
        // What a configuration says of what a wrapper stands on is not on the command line.
        let mut is_typed = true;
        let mut here = place.clone();
        loop {
            if let Base::Named(name) = &here.base {
                let is_circle = names.contains(name);
                names.push(name.clone());
                if is_circle {
                    return Err(circle(&names));
                }
            }
            let (factory, mut options) = match self.kind_of(&here, is_typed)? {
                Some(found) => found,
                None => {
                    let mut options = here.options.clone();
                    self.unwrap_catalog(&here, &mut options, &mut wrappers)?;
                    let bottom = Bottom::Sandbox { options };
                    return Ok(Chain { wrappers, bottom, bottom_place: here });
                }
            };
            let label = here.redacted();
            if factory.kind == ketch_fichier::FACTORY.kind {
                self.unwrap_catalog(&here, &mut options, &mut wrappers)?;
            }
            let given = options.keys().map(String::as_str);
            factory.check_names(&label, given).map_err(Problem::other)?;
            if !factory.is_wrapper() {
                let bottom = Bottom::Remote { factory, options };
                return Ok(Chain { wrappers, bottom, bottom_place: here });
            }
            if wrappers.len() == NESTED_MAX {
                let text = format!(
                    "{}: more than {NESTED_MAX} remotes stand on one another",
                    place.redacted()
                );
                return Err(Problem::other(text));
            }
            is_typed &= here.options.contains_key(REMOTE);
            here = below(&here, &label, options.remove(REMOTE))?;
            wrappers.push((factory, options));
        }
    }

    /// The kind and the options of a place, without what it stands on. `None`: it is the emulator.
    fn kind_of(&mut self, place: &Location, is_typed: bool) -> Result<Option<(Factory, Options)>> {
        Ok(Some(match &place.base {
            Base::Local => (ketch_local::FACTORY, place.options.clone()),
            Base::Named(name) if name == SANDBOX => {
                // A configuration that cannot be read is no matter of the remote that needs none.
                if let Ok(config) = self.config()
                    && let Some(problem) = config.problem(SANDBOX)
                {
                    return Err(Problem::other(problem.to_owned()));
                }
                return Ok(None);
            }
            Base::Named(name) => self.configured(name, place, is_typed)?,
            Base::OfType(kind) => {
                let factory = find_kind(kind)?;
                if is_typed {
                    self.note_exposed(&factory, place);
                }
                (factory, place.options.clone())
            }
        }))
    }

    fn configured(
        &mut self,
        name: &str,
        place: &Location,
        is_typed: bool,
    ) -> Result<(Factory, Options)> {
        let file = self.config_file.as_ref().map(|file| file.display().to_string());
        let config = self.config()?;
        let Some(remote) = config.remotes.get(name) else {
            let known = config.remotes.keys().map(String::as_str).chain([SANDBOX]);
            let known: Vec<_> = known.map(|name| format!("{name}:")).collect();
            return Err(Problem::other(format!(
                "there is no remote `{name}:` in {} (known: {}; `ketch remote add {name} TYPE` makes one, \
                 `./{name}:…` is a local path)",
                file.as_deref().unwrap_or("the configuration"),
                known.join(", ")
            )));
        };
        if let Some(problem) = &remote.problem {
            let file = file.as_deref().unwrap_or("the configuration");
            return Err(Problem::other(format!("{file}: {problem}")));
        }
        if remote.kind.is_empty() {
            return Err(Problem::other(format!(
                "the remote `{name}:` has no type (known: {})",
                kind_names()
            )));
        }
        let factory = find_kind(&remote.kind)?;
        let mut options = remote.options.clone();
        options.extend(place.options.clone());
        if is_typed {
            self.note_exposed(&factory, place);
        }
        Ok((factory, options))
    }

    /// `catalog = true` on a 1fichier remote is how a catalogue was asked for before it was a kind of remote.
    fn unwrap_catalog(
        &mut self,
        place: &Location,
        options: &mut Options,
        wrappers: &mut Vec<(Factory, Options)>,
    ) -> Result<()> {
        let Some(value) = options.remove(OLD_CATALOG) else { return Ok(()) };
        let name = match &place.base {
            Base::Named(name) => name.as_str(),
            Base::Local | Base::OfType(_) => "REMOTE",
        };
        match value.expose_secret() {
            "false" => return Ok(()),
            "true" => {}
            _ => {
                let name = place.redacted();
                let text =
                    format!("the option `{OLD_CATALOG}` of {name} must be `true` or `false`");
                return Err(Problem::other(text));
            }
        }
        wrappers.push((ketch_catalog::FACTORY, Options::new()));
        let text = format!(
            "`{OLD_CATALOG} = true` is an old spelling, which still works: a catalogue is a remote of its own now \
             (`ketch remote add NAME catalog remote={name}:`, then `NAME:` in place of `{name}:`)"
        );
        if !self.old_spellings.contains(&text) {
            self.old_spellings.push(text);
        }
        Ok(())
    }
}

/// The place that a wrapper stands on.
fn below(here: &Location, label: &str, remote: Option<SecretString>) -> Result<Location> {
    let Some(remote) = remote else {
        return Err(Problem::other(format!(
            "{label}: the option `{REMOTE}` is missing: the remote it stands on, such as `work:box`"
        )));
    };
    let problem = |why: String| Problem::other(format!("the option `{REMOTE}` of {label}: {why}"));
    let found = Location::parse(OsStr::new(remote.expose_secret()));
    let mut found = found.map_err(|error| problem(error.to_string()))?;
    // A name of a local path may be meant otherwise, one in a configuration is written as it is shown.
    found.other = None;
    let inside = RelPath::from_user(&here.path).map_err(|error| problem(error.to_string()))?;
    if !inside.is_root() {
        let is_open = found.path.is_empty() || found.path.ends_with('/');
        found.path.push_str(if is_open { "" } else { "/" });
        found.path.push_str(inside.as_str());
    }
    Ok(found)
}

fn circle(names: &[String]) -> Problem {
    let names: Vec<_> = names.iter().map(|name| format!("`{name}:`")).collect();
    Problem::other(format!(
        "a remote stands on itself: {} (its option `{REMOTE}` must lead to another one)",
        names.join(" on ")
    ))
}
