//! The backend in memory with one fault, made on purpose.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use futures::StreamExt;
use ketch_core::facets::{Claims, Inspect, Leftover, Resume, Wanted};
use ketch_core::hash::hash_bytes;
use ketch_core::source::{BytesSource, open_all};
use ketch_core::{
    About, Backend, Body, ByteStream, Checkpoint, Entry, EntryStream, Facets, ListOptions,
    Metadata, PutOptions, ReadOptions, RelPath, Result,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    StoresWhatCame,
    DeletesBeforePut,
    LeavesPartOnDrop,
    ForgetsEntries,
    IgnoresVersions,
    IgnoresRanges,
    IgnoresNotEmpty,
    ReportsNoHashes,
    AttestsClaims,
    RoundsTimes,
    ClaimsTooMuch,
    ClaimsTooLittle,
    TrimsNames,
    FoldsCase,
    LosesDuplicates,
    RenameCopies,
    KeepsNothing,
    BelievesAnySource,
    BelievesAnyJob,
    TrustsParts,
    AbandonsNothing,
    KeepsAlways,
    MixesResults,
    StopsAtError,
    SetsNoMetadata,
    MixesFacts,
    InventsFacts,
    ListsOutOfOrder,
    ReadsWholeForPart,
}

/// The backend in memory with one fault.
#[derive(Debug)]
pub(crate) struct Broken {
    inner: Arc<dyn Backend>,
    fault: Fault,
    about: About,
    facets: Facets,
}

impl Broken {
    pub(crate) fn wrap(inner: Arc<dyn Backend>, fault: Fault) -> Arc<dyn Backend> {
        let mut about = inner.about().clone();
        match fault {
            Fault::ClaimsTooMuch => about.capabilities.put_empty = true,
            Fault::ClaimsTooLittle => about.capabilities.rename = false,
            _ => {}
        }
        let facets = broken_facets(inner.facets(), fault);
        Arc::new(Broken { inner, fault, about, facets })
    }

    fn name_of(&self, path: &RelPath) -> RelPath {
        let text: Vec<String> = path
            .parts()
            .map(|part| match self.fault {
                Fault::TrimsNames => part.trim_matches(' ').to_owned(),
                Fault::FoldsCase => part.to_lowercase(),
                _ => part.to_owned(),
            })
            .collect();
        RelPath::new(&text.join("/")).unwrap_or_else(|_| path.clone())
    }
}

#[async_trait]
impl Backend for Broken {
    fn about(&self) -> &About {
        &self.about
    }

    fn facets(&self) -> &Facets {
        &self.facets
    }

    async fn stat(&self, path: &RelPath) -> Result<Entry> {
        let entry = self.inner.stat(&self.name_of(path)).await?;
        let hashes = entry.hashes.clone().filter(|_| self.fault != Fault::ReportsNoHashes);
        Ok(match self.fault {
            Fault::AttestsClaims => Entry { hashes: entry.claimed.clone(), ..entry },
            _ => Entry { hashes, ..entry },
        })
    }

    fn list(&self, dir: &RelPath, options: ListOptions) -> EntryStream {
        let is_recursive = options.recursive;
        let entries = self.inner.list(&self.name_of(dir), options);
        if is_recursive {
            return entries;
        }
        let fault = self.fault;
        let mut seen = Vec::new();
        let shown = entries.enumerate().filter_map(move |(number, entry)| {
            let is_shown = match (&entry, fault) {
                (Ok(_), Fault::ForgetsEntries) => number < 1_000,
                (Ok(entry), Fault::LosesDuplicates) => {
                    let is_new = !seen.contains(&entry.path);
                    seen.push(entry.path.clone());
                    is_new
                }
                _ => true,
            };
            let entry = entry.map(|entry| match fault {
                Fault::ReportsNoHashes => Entry { hashes: None, ..entry },
                _ => entry,
            });
            std::future::ready(is_shown.then_some(entry))
        });
        EntryStream::of_entries(&self.name_of(dir), shown)
    }

    async fn read(&self, entry: &Entry, options: ReadOptions) -> Result<ByteStream> {
        match self.fault {
            Fault::IgnoresRanges => self.inner.read(entry, ReadOptions::default()).await,
            Fault::IgnoresVersions => {
                let entry = Entry { handle: None, version: None, ..entry.clone() };
                self.inner.read(&entry, options).await
            }
            _ => self.inner.read(entry, options).await,
        }
    }

    async fn put(&self, path: &RelPath, body: Body, options: PutOptions) -> Result<Entry> {
        let path = &self.name_of(path);
        let checkpoint = options
            .checkpoint
            .as_ref()
            .map(|checkpoint| changed_checkpoint(self.fault, checkpoint));
        let options = PutOptions { checkpoint, ..options };
        match self.fault {
            Fault::StoresWhatCame => {
                let mut content = Vec::new();
                let mut stream = open_all(&*body).await?;
                while let Some(Ok(piece)) = stream.next().await {
                    content.extend_from_slice(&piece);
                }
                self.inner.put(path, BytesSource::body(content), options).await
            }
            Fault::DeletesBeforePut => {
                if let Ok(old) = self.inner.stat(path).await
                    && old.is_file()
                {
                    self.inner.delete_one(&old).await?;
                }
                self.inner
                    .put(path, body, PutOptions { mtime: options.mtime, ..Default::default() })
                    .await
            }
            Fault::LeavesPartOnDrop => {
                let part = format!("{path}.part");
                let part = RelPath::new(&part).expect("legal");
                let made = self.inner.put(&part, BytesSource::body("part"), PutOptions::default());
                let made = made.await?;
                let stored = self.inner.put(path, body, options).await;
                self.inner.delete_one(&made).await?;
                stored
            }
            Fault::RoundsTimes => {
                let mtime = options.mtime.map(|time| {
                    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                    SystemTime::UNIX_EPOCH + Duration::from_secs(since.as_secs() / 2 * 2)
                });
                self.inner.put(path, body, PutOptions { mtime, ..options }).await
            }
            Fault::ReportsNoHashes => {
                let entry = self.inner.put(path, body, options).await?;
                Ok(Entry { hashes: None, ..entry })
            }
            Fault::ReadsWholeForPart => {
                self.inner.put(path, Arc::clone(&body), options.clone()).await?;
                self.inner.put(path, body, options).await
            }
            _ => self.inner.put(path, body, options).await,
        }
    }

    async fn delete(&self, entries: &[Entry]) -> Vec<Result<()>> {
        let mut results = Vec::new();
        for entry in entries {
            results.push(self.remove(entry).await);
        }
        match self.fault {
            Fault::MixesResults => results.reverse(),
            Fault::StopsAtError => {
                let first = results.iter().position(Result::is_err).unwrap_or(results.len());
                results.truncate(first + 1);
            }
            _ => {}
        }
        results
    }

    async fn make_dir(&self, path: &RelPath, mode: Option<u32>) -> Result<()> {
        self.inner.make_dir(&self.name_of(path), mode).await
    }

    async fn copy(&self, from: &Entry, to: &RelPath, options: PutOptions) -> Result<Entry> {
        self.inner.copy(from, &self.name_of(to), options).await
    }

    async fn rename(&self, from: &Entry, to: &RelPath) -> Result<Entry> {
        match self.fault {
            Fault::RenameCopies if from.is_file() => {
                self.inner.copy(from, to, PutOptions::default()).await
            }
            _ => self.inner.rename(from, &self.name_of(to)).await,
        }
    }

    async fn set_metadata(&self, entry: &Entry, metadata: &Metadata) -> Result<Entry> {
        match self.fault {
            Fault::SetsNoMetadata => Ok(entry.clone()),
            _ => self.inner.set_metadata(entry, metadata).await,
        }
    }
}

impl Broken {
    async fn remove(&self, entry: &Entry) -> Result<()> {
        if self.fault == Fault::IgnoresNotEmpty && entry.is_dir() {
            let below: Vec<_> =
                self.inner.list(&entry.path, ListOptions::default()).collect().await;
            for below in below.into_iter().flatten() {
                Box::pin(self.remove(&below)).await?;
            }
        }
        match self.fault {
            Fault::IgnoresVersions => {
                let entry = Entry { handle: None, version: None, ..entry.clone() };
                self.inner.delete_one(&entry).await
            }
            _ => self.inner.delete_one(entry).await,
        }
    }
}

/// The facets of the backend in memory with one fault.
#[derive(Debug)]
struct BrokenFacet<F: ?Sized>(Arc<F>, Fault);

fn broken_facets(inner: &Facets, fault: Fault) -> Facets {
    let Facets { resume, inspect, .. } = inner.clone();
    Facets {
        resume: resume.map(|resume| Arc::new(BrokenFacet(resume, fault)) as Arc<dyn Resume>),
        inspect: inspect.map(|inspect| Arc::new(BrokenFacet(inspect, fault)) as Arc<dyn Inspect>),
        ..inner.clone()
    }
}

pub(crate) fn changed_checkpoint(fault: Fault, given: &Checkpoint) -> Checkpoint {
    let mut checkpoint = given.clone();
    match fault {
        Fault::BelievesAnySource => checkpoint.source = "any".into(),
        Fault::BelievesAnyJob => checkpoint.job = 0,
        Fault::KeepsAlways => checkpoint.keep = Arc::new(AtomicBool::new(true)),
        _ => {}
    }
    checkpoint
}

#[async_trait]
impl Resume for BrokenFacet<dyn Resume> {
    async fn partial(&self, path: &RelPath, checkpoint: &Checkpoint) -> Result<Option<Body>> {
        match self.1 {
            Fault::KeepsNothing => Ok(None),
            fault => self.0.partial(path, &changed_checkpoint(fault, checkpoint)).await,
        }
    }

    async fn abandon(&self, path: &RelPath, checkpoint: &Checkpoint) -> Result<()> {
        match self.1 {
            Fault::AbandonsNothing => Ok(()),
            fault => self.0.abandon(path, &changed_checkpoint(fault, checkpoint)).await,
        }
    }

    fn folders_with_leftovers(&self) -> Vec<RelPath> {
        self.0.folders_with_leftovers()
    }

    fn has_leftovers(&self) -> bool {
        self.0.has_leftovers()
    }

    async fn leftovers(
        &self,
        dir: &RelPath,
        claims: &Claims,
        removes: bool,
    ) -> Result<Vec<Leftover>> {
        self.0.leftovers(dir, claims, removes).await
    }
}

#[async_trait]
impl Inspect for BrokenFacet<dyn Inspect> {
    async fn inspect(&self, entries: &[Entry], wanted: &Wanted) -> Result<Vec<Result<Entry>>> {
        let mut found = self.0.inspect(entries, wanted).await?;
        match self.1 {
            Fault::MixesFacts => found.reverse(),
            Fault::InventsFacts => {
                found = self.0.inspect(entries, &Wanted::default()).await?;
                let invented = hash_bytes(&wanted.hashes, b"");
                for entry in found.iter_mut().flatten() {
                    entry.hashes = Some(Box::new(invented.clone()));
                }
            }
            _ => {}
        }
        Ok(found)
    }
}
