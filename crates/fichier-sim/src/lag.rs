//! Listings that lag behind: fresh files that do not show yet, removed ones that still do.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::store::FileRecord;

/// How many listings each lagging file still lags.
#[derive(Debug, Default)]
pub(crate) struct Lag {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    behind: Duration,
    hidden: HashMap<String, u32>,
    lingering: Vec<(FileRecord, u32)>,
}

impl Lag {
    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets every listing of a folder show what was there so long ago.
    pub(crate) fn set_behind(&self, behind: Duration) {
        self.lock().behind = behind;
    }

    /// How long ago.
    pub(crate) fn behind(&self) -> Duration {
        self.lock().behind
    }

    /// Leaves the file out of its next listings.
    pub(crate) fn hide(&self, id: &str, listings: u32) {
        self.lock().hidden.insert(id.to_owned(), listings);
    }

    /// Shows the removed file in the next listings of its folder.
    pub(crate) fn linger(&self, file: FileRecord, listings: u32) {
        self.lock().lingering.push((file, listings));
    }

    /// What a listing shows instead of the truth; `folder` is `None` for the whole account.
    pub(crate) fn apply(&self, folder: Option<u64>, files: &mut Vec<FileRecord>) {
        let mut inner = self.lock();
        if !inner.hidden.is_empty() {
            files.retain(|file| match inner.hidden.get_mut(&file.id) {
                Some(left) if *left > 0 => {
                    *left -= 1;
                    false
                }
                Some(_) | None => true,
            });
            inner.hidden.retain(|_, left| *left > 0);
        }
        inner.lingering.retain_mut(|(file, left)| {
            if file.folder.is_some() && (folder.is_none() || file.folder == folder) {
                files.push(file.clone());
                *left = left.saturating_sub(1);
            }
            *left > 0
        });
    }
}
