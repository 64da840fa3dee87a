//! `ketch cat`: file content to standard output, as many bytes as the listing says.

use std::sync::Arc;

use futures::StreamExt;
use ketch_core::{Backend, EntryKind, Error, ErrorKind, ReadOptions, RelPath};

use super::service;
use crate::args::CatArgs;
use crate::context::{Context, Done};
use crate::exit;
use crate::location::Location;
use crate::output::Console;
use crate::problem::{Problem, Result};
use crate::remotes::Remotes;
use crate::settings::place;

/// Writes files to standard output, in the order given; ends at the first that fails.
pub(crate) async fn run(context: &Context, args: &CatArgs) -> Result<Done> {
    if context.console.is_json() {
        return Err(Problem::usage("cat writes the content of files as it is: leave out --json"));
    }
    let places: Vec<_> = args.places.iter().map(place).collect::<Result<_>>()?;
    let mut remotes = context.remotes_for_a_look(&args.local, &args.recent, false);
    let signals = context.signals()?;
    let work = async {
        for place in &places {
            write_file(&mut remotes, place, &context.console).await?;
        }
        context.console.flush()
    };
    let result = signals.guard(work).await;
    context.warn_of_keys(&mut remotes);
    result?;
    remotes.close().await;
    Ok(Done::ok())
}

async fn write_file(remotes: &mut Remotes, place: &Location, console: &Arc<Console>) -> Result<()> {
    let missing = |problem: Problem| match problem.code {
        exit::NO_FOLDER => Problem { code: exit::NO_FILE, ..problem },
        _ => problem,
    };
    let opened = remotes.open_source(place).await.map_err(missing)?;
    let Some(name) = &opened.only else {
        let text = format!("{} is a folder (`ketch ls` shows what is in it)", place.redacted());
        return Err(Problem { code: exit::NO_FILE, text: Some(text) });
    };
    let path = RelPath::new(name).map_err(|error| Problem::usage(error.to_string()))?;
    write_content(&opened.backend, &path, console).await.map_err(missing)
}

async fn write_content(
    backend: &Arc<dyn Backend>,
    path: &RelPath,
    console: &Arc<Console>,
) -> Result<()> {
    let entry = backend.stat(path).await?;
    service::one_of_its_name(backend, &entry).await?;
    if let EntryKind::Special(special) = entry.kind {
        return Err(Problem::other(format!("{path} is {}", special.describe())));
    }
    let mut content = backend.read(&entry, ReadOptions::default()).await?;
    let mut written = 0;
    while let Some(piece) = content.next().await {
        let piece = piece?;
        written += piece.len() as u64;
        // CANCEL: on a thread of its own, because a reader that does not read must not keep a signal from being obeyed.
        let console = Arc::clone(console);
        let write = tokio::task::spawn_blocking(move || console.bytes(&piece)).await;
        write.map_err(|error| Problem::other(format!("writing stopped: {error}")))??;
    }
    match entry.size {
        Some(size) if size != written => {
            let message = format!("{written} of {size} bytes came");
            let error = Error::new(ErrorKind::Corrupt, message).with_operation("read");
            Err(error.with_remote(backend.name()).with_path(path).into())
        }
        Some(_) | None => Ok(()),
    }
}
