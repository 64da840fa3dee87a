//! Requests: their address, their signature, the turn each waits for, and what an answer means.
//!
//! Repeats a request in two cases only, once each, because the first answer says how to ask: the clock of the service is
//! another one, and the bucket is in another region.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;
use futures::StreamExt;
use ketch_core::{ByteBudget, Error, ErrorKind, Result};
use ketch_wire::text::{http_date, percent};
use ketch_wire::{
    Answer, ClientSettings, Download, Fault, Gate, Purpose, SERVER, Sent, Skew, Upload, client,
    download, read, send,
};
use ketch_wire::{Client as Http, Method, RequestBuilder, Url};
use secrecy::ExposeSecret;

use crate::error::{Refusal, refusal};
use crate::keys::Place;
use crate::options::Settings;
use crate::sign::{self, ToSign};

/// The most that is read of an answer: a listing of a thousand keys of a thousand bytes, each encoded.
const ANSWER_BYTES: usize = 16 << 20;
/// Bytes of parts in memory, of all bodies that must be read in order.
const BUFFER_BYTES: u64 = 64 << 20;
/// Requests of one remote at a time, at most.
const AT_ONCE: usize = 256;

/// What is asked.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) method: Method,
    /// Where; an empty bucket is the account.
    pub(crate) place: Place,
    /// The query, not encoded.
    pub(crate) query: Vec<(&'static str, String)>,
    /// Headers, with their names in lower case.
    pub(crate) headers: Vec<(String, String)>,
}

impl Ask {
    pub(crate) fn new(method: Method, place: &Place) -> Ask {
        Ask { method, place: place.clone(), query: Vec::new(), headers: Vec::new() }
    }

    pub(crate) fn query(mut self, name: &'static str, value: impl Into<String>) -> Ask {
        self.query.push((name, value.into()));
        self
    }

    pub(crate) fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Ask {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub(crate) fn headers(mut self, all: impl IntoIterator<Item = (String, String)>) -> Ask {
        self.headers.extend(all);
        self
    }
}

/// Where the service is, as far as it was learnt.
#[derive(Debug, Clone)]
struct Where {
    endpoint: Url,
    region: String,
}

/// The client of one remote.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) settings: Settings,
    api: Http,
    sender: Http,
    fetcher: Http,
    gate: Gate,
    skew: Skew,
    found: Mutex<Where>,
    /// Is the ETag of an object of this bucket, if it looks like one, an MD5? It is none where objects are encrypted with keys
    /// of the user or of the key service, and a listing does not say that.
    etags: Mutex<HashMap<String, bool>>,
    /// Room for parts of bodies that must be read in order.
    pub(crate) buffers: ByteBudget,
    /// The service said that it honours no conditions when it stores.
    ignores_conditions: AtomicBool,
}

impl Client {
    /// Is the service asked to store only if a condition holds?
    pub(crate) fn has_conditions(&self) -> bool {
        self.settings.quirks.has_conditions && !self.ignores_conditions.load(Ordering::Relaxed)
    }

    /// Are ETags of this bucket MD5s? `None`: not known yet.
    pub(crate) fn etags_are_md5(&self, bucket: &str) -> Option<bool> {
        self.etags.lock().unwrap_or_else(PoisonError::into_inner).get(bucket).copied()
    }

    /// What was seen of one object of a bucket. One that is encrypted decides.
    pub(crate) fn saw_etags(&self, bucket: &str, are_md5: bool) {
        let mut etags = self.etags.lock().unwrap_or_else(PoisonError::into_inner);
        let known = etags.entry(bucket.to_owned()).or_insert(are_md5);
        *known &= are_md5;
    }

    /// The service does not know conditions.
    pub(crate) fn forget_conditions(&self) {
        self.ignores_conditions.store(true, Ordering::Relaxed);
    }

    /// Errors: as [`ketch_wire::client`].
    pub(crate) fn new(settings: Settings) -> Result<Client> {
        let host = settings.endpoint.host_str().unwrap_or_default();
        let is_loopback = matches!(host, "localhost" | "127.0.0.1" | "[::1]");
        let is_plain = settings.endpoint.scheme() == "http";
        let of = ClientSettings { is_loopback, is_plain, ends_connections: false };
        let found = Where { endpoint: settings.endpoint.clone(), region: settings.region.clone() };
        Ok(Client {
            api: client(Purpose::Api, of)?,
            sender: client(Purpose::Send, of)?,
            fetcher: client(Purpose::Fetch, of)?,
            gate: Gate::new(AT_ONCE),
            skew: Skew::default(),
            found: Mutex::new(found),
            buffers: ByteBudget::new(BUFFER_BYTES.max(2 * settings.part_bytes)),
            ignores_conditions: AtomicBool::new(false),
            etags: Mutex::default(),
            settings,
        })
    }

    /// Makes a small request and reads its answer whole.
    pub(crate) async fn call(&self, ask: Ask, body: Bytes) -> Result<Answer, Refusal> {
        let digest = sign::sha256(&body);
        let mut is_first = true;
        loop {
            let turn = self.gate.turn().await;
            let request = self.request(&self.api, &ask, &digest)?.body(body.clone());
            let response = request.send().await.map_err(ketch_wire::fault);
            let answer = match response {
                Ok(response) => read(response, ANSWER_BYTES).await,
                Err(fault) => Err(fault),
            };
            let answer = answer.map_err(of_fault)?;
            match self.judge(&ask, answer, &turn) {
                Err(again) if again.is_lesson && std::mem::take(&mut is_first) => {}
                judged => return judged.map_err(|judged| judged.refusal),
            }
        }
    }

    /// Stores a body.
    pub(crate) async fn store(&self, ask: Ask, upload: Upload) -> Result<Answer, Refusal> {
        let turn = self.gate.turn().await;
        let request = self.request(&self.sender, &ask, sign::UNSIGNED)?;
        match send(request, upload, |response| read(response, ANSWER_BYTES)).await {
            Sent::Answered(answer) => self
                .judge(&ask, answer, &turn)
                .map_err(|judged| judged.refusal.again_if(judged.is_lesson)),
            Sent::SourceFailed(error) => Err(Refusal { code: String::new(), error }),
            Sent::Broken { whole, error } => {
                let error = match whole {
                    true => Error::new(ErrorKind::CommitUnknown, error.message().to_owned())
                        .with_retry(error.retry())
                        .with_source(error),
                    false => error,
                };
                Err(Refusal { code: String::new(), error })
            }
        }
    }

    /// Opens the content of an object. The turn is given back when its head is here: what limits bodies is how many the caller
    /// reads at a time.
    pub(crate) async fn fetch(&self, ask: Ask) -> Result<Download, Refusal> {
        let mut is_first = true;
        loop {
            let turn = self.gate.turn().await;
            let digest = sign::sha256(b"");
            let request = self.request(&self.fetcher, &ask, &digest)?;
            let answer = download(request).await.map_err(of_fault)?;
            if (200..300).contains(&answer.status) {
                turn.went_well();
                return Ok(answer);
            }
            let answer = answer.whole(ANSWER_BYTES).await.map_err(of_fault)?;
            match self.judge(&ask, answer, &turn) {
                Err(again) if again.is_lesson && std::mem::take(&mut is_first) => {}
                Err(judged) => return Err(judged.refusal),
                Ok(answer) => {
                    let text = format!("the service answered a read with status {}", answer.status);
                    let error = Error::new(ErrorKind::Protocol, text);
                    return Err(Refusal { code: String::new(), error });
                }
            }
        }
    }

    /// Learns from an answer, and says what it means.
    fn judge(&self, ask: &Ask, answer: Answer, turn: &ketch_wire::Turn) -> Result<Answer, Judged> {
        let date = answer.header("date").and_then(http_date);
        let is_skewed = self.skew.learn(date, SystemTime::now());
        if answer.is_success() {
            turn.went_well();
            if crate::facts::is_encrypted(&answer) {
                self.saw_etags(&ask.place.bucket, false);
            }
            return Ok(answer);
        }
        let refusal = refusal(&answer);
        if refusal.error.kind() == ErrorKind::Throttled {
            turn.was_refused(answer.pause());
        }
        let is_elsewhere = self.learn_region(ask, &answer);
        let is_lesson = is_skewed && matches!(answer.status, 400 | 403) || is_elsewhere;
        Err(Judged { refusal, is_lesson })
    }

    /// Another region than the one that was asked: the service says which, and it is asked there from now on.
    fn learn_region(&self, ask: &Ask, answer: &Answer) -> bool {
        let Some(region) = answer.header("x-amz-bucket-region") else { return false };
        let is_plain = region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if ask.place.bucket.is_empty() || !is_plain || !matches!(answer.status, 301 | 307 | 400) {
            return false;
        }
        let mut found = self.found();
        if found.region == region {
            return false;
        }
        // An address that the user gave stays; one that follows from the region is made anew.
        if let Some(known) = self.settings.quirks.endpoint
            && let (Ok(old), Ok(new)) = (
                Url::parse(&known.replace("{region}", &found.region)),
                Url::parse(&known.replace("{region}", region)),
            )
            && found.endpoint == old
        {
            found.endpoint = new;
        }
        found.region = region.to_owned();
        true
    }

    fn found(&self) -> std::sync::MutexGuard<'_, Where> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The request, signed now. `payload` is the digest of its body, or says that it is not signed.
    fn request(&self, http: &Http, ask: &Ask, payload: &str) -> Result<RequestBuilder, Refusal> {
        let Where { endpoint, region } = self.found().clone();
        let address = self.address(&endpoint, ask)?;
        let Address { url, host, path, query } = address;
        let now = self.skew.there(SystemTime::now());
        let mut headers = ask.headers.clone();
        headers.push(("host".to_owned(), host));
        if self.settings.requester_pays {
            headers.push(("x-amz-request-payer".to_owned(), "requester".to_owned()));
        }
        if let Some(credentials) = &self.settings.credentials {
            headers.push(("x-amz-content-sha256".to_owned(), payload.to_owned()));
            headers.push(("x-amz-date".to_owned(), sign::stamps(now).0));
            if let Some(token) = &credentials.token {
                let token = token.expose_secret().to_owned();
                headers.push(("x-amz-security-token".to_owned(), token));
            }
            headers.sort();
            let to_sign = ToSign {
                method: ask.method.as_str(),
                path: &path,
                query: &query,
                headers: &headers,
                payload,
            };
            let signed = sign::authorization(&to_sign, credentials, &region, now);
            headers.push(("authorization".to_owned(), signed));
        }
        let mut request =
            http.request(ask.method.clone(), url).header("accept-encoding", "identity");
        for (name, value) in headers.into_iter().filter(|(name, _)| name != "host") {
            request = request.header(name, value);
        }
        Ok(request)
    }

    fn address(&self, endpoint: &Url, ask: &Ask) -> Result<Address, Refusal> {
        let wrong = || {
            let text = "the name of the bucket cannot be part of an address";
            Refusal { code: String::new(), error: Error::new(ErrorKind::InvalidInput, text) }
        };
        let Place { bucket, key } = &ask.place;
        let is_in_path = self.settings.path_style || bucket.is_empty() || bucket.contains('.');
        let mut host = endpoint.host_str().ok_or_else(wrong)?.to_owned();
        let base = endpoint.path().trim_end_matches('/');
        let mut path = base.to_owned();
        if is_in_path && !bucket.is_empty() {
            path = format!("{path}/{}", percent(bucket.as_bytes(), b""));
        } else if !bucket.is_empty() {
            let is_label = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
            if !bucket.bytes().all(is_label) {
                return Err(wrong());
            }
            host = format!("{bucket}.{host}");
        }
        path = match (key.is_empty(), path.is_empty()) {
            (true, true) => "/".to_owned(),
            (true, false) => path,
            (false, _) => format!("{path}/{}", percent(key.as_bytes(), b"/")),
        };
        let mut pairs: Vec<_> = ask
            .query
            .iter()
            .map(|(name, value)| format!("{name}={}", percent(value.as_bytes(), b"")))
            .collect();
        pairs.sort();
        let query = pairs.join("&");
        let port = endpoint.port().map(|port| format!(":{port}")).unwrap_or_default();
        let host = format!("{host}{port}");
        let mark = if query.is_empty() { "" } else { "?" };
        let text = format!("{}://{host}{path}{mark}{query}", endpoint.scheme());
        let url = Url::parse(&text).map_err(|_| wrong())?;
        // An address whose path the parser changes (`/./`) would be signed as another one than is asked.
        if url.path() != path {
            let text = "a key with `.` or `..` between slashes cannot be addressed";
            let error = Error::new(ErrorKind::InvalidInput, text);
            return Err(Refusal { code: String::new(), error });
        }
        Ok(Address { url, host, path, query })
    }
}

struct Address {
    url: Url,
    host: String,
    path: String,
    query: String,
}

struct Judged {
    refusal: Refusal,
    /// The same request, made anew, is another one: something was learnt from the refusal.
    is_lesson: bool,
}

impl Refusal {
    /// A refusal that is worth another attempt, because something was learnt from it.
    fn again_if(self, is_lesson: bool) -> Refusal {
        match is_lesson {
            true => Refusal { error: self.error.with_retry(ketch_core::Retry::Backoff), ..self },
            false => self,
        }
    }
}

fn of_fault(fault: Fault) -> Refusal {
    Refusal { code: String::new(), error: fault.error }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Refusal {
        Refusal { code: String::new(), error }
    }
}

/// A body that is known, as one piece.
pub(crate) fn whole(bytes: Bytes) -> Upload {
    let length = bytes.len() as u64;
    let content = futures::stream::iter((length > 0).then_some(Ok(bytes))).boxed();
    streamed(content, length)
}

/// A body that is read while it is sent.
pub(crate) fn streamed(content: ketch_core::ByteStream, length: u64) -> Upload {
    Upload { content, length, peer: SERVER }
}
