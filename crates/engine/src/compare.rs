//! Finds out whether two local files of one size have the same content, in the cheapest way that is certain.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::SystemTime;

use ketch_core::{Digest, HashAlgo, Hashes, Result};
use tokio_util::sync::CancellationToken;

use crate::content::Scratch;
use crate::digest::{AtHand, Digests};
use crate::report::Evidence;
use crate::state::View;

/// From this size on, hashing one file and comparing with the known digest of the other is faster than reading both.
const ONE_SIDE_BYTES: u64 = 1024 * 1024;

/// Compares pair after pair; fastest in the order of their names. Blocks.
pub(crate) struct Comparer<'a> {
    digests: &'a Digests,
    /// What was known when the comparer was made.
    view: Option<View>,
    scratch: Scratch,
    cancel: &'a CancellationToken,
}

impl<'a> Comparer<'a> {
    /// Counts what it reads of one side.
    pub(crate) fn counting(mut self, counter: Option<Arc<AtomicU64>>) -> Self {
        self.scratch.counter = counter;
        self
    }

    pub(crate) fn new(digests: &'a Digests, cancel: &'a CancellationToken) -> Self {
        let view = digests.cache().and_then(|cache| cache.view());
        Comparer { digests, view, scratch: Scratch::default(), cancel }
    }

    /// Do both have the same content? The answer comes from the cache (the pair was found equal before, or both digests are
    /// known), from hashing one file if the digest of the other is known, or from comparing byte for byte up to the first
    /// difference.
    ///
    /// Errors: what reading gives, `Changed` and `Cancelled` among it.
    pub(crate) fn compare(&mut self, files: (AtHand<'_>, AtHand<'_>)) -> Result<(bool, Evidence)> {
        let (left, right) = files;
        let has_versions = left.entry.version.is_some() && right.entry.version.is_some();
        let (one, other) = ((left.key, left.version()), (right.key, right.version()));
        let mut known = [None, None];
        let prove = || left.disk.proves_versions() && right.disk.proves_versions();
        if let Some(view) = self.view.as_mut().filter(|_| has_versions && prove()) {
            if view.is_equal_pair(one, other) {
                self.digests.spared(2);
                return Ok((true, Evidence::Remembered(None)));
            }
            known = view.recall_both(one, other);
        }
        let [hashes, others] = known.map(|facts| facts.unwrap_or_default().hashes);
        if let Some(algo) = common(&hashes, &others) {
            self.digests.spared(2);
            return Ok((hashes.get(algo) == others.get(algo), Evidence::Remembered(Some(algo))));
        }
        let blake3 = HashAlgo::Blake3;
        let is_large = left.entry.size.is_some_and(|size| size >= ONE_SIDE_BYTES);
        match (hashes.get(blake3), others.get(blake3)) {
            (Some(digest), None) if is_large => self.hash_against(digest, right),
            (None, Some(digest)) if is_large => self.hash_against(digest, left),
            _ => self.compare_bytes(left, right),
        }
    }

    fn hash_against(&mut self, digest: &Digest, file: AtHand<'_>) -> Result<(bool, Evidence)> {
        self.digests.spared(1);
        let algo = digest.algo();
        let scratch = &mut self.scratch;
        let facts = self.digests.facts_at_hand(file, &[algo], scratch, self.cancel)?;
        Ok((facts.hashes.get(algo) == Some(digest), Evidence::Remembered(Some(algo))))
    }

    fn compare_bytes(&mut self, left: AtHand<'_>, right: AtHand<'_>) -> Result<(bool, Evidence)> {
        let started = SystemTime::now();
        let (one, other) = ((left.disk, left.entry), (right.disk, right.entry));
        let reader = self.digests.reader();
        let is_equal = reader.is_equal(one, other, &mut self.scratch, self.cancel)?;
        if let Some(cache) = self.digests.cache()
            && is_equal
            && left.is_settled(started)
            && right.is_settled(started)
        {
            cache.remember_pair((left.key, left.version()), (right.key, right.version()));
        }
        Ok((is_equal, Evidence::Content))
    }
}

fn common(left: &Hashes, right: &Hashes) -> Option<HashAlgo> {
    let has = |hashes: &Hashes, algo| hashes.get(algo).is_some();
    HashAlgo::BY_STRENGTH.into_iter().find(|algo| has(left, *algo) && has(right, *algo))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::tests::{Shelf, entry};

    /// Compares twice and says how many files were read each time.
    fn compare_twice(is_settled: bool, other: &[u8], second: &str) -> [(bool, u64); 2] {
        let folder = tempfile::tempdir().expect("scratch");
        let digests = Digests::remembered(folder.path().join("c"));
        let left = Shelf { content: vec![1; 10], is_settled };
        let right = Shelf { content: other.to_vec(), is_settled };
        let mut before = 0;
        ["1", second].map(|version| {
            let (of_left, of_right) = (entry("f", 10, Some("1")), entry("f", 10, Some(version)));
            let files = (
                AtHand { disk: &left, key: "local:/l/f", entry: &of_left },
                AtHand { disk: &right, key: "local:/r/f", entry: &of_right },
            );
            let cancel = CancellationToken::new();
            let compared = Comparer::new(&digests, &cancel).compare(files);
            digests.finish();
            let read = digests.counts().files_read - before;
            before += read;
            (compared.expect("readable").0, read)
        })
    }

    #[test]
    fn only_a_pair_of_settled_versions_that_was_equal_is_not_read_again() {
        assert_eq!(compare_twice(true, &[1; 10], "1"), [(true, 2), (true, 0)]);
        assert_eq!(compare_twice(true, &[1; 10], "2"), [(true, 2), (true, 2)]);
        assert_eq!(compare_twice(false, &[1; 10], "1"), [(true, 2), (true, 2)]);
        assert_eq!(compare_twice(true, &[2; 10], "1"), [(false, 2), (false, 2)]);
    }

    #[test]
    fn a_large_file_whose_twin_is_known_is_hashed_and_the_twin_is_not_read() {
        let folder = tempfile::tempdir().expect("scratch");
        let digests = Digests::remembered(folder.path().join("c"));
        let content = vec![1; ONE_SIDE_BYTES as usize];
        let shelf = Shelf { content: content.clone(), is_settled: true };
        let entry = entry("f", content.len(), Some("1"));
        let left = AtHand { disk: &shelf, key: "local:/l/f", entry: &entry };
        let right = AtHand { key: "local:/r/f", ..left };
        let (mut scratch, cancel) = (Scratch::default(), CancellationToken::new());
        digests.hashes_at_hand(left, &[HashAlgo::Blake3], &mut scratch, &cancel).expect("readable");
        digests.finish();
        let compared = Comparer::new(&digests, &cancel).compare((left, right));
        let evidence = Evidence::Remembered(Some(HashAlgo::Blake3));
        assert_eq!(compared.expect("readable"), (true, evidence));
        assert_eq!((digests.counts().files_read, digests.counts().from_cache), (2, 1));
    }
}
