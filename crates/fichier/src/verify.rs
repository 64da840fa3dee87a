//! The proof that what is stored is what was sent.

use std::sync::Arc;
use std::time::Duration;

use ketch_core::{Digest, Error, ErrorKind, Result, Retry};
use tokio::time::Instant;

use crate::account::Account;
use crate::items::{Change, FileItem};
use crate::removal::Removal;
use crate::sent::SendDigest;
use crate::target::Target;
use crate::types::Link;
use crate::{gather, names};

/// For how long a listing may take that is asked for a digest only: twice what 1fichier wants between two of a folder.
const LISTING_WAIT: Duration = Duration::from_secs(60);

/// The digest that a listing shows of a file whose report has none.
async fn listed(
    account: &Arc<Account>,
    target: &Target,
    url: &str,
    asked: Instant,
) -> Option<Digest> {
    let look = account.tree.listing(&account.api, target.folder, asked.elapsed());
    let listing = tokio::time::timeout(LISTING_WAIT, look).await.ok()?.ok()?;
    listing.files.iter().find(|file| file.url == url)?.hash.clone()
}

/// The stored file, if it is what was sent. If not, it is removed, and what was there before stays.
///
/// A report is no proof: what it names is removed only if it has appeared in the folder with the name and size that were
/// sent, and where it names something else, what was sent is looked for in the folder.
///
/// Errors: `CommitUnknown` when the report names something else and the folder does not show what was sent.
pub(crate) async fn stored(
    account: &Arc<Account>,
    target: &Target,
    link: Link,
    size: u64,
    send_digest: &SendDigest,
    is_clear: bool,
    asked: Instant,
) -> Result<FileItem> {
    let digest = match is_clear && link.size.is_some() && link.filename.is_some() {
        true => send_digest.taken(),
        false => send_digest.digest().await,
    };
    let digest = digest.as_ref();
    let url = crate::links::without_tail(link.download.clone());
    let reported = link.whirlpool.as_deref().and_then(crate::links::digest);
    let kept = match reported {
        None if digest.is_some() && link.size == Some(size) => {
            listed(account, target, &url, asked).await
        }
        reported => reported,
    };
    let name = link.filename.as_deref().map(names::to_core);
    let corrupt =
        |message: String| Error::new(ErrorKind::Corrupt, message).with_retry(Retry::Backoff);
    let error = if link.size.is_some_and(|told| told != size) {
        corrupt(format!("1fichier kept {} of {size} bytes", link.size.unwrap_or_default()))
    } else if kept.is_some() && digest.is_some() && kept.as_ref() != digest {
        corrupt("the Whirlpool digest of what 1fichier kept is not that of what was sent".into())
    } else if link.size.is_none() && (kept.is_none() || digest.is_none()) {
        corrupt("1fichier reports neither size nor digest of what it kept".into())
    } else if let Some(name) = name.filter(|name| *name != target.name) {
        let message = format!(
            "1fichier would keep it as `{}`",
            crate::text::snippet(&account.api.http.scrub(&name))
        );
        Error::new(ErrorKind::InvalidInput, message)
    } else if target.known.contains(&url) {
        corrupt("the report names a file that was there before".into())
    } else {
        let hash = kept.filter(|_| digest.is_some());
        let name = target.name.clone();
        return Ok(FileItem { name, url, size: Some(size), date: None, hash });
    };
    let digest = send_digest.digest().await;
    if let Ok(Some(file)) = target.find_new(account, size, digest.as_ref(), Some(&url), asked).await
    {
        tracing::warn!(said = error.message(), "the report named another file than was sent");
        return Ok(file);
    }
    let renamed = error.kind() == ErrorKind::InvalidInput;
    let removal = target.sent(target.folder, &url, size);
    // Under which name it would be kept only the report says.
    let name = link.filename.as_deref().map(names::to_core).filter(|_| renamed);
    let removal = Removal { name: name.unwrap_or(removal.name.clone()), ..removal };
    match gather::remove(account, removal).await {
        Ok(()) => {
            account.tree.cache.change(target.folder, Change::RemoveFile(url));
            Err(error)
        }
        Err(left) => {
            let (said, left) = (error.message(), left.message());
            let message =
                format!("what the report names may be no file of this upload ({said}): {left}");
            Err(Error::new(ErrorKind::CommitUnknown, message).with_retry(Retry::Backoff))
        }
    }
}
