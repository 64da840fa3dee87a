//! Remembers what an interrupted check or verification found to be right, so that the next run continues there.
//!
//! A mark is a fingerprint under a key: the key says which file or part, the fingerprint which versions of it were compared
//! and how. It counts only while the fingerprint is the same. A file of marks belongs to one job and is removed when that
//! job comes to its end. Marks for much work are forced to the disk at once, others in small batches, so that a kill costs
//! the part in progress, or a second.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use redb::{Database, ReadableDatabase, TableDefinition};

use super::store::{self, OpenError};

const MARKS: TableDefinition<'_, &str, &[u8; 16]> = TableDefinition::new("marks-1");
/// Marks are written when this many have been collected, …
const BATCH: usize = 256;
/// … or the oldest has waited this long.
const PATIENCE: Duration = Duration::from_secs(1);
/// Memory of the database.
const MEMORY_BYTES: usize = 8 * 1024 * 1024;

/// The marks of one job.
#[derive(Debug)]
pub struct Marks {
    database: Database,
    path: PathBuf,
    waiting: Mutex<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    marks: Vec<(String, [u8; 16])>,
    since: Instant,
}

impl Marks {
    /// Opens the marks of a job, kept in `folder` under a name made of what identifies the job.
    pub fn open(folder: &Path, identity: &[&str]) -> Result<Self, OpenError> {
        let mut hasher = blake3::Hasher::new();
        for part in identity {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        let name = hasher.finalize().to_hex();
        let path = folder.join(format!("{}.redb", &name.as_str()[..32]));
        let database = store::open(&path, MEMORY_BYTES)?;
        let prepare = || -> Result<(), redb::Error> {
            let transaction = database.begin_write()?;
            transaction.open_table(MARKS)?;
            transaction.commit()?;
            Ok(())
        };
        prepare()
            .map_err(|error| OpenError::Unusable { path: path.clone(), why: error.to_string() })?;
        let waiting = Waiting { marks: Vec::new(), since: Instant::now() };
        Ok(Marks { database, path, waiting: Mutex::new(waiting) })
    }

    /// The fingerprint of what was compared.
    pub fn fingerprint(parts: &[&str]) -> [u8; 16] {
        let mut hasher = blake3::Hasher::new();
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        let mut fingerprint = [0; 16];
        fingerprint.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        fingerprint
    }

    /// Is there a mark with this fingerprint?
    pub fn is_marked(&self, key: &str, fingerprint: [u8; 16]) -> bool {
        let find = || -> Result<bool, redb::Error> {
            let table = self.database.begin_read()?.open_table(MARKS)?;
            Ok(table.get(key)?.is_some_and(|mark| *mark.value() == fingerprint))
        };
        find().unwrap_or_else(|error| {
            tracing::debug!(%error, "marks cannot be read");
            false
        })
    }

    /// Sets a mark for much work. When this returns, the mark survives the process. Blocks.
    pub fn mark_now(&self, key: String, fingerprint: [u8; 16]) {
        self.lock().marks.push((key, fingerprint));
        self.flush();
    }

    /// Sets a mark. Blocks when a batch is due.
    pub fn mark(&self, key: String, fingerprint: [u8; 16]) {
        let batch = {
            let mut waiting = self.lock();
            if waiting.marks.is_empty() {
                waiting.since = Instant::now();
            }
            waiting.marks.push((key, fingerprint));
            if waiting.marks.len() < BATCH && waiting.since.elapsed() < PATIENCE {
                return;
            }
            std::mem::take(&mut waiting.marks)
        };
        self.write(&batch);
    }

    /// Writes what waits. Blocks.
    pub fn flush(&self) {
        let batch = std::mem::take(&mut self.lock().marks);
        self.write(&batch);
    }

    /// Removes the marks, because the job came to its end.
    pub fn remove(self) {
        self.lock().marks.clear();
        let path = self.path.clone();
        drop(self);
        // If the file stays, it does no harm: a mark counts only with the same fingerprint.
        let _ = std::fs::remove_file(path);
    }

    fn write(&self, batch: &[(String, [u8; 16])]) {
        if batch.is_empty() {
            return;
        }
        let write = || -> Result<(), redb::Error> {
            let transaction = self.database.begin_write()?;
            {
                let mut table = transaction.open_table(MARKS)?;
                for (key, fingerprint) in batch {
                    table.insert(&**key, fingerprint)?;
                }
            }
            transaction.commit()?;
            Ok(())
        };
        if let Err(error) = write() {
            tracing::debug!(%error, "marks cannot be written");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Marks {
    fn drop(&mut self) {
        self.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_outlives_the_process_and_counts_for_its_fingerprint_only() {
        let folder = tempfile::tempdir().expect("scratch");
        let open = || Marks::open(folder.path(), &["check", "a", "b"]).expect("opens");
        let (same, other) = (Marks::fingerprint(&["v1", "v2"]), Marks::fingerprint(&["v1v", "2"]));
        assert_ne!(same, other);
        let marks = open();
        marks.mark("k".into(), same);
        drop(marks);
        let marks = open();
        assert!(marks.is_marked("k", same));
        assert!(!marks.is_marked("k", other) && !marks.is_marked("l", same));
        let elsewhere = Marks::open(folder.path(), &["check", "ab", ""]).expect("opens");
        assert!(!elsewhere.is_marked("k", same));
        elsewhere.remove();
        marks.remove();
        assert_eq!(std::fs::read_dir(folder.path()).expect("there").count(), 0);
        assert!(!open().is_marked("k", same));
        // The other one outlives a process that does not get to drop anything.
        let marks = open();
        marks.mark("batched".into(), same);
        assert!(!marks.is_marked("batched", same));
        marks.mark_now("at once".into(), same);
        assert!(marks.is_marked("at once", same) && marks.is_marked("batched", same));
    }
}
