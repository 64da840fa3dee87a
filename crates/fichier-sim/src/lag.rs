//! Listings that lag behind: fresh files that do not show yet, removed ones that still do.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

use crate::behind::Behind;
use crate::store::FileRecord;

/// How many listings each lagging file still lags.
#[derive(Debug, Default)]
pub(crate) struct Lag {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    behind: Behind,
    hidden: HashMap<String, u32>,
    lingering: Vec<(FileRecord, u32)>,
    lingering_until: Vec<(FileRecord, Instant)>,
}

impl Lag {
    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets every listing of a folder show what was there a while ago.
    pub(crate) fn set_behind(&self, behind: Behind) {
        self.lock().behind = behind;
    }

    /// How long ago.
    pub(crate) fn behind(&self) -> Behind {
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

    /// Shows the removed file until then, and counts it for its folder.
    pub(crate) fn linger_until(&self, file: FileRecord, until: Instant) {
        self.lock().lingering_until.push((file, until));
    }

    /// Is a removed file still counted for the folder?
    pub(crate) fn counts(&self, folder: u64) -> bool {
        let now = Instant::now();
        let lingering = &self.lock().lingering_until;
        lingering.iter().any(|(file, until)| file.folder == Some(folder) && now < *until)
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
        let now = Instant::now();
        inner.lingering_until.retain(|(_, until)| now < *until);
        let is_in = |file: &FileRecord| {
            file.folder.is_some() && (folder.is_none() || file.folder == folder)
        };
        let shown = inner.lingering_until.iter().map(|(file, _)| file).filter(|file| is_in(file));
        files.extend(shown.cloned());
        inner.lingering.retain_mut(|(file, left)| {
            if is_in(file) {
                files.push(file.clone());
                *left = left.saturating_sub(1);
            }
            *left > 0
        });
    }
}
