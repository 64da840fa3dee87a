//! The proof that what is stored is what was sent.

use std::sync::Arc;
use std::time::Duration;

use ketch_core::{Digest, Error, ErrorKind, Result, Retry};
use tokio::time::Instant;

use crate::account::Account;
use crate::cache::{Change, FileItem};
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
pub(crate) async fn stored(
    account: &Arc<Account>,
    target: &Target,
    link: Link,
    size: u64,
    digest: Option<&Digest>,
    asked: Instant,
) -> Result<FileItem> {
    let url = crate::listing::without_tail(link.download.clone());
    let reported = link.whirlpool.as_deref().and_then(crate::listing::digest);
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
    } else {
        let hash = kept.filter(|_| digest.is_some());
        let name = target.name.clone();
        return Ok(FileItem { name, url, size: Some(size), date: None, hash });
    };
    account.tree.cache.change(target.folder, Change::RemoveFile(url.clone()));
    match gather::remove(account, &url).await {
        Ok(()) => Err(error),
        Err(left) => {
            let message =
                format!("{}; it could not be removed: {}", error.message(), left.message());
            Err(Error::new(error.kind(), message).with_retry(error.retry()))
        }
    }
}
