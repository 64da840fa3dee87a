//! What interrupted puts leave behind: the first pieces of a body, each with its digest.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use bytes::{Bytes, BytesMut};
use ketch_core::hash::hash_bytes;
use ketch_core::{Checkpoint, HashAlgo, Hashes, RelPath};

use super::lock;

/// Bytes of one piece that is kept. A put that was interrupted before that keeps nothing.
pub const KEPT_BYTES: usize = 64 * 1024;

/// All parts of a place, by path and job.
pub(super) type Parts = Mutex<HashMap<(RelPath, u32), Part>>;

#[derive(Debug)]
pub(super) struct Part {
    source: Box<str>,
    content: BytesMut,
    digests: Vec<Hashes>,
}

fn digest(piece: &[u8]) -> Hashes {
    hash_bytes(&[HashAlgo::Blake3], piece)
}

/// The first bytes that are still what they were when they came.
pub(super) fn proven(
    parts: &Parts,
    path: &RelPath,
    checkpoint: &Checkpoint,
    is_trusting: bool,
) -> Option<Bytes> {
    let parts = lock(parts);
    let part = parts.get(&(path.clone(), checkpoint.job))?;
    if part.source != checkpoint.source {
        return None;
    }
    if is_trusting {
        return Some(part.content.clone().freeze());
    }
    let pieces = part.content.chunks_exact(KEPT_BYTES).zip(&part.digests);
    let whole = pieces.take_while(|(piece, known)| digest(piece) == **known).count();
    (whole > 0).then(|| Bytes::copy_from_slice(&part.content[..whole * KEPT_BYTES]))
}

/// A body that is being received. Dropped, it becomes a part if the checkpoint says so.
pub(super) struct Receiving {
    parts: Arc<Parts>,
    key: Option<((RelPath, u32), Checkpoint)>,
    pub(super) content: BytesMut,
}

impl Receiving {
    pub(super) fn new(parts: &Arc<Parts>, path: &RelPath, checkpoint: Option<&Checkpoint>) -> Self {
        let key = checkpoint.map(|known| ((path.clone(), known.job), known.clone()));
        Receiving { parts: Arc::clone(parts), key, content: BytesMut::new() }
    }

    /// Nothing is left of it.
    pub(super) fn done(mut self) -> Bytes {
        if let Some((key, _)) = self.key.take() {
            lock(&self.parts).remove(&key);
        }
        std::mem::take(&mut self.content).freeze()
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        let Some((key, checkpoint)) = self.key.take() else { return };
        let mut content = std::mem::take(&mut self.content);
        content.truncate(content.len() / KEPT_BYTES * KEPT_BYTES);
        if content.is_empty() || !checkpoint.keeps() {
            lock(&self.parts).remove(&key);
            return;
        }
        let digests = content.chunks_exact(KEPT_BYTES).map(digest).collect();
        lock(&self.parts).insert(key, Part { source: checkpoint.source, content, digests });
    }
}

/// Changes the first byte of every part of `path`.
pub(super) fn damage_content(parts: &Parts, path: &RelPath) {
    for (_, part) in lock(parts).iter_mut().filter(|((key, _), _)| key == path) {
        part.content[0] ^= 1;
    }
}

/// Loses the last digest of every part of `path`.
pub(super) fn damage_record(parts: &Parts, path: &RelPath) {
    for (_, part) in lock(parts).iter_mut().filter(|((key, _), _)| key == path) {
        part.digests.pop();
    }
}
