//! Failures of the network as errors.

use std::error::Error as StdError;

use ketch_core::{Error, ErrorKind, Retry};

/// A request that got no answer.
#[derive(Debug)]
pub struct Fault {
    /// What it means.
    pub error: Error,
    /// Can the server have seen the request?
    pub sent: bool,
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        fault.error
    }
}

/// What messages call the other side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// `the server`.
    pub name: &'static str,
    /// What a person may have written wrongly if it cannot be reached.
    pub address: &'static str,
}

/// Any server.
pub const SERVER: Peer = Peer { name: "the server", address: "the address" };

/// Which error a failure of the network with [`SERVER`] is.
pub fn fault(error: reqwest::Error) -> Fault {
    SERVER.fault(error)
}

impl Peer {
    /// Which error a failure of the network is. The kinds that the client reports are not trusted: a body that is cut counts
    /// as one of decoding there. What lies beneath decides.
    pub fn fault(&self, error: reqwest::Error) -> Fault {
        let error = error.without_url();
        let sent = !error.is_connect() && !error.is_builder();
        let (mut short, mut reset, mut certificate) = (false, false, false);
        let mut cause: Option<&(dyn StdError + 'static)> = error.source();
        while let Some(inner) = cause {
            // ORDER: an `io::Error` hides what it wraps from `source()`.
            let wrapped = inner.downcast_ref::<std::io::Error>();
            if let Some(io) = wrapped {
                let kind = io.kind();
                short |= kind == std::io::ErrorKind::UnexpectedEof;
                reset |= matches!(
                    kind,
                    std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe
                );
            }
            let tls = match wrapped.and_then(|io| io.get_ref()) {
                Some(held) => held.downcast_ref::<rustls::Error>(),
                None => inner.downcast_ref::<rustls::Error>(),
            };
            certificate |= matches!(tls, Some(rustls::Error::InvalidCertificate(_)));
            cause = inner.source();
        }
        let unreachable;
        let (kind, retry, message) = if certificate {
            (ErrorKind::Unavailable, Retry::Never, "the server's certificate is not to be trusted")
        } else if error.is_builder() {
            (ErrorKind::Protocol, Retry::Never, "the request cannot be made")
        } else if error.is_timeout() {
            (ErrorKind::Unavailable, Retry::Backoff, "the server did not answer in time")
        } else if error.is_connect() {
            unreachable = format!(
                "the server cannot be reached (is the network up, and {} right?)",
                self.address
            );
            (ErrorKind::Unavailable, Retry::Backoff, unreachable.as_str())
        } else if short {
            (ErrorKind::Corrupt, Retry::Backoff, "the answer ended early")
        } else if reset {
            (ErrorKind::Unavailable, Retry::Backoff, "the connection was reset")
        } else {
            (ErrorKind::Unavailable, Retry::Backoff, "the connection failed")
        };
        Fault { error: Error::new(kind, message).with_retry(retry).with_source(error), sent }
    }
}
