//! Digests of local files that were computed before, and pairs of files that were found equal byte for byte.
//!
//! A record is used only for exactly the version of the file that was read (inode, size, modification and change time), and
//! only if that version was settled when it was read: a file that was written a moment before could be written again
//! without a change of any of these. A file changed through a memory map that was opened before it was read can escape
//! this, as it escapes every tool that relies on times.
//!
//! New records are collected and written in batches, and forced to the disk every few seconds and at the end. A crash loses
//! the records of the last seconds.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ketch_core::{Digest, HashAlgo, seconds_and_nanoseconds, time_of};
use ketch_manifest::Parts;
use redb::{
    Database, Durability, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition,
};

use super::store::{self, OpenError};
use super::sweep::Sweep;
use crate::content::Facts;

const DIGESTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("digests-1");
const PAIRS: TableDefinition<'_, &str, &str> = TableDefinition::new("pairs-1");

/// Records are written when this many have been collected, …
const BATCH: usize = 1024;
/// … or when this time has passed since records were last forced to the disk. A crash loses what was written since then.
const PATIENCE: Duration = Duration::from_secs(5);
/// Memory of the database.
const MEMORY_BYTES: usize = 32 * 1024 * 1024;
/// With more records than this a new cache is started: most of them are about files that are gone.
const MOST_RECORDS: u64 = 20_000_000;

/// The cache, which one process at a time can have open.
#[derive(Debug)]
pub struct DigestCache {
    database: Database,
    path: PathBuf,
    learnt: Mutex<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    learnt: Vec<Learnt>,
    /// When all records were last on the disk.
    durable: Instant,
}

#[derive(Debug)]
enum Learnt {
    File { key: String, version: Box<str>, facts: Facts },
    Pair { key: String, versions: String },
}

/// What is in the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CacheStats {
    /// Files whose digests are known.
    pub files: u64,
    /// Pairs of files that were found equal.
    pub pairs: u64,
    /// Bytes of the file.
    pub bytes: u64,
}

impl DigestCache {
    /// Opens the cache at `path`, made if it is not there.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        Self::open_bounded(path, MOST_RECORDS)
    }

    fn open_bounded(path: &Path, most_records: u64) -> Result<Self, OpenError> {
        let database = store::open(path, MEMORY_BYTES)?;
        let learnt = Mutex::new(Waiting { learnt: Vec::new(), durable: Instant::now() });
        let cache = DigestCache { database, path: path.to_owned(), learnt };
        let prepared = cache.prepare(most_records);
        prepared.map_err(|error| OpenError::Unusable {
            path: path.to_owned(),
            why: error.to_string(),
        })?;
        Ok(cache)
    }

    /// Makes the tables, and drops them when they have become too large.
    fn prepare(&self, most_records: u64) -> Result<(), redb::Error> {
        let transaction = self.database.begin_write()?;
        let count =
            transaction.open_table(DIGESTS)?.len()? + transaction.open_table(PAIRS)?.len()?;
        if count > most_records {
            transaction.delete_table(DIGESTS)?;
            transaction.delete_table(PAIRS)?;
            transaction.open_table(DIGESTS)?;
            transaction.open_table(PAIRS)?;
        }
        transaction.commit()?;
        Ok(())
    }

    /// What is known about the file with this `key`, if it still is this `version`. Blocks for microseconds, or for a disk
    /// access.
    pub fn recall(&self, key: &str, version: &str) -> Option<Facts> {
        let find = || -> Result<Option<Facts>, redb::Error> {
            let table = self.database.begin_read()?.open_table(DIGESTS)?;
            let record = table.get(key)?;
            Ok(record.and_then(|record| decode(record.value(), version)))
        };
        readable(find()).flatten()
    }

    /// A snapshot of the cache for many look-ups. `None` when it cannot be read. Blocks.
    pub(crate) fn view(&self) -> Option<View> {
        let open = || -> Result<View, redb::Error> {
            let transaction = self.database.begin_read()?;
            let digests = || Ok::<_, redb::Error>(Sweep::new(transaction.open_table(DIGESTS)?));
            Ok(View {
                digests: [digests()?, digests()?],
                pairs: Sweep::new(transaction.open_table(PAIRS)?),
                key: String::new(),
                versions: String::new(),
            })
        };
        readable(open())
    }

    /// Remembers the digests of a file that was read. `version` must have been settled when it was read. Blocks when a
    /// batch is full.
    pub fn remember(&self, key: String, version: Box<str>, facts: Facts) {
        self.learn(Learnt::File { key, version, facts });
    }

    /// Remembers that two files are equal, under the same condition. Blocks when a batch is full.
    pub fn remember_pair(&self, left: (&str, &str), right: (&str, &str)) {
        let (mut key, mut versions) = (String::new(), String::new());
        put_pair(&mut key, left.0, right.0);
        put_pair(&mut versions, left.1, right.1);
        self.learn(Learnt::Pair { key, versions });
    }

    /// Writes all records, so that they survive a power cut. Blocks.
    pub fn finish(&self) {
        let batch = std::mem::take(&mut self.lock().learnt);
        self.write(batch, Durability::Immediate);
    }

    /// Is anything known about files whose keys begin with this? Blocks.
    pub(crate) fn has_any_below(&self, folder: &str) -> bool {
        let find = || -> Result<bool, redb::Error> {
            let table = self.database.begin_read()?.open_table(DIGESTS)?;
            let first = table.range(folder..)?.next().transpose()?;
            Ok(first.is_some_and(|(key, _)| key.value().starts_with(folder)))
        };
        readable(find()).unwrap_or(false)
    }

    /// Can one more record be added without blocking?
    pub(crate) fn takes_at_once(&self) -> bool {
        let waiting = self.lock();
        waiting.learnt.len() + 1 < BATCH && waiting.durable.elapsed() < PATIENCE
    }

    /// What is in it.
    pub fn stats(&self) -> Result<CacheStats, redb::Error> {
        let transaction = self.database.begin_read()?;
        let files = transaction.open_table(DIGESTS)?.len()?;
        let pairs = transaction.open_table(PAIRS)?.len()?;
        let bytes = std::fs::metadata(&self.path).map_or(0, |metadata| metadata.len());
        Ok(CacheStats { files, pairs, bytes })
    }

    fn learn(&self, learnt: Learnt) {
        let (batch, durability) = {
            let mut waiting = self.lock();
            waiting.learnt.push(learnt);
            let durability = match waiting.durable.elapsed() < PATIENCE {
                true if waiting.learnt.len() < BATCH => return,
                true => Durability::None,
                false => {
                    waiting.durable = Instant::now();
                    Durability::Immediate
                }
            };
            (std::mem::take(&mut waiting.learnt), durability)
        };
        self.write(batch, durability);
    }

    /// If the cache cannot be written, later runs are only slower.
    fn write(&self, batch: Vec<Learnt>, durability: Durability) {
        let write = || -> Result<(), redb::Error> {
            let mut transaction = self.database.begin_write()?;
            transaction.set_durability(durability)?;
            {
                let mut digests = transaction.open_table(DIGESTS)?;
                let mut pairs = transaction.open_table(PAIRS)?;
                for learnt in batch {
                    match learnt {
                        Learnt::File { key, version, facts } => {
                            let known = digests.get(&*key)?;
                            let mut all = known
                                .and_then(|record| decode(record.value(), &version))
                                .unwrap_or_default();
                            let hashes = facts.hashes.iter();
                            hashes.for_each(|digest| all.hashes.insert(digest.clone()));
                            all.prefix = facts.prefix.or(all.prefix);
                            all.mtime = facts.mtime.or(all.mtime);
                            all.parts = facts.parts.or(all.parts);
                            digests.insert(&*key, &*encode(&version, &all))?;
                        }
                        Learnt::Pair { key, versions } => {
                            pairs.insert(&*key, &*versions)?;
                        }
                    }
                }
            }
            transaction.commit()?;
            Ok(())
        };
        if let Err(error) = write() {
            tracing::debug!(%error, "the digest cache cannot be written");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.learnt.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for DigestCache {
    fn drop(&mut self) {
        if !self.lock().learnt.is_empty() {
            self.finish();
        }
    }
}

/// A snapshot of the cache. Made for many look-ups of ascending keys; others take longer.
pub(crate) struct View {
    /// One for each side of a comparison: each side's keys ascend.
    digests: [Sweep<&'static [u8]>; 2],
    pairs: Sweep<&'static str>,
    key: String,
    versions: String,
}

impl View {
    /// Were these versions of two files (each after its key) found equal? Blocks for microseconds, or for a disk access.
    pub(crate) fn is_equal_pair(&mut self, left: (&str, &str), right: (&str, &str)) -> bool {
        put_pair(&mut self.key, left.0, right.0);
        put_pair(&mut self.versions, left.1, right.1);
        let versions = readable(self.pairs.get(&self.key)).flatten();
        versions.is_some_and(|versions| versions == self.versions)
    }

    /// What is known about these versions of two files. Blocks for microseconds, or for a disk access.
    pub(crate) fn recall_both(
        &mut self,
        left: (&str, &str),
        right: (&str, &str),
    ) -> [Option<Facts>; 2] {
        let [lefts, rights] = &mut self.digests;
        let find = |sweep: &mut Sweep<&'static [u8]>, (key, version): (&str, &str)| {
            let record = readable(sweep.get(key)).flatten();
            record.and_then(|record| decode(record, version))
        };
        [find(lefts, left), find(rights, right)]
    }
}

/// If the cache cannot be read, the job is only slower.
fn readable<T>(read: Result<T, redb::Error>) -> Option<T> {
    read.map_err(|error| tracing::debug!(%error, "the digest cache cannot be read")).ok()
}

/// A path never holds a NUL, so no two pairs have one key.
fn put_pair(text: &mut String, left: &str, right: &str) {
    text.clear();
    text.push_str(left);
    text.push('\0');
    text.push_str(right);
}

/// The version, a NUL, and each fact after the number of its kind.
fn encode(version: &str, facts: &Facts) -> Vec<u8> {
    let mut record = version.as_bytes().to_vec();
    record.push(0);
    for digest in facts.hashes.iter() {
        record.push(code(digest.algo()));
        record.extend_from_slice(digest.as_bytes());
    }
    if let Some(prefix) = facts.prefix {
        record.push(PREFIX);
        record.extend_from_slice(&prefix);
    }
    if let Some(time) = facts.mtime {
        let (seconds, nanoseconds) = seconds_and_nanoseconds(time);
        record.push(MTIME);
        record.extend_from_slice(&seconds.to_le_bytes());
        record.extend_from_slice(&nanoseconds.to_le_bytes());
    }
    if let Some(parts) = &facts.parts {
        record.push(PARTS);
        record.extend_from_slice(&parts.bytes.to_le_bytes());
        parts.digests.iter().for_each(|digest| record.extend_from_slice(digest));
    }
    record
}

/// What is known about `version`; `None` for another version, and for a record that cannot be parsed.
fn decode(record: &[u8], version: &str) -> Option<Facts> {
    let mut rest = record.strip_prefix(version.as_bytes())?.strip_prefix(&[0])?;
    let mut facts = Facts::default();
    while let Some((number, after)) = rest.split_first() {
        rest = match *number {
            PREFIX => {
                let (prefix, after) = after.split_first_chunk()?;
                facts.prefix = Some(*prefix);
                after
            }
            MTIME => {
                let (seconds, after) = after.split_first_chunk()?;
                let (nanoseconds, after) = after.split_first_chunk()?;
                let time = (i64::from_le_bytes(*seconds), u32::from_le_bytes(*nanoseconds));
                facts.mtime = time_of(time);
                after
            }
            // The last one, so that it ends where the record does.
            PARTS => {
                let (bytes, after) = after.split_first_chunk()?;
                let (digests, []) = after.as_chunks() else { return None };
                let bytes = u64::from_le_bytes(*bytes);
                facts.parts = Some(Parts { bytes, digests: digests.to_vec() });
                &[]
            }
            number => {
                let algo = HashAlgo::BY_STRENGTH.into_iter().find(|algo| code(*algo) == number)?;
                let (bytes, after) = after.split_at_checked(algo.bytes())?;
                facts.hashes.insert(Digest::new(algo, bytes)?);
                after
            }
        };
    }
    Some(facts)
}

const PREFIX: u8 = 100;
const PARTS: u8 = 101;
const MTIME: u8 = 102;

/// Stable: it is on disks.
fn code(algo: HashAlgo) -> u8 {
    match algo {
        HashAlgo::Blake3 => 1,
        HashAlgo::Sha256 => 2,
        HashAlgo::Whirlpool => 3,
        HashAlgo::Sha1 => 4,
        HashAlgo::Md5 => 5,
        HashAlgo::Crc64Nvme => 6,
        HashAlgo::Crc32c => 7,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ketch_core::hash::hash_bytes;

    fn facts(algo: HashAlgo, content: &str) -> Facts {
        Facts { hashes: hash_bytes(&[algo], content.as_bytes()), ..Facts::default() }
    }

    #[test]
    fn a_digest_is_believed_for_its_version_only_and_outlives_the_process() {
        let folder = tempfile::tempdir().expect("scratch");
        let path = folder.path().join("new/digests.redb");
        let blake3 = facts(HashAlgo::Blake3, "x");
        let cache = DigestCache::open(&path).expect("opens");
        cache.remember("local:/a".into(), "1-2".into(), blake3.clone());
        cache.finish();
        assert_eq!(cache.recall("local:/a", "1-2"), Some(blake3.clone()));
        drop(cache);
        let cache = DigestCache::open(&path).expect("opens again");
        assert_eq!(cache.recall("local:/a", "1-2"), Some(blake3.clone()));
        for (key, version) in [("local:/a", "1-3"), ("local:/a", "1-"), ("local:/b", "1-2")] {
            assert_eq!(cache.recall(key, version), None, "{key} {version}");
        }
        // A second digest of the same version is added, one of another version replaces all.
        let md5 = facts(HashAlgo::Md5, "x");
        cache.remember("local:/a".into(), "1-2".into(), md5.clone());
        cache.finish();
        let both = cache.recall("local:/a", "1-2").expect("known");
        assert!(
            both.hashes.get(HashAlgo::Blake3).is_some() && both.hashes.get(HashAlgo::Md5).is_some()
        );
        cache.remember("local:/a".into(), "1-3".into(), md5.clone());
        cache.finish();
        assert_eq!(cache.recall("local:/a", "1-2"), None);
        assert_eq!(cache.recall("local:/a", "1-3"), Some(md5));
        assert_eq!(cache.stats().expect("readable").files, 1);
    }

    #[test]
    fn pairs_are_believed_for_both_versions_only() {
        let folder = tempfile::tempdir().expect("scratch");
        let cache = DigestCache::open(&folder.path().join("c")).expect("opens");
        cache.remember_pair(("a", "1"), ("b", "2"));
        cache.finish();
        let mut view = cache.view().expect("readable");
        assert!(view.is_equal_pair(("a", "1"), ("b", "2")));
        assert!(!view.is_equal_pair(("a", "1"), ("b", "3")));
        assert!(!view.is_equal_pair(("a", "0"), ("b", "2")));
        assert!(!view.is_equal_pair(("b", "2"), ("a", "1")));
    }

    #[test]
    fn a_view_believes_a_digest_for_its_version_only() {
        let folder = tempfile::tempdir().expect("scratch");
        let cache = DigestCache::open(&folder.path().join("c")).expect("opens");
        let blake3 = facts(HashAlgo::Blake3, "x");
        cache.remember("l/a".into(), "1".into(), blake3.clone());
        cache.finish();
        let mut view = cache.view().expect("readable");
        assert_eq!(view.recall_both(("l/a", "1"), ("l/a", "2")), [Some(blake3.clone()), None]);
        assert_eq!(view.recall_both(("l/b", "1"), ("l/a", "1")), [None, Some(blake3)]);
    }

    #[test]
    fn a_second_user_is_told_that_it_is_in_use() {
        let folder = tempfile::tempdir().expect("scratch");
        let path = folder.path().join("c");
        let _first = DigestCache::open(&path).expect("opens");
        let second = DigestCache::open(&path).expect_err("one owner");
        assert!(matches!(second, OpenError::InUse(_)), "{second}");
    }

    #[test]
    fn a_file_that_is_no_database_is_made_anew() {
        let folder = tempfile::tempdir().expect("scratch");
        let path = folder.path().join("c");
        std::fs::write(&path, vec![7; 100_000]).expect("written");
        let cache = DigestCache::open(&path).expect("made anew");
        assert_eq!(cache.stats().expect("readable").files, 0);
    }

    #[test]
    fn what_is_learnt_is_written_in_batches() {
        let folder = tempfile::tempdir().expect("scratch");
        let cache = DigestCache::open(&folder.path().join("c")).expect("opens");
        for number in 0..BATCH {
            let key = format!("local:/{number}");
            cache.remember(key, "v".into(), facts(HashAlgo::Md5, "x"));
        }
        assert!(cache.lock().learnt.is_empty());
        assert!(cache.recall("local:/5", "v").is_some());
    }

    #[test]
    fn a_cache_that_has_grown_too_large_is_begun_anew() {
        let folder = tempfile::tempdir().expect("scratch");
        let path = folder.path().join("c");
        let cache = DigestCache::open_bounded(&path, 2).expect("opens");
        for key in ["a", "b", "c"] {
            cache.remember(key.into(), "v".into(), facts(HashAlgo::Md5, "x"));
        }
        drop(cache);
        let cache = DigestCache::open_bounded(&path, 3).expect("opens");
        assert_eq!(cache.stats().expect("readable").files, 3);
        drop(cache);
        let cache = DigestCache::open_bounded(&path, 2).expect("opens");
        assert_eq!(cache.stats().expect("readable").files, 0);
    }

    #[test]
    fn parts_and_prefix_survive() {
        let parts = Some(Parts { bytes: 4, digests: vec![[1; 32], [2; 32]] });
        let mtime = time_of((-5, 123_456_789));
        let prefix = Some([1, 2, 3, 4]);
        let facts = Facts { prefix, parts, mtime, ..facts(HashAlgo::Blake3, "x") };
        assert_eq!(decode(&encode("v", &facts), "v"), Some(facts.clone()));
        let mut cut = encode("v", &facts);
        cut.pop();
        assert_eq!(decode(&cut, "v"), None);
    }

    #[test]
    fn no_record_makes_it_fail() {
        for record in [&b""[..], b"v", b"v\0\x01abc", b"v\0\x09", b"w\0"] {
            assert!(decode(record, "v").is_none_or(|facts| facts == Facts::default()));
        }
        assert_eq!(decode(b"v\0", "v"), Some(Facts::default()));
    }
}
