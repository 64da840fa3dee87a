//! What several tests of manifests do.

#![allow(unreachable_pub, reason = "shared by several test files")]

use std::sync::Arc;

use ketch_core::Backend;
use ketch_engine::prove::create::{Made, What, create};
use ketch_engine::prove::{Pass, ProveSettings};
use ketch_manifest::ManifestEntry;

/// The entries of a manifest of all that `backend` holds.
pub async fn manifest_of(
    backend: Arc<dyn Backend>,
    settings: &ProveSettings,
) -> Vec<ManifestEntry> {
    let mut entries = Vec::new();
    let take = |made| {
        match made {
            Made::Entry(entry) => entries.push(entry),
            Made::Other(path, why, _) => panic!("{path}: {why}"),
            Made::Failed(path, error) => panic!("{path}: {error}"),
        }
        Ok(())
    };
    let pass = create(&backend, settings, What::Manifest, None, take).await;
    assert_eq!(pass.expect("a manifest"), Pass::Done(()));
    entries
}
