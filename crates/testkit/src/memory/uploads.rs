//! Objects that are stored as parts: open uploads, which outlive the process that began them, can be listed, continued and
//! abandoned, and show nothing before they are complete.
//!
//! As at a real object store an open upload cannot be read. A part that is there already is proven by reading that range of
//! the source and comparing it with what was stored.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use bytes::BytesMut;
use ketch_core::PartRules;
use ketch_core::facets::{Claims, Leftover, LeftoverState};
use ketch_core::multipart::{self, Part, PartStore};
use ketch_core::source::{collect, open_exact};

use super::*;

/// The open uploads of a place, by their number.
#[derive(Debug, Default)]
pub(super) struct Uploads(Mutex<BTreeMap<u64, Upload>>);

#[derive(Debug)]
struct Upload {
    path: RelPath,
    size: u64,
    job: Option<u32>,
    source: Option<Box<str>>,
    /// A process works on it.
    is_in_use: Arc<AtomicBool>,
    parts: BTreeMap<u32, Bytes>,
}

impl Uploads {
    pub(super) fn count(&self) -> usize {
        lock(&self.0).len()
    }

    /// Forgets every upload of `path`, as a remote does with what is old.
    pub(super) fn expire(&self, path: &RelPath) {
        lock(&self.0).retain(|_, upload| upload.path != *path);
    }

    /// Changes the first byte of every part of `path`.
    pub(super) fn damage(&self, path: &RelPath) {
        for upload in lock(&self.0).values_mut().filter(|upload| upload.path == *path) {
            for content in upload.parts.values_mut() {
                let mut changed = content.to_vec();
                changed[0] ^= 1;
                *content = changed.into();
            }
        }
    }

    pub(super) fn abandon(&self, path: &RelPath, job: u32) {
        lock(&self.0).retain(|_, upload| upload.path != *path || upload.job != Some(job));
    }

    pub(super) fn leftovers(
        &self,
        dir: &RelPath,
        own: impl Fn(&RelPath) -> Option<RelPath>,
        claims: &Claims,
        removes: bool,
    ) -> Vec<Leftover> {
        let mut found = Vec::new();
        lock(&self.0).retain(|_, upload| {
            if upload.path.parent().as_ref() != Some(dir) {
                return true;
            }
            let Some(path) = own(&upload.path) else { return true };
            let state = match (upload.is_in_use.load(Ordering::Relaxed), upload.job) {
                (true, _) => LeftoverState::InUse,
                (false, Some(job)) if claims(job) => LeftoverState::Claimed,
                (false, _) => LeftoverState::Dead,
            };
            let bytes = upload.parts.values().map(|part| part.len() as u64).sum();
            found.push(Leftover { path, bytes, state });
            !(removes && state == LeftoverState::Dead)
        });
        found
    }
}

/// An upload that this process works on. Dropped, it stays as the checkpoint says.
struct Open<'a> {
    uploads: &'a Uploads,
    id: u64,
    is_in_use: Arc<AtomicBool>,
    checkpoint: Option<&'a Checkpoint>,
    is_complete: bool,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.is_in_use.store(false, Ordering::Relaxed);
        if self.is_complete || !self.checkpoint.is_some_and(Checkpoint::keeps) {
            lock(&self.uploads.0).remove(&self.id);
        }
    }
}

impl<'a> Open<'a> {
    /// The upload that an earlier process began of this version of the source, or a new one.
    async fn begin(
        uploads: &'a Uploads,
        path: &RelPath,
        size: u64,
        checkpoint: Option<&'a Checkpoint>,
    ) -> Result<Self> {
        let noted = match checkpoint {
            Some(checkpoint) => checkpoint.note.load().await?,
            None => None,
        };
        let noted = noted.and_then(|note| std::str::from_utf8(&note).ok()?.parse::<u64>().ok());
        let is_in_use = Arc::new(AtomicBool::new(true));
        let found = {
            let mut all = lock(&uploads.0);
            let job = checkpoint.map(|checkpoint| checkpoint.job);
            // One that no note speaks of is found in the list of open uploads.
            let is_it = |id: &u64, upload: &Upload| {
                (noted == Some(*id) || upload.job == job && job.is_some()) && upload.path == *path
            };
            let known = all.iter().find(|(id, upload)| is_it(id, upload)).map(|(id, _)| *id);
            let source = checkpoint.map(|checkpoint| checkpoint.source.clone());
            match known.and_then(|id| Some((id, all.get_mut(&id)?))) {
                Some((id, upload)) if upload.size == size && upload.source == source => {
                    upload.is_in_use = Arc::clone(&is_in_use);
                    Some(id)
                }
                Some((id, _)) => {
                    all.remove(&id);
                    None
                }
                None => None,
            }
        };
        let id = match found {
            Some(id) => id,
            None => {
                let id = next_id();
                let upload = Upload {
                    path: path.clone(),
                    size,
                    job: checkpoint.map(|checkpoint| checkpoint.job),
                    source: checkpoint.map(|checkpoint| checkpoint.source.clone()),
                    is_in_use: Arc::clone(&is_in_use),
                    parts: BTreeMap::new(),
                };
                lock(&uploads.0).insert(id, upload);
                id
            }
        };
        let open = Open { uploads, id, is_in_use, checkpoint, is_complete: false };
        if let Some(checkpoint) = checkpoint {
            // ORDER: right after it was made, so that it is found again.
            checkpoint.note.save(id.to_string().into()).await?;
        }
        Ok(open)
    }

    fn stored(&self, number: u32) -> Option<Bytes> {
        lock(&self.uploads.0).get(&self.id)?.parts.get(&number).cloned()
    }

    /// The content, once every part is there.
    fn complete(&mut self, size: u64) -> Result<Bytes> {
        let all = lock(&self.uploads.0);
        let upload = all.get(&self.id).ok_or_else(gone)?;
        let mut content = BytesMut::with_capacity(usize::try_from(size).unwrap_or(0));
        for part in upload.parts.values() {
            content.extend_from_slice(part);
        }
        if content.len() as u64 != size {
            return Err(Error::new(ErrorKind::Corrupt, "a part is missing"));
        }
        drop(all);
        self.is_complete = true;
        Ok(content.freeze())
    }
}

#[async_trait]
impl PartStore for Open<'_> {
    type Stored = ();

    async fn store(&self, part: &Part, body: Body) -> Result<()> {
        let length = usize::try_from(part.range.end - part.range.start).unwrap_or(usize::MAX);
        let bytes = collect(open_exact(&*body).await?, length).await?;
        let mut all = lock(&self.uploads.0);
        let upload = all.get_mut(&self.id).ok_or_else(gone)?;
        upload.parts.insert(part.number, bytes);
        Ok(())
    }
}

fn gone() -> Error {
    Error::new(ErrorKind::NotFound, "no such upload").with_retry(ketch_core::Retry::Never)
}

impl MemoryBackend {
    /// The content of `body`, when all of its parts are stored. Parts that are there already are not sent again.
    pub(super) async fn put_parts(
        &self,
        to: &RelPath,
        body: &Body,
        size: u64,
        options: &PutOptions,
        rules: &PartRules,
    ) -> Result<Bytes> {
        let checkpoint = options.checkpoint.as_ref();
        let mut open = Open::begin(&self.volume.uploads, to, size, checkpoint).await?;
        let mut parts = multipart::cut(size, rules);
        let mut kept = 0;
        let is_trusting = self.volume.trusts_parts.load(Ordering::Relaxed);
        if body.any_order() {
            let mut missing = Vec::new();
            for part in parts {
                let is_there = match open.stored(part.number) {
                    Some(_) if is_trusting => true,
                    Some(stored) => {
                        let source = body.open(part.range.clone()).await?;
                        collect(source, usize::MAX).await? == stored
                    }
                    None => false,
                };
                match is_there {
                    true => kept += part.range.end - part.range.start,
                    false => missing.push(part),
                }
            }
            parts = missing;
        }
        if let Some(told) = &options.kept {
            told.store(kept, Ordering::Relaxed);
        }
        if let Err(error) =
            multipart::send(body, parts, rules.at_once, &self.volume.buffers, &open).await
        {
            if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Changed) {
                // The bytes that were read are not those that were listed, so no later process continues the upload.
                open.is_complete = true;
            }
            return Err(error);
        }
        open.complete(size)
    }
}
