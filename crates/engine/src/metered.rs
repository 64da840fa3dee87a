//! Counts the bytes of a transfer as they pass, part by part, and lets only so many pass.
//!
//! Several ranges may be open at the same time. What is read again takes the place of what was counted of it before, so the
//! count is how much of the content has passed, and never more than there is.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures::StreamExt;
use ketch_core::{Body, ByteStream, HashAlgo, Result, Source, source::Passed};

use crate::bandwidth::Bandwidth;

/// A source whose bytes are counted.
#[derive(Debug)]
pub(crate) struct Metered {
    inner: Body,
    counter: Arc<AtomicU64>,
    bandwidth: Option<Arc<Bandwidth>>,
    /// What was opened, and how much of it has passed: ranges that have no byte in common.
    opened: Mutex<Vec<(Range<u64>, Arc<AtomicU64>)>>,
}

impl Metered {
    /// Adds what passes to `counter`.
    pub(crate) fn body(
        inner: Body,
        counter: Arc<AtomicU64>,
        bandwidth: Option<Arc<Bandwidth>>,
    ) -> Body {
        Arc::new(Metered { inner, counter, bandwidth, opened: Mutex::default() })
    }

    /// Begins to count a range, and takes back what was counted of any of its bytes.
    fn begin(&self, range: &Range<u64>) -> Arc<AtomicU64> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        opened.retain(|(known, passed)| {
            let is_apart = known.end <= range.start || known.start >= range.end;
            if !is_apart {
                let passed = passed.load(Ordering::Relaxed);
                let less = |all: u64| Some(all.saturating_sub(passed));
                // The closure always gives a number.
                let _ = self.counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
            }
            is_apart
        });
        let passed = Arc::new(AtomicU64::new(0));
        opened.push((range.clone(), Arc::clone(&passed)));
        passed
    }
}

#[async_trait]
impl Source for Metered {
    fn size(&self) -> Option<u64> {
        self.inner.size()
    }

    fn replayable(&self) -> bool {
        self.inner.replayable()
    }

    fn any_order(&self) -> bool {
        self.inner.any_order()
    }

    fn passed(&self, algo: HashAlgo) -> Passed {
        self.inner.passed(algo)
    }

    async fn open(&self, range: Range<u64>) -> Result<ByteStream> {
        let passed = self.begin(&range);
        let counter = Arc::clone(&self.counter);
        let bandwidth = self.bandwidth.clone();
        let stream = self.inner.open(range).await?.then(move |piece| {
            let (counter, passed) = (Arc::clone(&counter), Arc::clone(&passed));
            let bandwidth = bandwidth.clone();
            async move {
                let piece = piece?;
                let length = piece.len() as u64;
                if let Some(bandwidth) = bandwidth {
                    bandwidth.pass(length).await;
                }
                passed.fetch_add(length, Ordering::Relaxed);
                counter.fetch_add(length, Ordering::Relaxed);
                Ok(piece)
            }
        });
        Ok(stream.boxed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ketch_core::source::{BytesSource, collect};

    #[tokio::test]
    async fn what_is_read_again_counts_once_and_ranges_count_together() {
        let counter = Arc::new(AtomicU64::new(5));
        let body = Metered::body(BytesSource::body(vec![0; 100]), Arc::clone(&counter), None);
        let count = || counter.load(Ordering::Relaxed);
        let read = async |range: Range<u64>| {
            let stream = body.open(range).await.expect("opens");
            collect(stream, 1_000).await.expect("reads");
        };
        read(50..100).await;
        assert_eq!(count(), 55, "beside what was there before");
        read(0..50).await;
        assert_eq!(count(), 105);
        read(50..100).await;
        assert_eq!(count(), 105);
        read(0..100).await;
        assert_eq!(count(), 105);
        drop(body.open(90..100).await.expect("opens"));
        assert_eq!(count(), 5, "all of what was read as one is open again");
    }
}
