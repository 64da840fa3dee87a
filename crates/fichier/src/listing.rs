//! A complete listing of one folder, or an error: what 1fichier cuts off is never taken for all there is.

use std::sync::atomic::{AtomicU8, Ordering};

use ketch_core::{Digest, Error, ErrorKind, HashAlgo, Result, Retry};

use crate::api::Api;
use crate::cache::{FileItem, FolderItem, FolderListing};
use crate::error::Refusal;
use crate::types::{Item, SubFolder};
use crate::{dates, names};

/// 1fichier lists no more files of a folder than this, without saying so.
const FILES_MAX: usize = 5_000;

/// Does the server answer `folder/ls.cgi` with files when asked to? It is documented and nobody is known to use it.
#[derive(Debug, Default)]
pub(crate) struct FilesInFolders(AtomicU8);

const HONOURED: u8 = 1;
const IGNORED: u8 = 2;

/// Lists a folder with one call if the server can do that, else with two.
pub(crate) async fn fetch(
    api: &Api,
    id: u64,
    mode: &FilesInFolders,
) -> Result<FolderListing, Refusal> {
    let known = mode.0.load(Ordering::Relaxed);
    let answer = api.folder_ls(id, known != IGNORED).await?;
    let items = match answer.items {
        Some(items) => {
            mode.0.store(HONOURED, Ordering::Relaxed);
            items
        }
        None if known == HONOURED && answer.files == Some(0) => Vec::new(),
        None => {
            if answer.files.is_some_and(|files| files > 0) {
                mode.0.store(IGNORED, Ordering::Relaxed);
            }
            api.file_ls(id).await?.items.unwrap_or_default()
        }
    };
    check_complete(items.len(), answer.files)?;
    let files = items.into_iter().map(file).collect::<Result<_>>()?;
    let folders = answer.sub_folders.unwrap_or_default().into_iter().map(folder).collect();
    Ok(FolderListing { folders, files })
}

/// `told` is how many files the folder says it has.
fn check_complete(listed: usize, told: Option<u64>) -> Result<()> {
    let is_short = told.is_some_and(|told| told > listed as u64);
    if listed >= FILES_MAX && (is_short || told.is_none()) {
        let count = told.map_or_else(|| format!("at least {listed}"), |told| told.to_string());
        let message = format!(
            "the folder has {count} files, 1fichier lists only {FILES_MAX}: spread them over several folders"
        );
        return Err(Error::new(ErrorKind::Unsupported, message));
    }
    if let (true, Some(told)) = (is_short, told) {
        // Both numbers are of one moment, or of two moments a few seconds apart: a file was deleted, or the listing lags.
        let message = format!("the listing shows {listed} of {told} files");
        return Err(Error::new(ErrorKind::Unavailable, message).with_retry(Retry::Backoff));
    }
    Ok(())
}

fn file(item: Item) -> Result<FileItem> {
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
        check(5_000, Some(5_001), Some(ErrorKind::Unsupported));
        check(5_000, None, Some(ErrorKind::Unsupported));
    }

    #[test]
    fn an_affiliate_tail_is_no_part_of_an_address() {
        let url = "https://1fichier.com/?abc&af=123".to_owned();
        assert_eq!(without_tail(url), "https://1fichier.com/?abc");
    }
}
