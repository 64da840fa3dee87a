//! One look at the whole account in place of a listing of each of many folders, where that saves calls.

use std::sync::Arc;

use ketch_core::{RelPath, Result};

use crate::account::Account;
use crate::items::FolderListing;
use crate::known::{Place, saves_calls};

/// What the folder at `path` holds, as was known and has just been confirmed; `None`: list it.
///
/// At most one look is made in an hour, by all processes of the machine. Whatever goes wrong costs that look and nothing
/// else: the folders are listed then.
pub(crate) async fn recall(
    account: &Arc<Account>,
    path: &RelPath,
) -> Option<(u64, Arc<FolderListing>)> {
    let known = &account.tree.cache.known;
    if !known.is_on() {
        return None;
    }
    if let Some(seen) = known.seen(path) {
        return Some(seen);
    }
    // A task that comes while another one looks waits for what that one sees.
    let mut is_over = account.look.lock().await;
    if let Some(seen) = known.seen(path) {
        return Some(seen);
    }
    let folder = account.tree.remembered(path)?;
    let (places, files) = known.below(path, folder);
    if *is_over || !saves_calls(places.len(), files, 0) {
        return None;
    }
    *is_over = true;
    match look(account, &places).await {
        Ok(confirmed) => {
            tracing::debug!(confirmed, of = places.len(), "the whole account was looked at");
        }
        Err(error) => tracing::debug!(%error, "the whole account cannot be looked at"),
    }
    known.seen(path)
}

async fn look(account: &Arc<Account>, places: &[Place]) -> Result<usize> {
    let known = &account.tree.cache.known;
    let Some(shown) = account.api.account_ls().await? else { return Ok(0) };
    let unexplained = known.unexplained(&shown);
    if !saves_calls(places.len(), shown.len().max(1), unexplained.len()) {
        return Ok(0);
    }
    for url in unexplained {
        // A file that does not say where it is may be anywhere.
        let Some(folder) = account.api.file_info(&url).await?.folder_id else { return Ok(0) };
        known.place(&url, folder);
    }
    let (proof, count) = known.confirm(places, &shown);
    let Some(((path, folder), url)) = proof else {
        known.distrust(&[]);
        return Ok(0);
    };
    let info = account.api.file_info(&url).await;
    if !info.is_ok_and(|info| info.folder_id == Some(folder) && info.is_at(&path)) {
        known.distrust(places);
        return Ok(0);
    }
    Ok(count)
}
