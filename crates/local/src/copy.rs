//! Copying a file within the root, by the file system itself where it can.
//!
//! A clone shares the blocks of the original and is done at once (btrfs, xfs); `copy_file_range` lets the file system or
//! the file server move the bytes; reading and writing always works. Each way takes over where the one before gave up.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use bytes::Bytes;
use ketch_core::{Entry, Error, PutOptions, RelPath, Result};
use rustix::buffer::spare_capacity;
use rustix::fs;
use rustix::io::{self, Errno, pread, retry_on_intr};
use tokio_util::sync::CancellationToken;

use crate::entry::size;
use crate::error::changed;
use crate::read::open_file;
use crate::root::{Root, blocking};
use crate::temp::{Finish, Temp, check_name};
use crate::write::{preallocate, write_all};

/// Bytes that are copied before it is looked whether to go on.
const STEP_BYTES: u64 = 16 * 1024 * 1024;
/// Bytes that pass through this process at a time, where they must.
const BUFFER_BYTES: u64 = 1024 * 1024;

/// Copies `from` to `to` with its permissions, and with its time unless the options have one.
///
/// CANCEL: dropped before the renaming has begun, nothing is stored and the part is removed.
pub(crate) async fn copy(
    root: Arc<Root>,
    from: Entry,
    to: RelPath,
    options: PutOptions,
) -> Result<Entry> {
    let cancel = CancellationToken::new();
    let _stops_when_dropped = cancel.clone().drop_guard();
    blocking(move || {
        check_name(&to)?;
        let source = open_file(&root, &from)?;
        let temp = Temp::create(Arc::clone(&root), to.clone(), &options.expect)?;
        let all = size(&source.stat);
        match copy_bytes(&source.descriptor, &temp.file, all, &cancel) {
            Ok(Copied::All) => {}
            Ok(Copied::Short) => {
                return Err(changed("it ended while it was copied").with_path(&from.path));
            }
            Ok(Copied::Cancelled) => return Err(Error::cancelled()),
            Err(errno) => return Err(root.error(errno, &to)),
        }
        source.check_unchanged(&root, &from)?;
        let (mtime, mode) = (options.mtime.or(from.mtime), source.stat.st_mode);
        temp.commit(&Finish { size: all, mtime, mode, expect: options.expect, cancel })
    })
    .await
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Copied {
    All,
    Short,
    Cancelled,
}

fn copy_bytes(
    from: &OwnedFd,
    to: &OwnedFd,
    all: u64,
    cancel: &CancellationToken,
) -> io::Result<Copied> {
    // Why it cannot be cloned does not matter: what is wrong with either file shows below.
    if all > 0 && fs::ioctl_ficlone(to, from).is_ok() {
        return Ok(Copied::All);
    }
    preallocate(to, Some(all))?;
    let mut at = 0;
    let mut by_system = true;
    while at < all {
        if cancel.is_cancelled() {
            return Ok(Copied::Cancelled);
        }
        let got = if by_system {
            copy_range(from, to, at, STEP_BYTES.min(all - at))?
        } else {
            Some(copy_through(from, to, at, BUFFER_BYTES.min(all - at))?)
        };
        match got {
            Some(0) if !by_system => return Ok(Copied::Short),
            // Some file systems say 0 for what they cannot copy, so the end is believed only of a read.
            None | Some(0) => by_system = false,
            Some(got) => at += got,
        }
    }
    Ok(Copied::All)
}

/// `None` when it cannot be done this way.
fn copy_range(from: &OwnedFd, to: &OwnedFd, at: u64, wanted: u64) -> io::Result<Option<u64>> {
    let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
    let (mut read_at, mut write_at) = (at, at);
    match retry_on_intr(|| {
        fs::copy_file_range(from, Some(&mut read_at), to, Some(&mut write_at), wanted)
    }) {
        Ok(got) => Ok(Some(got as u64)),
        Err(errno @ (Errno::NOSPC | Errno::DQUOT | Errno::FBIG | Errno::IO)) => Err(errno),
        Err(_) => Ok(None),
    }
}

fn copy_through(from: &OwnedFd, to: &OwnedFd, at: u64, wanted: u64) -> io::Result<u64> {
    let mut buffer = Vec::with_capacity(wanted as usize);
    retry_on_intr(|| pread(from, spare_capacity(&mut buffer), at))?;
    buffer.truncate(wanted as usize);
    let got = buffer.len() as u64;
    write_all(to, &[Bytes::from(buffer)], at)?;
    Ok(got)
}
