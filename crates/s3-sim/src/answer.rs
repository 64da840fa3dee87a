//! Answers as values: what S3 says, and how the connection ends after it.

use bytes::Bytes;

use crate::text::escape;

/// What becomes of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finish {
    /// The next request may follow.
    KeepAlive,
    /// So many bytes of the body are sent, and the connection is closed.
    Cut(usize),
    /// Nothing is said, and the connection is closed.
    Silence,
    /// Nothing is said, and the connection is reset.
    Reset,
    /// Nothing is said until the client leaves.
    Hold,
}

/// What the client is told.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Bytes,
    /// The length that is announced, if it is not that of the body: a `HEAD` announces what a `GET` sends.
    pub(crate) length: Option<usize>,
    pub(crate) finish: Finish,
}

/// What is refused, by the name that S3 gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) status: u16,
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

/// A refusal.
pub(crate) fn refused(status: u16, code: &'static str) -> Refused {
    Refused { status, code, message: format!("The emulator refuses this: {code}.") }
}

impl Refused {
    /// The element that says so.
    pub(crate) fn element(&self) -> String {
        let message = escape(&self.message);
        format!("<Error><Code>{}</Code><Message>{message}</Message></Error>", self.code)
    }
}

impl From<Refused> for Answer {
    fn from(refused: Refused) -> Answer {
        Answer::xml(refused.status, &refused.element())
    }
}

impl Answer {
    pub(crate) fn empty(status: u16) -> Answer {
        Answer {
            status,
            headers: Vec::new(),
            body: Bytes::new(),
            length: None,
            finish: Finish::KeepAlive,
        }
    }

    pub(crate) fn xml(status: u16, body: &str) -> Answer {
        let text = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{body}");
        Answer { body: text.into(), ..Answer::empty(status) }
            .with("content-type", "application/xml")
    }

    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Answer {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub(crate) fn finishing(mut self, finish: Finish) -> Answer {
        self.finish = finish;
        self
    }

    pub(crate) fn head(&self) -> String {
        let reason = match self.status {
            200 => "OK",
            204 => "No Content",
            206 => "Partial Content",
            403 => "Forbidden",
            404 => "Not Found",
            412 => "Precondition Failed",
            503 => "Slow Down",
            _ => "Status",
        };
        let mut head = format!("HTTP/1.1 {} {reason}\r\nServer: s3-sim\r\n", self.status);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if self.status != 204 {
            let length = self.length.unwrap_or(self.body.len());
            head.push_str(&format!("Content-Length: {length}\r\n"));
        }
        if self.finish != Finish::KeepAlive {
            head.push_str("Connection: close\r\n");
        }
        head.push_str("\r\n");
        head
    }
}
