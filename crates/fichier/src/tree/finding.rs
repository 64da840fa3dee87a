//! The folder at a path, found from what is known of those above it. That one is missing is believed when a listing of its
//! parent shows it, and never because one answer says so.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use ketch_core::{Error, ErrorKind, RelPath, Result, Retry};

use super::{Listed, TOP, Tree, is_clear, join};
use crate::api::{Api, polls};
use crate::error::Said;
use crate::items::FolderListing;

impl Tree {
    /// The listing of the folder at `path`; `None` when there is no such folder, as a listing of its parent shows.
    ///
    /// Errors: `Unavailable` when 1fichier does not find a folder that its parent shows, or the top.
    pub(crate) async fn listing_of(
        &self,
        api: &Api,
        path: &RelPath,
    ) -> Result<Option<(u64, Arc<FolderListing>)>> {
        let Some(id) = self.resolve(api, path).await? else { return Ok(None) };
        self.listing_at(api, path, id).await
    }

    /// The listings of all folders at `path`: the first is that of [`Tree::listing_of`], the others are of folders of the
    /// same name.
    pub(crate) async fn listings_of(
        &self,
        api: &Api,
        path: &RelPath,
    ) -> Result<Vec<(u64, Arc<FolderListing>)>> {
        let Some(first) = self.listing_of(api, path).await? else { return Ok(Vec::new()) };
        let mut all = vec![first];
        for id in self.twins(path) {
            all.push((id, self.twin(api, path, id).await?));
        }
        Ok(all)
    }

    /// The listing of another folder at `path`. Where it is not found, the next look begins with a new one at its parent.
    pub(super) async fn twin(
        &self,
        api: &Api,
        path: &RelPath,
        id: u64,
    ) -> Result<Arc<FolderListing>> {
        match self.seen(api, id).await {
            Ok(listing) => Ok(listing),
            Err(refusal) if refusal.error.kind() == ErrorKind::NotFound => {
                self.forget(path);
                if let Some(parent) = path.parent() {
                    self.distrust(&parent);
                }
                Err(not_found(path).with_retry(Retry::Backoff))
            }
            Err(refusal) => Err(refusal.into()),
        }
    }

    /// The listing of the folder that is known to have the number `id` at `path`. One answer that it is not there proves
    /// nothing: its parent is asked, and where that shows it, or there is none, it is asked once more.
    pub(super) fn listing_at<'a>(
        &'a self,
        api: &'a Api,
        path: &'a RelPath,
        id: u64,
    ) -> BoxFuture<'a, Result<Option<Listed>>> {
        async move {
            let refusal = match self.seen(api, id).await {
                Ok(listing) => return Ok(Some((id, listing))),
                Err(refusal) => refusal,
            };
            if !matches!(refusal.said, Said::NotFound | Said::Other) || !is_clear(&refusal) {
                return Err(refusal.into());
            }
            let is_missing =
                refusal.said == Said::NotFound || refusal.error.kind() == ErrorKind::NotFound;
            let Some(parent) = path.parent().filter(|_| id != TOP) else {
                if !is_missing {
                    return Err(refusal.into());
                }
                return self.once_more(api, path, id).await;
            };
            // The number may be out of date: what a folder that is gone is answered with is not known.
            self.forget(path);
            self.distrust(&parent);
            match self.resolve(api, path).await? {
                None => Ok(None),
                Some(again) if again == id && is_missing => self.once_more(api, path, id).await,
                Some(again) if again == id => Err(refusal.into()),
                Some(again) => match self.seen(api, again).await {
                    Ok(listing) => Ok(Some((again, listing))),
                    Err(refusal) if refusal.said == Said::NotFound => Err(not_found(path)),
                    Err(refusal) => Err(refusal.into()),
                },
            }
        }
        .boxed()
    }

    pub(super) async fn once_more(
        &self,
        api: &Api,
        path: &RelPath,
        id: u64,
    ) -> Result<Option<(u64, Arc<FolderListing>)>> {
        if let Some(wait) = polls(&api.settings).next() {
            tokio::time::sleep(wait).await;
        }
        match self.listing(api, id, api.pacer.listing_life()).await {
            Ok(listing) => Ok(Some((id, listing))),
            Err(refusal) if refusal.error.kind() == ErrorKind::NotFound => Err(not_found(path)),
            Err(refusal) => Err(refusal.into()),
        }
    }

    /// The number of the folder at `path`; `None` when there is no such folder.
    pub(crate) async fn resolve(&self, api: &Api, path: &RelPath) -> Result<Option<u64>> {
        self.recall(api, path).await?;
        let (mut at, id) = self.deepest_known(path);
        let Some(rest) = path.relative_to(&at) else { return Ok(None) };
        let from_top = id == TOP;
        let mut ids = self.all_at(&at, id);
        for name in rest.parts() {
            let below = join(&at, name)?;
            let Some(found) = self.find(api, &at, &ids, name).await? else { return Ok(None) };
            self.learn_all(&below, &found);
            (at, ids) = (below, found);
        }
        if from_top {
            self.index.saw(path);
        }
        Ok(ids.first().copied())
    }

    /// The numbers of the folders called `name` in the folders `ids`, which are all at `path`: the oldest first. `None`: there
    /// is none.
    pub(super) async fn find(
        &self,
        api: &Api,
        path: &RelPath,
        ids: &[u64],
        name: &str,
    ) -> Result<Option<Vec<u64>>> {
        let above = self.above(path);
        let mut found = Vec::new();
        for (index, id) in ids.iter().enumerate() {
            let listing = match index {
                0 => match self.listing_at(api, path, *id).await? {
                    Some((_, listing)) => listing,
                    None => return Ok(None),
                },
                _ => self.twin(api, path, *id).await?,
            };
            found.extend(listing.folders_of(name).map(|folder| folder.id));
        }
        // A folder that lists one above itself would have no end.
        found.retain(|id| *id != TOP && !ids.contains(id) && !above.contains(id));
        found.sort_unstable();
        found.dedup();
        Ok((!found.is_empty()).then_some(found))
    }

    /// Makes what an earlier run knew of the folder at `path` known in this one, if it is proven: the folder has its name, and
    /// one of its files says that it is at that path. That saves the listings of all folders above. A number that is out of
    /// date is forgotten, and its folder is looked for from above.
    pub(super) async fn recall(&self, api: &Api, path: &RelPath) -> Result<()> {
        let above = path.parent().filter(|above| !above.is_root());
        let Some(above) =
            above.filter(|above| self.known(path).is_none() && self.known(above).is_none())
        else {
            return Ok(());
        };
        // With the folder above known, one listing of it would tell as much.
        let Some(id) = self.index.get(path) else { return Ok(()) };
        tracing::trace!(%above, id, "an earlier run knew the folder");
        let listing = match self.seen(api, id).await {
            Ok(listing) => listing,
            Err(refusal) if is_clear(&refusal) && refusal.said != Said::Forbidden => {
                self.index.forget(path);
                return Ok(());
            }
            Err(refusal) => return Err(refusal.into()),
        };
        // Another client may have moved it in the minutes since it was seen there, as it may while a run lasts. Only where
        // calls are dear is that taken into account.
        if api.settings.paced && self.index.is_trusted(path) {
            self.learn(path, id);
        } else if self.is_proven(api, path, id, &listing).await? {
            self.learn(path, id);
            self.index.saw(path);
        } else {
            self.index.forget(path);
        }
        Ok(())
    }

    /// Does one of the files of the folder, or of its first sub-folder, say that it is at that path?
    pub(super) async fn is_proven(
        &self,
        api: &Api,
        path: &RelPath,
        id: u64,
        listing: &FolderListing,
    ) -> Result<bool> {
        let (path, id, file) = match (listing.files.first(), listing.folders.first()) {
            (Some(file), _) => (path.clone(), id, Some(file.clone())),
            (None, Some(below)) => {
                let Ok(path) = path.join(&below.name) else { return Ok(false) };
                let listing = self.seen(api, below.id).await?;
                (path, below.id, listing.files.first().cloned())
            }
            (None, None) => return Ok(false),
        };
        let Some(file) = file else { return Ok(false) };
        // Without an answer nothing is proven, and the folders above are listed.
        let Ok(info) = api.file_info(&file.url).await else { return Ok(false) };
        Ok(info.folder_id == Some(id) && info.is_at(&path))
    }
}

/// 1fichier says that a folder is not there which is.
fn not_found(path: &RelPath) -> Error {
    let what = if path.is_root() { "its top folder".to_owned() } else { format!("`{path}`") };
    let message = format!(
        "1fichier does not find {what}, which must be there: nothing is concluded from that"
    );
    Error::new(ErrorKind::Unavailable, message)
}
