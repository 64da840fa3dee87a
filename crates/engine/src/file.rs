//! The last steps of writing a file: forcing it to the disk, and closing it with a check for errors.
//!
//! Some file systems (NFS, FUSE, servers with quotas) report only at close that bytes were not stored. So a file gets its
//! name after it was closed without an error. This module must not know what is in the files.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;

/// Forces everything that was written to the disk. A file system without this operation refuses it; that is not an error.
pub fn force(file: &File) -> io::Result<()> {
    match file.sync_all() {
        Err(error) if is_refusal(&error) => Ok(()),
        other => other,
    }
}

/// The same for the bytes alone.
pub fn force_bytes(file: &File) -> io::Result<()> {
    match file.sync_data() {
        Err(error) if is_refusal(&error) => Ok(()),
        other => other,
    }
}

fn is_refusal(error: &io::Error) -> bool {
    let refusals = [Errno::EINVAL, Errno::ENOSYS, Errno::EOPNOTSUPP];
    refusals.iter().any(|errno| error.raw_os_error() == Some(*errno as i32))
}

/// Closes a file.
///
/// Errors: what the system says to that.
pub fn close(file: impl Into<OwnedFd>) -> io::Result<()> {
    match nix::unistd::close(file.into()) {
        // The file is closed even so; on Linux a second attempt could close a file that another thread has opened
        // meanwhile.
        Ok(()) | Err(Errno::EINTR) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Closes a second descriptor of a file that stays open: at each close the file system reports whether all bytes could be
/// stored.
///
/// Errors: what the system says to that.
pub fn close_once(file: &impl AsFd) -> io::Result<()> {
    close(file.as_fd().try_clone_to_owned()?)
}

/// Forces a file to the disk and closes it: after this it may get its name.
pub fn force_and_close(file: File) -> io::Result<()> {
    force(&file)?;
    close(file)
}
