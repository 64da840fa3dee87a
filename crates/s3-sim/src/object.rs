//! Objects: stored, read, asked for, copied.

use std::time::SystemTime;

use data_encoding::BASE64;

use crate::answer::{Answer, Refused, refused};
use crate::call::Call;
use crate::conditions::{check, is_etag};
use crate::http::Request;
use crate::store::{Object, Store};
use crate::text::unpercent;
use crate::{bucket, clock, digest};

/// The longest key in bytes.
const KEY_BYTES: usize = 1024;
/// What is kept beside an object, apart from `x-amz-meta-*`.
const KEPT: &[&str] = &[
    "content-type",
    "content-encoding",
    "content-disposition",
    "content-language",
    "cache-control",
    "x-amz-storage-class",
];

/// What a request stores beside its object.
pub(crate) fn beside(request: &Request) -> Vec<(String, String)> {
    let is_kept = |name: &str| KEPT.contains(&name) || name.starts_with("x-amz-meta-");
    request.headers.iter().filter(|(name, _)| is_kept(name)).cloned().collect()
}

/// Errors: a digest in the request that its body does not have.
pub(crate) fn verify(request: &Request, has_crc64: bool) -> Result<(), Refused> {
    if let Some(told) = request.header("content-md5") {
        let told = BASE64.decode(told.as_bytes()).map_err(|_| refused(400, "InvalidDigest"))?;
        if told != digest::md5(&request.body) {
            return Err(refused(400, "BadDigest"));
        }
    }
    match request.header("x-amz-checksum-crc64nvme").filter(|_| has_crc64) {
        Some(told) if told != digest::crc64(&request.body) => Err(refused(400, "BadDigest")),
        _ => Ok(()),
    }
}

pub(crate) fn key_fits(call: &Call<'_>) -> Result<(), Refused> {
    match call.key.len() <= KEY_BYTES {
        true => Ok(()),
        false => Err(refused(400, "KeyTooLongError")),
    }
}

pub(crate) fn put(
    store: &mut Store,
    call: &Call<'_>,
    has_crc64: bool,
    now: SystemTime,
) -> Result<Answer, Refused> {
    let bucket = bucket::find_mut(store, call)?;
    key_fits(call)?;
    check(call, bucket.objects.get(&call.key))?;
    verify(call.request, has_crc64)?;
    let object = Object::new(call.request.body.clone(), beside(call.request), now);
    let answer = summed(Answer::empty(200).with("etag", &object.etag), &object, has_crc64);
    bucket.objects.insert(call.key.clone(), object);
    Ok(answer)
}

/// The answer with the checksum of the whole object, if the emulator computes it.
fn summed(answer: Answer, object: &Object, has_crc64: bool) -> Answer {
    match has_crc64 {
        true => answer
            .with("x-amz-checksum-crc64nvme", digest::crc64(&object.body))
            .with("x-amz-checksum-type", "FULL_OBJECT"),
        false => answer,
    }
}

/// `GET` and `HEAD`.
pub(crate) fn get(store: &Store, call: &Call<'_>, has_crc64: bool) -> Result<Answer, Refused> {
    let object = bucket::find(store, call)?.objects.get(&call.key);
    let object = object.ok_or_else(|| refused(404, "NoSuchKey"))?;
    check(call, Some(object))?;
    let size = object.body.len();
    let range = match call.request.header("range") {
        Some(text) => match range(text, size) {
            Some(range) => Some(range),
            None => return Err(refused(416, "InvalidRange")),
        },
        None => None,
    };
    let mut answer = Answer::empty(if range.is_some() { 206 } else { 200 })
        .with("etag", &object.etag)
        .with("last-modified", clock::http(object.modified))
        .with("accept-ranges", "bytes");
    answer.headers.extend(object.beside.iter().cloned());
    let wants_sum = call.request.header("x-amz-checksum-mode") == Some("ENABLED");
    if wants_sum && range.is_none() {
        answer = summed(answer, object, has_crc64);
    }
    let whole = 0..size;
    let span = range.clone().unwrap_or(whole);
    if range.is_some() {
        let told = format!("bytes {}-{}/{size}", span.start, span.end - 1);
        answer = answer.with("content-range", told);
    }
    answer.length = Some(span.len());
    answer.body = object.body.slice(span);
    Ok(answer)
}

/// `bytes=A-B`, `bytes=A-` and `bytes=-N`.
fn range(text: &str, size: usize) -> Option<std::ops::Range<usize>> {
    let (from, to) = text.strip_prefix("bytes=")?.split_once('-')?;
    let range = match (from, to) {
        ("", last) => size.saturating_sub(last.parse().ok()?)..size,
        (from, "") => from.parse().ok()?..size,
        (from, to) => from.parse().ok()?..to.parse::<usize>().ok()?.checked_add(1)?.min(size),
    };
    (range.start < range.end).then_some(range)
}

pub(crate) fn copy(store: &mut Store, call: &Call<'_>, now: SystemTime) -> Result<Answer, Refused> {
    let source = call.request.header("x-amz-copy-source").and_then(unpercent);
    let source = source.ok_or_else(|| refused(400, "InvalidArgument"))?;
    let (from, key) = source
        .trim_start_matches('/')
        .split_once('/')
        .ok_or_else(|| refused(400, "InvalidArgument"))?;
    let found = store.buckets.get(from).ok_or_else(|| refused(404, "NoSuchBucket"))?;
    let original = found.objects.get(key).ok_or_else(|| refused(404, "NoSuchKey"))?;
    let wanted = call.request.header("x-amz-copy-source-if-match");
    if wanted.is_some_and(|etag| !call.ignores_conditions && !is_etag(etag, original)) {
        return Err(refused(412, "PreconditionFailed"));
    }
    let replaces = call.request.header("x-amz-metadata-directive") == Some("REPLACE");
    let is_itself = from == call.bucket && key == call.key;
    if is_itself && !replaces {
        return Err(refused(400, "InvalidRequest"));
    }
    let beside = match replaces {
        true => beside(call.request),
        false => original.beside.clone(),
    };
    let object = Object { modified: now, ..Object::new(original.body.clone(), beside, now) };
    key_fits(call)?;
    let bucket = bucket::find_mut(store, call)?;
    check(call, bucket.objects.get(&call.key))?;
    let text = format!(
        "<CopyObjectResult><LastModified>{}</LastModified><ETag>{}</ETag></CopyObjectResult>",
        clock::listed(now),
        crate::text::escape(&object.etag)
    );
    bucket.objects.insert(call.key.clone(), object);
    Ok(Answer::xml(200, &text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_within_the_object() {
        for (text, expected) in [
            ("bytes=0-0", Some(0..1)),
            ("bytes=2-", Some(2..10)),
            ("bytes=-3", Some(7..10)),
            ("bytes=8-99", Some(8..10)),
            ("bytes=10-", None),
            ("bytes=5-4", None),
            ("0-1", None),
        ] {
            assert_eq!(range(text, 10), expected, "{text}");
        }
    }
}
