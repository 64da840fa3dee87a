//! Computes digests of the bytes that pass, during the transfer and not before or after it.
//!
//! A pass from the start to the end gives every digest. Ranges that are read in any order, some of them at the same time and
//! some again, give the digests that can be combined from ranges ([`PART_ALGOS`]) as soon as every byte was read.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use tokio::sync::mpsc;

use super::{Body, ByteStream, Passed, Source};
use crate::error::{Error, ErrorKind, Result, Retry};
use crate::hash::{
    Digest, HashAlgo, Hashes, MultiHasher, PART_ALGOS, PartDigest, PartHasher, Parts,
};

/// Below this size the digest is computed where the bytes are handled; above, on a thread of its own.
const INLINE_BYTES: u64 = 256 * 1024;
/// Pieces that may wait for the hashing thread.
const QUEUE_PIECES: usize = 4;

/// Sees every byte of one pass, on the thread that hashes them.
pub trait PassObserver: Send {
    /// The next bytes.
    fn update(&mut self, bytes: &[u8]);

    /// The pass reached its end. Returns the digests that it computed.
    fn finish(self: Box<Self>) -> Hashes;
}

/// Makes an observer for each pass.
pub trait Observe: fmt::Debug + Send + Sync {
    /// The digests its observers give.
    fn algos(&self) -> &'static [HashAlgo];

    /// A pass begins.
    fn begin(&self) -> Box<dyn PassObserver>;
}

/// A source that remembers the digests of the last complete pass over it, or of all its ranges together.
#[derive(Debug)]
pub struct HashingSource {
    inner: Body,
    algos: Vec<HashAlgo>,
    observed: Option<Arc<dyn Observe>>,
    expected: Option<Digest>,
    result: Arc<Mutex<Option<Hashes>>>,
    parts: Arc<Mutex<Option<Parts>>>,
}

impl HashingSource {
    /// Hashes `inner` with `algos` in each pass from its start to its end.
    pub fn new(inner: Body, algos: Vec<HashAlgo>) -> Self {
        HashingSource {
            inner,
            algos,
            observed: None,
            expected: None,
            result: Arc::default(),
            parts: Arc::default(),
        }
    }

    /// Also shows every byte to an observer, which may compute more. The digests that the observer computes are not computed a
    /// second time.
    pub fn observed(mut self, observed: Arc<dyn Observe>) -> Self {
        self.algos.retain(|algo| !observed.algos().contains(algo));
        self.observed = Some(observed);
        self
    }

    fn computes(&self, algo: HashAlgo) -> bool {
        let is_observed = |observed: &Arc<dyn Observe>| observed.algos().contains(&algo);
        self.algos.contains(&algo) || self.observed.as_ref().is_some_and(is_observed)
    }

    /// Also fails with `Corrupt`, in place of the last piece, when the content has another digest than `expected`. So
    /// a destination that needs every byte cannot complete the file.
    pub fn expecting(mut self, expected: Digest) -> Self {
        if !self.computes(expected.algo()) {
            self.algos.push(expected.algo());
        }
        self.expected = Some(expected);
        self
    }

    /// The digests of the last pass that reached the end; `None` before there was one.
    pub fn hashes(&self) -> Option<Hashes> {
        lock(&self.result).clone()
    }

    /// The digests that are combined from ranges.
    fn part_algos(&self) -> Vec<HashAlgo> {
        PART_ALGOS.into_iter().filter(|algo| self.computes(*algo)).collect()
    }

    /// Opens a range of content of `size` bytes, and hashes it while it is read.
    async fn open_part(&self, range: Range<u64>, size: u64) -> Result<ByteStream> {
        let stream = self.inner.open(range.clone()).await?;
        let algos = self.part_algos();
        if algos.is_empty() || range.is_empty() {
            return Ok(stream);
        }
        let parts = Arc::clone(&self.parts);
        lock(&parts).get_or_insert_with(|| Parts::new(size)).forget(&range);
        let left = range.end - range.start;
        let hasher = PartHasher::new(range, size, &algos);
        let pass = PartPass {
            stream,
            hasher: Some(Hashing::start(hasher, Some(left))),
            left,
            expected: self.expected.clone(),
            result: Arc::clone(&self.result),
            parts,
        };
        Ok(futures::stream::try_unfold(pass, PartPass::next).boxed())
    }

    fn hasher(&self) -> Hasher {
        Hasher {
            own: MultiHasher::new(&self.algos),
            observer: self.observed.as_ref().map(|observed| observed.begin()),
        }
    }
}

#[async_trait]
impl Source for HashingSource {
    fn size(&self) -> Option<u64> {
        self.inner.size()
    }

    fn replayable(&self) -> bool {
        self.inner.replayable()
    }

    fn any_order(&self) -> bool {
        // What was listed must be compared with what was read, and an observer sees bytes in order only.
        let is_of_parts = |digest: &Digest| PART_ALGOS.contains(&digest.algo());
        self.inner.any_order()
            && self.observed.is_none()
            && self.algos.iter().all(|algo| PART_ALGOS.contains(algo))
            && self.expected.as_ref().is_none_or(is_of_parts)
    }

    fn passed(&self, algo: HashAlgo) -> Passed {
        if !self.computes(algo) {
            return self.inner.passed(algo);
        }
        let digest = self.hashes().and_then(|hashes| hashes.get(algo).cloned());
        digest.map_or(Passed::NotYet, Passed::Digest)
    }

    async fn open(&self, range: Range<u64>) -> Result<ByteStream> {
        let whole = range.start == 0 && self.size().is_none_or(|size| range.end == size);
        if let Some(size) = self.size().filter(|_| !whole) {
            return self.open_part(range, size).await;
        }
        let stream = self.inner.open(range).await?;
        if !whole || (self.algos.is_empty() && self.observed.is_none()) {
            return Ok(stream);
        }
        lock(&self.result).take();
        lock(&self.parts).take();
        let pass = Pass {
            stream,
            hasher: Some(Hashing::start(self.hasher(), self.size())),
            left: self.size(),
            expected: self.expected.clone(),
            result: Arc::clone(&self.result),
        };
        Ok(futures::stream::try_unfold(pass, Pass::next).boxed())
    }
}

fn lock<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `Err` when the content has another digest than was listed.
fn compare(expected: Option<&Digest>, hashes: &Hashes) -> Result<()> {
    if let Some(expected) = expected
        && let Some(found) = hashes.get(expected.algo())
        && found != expected
    {
        let message = format!(
            "the bytes that were read have the {} digest {found} and {expected} was listed",
            expected.algo()
        );
        return Err(Error::new(ErrorKind::Corrupt, message).with_retry(Retry::Backoff));
    }
    Ok(())
}

struct PartPass {
    stream: ByteStream,
    hasher: Option<Hashing<PartHasher>>,
    left: u64,
    expected: Option<Digest>,
    result: Arc<Mutex<Option<Hashes>>>,
    parts: Arc<Mutex<Option<Parts>>>,
}

impl PartPass {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>> {
        let piece = self.stream.next().await.transpose()?;
        if let (Some(piece), Some(hasher)) = (&piece, &mut self.hasher) {
            hasher.update(piece.clone()).await?;
            self.left = self.left.saturating_sub(piece.len() as u64);
        }
        if (piece.is_none() || self.left == 0)
            && let Some(hasher) = self.hasher.take()
            && let Some(part) = hasher.finish().await?
        {
            let mut parts = lock(&self.parts);
            if let Some(parts) = &mut *parts {
                parts.add(part);
                if let Some(hashes) = parts.hashes() {
                    // Whichever part is the last to be read finds out: nothing is complete without it.
                    compare(self.expected.as_ref(), &hashes)?;
                    *lock(&self.result) = Some(hashes);
                }
            }
        }
        Ok(piece.map(|piece| (piece, self)))
    }
}

struct Pass {
    stream: ByteStream,
    hasher: Option<Hashing<Hasher>>,
    left: Option<u64>,
    expected: Option<Digest>,
    result: Arc<Mutex<Option<Hashes>>>,
}

impl Pass {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>> {
        let piece = self.stream.next().await.transpose()?;
        if let (Some(piece), Some(hasher)) = (&piece, &mut self.hasher) {
            hasher.update(piece.clone()).await?;
            self.left = self.left.map(|left| left.saturating_sub(piece.len() as u64));
        }
        // A reader that knows the length stops at the last byte and never asks for the end.
        if (piece.is_none() || self.left == Some(0))
            && let Some(hasher) = self.hasher.take()
        {
            let hashes = hasher.finish().await?;
            compare(self.expected.as_ref(), &hashes)?;
            *lock(&self.result) = Some(hashes);
        }
        Ok(piece.map(|piece| (piece, self)))
    }
}

struct Hasher {
    own: MultiHasher,
    observer: Option<Box<dyn PassObserver>>,
}

/// What is fed with the bytes of a pass, here or on a thread of its own.
trait Takes: Send + 'static {
    type Made: Send + 'static;

    fn update(&mut self, bytes: &[u8]);

    fn finish(self) -> Self::Made;
}

impl Takes for PartHasher {
    type Made = Option<PartDigest>;

    fn update(&mut self, bytes: &[u8]) {
        PartHasher::update(self, bytes);
    }

    fn finish(self) -> Option<PartDigest> {
        PartHasher::finish(self)
    }
}

impl Takes for Hasher {
    type Made = Hashes;

    fn update(&mut self, bytes: &[u8]) {
        self.own.update(bytes);
        if let Some(observer) = &mut self.observer {
            observer.update(bytes);
        }
    }

    fn finish(self) -> Hashes {
        let mut hashes = self.own.finish();
        let observed = self.observer.map(PassObserver::finish).unwrap_or_default();
        observed.iter().for_each(|digest| hashes.insert(digest.clone()));
        hashes
    }
}

enum Hashing<T: Takes> {
    Inline(T),
    Thread { queue: mpsc::Sender<Bytes>, result: tokio::task::JoinHandle<T::Made> },
}

impl<T: Takes> Hashing<T> {
    fn start(mut hasher: T, size: Option<u64>) -> Self {
        if size.is_some_and(|size| size <= INLINE_BYTES) {
            return Hashing::Inline(hasher);
        }
        let (queue, mut pieces) = mpsc::channel::<Bytes>(QUEUE_PIECES);
        // CANCEL: when the pass is dropped the queue closes and the thread ends after what is queued.
        let result = tokio::task::spawn_blocking(move || {
            while let Some(piece) = pieces.blocking_recv() {
                hasher.update(&piece);
            }
            hasher.finish()
        });
        Hashing::Thread { queue, result }
    }

    async fn update(&mut self, piece: Bytes) -> Result<()> {
        match self {
            Hashing::Inline(hasher) => hasher.update(&piece),
            Hashing::Thread { queue, .. } => {
                queue
                    .send(piece)
                    .await
                    .map_err(|_| Error::new(ErrorKind::Io, "hashing stopped"))?;
            }
        }
        Ok(())
    }

    async fn finish(self) -> Result<T::Made> {
        match self {
            Hashing::Inline(hasher) => Ok(hasher.finish()),
            Hashing::Thread { queue, result } => {
                drop(queue);
                result.await.map_err(|_| Error::new(ErrorKind::Io, "hashing stopped"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::hash_bytes;
    use crate::source::{BytesSource, collect, open_all};

    #[tokio::test]
    async fn the_digest_is_that_of_the_bytes_that_passed() {
        for size in [0, 1, INLINE_BYTES as usize, INLINE_BYTES as usize + 1] {
            let bytes = vec![7; size];
            let source = HashingSource::new(
                BytesSource::body(bytes.clone()),
                vec![HashAlgo::Blake3, HashAlgo::Whirlpool],
            );
            assert_eq!(source.hashes(), None);
            let passed = collect(open_all(&source).await.expect("opens"), usize::MAX).await;
            assert_eq!(passed.expect("passes").len(), size);
            let expected = hash_bytes(&[HashAlgo::Blake3, HashAlgo::Whirlpool], &bytes);
            assert_eq!(source.hashes(), Some(expected));
        }
    }

    /// Counts, and gives the BLAKE3 digest.
    #[derive(Debug, Clone)]
    struct Counting(Arc<Mutex<u64>>);

    struct Count(Counting, MultiHasher);

    impl Observe for Counting {
        fn algos(&self) -> &'static [HashAlgo] {
            &[HashAlgo::Blake3]
        }

        fn begin(&self) -> Box<dyn PassObserver> {
            Box::new(Count(self.clone(), MultiHasher::new(self.algos())))
        }
    }

    impl PassObserver for Count {
        fn update(&mut self, bytes: &[u8]) {
            *self.0.0.lock().expect("not poisoned") += bytes.len() as u64;
            self.1.update(bytes);
        }

        fn finish(self: Box<Self>) -> Hashes {
            self.1.finish()
        }
    }

    #[tokio::test]
    async fn an_observer_sees_every_byte_and_its_digests_count_as_computed() {
        for size in [1, INLINE_BYTES as usize + 1] {
            let bytes = vec![7; size];
            let algos = vec![HashAlgo::Blake3, HashAlgo::Md5];
            let counting = Counting(Arc::default());
            let source = HashingSource::new(BytesSource::body(bytes.clone()), algos.clone())
                .observed(Arc::new(counting.clone()));
            collect(open_all(&source).await.expect("opens"), usize::MAX).await.expect("passes");
            assert_eq!(*counting.0.lock().expect("not poisoned"), size as u64);
            let expected = hash_bytes(&algos, &bytes);
            let found = source.hashes().expect("a pass to the end");
            assert!(algos.iter().all(|algo| found.get(*algo) == expected.get(*algo)), "{found:?}");
            let blake3 = expected.get(HashAlgo::Blake3).cloned().expect("computed");
            assert_eq!(source.passed(HashAlgo::Blake3), Passed::Digest(blake3));
            assert_eq!(source.algos, [HashAlgo::Md5]);
        }
    }

    #[tokio::test]
    async fn parts_in_any_order_have_the_digest_of_the_whole_and_what_is_wrong_is_found_by_the_last()
     {
        let size = 3 * 1024 * 1024 + 77;
        let bytes: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
        let algos = vec![HashAlgo::Blake3, HashAlgo::Crc64Nvme];
        let expected = hash_bytes(&algos, &bytes);
        let ends = [1_048_576, 2_097_152, size];
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            for listed in [HashAlgo::Blake3, HashAlgo::Crc64Nvme] {
                let right = expected.get(listed).cloned().expect("computed");
                let wrong = hash_bytes(&[listed], b"other").get(listed).cloned().expect("computed");
                for (listed, is_right) in [(right, true), (wrong, false)] {
                    let source =
                        HashingSource::new(BytesSource::body(bytes.clone()), algos.clone())
                            .expecting(listed);
                    assert!(source.any_order());
                    for (turn, part) in order.into_iter().enumerate() {
                        let start = part * 1_048_576;
                        let stream = source.open(start as u64..ends[part] as u64).await;
                        let read = collect(stream.expect("opens"), usize::MAX).await;
                        assert_eq!(read.is_ok(), is_right || turn < 2, "{order:?}");
                        assert_eq!(source.hashes().is_some(), is_right && turn == 2);
                    }
                    if is_right {
                        assert_eq!(source.hashes(), Some(expected.clone()));
                    }
                }
            }
        }
    }

    #[tokio::test]
    async fn a_part_that_was_cut_short_is_read_again_and_counts_once() {
        let bytes = vec![9; 4096];
        let source = HashingSource::new(BytesSource::body(bytes.clone()), vec![HashAlgo::Blake3]);
        for range in [1024..4096, 0..1024] {
            let mut cut = source.open(range.clone()).await.expect("opens");
            drop(cut.next().await);
        }
        // What BytesSource gives is one piece, so both were read to their end.
        assert_eq!(source.hashes(), Some(hash_bytes(&[HashAlgo::Blake3], &bytes)));
        drop(source.open(0..1024).await.expect("opens"));
        let again = source.open(2048..4096).await.expect("opens");
        collect(again, usize::MAX).await.expect("reads");
        let blake3 = hash_bytes(&[HashAlgo::Blake3], &bytes).get(HashAlgo::Blake3).cloned();
        assert_eq!(source.passed(HashAlgo::Blake3), Passed::Digest(blake3.expect("computed")));
    }

    #[tokio::test]
    async fn a_digest_that_needs_every_byte_in_order_asks_for_that_order() {
        let body = BytesSource::body("abc");
        assert!(!HashingSource::new(body.clone(), vec![HashAlgo::Md5]).any_order());
        let listed = hash_bytes(&[HashAlgo::Md5], b"abc").get(HashAlgo::Md5).cloned();
        let source = HashingSource::new(body, Vec::new());
        assert!(source.any_order());
        assert!(!source.expecting(listed.expect("computed")).any_order());
    }

    #[tokio::test]
    async fn a_reader_that_stops_at_the_last_byte_has_a_digest_too() {
        let source = HashingSource::new(BytesSource::body("abc"), vec![HashAlgo::Md5]);
        let mut stream = open_all(&source).await.expect("opens");
        stream.next().await.expect("one piece").expect("no error");
        assert!(source.hashes().is_some());
    }

    #[tokio::test]
    async fn content_with_another_digest_than_listed_never_arrives_whole() {
        let listed = hash_bytes(&[HashAlgo::Md5], b"abc").get(HashAlgo::Md5).cloned();
        let expecting = |content: &'static str| {
            HashingSource::new(BytesSource::body(content), vec![])
                .expecting(listed.clone().expect("computed"))
        };
        let whole = collect(open_all(&expecting("abc")).await.expect("opens"), 10).await;
        assert_eq!(whole.expect("the right content passes"), "abc");
        let error = collect(open_all(&expecting("abd")).await.expect("opens"), 10).await;
        assert_eq!(error.expect_err("the wrong content fails").kind(), ErrorKind::Corrupt);
    }

    #[tokio::test]
    async fn a_pass_that_did_not_reach_the_end_has_none() {
        let source = HashingSource::new(BytesSource::body("abc"), vec![HashAlgo::Md5]);
        drop(open_all(&source).await.expect("opens"));
        drop(source.open(0..1).await.expect("opens"));
        assert_eq!(source.hashes(), None);
    }
}
