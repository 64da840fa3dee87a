//! A tiny raw HTTP client, and an emulator on a scratch folder to use it on.

use std::net::SocketAddr;

use ketch_fichier_sim::{SANDBOX_KEY, Sim, SimOptions};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// An answer, as far as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Whether all announced bytes arrived.
    pub(crate) is_complete: bool,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Sends bytes on a fresh connection, in pieces, and reads one answer. `None` when the connection
/// ends without one.
pub(crate) async fn exchange(address: SocketAddr, pieces: &[&[u8]]) -> Option<Reply> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    for piece in pieces {
        if stream.write_all(piece).await.is_err() {
            break;
        }
        if pieces.len() > 1 {
            tokio::task::yield_now().await;
        }
    }
    let is_head = pieces[0].starts_with(b"HEAD");
    read_reply(&mut stream, is_head).await
}

/// Reads one answer.
pub(crate) async fn read_reply(stream: &mut TcpStream, is_head: bool) -> Option<Reply> {
    let mut bytes = Vec::new();
    let mut chunk = vec![0; 65_536];
    let mut head_end = None;
    let mut ended = false;
    loop {
        if head_end.is_none() {
            head_end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
        }
        if let Some(end) = head_end {
            let mut reply = parse_head(&bytes[..end]);
            reply.body = bytes[end + 4..].to_vec();
            let length: Option<usize> =
                reply.header("content-length").map(|value| value.parse().unwrap());
            let has_all = is_head || length.is_some_and(|length| reply.body.len() >= length);
            if has_all || ended {
                reply.is_complete = has_all || length.is_none();
                return Some(reply);
            }
        } else if ended {
            return None;
        }
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => ended = true,
            Ok(count) => bytes.extend_from_slice(&chunk[..count]),
        }
    }
}

fn parse_head(head: &[u8]) -> Reply {
    let head = String::from_utf8_lossy(head).into_owned();
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers = lines
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    Reply { status, headers, body: Vec::new(), is_complete: false }
}

/// An emulator with its scratch folder.
pub(crate) struct Bench {
    pub(crate) sim: Sim,
    pub(crate) scratch: TempDir,
}

impl Bench {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut SimOptions)) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let mut options = SimOptions::new(scratch.path());
        change(&mut options);
        Self { sim: Sim::start(options).await.unwrap(), scratch }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.sim.address()
    }

    pub(crate) fn fault(&self, text: &str) {
        self.sim.faults().inject(text.parse().unwrap());
    }

    /// A request with these header lines, each ended by CRLF.
    pub(crate) async fn request(&self, line: &str, headers: &str, body: &[u8]) -> Option<Reply> {
        let head = format!(
            "{line} HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\n{headers}\r\n",
            self.address(),
            body.len()
        );
        exchange(self.address(), &[&[head.as_bytes(), body].concat()]).await
    }

    /// A call with the sandbox key; the raw answer.
    pub(crate) async fn raw_call(&self, name: &str, arguments: &str) -> Option<Reply> {
        let headers =
            format!("Authorization: Bearer {SANDBOX_KEY}\r\nContent-Type: application/json\r\n");
        let line = format!("POST /v1/{name}.cgi");
        self.request(&line, &headers, arguments.as_bytes()).await
    }

    /// A call with the sandbox key; status and JSON.
    pub(crate) async fn call(&self, name: &str, arguments: Value) -> (u16, Value) {
        let reply = self.raw_call(name, &arguments.to_string()).await.unwrap();
        (reply.status, reply.json())
    }

    /// A call that must succeed.
    pub(crate) async fn ok(&self, name: &str, arguments: Value) -> Value {
        let (status, answer) = self.call(name, arguments).await;
        assert_eq!(status, 200, "{name}: {answer}");
        answer
    }

    /// A call that must be refused; status and message.
    pub(crate) async fn ko(&self, name: &str, arguments: Value) -> (u16, String) {
        let (status, answer) = self.call(name, arguments).await;
        assert_eq!(answer["status"], "KO", "{name}: {answer}");
        (status, answer["message"].as_str().unwrap_or_default().to_owned())
    }

    /// Posts a multipart body with boundary `B` and the sandbox key.
    pub(crate) async fn post_form(&self, xid: &str, body: &[u8]) -> Option<Reply> {
        let headers = format!(
            "Authorization: Bearer {SANDBOX_KEY}\r\n\
             Content-Type: multipart/form-data; boundary=B\r\n"
        );
        self.request(&format!("POST /upload.cgi?id={xid}"), &headers, body).await
    }

    /// A fresh upload id.
    pub(crate) async fn xid(&self) -> String {
        let answer = self.ok("upload/get_upload_server", json!({})).await;
        assert_eq!(answer["url"], self.address().to_string());
        assert!(answer.get("status").is_none());
        answer["id"].as_str().unwrap().to_owned()
    }

    /// The report as JSON.
    pub(crate) async fn report(&self, xid: &str) -> Value {
        self.request(&format!("GET /end.pl?xid={xid}"), "JSON: 1\r\n", b"").await.unwrap().json()
    }

    /// Uploads a file and returns its link.
    pub(crate) async fn upload(&self, folder: u64, name: &str, content: &[u8]) -> String {
        let xid = self.xid().await;
        let reply = self.post_form(&xid, &form(folder, name, content)).await.unwrap();
        assert_eq!(reply.status, 302, "{}", reply.text());
        let report = self.report(&xid).await;
        report["links"][0]["download"].as_str().unwrap().to_owned()
    }

    /// The names in a folder, sorted.
    pub(crate) async fn names(&self, folder: u64) -> Vec<String> {
        let listing = self.ok("file/ls", json!({"folder_id": folder})).await;
        let items = listing["items"].as_array().unwrap();
        let mut names: Vec<String> =
            items.iter().map(|item| item["filename"].as_str().unwrap().to_owned()).collect();
        names.sort();
        names
    }

    /// The path of a fresh download token.
    pub(crate) async fn token(&self, link: &str, single: u8) -> String {
        let answer = self.ok("download/get_token", json!({"url": link, "single": single})).await;
        let url = answer["url"].as_str().unwrap().to_owned();
        url.strip_prefix(&format!("http://{}", self.address())).unwrap().to_owned()
    }

    /// GETs a path without any key.
    pub(crate) async fn get(&self, path: &str, headers: &str) -> Option<Reply> {
        self.request(&format!("GET {path}"), headers, b"").await
    }
}

/// The known-good body of the reference.
pub(crate) fn form(folder: u64, name: &str, content: &[u8]) -> Vec<u8> {
    let mut body = format!(
        "--B\r\nContent-Disposition: form-data; name=\"did\"\r\n\r\n{folder}\r\n\
         --B\r\nContent-Disposition: form-data; name=\"file[]\"; filename=\"{name}\"\r\n\
         Content-Type: application/octet-stream\r\n\r\n"
    )
    .into_bytes();
    body.extend_from_slice(content);
    body.extend_from_slice(b"\r\n--B--\r\n");
    body
}
