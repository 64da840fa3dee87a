//! An answer as a value, including the ways in which it may go wrong on purpose.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::holds::Holds;

/// What the client is told.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Body,
    pub(crate) finish: Finish,
}

/// Where the body comes from.
#[derive(Debug)]
pub(crate) enum Body {
    /// From memory, with its true length announced.
    Bytes(Bytes),
    /// From a file, possibly mistreated.
    Transfer(Box<Transfer>),
    /// No answer at all, not even a status line; what happens is up to [`Finish`].
    Nothing,
}

/// What becomes of the connection after the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finish {
    /// The next request may follow.
    KeepAlive,
    /// An orderly end.
    Close,
    /// A TCP reset.
    Reset,
    /// Silence until the client gives up.
    Stall,
}

/// A body that is read from a file.
#[derive(Debug)]
pub(crate) struct Transfer {
    pub(crate) path: PathBuf,
    pub(crate) offset: u64,
    /// The honest length of the body.
    pub(crate) length: u64,
    /// How much of it is sent; less than `length` is a fault.
    pub(crate) send: u64,
    /// `false`: the end of the connection is the end of the body.
    pub(crate) announce_length: bool,
    /// One byte at a time with this pause before each.
    pub(crate) drip: Option<Duration>,
    /// The byte of the file that is sent wrong.
    pub(crate) flip_at: Option<u64>,
    /// After so many bytes of the body it waits there.
    pub(crate) hold: Option<(u64, Arc<Holds>)>,
    /// Kept until the body is out.
    pub(crate) watcher: Option<Box<dyn Watcher>>,
}

/// Learns how a transfer goes. Dropping it without a word means that the client went away.
pub(crate) trait Watcher: std::fmt::Debug + Send + Sync {
    /// The last piece is about to be sent, which makes so many bytes in all. Told before and not
    /// after, because a client that has the last byte may ask for more at once.
    fn sends_last_piece(&mut self, bytes: u64);

    /// The last piece did not get through after all.
    fn lost_last_piece(&mut self);
}

impl Response {
    /// An answer from memory.
    pub(crate) fn new(status: u16, content_type: &str, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            headers: vec![("Content-Type".to_owned(), content_type.to_owned())],
            body: Body::Bytes(body.into()),
            finish: Finish::KeepAlive,
        }
    }

    /// A JSON answer with the headers of the service.
    pub(crate) fn json(status: u16, body: String) -> Self {
        Self::new(status, "application/json; charset=utf-8", body)
            .with_header("Vary", "Accept-Encoding")
    }

    /// An HTML page.
    pub(crate) fn html(status: u16, body: String) -> Self {
        Self::new(status, "text/html; charset=utf-8", body)
    }

    /// A plain text.
    pub(crate) fn text(status: u16, body: impl Into<String>) -> Self {
        Self::new(status, "text/plain; charset=utf-8", body.into())
    }

    /// Nothing is said, and the connection ends like this.
    pub(crate) fn silence(finish: Finish) -> Self {
        Self { status: 0, headers: Vec::new(), body: Body::Nothing, finish }
    }

    /// Adds a header.
    pub(crate) fn with_header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Sets what becomes of the connection.
    pub(crate) fn finishing(mut self, finish: Finish) -> Self {
        self.finish = finish;
        self
    }
}

/// The words of a status line.
pub(super) fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        410 => "Gone",
        411 => "Length Required",
        413 => "Content Too Large",
        416 => "Range Not Satisfiable",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        _ => "Status",
    }
}
