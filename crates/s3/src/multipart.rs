//! Large objects: parts that are stored in any order, each repeated by itself, kept when the process dies, and proven.
//!
//! An open upload cannot be read. A part that is there already is proven by reading that range of the source again and comparing
//! it with the digest that the service lists for the part. The digest of the whole object is put together from those of the
//! parts, and the service compares it with its own when the upload is completed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use data_encoding::BASE64;
use futures::{StreamExt, TryStreamExt};
use ketch_core::multipart::{self, Part, PartStore};
use ketch_core::source::{HashingSource, Passed, open_exact};
use ketch_core::{
    Body, Checkpoint, Digest, Entry, Error, ErrorKind, HashAlgo, Hashes, MultiHasher, PutOptions,
    RelPath, Result, Retry,
};
use ketch_wire::Method;
use ketch_wire::xml::{Piece, each};
use serde::{Deserialize, Serialize};

use crate::client::{Ask, streamed, whole};
use crate::error::{self, Refusal};
use crate::facts;
use crate::folder::{S3, part_rules};
use crate::keys::{Place, handle};
use crate::stored::{condition, headers, look};

/// An upload is completed so often, if the answer to that is lost.
const COMPLETIONS: u32 = 4;
/// The wait before it is completed again; twice as long each time.
const FIRST_WAIT: Duration = Duration::from_millis(500);

/// What a later process needs to go on with an upload.
#[derive(Debug, Serialize, Deserialize)]
struct UploadNote {
    /// The id of the upload; empty while it is being begun.
    upload: String,
    bucket: String,
    key: String,
    part_bytes: u64,
    size: u64,
}

/// A part as the service lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Known {
    size: u64,
    etag: String,
    crc: Option<Digest>,
}

/// An upload that this process works on. Dropped, it is aborted at the end of the job, unless a later process can go on with it.
struct Open<'a> {
    s3: &'a S3,
    place: &'a Place,
    id: String,
    checkpoint: Option<&'a Checkpoint>,
    is_over: bool,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.s3.uploads.rest(&self.id);
        if !self.is_over && !self.checkpoint.is_some_and(Checkpoint::keeps) {
            self.s3.leave(self.place.clone(), self.id.clone());
        }
    }
}

pub(crate) async fn put(
    s3: &S3,
    path: &RelPath,
    place: &Place,
    body: &Body,
    size: u64,
    options: &PutOptions,
) -> Result<Entry, Refusal> {
    // The digest that is put together from parts: of the caller's source, if it takes it, or of one around it.
    let body: Body = match body.passed(HashAlgo::Crc64Nvme) {
        Passed::NotTaken => {
            Arc::new(HashingSource::new(Arc::clone(body), vec![HashAlgo::Crc64Nvme]))
        }
        Passed::Digest(_) | Passed::NotYet => Arc::clone(body),
    };
    let all = multipart::cut(size, &part_rules(&s3.client.settings));
    let part_bytes = all.first().map_or(0, |part| part.range.end);
    let (open, known) = begin(s3, place, size, part_bytes, options).await?;
    let (kept, missing) = prove(&body, all, known).await?;
    if let Some(told) = &options.kept {
        let bytes = kept.iter().map(|(part, _)| part.range.end - part.range.start).sum();
        told.store(bytes, std::sync::atomic::Ordering::Relaxed);
    }
    let at_once = s3.client.settings.parts_at_once;
    let mut stored = match multipart::send(&body, missing, at_once, &s3.client.buffers, &open).await
    {
        Ok(stored) => stored,
        Err(error) => return Err(open.end_with(error).await.into()),
    };
    stored.extend(kept);
    stored.sort_by_key(|(part, _)| part.number);
    complete(open, path, &body, stored, options).await
}

/// The upload that an earlier process began of this version of the source, with the parts it has, or a new one.
async fn begin<'a>(
    s3: &'a S3,
    place: &'a Place,
    size: u64,
    part_bytes: u64,
    options: &'a PutOptions,
) -> Result<(Open<'a>, BTreeMap<u32, Known>), Refusal> {
    let checkpoint = options.checkpoint.as_ref();
    let open = |id: String| {
        s3.uploads.begin(&id, checkpoint.map(|checkpoint| checkpoint.job));
        Open { s3, place, id, checkpoint, is_over: false }
    };
    if let Some(checkpoint) = checkpoint
        && let Some(note) = checkpoint.note.load().await?
        && let Ok(note) = serde_json::from_slice::<UploadNote>(&note)
    {
        let is_it = !note.upload.is_empty()
            && note.bucket == place.bucket
            && note.key == place.key
            && (note.part_bytes, note.size) == (part_bytes, size);
        match is_it {
            true => match list_parts(s3, place, &note.upload).await {
                Ok(known) => return Ok((open(note.upload), known)),
                // It is gone, or the service cannot list parts: a new one is begun.
                Err(refusal) if refusal.is_missing() => {}
                Err(refusal) if refusal.error.kind() == ErrorKind::Unsupported => {
                    s3.abort(place, &note.upload).await?;
                }
                Err(refusal) => return Err(refusal),
            },
            false => s3.end_noted(&note.bucket, &note.key, &note.upload).await?,
        }
    }
    let note = |upload: &str| UploadNote {
        upload: upload.to_owned(),
        bucket: place.bucket.clone(),
        key: place.key.clone(),
        part_bytes,
        size,
    };
    if let Some(checkpoint) = checkpoint {
        // ORDER: before it is begun, so that a later process looks for one that was begun and never named.
        save(checkpoint, &note("")).await?;
    }
    let mut ask = Ask::new(Method::POST, place).query("uploads", "").headers(headers(s3, options));
    if s3.client.settings.quirks.has_crc64 {
        ask = ask
            .header("x-amz-checksum-algorithm", "CRC64NVME")
            .header("x-amz-checksum-type", "FULL_OBJECT");
    }
    let answer = s3.client.call(ask, Bytes::new()).await?;
    let mut id = String::new();
    each(&answer.body, |piece| {
        if let Piece::Text("UploadId", text) = piece {
            id = text.to_owned();
        }
    })?;
    if id.is_empty() {
        let text = "the service began an upload and did not name it";
        return Err(Error::new(ErrorKind::Protocol, text).into());
    }
    let open = open(id);
    if let Some(checkpoint) = checkpoint {
        // ORDER: right after the upload was begun, so that a later process can continue it.
        save(checkpoint, &note(&open.id)).await?;
    }
    Ok((open, BTreeMap::new()))
}

async fn save(checkpoint: &Checkpoint, note: &UploadNote) -> Result<()> {
    let note = serde_json::to_vec(note).map_err(|error| {
        Error::new(ErrorKind::Io, "the note of an upload cannot be written").with_source(error)
    })?;
    checkpoint.note.save(note.into()).await
}

/// The parts of an open upload, by their numbers from 0 on.
async fn list_parts(s3: &S3, place: &Place, id: &str) -> Result<BTreeMap<u32, Known>, Refusal> {
    let mut all = BTreeMap::new();
    let mut after = String::new();
    loop {
        let mut ask = Ask::new(Method::GET, place).query("uploadId", id).query("max-parts", "1000");
        if !after.is_empty() {
            ask = ask.query("part-number-marker", after.clone());
        }
        let answer = s3.client.call(ask, Bytes::new()).await?;
        let (mut next, mut is_cut) = (String::new(), false);
        let (mut number, mut part) = (0_u32, None::<Known>);
        each(&answer.body, |piece| match piece {
            Piece::Start("Part") => {
                part = Some(Known { size: 0, etag: String::new(), crc: None });
            }
            Piece::End("Part") => {
                if let Some(known) = part.take().filter(|_| number > 0) {
                    all.insert(number - 1, known);
                }
            }
            Piece::Text("IsTruncated", text) => is_cut = text == "true",
            Piece::Text("NextPartNumberMarker", text) => next = text.to_owned(),
            Piece::Text(name, text) => {
                let Some(known) = &mut part else { return };
                match name {
                    "PartNumber" => number = text.parse().unwrap_or(0),
                    "Size" => known.size = text.parse().unwrap_or(0),
                    "ETag" => known.etag = facts::etag(text),
                    "ChecksumCRC64NVME" => {
                        known.crc = facts::of_base64(HashAlgo::Crc64Nvme, text);
                    }
                    _ => {}
                }
            }
            _ => {}
        })?;
        if !is_cut || next.is_empty() || next == after {
            return Ok(all);
        }
        after = next;
    }
}

type Kept = Vec<(Part, String)>;

/// Which of the parts are there already and are what the source holds now. Those that must be read in order are sent again.
async fn prove(
    body: &Body,
    all: Vec<Part>,
    known: BTreeMap<u32, Known>,
) -> Result<(Kept, Vec<Part>)> {
    if known.is_empty() || !body.any_order() {
        return Ok((Vec::new(), all));
    }
    let (mut kept, mut missing) = (Vec::new(), Vec::new());
    for part in all {
        let length = part.range.end - part.range.start;
        let there = known.get(&part.number).filter(|there| there.size == length);
        let expected =
            there.and_then(|there| there.crc.clone().or_else(|| facts::md5_of_etag(&there.etag)));
        let (Some(there), Some(expected)) = (there, expected) else {
            missing.push(part);
            continue;
        };
        let mut hasher = MultiHasher::new(&[expected.algo()]);
        let mut stream = body.open(part.range.clone()).await?;
        while let Some(piece) = stream.try_next().await? {
            hasher.update(&piece);
        }
        match hasher.finish().get(expected.algo()) == Some(&expected) {
            true => kept.push((part, there.etag.clone())),
            false => missing.push(part),
        }
    }
    Ok((kept, missing))
}

impl Open<'_> {
    /// Gives the upload up after an error, if no later process can go on with it.
    async fn end_with(mut self, error: Error) -> Error {
        // The bytes that were read are not those that were listed, so no process may continue this upload.
        let is_useless = matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Changed);
        let is_kept = self.checkpoint.is_some_and(Checkpoint::keeps) && !is_useless;
        if !is_kept && self.s3.abort(self.place, &self.id).await.is_ok() {
            self.is_over = true;
        }
        error
    }
}

#[async_trait]
impl PartStore for Open<'_> {
    /// The ETag of the part.
    type Stored = String;

    async fn store(&self, part: &Part, body: Body) -> Result<String> {
        let ask = Ask::new(Method::PUT, self.place)
            .query("partNumber", (part.number + 1).to_string())
            .query("uploadId", self.id.clone());
        let length = part.range.end - part.range.start;
        // Where the service takes no checksum of the whole, the MD5 of each part proves it.
        let is_summed = self.s3.client.settings.quirks.has_crc64;
        let content = open_exact(&*body).await?;
        let sum =
            Arc::new(Mutex::new(MultiHasher::new(if is_summed { &[] } else { &[HashAlgo::Md5] })));
        let passing = Arc::clone(&sum);
        let content = content
            .inspect_ok(move |piece| {
                passing.lock().unwrap_or_else(PoisonError::into_inner).update(piece);
            })
            .boxed();
        let answer = self.s3.client.store(ask, streamed(content, length)).await;
        let answer = answer.map_err(|refusal| match refusal.error.kind() {
            // A part may be stored twice without harm.
            ErrorKind::CommitUnknown => {
                Error::new(ErrorKind::Unavailable, refusal.error.message().to_owned())
                    .with_retry(Retry::Backoff)
            }
            _ => refusal.error,
        })?;
        let Some(etag) = answer.header("etag").map(facts::etag) else {
            let text = "the service stored a part and gave it no ETag";
            return Err(Error::new(ErrorKind::Protocol, text));
        };
        let sum = std::mem::replace(
            &mut *sum.lock().unwrap_or_else(PoisonError::into_inner),
            MultiHasher::new(&[]),
        );
        if let (Some(own), Some(shown)) =
            (sum.finish().get(HashAlgo::Md5), facts::md5_of_etag(&etag))
            && *own != shown
        {
            let text = format!("a part was stored with the md5 digest {shown}, sent was {own}");
            return Err(Error::new(ErrorKind::Corrupt, text).with_retry(Retry::Backoff));
        }
        Ok(etag)
    }
}

/// Makes the object of its parts.
async fn complete(
    mut open: Open<'_>,
    path: &RelPath,
    body: &Body,
    stored: Vec<(Part, String)>,
    options: &PutOptions,
) -> Result<Entry, Refusal> {
    look(open.s3, open.place, options).await?;
    let size = stored.last().map_or(0, |(part, _)| part.range.end);
    let sum = match body.passed(HashAlgo::Crc64Nvme) {
        Passed::Digest(digest) => Some(digest),
        Passed::NotTaken | Passed::NotYet => None,
    };
    let mut ask = Ask::new(Method::POST, open.place)
        .query("uploadId", open.id.clone())
        .headers(condition(open.s3, options));
    if open.s3.client.settings.quirks.has_crc64
        && let Some(sum) = &sum
    {
        ask = ask
            .header("x-amz-checksum-crc64nvme", BASE64.encode(sum.as_bytes()))
            .header("x-amz-checksum-type", "FULL_OBJECT");
    }
    let mut list = String::from("<CompleteMultipartUpload>");
    for (part, etag) in &stored {
        let number = part.number + 1;
        let etag = ketch_wire::xml::escape(etag);
        list.push_str(&format!(
            "<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"
        ));
    }
    list.push_str("</CompleteMultipartUpload>");
    let completed = completed(&open, ask, list.into(), &stored, size).await;
    let mut entry = match completed {
        Ok(found) => Entry {
            mtime: options.mtime,
            handle: Some(handle(&open.place.bucket, &open.place.key)),
            ..found.at(path.clone(), size)
        },
        Err(refusal) => {
            let Refusal { code, error } = refusal;
            return Err(Refusal { code, error: open.end_with(error).await });
        }
    };
    open.is_over = true;
    open.s3.uploads.end(&open.id);
    // Where the service takes the checksum of the whole, the parts were not compared one by one.
    let are_compared = !open.s3.client.settings.quirks.has_crc64;
    let are_proven =
        are_compared && stored.iter().all(|(_, etag)| facts::md5_of_etag(etag).is_some());
    let attested =
        entry.hashes.as_deref().and_then(|hashes| hashes.get(HashAlgo::Crc64Nvme)).cloned();
    match (attested, sum) {
        (Some(shown), Some(own)) if shown != own => {
            let text = format!("stored with the crc64nvme digest {shown}, sent was {own}");
            return Err(Error::new(ErrorKind::Corrupt, text).into());
        }
        // Each part was compared by its MD5, so what the service has is what was sent.
        (None, Some(own)) if are_proven => entry.hashes.get_or_insert_default().insert(own),
        _ => {}
    }
    Ok(entry)
}

/// What is known of an object that was completed.
struct Completed {
    etag: String,
    crc: Option<Digest>,
}

impl Completed {
    fn at(self, path: RelPath, size: u64) -> Entry {
        Entry {
            size: Some(size),
            version: Some(self.etag.into()),
            hashes: self.crc.map(|digest| Box::new(Hashes::of(digest))),
            ..Entry::bare(path, ketch_core::EntryKind::File)
        }
    }
}

/// Completes an upload. If the answer is lost, it is completed again; if it is gone then, what is at the key says whether it was
/// completed.
async fn completed(
    open: &Open<'_>,
    ask: Ask,
    list: Bytes,
    stored: &[(Part, String)],
    size: u64,
) -> Result<Completed, Refusal> {
    let mut wait = FIRST_WAIT;
    let mut was_lost = false;
    for attempt in 1.. {
        let refusal = match complete_once(open, ask.clone(), list.clone()).await {
            Ok(completed) => return Ok(completed),
            Err(refusal) => refusal,
        };
        // The attempt that was lost may itself have made the condition untrue.
        if was_lost && matches!(refusal.error.kind(), ErrorKind::NotFound | ErrorKind::Changed) {
            let expected = composite(stored);
            let found = open.s3.head(open.place).await?;
            let is_it = found.size == Some(size)
                && expected.is_some_and(|etag| found.version.as_deref() == Some(etag.as_str()));
            let Some(etag) = found.version.filter(|_| is_it) else { return Err(refusal) };
            let crc = found.hashes.and_then(|hashes| hashes.get(HashAlgo::Crc64Nvme).cloned());
            return Ok(Completed { etag: etag.into(), crc });
        }
        // Of the same parts the same object would be made.
        let is_worth_it = refusal.error.retry() != Retry::Never
            && !refusal.error.is_fatal()
            && refusal.error.kind() != ErrorKind::Corrupt;
        if attempt == COMPLETIONS || !is_worth_it {
            return Err(refusal);
        }
        was_lost = true;
        let pause = match refusal.error.retry() {
            Retry::After(pause) => pause.min(Duration::from_secs(60)),
            Retry::Backoff | Retry::Never => Duration::ZERO,
        };
        tokio::time::sleep(wait.max(pause)).await;
        wait *= 2;
    }
    Err(Error::cancelled().into())
}

async fn complete_once(open: &Open<'_>, ask: Ask, list: Bytes) -> Result<Completed, Refusal> {
    // Putting the parts together may take as long as a body that is sent.
    let answer = open.s3.client.store(ask, whole(list)).await?;
    // An error that came after the service had begun to answer.
    if let Some((code, message)) = error::said(&answer.body) {
        return Err(error::of(500, code, &message, answer.pause()));
    }
    let (mut etag, mut crc, mut is_of_parts) = (None, None, false);
    each(&answer.body, |piece| match piece {
        Piece::Text("ETag", text) => etag = Some(facts::etag(text)),
        Piece::Text("ChecksumCRC64NVME", text) => {
            crc = facts::of_base64(HashAlgo::Crc64Nvme, text);
        }
        Piece::Text("ChecksumType", text) => is_of_parts = text == "COMPOSITE",
        _ => {}
    })?;
    let Some(etag) = etag else {
        let text = "the service completed an upload and did not say what it is now";
        return Err(Error::new(ErrorKind::Protocol, text).with_retry(Retry::Backoff).into());
    };
    Ok(Completed { etag, crc: crc.filter(|_| !is_of_parts) })
}

/// The ETag that services give to an object of parts: the MD5 of the MD5s of all parts, and their number.
fn composite(stored: &[(Part, String)]) -> Option<String> {
    use md5::Digest as _;
    let mut all = md5::Md5::new();
    for (_, etag) in stored {
        all.update(facts::md5_of_etag(etag)?.as_bytes());
    }
    let hex = data_encoding::HEXLOWER.encode(&all.finalize());
    Some(format!("\"{hex}-{}\"", stored.len()))
}
