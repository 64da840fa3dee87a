//! An empty file under a temporary name that nothing else has.

use std::ffi::{CStr, CString};
use std::os::fd::OwnedFd;

use rustix::fs::{self, Mode, OFlags};
use rustix::io::{self, Errno, retry_on_intr};
use tokio_util::sync::CancellationToken;

use crate::lock::{self, Lock};
use crate::names::temporary;

/// How many names are tried.
const NAME_TRIES: usize = 16;

/// Makes an empty file with a temporary name, locked; `name` is a part of that.
pub(crate) fn create_unique(
    folder: &OwnedFd,
    name: &CStr,
    mode: u32,
) -> io::Result<(OwnedFd, CString)> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    for _ in 0..NAME_TRIES {
        let own_name = CString::new(temporary(name.to_bytes(), fastrand::u32(..)))
            .map_err(|_| Errno::INVAL)?;
        let mode = Mode::from_raw_mode(mode);
        let file = match retry_on_intr(|| fs::openat(folder, own_name.as_c_str(), flags, mode)) {
            Ok(file) => file,
            Err(Errno::EXIST) => continue,
            Err(errno) => return Err(errno),
        };
        // Locked, so that no process treats it as dead; that may have happened just before.
        let is_ours = match lock::wait_for_lock(&file, &CancellationToken::new()) {
            Lock::Busy => Ok(false),
            Lock::Ours | Lock::Unknown => lock::is_gone(folder, &own_name, &file).map(|gone| !gone),
        };
        match is_ours {
            Ok(true) => return Ok((file, own_name)),
            Ok(false) => lock::unlink_same(folder, &own_name, &file)?,
            Err(errno) => {
                // Why it cannot be used says more.
                let _ = lock::unlink_same(folder, &own_name, &file);
                return Err(errno);
            }
        }
    }
    Err(Errno::EXIST)
}
