//! Writing: three requests, and then the proof that what is stored is what was sent.
//!
//! Nothing overwrites on 1fichier. A new version is stored beside the old one, its size, digest and name are compared, and
//! only then the old one is removed. Sending again what was stored already makes a duplicate, so an upload whose outcome
//! is unknown is looked for before it is tried again. Small files of one folder travel together (`send`).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ketch_core::checkpoint::Checkpoint;
use ketch_core::source::Body;
use ketch_core::{Error, ErrorKind, Proof, RelPath, Result};
use tokio::time::Instant;

use crate::account::Account;
use crate::bounds::{SIZE_MAX, SIZES};
use crate::items::FileItem;
use crate::note::{Note, UploadNote};
use crate::pending::PendingUpload;
use crate::resume;
use crate::send;
use crate::target::{Old, Target};

/// What is asked of a [`put`].
pub(crate) struct PutRequest {
    pub(crate) old: Old,
    pub(crate) proof: Proof,
    pub(crate) checkpoint: Option<Checkpoint>,
    /// See [`ketch_core::PutOptions::kept`].
    pub(crate) kept: Option<Arc<AtomicU64>>,
}

/// Stores `body`. What comes back has been compared with what was sent.
pub(crate) async fn put(
    account: &Arc<Account>,
    path: &RelPath,
    body: Body,
    request: PutRequest,
) -> Result<(u64, FileItem)> {
    let PutRequest { old, proof, checkpoint, kept } = request;
    let says_kept = |size: u64| {
        if let Some(kept) = &kept {
            kept.store(size, Ordering::Relaxed);
        }
    };
    let size = check_size(body.size())?;
    let source = checkpoint.as_ref().map(|checkpoint| checkpoint.source.clone());
    let upload_note = Arc::new(UploadNote::new(checkpoint));
    let lost = account.lost.of(path);
    let found = match &lost {
        Some(lost) => lost.find_late(account).await?,
        None => None,
    };
    let mut target = Target::new(account, path, old).await?;
    // What an earlier process, or an earlier try of this one, has sent may still arrive, whatever is done about the file now.
    let noted = upload_note.earlier().await?;
    let mut earlier = noted.clone();
    if earlier.is_none()
        && let Some((note, stayed)) = account.given_up.of(target.folder, &target.name)
    {
        target.learn(stayed);
        earlier = Some(note);
    }
    if let Some(note) = &earlier {
        upload_note.adopt(note.clone()).await;
    }
    if let (Some(lost), Some(file)) = (&lost, found)
        && lost.target().folder == target.folder
    {
        target.learn(lost.target().known.iter().cloned());
        if lost.is_of(&body).await? {
            target.learn(arrived_late(account, earlier.as_ref(), &target).await?);
            target.replace_old(account, &file, &upload_note).await?;
            account.lost.remove(lost);
            says_kept(size);
            return Ok((target.folder, file));
        }
        // Another content: what was lost and found again is one more old version.
        target.learn([file.url]);
    }
    if let (Some(source), Some(note)) = (&source, &noted) {
        let found = resume::upload(account, note, source, &mut target, &body).await?;
        if let Some(file) = found {
            target.replace_old(account, &file, &upload_note).await?;
            says_kept(size);
            return Ok((target.folder, file));
        }
    }
    let path = path.clone();
    let (goal, kept) = (target.clone(), Arc::clone(&upload_note));
    let pending = PendingUpload { path, target: goal, body, size, proof, upload_note: kept };
    let (folder, file) = send::send(account, pending).await?;
    if let Some(lost) = &lost {
        account.lost.remove(lost);
    }
    if folder != target.folder {
        target.folder = folder;
        target.learn(elsewhere(account, noted.as_ref(), &target).await?);
    }
    target.learn(arrived_late(account, earlier.as_ref(), &target).await?);
    target.replace_old(account, &file, &upload_note).await?;
    Ok((folder, file))
}

/// What this machine had put under that name into the folder that the file was brought to, because its own was moved away.
/// A file there that nothing shows to be of this machine stays beside the new one.
async fn elsewhere(
    account: &Arc<Account>,
    noted: Option<&Note>,
    target: &Target,
) -> Result<Vec<String>> {
    let tree = &account.tree;
    let life = account.api.pacer.listing_life();
    let listing = tree.listing(&account.api, target.folder, life).await?;
    let files = listing.files(&target.name).into_iter().map(|file| file.url.clone());
    let mut ours: Vec<String> =
        files.filter(|url| tree.cache.recent.has_added(target.folder, url)).collect();
    if let Some(note) = noted.filter(|note| note.folder == target.folder) {
        ours.extend(resume::sent(account, note).await?);
    }
    Ok(ours)
}

/// What has arrived meanwhile of earlier uploads to `target`.
async fn arrived_late(
    account: &Arc<Account>,
    earlier: Option<&Note>,
    target: &Target,
) -> Result<Vec<String>> {
    match earlier.filter(|note| note.name == target.name) {
        Some(note) => resume::arrived_late(account, note, Instant::now()).await,
        None => Ok(Vec::new()),
    }
}

fn check_size(size: Option<u64>) -> Result<u64> {
    let refuse = |message: &str| Err(Error::new(ErrorKind::Unsupported, message));
    match size {
        None => refuse("1fichier must know the size of a file beforehand"),
        Some(0) => refuse("1fichier stores no empty files"),
        Some(size) if size > SIZE_MAX => {
            refuse(&format!("the file is larger than 300 GB ({SIZES})"))
        }
        Some(size) => Ok(size),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_that_1fichier_does_not_take_are_refused_before_anything_is_sent() {
        assert_eq!(check_size(Some(1)).expect("fine"), 1);
        assert!(check_size(Some(SIZE_MAX)).is_ok());
        for size in [None, Some(0), Some(SIZE_MAX + 1)] {
            assert_eq!(check_size(size).expect_err("refused").kind(), ErrorKind::Unsupported);
        }
    }
}
