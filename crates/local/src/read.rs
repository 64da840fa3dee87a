//! Reads the content of a file in the version that was listed, or fails.
//!
//! A file is opened without following links and without blocking on a pipe that took its place, must be the version that
//! was listed, and is checked again after its last byte: the last piece is handed on only if nothing has changed in
//! between. While one piece is worked on, the next is being read. A file of one piece costs one hop to another thread.

use std::ops::Range;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, stream};
use ketch_core::{Body, ByteStream, Entry, EntryKind, Error, ErrorKind, RelPath, Result, Source};
use rustix::buffer::spare_capacity;
use rustix::fs::{self, Mode, OFlags, Stat};
use rustix::io::{self, Errno, pread, retry_on_intr};

use crate::beneath::{Way, system_name};
use crate::error::changed;
use crate::link;
use crate::root::{Hop, Root, blocking, finish, start};
use crate::stat::{is_version_of, kind_of, size, version};

/// Bytes of one piece.
const PIECE_BYTES: u64 = 1024 * 1024;

/// A file that is the version that was listed.
#[derive(Debug)]
pub(crate) struct OpenFile {
    pub(crate) descriptor: OwnedFd,
    pub(crate) stat: Stat,
}

/// Opens the file that `entry` shows.
pub(crate) fn open_file(root: &Root, entry: &Entry) -> Result<OpenFile> {
    let fail = |errno| root.error(errno, &entry.path);
    let gone = || changed("it is no longer a file").with_path(&entry.path);
    if entry.kind != EntryKind::File {
        return Err(Error::new(ErrorKind::InvalidInput, "only a file can be read"));
    }
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    if let Some(file) = open_in_kept_folder(root, entry, flags) {
        return Ok(file);
    }
    let opened = root.open(&entry.path, flags, root.reading()).map_err(|errno| match errno {
        Errno::NXIO | Errno::NODEV => gone(), // A socket, or a device without a driver.
        // A link took the place of the file; a link above it is another matter.
        Errno::LOOP if root.open_parent(&entry.path, Way::Beneath).is_ok() => gone(),
        errno => fail(errno),
    })?;
    let stat = root.fstat(&opened).map_err(fail)?;
    if kind_of(&stat) != EntryKind::File {
        return Err(gone());
    }
    if !root.is_version_of(entry, &stat, &opened) {
        let message = format!("it is not the version that was listed (now {} bytes)", size(&stat));
        return Err(changed(message).with_path(&entry.path));
    }
    Ok(OpenFile { descriptor: opened, stat })
}

/// The file, if its folder is kept open and the listed version is there. Otherwise the file is opened by its whole path.
fn open_in_kept_folder(root: &Root, entry: &Entry, flags: OFlags) -> Option<OpenFile> {
    if root.follows_links() {
        return None;
    }
    let name = system_name(entry.path.name()?).ok()?; // Never fails: it is a part of a path.
    let folder = match root.kept_folder(&entry.path) {
        Some(folder) => folder,
        None => {
            let parent = entry.path.parent()?;
            let folder = root.open_folder(&parent, Way::Beneath).ok()?; // Told below.
            root.keep_folder(parent, folder).ok()?
        }
    };
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = || fs::openat(&folder.descriptor, name.as_c_str(), flags, Mode::empty());
    let descriptor = retry_on_intr(open).ok()?;
    let stat = root.fstat(&descriptor).ok()?;
    let is_it = kind_of(&stat) == EntryKind::File && is_version_of(entry, &stat);
    is_it.then_some(OpenFile { descriptor, stat })
}

impl OpenFile {
    /// Fails when the file is not what it was when it was opened, or holds more bytes than its size says.
    pub(crate) fn check_unchanged(&self, root: &Root, entry: &Entry) -> Result<()> {
        self.check_version(root, entry)?;
        let fail = |errno| root.error(errno, &entry.path);
        self.check_end().map_err(fail)?.map_err(|error| error.with_path(&entry.path))
    }

    /// Fails when the file is not what it was when it was opened.
    pub(crate) fn check_version(&self, root: &Root, entry: &Entry) -> Result<()> {
        let fail = |errno| root.error(errno, &entry.path);
        let now = root.fstat(&self.descriptor).map_err(fail)?;
        if version(&now) == version(&root.masked(self.stat)) {
            return Ok(());
        }
        let (before, after) = (size(&self.stat), size(&now));
        let message =
            format!("it changed while it was read ({before} bytes before, {after} after)");
        Err(changed(message).with_path(&entry.path))
    }

    /// Does the file end where its size says? Files that the system makes up (`/proc`, documents of a cloud) are listed with a
    /// size of 0, and only reading tells what they hold.
    fn check_end(&self) -> io::Result<Result<()>> {
        let all = size(&self.stat);
        let mut more = [0; 1];
        let has_more = match retry_on_intr(|| pread(&self.descriptor, &mut more, all)) {
            Ok(got) => got > 0,
            // Reading waits for more bytes, or reading at an offset is not possible: it is not a file with an end.
            Err(Errno::AGAIN | Errno::SPIPE) => true,
            Err(errno) => return Err(errno),
        };
        if !has_more {
            return Ok(Ok(()));
        }
        let message =
            format!("it was listed with {all} bytes and holds more: its size is not true");
        Ok(Err(changed(message)))
    }
}

/// The bytes of `range` of `entry`, or all.
pub(crate) async fn read(
    root: Arc<Root>,
    entry: Entry,
    range: Option<Range<u64>>,
) -> Result<ByteStream> {
    if entry.kind == EntryKind::Link {
        return link::read(root, entry, range).await;
    }
    let first = blocking(move || {
        let file = open_file(&root, &entry)?;
        let all = size(&file.stat);
        let range = range.unwrap_or(0..all);
        if range.start > range.end || range.end > all {
            let message = format!("the range {range:?} is not within the {all} bytes");
            return Err(Error::new(ErrorKind::InvalidInput, message).with_path(&entry.path));
        }
        Box::new(Reading { root, entry, file, left: range }).step()
    })
    .await?;
    let steps = stream::unfold(Next::Ready(first), |next| async {
        let result = match next {
            Next::Ready(step) => Ok(step),
            Next::Ahead(hop) => finish(hop).await,
            Next::End => return None,
        };
        Some(match result {
            Ok((piece, Some(reading))) => (Ok(piece), Next::Ahead(start(move || reading.step()))),
            Ok((piece, None)) => (Ok(piece), Next::End),
            Err(error) => (Err(error), Next::End),
        })
    });
    let is_wanted = |piece: &Result<Bytes>| !matches!(piece, Ok(bytes) if bytes.is_empty());
    Ok(steps.filter(move |piece| std::future::ready(is_wanted(piece))).boxed())
}

/// A piece, and what is still to be read.
type Step = (Bytes, Option<Box<Reading>>);

enum Next {
    Ready(Step),
    Ahead(Hop<Step>),
    End,
}

/// A file with bytes still to be read. It travels with each hop, so that it is also closed on another thread.
struct Reading {
    root: Arc<Root>,
    entry: Entry,
    file: OpenFile,
    left: Range<u64>,
}

impl Reading {
    fn step(mut self: Box<Self>) -> Result<Step> {
        let wanted = PIECE_BYTES.min(self.left.end - self.left.start) as usize;
        let piece = self.read_exactly(wanted)?;
        self.left.start += wanted as u64;
        if self.left.is_empty() {
            self.file.check_unchanged(&self.root, &self.entry)?;
            return Ok((piece, None));
        }
        Ok((piece, Some(self)))
    }

    fn read_exactly(&self, wanted: usize) -> Result<Bytes> {
        let file = &self.file.descriptor;
        read_exactly(&self.root, &self.entry.path, file, self.left.start, wanted)
    }
}

fn read_exactly(
    root: &Root,
    path: &RelPath,
    file: &OwnedFd,
    start: u64,
    wanted: usize,
) -> Result<Bytes> {
    let mut buffer = Vec::with_capacity(wanted);
    while buffer.len() < wanted {
        let at = start + buffer.len() as u64;
        let got = retry_on_intr(|| pread(file, spare_capacity(&mut buffer), at))
            .map_err(|errno| root.error(errno, path))?;
        if got == 0 {
            let message = format!("it ended at byte {at} while it was read");
            return Err(changed(message).with_path(path));
        }
    }
    // The allocation, and with it what was read, may be larger than was asked for.
    buffer.truncate(wanted);
    Ok(buffer.into())
}

/// The first bytes of a file that is being made.
#[derive(Debug)]
pub(crate) struct PartSource {
    root: Arc<Root>,
    path: RelPath,
    file: Arc<OwnedFd>,
    size: u64,
}

impl PartSource {
    /// The first `size` bytes of `file`, which is made for `path`.
    pub(crate) fn body(root: Arc<Root>, path: RelPath, file: OwnedFd, size: u64) -> Body {
        Arc::new(PartSource { root, path, file: Arc::new(file), size })
    }
}

#[async_trait]
impl Source for PartSource {
    fn size(&self) -> Option<u64> {
        Some(self.size)
    }

    async fn open(&self, range: Range<u64>) -> Result<ByteStream> {
        let (root, path) = (Arc::clone(&self.root), self.path.clone());
        let state = (root, path, Arc::clone(&self.file), range.start..range.end.min(self.size));
        let pieces = stream::try_unfold(state, |(root, path, file, mut left)| async move {
            if left.is_empty() {
                return Ok(None);
            }
            let piece = blocking({
                let (root, path, file, start) =
                    (Arc::clone(&root), path.clone(), Arc::clone(&file), left.start);
                let wanted = PIECE_BYTES.min(left.end - left.start) as usize;
                move || read_exactly(&root, &path, &file, start, wanted)
            })
            .await?;
            left.start += piece.len() as u64;
            Ok(Some((piece, (root, path, file, left))))
        });
        Ok(pieces.boxed())
    }
}
