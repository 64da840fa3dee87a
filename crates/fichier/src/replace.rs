//! How a place is made ready for a file, and how what was there is replaced by it.

use std::sync::Arc;

use ketch_core::{Digest, Error, ErrorKind, RelPath, Result, Retry};
use tokio::time::Instant;

use crate::account::Account;
use crate::items::{Change, FileItem};
use crate::note::UploadNote;
use crate::removal::{Before, Removal};
use crate::target::{Old, Target};
use crate::{gather, names};

/// How often the removal of an old version is tried.
const REMOVE_ATTEMPTS: usize = 4;

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
                return Err(Error::new(ErrorKind::Changed, message).with_hint_of(&error));
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
                    return Err(Error::new(kind, message).with_hint_of(&error));
                }
            },
        }
    }
}
