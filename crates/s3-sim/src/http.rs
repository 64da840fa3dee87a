//! HTTP/1.1 over sockets the emulator owns: requests are read whole, answers may break off on purpose.

use std::io;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::answer::{Answer, Finish};

/// The largest head of a request.
const HEAD_BYTES: usize = 64 * 1024;
/// The most headers of a request.
const HEADERS: usize = 64;
/// The largest body of a request.
const BODY_BYTES: usize = 256 << 20;

/// A request as it came.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Everything before the first `?`, as it was sent.
    pub(crate) path: String,
    /// Everything behind it, as it was sent.
    pub(crate) query: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Bytes,
}

impl Request {
    /// The first header of this name, which is given in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// One client connection.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: BytesMut,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream) -> Connection {
        Connection { stream, buffer: BytesMut::new() }
    }

    /// The next request; `None` when the client is done. `InvalidData`: what came is no request that this server reads.
    pub(crate) async fn request(&mut self) -> io::Result<Option<Request>> {
        let (mut request, length) = loop {
            if let Some(found) = self.head()? {
                break found;
            }
            if self.buffer.len() > HEAD_BYTES {
                return Err(io::ErrorKind::InvalidData.into());
            }
            if self.fill().await? == 0 {
                return match self.buffer.is_empty() {
                    true => Ok(None),
                    false => Err(io::ErrorKind::UnexpectedEof.into()),
                };
            }
        };
        if length > BODY_BYTES {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let waits =
            request.header("expect").is_some_and(|it| it.eq_ignore_ascii_case("100-continue"));
        if waits && self.buffer.len() < length {
            self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        self.buffer.reserve(length.saturating_sub(self.buffer.len()));
        while self.buffer.len() < length {
            if self.fill().await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        request.body = self.buffer.split_to(length).freeze();
        Ok(Some(request))
    }

    /// The head at the front of the buffer, and the length of the body.
    fn head(&mut self) -> io::Result<Option<(Request, usize)>> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS];
        let mut parsed = httparse::Request::new(&mut headers);
        let invalid = || io::Error::from(io::ErrorKind::InvalidData);
        let httparse::Status::Complete(length) =
            parsed.parse(&self.buffer).map_err(|_| invalid())?
        else {
            return Ok(None);
        };
        let target = parsed.path.unwrap_or("/");
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let text = |value: &[u8]| String::from_utf8_lossy(value).trim().to_owned();
        let headers = parsed.headers.iter();
        let request = Request {
            method: parsed.method.unwrap_or_default().to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            headers: headers.map(|it| (it.name.to_ascii_lowercase(), text(it.value))).collect(),
            body: Bytes::new(),
        };
        if request.header("transfer-encoding").is_some() {
            // S3 wants the length before the body.
            return Err(invalid());
        }
        let body = match request.header("content-length") {
            Some(text) => text.parse().map_err(|_| invalid())?,
            None => 0,
        };
        self.buffer.advance(length);
        Ok(Some((request, body)))
    }

    async fn fill(&mut self) -> io::Result<usize> {
        self.buffer.reserve(64 * 1024);
        self.stream.read_buf(&mut self.buffer).await
    }

    /// Sends an answer to a request of that method and ends as the answer says; `false`: the connection is over.
    pub(crate) async fn answer(&mut self, method: &str, answer: Answer) -> io::Result<bool> {
        let finish = answer.finish;
        if !matches!(finish, Finish::Reset | Finish::Silence | Finish::Hold) {
            let mut message = answer.head().into_bytes();
            if method != "HEAD" {
                let sent = match finish {
                    Finish::Cut(bytes) => answer.body.slice(..bytes.min(answer.body.len())),
                    _ => answer.body,
                };
                message.extend_from_slice(&sent);
            }
            self.stream.write_all(&message).await?;
        }
        match finish {
            Finish::KeepAlive => return Ok(true),
            Finish::Cut(_) | Finish::Silence => self.stream.shutdown().await?,
            Finish::Reset => self.stream.set_zero_linger()?,
            Finish::Hold => self.wait_for_the_client_to_leave().await,
        }
        Ok(false)
    }

    async fn wait_for_the_client_to_leave(&mut self) {
        let mut rest = [0; 4096];
        while let Ok(1..) = self.stream.read(&mut rest).await {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}
