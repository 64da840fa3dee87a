//! One job at a time on one tree, across all processes of a machine.
//!
//! A lock is a file that is locked by the system for as long as its process lives, so the lock of a dead process is free.
//! The file names the process and the tree, so that a job inside or around a locked tree is refused as well.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use ketch_core::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use super::log::failed;

/// No lock file is longer.
const NOTE_LIMIT: u64 = 64 * 1024;

/// The contents of a lock file.
#[derive(Debug, Serialize, Deserialize)]
struct Holder {
    pid: u32,
    location: String,
}

/// A tree that no other process works on. Dropping it releases the lock.
#[derive(Debug)]
pub(crate) struct TreeLock {
    _file: File,
}

impl TreeLock {
    /// Locks the trees at `locations` (see [`ketch_core::About::location`]), with the files of all locks in `folder`. The trees
    /// of one job may be the same, or inside one another.
    ///
    /// Errors: `InvalidInput` that names the process which works on such a tree, on one inside it or on one around it.
    pub(crate) fn take_all(folder: &Path, locations: &[&str]) -> Result<Vec<Self>> {
        let mut locks = Vec::new();
        for (index, location) in locations.iter().enumerate() {
            let own = &locations[..index];
            if !own.contains(location) {
                locks.push(TreeLock::take(folder, location, own)?);
            }
        }
        Ok(locks)
    }

    /// Locks one tree, `held` being what the same job has locked.
    fn take(folder: &Path, location: &str, held: &[&str]) -> Result<Self> {
        fs::create_dir_all(folder).map_err(failed)?;
        let own = folder.join(file_name(location));
        let mut file = open(&own)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(in_use(read(&mut file), location)),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let note = Holder { pid: std::process::id(), location: location.to_owned() };
        let text = serde_json::to_vec(&note)
            .map_err(|error| Error::new(ErrorKind::Io, "a lock").with_source(error))?;
        file.set_len(0).and_then(|()| file.write_all(&text)).map_err(failed)?;
        // ORDER: a job writes its own lock first, so of two jobs that start at once at least one sees the other.
        for other in fs::read_dir(folder).map_err(failed)? {
            let path = other.map_err(failed)?.path();
            let is_of_this_job = || held.iter().any(|held| folder.join(file_name(held)) == path);
            if path != own && !is_of_this_job() {
                refuse_overlap(&path, location)?;
            }
        }
        Ok(TreeLock { _file: file })
    }
}

fn refuse_overlap(path: &PathBuf, location: &str) -> Result<()> {
    // A lock file that cannot be read names no process.
    let Ok(mut file) = File::open(path) else { return Ok(()) };
    let Some(holder) = read(&mut file) else { return Ok(()) };
    let overlaps = is_inside(location, &holder.location) || is_inside(&holder.location, location);
    if overlaps && matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)) {
        return Err(in_use(Some(holder), location));
    }
    Ok(())
}

/// Is `inner` below `outer`?
fn is_inside(inner: &str, outer: &str) -> bool {
    inner
        .strip_prefix(outer)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || outer.ends_with('/'))
}

fn file_name(location: &str) -> String {
    format!("{}.lock", &blake3::hash(location.as_bytes()).to_hex()[..32])
}

fn open(path: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.open(path).map_err(failed)
}

fn read(file: &mut File) -> Option<Holder> {
    let mut text = Vec::new();
    file.seek(SeekFrom::Start(0)).ok()?;
    file.take(NOTE_LIMIT).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

fn in_use(holder: Option<Holder>, location: &str) -> Error {
    let text = match holder {
        Some(Holder { pid, location: other }) if other == location => {
            format!(
                "in use by process {pid}: another job works on this place (wait for it, or end it)"
            )
        }
        Some(Holder { pid, location: other }) => {
            format!("in use by process {pid}: its job works on {other} (wait for it, or end it)")
        }
        None => "in use by another process: its job works on this place".to_owned(),
    };
    Error::new(ErrorKind::InvalidInput, text).with_operation("lock")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_that_is_worked_on_is_refused_and_so_is_one_inside_or_around_it() {
        let scratch = tempfile::tempdir().expect("scratch");
        let take = |location: &str| TreeLock::take_all(scratch.path(), &[location]);
        let held = take("local:/a/b").expect("free");
        for busy in ["local:/a/b", "local:/a/b/c", "local:/a", "local:"] {
            let error = take(busy).expect_err("in use");
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            let pid = format!("in use by process {}", std::process::id());
            assert!(error.message().contains(&pid), "{error}");
        }
        for free in ["local:/a/bc", "local:/b", "other:/a/b"] {
            take(free).expect("free");
        }
        drop(held);
        take("local:/a").expect("free again");
    }

    #[test]
    fn the_trees_of_one_job_do_not_exclude_each_other() {
        let scratch = tempfile::tempdir().expect("scratch");
        for locations in [["local:/a/b", "local:/a"], ["local:/a", "local:/a/b"], ["local:/a"; 2]] {
            let held = TreeLock::take_all(scratch.path(), &locations).expect("free");
            TreeLock::take_all(scratch.path(), &["local:/a/b"]).expect_err("in use");
            drop(held);
        }
    }
}
