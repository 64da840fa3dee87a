//! What is asked for at the same time travels together: how many requests that takes, and that it never makes duplicates.

mod common;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use common::{list, path, put, put_with, read};
use futures::StreamExt;
use futures::future::join_all;
use ketch_core::hash::hash_bytes;
use ketch_core::source::{Body, ByteStream, BytesSource, HashingSource, Passed};
use ketch_core::{
    Backend, Checkpoint, Entry, Error, ErrorKind, Expect, HashAlgo, Note, PutOptions, Result,
    Retry, Source,
};
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

    fn request(&self, more: &[(&str, &str)]) -> ketch_core::factory::ConnectRequest {
        let url = self.sim.api_url();
        let mut options =
            vec![("api_url", url.as_str()), ("api_key", SANDBOX_KEY), ("end_wait", "1")];
        options.extend_from_slice(more);
        common::request("", &options, None)
    }

    fn open(&self) -> Arc<dyn Backend> {
        Arc::new(Fichier::alone(&self.request(&[])).expect("opens"))
    }

    fn layered(&self) -> Arc<dyn Backend> {
        layered(self.request(&[])).expect("opens")
    }

    fn fault(&self, text: &str) {
        self.sim.faults().inject(text.parse().expect("a fault"));
    }

    fn count(&self, endpoint: &str) -> u64 {
        self.sim.stats().of(endpoint)
    }

    /// Name and content of everything in the folder `d`, as a process of its own sees it.
    async fn contents(&self) -> Vec<(String, String)> {
        self.sim.faults().clear();
        let backend = self.open();
        let mut all = Vec::new();
        for entry in list(&*backend, "d").await.expect("lists") {
            let content = read(&*backend, &entry, None).await.expect("read");
            let name = entry.path.name().unwrap_or_default().to_owned();
            all.push((name, String::from_utf8(content).expect("text")));
        }
        all
    }

    async fn check(&self, expected: Range<usize>) {
        let expected: BTreeMap<_, _> = expected.map(|n| (name(n), content(n))).collect();
        let found = self.contents().await;
        assert_eq!(found.len(), expected.len(), "no duplicates: {found:?}");
        assert_eq!(found.into_iter().collect::<BTreeMap<_, _>>(), expected);
    }
}

fn name(number: usize) -> String {
    format!("file {number:03}")
}

fn content(number: usize) -> String {
    format!("content of {number} ").repeat(number + 1)
}

fn absent() -> PutOptions {
    PutOptions { expect: Expect::Absent, ..PutOptions::default() }
}

async fn put_one(backend: &Arc<dyn Backend>, number: usize, options: PutOptions) -> Result<Entry> {
    let body = BytesSource::body(content(number));
    put_with(&**backend, &format!("d/{}", name(number)), body, options).await
}

async fn put_all(backend: &Arc<dyn Backend>, numbers: Range<usize>) -> Vec<Result<Entry>> {
    join_all(numbers.map(|number| put_one(backend, number, absent()))).await
}

fn unwrapped(results: Vec<Result<Entry>>) -> Vec<Entry> {
    results.into_iter().map(|result| result.expect("done")).collect()
}

#[tokio::test]
async fn small_files_of_a_folder_travel_in_one_upload() {
    let world = World::start().await;
    let backend = world.open();
    let entries = unwrapped(put_all(&backend, 0..50).await);
    assert_eq!((world.count("upload"), world.count("end.pl")), (1, 1));
    assert_eq!(world.count("upload/get_upload_server"), 1);
    assert!(entries.iter().all(|entry| entry.hashes.is_some()));
    world.check(0..50).await;
}

#[tokio::test]
async fn the_options_say_what_travels_together() {
    for (option, value, uploads) in [
        ("gather_files", "1", 12),
        ("gather_files", "4", 3),
        ("gather_file_size", "1K", 1),
        ("gather_file_size", "20", 12),
    ] {
        let world = World::start().await;
        let backend: Arc<dyn Backend> =
            Arc::new(Fichier::alone(&world.request(&[(option, value)])).expect("opens"));
        let claims = backend.capabilities().gather;
        assert_eq!(claims.is_some(), value != "1", "{option} {value}");
        unwrapped(put_all(&backend, 2..14).await);
        assert_eq!(world.count("upload"), uploads, "{option} {value}");
        world.check(2..14).await;
    }
}

#[tokio::test]
async fn a_request_whose_answer_is_lost_is_looked_for_before_anything_is_sent_again() {
    for hidden in [0, 1] {
        let world = World::start().await;
        let backend = world.layered();
        put(&*backend, "d/file 000", content(0).as_bytes()).await.expect("the folder is there");
        world.sim.reset_stats();
        world.fault("upload next=1 lose-answer");
        world.fault(&format!("upload next=1 hide {hidden}"));
        world.fault("end.pl every please-wait");
        unwrapped(put_all(&backend, 1..30).await);
        assert_eq!(world.count("upload"), 1, "hidden {hidden}: everything had arrived");
        assert!(world.count("folder/ls") <= 4, "they share their looks: {:?}", world.sim.stats());
        world.check(0..30).await;
    }
}

#[tokio::test]
async fn a_request_that_breaks_half_way_stores_nothing_and_is_sent_again() {
    let world = World::start().await;
    let backend = world.layered();
    world.fault("upload next=1 reset-after 200000");
    let body = |number: u8| BytesSource::body(vec![number; 100_000]);
    let puts = (0..20).map(|number| {
        let (backend, body) = (&backend, body(number));
        async move { put_with(&**backend, &format!("d/{number}"), body, absent()).await }
    });
    unwrapped(join_all(puts).await);
    let seen = list(&*world.open(), "d").await.expect("lists");
    assert_eq!(seen.len(), 20);
    assert_eq!(world.sim.stats().uploads_stored, 20);
}

/// A body that breaks after its first byte.
#[derive(Debug)]
struct Broken;

#[async_trait]
impl Source for Broken {
    fn size(&self) -> Option<u64> {
        Some(100)
    }

    async fn open(&self, _range: Range<u64>) -> Result<ByteStream> {
        let error = Error::new(ErrorKind::Changed, "the file shrank").with_retry(Retry::Never);
        Ok(futures::stream::iter([Ok(Bytes::from_static(b"x")), Err(error)]).boxed())
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_read_fails_alone() {
    for broken in [1, 5] {
        let world = World::start().await;
        let backend = world.open();
        let bad = (0..broken).map(|number| {
            let backend = &backend;
            let at = format!("d/broken {number}");
            async move { put_with(&**backend, &at, Arc::new(Broken) as Body, absent()).await }
        });
        let (good, bad) = futures::join!(put_all(&backend, 0..10), join_all(bad));
        unwrapped(good);
        for result in bad {
            let error = result.expect_err("cannot be read");
            assert_eq!((error.kind(), error.message()), (ErrorKind::Changed, "the file shrank"));
        }
        world.check(0..10).await;
        assert_eq!(world.sim.stats().uploads_stored, 10);
    }
}

#[tokio::test]
async fn each_file_of_a_request_is_proven_by_itself() {
    let world = World::start().await;
    let backend = world.open();
    for fault in ["two-links", "upper-case-whirlpool", "no-whirlpool"] {
        let world = World::start().await;
        world.fault(&format!("end.pl next=1 {fault}"));
        let backend = world.open();
        unwrapped(put_all(&backend, 0..10).await);
        assert_eq!(world.count("upload"), 1, "{fault}");
        world.check(0..10).await;
    }
    world.fault("end.pl next=1 wrong-whirlpool");
    for result in put_all(&backend, 0..10).await {
        assert_eq!(result.expect_err("not what was sent").kind(), ErrorKind::Corrupt);
    }
    assert_eq!(world.sim.stats().files, 0, "what is wrong is removed");
    assert_eq!(world.count("file/rm"), 10, "each when it is found");
}

#[tokio::test]
async fn two_bodies_of_one_name_do_not_travel_together() {
    let world = World::start().await;
    let backend = world.open();
    let puts = ["one", "two"].map(|content| put(&*backend, "d/f", content.as_bytes()));
    unwrapped(join_all(puts).await);
    assert_eq!(world.count("upload"), 2);
    assert_eq!(world.contents().await.len(), 1);
}

#[tokio::test]
async fn overwriting_many_files_removes_the_old_ones_in_one_call() {
    let world = World::start().await;
    let backend = world.open();
    let old = unwrapped(put_all(&backend, 0..20).await);
    let puts = old.into_iter().enumerate().map(|(number, old)| {
        let options = PutOptions { expect: Expect::Entry(Box::new(old)), ..PutOptions::default() };
        put_one(&backend, number, options)
    });
    unwrapped(join_all(puts).await);
    assert_eq!((world.count("upload"), world.count("file/rm")), (2, 1));
    world.check(0..20).await;
}

#[tokio::test]
async fn deletions_travel_together_and_fail_one_by_one() {
    let world = World::start().await;
    let backend = world.open();
    let entries = unwrapped(put_all(&backend, 0..50).await);
    let delete = |range: Range<usize>| {
        join_all(entries[range].iter().map(|entry| backend.delete_one(entry)))
    };
    assert!(delete(0..20).await.into_iter().all(|result| result.is_ok()));
    assert_eq!(world.count("file/rm"), 1);
    // Some are gone, by somebody else: so they should be.
    assert!(delete(10..25).await.into_iter().all(|result| result.is_ok()));
    // A refusal of many is taken apart, and only the one it is about fails.
    world.sim.reset_stats();
    world.fault("file/rm next=3 ko 403 Resource not allowed #631");
    let results = delete(25..29).await;
    let failed: Vec<_> = results.iter().map(|result| result.is_err()).collect();
    assert_eq!(failed, [true, false, false, false]);
    assert_eq!(world.count("file/rm"), 5);
    // A lock-out of all is one for all.
    world.sim.reset_stats();
    world.fault("file/rm next=1 ip-locked");
    let failed: Vec<_> = delete(30..50).await.into_iter().filter_map(Result::err).collect();
    assert!(failed.iter().all(|error| error.kind() == ErrorKind::Throttled), "{failed:?}");
    assert_eq!((failed.len(), world.count("file/rm")), (20, 1));
}

#[tokio::test]
async fn renames_moves_and_copies_travel_together() {
    let world = World::start().await;
    // At this pace all of them look at one and the same listing before they go on.
    let request = world.request(&[("pace", "documented"), ("pace_scale", "20")]);
    let backend: Arc<dyn Backend> = Arc::new(Fichier::alone(&request).expect("opens"));
    let entries = unwrapped(put_all(&backend, 0..10).await);
    backend.make_dir(&path("e"), None).await.expect("made");
    backend.make_dir(&path("f"), None).await.expect("made");
    let to = |folder: &str, prefix: &str| {
        let at = |number| path(&format!("{folder}/{prefix}{}", name(number)));
        (0..10).map(at).collect::<Vec<_>>()
    };
    let places = to("d", "new ");
    let renamed = join_all(entries.iter().zip(&places).map(|(from, to)| backend.rename(from, to)));
    let renamed = unwrapped(renamed.await);
    assert_eq!(world.count("file/rename"), 1);
    let places = to("e", "new ");
    let moved = join_all(renamed.iter().zip(&places).map(|(from, to)| backend.rename(from, to)));
    let moved = unwrapped(moved.await);
    assert_eq!(world.count("file/mv"), 1);
    let places = to("f", "new ");
    let copy = |from, to| backend.copy(from, to, absent());
    unwrapped(join_all(moved.iter().zip(&places).map(|(from, to)| copy(from, to))).await);
    assert_eq!(world.count("file/cp"), 1);
    for folder in ["e", "f"] {
        let seen = list(&*world.open(), folder).await.expect("lists");
        assert_eq!(seen.len(), 10, "{folder}");
        for (number, entry) in seen.iter().enumerate() {
            let found = read(&*backend, entry, None).await.expect("read");
            assert_eq!(String::from_utf8(found).expect("text"), content(number));
        }
    }
    assert!(list(&*world.open(), "d").await.expect("lists").is_empty());
}

#[tokio::test]
async fn copies_that_were_refused_or_lost_together_are_not_made_twice() {
    for fault in [
        "file/cp next=1 ko 403 Something #1",
        "file/cp next=1 lose-answer",
        "file/cp next=1 missing-field from_url",
    ] {
        let world = World::start().await;
        let backend = world.open();
        unwrapped(put_all(&backend, 0..6).await);
        // With the digests that a listing shows.
        let entries = list(&*backend, "d").await.expect("lists");
        backend.make_dir(&path("e"), None).await.expect("made");
        world.fault(fault);
        let copies = entries.iter().enumerate().map(|(number, from)| {
            let (backend, to) = (&backend, path(&format!("e/{}", name(number))));
            async move { backend.copy(from, &to, absent()).await }
        });
        unwrapped(join_all(copies).await);
        assert_eq!(list(&*world.open(), "e").await.expect("lists").len(), 6, "{fault}");
    }
}

#[derive(Debug, Default)]
struct Kept(Mutex<Option<Bytes>>);

#[async_trait]
impl Note for Kept {
    async fn load(&self) -> Result<Option<Bytes>> {
        Ok(self.0.lock().expect("sane").clone())
    }

    async fn save(&self, note: Bytes) -> Result<()> {
        *self.0.lock().expect("sane") = Some(note);
        Ok(())
    }
}

#[tokio::test]
async fn a_death_with_many_files_in_one_request_sends_none_of_them_twice() {
    for (moment, uploads, stored) in [
        ("upload nth=1 stall", 2, 20),
        ("upload nth=1 hold-answer", 1, 20),
        ("end.pl nth=1 stall", 1, 20),
        ("end.pl nth=1 hold-answer", 1, 20),
    ] {
        let world = World::start().await;
        put(&*world.open(), "d/file 000", content(0).as_bytes()).await.expect("stored");
        world.sim.reset_stats();
        let notes: Vec<Arc<Kept>> = (0..21).map(|_| Arc::default()).collect();
        let run = |backend: Arc<dyn Backend>| {
            let notes = &notes;
            async move {
                let put = |number: usize| {
                    let checkpoint = Checkpoint {
                        job: 1,
                        source: name(number).into(),
                        note: Arc::clone(&notes[number]) as Arc<dyn Note>,
                        keep: Arc::new(AtomicBool::new(true)),
                    };
                    put_one(
                        &backend,
                        number,
                        PutOptions { checkpoint: Some(checkpoint), ..absent() },
                    )
                };
                join_all((1..21).map(put)).await
            }
        };
        world.fault(moment);
        tokio::select! {
            results = run(world.open()) => panic!("{moment}: {results:?}"),
            () = world.sim.unanswered(1) => {}
        }
        world.sim.faults().clear();
        let before = world.count("folder/ls");
        unwrapped(run(world.open()).await);
        let listings = world.count("folder/ls") - before;
        assert!(listings <= 3, "{moment}: they share their looks, {listings}");
        assert_eq!(world.sim.stats().uploads_stored, stored, "{moment}");
        assert_eq!(world.count("upload"), uploads, "{moment}");
        world.check(0..21).await;
    }
}

#[tokio::test]
async fn what_was_stored_for_a_caller_that_has_gone_is_removed() {
    let world = World::start().await;
    let backend = world.open();
    put(&*backend, "d/file 000", content(0).as_bytes()).await.expect("stored");
    world.sim.reset_stats();
    world.fault("end.pl next=5 please-wait");
    let gone = put_with(&*backend, "d/gone", BytesSource::body("gone"), absent());
    let stays = put_one(&backend, 1, absent());
    let leaving = async {
        let arrived = async {
            while world.sim.stats().uploads_stored < 2 {
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
        };
        tokio::select! {
            result = gone => panic!("{result:?}"),
            () = arrived => {}
        }
    };
    let (stays, ()) = futures::join!(stays, leaving);
    stays.expect("stored");
    // The batch's task ends after its last caller was answered.
    while world.sim.stats().files > 2 {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    world.check(0..2).await;
}

#[tokio::test]
async fn a_digest_that_is_taken_on_the_way_is_not_taken_twice() {
    let world = World::start().await;
    let backend = world.layered();
    for (content, algo) in [(content(3), HashAlgo::Whirlpool), (content(4), HashAlgo::Md5)] {
        let body = Arc::new(HashingSource::new(BytesSource::body(content.clone()), vec![algo]));
        let passes = Arc::clone(&body);
        let stored = put_with(&*backend, "d/f", body, absent()).await.expect("stored");
        let hashes = stored.hashes.expect("compared");
        let expected = hash_bytes(&[HashAlgo::Whirlpool], content.as_bytes());
        assert_eq!(hashes.get(HashAlgo::Whirlpool), expected.get(HashAlgo::Whirlpool));
        let taken = passes.passed(HashAlgo::Whirlpool);
        assert_eq!(matches!(taken, Passed::Digest(_)), algo == HashAlgo::Whirlpool);
        // What was taken on the way decides: a body that lies about it is found out.
        let old = backend.stat(&path("d/f")).await.expect("there");
        backend.delete_one(&old).await.expect("deleted");
    }
    let liar = Arc::new(Liar(BytesSource::body("content")));
    let error = put_with(&*world.open(), "d/f", liar, absent()).await.expect_err("another digest");
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert_eq!(world.sim.stats().files, 0);
}

/// Says that other bytes have passed.
#[derive(Debug)]
struct Liar(Body);

#[async_trait]
impl Source for Liar {
    fn size(&self) -> Option<u64> {
        self.0.size()
    }

    fn passed(&self, algo: HashAlgo) -> Passed {
        let hashes = hash_bytes(&[algo], b"other");
        Passed::Digest(hashes.get(algo).expect("taken").clone())
    }

    async fn open(&self, range: Range<u64>) -> Result<ByteStream> {
        self.0.open(range).await
    }
}
