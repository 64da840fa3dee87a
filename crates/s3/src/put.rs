//! Stores bodies: small ones in one request with their digests in it, larger ones in one request while they are read, and large
//! ones as parts.

use std::time::SystemTime;

use bytes::Bytes;
use data_encoding::BASE64;
use ketch_core::hash::hash_bytes;
use ketch_core::source::{Passed, collect, open_exact};
use ketch_core::{
    Body, Digest, Entry, Error, ErrorKind, HashAlgo, Hashes, PutOptions, RelPath, Result,
};
use ketch_wire::Method;

use crate::client::{Ask, streamed, whole};
use crate::error::Refusal;
use crate::facts;
use crate::folder::{KEY_BYTES, S3, SIZE_MAX};
use crate::keys::Place;
use crate::multipart;
use crate::stored::{condition, headers, look};

/// Bodies up to this size are read before they are sent, so that their digests stand in the request.
const HELD_BYTES: u64 = 1 << 20;

pub(crate) async fn put(s3: &S3, path: &RelPath, body: Body, options: PutOptions) -> Result<Entry> {
    let place = s3.root.file(path)?;
    if options.is_link {
        return Err(Error::unsupported("keep links"));
    }
    let Some(size) = body.size() else {
        let text = "the service must know the size of what it stores";
        return Err(Error::new(ErrorKind::Unsupported, text));
    };
    if size > SIZE_MAX {
        let text = format!("the service takes objects up to {SIZE_MAX} bytes");
        return Err(Error::new(ErrorKind::Unsupported, text));
    }
    if place.key.len() > KEY_BYTES {
        let text = format!("the name with the folders above it is longer than {KEY_BYTES} bytes");
        return Err(Error::new(ErrorKind::InvalidInput, text));
    }
    look(s3, &place, &options).await?;
    // An object without a time of its own would have another one after each copy.
    let mtime = options.mtime.or_else(|| Some(SystemTime::now()));
    let options = PutOptions { mtime, ..options };
    let stored = match size {
        _ if size >= s3.client.settings.cutoff => {
            multipart::put(s3, path, &place, &body, size, &options).await
        }
        _ => single(s3, path, &place, &body, size, &options).await,
    };
    match stored {
        Err(refusal) if refusal.code == "NotImplemented" && s3.client.has_conditions() => {
            s3.client.forget_conditions();
            Err(refusal.error.with_retry(ketch_core::Retry::Backoff))
        }
        Err(refusal) if s3.made_bucket_for(&place, &refusal).await? => {
            // The bucket is there now; the body is sent again by the layer that repeats.
            Err(refusal.error.with_retry(ketch_core::Retry::Backoff))
        }
        Err(refusal) => Err(refusal.error),
        Ok(entry) => Ok(entry),
    }
}

async fn single(
    s3: &S3,
    path: &RelPath,
    place: &Place,
    body: &Body,
    size: u64,
    options: &PutOptions,
) -> Result<Entry, Refusal> {
    let ask =
        Ask::new(Method::PUT, place).headers(headers(s3, options)).headers(condition(s3, options));
    if size > HELD_BYTES {
        let content = open_exact(&**body).await?;
        let answer = s3.client.store(ask, streamed(content, size)).await?;
        return Ok(facts::stored(path.clone(), place, size, options.mtime, &answer));
    }
    let length = usize::try_from(size).unwrap_or(usize::MAX);
    let bytes: Bytes = collect(open_exact(&**body).await?, length).await?;
    let known = digests(body, &bytes);
    let ask = known.iter().fold(ask, |ask, digest| {
        let value = BASE64.encode(digest.as_bytes());
        match digest.algo() {
            HashAlgo::Md5 => ask.header("content-md5", value),
            HashAlgo::Crc64Nvme if s3.client.settings.quirks.has_crc64 => {
                ask.header("x-amz-checksum-crc64nvme", value)
            }
            _ => ask,
        }
    });
    let answer = s3.client.store(ask, whole(bytes)).await?;
    let mut entry = facts::stored(path.clone(), place, size, options.mtime, &answer);
    agree(&entry, &known)?;
    // The service has compared its own digest of what it stored with one of these, so it attests all of them.
    let attests = entry.hashes.as_deref().is_some_and(|shown| shown.iter().next().is_some());
    if attests {
        let hashes = entry.hashes.get_or_insert_default();
        known.iter().for_each(|digest| hashes.insert(digest.clone()));
    }
    Ok(entry)
}

/// The MD5 and the CRC of a body that was read; its source may have taken the first already.
fn digests(body: &Body, bytes: &[u8]) -> Hashes {
    let mut hashes = hash_bytes(&[HashAlgo::Crc64Nvme], bytes);
    let md5 = match body.passed(HashAlgo::Md5) {
        Passed::Digest(digest) => Some(digest),
        Passed::NotTaken | Passed::NotYet => {
            hash_bytes(&[HashAlgo::Md5], bytes).get(HashAlgo::Md5).cloned()
        }
    };
    md5.into_iter().for_each(|digest: Digest| hashes.insert(digest));
    hashes
}

/// Errors: `Corrupt` when the service shows another digest than what was sent has.
fn agree(entry: &Entry, sent: &Hashes) -> Result<()> {
    for shown in entry.hashes.iter().flat_map(|hashes| hashes.iter()) {
        if let Some(own) = sent.get(shown.algo())
            && own != shown
        {
            let text = format!("stored with the {} digest {shown}, sent was {own}", shown.algo());
            return Err(Error::new(ErrorKind::Corrupt, text).with_retry(ketch_core::Retry::Backoff));
        }
    }
    Ok(())
}
