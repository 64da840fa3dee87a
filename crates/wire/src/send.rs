//! Sending a body: it is pulled from its source, watched, and told apart from the network when it fails.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use ketch_core::source::ByteStream;
use ketch_core::{Error, ErrorKind, Retry};
use reqwest::{Body, RequestBuilder, Response, header};
use tokio::time::Instant;

use crate::fault::{Fault, Peer};

/// For how long the server may take no byte.
const STALL_LIMIT: Duration = Duration::from_secs(120);
/// For how long the server may think when it has everything.
const ANSWER_LIMIT: Duration = Duration::from_secs(900);
/// For how long its answer may take once it has begun.
const PAGE_LIMIT: Duration = Duration::from_secs(60);
/// Larger pieces are handed on in slices, or a slow but steady server would look like one that has stopped.
const SLICE_BYTES: usize = 64 * 1024;
/// How often the watch looks.
const WATCH_STEP: Duration = Duration::from_secs(5);

/// A body of known length.
pub struct Upload {
    /// The bytes.
    pub content: ByteStream,
    /// How many.
    pub length: u64,
    /// Who gets them.
    pub peer: Peer,
}

/// What became of a body.
#[derive(Debug)]
pub enum Sent<A> {
    /// The server answered, perhaps before it had everything.
    Answered(A),
    /// The source failed; the server cannot have the whole body.
    SourceFailed(Error),
    /// There was no answer.
    Broken {
        /// Had everything been handed to the network, so that the server may have stored it?
        whole: bool,
        /// What failed.
        error: Error,
    },
}

struct Progress {
    changed: Instant,
    /// The source is being waited for, which is not the server's fault.
    at_source: bool,
    whole: bool,
    failure: Option<Error>,
}

type Shared = Arc<Mutex<Progress>>;

/// Sends `upload` as the body of `request`, and reads the answer with `read`.
///
/// CANCEL: dropped, the connection is closed; the server may have the whole body or not.
pub async fn send<A, R>(
    request: RequestBuilder,
    upload: Upload,
    read: impl FnOnce(Response) -> R,
) -> Sent<A>
where
    R: Future<Output = Result<A, Fault>>,
{
    let peer = upload.peer;
    let progress = Arc::new(Mutex::new(Progress {
        changed: Instant::now(),
        at_source: false,
        whole: false,
        failure: None,
    }));
    let outcome = tokio::select! {
        outcome = send_watched(request, upload, read, Arc::clone(&progress)) => outcome,
        error = watch(peer, Arc::clone(&progress)) => Err(Fault { error, sent: true }),
    };
    let mut progress = progress.lock().unwrap_or_else(PoisonError::into_inner);
    match outcome {
        // An answer counts more than a source that failed because nobody read it any more.
        Ok(answer) => Sent::Answered(answer),
        Err(fault) => match progress.failure.take() {
            Some(failure) => Sent::SourceFailed(failure),
            None => Sent::Broken { whole: fault.sent && progress.whole, error: fault.error },
        },
    }
}

async fn send_watched<A, R>(
    request: RequestBuilder,
    upload: Upload,
    read: impl FnOnce(Response) -> R,
    progress: Shared,
) -> Result<A, Fault>
where
    R: Future<Output = Result<A, Fault>>,
{
    let Upload { content, length, peer } = upload;
    // With the length given the client does not fall back to chunks, which many servers do not read.
    let request = request.header(header::CONTENT_LENGTH, length);
    let body = Body::wrap_stream(watched(content, length, progress));
    let response = request.body(body).send().await.map_err(|error| peer.fault(error))?;
    // The watch looks at the source as well, which may be stuck while nobody reads it any more.
    tokio::time::timeout(PAGE_LIMIT, read(response)).await.unwrap_or_else(|_| {
        let error =
            Error::new(ErrorKind::Unavailable, format!("{}'s answer did not end", peer.name));
        Err(Fault { error: error.with_retry(Retry::Backoff), sent: true })
    })
}

/// The content as a stream that notes how far it has come.
fn watched(
    content: ByteStream,
    length: u64,
    progress: Shared,
) -> BoxStream<'static, Result<Bytes, std::io::Error>> {
    let note = move |change: &dyn Fn(&mut Progress)| {
        let mut progress = progress.lock().unwrap_or_else(PoisonError::into_inner);
        progress.changed = Instant::now();
        change(&mut progress);
    };
    note(&|progress| progress.whole = length == 0);
    let state = (note, slices(content), length, false);
    futures::stream::unfold(state, |(note, mut content, mut left, has_ended)| async move {
        if has_ended {
            return None;
        }
        note(&|progress| progress.at_source = true);
        let next = content.next().await;
        note(&|progress| progress.at_source = false);
        let fail = |error: Error| {
            let error = Mutex::new(Some(error));
            note(&|progress| {
                let mut error = error.lock().unwrap_or_else(PoisonError::into_inner);
                progress.failure = error.take();
            });
            Err(std::io::Error::other("the source failed"))
        };
        let (piece, has_ended) = match next {
            Some(Ok(piece)) if piece.len() as u64 <= left => {
                left -= piece.len() as u64;
                let is_whole = left == 0;
                note(&|progress| progress.whole = is_whole);
                (Ok(piece), false)
            }
            Some(Ok(_)) => {
                let text = "the source has more bytes than it said";
                (fail(Error::new(ErrorKind::Changed, text)), true)
            }
            None if left > 0 => {
                let text = "the source ended before its end";
                (fail(Error::new(ErrorKind::Changed, text)), true)
            }
            None => return None,
            Some(Err(error)) => (fail(error), true),
        };
        Some((piece, (note, content, left, has_ended)))
    })
    .boxed()
}

fn slices(content: ByteStream) -> ByteStream {
    let cut = |mut piece: Bytes| {
        std::iter::from_fn(move || {
            let length = piece.len().min(SLICE_BYTES);
            (length > 0).then(|| Ok(piece.split_to(length)))
        })
    };
    let pieces = content.map(move |piece| match piece {
        Ok(piece) => futures::stream::iter(cut(piece)).left_stream(),
        Err(error) => futures::stream::iter([Err(error)]).right_stream(),
    });
    pieces.flatten().boxed()
}

/// Ends when the server has taken no byte, or given no answer, for too long.
async fn watch(peer: Peer, progress: Shared) -> Error {
    loop {
        tokio::time::sleep(WATCH_STEP).await;
        let progress = progress.lock().unwrap_or_else(PoisonError::into_inner);
        let limit = if progress.whole { ANSWER_LIMIT } else { STALL_LIMIT };
        if !progress.at_source && progress.changed.elapsed() > limit {
            let what = if progress.whole { "gave no answer" } else { "took no byte" };
            let message = format!("{} {what} for {} s", peer.name, limit.as_secs());
            return Error::new(ErrorKind::Unavailable, message).with_retry(Retry::Backoff);
        }
    }
}
