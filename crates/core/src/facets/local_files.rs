//! Files that one place of this machine's disks hands to another one, so that the system copies or moves them itself.

use std::fmt;
use std::path::PathBuf;

use async_trait::async_trait;

use crate::entry::Entry;
use crate::error::Result;
use crate::options::PutOptions;
use crate::path::RelPath;

/// A file as every place of this machine's disks can find it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalFile {
    /// What messages call the place that listed it.
    pub place: String,
    /// The folder that place is.
    pub folder: PathBuf,
    /// That place follows symbolic links.
    pub follows_links: bool,
    /// The numbers of files mean something there (inodes that stay).
    pub has_numbers: bool,
    /// The file, as that place listed it.
    pub entry: Entry,
}

/// A place whose files are files of this machine.
#[async_trait]
pub trait LocalFiles: fmt::Debug + Send + Sync + 'static {
    /// `entry`, which this place listed, for another place of this machine.
    fn as_local_file(&self, entry: &Entry) -> LocalFile;

    /// As [`crate::Backend::copy`], from another place of this machine.
    async fn copy_from(&self, from: &LocalFile, to: &RelPath, options: PutOptions)
    -> Result<Entry>;

    /// Takes a file away from its place and gives it the name `to` here, in one step: it stays the same object, with its other
    /// names, its owner and everything else it has, and needs no room. `options.expect` says what may be replaced.
    ///
    /// Errors: `Unsupported` when it cannot be done in one step, and then nothing has changed; `Changed` when either file is not
    /// the version that was listed.
    async fn take(&self, from: &LocalFile, to: &RelPath, options: PutOptions) -> Result<Entry>;
}
