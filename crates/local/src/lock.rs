//! The files that ketch itself makes: opening, locking and removing one by its name.
//!
//! A process holds the lock of a file that it is writing, so no other process takes it for a dead one.

use std::ffi::CStr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use ketch_core::EntryKind;
use rustix::fs::{self, AtFlags, FlockOperation, Mode, OFlags};
use rustix::io::{self, Errno, retry_on_intr};
use tokio_util::sync::CancellationToken;

use crate::stat::{identity, kind_of};

/// How often, and how long apart, the code checks whether a part is still in use.
const FREE_TRIES: usize = 100;
const FREE_WAIT: Duration = Duration::from_millis(10);
pub(crate) fn open_own(folder: &OwnedFd, name: &CStr, flags: OFlags) -> io::Result<OwnedFd> {
    open_with(folder, name, flags, 0o600)
}

pub(crate) fn open_with(
    folder: &OwnedFd,
    name: &CStr,
    flags: OFlags,
    mode: u32,
) -> io::Result<OwnedFd> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    retry_on_intr(|| fs::openat(folder, name, flags, Mode::from_raw_mode(mode)))
}

/// Whether this process has the lock of a file.
pub(crate) enum Lock {
    Ours,
    Busy,
    /// The file system has none.
    Unknown,
}

pub(crate) fn try_lock(file: &OwnedFd) -> Lock {
    match retry_on_intr(|| fs::flock(file, FlockOperation::NonBlockingLockExclusive)) {
        Ok(()) => Lock::Ours,
        Err(Errno::WOULDBLOCK) => Lock::Busy,
        Err(_) => Lock::Unknown,
    }
}

/// Was an open file removed from its name? Some file systems count no links, so none is not enough.
pub(crate) fn is_gone(folder: &OwnedFd, name: &CStr, file: &OwnedFd) -> io::Result<bool> {
    let stat = fs::fstat(file)?;
    if stat.st_nlink > 0 {
        return Ok(false);
    }
    match retry_on_intr(|| fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)) {
        Ok(named) if identity(&named) == identity(&stat) => Ok(false),
        // Where inode numbers change at each look, they do not tell.
        Ok(_) => Ok(identity(&fs::fstat(file)?) == identity(&stat)),
        Err(Errno::NOENT) => Ok(true),
        Err(errno) => Err(errno),
    }
}

/// Removes the name of an open file, if it still is its name.
pub(crate) fn unlink_same(folder: &OwnedFd, name: &CStr, file: &OwnedFd) -> io::Result<()> {
    match fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(named) if identity(&named) == identity(&fs::fstat(file)?) => unlink(folder, name),
        Ok(_) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// Waits, for a second at most, for writes to a part whose caller was dropped.
pub(crate) fn wait_for_lock(file: &OwnedFd, cancel: &CancellationToken) -> Lock {
    for _ in 0..FREE_TRIES {
        match try_lock(file) {
            Lock::Busy if !cancel.is_cancelled() => std::thread::sleep(FREE_WAIT),
            other => return other,
        }
    }
    Lock::Busy
}

/// Removes a name, if it is there and that of a file.
pub(crate) fn unlink(folder: &OwnedFd, name: &CStr) -> io::Result<()> {
    match fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) if kind_of(&stat) == EntryKind::File => {}
        Ok(_) | Err(Errno::NOENT) => return Ok(()),
        Err(errno) => return Err(errno),
    }
    match fs::unlinkat(folder, name, AtFlags::empty()) {
        Err(Errno::NOENT) => Ok(()),
        other => other,
    }
}
