//! Storing a body.
//!
//! # What survives a crash
//!
//! In every case the file is written under a name of ketch's own and renamed when it is whole, so the death of the
//! *process* at any point leaves the old file or the new one, and at most a part under a name that is never listed.
//!
//! What a power cut or a crash of the *system* leaves depends on the option `fsync`:
//!
//! * `none`: what the file system happens to have written. A file that was reported as stored may be gone, the old one
//!   again, or there with its name and without its content (xfs: zero length; ext4 and btrfs usually write the content
//!   first, and promise it only when the file replaces another).
//! * `file` (default): the content is on the disk before the file gets its name, so whatever has the name is whole: the
//!   old file or the new. A file that was reported as stored a few seconds before may still have its old content, or be
//!   absent if it was new, because the renaming itself may not be on the disk.
//! * `all`: the folder is forced to the disk too, and every folder that was made for the file. What was reported as stored
//!   is there. The one exception is the folder of the root itself and those above it, if they had to be made.

use std::io::IoSlice;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use ketch_core::source::{exact_length, open_all};
use ketch_core::{Body, ByteStream, Entry, PutOptions, RelPath, Result};
use rustix::fs::{self, FallocateFlags};
use rustix::io::{self, Errno, pwritev, retry_on_intr};
use tokio_util::sync::CancellationToken;

use crate::root::{Hop, Root, blocking, finish, start};
use crate::temp::{Finish, Temp, check_name};

/// Bytes that are written at a time.
const BATCH_BYTES: usize = 1024 * 1024;
/// Pieces that are written at a time; the system takes 1024.
const BATCH_PIECES: usize = 512;
/// Room is taken beforehand for files from this size on.
const PREALLOCATE_BYTES: u64 = 64 * 1024;

/// Permissions of a new file, before the umask.
const MODE: u32 = 0o666;

/// Stores `body` at `path`.
///
/// CANCEL: dropped before the renaming has begun, nothing is stored and the part is removed.
pub(crate) async fn put(
    root: Arc<Root>,
    path: RelPath,
    body: Body,
    options: PutOptions,
) -> Result<Entry> {
    check_name(&path)?;
    let cancel = CancellationToken::new();
    let _stops_when_dropped = cancel.clone().drop_guard();
    let PutOptions { mtime, expect, .. } = options;
    let mut finish_with = Finish { size: 0, mtime, mode: MODE, expect, cancel };
    let size = body.size();
    let stream = open_all(&*body).await?;
    let mut batches = Batches::new(match size {
        Some(size) => exact_length(stream, size),
        None => stream,
    });
    let first = batches.next().await?;
    finish_with.size = byte_count(&first);
    let whole = if batches.has_ended { Some(finish_with.size) } else { size };
    if batches.has_ended {
        return blocking(move || {
            begin(&root, &path, &finish_with, whole, &first)?.commit(&finish_with)
        })
        .await;
    }
    let (temp, mut finish_with) = {
        let (root, path) = (Arc::clone(&root), path.clone());
        blocking(move || Ok((begin(&root, &path, &finish_with, whole, &first)?, finish_with)))
            .await?
    };
    let mut writing: Option<Hop<()>> = None;
    loop {
        // The next batch is gathered while the last one is being written.
        let batch = batches.next().await?;
        if let Some(hop) = writing.take() {
            finish(hop).await?;
        }
        if batch.is_empty() {
            return blocking(move || temp.commit(&finish_with)).await;
        }
        let at = finish_with.size;
        finish_with.size += byte_count(&batch);
        let (root, path, file) = (Arc::clone(&root), path.clone(), Arc::clone(&temp.file));
        writing = Some(start(move || {
            write_all(&file, &batch, at).map_err(|errno| root.error(errno, &path))
        }));
    }
}

/// Makes the part, takes room for `whole` bytes and writes the `first`.
fn begin(
    root: &Arc<Root>,
    path: &RelPath,
    finish_with: &Finish,
    whole: Option<u64>,
    first: &[Bytes],
) -> Result<Temp> {
    let temp = Temp::create(Arc::clone(root), path.clone(), &finish_with.expect)?;
    preallocate(&temp.file, whole)
        .and_then(|()| write_all(&temp.file, first, 0))
        .map_err(|errno| root.error(errno, path))?;
    Ok(temp)
}

fn byte_count(batch: &[Bytes]) -> u64 {
    batch.iter().map(|piece| piece.len() as u64).sum()
}

/// A stream in batches that are worth a hop to another thread.
struct Batches {
    stream: ByteStream,
    left_over: Bytes,
    has_ended: bool,
}

impl Batches {
    fn new(stream: ByteStream) -> Self {
        Batches { stream, left_over: Bytes::new(), has_ended: false }
    }

    /// Pieces, none of them empty. No piece at all: the stream has ended.
    async fn next(&mut self) -> Result<Vec<Bytes>> {
        let mut batch = Vec::new();
        let mut room = BATCH_BYTES;
        while room > 0 && batch.len() < BATCH_PIECES {
            if self.left_over.is_empty() {
                if self.has_ended {
                    break;
                }
                match self.stream.next().await.transpose()? {
                    Some(piece) => self.left_over = piece,
                    None => self.has_ended = true,
                }
                continue;
            }
            let piece = self.left_over.split_to(room.min(self.left_over.len()));
            room -= piece.len();
            batch.push(piece);
        }
        Ok(batch)
    }
}

/// Takes room for a file beforehand where the file system can: it lies in one piece, and a disk that is too full shows
/// before anything is moved.
pub(crate) fn preallocate(file: &OwnedFd, size: Option<u64>) -> io::Result<()> {
    let Some(size) = size.filter(|size| *size >= PREALLOCATE_BYTES) else { return Ok(()) };
    // With the size kept, what was written so far can be seen from it. Not repeated when a signal ends it: it would begin
    // anew each time.
    match fs::fallocate(file, FallocateFlags::KEEP_SIZE, 0, size) {
        Err(errno @ (Errno::NOSPC | Errno::DQUOT | Errno::FBIG)) => Err(errno),
        // Anything else only means that it is not possible here.
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Writes all of `pieces` from `offset` on.
pub(crate) fn write_all(file: &OwnedFd, pieces: &[Bytes], mut offset: u64) -> io::Result<()> {
    let mut slices: Vec<_> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
    let mut left = &mut slices[..];
    IoSlice::advance_slices(&mut left, 0);
    while !left.is_empty() {
        let written = retry_on_intr(|| pwritev(file, left, offset))?;
        if written == 0 {
            return Err(Errno::IO);
        }
        offset += written as u64;
        IoSlice::advance_slices(&mut left, written);
    }
    Ok(())
}
