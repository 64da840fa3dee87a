//! Uploads in parts: begun, filled, listed, completed, given up.

use std::collections::BTreeMap;
use std::time::SystemTime;

use bytes::BytesMut;

use crate::answer::{Answer, Refused, refused};
use crate::call::Call;
use crate::conditions::check;
use crate::object::{beside, key_fits, verify};
use crate::store::{Object, Part, Store, Upload};
use crate::text::{elements, escape, text_of};
use crate::{bucket, clock, digest};

/// The highest number of a part.
const PARTS_MAX: u32 = 10_000;
/// What one answer lists.
const PAGE: usize = 1000;

fn id<'a>(call: &'a Call<'_>) -> &'a str {
    call.query("uploadId").unwrap_or_default()
}

fn open<'a>(store: &'a mut Store, call: &Call<'_>) -> Result<&'a mut Upload, Refused> {
    let uploads = &mut bucket::find_mut(store, call)?.uploads;
    let upload = uploads.get_mut(id(call)).filter(|upload| upload.key == call.key);
    upload.ok_or_else(|| refused(404, "NoSuchUpload"))
}

pub(crate) fn create(
    store: &mut Store,
    call: &Call<'_>,
    has_crc64: bool,
    now: SystemTime,
) -> Result<Answer, Refused> {
    bucket::find(store, call)?;
    key_fits(call)?;
    let id = store.next_id();
    let upload = Upload {
        key: call.key.clone(),
        beside: beside(call.request),
        begun: now,
        parts: BTreeMap::new(),
        is_summed: has_crc64
            && call.request.header("x-amz-checksum-algorithm") == Some("CRC64NVME"),
    };
    bucket::find_mut(store, call)?.uploads.insert(id.clone(), upload);
    let (bucket, key) = (escape(&call.bucket), escape(&call.key));
    Ok(Answer::xml(
        200,
        &format!(
            "<InitiateMultipartUploadResult><Bucket>{bucket}</Bucket><Key>{key}</Key><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"
        ),
    ))
}

pub(crate) fn part(
    store: &mut Store,
    call: &Call<'_>,
    has_crc64: bool,
    now: SystemTime,
) -> Result<Answer, Refused> {
    let upload = open(store, call)?;
    let number = call.query("partNumber").and_then(|text| text.parse().ok());
    let number = number.filter(|number| (1..=PARTS_MAX).contains(number));
    let number = number.ok_or_else(|| refused(400, "InvalidArgument"))?;
    verify(call.request, has_crc64)?;
    let part = Part::new(call.request.body.clone(), now);
    let mut answer = Answer::empty(200).with("etag", digest::etag_of(&part.md5));
    if upload.is_summed {
        answer = answer.with("x-amz-checksum-crc64nvme", digest::crc64(&part.body));
    }
    upload.parts.insert(number, part);
    Ok(answer)
}

pub(crate) fn parts(store: &mut Store, call: &Call<'_>) -> Result<Answer, Refused> {
    let upload = open(store, call)?;
    let number = |name: &str| call.query(name).and_then(|text| text.parse::<u32>().ok());
    let after = number("part-number-marker").unwrap_or(0);
    let most = number("max-parts").map_or(PAGE, |most| PAGE.min(most as usize));
    let mut all = upload.parts.range(after + 1..);
    let mut text = String::new();
    let mut last = after;
    for (number, part) in all.by_ref().take(most) {
        last = *number;
        text.push_str(&format!(
            "<Part><PartNumber>{number}</PartNumber><LastModified>{}</LastModified><ETag>{}</ETag><Size>{}</Size>",
            clock::listed(part.stored),
            escape(&digest::etag_of(&part.md5)),
            part.body.len()
        ));
        if upload.is_summed {
            let sum = digest::crc64(&part.body);
            text.push_str(&format!("<ChecksumCRC64NVME>{sum}</ChecksumCRC64NVME>"));
        }
        text.push_str("</Part>");
    }
    let is_cut = all.next().is_some();
    Ok(Answer::xml(
        200,
        &format!(
            "<ListPartsResult><UploadId>{}</UploadId><NextPartNumberMarker>{last}</NextPartNumberMarker><IsTruncated>{is_cut}</IsTruncated>{text}</ListPartsResult>",
            escape(id(call))
        ),
    ))
}

/// Open uploads, in the order of their keys and then of their ids.
pub(crate) fn uploads(store: &Store, call: &Call<'_>) -> Result<Answer, Refused> {
    let bucket = bucket::find(store, call)?;
    let prefix = call.query("prefix").unwrap_or_default();
    let delimiter = call.query("delimiter").filter(|text| !text.is_empty());
    let after = (
        call.query("key-marker").unwrap_or_default(),
        call.query("upload-id-marker").unwrap_or_default(),
    );
    // The folder below the prefix in which an upload is.
    let folder = |key: &str| {
        let below = key.strip_prefix(prefix)?;
        let end = delimiter.and_then(|delimiter| Some(below.find(delimiter)? + delimiter.len()))?;
        Some(key[..prefix.len() + end].to_owned())
    };
    let is_below =
        |upload: &Upload| upload.key.starts_with(prefix) && folder(&upload.key).is_none();
    let folders: std::collections::BTreeSet<String> =
        bucket.uploads.values().filter_map(|upload| folder(&upload.key)).collect();
    let mut all: Vec<(&str, &str, &Upload)> = bucket
        .uploads
        .iter()
        .filter(|(_, upload)| is_below(upload))
        .map(|(id, upload)| (upload.key.as_str(), id.as_str(), upload))
        .filter(|(key, id, _)| (*key, *id) > after)
        .collect();
    all.sort_by_key(|(key, id, _)| (*key, *id));
    let is_cut = all.len() > PAGE;
    all.truncate(PAGE);
    let mut text = String::new();
    for (key, id, upload) in &all {
        let begun = clock::listed(upload.begun);
        text.push_str(&format!(
            "<Upload><Key>{}</Key><UploadId>{id}</UploadId><Initiated>{begun}</Initiated></Upload>",
            escape(key)
        ));
    }
    for folder in folders {
        let folder = escape(&folder);
        text.push_str(&format!("<CommonPrefixes><Prefix>{folder}</Prefix></CommonPrefixes>"));
    }
    let (key, id) = all.last().map_or(("", ""), |(key, id, _)| (*key, *id));
    Ok(Answer::xml(
        200,
        &format!(
            "<ListMultipartUploadsResult><NextKeyMarker>{}</NextKeyMarker><NextUploadIdMarker>{id}</NextUploadIdMarker><IsTruncated>{is_cut}</IsTruncated>{text}</ListMultipartUploadsResult>",
            escape(key)
        ),
    ))
}

pub(crate) fn complete(
    store: &mut Store,
    call: &Call<'_>,
    has_crc64: bool,
    now: SystemTime,
) -> Result<Answer, Refused> {
    let bucket = bucket::find_mut(store, call)?;
    let upload = bucket.uploads.get(id(call)).filter(|upload| upload.key == call.key);
    let upload = upload.ok_or_else(|| refused(404, "NoSuchUpload"))?;
    check(call, bucket.objects.get(&call.key))?;
    let malformed = || refused(400, "MalformedXML");
    let list = std::str::from_utf8(&call.request.body).map_err(|_| malformed())?;
    let (mut whole, mut digests, mut last) = (BytesMut::new(), Vec::new(), 0);
    for told in elements(list, "Part") {
        let number = text_of(told, "PartNumber").and_then(|text| text.parse::<u32>().ok());
        let etag = text_of(told, "ETag").ok_or_else(malformed)?;
        let number = number.ok_or_else(malformed)?;
        if number <= last {
            return Err(refused(400, "InvalidPartOrder"));
        }
        last = number;
        let part = upload.parts.get(&number).ok_or_else(|| refused(400, "InvalidPart"))?;
        if etag.trim_matches('"') != digest::etag_of(&part.md5).trim_matches('"') {
            return Err(refused(400, "InvalidPart"));
        }
        whole.extend_from_slice(&part.body);
        digests.push(part.md5);
    }
    if digests.is_empty() {
        return Err(malformed());
    }
    let whole = whole.freeze();
    let sum = digest::crc64(&whole);
    let told = call.request.header("x-amz-checksum-crc64nvme").filter(|_| has_crc64);
    if told.is_some_and(|told| told != sum) {
        return Err(refused(400, "BadDigest"));
    }
    let etag = digest::etag_of_parts(&digests);
    let mut object = Object::new(whole, upload.beside.clone(), now);
    object.etag.clone_from(&etag);
    bucket.objects.insert(call.key.clone(), object);
    bucket.uploads.remove(id(call));
    let sum = match has_crc64 {
        true => format!(
            "<ChecksumCRC64NVME>{sum}</ChecksumCRC64NVME><ChecksumType>FULL_OBJECT</ChecksumType>"
        ),
        false => String::new(),
    };
    Ok(Answer::xml(
        200,
        &format!(
            "<CompleteMultipartUploadResult><Key>{}</Key><ETag>{}</ETag>{sum}</CompleteMultipartUploadResult>",
            escape(&call.key),
            escape(&etag)
        ),
    ))
}

pub(crate) fn abort(store: &mut Store, call: &Call<'_>) -> Result<Answer, Refused> {
    open(store, call)?;
    bucket::find_mut(store, call)?.uploads.remove(id(call));
    Ok(Answer::empty(204))
}
