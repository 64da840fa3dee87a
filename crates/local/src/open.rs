//! From a path below the root of a backend to a descriptor, and the folders that are made on the way.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;

use ketch_core::names::bytes_from_core;
use ketch_core::{Error, ErrorKind, RelPath, Result};
use rustix::fs::{self, Mode, OFlags};
use rustix::io::{self, Errno, retry_on_intr};

use crate::beneath::{FOLDER, Way, open_at, system_name};
use crate::root::Root;

/// How often a folder is made again that other programs remove at the same time.
const MAKE_TRIES: usize = 8;

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

#[cfg(test)]
mod tests {
    use super::*;

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
