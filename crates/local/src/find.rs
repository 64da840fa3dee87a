//! Finds the file that an entry shows, if it is still that version.

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};

use ketch_core::{Entry, RelPath, Result};

use crate::beneath::Way;
use crate::entry::{Folder, Seen};
use crate::error::changed;
use crate::root::Root;
use crate::stat::is_version_of;

/// The name of a file that is still the version that was listed, in the folder that holds it.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) folder: OwnedFd,
    pub(crate) name: CString,
    pub(crate) seen: Seen,
}

/// Finds the file, or the kept link, that `known` shows.
///
/// Errors: `NotFound`; `Changed` when it is something else now or not that version.
pub(crate) fn find_file(root: &Root, known: &Entry) -> Result<Found> {
    let path = &known.path;
    let fail = |errno| root.error(errno, path);
    let parent = path.parent().unwrap_or_else(RelPath::root);
    let (folder, name) = root.open_parent(path, Way::Beneath).map_err(fail)?;
    let seen =
        Folder::new(root, folder.as_fd(), &parent).look(&name, path.clone()).map_err(fail)?;
    if seen.entry.kind != known.kind || !known.has_content() {
        return Err(changed("it is no longer what was listed").with_path(path));
    }
    if !is_version_of(known, &seen.stat) {
        return Err(changed("it is not the version that was listed").with_path(path));
    }
    Ok(Found { folder, name, seen })
}
