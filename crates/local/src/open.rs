//! From a path below the root to a descriptor.
//!
//! [`Way::Beneath`] cannot be led out of the root: the kernel resolves the whole path in one step and refuses every
//! symbolic link (`openat2`), and where it cannot, the path is walked folder by folder, each relative to the descriptor
//! of the one above. A link is `ELOOP` in both cases. The walk is also what makes paths longer than `PATH_MAX` work.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::sync::atomic::{AtomicBool, Ordering};

use ketch_core::names::bytes_from_core;
use ketch_core::{Error, ErrorKind, RelPath, Result};
use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::{self, Errno, retry_on_intr};

use crate::root::Root;

/// A descriptor that stands for a folder and needs no right to list it.
const FOLDER: OFlags = OFlags::PATH.union(OFlags::DIRECTORY);

/// How often a folder is made again that other programs remove at the same time.
const MAKE_TRIES: usize = 8;

/// Whether symbolic links below the root are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// None is. All writing goes this way.
    Beneath,
    /// All are. Only for reading.
    Follow,
}

impl Root {
    /// The way reading goes.
    pub(crate) fn reading(&self) -> Way {
        if self.follows_links() { Way::Follow } else { Way::Beneath }
    }

    /// Opens what is at `path`. At the root itself links are always followed.
    pub(crate) fn open(&self, path: &RelPath, flags: OFlags, way: Way) -> io::Result<OwnedFd> {
        if path.is_root() {
            let flags = (flags | OFlags::CLOEXEC).difference(OFlags::NOFOLLOW);
            return retry_on_intr(|| fs::open(&self.path, flags, Mode::empty()));
        }
        let root = self.open_folder(&RelPath::root(), way)?;
        open_at(root.as_fd(), &bytes_from_core(path.as_str()), flags, way)
    }

    /// A folder, as a place to work relative to.
    pub(crate) fn open_folder(&self, path: &RelPath, way: Way) -> io::Result<OwnedFd> {
        self.open(path, FOLDER, way)
    }

    /// The folder that holds `path`, and the name of `path` in it. The root has none: `EINVAL`.
    pub(crate) fn open_parent(&self, path: &RelPath, way: Way) -> io::Result<(OwnedFd, CString)> {
        let (parent, name) = path.parent().zip(path.name()).ok_or(Errno::INVAL)?;
        Ok((self.open_folder(&parent, way)?, system_name(name)?))
    }

    /// The folder `path`, made with those above it if it is not there.
    ///
    /// Errors: `AlreadyExists` when one of them is a file; `Denied` when one is a link.
    pub(crate) fn make_folder(&self, path: &RelPath) -> Result<OwnedFd> {
        self.make_folder_with(path, 0o777)
    }

    /// The same with at most the permissions `mode` for what is made; its owner may always use it.
    pub(crate) fn make_folder_with(&self, path: &RelPath, mode: u32) -> Result<OwnedFd> {
        let mode = mode & 0o777 | 0o700;
        match self.open_folder(path, Way::Beneath) {
            Ok(folder) => return Ok(folder),
            // Which part is the obstacle is found out below.
            Err(Errno::NOENT | Errno::NOTDIR) => {}
            Err(errno) => return Err(self.error(errno, path)),
        }
        let root = RelPath::root();
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(if path.is_root() { mode } else { 0o777 })
            .create(&self.path)
            .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
            .and_then(|()| self.open_folder(&root, Way::Beneath))
            .map_err(|errno| self.not_a_folder(errno, &root))
            .and_then(|mut folder| {
                let mut reached = root.clone();
                for part in path.parts() {
                    reached = reached.join(part).unwrap_or(reached); // Never fails: it is a part of a path.
                    folder = self
                        .enter(folder.as_fd(), &bytes_from_core(part), mode)
                        .map_err(|errno| self.not_a_folder(errno, &reached))?;
                }
                Ok(folder)
            })
    }

    fn not_a_folder(&self, errno: Errno, path: &RelPath) -> Error {
        match errno {
            Errno::NOTDIR | Errno::EXIST => {
                Error::new(ErrorKind::AlreadyExists, "a file has the name of this folder")
                    .with_path(path)
            }
            _ => self.error(errno, path),
        }
    }

    fn enter(&self, parent: BorrowedFd<'_>, name: &[u8], mode: u32) -> io::Result<OwnedFd> {
        for _ in 0..MAKE_TRIES {
            match open_at(parent, name, FOLDER, Way::Beneath) {
                Err(Errno::NOENT) => {}
                other => return other,
            }
            match fs::mkdirat(parent, name, Mode::from_raw_mode(mode)) {
                Ok(()) => self.force_folder(parent)?,
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno),
            }
        }
        Err(Errno::NOENT)
    }
}

/// The name on the disk. `EINVAL` for what a path never holds.
pub(crate) fn system_name(name: &str) -> io::Result<CString> {
    CString::new(bytes_from_core(name)).map_err(|_| Errno::INVAL)
}

/// Forces the names in a folder to the disk.
pub(crate) fn sync_folder(folder: BorrowedFd<'_>) -> io::Result<()> {
    let readable = open_at(folder, b".", OFlags::RDONLY | OFlags::DIRECTORY, Way::Beneath)?;
    retry_on_intr(|| fs::fsync(&readable))
}

/// Opens `path` relative to `folder`.
pub(crate) fn open_at(
    folder: BorrowedFd<'_>,
    path: &[u8],
    flags: OFlags,
    way: Way,
) -> io::Result<OwnedFd> {
    let flags = flags | OFlags::CLOEXEC;
    let whole = match way {
        Way::Beneath => openat2(folder, path, flags),
        Way::Follow => retry_on_intr(|| fs::openat(folder, path, flags, Mode::empty())).map(Some),
    };
    match whole {
        Ok(Some(opened)) => Ok(opened),
        Ok(None) | Err(Errno::NAMETOOLONG) => walk(folder, path, flags, way),
        Err(errno) => Err(errno),
    }
}

/// `None` when the kernel cannot or may not do it.
fn openat2(folder: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> io::Result<Option<OwnedFd>> {
    static MISSING: AtomicBool = AtomicBool::new(false);
    if MISSING.load(Ordering::Relaxed) {
        return Ok(None);
    }
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    match retry_on_intr(|| fs::openat2(folder, path, flags, Mode::empty(), resolve)) {
        Ok(opened) => Ok(Some(opened)),
        Err(Errno::NOSYS) => {
            MISSING.store(true, Ordering::Relaxed);
            Ok(None)
        }
        // A filter of system calls gives EPERM, a rename at the same time gives EAGAIN. The walk gives the right answer.
        Err(Errno::PERM | Errno::AGAIN | Errno::INVAL | Errno::TOOBIG) => Ok(None),
        Err(Errno::XDEV) => Err(Errno::LOOP),
        Err(errno) => Err(errno),
    }
}

fn walk(folder: BorrowedFd<'_>, path: &[u8], flags: OFlags, way: Way) -> io::Result<OwnedFd> {
    let mut parts = path.split(|byte| *byte == b'/').peekable();
    let mut reached: Option<OwnedFd> = None;
    while let Some(part) = parts.next() {
        let here = reached.as_ref().map_or(folder, AsFd::as_fd);
        let is_last = parts.peek().is_none();
        let flags = if is_last { flags } else { FOLDER | OFlags::CLOEXEC };
        let next = open_part(here, part, flags, way)?;
        if is_last {
            return Ok(next);
        }
        reached = Some(next);
    }
    Err(Errno::INVAL)
}

fn open_part(folder: BorrowedFd<'_>, name: &[u8], flags: OFlags, way: Way) -> io::Result<OwnedFd> {
    if way == Way::Follow {
        return retry_on_intr(|| fs::openat(folder, name, flags, Mode::empty()));
    }
    let flags = flags | OFlags::NOFOLLOW;
    let opened = retry_on_intr(|| fs::openat(folder, name, flags, Mode::empty()));
    // A link where a folder is wanted is ENOTDIR, as a file would be.
    if opened.as_ref().err() == Some(&Errno::NOTDIR)
        && let Ok(stat) = fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)
        && FileType::from_raw_mode(stat.st_mode) == FileType::Symlink
    {
        return Err(Errno::LOOP);
    }
    opened
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both ways of resolving without links must say the same.
    fn check(folder: BorrowedFd<'_>, path: &str, flags: OFlags, expected: Option<Errno>) {
        let flags = flags | OFlags::CLOEXEC;
        let at_once = openat2(folder, path.as_bytes(), flags);
        assert_eq!(at_once.err(), expected, "openat2 {path}");
        assert_eq!(
            walk(folder, path.as_bytes(), flags, Way::Beneath).err(),
            expected,
            "walk {path}"
        );
    }

    #[test]
    fn both_ways_refuse_links_and_agree_on_the_rest() {
        let scratch = tempfile::tempdir().expect("scratch");
        let (inside, outside) = (scratch.path().join("in"), scratch.path().join("out"));
        std::fs::create_dir_all(inside.join("a/b")).expect("made");
        std::fs::create_dir_all(&outside).expect("made");
        std::fs::write(outside.join("f"), "f").expect("written");
        std::fs::write(inside.join("a/b/f"), "f").expect("written");
        std::os::unix::fs::symlink(&outside, inside.join("absolute")).expect("linked");
        std::os::unix::fs::symlink("../out", inside.join("relative")).expect("linked");
        std::os::unix::fs::symlink("a", inside.join("harmless")).expect("linked");
        std::os::unix::fs::symlink("b/f", inside.join("a/file")).expect("linked");
        let folder = fs::open(&inside, FOLDER, Mode::empty()).expect("opened");
        let folder = folder.as_fd();
        check(folder, "a/b/f", OFlags::RDONLY, None);
        check(folder, "a/b", FOLDER, None);
        check(folder, ".", OFlags::RDONLY | OFlags::DIRECTORY, None);
        for link in ["absolute/f", "relative/f", "harmless/b/f", "a/file"] {
            check(folder, link, OFlags::RDONLY, Some(Errno::LOOP));
        }
        check(folder, "harmless", FOLDER, Some(Errno::LOOP));
        check(folder, "a/b/f/x", OFlags::RDONLY, Some(Errno::NOTDIR));
        check(folder, "a/b/f", FOLDER, Some(Errno::NOTDIR));
        check(folder, "a/c", OFlags::RDONLY, Some(Errno::NOENT));
    }

    #[test]
    fn a_path_longer_than_the_system_takes_at_once_is_made_and_opened() {
        let scratch = tempfile::tempdir().expect("scratch");
        let root = Root::new(scratch.path(), crate::LocalOptions::default());
        let long = RelPath::new(&["d".repeat(200).as_str(); 40].join("/")).expect("legal");
        root.make_folder(&long).expect("made");
        root.open_folder(&long, Way::Beneath).expect("opened");
        root.open_folder(&long, Way::Follow).expect("opened");
        let obstacle = root.open_folder(&long.join("x").expect("legal"), Way::Beneath);
        assert_eq!(obstacle.err(), Some(Errno::NOENT));
    }
}
