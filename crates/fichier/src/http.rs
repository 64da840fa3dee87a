//! The wire: the only module that knows the HTTP client, and the place where its traps are closed.
//!
//! * Three clients: `api` with short deadlines, `bulk` for uploads with none (the client's own count the whole body; a
//!   watch on the progress stands in for them), `foreign` for hosts that must never see the key. The key is added to a
//!   request, never to a client. No client follows a redirect or sends a referrer.
//! * Bodies are read with a cap. Errors never hold a URL. A declared length is guarded by the caller, because the client
//!   cuts a body that is too long and calls it success.

mod send;

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use ketch_core::source::ByteStream;
use ketch_core::{Error, ErrorKind, Result};
use ketch_wire::{ClientSettings, Peer, Purpose, client};
use reqwest::header::{self, HeaderMap, HeaderValue};
use reqwest::{Client, RequestBuilder, Response, Url};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Semaphore;

use crate::hosts::Place;
use crate::settings::Settings;

pub(crate) use ketch_wire::Fault;
pub(crate) use send::{Sent, Upload};

/// The most that is read of an answer in JSON.
const JSON_MAX_BYTES: usize = 64 << 20;
/// The most that is read of any other page.
const PAGE_MAX_BYTES: usize = 64 << 10;
/// Up to here a connection ends with its call.
const FEW_CONNECTIONS: usize = 2;
const CALL_TIMEOUT: Duration = Duration::from_secs(180);
/// What messages call the other side.
const NODE: Peer = Peer { name: "the node", address: "`api_url`" };

/// The three clients and the key.
pub(crate) struct Http {
    api: Client,
    bulk: Client,
    foreign: Client,
    /// Room for calls that are answered whole; each is a connection.
    calls: Semaphore,
    key: SecretString,
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Http { key: *** }")
    }
}

/// A short answer, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) location: Option<String>,
    pub(crate) body: Bytes,
}

/// The head of a download, and its content.
pub(crate) struct Download {
    pub(crate) status: u16,
    pub(crate) length: Option<u64>,
    pub(crate) content_range: Option<String>,
    pub(crate) is_packed: bool,
    pub(crate) location: Option<String>,
    pub(crate) is_html: bool,
    pub(crate) is_attachment: bool,
    pub(crate) stream: ByteStream,
}

impl Http {
    /// Builds the clients. Fails when TLS is needed and the program has installed no provider for it.
    pub(crate) fn new(settings: &Settings) -> Result<Self> {
        let of = ClientSettings {
            is_loopback: settings.origin.is_loopback(),
            is_plain: settings.origin.is_plain(),
            // Who has room for so few keeps none open that is not in use.
            ends_connections: settings.connections <= FEW_CONNECTIONS,
        };
        Ok(Http {
            api: client(Purpose::Api, of)?,
            // No connection is used for two uploads: one that the node closes meanwhile would leave it unknown whether a
            // small file arrived.
            bulk: client(Purpose::Send, ClientSettings { ends_connections: true, ..of })?,
            foreign: client(Purpose::Fetch, of)?,
            calls: Semaphore::new(settings.connections),
            key: settings.key.clone(),
        })
    }

    /// Calls the API, with the key.
    pub(crate) async fn call(&self, place: &Place, body: String) -> Result<Answer, Fault> {
        let request = self.api.post(checked(place)?).body(body);
        let request = request.header(header::CONTENT_TYPE, "application/json");
        self.answer(request.header(header::AUTHORIZATION, self.bearer()?)).await
    }

    /// Is there a key? A folder that was made public is listed without one.
    pub(crate) fn has_key(&self) -> bool {
        !self.key.expose_secret().is_empty()
    }

    /// Asks for the listing of a public folder, without the key.
    pub(crate) async fn shared(
        &self,
        place: &Place,
        password: Option<&SecretString>,
    ) -> Result<Answer, Fault> {
        let request = match password {
            None => {
                let mut url = checked(place)?;
                url.set_query(Some("json=1"));
                self.foreign.get(url)
            }
            Some(password) => {
                let pairs = [("json", "1"), ("pass", password.expose_secret())];
                let mut form = Url::parse("form:").map_err(|_| shapeless())?;
                form.query_pairs_mut().extend_pairs(pairs);
                let request = self.foreign.post(checked(place)?);
                let form = form.query().unwrap_or_default().to_owned();
                request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded").body(form)
            }
        };
        self.answer(request.timeout(CALL_TIMEOUT)).await
    }

    /// Asks a node for its report on an upload, without the key.
    pub(crate) async fn report(&self, place: &Place) -> Result<Answer, Fault> {
        let request = self.foreign.get(checked(place)?).timeout(CALL_TIMEOUT);
        self.answer(request.header("JSON", "1")).await
    }

    /// Opens a download, without the key.
    pub(crate) async fn download(
        &self,
        place: &Place,
        range: Option<&Range<u64>>,
    ) -> Result<Download, Fault> {
        let mut request = self.foreign.get(checked(place)?);
        if let Some(range) = range {
            let value = format!("bytes={}-{}", range.start, range.end.saturating_sub(1));
            request = request.header(header::RANGE, value);
        }
        let request = request.header(header::ACCEPT_ENCODING, "identity");
        let response = request.send().await.map_err(fault)?;
        let headers = response.headers();
        let download = Download {
            status: response.status().as_u16(),
            length: response.content_length(),
            content_range: text(headers, header::CONTENT_RANGE),
            is_packed: text(headers, header::CONTENT_ENCODING)
                .is_some_and(|name| name != "identity"),
            location: text(headers, header::LOCATION),
            is_html: is_html(headers),
            is_attachment: headers.contains_key(header::CONTENT_DISPOSITION),
            stream: response
                .bytes_stream()
                .map(|piece| piece.map_err(|error| fault(error).error))
                .boxed(),
        };
        Ok(download)
    }

    /// A text of the server without the key, should it echo it, in capitals or not.
    pub(crate) fn scrub(&self, text: &str) -> String {
        let key = self.key.expose_secret().to_ascii_lowercase();
        if key.is_empty() {
            return text.to_owned();
        }
        let mut shown = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.to_ascii_lowercase().find(&key) {
            shown.push_str(&rest[..at]);
            shown.push_str("***");
            rest = &rest[at + key.len()..];
        }
        shown.push_str(rest);
        shown
    }

    /// An address that a server gave. Fails when it holds the key: no such address is real, and it would be shown.
    pub(crate) fn without_key<'a>(&self, address: &'a str) -> Result<&'a str> {
        if self.scrub(address) == address {
            return Ok(address);
        }
        Err(Error::new(ErrorKind::Protocol, "the server gave an address with the key in it"))
    }

    async fn answer(&self, request: RequestBuilder) -> Result<Answer, Fault> {
        let request = request.header(header::ACCEPT_ENCODING, "identity");
        let closed = |_| not_sent(Error::new(ErrorKind::Io, "the HTTP client was ended"));
        let _place = self.calls.acquire().await.map_err(closed)?;
        read(request.send().await.map_err(fault)?).await
    }

    fn bearer(&self) -> Result<HeaderValue, Fault> {
        if !self.has_key() {
            let message =
                "this needs a key (set api_key, from https://1fichier.com/console/params.pl)";
            return Err(not_sent(Error::new(ErrorKind::Unauthenticated, message)));
        }
        let value = format!("Bearer {}", self.key.expose_secret());
        let mut value = HeaderValue::try_from(value)
            .map_err(|_| not_sent(Error::new(ErrorKind::InvalidInput, "the key is not a key")))?;
        value.set_sensitive(true);
        Ok(value)
    }
}

impl Download {
    /// The start of a page that is not the content.
    pub(crate) async fn page(mut self) -> Bytes {
        let mut page = BytesMut::new();
        while let Some(Ok(piece)) = self.stream.next().await {
            let room = PAGE_MAX_BYTES - page.len();
            page.extend_from_slice(&piece[..piece.len().min(room)]);
            if page.len() == PAGE_MAX_BYTES {
                break;
            }
        }
        page.freeze()
    }
}

/// Reads an answer whole, up to the cap of its kind.
async fn read(mut response: Response) -> Result<Answer, Fault> {
    let status = response.status().as_u16();
    let headers = response.headers();
    if text(headers, header::CONTENT_ENCODING).is_some_and(|name| name != "identity") {
        let message = "the answer is packed, which was not asked for";
        return Err(got(Error::new(ErrorKind::Protocol, message)));
    }
    let is_page = is_html(headers) || status >= 300;
    let location = text(headers, header::LOCATION);
    let limit = if is_page { PAGE_MAX_BYTES } else { JSON_MAX_BYTES };
    let mut body = BytesMut::new();
    loop {
        let piece = match response.chunk().await {
            Ok(Some(piece)) => piece,
            Ok(None) => break,
            // The head of an error says enough; what it holds is only for the message.
            Err(_) if is_page => break,
            Err(error) => return Err(fault(error)),
        };
        let room = limit - body.len();
        body.extend_from_slice(&piece[..piece.len().min(room)]);
        if piece.len() > room {
            if is_page {
                break;
            }
            let message = format!("the answer is longer than {limit} bytes");
            return Err(got(Error::new(ErrorKind::Protocol, message)));
        }
    }
    Ok(Answer { status, location, body: body.freeze() })
}

fn not_sent(error: Error) -> Fault {
    Fault { error, sent: false }
}

fn got(error: Error) -> Fault {
    Fault { error, sent: true }
}

fn fault(error: reqwest::Error) -> Fault {
    NODE.fault(error)
}

fn shapeless() -> Fault {
    not_sent(Error::new(ErrorKind::InvalidInput, "the password cannot be written as a form"))
}

/// The client's own reading of a URL must agree with ours about the host.
fn checked(place: &Place) -> Result<Url, Fault> {
    let refuse = || {
        let message = format!("the address on `{}` cannot be used", place.authority());
        not_sent(Error::new(ErrorKind::Protocol, message))
    };
    let url = Url::parse(place.url()).map_err(|_| refuse())?;
    let mut authority = url.host_str().unwrap_or_default().to_owned();
    if let Some(port) = url.port() {
        authority = format!("{authority}:{port}");
    }
    let plain = |text: &str| text.trim_end_matches(":443").trim_end_matches(":80").to_owned();
    let same = plain(&authority) == plain(place.authority());
    if !same || !url.username().is_empty() || url.password().is_some() {
        return Err(refuse());
    }
    Ok(url)
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.trim().to_owned())
}

fn is_html(headers: &HeaderMap) -> bool {
    text(headers, header::CONTENT_TYPE)
        .is_some_and(|kind| kind.to_ascii_lowercase().starts_with("text/html"))
}
