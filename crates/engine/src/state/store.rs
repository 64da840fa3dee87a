//! Opens the databases, and says why one cannot be opened.

use std::fs;
use std::path::{Path, PathBuf};

use redb::{Builder, Database, DatabaseError};

/// Why a database is not used. None of these stops a job.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has the file open.
    #[error("{0} is in use by another process")]
    InUse(PathBuf),
    /// An error of the disk, missing permissions, or a file that cannot be used even after it was made anew.
    #[error("{path} cannot be used: {why}")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// One line.
        why: String,
    },
}

/// Opens the database at `path`, made if it is not there, with `cache_bytes` of memory. A damaged file is replaced by a new
/// one: its contents can be computed again.
pub(super) fn open(path: &Path, cache_bytes: usize) -> Result<Database, OpenError> {
    let unusable = |why: &dyn std::fmt::Display| OpenError::Unusable {
        path: path.to_owned(),
        why: why.to_string(),
    };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|error| unusable(&error))?;
    }
    let create = || Builder::new().set_cache_size(cache_bytes).create(path);
    match create() {
        Ok(database) => Ok(database),
        Err(DatabaseError::DatabaseAlreadyOpen) => Err(OpenError::InUse(path.to_owned())),
        Err(error) => {
            tracing::debug!(path = %path.display(), %error, "made anew");
            fs::remove_file(path).map_err(|_| unusable(&error))?;
            create().map_err(|error| unusable(&error))
        }
    }
}
