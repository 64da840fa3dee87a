//! Sending: one request for one file, or for the small files of one folder that are wanted at the same time.
//!
//! The files of a request share its fate up to the report, and each is then proven by itself. A file that cannot be read
//! spoils the whole request, of which the node then keeps nothing; the others are sent again without it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::StreamExt;
use ketch_core::source::{ByteStream, HashingSource, open_all};
use ketch_core::{Error, ErrorKind, RelPath, Result, Retry};
use tokio::time::Instant;

use crate::account::Account;
use crate::arrival;
use crate::batch::{Member, Turn};
use crate::bounds::SIZES;
use crate::error::{Said, read as read_text, refusal};
use crate::hosts::Place;
use crate::http::{Answer, Sent};
use crate::items::{Change, FileItem};
use crate::lost::Pending;
use crate::multipart::Part;
use crate::pending::{Arrived, PendingUpload};
use crate::report::Upload;
use crate::report::{self, Report};
use crate::sent::SendDigest;
use crate::text::node_says;
use crate::types::Link;
use crate::{gather, verify};

/// For how long to look for an upload whose reply was lost.
const LOST_WAIT: Duration = Duration::from_secs(60);
/// After so many files of a request could not be read, the others are sent one by one.
const UNREADABLE_MAX: usize = 3;
/// The longest time to look at a folder for files that no report speaks of.
const LISTING_WAIT: Duration = Duration::from_secs(120);

/// Why a file is not stored, or may be.
struct Failure {
    error: Error,
    /// Something may be at the node, or in the folder.
    is_unsettled: bool,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure { error, is_unsettled: false }
    }
}

/// How a request ended.
enum Round {
    /// For each file by itself.
    Ended(Vec<Result<Arrived, Failure>>),
    /// This file could not be read; nothing of the request is stored.
    Unreadable(usize, Error),
}

/// Sends a file, with others if it is small. What comes back is stored and proven; old versions are still there.
pub(crate) async fn send(account: &Arc<Account>, pending: PendingUpload) -> Result<Arrived> {
    let settings = &account.api.settings;
    if settings.gather.items < 2 || pending.size > settings.gather.item_bytes {
        return alone(account, pending).await;
    }
    let gather = settings.gather;
    let fits = move |pending: &PendingUpload,
                     mut others: &mut dyn Iterator<Item = &PendingUpload>| {
        let (mut items, mut bytes) = (1, pending.size);
        // Two of one name could not be told apart in the report.
        let is_new = (&mut others).all(|other| {
            (items, bytes) = (items + 1, bytes + other.size);
            other.target.name != pending.target.name
        });
        is_new && items <= gather.items && bytes <= gather.bytes
    };
    let owner = Arc::clone(account);
    account.uploads.join(pending.target.folder, pending, fits, |turn| together(owner, turn)).await?
}

async fn alone(account: &Arc<Account>, pending: PendingUpload) -> Result<Arrived> {
    let _place = account.places.acquire().await.map_err(|_| closed())?;
    let (node, id) = account.api.upload_server().await?;
    let result = match round(account, &[&pending], node, id).await {
        Round::Ended(results) => results.into_iter().next().unwrap_or_else(|| Err(closed().into())),
        Round::Unreadable(_, error) => Err(error.into()),
    };
    settled(&pending, result).await
}

/// The task of one batch.
async fn together(account: Arc<Account>, turn: Turn<u64, PendingUpload, Result<Arrived>>) {
    let mut waiting: VecDeque<Vec<Member<PendingUpload, Result<Arrived>>>> = VecDeque::new();
    let mut unreadable = 0;
    let mut is_taken = false;
    loop {
        let place = account.places.acquire().await;
        let server = account.api.upload_server().await;
        if !is_taken {
            is_taken = true;
            waiting.push_back(turn.take());
        }
        let Some(mut members) = waiting.pop_front() else { return };
        members.retain(Member::is_wanted);
        if members.is_empty() {
            if waiting.is_empty() {
                return;
            }
            continue;
        }
        let (node, id) = match (server, &place) {
            (Ok(server), Ok(_)) => server,
            (server, _) => {
                let error = server.err().map_or_else(closed, Error::from);
                fail_all(&account, members, &error).await;
                for members in waiting {
                    fail_all(&account, members, &error).await;
                }
                return;
            }
        };
        let all_pending: Vec<&PendingUpload> = members.iter().map(|member| &member.item).collect();
        match round(&account, &all_pending, node, id).await {
            Round::Ended(results) => {
                // ORDER: this task ends with the last caller that waits, and what is stored for those that have gone is
                // removed before.
                let all = members.into_iter().zip(results);
                let (waiting, gone): (Vec<_>, Vec<_>) =
                    all.partition(|(member, _)| member.is_wanted());
                for (member, result) in gone.into_iter().chain(waiting) {
                    answer(&account, member, result).await;
                }
            }
            Round::Unreadable(index, error) => {
                let member = members.remove(index.min(members.len() - 1));
                answer(&account, member, Err(error.into())).await;
                unreadable += 1;
                if unreadable < UNREADABLE_MAX {
                    waiting.push_front(members);
                } else {
                    waiting.extend(members.into_iter().map(|member| vec![member]));
                }
            }
        }
        if waiting.iter().all(Vec::is_empty) {
            return;
        }
    }
}

async fn fail_all(
    account: &Arc<Account>,
    members: Vec<Member<PendingUpload, Result<Arrived>>>,
    error: &Error,
) {
    for member in members {
        answer(account, member, Err(error.twin().into())).await;
    }
}

/// Tells a caller. What was stored for one that does not wait any more is removed, unless its job will be continued.
async fn answer(
    account: &Arc<Account>,
    member: Member<PendingUpload, Result<Arrived>>,
    result: Result<Arrived, Failure>,
) {
    let result = settled(&member.item, result).await;
    let Some((pending, Ok((folder, file)))) = member.answer(result) else { return };
    if pending.upload_note.keeps() {
        return;
    }
    let removal = pending.target.sent(folder, &file.url, pending.size);
    match gather::remove(account, removal).await {
        Ok(()) => account.tree.cache.change(folder, Change::RemoveFile(file.url)),
        Err(error) => tracing::warn!(%error, "an upload that was given up could not be removed"),
    }
}

/// Forgets the note of a file of which nothing is stored.
async fn settled(pending: &PendingUpload, result: Result<Arrived, Failure>) -> Result<Arrived> {
    match result {
        Ok(arrived) => Ok(arrived),
        Err(failure) => {
            if !failure.is_unsettled {
                pending.upload_note.undone().await?;
            }
            Err(failure.error)
        }
    }
}

fn closed() -> Error {
    Error::new(ErrorKind::Cancelled, "the account is being closed")
}

/// One request for files of one folder.
async fn round(
    account: &Arc<Account>,
    all_pending: &[&PendingUpload],
    node: Place,
    id: String,
) -> Round {
    let all = |error: Error| {
        let failures = all_pending.iter().map(|_| Err(error.twin().into()));
        Round::Ended(failures.collect())
    };
    let Some(folder) = all_pending.first().map(|pending| pending.target.folder) else {
        return Round::Ended(Vec::new());
    };
    let upload = Upload {
        node: node.authority().to_owned(),
        xid: id.clone(),
        files: all_pending.len(),
        size: None,
    };
    // ORDER: written down before the first byte is sent, or no process would know of what arrives.
    account.tree.sending.begin(folder, &upload);
    let notes = all_pending.iter().map(|pending| {
        pending.upload_note.begin(&pending.target, pending.size, Some(upload.clone()))
    });
    if let Err(error) = futures::future::try_join_all(notes).await {
        return all(error);
    }
    let send_digests: Vec<SendDigest> =
        all_pending.iter().map(|pending| SendDigest::new(&pending.body, pending.proof)).collect();
    let broken = Arc::new(AtomicUsize::new(usize::MAX));
    let parts =
        all_pending.iter().zip(&send_digests).enumerate().map(|(index, (pending, send_digest))| {
            let (source, broken) = (Arc::clone(&send_digest.source), Arc::clone(&broken));
            let open = move || open_watched(source, index, broken);
            Part { name: pending.target.remote_name.clone(), size: pending.size, open }
        });
    let before = arrival::Arrival::expected(account);
    let form = crate::multipart::form(folder, parts.collect());
    let place = node.with_path(&format!("/upload.cgi?id={id}"));
    let sent = match account.api.http.upload(&place, form).await {
        Sent::SourceFailed(error) => {
            account.tree.sending.end(&upload.xid);
            return Round::Unreadable(broken.load(Ordering::Relaxed), error);
        }
        sent => sent,
    };
    let outcome = match outcome(account, sent, &node, id) {
        Ok(outcome) => outcome,
        // Nothing is stored.
        Err(error) => {
            account.tree.sending.end(&upload.xid);
            return match all_pending.len() {
                1 => Round::Ended(vec![Err(error.into())]),
                _ => all(error),
            };
        }
    };
    let was_lost = outcome.doubt.is_some();
    let mut results = settle(account, all_pending, &send_digests, &node, outcome).await;
    let mut files: Vec<&mut FileItem> = results.iter_mut().flatten().collect();
    let parent = all_pending[0].path.parent().unwrap_or_else(RelPath::root);
    let placed = arrival::confirm(account, &parent, folder, &before, &mut files).await;
    let mut ended = Vec::with_capacity(all_pending.len());
    let mut is_known = true;
    for ((pending, result), send_digest) in all_pending.iter().zip(results).zip(&send_digests) {
        let (is_unsettled, error) = match (result, &placed) {
            (Ok(file), Ok(folder)) => {
                // What is verified must be known to other processes before the upload is off the record.
                account.tree.cache.recent.note(*folder, &Change::AddFile(file.clone()));
                ended.push(Ok((*folder, file)));
                continue;
            }
            // It is stored, and nothing says where, unless it was removed again.
            (Ok(_), Err(error)) => (error.kind() != ErrorKind::Changed, error.twin()),
            (Err(error), _) => (was_lost || error.kind() == ErrorKind::CommitUnknown, error),
        };
        if is_unsettled {
            account.tree.cache.forget(folder);
            if let Some(digest) = send_digest.digest().await {
                let target = pending.target.clone();
                let upload = Some(upload.clone());
                account.lost.add(Pending::new(&pending.path, target, pending.size, digest, upload));
            }
        }
        // What is damaged and could not be removed is found again by its upload.
        let is_unsettled = is_unsettled || error.kind() == ErrorKind::Corrupt;
        is_known &= !is_unsettled;
        ended.push(Err(Failure { is_unsettled, error }));
    }
    if is_known {
        account.tree.sending.end(&upload.xid);
    }
    Round::Ended(ended)
}

/// Opens a body that remembers, by its number, that it was the one that failed.
async fn open_watched(
    source: Arc<HashingSource>,
    index: usize,
    broken: Arc<AtomicUsize>,
) -> Result<ByteStream> {
    let note = move |error: Error| {
        broken.store(index, Ordering::Relaxed);
        error
    };
    let stream = open_all(&*source).await.map_err(&note)?;
    // The source goes along: its digest is that of this pass.
    Ok(stream.map(move |piece| piece.map_err(&note)).boxed())
}

/// What is known when the request has ended.
struct Outcome {
    xid: String,
    /// Why it is not certain that the node has the file.
    doubt: Option<Error>,
}

fn outcome(account: &Account, sent: Sent, node: &Place, id: String) -> Result<Outcome> {
    let answer = match sent {
        Sent::Answered(answer) => answer,
        Sent::SourceFailed(error) => return Err(error),
        Sent::Broken { whole: false, error } => return Err(not_stored(error)),
        Sent::Broken { whole: true, error } => return Ok(Outcome { xid: id, doubt: Some(error) }),
    };
    match answer.status {
        300..=399 => {
            let xid = answer.location.as_deref().and_then(|location| xid(location, node));
            Ok(Outcome { xid: xid.unwrap_or(id), doubt: None })
        }
        _ => {
            let (is_final, error) = page(account, &answer);
            if is_final { Err(error) } else { Ok(Outcome { xid: id, doubt: Some(error) }) }
        }
    }
}

/// The error of a network that failed before everything had been sent: nothing is stored, and sending again is safe.
fn not_stored(error: Error) -> Error {
    let message = format!("the upload broke off: {}", error.message());
    let retry = error.retry();
    let broken = Error::new(ErrorKind::Unavailable, message).with_retry(retry);
    broken.with_hint_of(&error).with_source(error)
}

/// What an answer other than the redirection means, and whether it is certain that nothing is stored.
fn page(account: &Account, answer: &Answer) -> (bool, Error) {
    let text = account.api.http.scrub(&String::from_utf8_lossy(&answer.body));
    let lower = text.to_lowercase();
    let says = node_says(&text);
    let failed = |kind, retry, advice: &str| {
        let message = format!("{advice}: {says} (HTTP {})", answer.status);
        Error::new(kind, message).with_retry(retry)
    };
    if lower.contains("pas de fichier trouv") {
        let advice = "the node found no file in the upload";
        return (true, failed(ErrorKind::Protocol, Retry::Never, advice));
    }
    if lower.contains("ouvrir le fichier destination") {
        let advice = "the node could not open its storage";
        return (true, failed(ErrorKind::Unavailable, Retry::Backoff, advice));
    }
    let is_good = (200..300).contains(&answer.status);
    if !is_good || read_text(&text) != Said::Other {
        let envelope: crate::types::Envelope =
            serde_json::from_slice(&answer.body).unwrap_or_default();
        let message = account.api.http.scrub(envelope.message.as_deref().unwrap_or(&says));
        let error = match answer.status {
            413 => failed(
                ErrorKind::Unsupported,
                Retry::Never,
                &format!("the file is too large for this account ({SIZES})"),
            ),
            status => account.api.scaled(refusal(status, &message).error),
        };
        return (true, error);
    }
    (false, failed(ErrorKind::Protocol, Retry::Never, "the node gave an unknown answer"))
}

/// The id in the address of the report, if that is on the same node.
fn xid(location: &str, node: &Place) -> Option<String> {
    let same = location.starts_with('/') && !location.starts_with("//")
        || location
            .split("://")
            .nth(1)
            .is_some_and(|rest| rest.split(['/', '?', '#']).next() == Some(node.authority()));
    let (_, after) = location.split_once("xid=").filter(|_| same)?;
    let id: String = after.chars().take_while(char::is_ascii_alphanumeric).collect();
    (!id.is_empty() && id.len() <= 64).then_some(id)
}

/// Waits for the report, or finds the files without it, and compares each with what was sent.
async fn settle(
    account: &Arc<Account>,
    all_pending: &[&PendingUpload],
    send_digests: &[SendDigest],
    node: &Place,
    outcome: Outcome,
) -> Vec<Result<FileItem>> {
    let settings = &account.api.settings;
    let limit = if outcome.doubt.is_some() { LOST_WAIT } else { settings.end_wait };
    let (limit, doubt) = (settings.scaled(limit), outcome.doubt);
    let xid = &outcome.xid;
    let report =
        report::wait(&account.api, node, xid, all_pending.len(), limit, doubt.is_some()).await;
    let asked = Instant::now();
    let names: Vec<&str> = all_pending.iter().map(|pending| pending.target.name.as_str()).collect();
    let links = match &report {
        Report::Links(links) => assign(&names, links),
        Report::Nothing | Report::Unclear => vec![None; all_pending.len()],
    };
    // A link for each file and no other: which one is about which file is clear without a digest.
    let is_clear = matches!(&report, Report::Links(links) if links.len() == all_pending.len());
    let mut results = Vec::with_capacity(all_pending.len());
    let mut looked = None;
    for ((pending, send_digest), link) in all_pending.iter().zip(send_digests).zip(links) {
        let (target, size) = (&pending.target, pending.size);
        if let Some(link) = link {
            let stored = verify::stored(account, target, link, size, send_digest, is_clear, asked);
            results.push(stored.await);
            continue;
        }
        // A look that fails shows nothing, and its own error would let the upload be repeated as if nothing had been sent.
        if looked.is_none() {
            let look = account.tree.listing(&account.api, target.folder, asked.elapsed());
            looked = Some(tokio::time::timeout(LISTING_WAIT, look).await.ok().and_then(Result::ok));
        }
        let listing = looked.as_ref().and_then(Option::as_ref);
        let digest = send_digest.digest().await;
        let found = listing.and_then(|listing| target.new_in(listing, size, digest.as_ref(), None));
        let is_missed = listing.is_some() && !send_digest.is_unknowable();
        results.push(match (found, &doubt) {
            (Some(file), _) => Ok(file),
            // The node knows of no such upload, and the folder does not show it.
            (None, Some(doubt)) if is_missed && matches!(report, Report::Nothing) => {
                Err(not_stored(doubt.twin()))
            }
            (None, Some(doubt)) => {
                let cause = format!("its answer was lost: {}", doubt.message());
                Err(unknown(Retry::Backoff, &cause))
            }
            (None, None) => Err(unknown(Retry::Never, "the node never reported on it")),
        });
    }
    results
}

fn unknown(retry: Retry, cause: &str) -> Error {
    let message = format!("the file was sent and may be stored, {cause}");
    Error::new(ErrorKind::CommitUnknown, message).with_retry(retry)
}

/// Which link of a report is about which file. By name; those whose names the server has changed by their order.
fn assign(names: &[&str], links: &[Link]) -> Vec<Option<Link>> {
    let is_named = |link: &Link, name: &str| {
        link.filename.as_deref().is_some_and(|remote| crate::names::to_core(remote) == name)
    };
    let mut chosen: Vec<Option<Link>> =
        names.iter().map(|name| links.iter().find(|link| is_named(link, name)).cloned()).collect();
    let others: Vec<&Link> =
        links.iter().filter(|link| !names.iter().any(|name| is_named(link, name))).collect();
    let missing: Vec<usize> = (0..names.len()).filter(|index| chosen[*index].is_none()).collect();
    if missing.len() == others.len() || names.len() == 1 {
        for (index, link) in missing.into_iter().zip(others) {
            chosen[index] = Some(link.clone());
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hosts::Origin;

    #[test]
    fn links_are_told_apart_by_name_and_then_by_order() {
        let link = |name: &str, id: &str| {
            let text =
                format!(r#"{{"download":"https://1fichier.com/?{id}","filename":"{name}"}}"#);
            serde_json::from_str::<Link>(&text).expect("a link")
        };
        let check = |names: &[&str], links: &[(&str, &str)], expected: &[Option<&str>]| {
            let links: Vec<Link> = links.iter().map(|(name, id)| link(name, id)).collect();
            let chosen = assign(names, &links);
            let ids: Vec<_> = chosen
                .iter()
                .map(|link| Some(link.as_ref()?.download.rsplit_once('?')?.1))
                .collect();
            assert_eq!(ids, expected, "{names:?}");
        };
        check(&["a"], &[("a", "1")], &[Some("1")]);
        check(&["a"], &[("other", "1"), ("another", "2")], &[Some("1")]);
        check(&["a", "b"], &[("b", "1"), ("a", "2")], &[Some("2"), Some("1")]);
        check(&["a", "b"], &[("b", "1"), ("b", "2")], &[None, Some("1")]);
        check(
            &["a", "b", "c"],
            &[("x", "1"), ("b", "2"), ("y", "3")],
            &[Some("1"), Some("2"), Some("3")],
        );
        check(&["a", "b", "c"], &[("x", "1"), ("b", "2")], &[None, Some("2"), None]);
        check(&["a", "b"], &[], &[None, None]);
    }

    #[test]
    fn the_report_is_only_looked_for_on_the_same_node() {
        let origin = Origin::parse("https://api.1fichier.com/v1").expect("legal");
        let node = origin.node("up2.1fichier.com").expect("legal");
        let check = |location, expected: Option<&str>| {
            assert_eq!(xid(location, &node).as_deref(), expected, "{location}");
        };
        check("/end.pl?xid=aB3", Some("aB3"));
        check("/end.pl?a=b&xid=aB3&c", Some("aB3"));
        check("https://up2.1fichier.com/end.pl?xid=aB3", Some("aB3"));
        check("https://evil.example/end.pl?xid=aB3", None);
        check("//evil.example/end.pl?xid=aB3", None);
        check("/end.pl", None);
        check("/end.pl?xid=", None);
    }
}
