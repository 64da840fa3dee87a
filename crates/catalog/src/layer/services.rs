//! What the remote can do beside holding files, except with what the catalogue alone holds: the remote has no object of it.

use ketch_core::services::{Attributes, Detail, Fetch, Link, LinkRequest, Scan};

use super::*;

/// The services of the remote, for its own entries.
#[derive(Debug)]
pub(super) struct OwnServices(pub(super) Arc<dyn Services>);

/// Refuses what the remote has no object of.
fn check(entry: &Entry) -> Result<()> {
    match Kept::of(entry) {
        None => Ok(()),
        Some(_) => {
            let message = "only the catalogue holds it, so the remote can do nothing with it";
            Err(Error::new(ErrorKind::Unsupported, message).with_path(&entry.path))
        }
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Services for OwnServices {
    async fn link(&self, entry: &Entry, request: &LinkRequest) -> Result<Link> {
        check(entry)?;
        self.0.link(entry, request).await
    }

    async fn unlink(&self, entry: &Entry) -> Result<()> {
        check(entry)?;
        self.0.unlink(entry).await
    }

    async fn details(&self, entry: &Entry) -> Result<Vec<(&'static str, Detail)>> {
        if Kept::of(entry).is_some() {
            return Ok(Vec::new());
        }
        self.0.details(entry).await
    }

    async fn set_attributes(&self, entries: &[Entry], attributes: &Attributes) -> Result<()> {
        entries.iter().try_for_each(check)?;
        self.0.set_attributes(entries, attributes).await
    }

    async fn fetch(
        &self,
        urls: &[String],
        into: &RelPath,
        headers: &[(String, String)],
    ) -> Result<u64> {
        self.0.fetch(urls, into, headers).await
    }

    async fn fetches(&self) -> Result<Vec<Fetch>> {
        self.0.fetches().await
    }

    async fn fetched(&self, id: u64) -> Result<Fetch> {
        self.0.fetched(id).await
    }

    async fn import(&self, url: &str, password: Option<&str>, into: &RelPath) -> Result<Entry> {
        self.0.import(url, password, into).await
    }

    async fn scan(&self, entry: &Entry) -> Result<Scan> {
        check(entry)?;
        self.0.scan(entry).await
    }
}
