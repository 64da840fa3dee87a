//! From a folder and a path below it to a descriptor.
//!
//! [`Way::Beneath`] cannot be led out of the root: the kernel resolves the whole path in one step and refuses every
//! symbolic link (`openat2`), and where it cannot, the path is walked folder by folder, each relative to the descriptor
//! of the one above. A link is `ELOOP` in both cases. The walk is also what makes paths longer than `PATH_MAX` work.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use ketch_core::names::bytes_from_core;
use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::{self, Errno, retry_on_intr};

/// A descriptor that stands for a folder and needs no right to list it.
pub(crate) const FOLDER: OFlags = OFlags::PATH.union(OFlags::DIRECTORY);

/// Whether symbolic links below the root are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// None is. All writing goes this way.
    Beneath,
    /// All are. Only for reading.
    Follow,
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
}
