//! The factory of local places, and how a place is made from the texts of its options.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::sync::Arc;

use ketch_core::factory::{Connect, ConnectRequest, Connecting, Factory, OptionInfo, Options};
use ketch_core::layer::{RetrySettings, Stack};
use ketch_core::names::bytes_from_core;
use ketch_core::{Backend, Error, ErrorKind, Result};

use crate::backend::LocalBackend;
use crate::options::{Fsync, Inodes, Links, LocalOptions};
use crate::root::Root;

/// The kind `local`. The root of the request is in core form ([`ketch_core::names`]), so a folder whose name is not UTF-8
/// can be one.
pub const FACTORY: Factory = Factory {
    kind: "local",
    about: "A folder of this machine.",
    options: &[
        OptionInfo {
            name: "links",
            help: "Symbolic links: `skip` reports them, `follow` reads what they point to, `keep` copies them as links.",
            default: Some("skip"),
            secret: false,
            required: false,
            unless: None,
        },
        OptionInfo {
            name: "fsync",
            help: "What to force to the disk: `none`, the `file` before it gets its final name, or `all` (its folder too).",
            default: Some("file"),
            secret: false,
            required: false,
            unless: None,
        },
        OptionInfo {
            name: "inodes",
            help: "Whether the inode number belongs to the version of a file: `check`, or `ignore` on disks on which these numbers change by themselves.",
            default: Some("check"),
            secret: false,
            required: false,
            unless: None,
        },
    ],
    connect: Connect::Remote(connect),
};

fn connect(request: ConnectRequest) -> Connecting {
    Box::pin(std::future::ready(build(request)))
}

/// The place of `root`, which is in core form and need not exist, with all links resolved as far as it exists.
pub fn canonical(root: &str) -> PathBuf {
    Root::new(&path_of(root), LocalOptions::default()).canonical()
}

/// The layers around it only repeat calls that failed because descriptors, memory or a file server were not available.
fn build(request: ConnectRequest) -> Result<Arc<dyn Backend>> {
    let refuse = |error: Error| error.with_operation("open").with_remote(&request.name);
    let options = LocalOptions {
        links: choose(
            &request.options,
            "links",
            &[("skip", Links::Skip), ("follow", Links::Follow), ("keep", Links::Keep)],
        )
        .map_err(refuse)?,
        fsync: choose(
            &request.options,
            "fsync",
            &[("none", Fsync::None), ("file", Fsync::File), ("all", Fsync::All)],
        )
        .map_err(refuse)?,
        inodes: choose(
            &request.options,
            "inodes",
            &[("check", Inodes::Check), ("ignore", Inodes::Ignore)],
        )
        .map_err(refuse)?,
        fence: request.fence,
    };
    let backend = LocalBackend::named(request.name, path_of(&request.root), options);
    let mut stack = Stack::new(Arc::new(backend)).retry(RetrySettings::default());
    if let Some(observer) = request.observer {
        stack = stack.observe(observer);
    }
    Ok(stack.build())
}

fn path_of(root: &str) -> PathBuf {
    PathBuf::from(OsString::from_vec(bytes_from_core(root)))
}

fn choose<T: Copy + Default>(options: &Options, name: &str, choices: &[(&str, T)]) -> Result<T> {
    let Some(given) = options.get(name) else { return Ok(T::default()) };
    if let Some((_, choice)) = choices.iter().find(|(text, _)| *text == given) {
        return Ok(*choice);
    }
    let known: Vec<_> = choices.iter().map(|(text, _)| *text).collect();
    let message = format!("the option `{name}` cannot be {given:?} (known: {})", known.join(", "));
    Err(Error::new(ErrorKind::InvalidInput, message))
}
