//! A part that another process of the same job can continue, and the ledger beside it.
//!
//! The names are made from the file and the job, so they are found again. The process that works on a part holds a lock on
//! it (`flock`) until no write to it can happen any more, including a write that was in progress when its caller was
//! dropped. A part that is in use is left alone, and no other process gives it its final name. A ledger has a record of a
//! range only after the range is in the part and, unless `fsync=none`, on the disk. A record is still only a hint: [`kept`]
//! compares digests, and a `put` or copy that continues the part compares the bytes.
//!
//! This module must not know how bodies are received or how files get their names.

use std::ffi::{CStr, CString};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ketch_core::{Body, Checkpoint, EntryKind, Error, RelPath, Result};
use rustix::buffer::spare_capacity;
use rustix::fs::{self, AtFlags, OFlags, Stat};
use rustix::io::{self, Errno, pread, pwrite, retry_on_intr};
use tokio_util::sync::CancellationToken;

use crate::beneath::Way;
use crate::ledger::{HEADER_BYTES, Ledger, Maker, RECORD_BYTES};
use crate::lock::{Lock, is_gone, open_own, open_with, try_lock, unlink, wait_for_lock};
use crate::names::of_job;
use crate::read::PartSource;
use crate::root::{Hop, Place, Root, blocking, finish, start};
use crate::stat::{identity, kind_of, size};

/// How often a name is opened that another program replaces at the same time.
const OPEN_TRIES: usize = 8;
/// Bytes that are read at a time to be compared.
pub(crate) const COMPARE_BYTES: usize = 1024 * 1024;

/// The two names of a part.
struct Names {
    part: CString,
    ledger: CString,
}

impl Names {
    fn new(name: &CStr, job: u32) -> io::Result<Self> {
        let (part, ledger) = of_job(name.to_bytes(), job);
        let text = |bytes| CString::new(bytes).map_err(|_| Errno::INVAL);
        Ok(Names { part: text(part)?, ledger: text(ledger)? })
    }
}

/// How a part is continued.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GoOn<'a> {
    pub(crate) checkpoint: &'a Checkpoint,
    pub(crate) maker: Maker,
    /// How many bytes the file will have, if that is known.
    pub(crate) size: Option<u64>,
    /// Ends the wait for a part that is in use.
    pub(crate) cancel: &'a CancellationToken,
}

/// A part that was opened, and holds exactly what its progress says.
pub(crate) struct Opened {
    pub(crate) file: OwnedFd,
    pub(crate) name: CString,
    /// It was made just now.
    pub(crate) is_new: bool,
    pub(crate) progress: Progress,
}

/// Opens the part of `name`, or makes an empty one with the permissions `mode`. `None`: a process uses that name, or it is
/// the name of something else.
pub(crate) fn open(
    place: &Arc<Place>,
    name: &CStr,
    going_on: GoOn<'_>,
    mode: u32,
) -> io::Result<Option<Opened>> {
    let folder = &place.descriptor;
    let names = Names::new(name, going_on.checkpoint.job)?;
    let ledger = || Ledger::new(going_on.maker, &going_on.checkpoint.source);
    for _ in 0..OPEN_TRIES {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
        let made = open_with(folder, &names.part, flags, mode);
        let (file, is_new, ledger, ledger_file) = match made {
            Ok(file) => match try_lock(&file) {
                Lock::Busy => return Ok(None),
                // Another process removed it as dead before it was locked.
                Lock::Ours | Lock::Unknown if is_gone(folder, &names.part, &file)? => continue,
                Lock::Ours | Lock::Unknown => (file, true, ledger(), None),
            },
            Err(Errno::EXIST) => match open_left(folder, &names, going_on)? {
                Left::Part(file, ledger, ledger_file) => (file, false, ledger, ledger_file),
                Left::Gone => continue,
                Left::NotOurs => return Ok(None),
            },
            Err(errno) => return Err(errno),
        };
        let state = Mutex::new(State { ledger, file: ledger_file, is_closed: false });
        let Names { part, ledger } = names;
        let (folder, checkpoint) = (Arc::clone(place), going_on.checkpoint.clone());
        let progress = Progress { checkpoint, folder, ledger_name: ledger, state };
        return Ok(Some(Opened { file, name: part, is_new, progress }));
    }
    Ok(None)
}

enum Left {
    Part(OwnedFd, Ledger, Option<OwnedFd>),
    Gone,
    NotOurs,
}

/// Opens a part that is there already, cut to what its ledger says of it.
fn open_left(folder: &OwnedFd, names: &Names, going_on: GoOn<'_>) -> io::Result<Left> {
    let file = match open_own(folder, &names.part, OFlags::RDWR) {
        Ok(file) => file,
        Err(Errno::NOENT) => return Ok(Left::Gone),
        // It already has its final permissions, because it was about to get its name: a new part is made.
        Err(Errno::ACCESS) => match open_own(folder, &names.part, OFlags::RDONLY) {
            Ok(file) if matches!(try_lock(&file), Lock::Ours) => {
                return remove(folder, names).map(|()| Left::Gone);
            }
            _ => return Ok(Left::NotOurs),
        },
        Err(_) => return Ok(Left::NotOurs),
    };
    let stat = fs::fstat(&file)?;
    if kind_of(&stat) != EntryKind::File {
        return Ok(Left::NotOurs);
    }
    let is_locked = match wait_for_lock(&file, going_on.cancel) {
        Lock::Ours => true,
        Lock::Busy => return Ok(Left::NotOurs),
        Lock::Unknown => false,
    };
    match fs::statat(folder, names.part.as_c_str(), AtFlags::SYMLINK_NOFOLLOW) {
        Ok(named) if identity(&named) == identity(&stat) => {}
        Ok(_) | Err(Errno::NOENT) => return Ok(Left::Gone),
        Err(errno) => return Err(errno),
    }
    // Another name of the file would see what is written to it, and another owner could write to it.
    if !is_locked || !is_own(&stat) {
        return remove(folder, names).map(|()| Left::Gone);
    }
    let (ledger, ledger_file) = read_ledger(folder, names, going_on, size(&stat), OFlags::RDWR)?;
    if ledger_file.is_none() {
        unlink(folder, &names.ledger)?;
    }
    fs::ftruncate(&file, ledger.bytes())?;
    Ok(Left::Part(file, ledger, ledger_file))
}

/// What the ledger says about a part of `part_bytes`, and the ledger, if it can be used at all.
fn read_ledger(
    folder: &OwnedFd,
    names: &Names,
    going_on: GoOn<'_>,
    part_bytes: u64,
    access: OFlags,
) -> io::Result<(Ledger, Option<OwnedFd>)> {
    let GoOn { checkpoint, maker, size: whole, .. } = going_on;
    let nothing = || Ok((Ledger::new(maker, &checkpoint.source), None));
    let file = match open_own(folder, &names.ledger, access) {
        Ok(file) => file,
        Err(_) => return nothing(), // Not there, or not ours: nothing is known.
    };
    let stat = fs::fstat(&file)?;
    if kind_of(&stat) != EntryKind::File || !is_own(&stat) {
        return nothing();
    }
    // No more records than there are ranges in the part, and none that the file to be made does not have.
    let ranges = part_bytes.min(whole.unwrap_or(u64::MAX)) / maker.range_bytes();
    let ranges = usize::try_from(ranges).unwrap_or(usize::MAX);
    let most = ranges.saturating_mul(RECORD_BYTES).saturating_add(HEADER_BYTES);
    let bytes = read_some(&file, most.min(usize::try_from(size(&stat)).unwrap_or(usize::MAX)))?;
    let ledger = Ledger::parse(maker, &checkpoint.source, &bytes);
    if ledger.len() == 0 { nothing() } else { Ok((ledger, Some(file))) }
}

fn read_some(file: &OwnedFd, wanted: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(wanted);
    while bytes.len() < wanted {
        let at = bytes.len() as u64;
        if retry_on_intr(|| pread(file, spare_capacity(&mut bytes), at))? == 0 {
            break;
        }
    }
    bytes.truncate(wanted);
    Ok(bytes)
}

/// Does the file have one name, and does it belong to this user?
fn is_own(stat: &Stat) -> bool {
    stat.st_nlink == 1 && stat.st_uid == rustix::process::geteuid().as_raw()
}

/// Removes both. ORDER: the ledger first, because a part without its ledger is found again by the process that writes the
/// file.
fn remove(folder: &OwnedFd, names: &Names) -> io::Result<()> {
    unlink(folder, &names.ledger)?;
    unlink(folder, &names.part)
}

/// How far a part is complete, and the ledger that records it for later processes.
#[derive(Debug)]
pub(crate) struct Progress {
    checkpoint: Checkpoint,
    folder: Arc<Place>,
    ledger_name: CString,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    ledger: Ledger,
    /// The ledger on the disk, from the first record on.
    file: Option<OwnedFd>,
    /// Nothing is written down any more.
    is_closed: bool,
}

impl Progress {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes of the part that were there when it was opened, or were recorded since.
    pub(crate) fn bytes(&self) -> u64 {
        self.state().ledger.bytes()
    }

    /// Forgets every range with a byte from `at` on, because its bytes differ.
    pub(crate) fn forget_from(&self, at: u64) -> io::Result<()> {
        let mut state = self.state();
        let count = at / state.ledger.maker().range_bytes();
        state.ledger.truncate(usize::try_from(count).unwrap_or(usize::MAX));
        let length = state.ledger.file_bytes();
        match &state.file {
            Some(file) => fs::ftruncate(file, length),
            None => Ok(()),
        }
    }

    /// Writes the record of range `number`, unless it is written already. If the ledger cannot be written, that is not an
    /// error: a later process then has less to continue.
    fn record(&self, number: usize, digest: [u8; 32]) {
        let mut state = self.state();
        if state.is_closed || number != state.ledger.len() {
            return;
        }
        if let Err(errno) = self.write_record(&mut state, digest) {
            let name = &self.ledger_name;
            tracing::warn!(?name, %errno, "how far a file is could not be written down");
            state.is_closed = true;
        }
    }

    fn write_record(&self, state: &mut State, digest: [u8; 32]) -> io::Result<()> {
        let at = state.ledger.file_bytes();
        let record = state.ledger.push(digest);
        let written = match &state.file {
            Some(file) => write_at(file, &record, at),
            None => self.make_ledger().and_then(|file| {
                write_at(&file, state.ledger.header(), 0)?;
                write_at(&file, &record, at)?;
                state.file = Some(file);
                Ok(())
            }),
        };
        if written.is_err() {
            let count = state.ledger.len() - 1;
            state.ledger.truncate(count);
        }
        written
    }

    fn make_ledger(&self) -> io::Result<OwnedFd> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
        match open_own(&self.folder.descriptor, &self.ledger_name, flags) {
            Err(Errno::EXIST) => {
                unlink(&self.folder.descriptor, &self.ledger_name)?;
                open_own(&self.folder.descriptor, &self.ledger_name, flags)
            }
            other => other,
        }
    }

    /// Must the part stay for a later process?
    pub(crate) fn is_to_be_kept(&self) -> bool {
        let state = self.state();
        self.checkpoint.keeps() && !state.is_closed && state.ledger.len() > 0
    }

    /// Removes the ledger, because the part will not be continued.
    pub(crate) fn close(&self) {
        let mut state = self.state();
        state.is_closed = true;
        if state.file.take().is_some()
            && let Err(errno) = unlink(&self.folder.descriptor, &self.ledger_name)
        {
            tracing::warn!(name = ?self.ledger_name, %errno, "a ledger could not be removed");
        }
    }
}

fn write_at(file: &OwnedFd, bytes: &[u8], at: u64) -> io::Result<()> {
    // A torn record is useless, so a short write is an error and is not continued.
    match retry_on_intr(|| pwrite(file, bytes, at))? {
        written if written == bytes.len() => Ok(()),
        _ => Err(Errno::NOSPC),
    }
}

/// Writes records of ranges in parallel to the transfer, at most one range behind it.
#[derive(Debug)]
pub(crate) struct Recorder {
    pub(crate) root: Arc<Root>,
    pub(crate) path: RelPath,
    pub(crate) file: Arc<OwnedFd>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) under_way: Option<Hop<()>>,
}

impl Recorder {
    /// Range `number` is in the part. Waits until the record of the one before is written.
    ///
    /// Errors: those of the `fsync`. The part is useless then, because a second `fsync` would succeed and prove nothing.
    pub(crate) async fn range_done(&mut self, number: usize, digest: [u8; 32]) -> Result<()> {
        self.settle().await?;
        let (root, path) = (Arc::clone(&self.root), self.path.clone());
        let (file, progress) = (Arc::clone(&self.file), Arc::clone(&self.progress));
        self.under_way = Some(start(move || {
            // ORDER: the range is on the disk before its record is written.
            root.force_bytes(&file).map_err(|errno| {
                progress.close();
                root.error(errno, &path)
            })?;
            progress.record(number, digest);
            Ok(())
        }));
        Ok(())
    }

    /// Waits until everything is written down.
    pub(crate) async fn settle(&mut self) -> Result<()> {
        match self.under_way.take() {
            Some(hop) => finish(hop).await,
            None => Ok(()),
        }
    }
}

/// What an interrupted `put` left of `path`: as many ranges, from the first on, as still have the digest they had when they
/// were received.
pub(crate) fn kept(
    root: &Arc<Root>,
    path: &RelPath,
    checkpoint: &Checkpoint,
    cancel: &CancellationToken,
) -> Result<Option<Body>> {
    let fail = |errno| root.error(errno, path);
    let (folder, names) = match find(root, path, checkpoint) {
        Ok(Some(found)) => found,
        Ok(None) => return Ok(None),
        Err(errno) => return Err(fail(errno)),
    };
    let file = match open_own(&folder, &names.part, OFlags::RDONLY) {
        Ok(file) => file,
        Err(Errno::NOENT) => {
            // The file got its name, and the process died before it removed the ledger.
            unlink(&folder, &names.ledger).map_err(fail)?;
            return Ok(None);
        }
        Err(_) => return Ok(None), // Not a part of ours.
    };
    let stat = fs::fstat(&file).map_err(fail)?;
    if kind_of(&stat) != EntryKind::File || !is_own(&stat) {
        return Ok(None);
    }
    let going_on = GoOn { checkpoint, maker: Maker::Put, size: None, cancel };
    let (ledger, _) =
        read_ledger(&folder, &names, going_on, size(&stat), OFlags::RDONLY).map_err(fail)?;
    let mut proven = 0;
    let mut buffer = Vec::with_capacity(COMPARE_BYTES);
    for number in 0..ledger.len() {
        let range = Maker::Put.range(number);
        let mut hasher = blake3::Hasher::new();
        let mut at = range.start;
        while at < range.end {
            if cancel.is_cancelled() {
                return Err(Error::cancelled());
            }
            let wanted = COMPARE_BYTES.min(usize::try_from(range.end - at).unwrap_or(usize::MAX));
            // A range that cannot be read does not count.
            match read_piece(&file, &mut buffer, at, wanted) {
                Ok(got) if got > 0 => at += got as u64,
                _ => break,
            }
            hasher.update(&buffer);
        }
        if ledger.digest(number) != Some(&hasher.finalize().as_bytes()[..]) {
            break;
        }
        proven = range.end;
    }
    let source = || PartSource::body(Arc::clone(root), path.clone(), file, proven);
    Ok((proven > 0).then(source))
}

/// Reads up to `wanted` bytes, at most the capacity of `buffer`, in place of what is in it.
pub(crate) fn read_piece(
    file: &OwnedFd,
    buffer: &mut Vec<u8>,
    at: u64,
    wanted: usize,
) -> io::Result<usize> {
    buffer.clear();
    retry_on_intr(|| pread(file, spare_capacity(buffer), at))?;
    buffer.truncate(wanted);
    Ok(buffer.len())
}

/// Removes what an interrupted `put` or copy left of `path`. A part that is still in use is waited for, for a second.
pub(crate) fn abandon(
    root: &Root,
    path: &RelPath,
    checkpoint: &Checkpoint,
    cancel: &CancellationToken,
) -> Result<()> {
    let fail = |errno| root.error(errno, path);
    let Some((folder, names)) = find(root, path, checkpoint).map_err(fail)? else { return Ok(()) };
    let file = match open_own(&folder, &names.part, OFlags::RDONLY) {
        Ok(file) => Some(file),
        // A link that was to get its name.
        Err(Errno::LOOP) => {
            return fs::unlinkat(&folder, names.part.as_c_str(), AtFlags::empty()).map_err(fail);
        }
        Err(Errno::NXIO | Errno::NODEV) => return Ok(()), // Not a part of ours.
        Err(_) => None,
    };
    if let Some(file) = file {
        // Still in use after that: what is written to it goes to a file without a name.
        wait_for_lock(&file, cancel);
        if cancel.is_cancelled() {
            return Err(Error::cancelled());
        }
    }
    remove(&folder, &names).map_err(fail)
}

/// After a failure: removes an earlier part too, even if it was not opened because of the failure, unless parts must be
/// kept. An error here is not reported: the first failure says more.
pub(crate) async fn abandon_failed(root: Arc<Root>, path: RelPath, checkpoint: Option<Checkpoint>) {
    let Some(checkpoint) = checkpoint.filter(|checkpoint| !checkpoint.keeps()) else { return };
    let cancel = CancellationToken::new();
    let _stops_when_dropped = cancel.clone().drop_guard();
    let removed = blocking(move || abandon(&root, &path, &checkpoint, &cancel)).await;
    if let Err(error) = removed {
        tracing::debug!(%error, "a part could not be removed");
    }
}

/// The folder of `path` and the names in it; `None` when there is no such folder.
fn find(
    root: &Root,
    path: &RelPath,
    checkpoint: &Checkpoint,
) -> io::Result<Option<(OwnedFd, Names)>> {
    if path.is_root() {
        return Ok(None);
    }
    match root.open_parent(path, Way::Beneath) {
        Ok((folder, name)) => Ok(Some((folder, Names::new(&name, checkpoint.job)?))),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
        Err(errno) => Err(errno),
    }
}
