//! Symbolic links that are kept: their content is the path they point to, as bytes.
//!
//! If nothing must be replaced, a link is made in one step under its name; otherwise it is made beside it and renamed over
//! what it replaces. Nothing is written or opened through a link, so its target does not matter here. A link cannot be
//! changed, only replaced, so its target is always read whole.

use std::ffi::{CStr, CString};
use std::os::fd::AsFd;
use std::sync::Arc;

use ketch_core::source::{collect, open_exact};
use ketch_core::{
    Body, Entry, EntryKind, Error, ErrorKind, Expect, Hint, PutOptions, RelPath, Result,
};
use rustix::fs::{self, AtFlags};
use rustix::io::{Errno, retry_on_intr};
use tokio_util::sync::CancellationToken;

use crate::beneath::system_name;
use crate::entry::{Folder, entry};
use crate::error::{changed, not_forced};
use crate::lenient::Refused;
use crate::names::{of_job, temporary};
use crate::options::Links;
use crate::root::{Place, Root, blocking};
use crate::stat::{kind_of, timestamps};
use crate::temp::{appeared, check_target, open_place};

/// The longest path a link can point to, in bytes.
const TARGET_MAX: usize = 4095;

/// Makes a link at `path` that points to what `body` says.
///
/// Errors: as [`crate::LocalBackend`]'s `put`; `Unsupported` where links are not kept; `InvalidInput` for a body that no link
/// can point to.
///
/// CANCEL: dropped before it has its name, there is no link.
pub(crate) async fn put(
    root: Arc<Root>,
    path: RelPath,
    body: Body,
    options: PutOptions,
) -> Result<Entry> {
    if root.options.links != Links::Keep {
        let message = "links are not kept here";
        return Err(Error::new(ErrorKind::Unsupported, message).with_hint(Hint::KeepLinks));
    }
    let target = collect(open_exact(&*body).await?, TARGET_MAX).await?;
    let refuse = |message| Err(Error::new(ErrorKind::InvalidInput, message).with_path(&path));
    if target.is_empty() {
        return refuse("a link cannot point to nothing");
    }
    let Ok(target) = CString::new(target.to_vec()) else {
        return refuse("a link cannot point to a path with a NUL in it");
    };
    let cancel = CancellationToken::new();
    let _stops_when_dropped = cancel.clone().drop_guard();
    blocking(move || make(&root, &path, &target, &options, &cancel)).await
}

fn make(
    root: &Root,
    path: &RelPath,
    target: &CStr,
    options: &PutOptions,
    cancel: &CancellationToken,
) -> Result<Entry> {
    let fail = |errno| root.error(errno, path);
    let place = open_place(root, path)?;
    let folder = place.descriptor.as_fd();
    let name = system_name(path.name().unwrap_or_default()).map_err(fail)?;
    check_target(root, folder, &name, path, &options.expect)?;
    let set_time = |name: &CStr| match options.mtime {
        Some(mtime) => {
            let times = timestamps(mtime);
            let set = fs::utimensat(folder, name, &times, AtFlags::SYMLINK_NOFOLLOW);
            root.allow(Refused::Times, set).map_err(fail)
        }
        None => Ok(()),
    };
    if matches!(options.expect, Expect::Absent) {
        check_place(root, &place, path, cancel)?;
        retry_on_intr(|| fs::symlinkat(target, folder, name.as_c_str())).map_err(|errno| {
            match errno {
                Errno::EXIST => appeared(path),
                errno => fail(errno),
            }
        })?;
        set_time(&name)?;
    } else {
        let own = own_name(&name, options);
        let own = CString::new(own).map_err(|_| fail(Errno::INVAL))?;
        make_beside(root, path, target, &place, &own)?;
        let renamed = set_time(&own)
            .and_then(|()| check_place(root, &place, path, cancel))
            .and_then(|()| check_target(root, folder, &name, path, &options.expect))
            .and_then(|_| {
                fs::renameat(folder, own.as_c_str(), folder, name.as_c_str()).map_err(fail)
            });
        if let Err(error) = renamed {
            if let Err(errno) = fs::unlinkat(folder, own.as_c_str(), AtFlags::empty()) {
                tracing::warn!(?path, name = ?own, %errno, "a part could not be removed");
            }
            return Err(error);
        }
    }
    root.force_folder(folder).map_err(|errno| not_forced("stored", path, errno))?;
    let parent = path.parent().unwrap_or_else(RelPath::root);
    let seen = Folder::new(root, folder, &parent).look(&name, path.clone()).map_err(fail)?;
    match kind_of(&seen.stat) == kind_of_link() {
        true => Ok(entry(path.clone(), EntryKind::Link, &seen.stat)),
        false => Err(changed("it was replaced at once").with_path(path)),
    }
}

fn kind_of_link() -> EntryKind {
    EntryKind::Special(ketch_core::Special::Symlink)
}

/// The same for all processes of a job, so that what a dead one left is found again.
fn own_name(name: &CStr, options: &PutOptions) -> Vec<u8> {
    match &options.checkpoint {
        Some(checkpoint) => of_job(name.to_bytes(), checkpoint.job).0,
        None => temporary(name.to_bytes(), fastrand::u32(..)),
    }
}

fn make_beside(
    root: &Root,
    path: &RelPath,
    target: &CStr,
    place: &Place,
    own: &CStr,
) -> Result<()> {
    let fail = |errno| root.error(errno, path);
    let folder = &place.descriptor;
    match retry_on_intr(|| fs::symlinkat(target, folder, own)) {
        // What a process of this job left that died in between.
        Err(Errno::EXIST) => {
            fs::unlinkat(folder, own, AtFlags::empty()).map_err(fail)?;
            retry_on_intr(|| fs::symlinkat(target, folder, own)).map_err(fail)
        }
        made => made.map_err(fail),
    }
}

/// Is the folder still where it was, and is the link still wanted?
fn check_place(
    root: &Root,
    place: &Place,
    path: &RelPath,
    cancel: &CancellationToken,
) -> Result<()> {
    if !root.is_in_place(place).map_err(|errno| root.error(errno, path))? {
        root.forget_folders();
        let message = "its folder was replaced by another meanwhile";
        return Err(changed(message).with_path(path));
    }
    if cancel.is_cancelled() { Err(Error::cancelled()) } else { Ok(()) }
}
