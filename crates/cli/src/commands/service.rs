//! The commands about single things: which module does which, and how a thing is found.

use std::sync::Arc;

use futures::StreamExt;
use jiff::Timestamp;
use ketch_core::services::Services;
use ketch_core::{Backend, Entry, ListOptions, RelPath};

use crate::args::{AttrCommand, LocalArgs, RawPlace, ServiceCommand};
use crate::commands::{about, attr, cleanup, copyurl, dedupe, delete, link, rcat, stat, tree};
use crate::context::{Context, Done};
use crate::exit;
use crate::location::Location;
use crate::problem::{Problem, Result};
use crate::remotes::Remotes;

/// Runs one of them.
pub(crate) async fn run(context: &Context, command: &ServiceCommand) -> Result<Done> {
    match command {
        ServiceCommand::Link(args) => link::run(context, args).await,
        ServiceCommand::Stat(args) => stat::run(context, args).await,
        ServiceCommand::Tree(args) => tree::run(context, args).await,
        ServiceCommand::Size(args) => tree::size(context, args).await,
        ServiceCommand::Cleanup(args) => cleanup::run(context, args).await,
        ServiceCommand::Rmdir(args) => delete::rmdir(context, args).await,
        ServiceCommand::Purge(args) => delete::purge(context, args).await,
        ServiceCommand::Rcat(args) => rcat::run(context, args).await,
        ServiceCommand::About(args) => about::run(context, args).await,
        ServiceCommand::Dedupe(args) => dedupe::run(context, args).await,
        ServiceCommand::Copyurl(args) => copyurl::run(context, args).await,
        ServiceCommand::Import(args) => link::import(context, args).await,
        ServiceCommand::Attr(AttrCommand::Set(args)) => attr::set(context, args).await,
        ServiceCommand::Scan(args) => attr::scan(context, args).await,
    }
}

/// One file or folder of an open place.
pub(crate) struct Thing {
    /// The folder it is in, or itself where it is the top.
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) entry: Entry,
}

impl Thing {
    /// What its remote can do with it.
    pub(crate) fn services(&self, verb: &str) -> Result<Arc<dyn Services>> {
        services(&*self.backend, verb)
    }
}

/// What a remote can do beside holding files.
pub(crate) fn services(backend: &dyn Backend, verb: &str) -> Result<Arc<dyn Services>> {
    let missing = || {
        Problem::other(format!(
            "{} cannot do `{verb}`: it is for remotes of 1fichier",
            backend.name()
        ))
    };
    backend.services().ok_or_else(missing)
}

/// Finds what is at a place, through the folder above it where there is one.
pub(crate) async fn find(remotes: &mut Remotes, place: &Location) -> Result<Thing> {
    let place = &remotes.meant(place).await?;
    let Some((folder, name)) = place.split() else {
        let backend = remotes.open(place).await?;
        let entry = backend.stat(&RelPath::root()).await?;
        return Ok(Thing { backend, entry });
    };
    let backend = remotes.open(&folder).await?;
    let entry = backend.stat(&path(&name)?).await?;
    Ok(Thing { backend, entry })
}

/// The same for a file.
pub(crate) async fn find_file(remotes: &mut Remotes, place: &Location) -> Result<Thing> {
    let missing = |problem: Problem| match problem.code {
        exit::NO_FOLDER => Problem { code: exit::NO_FILE, ..problem },
        _ => problem,
    };
    let thing = find(remotes, place).await.map_err(missing)?;
    if thing.entry.is_file() {
        return Ok(thing);
    }
    let text = format!("{} is not a file", place.redacted());
    Err(Problem { code: exit::NO_FILE, ..Problem::other(text) })
}

/// All files of the name of `entry`, which is one of them, where a remote may have several.
pub(crate) async fn same_name(
    backend: &Arc<dyn Backend>,
    entry: &Entry,
) -> ketch_core::Result<Vec<Entry>> {
    if !backend.capabilities().duplicates || entry.is_dir() {
        return Ok(Vec::new());
    }
    let folder = entry.path.parent().unwrap_or_else(RelPath::root);
    let mut listing = backend.list(&folder, ListOptions::default());
    let mut same = Vec::new();
    while let Some(other) = listing.next().await {
        let other = other?;
        if other.path == entry.path && other.has_content() {
            // The one that was looked at is known better.
            let is_it = other.version.is_some() && other.version == entry.version;
            same.push(if is_it { entry.clone() } else { other });
        }
    }
    Ok(same)
}

/// Fails, naming them, where several files have the name of `entry`: the command cannot know which of them is meant.
pub(crate) async fn one_of_its_name(backend: &Arc<dyn Backend>, entry: &Entry) -> Result<()> {
    let same = same_name(backend, entry).await?;
    if same.len() < 2 {
        return Ok(());
    }
    let shown = |entry: &Entry| {
        let size = entry.size.map_or_else(|| "? B".to_owned(), |size| format!("{size} B"));
        let time = entry.mtime.and_then(|time| Timestamp::try_from(time).ok());
        let stored = time.map(|time| format!(", stored {time}")).unwrap_or_default();
        let id = entry.version.as_deref().unwrap_or("?");
        format!("{id} ({size}{stored})")
    };
    let all: Vec<String> = same.iter().map(shown).collect();
    Err(Problem::other(format!(
        "{} files have the name {}: {} (`ketch stat` shows their addresses, `ketch dedupe` leaves one)",
        same.len(),
        entry.path,
        all.join(" and ")
    )))
}

/// A name, or a path, of the command line.
pub(crate) fn path(text: &str) -> Result<RelPath> {
    RelPath::new(text).map_err(|error| Problem::usage(error.to_string()))
}

/// A word of the command line that is no place, such as an address or a password.
pub(crate) fn word(raw: &RawPlace, what: &str) -> Result<String> {
    let text = raw.0.to_str().map(str::to_owned);
    text.ok_or_else(|| Problem::usage(format!("{what} is not UTF-8")))
}

/// What opens places that have nothing to do with the local disk's options.
pub(crate) fn remotes(context: &Context) -> Remotes {
    context.remotes(&LocalArgs::default())
}
