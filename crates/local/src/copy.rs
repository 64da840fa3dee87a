//! Copies a file within the root, or from another root of this machine. The file system itself copies it where it can.
//!
//! A clone shares the blocks of the original and is done at once (btrfs, xfs). Elsewhere the bytes are copied (`mover`) and
//! holes are left out: a hole takes no room in the copy either.

use std::cell::RefCell;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ketch_core::{Entry, Error, ErrorKind, PutOptions, RelPath, Result};
use rustix::fs;
use rustix::io::{self, Errno, pread, retry_on_intr};
use tokio_util::sync::CancellationToken;

use crate::error::changed;
use crate::holes::{may_have_holes, next_data};
use crate::ledger::Maker;
use crate::mover::{Mover, write_at};
use crate::options::Fsync;
use crate::part::{COMPARE_BYTES, GoOn, Recorder, abandon_failed, read_piece};
use crate::read::open_file;
use crate::root::{Root, blocking};
use crate::stat::size;
use crate::temp::{Finish, Temp, check_name};
use crate::write::preallocate;

/// Files up to this size are copied in one piece by reading and writing.
pub(crate) const SMALL_BYTES: u64 = 64 * 1024;

/// Copies `from` to `to` with its permissions, and with its time unless the options have one. With a checkpoint it
/// continues the part of an earlier process, as far as that is equal to the source, and leaves such a part if it is
/// interrupted.
///
/// CANCEL: dropped before the renaming has begun, nothing is stored; the part is removed, or kept as the checkpoint says.
pub(crate) async fn copy(
    lender: Lender,
    root: Arc<Root>,
    from: Entry,
    to: RelPath,
    options: PutOptions,
) -> Result<Entry> {
    let cancel = CancellationToken::new();
    let _stops_when_dropped = cancel.clone().drop_guard();
    let (place, path, checkpoint) = (Arc::clone(&root), to.clone(), options.checkpoint.clone());
    let is_short = from.size.is_some_and(|size| size <= SMALL_BYTES);
    let batcher = Arc::clone(&root.batcher);
    let never_waits = root.options.fsync == Fsync::None;
    let work = move || copy_file(&lender, &root, &from, to, options, cancel);
    let copied =
        if is_short && never_waits { batcher.run(work).await } else { blocking(work).await };
    if copied.is_err() {
        abandon_failed(place, path, checkpoint).await;
    }
    copied
}

/// Where a file is copied from.
#[derive(Debug, Clone)]
pub(crate) struct Lender {
    pub(crate) root: Arc<Root>,
    /// What a person calls it.
    pub(crate) name: Box<str>,
}

fn copy_file(
    lender: &Lender,
    root: &Arc<Root>,
    from: &Entry,
    to: RelPath,
    options: PutOptions,
    cancel: CancellationToken,
) -> Result<Entry> {
    check_name(&to)?;
    let of_source = |error: Error| error.with_remote(&lender.name);
    let source = open_file(&lender.root, from).map_err(of_source)?;
    let all = size(&source.stat);
    let going_on = options.checkpoint.as_ref().map(|checkpoint| GoOn {
        checkpoint,
        maker: Maker::Copy,
        size: Some(all),
        cancel: &cancel,
    });
    let (mtime, mode) = (options.mtime.or(from.mtime), source.stat.st_mode);
    let at_once = all <= SMALL_BYTES;
    let is_sparse = may_have_holes(&source.stat);
    let (source_mode, expect, cancel_of) = (Some(mode), options.expect, cancel.clone());
    let finish_with =
        Finish { size: all, mtime, mode, source_mode, expect, cancel: cancel_of, at_once };
    let temp = Temp::create(Arc::clone(root), to.clone(), &finish_with, going_on)?;
    if at_once {
        // A part that is there already is empty: it is shorter than a range.
        let (reads, writes) = (&source.descriptor, &temp.file);
        let copied = match is_sparse {
            true => copy_small_sparse(reads, writes, all).map(|copied| (copied, false)),
            false => copy_small(reads, writes, all, lender.root.proves_versions()),
        };
        let (copied, saw_end) = copied.map_err(|errno| root.error(errno, &to))?;
        let checked = match saw_end && copied == all {
            true => source.check_version(&lender.root, from),
            false => source.check_unchanged(&lender.root, from),
        };
        checked.map_err(of_source)?;
        if copied < all {
            let message = format!("it was listed with {all} bytes and holds {copied}");
            return Err(of_source(changed(message).with_path(&from.path)));
        }
        return temp.commit(&finish_with);
    }
    let recorder = temp.progress.as_ref().map(|progress| Recorder {
        root: Arc::clone(root),
        path: to.clone(),
        file: Arc::clone(&temp.file),
        progress: Arc::clone(progress),
        under_way: None,
    });
    let copying = Copying {
        from: &source.descriptor,
        to: &temp.file,
        all,
        is_sparse,
        cancel: &cancel,
        recorder,
        progress: options.progress.as_deref(),
        kept: options.kept.as_deref(),
    };
    let copied = copying.run(|errno| root.error(errno, &to)).and_then(|copied| match copied {
        Copied::All => source.check_unchanged(&lender.root, from).map_err(of_source),
        Copied::Short => {
            Err(of_source(changed("it ended while it was copied").with_path(&from.path)))
        }
        Copied::Cancelled => Err(Error::cancelled()),
    });
    if let Err(error) = copied {
        // The copied bytes are not those of the listed version, so no process will continue the part.
        if let (ErrorKind::Changed, Some(progress)) = (error.kind(), &temp.progress) {
            progress.close();
        }
        return Err(error);
    }
    temp.commit(&finish_with)
}

/// Copies a file that fits in a buffer. Tells how many bytes it had, at most `all`, and whether its end was seen there.
///
/// Room for one more byte than wanted shows the end without another call: a disk (`is_disk`) gives less than asked for only
/// there. File systems that programs make may give less anywhere, so there the end is asked for.
fn copy_small(from: &OwnedFd, to: &OwnedFd, all: u64, is_disk: bool) -> io::Result<(u64, bool)> {
    thread_local! {
        static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    }
    BUFFER.with_borrow_mut(|buffer| {
        let all = usize::try_from(all).unwrap_or(0);
        buffer.resize(all + 1, 0);
        let (mut at, mut saw_end) = (0, false);
        while at <= all && !saw_end {
            let got = retry_on_intr(|| pread(from, &mut buffer[at..], at as u64))?;
            at += got;
            saw_end = got == 0 || (is_disk && at == all);
        }
        let copied = at.min(all);
        write_at(to, &buffer[..copied], 0)?;
        Ok((copied as u64, saw_end))
    })
}

/// The same for one with holes, which are left out.
fn copy_small_sparse(from: &OwnedFd, to: &OwnedFd, all: u64) -> io::Result<u64> {
    let mut mover = Mover::of_short(from, to);
    let mut at = 0;
    while at < all {
        let data = next_data(from, at..all)?;
        at = data.start;
        while at < data.end {
            match mover.step(at, data.end - at)? {
                0 => return Ok(at),
                got => at += got,
            }
        }
    }
    fs::ftruncate(to, all)?;
    Ok(all)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Copied {
    All,
    Short,
    Cancelled,
}

/// The bytes of one file on their way.
struct Copying<'a> {
    from: &'a OwnedFd,
    to: &'a OwnedFd,
    all: u64,
    /// Holes are looked for, and left out.
    is_sparse: bool,
    cancel: &'a CancellationToken,
    recorder: Option<Recorder>,
    /// Shows how far it is.
    progress: Option<&'a AtomicU64>,
    /// Says how much of it an earlier process had copied.
    kept: Option<&'a AtomicU64>,
}

impl Copying<'_> {
    fn show(&self, at: u64) {
        if let Some(progress) = self.progress {
            progress.store(at, Ordering::Relaxed);
        }
    }

    fn run(mut self, fail: impl Fn(Errno) -> Error) -> Result<Copied> {
        let left = self.recorder.as_ref().map_or(0, |recorder| recorder.progress.bytes());
        // Why it cannot be cloned does not matter: what is wrong with either file shows below.
        if left == 0 && self.all > 0 && fs::ioctl_ficlone(self.to, self.from).is_ok() {
            return Ok(Copied::All);
        }
        let Some(mut at) = self.compare(left).map_err(&fail)? else { return Ok(Copied::Cancelled) };
        if !self.is_sparse {
            preallocate(self.to, Some(self.all)).map_err(&fail)?;
        }
        self.show(at);
        if let Some(kept) = self.kept {
            kept.store(at, Ordering::Relaxed);
        }
        let range_bytes = Maker::Copy.range_bytes();
        let mut mover = Mover::new(self.from, self.to);
        let mut data = at..at;
        while at < self.all {
            if self.cancel.is_cancelled() {
                return Ok(Copied::Cancelled);
            }
            if at == data.end {
                data = self.data(at).map_err(&fail)?;
            }
            let range_end = self.all.min(at - at % range_bytes + range_bytes);
            if at < data.start {
                at = data.start.min(range_end);
                if at == range_end {
                    // The part is as long as it is said to be whole.
                    fs::ftruncate(self.to, at).map_err(&fail)?;
                }
            } else {
                match mover.step(at, data.end.min(range_end) - at).map_err(&fail)? {
                    0 => return Ok(Copied::Short),
                    got => at += got,
                }
            }
            self.show(at);
            if let Some(recorder) = &mut self.recorder
                && at.is_multiple_of(range_bytes)
                && at < self.all
            {
                let number = usize::try_from(at / range_bytes - 1).unwrap_or(usize::MAX);
                futures::executor::block_on(recorder.range_done(number, [0; 32]))?;
            }
        }
        if let Some(recorder) = &mut self.recorder {
            futures::executor::block_on(recorder.settle())?;
        }
        Ok(Copied::All)
    }

    /// The next range from `at` on that is not a hole.
    fn data(&self, at: u64) -> io::Result<Range<u64>> {
        if self.is_sparse { next_data(self.from, at..self.all) } else { Ok(at..self.all) }
    }

    /// How many of the first `left` bytes are equal; what follows them is cut off. `None` when it was cancelled.
    fn compare(&self, left: u64) -> io::Result<Option<u64>> {
        let mut source = Vec::with_capacity(COMPARE_BYTES);
        let mut part = Vec::with_capacity(COMPARE_BYTES);
        let mut at = 0;
        while at < left {
            if self.cancel.is_cancelled() {
                return Ok(None);
            }
            let wanted = COMPARE_BYTES.min(usize::try_from(left - at).unwrap_or(COMPARE_BYTES));
            let got = read_piece(self.to, &mut part, at, wanted)?;
            read_piece(self.from, &mut source, at, got)?;
            if got == 0 || source != part {
                break;
            }
            at += got as u64;
        }
        if let (true, Some(recorder)) = (at < left, &self.recorder) {
            recorder.progress.forget_from(at)?;
            fs::ftruncate(self.to, at)?;
        }
        Ok(Some(at))
    }
}
