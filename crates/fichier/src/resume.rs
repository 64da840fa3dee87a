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
use crate::error::Said;
use crate::items::{Change, FileItem, FolderListing};
use crate::links;
use crate::note::{self, Note};
use crate::removal::{Ground, Removal};
use crate::report::{Told, Upload};
use crate::sent::digest_of;
use crate::target::Target;
use crate::tree::TOP;
use crate::types::{Info, Link};
use crate::{gather, names};

/// How many listings are asked for when the node gives no clear answer.
const LOOKS: usize = 3;

/// What is there of an earlier transfer.
#[derive(Debug, Default)]
struct Traces {
    /// The new version, which the earlier process had verified, and the folder it is in.
    stored: Option<(u64, FileItem)>,
    /// Addresses that the upload got, and that are alive.
    ours: Vec<Ours>,
    /// The same in the top folder, where an upload lands whose own folder is gone.
    astray: Vec<Ours>,
    /// Files of that name and size at addresses that were not there before.
    alike: Vec<FileItem>,
    /// What was to be replaced and is still there under that name.
    old: Vec<FileItem>,
    /// Other files of that name.
    others: Vec<FileItem>,
    /// May something still arrive?
    is_open: bool,
}

/// A file that an upload brought.
#[derive(Debug, Clone)]
struct Ours {
    file: FileItem,
    /// The folder it is in.
    folder: u64,
    /// The size that was sent.
    size: u64,
}

/// Continues an earlier upload to `target`: the file that holds what `body` holds, if it is there. If not, `target` has
/// learnt what else must be replaced.
pub(crate) async fn upload(
    account: &Arc<Account>,
    note: &Note,
    source: &str,
    target: &mut Target,
    body: &Body,
) -> Result<Option<FileItem>> {
    let traces = find(account, note, Some(&target.at)).await?;
    if note.name != target.name {
        return Ok(None);
    }
    let digest_if = async |is_wanted: bool| match is_wanted && body.replayable() {
        true => digest_of(body).await,
        false => Ok(None),
    };
    // No command looks for it in the top folder, and it may be the very file.
    for lost in &traces.astray {
        let is_possible = lost.file.hash.is_some() && body.size() == lost.file.size;
        let digest = digest_if(is_possible).await?;
        if digest.is_some() && lost.file.hash == digest {
            let moved = account.api.files_mv(&[&lost.file.url], target.folder).await?;
            let url = moved.into_iter().next().map_or(lost.file.url.clone(), links::without_tail);
            account.tree.cache.change(TOP, Change::RemoveFile(lost.file.url.clone()));
            return Ok(Some(FileItem { url, ..lost.file.clone() }));
        }
        remove_sent(account, note, None, lost).await?;
    }
    // The folder of the note may have been moved by others since. What is in the folder that is now at that path counts: the
    // earlier process has brought the file there.
    let is_same_folder = note.folder == target.folder;
    if is_same_folder {
        target.learn(traces.old.into_iter().map(|file| file.url));
    }
    let ours = traces.ours.into_iter().filter(|ours| ours.folder == target.folder);
    let ours: Vec<FileItem> = ours.map(|ours| ours.file).collect();
    target.learn(ours.iter().map(|file| file.url.clone()));
    if let Some((_, file)) = traces.stored.filter(|(folder, _)| *folder == target.folder) {
        if note.source == source && body.size() == Some(note.size) && file.size == body.size() {
            return Ok(Some(file));
        }
        target.learn([file.url]);
    }
    let alike = if is_same_folder { traces.alike } else { Vec::new() };
    let is_possible = |file: &&FileItem| file.hash.is_some() && file.size == body.size();
    let possible: Vec<&FileItem> = ours.iter().chain(&alike).filter(is_possible).collect();
    let digest = digest_if(!possible.is_empty()).await?;
    let found = possible.into_iter().find(|file| digest.is_some() && file.hash == digest);
    if found.is_none() && !alike.is_empty() {
        // No report names it, and its digest is another: it may be of anyone, so it is not removed.
        tracing::warn!(
            name = note.name,
            "a file of this name and size is there that nothing shows to be of an earlier run; it stays beside the new one"
        );
    }
    Ok(found.cloned())
}

/// The addresses of what an earlier transfer has stored in the folder of the note.
pub(crate) async fn sent(account: &Arc<Account>, note: &Note) -> Result<Vec<String>> {
    let traces = find(account, note, None).await?;
    let ours = traces.ours.into_iter().map(|ours| ours.file.url);
    Ok(ours.chain(traces.stored.map(|(_, file)| file.url)).collect())
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
        let links = told.iter().flat_map(|told| named(told, note, upload));
        late.extend(links.map(|link| links::without_tail(link.download.clone())));
    }
    Ok(late)
}

/// The links of a report that are about the file of a note.
fn named<'a>(told: &'a Told, note: &'a Note, upload: &'a Upload) -> impl Iterator<Item = &'a Link> {
    let is_it = |link: &&Link| {
        is_named(link.filename.as_deref(), &note.name)
            && link.size.is_none_or(|size| size == note.size_of(upload))
            && !note.known.contains(&links::without_tail(link.download.clone()))
    };
    told.links.iter().filter(is_it)
}

/// Continues an earlier copy to `target` of a file with this digest.
pub(crate) async fn copy(
    account: &Arc<Account>,
    note: &Note,
    source: &str,
    target: &mut Target,
    digest: Option<&Digest>,
    not: &str,
) -> Result<Option<FileItem>> {
    let traces = find(account, note, Some(&target.at)).await?;
    if note.name != target.name {
        return Ok(None);
    }
    let is_same_folder = note.folder == target.folder;
    if is_same_folder {
        target.learn(traces.old.into_iter().map(|file| file.url));
    }
    if let Some((_, file)) = traces.stored.filter(|(folder, _)| *folder == target.folder) {
        if note.source == source {
            return Ok(Some(file));
        }
        target.learn([file.url]);
    }
    if !is_same_folder {
        return Ok(None);
    }
    let is_it = |file: &FileItem| digest.is_some() && file.hash.as_ref() == digest;
    Ok(traces.alike.into_iter().find(|file| file.url != not && is_it(file)))
}

/// Ends an earlier transfer that no process continues, so that one file of the name is left. A new version that was
/// verified stays and the old ones go; one that was not goes where an old one is there. The only file of its name stays.
///
/// A note is as old as its process. Where this machine has verified a later version of the name since, by this transfer or
/// another one, that version stays, and what the note speaks of is old.
pub(crate) async fn abandon(
    account: &Arc<Account>,
    path: &RelPath,
    checkpoint: &Checkpoint,
) -> Result<()> {
    let Some(note) = note::load(checkpoint).await? else { return Ok(()) };
    let at = path.parent();
    let traces = find(account, &note, at.as_ref()).await?;
    for lost in &traces.astray {
        remove_sent(account, &note, None, lost).await?;
    }
    let good = good(account, &note, &traces);
    if let Some((folder, good)) = &good {
        let ground = Ground::Replaced { by: good.url.clone(), size: good.size };
        let old = traces.old.iter().map(|file| (note.folder, file));
        let old = old.chain(traces.stored.iter().map(|(folder, file)| (*folder, file)));
        // In a folder that others have moved away nothing is replaced.
        for (_, file) in old.filter(|(at, file)| at == folder && file.url != good.url) {
            let (url, name, ground) = (file.url.clone(), note.name.clone(), ground.clone());
            let removal = Removal { url, folder: *folder, name, at: at.clone(), ground };
            remove(account, removal).await?;
        }
    }
    let is_replaced = |ours: &Ours| match &good {
        Some((folder, good)) => *folder == ours.folder && good.url != ours.file.url,
        None => !traces.old.is_empty() && ours.folder == note.folder,
    };
    for ours in traces.ours.iter().filter(|ours| is_replaced(ours)) {
        remove_sent(account, &note, at.clone(), ours).await?;
    }
    if let Some(pending) = account.lost.of(path) {
        account.lost.remove(&pending);
    }
    let removes_ours = good.is_some() || !traces.old.is_empty();
    let ours = traces.ours.iter().filter(|_| !removes_ours).map(|ours| &ours.file);
    let good = good.iter().map(|(_, file)| file);
    let stayed: Vec<String> = ours.chain(good).map(|file| file.url.clone()).collect();
    if traces.is_open || !stayed.is_empty() {
        account.given_up.add(note, stayed);
    }
    checkpoint.note.save(bytes::Bytes::new()).await
}

/// The version of the name that is known to be good: the newest that this machine has verified.
fn good(account: &Account, note: &Note, traces: &Traces) -> Option<(u64, FileItem)> {
    let is_verified = |file: &&FileItem| {
        account.tree.cache.recent.has_added(note.folder, &file.url)
            || account.owed.is_for(note.folder, &file.url)
    };
    let stored = traces.stored.iter().map(|(_, file)| file);
    let newest_old = traces.old.iter().chain(stored).filter_map(|file| file.date).max();
    let ours = traces.ours.iter().filter(|ours| ours.folder == note.folder).map(|ours| &ours.file);
    let later = ours.chain(&traces.alike).chain(&traces.others);
    // Before the note was written there were others, of which this is no witness.
    let is_later =
        |file: &&FileItem| note.before().lacks(&file.url, file.date) && file.date >= newest_old;
    let later = later.filter(is_verified).filter(is_later).max_by_key(|file| file.date);
    later.map(|file| (note.folder, file.clone())).or_else(|| traces.stored.clone())
}

/// Removes a file that is where it is meant to be. One that others have moved or renamed, or whose folder they have moved, is
/// theirs.
async fn remove(account: &Arc<Account>, removal: Removal) -> Result<()> {
    let (folder, url) = (removal.folder, removal.url.clone());
    match gather::remove(account, removal).await {
        Ok(()) => {}
        Err(error) if matches!(error.kind(), ErrorKind::Changed | ErrorKind::NotFound) => {
            tracing::info!(%error, "what an earlier transfer left is not where it was");
            account.tree.cache.forget(folder);
            return Ok(());
        }
        Err(error) => return Err(error),
    }
    account.tree.cache.change(folder, Change::RemoveFile(url));
    Ok(())
}

/// Removes what an upload brought.
async fn remove_sent(
    account: &Arc<Account>,
    note: &Note,
    at: Option<RelPath>,
    ours: &Ours,
) -> Result<()> {
    let ground = Ground::Sent { size: ours.size, before: note.before() };
    let (url, name, folder) = (ours.file.url.clone(), note.name.clone(), ours.folder);
    remove(account, Removal { url, folder, name, at, ground }).await
}

/// An address that a report names.
struct Named {
    url: String,
    digest: Option<Digest>,
    /// The size that was sent.
    size: u64,
}

/// Looks for what an earlier transfer left: in the folder of the note, in the folder that is at the path `at` now, and in the top.
async fn find(account: &Arc<Account>, note: &Note, at: Option<&RelPath>) -> Result<Traces> {
    let mut told = Vec::new();
    let mut links = Vec::new();
    for upload in note.uploads() {
        let one = account.reports.of(&account.api, upload).await?;
        links.extend(named(&one, note, upload).map(|link| Named {
            url: links::without_tail(link.download.clone()),
            digest: link.whirlpool.as_deref().and_then(links::digest),
            size: note.size_of(upload),
        }));
        told.push(one);
    }
    let asked = told.iter().map(|told| told.at).max().unwrap_or_else(Instant::now);
    // Every listing of this process is younger than the death of the earlier one. One that shows the new file is enough.
    let life = account.api.pacer.listing_life();
    let seen = account.tree.cache.get(note.folder, life).filter(|listing| {
        let mut new = links.iter().map(|named| &named.url).chain(&note.stored);
        new.any(|url| listing.files.iter().any(|file| file.url == *url))
    });
    let listing = match seen {
        Some(listing) => listing,
        // Of a folder that is gone nothing is there, and what was sent to it has arrived in the top folder.
        None => look(account, note.folder, asked).await?.unwrap_or_default(),
    };
    let is_known = |file: &&FileItem| note.known.contains(&file.url);
    let old = listing.files(&note.name).into_iter().filter(is_known).cloned().collect();
    let mut traces = Traces { old, ..Traces::default() };
    let is_astray = |folder: u64| folder == TOP && folder != note.folder;
    if let Some(url) = &note.stored {
        // One that others moved to the top is theirs: the folder lacks it.
        let found = alive(account, (note, at), &listing, url, None).await?;
        traces.stored = found.filter(|(folder, _)| !is_astray(*folder));
    }
    for named in links.iter().filter(|named| note.stored.as_ref() != Some(&named.url)) {
        let digest = named.digest.clone();
        let found = alive(account, (note, at), &listing, &named.url, digest).await?;
        if let Some((folder, file)) = found {
            let ours = Ours { file, folder, size: named.size };
            if is_astray(folder) { &mut traces.astray } else { &mut traces.ours }.push(ours);
        }
    }
    // A report may name another address; what has the digest that it tells, and was not there before, is what was sent.
    for file in alike(note, &listing, &[]) {
        let is_it = |named: &&Named| named.digest.is_some() && named.digest == file.hash;
        let is_known = traces.ours.iter().any(|ours| ours.file.url == file.url);
        if let Some(named) = links.iter().find(is_it).filter(|_| !is_known) {
            traces.ours.push(Ours { file, folder: note.folder, size: named.size });
        }
    }
    let ours: Vec<String> = traces.ours.iter().map(|ours| ours.file.url.clone()).collect();
    traces.alike = alike(note, &listing, &ours);
    let is_other = |file: &&FileItem| {
        !note.known.contains(&file.url)
            && note.stored.as_ref() != Some(&file.url)
            && !ours.contains(&file.url)
            && file.size != Some(note.size)
    };
    traces.others = listing.files(&note.name).into_iter().filter(is_other).cloned().collect();
    let is_clear = !told.is_empty() && told.iter().all(|told| told.is_clear);
    traces.is_open = told.iter().any(|told| told.links.is_empty());
    let is_empty = traces.stored.is_none()
        && traces.ours.is_empty()
        && traces.astray.is_empty()
        && traces.alike.is_empty();
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

/// A listing of the folder asked for after `asked`; `None` when the folder is gone, which only a second answer proves: the note of
/// an upload is given up for it. Those who look for the files of one upload share it.
async fn look(
    account: &Arc<Account>,
    folder: u64,
    asked: Instant,
) -> Result<Option<Arc<FolderListing>>> {
    let mut asked = asked;
    let mut waits = crate::api::polls(&account.api.settings).take(1);
    loop {
        let refusal = match account.tree.listing(&account.api, folder, asked.elapsed()).await {
            Ok(listing) => return Ok(Some(listing)),
            Err(refusal) => refusal,
        };
        let is_gone = refusal.said == Said::NotFound
            || refusal.said == Said::Other
                && matches!(refusal.error.kind(), ErrorKind::NotFound | ErrorKind::Denied);
        match waits.next() {
            _ if !is_gone => return Err(refusal.into()),
            None => return Ok(None),
            Some(wait) => {
                asked = Instant::now();
                tokio::time::sleep(wait).await;
            }
        }
    }
}

fn alike(note: &Note, listing: &FolderListing, ours: &[String]) -> Vec<FileItem> {
    let is_new = |file: &&FileItem| {
        file.size == Some(note.size)
            && !note.known.contains(&file.url)
            && note.stored.as_ref() != Some(&file.url)
            && !ours.contains(&file.url)
    };
    listing.files(&note.name).into_iter().filter(is_new).cloned().collect()
}

fn is_named(remote: Option<&str>, name: &str) -> bool {
    remote.is_some_and(|remote| names::to_core(remote) == name)
}

/// The file at `url`, if it is there, and the folder it is in: that of the note, the one that is at the path `at` now, or the
/// top. A report outlives the file it is
/// about, and a file that others moved or renamed is none of this transfer any more.
async fn alive(
    account: &Arc<Account>,
    (note, at): (&Note, Option<&RelPath>),
    listing: &FolderListing,
    url: &str,
    reported: Option<Digest>,
) -> Result<Option<(u64, FileItem)>> {
    let listed = |listing: &FolderListing| {
        let file = listing.files(&note.name).into_iter().find(|file| file.url == url)?;
        let hash = file.hash.clone().or_else(|| reported.clone());
        Some((note.folder, FileItem { hash, ..file.clone() }))
    };
    if let Some(found) = listed(listing) {
        return Ok(Some(found));
    }
    let Some(info) = told(account, url).await? else { return Ok(None) };
    let date = info.date.as_deref().and_then(crate::dates::parse);
    let folder = match info.is_file(note.folder, &note.name) {
        Some(true) => note.folder,
        Some(false) if info.is_file(TOP, &note.name) == Some(true) => {
            // What was there before the transfer began is another's.
            if !note.before().lacks(url, date) {
                return Ok(None);
            }
            TOP
        }
        // The folder was moved by others, and the earlier process brought the file to the one that is there now.
        Some(false)
            if at.is_some_and(|at| info.is_at(at))
                && is_named(info.filename.as_deref(), &note.name) =>
        {
            let Some(folder) = info.folder_id else { return Ok(None) };
            folder
        }
        Some(false) => return Ok(None),
        // It is there, and does not say where: the folder must show it, and may do so late.
        None => {
            for wait in crate::api::polls(&account.api.settings).take(LOOKS - 1) {
                let asked = Instant::now();
                tokio::time::sleep(wait).await;
                let Some(listing) = look(account, note.folder, asked).await? else { break };
                if let Some(found) = listed(&listing) {
                    return Ok(Some(found));
                }
            }
            return Ok(None);
        }
    };
    let hash = info.checksum.as_deref().and_then(links::digest).or_else(|| reported.clone());
    let (name, url) = (note.name.clone(), url.to_owned());
    Ok(Some((folder, FileItem { name, url, size: info.size, date, hash })))
}

/// What 1fichier says of the file at `url`; `None`: it does not know it, and says so twice.
async fn told(account: &Account, url: &str) -> Result<Option<Info>> {
    let mut waits = crate::api::polls(&account.api.settings).take(1);
    loop {
        let refusal = match account.api.file_info(url).await {
            Ok(info) => return Ok(Some(info)),
            Err(refusal) => refusal,
        };
        if refusal.said != Said::NotFound && refusal.error.kind() != ErrorKind::NotFound {
            return Err(refusal.into());
        }
        let Some(wait) = waits.next() else { return Ok(None) };
        tokio::time::sleep(wait).await;
    }
}
