//! Folders that are made because they are missing: each once, however many tasks ask for it.

use std::collections::HashMap;
use std::sync::PoisonError;
use std::time::Duration;

use ketch_core::{Error, ErrorKind, RelPath, Result};
use tokio::time::Instant;

use super::{TOP, Tree, join};
use crate::api::Api;
use crate::error::Said;
use crate::items::{Change, FolderItem, FolderListing};
use crate::names;

/// How many folders are remembered that could not be made.
const REFUSED_MAX: usize = 4_096;

impl Tree {
    /// The number of the folder at `path`, made with all above it if need be. However many tasks ask for it at the same
    /// time, each folder is made once.
    pub(crate) async fn ensure(&self, api: &Api, path: &RelPath) -> Result<u64> {
        match (self.ensure_from_known(api, path).await, path.parts().next()) {
            // A folder above has gone since it was seen.
            (Err(error), Some(first)) if error.kind() == ErrorKind::NotFound => {
                self.forget(&join(&RelPath::root(), first)?);
                self.ensure_from_known(api, path).await
            }
            (result, _) => result,
        }
    }

    async fn ensure_from_known(&self, api: &Api, path: &RelPath) -> Result<u64> {
        self.recall(api, path).await?;
        // A person who waits is spared the listings of all folders above one that an earlier run knew.
        let mut above = path.parent().filter(|_| self.looks.is_on());
        while let Some(here) = above.filter(|here| self.known(here).is_none()) {
            self.recall(api, &here).await?;
            above = here.parent().filter(|_| self.known(&here).is_none());
        }
        let (mut at, mut id) = self.deepest_known(path);
        let Some(rest) = path.relative_to(&at) else { return Ok(TOP) };
        let from_top = id == TOP;
        for name in rest.parts() {
            let below = join(&at, name)?;
            id = self.ensure_one(api, (&at, id), &below, name).await?;
            at = below;
        }
        if from_top {
            self.index.saw(path);
        }
        Ok(id)
    }

    async fn ensure_one(
        &self,
        api: &Api,
        (above, parent): (&RelPath, u64),
        path: &RelPath,
        name: &str,
    ) -> Result<u64> {
        // ORDER: a lock of each folder and not one of all in its parent. A task that waits for a folder continues as soon as it is
        // made, and not when those are made that others asked for meanwhile: files of one folder then travel together.
        let lock = self.making_locks.get(path.clone());
        let _one = lock.lock().await;
        if let Some(id) = self.known(path) {
            return Ok(id);
        }
        let ids = self.all_at(above, parent);
        if let Some(found) = self.find(api, above, &ids, name).await? {
            if let Some(age) = self.looks.age(parent) {
                self.looks.found(path, age);
            }
            self.learn_all(path, &found);
            return Ok(found[0]);
        }
        let listing = self.cache.last(parent);
        if listing.is_some_and(|listing| listing.files.iter().any(|file| file.name == name)) {
            let message = format!("`{name}` is a file, a folder is needed there");
            return Err(Error::new(ErrorKind::AlreadyExists, message));
        }
        if let Some((kind, message)) = self.refused().get(path) {
            return Err(Error::new(*kind, message.as_str()));
        }
        let asked = Instant::now();
        let id = match api.mkdir(parent, &names::to_remote(name)?).await {
            Ok(id) => {
                // It was made just now, so what is in it need not be asked.
                self.cache.store(id, FolderListing::default(), asked);
                id
            }
            // Refused because it is there, or made although the answer was lost: the next listing tells.
            Err(refusal)
                if refusal.said == Said::Other
                    && matches!(
                        refusal.error.kind(),
                        ErrorKind::Denied | ErrorKind::CommitUnknown
                    ) =>
            {
                let listing = self.listing(api, parent, Duration::ZERO).await?;
                match listing.folder(name) {
                    Some(folder) => folder.id,
                    None => {
                        // Another file of the folder would ask for the same.
                        if refusal.error.kind() == ErrorKind::Denied {
                            let told = refusal.error.message().to_owned();
                            self.refused().insert(path.clone(), (ErrorKind::Denied, told));
                        }
                        return Err(refusal.into());
                    }
                }
            }
            Err(refusal) => {
                if refusal.said == Said::Name {
                    let told = refusal.error.message().to_owned();
                    self.refused().insert(path.clone(), (refusal.error.kind(), told));
                }
                return Err(refusal.into());
            }
        };
        let folder = FolderItem { name: name.to_owned(), id, date: None };
        self.cache.change(parent, Change::AddFolder(folder));
        self.learn(path, id);
        Ok(id)
    }

    fn refused(&self) -> std::sync::MutexGuard<'_, HashMap<RelPath, (ErrorKind, String)>> {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.len() >= REFUSED_MAX {
            refused.clear();
        }
        refused
    }

    /// How many folders must be made, as far as is known, so that `path` is one.
    pub(crate) fn missing(&self, path: &RelPath) -> usize {
        path.parts().count() - self.deepest_known(path).0.parts().count()
    }

    /// The nearest folder above `path` that is known to be there.
    pub(crate) fn nearest(&self, path: &RelPath) -> RelPath {
        self.deepest_known(path).0
    }
}
