//! Storing a body.
//!
//! # What survives a crash
//!
//! The file is always written under a name of ketch's own and renamed when it is whole. So if the *process* dies at any
//! point, the old file or the new one is there, and at most a part under a name that is never listed.
//!
//! What a power cut or a crash of the *system* leaves depends on the option `fsync`:
//!
//! * `none`: whatever the file system has written. A file that was reported as stored may be gone, may be the old one
//!   again, or may have its name but not its content (xfs: zero length; ext4 and btrfs usually write the content first, and
//!   promise it only when the file replaces another).
//! * `file` (default): the content is on the disk before the file gets its name, so whatever has the name is whole: the
//!   old file or the new. A file that was reported as stored a few seconds before may still have its old content, or be
//!   absent if it was new, because the renaming itself may not be on the disk.
//! * `all`: the folder is forced to the disk too, and every folder that was made for the file. A file that was reported as
//!   stored is there. The one exception is the folder of the root itself and those above it, if they had to be made.

use std::io::IoSlice;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use ketch_core::source::open_exact;
use ketch_core::{Body, ByteStream, Entry, Error, ErrorKind, PutOptions, RelPath, Result};
use rustix::fs::{self, FallocateFlags};
use rustix::io::{self, Errno, pwritev, retry_on_intr};
use tokio_util::sync::CancellationToken;

use crate::ledger::Maker;
use crate::part::{COMPARE_BYTES, GoOn, Progress, Recorder, abandon_failed, read_piece};
use crate::root::{Hop, Root, blocking, finish, start};
use crate::symlink;
use crate::temp::{Finish, Temp, check_name};

/// Bytes that are written at a time.
const BATCH_BYTES: usize = 1024 * 1024;
/// Pieces that are written at a time; the system takes 1024.
const BATCH_PIECES: usize = 512;
/// Room is taken beforehand for files from this size on.
const PREALLOCATE_BYTES: u64 = 64 * 1024;

/// What the system says a file system in memory is.
const TMPFS_MAGIC: fs::FsWord = 0x0102_1994;

/// Permissions of a new file when nothing else is asked for, before the umask.
const MODE: u32 = 0o666;

/// Stores `body` at `path`. With a checkpoint it continues the part of an earlier process, as far as that is equal to the
/// incoming bytes, and leaves such a part if it is interrupted.
///
/// CANCEL: dropped before the renaming has begun, nothing is stored; the part is removed, or kept as the checkpoint says.
pub(crate) async fn put(
    root: Arc<Root>,
    path: RelPath,
    body: Body,
    options: PutOptions,
) -> Result<Entry> {
    check_name(&path)?;
    if options.is_link {
        return symlink::put(root, path, body, options).await;
    }
    let checkpoint = options.checkpoint.clone();
    let stored = receive(Arc::clone(&root), path.clone(), body, options).await;
    if stored.is_err() {
        abandon_failed(root, path, checkpoint).await;
    }
    stored
}

async fn receive(root: Arc<Root>, path: RelPath, body: Body, options: PutOptions) -> Result<Entry> {
    let cancel = CancellationToken::new();
    let _stops_when_dropped = cancel.clone().drop_guard();
    // A disk shows only the length, and the reader of the body counts what passes.
    let PutOptions { mtime, mode, is_link: _, expect, proof: _, checkpoint, progress: _, kept: _ } =
        options;
    let (source_mode, mode) = (mode, mode.unwrap_or(MODE));
    let mut finish_with =
        Finish { size: 0, mtime, mode, source_mode, expect, cancel, at_once: false };
    let size = body.size();
    let mut batches = Batches::new(open_exact(&*body).await?);
    let first = batches.next(BATCH_BYTES as u64).await?;
    let has_ended = batches.has_ended;
    finish_with.at_once = has_ended;
    let whole = if has_ended { Some(byte_count(&first)) } else { size };
    let begin = move || {
        let going_on = checkpoint.as_ref().map(|checkpoint| GoOn {
            checkpoint,
            maker: Maker::Put,
            size: whole,
            cancel: &finish_with.cancel,
        });
        let temp = Temp::create(Arc::clone(&root), path.clone(), &finish_with, going_on)?;
        let mut writer = Box::new(Writer::new(root, path, &temp, whole));
        writer.begin(&first)?;
        if has_ended {
            finish_with.size = writer.end()?;
            return temp.commit(&finish_with).map(Begun::Done);
        }
        Ok(Begun::Part(temp, writer, finish_with))
    };
    let (temp, writer, mut finish_with) = match blocking(begin).await? {
        Begun::Done(entry) => return Ok(entry),
        Begun::Part(temp, writer, finish_with) => (temp, writer, finish_with),
    };
    match write_batches(&mut batches, writer, temp.progress.as_ref()).await {
        Ok(mut writer) => {
            blocking(move || {
                finish_with.size = writer.end()?;
                temp.commit(&finish_with)
            })
            .await
        }
        Err(error) => {
            // The body was not the expected one, so no process will continue the part.
            if let (ErrorKind::Corrupt | ErrorKind::Changed, Some(progress)) =
                (error.kind(), &temp.progress)
            {
                progress.close();
            }
            Err(error)
        }
    }
}

enum Begun {
    Done(Entry),
    Part(Temp, Box<Writer>, Finish),
}

/// Writes all batches, each while the next one is gathered. Nothing is being written any more when this returns.
async fn write_batches(
    batches: &mut Batches,
    writer: Box<Writer>,
    progress: Option<&Arc<Progress>>,
) -> Result<Box<Writer>> {
    let mut recorder = progress.map(|progress| Recorder {
        root: Arc::clone(&writer.root),
        path: writer.path.clone(),
        file: Arc::clone(&writer.file),
        progress: Arc::clone(progress),
        under_way: None,
    });
    let mut at = writer.at;
    let mut idle = Some(writer);
    let mut writing: Option<Hop<(Box<Writer>, Option<RangeDone>)>> = None;
    loop {
        let range_bytes = Maker::Put.range_bytes();
        let batch = batches.next(range_bytes - at % range_bytes).await;
        if let Some(hop) = writing.take() {
            let (writer, done) = finish(hop).await?;
            idle = Some(writer);
            if let (Some(recorder), Some(done)) = (&mut recorder, done) {
                recorder.range_done(done.number, done.digest).await?;
            }
        }
        let batch = match batch {
            Ok(batch) if !batch.is_empty() => batch,
            ended => {
                if let Some(recorder) = &mut recorder {
                    recorder.settle().await?;
                }
                ended?;
                return idle.ok_or_else(Error::cancelled); // Always there: nothing is being written.
            }
        };
        at += byte_count(&batch);
        writing = idle.take().map(|mut writer| {
            start(move || {
                let done = writer.write(&batch)?;
                Ok((writer, done))
            })
        });
    }
}

/// A range of the part that has become whole.
struct RangeDone {
    number: usize,
    digest: [u8; 32],
}

/// Where the bytes go. It travels with each hop.
struct Writer {
    root: Arc<Root>,
    path: RelPath,
    file: Arc<OwnedFd>,
    size: Option<u64>,
    at: u64,
    /// Bytes of an earlier process; they are written again only from the first difference on.
    left: u64,
    /// The digest of the range that is being written, where ranges are recorded.
    ranges: Option<(Arc<Progress>, blake3::Hasher)>,
}

impl Writer {
    fn new(root: Arc<Root>, path: RelPath, temp: &Temp, size: Option<u64>) -> Self {
        let ranges =
            temp.progress.as_ref().map(|progress| (Arc::clone(progress), blake3::Hasher::new()));
        let left = ranges.as_ref().map_or(0, |(progress, _)| progress.bytes());
        Writer { root, path, file: Arc::clone(&temp.file), size, at: 0, left, ranges }
    }

    /// Reserves room, and writes the first batch, which is shorter than a range.
    fn begin(&mut self, batch: &[Bytes]) -> Result<()> {
        preallocate(&self.file, self.size).map_err(|errno| self.root.error(errno, &self.path))?;
        self.write(batch).map(drop)
    }

    /// Writes a batch that lies within one range.
    fn write(&mut self, batch: &[Bytes]) -> Result<Option<RangeDone>> {
        self.try_write(batch).map_err(|errno| self.root.error(errno, &self.path))
    }

    fn try_write(&mut self, batch: &[Bytes]) -> io::Result<Option<RangeDone>> {
        let from = self.at;
        if from < self.left && !holds(&self.file, batch, from)? {
            self.left = from;
            if let Some((progress, _)) = &self.ranges {
                progress.forget_from(from)?;
            }
            fs::ftruncate(&*self.file, from)?;
        }
        if from >= self.left {
            write_all(&self.file, batch, from)?;
        }
        self.at += byte_count(batch);
        let Some((_, hasher)) = &mut self.ranges else { return Ok(None) };
        for piece in batch {
            hasher.update(piece);
        }
        let range_bytes = Maker::Put.range_bytes();
        if !self.at.is_multiple_of(range_bytes) || batch.is_empty() {
            return Ok(None);
        }
        let digest = *hasher.finalize().as_bytes();
        hasher.reset();
        let number = usize::try_from(self.at / range_bytes - 1).unwrap_or(usize::MAX);
        // The last range needs no record: the file gets its name next.
        let is_new = self.at > self.left && self.size != Some(self.at);
        Ok(is_new.then_some(RangeDone { number, digest }))
    }

    /// Cuts off what an earlier process left beyond the end, and tells how many bytes there are.
    fn end(&mut self) -> Result<u64> {
        if self.at < self.left {
            fs::ftruncate(&*self.file, self.at)
                .map_err(|errno| self.root.error(errno, &self.path))?;
        }
        Ok(self.at)
    }
}

/// Are these the bytes from `at` on?
fn holds(file: &OwnedFd, batch: &[Bytes], at: u64) -> io::Result<bool> {
    let mut buffer = Vec::with_capacity(COMPARE_BYTES);
    let mut reached = at;
    for piece in batch {
        let mut rest = &piece[..];
        while !rest.is_empty() {
            let got = read_piece(file, &mut buffer, reached, rest.len().min(COMPARE_BYTES))?;
            if got == 0 || buffer[..] != rest[..got] {
                return Ok(false);
            }
            reached += got as u64;
            rest = &rest[got..];
        }
    }
    Ok(true)
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

    /// Pieces, none of them empty, of `most` bytes together at most. No piece at all: the stream has ended.
    async fn next(&mut self, most: u64) -> Result<Vec<Bytes>> {
        let mut batch = Vec::new();
        let mut room = usize::try_from(most).unwrap_or(BATCH_BYTES).min(BATCH_BYTES);
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

/// Reserves room for a file beforehand where the file system can: the file then lies in one piece, and a full disk is
/// noticed before any byte is transferred.
pub(crate) fn preallocate(file: &OwnedFd, size: Option<u64>) -> io::Result<()> {
    let Some(size) = size.filter(|size| *size >= PREALLOCATE_BYTES) else { return Ok(()) };
    // In memory there is nothing to lie in one piece, and the room would be filled with zeros first.
    if fs::fstatfs(file).is_ok_and(|system| system.f_type == TMPFS_MAGIC) {
        return Ok(());
    }
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
