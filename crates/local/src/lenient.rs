//! Operations that a file system may refuse without an error for the file: setting times and permissions, and `fsync`.
//!
//! A refusal means that the file system does not have the operation; it is reported once for a place. An error of the disk
//! (no room, an input/output error, a read-only disk) stays an error.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use ketch_core::Hint;
use rustix::fs::{self, Mode};
use rustix::io::{self, Errno, fcntl_dupfd_cloexec, retry_on_intr};

use crate::options::Fsync;
use crate::root::Root;
use crate::stat::timestamps;

/// Something a file system may not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    Times,
    Permissions,
    Forcing,
}

impl Refused {
    fn bit(self) -> u8 {
        match self {
            Refused::Times => 1,
            Refused::Permissions => 2,
            Refused::Forcing => 4,
        }
    }

    fn text(self) -> &'static str {
        match self {
            Refused::Times => {
                "modification times cannot be set here: files are stored with the time they were written"
            }
            Refused::Permissions => {
                "permissions cannot be set here: files are stored with those the system gave them"
            }
            Refused::Forcing => {
                "nothing can be forced to the disk here: what was stored may be lost in a power cut"
            }
        }
    }
}

impl Refused {
    /// The word of what a person can do about it.
    fn hint(self) -> Option<&'static str> {
        match self {
            Refused::Times | Refused::Permissions => None,
            Refused::Forcing => Some(Hint::ForceNothing.as_str()),
        }
    }
}

/// Does this error of a call for `what` say that the file system does not have the operation?
fn is_refusal(what: Refused, errno: Errno) -> bool {
    match errno {
        Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP => true,
        Errno::PERM | Errno::ACCESS => what != Refused::Forcing,
        _ => false,
    }
}

impl Root {
    /// A refusal is reported once and is not an error.
    pub(crate) fn allow(&self, what: Refused, result: io::Result<()>) -> io::Result<()> {
        match result {
            Err(errno) if is_refusal(what, errno) => {
                if self.told.fetch_or(what.bit(), Ordering::Relaxed) & what.bit() == 0 {
                    let folder = self.path.display();
                    match what.hint() {
                        Some(hint) => {
                            tracing::warn!(hint, "{folder}: {} ({errno})", what.text());
                        }
                        None => tracing::warn!("{folder}: {} ({errno})", what.text()),
                    }
                }
                Ok(())
            }
            other => other,
        }
    }

    /// Forces a file to the disk, if the options say so. A second attempt after one that failed would succeed and mean
    /// nothing, so there is none.
    pub(crate) fn force(&self, file: &OwnedFd) -> io::Result<()> {
        match self.options.fsync {
            Fsync::None => Ok(()),
            Fsync::File | Fsync::All => {
                self.allow(Refused::Forcing, retry_on_intr(|| fs::fsync(file)))
            }
        }
    }

    /// Forces the bytes of a file to the disk, if the options say so.
    pub(crate) fn force_bytes(&self, file: &OwnedFd) -> io::Result<()> {
        match self.options.fsync {
            Fsync::None => Ok(()),
            Fsync::File | Fsync::All => {
                self.allow(Refused::Forcing, retry_on_intr(|| fs::fdatasync(file)))
            }
        }
    }

    /// Forces the names in a folder to the disk, if the options say so.
    pub(crate) fn force_folder(&self, folder: BorrowedFd<'_>) -> io::Result<()> {
        match self.options.fsync {
            Fsync::None | Fsync::File => Ok(()),
            Fsync::All => self.allow(Refused::Forcing, crate::beneath::sync_folder(folder)),
        }
    }

    /// Gives a file its modification time, where times can be set.
    pub(crate) fn set_time(&self, file: &OwnedFd, mtime: SystemTime) -> io::Result<()> {
        self.allow(Refused::Times, fs::futimens(file, &timestamps(mtime)))
    }

    /// Gives a file its permissions, where they can be set.
    pub(crate) fn set_permissions(&self, file: &OwnedFd, mode: Mode) -> io::Result<()> {
        self.allow(Refused::Permissions, fs::fchmod(file, mode))
    }
}

/// Closes a second descriptor of `file`, and returns the error that the system reports at that.
///
/// Some file systems (NFS, FUSE, disks with quotas on a server) tell only then that bytes were not stored, and closing a
/// file happens too late to be asked: the descriptor is still needed to give the file its name. Each descriptor that is closed
/// asks the file system the same question.
pub(crate) fn close_once(file: &OwnedFd) -> io::Result<()> {
    let second = fcntl_dupfd_cloexec(file.as_fd(), 0)?;
    match nix::unistd::close(second) {
        // The descriptor is closed even so; on Linux a second attempt could close a file that another thread has opened
        // meanwhile.
        Ok(()) | Err(nix::errno::Errno::EINTR) => Ok(()),
        Err(errno) => Err(Errno::from_raw_os_error(errno as i32)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_file_system_does_not_have_is_done_without() {
        let check = |errno, times: bool, forcing: bool| {
            assert_eq!(is_refusal(Refused::Times, errno), times, "{errno}");
            assert_eq!(is_refusal(Refused::Permissions, errno), times, "{errno}");
            assert_eq!(is_refusal(Refused::Forcing, errno), forcing, "{errno}");
        };
        for errno in [Errno::INVAL, Errno::NOSYS, Errno::OPNOTSUPP] {
            check(errno, true, true);
        }
        for errno in [Errno::PERM, Errno::ACCESS] {
            check(errno, true, false);
        }
        for errno in [Errno::IO, Errno::NOSPC, Errno::DQUOT, Errno::ROFS, Errno::BADF] {
            check(errno, false, false);
        }
    }
}
