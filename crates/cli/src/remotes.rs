//! From a place on the command line to an open backend with its layers.
//!
//! The configuration is read only when a named remote is asked for, and secrets are followed only for remotes that are
//! opened. A missing or wrong key shows at the first use.

use std::path::PathBuf;
use std::sync::Arc;

use ketch_catalog::Catalog;
use ketch_core::factory::{BuildRequest, Factory};
use ketch_core::layer::Observer;
use ketch_core::{Backend, EntryKind, ErrorKind, RelPath};
use secrecy::{ExposeSecret, SecretString};

use crate::args::{Fsync, Links, LocalArgs};
use crate::config::{self, Config, SANDBOX};
use crate::environment::Environment;
use crate::location::{Base, Location, Options};
use crate::problem::{Problem, Result};
use crate::sandbox::Sandbox;
use crate::{descriptors, secrets};

/// Every kind of remote in this build.
pub(crate) const KINDS: &[Factory] = &[ketch_fichier::FACTORY, ketch_local::FACTORY];

/// The option of remotes that may have a catalogue.
const CATALOG: &str = "catalog";

/// The option that says how many connections there are at most.
const CONNECTIONS: &str = "connections";

/// Opens places, each command its own.
pub(crate) struct Remotes {
    environment: Environment,
    config_file: Option<PathBuf>,
    config: Option<Config>,
    local: Options,
    sandbox: Option<Sandbox>,
    observer: Arc<dyn Observer>,
    /// Where no link of a local place may lead: the other side of the job.
    fence: Vec<PathBuf>,
    /// What is opened next is written to.
    opens_target: bool,
    /// Places whose connection string has a key in it, to be warned about.
    exposed: Vec<String>,
    /// What is to store what it knows at the end.
    opened: Vec<Arc<dyn Backend>>,
    accepts_recent: bool,
}

/// A place files are taken from.
pub(crate) struct Opened {
    /// The folder.
    pub(crate) backend: Arc<dyn Backend>,
    /// The one file in it that was meant, if a file was named.
    pub(crate) only: Option<String>,
}

impl Remotes {
    /// Nothing is opened yet.
    pub(crate) fn new(
        environment: Environment,
        config_file: Option<PathBuf>,
        local: &LocalArgs,
        observer: Arc<dyn Observer>,
    ) -> Self {
        let local = local_options(local);
        Remotes {
            environment,
            config_file,
            config: None,
            local,
            sandbox: None,
            observer,
            fence: Vec::new(),
            opens_target: false,
            exposed: Vec::new(),
            opened: Vec::new(),
            accepts_recent: false,
        }
    }

    /// Whether what is opened from now on may show what another process listed in the last minutes, where asking would have
    /// to wait: for commands of a person who looks, and never for what concludes from what is missing.
    pub(crate) fn accept_recent(&mut self, accepts: bool) {
        self.accepts_recent = accepts;
    }

    /// The configuration.
    pub(crate) fn config(&mut self) -> Result<&Config> {
        let config = match self.config.take() {
            Some(config) => config,
            None => Config::load(self.config_file.as_deref(), &self.environment, KINDS)?,
        };
        Ok(self.config.insert(config))
    }

    /// Is there a remote of that name?
    pub(crate) fn is_configured(&mut self, name: &str) -> Result<bool> {
        Ok(name == SANDBOX || self.config()?.remotes.contains_key(name))
    }

    /// Places with a key in their connection string, since the last call.
    pub(crate) fn take_exposed(&mut self) -> Vec<String> {
        std::mem::take(&mut self.exposed)
    }

    /// Opens a folder, which need not exist.
    pub(crate) async fn open(&mut self, place: &Location) -> Result<Arc<dyn Backend>> {
        match &place.base {
            Base::Local => {
                let request = self.request(place, self.local.clone(), true)?;
                self.open_local(request)
            }
            Base::Named(name) if name == SANDBOX => {
                // A configuration that cannot be read is no matter of the remote that needs none.
                if let Ok(config) = self.config()
                    && let Some(problem) = config.problem(SANDBOX)
                {
                    return Err(Problem::other(problem.to_owned()));
                }
                if self.sandbox.is_none() {
                    self.sandbox = Some(Sandbox::start(&self.environment).await?);
                }
                let mut options = self.sandbox.as_ref().map(Sandbox::options).unwrap_or_default();
                options.extend(place.options.clone());
                // The emulator lives no longer than this process, so nothing about it is worth being remembered.
                let request = self.request(place, options, false)?;
                use_tls();
                self.open_remote(&ketch_fichier::FACTORY, request)
            }
            Base::Named(name) => self.open_configured(name, place),
            Base::OfType(kind) => {
                let factory = find_kind(kind)?;
                self.note_exposed(&factory, place);
                self.open_kind(&factory, place, place.options.clone())
            }
        }
    }

    fn open_configured(&mut self, name: &str, place: &Location) -> Result<Arc<dyn Backend>> {
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
        self.note_exposed(&factory, place);
        self.open_kind(&factory, place, options)
    }

    fn open_kind(
        &mut self,
        factory: &Factory,
        place: &Location,
        mut options: Options,
    ) -> Result<Arc<dyn Backend>> {
        config::check_options(&place.redacted(), factory, &options).map_err(Problem::other)?;
        if factory.kind == ketch_local::FACTORY.kind {
            options.extend(self.local.clone());
            let request = self.request(place, options, true)?;
            return self.open_local(request);
        }
        let request = self.request(place, options, true)?;
        use_tls();
        self.open_remote(factory, request)
    }

    /// Opens a folder of this machine. What is written to follows no link: what it points to would count as being there.
    fn open_local(&self, mut request: BuildRequest) -> Result<Arc<dyn Backend>> {
        if self.opens_target && request.options.get("links").is_some_and(|links| links == "follow")
        {
            request.options.insert("links".to_owned(), "skip".to_owned());
        }
        Ok(ketch_local::open_fenced(request, self.fence.clone())?)
    }

    /// What the constructor of a backend gets, with all references to secrets followed.
    fn request(
        &self,
        place: &Location,
        options: Options,
        keep_state: bool,
    ) -> Result<BuildRequest> {
        let name = place.redacted();
        let resolve = |(option, value): (String, SecretString)| {
            let value = secrets::resolve(&value, &self.environment).map_err(|problem| {
                Problem::other(format!("the option `{option}` of {name}: {problem}"))
            })?;
            Ok((option, value.expose_secret().to_owned()))
        };
        Ok(BuildRequest {
            options: options.into_iter().map(resolve).collect::<Result<_>>()?,
            root: place.path.clone(),
            state_folder: self.environment.state_folder().filter(|_| keep_state),
            observer: Some(Arc::clone(&self.observer)),
            accepts_recent: self.accepts_recent,
            name,
        })
    }

    /// Where an open place is, in a form that does not change between processes: the sandbox has another port each time.
    pub(crate) fn lasting_location(&self, place: &Location, backend: &dyn Backend) -> String {
        match (&place.base, crate::sandbox::folder(&self.environment)) {
            (Base::Named(name), Ok(folder)) if name == SANDBOX => {
                let location = backend.location();
                // What comes behind the account is the path.
                let scope = backend.scope().unwrap_or_default();
                let path = location.strip_prefix(scope).unwrap_or_default();
                format!("sandbox:{}:{path}", folder.display())
            }
            _ => backend.location(),
        }
    }

    /// Opens the two sides of a job that writes to `destination`: there no link is followed. Each side has the other as a fence:
    /// what a link of one side leads to in the other is no content, or a job would copy what it writes.
    pub(crate) async fn open_job(
        &mut self,
        source: &Location,
        destination: &Location,
    ) -> Result<(Opened, Arc<dyn Backend>)> {
        let source = &self.meant(source).await?;
        let source_folder = self.local_folder(source)?;
        let opened = self.open_fenced(source, destination).await?;
        self.fence = source_folder.into_iter().collect();
        self.opens_target = true;
        let destination = self.open(destination).await;
        self.opens_target = false;
        self.fence.clear();
        Ok((opened, destination?))
    }

    /// Opens two places that must exist and are only read, each of which may be a file.
    pub(crate) async fn open_to_compare(
        &mut self,
        left: &Location,
        right: &Location,
    ) -> Result<(Opened, Opened)> {
        let (left, right) = (self.meant(left).await?, self.meant(right).await?);
        let opened = self.open_fenced(&left, &right).await?;
        // The top of a remote is a folder and is there: a look at it would cost a call and tell nothing.
        let is_top = right.path.is_empty() && self.local_folder(&right)?.is_none();
        let other = match is_top {
            true => Opened { backend: self.open(&right).await?, only: None },
            false => self.open_fenced(&right, &left).await?,
        };
        Ok((opened, other))
    }

    async fn open_fenced(&mut self, place: &Location, other: &Location) -> Result<Opened> {
        self.fence = self.local_folder(other)?.into_iter().collect();
        let opened = self.open_source(place).await;
        self.fence.clear();
        opened
    }

    /// Where a place on this machine is.
    pub(crate) fn local_folder(&mut self, place: &Location) -> Result<Option<PathBuf>> {
        let is_local = |kind: &str| kind == ketch_local::FACTORY.kind;
        let here = match &place.base {
            Base::Local => true,
            Base::OfType(kind) => is_local(kind),
            Base::Named(name) if name == SANDBOX => false,
            Base::Named(name) => {
                self.config()?.remotes.get(name).is_some_and(|remote| is_local(&remote.kind))
            }
        };
        Ok(here.then(|| ketch_local::canonical(&place.path)))
    }

    /// The place that is meant by one that must exist. Where it can be read in one way only, nothing is asked.
    pub(crate) async fn meant(&mut self, place: &Location) -> Result<Location> {
        let Some(other) = place.other() else { return Ok(place.clone()) };
        let missing = |looked: ketch_core::Result<ketch_core::Entry>| {
            looked.is_err_and(|error| error.kind() == ErrorKind::NotFound)
        };
        let is_other = missing(self.open(place).await?.stat(&RelPath::root()).await)
            && !missing(self.open(&other).await?.stat(&RelPath::root()).await);
        Ok(if is_other { other } else { Location { other: None, ..place.clone() } })
    }

    /// Opens a place that must exist: a folder, or a file, which is then the only one of its folder that takes part.
    pub(crate) async fn open_source(&mut self, place: &Location) -> Result<Opened> {
        let place = &self.meant(place).await?;
        let backend = self.open(place).await?;
        let entry = match backend.stat(&RelPath::root()).await {
            // What a catalogue alone holds is something of its folder, and no place by itself.
            Err(error) if error.kind() == ErrorKind::NotFound && backend.capabilities().links => {
                let Some((folder, name)) = place.split() else { return Err(error.into()) };
                let backend = self.open(&folder).await?;
                let path = RelPath::new(&name).map_err(|_| Problem::from(error))?;
                return match backend.stat(&path).await?.has_content() {
                    true => Ok(Opened { backend, only: Some(name) }),
                    false => Err(Problem::other(format!("{} is not there", place.redacted()))),
                };
            }
            entry => entry?,
        };
        match (entry.kind, place.split()) {
            (EntryKind::File | EntryKind::Link, Some((folder, name))) => {
                // A link that is named is meant, also where links that are found are skipped.
                let links = (folder.base == Base::Local)
                    .then(|| self.local.insert("links".to_owned(), SecretString::from("follow")));
                let backend = self.open(&folder).await?;
                if let Some(before) = links {
                    self.local.remove("links");
                    self.local.extend(before.map(|links| ("links".to_owned(), links)));
                }
                Ok(Opened { backend, only: Some(name) })
            }
            (EntryKind::Special(special), _) => {
                Err(Problem::other(format!("{} is {}", place.redacted(), special.describe())))
            }
            (EntryKind::File | EntryKind::Link | EntryKind::Dir, _) => {
                Ok(Opened { backend, only: None })
            }
        }
    }

    fn note_exposed(&mut self, factory: &Factory, place: &Location) {
        let is_secret = |name: &String| {
            factory.options.iter().any(|option| option.secret && option.name == name)
        };
        let in_clear = place
            .options
            .iter()
            .any(|(name, value)| is_secret(name) && !secrets::is_reference(value.expose_secret()));
        if in_clear {
            self.exposed.push(place.redacted());
        }
    }

    /// Opens a remote that is reached by a network, with its catalogue if it is to have one.
    fn open_remote(
        &mut self,
        factory: &Factory,
        mut request: BuildRequest,
    ) -> Result<Arc<dyn Backend>> {
        if let Some(most) = descriptors::connections() {
            request.options.entry(CONNECTIONS.to_owned()).or_insert_with(|| most.to_string());
        }
        let has_catalog = match request.options.get(CATALOG).map(String::as_str) {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => {
                let name = &request.name;
                let text = format!("the option `{CATALOG}` of {name} must be `true` or `false`");
                return Err(Problem::other(text));
            }
        };
        // What is in a catalogue is merged and written, and for that it must be what is there now.
        request.accepts_recent &= !has_catalog;
        let remote = factory.open(request)?;
        if !has_catalog {
            return Ok(remote);
        }
        let remote: Arc<dyn Backend> = Arc::new(Catalog::around(remote));
        self.opened.push(Arc::clone(&remote));
        Ok(remote)
    }

    /// Ends what is running in this process, and has remotes store what they know and have not stored.
    pub(crate) async fn close(self) {
        for remote in &self.opened {
            // Facts beside the content: that they are lost costs a comparison, and what the command did is done.
            if let Err(error) = remote.finish().await {
                tracing::warn!(
                    "not everything that is known of the files could be stored: {error}"
                );
            }
        }
        if let Some(sandbox) = self.sandbox {
            sandbox.stop().await;
        }
    }
}

/// Chooses what encrypts; needed before a remote that is reached by a network is opened.
fn use_tls() {
    // An error means that it is installed already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

/// The kind of that name.
pub(crate) fn find_kind(kind: &str) -> Result<Factory> {
    KINDS.iter().find(|factory| factory.kind == kind).copied().ok_or_else(|| {
        Problem::other(format!(
            "there is no kind of remote `{kind}` in this build (known: {})",
            kind_names()
        ))
    })
}

fn kind_names() -> String {
    KINDS.iter().map(|factory| factory.kind).collect::<Vec<_>>().join(", ")
}

fn local_options(args: &LocalArgs) -> Options {
    let links = match (args.follow_links, args.links) {
        (true, _) | (_, Some(Links::Follow)) => Some("follow"),
        (false, Some(Links::Skip)) => Some("skip"),
        (false, Some(Links::Keep)) => Some("keep"),
        (false, None) => None,
    };
    let fsync = args.fsync.map(|fsync| match fsync {
        Fsync::None => "none",
        Fsync::File => "file",
        Fsync::All => "all",
    });
    let inodes = args.ignore_inodes.then_some("ignore");
    let options = [("links", links), ("fsync", fsync), ("inodes", inodes)].into_iter();
    options
        .filter_map(|(name, value)| Some((name.to_owned(), SecretString::from(value?))))
        .collect()
}

#[cfg(test)]
mod tests;
