//! Changes other than storing a body: deletions by the thousand, copies by the service, times.

use std::collections::HashMap;

use bytes::Bytes;
use data_encoding::BASE64;
use ketch_core::{Entry, Error, ErrorKind, Metadata, PutOptions, RelPath, Result};
use ketch_wire::Method;
use ketch_wire::text::percent;
use ketch_wire::xml::{Piece, each, escape};
use md5::Digest as _;

use crate::client::Ask;
use crate::error::{self, Refusal};
use crate::facts::{self, META};
use crate::folder::S3;
use crate::keys::Place;
use crate::removal::Removal;
use crate::stored::{condition, headers, look};
use crate::times;

/// So many objects are deleted by one request.
const DELETED_AT_ONCE: usize = 1000;
/// The largest object that one request copies.
const COPIED_BYTES: u64 = 5 << 30;

/// Deletes objects, and folders that are kept as one; one result for each.
pub(crate) async fn delete(s3: &S3, entries: &[Entry]) -> Vec<Result<()>> {
    let mut results: Vec<Option<Result<()>>> = entries.iter().map(|_| None).collect();
    let mut files: HashMap<String, Vec<(usize, Removal)>> = HashMap::new();
    for (index, entry) in entries.iter().enumerate().filter(|(_, entry)| !entry.is_dir()) {
        match s3.root.of(entry) {
            Ok(Place { bucket, key }) => {
                let by_version = s3.client.settings.quirks.deletes_by_version;
                let version = entry.version.as_deref().filter(|_| by_version).map(str::to_owned);
                let removal = Removal { bucket: bucket.clone(), key, version };
                files.entry(bucket).or_default().push((index, removal));
            }
            Err(error) => results[index] = Some(Err(error)),
        }
    }
    for (bucket, all) in files {
        let (indices, mut removals): (Vec<_>, Vec<_>) = all.into_iter().unzip();
        let deleted = match removals.len() {
            1 => match removals.pop() {
                Some(removal) => {
                    let now = |bucket: String, all: Vec<Removal>| async move {
                        delete_now(s3, &bucket, &all).await
                    };
                    vec![s3.removals.remove(removal, now).await]
                }
                None => Vec::new(),
            },
            _ => delete_now(s3, &bucket, &removals).await,
        };
        for (index, result) in indices.into_iter().zip(deleted) {
            results[index] = Some(result);
        }
    }
    // Folders after what was in them.
    for (index, entry) in entries.iter().enumerate().filter(|(_, entry)| entry.is_dir()) {
        results[index] = Some(delete_folder(s3, &entry.path).await);
    }
    let missing =
        || Err(Error::new(ErrorKind::Protocol, "the service did not say what became of it"));
    results.into_iter().map(|result| result.unwrap_or_else(missing)).collect()
}

/// Deletes objects of a bucket in as few requests as the service takes; one result for each.
pub(crate) async fn delete_now(s3: &S3, bucket: &str, all: &[Removal]) -> Vec<Result<()>> {
    let mut results = Vec::with_capacity(all.len());
    // A key with a control character is no XML: one would have all others of its request refused.
    let is_alone = |removal: &Removal| removal.key.chars().any(char::is_control);
    let runs = all.chunk_by(|one, next| !is_alone(one) && !is_alone(next));
    for chunk in runs.flat_map(|run| run.chunks(DELETED_AT_ONCE)) {
        match chunk {
            [Removal { key, version, .. }] => {
                results.push(delete_one(s3, bucket, key, version.as_deref()).await);
            }
            _ => results.extend(delete_many(s3, bucket, chunk).await),
        }
    }
    results
}

async fn delete_one(s3: &S3, bucket: &str, key: &str, version: Option<&str>) -> Result<()> {
    let place = Place { bucket: bucket.to_owned(), key: key.to_owned() };
    let condition = version.map(|etag| ("if-match".to_owned(), etag.to_owned()));
    let ask = Ask::new(Method::DELETE, &place).headers(condition);
    match s3.client.call(ask, Bytes::new()).await {
        Err(refusal) if refusal.is_missing() && refusal.code != "NoSuchBucket" => Ok(()),
        answered => answered.map(|_| ()).map_err(Error::from),
    }
}

async fn delete_many(s3: &S3, bucket: &str, all: &[Removal]) -> Vec<Result<()>> {
    let objects = all.iter().map(|Removal { key, version, .. }| {
        let version = version.as_ref().map(|etag| format!("<ETag>{}</ETag>", escape(etag)));
        format!("<Object><Key>{}</Key>{}</Object>", escape(key), version.unwrap_or_default())
    });
    let body = format!("<Delete><Quiet>true</Quiet>{}</Delete>", objects.collect::<String>());
    let place = Place { bucket: bucket.to_owned(), key: String::new() };
    let ask = Ask::new(Method::POST, &place)
        .query("delete", "")
        .header("content-md5", BASE64.encode(&md5::Md5::digest(body.as_bytes())))
        .header("content-type", "application/xml");
    let answer = match s3.client.call(ask, body.into()).await {
        Ok(answer) => answer,
        Err(refusal) if refusal.error.kind() == ErrorKind::Unsupported => {
            let mut results = Vec::with_capacity(all.len());
            for Removal { key, version, .. } in all {
                results.push(delete_one(s3, bucket, key, version.as_deref()).await);
            }
            return results;
        }
        Err(refusal) => {
            return all.iter().map(|_| Err(refusal.error.twin())).collect();
        }
    };
    let mut refused: HashMap<String, Refusal> = HashMap::new();
    let (mut key, mut code, mut message) = (String::new(), String::new(), String::new());
    let mut is_answer = false;
    let read = each(&answer.body, |piece| match piece {
        Piece::Start("DeleteResult") | Piece::Text("DeleteResult", _) => is_answer = true,
        Piece::Text("Key", text) => key = text.to_owned(),
        Piece::Text("Code", text) => code = text.to_owned(),
        Piece::Text("Message", text) => message = text.to_owned(),
        Piece::End("Error") => {
            let refusal = error::of(400, std::mem::take(&mut code), &message, None);
            refused.insert(std::mem::take(&mut key), refusal);
        }
        _ => {}
    });
    if read.is_err() || !is_answer {
        let text = "the service answered a deletion with something else";
        let wrong = || Err(Error::new(ErrorKind::Protocol, text));
        return all.iter().map(|_| wrong()).collect();
    }
    let result = |key: &String| match refused.remove(key) {
        Some(refusal) if !refusal.is_missing() => Err(refusal.error),
        Some(_) | None => Ok(()),
    };
    let mut result = result;
    let results: Vec<_> = all.iter().map(|removal| result(&removal.key)).collect();
    if refused.is_empty() {
        return results;
    }
    // A refusal that names none of them: which of the others was refused is not known.
    let unclear = || {
        let text = "the service refused a deletion and did not say which";
        Err(Error::new(ErrorKind::Protocol, text))
    };
    results.into_iter().map(|result| result.and_then(|()| unclear())).collect()
}

/// A folder is gone with what is in it, unless an object stands for it.
async fn delete_folder(s3: &S3, path: &RelPath) -> Result<()> {
    let place = s3.root.folder(path)?;
    let wanted = crate::list::Wanted { place: &place, is_flat: true, after: None, keys: "2" };
    let found = match s3.client.list_once(&wanted, None).await {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        found => found?,
    };
    // An object of that very key that holds something is no mark of a folder.
    let is_marker = |object: &crate::list::Listed| object.key == place.key && object.is_empty();
    if !found.objects.iter().all(is_marker) {
        return Err(Error::new(ErrorKind::InvalidInput, "the folder is not empty"));
    }
    if place.key.is_empty() {
        return Err(Error::unsupported("delete a bucket"));
    }
    match found.objects.is_empty() {
        true => Ok(()),
        false => delete_one(s3, &place.bucket, &place.key, None).await,
    }
}

/// Keeps an empty folder as an empty object.
pub(crate) async fn make_dir(s3: &S3, path: &RelPath) -> Result<()> {
    let place = s3.root.folder(path)?;
    if place.key.is_empty() {
        return s3.create_bucket(&place.bucket).await;
    }
    if !s3.client.settings.directory_markers {
        return Err(Error::unsupported("make folder"));
    }
    make_marker(s3, &place).await?;
    // Folders above it would be gone with what is in them.
    let mut above = path.parent();
    while let Some(folder) = above.filter(|folder| !folder.is_root()) {
        let place = s3.root.folder(&folder)?;
        match s3.head(&place).await {
            Err(error) if error.kind() == ErrorKind::NotFound => make_marker(s3, &place).await?,
            found => return found.map(|_| ()),
        }
        above = folder.parent();
    }
    Ok(())
}

async fn make_marker(s3: &S3, place: &Place) -> Result<()> {
    // What is there already marks the folder, and may hold something.
    match s3.head(place).await {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        found => return found.map(|_| ()),
    }
    let stored = s3.client.store(Ask::new(Method::PUT, place), crate::client::whole(Bytes::new()));
    match stored.await {
        Err(refusal) if s3.made_bucket_for(place, &refusal).await? => {
            Err(refusal.error.with_retry(ketch_core::Retry::Backoff))
        }
        stored => stored.map(|_| ()).map_err(Error::from),
    }
}

/// Makes the service copy an object.
pub(crate) async fn copy(
    s3: &S3,
    from: &Entry,
    to: &RelPath,
    options: &PutOptions,
) -> Result<Entry> {
    let source = s3.root.of(from)?;
    let place = s3.root.file(to)?;
    look(s3, &place, options).await?;
    let keeps = options.mtime.is_none() || options.mtime == from.mtime && from.mtime.is_some();
    let kept = match keeps {
        true => None,
        // What else is kept beside the object comes along.
        false => Some(beside(s3, &source).await?),
    };
    let mut all = headers(s3, &PutOptions { mtime: None, ..PutOptions::default() });
    all.extend(condition(s3, options));
    if let Some(kept) = kept {
        all.extend(kept);
        set_time(&mut all, options.mtime);
        all.push(("x-amz-metadata-directive".to_owned(), "REPLACE".to_owned()));
    }
    let etag = copy_object(s3, from, &source, &place, all).await?;
    let stored = s3.head(&place).await?;
    if stored.version.as_deref() != Some(etag.as_str()) {
        // What is there now is not the copy, so it is not this job's to judge or to remove.
        let text = "another object was stored there while it was copied";
        return Err(Error::new(ErrorKind::Changed, text));
    }
    Ok(Entry { path: to.clone(), ..stored })
}

/// Copies an object onto itself with another time, which is how a time is set.
pub(crate) async fn set_metadata(s3: &S3, entry: &Entry, metadata: &Metadata) -> Result<Entry> {
    let Metadata { mtime, mode } = metadata;
    let (Some(mtime), None, true) = (mtime, mode, entry.is_file()) else {
        return Err(Error::unsupported(metadata.operation()));
    };
    let place = s3.root.of(entry)?;
    let mut all = headers(s3, &PutOptions::default());
    all.extend(beside(s3, &place).await?);
    set_time(&mut all, Some(*mtime));
    all.push(("x-amz-metadata-directive".to_owned(), "REPLACE".to_owned()));
    copy_object(s3, entry, &place, &place, all).await?;
    let stored = s3.head(&place).await?;
    Ok(Entry { path: entry.path.clone(), ..stored })
}

fn set_time(all: &mut Vec<(String, String)>, mtime: Option<std::time::SystemTime>) {
    let name = format!("{META}{}", times::MTIME);
    all.retain(|(known, _)| *known != name);
    all.extend(mtime.map(|time| (name, times::to_text(time))));
}

/// The metadata of an object, as headers that store it again.
async fn beside(s3: &S3, place: &Place) -> Result<Vec<(String, String)>> {
    let answer = s3.client.call(Ask::new(Method::HEAD, place), Bytes::new()).await?;
    let kept = [
        "content-type",
        "content-encoding",
        "content-disposition",
        "content-language",
        "cache-control",
    ];
    let of = |name: &str| kept.contains(&name) || name.starts_with(META);
    let all = answer.headers.iter().filter(|(name, _)| of(name.as_str()));
    Ok(all
        .filter_map(|(name, value)| {
            Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
        })
        .collect())
}

async fn copy_object(
    s3: &S3,
    from: &Entry,
    source: &Place,
    place: &Place,
    headers: Vec<(String, String)>,
) -> Result<String> {
    if from.size.is_some_and(|size| size > COPIED_BYTES) {
        let text = "the service copies objects up to 5 GiB in one request";
        return Err(Error::new(ErrorKind::Unsupported, text));
    }
    let path = format!("/{}/{}", source.bucket, percent(source.key.as_bytes(), b"/"));
    let mut ask = Ask::new(Method::PUT, place).header("x-amz-copy-source", path).headers(headers);
    if let Some(version) = &from.version {
        ask = ask.header("x-amz-copy-source-if-match", version.to_string());
    }
    // A copy may take as long as a body that is sent.
    let answer = s3.client.store(ask, crate::client::whole(Bytes::new())).await?;
    // An error that came after the service had begun to answer.
    if let Some((code, message)) = error::said(&answer.body) {
        return Err(error::of(500, code, &message, answer.pause()).error);
    }
    let mut etag = None;
    each(&answer.body, |piece| {
        if let Piece::Text("ETag", text) = piece {
            etag = Some(facts::etag(text));
        }
    })?;
    etag.ok_or_else(|| {
        let text = "the service answered a copy with something else";
        Error::new(ErrorKind::Protocol, text)
    })
}

impl S3 {
    /// What is at a place.
    pub(crate) async fn head(&self, place: &Place) -> Result<Entry> {
        let mut ask = Ask::new(Method::HEAD, place);
        if self.client.settings.quirks.has_crc64 {
            ask = ask.header("x-amz-checksum-mode", "ENABLED");
        }
        let answer = self.client.call(ask, Bytes::new()).await?;
        Ok(facts::entry(RelPath::root(), place, &answer))
    }

    /// Was the bucket missing, and is there now? Some services say that it is not allowed to store into a bucket that is not
    /// there.
    pub(crate) async fn made_bucket_for(&self, place: &Place, refusal: &Refusal) -> Result<bool> {
        let may_be_missing =
            refusal.code == "NoSuchBucket" || refusal.error.kind() == ErrorKind::Denied;
        if !may_be_missing || !self.client.settings.creates_bucket {
            return Ok(false);
        }
        let bucket = Place { bucket: place.bucket.clone(), key: String::new() };
        match self.client.call(Ask::new(Method::HEAD, &bucket), Bytes::new()).await {
            Err(missing) if missing.is_missing() => {
                self.create_bucket(&place.bucket).await?;
                Ok(true)
            }
            Ok(_) | Err(_) => Ok(refusal.code == "NoSuchBucket"),
        }
    }

    pub(crate) async fn create_bucket(&self, bucket: &str) -> Result<()> {
        let place = Place { bucket: bucket.to_owned(), key: String::new() };
        let region = &self.client.settings.region;
        let body = match region.as_str() {
            "us-east-1" | "auto" => Bytes::new(),
            _ => format!(
                "<CreateBucketConfiguration><LocationConstraint>{}</LocationConstraint></CreateBucketConfiguration>",
                escape(region)
            )
            .into(),
        };
        match self.client.call(Ask::new(Method::PUT, &place), body).await {
            Err(refusal) if refusal.code == "BucketAlreadyOwnedByYou" => Ok(()),
            made => made.map(|_| ()).map_err(Error::from),
        }
    }

    /// Gives an open upload up. One that is gone is success.
    pub(crate) async fn abort(&self, place: &Place, id: &str) -> Result<()> {
        let ask = Ask::new(Method::DELETE, place).query("uploadId", id);
        match self.client.call(ask, Bytes::new()).await {
            Err(refusal) if !refusal.is_missing() => return Err(refusal.error),
            Ok(_) | Err(_) => {}
        }
        self.uploads.end(id);
        Ok(())
    }
}
