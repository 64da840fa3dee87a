//! The place a file goes to, what is there before, and how that is replaced.

use std::sync::Arc;

use ketch_core::{Digest, Error, ErrorKind, RelPath, Result, Retry};

use crate::account::Account;
use crate::items::{Change, FileItem, FolderListing};
use tokio::time::Instant;

use crate::evidence::{Before, Ground, Removal};
use crate::note::UploadNote;
use crate::{gather, names};

/// How often the removal of an old version is tried.
const REMOVE_ATTEMPTS: usize = 4;

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
    /// Makes the folders above `path` and finds out what is there.
    pub(crate) async fn new(account: &Arc<Account>, path: &RelPath, old: Old) -> Result<Target> {
        let (Some(parent), Some(name)) = (path.parent(), path.name()) else {
            let message = "the top of the account is a folder, not a file";
            return Err(Error::new(ErrorKind::InvalidInput, message));
        };
        let remote_name = names::to_remote(name)?;
        let folder = account.tree.ensure(&account.api, &parent).await?;
        // Of several folders of one name it is the one that the old version is in.
        let folder = match &old {
            Old::At(place, _) if account.tree.twins(&parent).contains(place) => *place,
            _ => folder,
        };
        let known = match &old {
            Old::Known(urls) => urls.clone(),
            Old::At(_, url) => vec![url.clone()],
            Old::Unknown => {
                let life = account.api.pacer.listing_life();
                let listing = account.tree.listing(&account.api, folder, life).await?;
                if listing.folder(name).is_some() {
                    let message = "a folder of that name is there";
                    return Err(Error::new(ErrorKind::AlreadyExists, message));
                }
                listing.files(name).into_iter().map(|file| file.url.clone()).collect()
            }
        };
        // What should have gone with an earlier version goes with this one.
        let mut known: Vec<String> = known;
        known.extend(account.owed.named(folder, name));
        known.sort_unstable();
        known.dedup();
        let before = Before::of(account, folder);
        let (name, at) = (name.to_owned(), parent);
        Ok(Target { folder, name, remote_name, old, known, at, before })
    }

    /// Adds addresses that are there before.
    pub(crate) fn learn(&mut self, urls: impl IntoIterator<Item = String>) {
        for url in urls {
            if !self.known.contains(&url) {
                self.known.push(url);
            }
        }
    }

    /// Enters the new file, which has been verified, and removes what it replaces.
    pub(crate) async fn replace_old(
        &self,
        account: &Arc<Account>,
        file: &FileItem,
        upload_note: &UploadNote,
    ) -> Result<()> {
        let mut old = self.known.clone();
        match self.old {
            Old::Unknown => {
                // What another task of ours stored under this name meanwhile is replaced as well.
                let others = account.tree.cache.replace(self.folder, file.clone());
                old.extend(others.into_iter().map(|other| other.url));
            }
            Old::Known(_) | Old::At(..) => {
                account.tree.cache.change(self.folder, Change::AddFile(file.clone()));
            }
        }
        old.sort();
        old.dedup();
        old.retain(|url| *url != file.url);
        if old.is_empty() {
            return Ok(());
        }
        // ORDER: from here on an old version may be gone, so the new one must be known to be good.
        upload_note.stored(&file.url, &old).await?;
        for url in &old {
            remove_old(account, self.removal(url, file)).await?;
        }
        Ok(())
    }

    /// The removal of what was sent, with `size`, and is at `url` in `folder` now.
    pub(crate) fn sent(&self, folder: u64, url: &str, size: u64) -> Removal {
        let ground = Ground::Sent { size, before: self.before.clone() };
        let (url, at) = (url.to_owned(), Some(self.at.clone()));
        Removal { url, folder, name: self.name.clone(), at, ground }
    }

    /// The removal of an old version at `url` that `file` has taken the place of.
    fn removal(&self, url: &str, file: &FileItem) -> Removal {
        let ground = Ground::Replaced { by: file.url.clone(), size: file.size };
        let (url, at) = (url.to_owned(), Some(self.at.clone()));
        Removal { url, folder: self.folder, name: self.name.clone(), at, ground }
    }

    /// Looks in a listing that is younger than `asked` for a file of this name and content that was not there before and is
    /// `not` that one.
    pub(crate) async fn find_new(
        &self,
        account: &Arc<Account>,
        size: u64,
        digest: Option<&Digest>,
        not: Option<&str>,
        asked: Instant,
    ) -> Result<Option<FileItem>> {
        let listing = account.tree.listing(&account.api, self.folder, asked.elapsed()).await?;
        Ok(self.new_in(&listing, size, digest, not))
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

/// Removes a version that has been replaced. Sending the new one again would not help, so the error says not to.
async fn remove_old(account: &Arc<Account>, removal: Removal) -> Result<()> {
    let (folder, url) = (removal.folder, removal.url.clone());
    let mut waits = crate::api::polls(&account.api.settings).take(REMOVE_ATTEMPTS - 1);
    loop {
        match gather::remove(account, removal.clone()).await {
            Ok(()) => {
                account.tree.cache.change(folder, Change::RemoveFile(url));
                return Ok(());
            }
            // It was moved or renamed by others, so it is not beside the new one any more.
            Err(error) if error.kind() == ErrorKind::Changed => {
                tracing::info!(%error, "an old version is not where it was");
                account.tree.cache.forget(folder);
                return Ok(());
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                account.tree.forget_folder(folder);
                account.tree.cache.forget(folder);
                let message = format!(
                    "the new version is stored beside the old one, and {}",
                    error.message()
                );
                return Err(Error::new(ErrorKind::Changed, message));
            }
            Err(error) => match waits.next() {
                Some(wait) if error.retry() == Retry::Backoff => {
                    tokio::time::sleep(wait).await;
                }
                _ => {
                    account.owed.add(&removal);
                    account.tree.cache.forget(folder);
                    let cause = error.message();
                    let message = format!(
                        "the new version is stored, the old one is still there under the same name: {cause} (the next job here removes it)"
                    );
                    // A pause that is asked for, and a key that is dead, are what they are also here.
                    let kind = match error.kind() {
                        kind @ (ErrorKind::Throttled | ErrorKind::Unauthenticated) => kind,
                        _ => ErrorKind::Unavailable,
                    };
                    return Err(Error::new(kind, message));
                }
            },
        }
    }
}
