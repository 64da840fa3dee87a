//! How a kind of remote is made from its options: a table of names, help and defaults, and a constructor.
//!
//! The table feeds `--help`, the check of a config file and the redaction of secrets, so an option cannot exist without
//! being documented.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::backend::Backend;
use crate::error::{Error, ErrorKind, Result};
use crate::layer::Observer;

/// One option of a kind of remote.
#[derive(Debug, Clone, Copy)]
pub struct OptionInfo {
    /// Its name in the config file and in `:kind,name=value:path`.
    pub name: &'static str,
    /// One sentence.
    pub help: &'static str,
    /// The default.
    pub default: Option<&'static str>,
    /// It must never be shown.
    pub secret: bool,
    /// The option is required.
    pub required: bool,
    /// If this other option is given, it is not required.
    pub unless: Option<&'static str>,
}

impl OptionInfo {
    /// Is neither this option given nor the one that takes its place?
    pub fn is_missing(&self, is_given: impl Fn(&str) -> bool) -> bool {
        !is_given(self.name) && !self.unless.is_some_and(is_given)
    }
}

/// A kind of remote.
#[derive(Debug, Clone, Copy)]
pub struct Factory {
    /// Its name: `fichier`, `local`.
    pub kind: &'static str,
    /// One sentence.
    pub about: &'static str,
    /// All its options.
    pub options: &'static [OptionInfo],
    /// Makes the backend with all the layers it needs ([`crate::layer`]); callers add none. No I/O: a wrong key or a
    /// missing folder shows at the first use.
    pub build: fn(BuildRequest) -> Result<Arc<dyn Backend>>,
}

/// What a constructor gets.
#[derive(Clone)]
pub struct BuildRequest {
    /// How messages call this place, with its path: `work:photos`.
    pub name: String,
    /// The folder of the remote that is the root, as the user wrote it.
    pub root: String,
    /// Option values, already taken from file, environment or command. Secrets are in clear here.
    pub options: BTreeMap<String, String>,
    /// Where the backend may keep small state that must outlive the process (times of requests, for limits that are shared
    /// by processes). `None`: nothing is kept.
    pub state_folder: Option<PathBuf>,
    /// Receives a notice of each repeated request.
    pub observer: Option<Arc<dyn Observer>>,
    /// The backend may use a listing that another process of this machine made in the last minutes, if a new one would have
    /// to wait: a person wants to see it. Never set for a job, because a job concludes from what is missing.
    pub accepts_recent: bool,
}

// Options hold secrets in clear, so only their names are ever shown.
impl fmt::Debug for BuildRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BuildRequest")
            .field("name", &self.name)
            .field("root", &self.root)
            .field("options", &self.options.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

impl Factory {
    /// [`Factory::check`], then builds.
    pub fn open(&self, request: BuildRequest) -> Result<Arc<dyn Backend>> {
        self.check(&request)?;
        (self.build)(request)
    }

    /// Checks that every option is known and every required one is given.
    pub fn check(&self, request: &BuildRequest) -> Result<()> {
        for name in request.options.keys() {
            if !self.options.iter().any(|option| option.name == name) {
                let known: Vec<_> = self.options.iter().map(|option| option.name).collect();
                return Err(self.refuse(
                    &request.name,
                    format!("there is no option `{name}` (known: {})", known.join(", ")),
                ));
            }
        }
        for option in self.options.iter().filter(|option| option.required) {
            if option.is_missing(|name| request.options.contains_key(name)) {
                return Err(self.refuse(
                    &request.name,
                    format!("the option `{}` is missing: {}", option.name, option.help),
                ));
            }
        }
        Ok(())
    }

    fn refuse(&self, name: &str, message: String) -> Error {
        Error::new(ErrorKind::InvalidInput, message).with_operation("open").with_remote(name)
    }
}
