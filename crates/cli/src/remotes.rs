//! From a place on the command line to an open backend with its layers.
//!
//! The configuration is read only when a named remote is asked for, and secrets are followed only for remotes that are
//! opened. A missing or wrong key shows at the first use.

mod alias;
mod chain;

use std::path::PathBuf;
use std::sync::Arc;

use ketch_core::factory::{ConnectRequest, Factory};
use ketch_core::layer::Observer;
use ketch_core::{Backend, EntryKind, ErrorKind, RelPath};
use secrecy::{ExposeSecret, SecretString};

use self::chain::{Bottom, Chain};
use crate::args::{Fsync, Links, LocalArgs};
use crate::config::{Config, SANDBOX};
use crate::environment::Environment;
use crate::location::{Base, Location, Options};
use crate::problem::{Problem, Result};
use crate::sandbox::Sandbox;
use crate::{descriptors, secrets};

/// Every kind of remote in this build.
pub(crate) const KINDS: &[Factory] = &[
    ketch_fichier::FACTORY,
    #[cfg(feature = "s3")]
    ketch_s3::FACTORY,
    ketch_local::FACTORY,
    ketch_catalog::FACTORY,
    alias::FACTORY,
];

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
    /// Places whose connection string has a key in it, to be warned about.
    exposed: Vec<String>,
    /// What is written in an old way, and what to write.
    old_spellings: Vec<String>,
    /// What is to store what it knows at the end.
    opened: Vec<Arc<dyn Backend>>,
    accepts_recent: bool,
    may_change: bool,
}

/// How a place is opened. The default is for a place that is looked at or changed by itself.
#[derive(Debug, Clone, Default)]
pub(crate) struct Manner {
    /// Where no link of a local place may lead: the other side of a job.
    pub(crate) fence: Vec<PathBuf>,
    /// A job writes to it.
    pub(crate) is_target: bool,
    /// A link that was named is in it, and is meant, also where links that are found are skipped.
    pub(crate) follows_links: bool,
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
            old_spellings: Vec::new(),
            exposed: Vec::new(),
            opened: Vec::new(),
            accepts_recent: false,
            may_change: false,
        }
    }

    /// Whether what is opened from now on may show what another process listed in the last minutes, where asking would have
    /// to wait: for commands of a person who looks, and never for what concludes from what is missing.
    pub(crate) fn accept_recent(&mut self, accepts: bool) {
        self.accepts_recent = accepts;
    }

    /// Whether what is opened from now on may end what an earlier process has left half done: for a job, and never for a look
    /// or a dry run.
    pub(crate) fn allow_changes(&mut self, may_change: bool) {
        self.may_change = may_change;
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

    /// Looks for keys in the connection string of a place that is not opened.
    pub(crate) fn look_for_keys(&mut self, place: &Location) {
        // What is wrong with the place shows when it is opened, and is no matter of the keys in it.
        drop(self.chain(place));
    }

    /// Places with a key in their connection string, since the last call.
    pub(crate) fn take_exposed(&mut self) -> Vec<String> {
        std::mem::take(&mut self.exposed)
    }

    /// What is written in an old way, and what to write, since the last call.
    pub(crate) fn take_old_spellings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.old_spellings)
    }

    /// Opens a folder, which need not exist.
    pub(crate) async fn open(&mut self, place: &Location) -> Result<Arc<dyn Backend>> {
        self.open_as(place, &Manner::default()).await
    }

    /// Opens what the place stands on, and then each wrapper around it. All of them are called by the name of the place.
    async fn open_as(&mut self, place: &Location, manner: &Manner) -> Result<Arc<dyn Backend>> {
        let Chain { wrappers, bottom, bottom_place } = self.chain(place)?;
        let name = place.redacted();
        // What is in a wrapper's own objects is merged and written, and for that it must be what is there now. An alias has
        // none.
        let has_objects = wrappers.iter().any(|(factory, _)| factory.kind != alias::FACTORY.kind);
        let accepts_recent = self.accepts_recent && !has_objects;
        let (factory, mut options, keep_state) = match bottom {
            Bottom::Remote { factory, options } => (factory, options, true),
            Bottom::Sandbox { options } => {
                if self.sandbox.is_none() {
                    self.sandbox = Some(Sandbox::start(&self.environment).await?);
                }
                let mut all = self.sandbox.as_ref().map(Sandbox::options).unwrap_or_default();
                all.extend(options);
                // The emulator lives no longer than this process, so nothing about it is worth being remembered.
                (ketch_fichier::FACTORY, all, false)
            }
        };
        let is_local = factory.kind == ketch_local::FACTORY.kind;
        match is_local {
            true => self.add_local_options(&mut options, manner),
            false => use_tls(),
        }
        let mut request = self.request(&name, options, keep_state)?;
        request.root = bottom_place.path;
        request.accepts_recent = accepts_recent;
        request.may_change = self.may_change;
        request.fence.clone_from(&manner.fence);
        let has_connections = factory.options.iter().any(|option| option.name == CONNECTIONS);
        if let Some(most) = descriptors::connections().filter(|_| has_connections)
            && !request.options.contains(CONNECTIONS)
        {
            request.options.insert(CONNECTIONS, most.to_string());
        }
        let mut backend = factory.connect(request).await?;
        let is_wrapped = !wrappers.is_empty();
        for (factory, options) in wrappers.into_iter().rev() {
            let request = self.request(&name, options, keep_state)?;
            backend = factory.wrap(backend, request).await?;
        }
        if is_wrapped {
            self.opened.push(Arc::clone(&backend));
        }
        Ok(backend)
    }

    /// What the command line says of all local places. What is written to follows no link: what it points to would count as
    /// being there.
    fn add_local_options(&self, options: &mut Options, manner: &Manner) {
        options.extend(self.local.clone());
        if manner.follows_links {
            options.insert("links".to_owned(), SecretString::from("follow"));
        }
        let follows = options.get("links").is_some_and(|links| links.expose_secret() == "follow");
        if manner.is_target && follows {
            options.insert("links".to_owned(), SecretString::from("skip"));
        }
    }

    /// What the constructor of a backend gets, with all references to secrets followed.
    fn request(&self, name: &str, options: Options, keep_state: bool) -> Result<ConnectRequest> {
        let resolve = |(option, value): (String, SecretString)| {
            let value = secrets::resolve(&value, &self.environment).map_err(|problem| {
                Problem::other(format!("the option `{option}` of {name}: {problem}"))
            })?;
            Ok((option, value))
        };
        Ok(ConnectRequest {
            name: name.to_owned(),
            options: options.into_iter().map(resolve).collect::<Result<_>>()?,
            state_folder: self.environment.state_folder().filter(|_| keep_state),
            observer: Some(Arc::clone(&self.observer)),
            ..ConnectRequest::default()
        })
    }

    /// Where an open place is, in a form that does not change between processes: the sandbox has another port each time.
    pub(crate) fn lasting_location(&mut self, place: &Location, backend: &dyn Backend) -> String {
        let is_sandbox =
            self.chain(place).is_ok_and(|chain| matches!(chain.bottom, Bottom::Sandbox { .. }));
        match crate::sandbox::folder(&self.environment) {
            Ok(folder) if is_sandbox => {
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
        let manner = Manner {
            fence: source_folder.into_iter().collect(),
            is_target: true,
            ..Manner::default()
        };
        Ok((opened, self.open_as(destination, &manner).await?))
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
        let fence = self.local_folder(other)?.into_iter().collect();
        self.open_source_as(place, &Manner { fence, ..Manner::default() }).await
    }

    /// Where a place on this machine is, also below wrappers. `None` for what cannot be opened, too: opening it says why.
    pub(crate) fn local_folder(&mut self, place: &Location) -> Result<Option<PathBuf>> {
        let Ok(Chain { bottom, bottom_place, .. }) = self.chain(place) else { return Ok(None) };
        let is_local = match bottom {
            Bottom::Remote { factory, .. } => factory.kind == ketch_local::FACTORY.kind,
            Bottom::Sandbox { .. } => false,
        };
        Ok(is_local.then(|| ketch_local::canonical(&bottom_place.path)))
    }

    /// The place that is meant by one that must exist. Where it can be read in one way only, nothing is asked.
    pub(crate) async fn meant(&mut self, place: &Location) -> Result<Location> {
        self.meant_as(place, &Manner::default()).await
    }

    async fn meant_as(&mut self, place: &Location, manner: &Manner) -> Result<Location> {
        let Some(other) = place.other() else { return Ok(place.clone()) };
        let missing = |looked: ketch_core::Result<ketch_core::Entry>| {
            looked.is_err_and(|error| error.kind() == ErrorKind::NotFound)
        };
        let is_other = missing(self.open_as(place, manner).await?.stat(&RelPath::root()).await)
            && !missing(self.open_as(&other, manner).await?.stat(&RelPath::root()).await);
        Ok(if is_other { other } else { Location { other: None, ..place.clone() } })
    }

    /// Opens a place that must exist: a folder, or a file, which is then the only one of its folder that takes part.
    pub(crate) async fn open_source(&mut self, place: &Location) -> Result<Opened> {
        self.open_source_as(place, &Manner::default()).await
    }

    async fn open_source_as(&mut self, place: &Location, manner: &Manner) -> Result<Opened> {
        let place = &self.meant_as(place, manner).await?;
        let backend = self.open_as(place, manner).await?;
        let entry = match backend.stat(&RelPath::root()).await {
            // What a catalogue alone holds is something of its folder, and no place by itself.
            Err(error) if error.kind() == ErrorKind::NotFound && backend.capabilities().links => {
                let Some((folder, name)) = place.split() else { return Err(error.into()) };
                let backend = self.open_as(&folder, manner).await?;
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
                let follows_links = folder.base == Base::Local;
                let manner = Manner { follows_links, ..manner.clone() };
                let backend = self.open_as(&folder, &manner).await?;
                Ok(Opened { backend, only: Some(name) })
            }
            (EntryKind::Special(special), _) => {
                let text = format!("{} is {}", place.redacted(), special.describe());
                Err(Problem::other(text).with_hint(special.hint()))
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
