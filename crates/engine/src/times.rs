//! Modification times that listings do not show. Knows nothing of jobs.

use std::sync::Arc;

use ketch_core::facets::Wanted;
use ketch_core::{Backend, Entry, Error, Result};

use crate::content::Facts;
use crate::digest::Digests;
use crate::place::Place;

/// Must `backend` be asked for the modification time of this file, because its listing did not show it?
pub(crate) fn lacks_time(backend: &dyn Backend, entry: &Entry) -> bool {
    backend.capabilities().mtime_by_inspect && entry.is_file() && entry.mtime.is_none()
}

/// Gives a file the modification time that the listing of `backend` did not show: the one that is remembered of this version
/// of the file, or the one that the remote tells when it is asked, which is remembered then.
///
/// Errors: `NotFound`, and `Changed` when it is not the version that was listed; the entry is as it was then.
pub(crate) async fn add_time(
    digests: &Digests,
    backend: &Arc<dyn Backend>,
    entry: &mut Entry,
) -> Result<()> {
    let Some(inspect) = &backend.facets().inspect else { return Ok(()) };
    let place = Place::new(backend);
    let known = digests.known(&place, entry, false).await;
    if let Some(mtime) = known.and_then(|facts| facts.mtime) {
        entry.mtime = Some(mtime);
        return Ok(());
    }
    let wanted = Wanted { mtime: true, hashes: Vec::new() };
    let mut found = inspect.inspect(std::slice::from_ref(entry), &wanted).await?;
    let told = found.pop().unwrap_or_else(|| Err(Error::unsupported("look at a file")))?;
    entry.mtime = told.mtime;
    // What else was told comes along: it spares a second question.
    for digest in told.hashes.iter().flat_map(|hashes| hashes.iter()) {
        let hashes = entry.hashes.get_or_insert_default();
        if hashes.get(digest.algo()).is_none() {
            hashes.insert(digest.clone());
        }
    }
    digests.learn(&place, entry, Facts::default()).await;
    Ok(())
}
