//! A listing that lags, put right by what this machine changed just now.
//!
//! What is shown although we removed it is left out. What we put there and is not shown is asked for by its address, which
//! does not lag: it may be late, or others have taken it away.

use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;

use crate::api::Api;
use crate::cache::{FileItem, FolderItem, FolderListing};
use crate::error::{Refusal, Said};
use crate::names;
use crate::recent::LAG;
use crate::tree::Tree;

/// How many files of one listing are asked about. When there are more, the oldest that is there speaks for the younger ones.
const ASKED_MAX: usize = 8;

/// Enters what is missing in a fresh `listing` of the folder `id`, and takes out what is gone.
pub(crate) async fn with_our_own(
    tree: &Tree,
    api: &Api,
    id: u64,
    listing: &mut FolderListing,
) -> Result<(), Refusal> {
    let recent = &tree.cache.recent;
    let ours = recent.of(id);
    listing.files.retain(|file| !ours.gone_files.contains(&file.url));
    listing.folders.retain(|folder| !ours.gone_folders.contains(&folder.id));
    let is_new = |file: &FileItem| !listing.files.iter().any(|known| known.url == file.url);
    let missing: Vec<(Duration, FileItem)> =
        ours.files.into_iter().filter(|(_, file)| is_new(file)).collect();
    let speaks_for_others = missing.len() > ASKED_MAX;
    let (mut asked, mut is_late) = (0, false);
    for (age, file) in missing {
        let is_there = if is_late {
            true
        } else if asked < ASKED_MAX {
            asked += 1;
            is_there(api, id, &file).await.unwrap_or(age < LAG)
        } else {
            age < LAG
        };
        if is_there {
            is_late |= speaks_for_others && age < LAG;
            listing.files.push(file);
        } else {
            recent.forget_file(id, &file.url);
        }
    }
    let is_new = |folder: &FolderItem| !listing.folders.iter().any(|known| known.id == folder.id);
    let missing: Vec<(Duration, FolderItem)> =
        ours.folders.into_iter().filter(|(_, folder)| is_new(folder)).collect();
    for (age, folder) in missing {
        // What was made longer ago and is not shown was removed or moved by others.
        if age < LAG && exists(tree, api, id, &folder).await {
            listing.folders.push(folder);
        } else {
            recent.forget_folder(id, folder.id);
        }
    }
    Ok(())
}

/// Is a file in a folder under its name? `None`: nothing tells.
async fn is_there(api: &Api, folder: u64, file: &FileItem) -> Option<bool> {
    match api.file_info(&file.url).await {
        Ok(info) => {
            let is_named =
                info.filename.as_deref().map(names::to_core).as_ref() == Some(&file.name);
            info.folder_id.map(|found| found == folder && is_named)
        }
        Err(refusal) if refusal.said == Said::NotFound => Some(false),
        Err(_) => None,
    }
}

/// Is the folder that was made in `parent` there, as far as can be told? It has its number wherever others move it, so one of
/// the files in it must say where it is. An empty one that has been moved is taken to be where it was made.
fn exists<'a>(
    tree: &'a Tree,
    api: &'a Api,
    parent: u64,
    folder: &'a FolderItem,
) -> BoxFuture<'a, bool> {
    async move {
        let listing = match tree.listing(api, folder.id, api.pacer.listing_life()).await {
            Err(refusal) => return refusal.said != Said::NotFound,
            Ok(listing) => listing,
        };
        let path = tree.path_of(parent).and_then(|parent| parent.join(&folder.name).ok());
        let is_empty = listing.files.is_empty() && listing.folders.is_empty();
        match path.filter(|_| !is_empty) {
            Some(path) => tree.is_proven(api, &path, folder.id, &listing).await.unwrap_or(false),
            None => true,
        }
    }
    .boxed()
}
