//! Looks for uploads whose outcome is unknown (`lost`), and finishes those that arrived.

use std::sync::Arc;

use ketch_core::{ErrorKind, RelPath, Result};
use tokio::time::Instant;

use crate::account::Account;
use crate::items::FileItem;
use crate::lost::Pending;
use crate::note::UploadNote;
use crate::recent::LAG;

/// How many fresh listings are asked for before an upload is taken as not stored.
const LOOKS: usize = 3;

impl Pending {
    /// The upload, looked for until no listing can lag behind it any more: what is sent again too early is there twice.
    pub(crate) async fn find_late(&self, account: &Arc<Account>) -> Result<Option<FileItem>> {
        let settings = &account.api.settings;
        let mut waits = crate::api::polls(settings);
        loop {
            if let Some(file) = self.told(account).await? {
                return Ok(Some(file));
            }
            if let Some(file) = self.find(account, 1).await? {
                return Ok(Some(file));
            }
            match waits.next() {
                Some(wait) if self.since.elapsed() < settings.scaled(LAG) => {
                    tokio::time::sleep(wait).await;
                }
                _ => return Ok(None),
            }
        }
    }

    /// The upload as its node reports on it now, if that is what was sent.
    async fn told(&self, account: &Arc<Account>) -> Result<Option<FileItem>> {
        let Some(upload) = &self.upload else { return Ok(None) };
        let told = account.reports.again(&account.api, upload).await?;
        for link in told.links {
            let url = crate::links::without_tail(link.download);
            if self.target.known.contains(&url) {
                continue;
            }
            // A report that names another file is why it is looked for.
            let Ok(info) = account.api.file_info(&url).await else { continue };
            let hash = info.checksum.as_deref().and_then(crate::links::digest);
            let is_it = info.is_file(self.target.folder, &self.target.name) == Some(true)
                && info.size == Some(self.size)
                && hash.as_ref() == Some(&self.digest);
            if is_it {
                let (name, size) = (self.target.name.clone(), Some(self.size));
                return Ok(Some(FileItem { name, url, size, date: None, hash }));
            }
        }
        Ok(None)
    }

    /// The upload in a fresh listing, asked for `looks` times.
    pub(crate) async fn find(
        &self,
        account: &Arc<Account>,
        looks: usize,
    ) -> Result<Option<FileItem>> {
        let mut waits = crate::api::polls(&account.api.settings).take(looks.saturating_sub(1));
        // Files that were lost together share the looks.
        let mut asked = self.since;
        loop {
            let digest = Some(&self.digest);
            match self.target.find_new(account, self.size, digest, None, asked).await {
                Ok(None) => {}
                // The folder is gone, and what was in it.
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Denied) => {
                    return Ok(None);
                }
                other => return other,
            }
            let Some(wait) = waits.next() else { return Ok(None) };
            asked = Instant::now();
            tokio::time::sleep(wait).await;
        }
    }
}

/// Looks for an upload to `path` whose outcome is unknown, and finishes it. `None`: there is none, or it is not to be seen.
///
/// CANCEL: dropped between the removals of old versions, the upload stays remembered and the next look goes on.
pub(crate) async fn finish(
    account: &Arc<Account>,
    path: &RelPath,
) -> Result<Option<(u64, FileItem)>> {
    let Some(pending) = account.lost.of(path) else { return Ok(None) };
    let Some(file) = pending.find(account, LOOKS).await? else { return Ok(None) };
    pending.target.replace_old(account, &file, &UploadNote::new(None)).await?;
    account.lost.remove(&pending);
    Ok(Some((pending.target.folder, file)))
}
