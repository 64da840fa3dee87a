//! Pays what is owed: hides and removes the old versions that are on record (`owed`).

use std::sync::Arc;

use ketch_core::{Error, ErrorKind, RelPath, Result};

use crate::account::Account;
use crate::gather;
use crate::items::{Change, FolderListing};
use crate::removal::{Ground, Removal};

/// Takes the old versions out of listings whose removal is owed, and removes them first if that `may_change` anything.
pub(crate) async fn hide(
    account: &Arc<Account>,
    listings: &mut [(u64, Arc<FolderListing>)],
    may_change: bool,
) {
    for (folder, listing) in listings {
        let hidden = account.owed.hidden(*folder, listing);
        if hidden.is_empty() {
            continue;
        }
        if may_change && let Err(error) = pay(account, *folder, None).await {
            tracing::warn!(%error, "a removal that is owed was refused again");
        }
        Arc::make_mut(listing).files.retain(|file| !hidden.contains(&file.url));
    }
}

/// Removes the old versions in `folder` whose removal is owed, or only those of `name`. What is refused again stays owed; a
/// debt that a look does not confirm, or whose new version is not there any more, is none.
///
/// Errors: never `NotFound`: a folder that was moved is `Changed`, and its debts stay.
pub(crate) async fn pay(account: &Arc<Account>, folder: u64, name: Option<&str>) -> Result<()> {
    let mut debts = account.owed.of(folder);
    debts.retain(|debt| name.is_none_or(|name| debt.name == name));
    if debts.is_empty() {
        return Ok(());
    }
    let api = &account.api;
    let listing = account.tree.listing(api, folder, api.pacer.listing_life()).await;
    let listing = listing.map_err(|refusal| kept(refusal.into()))?;
    let listing = &listing;
    let removals = debts.into_iter().map(|debt| async move {
        if !listing.files.iter().any(|file| file.url == debt.by) {
            tracing::info!(name = debt.name, "the new version is gone, so the old one stays");
            account.owed.settle(&debt.url);
            return Ok(());
        }
        let ground = Ground::Replaced { by: debt.by, size: debt.size };
        let at = debt.at.as_deref().and_then(|at| RelPath::new(at).ok());
        let removal = Removal { url: debt.url.clone(), folder, name: debt.name, at, ground };
        match gather::remove(account, removal).await {
            Ok(()) => account.tree.cache.change(folder, Change::RemoveFile(debt.url.clone())),
            Err(error) if error.kind() == ErrorKind::Changed => {
                tracing::info!(%error, "a removal that was owed is not wanted any more");
            }
            Err(error) => return Err(kept(error)),
        }
        account.owed.settle(&debt.url);
        Ok(())
    });
    let results: Vec<Result<()>> = futures::future::join_all(removals).await;
    results.into_iter().collect()
}

/// The error of a debt that stays. "Not found" is said of a folder that is elsewhere, and must not be taken for a file that
/// is gone.
fn kept(error: Error) -> Error {
    match error.kind() {
        ErrorKind::NotFound => Error::new(ErrorKind::Changed, error.message()).with_hint_of(&error),
        _ => error,
    }
}
