//! The account on disk and in memory: records, the journal that makes them survive a kill, blobs.
//!
//! Every mutation is one appended journal line and one change of the tables, under one lock. The
//! append is a plain `write` into the page cache: that survives the death of the process, which
//! is what the emulator promises, and not the death of the machine.

mod blob;
mod journal;
mod lock;
mod record;
mod tables;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

pub(crate) use blob::{BlobWriter, StoredBlob};
pub(crate) use record::{FileRecord, FolderRecord, Report};
pub(crate) use tables::Tables;

use crate::SimError;
use journal::{Change, Journal};
use lock::StateLock;

/// The state folder, opened.
#[derive(Debug)]
pub(crate) struct Store {
    root: PathBuf,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    tables: Tables,
    /// `None` once closed: nothing is written after the lock is given back.
    open: Option<(Journal, StateLock)>,
}

/// The disk refused a mutation, or the store is closed.
#[derive(Debug, thiserror::Error)]
#[error("the state folder refused: {0}")]
pub(crate) struct StoreError(#[from] std::io::Error);

impl Store {
    /// Takes the folder's lock, replays and compacts the journal, removes leftover blobs.
    pub(crate) fn open(root: &Path) -> Result<Self, SimError> {
        let blobs = root.join("blobs");
        std::fs::create_dir_all(&blobs)
            .map_err(SimError::io(format!("make {}", blobs.display())))?;
        let lock = StateLock::take(root)?;
        let mut tables = Tables::default();
        let journal = Journal::open(root, &mut tables)?;
        blob::remove_leftovers(&blobs, |id| tables.file(id).is_some() || tables.is_pending(id))
            .map_err(SimError::io(format!("clean {}", blobs.display())))?;
        let inner = Mutex::new(Inner { tables, open: Some((journal, lock)) });
        Ok(Self { root: root.to_owned(), inner })
    }

    /// Gives the folder back; later mutations fail.
    pub(crate) fn close(&self) {
        self.lock().open = None;
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic elsewhere leaves whole changes only, so the tables stay usable.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the tables; the closure must be short, everything waits for it.
    pub(crate) fn read<T>(&self, look: impl FnOnce(&Tables) -> T) -> T {
        look(&self.lock().tables)
    }

    /// Where the content of a file lies.
    pub(crate) fn blob_path(&self, id: &str) -> PathBuf {
        self.root.join("blobs").join(id)
    }

    /// Writes a small content that does not come from a client, and returns its digest.
    pub(crate) fn write_blob(&self, id: &str, bytes: &[u8]) -> Result<String, StoreError> {
        std::fs::write(self.blob_path(id), bytes)?;
        Ok(blob::digest(bytes))
    }

    /// A new temporary blob.
    ///
    /// With `told` it is not hashed, and has that digest.
    pub(crate) fn blob_writer(&self, told: Option<String>) -> BlobWriter {
        BlobWriter::create(&self.root.join("blobs"), told)
    }

    /// Decides on the tables and applies what was decided, with nothing in between.
    ///
    /// `decide` returns the changes and its own result; an empty list of changes is fine.
    fn mutate<T>(&self, decide: impl FnOnce(&Tables) -> (Vec<Change>, T)) -> Result<T, StoreError> {
        let mut inner = self.lock();
        let (changes, result) = decide(&inner.tables);
        let Some((journal, _)) = inner.open.as_mut() else {
            return Err(std::io::Error::other("closed").into());
        };
        journal.append(&changes)?;
        for change in changes {
            inner.tables.apply(change);
        }
        Ok(result)
    }

    /// Writes the file records that `decide` makes out of the tables, with nothing in between.
    pub(crate) fn edit_files<T>(
        &self,
        decide: impl FnOnce(&Tables) -> (Vec<FileRecord>, T),
    ) -> Result<T, StoreError> {
        self.mutate(|tables| {
            let (files, result) = decide(tables);
            (files.into_iter().map(Change::File).collect(), result)
        })
    }

    /// Forgets those of these files that exist and unlinks their blobs; returns their records.
    pub(crate) fn remove_files(&self, ids: &[String]) -> Result<Vec<FileRecord>, StoreError> {
        let removed = self.mutate(|tables| {
            let known: Vec<_> = ids.iter().filter_map(|id| tables.file(id)).cloned().collect();
            (known.iter().map(|file| Change::FileGone(file.id.clone())).collect(), known)
        })?;
        for file in &removed {
            let path = self.blob_path(&file.id);
            if let Err(error) = std::fs::remove_file(&path) {
                tracing::warn!(%error, path = %path.display(), "blob was not removed");
            }
        }
        Ok(removed)
    }

    /// Writes the folder record that `decide` makes out of the tables, if it makes one.
    pub(crate) fn edit_folder<T>(
        &self,
        decide: impl FnOnce(&Tables) -> (Option<FolderRecord>, T),
    ) -> Result<T, StoreError> {
        self.mutate(|tables| {
            let (folder, result) = decide(tables);
            (folder.into_iter().map(Change::Folder).collect(), result)
        })
    }

    /// Makes a folder under a fresh id unless `refuse` objects to the tables as they are.
    pub(crate) fn make_folder<E>(
        &self,
        refuse: impl FnOnce(&Tables) -> Option<E>,
        build: impl FnOnce(u64) -> FolderRecord,
    ) -> Result<Result<FolderRecord, E>, StoreError> {
        self.mutate(|tables| match refuse(tables) {
            Some(objection) => (Vec::new(), Err(objection)),
            None => {
                let folder = build(tables.new_folder_id());
                (vec![Change::Folder(folder.clone())], Ok(folder))
            }
        })
    }

    /// Removes a folder if it exists and is empty; says whether it did.
    pub(crate) fn remove_empty_folder(&self, id: u64) -> Result<bool, StoreError> {
        self.mutate(|tables| {
            let removable = id != 0 && tables.folder(id).is_some() && tables.is_empty_folder(id);
            (if removable { vec![Change::FolderGone(id)] } else { Vec::new() }, removable)
        })
    }

    /// Remembers an upload whose files are not visible yet.
    pub(crate) fn put_report(&self, report: Report) -> Result<(), StoreError> {
        self.mutate(|_| (vec![Change::Report(report)], ()))
    }

    /// Makes the files of an upload visible, if they are not yet. Idempotent.
    pub(crate) fn settle(&self, xid: &str) -> Result<(), StoreError> {
        self.mutate(|tables| {
            let pending = tables.report(xid).is_some_and(|report| !report.settled);
            (if pending { vec![Change::Settled(xid.to_owned())] } else { Vec::new() }, ())
        })
    }

    /// Settles what waited longer than `store_after` and drops reports older than `life`, both
    /// in seconds.
    pub(crate) fn sweep(&self, now: i64, store_after: i64, life: i64) -> Result<(), StoreError> {
        self.mutate(|tables| {
            let due = tables.unsettled(now - store_after).map(Change::Settled);
            let old = tables.expired_reports(now - life).map(Change::ReportGone);
            (due.chain(old).collect(), ())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(id: u64, name: &str) -> FolderRecord {
        FolderRecord::new(id, name, 0, 1)
    }

    fn put(store: &Store, folder: FolderRecord) -> Result<(), StoreError> {
        store.edit_folder(|_| (Some(folder), ()))
    }

    #[test]
    fn a_second_owner_is_refused_with_the_pid_of_the_first() {
        let scratch = tempfile::tempdir().unwrap();
        let _first = Store::open(scratch.path()).unwrap();
        match Store::open(scratch.path()) {
            Err(SimError::InUse { pid, .. }) => assert_eq!(pid, std::process::id()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_torn_last_line_is_ignored_and_a_damaged_middle_is_reported() {
        let scratch = tempfile::tempdir().unwrap();
        let store = Store::open(scratch.path()).unwrap();
        put(&store, folder(1_234_567, "kept")).unwrap();
        drop(store);
        let journal = scratch.path().join("journal.jsonl");
        let whole = std::fs::read(&journal).unwrap();
        let mut torn = whole.clone();
        torn.extend_from_slice(b"{\"folder\":{\"id\":765");
        std::fs::write(&journal, &torn).unwrap();
        let store = Store::open(scratch.path()).unwrap();
        assert!(store.read(|tables| tables.folder(1_234_567).is_some()));
        put(&store, folder(1_234_568, "after the tear")).unwrap();
        drop(store);
        let store = Store::open(scratch.path()).unwrap();
        assert!(store.read(|tables| tables.folder(1_234_568).is_some()));
        drop(store);
        let mut damaged = b"{\"folder\":7}\n".to_vec();
        damaged.extend_from_slice(&whole);
        std::fs::write(&journal, &damaged).unwrap();
        assert!(matches!(Store::open(scratch.path()), Err(SimError::Journal { line: 1, .. })));
    }

    #[test]
    fn a_closed_store_refuses_mutations_and_frees_the_folder() {
        let scratch = tempfile::tempdir().unwrap();
        let first = Store::open(scratch.path()).unwrap();
        first.close();
        assert!(put(&first, folder(1_234_567, "late")).is_err());
        Store::open(scratch.path()).unwrap();
    }
}
