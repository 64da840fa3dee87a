//! Modification times that listings do not show. Knows nothing of jobs.

use std::sync::Arc;

use ketch_core::facets::Wanted;
use ketch_core::{Backend, Entry, Error, Result};

use crate::content::Facts;
use crate::digest::Digests;
use crate::place::Place;

/// A file with its modification time, where the listing of `backend` did not show it: the one that is remembered of this
/// version of the file, or the one that the remote tells when it is asked, which is remembered then.
///
/// Errors: `NotFound`, and `Changed` when it is not the version that was listed.
pub(crate) async fn with_time(
    digests: &Digests,
    backend: &Arc<dyn Backend>,
    entry: Entry,
) -> Result<Entry> {
    let is_lacking =
        backend.capabilities().mtime_by_inspect && entry.is_file() && entry.mtime.is_none();
    let Some(inspect) = backend.facets().inspect.as_ref().filter(|_| is_lacking) else {
        return Ok(entry);
    };
    let place = Place::new(backend);
    let known = digests.known(&place, &entry, false).await;
    if let Some(mtime) = known.and_then(|facts| facts.mtime) {
        return Ok(Entry { mtime: Some(mtime), ..entry });
    }
    let wanted = Wanted { mtime: true, hashes: Vec::new() };
    let mut found = inspect.inspect(std::slice::from_ref(&entry), &wanted).await?;
    let told = found.pop().unwrap_or_else(|| Err(Error::unsupported("look at a file")))?;
    let mut entry = entry;
    entry.mtime = told.mtime;
    // What else was told comes along: it spares a second question.
    for digest in told.hashes.iter().flat_map(|hashes| hashes.iter()) {
        let hashes = entry.hashes.get_or_insert_default();
        if hashes.get(digest.algo()).is_none() {
            hashes.insert(digest.clone());
        }
    }
    digests.learn(&place, &entry, Facts::default()).await;
    Ok(entry)
}
