//! Makes sure that an upload is in the folder it was sent to, and puts it there if it is not.

use std::sync::Arc;

use ketch_core::{Error, ErrorKind, RelPath, Result, Retry};
use tokio::time::Instant;

use crate::account::Account;
use crate::gather;
use crate::items::{Change, FileItem};
use crate::links::without_tail;
use crate::removal::{Before, Ground, Removal};
use crate::tree::TOP;

/// Makes sure that files that travelled together are in `folder`, which is that of `parent`, and moves them there if they
/// are not. Returns the folder they are in, which is another when the old one is gone.
///
/// Only what has appeared in the top folder since it was sent is moved. A file that is anywhere else was not sent by this
/// run, whatever the report says; then the file is looked for in `folder`.
///
/// Errors: `Changed` when they can be put nowhere; they have been removed, as far as that was possible. `CommitUnknown`
/// when nothing shows where they are.
pub(crate) async fn confirm(
    account: &Arc<Account>,
    parent: &RelPath,
    folder: u64,
    before: &Arrival,
    files: &mut [&mut FileItem],
) -> Result<u64> {
    let Some(first) = files.first() else { return Ok(folder) };
    if account.placement.is_trusted(folder) {
        return Ok(folder);
    }
    let info = match account.api.file_info(&first.url).await {
        Ok(info) => info,
        // What is stored and verified is not given up because nothing says where it is: a file may be unknown for a while.
        Err(refusal) => {
            tracing::debug!(error = %refusal.error, "nothing says which folder the upload is in");
            return Ok(folder);
        }
    };
    match info.folder_id {
        None => return Ok(folder),
        Some(found) if found == folder && info.path.is_some() && !info.is_at(parent) => {
            tracing::info!(folder, "the folder of an upload was moved by others");
            return follow(account, parent, folder, before, files).await;
        }
        Some(found) if found == folder => {
            if info.is_at(parent) {
                account.tree.saw(parent);
            }
            account.placement.trust(folder);
            return Ok(folder);
        }
        Some(found) => tracing::info!(found, folder, "an upload arrived in another folder"),
    }
    let date = info.date.as_deref().and_then(crate::dates::parse);
    if info.folder_id != Some(TOP) || !before.top.lacks(&first.url, date) {
        return find_all(account, folder, before.asked, files).await;
    }
    account.tree.forget_folder(folder);
    account.tree.cache.forget(folder);
    if let Some(above) = parent.parent() {
        account.tree.distrust(&above);
    }
    match move_all(account, parent, TOP, files).await {
        Ok(folder) => Ok(folder),
        Err(error) => {
            let why = "was removed while the file was sent, and it could not be put back";
            Err(give_up(account, files, (TOP, "top"), &before.top, why, &error).await)
        }
    }
}

/// What was known before files were sent.
#[derive(Debug)]
pub(crate) struct Arrival {
    /// Of the top folder.
    pub(crate) top: Before,
    pub(crate) asked: Instant,
}

impl Arrival {
    /// Of now.
    pub(crate) fn expected(account: &Account) -> Arrival {
        Arrival { top: Before::of(account, TOP), asked: Instant::now() }
    }
}

/// Looks for files in the folder they were sent to, by name, size and digest, where the report named others.
async fn find_all(
    account: &Arc<Account>,
    folder: u64,
    asked: Instant,
    files: &mut [&mut FileItem],
) -> Result<u64> {
    let listing = account.tree.listing(&account.api, folder, asked.elapsed()).await?;
    for file in files.iter_mut() {
        let is_it = |listed: &&FileItem| {
            listed.name == file.name
                && listed.size == file.size
                && listed.hash.is_some()
                && listed.hash == file.hash
        };
        let here = listing.files.iter().find(|listed| listed.url == file.url);
        match here.or_else(|| listing.files.iter().find(is_it)) {
            Some(listed) => file.url = listed.url.clone(),
            None => {
                let message = "the report names a file of another folder, and the one it was sent to does not show it";
                let error = Error::new(ErrorKind::CommitUnknown, message);
                return Err(error.with_retry(Retry::Backoff));
            }
        }
    }
    Ok(folder)
}

/// Moves files to `parent` that arrived in its old folder, which others moved elsewhere while they were sent.
///
/// Errors: `Changed` when they can be put nowhere; they have been removed, as far as that was possible.
async fn follow(
    account: &Arc<Account>,
    parent: &RelPath,
    folder: u64,
    before: &Arrival,
    files: &mut [&mut FileItem],
) -> Result<u64> {
    let tree = &account.tree;
    let above = parent.parent().unwrap_or_else(RelPath::root);
    // That this machine made it there is no reason to take it for being there any more.
    if let Some(above) = tree.remembered(&above) {
        tree.cache.recent.forget_folder(above, folder);
    }
    tree.forget_folder(folder);
    tree.cache.forget(folder);
    tree.distrust(&above);
    match move_all(account, parent, folder, files).await {
        Ok(folder) => Ok(folder),
        Err(error) => {
            let before = Before { listing: None, since: before.top.since };
            let why =
                "was moved by others while the file was sent, and the file could not be put back";
            Err(give_up(account, files, (folder, "moved"), &before, why, &error).await)
        }
    }
}

/// Removes files that can be put nowhere from the folder that they are in, and returns the error that says so.
async fn give_up(
    account: &Arc<Account>,
    files: &[&mut FileItem],
    (folder, which): (u64, &str),
    before: &Before,
    why: &str,
    error: &Error,
) -> Error {
    let mut left = None;
    for file in files {
        let ground = Ground::Sent { size: file.size.unwrap_or_default(), before: before.clone() };
        let (url, name) = (file.url.clone(), file.name.clone());
        let removal = Removal { url, folder, name, at: None, ground };
        left = gather::remove(account, removal).await.err().or(left);
    }
    let mut message = format!("the folder {why}: {}", error.message());
    if let Some(left) = left {
        message = format!("{message}; what was sent is in the {which} folder: {}", left.message());
    }
    Error::new(ErrorKind::Changed, message).with_retry(Retry::Backoff).with_hint_of(error)
}

/// Moves files that are in the folder `from` to that of `parent`.
async fn move_all(
    account: &Arc<Account>,
    parent: &RelPath,
    from: u64,
    files: &mut [&mut FileItem],
) -> Result<u64> {
    let folder = account.tree.ensure(&account.api, parent).await?;
    if folder == from {
        let message = "1fichier still shows the folder in its old place";
        return Err(Error::new(ErrorKind::Unavailable, message));
    }
    let urls: Vec<&str> = files.iter().map(|file| file.url.as_str()).collect();
    let moved = account.api.files_mv(&urls, folder).await?;
    // Addresses have stayed the same in every capture; when they do not, the order is that of the request.
    if moved.len() == files.len() {
        let kept = moved.iter().any(|url| files.iter().any(|file| file.url == *url));
        for (file, url) in files.iter_mut().zip(moved).filter(|_| !kept) {
            file.url = without_tail(url);
        }
    }
    for file in files.iter() {
        account.tree.cache.change(from, Change::RemoveFile(file.url.clone()));
    }
    Ok(folder)
}
