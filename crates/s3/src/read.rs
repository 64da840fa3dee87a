//! Reads objects, whole and in ranges, and only the version that was listed.

use ketch_core::{ByteStream, Entry, Error, ErrorKind, ReadOptions, Result};
use ketch_wire::Method;
use ketch_wire::exact;

use crate::client::Ask;
use crate::folder::S3;

pub(crate) async fn read(s3: &S3, entry: &Entry, options: ReadOptions) -> Result<ByteStream> {
    if !entry.is_file() {
        return Err(Error::new(ErrorKind::InvalidInput, "only a file has content"));
    }
    let place = s3.root.of(entry)?;
    let mut ask = Ask::new(Method::GET, &place);
    if let Some(version) = &entry.version {
        ask = ask.header("if-match", version.to_string());
    }
    let range = match (&options.range, entry.size) {
        (Some(range), Some(size)) if range.end > size || range.start > range.end => {
            let text = format!("{}..{} is not within {size} bytes", range.start, range.end);
            return Err(Error::new(ErrorKind::InvalidInput, text));
        }
        (Some(range), _) if range.is_empty() => {
            return Ok(Box::pin(futures::stream::empty()));
        }
        (Some(range), _) => Some(range.clone()),
        (None, _) => None,
    };
    if let Some(range) = &range {
        ask = ask.header("range", format!("bytes={}-{}", range.start, range.end - 1));
    }
    let answer = s3.client.fetch(ask).await?;
    let changed = |text: &str| Error::new(ErrorKind::Changed, text.to_owned());
    // A service that ignores the condition tells the version all the same.
    let told = answer.header("etag").map(crate::facts::etag);
    if let (Some(version), Some(told)) = (entry.version.as_deref(), told)
        && *version != *told
    {
        return Err(changed("the object is not the version that was listed"));
    }
    let length = match (&range, entry.size) {
        (Some(range), _) => {
            // One known service answers a range with 200, and says in a header that it is one.
            let expected = format!("bytes {}-{}/", range.start, range.end - 1);
            let is_range =
                answer.header("content-range").is_some_and(|told| told.starts_with(&expected));
            if !is_range {
                let text = "the service sent other bytes than the range that was asked for";
                return Err(Error::new(ErrorKind::Protocol, text));
            }
            Some(range.end - range.start)
        }
        (None, size) => size,
    };
    match (length, answer.length) {
        (Some(length), Some(told)) if length != told => {
            Err(changed("the object has another length than was listed"))
        }
        (Some(length), _) | (None, Some(length)) => Ok(exact(answer.stream(), length)),
        (None, None) => Ok(answer.stream()),
    }
}
