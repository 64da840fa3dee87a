//! Sends a body in *upload parts* (S3: multipart upload): several at the same time, in any order.
//!
//! For the `put` of a backend that stores a large object in parts. A part that failed is sent again, never the whole body; no
//! other layer repeats any of it. A body that can be read in any order is read part by part. Any other body is read once from
//! start to end, and each part is in memory while it is stored. A part in this module is always an upload part.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::{BoxStream, FuturesUnordered};

use crate::budget::{ByteBudget, BytePermit};
use crate::capabilities::PartRules;
use crate::error::{Error, ErrorKind, Result, Retry};
use crate::source::{Body, ByteStream, BytesSource, Source, open_exact};

/// How often a part is sent before its error ends the whole upload.
const TRIES: u32 = 4;
/// The wait before a part is sent again; twice as long each time.
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// The longest pause that a remote may ask for before a part is sent again.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// One upload part of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its place among the parts, from 0.
    pub number: u32,
    /// Its bytes.
    pub range: Range<u64>,
}

/// The parts of an object of `size` bytes, in order.
///
/// Their length is `rules.part_bytes`, or more if there would be too many parts; always a multiple of
/// [`crate::hash::PART_ALIGNMENT`], so that their digests can be combined.
pub fn cut(size: u64, rules: &PartRules) -> Vec<Part> {
    let most = u64::from(rules.parts_max.max(1));
    let bytes = rules.part_bytes.max(size.div_ceil(most)).max(1).next_power_of_two();
    let bytes = bytes.max(crate::hash::PART_ALIGNMENT);
    let range = |number: u64| number * bytes..((number + 1) * bytes).min(size);
    (0..size.div_ceil(bytes))
        .map(|number| Part { number: number as u32, range: range(number) })
        .collect()
}

/// The remote's side of an upload in parts.
#[async_trait]
pub trait PartStore: Send + Sync {
    /// What the remote returns for a stored part.
    type Stored: Send;

    /// Stores one part, in place of what an earlier try stored of it. `body` has exactly the bytes of the part.
    async fn store(&self, part: &Part, body: Body) -> Result<Self::Stored>;
}

/// Stores `parts` of `body`, up to `at_once` at the same time, and returns what the remote returned for each, in no order.
///
/// Parts of a body that must be read in order are held in memory while they are stored, as many as `buffers` has room for.
///
/// Errors: the first error of a part that is not worth repeating, or that came at every try; an error of the source. Before the
/// error is returned, the parts that are being sent are stored, so that a later try finds them, unless the content is not the
/// listed version.
///
/// CANCEL: when the future is dropped, parts that were being stored may be there or not.
pub async fn send<S: PartStore>(
    body: &Body,
    parts: Vec<Part>,
    at_once: usize,
    buffers: &ByteBudget,
    store: &S,
) -> Result<Vec<(Part, S::Stored)>> {
    let mut bodies: BoxStream<'static, Result<Cut>> = match body.any_order() {
        true => {
            let whole = Arc::clone(body);
            let part_of = move |part: Part| {
                let source = PartSource { whole: Arc::clone(&whole), range: part.range.clone() };
                Ok((part, Arc::new(source) as Body, None))
            };
            futures::stream::iter(parts).map(part_of).boxed()
        }
        false => one_pass(body, parts, buffers.clone()).await?,
    };
    let mut sending: FuturesUnordered<BoxFuture<'_, _>> = FuturesUnordered::new();
    let mut all = Vec::new();
    let mut are_more = true;
    let mut first_error = None;
    loop {
        let has_room = are_more && sending.len() < at_once.max(1);
        if !has_room && sending.is_empty() {
            return first_error.map_or(Ok(all), Err);
        }
        let error = tokio::select! {
            // Parts are stored while the next one is read.
            Some(stored) = sending.next() => match stored {
                Ok(stored) => {
                    all.push(stored);
                    continue;
                }
                Err(error) => error,
            },
            next = bodies.next(), if has_room => match next.transpose() {
                Ok(Some((part, body, held))) => {
                    sending.push(Box::pin(async move {
                        let stored = store_one(part, body, store).await;
                        drop(held);
                        stored
                    }));
                    continue;
                }
                Ok(None) => {
                    are_more = false;
                    continue;
                }
                Err(error) => error,
            },
        };
        let is_useless = matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Changed);
        if is_useless || error.is_fatal() {
            return Err(error);
        }
        are_more = false;
        first_error.get_or_insert(error);
    }
}

async fn store_one<S: PartStore>(part: Part, body: Body, store: &S) -> Result<(Part, S::Stored)> {
    let mut wait = FIRST_WAIT;
    for _ in 1..TRIES {
        match store.store(&part, Arc::clone(&body)).await {
            Err(error) if !error.is_fatal() => match error.retry() {
                Retry::Never => return Err(error),
                Retry::Backoff => {}
                // What is longer is for the layer that repeats requests.
                Retry::After(pause) if pause > LONGEST_PAUSE => return Err(error),
                Retry::After(pause) => wait = wait.max(pause),
            },
            done => return Ok((part, done?)),
        }
        tokio::time::sleep(wait).await;
        wait *= 2;
    }
    let stored = store.store(&part, body).await?;
    Ok((part, stored))
}

/// A part with its bytes, and the right to hold them if they are in memory.
type Cut = (Part, Body, Option<BytePermit>);

/// The parts of a body that must be read in order, cut out of one pass. Those that are not among `parts` are passed over.
async fn one_pass(
    body: &Body,
    parts: Vec<Part>,
    buffers: ByteBudget,
) -> Result<BoxStream<'static, Result<Cut>>> {
    let state = Cutting { stream: open_exact(&**body).await?, at: 0, rest: Bytes::new() };
    let parts = parts.into_iter();
    let begin = (state, parts, buffers);
    Ok(futures::stream::try_unfold(begin, |(mut state, mut parts, buffers)| async move {
        let Some(part) = parts.next() else {
            // What guards the end of the body speaks behind its last byte.
            return state.finish().await.map(|()| None);
        };
        // What is held is being stored meanwhile, so this wait has an end.
        let held = buffers.acquire(part.range.end - part.range.start).await;
        let bytes = state.take(&part.range).await?;
        let body = BytesSource::body(bytes);
        Ok(Some(((part, body, Some(held)), (state, parts, buffers))))
    })
    .boxed())
}

struct Cutting {
    stream: ByteStream,
    at: u64,
    rest: Bytes,
}

impl Cutting {
    async fn take(&mut self, range: &Range<u64>) -> Result<Bytes> {
        let length = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        let mut taken = BytesMut::with_capacity(length);
        while self.at < range.end {
            if self.rest.is_empty() {
                let Some(piece) = self.stream.next().await.transpose()? else {
                    let text = "the source ended before its end";
                    return Err(Error::new(ErrorKind::Changed, text));
                };
                self.rest = piece;
                continue;
            }
            let end = if self.at < range.start { range.start } else { range.end };
            let length = self.rest.len().min(usize::try_from(end - self.at).unwrap_or(usize::MAX));
            let piece = self.rest.split_to(length);
            if self.at >= range.start {
                taken.extend_from_slice(&piece);
            }
            self.at += length as u64;
        }
        Ok(taken.freeze())
    }

    async fn finish(&mut self) -> Result<()> {
        while self.stream.next().await.transpose()?.is_some() {}
        Ok(())
    }
}

/// The bytes of one part, as a body of its own.
struct PartSource {
    whole: Body,
    range: Range<u64>,
}

impl fmt::Debug for PartSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PartSource").field("range", &self.range).finish_non_exhaustive()
    }
}

#[async_trait]
impl Source for PartSource {
    fn size(&self) -> Option<u64> {
        Some(self.range.end - self.range.start)
    }

    fn any_order(&self) -> bool {
        true
    }

    async fn open(&self, range: Range<u64>) -> Result<ByteStream> {
        let start = self.range.start;
        self.whole.open(start + range.start..start + range.end).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::hash::{HashAlgo, hash_bytes};
    use crate::source::{ExactSource, HashingSource, Passed, collect, open_all};

    const RULES: PartRules =
        PartRules { from: 4_096, part_bytes: 4_096, parts_max: 1_000, at_once: 3 };

    /// Stores parts in memory and fails the first `failures` times.
    #[derive(Default)]
    struct Stored {
        content: Mutex<Vec<u8>>,
        failures: AtomicU32,
        calls: AtomicU32,
    }

    #[async_trait]
    impl PartStore for Stored {
        type Stored = ();

        async fn store(&self, part: &Part, body: Body) -> Result<()> {
            self.calls.fetch_add(1, Ordering::Relaxed);
            let bytes = collect(open_all(&*body).await?, usize::MAX).await?;
            let less = |left: u32| left.checked_sub(1);
            let order = Ordering::Relaxed;
            if self.failures.fetch_update(order, order, less).is_ok() {
                let lost = Error::new(ErrorKind::Unavailable, "lost on its way");
                return Err(lost.with_retry(Retry::Backoff));
            }
            let mut content = self.content.lock().expect("not poisoned");
            let (start, end) = (part.range.start as usize, part.range.end as usize);
            if content.len() < end {
                content.resize(end, 0);
            }
            content[start..end].copy_from_slice(&bytes);
            Ok(())
        }
    }

    fn buffers() -> ByteBudget {
        ByteBudget::new(10_000)
    }

    fn content(size: usize) -> Vec<u8> {
        (0..size).map(|at| (at % 253) as u8).collect()
    }

    #[test]
    fn parts_cover_everything_and_keep_to_the_rules() {
        for size in [1, 4_095, 4_096, 4_097, 100_000, 100_001, 8_192_001] {
            for most in [1, 3, 1_000] {
                let rules = PartRules { parts_max: most, ..RULES };
                let parts = cut(size, &rules);
                assert!(parts.len() <= most as usize, "{size} in {}", parts.len());
                let mut at = 0;
                for (number, part) in parts.iter().enumerate() {
                    assert_eq!((part.number as usize, part.range.start), (number, at));
                    assert!(at.is_multiple_of(crate::hash::PART_ALIGNMENT));
                    at = part.range.end;
                }
                assert_eq!(at, size);
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_part_that_fails_is_sent_again_and_the_others_are_not() {
        for algo in [HashAlgo::Blake3, HashAlgo::Md5] {
            let all = content(50_000);
            let hashing = Arc::new(HashingSource::new(BytesSource::body(all.clone()), vec![algo]));
            let body = ExactSource::body(Arc::clone(&hashing) as Body);
            assert_eq!(body.any_order(), algo == HashAlgo::Blake3);
            let store = Stored { failures: AtomicU32::new(3), ..Stored::default() };
            let parts = cut(all.len() as u64, &RULES);
            let count = parts.len() as u32;
            let stored = send(&body, parts, 3, &buffers(), &store).await.expect("sent");
            assert_eq!(stored.len() as u32, count);
            assert_eq!(*store.content.lock().expect("not poisoned"), all);
            assert_eq!(store.calls.load(Ordering::Relaxed), count + 3);
            let expected = hash_bytes(&[algo], &all).get(algo).cloned().expect("computed");
            assert_eq!(body.passed(algo), Passed::Digest(expected));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_part_that_always_fails_fails_the_whole_after_some_tries() {
        let all = content(20_000);
        let body = BytesSource::body(all);
        let store = Stored { failures: AtomicU32::new(u32::MAX), ..Stored::default() };
        let error = send(&body, cut(20_000, &RULES), 1, &buffers(), &store)
            .await
            .expect_err("always fails");
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert_eq!(store.calls.load(Ordering::Relaxed), TRIES);
    }

    #[tokio::test]
    async fn only_the_parts_that_are_asked_for_are_sent() {
        let all = content(20_000);
        for body in [
            BytesSource::body(all.clone()),
            Arc::new(HashingSource::new(BytesSource::body(all.clone()), vec![HashAlgo::Md5])),
        ] {
            let store = Stored::default();
            let parts: Vec<_> =
                cut(20_000, &RULES).into_iter().filter(|part| part.number % 2 == 1).collect();
            send(&body, parts.clone(), 2, &buffers(), &store).await.expect("sent");
            let stored = store.content.lock().expect("not poisoned").clone();
            for part in parts {
                let range = part.range.start as usize..part.range.end as usize;
                assert_eq!(stored[range.clone()], all[range]);
            }
            assert_eq!(stored[..4_096], [0; 4_096]);
        }
    }

    #[tokio::test]
    async fn a_body_that_is_longer_or_shorter_than_it_says_is_never_sent_whole() {
        #[derive(Debug)]
        struct Liar(Vec<u8>, u64);

        #[async_trait]
        impl Source for Liar {
            fn size(&self) -> Option<u64> {
                Some(self.1)
            }

            async fn open(&self, _range: Range<u64>) -> Result<ByteStream> {
                BytesSource::body(self.0.clone()).open(0..self.0.len() as u64).await
            }
        }

        for size in [9_999, 10_001] {
            let body: Body = Arc::new(Liar(content(10_000), size));
            let store = Stored::default();
            let error =
                send(&body, cut(size, &RULES), 2, &buffers(), &store).await.expect_err("a lie");
            assert_eq!(error.kind(), ErrorKind::Changed);
        }
    }
}
