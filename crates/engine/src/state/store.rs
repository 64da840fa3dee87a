//! How the databases are opened, and what it means when they cannot be.

use std::fs;
use std::path::{Path, PathBuf};

use redb::{Builder, Database, DatabaseError};

/// Why a database is not used. None of it stops a job.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// One process owns the file.
    #[error("{0} is in use by another process")]
    InUse(PathBuf),
    /// The disk, or rights, or a file that even made anew cannot be used.
    #[error("{path} cannot be used: {why}")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// One line.
        why: String,
    },
}

/// Opens the database at `path`, made if it is not there, with `cache_bytes` of memory. A damaged file is made anew: what
/// was in it can be found out again.
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
