//! What became of a transfer whose process died: looked for before anything is sent again.
//!
//! Three witnesses are asked. The node's report says which addresses the upload got, for two hours. A listing that is
//! younger than that report says what is there now. An address that the listing does not show yet is asked for by itself.
//! A file of an unknown address that only the listing shows is ours when it has the digest of what is to be sent.

use std::sync::Arc;

use ketch_core::checkpoint::Checkpoint;
use ketch_core::source::Body;
use ketch_core::{Digest, ErrorKind, RelPath, Result};
use tokio::time::Instant;

use crate::account::Account;
use crate::cache::{Change, FileItem, FolderListing};
use crate::error::{Refusal, Said};
use crate::evidence::{Ground, Removal};
use crate::note::{self, Note};
use crate::report::Told;
use crate::sent::digest_of;
use crate::target::Target;
use crate::types::Link;
use crate::{gather, listing, names};

/// How many listings are asked for when the node gives no clear answer.
const LOOKS: usize = 3;

/// What is there of an earlier transfer.
#[derive(Debug, Default)]
struct Traces {
    /// The new version, which the earlier process had verified.
    stored: Option<FileItem>,
    /// Addresses that the upload got, and that are alive.
    ours: Vec<FileItem>,
    /// Files of that name and size at addresses that were not there before.
    alike: Vec<FileItem>,
    /// What was to be replaced and is still there under that name.
    old: Vec<String>,
}

/// Goes on with an earlier upload to `target`: the file that holds what `body` holds, if it is there. If not, `target` has
/// learnt what else must be replaced.
pub(crate) async fn upload(
    account: &Arc<Account>,
    note: &Note,
    source: &str,
    target: &mut Target,
    body: &Body,
) -> Result<Option<FileItem>> {
    let traces = find(account, note).await?;
    if note.folder != target.folder || note.name != target.name {
        return Ok(None);
    }
    target.learn(traces.old);
    target.learn(traces.ours.iter().map(|file| file.url.clone()));
    if let Some(file) = traces.stored {
        if note.source == source && body.size() == Some(note.size) && file.size == body.size() {
            return Ok(Some(file));
        }
        target.learn([file.url]);
    }
    let is_possible = body.size() == Some(note.size) && body.replayable();
    if is_possible && traces.ours.iter().chain(&traces.alike).any(|file| file.hash.is_some()) {
        let digest = digest_of(body).await?;
        let mut all = traces.ours.iter().chain(&traces.alike);
        return Ok(all.find(|file| digest.is_some() && file.hash == digest).cloned());
    }
    Ok(None)
}

/// The addresses of what arrived of an earlier upload only after it had been looked for and sent anew: the bytes of a
/// process that died are on their way for a while. They are old versions of the file that was sent after them.
pub(crate) async fn arrived_late(
    account: &Account,
    note: &Note,
    moment: Instant,
) -> Result<Vec<String>> {
    let mut late = Vec::new();
    for upload in note.uploads() {
        let told = account.reports.late(&account.api, upload, moment).await?;
        let links = told.iter().flat_map(|told| named(told, note));
        late.extend(links.map(|link| listing::without_tail(link.download.clone())));
    }
    Ok(late)
}

/// The links of a report that are about the file of a note.
fn named<'a>(told: &'a Told, note: &'a Note) -> impl Iterator<Item = &'a Link> {
    let is_it = |link: &&Link| {
        is_named(link.filename.as_deref(), &note.name)
            && link.size.is_none_or(|size| size == note.size)
            && !note.known.contains(&listing::without_tail(link.download.clone()))
    };
    told.links.iter().filter(is_it)
}

/// Goes on with an earlier copy to `target` of a file with this digest.
pub(crate) async fn copy(
    account: &Arc<Account>,
    note: &Note,
    source: &str,
    target: &mut Target,
    digest: Option<&Digest>,
    not: &str,
) -> Result<Option<FileItem>> {
    let traces = find(account, note).await?;
    if note.folder != target.folder || note.name != target.name {
        return Ok(None);
    }
    target.learn(traces.old);
    if let Some(file) = traces.stored.filter(|_| note.source == source) {
        return Ok(Some(file));
    }
    let is_it = |file: &FileItem| digest.is_some() && file.hash.as_ref() == digest;
    Ok(traces.alike.into_iter().find(|file| file.url != not && is_it(file)))
}

/// Ends an earlier transfer that nobody goes on with, so that one file of the name is left. A new version that was
/// verified stays and the old ones go; one that was not goes where an old one is there. The only file of its name stays.
pub(crate) async fn abandon(
    account: &Arc<Account>,
    path: &RelPath,
    checkpoint: &Checkpoint,
) -> Result<()> {
    let Some(note) = note::load(checkpoint).await? else { return Ok(()) };
    let traces = find(account, &note).await?;
    let sent = Ground::Sent { size: note.size, before: note.before() };
    let (unwanted, ground): (Vec<String>, Ground) = match traces.stored {
        Some(file) => {
            let ground = Ground::Replaced { by: file.url.clone(), size: file.size };
            (traces.old.into_iter().filter(|url| *url != file.url).collect(), ground)
        }
        None if traces.old.is_empty() => (Vec::new(), sent),
        None => (traces.ours.into_iter().map(|file| file.url).collect(), sent),
    };
    for url in unwanted {
        let (name, ground) = (note.name.clone(), ground.clone());
        let at = path.parent();
        let removal = Removal { url: url.clone(), folder: note.folder, name, at, ground };
        gather::remove(account, removal).await?;
        account.tree.cache.change(note.folder, Change::RemoveFile(url));
    }
    if let Some(pending) = account.lost.of(path) {
        account.lost.remove(&pending);
    }
    checkpoint.note.save(bytes::Bytes::new()).await
}

async fn find(account: &Arc<Account>, note: &Note) -> Result<Traces> {
    let mut told = Vec::new();
    for upload in note.uploads() {
        told.push(account.reports.of(&account.api, upload).await?);
    }
    let links = told.iter().flat_map(|told| named(told, note));
    let links: Vec<(String, Option<Digest>)> = links
        .map(|link| {
            let digest = link.whirlpool.as_deref().and_then(listing::digest);
            (listing::without_tail(link.download.clone()), digest)
        })
        .collect();
    let asked = told.iter().map(|told| told.at).max().unwrap_or_else(Instant::now);
    // Every listing of this process is younger than the death of the earlier one. One that shows the new file is enough.
    let life = account.api.pacer.listing_life();
    let seen = account.tree.cache.get(note.folder, life).filter(|listing| {
        let mut new = links.iter().map(|(url, _)| url).chain(&note.stored);
        new.any(|url| listing.files.iter().any(|file| file.url == *url))
    });
    let listing = match seen {
        Some(listing) => listing,
        None => match look(account, note.folder, asked).await? {
            Some(listing) => listing,
            None => return Ok(Traces::default()),
        },
    };
    let mut traces = Traces { old: old(note, &listing), ..Traces::default() };
    if let Some(url) = &note.stored {
        traces.stored = alive(account, note, &listing, url, None).await?;
    }
    for (url, digest) in links {
        if note.stored.as_ref() != Some(&url) {
            traces.ours.extend(alive(account, note, &listing, &url, digest).await?);
        }
    }
    traces.alike = alike(note, &listing, &traces.ours);
    let is_clear = !told.is_empty() && told.iter().all(|told| told.is_clear);
    let is_empty = traces.stored.is_none() && traces.ours.is_empty() && traces.alike.is_empty();
    if is_empty && !is_clear {
        let mut waits = crate::api::polls(&account.api.settings).take(LOOKS - 1);
        while let Some(wait) = waits.next().filter(|_| traces.alike.is_empty()) {
            let asked = Instant::now();
            tokio::time::sleep(wait).await;
            let Some(listing) = look(account, note.folder, asked).await? else { break };
            traces.alike = alike(note, &listing, &[]);
        }
    }
    Ok(traces)
}

/// A listing of the folder asked for after `asked`; `None` when the folder is gone. Those who look for the files of one
/// upload share it.
async fn look(
    account: &Arc<Account>,
    folder: u64,
    asked: Instant,
) -> Result<Option<Arc<FolderListing>>> {
    match account.tree.listing(&account.api, folder, asked.elapsed()).await {
        Ok(listing) => Ok(Some(listing)),
        Err(Refusal { said: Said::NotFound, .. }) => Ok(None),
        Err(refusal)
            if matches!(refusal.error.kind(), ErrorKind::NotFound | ErrorKind::Denied)
                && refusal.said == Said::Other =>
        {
            Ok(None)
        }
        Err(refusal) => Err(refusal.into()),
    }
}

fn old(note: &Note, listing: &FolderListing) -> Vec<String> {
    let files = listing.files(&note.name).into_iter().map(|file| &file.url);
    files.filter(|url| note.known.contains(url)).cloned().collect()
}

fn alike(note: &Note, listing: &FolderListing, ours: &[FileItem]) -> Vec<FileItem> {
    let is_new = |file: &&FileItem| {
        file.size == Some(note.size)
            && !note.known.contains(&file.url)
            && note.stored.as_ref() != Some(&file.url)
            && !ours.iter().any(|known| known.url == file.url)
    };
    listing.files(&note.name).into_iter().filter(is_new).cloned().collect()
}

fn is_named(remote: Option<&str>, name: &str) -> bool {
    remote.is_some_and(|remote| names::to_core(remote) == name)
}

/// The file at `url`, if it is there: a report outlives the file it is about.
async fn alive(
    account: &Arc<Account>,
    note: &Note,
    listing: &FolderListing,
    url: &str,
    reported: Option<Digest>,
) -> Result<Option<FileItem>> {
    if let Some(file) = listing.files(&note.name).into_iter().find(|file| file.url == url) {
        let hash = file.hash.clone().or(reported);
        return Ok(Some(FileItem { hash, ..file.clone() }));
    }
    let info = match account.api.file_info(url).await {
        Ok(info) => info,
        Err(refusal) if refusal.said == Said::NotFound => return Ok(None),
        Err(refusal) if refusal.error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(refusal) => return Err(refusal.into()),
    };
    let is_there =
        info.folder_id == Some(note.folder) && is_named(info.filename.as_deref(), &note.name);
    let hash = info.checksum.as_deref().and_then(listing::digest).or(reported);
    let file = FileItem {
        name: note.name.clone(),
        url: url.to_owned(),
        size: info.size,
        date: info.date.as_deref().and_then(crate::dates::parse),
        hash,
    };
    Ok(is_there.then_some(file))
}
