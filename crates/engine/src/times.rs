//! Modification times that listings do not show. Knows nothing of jobs.

use std::sync::Arc;

use ketch_core::facets::Wanted;
use ketch_core::{Backend, Entry, Error, Result};

/// A file with its modification time, where the listing of `place` did not show it.
///
/// Errors: `NotFound`, and `Changed` when it is not the version that was listed.
pub(crate) async fn with_time(place: &Arc<dyn Backend>, entry: Entry) -> Result<Entry> {
    let is_lacking =
        place.capabilities().mtime_by_inspect && entry.is_file() && entry.mtime.is_none();
    let Some(inspect) = place.facets().inspect.as_ref().filter(|_| is_lacking) else {
        return Ok(entry);
    };
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
    Ok(entry)
}
