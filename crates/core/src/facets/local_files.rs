//! Lets the system itself copy or move files between two places on this machine's disks.

use std::fmt;
use std::path::PathBuf;

use async_trait::async_trait;

use crate::entry::Entry;
use crate::error::Result;
use crate::options::PutOptions;
use crate::path::RelPath;

/// A file, in a form by which every place on this machine's disks can find it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalFile {
    /// The name, in messages, of the place that listed it.
    pub place: String,
    /// The folder of that place.
    pub folder: PathBuf,
    /// Does that place follow symbolic links?
    pub follows_links: bool,
    /// Do files keep their inode numbers there?
    pub has_numbers: bool,
    /// The file, as that place listed it.
    pub entry: Entry,
}

/// A place on a disk of this machine.
#[async_trait]
pub trait LocalFiles: fmt::Debug + Send + Sync + 'static {
    /// Describes `entry`, which this place listed, to another place of this machine.
    fn as_local_file(&self, entry: &Entry) -> LocalFile;

    /// As [`crate::Backend::copy`], from another place of this machine.
    async fn copy_from(&self, from: &LocalFile, to: &RelPath, options: PutOptions)
    -> Result<Entry>;

    /// Moves a file from its place to `to` here, in one step (a rename). It stays the same object, with its other names, its owner
    /// and all its attributes, and takes no space. `options.expect` says what may be replaced.
    ///
    /// Errors: `Unsupported` when it cannot be done in one step, and then nothing has changed; `Changed` when either file is not
    /// the version that was listed.
    async fn take(&self, from: &LocalFile, to: &RelPath, options: PutOptions) -> Result<Entry>;
}
