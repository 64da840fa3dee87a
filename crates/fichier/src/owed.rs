//! Removals that are owed: old versions that stayed beside their new ones because 1fichier refused to remove them.
//!
//! Two files of one name are no error to 1fichier, so nothing else would ever remove the old one. Each debt is on record until
//! it is paid, by whichever process comes next and may change things, and until then the old version is not shown. What is
//! here is never believed without a look (`evidence`).

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ketch_core::Result;
use serde::{Deserialize, Serialize};

use crate::items::FolderListing;
use crate::removal::{Ground, Removal};
use crate::state_files::{lock_file, replace};

/// The version of the format. Another one is not read.
const VERSION: u32 = 1;
/// The most debts that are remembered, and the longest file that is read.
const DEBTS_MAX: usize = 10_000;
const FILE_MAX_BYTES: u64 = 16 << 20;

/// The debts of an account.
#[derive(Debug, Default)]
pub(crate) struct Owed {
    /// `None`: of this process only.
    file: Option<PathBuf>,
    debts: Mutex<Option<Vec<Debt>>>,
}

/// One old version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Debt {
    pub(crate) folder: u64,
    pub(crate) name: String,
    pub(crate) url: String,
    /// The path of the folder.
    pub(crate) at: Option<String>,
    /// The new version, and its size.
    pub(crate) by: String,
    pub(crate) size: Option<u64>,
}

/// What every format has.
#[derive(Debug, Deserialize)]
struct Version {
    v: u32,
}

#[derive(Debug, Serialize, Deserialize)]
struct Content {
    v: u32,
    debts: Vec<Debt>,
}

impl Owed {
    /// What is in `file`. Nothing is read yet.
    pub(crate) fn new(file: Option<PathBuf>) -> Self {
        Owed { file, debts: Mutex::default() }
    }

    /// Remembers a removal that was refused.
    pub(crate) fn add(&self, removal: &Removal) {
        let Ground::Replaced { by, size } = &removal.ground else { return };
        let debt = Debt {
            folder: removal.folder,
            name: removal.name.clone(),
            url: removal.url.clone(),
            at: removal.at.as_ref().map(|at| at.as_str().to_owned()),
            by: by.clone(),
            size: *size,
        };
        self.change(|debts| {
            debts.retain(|known| known.url != debt.url);
            if debts.len() < DEBTS_MAX {
                debts.push(debt);
            } else {
                tracing::warn!(
                    name = debt.name,
                    "too many removals are owed: this one is not written down, and the old version stays"
                );
            }
        });
    }

    /// The old versions in `folder` whose new ones are in this listing of it.
    pub(crate) fn hidden(&self, folder: u64, listing: &FolderListing) -> Vec<String> {
        let debts = self.of(folder);
        let is_shown = |url: &str| listing.files.iter().any(|file| file.url == url);
        let debts = debts.into_iter().filter(|debt| is_shown(&debt.by) && is_shown(&debt.url));
        debts.map(|debt| debt.url).collect()
    }

    /// The old versions of `name` in `folder`.
    pub(crate) fn named(&self, folder: u64, name: &str) -> Vec<String> {
        let debts = self.of(folder).into_iter().filter(|debt| debt.name == name);
        debts.map(|debt| debt.url).collect()
    }

    /// Is a removal owed that the file at `url` is the reason for? Then it was verified.
    pub(crate) fn is_for(&self, folder: u64, url: &str) -> bool {
        self.of(folder).iter().any(|debt| debt.by == url)
    }

    pub(crate) fn of(&self, folder: u64) -> Vec<Debt> {
        let mut debts = self.lock();
        let debts = debts.get_or_insert_with(|| self.read_or_warn());
        debts.iter().filter(|debt| debt.folder == folder).cloned().collect()
    }

    /// Forgets the debt about the file at `url`, which is gone.
    pub(crate) fn settle(&self, url: &str) {
        let is_known = |debts: &Vec<Debt>| debts.iter().any(|debt| debt.url == url);
        if !is_known(self.lock().get_or_insert_with(|| self.read_or_warn())) {
            return;
        }
        self.change(|debts| debts.retain(|debt| debt.url != url));
    }

    /// Changes what is on record now, also by others.
    fn change(&self, change: impl FnOnce(&mut Vec<Debt>)) {
        let mut known = self.lock();
        // ORDER: held until the new content is in place, or a debt that another process enters meanwhile is lost.
        let _lock = self.file.as_deref().and_then(|file| match lock_file(file) {
            Ok(lock) => Some(lock),
            Err(error) => {
                tracing::warn!(%error, ?file, "the record of owed removals cannot be locked");
                None
            }
        });
        let read = self.file.as_ref().map(|_| self.read());
        let file = self.file.as_ref().filter(|_| matches!(read, Some(Ok(_))));
        let mut debts = match read {
            Some(Ok(debts)) => debts,
            None => known.take().unwrap_or_default(),
            Some(Err(why)) => {
                tracing::warn!(
                    file = ?self.file,
                    why,
                    "the record of owed removals is left as it is, and this one is not written down"
                );
                known.take().unwrap_or_default()
            }
        };
        change(&mut debts);
        if let Some(file) = file {
            let content = Content { v: VERSION, debts: debts.clone() };
            let written = serde_json::to_vec(&content)
                .map_err(Into::into)
                .and_then(|text| replace(file, &text));
            if let Err(error) = written {
                tracing::warn!(%error, ?file, "a removal that is owed cannot be written down");
            }
        }
        *known = Some(debts);
    }

    /// What is on record.
    ///
    /// Errors: why it cannot be read. Then it must not be written either: what it holds would be forgotten.
    fn read(&self) -> Result<Vec<Debt>, String> {
        let Some(file) = &self.file else { return Ok(Vec::new()) };
        let told = |error: std::io::Error| error.to_string();
        let length = match std::fs::metadata(file) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(told)?.len(),
        };
        if length > FILE_MAX_BYTES {
            return Err(format!("it is {length} bytes long"));
        }
        let text = std::fs::read(file).map_err(told)?;
        let version: Version =
            serde_json::from_slice(&text).map_err(|_| "it makes no sense".to_owned())?;
        if version.v != VERSION {
            return Err(format!("another version of ketch has written it (format {})", version.v));
        }
        let content: Content =
            serde_json::from_slice(&text).map_err(|_| "it makes no sense".to_owned())?;
        Ok(content.debts)
    }

    /// The same to be looked at only.
    fn read_or_warn(&self) -> Vec<Debt> {
        self.read().unwrap_or_else(|why| {
            tracing::warn!(file = ?self.file, why, "the record of owed removals cannot be read");
            Vec::new()
        })
    }

    fn lock(&self) -> MutexGuard<'_, Option<Vec<Debt>>> {
        self.debts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn removal(url: &str) -> Removal {
        let ground = Ground::Replaced { by: "new".into(), size: Some(1) };
        Removal { url: url.into(), folder: 7, name: "f".into(), at: None, ground }
    }

    #[test]
    fn a_debt_is_known_until_it_is_settled_by_whichever_process() {
        let scratch = tempfile::tempdir().expect("scratch");
        let file = Some(scratch.path().join("state/owed.json"));
        let (one, two) = (Owed::new(file.clone()), Owed::new(file.clone()));
        one.add(&removal("a"));
        two.add(&removal("b"));
        let urls =
            |owed: &Owed| -> Vec<String> { owed.of(7).into_iter().map(|debt| debt.url).collect() };
        assert_eq!(urls(&Owed::new(file.clone())), ["a", "b"]);
        two.settle("a");
        assert_eq!(urls(&Owed::new(file)), ["b"]);
        assert!(two.of(8).is_empty());
    }

    #[test]
    fn what_another_version_has_written_and_what_makes_no_sense_is_left_as_it_is() {
        let scratch = tempfile::tempdir().expect("scratch");
        let file = scratch.path().join("owed.json");
        for text in [r#"{"v":2,"debts":{"a":1}}"#, "{", "", r#"{"v":1,"debts":7}"#] {
            std::fs::write(&file, text).expect("written");
            let owed = Owed::new(Some(file.clone()));
            owed.add(&removal("a"));
            assert_eq!(owed.of(7).len(), 1, "this process remembers it");
            owed.settle("a");
            assert_eq!(std::fs::read_to_string(&file).expect("there"), text);
        }
    }

    #[test]
    fn no_debt_is_lost_when_several_processes_write_them_down_at_once() {
        let scratch = tempfile::tempdir().expect("scratch");
        let file = Some(scratch.path().join("state/owed.json"));
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let owed = Owed::new(file.clone());
                scope.spawn(move || {
                    for debt in 0..25 {
                        owed.add(&removal(&format!("{writer}-{debt}")));
                    }
                });
            }
        });
        assert_eq!(Owed::new(file).of(7).len(), 100);
    }
}
