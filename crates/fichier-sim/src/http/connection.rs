//! One client connection: heads and bodies in, answers out.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Bytes, BytesMut};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::request::Request;
use super::response::{Body, Finish, Response, Transfer, reason};

/// The largest head of a request.
const HEAD_BYTES: usize = 64 * 1024;
/// The most that is read at once.
const READ_BYTES: usize = 64 * 1024;
/// How much of an unread body is swallowed before the connection is closed.
const LINGER_BYTES: u64 = 4 * 1024 * 1024;

/// Bytes that passed all connections.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) received: AtomicU64,
    pub(crate) sent: AtomicU64,
    /// How many connections have been left without an answer.
    pub(crate) held: watch::Sender<u64>,
}

/// One socket with its read buffer and the state of the request being served.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: BytesMut,
    /// How much of the present body is still to be read.
    body_left: u64,
    /// The client waits for permission before it sends the body.
    expects_continue: bool,
    /// After this answer no further request is served.
    closing: bool,
    is_head: bool,
    traffic: Arc<Traffic>,
}

impl Connection {
    /// Takes over an accepted socket.
    pub(crate) fn new(stream: TcpStream, traffic: Arc<Traffic>) -> Self {
        Self {
            stream,
            buffer: BytesMut::new(),
            body_left: 0,
            expects_continue: false,
            closing: false,
            is_head: false,
            traffic,
        }
    }

    /// Reads the next head; `None` when the client is done.
    ///
    /// `InvalidData` means that what came is no HTTP request.
    pub(crate) async fn next_request(&mut self) -> io::Result<Option<Request>> {
        if self.closing {
            return Ok(None);
        }
        loop {
            if let Some(request) = self.parse_head()? {
                self.body_left = request.content_length().unwrap_or(0);
                self.closing = request.wants_close();
                self.is_head = request.method == "HEAD";
                self.expects_continue = request
                    .header("expect")
                    .is_some_and(|value| value.eq_ignore_ascii_case("100-continue"));
                if request.is_chunked() {
                    // Chunks are never read, so nothing after them can be understood.
                    self.body_left = u64::MAX;
                    self.closing = true;
                }
                return Ok(Some(request));
            }
            if self.buffer.len() > HEAD_BYTES {
                return Err(io::ErrorKind::InvalidData.into());
            }
            if self.fill().await? == 0 {
                return Ok(None);
            }
        }
    }

    fn parse_head(&mut self) -> io::Result<Option<Request>> {
        if self.buffer.is_empty() {
            return Ok(None);
        }
        let mut headers = [httparse::EMPTY_HEADER; 100];
        let mut parsed = httparse::Request::new(&mut headers);
        match parsed.parse(&self.buffer) {
            Ok(httparse::Status::Complete(length)) => {
                let request = Request::from_parsed(&parsed);
                drop(self.buffer.split_to(length));
                Ok(Some(request))
            }
            Ok(httparse::Status::Partial) => Ok(None),
            Err(error) => Err(io::Error::new(io::ErrorKind::InvalidData, error)),
        }
    }

    async fn fill(&mut self) -> io::Result<usize> {
        self.buffer.reserve(READ_BYTES);
        let count = self.stream.read_buf(&mut self.buffer).await?;
        self.traffic.received.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }

    /// The next piece of the body; `None` at its end.
    ///
    /// `UnexpectedEof` when the client left in the middle.
    pub(crate) async fn body_chunk(&mut self) -> io::Result<Option<Bytes>> {
        if self.body_left == 0 {
            return Ok(None);
        }
        if self.expects_continue {
            self.expects_continue = false;
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        if self.buffer.is_empty() && self.fill().await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let available = self.buffer.len().min(READ_BYTES) as u64;
        let count = available.min(self.body_left);
        self.body_left -= count;
        // `count` is at most the length of the buffer, so it fits.
        Ok(Some(self.buffer.split_to(count as usize).freeze()))
    }

    /// The whole body; `None` when it is larger than `limit` or comes in chunks.
    pub(crate) async fn body(&mut self, limit: u64) -> io::Result<Option<Bytes>> {
        if self.body_left > limit {
            return Ok(None);
        }
        let mut whole = BytesMut::new();
        while let Some(chunk) = self.body_chunk().await? {
            whole.extend_from_slice(&chunk);
        }
        Ok(Some(whole.freeze()))
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.traffic.sent.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    /// Sends an answer and carries out its finish; `false` when the connection is over.
    pub(crate) async fn answer(&mut self, response: Response, date: &str) -> io::Result<bool> {
        let mut finish = response.finish;
        match response.body {
            Body::Nothing => {}
            Body::Bytes(ref bytes) => {
                let mut message = self.head(&response, Some(bytes.len() as u64), date);
                if !self.is_head {
                    message.extend_from_slice(bytes);
                }
                self.write(&message).await?;
            }
            Body::Transfer(ref transfer) => {
                let announced = transfer.announce_length.then_some(transfer.length);
                let head = self.head(&response, announced, date);
                self.write(&head).await?;
                if !transfer.announce_length && finish == Finish::KeepAlive {
                    finish = Finish::Close;
                }
                if !self.is_head
                    && let Body::Transfer(transfer) = response.body
                {
                    self.send(*transfer).await?;
                }
            }
        }
        self.finish(finish).await
    }

    fn head(&self, response: &Response, length: Option<u64>, date: &str) -> Vec<u8> {
        let closes = self.closing || response.finish == Finish::Close || self.body_left > 0;
        let mut head = format!(
            "HTTP/1.1 {} {}\r\nServer: nginx\r\nDate: {date}\r\n",
            response.status,
            reason(response.status)
        );
        for (name, value) in &response.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(length) = length {
            head.push_str(&format!("Content-Length: {length}\r\n"));
        }
        if closes || length.is_none() {
            head.push_str("Connection: close\r\n");
        }
        head.push_str("\r\n");
        head.into_bytes()
    }

    async fn send(&mut self, mut transfer: Transfer) -> io::Result<()> {
        let mut file = File::open(&transfer.path).await?;
        file.seek(io::SeekFrom::Start(transfer.offset)).await?;
        let step = if transfer.drip.is_some() { 1 } else { 256 * 1024 };
        let mut buffer = vec![0; step.min(transfer.send.max(1)) as usize];
        let mut sent = 0;
        while sent < transfer.send {
            let want = step.min(transfer.send - sent) as usize;
            let count = file.read(&mut buffer[..want]).await?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Some((_, holds)) = transfer.hold.take_if(|(bytes, _)| sent >= *bytes)
                && !holds.wait().await
            {
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            let start = transfer.offset + sent;
            if let Some(at) = transfer.flip_at
                && (start..start + count as u64).contains(&at)
            {
                buffer[(at - start) as usize] ^= 1;
            }
            if let Some(pause) = transfer.drip {
                tokio::time::sleep(pause).await;
            }
            sent += count as u64;
            let mut last = transfer.watcher.as_mut().filter(|_| sent == transfer.send);
            if let Some(watcher) = &mut last {
                watcher.sends_last_piece(sent);
            }
            let written = self.write(&buffer[..count]).await;
            if let (Some(watcher), Err(_)) = (last, &written) {
                watcher.lost_last_piece();
            }
            written?;
        }
        Ok(())
    }

    async fn finish(&mut self, finish: Finish) -> io::Result<bool> {
        match finish {
            Finish::KeepAlive if !self.closing && self.body_left == 0 => Ok(true),
            Finish::KeepAlive | Finish::Close => {
                self.stream.shutdown().await?;
                // Closing with unread bytes would reset the connection and may destroy the answer
                // on its way, so a bounded rest is swallowed first.
                let mut swallowed = self.buffer.len() as u64;
                while self.body_left > 0 && swallowed < LINGER_BYTES {
                    self.buffer.clear();
                    match self.fill().await? {
                        0 => break,
                        count => swallowed += count as u64,
                    }
                }
                Ok(false)
            }
            Finish::Reset => {
                // A reset throws away what the client has not read yet; what was promised to
                // arrive first gets a moment to arrive.
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                self.stream.set_zero_linger()?;
                Ok(false)
            }
            Finish::Stall => {
                // Nothing more is read or written; the end comes when the client leaves, seen as
                // readable end of stream, or when the emulator stops.
                self.traffic.held.send_modify(|held| *held += 1);
                self.wait_for_the_client_to_leave().await;
                Ok(false)
            }
        }
    }

    /// Waits without draining the socket's receive buffer, so that a sender blocks.
    async fn wait_for_the_client_to_leave(&self) {
        let mut probe = vec![0; READ_BYTES];
        let mut seen = 0;
        loop {
            // Peeking never consumes, so with bytes waiting the end of the stream hides behind
            // them; the pause keeps this from spinning.
            match self.stream.peek(&mut probe).await {
                Ok(0) | Err(_) => return,
                Ok(count) if count == seen => {
                    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
                    if matches!(self.stream.take_error(), Ok(Some(_)) | Err(_)) {
                        return;
                    }
                }
                Ok(count) => seen = count,
            }
        }
    }
}
