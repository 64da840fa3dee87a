//! `ketch cat`: file content to standard output, as many bytes as the listing says.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::StreamExt;
use ketch_core::{Backend, EntryKind, Error, ErrorKind, ReadOptions, RelPath};
use serde_json::json;

use crate::args::CatArgs;
use crate::context::{Context, Done};
use crate::exit;
use crate::location::Location;
use crate::output::Console;
use crate::problem::{Problem, Result};
use crate::remotes::Remotes;
use crate::settings::place;

/// Writes files to standard output, in the order given. One that fails is told of, and the next ones are written all the same.
pub(crate) async fn run(context: &Context, args: &CatArgs) -> Result<Done> {
    if context.console.is_json() {
        return Err(Problem::usage("cat writes the content of files as it is: leave out --json"));
    }
    let places: Vec<_> = args.places.iter().map(place).collect::<Result<_>>()?;
    let mut remotes = context.remotes(&args.local);
    let signals = context.signals()?;
    let mut codes = BTreeSet::new();
    let work = async {
        for place in &places {
            match write_file(&mut remotes, place, &context.console).await {
                Ok(()) => {}
                Err(End::Output(problem)) => return Err(problem),
                // Of one file there is nothing else to be told.
                Err(End::File(problem)) if places.len() == 1 => return Err(problem),
                Err(End::File(problem)) => {
                    context.console.flush()?;
                    codes.insert(Done::problem(&problem, &context.console).code);
                }
            }
        }
        context.console.flush()
    };
    let result = signals.guard(work).await;
    context.warn_of_keys(&mut remotes);
    result?;
    remotes.close().await;
    Ok(Done::with(exit::of_codes(&codes), json!({})))
}

/// What a file was not written for.
enum End {
    /// It cannot be read, or is none.
    File(Problem),
    /// Nothing more can be written.
    Output(Problem),
}

impl From<Problem> for End {
    fn from(problem: Problem) -> Self {
        End::File(problem)
    }
}

impl From<Error> for End {
    fn from(error: Error) -> Self {
        End::File(error.into())
    }
}

async fn write_file(
    remotes: &mut Remotes,
    place: &Location,
    console: &Arc<Console>,
) -> Result<(), End> {
    let missing = |problem: Problem| match problem.code {
        exit::NO_FOLDER => Problem { code: exit::NO_FILE, ..problem },
        _ => problem,
    };
    let opened = remotes.open_source(place).await.map_err(missing)?;
    let Some(name) = &opened.only else {
        let text = format!("{} is a folder (`ketch ls` shows what is in it)", place.redacted());
        return Err(Problem { code: exit::NO_FILE, text: Some(text) }.into());
    };
    let path = RelPath::new(name).map_err(|error| Problem::usage(error.to_string()))?;
    write_content(&opened.backend, &path, console).await.map_err(|end| match end {
        End::File(problem) => End::File(missing(problem)),
        End::Output(problem) => End::Output(problem),
    })
}

async fn write_content(
    backend: &Arc<dyn Backend>,
    path: &RelPath,
    console: &Arc<Console>,
) -> Result<(), End> {
    let entry = backend.stat(path).await?;
    if let EntryKind::Special(special) = entry.kind {
        return Err(Problem::other(format!("{path} is {}", special.describe())).into());
    }
    let mut content = backend.read(&entry, ReadOptions::default()).await?;
    let mut written = 0;
    while let Some(piece) = content.next().await {
        let piece = piece?;
        written += piece.len() as u64;
        // CANCEL: on a thread of its own, because a reader that does not read must not keep a signal from being obeyed.
        let console = Arc::clone(console);
        let write = tokio::task::spawn_blocking(move || console.bytes(&piece)).await;
        let stopped = |error| Problem::other(format!("writing stopped: {error}"));
        write.map_err(stopped).flatten().map_err(End::Output)?;
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
