//! The entries of one folder.
//!
//! All names are read first and then looked at one by one, relative to the folder's descriptor. A name that has vanished
//! in between is not listed; every other failure is the failure of the listing, so that nothing that is there can ever be
//! missing from a listing that ended well. `rustix::fs::Dir` is not used because it takes a folder that is removed while it
//! is read for one that has ended.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use ketch_core::names::core_from_bytes;
use ketch_core::{Entry, EntryStream, Error, ErrorKind, RelPath, Result};
use rustix::fs::{OFlags, RawDir};
use rustix::io::{self, Errno};
use tokio_util::sync::CancellationToken;

use crate::entry::Folder;
use crate::root::{Root, blocking};

/// Bytes of names that are asked for at a time.
const NAMES_BYTES: usize = 64 * 1024;

/// The complete listing of `dir` in key order, or an error.
pub(crate) fn list(root: Arc<Root>, dir: RelPath) -> EntryStream {
    let listing = async move {
        let cancel = CancellationToken::new();
        let _stops_when_dropped = cancel.clone().drop_guard();
        blocking(move || list_folder(&root, &dir, &cancel)).await
    };
    stream::once(listing)
        .map_ok(|entries| stream::iter(entries.into_iter().map(Ok)))
        .try_flatten()
        .boxed()
}

fn list_folder(root: &Root, dir: &RelPath, cancel: &CancellationToken) -> Result<Vec<Entry>> {
    let fail = |errno| root.error(errno, dir);
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let descriptor = root.open(dir, flags, root.reading()).map_err(fail)?;
    let folder = Folder::new(root, descriptor.as_fd(), dir);
    let mut entries = Vec::new();
    for raw in read_names(descriptor.as_fd(), cancel).map_err(fail)? {
        if cancel.is_cancelled() {
            return Err(Error::cancelled());
        }
        let path = dir.join(&core_from_bytes(raw.as_bytes())).map_err(|error| {
            let message = format!("the disk shows a name that cannot be: {error:?}");
            Error::new(ErrorKind::Protocol, message).with_path(dir)
        })?;
        match folder.look(&raw, path.clone()) {
            Ok(seen) => entries.push(seen.entry),
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(root.error(errno, &path)),
        }
    }
    entries.sort_unstable_by(Entry::compare_key);
    Ok(entries)
}

fn read_names(folder: BorrowedFd<'_>, cancel: &CancellationToken) -> io::Result<Vec<CString>> {
    let mut buffer = Vec::with_capacity(NAMES_BYTES);
    let mut reader = RawDir::new(folder, buffer.spare_capacity_mut());
    let mut names = Vec::new();
    while let Some(found) = reader.next() {
        if cancel.is_cancelled() {
            return Err(Errno::CANCELED);
        }
        match found {
            Ok(found) if matches!(found.file_name().to_bytes(), b"." | b"..") => {}
            Ok(found) => names.push(found.file_name().to_owned()),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    // A folder that is changed while it is read may show one name twice.
    names.sort_unstable();
    names.dedup();
    Ok(names)
}
