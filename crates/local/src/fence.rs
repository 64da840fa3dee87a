//! The folders of the other side of a job: no followed link may lead to them, into them, or above them.
//!
//! Folders are compared by device and inode, so that no other spelling of a path gets by.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{self, Mode, OFlags};
use rustix::io::{self, retry_on_intr};

use crate::stat::identity;

/// How many folders above one are looked at.
const ABOVE_MAX: usize = 4096;

/// Does a link whose target is the folder `target` lead to one of the folders of `fence`? None of them need exist: then
/// only the folders it would be made in count. What is in `root`, the own side, is not of the other one merely because the
/// other contains both.
pub(crate) fn leads_to(fence: &[PathBuf], root: &Path, target: OwnedFd) -> io::Result<bool> {
    let own = identity(&fs::fstat(&target)?);
    let above_target = climb(target)?;
    let identity_of = |path: &Path| fs::stat(path).ok().map(|stat| identity(&stat));
    // The nearer of the two sides that contain the target is the one it belongs to.
    let distance = |path: &Path| {
        let wanted = identity_of(path)?;
        above_target.iter().position(|found| *found == wanted)
    };
    let root = distance(root).unwrap_or(usize::MAX);
    Ok(fence.iter().any(|folder| {
        let is_above = || folder.ancestors().filter_map(identity_of).any(|found| found == own);
        let is_inside = || distance(folder).is_some_and(|fence| fence < root);
        is_above() || is_inside()
    }))
}

/// The folders above `folder`, up to that of the system or to the first that may not be entered.
pub(crate) fn climb(mut folder: OwnedFd) -> io::Result<Vec<(u64, u64)>> {
    let mut found = Vec::new();
    let mut last = identity(&fs::fstat(&folder)?);
    for _ in 0..ABOVE_MAX {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        // What may not be entered cannot be reached by a link either.
        let up = retry_on_intr(|| fs::openat(folder.as_fd(), c"..", flags, Mode::empty()));
        let Ok(up) = up else { break };
        let next = identity(&fs::fstat(&up)?);
        if next == last {
            break;
        }
        found.push(next);
        (folder, last) = (up, next);
    }
    Ok(found)
}
