//! Plain functions for callers of a place: the facts of [`crate::About`], calls for one entry of methods that take several,
//! and the facets with a default for places that do not have them.
//!
//! These are not methods of the trait, so a backend or a layer can neither implement nor forget them.

use std::sync::Arc;
use std::time::SystemTime;

use crate::backend::Backend;
use crate::bill::{Bill, Work};
use crate::capabilities::Capabilities;
use crate::checkpoint::Checkpoint;
use crate::disk::Disk;
use crate::entry::Entry;
use crate::error::{Error, ErrorKind, Result};
use crate::facets::Usage;
use crate::identity::Identities;
use crate::options::Metadata;
use crate::path::RelPath;
use crate::services::Services;
use crate::source::Body;

impl dyn Backend {
    /// What a person calls this place ([`crate::About::name`]).
    pub fn name(&self) -> &str {
        &self.about().name
    }

    /// What this place can do ([`crate::About::capabilities`]).
    pub fn capabilities(&self) -> &Capabilities {
        &self.about().capabilities
    }

    /// Where this place is ([`crate::About::location`]).
    pub fn location(&self) -> String {
        self.about().location.clone()
    }

    /// Whose entries it takes ([`crate::About::scope`]).
    pub fn scope(&self) -> Option<&str> {
        self.about().scope.as_deref()
    }

    /// What decides what listings show ([`crate::About::view_options`]).
    pub fn view_options(&self) -> String {
        self.about().view_options.clone()
    }

    /// [`Backend::delete`], with as many results as entries whatever the backend gives.
    pub async fn delete_all(&self, entries: &[Entry]) -> Vec<Result<()>> {
        let mut results = self.delete(entries).await;
        results.truncate(entries.len());
        for entry in &entries[results.len()..] {
            results.push(Err(no_result(self, "delete").with_path(&entry.path)));
        }
        results
    }

    /// [`Backend::delete`] of one entry.
    pub async fn delete_one(&self, entry: &Entry) -> Result<()> {
        let mut results = self.delete_all(std::slice::from_ref(entry)).await;
        results.pop().unwrap_or_else(|| Err(no_result(self, "delete")))
    }

    /// [`Backend::set_metadata`] of the time alone.
    pub async fn set_mtime(&self, entry: &Entry, mtime: SystemTime) -> Result<Entry> {
        self.set_metadata(entry, &Metadata { mtime: Some(mtime), mode: None }).await
    }

    /// [`Backend::set_metadata`] of the permissions alone.
    pub async fn set_mode(&self, entry: &Entry, mode: u32) -> Result<Entry> {
        self.set_metadata(entry, &Metadata { mtime: None, mode: Some(mode) }).await
    }

    /// The files for calls that block ([`crate::Facets::disk`]).
    pub fn disk(&self) -> Option<Arc<dyn Disk>> {
        self.facets().disk.clone()
    }

    /// What names lead to ([`crate::Facets::identities`]).
    pub fn identities(&self) -> Option<Arc<dyn Identities>> {
        self.facets().identities.clone()
    }

    /// What else this remote can do ([`crate::Facets::services`]).
    pub fn services(&self) -> Option<Arc<dyn Services>> {
        self.facets().services.clone()
    }

    /// Which folder the root is ([`crate::facets::Root::identity`]); `None` also where no place can tell.
    pub async fn root_identity(&self) -> Result<Option<String>> {
        match &self.facets().root {
            Some(root) => root.identity().await,
            None => Ok(None),
        }
    }

    /// [`crate::facets::Resume::partial`]; nothing where nothing is ever left.
    pub async fn partial(&self, path: &RelPath, checkpoint: &Checkpoint) -> Result<Option<Body>> {
        match &self.facets().resume {
            Some(resume) => resume.partial(path, checkpoint).await,
            None => Ok(None),
        }
    }

    /// [`crate::facets::Resume::abandon`]; done where nothing is ever left.
    pub async fn abandon(&self, path: &RelPath, checkpoint: &Checkpoint) -> Result<()> {
        match &self.facets().resume {
            Some(resume) => resume.abandon(path, checkpoint).await,
            None => Ok(()),
        }
    }

    /// [`crate::bill::Cost::estimate`]; nothing to tell where calls cost nothing.
    pub fn estimate_cost(&self, work: &Work) -> Option<Bill> {
        self.facets().cost.as_ref()?.estimate(work)
    }

    /// [`crate::facets::Snapshot::cached_listing`].
    pub async fn cached_listing(&self, dir: &RelPath) -> Option<Vec<Entry>> {
        self.facets().snapshot.as_ref()?.cached_listing(dir).await
    }

    /// [`crate::facets::Gaps::may_lack`]; nothing where complete listings show all.
    pub fn may_lack(&self) -> Option<String> {
        self.facets().gaps.as_ref()?.may_lack()
    }

    /// [`crate::facets::ReportUsage::usage`].
    ///
    /// Errors: `Unsupported` where the place cannot tell.
    pub async fn usage(&self) -> Result<Usage> {
        match &self.facets().usage {
            Some(usage) => usage.usage().await,
            None => Err(Error::unsupported("usage").with_remote(self.name())),
        }
    }
}

fn no_result(backend: &dyn Backend, operation: &'static str) -> Error {
    let message = "the backend gave no result for an entry; this is a bug in it";
    Error::new(ErrorKind::Protocol, message).with_operation(operation).with_remote(backend.name())
}
