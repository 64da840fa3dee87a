//! The trait that every place implements: a dozen methods that every remote has. Abilities that only some remotes have are
//! in [`crate::facets`]; [`crate::ask`] gives callers plain functions for both.
//!
//! A backend is opened at a *root* (a folder of a remote); all paths are relative to it. It knows nothing of jobs, plans or
//! the engine. Middleware is only ever a backend around a backend (see [`crate::layer`]).
//!
//! Three decisions shape the trait. `put` *pulls* from a source that can be opened again, so a retry can always start from
//! the beginning, and there is no writer object that can be left half-open. `read`, `delete`, `copy` and `rename` take the
//! [`Entry`] that was seen and not a path, so a remote that works with ids needs no second look-up, and knows which
//! version was seen. A listing is a stream whose end means *complete*. After an error it is not complete, and a caller must conclude nothing
//! from the entries that it lacks.
//!
//! All futures and streams may be dropped at any time. What holds after a drop is written at each method.

use std::fmt;

use async_trait::async_trait;

use crate::about::About;
use crate::entry::Entry;
use crate::entry_stream::EntryStream;
use crate::error::{Error, Result};
use crate::facets::Facets;
use crate::options::{ListOptions, Metadata, PutOptions, ReadOptions};
use crate::path::RelPath;
use crate::source::{Body, ByteStream};

/// A place that holds files.
#[async_trait]
pub trait Backend: fmt::Debug + Send + Sync + 'static {
    /// What this place is and what it can do. No I/O except to find out where it is; the same answer for the life of the
    /// backend.
    fn about(&self) -> &About;

    /// The optional abilities of this place. No I/O; the same answer for the life of the backend.
    fn facets(&self) -> &Facets {
        Facets::none()
    }

    /// What is at `path`. The root is a folder if it exists, and a *file* entry if the backend was opened at a file: the
    /// caller then opens the parent.
    ///
    /// Errors: `NotFound` when nothing is there.
    async fn stat(&self, path: &RelPath) -> Result<Entry>;

    /// The entries directly in the folder `dir`, complete or ending in an error. If several entries have one name, all
    /// are shown. Links that are neither followed nor kept, sockets and the like are shown as [`crate::EntryKind::Special`].
    ///
    /// Errors: `NotFound` when the folder is not there.
    fn list(&self, dir: &RelPath, options: ListOptions) -> EntryStream;

    /// The content of `entry`, or a range of it. A range must lie within the size.
    ///
    /// Errors, in the result or within the stream: `Changed` when the object is not the version in `entry`, also when
    /// it changes while it is read; `NotFound`; `Corrupt` when fewer or more bytes came than were asked for.
    async fn read(&self, entry: &Entry, options: ReadOptions) -> Result<ByteStream>;

    /// Stores `body` at `path` and returns what is there now, with every digest the remote reports. Folders above it are
    /// made as needed. Atomic: at any time, and after a failure or a drop, a reader finds the whole body or what was
    /// there before. A body that ends early or late fails with the source's error and stores nothing.
    ///
    /// Errors: `Changed` when the remote can see that `options.expect` does not hold; `CommitUnknown` when the
    /// completing request failed; `Quota`; `Unsupported` for bodies the capabilities exclude.
    async fn put(&self, path: &RelPath, body: Body, options: PutOptions) -> Result<Entry>;

    /// Removes files, and folders if they are empty, in their order: one result for each. Removing what is gone already is
    /// success. A folder can be removed by the same call as what is in it, if it comes later.
    ///
    /// Errors of an entry: `InvalidInput` for a folder that is not empty; `Changed` for a file that is not the version in the
    /// entry, if the remote can tell.
    ///
    /// CANCEL: when the future is dropped, some of them may be removed and others not.
    async fn delete(&self, entries: &[Entry]) -> Vec<Result<()>>;

    /// Makes a folder and those above it. A folder that is there already is success.
    ///
    /// With `mode` each folder that is made gets at most these permissions, also while it is being made
    /// ([`crate::MODE_MASK`]); its owner may always use it. Where no permissions are kept they do not matter.
    ///
    /// Errors: `AlreadyExists` when a file has that name.
    async fn make_dir(&self, _path: &RelPath, _mode: Option<u32>) -> Result<()> {
        Err(Error::unsupported("make folder"))
    }

    /// Copies a file within the remote, without moving its bytes through this machine. Replaces what is at `to`, as
    /// atomically as `put` does.
    async fn copy(&self, _from: &Entry, _to: &RelPath, _options: PutOptions) -> Result<Entry> {
        Err(Error::unsupported("copy"))
    }

    /// Moves a file or a folder within the remote. A file replaces what is at `to`; a folder does not.
    async fn rename(&self, _from: &Entry, _to: &RelPath) -> Result<Entry> {
        Err(Error::unsupported("rename"))
    }

    /// Sets time or permissions of an entry that exists, and returns what is there now. What [`Metadata`] does not name
    /// stays.
    ///
    /// The time: of a file, where [`crate::Capabilities::set_mtime`] says so; of a folder, which is taken as it is now, where
    /// [`crate::Capabilities::dir_times`] says so. The permissions: of a file, where they are kept beside it
    /// ([`crate::Capabilities::set_mode`]). On a disk ([`crate::Capabilities::narrow_mode`]) permissions that `metadata` does not
    /// have are taken away from a file or folder, and none are added. [`crate::Capabilities::metadata_cost`] says what it costs.
    ///
    /// Errors: `Changed` when it is not the version in `entry`; `Unsupported` where the capabilities do not say so.
    async fn set_metadata(&self, _entry: &Entry, metadata: &Metadata) -> Result<Entry> {
        Err(Error::unsupported(metadata.operation()))
    }

    /// Stores facts that the backend has not stored yet (times, permissions, digests; never content), and closes what it
    /// keeps open. A caller calls it at the end of a job or command, also after a failure. The backend can be used again
    /// afterwards, and finished again.
    async fn finish(&self) -> Result<()> {
        Ok(())
    }
}
