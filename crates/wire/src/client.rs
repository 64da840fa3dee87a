//! Builds HTTP clients with the traps closed.

use std::time::Duration;

use ketch_core::{Error, ErrorKind, Result};
use reqwest::{Client, redirect};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
const READ_TIMEOUT: Duration = Duration::from_secs(60);
const CALL_TIMEOUT: Duration = Duration::from_secs(180);
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// What a client is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Small requests that are answered whole: with a deadline.
    Api,
    /// Bodies that are sent: HTTP/1, which moves them faster, and no deadline, because [`crate::send()`] watches them.
    Send,
    /// Bodies that are fetched: HTTP/1, and a deadline for each read.
    Fetch,
}

/// Where requests of a client go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClientSettings {
    /// The host is this machine: no proxy is asked.
    pub is_loopback: bool,
    /// The address is plain HTTP, so no certificates are needed.
    pub is_plain: bool,
    /// A connection ends with its request.
    pub ends_connections: bool,
}

/// A client that follows no redirect and sends no referrer.
///
/// Errors: `Unsupported` when TLS is needed and the program has installed no provider for it; `Io` when the client cannot be
/// set up.
pub fn client(purpose: Purpose, settings: ClientSettings) -> Result<Client> {
    let ClientSettings { is_loopback, is_plain, ends_connections } = settings;
    let mut builder = Client::builder()
        .user_agent(concat!("ketch/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        .referer(false)
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_keepalive(KEEP_ALIVE);
    builder = match purpose {
        Purpose::Api => builder.read_timeout(READ_TIMEOUT).timeout(CALL_TIMEOUT),
        // The server may think for longer than a read may take once it has a whole body.
        Purpose::Send => builder.http1_only(),
        Purpose::Fetch => builder.http1_only().read_timeout(READ_TIMEOUT),
    };
    if ends_connections {
        builder = builder.pool_max_idle_per_host(0);
    }
    if is_loopback {
        builder = builder.no_proxy();
    }
    if is_plain {
        builder = builder.tls_backend_preconfigured(no_tls()?);
    } else if rustls::crypto::CryptoProvider::get_default().is_none() {
        return Err(no_provider());
    }
    builder.build().map_err(|error| {
        let error = error.without_url();
        Error::new(ErrorKind::Io, "the HTTP client cannot be set up").with_source(error)
    })
}

fn no_provider() -> Error {
    let message = "no TLS provider is installed: the program must install one for rustls first";
    Error::new(ErrorKind::Unsupported, message)
}

/// TLS that trusts nobody, for an address that does not speak TLS: needs neither the system's certificates nor an installed
/// provider.
fn no_tls() -> Result<rustls::ClientConfig> {
    let provider = rustls::crypto::CryptoProvider::get_default()
        .cloned()
        .unwrap_or_else(|| std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| no_provider().with_source(error))?;
    Ok(config.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth())
}
