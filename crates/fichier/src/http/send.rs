//! Sending a file: the body is pulled from its source, watched, and told apart from the network when it fails.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use ketch_core::source::ByteStream;
use ketch_core::{Error, ErrorKind, Retry};
use reqwest::{Body, header};
use tokio::time::Instant;

use super::{Answer, Fault, Http, checked, fault::fault, read};
use crate::hosts::Place;

/// For how long the node may take no byte.
const STALL_LIMIT: Duration = Duration::from_secs(120);
/// For how long the node may think when it has everything.
const ANSWER_LIMIT: Duration = Duration::from_secs(900);
/// For how long the page of its answer may take.
const PAGE_LIMIT: Duration = Duration::from_secs(60);
/// Larger pieces are handed on in slices, or a slow but steady node would look like one that has stopped.
const SLICE_BYTES: usize = 64 * 1024;
/// How often the watch looks.
const WATCH_STEP: Duration = Duration::from_secs(5);

/// One multipart body of known length: what stands before the content, the content, what stands after it.
pub(crate) struct Upload {
    pub(crate) content_type: String,
    pub(crate) head: Bytes,
    pub(crate) content: ByteStream,
    pub(crate) tail: Bytes,
    /// Of all three together.
    pub(crate) length: u64,
}

/// What became of an upload.
#[derive(Debug)]
pub(crate) enum Sent {
    /// The node answered, perhaps before it had everything.
    Answered(Answer),
    /// The source failed; the node cannot have the whole body.
    SourceFailed(Error),
    /// There was no answer.
    Broken {
        /// Had everything been handed to the network, so that the node may have stored it?
        whole: bool,
        error: Error,
    },
}

struct Progress {
    changed: Instant,
    /// The source is being waited for, which is not the node's fault.
    at_source: bool,
    whole: bool,
    failure: Option<Error>,
}

type Shared = Arc<Mutex<Progress>>;

impl Http {
    /// Sends a file to a node, with the key.
    pub(crate) async fn upload(&self, place: &Place, upload: Upload) -> Sent {
        let progress = Arc::new(Mutex::new(Progress {
            changed: Instant::now(),
            at_source: false,
            whole: false,
            failure: None,
        }));
        let outcome = tokio::select! {
            outcome = self.send(place, upload, Arc::clone(&progress)) => outcome,
            error = watch(Arc::clone(&progress)) => Err(Fault { error, sent: true }),
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

    async fn send(&self, place: &Place, upload: Upload, progress: Shared) -> Result<Answer, Fault> {
        let request = self
            .bulk
            .post(checked(place)?)
            .header(header::AUTHORIZATION, self.bearer()?)
            .header(header::CONTENT_TYPE, upload.content_type)
            // With the length given the client does not fall back to chunks, which the node does not read.
            .header(header::CONTENT_LENGTH, upload.length)
            .header(header::ACCEPT_ENCODING, "identity")
            .body(Body::wrap_stream(watched(upload.head, upload.content, upload.tail, progress)));
        let response = request.send().await.map_err(fault)?;
        // The watch looks at the source as well, which may be stuck while nobody reads it any more.
        tokio::time::timeout(PAGE_LIMIT, read(response)).await.unwrap_or_else(|_| {
            let error = Error::new(ErrorKind::Unavailable, "the node's answer did not end");
            Err(Fault { error: error.with_retry(Retry::Backoff), sent: true })
        })
    }
}

/// The three parts as one stream that notes how far it has come. The tail is handed on only after the content has ended
/// without an error, so a body whose source failed can never look complete.
fn watched(
    head: Bytes,
    content: ByteStream,
    tail: Bytes,
    progress: Shared,
) -> BoxStream<'static, Result<Bytes, std::io::Error>> {
    let note = move |change: &dyn Fn(&mut Progress)| {
        let mut progress = progress.lock().unwrap_or_else(PoisonError::into_inner);
        progress.changed = Instant::now();
        change(&mut progress);
    };
    let state = (note, slices(content), Some(tail));
    let rest = futures::stream::unfold(state, |(note, mut content, mut tail)| async move {
        tail.as_ref()?;
        note(&|progress| progress.at_source = true);
        let next = content.next().await;
        note(&|progress| progress.at_source = false);
        let piece = match next {
            Some(Ok(piece)) => Ok(piece),
            None => {
                note(&|progress| progress.whole = true);
                Ok(tail.take()?)
            }
            Some(Err(error)) => {
                tail = None;
                let error = Mutex::new(Some(error));
                note(&|progress| {
                    let mut error = error.lock().unwrap_or_else(PoisonError::into_inner);
                    progress.failure = error.take();
                });
                Err(std::io::Error::other("the source failed"))
            }
        };
        Some((piece, (note, content, tail)))
    });
    futures::stream::iter([Ok(head)]).chain(rest).boxed()
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

/// Ends when the node has taken no byte, or given no answer, for too long.
async fn watch(progress: Shared) -> Error {
    loop {
        tokio::time::sleep(WATCH_STEP).await;
        let progress = progress.lock().unwrap_or_else(PoisonError::into_inner);
        let limit = if progress.whole { ANSWER_LIMIT } else { STALL_LIMIT };
        if !progress.at_source && progress.changed.elapsed() > limit {
            let what = if progress.whole { "gave no answer" } else { "took no byte" };
            let message = format!("the node {what} for {} s", limit.as_secs());
            return Error::new(ErrorKind::Unavailable, message).with_retry(Retry::Backoff);
        }
    }
}
