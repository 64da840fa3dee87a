//! A file that is to be removed, and why it may be. Plain data; what is looked at before is in `evidence`.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ketch_core::RelPath;

use crate::items::FolderListing;

/// How far the clock of the server may be behind this machine's.
const CLOCK_SKEW: Duration = Duration::from_secs(120);

/// A file that is to be removed.
#[derive(Debug, Clone)]
pub(crate) struct Removal {
    pub(crate) url: String,
    /// Where it is, and under which name in core form.
    pub(crate) folder: u64,
    pub(crate) name: String,
    /// The path at which the folder is meant to be, where that is known: others move folders, which keep their numbers.
    pub(crate) at: Option<RelPath>,
    pub(crate) ground: Ground,
}

/// Why a file may be removed.
#[derive(Debug, Clone)]
pub(crate) enum Ground {
    /// A listing showed it there.
    Listed,
    /// A new version took its place: the address of that one, which must be there, and its size.
    Replaced { by: String, size: Option<u64> },
    /// It was sent to that place.
    Sent { size: u64, before: Before },
}

/// What a folder held before a file was sent to it.
#[derive(Debug, Clone)]
pub(crate) struct Before {
    /// The last listing of it, if there was one.
    pub(crate) listing: Option<Arc<FolderListing>>,
    /// When that was.
    pub(crate) since: Option<SystemTime>,
}

impl Before {
    /// Has the file at `url`, of which 1fichier says that it was sent at `date`, appeared since?
    pub(crate) fn lacks(&self, url: &str, date: Option<SystemTime>) -> bool {
        if let Some(listing) = &self.listing {
            return !listing.files.iter().any(|file| file.url == url);
        }
        let (Some(since), Some(date)) = (self.since, date) else { return false };
        since.checked_sub(CLOCK_SKEW).is_some_and(|since| date >= since)
    }
}
