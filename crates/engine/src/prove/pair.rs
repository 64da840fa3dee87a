//! Walks a manifest and a place in step, both in key order.

use futures::{Stream, TryStreamExt};
use ketch_core::{Hint, RelPath, Result, compare_keys};
use ketch_manifest::ManifestEntry;

use crate::prove::verify::Entries;
use crate::prove::walk::Found;

/// What the manifest and the place have under one name.
pub(super) struct Case {
    pub(super) manifest: Option<ManifestEntry>,
    pub(super) found: Option<Found>,
    /// Its folder could not be listed; says why, and what helps.
    pub(super) unlisted: Option<(String, Option<Hint>)>,
}

/// The two in step.
pub(super) fn join(
    entries: Entries,
    found: impl Stream<Item = Result<Found>> + Send + Unpin + 'static,
) -> impl Stream<Item = Result<Case>> + Send {
    struct Joining<S> {
        entries: Entries,
        found: S,
        next_entry: Option<ManifestEntry>,
        next_found: Option<Found>,
        unlisted: Option<(RelPath, String, Option<Hint>)>,
        has_begun: bool,
    }
    impl<S: Stream<Item = Result<Found>> + Unpin> Joining<S> {
        async fn step(mut self) -> Result<Option<(Case, Self)>> {
            if !self.has_begun {
                self.has_begun = true;
                self.next_entry = (self.entries)().transpose()?;
                self.next_found = self.found.try_next().await?;
            }
            let order = match (&self.next_entry, &self.next_found) {
                (None, None) => return Ok(None),
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                // It can be nothing of what is in a manifest.
                (Some(_), Some(Found::Unusable(..))) => std::cmp::Ordering::Greater,
                // A folder that could not be listed comes before everything in it.
                (Some(entry), Some(found)) => {
                    let is_dir = matches!(found, Found::Failed(..));
                    compare_keys((entry.path.as_str(), false), (found.path().as_str(), is_dir))
                }
            };
            let manifest = if order.is_le() { self.next_entry.take() } else { None };
            let found = if order.is_ge() { self.next_found.take() } else { None };
            if manifest.is_some() {
                self.next_entry = (self.entries)().transpose()?;
            }
            if found.is_some() {
                self.next_found = self.found.try_next().await?;
            }
            if let Some(Found::Failed(dir, error)) = &found {
                self.unlisted = Some((dir.clone(), error.to_string(), error.hint()));
            }
            let unlisted = manifest.as_ref().and_then(|manifest| {
                let (dir, why, hint) = self.unlisted.as_ref()?;
                manifest.path.is_within(dir).then(|| (why.clone(), *hint))
            });
            Ok(Some((Case { manifest, found, unlisted }, self)))
        }
    }
    let joining = Joining {
        entries,
        found,
        next_entry: None,
        next_found: None,
        unlisted: None,
        has_begun: false,
    };
    futures::stream::try_unfold(joining, Joining::step)
}
