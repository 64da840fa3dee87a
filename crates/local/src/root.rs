//! The folder a backend was opened at, and the one way its work gets to a thread that may block.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use ketch_core::names::{bytes_from_core, core_from_bytes};
use ketch_core::{Error, RelPath, Result};
use rustix::io::Errno;
use tokio_util::task::AbortOnDropHandle;

use crate::error::from_errno;
use crate::options::{Links, LocalOptions};

/// What all operations of one backend share.
#[derive(Debug)]
pub(crate) struct Root {
    pub(crate) path: PathBuf,
    pub(crate) options: LocalOptions,
}

impl Root {
    /// `path` is made absolute against the working folder. No other I/O.
    pub(crate) fn new(path: &Path, options: LocalOptions) -> Self {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        // Without a working folder the path stays relative, and the first use says that it is not there.
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        // Through the components, because a trailing slash would mean something to the system.
        Root { path: absolute.components().collect(), options }
    }

    pub(crate) fn follows_links(&self) -> bool {
        self.options.links == Links::Follow
    }

    /// The error of a system call that worked on `path`.
    pub(crate) fn error(&self, errno: Errno, path: &RelPath) -> Error {
        from_errno(errno, || self.folder_of(path)).with_path(path)
    }

    fn folder_of(&self, path: &RelPath) -> PathBuf {
        let below = path.parent().unwrap_or_else(RelPath::root);
        let below = OsString::from_vec(bytes_from_core(below.as_str()));
        if below.is_empty() { self.path.clone() } else { self.path.join(below) }
    }

    /// The place, with all links resolved as far as it exists.
    pub(crate) fn canonical(&self) -> PathBuf {
        self.path
            .ancestors()
            .find_map(|prefix| {
                let found = std::fs::canonicalize(prefix).ok()?; // A prefix that does not exist: the next shorter one.
                let rest = self.path.strip_prefix(prefix).ok()?; // Never: it is one of its ancestors.
                Some(append(found, rest))
            })
            .unwrap_or_else(|| self.path.clone())
    }

    /// [`Root::canonical`] as a text.
    pub(crate) fn location(&self) -> String {
        let text = core_from_bytes(&self.canonical().into_os_string().into_vec());
        // `/` becomes the empty text, so that it is a `/`-prefix of every other folder.
        format!("local:{}", text.trim_end_matches('/'))
    }
}

fn append(mut found: PathBuf, rest: &Path) -> PathBuf {
    for part in rest.components() {
        match part {
            Component::ParentDir => _ = found.pop(),
            Component::Normal(name) => found.push(name),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    found
}

/// Runs `work` on a thread that may block.
///
/// CANCEL: dropped before `work` has begun, it never begins; after that it runs to its end and its result is dropped.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    finish(start(work)).await
}

/// Work that is under way on another thread.
pub(crate) type Hop<T> = AbortOnDropHandle<Result<T>>;

pub(crate) fn start<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Hop<T> {
    AbortOnDropHandle::new(tokio::task::spawn_blocking(work))
}

pub(crate) async fn finish<T>(hop: Hop<T>) -> Result<T> {
    match hop.await {
        Ok(result) => result,
        Err(stopped) => match stopped.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(Error::cancelled()), // The runtime is being shut down.
        },
    }
}
