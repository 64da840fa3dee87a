//! `ketch cat`: file content to standard output, as many bytes as the listing says.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use ketch_core::EntrySource;
use ketch_core::source::{Body, ByteStream, HashingSource, open_all};
use ketch_core::{Backend, Entry, EntryKind, Error, ErrorKind, ReadOptions, RelPath};
use serde_json::json;

use super::service;
use crate::args::CatArgs;
use crate::context::{Context, Done};
use crate::exit;
use crate::location::Location;
use crate::output::Console;
use crate::problem::{Problem, Result};
use crate::remotes::Remotes;
use crate::settings::place;

/// Writes files to standard output, in the given order. A file that fails is reported, and the next ones are still written.
pub(crate) async fn run(context: &Context, args: &CatArgs) -> Result<Done> {
    if context.console.is_json() {
        return Err(Problem::usage("cat writes the content of files as it is: leave out --json"));
    }
    let places: Vec<_> = args.places.iter().map(place).collect::<Result<_>>()?;
    let mut remotes = context.remotes_for_a_look(&args.local, &args.recent, false);
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
        return Err(Problem { code: exit::NO_FILE, ..Problem::other(text) }.into());
    };
    let path = RelPath::new(name).map_err(|error| Problem::usage(error.to_string()))?;
    write_content(&opened.backend, &path, console).await.map_err(|end| match end {
        End::File(problem) => End::File(missing(problem)),
        End::Output(problem) => End::Output(problem),
    })
}

/// Files up to this size are looked at whole before anything of them is written.
const HELD_BYTES: u64 = 16 << 20;

/// The content of `entry`. Where the remote lists a digest the last piece comes only if all of it has that digest.
async fn open_proven(backend: &Arc<dyn Backend>, entry: &Entry) -> Result<ByteStream> {
    let Some(listed) = entry.to_expect().cloned().filter(|_| entry.size.is_some()) else {
        return Ok(backend.read(entry, ReadOptions::default()).await?);
    };
    let body: Body = Arc::new(EntrySource::new(Arc::clone(backend), entry.clone()));
    let source = HashingSource::new(body, Vec::new()).expecting(listed);
    let content = open_all(&source).await?;
    let (name, path) = (backend.name().to_owned(), entry.path.clone());
    let told = content
        .map_err(move |error| error.with_operation("read").with_remote(&name).with_path(&path));
    Ok(told.boxed())
}

async fn collect(content: &mut ByteStream) -> ketch_core::Result<Vec<Bytes>> {
    content.try_collect().await
}

async fn write_content(
    backend: &Arc<dyn Backend>,
    path: &RelPath,
    console: &Arc<Console>,
) -> Result<(), End> {
    let entry = backend.stat(path).await?;
    service::one_of_its_name(backend, &entry).await?;
    if let EntryKind::Special(special) = entry.kind {
        let problem = Problem::other(format!("{path} is {}", special.describe()));
        return Err(problem.with_hint(special.hint()).into());
    }
    // What was damaged on its way is read once more, as long as nothing of it has been written.
    let (mut content, mut held) = (open_proven(backend, &entry).await?, Vec::new());
    if entry.size.is_some_and(|size| size <= HELD_BYTES) {
        held = match collect(&mut content).await {
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                content = open_proven(backend, &entry).await?;
                collect(&mut content).await?
            }
            held => held?,
        };
    }
    let mut content = futures::stream::iter(held.into_iter().map(Ok)).chain(content.fuse());
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
