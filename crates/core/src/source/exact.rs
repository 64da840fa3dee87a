//! The guard of exact length: a stream that is shorter or longer than was declared is an error, never a stored file.
//!
//! HTTP libraries cut a body that is longer than its declared length and report success (measured with reqwest 0.13), so
//! the surplus must be found *before* the last declared byte is passed on: the guard holds one piece back until it has
//! seen the next one, or the end.

use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;

use super::{Body, ByteStream, Passed, Source};
use crate::error::{Error, ErrorKind, Result, Retry};
use crate::hash::HashAlgo;

/// Passes on exactly `expected` bytes, or an error of kind `Changed` in place of the last piece.
pub fn exact_length(stream: ByteStream, expected: u64) -> ByteStream {
    struct Guard {
        stream: ByteStream,
        expected: u64,
        seen: u64,
        held: Option<Bytes>,
        done: bool,
    }
    let guard = Guard { stream, expected, seen: 0, held: None, done: false };
    futures::stream::unfold(guard, |mut guard| async move {
        while !guard.done {
            match guard.stream.next().await {
                Some(Ok(piece)) if piece.is_empty() => {}
                Some(Ok(piece)) => {
                    guard.seen += piece.len() as u64;
                    if guard.seen > guard.expected {
                        guard.done = true;
                        return Some((Err(wrong_length(guard.expected, "more")), guard));
                    }
                    if let Some(ready) = guard.held.replace(piece) {
                        return Some((Ok(ready), guard));
                    }
                }
                Some(Err(error)) => {
                    guard.done = true;
                    return Some((Err(error), guard));
                }
                None => {
                    guard.done = true;
                    if guard.seen < guard.expected {
                        return Some((Err(wrong_length(guard.expected, "fewer")), guard));
                    }
                    if let Some(last) = guard.held.take() {
                        return Some((Ok(last), guard));
                    }
                }
            }
        }
        None
    })
    .boxed()
}

fn wrong_length(expected: u64, how: &str) -> Error {
    let message =
        format!("{how} than the {expected} bytes that were listed came: the source changed");
    Error::new(ErrorKind::Changed, message).with_retry(Retry::Never).with_operation("read")
}

/// A source whose streams are all of exactly the length that was asked for.
#[derive(Debug)]
pub struct ExactSource(Body);

impl ExactSource {
    /// Guards `inner`. A source of unknown size is passed through.
    pub fn body(inner: Body) -> Body {
        std::sync::Arc::new(ExactSource(inner))
    }
}

#[async_trait]
impl Source for ExactSource {
    fn size(&self) -> Option<u64> {
        self.0.size()
    }

    fn replayable(&self) -> bool {
        self.0.replayable()
    }

    fn any_order(&self) -> bool {
        self.0.any_order()
    }

    fn passed(&self, algo: HashAlgo) -> Passed {
        self.0.passed(algo)
    }

    async fn open(&self, range: Range<u64>) -> Result<ByteStream> {
        let stream = self.0.open(range.clone()).await?;
        Ok(match self.0.size() {
            Some(_) => exact_length(stream, range.end - range.start),
            None => stream,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(pieces: &[&'static str], expected: u64) -> (String, Option<ErrorKind>) {
        let stream = futures::stream::iter(pieces.to_vec())
            .map(|piece| Ok(Bytes::from_static(piece.as_bytes())))
            .boxed();
        let mut passed = String::new();
        let mut failure = None;
        futures::executor::block_on(async {
            let mut guarded = exact_length(stream, expected);
            while let Some(piece) = guarded.next().await {
                match piece {
                    Ok(piece) => passed.push_str(std::str::from_utf8(&piece).expect("text")),
                    Err(error) => failure = Some(error.kind()),
                }
            }
        });
        (passed, failure)
    }

    #[test]
    fn trap_surplus_is_found_before_the_last_declared_byte_is_passed_on() {
        let (passed, failure) = run(&["abc", "def", "g"], 6);
        assert_eq!(failure, Some(ErrorKind::Changed));
        assert!(passed.len() < 6, "{passed:?} would satisfy a declared length of 6");
        let (passed, failure) = run(&["abcdefg"], 6);
        assert_eq!((passed.as_str(), failure), ("", Some(ErrorKind::Changed)));
    }

    #[test]
    fn trap_shortage_is_an_error_and_the_exact_length_passes() {
        assert_eq!(run(&["abc", "de"], 6), ("abc".to_owned(), Some(ErrorKind::Changed)));
        assert_eq!(run(&["abc", "", "def"], 6), ("abcdef".to_owned(), None));
        assert_eq!(run(&[], 0), (String::new(), None));
        assert_eq!(run(&["a"], 0), (String::new(), Some(ErrorKind::Changed)));
    }
}
