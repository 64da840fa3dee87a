//! Contents on disk: written under a temporary name, hashed on the way, renamed when complete.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::fs::File;
use tokio::io::AsyncWriteExt;
use whirlpool::{Digest, Whirlpool};

/// Contents up to this size are written by one call at the end, which is what makes small uploads
/// fast.
const IN_MEMORY_BYTES: usize = 256 * 1024;

static NEXT_TEMPORARY: AtomicU64 = AtomicU64::new(0);

/// A content on its way in. Dropped without [`BlobWriter::finish`], it leaves nothing.
#[derive(Debug)]
pub(crate) struct BlobWriter {
    path: PathBuf,
    head: Vec<u8>,
    file: Option<File>,
    hasher: Whirlpool,
    /// Told in place of the real digest, which is not taken then.
    told: Option<String>,
    size: u64,
    kept: bool,
}

/// A complete content, already under its final name.
#[derive(Clone, Debug)]
pub(crate) struct StoredBlob {
    /// The id it was stored under.
    pub(crate) id: String,
    /// Its length.
    pub(crate) size: u64,
    /// Its digest, 128 lower-case hexadecimal characters.
    pub(crate) whirlpool: String,
}

impl BlobWriter {
    /// A content without bytes yet.
    pub(super) fn create(folder: &Path, told: Option<String>) -> Self {
        let number = NEXT_TEMPORARY.fetch_add(1, Ordering::Relaxed);
        Self {
            path: folder.join(format!("tmp-{number}")),
            head: Vec::new(),
            file: None,
            hasher: Whirlpool::new(),
            told,
            size: 0,
            kept: false,
        }
    }

    /// How many bytes were written so far.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Adds bytes; memory use is bounded whatever the total.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.told.is_none() {
            self.hasher.update(bytes);
        }
        self.size += bytes.len() as u64;
        match &mut self.file {
            Some(file) => file.write_all(bytes).await,
            None if self.head.len() + bytes.len() <= IN_MEMORY_BYTES => {
                self.head.extend_from_slice(bytes);
                Ok(())
            }
            None => {
                let mut file = File::create(&self.path).await?;
                file.write_all(&std::mem::take(&mut self.head)).await?;
                file.write_all(bytes).await?;
                self.file = Some(file);
                Ok(())
            }
        }
    }

    /// Puts the content under the name `id` beside the temporary one.
    pub(crate) async fn finish(mut self, id: String) -> io::Result<StoredBlob> {
        let target = self.path.with_file_name(&id);
        let path = self.path.clone();
        let head = std::mem::take(&mut self.head);
        let big = match self.file.take() {
            Some(mut file) => {
                file.flush().await?;
                true
            }
            None => false,
        };
        let store = move || {
            if !big {
                std::fs::write(&path, &head)?;
            }
            std::fs::rename(&path, &target)
        };
        tokio::task::spawn_blocking(store).await.map_err(io::Error::other)??;
        self.kept = true;
        let digest = std::mem::replace(&mut self.hasher, Whirlpool::new()).finalize();
        let whirlpool = self.told.take().unwrap_or_else(|| hexadecimal(&digest));
        Ok(StoredBlob { id, size: self.size, whirlpool })
    }
}

/// The digest of a content as the service writes it.
pub(super) fn digest(bytes: &[u8]) -> String {
    hexadecimal(&Whirlpool::digest(bytes))
}

impl Drop for BlobWriter {
    fn drop(&mut self) {
        if !self.kept && self.file.is_some() {
            // The next start removes what stays behind here.
            drop(std::fs::remove_file(&self.path));
        }
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| char::from(DIGITS[usize::from(value & 15)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

/// Removes temporary contents and contents no record names: the traces of a kill.
pub(super) fn remove_leftovers(folder: &Path, is_known: impl Fn(&str) -> bool) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        // Only names this module makes are touched: the folder may be anybody's by mistake.
        let is_blob = name.len() == 20 && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if name.starts_with("tmp-") || (is_blob && !is_known(name)) {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn digests_agree_with_the_vectors_of_the_reference_in_both_sizes() {
        let scratch = tempfile::tempdir().unwrap();
        let mut small = BlobWriter::create(scratch.path(), None);
        small.write(b"Hello ").await.unwrap();
        small.write(b"world\n").await.unwrap();
        let stored = small.finish("a".repeat(20)).await.unwrap();
        assert!(stored.whirlpool.starts_with("0a894ff039da399d5a72116b3665cd952abc8a9ffe37"));
        assert_eq!((stored.size, stored.whirlpool.len()), (12, 128));
        let mut large = BlobWriter::create(scratch.path(), None);
        for _ in 0..40 {
            large.write(&[7; 10_000]).await.unwrap();
        }
        assert_eq!(large.finish("b".repeat(20)).await.unwrap().size, 400_000);
        assert_eq!(std::fs::read(scratch.path().join("b".repeat(20))).unwrap(), [7; 400_000]);
    }

    #[tokio::test]
    async fn an_abandoned_content_leaves_nothing() {
        let scratch = tempfile::tempdir().unwrap();
        let mut writer = BlobWriter::create(scratch.path(), None);
        writer.write(&vec![1; IN_MEMORY_BYTES + 1]).await.unwrap();
        drop(writer);
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
    }
}
