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

/// Which error a failure of the network is. The kinds that the client reports are not trusted: a body that is cut counts
/// as one of decoding there. What lies beneath decides.
pub fn fault(error: reqwest::Error) -> Fault {
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
    let (kind, retry, message) = if certificate {
        (ErrorKind::Unavailable, Retry::Never, "the server's certificate is not to be trusted")
    } else if error.is_builder() {
        (ErrorKind::Protocol, Retry::Never, "the request cannot be made")
    } else if error.is_timeout() {
        (ErrorKind::Unavailable, Retry::Backoff, "the server did not answer in time")
    } else if error.is_connect() {
        let message = "the server cannot be reached (is the network up, and the address right?)";
        (ErrorKind::Unavailable, Retry::Backoff, message)
    } else if short {
        (ErrorKind::Corrupt, Retry::Backoff, "the answer ended early")
    } else if reset {
        (ErrorKind::Unavailable, Retry::Backoff, "the connection was reset")
    } else {
        (ErrorKind::Unavailable, Retry::Backoff, "the connection failed")
    };
    Fault { error: Error::new(kind, message).with_retry(retry).with_source(error), sent }
}
