//! Connects places by their kind and options.

use std::path::PathBuf;
use std::sync::Arc;

use ketch_core::factory::{ConnectRequest, Factory, Options};
use ketch_core::{Backend, Error, ErrorKind, Result};

/// The kinds of remotes in this build.
pub fn kinds() -> Vec<Factory> {
    vec![
        #[cfg(feature = "local")]
        ketch_local::FACTORY,
        #[cfg(any(feature = "fichier", feature = "s3"))]
        ketch_fichier::FACTORY,
        #[cfg(feature = "s3")]
        ketch_s3::FACTORY,
        #[cfg(feature = "catalog")]
        ketch_catalog::FACTORY,
    ]
}

fn find(kind: &str) -> Result<Factory> {
    let known = kinds();
    let names: Vec<_> = known.iter().map(|factory| factory.kind).collect();
    let unknown = || {
        let text =
            format!("this build has no remotes of the kind `{kind}` (it has {})", names.join(", "));
        Error::new(ErrorKind::InvalidInput, text)
    };
    known.iter().find(|factory| factory.kind == kind).copied().ok_or_else(unknown)
}

fn request(root: &str, options: Options, state_folder: Option<PathBuf>) -> ConnectRequest {
    #[cfg(any(feature = "fichier", feature = "s3"))]
    {
        // An error means that the program has chosen its TLS itself.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    }
    ConnectRequest {
        name: root.to_owned(),
        root: root.to_owned(),
        options,
        state_folder,
        ..ConnectRequest::default()
    }
}

/// Connects the folder `root` of a remote of this kind, and checks its options, which are those of the command's
/// configuration. In `state_folder` the remote keeps what must outlive the process, such as the times of its requests.
/// Without one, a limit that is counted over an hour is counted from now on.
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// use ketch::Options;
/// let options = Options::from_iter([("links", "keep")]);
/// let place = ketch::connect("local", "/tmp", options, None).await?;
/// assert!(place.about().capabilities.links);
/// # Ok::<(), ketch::Error>(()) }).unwrap();
/// ```
///
/// Errors: `InvalidInput` for an unknown kind or wrong options; `Unavailable` when the remote does not answer within a minute.
pub async fn connect(
    kind: &str,
    root: &str,
    options: Options,
    state_folder: Option<PathBuf>,
) -> Result<Arc<dyn Backend>> {
    find(kind)?.connect(request(root, options, state_folder)).await
}

/// Puts a wrapper of this kind around a place.
///
/// Errors: as [`connect`]; `InvalidInput` for a kind that is no wrapper.
pub async fn wrap(
    kind: &str,
    below: Arc<dyn Backend>,
    options: Options,
    state_folder: Option<PathBuf>,
) -> Result<Arc<dyn Backend>> {
    let root = below.about().name.clone();
    find(kind)?.wrap(below, request(&root, options, state_folder)).await
}

/// A folder of this machine, which need not exist yet.
///
/// Errors: `InvalidInput` when the path names no folder: it is empty.
#[cfg(feature = "local")]
pub fn local(folder: impl AsRef<std::path::Path>) -> Result<Arc<dyn Backend>> {
    let folder = folder.as_ref();
    if folder.as_os_str().is_empty() {
        return Err(Error::new(ErrorKind::InvalidInput, "a path is empty"));
    }
    let folder = std::path::absolute(folder).map_err(|error| {
        Error::new(ErrorKind::InvalidInput, "the current folder is not known").with_source(error)
    })?;
    Ok(ketch_local::LocalBackend::open(folder, ketch_local::LocalOptions::default()))
}
