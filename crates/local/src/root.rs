//! The folder at which a backend was opened, and the one way in which its work gets to a thread that may block.

use std::collections::{HashSet, VecDeque};
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use ketch_core::names::{bytes_from_core, core_from_bytes};
use ketch_core::{Error, RelPath, Result};
use rustix::fs;
use rustix::io::{self, Errno, retry_on_intr};
use tokio_util::task::AbortOnDropHandle;

use crate::batch::{Batcher, look_at, was_looked_at};
use crate::beneath::Way;
use crate::error::from_errno;
use crate::options::{Inodes, Links, LocalOptions};
use crate::spelling::Spellings;
use crate::stat::identity;
use crate::volume::{Mounts, are_all_plain};

/// Folders that are kept open because the next file is likely to be in one of them.
const FOLDERS_KEPT: usize = 4;

/// What all operations of one backend share.
#[derive(Debug)]
pub(crate) struct Root {
    pub(crate) path: PathBuf,
    pub(crate) options: LocalOptions,
    /// Where short work is done.
    pub(crate) batcher: Arc<Batcher>,
    /// As far as is known, files without a name can be made here.
    pub(crate) nameless: AtomicBool,
    /// Refusals of the file system that were reported (see `lenient`).
    pub(crate) told: AtomicU8,
    /// Its inode numbers mean nothing: they change at each look.
    pub(crate) has_loose_numbers: AtomicBool,
    /// The disk whose inode numbers were last seen to stay the same.
    pub(crate) numbered_device: AtomicU64,
    /// Which file systems find names in other spellings.
    pub(crate) spellings: Spellings,
    /// See [`Root::proves_versions`].
    proves_versions: OnceLock<bool>,
    folders: Mutex<VecDeque<Arc<Place>>>,
    /// Folders in which a part of an interrupted transfer was found.
    with_leftovers: Mutex<HashSet<RelPath>>,
}

/// A folder that was reached without following a link. It stays the same folder even if its name changes, so code that
/// writes in a folder that was kept open checks that its path still leads to it.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) descriptor: OwnedFd,
    pub(crate) identity: (u64, u64),
    /// Another one for each place of this process, from 1 on.
    number: u64,
    path: RelPath,
}

impl Root {
    /// `path` is made absolute against the working folder. No other I/O.
    pub(crate) fn new(path: &Path, options: LocalOptions) -> Self {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        // Without a working folder the path stays relative, and the first use says that it is not there.
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        // Through the components, because a trailing slash would mean something to the system.
        let path = absolute.components().collect();
        let nameless = AtomicBool::new(true);
        let has_loose_numbers = AtomicBool::new(options.inodes == Inodes::Ignore);
        Root {
            path,
            options,
            batcher: Arc::default(),
            nameless,
            told: AtomicU8::new(0),
            has_loose_numbers,
            numbered_device: AtomicU64::new(0),
            spellings: Spellings::default(),
            proves_versions: OnceLock::new(),
            folders: Mutex::default(),
            with_leftovers: Mutex::default(),
        }
    }

    /// The folder that holds `path`, if it is kept open.
    pub(crate) fn kept_folder(&self, path: &RelPath) -> Option<Arc<Place>> {
        let folder = path.as_str().rsplit_once('/').map_or("", |(folder, _)| folder);
        let kept = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().find(|place| place.path.as_str() == folder).cloned()
    }

    /// Keeps a folder open in place of the one that was kept open first.
    pub(crate) fn keep_folder(&self, path: RelPath, descriptor: OwnedFd) -> io::Result<Arc<Place>> {
        let identity = identity(&fs::fstat(&descriptor)?);
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let place = Arc::new(Place { descriptor, identity, number, path });
        let mut kept = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|other| other.path != place.path);
        kept.truncate(FOLDERS_KEPT - 1);
        kept.push_front(Arc::clone(&place));
        Ok(place)
    }

    /// Did the path of `place` lead to it a moment ago? It is asked once for the pieces of a batch.
    pub(crate) fn was_in_place(&self, place: &Place) -> io::Result<bool> {
        if was_looked_at(place.number) {
            return Ok(true);
        }
        let is_in_place = self.is_in_place(place)?;
        if is_in_place {
            look_at(place.number);
        }
        Ok(is_in_place)
    }

    /// Does the path of `place` still lead to it?
    pub(crate) fn is_in_place(&self, place: &Place) -> io::Result<bool> {
        let below = OsString::from_vec(bytes_from_core(place.path.as_str()));
        let whole = if below.is_empty() { self.path.clone() } else { self.path.join(below) };
        // A link on the way is followed here, but only the very folder will do.
        match retry_on_intr(|| fs::stat(&whole)) {
            Ok(stat) if identity(&stat) == place.identity => Ok(true),
            Ok(_) => {
                // If the folder itself has another inode number now, numbers cannot identify it.
                let own = identity(&fs::fstat(&place.descriptor)?);
                Ok(own != place.identity)
            }
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(false),
            Err(Errno::NAMETOOLONG) => {
                let now = self.open_folder(&place.path, Way::Beneath)?;
                Ok(identity(&fs::fstat(&now)?) == place.identity)
            }
            Err(errno) => Err(errno),
        }
    }

    pub(crate) fn leftovers(&self) -> MutexGuard<'_, HashSet<RelPath>> {
        self.with_leftovers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes what is kept open.
    pub(crate) fn forget_folders(&self) {
        self.folders.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Do the versions of all files of this place prove their content? Links that are followed may lead anywhere.
    pub(crate) fn proves_versions(&self) -> bool {
        *self.proves_versions.get_or_init(|| {
            !self.follows_links() && are_all_plain(&self.canonical(), &Mounts::now())
        })
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
