//! Writing: three requests, and then the proof that what is stored is what was sent.
//!
//! Nothing overwrites on 1fichier. A new version is stored beside the old one, its size, digest and name are compared, and
//! only then the old one is removed. Sending again what was stored already makes a duplicate, so an upload whose outcome
//! is unknown is looked for before anybody may try again.

use std::time::Duration;

use ketch_core::checkpoint::Checkpoint;
use ketch_core::source::{Body, ExactSource, HashingSource, open_all};
use ketch_core::{Digest, Error, ErrorKind, HashAlgo, RelPath, Result, Retry};

use crate::account::Account;
use crate::cache::FileItem;
use crate::error::{Said, read as read_text, refusal};
use crate::hosts::Place;
use crate::http::{Answer, Sent};
use crate::lost::Pending;
use crate::note::{Trail, Upload};
use crate::report::{self, Report};
use crate::target::{Old, Target};
use crate::text::node_says;
use crate::{placement, resume, verify};

/// The largest file of a paying account.
pub(crate) const SIZE_MAX: u64 = 300_000_000_000;
/// For how long to look for an upload whose reply was lost.
const LOST_WAIT: Duration = Duration::from_secs(60);

/// Stores `body`. What comes back has been compared with what was sent.
pub(crate) async fn put(
    account: &Account,
    path: &RelPath,
    body: Body,
    old: Old,
    checkpoint: Option<Checkpoint>,
) -> Result<(u64, FileItem)> {
    let size = check_size(body.size())?;
    let source = checkpoint.as_ref().map(|checkpoint| checkpoint.source.clone());
    let trail = Trail::new(checkpoint);
    let lost = account.lost.of(path);
    let found = match &lost {
        Some(lost) => lost.find(account, 1).await?,
        None => None,
    };
    let mut target = Target::new(account, path, old).await?;
    if let (Some(lost), Some(file)) = (&lost, found)
        && lost.target().folder == target.folder
    {
        target.learn(lost.target().known.iter().cloned());
        if lost.is_of(&body).await? {
            target.replace_old(account, &file, &trail).await?;
            account.lost.remove(lost);
            return Ok((target.folder, file));
        }
        // Another content: what was lost and found again is one more old version.
        target.learn([file.url]);
    }
    if let (None, Some(source), Some(note)) = (&lost, &source, trail.earlier().await?) {
        let found = resume::upload(account, &note, source, &mut target, &body).await?;
        trail.adopt(note).await;
        if let Some(file) = found {
            target.replace_old(account, &file, &trail).await?;
            return Ok((target.folder, file));
        }
    }
    let mut file = send(account, path, &target, body, size, &trail).await?;
    let parent = path.parent().unwrap_or_else(RelPath::root);
    target.folder = placement::confirm(account, &parent, target.folder, &mut [&mut file]).await?;
    if let Some(lost) = &lost {
        account.lost.remove(lost);
    }
    target.replace_old(account, &file, &trail).await?;
    Ok((target.folder, file))
}

/// Sends everything, and remembers the upload if it is not certain what became of it.
async fn send(
    account: &Account,
    path: &RelPath,
    target: &Target,
    body: Body,
    size: u64,
    trail: &Trail,
) -> Result<FileItem> {
    let (node, id) = account.api.upload_server().await?;
    let upload = Upload { node: node.authority().to_owned(), xid: id.clone() };
    // ORDER: written down before the first byte is sent, or nobody would know of what arrives.
    trail.begin(target, size, Some(upload)).await?;
    let result = send_to(account, path, target, body, size, node, id).await;
    if result.as_ref().is_err_and(|error| !error.is_unsettled) {
        trail.undone().await?;
    }
    result.map_err(|failure| failure.error)
}

/// Why nothing was stored, or may have been.
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

async fn send_to(
    account: &Account,
    path: &RelPath,
    target: &Target,
    body: Body,
    size: u64,
    node: Place,
    id: String,
) -> Result<FileItem, Failure> {
    let source = HashingSource::new(ExactSource::body(body), vec![HashAlgo::Whirlpool]);
    let content = open_all(&source).await?;
    let form = crate::multipart::form(target.folder, &target.remote_name, size, content);
    let place = node.with_path(&format!("/upload.cgi?id={id}"));
    let sent = account.api.http.upload(&place, form).await;
    let outcome = outcome(account, sent, &node, id)?;
    // Known only if everything was read; without it nothing is taken for ours.
    let digest = source.hashes().and_then(|hashes| hashes.get(HashAlgo::Whirlpool).cloned());
    let was_lost = outcome.doubt.is_some();
    let result = settle(account, target, &node, outcome, size, digest.as_ref()).await;
    result.map_err(|error| {
        let is_unsettled = was_lost || error.kind() == ErrorKind::CommitUnknown;
        if is_unsettled {
            account.tree.cache.forget(target.folder);
            if let Some(digest) = digest {
                account.lost.add(Pending::new(path, target.clone(), size, digest));
            }
        }
        // What is damaged and could not be removed is found again by its upload.
        Failure { is_unsettled: is_unsettled || error.kind() == ErrorKind::Corrupt, error }
    })
}

fn check_size(size: Option<u64>) -> Result<u64> {
    let refuse = |message: &str| Err(Error::new(ErrorKind::Unsupported, message));
    match size {
        None => refuse("1fichier must know the size of a file beforehand"),
        Some(0) => refuse("1fichier stores no empty files"),
        Some(size) if size > SIZE_MAX => refuse(
            "the file is larger than 300 GB (1fichier takes 300 GB from paying accounts, 50 GB from free ones, 5 GB from guests)",
        ),
        Some(size) => Ok(size),
    }
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
    Error::new(ErrorKind::Unavailable, message).with_retry(retry).with_source(error)
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
                "the file is too large for this account",
            ),
            status => refusal(status, &message).error,
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

/// Waits for the report, or finds the file without it, and compares.
async fn settle(
    account: &Account,
    target: &Target,
    node: &Place,
    outcome: Outcome,
    size: u64,
    digest: Option<&Digest>,
) -> Result<FileItem> {
    let settings = &account.api.settings;
    let limit = if outcome.doubt.is_some() { LOST_WAIT } else { settings.end_wait };
    let limit = settings.scaled(limit);
    let doubt = outcome.doubt;
    let report = report::wait(&account.api, node, &outcome.xid, 1, limit, doubt.is_some()).await;
    if let Report::Links(links) = &report
        && let Some(link) = links.first()
    {
        return verify::stored(account, target, link.clone(), size, digest).await;
    }
    // A look that fails shows nothing, and its own error would let the upload be repeated as if nothing had been sent.
    let looked = target.find_new(account, size, digest, None).await;
    let was_seen_missing = matches!(looked, Ok(None));
    if let Ok(Some(file)) = looked {
        return Ok(file);
    }
    let (retry, cause) = match doubt {
        // The node knows of no such upload, and the folder does not show it.
        Some(doubt) if was_seen_missing && matches!(report, Report::Nothing) => {
            return Err(not_stored(doubt));
        }
        Some(doubt) => (Retry::Backoff, format!("its answer was lost: {}", doubt.message())),
        None => (Retry::Never, "the node never reported on it".to_owned()),
    };
    let message = format!("the file was sent and may be stored, {cause}");
    Err(Error::new(ErrorKind::CommitUnknown, message).with_retry(retry))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hosts::Origin;

    #[test]
    fn sizes_that_1fichier_does_not_take_are_refused_before_anything_is_sent() {
        assert_eq!(check_size(Some(1)).expect("fine"), 1);
        assert!(check_size(Some(SIZE_MAX)).is_ok());
        for size in [None, Some(0), Some(SIZE_MAX + 1)] {
            assert_eq!(check_size(size).expect_err("refused").kind(), ErrorKind::Unsupported);
        }
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
