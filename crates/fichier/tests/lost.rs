//! Uploads whose answer is lost: whatever the listings show, one file of the name is there in the end.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use common::{list, names, path, put, put_with, read};
use ketch_core::source::{Body, ByteStream, BytesSource, Source};
use ketch_core::{Backend, Entry, ErrorKind, Expect, Proof, PutOptions, Result};
use ketch_fichier::{Fichier, layered};
use ketch_fichier_sim::{SANDBOX_KEY, Sim, SimOptions};

struct World {
    sim: Sim,
    _folder: tempfile::TempDir,
}

impl World {
    async fn start() -> Self {
        let folder = tempfile::tempdir().expect("scratch");
        let sim = Sim::start(SimOptions::new(folder.path().join("sim"))).await.expect("starts");
        World { sim, _folder: folder }
    }

    fn request(&self) -> ketch_core::factory::ConnectRequest {
        let url = self.sim.api_url();
        let options = [
            ("api_url", url.as_str()),
            ("api_key", SANDBOX_KEY),
            ("pace", "documented"),
            ("end_wait", "1"),
        ];
        common::request("", &options, None)
    }

    /// With all layers.
    fn open(&self) -> Arc<dyn Backend> {
        layered(self.request()).expect("opens")
    }

    /// Without any.
    fn bare(&self) -> Arc<dyn Backend> {
        Arc::new(Fichier::alone(&self.request()).expect("opens"))
    }

    /// The next upload is stored and its answer is lost; no report comes, and so many listings do not show it.
    fn lose(&self, hidden: u32) {
        self.fault("upload next=1 lose-answer");
        self.fault(&format!("upload next=1 hide {hidden}"));
        self.fault("end.pl every please-wait");
    }

    fn fault(&self, text: &str) {
        self.sim.faults().inject(text.parse().expect("a fault"));
    }

    async fn check_only(&self, backend: &dyn Backend, content: &[u8], uploads: u64) {
        self.sim.faults().clear();
        for remote in [backend, &*self.bare()] {
            let found = list(remote, "").await.expect("lists");
            assert_eq!(found.len(), 1, "{found:?}");
            assert_eq!(read(remote, &found[0], None).await.expect("read"), content);
            let seen = remote.stat(&path("f")).await.expect("there");
            assert_eq!(seen.version, found[0].version);
        }
        assert_eq!(self.sim.stats().files, 1);
        assert_eq!(self.sim.stats().of("upload"), uploads);
    }
}

fn expecting(old: Option<Entry>) -> PutOptions {
    let expect = old.map_or(Expect::Absent, |old| Expect::Entry(Box::new(old)));
    PutOptions { expect, ..PutOptions::default() }
}

#[tokio::test]
async fn a_lost_upload_is_found_in_a_listing_that_lags_and_not_sent_again() {
    let by_size = PutOptions { proof: Proof::Size, ..expecting(None) };
    for (hidden, options) in [
        (1, expecting(None)),
        (1, PutOptions::default()),
        (2, expecting(None)),
        (1, by_size.clone()),
        (2, by_size),
    ] {
        let world = World::start().await;
        let backend = world.open();
        assert_eq!(names(&*backend, "").await, [""; 0], "the listing is kept");
        world.lose(hidden);
        let stored = put_with(&*backend, "f", BytesSource::body("content"), options).await;
        assert_eq!(stored.expect("found").size, Some(7));
        world.check_only(&*backend, b"content", 1).await;
    }
}

/// A body that counts how often it is opened.
#[derive(Debug)]
struct Counted(Body, Arc<AtomicUsize>);

#[async_trait]
impl Source for Counted {
    fn size(&self) -> Option<u64> {
        self.0.size()
    }

    async fn open(&self, range: std::ops::Range<u64>) -> Result<ByteStream> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.open(range).await
    }
}

#[tokio::test]
async fn who_wants_the_size_proven_reads_once_and_a_second_time_only_to_recognise_what_was_lost() {
    // What is wanted, whether the answer is lost; and how often the source is read.
    for (proof, is_lost, reads) in [
        (Proof::Digest, false, 1),
        (Proof::Size, false, 1),
        (Proof::Digest, true, 1),
        (Proof::Size, true, 2),
    ] {
        let world = World::start().await;
        let backend = world.bare();
        assert_eq!(names(&*backend, "").await, [""; 0], "the listing is kept");
        if is_lost {
            world.lose(0);
        }
        let opened = Arc::new(AtomicUsize::new(0));
        let body = Arc::new(Counted(BytesSource::body("content"), Arc::clone(&opened)));
        let options = PutOptions { proof, ..expecting(None) };
        let stored = put_with(&*backend, "f", body, options).await.expect("stored");
        assert_eq!(stored.size, Some(7));
        assert_eq!(opened.load(Ordering::Relaxed), reads, "{proof:?} {is_lost}");
        world.check_only(&*backend, b"content", 1).await;
    }
}

#[tokio::test]
async fn an_upload_that_never_gets_a_report_is_found_as_well() {
    let world = World::start().await;
    let backend = world.open();
    world.fault("upload next=1 hide 1");
    world.fault("end.pl every please-wait");
    let stored = put_with(&*backend, "f", BytesSource::body("content"), expecting(None)).await;
    stored.expect("found");
    world.check_only(&*backend, b"content", 1).await;
}

#[tokio::test]
async fn what_a_lost_upload_replaces_is_removed_when_it_is_found() {
    // The same size; the same content; each with and without a known old version.
    let cases = [("new", true), ("new", false), ("old", true), ("old", false), ("longer", true)];
    let proofs = [Proof::Digest, Proof::Size];
    for ((content, known), proof) in
        cases.into_iter().flat_map(|case| proofs.map(|proof| (case, proof)))
    {
        let world = World::start().await;
        let backend = world.open();
        let old = put(&*backend, "f", b"old").await.expect("stored");
        let options = if known { expecting(Some(old.clone())) } else { PutOptions::default() };
        let options = PutOptions { proof, ..options };
        world.lose(1);
        let stored = put_with(&*backend, "f", BytesSource::body(content), options).await;
        assert_ne!(stored.expect("found").version, old.version, "{content} {known}");
        world.check_only(&*backend, content.as_bytes(), 2).await;
    }
}

#[tokio::test]
async fn the_next_upload_of_a_path_looks_for_the_lost_one_first() {
    for (content, uploads) in [("content", 2), ("CONTENT", 3)] {
        let world = World::start().await;
        let backend = world.bare();
        let old = put(&*backend, "f", b"old").await.expect("stored");
        world.lose(1);
        let body = BytesSource::body("content");
        let lost = put_with(&*backend, "f", body, expecting(Some(old.clone()))).await;
        assert_eq!(lost.expect_err("unknown").kind(), ErrorKind::CommitUnknown);
        world.sim.faults().clear();
        let body = BytesSource::body(content);
        put_with(&*backend, "f", body, expecting(Some(old))).await.expect("stored");
        world.check_only(&*backend, content.as_bytes(), uploads).await;
    }
}

#[tokio::test]
async fn a_node_that_knows_of_no_upload_is_not_believed_without_a_look() {
    let world = World::start().await;
    let backend = world.bare();
    world.fault("upload next=1 lose-answer");
    world.fault("end.pl every dead-report");
    put_with(&*backend, "f", BytesSource::body("content"), expecting(None)).await.expect("found");
    world.check_only(&*backend, b"content", 1).await;
    // The listing lacks what the folder counts: that is no proof, and the next upload looks again.
    let old = backend.stat(&path("f")).await.expect("there");
    world.fault("upload next=1 lose-answer");
    world.fault("upload next=1 hide 1");
    world.fault("end.pl every dead-report");
    let options = expecting(Some(old));
    let lost = put_with(&*backend, "f", BytesSource::body("other"), options.clone()).await;
    assert_eq!(lost.expect_err("not seen").kind(), ErrorKind::CommitUnknown);
    put_with(&*backend, "f", BytesSource::body("other"), options).await.expect("found");
    world.check_only(&*backend, b"other", 2).await;
}

#[tokio::test]
async fn a_digest_that_the_report_lacks_is_taken_from_a_listing() {
    let world = World::start().await;
    let backend = world.bare();
    world.fault("end.pl next=1 no-whirlpool");
    let stored = put(&*backend, "f", b"content").await.expect("stored");
    assert!(stored.hashes.is_some());
    world.fault("end.pl next=1 no-whirlpool");
    world.fault("upload next=1 damage");
    let error = put(&*backend, "f", b"broken").await.expect_err("damaged");
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    world.check_only(&*backend, b"content", 2).await;
    world.fault("end.pl next=1 no-whirlpool");
    world.fault("upload next=1 hide 1");
    let stored = put(&*backend, "f", b"unseen").await.expect("stored");
    assert_eq!((stored.size, stored.hashes), (Some(6), None), "nobody shows the digest");
}

#[tokio::test]
async fn a_folder_name_that_is_refused_is_an_input_that_is_wrong() {
    let world = World::start().await;
    world.fault("folder/mkdir next=1 ko 403 Invalid name #512");
    let error = world.bare().make_dir(&path("d"), None).await.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.message().contains("< >"), "{error}");
}
