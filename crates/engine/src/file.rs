//! The last steps of writing a file: forcing it to the disk, and closing it with a look at what the system says.
//!
//! Some file systems (NFS, FUSE, servers with quotas) tell only when a file is closed that bytes were not stored. A file gets
//! its name after that and not before. What is here must not know what is in the files.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;

/// Forces everything that was written to the disk. A file system that has nothing to force with refuses it, which is no
/// error.
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
        // Closed all the same; on Linux a second attempt would close what another thread has opened meanwhile.
        Ok(()) | Err(Errno::EINTR) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Closes a second descriptor of a file that stays open: each descriptor that is closed asks the file system whether all bytes
/// could be stored.
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
