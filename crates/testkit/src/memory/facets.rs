//! What a place in memory has beside the methods that every remote means.

use ketch_core::facets::{Claims, Inspect, Leftover, ReportUsage, Resume, Usage, Wanted};

use super::*;

/// Another view on the place, for its facets.
#[derive(Debug, Clone)]
struct OfMemory(Arc<MemoryBackend>);

impl MemoryBackend {
    pub(super) fn own_facets(&self) -> Facets {
        let view = Arc::new(OfMemory(Arc::new(self.view())));
        let resumes = self.capabilities.put_resume || self.capabilities.put_parts.is_some();
        let resume = resumes.then(|| Arc::clone(&view) as Arc<dyn Resume>);
        Facets {
            resume,
            inspect: Some(Arc::clone(&view) as Arc<dyn Inspect>),
            usage: Some(view as Arc<dyn ReportUsage>),
            ..Facets::default()
        }
    }
}

#[async_trait]
impl Resume for OfMemory {
    async fn partial(&self, path: &RelPath, checkpoint: &Checkpoint) -> Result<Option<Body>> {
        tokio::task::yield_now().await;
        let volume = &self.0.volume;
        let is_trusting = volume.trusts_parts.load(Ordering::Relaxed);
        let found = parts::proven(&volume.parts, &self.0.full(path), checkpoint, is_trusting);
        Ok(found.map(BytesSource::body))
    }

    async fn abandon(&self, path: &RelPath, checkpoint: &Checkpoint) -> Result<()> {
        tokio::task::yield_now().await;
        lock(&self.0.volume.parts).remove(&(self.0.full(path), checkpoint.job));
        self.0.volume.uploads.abandon(&self.0.full(path), checkpoint.job);
        Ok(())
    }

    fn has_leftovers(&self) -> bool {
        self.0.capabilities.put_parts.is_some()
    }

    async fn leftovers(
        &self,
        dir: &RelPath,
        claims: &Claims,
        removes: bool,
    ) -> Result<Vec<Leftover>> {
        tokio::task::yield_now().await;
        let (dir, place) = (self.0.full(dir), &self.0);
        let own = |path: &RelPath| path.relative_to(&place.prefix);
        Ok(place.volume.uploads.leftovers(&dir, own, claims, removes))
    }
}

#[async_trait]
impl Inspect for OfMemory {
    async fn inspect(&self, entries: &[Entry], wanted: &Wanted) -> Result<Vec<Result<Entry>>> {
        tokio::task::yield_now().await;
        let account = self.0.account();
        let account = lock(&account);
        let look = |entry: &Entry| {
            let found = self.0.find_file(&account, entry);
            let file = found.map_err(self.0.say("inspect", &entry.path))?;
            let mut seen = entry.clone();
            if wanted.mtime {
                seen.mtime = Some(file.mtime);
            }
            let algos =
                self.0.capabilities.hashes.iter().filter(|algo| wanted.hashes.contains(algo));
            let algos: Vec<_> = algos.copied().collect();
            if !algos.is_empty() {
                let mut hashes = hash_bytes(&algos, &file.content);
                seen.hashes.iter().flat_map(|known| known.iter()).for_each(|known| {
                    hashes.insert(known.clone());
                });
                seen.hashes = Some(Box::new(hashes));
            }
            Ok(seen)
        };
        Ok(entries.iter().map(look).collect())
    }
}

#[async_trait]
impl ReportUsage for OfMemory {
    async fn usage(&self) -> Result<Usage> {
        let mut used = 0;
        self.0.with_tree(|tree| {
            tree.walk(&RelPath::root(), &mut |_, node| {
                if let Node::File(file) = node {
                    used += file.content.len() as u64;
                }
            });
        });
        Ok(Usage { total: None, used: Some(used), free: None })
    }
}
