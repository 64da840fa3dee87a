//! A listing that lags, put right by what this machine changed just now.
//!
//! What is shown although we removed it is left out. What we put there and is not shown is asked for by its address, which
//! does not lag: it may be late, or others have taken it away.

use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use ketch_core::{Error, ErrorKind, Retry};

use crate::api::{Api, polls};
use crate::error::{Refusal, Said};
use crate::items::{FileItem, FolderItem, FolderListing};
use crate::links;
use crate::recent::LAG;
use crate::tree::Tree;
use crate::{dates, names, report};

/// How many files of one listing are asked about. When there are more, the oldest that is there speaks for the younger ones.
const ASKED_MAX: usize = 8;
/// The same where calls are not paced.
const ASKED_FREELY: usize = 64;

/// How many files are asked where a folder is.
const WITNESSES_MAX: usize = 3;

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
    add_what_was_left(tree, api, id, listing, &ours.gone_files).await;
    let is_new = |file: &FileItem| !listing.files.iter().any(|known| known.url == file.url);
    let missing: Vec<(Duration, FileItem)> =
        ours.files.into_iter().filter(|(_, file)| is_new(file)).collect();
    let asked_max = if api.settings.paced { ASKED_MAX } else { ASKED_FREELY };
    let speaks_for_others = missing.len() > asked_max;
    let (mut asked, mut is_late, mut unknown) = (0, false, 0);
    for (age, file) in missing {
        let is_there = if is_late {
            true
        } else if asked < asked_max {
            asked += 1;
            match is_there(api, id, &file).await {
                // One answer that it is not known proves nothing.
                Some(false) if age < LAG => again(api, is_there(api, id, &file)).await,
                known => known,
            }
            .unwrap_or(age < LAG)
        } else if age < LAG {
            // None of the older ones is there, so nothing shows that the listing is late, and nothing that these are gone.
            unknown += 1;
            continue;
        } else {
            false
        };
        if is_there {
            is_late |= speaks_for_others && age < LAG;
            listing.files.push(file);
        } else {
            recent.forget_file(id, &file.url);
        }
    }
    if unknown > 0 {
        let message = format!(
            "the listing does not show {unknown} files that were stored just now, and others have taken away what was stored before them"
        );
        let error = Error::new(ErrorKind::Unavailable, message).with_retry(Retry::Backoff);
        return Err(error.into());
    }
    // One of the same name and another number took its place: both would be twins that are not there.
    let is_new = |folder: &FolderItem| {
        let is_it = |known: &FolderItem| known.id == folder.id || known.name == folder.name;
        !listing.folders.iter().any(is_it)
    };
    let missing: Vec<(Duration, FolderItem)> =
        ours.folders.into_iter().filter(|(_, folder)| is_new(folder)).collect();
    for (age, folder) in missing {
        // What was made longer ago and is not shown was removed or moved by others.
        let is_there = age < LAG
            && (exists(tree, api, id, &folder, true).await
                || again(api, exists(tree, api, id, &folder, true)).await);
        if is_there {
            listing.folders.push(folder);
        } else {
            recent.forget_folder(id, folder.id);
        }
    }
    // What an earlier look has shown there is not gone because one answer leaves it out.
    let Some(path) = tree.path_of(id) else { return Ok(()) };
    for folder in tree.known_below(&path).into_iter().take(ASKED_MAX) {
        let is_it = |known: &FolderItem| known.id == folder.id || known.name == folder.name;
        if listing.folders.iter().any(is_it) {
            continue;
        }
        if exists(tree, api, id, &folder, false).await {
            listing.folders.push(folder);
        } else if let Ok(path) = path.join(&folder.name) {
            tree.forget(&path);
        }
    }
    Ok(())
}

/// Enters the files that processes of this machine have sent to the folder and died before they heard of them. The address says
/// whether a file is there; whether it is what was sent is not known.
async fn add_what_was_left(
    tree: &Tree,
    api: &Api,
    id: u64,
    listing: &mut FolderListing,
    gone: &[String],
) {
    let mut asked = 0;
    for upload in tree.sending.left(id) {
        let links = match tree.sending.told(&upload.xid) {
            Some(links) => links,
            // A node that does not answer shows nothing, and the listing counts as it is.
            None => match report::now(api, &upload).await {
                Ok(told) => told.links,
                Err(_) => continue,
            },
        };
        tree.sending.learn(&upload.xid, &links);
        for link in links {
            let url = links::without_tail(link.download);
            let is_known = listing.files.iter().any(|file| file.url == url);
            if is_known || gone.contains(&url) || asked == ASKED_MAX {
                continue;
            }
            asked += 1;
            let Ok(info) = api.file_info(&url).await else { continue };
            let name = info.filename.as_deref().map(names::to_core).unwrap_or_default();
            if info.is_file(id, &name) == Some(true) {
                let date = info.date.as_deref().and_then(dates::parse);
                let hash = info.checksum.as_deref().and_then(links::digest);
                listing.files.push(FileItem { name, url, size: info.size, date, hash });
            }
        }
    }
}

/// The same question a moment later.
async fn again<T>(api: &Api, question: impl Future<Output = T>) -> T {
    if let Some(wait) = polls(&api.settings).next() {
        tokio::time::sleep(wait).await;
    }
    question.await
}

/// Is a file in a folder under its name? `None`: nothing tells.
async fn is_there(api: &Api, folder: u64, file: &FileItem) -> Option<bool> {
    match api.file_info(&file.url).await {
        Ok(info) => info.is_file(folder, &file.name),
        Err(refusal) if refusal.said == Said::NotFound => Some(false),
        Err(_) => None,
    }
}

/// Is the folder that was made in `parent` there, as far as can be told? It has its number wherever others move it, so one of
/// the files in it must say where it is. Of an empty one nothing is known but `otherwise`.
fn exists<'a>(
    tree: &'a Tree,
    api: &'a Api,
    parent: u64,
    folder: &'a FolderItem,
    otherwise: bool,
) -> BoxFuture<'a, bool> {
    async move {
        let listing = match tree.glimpse(api, folder.id, api.pacer.listing_life()).await {
            Err(refusal) => return refusal.said != Said::NotFound,
            Ok(listing) => listing,
        };
        let path = tree.path_of(parent).and_then(|parent| parent.join(&folder.name).ok());
        let Some(path) = path else { return otherwise };
        let (path, id, listing) = match (listing.files.first(), listing.folders.first()) {
            // A folder that lists the one it is in proves nothing.
            (None, Some(below)) if below.id == parent => return otherwise,
            (None, Some(below)) => {
                let Ok(path) = path.join(&below.name) else { return otherwise };
                match tree.glimpse(api, below.id, api.pacer.listing_life()).await {
                    Ok(listing) => (path, below.id, listing),
                    Err(_) => return otherwise,
                }
            }
            _ => (path, folder.id, listing),
        };
        // Of a file that is somewhere else by now nothing follows.
        for file in listing.files.iter().take(WITNESSES_MAX) {
            if let Ok(info) = api.file_info(&file.url).await
                && info.folder_id == Some(id)
                && info.path.is_some()
            {
                return info.is_at(&path);
            }
        }
        otherwise
    }
    .boxed()
}
