//! The second call of a move of a folder that took two, where the process that made the first one died (`moving`).

use std::sync::Arc;

use ketch_core::{RelPath, Result};

use crate::account::Account;
use crate::error::Refusal;
use crate::items::{Change, FolderItem};
use crate::moving::{Step, is_final};
use crate::names;

/// Makes the second call of a move that began at `from`, where nothing is any more. It changes the account.
///
/// A move that cannot be ended, because a folder is gone or the call is refused, is forgotten.
pub(crate) async fn finish(account: &Arc<Account>, from: &RelPath) -> Result<()> {
    let Some(step) = account.moving.of(from) else { return Ok(()) };
    match second_call(account, from, &step).await {
        // The next look for the folder asks again.
        Err(refusal) if !is_final(&refusal) => return Err(refusal.into()),
        Err(refusal) => {
            tracing::info!(%from, error = %refusal.error, "a move that an earlier process began cannot be ended");
        }
        Ok(()) => {}
    }
    account.moving.end(step.folder);
    Ok(())
}

async fn second_call(account: &Arc<Account>, from: &RelPath, step: &Step) -> Result<(), Refusal> {
    let (api, tree) = (&account.api, &account.tree);
    let (Ok(to), destination) = (RelPath::new(&step.to), step.destination) else { return Ok(()) };
    let (Some(old), Some(name)) = (from.name(), to.name()) else { return Ok(()) };
    let Ok(remote_name) = names::to_remote(name) else { return Ok(()) };
    let life = api.pacer.listing_life();
    let listing = tree.listing(api, destination, life).await?;
    let is_it = |folder: &&FolderItem| folder.id == step.folder;
    let is_taken = listing.folder(name).is_some() || !listing.files(name).is_empty();
    let is_made = match listing.folders.iter().find(is_it) {
        // Another name is one that others gave it.
        Some(there) if there.name == old && old != name && !is_taken => {
            api.folder_rename(step.folder, &remote_name).await?;
            true
        }
        Some(_) => false,
        // It was renamed first, because its old name was taken where it goes.
        None if !is_taken => {
            let here = tree.listing(api, step.parent, life).await?;
            let is_renamed = here.folders.iter().find(is_it).is_some_and(|here| here.name == name);
            if is_renamed {
                api.folder_mv(step.folder, destination).await?;
                tree.cache.change(step.parent, Change::RemoveFolder(step.folder));
            }
            is_renamed
        }
        None => false,
    };
    if is_made {
        tracing::info!(%from, %to, "the move of an earlier process was ended");
        let folder = FolderItem { name: name.to_owned(), id: step.folder, date: None };
        tree.forget_folder(step.folder);
        tree.cache.change(destination, Change::RemoveFolder(step.folder));
        tree.cache.change(destination, Change::AddFolder(folder));
        tree.learn(&to, step.folder);
    }
    Ok(())
}
