//! How a remote is made from its options.

use std::sync::Arc;
use std::time::Duration;

use ketch_core::factory::{Connect, ConnectRequest, Connecting, Factory};
use ketch_core::layer::{LimitSettings, RetrySettings, Stack, TimeoutSettings};
use ketch_core::{Backend, Result};

use crate::backend::Opened;
use crate::client::Client;
use crate::folder::S3;
use crate::keys::Root;
use crate::options::{OPTIONS, Settings};

/// S3 and what speaks like it.
pub const FACTORY: Factory = Factory {
    kind: "s3",
    about: "S3 and what speaks like it: AWS, Cloudflare R2, Wasabi, Minio, Ceph and others.",
    options: OPTIONS,
    connect: Connect::Remote(connect),
};

/// For how long a call may take. Each request has shorter deadlines of its own below.
const CALL_WAIT: Duration = Duration::from_secs(30 * 60);

fn connect(request: ConnectRequest) -> Connecting {
    Box::pin(std::future::ready(layered(request)))
}

fn layered(request: ConnectRequest) -> Result<Arc<dyn Backend>> {
    let timeouts =
        TimeoutSettings { call: CALL_WAIT, idle: CALL_WAIT, finish: CALL_WAIT, slowest: None };
    let observer = request.observer.clone();
    let mut stack = Stack::new(raw(request)?).timeout(timeouts).limit(LimitSettings::default());
    if let Some(observer) = observer {
        stack = stack.observe(observer);
    }
    Ok(stack.retry(RetrySettings::default()).build())
}

/// Opens a remote without any layer around it. Nothing is asked: a wrong key shows at the first use.
///
/// Errors: `InvalidInput` for options that make no sense; `Unsupported` when TLS is needed and has no provider.
pub fn raw(request: ConnectRequest) -> Result<Arc<dyn Backend>> {
    let settings = Settings::read(&request.options)?;
    let root = Root::new(&request.root)?;
    let client = Arc::new(Client::new(settings)?);
    Ok(Arc::new(Opened::new(S3::new(client, root, &request.name))))
}
