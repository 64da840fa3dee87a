//! The digest of an entry: from the listing if the listing shows it, from the cache if the file was read before, else by
//! reading the file if that needs no network.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use futures::StreamExt;
use ketch_core::facets::Wanted;
use ketch_core::{
    Backend, Digest, Disk, Entry, Error, ErrorKind, HashAlgo, Hashes, MultiHasher, ReadOptions,
    Result,
};
use tokio_util::sync::CancellationToken;

use crate::blocking::blocking;
use crate::content::{Facts, Reader, Scratch};
use crate::known::{Known, Store};
use crate::place::Place;
use crate::state::DigestCache;

/// Pieces above this size are hashed on a blocking thread.
const INLINE_BYTES: usize = 64 * 1024;

/// Where digests come from, and how much was read for them. Clones share everything.
#[derive(Debug, Clone, Default)]
pub struct Digests(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    known: Arc<Known>,
    reader: Reader,
    from_cache: AtomicU64,
}

/// How much was read for digests and comparisons of content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DigestCounts {
    /// Files that were read.
    pub files_read: u64,
    /// Bytes that were read.
    pub bytes_read: u64,
    /// Files that were not read, because the cache has their digests.
    pub from_cache: u64,
}

/// Where a digest is from, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// The content was read now, or the remote attests it.
    Content,
    /// It was computed from this version of the file earlier, when that was read or sent.
    Remembered,
    /// An uploader wrote it down; nothing shows that the content has it.
    Claimed,
}

/// What the digests of two files say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compared {
    /// They are equal.
    pub is_equal: bool,
    /// What that rests on: the weaker of the origins of the two digests.
    pub origin: Origin,
    /// Which digest decided.
    pub algo: HashAlgo,
}

/// A file with every digest that a remote tells when it is asked.
async fn inspected(place: &Arc<dyn Backend>, entry: &Entry) -> Result<Entry> {
    let facets = place.facets();
    let Some(inspect) = facets.inspect.as_ref().filter(|_| !place.capabilities().read_local) else {
        return Ok(entry.clone());
    };
    let wanted = Wanted { mtime: false, hashes: HashAlgo::BY_STRENGTH.to_vec() };
    let mut found = inspect.inspect(std::slice::from_ref(entry), &wanted).await?;
    found.pop().unwrap_or_else(|| Err(Error::unsupported("look at a file")))
}

/// May a remembered digest be used?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// Yes: it spares a transfer, or is only reported.
    Counts,
    /// No: a file will be removed or left because of it, so the content is read, or the remote is asked, now.
    IsNoProof,
}

/// A local file.
#[derive(Clone, Copy)]
pub(crate) struct AtHand<'a> {
    pub(crate) disk: &'a dyn Disk,
    pub(crate) key: &'a str,
    pub(crate) entry: &'a Entry,
}

impl AtHand<'_> {
    pub(crate) fn version(&self) -> &str {
        self.entry.version.as_deref().unwrap_or_default()
    }

    /// May digests that are computed from now on be remembered?
    pub(crate) fn is_settled(&self, now: SystemTime) -> bool {
        self.entry.version.is_some() && self.disk.is_settled(self.entry, now)
    }
}

impl Digests {
    /// Digests that are remembered in the cache at `path`, which is opened when the first is needed. If the cache cannot be
    /// opened, the job works without it.
    pub fn remembered(path: PathBuf) -> Self {
        let known = Known { cache: Some(Store::at(path)), fresh: None };
        Digests(Arc::new(Inner { known: Arc::new(known), ..Inner::default() }))
    }

    /// The same, which must not have been used yet, but they also keep what is computed about every file that the job
    /// stores, in a file at `path` that belongs to one job: for a manifest of what it stored. The caller removes that file.
    pub fn keeping(&self, path: PathBuf) -> Self {
        let cache = self.0.known.cache.as_ref().map(|store| Store::at(store.path().clone()));
        let known = Known { cache, fresh: Some(Store::at(path)) };
        Digests(Arc::new(Inner { known: Arc::new(known), ..Inner::default() }))
    }

    /// Must the bytes that pass be hashed for a manifest?
    pub(crate) fn keeps(&self) -> bool {
        self.0.known.fresh.is_some()
    }

    /// Remembers the digests that were computed while a file was sent to `place`.
    pub(crate) async fn learn(&self, place: &Place, stored: &Entry, facts: Facts) {
        Known::learn(&self.0.known, place, stored, facts).await;
    }

    /// What is remembered about a file of `place` from when this job stored it, or, for a remote, from when it was sent.
    /// Blocks only for as long as a look-up takes.
    pub(crate) async fn known(
        &self,
        place: &Place,
        entry: &Entry,
        only_fresh: bool,
    ) -> Option<Facts> {
        let known = &self.0.known;
        let has_any = known.fresh.is_some() || known.cache_of(place).is_some();
        if !has_any || (only_fresh && known.fresh.is_none()) {
            return None;
        }
        let (known, place, entry) = (Arc::clone(known), place.clone(), entry.clone());
        let look = blocking(move |_| {
            let sent = || known.sent(&place, &entry).filter(|_| !only_fresh);
            Ok(known.stored(&place, &entry).or_else(sent))
        });
        look.await.ok().flatten()
    }

    /// The strongest digest, or the one `asked` for, by which files of two places can be compared when digests that are
    /// remembered from sending files, or claimed by who sent them, count too. `None` if neither place has any.
    pub(crate) async fn common_remembered(
        &self,
        places: [&Place; 2],
        asked: Option<HashAlgo>,
    ) -> Option<HashAlgo> {
        let sent = match &self.0.known.cache {
            Some(_) => {
                let (known, of) = (Arc::clone(&self.0.known), places.map(Clone::clone));
                blocking(move |_| Ok(of.map(|place| known.has_sent(&place)))).await.ok()?
            }
            None => [false; 2],
        };
        let gives = |algo: HashAlgo| {
            places.iter().zip(sent).all(|(place, sent)| {
                let shown = place.backend.capabilities();
                sent || shown.has_hash(algo) || shown.claimed_hashes.contains(&algo)
            })
        };
        let claims = |place: &&Place| !place.backend.capabilities().claimed_hashes.is_empty();
        let has_any = sent.contains(&true) || places.iter().any(claims);
        let mut algos = HashAlgo::BY_STRENGTH.into_iter();
        algos.find(|algo| has_any && asked.is_none_or(|asked| asked == *algo) && gives(*algo))
    }

    /// Why the cache was not used, if it was wanted and could not be.
    pub fn unusable(&self) -> Option<&str> {
        self.0.known.cache.as_ref().and_then(Store::unusable)
    }

    /// The cache. Blocks.
    pub(crate) fn cache(&self) -> Option<&DigestCache> {
        self.0.known.cache.as_ref().and_then(Store::get)
    }

    /// How much was read so far.
    pub fn counts(&self) -> DigestCounts {
        let get = |amount: &AtomicU64| amount.load(Ordering::Relaxed);
        DigestCounts {
            files_read: get(&self.0.reader.files),
            bytes_read: get(&self.0.reader.bytes),
            from_cache: get(&self.0.from_cache),
        }
    }

    /// Writes down what was learnt. Blocks.
    pub fn finish(&self) {
        let known = &self.0.known;
        [&known.cache, &known.fresh].into_iter().flatten().for_each(Store::finish);
    }

    /// The digest of `entry`'s content: listed, remembered or claimed if that may count, or read where that costs no network
    /// traffic. And where it is from.
    ///
    /// Errors: `Unsupported` when it could only be had over a network; what reading gives, `Changed` among it.
    pub(crate) async fn of(
        &self,
        backend: &Arc<dyn Backend>,
        entry: &Entry,
        algo: HashAlgo,
        memory: Memory,
    ) -> Result<(Digest, Origin)> {
        if let Some(digest) = entry.hashes.as_ref().and_then(|hashes| hashes.get(algo)) {
            return Ok((digest.clone(), Origin::Content));
        }
        if !backend.capabilities().read_local {
            let facts = match memory {
                Memory::Counts => self.known(&Place::new(backend), entry, false).await,
                Memory::IsNoProof => None,
            };
            if let Some(digest) = facts.as_ref().and_then(|facts| facts.hashes.get(algo)) {
                self.spared(1);
                return Ok((digest.clone(), Origin::Remembered));
            }
            let claimed = entry.claimed.as_ref().filter(|_| memory == Memory::Counts);
            if let Some(digest) = claimed.and_then(|claimed| claimed.get(algo)) {
                return Ok((digest.clone(), Origin::Claimed));
            }
            let message = format!("the remote shows no {algo} digest of this file");
            return Err(Error::new(ErrorKind::Unsupported, message)
                .with_operation("digest")
                .with_remote(backend.name())
                .with_path(&entry.path));
        }
        let (hashes, remembered) = self.read(&Place::new(backend), entry, &[algo], memory).await?;
        let digest = hashes.get(algo).expect("the digest that was asked for is computed");
        let origin = if remembered { Origin::Remembered } else { Origin::Content };
        Ok((digest.clone(), origin))
    }

    /// Have both files the same content, by `algo`? Both sides are read at the same time. If a remote shows no such digest of
    /// this file, it is asked for others, and the strongest that both sides have decides. A checksum that was asked for so does
    /// not count where [`Memory::IsNoProof`].
    ///
    /// Errors: `Unsupported` when no digest of both files can be had without a network.
    pub async fn same_content(
        &self,
        source: (&Arc<dyn Backend>, &Entry),
        destination: (&Arc<dyn Backend>, &Entry),
        algo: HashAlgo,
        memory: Memory,
    ) -> Result<Compared> {
        let missing = match self.compare_by(source, destination, algo, memory).await {
            Err(error) if error.kind() == ErrorKind::Unsupported => error,
            compared => return compared,
        };
        let (left, right) = tokio::try_join!(
            inspected(source.0, source.1),
            inspected(destination.0, destination.1)
        )?;
        let has = |place: &Arc<dyn Backend>, entry: &Entry, algo| {
            let shown = entry.hashes.as_ref().is_some_and(|hashes| hashes.get(algo).is_some());
            shown || place.capabilities().read_local
        };
        let counts = |algo: &HashAlgo| memory == Memory::Counts || !algo.is_checksum();
        let common = HashAlgo::BY_STRENGTH
            .into_iter()
            .filter(counts)
            .find(|algo| has(source.0, &left, *algo) && has(destination.0, &right, *algo));
        match common {
            Some(algo) => {
                self.compare_by((source.0, &left), (destination.0, &right), algo, memory).await
            }
            None => Err(missing),
        }
    }

    async fn compare_by(
        &self,
        source: (&Arc<dyn Backend>, &Entry),
        destination: (&Arc<dyn Backend>, &Entry),
        algo: HashAlgo,
        memory: Memory,
    ) -> Result<Compared> {
        let (left, right) = tokio::join!(
            self.of(source.0, source.1, algo, memory),
            self.of(destination.0, destination.1, algo, memory)
        );
        let ((left, of_left), (right, of_right)) = (left?, right?);
        Ok(Compared { is_equal: left == right, origin: of_left.max(of_right), algo })
    }

    /// All of `algos`, from the cache if it may be used, or by reading, whatever a listing says. And whether the cache had
    /// them.
    async fn read(
        &self,
        place: &Place,
        entry: &Entry,
        algos: &[HashAlgo],
        memory: Memory,
    ) -> Result<(Hashes, bool)> {
        let by_stream = async || {
            let hashes = self.read_stream(&place.backend, entry, algos).await?;
            Ok((hashes, false))
        };
        let Some(disk) = place.disk.clone() else { return by_stream().await };
        let (key, of_entry, wanted) = (place.key(entry), entry.clone(), algos.to_vec());
        let this = self.clone();
        let found = blocking(move |cancel| {
            let file = AtHand { disk: &*disk, key: &key, entry: &of_entry };
            if memory == Memory::Counts
                && let Some(known) = this.recalled_hashes(file, &wanted)
            {
                return Ok((known, true));
            }
            let read = this.facts_at_hand(file, &wanted, &mut Scratch::default(), cancel)?;
            Ok((read.hashes, false))
        });
        match found.await {
            // Too many files are open: the stream waits and tries again.
            Err(error) if error.kind() == ErrorKind::Unavailable => by_stream().await,
            found => found,
        }
    }

    async fn read_stream(
        &self,
        backend: &Arc<dyn Backend>,
        entry: &Entry,
        algos: &[HashAlgo],
    ) -> Result<Hashes> {
        self.0.reader.files.fetch_add(1, Ordering::Relaxed);
        let mut stream = backend.read(entry, ReadOptions::default()).await?;
        let mut hasher = MultiHasher::new(algos);
        while let Some(piece) = stream.next().await {
            let piece = piece?;
            self.0.reader.bytes.fetch_add(piece.len() as u64, Ordering::Relaxed);
            if piece.len() <= INLINE_BYTES {
                hasher.update(&piece);
            } else {
                hasher = tokio::task::spawn_blocking(move || {
                    hasher.update(&piece);
                    hasher
                })
                .await
                .map_err(|_| Error::new(ErrorKind::Io, "hashing stopped"))?;
            }
        }
        Ok(hasher.finish())
    }

    /// Digests of a local file. Blocks.
    pub(crate) fn hashes_at_hand(
        &self,
        file: AtHand<'_>,
        algos: &[HashAlgo],
        scratch: &mut Scratch,
        cancel: &CancellationToken,
    ) -> Result<Hashes> {
        match self.recalled_hashes(file, algos) {
            Some(known) => Ok(known),
            None => Ok(self.facts_at_hand(file, algos, scratch, cancel)?.hashes),
        }
    }

    /// The remembered digests of a local file, if all of `algos` are remembered.
    fn recalled_hashes(&self, file: AtHand<'_>, algos: &[HashAlgo]) -> Option<Hashes> {
        let Facts { hashes, .. } = self.recall(file)?;
        algos.iter().all(|algo| hashes.get(*algo).is_some()).then(|| {
            self.spared(1);
            hashes
        })
    }

    /// Reads a local file, whatever the cache holds, and remembers its digests. Blocks.
    pub(crate) fn facts_at_hand(
        &self,
        file: AtHand<'_>,
        algos: &[HashAlgo],
        scratch: &mut Scratch,
        cancel: &CancellationToken,
    ) -> Result<Facts> {
        let started = SystemTime::now();
        let facts = self.0.reader.hash(file.disk, file.entry, algos, scratch, cancel)?;
        if let Some(cache) = self.cache()
            && file.is_settled(started)
        {
            cache.remember(file.key.to_owned(), file.version().into(), facts.clone());
        }
        Ok(facts)
    }

    /// What a manifest says about a local file: from the cache if it was read before, or from the transfer that stored it.
    /// Blocks.
    pub(crate) fn facts_for_manifest(
        &self,
        place: &Place,
        file: AtHand<'_>,
        scratch: &mut Scratch,
        cancel: &CancellationToken,
    ) -> Result<Facts> {
        if let Some(facts) = self.0.known.stored(place, file.entry)
            && facts.prefix.is_some()
        {
            return Ok(facts);
        }
        if let Some(facts) = self.recall(file)
            && facts.hashes.get(HashAlgo::Blake3).is_some()
            && facts.prefix.is_some()
        {
            self.spared(1);
            return Ok(facts);
        }
        self.facts_at_hand(file, &[HashAlgo::Blake3], scratch, cancel)
    }

    /// Counts files that were not read, because the cache has their digests.
    pub(crate) fn spared(&self, files: u64) {
        self.0.from_cache.fetch_add(files, Ordering::Relaxed);
    }

    pub(crate) fn reader(&self) -> &Reader {
        &self.0.reader
    }

    fn recall(&self, file: AtHand<'_>) -> Option<Facts> {
        let version = file.entry.version.as_deref().filter(|_| file.disk.proves_versions())?;
        self.cache()?.recall(file.key, version)
    }
}

/// The digest of the bytes that are read, whatever a listing or the cache says.
///
/// Errors: what reading gives, `Changed` among it.
pub async fn content_digest(
    backend: &Arc<dyn Backend>,
    entry: &Entry,
    algo: HashAlgo,
) -> Result<Digest> {
    let hashes = Digests::default().read_stream(backend, entry, &[algo]).await?;
    Ok(hashes.get(algo).expect("the digest that was asked for is computed").clone())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use ketch_core::{DiskFile, RelPath};

    /// Files of one content, whose versions are settled or not.
    #[derive(Debug)]
    pub(crate) struct Shelf {
        pub(crate) content: Vec<u8>,
        pub(crate) is_settled: bool,
    }

    impl Disk for Shelf {
        fn open(&self, _entry: &Entry) -> Result<Box<dyn DiskFile>> {
            Ok(Box::new(Shelf { content: self.content.clone(), is_settled: self.is_settled }))
        }

        fn is_settled(&self, _entry: &Entry, _time: SystemTime) -> bool {
            self.is_settled
        }

        fn proves_versions(&self) -> bool {
            true
        }
    }

    impl DiskFile for Shelf {
        fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
            let rest = self.content.get(offset as usize..).unwrap_or_default();
            let length = rest.len().min(buffer.len());
            buffer[..length].copy_from_slice(&rest[..length]);
            Ok(length)
        }

        fn check_unchanged(&self) -> Result<()> {
            Ok(())
        }
    }

    pub(crate) fn entry(name: &str, size: usize, version: Option<&str>) -> Entry {
        let file = Entry::file(RelPath::new(name).expect("legal"), size as u64);
        Entry { version: version.map(Into::into), ..file }
    }

    /// Asks twice and says how many files were read each time.
    fn read_twice(is_settled: bool, versions: [Option<&str>; 2]) -> [u64; 2] {
        let folder = tempfile::tempdir().expect("scratch");
        let digests = Digests::remembered(folder.path().join("c"));
        let shelf = Shelf { content: vec![1; 10], is_settled };
        let mut before = 0;
        versions.map(|version| {
            let entry = entry("f", 10, version);
            let file = AtHand { disk: &shelf, key: "local:/f", entry: &entry };
            let (mut scratch, cancel) = (Scratch::default(), CancellationToken::new());
            digests
                .hashes_at_hand(file, &[HashAlgo::Md5], &mut scratch, &cancel)
                .expect("readable");
            digests.finish();
            let read = digests.counts().files_read - before;
            before += read;
            read
        })
    }

    #[test]
    fn only_a_settled_version_is_not_read_again() {
        assert_eq!(read_twice(true, [Some("1"), Some("1")]), [1, 0]);
        assert_eq!(read_twice(true, [Some("1"), Some("2")]), [1, 1]);
        assert_eq!(read_twice(false, [Some("1"), Some("1")]), [1, 1]);
        assert_eq!(read_twice(true, [None, None]), [1, 1]);
    }
}
