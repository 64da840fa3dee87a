//! Changes within the account that move no bytes: delete, copy, rename.

use std::sync::Arc;

use ketch_core::checkpoint::Checkpoint;
use ketch_core::{Entry, Error, ErrorKind, HashAlgo, RelPath, Result, Retry};
use tokio::time::Instant;

use crate::account::Account;
use crate::batched::Copied;
use crate::debts;
use crate::entries::file_of;
use crate::error::{Refusal, Said};
use crate::evidence;
use crate::items::{Change, FileItem, FolderItem};
use crate::moving::{self, Step};
use crate::note::UploadNote;
use crate::removal::{Ground, Removal};
use crate::target::{Old, Target};
use crate::tree::{Shown, TOP};
use crate::{gather, names, resume};

/// How often a folder is looked into again that must be empty, and is not yet.
const EMPTY_LOOKS: usize = 4;
/// How often the removal of one folder is asked for.
const REFUSALS_MAX: usize = 3;

/// Removes a file by its address, if it is still in `folder`, and that at `path`.
pub(crate) async fn delete_file(
    account: &Arc<Account>,
    folder: u64,
    path: &RelPath,
    url: String,
) -> Result<()> {
    // With the file its old versions go, which would be shown again without it.
    let name = path.name().unwrap_or_default().to_owned();
    debts::pay(account, folder, Some(&name)).await?;
    let (at, ground) = (path.parent(), Ground::Listed);
    let result = gather::remove(account, Removal { url: url.clone(), folder, name, at, ground });
    result.await.map_err(|error| match error.kind() {
        // It is not where it was, which is not to be taken for gone.
        ErrorKind::NotFound => {
            account.tree.forget_folder(folder);
            account.tree.cache.forget(folder);
            Error::new(ErrorKind::Changed, error.message()).with_hint_of(&error)
        }
        _ => error,
    })?;
    account.tree.cache.change(folder, Change::RemoveFile(url));
    Ok(())
}

/// Removes an empty folder.
pub(crate) async fn delete_folder(account: &Arc<Account>, parent: u64, id: u64) -> Result<()> {
    if id == TOP {
        let message = "the top folder of an account cannot be removed";
        return Err(Error::new(ErrorKind::InvalidInput, message));
    }
    remove_when_empty(account, id).await?;
    account.tree.forget_folder(id);
    account.tree.cache.forget(id);
    account.tree.cache.change(parent, Change::RemoveFolder(id));
    Ok(())
}

/// Removes a folder when 1fichier counts it as empty. What was taken out of it a moment ago may be counted for a while, and
/// a removal that is refused again and again gets an address banned: after the first refusal of this process a folder is
/// removed only when a listing has shown it to be empty.
async fn remove_when_empty(account: &Arc<Account>, id: u64) -> Result<()> {
    let (api, tree) = (&account.api, &account.tree);
    let looks = if tree.lags_without_end() { 0 } else { EMPTY_LOOKS };
    let mut waits = crate::api::polls(&api.settings).take(looks);
    let (mut refused, mut is_shown_empty) = (Vec::<Refusal>::new(), false);
    loop {
        if tree.lags() && !is_shown_empty {
            match tree.look_into(api, id).await {
                Ok(Shown::Empty) => is_shown_empty = true,
                Ok(Shown::Others) => return Err(not_empty()),
                Ok(Shown::Removed) => {
                    let Some(wait) = waits.next() else {
                        let is_over = tree.lags_in_vain();
                        let retry = if is_over { Retry::Never } else { Retry::Backoff };
                        return Err(still_counted(refused.pop()).with_retry(retry));
                    };
                    tokio::time::sleep(wait).await;
                    continue;
                }
                Err(look) if look.said == Said::NotFound => return Ok(()),
                Err(look) => return Err(refused.pop().unwrap_or(look).into()),
            }
        }
        let refusal = {
            // ORDER: one at a time, so that the others know when the first one was refused.
            let _one = account.folder_removals.lock().await;
            if tree.lags() && !is_shown_empty {
                continue;
            }
            match api.folder_rm(id).await {
                Ok(()) => return Ok(()),
                Err(refusal) if refusal.said == Said::NotFound => return Ok(()),
                Err(refusal) => {
                    let is_denied = refusal.error.kind() == ErrorKind::Denied;
                    if !is_denied || refusal.said != Said::Other {
                        return Err(refusal.into());
                    }
                    tree.set_lags();
                    refusal
                }
            }
        };
        is_shown_empty = false;
        // The texts are not documented: it may be that there is something in it.
        if tree.known_listing(api, id).is_some_and(|known| !known.is_empty()) {
            return Err(not_empty());
        }
        refused.push(refusal);
        if refused.len() == REFUSALS_MAX {
            return Err(still_counted(refused.pop()));
        }
    }
}

fn not_empty() -> Error {
    Error::new(ErrorKind::InvalidInput, "the folder is not empty")
}

/// The error of a folder of which everything was removed, and which 1fichier keeps.
fn still_counted(refused: Option<Refusal>) -> Error {
    let hint = refused.as_ref().and_then(|refusal| refusal.error.hint());
    let told = refused.map(|refusal| format!(": {}", refusal.error.message())).unwrap_or_default();
    let message = format!(
        "1fichier still counts what was removed from the folder, so the folder stays for now (the same command removes it \
         later){told}"
    );
    Error::new(ErrorKind::Unavailable, message).with_hint(hint)
}

/// Copies a file to `path`, both of this account.
pub(crate) async fn copy(
    account: &Arc<Account>,
    from: &Entry,
    path: &RelPath,
    old: Old,
    checkpoint: Option<Checkpoint>,
) -> Result<(u64, FileItem)> {
    let (_, url) = file_of(from)?;
    let source = checkpoint.as_ref().map(|checkpoint| checkpoint.source.clone());
    let upload_note = UploadNote::new(checkpoint);
    let mut target = Target::new(account, path, old).await?;
    if target.known.contains(&url) {
        // The file itself is what would be replaced.
        return Ok((target.folder, item(from, &target.name, url)));
    }
    let digest = from.hashes.as_deref().and_then(|hashes| hashes.get(HashAlgo::Whirlpool));
    if let (Some(source), Some(note)) = (&source, upload_note.earlier().await?) {
        let found = resume::copy(account, &note, source, &mut target, digest, &url).await?;
        upload_note.adopt(note).await;
        if let Some(file) = found {
            target.replace_old(account, &file, &upload_note).await?;
            return Ok((target.folder, file));
        }
    }
    upload_note.begin(&target, from.size.unwrap_or_default(), None).await?;
    let asked = Instant::now();
    let keeps_name = from.path.name() == Some(&target.name);
    let mut copied = match keeps_name {
        true => gather::copy(account, &url, target.folder).await?,
        false => Copied::Unclear,
    };
    let size = from.size.unwrap_or_default();
    let mut found = None;
    if let Copied::Unclear = copied {
        // Others were in the call as well: this one may have been copied.
        if keeps_name {
            found = target.find_new(account, size, digest, Some(&url), asked).await?;
        }
        if found.is_none() {
            let rename = (!keeps_name).then_some(target.remote_name.as_str());
            copied = match account.api.file_cp(&url, target.folder, rename).await {
                Ok(copy) => Copied::To(copy),
                Err(refusal) => Copied::Refused(refusal),
            };
        }
    }
    let copied = match (found, copied) {
        (Some(file), _) => file,
        // The size is part of an entry; the digest is left to a listing, for nobody has seen it of this file yet.
        (None, Copied::To(copy)) => FileItem { hash: None, ..item(from, &target.name, copy) },
        (None, Copied::Refused(refusal)) if refusal.error.kind() == ErrorKind::CommitUnknown => {
            let lost = Instant::now();
            match target.find_new(account, size, digest, Some(&url), lost).await? {
                Some(file) => file,
                None => return Err(refusal.into()),
            }
        }
        (None, Copied::Refused(refusal)) => {
            upload_note.undone().await?;
            return Err(refusal.into());
        }
        (None, Copied::Unclear) => {
            return Err(Error::new(ErrorKind::Protocol, "nobody says what became of the copy"));
        }
    };
    let copied = FileItem { date: None, ..copied };
    target.replace_old(account, &copied, &upload_note).await?;
    Ok((target.folder, copied))
}

/// Moves a file to `path` and removes what was there.
pub(crate) async fn rename_file(
    account: &Arc<Account>,
    from: &Entry,
    path: &RelPath,
) -> Result<(u64, FileItem)> {
    let (folder, url) = file_of(from)?;
    if let Some(name) = from.path.name() {
        debts::pay(account, folder, Some(name)).await?;
    }
    let mut target = Target::new(account, path, Old::Unknown).await?;
    target.known.retain(|known| *known != url);
    if let Some(name) = from.path.name() {
        let (url, name, ground) = (url.clone(), name.to_owned(), Ground::Listed);
        let removal = Removal { url, folder, name, at: None, ground };
        evidence::is_still_there(account, &removal).await?;
    }
    let keeps_name = from.path.name() == Some(&target.name);
    let there = match (folder == target.folder, keeps_name) {
        (true, true) => url.clone(),
        (true, false) => {
            gather::rename(account, &url, &target.remote_name).await?;
            url.clone()
        }
        (false, true) => {
            let there = gather::move_to(account, &url, target.folder).await?;
            there.unwrap_or_else(|| url.clone())
        }
        (false, false) => account.api.file_mv(&url, target.folder, &target.remote_name).await?,
    };
    account.tree.cache.change(folder, Change::RemoveFile(url));
    let moved = item(from, &target.name, there);
    target.replace_old(account, &moved, &UploadNote::new(None)).await?;
    Ok((target.folder, moved))
}

/// Moves the folder `from`, known by its numbers and its name, to `path`, where nothing may be.
pub(crate) async fn rename_folder(
    account: &Arc<Account>,
    (parent, id): (u64, u64),
    from: &str,
    path: &RelPath,
) -> Result<(u64, FolderItem)> {
    let (Some(above), Some(name)) = (path.parent(), path.name()) else {
        let message = "nothing can be moved onto the top of the account";
        return Err(Error::new(ErrorKind::InvalidInput, message));
    };
    if id == 0 {
        return Err(Error::new(ErrorKind::Unsupported, "the top of the account cannot be moved"));
    }
    let into_itself = || {
        let message = "a folder cannot be moved into itself";
        Error::new(ErrorKind::InvalidInput, message)
    };
    if account.tree.is_below(path, id) {
        return Err(into_itself());
    }
    let remote_name = names::to_remote(name)?;
    let (api, tree) = (&account.api, &account.tree);
    // Of the top of a remote the caller does not know the name. Asked for before a new listing may show another one.
    let known = account.moving.path_of(id).or_else(|| tree.path_of(id));
    let old = Some(from).filter(|from| !from.is_empty());
    let old = old.or(known.as_ref().and_then(|path| path.name())).map(str::to_owned);
    let by_others = || {
        let message = "the folder was moved or renamed by others";
        Error::new(ErrorKind::Changed, message)
    };
    let destination = tree.ensure(api, &above).await?;
    // Now the numbers of all folders above are known.
    if tree.is_below(path, id) {
        return Err(into_itself());
    }
    let folder = FolderItem { name: name.to_owned(), id, date: None };
    let (keeps_name, moves) = (from == name, destination != parent);
    if keeps_name && !moves {
        return Ok((parent, folder));
    }
    let listing = tree.listing(api, destination, api.pacer.listing_life()).await?;
    // An earlier try whose answer was lost has made it, or the first half of it.
    if let Some(there) = listing.folders.iter().find(|known| moves && known.id == id) {
        if there.name != name {
            if old.as_ref() != Some(&there.name) {
                account.moving.end(id);
                return Err(by_others());
            }
            let is_taken = listing.folder(name).is_some() || !listing.files(name).is_empty();
            if is_taken {
                return Err(taken(path));
            }
            api.folder_rename(id, &remote_name).await?;
            tree.cache.change(destination, Change::RemoveFolder(id));
            tree.cache.change(destination, Change::AddFolder(folder.clone()));
        }
        account.moving.end(id);
        tree.forget_folder(id);
        tree.learn(path, id);
        return Ok((destination, folder));
    }
    let here = match moves {
        true => tree.listing(api, parent, api.pacer.listing_life()).await?,
        false => Arc::clone(&listing),
    };
    let is_it = |known: &&FolderItem| {
        known.id == id && (from.is_empty() || known.name == from || known.name == name)
    };
    let Some(found) = here.folders.iter().find(is_it) else {
        return Err(by_others());
    };
    let (from, keeps_name) = (found.name.as_str(), found.name == name);
    if keeps_name && !moves {
        tree.forget_folder(id);
        tree.learn(path, id);
        return Ok((parent, folder));
    }
    let has_its_name = |known: &FolderItem| known.name == found.name && known.id != id;
    if tree.is_one_of_several(parent) || here.folders.iter().any(has_its_name) {
        let message = "there are several folders of that name, and one of them would stay";
        return Err(Error::new(ErrorKind::Unsupported, message));
    }
    if listing.folder(name).is_some() || !listing.files(name).is_empty() {
        return Err(taken(path));
    }
    let clash = listing.folder(from).is_some();
    if !keeps_name
        && moves
        && let Some(from) = tree.path_of(id)
    {
        account.moving.begin(Step::new(id, (&from, parent), (path, destination)));
    }
    // The server does one or the other in a call. A name that is taken there is changed before the move.
    let mut is_begun = false;
    let result = async {
        if !keeps_name && (clash || !moves) {
            api.folder_rename(id, &remote_name).await?;
            is_begun = true;
        }
        if moves {
            api.folder_mv(id, destination).await?;
            is_begun = true;
        }
        if !keeps_name && !clash && moves {
            api.folder_rename(id, &remote_name).await?;
        }
        Ok::<(), Refusal>(())
    }
    .await;
    tree.forget_folder(id);
    if let Err(refusal) = result {
        // The first of two steps may have been done: what is known of both places is not.
        tree.cache.forget(parent);
        tree.cache.forget(destination);
        if !is_begun && moving::is_final(&refusal) {
            account.moving.end(id);
        }
        return Err(refusal.into());
    }
    account.moving.end(id);
    tree.cache.change(parent, Change::RemoveFolder(id));
    tree.cache.change(destination, Change::AddFolder(folder.clone()));
    tree.learn(path, id);
    Ok((destination, folder))
}

fn taken(path: &RelPath) -> Error {
    Error::new(ErrorKind::AlreadyExists, format!("`{path}` is there already"))
}

fn item(from: &Entry, name: &str, url: String) -> FileItem {
    let hash = from.hashes.as_deref().and_then(|hashes| hashes.get(HashAlgo::Whirlpool)).cloned();
    let url = crate::links::without_tail(url);
    FileItem { name: name.to_owned(), url, size: from.size, date: from.mtime, hash }
}
