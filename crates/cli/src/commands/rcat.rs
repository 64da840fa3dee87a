//! `ketch rcat`: standard input as a file.
//!
//! A remote that must know the size beforehand gets it from a copy: in memory when it is small, else in a file that is
//! gone when the command ends.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use ketch_core::source::{Body, ByteStream, BytesSource, Source};
use ketch_core::{Error, ErrorKind, PutOptions, Result as CoreResult};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt, Stdin};

use super::service::{path, remotes};
use crate::args::PlaceArgs;
use crate::context::{Context, Done};
use crate::jsonl;
use crate::output::Level;
use crate::problem::{Problem, Result};
use crate::settings::place;

/// What is kept in memory.
const MEMORY_BYTES: usize = 8 << 20;
/// The most that is read at once.
const PIECE_BYTES: usize = 64 << 10;

/// Stores standard input.
pub(crate) async fn run(context: &Context, args: &PlaceArgs) -> Result<Done> {
    let place = place(&args.place)?;
    let Some((folder, name)) = place.split() else {
        return Err(Problem::usage(format!("{} is a folder: name a file in it", place.redacted())));
    };
    let name = path(&name)?;
    let mut remotes = remotes(context);
    let signals = context.signals()?;
    let work = async {
        let backend = remotes.open(&folder).await?;
        let body: Body = match backend.capabilities().put_unsized {
            true => Arc::new(Input(Mutex::new(Some(tokio::io::stdin())))),
            false => copy().await?,
        };
        Ok(backend.put(&name, body, PutOptions::default()).await?)
    };
    let entry = signals.guard(work).await?;
    context.warn_of_keys(&mut remotes);
    let (kind, body) = jsonl::entry(&entry);
    context.console.event(kind, body)?;
    let size = entry.size.unwrap_or_default();
    context.console.tell(Level::Item, &format!("stored {size} bytes as {}", place.redacted()));
    remotes.close().await;
    Ok(Done::with(crate::exit::OK, json!({ "counts": { "bytes": entry.size } })))
}

/// Standard input itself, which can be read once.
#[derive(Debug)]
struct Input(Mutex<Option<Stdin>>);

#[async_trait]
impl Source for Input {
    fn size(&self) -> Option<u64> {
        None
    }

    fn replayable(&self) -> bool {
        false
    }

    async fn open(&self, _range: Range<u64>) -> CoreResult<ByteStream> {
        let input = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let input = input
            .ok_or_else(|| Error::new(ErrorKind::Io, "standard input can be read only once"))?;
        Ok(pieces(input, u64::MAX))
    }
}

/// What was read of standard input, in a file without a name.
#[derive(Debug)]
struct Spooled {
    file: std::fs::File,
    size: u64,
}

#[async_trait]
impl Source for Spooled {
    fn size(&self) -> Option<u64> {
        Some(self.size)
    }

    async fn open(&self, range: Range<u64>) -> CoreResult<ByteStream> {
        let failed = |error| failed("the copy of standard input", error);
        // The position is shared with the other handles: `put` reads one stream at a time.
        let mut file = tokio::fs::File::from_std(self.file.try_clone().map_err(failed)?);
        file.seek(std::io::SeekFrom::Start(range.start)).await.map_err(failed)?;
        Ok(pieces(file, range.end.min(self.size) - range.start.min(self.size)))
    }
}

fn failed(what: &str, error: std::io::Error) -> Error {
    Error::new(ErrorKind::Io, format!("{what} cannot be used")).with_source(error)
}

fn pieces(reader: impl tokio::io::AsyncRead + Send + Unpin + 'static, length: u64) -> ByteStream {
    let state = (reader, length);
    futures::stream::try_unfold(state, |(mut reader, left)| async move {
        let mut piece = vec![0; PIECE_BYTES.min(usize::try_from(left).unwrap_or(usize::MAX))];
        let count =
            reader.read(&mut piece).await.map_err(|error| failed("standard input", error))?;
        piece.truncate(count);
        let next = (reader, left - count as u64);
        Ok((count > 0).then(|| (Bytes::from(piece), next)))
    })
    .boxed()
}

async fn copy() -> Result<Body> {
    let mut input = pieces(tokio::io::stdin(), u64::MAX);
    let mut head = Vec::new();
    let mut spool: Option<tokio::fs::File> = None;
    let mut size = 0;
    let failed = |error| Problem::from(failed("a temporary file", error));
    while let Some(piece) = input.next().await {
        let piece = piece?;
        size += piece.len() as u64;
        if spool.is_none() && head.len() + piece.len() <= MEMORY_BYTES {
            head.extend_from_slice(&piece);
            continue;
        }
        let file = match &mut spool {
            Some(file) => file,
            None => {
                let mut file = tokio::fs::File::from_std(tempfile::tempfile().map_err(failed)?);
                file.write_all(&std::mem::take(&mut head)).await.map_err(failed)?;
                spool.insert(file)
            }
        };
        file.write_all(&piece).await.map_err(failed)?;
    }
    match spool {
        None => Ok(BytesSource::body(head)),
        Some(mut file) => {
            file.flush().await.map_err(failed)?;
            Ok(Arc::new(Spooled { file: file.into_std().await, size }))
        }
    }
}
