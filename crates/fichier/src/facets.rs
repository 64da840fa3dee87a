//! What a remote at 1fichier has beside the methods that every remote means.

use std::sync::Arc;

use async_trait::async_trait;
use ketch_core::bill::{Bill, Cost, Work};
use ketch_core::facets::{ReportUsage, Resume, Snapshot, Usage};
use ketch_core::{Checkpoint, Entry, Error, Facets, RelPath, Result};

use crate::account::Account;
use crate::services::FichierServices;
use crate::{account_view, bill, entries, places, resume};

/// A remote, as far as its facets need it.
#[derive(Debug)]
struct OfRemote {
    name: String,
    root: RelPath,
    account: Arc<Account>,
}

/// All facets of a remote.
pub(crate) fn facets(name: &str, root: &RelPath, account: &Arc<Account>) -> Facets {
    let (name, root, account) = (name.to_owned(), root.clone(), Arc::clone(account));
    let services =
        FichierServices { account: Arc::clone(&account), root: root.clone(), name: name.clone() };
    let remote = Arc::new(OfRemote { name, root, account });
    Facets {
        resume: Some(Arc::clone(&remote) as Arc<dyn Resume>),
        cost: Some(Arc::clone(&remote) as Arc<dyn Cost>),
        snapshot: Some(Arc::clone(&remote) as Arc<dyn Snapshot>),
        usage: Some(remote as Arc<dyn ReportUsage>),
        services: Some(Arc::new(services)),
        ..Facets::default()
    }
}

impl OfRemote {
    fn told(&self, error: Error, operation: &'static str, path: &RelPath) -> Error {
        error.with_operation(operation).with_remote(&self.name).with_path(path)
    }
}

#[async_trait]
impl Resume for OfRemote {
    async fn abandon(&self, path: &RelPath, checkpoint: &Checkpoint) -> Result<()> {
        let full = self.root.join_path(path);
        let result = resume::abandon(&self.account, &full, checkpoint).await;
        result.map_err(|error| self.told(error, "abandon", path))
    }
}

impl Cost for OfRemote {
    fn estimate(&self, work: &Work) -> Option<Bill> {
        let mut work = *work;
        if work.uploads + work.copies + work.folders_made > 0 {
            // The folder of this remote, and those above it. No caller knows of them.
            work.folders_made += self.account.tree.missing(&self.root) as u64;
        }
        Some(bill::bill(&work, &self.account.api.pacer.tariff())).filter(|bill| bill.total() > 0)
    }
}

#[async_trait]
impl Snapshot for OfRemote {
    async fn cached_listing(&self, dir: &RelPath) -> Option<Vec<Entry>> {
        let full = self.root.join_path(dir);
        let (id, listing) = account_view::recall(&self.account, &full).await?;
        let listings = [(id, listing)];
        let below = places::below(&self.account.tree, &full, &listings);
        Some(entries::recalled(entries::all(dir, &listings, &below)))
    }
}

#[async_trait]
impl ReportUsage for OfRemote {
    async fn usage(&self) -> Result<Usage> {
        let result = self.account.api.usage().await.map_err(Error::from);
        result.map_err(|error| self.told(error, "usage", &RelPath::root()))
    }
}
