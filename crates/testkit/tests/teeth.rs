//! The suite finds broken backends: each fault that is made here on purpose fails the case that is there for it, and
//! without a fault nothing fails.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use ketch_core::facets::{Claims, Inspect, Leftover, Resume, Wanted};
use ketch_core::hash::hash_bytes;
use ketch_core::source::{BytesSource, open_all};
use ketch_core::{
    About, Backend, Body, ByteStream, Capabilities, Checkpoint, Entry, EntryStream, Facets,
    HashAlgo, ListOptions, Metadata, PartRules, PutOptions, ReadOptions, RelPath, Result,
};
use ketch_testkit::suite::{Fixture, Harm, Interrupting, SuiteConfig, failures};
use ketch_testkit::{KEPT_BYTES, MemoryBackend};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
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
struct Broken {
    inner: Arc<dyn Backend>,
    fault: Fault,
    about: About,
    facets: Facets,
}

impl Broken {
    fn wrap(inner: Arc<dyn Backend>, fault: Fault) -> Arc<dyn Backend> {
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

fn changed_checkpoint(fault: Fault, given: &Checkpoint) -> Checkpoint {
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

fn fixture(memory: MemoryBackend, fault: Fault) -> BoxFuture<'static, Fixture> {
    let memory = Arc::new(memory);
    if fault == Fault::TrustsParts {
        memory.trust_parts();
    }
    if fault == Fault::ListsOutOfOrder {
        memory.list_out_of_order();
    }
    let (reopened, duplicated) = (Arc::clone(&memory), Arc::clone(&memory));
    let damaged = Arc::clone(&memory);
    let damage = move |path: &str, harm| {
        match harm {
            Harm::Content => damaged.damage_part(path),
            Harm::Record => damaged.damage_part_record(path),
        }
        std::future::ready(()).boxed()
    };
    let duplicate = move |path: &str, content: &[u8]| {
        duplicated.insert_duplicate(path, content);
        std::future::ready(()).boxed()
    };
    let fixture = Fixture {
        backend: Broken::wrap(memory, fault),
        reopen: Box::new(move |folder| Broken::wrap(Arc::new(reopened.reopen(folder)), fault)),
        afresh: None,
        duplicate: Some(Box::new(duplicate)),
        interrupting: Some(Interrupting { bytes: 3 * KEPT_BYTES, damage: Box::new(damage) }),
        keep: Box::new(()),
    };
    std::future::ready(fixture).boxed()
}

macro_rules! bites {
    ($test:ident, $fault:ident, $capabilities:expr, $expected:expr) => {
        #[test]
        fn $test() {
            let make = || fixture(MemoryBackend::with("broken", $capabilities), Fault::$fault);
            let failed = failures(SuiteConfig { backend: "broken", make, exceptions: &[] });
            let expected: &[&str] = &$expected;
            for case in expected {
                assert!(
                    failed.iter().any(|failed| failed == case),
                    "{case} passes; failed: {failed:?}"
                );
            }
            assert_eq!(failed.is_empty(), expected.is_empty(), "{failed:?}");
        }
    };
}

/// Lists everything at once, and stores large bodies as parts.
fn store() -> Capabilities {
    Capabilities {
        list_recursive: true,
        put_resume: false,
        put_parts: Some(PartRules {
            from: 64 * 1024,
            part_bytes: 32 * 1024,
            parts_max: 100,
            at_once: 3,
        }),
        ..MemoryBackend::everything()
    }
}

bites!(without_a_fault_nothing_fails, None, MemoryBackend::everything(), []);
bites!(a_store_without_a_fault_fails_nothing, None, store(), []);
bites!(
    a_listing_of_everything_in_another_order_is_found,
    ListsOutOfOrder,
    store(),
    ["list::everything_below_a_folder_is_listed_at_once_in_key_order"]
);
bites!(
    stored_parts_that_are_believed_are_found,
    TrustsParts,
    store(),
    ["parts::a_part_that_was_changed_is_not_believed"]
);
bites!(
    an_upload_that_is_abandoned_and_stays_is_found,
    AbandonsNothing,
    store(),
    ["parts::an_abandoned_upload_leaves_nothing"]
);
bites!(
    an_upload_that_nobody_will_go_on_with_and_stays_is_found,
    KeepsAlways,
    store(),
    ["parts::an_upload_that_nobody_will_go_on_with_leaves_nothing"]
);
bites!(
    a_put_that_reads_everything_again_for_one_part_is_found,
    ReadsWholeForPart,
    store(),
    ["parts::a_part_that_fails_is_read_again_and_no_other_is"]
);
bites!(
    a_body_that_ends_early_and_is_stored_is_found,
    StoresWhatCame,
    MemoryBackend::everything(),
    [
        "put::a_short_body_leaves_nothing",
        "put::a_long_body_leaves_nothing",
        "put::a_body_that_breaks_leaves_nothing",
        "put::a_body_of_unknown_size_that_breaks_leaves_nothing",
        "put::a_bad_body_leaves_the_old_content",
    ]
);
bites!(
    an_overwrite_that_deletes_first_is_found,
    DeletesBeforePut,
    MemoryBackend::everything(),
    [
        "put::a_bad_body_leaves_the_old_content",
        "put::a_put_that_is_dropped_leaves_the_old_content",
        "put::an_overwrite_is_whole_for_a_reader_at_every_time",
        "cancel::an_overwrite_dropped_anywhere_is_old_or_new",
    ]
);
bites!(
    a_part_that_a_drop_leaves_is_found,
    LeavesPartOnDrop,
    MemoryBackend::everything(),
    ["put::a_put_that_is_dropped_leaves_nothing"]
);
bites!(
    a_listing_that_stops_at_a_page_is_found,
    ForgetsEntries,
    MemoryBackend::everything(),
    ["list::many_entries_are_all_listed_once"]
);
bites!(
    versions_that_are_ignored_are_found,
    IgnoresVersions,
    MemoryBackend::everything(),
    [
        "read::a_file_that_was_replaced_is_not_read_as_the_old_one",
        "delete::a_file_that_was_replaced_is_not_deleted",
    ]
);
bites!(
    ranges_that_are_ignored_are_found,
    IgnoresRanges,
    MemoryBackend::everything(),
    ["read::ranges_are_read_exactly"]
);
bites!(
    a_delete_that_takes_everything_is_found,
    IgnoresNotEmpty,
    MemoryBackend::everything(),
    ["delete::a_folder_that_is_not_empty_is_refused_and_keeps_all"]
);
bites!(
    digests_that_are_claimed_and_not_reported_are_found,
    ReportsNoHashes,
    MemoryBackend::everything(),
    ["hashes::claimed_digests_are_reported"]
);
bites!(
    a_claim_that_is_shown_as_attested_is_found,
    AttestsClaims,
    Capabilities {
        hashes: &[HashAlgo::Whirlpool],
        claimed_hashes: &[HashAlgo::Md5],
        ..MemoryBackend::everything()
    },
    ["hashes::what_an_uploader_claims_is_kept_beside_what_is_attested"]
);
bites!(
    times_coarser_than_claimed_are_found,
    RoundsTimes,
    MemoryBackend::everything(),
    ["mtime::a_time_is_kept_as_finely_as_claimed"]
);
bites!(
    a_claim_that_is_not_kept_is_found,
    ClaimsTooMuch,
    MemoryBackend::like_fichier(),
    ["put::an_empty_body_is_stored"]
);
bites!(
    a_power_that_is_not_claimed_is_found,
    ClaimsTooLittle,
    MemoryBackend::everything(),
    ["errors::a_rename_that_is_not_claimed_is_refused"]
);
bites!(
    names_that_are_trimmed_are_found,
    TrimsNames,
    MemoryBackend::everything(),
    ["names::spaces_and_dots_at_the_ends"]
);
bites!(
    names_whose_case_is_folded_are_found,
    FoldsCase,
    MemoryBackend::everything(),
    ["names::names_that_differ_in_case_only_are_two", "stat::a_missing_name_is_not_found"]
);
bites!(
    duplicates_that_are_hidden_are_found,
    LosesDuplicates,
    MemoryBackend::like_fichier(),
    ["list::duplicates_are_all_shown"]
);
bites!(
    a_rename_that_leaves_the_source_is_found,
    RenameCopies,
    MemoryBackend::everything(),
    ["rename::a_file_moves_to_another_name_and_another_folder"]
);
bites!(
    an_interrupted_put_that_keeps_nothing_is_found,
    KeepsNothing,
    MemoryBackend::everything(),
    [
        "resume::an_interrupted_put_is_gone_on_with_and_not_asked_for_again",
        "resume::a_dropped_put_keeps_what_it_had",
    ]
);
bites!(
    going_on_with_another_version_is_found,
    BelievesAnySource,
    MemoryBackend::everything(),
    ["resume::another_version_of_the_source_is_not_gone_on_with"]
);
bites!(
    going_on_with_another_job_is_found,
    BelievesAnyJob,
    MemoryBackend::everything(),
    ["resume::another_job_is_not_gone_on_with"]
);
bites!(
    parts_that_are_trusted_are_found,
    TrustsParts,
    MemoryBackend::everything(),
    ["resume::content_that_was_changed_is_not_believed", "resume::a_torn_record_is_not_believed"]
);
bites!(
    what_is_abandoned_and_stays_is_found,
    AbandonsNothing,
    MemoryBackend::everything(),
    ["resume::an_abandoned_put_leaves_nothing"]
);
bites!(
    what_nobody_will_go_on_with_and_stays_is_found,
    KeepsAlways,
    MemoryBackend::everything(),
    ["resume::a_put_that_nobody_will_go_on_with_leaves_nothing"]
);
bites!(
    results_in_another_order_are_found,
    MixesResults,
    MemoryBackend::everything(),
    ["delete::several_are_deleted_in_one_call_with_one_result_each"]
);
bites!(
    a_delete_that_stops_at_the_first_error_is_found,
    StopsAtError,
    MemoryBackend::everything(),
    ["delete::several_are_deleted_in_one_call_with_one_result_each"]
);
bites!(
    a_time_that_is_not_set_is_found,
    SetsNoMetadata,
    MemoryBackend::everything(),
    ["mtime::a_time_is_set_and_the_content_stays"]
);
bites!(
    facts_of_another_entry_are_found,
    MixesFacts,
    MemoryBackend::everything(),
    ["inspect::facts_are_those_of_each_entry"]
);
bites!(
    facts_that_are_made_up_are_found,
    InventsFacts,
    MemoryBackend::everything(),
    ["inspect::facts_are_those_of_each_entry"]
);
