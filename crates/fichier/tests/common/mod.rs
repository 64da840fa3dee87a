//! What the integration tests share: a remote from options, and a server that does exactly what it is told.

#![allow(dead_code, unreachable_pub, missing_docs)]

pub mod answers;

pub mod world;

use std::path::Path;
use std::sync::{Arc, Mutex};

use futures::TryStreamExt;
use ketch_core::factory::ConnectRequest;
use ketch_core::source::{Body, BytesSource, collect};
use ketch_core::{Backend, Entry, ListOptions, PutOptions, ReadOptions, RelPath, Result};
use ketch_fichier::Fichier;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub const KEY: &str = "KETCHCANARY0123456789abcdefghij_";

pub fn path(text: &str) -> RelPath {
    RelPath::new(text).expect("a legal path")
}

pub fn request(root: &str, options: &[(&str, &str)], state: Option<&Path>) -> ConnectRequest {
    let own = [("api_key", KEY), ("pace", "off"), ("pace_scale", "200")];
    ConnectRequest {
        name: format!("test:{root}"),
        root: root.to_owned(),
        options: own.iter().chain(options).copied().collect(),
        state_folder: state.map(Path::to_path_buf),
        ..ConnectRequest::default()
    }
}

pub fn open(root: &str, options: &[(&str, &str)]) -> Arc<dyn Backend> {
    Arc::new(Fichier::alone(&request(root, options, None)).expect("opens"))
}

pub async fn list(backend: &dyn Backend, dir: &str) -> Result<Vec<Entry>> {
    let entries = backend.list(&path(dir), ListOptions::default());
    let mut entries: Vec<Entry> = entries.try_collect().await?;
    entries.sort_by(|left, right| left.compare_key(right));
    Ok(entries)
}

pub async fn names(backend: &dyn Backend, dir: &str) -> Vec<String> {
    let entries = list(backend, dir).await.expect("lists");
    let show = |entry: &Entry| format!("{}{}", entry.path, if entry.is_dir() { "/" } else { "" });
    entries.iter().map(show).collect()
}

pub async fn put(backend: &dyn Backend, at: &str, bytes: &[u8]) -> Result<Entry> {
    put_with(backend, at, BytesSource::body(bytes.to_vec()), PutOptions::default()).await
}

pub async fn put_with(
    backend: &dyn Backend,
    at: &str,
    body: Body,
    options: PutOptions,
) -> Result<Entry> {
    backend.put(&path(at), body, options).await
}

pub async fn read(
    backend: &dyn Backend,
    entry: &Entry,
    range: Option<std::ops::Range<u64>>,
) -> Result<Vec<u8>> {
    let stream = backend.read(entry, ReadOptions { range }).await?;
    Ok(collect(stream, usize::MAX).await?.to_vec())
}

/// The head of a request that arrived, and as much of its body as was read.
#[derive(Debug, Clone)]
pub struct Seen {
    pub head: String,
    pub body: Vec<u8>,
    /// Did the whole declared body come?
    pub whole: bool,
}

impl Seen {
    pub fn target(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub fn is(&self, verb: &str) -> bool {
        self.target().contains(verb)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// What to answer.
#[derive(Debug, Clone, Default)]
pub struct Reply {
    pub bytes: Vec<u8>,
    /// How much of the request's body to read before; the rest is left in the socket.
    pub read: Option<usize>,
    /// Close with a reset.
    pub reset: bool,
}

impl Reply {
    pub fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Reply { bytes: bytes.into(), ..Reply::default() }
    }

    pub fn of(status: u16, kind: &str, body: &str) -> Self {
        Reply::raw(format!(
            "HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        ))
    }

    pub fn json(body: &str) -> Self {
        Reply::of(200, "application/json; charset=utf-8", body)
    }

    pub fn ko(status: u16, message: &str) -> Self {
        let body = format!(r#"{{"status":"KO","message":"{message}"}}"#);
        Reply::of(status, "application/json", &body)
    }

    pub fn html(status: u16, body: &str) -> Self {
        Reply::of(status, "text/html; charset=utf-8", body)
    }

    pub fn redirect(location: &str) -> Self {
        Reply::raw(format!(
            "HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Type: text/html\r\nContent-Length: 5\r\nConnection: close\r\n\r\nMoved"
        ))
    }

    pub fn nothing(reset: bool) -> Self {
        Reply { reset, ..Reply::default() }
    }

    pub fn after(mut self, bytes: usize) -> Self {
        self.read = Some(bytes);
        self
    }
}

type Handler = dyn Fn(&Seen, usize) -> Reply + Send + Sync;

/// A server with one handler. The handler sees the head, and how many requests of the same path came before; the body is
/// in the log afterwards.
pub struct Scripted {
    pub address: String,
    log: Arc<Mutex<Vec<Seen>>>,
    _task: tokio_util::task::AbortOnDropHandle<()>,
}

impl Scripted {
    pub async fn start(handler: impl Fn(&Seen, usize) -> Reply + Send + Sync + 'static) -> Self {
        Self::with_address(|_| handler).await
    }

    /// As [`Scripted::start`], for a handler that must know where it is.
    pub async fn with_address<H>(make: impl FnOnce(String) -> H) -> Self
    where
        H: Fn(&Seen, usize) -> Reply + Send + Sync + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound").to_string();
        let handler: Arc<Handler> = Arc::new(make(address.clone()));
        let log: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let shared = Arc::clone(&log);
        let task = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serve(socket, Arc::clone(&handler), Arc::clone(&shared)));
            }
        });
        Scripted { address, log, _task: tokio_util::task::AbortOnDropHandle::new(task) }
    }

    pub fn api_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    pub fn open(&self) -> Arc<dyn Backend> {
        open("", &[("api_url", &self.api_url())])
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.log.lock().expect("sane").clone()
    }

    pub fn count(&self, verb: &str) -> usize {
        self.seen().iter().filter(|seen| seen.is(verb)).count()
    }
}

async fn serve(mut socket: TcpStream, handler: Arc<Handler>, log: Arc<Mutex<Vec<Seen>>>) {
    let mut buffer = Vec::new();
    let end = loop {
        if let Some(at) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        let mut piece = [0; 4096];
        match socket.read(&mut piece).await {
            Ok(count) if count > 0 => buffer.extend_from_slice(&piece[..count]),
            _ => return,
        }
    };
    let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
    let mut seen = Seen { head, body: buffer.split_off(end), whole: false };
    let length: usize =
        seen.header("content-length").map_or(0, |text| text.parse().expect("digits"));
    let index = {
        let mut log = log.lock().expect("sane");
        let path = |seen: &Seen| seen.target().split('?').next().unwrap_or_default().to_owned();
        let index = log.iter().filter(|old| path(old) == path(&seen)).count();
        log.push(seen.clone());
        index
    };
    // Small bodies are there before the handler decides; large ones are read as it says.
    let small = if length <= 4096 { length } else { 0 };
    read_body(&mut socket, &mut seen, small).await;
    let reply = handler(&seen, index);
    read_body(&mut socket, &mut seen, reply.read.unwrap_or(length).min(length)).await;
    seen.whole = seen.body.len() == length;
    {
        let mut log = log.lock().expect("sane");
        let place = log.iter().rposition(|old| old.head == seen.head && !old.whole);
        if let Some(place) = place {
            log[place] = seen.clone();
        }
    }
    if reply.reset {
        let _ = socket2_linger(&socket);
    }
    let _ = socket.write_all(&reply.bytes).await;
    let _ = socket.flush().await;
    if reply.reset {
        return;
    }
    let _ = socket.shutdown().await;
    // Drains what is still coming, so that the answer is not lost to a reset.
    let mut rest = vec![0; 65536];
    let drain = async { while socket.read(&mut rest).await.is_ok_and(|count| count > 0) {} };
    let _ = tokio::time::timeout(std::time::Duration::from_secs(5), drain).await;
}

async fn read_body(socket: &mut TcpStream, seen: &mut Seen, wanted: usize) {
    let mut piece = vec![0; 65536];
    while seen.body.len() < wanted {
        match socket.read(&mut piece).await {
            Ok(count) if count > 0 => seen.body.extend_from_slice(&piece[..count]),
            _ => return,
        }
    }
}

#[expect(deprecated, reason = "a reset in place of an orderly end is what is wanted")]
fn socket2_linger(socket: &TcpStream) -> std::io::Result<()> {
    socket.set_linger(Some(std::time::Duration::ZERO))
}
