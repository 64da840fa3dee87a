//! A kind of remote: a table of its options with names, help and defaults, and the function that connects it.
//!
//! The table feeds `--help`, the check of a config file and the redaction of secrets, so an option cannot exist without
//! being documented.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use secrecy::{ExposeSecret, SecretString};

use crate::backend::Backend;
use crate::error::{Error, ErrorKind, Result, Retry};
use crate::layer::Observer;

/// The option of every wrapper that names the remote it stands on: `work:box`.
pub const REMOTE: &str = "remote";

/// How long connecting may take before the remote counts as out of reach.
const CONNECT_TIME: Duration = Duration::from_secs(60);

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

/// A backend that is being connected.
pub type Connecting = BoxFuture<'static, Result<Arc<dyn Backend>>>;

/// The function that connects a kind of remote. It may ask the remote what it can do, and keep the answer in
/// [`ConnectRequest::state_folder`]. The backend comes with all the layers it needs ([`crate::layer`]); no caller adds any.
#[derive(Debug, Clone, Copy)]
pub enum Connect {
    /// A remote that reaches its files by itself.
    Remote(fn(ConnectRequest) -> Connecting),
    /// A wrapper around a remote that is connected already. The caller has followed the option [`REMOTE`] to that remote.
    Wrapper(fn(Arc<dyn Backend>, ConnectRequest) -> Connecting),
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
    /// What connects it.
    pub connect: Connect,
}

/// Option values, already taken from file, environment or command. They stay secret until a request needs them.
#[derive(Clone, Default)]
pub struct Options(BTreeMap<String, SecretString>);

impl Options {
    /// The value of an option in clear text, for the constructor that needs it.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(ExposeSecret::expose_secret)
    }

    /// Is it given?
    pub fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Gives an option a value, in place of the one it had.
    pub fn insert(&mut self, name: impl Into<String>, value: impl Into<SecretString>) {
        self.0.insert(name.into(), value.into());
    }

    /// Takes an option away.
    pub fn remove(&mut self, name: &str) {
        self.0.remove(name);
    }

    /// The names of all that are given.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

impl<N: Into<String>, V: Into<SecretString>> FromIterator<(N, V)> for Options {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        Options(pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

// Options hold secrets, so only their names are ever shown.
impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Everything that a remote is connected with.
#[derive(Clone, Default)]
pub struct ConnectRequest {
    /// The name of this place in messages, with its path: `work:photos`. A remote below a wrapper gets the name of the place as
    /// the user typed it, so that errors name that place.
    pub name: String,
    /// The folder of the remote that is the root, as the user wrote it. For a wrapper it is the root of the remote below.
    pub root: String,
    /// Option values.
    pub options: Options,
    /// Where the backend may keep small state that must outlive the process (times of requests, for limits that are shared
    /// by processes). `None`: nothing is kept.
    pub state_folder: Option<PathBuf>,
    /// Receives a notice of each repeated request.
    pub observer: Option<Arc<dyn Observer>>,
    /// The backend may use a listing that another process of this machine made in the last minutes, if it would have to wait
    /// for a new one. For short commands that a person waits for; never for a job, because a job concludes from missing entries.
    pub accepts_recent: bool,
    /// The backend may finish a change that an earlier process of this machine left half done, also in a call that only reads.
    /// For commands that change the place; never for those that only show something, and never for a dry run.
    pub may_change: bool,
    /// Folders of this machine to which no followed link may lead: the other place of the job.
    pub fence: Vec<PathBuf>,
}

impl fmt::Debug for ConnectRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectRequest")
            .field("name", &self.name)
            .field("root", &self.root)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl Factory {
    /// Does it stand on another remote?
    pub fn is_wrapper(&self) -> bool {
        matches!(self.connect, Connect::Wrapper(_))
    }

    /// Checks the options, then connects, within a minute.
    ///
    /// Errors: `InvalidInput` for options that are unknown, missing or wrong; `Unavailable` when the remote does not answer; other
    /// errors of the remote.
    pub async fn connect(&self, request: ConnectRequest) -> Result<Arc<dyn Backend>> {
        self.check(&request)?;
        let name = request.name.clone();
        match self.connect {
            Connect::Remote(connect) => within_time(&name, connect(request)).await,
            Connect::Wrapper(_) => {
                let text = format!("`{}` stands on another remote, and none is there", self.kind);
                Err(refuse(&name, text))
            }
        }
    }

    /// Checks the options of a wrapper, then puts it around `below`, within a minute.
    ///
    /// Errors: as [`Factory::connect`].
    pub async fn wrap(
        &self,
        below: Arc<dyn Backend>,
        request: ConnectRequest,
    ) -> Result<Arc<dyn Backend>> {
        self.check(&request)?;
        let name = request.name.clone();
        match self.connect {
            Connect::Wrapper(connect) => within_time(&name, connect(below, request)).await,
            Connect::Remote(_) => {
                Err(refuse(&name, format!("`{}` stands on no other remote", self.kind)))
            }
        }
    }

    /// Does this kind have each of these options? `Err` names one that it does not have.
    pub fn check_names<'a>(
        &self,
        name: &str,
        mut given: impl Iterator<Item = &'a str>,
    ) -> Result<(), String> {
        let is_known = |given: &str| self.options.iter().any(|option| option.name == given);
        match given.find(|given| !is_known(given)) {
            None => Ok(()),
            Some(unknown) => {
                let known: Vec<_> = self.options.iter().map(|option| option.name).collect();
                Err(format!(
                    "`{name}` has the option `{unknown}`, and `{}` knows only {}",
                    self.kind,
                    known.join(", ")
                ))
            }
        }
    }

    fn check(&self, request: &ConnectRequest) -> Result<()> {
        let name = &request.name;
        let known = self.check_names(name, request.options.names());
        known.map_err(|why| refuse(name, why))?;
        // What it stands on is there already.
        let is_given =
            |name: &str| request.options.contains(name) || name == REMOTE && self.is_wrapper();
        match self.options.iter().find(|option| option.required && option.is_missing(is_given)) {
            None => Ok(()),
            Some(OptionInfo { name: option, help, .. }) => {
                Err(refuse(name, format!("the option `{option}` is missing: {help}")))
            }
        }
    }
}

fn refuse(name: &str, message: String) -> Error {
    Error::new(ErrorKind::InvalidInput, message).with_operation("open").with_remote(name)
}

async fn within_time(name: &str, connecting: Connecting) -> Result<Arc<dyn Backend>> {
    let connected = tokio::time::timeout(CONNECT_TIME, connecting).await;
    let connected = connected.unwrap_or_else(|_| {
        let message = format!("it did not say within {} s what it can do", CONNECT_TIME.as_secs());
        Err(Error::new(ErrorKind::Unavailable, message).with_retry(Retry::Backoff))
    });
    connected.map_err(|error| error.with_operation("open").with_remote(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    const OPTION: OptionInfo = OptionInfo {
        name: "key",
        help: "A key.",
        default: None,
        secret: true,
        required: true,
        unless: Some("guest"),
    };
    const OPTIONS: &[OptionInfo] =
        &[OPTION, OptionInfo { name: "guest", required: false, secret: false, ..OPTION }];
    const SILENT: Factory = Factory {
        kind: "silent",
        about: "Never answers.",
        options: OPTIONS,
        connect: Connect::Remote(|_| std::future::pending().boxed()),
    };
    const AROUND: Factory = Factory {
        kind: "around",
        about: "Is what it stands on.",
        options: &[OptionInfo { name: REMOTE, secret: false, unless: None, ..OPTION }],
        connect: Connect::Wrapper(|below, _| std::future::ready(Ok(below)).boxed()),
    };

    fn request(options: &[(&str, &str)]) -> ConnectRequest {
        let options = options.iter().copied().collect();
        ConnectRequest { name: "work:a".to_owned(), options, ..ConnectRequest::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn connecting_ends_in_time_and_options_are_checked_before_it_begins() {
        for (options, kind, said) in [
            (&[("key", "K")][..], ErrorKind::Unavailable, "within 60 s"),
            (&[("guest", "yes")], ErrorKind::Unavailable, "within 60 s"),
            (&[], ErrorKind::InvalidInput, "`key` is missing: A key."),
            (&[("key", "K"), ("keys", "K")], ErrorKind::InvalidInput, "knows only key, guest"),
        ] {
            let error = SILENT.connect(request(options)).await.expect_err("it never answers");
            assert_eq!(error.kind(), kind, "{error}");
            assert_eq!((error.operation(), error.remote()), (Some("open"), Some("work:a")));
            assert!(error.message().contains(said), "{error}");
        }
    }

    #[tokio::test]
    async fn a_wrapper_needs_what_it_stands_on_and_a_remote_stands_on_nothing() {
        let below: Arc<dyn Backend> = Arc::new(crate::layer::tests_script::Scripted::new());
        let around = AROUND.wrap(Arc::clone(&below), request(&[])).await.expect("wrapped");
        assert!(Arc::ptr_eq(&around, &below));
        let error = AROUND.connect(request(&[])).await.expect_err("on nothing");
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        let error = SILENT.wrap(below, request(&[("key", "K")])).await.expect_err("on something");
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    }

    #[test]
    fn the_values_of_options_are_never_shown() {
        let request = request(&[("key", "CANARY")]);
        let shown = format!("{request:?} {:?}", request.options);
        assert!(shown.contains("key") && !shown.contains("CANARY"), "{shown}");
    }
}
