//! Failures of the network, and of setting up TLS, as errors.

use std::error::Error as StdError;

use ketch_core::{Error, ErrorKind, Result, Retry};

/// A request that got no answer.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) error: Error,
    /// Can the server have seen the request?
    pub(crate) sent: bool,
}

pub(super) fn not_sent(error: Error) -> Fault {
    Fault { error, sent: false }
}

pub(super) fn got(error: Error) -> Fault {
    Fault { error, sent: true }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        fault.error
    }
}

/// Which error a failure of the network is. The kinds that the client reports are not trusted: a body that is cut counts
/// as one of decoding there. What lies beneath decides.
pub(super) fn fault(error: reqwest::Error) -> Fault {
    let error = error.without_url();
    let sent = !error.is_connect() && !error.is_builder();
    let (mut short, mut reset, mut certificate) = (false, false, false);
    let mut cause: Option<&(dyn StdError + 'static)> = error.source();
    while let Some(inner) = cause {
        // ORDER: an `io::Error` hides what it wraps from `source()`.
        let wrapped = inner.downcast_ref::<std::io::Error>();
        if let Some(io) = wrapped {
            short |= io.kind() == std::io::ErrorKind::UnexpectedEof;
            reset |= matches!(
                io.kind(),
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
        (
            ErrorKind::Unavailable,
            Retry::Backoff,
            "the server cannot be reached (is the network up, and `api_url` right?)",
        )
    } else if short {
        (ErrorKind::Corrupt, Retry::Backoff, "the answer ended early")
    } else if reset {
        (ErrorKind::Unavailable, Retry::Backoff, "the connection was reset")
    } else {
        (ErrorKind::Unavailable, Retry::Backoff, "the connection failed")
    };
    Fault { error: Error::new(kind, message).with_retry(retry).with_source(error), sent }
}

pub(super) fn no_provider() -> Error {
    let message = "no TLS provider is installed: the program must install one for rustls first";
    Error::new(ErrorKind::Unsupported, message)
}

/// TLS that trusts nobody, for an API on this machine that does not speak TLS: needs neither the system's certificates
/// nor an installed provider.
pub(super) fn no_tls() -> Result<rustls::ClientConfig> {
    let provider = rustls::crypto::CryptoProvider::get_default()
        .cloned()
        .unwrap_or_else(|| std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| no_provider().with_source(error))?;
    Ok(config.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth())
}
