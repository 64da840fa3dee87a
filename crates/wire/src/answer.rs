//! Answers: small ones that are read whole with a bound, and content that is streamed with its length guarded.

use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use ketch_core::source::ByteStream;
use ketch_core::{Error, ErrorKind, Retry};
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{RequestBuilder, Response};

use crate::fault::{Fault, fault};
use crate::text::http_date;

/// A pause that a server asks for counts up to here.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// A short answer, read whole.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// The head of an answer, and its content as a stream.
pub struct Download {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The declared length.
    pub length: Option<u64>,
    response: Response,
}

impl std::fmt::Debug for Download {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Download").field("status", &self.status).finish_non_exhaustive()
    }
}

impl Answer {
    /// A header as text; `None` when it is missing or no text.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// Did the server do what it was asked?
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The pause that the server asks for, in seconds or up to a date by its own clock.
    pub fn pause(&self) -> Option<Duration> {
        let wanted = header(&self.headers, RETRY_AFTER.as_str())?;
        let pause = match wanted.trim().parse() {
            Ok(seconds) => Duration::from_secs(seconds),
            Err(_) => {
                let now = self.header("date").and_then(http_date).unwrap_or_else(SystemTime::now);
                http_date(wanted)?.duration_since(now).unwrap_or_default()
            }
        };
        Some(pause.min(LONGEST_PAUSE))
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

impl Download {
    /// A header as text; `None` when it is missing or no text.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// The content as it comes.
    pub fn stream(self) -> ByteStream {
        let pieces = self.response.bytes_stream();
        pieces.map(|piece| piece.map_err(|error| fault(error).error)).boxed()
    }

    /// The answer read whole, up to `most` bytes: for the text of a refusal.
    pub async fn whole(self, most: usize) -> Result<Answer, Fault> {
        read(self.response, most).await
    }
}

/// Sends a request and reads the head of its answer.
pub async fn download(request: RequestBuilder) -> Result<Download, Fault> {
    let response = request.send().await.map_err(fault)?;
    Ok(Download {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        length: response.content_length(),
        response,
    })
}

/// Reads an answer whole.
///
/// Errors: `Protocol` when it is longer than `most` bytes.
pub async fn read(response: Response, most: usize) -> Result<Answer, Fault> {
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let mut body = BytesMut::new();
    let mut pieces = response.bytes_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|error| Fault { sent: true, ..fault(error) })?;
        if body.len() + piece.len() > most {
            let message = format!("the answer is longer than {most} bytes");
            return Err(Fault { error: Error::new(ErrorKind::Protocol, message), sent: true });
        }
        body.extend_from_slice(&piece);
    }
    Ok(Answer { status, headers, body: body.freeze() })
}

/// `stream`, which must have exactly `length` bytes.
///
/// Errors, in the stream: `Corrupt` when it has more or less.
pub fn exact(stream: ByteStream, length: u64) -> ByteStream {
    let wrong = |text: &str| Error::new(ErrorKind::Corrupt, text).with_retry(Retry::Backoff);
    futures::stream::try_unfold((stream, length), move |(mut stream, left)| async move {
        match stream.next().await.transpose()? {
            Some(piece) if piece.len() as u64 > left => {
                Err(wrong("the answer has more bytes than were asked for"))
            }
            Some(piece) => {
                let left = left - piece.len() as u64;
                Ok(Some((piece, (stream, left))))
            }
            None if left > 0 => Err(wrong("the answer ended early")),
            None => Ok(None),
        }
    })
    .boxed()
}
