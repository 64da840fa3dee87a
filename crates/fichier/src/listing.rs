//! A complete listing of one folder, or an error: what 1fichier cuts off is never taken for all there is.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use ketch_core::{Error, ErrorKind, Result, Retry};

use crate::api::Api;
use crate::bounds::LISTED_MAX;
use crate::error::Refusal;
use crate::items::{FileItem, FolderListing};
use crate::items::{file, folder};
use crate::types::{FolderLs, Item};
use crate::window::Window;
use crate::windows;

/// How many files of a listing are asked for the size that it lacks.
const SIZES_ASKED_MAX: usize = 8;

/// What is not documented of how the server answers `folder/ls.cgi`, found out once.
#[derive(Debug)]
pub(crate) struct Habits {
    /// Does it list files when asked to? That is documented, and nobody is known to use it.
    files: AtomicU8,
    /// Does it leave `sub_folders` out when there are none?
    folders: AtomicU8,
    /// Has it ever shown a folder in a folder? Before it has, one that shows none may just not tell.
    shows: AtomicBool,
}

impl Habits {
    /// What an earlier process found out.
    pub(crate) fn new(known: u8) -> Self {
        let (files, shows) = (known & FILES, known & SHOWS != 0);
        let files = if files == HONOURED || files == IGNORED { files } else { 0 };
        Habits { files: files.into(), folders: AtomicU8::default(), shows: shows.into() }
    }

    /// What is known, for the next process.
    pub(crate) fn known(&self) -> u8 {
        let shows = if self.shows.load(Ordering::Relaxed) { SHOWS } else { 0 };
        self.files.load(Ordering::Relaxed) | shows
    }
}

/// The parts of what is known.
const FILES: u8 = 3;
const SHOWS: u8 = 4;
const HONOURED: u8 = 1;
const IGNORED: u8 = 2;
/// An empty `sub_folders` was seen, so one that is missing is a mistake.
const SENT: u8 = 1;
/// It was missing twice in a row.
const OMITTED: u8 = 2;

/// Lists a folder with one call if the server can do that, else with two. The flag says whether folders were told of at all.
pub(crate) async fn fetch(
    api: &Api,
    id: u64,
    habits: &Habits,
) -> Result<(FolderListing, bool), Refusal> {
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
    if items.len() >= LISTED_MAX {
        items = match windows::walk(api, id, &items, told).await {
            Ok(items) => items,
            // As many files as one listing shows, and no more: it tells by their bytes, too.
            Err(refusal) if is_whole(&items, told, answer.size) => {
                tracing::debug!(error = %refusal.error, "the folder holds as many files as are listed");
                items
            }
            Err(refusal) => return Err(refusal),
        };
        if told.is_some_and(|told| told > items.len() as u64) {
            // That took minutes, in which some may have been removed.
            told = folder_ls(api, id, false, habits).await?.files;
        }
    }
    check_complete(items.len(), told)?;
    let mut files: Vec<FileItem> = items.into_iter().map(file).collect::<Result<_>>()?;
    fill_in(api, &mut files).await?;
    let tells = answer.sub_folders.is_some();
    let folders = answer.sub_folders.unwrap_or_default().into_iter().map(folder).collect();
    Ok((FolderListing { folders, files }, tells))
}

/// Is a listing that is as long as listings get all there is? No file is empty, so one more would be told by the bytes.
fn is_whole(items: &[Item], told: Option<u64>, size: Option<u64>) -> bool {
    let bytes: Option<u64> = items.iter().map(|item| item.size).sum();
    items.len() == LISTED_MAX && told == Some(LISTED_MAX as u64) && size.is_some() && size == bytes
}

/// Asks for the sizes that are missing. A file without one can be neither compared nor read.
async fn fill_in(api: &Api, files: &mut [FileItem]) -> Result<(), Refusal> {
    let missing = files.iter_mut().filter(|file| file.size.is_none());
    for (asked, file) in missing.enumerate() {
        if asked < SIZES_ASKED_MAX {
            file.size = api.file_info(&file.url).await?.size;
        }
        if file.size.is_none() {
            let message = "the answer makes no sense: a file has no size";
            return Err(Error::new(ErrorKind::Protocol, message).with_retry(Retry::Backoff).into());
        }
    }
    Ok(())
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
        Some(_) => habits.shows.store(true, Ordering::Relaxed),
        None if !habits.shows.load(Ordering::Relaxed) => {
            let message = "the listing has no `sub_folders`, and this server has never shown any: whether there are folders is not known";
            return Err(Error::new(ErrorKind::Protocol, message).into());
        }
        None if habits.folders.load(Ordering::Relaxed) == OMITTED => {}
        None => {
            let message =
                "the listing has no `sub_folders`, which the server sends also when there are none";
            let error = Error::new(ErrorKind::Protocol, message).with_retry(Retry::Backoff);
            return Err(error.into());
        }
    }
    // Nothing lists folders by date, and nothing says how many there are.
    if answer.sub_folders.as_ref().is_some_and(|folders| folders.len() >= LISTED_MAX) {
        let message = format!(
            "the folder has {LISTED_MAX} folders or more, and 1fichier lists no more than that: spread them over several"
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
    fn a_listing_that_is_full_is_whole_when_number_and_bytes_say_so() {
        let item = r#"{"url":"http://x","filename":"f","size":2}"#;
        let item: Item = serde_json::from_str(item).expect("an item");
        let full = vec![item; LISTED_MAX];
        let most = LISTED_MAX as u64;
        for (items, told, size, expected) in [
            (&full[..], Some(most), Some(2 * most), true),
            (&full, Some(most), Some(2 * most + 1), false),
            (&full, Some(most + 1), Some(2 * most), false),
            (&full, None, Some(2 * most), false),
            (&full, Some(most), None, false),
            (&full[1..], Some(most), Some(2 * most), false),
        ] {
            assert_eq!(is_whole(items, told, size), expected, "{} {told:?} {size:?}", items.len());
        }
    }

    #[test]
    fn an_affiliate_tail_is_no_part_of_an_address() {
        let url = "https://1fichier.com/?abc&af=123".to_owned();
        assert_eq!(crate::links::without_tail(url), "https://1fichier.com/?abc");
    }
}
