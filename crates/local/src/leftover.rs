//! Parts and ledgers that interrupted transfers left in a folder.
//!
//! The process that makes a part holds a lock on it (`flock`), and its death ends the lock. A part is dead if it is not
//! locked and no job of this machine can continue it. On a disk that several machines share, locks of other machines are
//! not always visible, so parts that were written there within the last hour are left alone.

use std::collections::BTreeSet;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, SystemTime};

use ketch_core::names::core_from_bytes;
use ketch_core::{EntryKind, Leftover, LeftoverState, RelPath, Result, Special};
use rustix::fs::{self, AtFlags, OFlags, RawDir, Stat};
use rustix::io::{self, Errno};

use crate::beneath::Way;
use crate::lock::{Lock, open_own, try_lock, unlink};
use crate::names::{is_temporary, ledger_beside, number_of};
use crate::root::Root;
use crate::stat::{identity, kind_of, mtime, size};
use crate::volume::is_own_kind;

/// Folders with parts that are remembered; a later job finds the parts in further ones.
const FOLDERS_MAX: usize = 10_000;
/// How old a part must be on a disk that other machines may work on, too.
const SHARED_AGE: Duration = Duration::from_secs(60 * 60);
/// Where there are no locks at all.
const LOCKLESS_AGE: Duration = Duration::from_secs(24 * 60 * 60);
const NAMES_BYTES: usize = 64 * 1024;

impl Root {
    /// Records that the folder `dir` has a part of an interrupted transfer.
    pub(crate) fn saw_leftover(&self, dir: &RelPath) {
        let mut seen = self.leftovers();
        if seen.len() < FOLDERS_MAX && !seen.contains(dir) {
            seen.insert(dir.clone());
        }
    }
}

/// The parts in the folder `dir`. Dead ones are removed first, if that is wanted.
pub(crate) fn leftovers(
    root: &Root,
    dir: &RelPath,
    is_claimed: &dyn Fn(u32) -> bool,
    removes: bool,
) -> Result<Vec<Leftover>> {
    let fail = |errno| root.error(errno, dir);
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let folder = match root.open(dir, flags, Way::Beneath) {
        Ok(folder) => folder,
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(Vec::new()),
        Err(errno) => return Err(fail(errno)),
    };
    let shared = is_shared(&folder);
    let mut found = Vec::new();
    for name in own_names(&folder).map_err(fail)? {
        let Some(left) = look(&folder, &name, shared, is_claimed).map_err(fail)? else { continue };
        let is_to_go = removes && left.state == LeftoverState::Dead;
        if is_to_go && !remove(&folder, &name, &left).map_err(fail)? {
            continue;
        }
        let path = dir.join(&core_from_bytes(name.to_bytes()));
        let Ok(path) = path else { continue }; // Never fails: it is a name of the folder.
        found.push(Leftover { path, bytes: left.bytes, state: left.state });
    }
    Ok(found)
}

/// Removes dead parts in a folder that is to be removed. The system then says whether the folder is empty.
pub(crate) fn clear(folder: &OwnedFd) -> io::Result<()> {
    let folder = fs::openat(
        folder,
        c".",
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        fs::Mode::empty(),
    )?;
    let shared = is_shared(&folder);
    for name in own_names(&folder)? {
        if let Some(left) = look(&folder, &name, shared, &|_| false)?
            && left.state == LeftoverState::Dead
        {
            remove(&folder, &name, &left)?;
        }
    }
    Ok(())
}

/// May other machines work here? Yes, if the system does not say which file system it is.
fn is_shared(folder: &OwnedFd) -> bool {
    !fs::fstatfs(folder).is_ok_and(|system| is_own_kind(system.f_type))
}

/// The names of ketch's own files in a folder, without the ledgers that have a part: such a ledger is handled with its
/// part.
fn own_names(folder: &OwnedFd) -> io::Result<BTreeSet<CString>> {
    let mut buffer = Vec::with_capacity(NAMES_BYTES);
    let mut reader = RawDir::new(folder.as_fd(), buffer.spare_capacity_mut());
    let mut names = BTreeSet::new();
    while let Some(found) = reader.next() {
        let found = match found {
            Err(Errno::INTR) => continue,
            found => found?,
        };
        let name = found.file_name();
        if is_temporary(name.to_bytes()) {
            names.insert(name.to_owned());
        }
    }
    let ledgers: Vec<_> = names.iter().filter_map(|name| ledger_of(name)).collect();
    for ledger in ledgers {
        names.remove(&ledger);
    }
    Ok(names)
}

/// The name of the ledger of a part.
fn ledger_of(part: &CStr) -> Option<CString> {
    let ledger = ledger_beside(part.to_bytes())?;
    CString::new(ledger).ok() // Never fails: it has no zero that the part's has not.
}

struct Left {
    stat: Stat,
    bytes: u64,
    state: LeftoverState,
    /// Keeps the lock.
    _file: Option<OwnedFd>,
}

/// The part under one name. `None`: it is not a file of ketch's own.
fn look(
    folder: &OwnedFd,
    name: &CStr,
    shared: bool,
    is_claimed: &dyn Fn(u32) -> bool,
) -> io::Result<Option<Left>> {
    let stat = match fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => return Ok(None),
        Err(errno) => return Err(errno),
    };
    let left = |state, file| {
        let bytes = u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(512);
        Ok(Some(Left { stat, bytes: bytes.max(size(&stat)), state, _file: file }))
    };
    let is_old = |age: Duration| {
        let since = mtime(&stat).and_then(|time| SystemTime::now().duration_since(time).ok());
        since.is_some_and(|since| since > age)
    };
    let (needed, file) = match kind_of(&stat) {
        // A link cannot be locked, and has its name for moments only.
        EntryKind::Special(Special::Symlink) => (Some(SHARED_AGE), None),
        EntryKind::File => match open_own(folder, name, OFlags::RDONLY) {
            Ok(file) => match try_lock(&file) {
                Lock::Busy => return left(LeftoverState::InUse, None),
                Lock::Ours => (shared.then_some(SHARED_AGE), Some(file)),
                Lock::Unknown => (Some(LOCKLESS_AGE), Some(file)),
            },
            Err(Errno::NOENT | Errno::LOOP) => return Ok(None),
            // What may not be opened cannot be locked.
            Err(_) => (Some(LOCKLESS_AGE), None),
        },
        _ => return Ok(None),
    };
    if number_of(name.to_bytes()).is_some_and(is_claimed) {
        return left(LeftoverState::Claimed, None);
    }
    match needed {
        Some(age) if !is_old(age) => left(LeftoverState::Unclear, None),
        _ => left(LeftoverState::Dead, file),
    }
}

/// Removes a part with its ledger, if the name still leads to the checked file. The part is locked until then, so that no
/// process begins to work on it.
fn remove(folder: &OwnedFd, name: &CStr, left: &Left) -> io::Result<bool> {
    match fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(now) if identity(&now) == identity(&left.stat) => {}
        Ok(_) | Err(Errno::NOENT) => return Ok(false),
        Err(errno) => return Err(errno),
    }
    // ORDER: the ledger first, because a part without its ledger is found again.
    if let Some(ledger) = ledger_of(name) {
        unlink(folder, &ledger)?;
    }
    match fs::unlinkat(folder, name, AtFlags::empty()) {
        Ok(()) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(errno),
    }
}
