//! Moves a file or a folder within the root.

use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};

use ketch_core::identity::sameness;
use ketch_core::{Entry, EntryKind, Error, ErrorKind, Expect, RelPath, Result, Sameness};
use rustix::fs::{self, AtFlags, OFlags, RenameFlags, Stat};
use rustix::io::{self, Errno};

use crate::beneath::{Way, open_at, system_name};
use crate::entry::Folder;
use crate::error::not_forced;
use crate::find::{Found, find_file};
use crate::identity::named;
use crate::root::Root;
use crate::spelling;
use crate::stat::identity;
use crate::temp::{appeared, check_name, check_target};
use crate::volume::is_plain_kind;

/// Moves `from` to `to`. A file replaces a file; nothing else is replaced. A link that is followed is not moved:
/// `Unsupported`, as is a move to another file system.
pub(crate) fn rename(root: &Root, from: &Entry, to: &RelPath) -> Result<Entry> {
    match from.kind {
        EntryKind::File | EntryKind::Link => rename_file(root, from, to),
        EntryKind::Dir => rename_folder(root, from, to),
        EntryKind::Special(special) => {
            let message = format!("{} is never moved", special.describe());
            let error = Error::new(ErrorKind::InvalidInput, message).with_hint(special.hint());
            Err(error.with_path(&from.path))
        }
    }
}

fn rename_file(root: &Root, from: &Entry, to: &RelPath) -> Result<Entry> {
    check_name(to)?;
    let Found { folder, name, seen } = find_file(root, from)?;
    if seen.is_link && from.kind != EntryKind::Link {
        let message = "a symbolic link is not moved, because what it points to would change";
        return Err(Error::new(ErrorKind::Unsupported, message).with_path(&from.path));
    }
    let target = Target::open(root, to)?;
    let replaced = check_target(root, target.folder.as_fd(), &target.name, to, &Expect::Anything)?;
    let fail = |errno| root.error(errno, to);
    if is_spelling_of(&folder, &seen.stat, &target, &from.path).map_err(fail)? {
        spelling::respell(target.folder.as_fd(), name_of(&from.path), name_of(to)).map_err(fail)?;
    } else if replaced.is_some_and(|replaced| are_two_names(&seen.stat, &replaced, &from.path, to))
    {
        // The system does nothing when both names are links to one file.
        fs::unlinkat(&folder, name.as_c_str(), AtFlags::empty()).map_err(fail)?;
    } else {
        fs::renameat(&folder, name.as_c_str(), &target.folder, target.name.as_c_str())
            .map_err(fail)?;
    }
    target.done(root, &folder)
}

/// Moves the file or link that `from` shows of the place `lender` to `to`, if the file system can do it in one step.
///
/// Errors: `Unsupported` when it cannot, and when it cannot be told whether both names are one; `InvalidInput` when they are.
pub(crate) fn take(
    lender: &Root,
    root: &Root,
    from: &Entry,
    to: &RelPath,
    expect: &Expect,
) -> Result<Entry> {
    check_name(to)?;
    let Found { folder, name, seen } = find_file(lender, from)?;
    let refuse = |message| Err(Error::new(ErrorKind::Unsupported, message).with_path(to));
    if seen.is_link && from.kind != EntryKind::Link {
        return refuse("a link that is followed stays where it is");
    }
    let target = Target::open(root, to)?;
    let fail = |errno| root.error(errno, to);
    let (above, place) =
        (fs::fstat(&folder).map_err(fail)?, fs::fstat(&target.folder).map_err(fail)?);
    if place.st_dev != seen.stat.st_dev {
        return refuse("it is on another file system");
    }
    let _ = check_target(root, target.folder.as_fd(), &target.name, to, expect)?;
    let there = match fs::statat(&target.folder, target.name.as_c_str(), AtFlags::SYMLINK_NOFOLLOW)
    {
        Err(Errno::NOENT) => None,
        there => Some(there.map_err(fail)?),
    };
    let renamed = match there {
        None => rename_new(&folder, &name, &target.folder, &target.name),
        Some(there) => {
            let is_plain = fs::fstatfs(&target.folder).is_ok_and(|of| is_plain_kind(of.f_type));
            let one = named(&seen.stat, &above, name_of(&from.path), is_plain);
            let other = named(&there, &place, name_of(to), is_plain);
            match sameness(&one, &other) {
                // On one mount of one file system two numbers are two objects.
                Sameness::TwoObjects => {
                    fs::renameat(&folder, name.as_c_str(), &target.folder, target.name.as_c_str())
                }
                // The system does nothing when both names are links to one file.
                Sameness::TwoNames => fs::unlinkat(&folder, name.as_c_str(), AtFlags::empty()),
                Sameness::OneName => {
                    let message = "both names are one and the same file: nothing is moved";
                    return Err(Error::new(ErrorKind::InvalidInput, message).with_path(to));
                }
                Sameness::Unknown => return refuse("it cannot be told whether both names are one"),
            }
        }
    };
    renamed.map_err(|errno| match errno {
        Errno::EXIST => appeared(to),
        errno => fail(errno),
    })?;
    target.done(root, &folder)
}

fn rename_folder(root: &Root, from: &Entry, to: &RelPath) -> Result<Entry> {
    let refuse = |kind, message| Err(Error::new(kind, message).with_path(to));
    if from.path.is_root() || to.is_root() {
        return refuse(ErrorKind::InvalidInput, "the root is not moved");
    }
    if to.is_within(&from.path) && *to != from.path {
        return refuse(ErrorKind::InvalidInput, "a folder cannot be moved into itself");
    }
    let (folder, name) = root
        .open_parent(&from.path, Way::Beneath)
        .map_err(|errno| root.error(errno, &from.path))?;
    let parent = from.path.parent().unwrap_or_else(RelPath::root);
    let seen = Folder::new(root, folder.as_fd(), &parent)
        .look(&name, from.path.clone())
        .map_err(|errno| root.error(errno, &from.path))?;
    if seen.entry.kind != EntryKind::Dir || seen.is_link {
        let error = crate::error::changed("it is no longer a folder");
        return Err(error.with_path(&from.path));
    }
    if *to == from.path {
        return Ok(seen.entry);
    }
    let target = Target::open(root, to)?;
    let fail = |errno| root.error(errno, to);
    if is_spelling_of(&folder, &seen.stat, &target, &from.path).map_err(fail)? {
        spelling::respell(target.folder.as_fd(), name_of(&from.path), name_of(to)).map_err(fail)?;
        return target.done(root, &folder);
    }
    match rename_new(&folder, &name, &target.folder, &target.name) {
        Ok(()) => target.done(root, &folder),
        Err(Errno::EXIST | Errno::NOTEMPTY | Errno::NOTDIR) => refuse(
            ErrorKind::AlreadyExists,
            "something has that name, and a folder replaces nothing",
        ),
        Err(errno) => Err(root.error(errno, to)),
    }
}

fn rename_new(
    from_folder: &OwnedFd,
    from: &CStr,
    to_folder: &OwnedFd,
    to: &CStr,
) -> io::Result<()> {
    match fs::renameat_with(from_folder, from, to_folder, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {}
        other => return other,
    }
    // The file system does not support this flag: the target is checked just before instead.
    match fs::statat(to_folder, to, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => fs::renameat(from_folder, from, to_folder, to),
        Ok(_) => Err(Errno::EXIST),
        Err(errno) => Err(errno),
    }
}

/// Is the target another spelling of the name `from`, which leads to `seen` in `folder`, on a disk that finds both
/// spellings?
fn is_spelling_of(
    folder: &OwnedFd,
    seen: &Stat,
    target: &Target<'_>,
    from: &RelPath,
) -> io::Result<bool> {
    let (old, new) = (name_of(from), name_of(target.path));
    if old == new || identity(&fs::fstat(folder)?) != identity(&fs::fstat(&target.folder)?) {
        return Ok(false);
    }
    let there = fs::statat(&target.folder, target.name.as_c_str(), AtFlags::SYMLINK_NOFOLLOW);
    if !there.is_ok_and(|there| identity(&there) == identity(seen)) {
        return Ok(false);
    }
    // Two names of one file, or one name in two spellings: the listing has only one of those.
    let readable =
        open_at(target.folder.as_fd(), b".", OFlags::RDONLY | OFlags::DIRECTORY, Way::Beneath)?;
    let listed = spelling::listed_as(readable.as_fd(), &[old.to_owned(), new.to_owned()])?;
    Ok(listed[0].is_some() && listed[0] == listed[1])
}

fn name_of(path: &RelPath) -> &str {
    path.name().unwrap_or_default()
}

/// Are these two hard links, and not one name in two spellings on a disk that ignores case?
fn are_two_names(left: &Stat, right: &Stat, from: &RelPath, to: &RelPath) -> bool {
    let spelling = |path: &RelPath| path.as_str().to_lowercase();
    // Without a number nothing is known to be one file.
    let is_numbered = left.st_ino != 0;
    is_numbered
        && identity(left) == identity(right)
        && left.st_nlink > 1
        && spelling(from) != spelling(to)
}

struct Target<'a> {
    folder: OwnedFd,
    name: std::ffi::CString,
    path: &'a RelPath,
}

impl<'a> Target<'a> {
    fn open(root: &Root, path: &'a RelPath) -> Result<Self> {
        let folder = root.make_folder(&path.parent().unwrap_or_else(RelPath::root))?;
        let name = system_name(path.name().unwrap_or_default())
            .map_err(|errno| root.error(errno, path))?;
        Ok(Target { folder, name, path })
    }

    fn done(self, root: &Root, from: &OwnedFd) -> Result<Entry> {
        let fail = |errno| root.error(errno, self.path);
        let forced =
            root.force_folder(self.folder.as_fd()).and_then(|()| root.force_folder(from.as_fd()));
        forced.map_err(|errno| not_forced("moved", self.path, errno))?;
        let parent = self.path.parent().unwrap_or_else(RelPath::root);
        Folder::new(root, self.folder.as_fd(), &parent)
            .look(&self.name, self.path.clone())
            .map(|seen| seen.entry)
            .map_err(fail)
    }
}
