//! A complete listing of one folder, or an error: what 1fichier cuts off is never taken for all there is.

use std::sync::atomic::{AtomicU8, Ordering};

use ketch_core::{Digest, Error, ErrorKind, HashAlgo, Result, Retry};

use crate::api::Api;
use crate::cache::{FileItem, FolderItem, FolderListing};
use crate::error::Refusal;
use crate::types::{FolderLs, Item, SubFolder};
use crate::windows::{self, Window};
use crate::{dates, names};

/// 1fichier lists no more files of a folder than this, without saying so.
pub(crate) const FILES_MAX: usize = 5_000;

/// What is not documented of how the server answers `folder/ls.cgi`, found out once.
#[derive(Debug)]
pub(crate) struct Habits {
    /// Does it list files when asked to? That is documented, and nobody is known to use it.
    files: AtomicU8,
    /// Does it leave `sub_folders` out when there are none?
    folders: AtomicU8,
}

impl Habits {
    /// What an earlier process found out.
    pub(crate) fn new(files: u8) -> Self {
        let files = if files == HONOURED || files == IGNORED { files } else { 0 };
        Habits { files: files.into(), folders: AtomicU8::default() }
    }

    /// What is known of the files, for the next process.
    pub(crate) fn files(&self) -> u8 {
        self.files.load(Ordering::Relaxed)
    }
}

const HONOURED: u8 = 1;
const IGNORED: u8 = 2;
/// An empty `sub_folders` was seen, so one that is missing is a mistake.
const SENT: u8 = 1;
/// It was missing twice in a row.
const OMITTED: u8 = 2;

/// Lists a folder with one call if the server can do that, else with two.
pub(crate) async fn fetch(api: &Api, id: u64, habits: &Habits) -> Result<FolderListing, Refusal> {
    let known = habits.files.load(Ordering::Relaxed);
    let answer = folder_ls(api, id, known != IGNORED, habits).await?;
    let mut told = answer.files;
    let mut items = match answer.items {
        Some(items) => {
            habits.files.store(HONOURED, Ordering::Relaxed);
            items
        }
        None if known == HONOURED && answer.files == Some(0) => Vec::new(),
        None => {
            if answer.files.is_some_and(|files| files > 0) {
                habits.files.store(IGNORED, Ordering::Relaxed);
            }
            let answer = api.file_ls(id, &Window::ALL).await?;
            told = told.max(answer.count);
            answer.items.unwrap_or_default()
        }
    };
    // Also when no more are told of: the number may be cut like the listing.
    if items.len() >= FILES_MAX {
        items = windows::walk(api, id, &items, told).await?;
        if told.is_some_and(|told| told > items.len() as u64) {
            // That took minutes, in which some may have been removed.
            told = folder_ls(api, id, false, habits).await?.files;
        }
    }
    check_complete(items.len(), told)?;
    let files = items.into_iter().map(file).collect::<Result<_>>()?;
    let folders = answer.sub_folders.unwrap_or_default().into_iter().map(folder).collect();
    Ok(FolderListing { folders, files })
}

/// Lists sub-folders. A field that is missing may mean none, or be a mistake after which a sync would delete what is in
/// them elsewhere. So the first time it is asked for again, and where the server is known to send it, it is an error.
async fn folder_ls(api: &Api, id: u64, files: bool, habits: &Habits) -> Result<FolderLs, Refusal> {
    let mut answer = api.folder_ls(id, files).await?;
    if answer.sub_folders.is_none() && habits.folders.load(Ordering::Relaxed) == 0 {
        answer = api.folder_ls(id, files).await?;
        if answer.sub_folders.is_none() {
            habits.folders.store(OMITTED, Ordering::Relaxed);
        }
    }
    match &answer.sub_folders {
        Some(folders) if folders.is_empty() => habits.folders.store(SENT, Ordering::Relaxed),
        Some(_) => {}
        None if habits.folders.load(Ordering::Relaxed) == OMITTED => {}
        None => {
            let message =
                "the listing has no `sub_folders`, which the server sends also when there are none";
            let error = Error::new(ErrorKind::Protocol, message).with_retry(Retry::Backoff);
            return Err(error.into());
        }
    }
    // Nothing lists folders by date, and nothing says how many there are.
    if answer.sub_folders.as_ref().is_some_and(|folders| folders.len() >= FILES_MAX) {
        let message = format!(
            "the folder has {FILES_MAX} folders or more, and 1fichier lists no more than that: spread them over several"
        );
        return Err(Error::new(ErrorKind::Unsupported, message).into());
    }
    Ok(answer)
}

/// `told` is how many files the folder says it has.
fn check_complete(listed: usize, told: Option<u64>) -> Result<()> {
    let is_short = told.is_some_and(|told| told > listed as u64);
    if let (true, Some(told)) = (is_short, told) {
        // Both numbers are of one moment, or of two moments a few seconds apart: a file was deleted, or the listing lags.
        let message = format!("the listing shows {listed} of {told} files");
        return Err(Error::new(ErrorKind::Unavailable, message).with_retry(Retry::Backoff));
    }
    Ok(())
}

/// A file as it is listed.
pub(crate) fn file(item: Item) -> Result<FileItem> {
    if !item.url.starts_with("http") {
        let message = "the answer makes no sense: a file has no address";
        return Err(Error::new(ErrorKind::Protocol, message));
    }
    Ok(FileItem {
        name: names::to_core(&item.filename),
        url: without_tail(item.url),
        size: item.size,
        date: item.date.as_deref().and_then(dates::parse),
        hash: item.checksum.as_deref().and_then(digest),
    })
}

fn folder(folder: SubFolder) -> FolderItem {
    FolderItem {
        name: names::to_core(&folder.name),
        id: folder.id,
        date: folder.create_date.as_deref().and_then(dates::parse),
    }
}

/// A digest as 1fichier writes it; `None` for what is not one.
pub(crate) fn digest(text: &str) -> Option<Digest> {
    Digest::from_hex(HashAlgo::Whirlpool, text.trim())
}

/// A file's address without what an affiliate hung on it.
pub(crate) fn without_tail(mut url: String) -> String {
    if let Some(at) = url.find('&') {
        url.truncate(at);
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_that_is_cut_is_an_error() {
        let check = |listed, told, expected: Option<ErrorKind>| {
            let result = check_complete(listed, told);
            assert_eq!(result.err().map(|error| error.kind()), expected, "{listed} of {told:?}");
        };
        check(0, Some(0), None);
        check(3, Some(3), None);
        check(4, Some(3), None);
        check(3, None, None);
        check(5_000, Some(5_000), None);
        check(2, Some(3), Some(ErrorKind::Unavailable));
        check(0, Some(3), Some(ErrorKind::Unavailable));
        check(5_000, Some(5_001), Some(ErrorKind::Unavailable));
    }

    #[test]
    fn an_affiliate_tail_is_no_part_of_an_address() {
        let url = "https://1fichier.com/?abc&af=123".to_owned();
        assert_eq!(without_tail(url), "https://1fichier.com/?abc");
    }
}
