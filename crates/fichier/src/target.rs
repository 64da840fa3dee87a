//! The place a file goes to, what is there before, and how that is replaced.

use ketch_core::{Digest, RelPath};

use crate::items::{FileItem, FolderListing};
use crate::removal::{Before, Ground, Removal};

/// What is at the path before.
#[derive(Debug, Clone)]
pub(crate) enum Old {
    /// The folder must be listed to know.
    Unknown,
    /// These addresses, perhaps none.
    Known(Vec<String>),
    /// This address, in the folder of that number.
    At(u64, String),
}

/// Where a file goes.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) folder: u64,
    pub(crate) name: String,
    pub(crate) remote_name: String,
    pub(crate) old: Old,
    /// The addresses that are there before, as far as they are known.
    pub(crate) known: Vec<String>,
    /// The path of its folder.
    pub(crate) at: RelPath,
    /// What its folder held before.
    pub(crate) before: Before,
}

impl Target {
    /// Adds addresses that are there before.
    pub(crate) fn learn(&mut self, urls: impl IntoIterator<Item = String>) {
        for url in urls {
            if !self.known.contains(&url) {
                self.known.push(url);
            }
        }
    }

    /// The removal of what was sent, with `size`, and is at `url` in `folder` now.
    pub(crate) fn sent(&self, folder: u64, url: &str, size: u64) -> Removal {
        let ground = Ground::Sent { size, before: self.before.clone() };
        let (url, at) = (url.to_owned(), Some(self.at.clone()));
        Removal { url, folder, name: self.name.clone(), at, ground }
    }

    /// The removal of an old version at `url` that `file` has taken the place of.
    pub(crate) fn removal(&self, url: &str, file: &FileItem) -> Removal {
        let ground = Ground::Replaced { by: file.url.clone(), size: file.size };
        let (url, at) = (url.to_owned(), Some(self.at.clone()));
        Removal { url, folder: self.folder, name: self.name.clone(), at, ground }
    }

    /// The same in a listing that is there already.
    pub(crate) fn new_in(
        &self,
        listing: &FolderListing,
        size: u64,
        digest: Option<&Digest>,
        not: Option<&str>,
    ) -> Option<FileItem> {
        let is_it = |file: &&FileItem| {
            file.size == Some(size)
                && file.hash.as_ref() == digest
                && digest.is_some()
                && not != Some(file.url.as_str())
                && !self.known.contains(&file.url)
        };
        listing.files(&self.name).into_iter().find(is_it).cloned()
    }
}
