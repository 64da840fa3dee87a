//! What is looked at before a file is removed by its address.
//!
//! An address is no place: the file behind it may have been moved or renamed by others since it was listed, and a report
//! may name a file that nobody here has sent. So every removal comes through here with the folder and the name that the
//! file is meant to have, and is refused when 1fichier says that it has others. Knows nothing of how removals travel.

use std::sync::Arc;
use std::time::SystemTime;

use ketch_core::{Error, ErrorKind, RelPath, Retry};
use tokio::time::Instant;

use crate::account::Account;
use crate::error::{Refusal, Said};
use crate::items::{Change, FolderListing};
use crate::removal::{Before, Ground, Removal};
use crate::types::Info;
use crate::{dates, names};

mod folders;

use folders::Folders;
pub(crate) use folders::look_life;

impl Before {
    /// What is known of `folder` now.
    pub(crate) fn of(account: &Account, folder: u64) -> Before {
        Before { listing: account.tree.cache.last(folder), since: Some(SystemTime::now()) }
    }
}

/// What a look at a file that is to be removed has shown.
#[derive(Debug)]
pub(crate) enum Seen {
    /// It is where it is meant to be.
    There,
    /// It is nowhere, as was wanted.
    Gone,
    /// It is not to be removed, and why.
    Other(Error),
}

/// Waits until one more file may be asked about.
async fn admitted(account: &Account) {
    let settings = &account.api.settings;
    while settings.paced && !account.asked.admits(settings, 1) {
        let wait = account.asked.wait(settings);
        account.api.pacer.tell("1fichier is asked about eight files in a minute", wait);
        tokio::time::sleep(wait).await;
    }
}

/// Where the files are now, in the order of `removals`.
pub(crate) async fn look(account: &Arc<Account>, removals: &[Removal]) -> Vec<Seen> {
    let begun = Instant::now();
    let asks_all = account.asked.admits(&account.api.settings, removals.len());
    let is_asked = |removal: &Removal| asks_all || matches!(removal.ground, Ground::Sent { .. });
    let others: Vec<&Removal> = removals.iter().filter(|removal| !is_asked(removal)).collect();
    let mut seen = Vec::with_capacity(removals.len());
    let mut asked = Vec::new();
    // ORDER: what is asked one by one comes first, for it may wait, and what the folders show would grow old.
    for removal in removals.iter().filter(|removal| is_asked(removal)) {
        asked.push(match ask(account, removal, begun).await {
            Seen::There => replacement(account, removal).await,
            one => one,
        });
    }
    let folders = Folders::look(account, &others).await;
    let mut asked = asked.into_iter();
    for removal in removals {
        let one = match is_asked(removal) {
            true => asked.next().unwrap_or_else(|| Seen::Other(unproven("it was not looked at"))),
            false => folders.judge(removal),
        };
        let is_shown = match folders.listing(removal.folder) {
            Some(Ok(listing)) => holds_replacement(removal, listing),
            _ => true,
        };
        seen.push(match one {
            // A listing may lag behind what was sent just now, so this one is asked about.
            Seen::There if !is_asked(removal) && !is_shown => {
                admitted(account).await;
                replacement(account, removal).await
            }
            one => one,
        });
    }
    seen
}

/// Is a file that 1fichier did not find when it was to be removed really gone? A look has shown it a moment before.
pub(crate) async fn is_gone(account: &Account, url: &str) -> Result<(), Error> {
    admitted(account).await;
    match account.api.file_info(url).await {
        Ok(_) => Err(unproven("1fichier did not find it, and knows it all the same")
            .with_retry(Retry::Backoff)),
        Err(refusal) if refusal.said == Said::NotFound => Ok(()),
        Err(refusal) if refusal.error.kind() == ErrorKind::NotFound => Ok(()),
        Err(refusal) => Err(refusal.into()),
    }
}

/// Is a file that is to be moved or renamed still where it was listed, as far as few enough are asked about?
///
/// Errors: `Changed` when it was moved or renamed by others.
pub(crate) async fn is_still_there(account: &Account, removal: &Removal) -> Result<(), Error> {
    if !account.asked.admits(&account.api.settings, 1) {
        return Ok(());
    }
    // What does not answer is left to the call itself.
    let Ok(info) = account.api.file_info(&removal.url).await else { return Ok(()) };
    match judge(removal, &info) {
        Some(Seen::Other(error)) => Err(error),
        _ => Ok(()),
    }
}

async fn ask(account: &Arc<Account>, removal: &Removal, begun: Instant) -> Seen {
    let is_missing = match account.api.file_info(&removal.url).await {
        Ok(info) => match judge(removal, &info) {
            Some(seen) => return seen,
            // It does not say where the file is.
            None => false,
        },
        Err(refusal) if is_about_the_file(&refusal) => {
            refusal.said == Said::NotFound || refusal.error.kind() == ErrorKind::NotFound
        }
        Err(refusal) => return Seen::Other(refusal.into()),
    };
    let listing = account.tree.listing(&account.api, removal.folder, begun.elapsed()).await;
    let listing = match listing {
        Ok(listing) => listing,
        Err(refusal) if is_missing && is_about_the_file(&refusal) => return Seen::Gone,
        Err(refusal) => return Seen::Other(refusal.into()),
    };
    match in_listing(removal, &listing, None) {
        // Both cannot be: a listing lags, or one of the answers is wrong.
        Seen::There if is_missing => {
            Seen::Other(unproven("1fichier lists it and does not know it"))
        }
        Seen::Gone if !is_missing => Seen::Other(changed("is not in its folder any more")),
        seen => seen,
    }
}

/// Is a refusal about one file or folder, and not about the call? An answer that makes no sense is about nothing else.
fn is_about_the_file(refusal: &Refusal) -> bool {
    let kinds = [ErrorKind::NotFound, ErrorKind::Denied, ErrorKind::Protocol];
    matches!(refusal.said, Said::NotFound | Said::Forbidden | Said::Other)
        && kinds.contains(&refusal.error.kind())
}

/// What 1fichier says of a file; `None`: it does not say where it is.
fn judge(removal: &Removal, info: &Info) -> Option<Seen> {
    let folder = info.folder_id?;
    let name = info.filename.as_deref().map(names::to_core);
    if folder != removal.folder {
        let at = info.path.as_deref().unwrap_or("another folder");
        return Some(Seen::Other(changed(&format!("was moved to `{}`", crate::text::snippet(at)))));
    }
    let is_at = |at: &RelPath| info.path.is_none() || info.is_at(at);
    if !removal.at.as_ref().is_none_or(is_at) {
        let at = crate::text::snippet(info.path.as_deref().unwrap_or_default());
        let message = format!("its folder was moved to `{at}`, so the file was not removed");
        return Some(Seen::Other(Error::new(ErrorKind::NotFound, message)));
    }
    if name.as_deref() != Some(removal.name.as_str()) {
        let name = crate::text::snippet(&name.unwrap_or_default());
        return Some(Seen::Other(changed(&format!("is called `{name}` now"))));
    }
    let date = info.date.as_deref().and_then(dates::parse);
    Some(sent(removal, info.size, date))
}

fn in_listing(removal: &Removal, listing: &FolderListing, place: Option<&u64>) -> Seen {
    if place.is_some_and(|place| *place != removal.folder) {
        return Seen::Other(changed("was listed in another folder since"));
    }
    match listing.files.iter().find(|file| file.url == removal.url) {
        Some(file) if file.name == removal.name => sent(removal, file.size, file.date),
        Some(_) => Seen::Other(changed("has another name now")),
        None => Seen::Gone,
    }
}

/// Is it what was sent? What was not sent need not be.
fn sent(removal: &Removal, size: Option<u64>, date: Option<SystemTime>) -> Seen {
    match &removal.ground {
        Ground::Listed | Ground::Replaced { .. } => Seen::There,
        Ground::Sent { size: wanted, before } => {
            if size == Some(*wanted) && before.lacks(&removal.url, date) {
                Seen::There
            } else {
                Seen::Other(unproven("nothing shows that it is what was sent"))
            }
        }
    }
}

fn holds_replacement(removal: &Removal, listing: &FolderListing) -> bool {
    let Ground::Replaced { by, size } = &removal.ground else { return true };
    let is_it = |file: &crate::items::FileItem| {
        file.url == *by && file.name == removal.name && (size.is_none() || file.size == *size)
    };
    listing.files.iter().any(is_it)
}

/// Is the new version in the place of the old one?
async fn replacement(account: &Arc<Account>, removal: &Removal) -> Seen {
    let Ground::Replaced { by, size } = &removal.ground else { return Seen::There };
    let has_removed = || account.tree.cache.has_removed(removal.folder, by);
    if has_removed() {
        return other_version(account, removal).await;
    }
    let is_there = match account.api.file_info(by).await {
        Ok(info) => {
            let is_sized = size.is_none() || info.size == *size;
            info.is_file(removal.folder, &removal.name).map(|is_it| is_it && is_sized)
        }
        Err(refusal) if is_about_the_file(&refusal) => None,
        Err(refusal) => return Seen::Other(refusal.into()),
    };
    match is_there {
        Some(true) => return Seen::There,
        Some(false) if has_removed() => return other_version(account, removal).await,
        Some(false) => {
            return Seen::Other(unproven("1fichier says that the new version is somewhere else"));
        }
        None => {}
    }
    // The address says nothing, so the folder must show it.
    let begun = Instant::now();
    match account.tree.listing(&account.api, removal.folder, begun.elapsed()).await {
        Ok(listing) if holds_replacement(removal, &listing) => Seen::There,
        Ok(_) if has_removed() => other_version(account, removal).await,
        Ok(_) => Seen::Other(unproven("the new version is not shown in its folder")),
        Err(refusal) => Seen::Other(refusal.into()),
    }
}

/// Another writer of this process has replaced the new version meanwhile. The old one may go if a third one is there: of two
/// writers that replace each other, one must stay.
async fn other_version(account: &Arc<Account>, removal: &Removal) -> Seen {
    let begun = Instant::now();
    match account.tree.listing(&account.api, removal.folder, begun.elapsed()).await {
        Ok(listing) => {
            let mut others = listing.files(&removal.name).into_iter();
            match others.any(|file| file.url != removal.url) {
                true => Seen::There,
                false => Seen::Other(changed("is the only version that is left")),
            }
        }
        Err(refusal) => Seen::Other(refusal.into()),
    }
}

/// Enters what was found out about a file that is gone.
pub(crate) fn enter_gone(account: &Account, removal: &Removal) {
    account.owed.settle(&removal.url);
    account.tree.cache.change(removal.folder, Change::RemoveFile(removal.url.clone()));
}

fn changed(what: &str) -> Error {
    Error::new(ErrorKind::Changed, format!("the file {what}, so it was not removed"))
}

fn unproven(why: &str) -> Error {
    let message = format!("the file was not removed: {why}");
    Error::new(ErrorKind::Unavailable, message).with_retry(Retry::Never)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::items::FileItem;
    use std::time::Duration;

    fn removal(ground: Ground) -> Removal {
        let at = Some(RelPath::new("d").expect("legal"));
        Removal { url: "u".into(), folder: 7, name: "a".into(), at, ground }
    }

    fn info(text: &str) -> Info {
        serde_json::from_str(text).expect("an answer")
    }

    fn listing(urls: &[&str]) -> Arc<FolderListing> {
        let file = |url: &&str| FileItem {
            name: "a".into(),
            url: (*url).to_owned(),
            size: Some(3),
            date: None,
            hash: None,
        };
        Arc::new(FolderListing { folders: Vec::new(), files: urls.iter().map(file).collect() })
    }

    #[test]
    fn a_file_is_removed_only_where_it_is_said_to_be_under_its_name() {
        let check = |text: &str, expected: Option<&str>| {
            let found = judge(&removal(Ground::Listed), &info(text)).map(|seen| match seen {
                Seen::There => "there".to_owned(),
                Seen::Gone => "gone".to_owned(),
                Seen::Other(error) => error.message().to_owned(),
            });
            match expected {
                Some(part) => {
                    assert!(found.clone().is_some_and(|all| all.contains(part)), "{found:?}")
                }
                None => assert_eq!(found, None, "{text}"),
            }
        };
        check(r#"{"filename":"a","folder_id":7}"#, Some("there"));
        check(r#"{"filename":"a","folder_id":"7"}"#, Some("there"));
        check(r#"{"filename":"a","folder_id":8,"path":"kept"}"#, Some("moved to `kept`"));
        check(r#"{"filename":"a","folder_id":7,"path":"d"}"#, Some("there"));
        check(r#"{"filename":"a","folder_id":7,"path":"kept/d"}"#, Some("folder was moved to"));
        check(r#"{"filename":"b","folder_id":7}"#, Some("called `b`"));
        check(r#"{"filename":"a"}"#, None);
        check(r#"{"filename":"a","folder_id":null}"#, None);
    }

    #[test]
    fn what_was_sent_is_what_was_not_there_before_and_has_the_size() {
        let now = SystemTime::now();
        let old = now - Duration::from_secs(3_600);
        let check = |listing, size, date, expected: bool| {
            let before = Before { listing, since: Some(now) };
            let removal = removal(Ground::Sent { size: 3, before });
            assert_eq!(matches!(sent(&removal, size, date), Seen::There), expected);
        };
        check(Some(listing(&[])), Some(3), None, true);
        check(Some(listing(&["other"])), Some(3), Some(old), true);
        check(Some(listing(&["u"])), Some(3), Some(now), false);
        check(Some(listing(&[])), Some(4), None, false);
        check(Some(listing(&[])), None, None, false);
        check(None, Some(3), Some(now), true);
        check(None, Some(3), Some(old), false);
        check(None, Some(3), None, false);
    }
}
