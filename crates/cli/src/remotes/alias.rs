//! The kind of remote `alias`: another name for a place on a remote.

use std::sync::Arc;

use ketch_core::Backend;
use ketch_core::factory::{Connect, ConnectRequest, Connecting, Factory, OptionInfo, REMOTE};

/// The kind `alias`.
pub(super) const FACTORY: Factory = Factory {
    kind: "alias",
    about: "Another name for a place on another remote.",
    options: &[OptionInfo {
        name: REMOTE,
        help: "The remote below, with or without a path (`work:box`), or a folder of this machine.",
        default: None,
        secret: false,
        required: true,
        unless: None,
    }],
    connect: Connect::Wrapper(connect),
};

fn connect(below: Arc<dyn Backend>, _request: ConnectRequest) -> Connecting {
    Box::pin(std::future::ready(Ok(below)))
}
