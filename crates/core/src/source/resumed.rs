//! Content whose first bytes are already at the destination: these are read from there, and only the rest from the source.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt;

use super::{Body, ByteStream, Source};
use crate::error::Result;

/// A source whose first bytes come from the part that an interrupted transfer left.
#[derive(Debug)]
pub struct ResumedSource {
    kept: Body,
    rest: Body,
}

impl ResumedSource {
    /// `rest`, with its first bytes read from `kept` ([`crate::facets::Resume::partial`]). `rest` is never asked for them.
    pub fn body(kept: Body, rest: Body) -> Body {
        Arc::new(ResumedSource { kept, rest })
    }
}

#[async_trait]
impl Source for ResumedSource {
    fn size(&self) -> Option<u64> {
        self.rest.size()
    }

    fn replayable(&self) -> bool {
        self.rest.replayable() && self.kept.replayable()
    }

    async fn open(&self, range: Range<u64>) -> Result<ByteStream> {
        let kept = self.kept.size().unwrap_or(0);
        if range.start >= kept {
            return self.rest.open(range).await;
        }
        let first = self.kept.open(range.start..range.end.min(kept)).await?;
        if range.end <= kept {
            return Ok(first);
        }
        // Opened when its turn comes: a connection that waits for a long prefix to be read would be closed.
        let rest = Arc::clone(&self.rest);
        let second = futures::stream::once(async move { rest.open(kept..range.end).await });
        let second = second.map(|opened| match opened {
            Ok(stream) => stream,
            Err(error) => futures::stream::once(async { Err(error) }).boxed(),
        });
        Ok(first.chain(second.flatten()).boxed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{BytesSource, collect};

    /// Fails for whatever begins before `from`.
    #[derive(Debug)]
    struct OnlyFrom(u64, Body);

    #[async_trait]
    impl Source for OnlyFrom {
        fn size(&self) -> Option<u64> {
            self.1.size()
        }

        async fn open(&self, range: Range<u64>) -> Result<ByteStream> {
            assert!(range.start >= self.0, "asked for {range:?} again");
            self.1.open(range).await
        }
    }

    #[tokio::test]
    async fn what_is_kept_is_never_asked_for_again_and_every_range_is_right() {
        let all = b"0123456789";
        for kept in 0..=all.len() {
            let rest = Arc::new(OnlyFrom(kept as u64, BytesSource::body(&all[..])));
            let source = ResumedSource::body(BytesSource::body(&all[..kept]), rest);
            assert_eq!(source.size(), Some(10));
            for start in 0..=all.len() {
                for end in start..=all.len() {
                    let stream = source.open(start as u64..end as u64).await.expect("opens");
                    let found = collect(stream, 100).await.expect("reads");
                    assert_eq!(found, &all[start..end], "kept {kept}, {start}..{end}");
                }
            }
        }
    }
}
