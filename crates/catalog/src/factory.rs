//! The kind of remote `catalog`: a wrapper that a person puts around a remote of their own.

use std::sync::Arc;

use ketch_core::factory::{Connect, ConnectRequest, Connecting, Factory, OptionInfo, REMOTE};
use ketch_core::{Backend, Error, ErrorKind, Result};

use crate::layer::{Catalog, VIEW};

/// The kind `catalog`.
pub const FACTORY: Factory = Factory {
    kind: "catalog",
    about: "Another remote, with times, permissions, empty files and links that it does not keep by itself.",
    options: &[OptionInfo {
        name: REMOTE,
        help: "The remote below, with or without a path (`work:box`), or a folder of this machine. The catalogue is in the \
               folder that is opened.",
        default: None,
        secret: false,
        required: true,
        unless: None,
    }],
    connect: Connect::Wrapper(connect),
};

fn connect(below: Arc<dyn Backend>, _request: ConnectRequest) -> Connecting {
    Box::pin(std::future::ready(around(below)))
}

fn around(below: Arc<dyn Backend>) -> Result<Arc<dyn Backend>> {
    // Its object would have one of the names that the one below keeps for itself.
    if below.view_options().starts_with(VIEW) {
        let message = "what it stands on has a catalogue already";
        return Err(Error::new(ErrorKind::InvalidInput, message));
    }
    Ok(Arc::new(Catalog::around(below)))
}
