//! Removes a file or an empty folder, and sets times and permissions: changes of one entry, which must still be what was
//! listed.

use std::os::fd::{AsFd, AsRawFd};
use std::time::SystemTime;

use ketch_core::{Entry, EntryKind, Error, ErrorKind, RelPath, Result, Special};
use rustix::fs::{self, AtFlags, Mode, OFlags};
use rustix::io::Errno;

use crate::beneath::Way;
use crate::entry::{Folder, entry as make_entry};
use crate::error::changed;
use crate::find::{Found, find_file};
use crate::leftover::clear;
use crate::lenient::Refused;
use crate::root::Root;
use crate::stat::{is_version_of, kind_of, timestamps};

/// Removes what `entry` shows. For a followed link it removes the link, never what it points to. It removes sockets, pipes
/// and devices too; only `purge` asks for that.
pub(crate) fn delete(root: &Root, entry: &Entry) -> Result<()> {
    let result = match entry.kind {
        EntryKind::File | EntryKind::Link => delete_file(root, entry),
        EntryKind::Dir => delete_folder(root, entry),
        EntryKind::Special(Special::Device) => delete_device(root, entry),
        EntryKind::Special(special) => {
            let message = format!("{} is never deleted", special.describe());
            let error = Error::new(ErrorKind::InvalidInput, message).with_hint(special.hint());
            Err(error.with_path(&entry.path))
        }
    };
    match result {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn delete_file(root: &Root, entry: &Entry) -> Result<()> {
    let Found { folder, name, .. } = find_file(root, entry)?;
    fs::unlinkat(&folder, name.as_c_str(), AtFlags::empty()).map_err(|errno| match errno {
        Errno::ISDIR => changed("it is no longer a file").with_path(&entry.path),
        errno => root.error(errno, &entry.path),
    })
}

/// Removes only the name, and only if it still is neither a file, a folder nor a link.
fn delete_device(root: &Root, entry: &Entry) -> Result<()> {
    let fail = |errno| root.error(errno, &entry.path);
    let (folder, name) = root.open_parent(&entry.path, Way::Beneath).map_err(fail)?;
    let stat = fs::statat(&folder, name.as_c_str(), AtFlags::SYMLINK_NOFOLLOW).map_err(fail)?;
    if kind_of(&stat) != entry.kind {
        return Err(changed("it is no longer what was listed").with_path(&entry.path));
    }
    fs::unlinkat(&folder, name.as_c_str(), AtFlags::empty()).map_err(fail)
}

fn delete_folder(root: &Root, entry: &Entry) -> Result<()> {
    let remove = || {
        if entry.path.is_root() {
            return fs::unlinkat(fs::CWD, &root.path, AtFlags::REMOVEDIR);
        }
        let (folder, name) = root.open_parent(&entry.path, Way::Beneath)?;
        fs::unlinkat(&folder, name.as_c_str(), AtFlags::REMOVEDIR)
    };
    let removed = match remove() {
        // Parts of interrupted transfers must not keep a folder that is to be removed.
        Err(Errno::NOTEMPTY | Errno::EXIST) => {
            let cleared = root.open_folder(&entry.path, Way::Beneath).and_then(|it| clear(&it));
            cleared.and_then(|()| remove())
        }
        other => other,
    };
    removed.map_err(|errno| match errno {
        Errno::NOTDIR => changed("it is no longer a folder").with_path(&entry.path),
        // Both are in use for it; a folder may also hold what listings do not show.
        Errno::NOTEMPTY | Errno::EXIST => {
            let message = "the folder is not empty (parts that a process works on are not listed)";
            Error::new(ErrorKind::InvalidInput, message).with_path(&entry.path)
        }
        errno => root.error(errno, &entry.path),
    })
}

/// Sets the modification time of the file that `entry` shows, or of the folder at its path.
///
/// Errors: `Denied` for a link that is followed, because that would be a change outside the folder it is in.
pub(crate) fn set_mtime(root: &Root, entry: &Entry, mtime: SystemTime) -> Result<Entry> {
    if entry.is_dir() {
        return set_folder_mtime(root, &entry.path, mtime);
    }
    let Found { folder, name, seen } = find_file(root, entry)?;
    if seen.is_link && entry.kind != EntryKind::Link {
        return Err(root.error(Errno::LOOP, &entry.path));
    }
    let parent = entry.path.parent().unwrap_or_else(RelPath::root);
    fs::utimensat(&folder, name.as_c_str(), &timestamps(mtime), AtFlags::SYMLINK_NOFOLLOW)
        .and_then(|()| Folder::new(root, folder.as_fd(), &parent).look(&name, entry.path.clone()))
        .map(|seen| seen.entry)
        .map_err(|errno| root.error(errno, &entry.path))
}

fn set_folder_mtime(root: &Root, path: &RelPath, mtime: SystemTime) -> Result<Entry> {
    let fail = |errno| root.error(errno, path);
    let times = timestamps(mtime);
    if path.is_root() {
        // The root itself may be a link, and is then what that points to.
        let stat = fs::utimensat(fs::CWD, &root.path, &times, AtFlags::empty())
            .and_then(|()| fs::stat(&root.path))
            .map_err(fail)?;
        return Ok(make_entry(path.clone(), kind_of(&stat), &stat));
    }
    let (folder, name) = root.open_parent(path, Way::Beneath).map_err(fail)?;
    let look = || fs::statat(&folder, name.as_c_str(), AtFlags::SYMLINK_NOFOLLOW).map_err(fail);
    if kind_of(&look()?) != EntryKind::Dir {
        return Err(changed("it is no longer a folder").with_path(path));
    }
    fs::utimensat(&folder, name.as_c_str(), &times, AtFlags::SYMLINK_NOFOLLOW).map_err(fail)?;
    let stat = look()?;
    Ok(make_entry(path.clone(), kind_of(&stat), &stat))
}

/// Removes the permissions of a file or folder that are not in `mode`.
///
/// Errors: `Denied` for an entry that belongs to another user. Where the file system keeps no permissions nothing changes.
pub(crate) fn narrow_mode(root: &Root, known: &Entry, mode: u32) -> Result<Entry> {
    let path = &known.path;
    let fail = |errno| root.error(errno, path);
    // Stands for the thing itself, and needs no right to read it.
    let flags = OFlags::PATH | OFlags::NOFOLLOW;
    let thing = root.open(path, flags, Way::Beneath).map_err(fail)?;
    let stat = root.fstat(&thing).map_err(fail)?;
    let is_it = match known.kind {
        EntryKind::Dir => kind_of(&stat) == EntryKind::Dir,
        _ => kind_of(&stat) == EntryKind::File && is_version_of(known, &stat),
    };
    if !is_it {
        return Err(changed("it is not what was listed").with_path(path));
    }
    let narrow = Mode::from_raw_mode(stat.st_mode & 0o7777 & (mode | 0o7000));
    let set = fs::chmod(format!("/proc/self/fd/{}", thing.as_raw_fd()), narrow);
    let user = rustix::process::geteuid();
    let is_own = user.is_root() || stat.st_uid == user.as_raw();
    let set = if is_own { root.allow(Refused::Permissions, set) } else { set };
    set.map_err(fail)?;
    let now = root.fstat(&thing).map_err(fail)?;
    Ok(make_entry(path.clone(), known.kind, &now))
}
