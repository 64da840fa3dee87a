//! What the head of an answer says about an object: its version, its digests, its times.

use std::time::SystemTime;

use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};
use ketch_core::{Digest, Entry, EntryKind, HashAlgo, Hashes, RelPath};
use ketch_wire::Answer;
use ketch_wire::text::http_date;

use crate::keys::{Place, handle};
use crate::times;

/// The beginning of the names of metadata.
pub(crate) const META: &str = "x-amz-meta-";
/// The MD5 that rclone writes beside what it stores in parts.
const CLAIMED_MD5: &str = "x-amz-meta-md5chksum";

/// The ETag as it is compared: with its quotes, which some services leave out.
pub(crate) fn etag(text: &str) -> String {
    let bare = text.trim().trim_matches('"');
    format!("\"{bare}\"")
}

/// The MD5 that an ETag is, unless it is one of parts.
pub(crate) fn md5_of_etag(etag: &str) -> Option<Digest> {
    let bare = etag.trim().trim_matches('"');
    let bytes = HEXLOWER_PERMISSIVE.decode(bare.as_bytes()).ok()?;
    Digest::new(HashAlgo::Md5, &bytes)
}

/// Is an object encrypted with a key of the user or of the key service? Then its ETag is no MD5.
pub(crate) fn is_encrypted(answer: &Answer) -> bool {
    answer.header("x-amz-server-side-encryption-customer-algorithm").is_some()
        || answer
            .header("x-amz-server-side-encryption")
            .is_some_and(|how| how.starts_with("aws:kms"))
}

/// The digests that the service computed of the whole object.
pub(crate) fn attested(answer: &Answer) -> Option<Box<Hashes>> {
    let mut hashes = Hashes::default();
    let is_of_parts = answer.header("x-amz-checksum-type") == Some("COMPOSITE");
    let checksums = [
        ("x-amz-checksum-crc64nvme", HashAlgo::Crc64Nvme),
        ("x-amz-checksum-crc32c", HashAlgo::Crc32c),
        ("x-amz-checksum-sha256", HashAlgo::Sha256),
        ("x-amz-checksum-sha1", HashAlgo::Sha1),
    ];
    for (name, algo) in checksums.into_iter().filter(|_| !is_of_parts) {
        let digest = answer.header(name).and_then(|text| of_base64(algo, text));
        digest.into_iter().for_each(|digest| hashes.insert(digest));
    }
    if !is_encrypted(answer) {
        let md5 = answer.header("etag").and_then(md5_of_etag);
        md5.into_iter().for_each(|digest| hashes.insert(digest));
    }
    boxed(hashes)
}

/// A digest in the form that headers and listings have.
pub(crate) fn of_base64(algo: HashAlgo, text: &str) -> Option<Digest> {
    Digest::new(algo, &BASE64.decode(text.trim().as_bytes()).ok()?)
}

fn boxed(hashes: Hashes) -> Option<Box<Hashes>> {
    hashes.iter().next().is_some().then(|| Box::new(hashes.clone()))
}

/// The entry of an object at `path`, from the head of an answer about it.
pub(crate) fn entry(path: RelPath, place: &Place, answer: &Answer) -> Entry {
    let stored = answer.header("last-modified").and_then(http_date);
    let kept = answer.header(&format!("{META}{}", times::MTIME)).and_then(times::from_text);
    let md5 = answer.header(CLAIMED_MD5).and_then(|text| of_base64(HashAlgo::Md5, text));
    Entry {
        size: answer.header("content-length").and_then(|text| text.parse().ok()),
        // An object without a time of its own is as old as its copy here.
        mtime: kept.or(stored),
        version: answer.header("etag").map(|text| etag(text).into()),
        handle: Some(handle(&place.bucket, &place.key)),
        hashes: attested(answer),
        claimed: md5.map(|digest| Box::new(Hashes::of(digest))),
        ..Entry::bare(path, EntryKind::File)
    }
}

/// The entry of an object that was just stored, from the answer to that.
pub(crate) fn stored(
    path: RelPath,
    place: &Place,
    size: u64,
    mtime: Option<SystemTime>,
    answer: &Answer,
) -> Entry {
    Entry {
        size: Some(size),
        mtime,
        version: answer.header("etag").map(|text| etag(text).into()),
        handle: Some(handle(&place.bucket, &place.key)),
        hashes: attested(answer),
        ..Entry::bare(path, EntryKind::File)
    }
}
