//! Reading: one address for all parts of a file, and a look at every answer before its bytes count as content.
//!
//! The content of a 1fichier URL never changes, so bytes that do not fit are damage on the way (`Corrupt`) and not a change.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use ketch_core::source::{ByteStream, exact_length};
use ketch_core::{Error, ErrorKind, Result, Retry};
use tokio::time::Instant;

use crate::account::Account;
use crate::api::{Api, is_counted};
use crate::error::{Said, read, refusal};
use crate::hosts::Place;
use crate::http::Download;
use crate::text::{readable, snippet};

/// The most hosts that one download is passed on to.
const REDIRECTS_MAX: usize = 3;

/// In this time of waiting for the server at least so many bytes must come.
const SLOW_TIME: Duration = Duration::from_secs(60);
const SLOW_BYTES: u64 = 64 * 1024;

/// How long a download host that was asked too often is left alone; nothing is documented.
const HOST_PAUSE: Duration = Duration::from_secs(10);

/// An answer that is not the content.
struct Wrong {
    error: Error,
    /// Might another address help?
    address: bool,
    /// Is it a refusal that is punished when there are many?
    is_counted: bool,
}

/// Opens `wanted` of a file of `size` bytes.
pub(crate) async fn open(
    account: &Arc<Account>,
    url: &str,
    size: u64,
    wanted: Range<u64>,
) -> Result<ByteStream> {
    if wanted.start > wanted.end || wanted.end > size {
        let message = format!("the file has {size} bytes, {wanted:?} is not within it");
        return Err(Error::new(ErrorKind::InvalidInput, message));
    }
    if wanted.is_empty() {
        return Ok(futures::stream::empty().boxed());
    }
    let (api, tokens) = (&account.api, &account.tokens);
    if !api.http.has_key() {
        return keyless(api, url, size, wanted).await;
    }
    let mut second = false;
    loop {
        let place = tokens.get(api, url).await?;
        match begin(api, &place, size, &wanted).await {
            Ok(stream) => {
                tokens.begun(url, &place);
                return Ok(counted(stream, account, url, place, size));
            }
            Err(wrong) if wrong.address => {
                tokens.spent(url, &place);
                if wrong.is_counted {
                    api.pacer.refused().await;
                }
                if second {
                    // Two fresh addresses are refused: a third one would be, and that is punished.
                    let is_last = wrong.is_counted;
                    let error = wrong.error;
                    return Err(if is_last { error.with_retry(Retry::Never) } else { error });
                }
                second = true;
            }
            Err(wrong) => return Err(wrong.error),
        }
    }
}

/// Without a key a file comes only if its owner pays for it. To all others 1fichier shows a page with a wait and a riddle.
async fn keyless(api: &Api, url: &str, size: u64, wanted: Range<u64>) -> Result<ByteStream> {
    let place = api.settings.origin.public(url)?;
    begin(api, &place, size, &wanted).await.map_err(|wrong| {
        if wrong.address && wrong.error.kind() == ErrorKind::Unavailable {
            let message = "1fichier gives this file to nobody without a key (set api_key to that of a paying account)";
            return Error::new(ErrorKind::Denied, message);
        }
        wrong.error
    })
}

async fn begin(
    api: &Api,
    place: &Place,
    size: u64,
    wanted: &Range<u64>,
) -> std::result::Result<ByteStream, Wrong> {
    let part = (*wanted != (0..size)).then_some(wanted);
    let download = follow(api, place.clone(), part).await?;
    let status = download.status;
    let expected = wanted.end - wanted.start;
    let right = if part.is_some() { 206 } else { 200 };
    if !(200..300).contains(&status) {
        return Err(refused(api, status, &download.page().await));
    }
    if download.is_packed {
        return Err(damage("it is packed, which was not asked for"));
    }
    if download.is_html && !download.is_attachment && download.length != Some(expected) {
        return Err(refused(api, status, &download.page().await));
    }
    if status != right {
        return Err(damage(&format!("HTTP {right} was expected, not {status}")));
    }
    if part.is_some() {
        let told = download.content_range.as_deref().unwrap_or_default();
        if !is_range(told, wanted, size) {
            let told = snippet(&api.http.scrub(told));
            let message = format!("bytes {wanted:?} were asked for, not `{told}`");
            return Err(damage(&message));
        }
    }
    if let Some(length) = download.length.filter(|length| *length != expected) {
        return Err(damage(&format!("{expected} bytes were expected, {length} are announced")));
    }
    Ok(guarded(steady(download.stream), expected))
}

/// Follows a download from host to host, to those of 1fichier only.
async fn follow(
    api: &Api,
    mut place: Place,
    part: Option<&Range<u64>>,
) -> std::result::Result<Download, Wrong> {
    for _ in 0..=REDIRECTS_MAX {
        let download = api.http.download(&place, part).await;
        let download = download.map_err(|fault| keep(fault.error))?;
        let target = match (&download.location, download.status) {
            (Some(target), 301 | 302 | 303 | 307 | 308) => target,
            _ => return Ok(download),
        };
        place = if target.starts_with('/') && !target.starts_with("//") {
            place.with_path(target)
        } else {
            let target = api.http.without_key(target).map_err(keep)?;
            api.settings.origin.download(target).map_err(keep)?
        };
    }
    Err(keep(Error::new(ErrorKind::Protocol, "the download is passed on from host to host")))
}

fn keep(error: Error) -> Wrong {
    Wrong { error, address: false, is_counted: false }
}

fn damage(what: &str) -> Wrong {
    let message = format!("the download does not fit: {what}");
    let error = Error::new(ErrorKind::Corrupt, message).with_retry(Retry::Backoff);
    Wrong { error, address: true, is_counted: false }
}

/// A page, or an error of the download host. Its number means little there; its words may.
fn refused(api: &Api, status: u16, page: &[u8]) -> Wrong {
    let text = api.http.scrub(&String::from_utf8_lossy(page));
    let said = read(&text);
    if said == Said::Flood || status == 429 {
        // It is one host that wants a pause, and not the API: what others bring goes on.
        let error = refusal(status, &readable(&text)).error;
        let pause = api.settings.scaled(HOST_PAUSE);
        let message = format!("a download host of {}", error.message());
        return keep(Error::new(error.kind(), message).with_retry(Retry::After(pause)));
    }
    if !matches!(said, Said::Other | Said::NotFound) {
        return keep(api.scaled(refusal(status, &readable(&text)).error));
    }
    let message = format!("the download is refused: `{}` (HTTP {status})", readable(&text));
    let error = Error::new(ErrorKind::Unavailable, message).with_retry(Retry::Backoff);
    Wrong { error, address: status < 500, is_counted: is_counted(status) }
}

/// Tells the account how much came from `place`.
fn counted(
    stream: ByteStream,
    account: &Arc<Account>,
    url: &str,
    place: Place,
    size: u64,
) -> ByteStream {
    let (account, url) = (Arc::clone(account), url.to_owned());
    let told = stream.inspect(move |piece| {
        if let Ok(piece) = piece {
            account.tokens.served(&url, &place, piece.len() as u64, size);
        }
    });
    told.boxed()
}

/// Is `told` the header of exactly this range of exactly this size?
fn is_range(told: &str, wanted: &Range<u64>, size: u64) -> bool {
    let Some((range, total)) =
        told.trim().strip_prefix("bytes ").and_then(|rest| rest.split_once('/'))
    else {
        return false;
    };
    let ends = range.split_once('-').map(|(first, last)| (first.parse(), last.parse()));
    let is_total = total == "*" || total.parse() == Ok(size);
    is_total && ends == Some((Ok(wanted.start), Ok(wanted.end - 1)))
}

/// Fails when the server sends next to nothing for a minute. The client's own limit is one of silence, which never comes
/// when one byte arrives every second. Time in which nobody asks for more does not count.
fn steady(stream: ByteStream) -> ByteStream {
    let state = (stream, Duration::ZERO, 0_u64);
    let watched =
        futures::stream::unfold(state, |(mut stream, mut waited, mut bytes)| async move {
            let start = Instant::now();
            let piece = stream.next().await?;
            waited += start.elapsed();
            bytes += piece.as_ref().map_or(0, |piece| piece.len() as u64);
            if waited >= SLOW_TIME {
                if bytes < SLOW_BYTES {
                    let message = format!("only {bytes} bytes came in {} s", waited.as_secs());
                    let error =
                        Error::new(ErrorKind::Unavailable, message).with_retry(Retry::Backoff);
                    return Some((Err(error), (futures::stream::empty().boxed(), waited, bytes)));
                }
                (waited, bytes) = (Duration::ZERO, 0);
            }
            Some((piece, (stream, waited, bytes)))
        });
    watched.boxed()
}

fn guarded(stream: ByteStream, expected: u64) -> ByteStream {
    let stream = exact_length(stream, expected);
    let renamed = stream.map(move |piece| {
        piece.map_err(|error| match error.kind() {
            ErrorKind::Changed => {
                let message =
                    format!("the download had not the {expected} bytes that were expected");
                Error::new(ErrorKind::Corrupt, message).with_retry(Retry::Backoff)
            }
            _ => error,
        })
    });
    renamed.boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_range_that_was_asked_for_is_taken() {
        assert!(is_range("bytes 5-9/20", &(5..10), 20));
        assert!(is_range("bytes 5-9/*", &(5..10), 20));
        for told in [
            "",
            "bytes 5-10/20",
            "bytes 0-9/20",
            "bytes 5-9/21",
            "bytes */20",
            "5-9/20",
            "bytes 5-9",
            "bytes -9/20",
        ] {
            assert!(!is_range(told, &(5..10), 20), "{told}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn trap_a_drip_is_not_a_download() {
        let drip = |gap, size| {
            let pieces = futures::stream::repeat(bytes::Bytes::from(vec![0; size])).take(1_000);
            let pieces = pieces.then(move |piece| async move {
                tokio::time::sleep(Duration::from_millis(gap)).await;
                Ok(piece)
            });
            let results = steady(pieces.boxed()).collect::<Vec<Result<bytes::Bytes>>>();
            async move { results.await.pop().expect("some").err().map(|error| error.kind()) }
        };
        assert_eq!(drip(700, 1).await, Some(ErrorKind::Unavailable));
        assert_eq!(drip(700, 2_000).await, None);
        assert_eq!(drip(0, 1).await, None);
    }
}
