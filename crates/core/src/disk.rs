//! Files that can be read by calls that block, because reading them costs no network.
//!
//! Hashing or comparing a tree of small files is a few system calls a file; the streams of [`crate::Backend::read`] cost more
//! than that in hops between threads. A backend that has its files at hand therefore also gives them as a [`Disk`], which
//! is used on a thread that may block, for many files at a time. The promises are those of `read`: the version that was
//! listed or `Changed`, all bytes or an error.

use std::fmt;
use std::time::SystemTime;

use crate::entry::Entry;
use crate::error::Result;

/// The files of a backend, at hand.
pub trait Disk: fmt::Debug + Send + Sync {
    /// Opens the file that `entry` shows. Blocks.
    ///
    /// Errors: as [`crate::Backend::read`]; `Unavailable` when too many files are open, which another try later may cure.
    fn open(&self, entry: &Entry) -> Result<Box<dyn DiskFile>>;

    /// Would every change to the content of `entry` at `time` or later show in its version? False while a change could
    /// hide in the resolution of the file system's clock, and when nothing is known about it. No I/O.
    fn is_settled(&self, entry: &Entry, time: SystemTime) -> bool;

    /// Does an equal version of a file prove equal content at all? Not on file systems whose change times can be set, or follow
    /// the modification times, or come from a cache: then nothing is remembered of a file, and nothing that was is believed.
    /// May block for one call of the system, once.
    fn proves_versions(&self) -> bool;
}

/// An open file of a [`Disk`].
pub trait DiskFile: Send + Sync {
    /// Reads bytes from `offset` on into `buffer` and says how many; fewer than there is room for only at the end of the
    /// file. Blocks.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize>;

    /// Fails with `Changed` when the file is not what it was when it was opened. What was read counts only after this.
    /// Blocks.
    fn check_unchanged(&self) -> Result<()>;
}
