//! Files that can be read by calls that block, because reading them costs no network.
//!
//! To hash or compare a small file takes a few system calls; to pass it from thread to thread, as the streams of
//! [`crate::Backend::read`] do, costs more than that. So a backend with local files also offers them as a [`Disk`], which a
//! caller uses on a thread that may block, for many files at a time. It promises the same as `read`: the version that was listed or
//! `Changed`, all bytes or an error.

use std::fmt;
use std::time::SystemTime;

use crate::entry::Entry;
use crate::error::Result;

/// The local files of a backend.
pub trait Disk: fmt::Debug + Send + Sync {
    /// Opens the file that `entry` shows. Blocks.
    ///
    /// Errors: as [`crate::Backend::read`]; `Unavailable` when too many files are open; a later try may succeed.
    fn open(&self, entry: &Entry) -> Result<Box<dyn DiskFile>>;

    /// Would every change to the content of `entry` at `time` or later show in its version? False while a change could
    /// hide in the resolution of the file system's clock, and when nothing is known about it. No I/O.
    fn is_settled(&self, entry: &Entry, time: SystemTime) -> bool;

    /// Does an equal version of a file prove equal content? Not on file systems whose change times can be set, follow the
    /// modification times, or come from a cache: there nothing is remembered about a file, and remembered digests are not
    /// used. May block for one call of the system, once.
    fn proves_versions(&self) -> bool;
}

/// An open file of a [`Disk`].
pub trait DiskFile: Send + Sync {
    /// Reads bytes from `offset` on into `buffer` and returns how many. Only at the end of the file are they fewer than
    /// `buffer` can hold. Blocks.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize>;

    /// Fails with `Changed` if the file changed since it was opened. The bytes that were read count only after this check.
    /// Blocks.
    fn check_unchanged(&self) -> Result<()>;
}
