//! Processes that die in the middle of an upload or a copy: at every moment a reader finds the old version or the new one,
//! and the next process of the job ends with exactly one, sending nothing that has arrived.

mod common;

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use common::{list, path, put, read};
use ketch_core::source::BytesSource;
use ketch_core::{Backend, Checkpoint, Entry, Expect, Note, Proof, PutOptions, Result};
use ketch_fichier::Fichier;
use ketch_fichier_sim::{SANDBOX_KEY, Sim, SimOptions};

/// A note that outlives the process it is written by, which is only the future of a `put` here.
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

struct World {
    sim: Sim,
    note: Arc<Kept>,
    proof: Proof,
    _folder: tempfile::TempDir,
}

impl World {
    async fn start() -> Self {
        World::start_for(Proof::Digest).await
    }

    /// One of a job that wants this much proven.
    async fn start_for(proof: Proof) -> Self {
        let folder = tempfile::tempdir().expect("scratch");
        let sim = Sim::start(SimOptions::new(folder.path().join("sim"))).await.expect("starts");
        World { sim, note: Arc::default(), proof, _folder: folder }
    }

    /// A process of its own.
    fn process(&self) -> Arc<dyn Backend> {
        let url = self.sim.api_url();
        let options = [("api_url", url.as_str()), ("api_key", SANDBOX_KEY), ("end_wait", "1")];
        Arc::new(Fichier::alone(&common::request("", &options, None)).expect("opens"))
    }

    fn fault(&self, text: &str) {
        self.sim.faults().inject(text.parse().expect("a fault"));
    }

    fn options(&self, source: &str, old: Option<&Entry>) -> PutOptions {
        let checkpoint = Checkpoint {
            job: 1,
            source: source.into(),
            note: Arc::clone(&self.note) as Arc<dyn Note>,
            keep: Arc::new(AtomicBool::new(true)),
        };
        let expect = old.map_or(Expect::Absent, |old| Expect::Entry(Box::new(old.clone())));
        let proof = self.proof;
        PutOptions { expect, proof, checkpoint: Some(checkpoint), ..PutOptions::default() }
    }

    fn checkpoint(&self, source: &str) -> Checkpoint {
        self.options(source, None).checkpoint.expect("given")
    }

    async fn put(&self, content: &str, old: Option<&Entry>) -> Result<Entry> {
        let body = BytesSource::body(content.to_owned());
        self.process().put(&path("d/f"), body, self.options(content, old)).await
    }

    /// A process that puts, and dies when the request that `fault` strikes is held.
    async fn die(&self, fault: &str, content: &str, old: Option<&Entry>) {
        self.die_at(fault, self.sim.unanswered(1), content, old).await;
    }

    /// The same with the upload on its way: it has left the process whole, and the node has not stored it.
    async fn die_with_the_upload_on_its_way(&self, content: &str, old: &Entry) {
        let holds = self.sim.holds();
        self.die_at("upload nth=1 hold-whole", holds.arrived(), content, Some(old)).await;
    }

    async fn die_at(
        &self,
        fault: &str,
        moment: impl Future<Output = ()>,
        content: &str,
        old: Option<&Entry>,
    ) {
        self.fault(fault);
        tokio::select! {
            result = self.put(content, old) => panic!("{fault}: ended with {result:?}"),
            () = moment => {}
        }
        self.sim.faults().clear();
    }

    /// Another process, and the file of `size` bytes that it finds.
    async fn arrived(&self, size: u64) -> (Arc<dyn Backend>, Entry) {
        let backend = self.process();
        let seen = list(&*backend, "d").await.expect("lists");
        let found = seen.into_iter().find(|entry| entry.size == Some(size)).expect("arrived");
        (backend, found)
    }

    async fn contents(&self) -> Vec<String> {
        self.contents_of("d").await
    }

    async fn contents_of(&self, folder: &str) -> Vec<String> {
        let backend = self.process();
        let mut contents = Vec::new();
        for entry in list(&*backend, folder).await.expect("lists") {
            let content = read(&*backend, &entry, None).await.expect("read");
            contents.push(String::from_utf8(content).expect("text"));
        }
        contents
    }

    fn uploads(&self) -> u64 {
        self.sim.stats().uploads_stored
    }
}

/// Whoever wants only the size proven is as safe from a death as everybody else.
const PROOFS: [Proof; 2] = [Proof::Digest, Proof::Size];

/// Every request of an overwrite, before it is carried out and after.
const MOMENTS: [&str; 9] = [
    "folder/ls nth=1 hold-answer",
    "upload/get_upload_server nth=1 stall",
    "upload/get_upload_server nth=1 hold-answer",
    "upload nth=1 stall",
    "upload nth=1 hold-answer",
    "end.pl nth=1 stall",
    "end.pl nth=1 hold-answer",
    "file/rm nth=1 stall",
    "file/rm nth=1 hold-answer",
];

#[tokio::test]
async fn a_death_at_any_request_of_an_overwrite_leaves_one_file_after_the_next_run() {
    for (moment, proof) in
        MOMENTS.into_iter().flat_map(|moment| PROOFS.map(|proof| (moment, proof)))
    {
        let world = World::start_for(proof).await;
        let old = put(&*world.process(), "d/f", b"old").await.expect("stored");
        world.die(moment, "new content", Some(&old)).await;
        let between = world.contents().await;
        let has_whole = between.iter().all(|content| ["old", "new content"].contains(&&**content));
        assert!(!between.is_empty() && has_whole, "{moment}: {between:?}");
        let stored = world.put("new content", Some(&old)).await.expect("goes on");
        assert_eq!(stored.size, Some(11), "{moment}");
        assert_eq!(world.contents().await, ["new content"], "{moment}");
        assert_eq!(world.uploads(), 2, "{moment}: nothing that arrived is sent again");
    }
}

#[tokio::test]
async fn a_death_at_any_request_of_a_new_file_leaves_one_file_after_the_next_run() {
    let moments = MOMENTS[..7].iter();
    for (moment, proof) in moments.flat_map(|moment| PROOFS.map(|proof| (moment, proof))) {
        let world = World::start_for(proof).await;
        put(&*world.process(), "d/other", b"other").await.expect("stored");
        world.die(moment, "content", None).await;
        world.put("content", None).await.expect("goes on");
        assert_eq!(world.contents().await, ["content", "other"], "{moment}");
        assert_eq!(world.uploads(), 2, "{moment}");
    }
}

#[tokio::test]
async fn what_was_sent_of_a_source_that_changed_is_replaced_with_the_old_version() {
    for moment in MOMENTS {
        let world = World::start().await;
        let old = put(&*world.process(), "d/f", b"old").await.expect("stored");
        world.die(moment, "new content", Some(&old)).await;
        world.put("newer", Some(&old)).await.expect("stored");
        assert_eq!(world.contents().await, ["newer"], "{moment}");
    }
}

#[tokio::test]
async fn what_nobody_goes_on_with_ends_as_one_whole_file() {
    for moment in MOMENTS {
        let world = World::start().await;
        let old = put(&*world.process(), "d/f", b"old").await.expect("stored");
        world.die(moment, "new content", Some(&old)).await;
        let checkpoint = world.checkpoint("new content");
        world.process().abandon(&path("d/f"), &checkpoint).await.expect("abandoned");
        let verified = moment.starts_with("file/rm");
        let expected = if verified { "new content" } else { "old" };
        assert_eq!(world.contents().await, [expected], "{moment}");
        let requests = world.sim.stats().api_requests();
        world.process().abandon(&path("d/f"), &checkpoint).await.expect("nothing is left");
        assert_eq!(world.sim.stats().api_requests(), requests, "{moment}");
    }
    let world = World::start().await;
    put(&*world.process(), "d/other", b"other").await.expect("stored");
    world.die("end.pl nth=1 hold-answer", "content", None).await;
    let checkpoint = world.checkpoint("content");
    world.process().abandon(&path("d/f"), &checkpoint).await.expect("abandoned");
    assert_eq!(world.contents().await, ["content", "other"], "the only one of its name stays");
}

#[tokio::test]
async fn a_report_on_a_file_that_is_gone_again_is_no_file() {
    let world = World::start().await;
    let old = put(&*world.process(), "d/f", b"old").await.expect("stored");
    world.die("end.pl nth=1 hold-answer", "new content", Some(&old)).await;
    // Somebody removes the new version; the report on it goes on being given.
    let (backend, new) = world.arrived(11).await;
    backend.delete_one(&new).await.expect("deleted");
    world.put("new content", Some(&old)).await.expect("stored");
    assert_eq!(world.contents().await, ["new content"]);
    assert_eq!(world.uploads(), 3, "it is sent again");
}

#[tokio::test]
async fn an_old_version_that_was_moved_away_meanwhile_is_not_removed() {
    let world = World::start().await;
    let old = put(&*world.process(), "d/f", b"old").await.expect("stored");
    world.die("file/rm nth=1 stall", "new content", Some(&old)).await;
    world.process().rename(&old, &path("d/safe")).await.expect("moved by somebody else");
    world.put("new content", None).await.expect("goes on");
    assert_eq!(world.contents().await, ["new content", "old"]);
}

#[tokio::test]
async fn a_verified_upload_that_others_moved_to_the_top_is_not_taken_for_one_in_its_folder() {
    let world = World::start().await;
    let old = put(&*world.process(), "d/f", b"old").await.expect("stored");
    world.die("file/rm nth=1 stall", "new content", Some(&old)).await;
    let (backend, new) = world.arrived(11).await;
    backend.rename(&new, &path("f")).await.expect("moved by somebody else");
    world.put("new content", Some(&old)).await.expect("stored again");
    assert_eq!(world.contents().await, ["new content"]);
    let top = list(&*world.process(), "").await.expect("lists");
    assert!(top.iter().any(|entry| entry.path == path("f")), "theirs stays");
}

#[tokio::test]
async fn a_report_that_is_gone_leaves_the_listing_and_the_digest_to_tell() {
    let cases = [("new content", 2), ("NEW CONTENT", 3)].into_iter();
    for ((content, uploads), proof) in cases.flat_map(|case| PROOFS.map(|proof| (case, proof))) {
        let world = World::start_for(proof).await;
        let old = put(&*world.process(), "d/f", b"old").await.expect("stored");
        world.die("end.pl nth=1 hold-answer", "new content", Some(&old)).await;
        world.fault("end.pl nth=1 dead-report");
        world.fault("end.pl nth=3 dead-report");
        world.put(content, Some(&old)).await.expect("goes on");
        let contents = world.contents().await;
        // What cannot be proven to be ours is not removed.
        let expected: &[&str] =
            if uploads == 2 { &["new content"] } else { &["NEW CONTENT", "new content"] };
        let mut contents: Vec<_> = contents.iter().map(String::as_str).collect();
        contents.sort_unstable();
        assert_eq!((contents.as_slice(), world.uploads()), (expected, uploads));
    }
}

#[tokio::test]
async fn a_copy_whose_process_died_is_not_made_twice() {
    for moment in [
        "file/cp nth=1 stall",
        "file/cp nth=1 hold-answer",
        "file/rm nth=1 stall",
        "file/rm nth=1 hold-answer",
    ] {
        let world = World::start().await;
        let first = world.process();
        put(&*first, "from", b"content").await.expect("stored");
        let old = put(&*first, "d/f", b"old").await.expect("stored");
        let from = first.stat(&path("from")).await.expect("there");
        let copy = |backend: Arc<dyn Backend>| {
            let options = world.options("from", Some(&old));
            let from = from.clone();
            async move { backend.copy(&from, &path("d/f"), options).await }
        };
        world.fault(moment);
        tokio::select! {
            result = copy(world.process()) => panic!("{moment}: {result:?}"),
            () = world.sim.unanswered(1) => {}
        }
        world.sim.faults().clear();
        copy(world.process()).await.expect("goes on");
        assert_eq!(world.contents().await, ["content"], "{moment}");
        let copies = if moment == "file/cp nth=1 stall" { 2 } else { 1 };
        assert_eq!(world.sim.stats().of("file/cp"), copies, "{moment}");
    }
}

#[tokio::test]
async fn a_failure_that_stored_nothing_leaves_no_note() {
    let world = World::start().await;
    world.fault("upload next=1 cannot-open");
    world.put("content", None).await.expect_err("refused");
    assert_eq!(world.note.load().await.expect("kept"), Some(Bytes::new()));
    world.put("content", None).await.expect("stored");
    assert_eq!(world.sim.stats().of("folder/ls"), 2, "there is nothing to look for");
}

async fn until_stored(world: &World, count: u64) {
    while world.uploads() < count {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_upload_that_arrives_after_it_was_sent_anew_is_removed() {
    let world = World::start().await;
    let old = put(&*world.process(), "d/f", b"old").await.expect("stored");
    world.die_with_the_upload_on_its_way("new content", &old).await;
    // Nothing has arrived, so the next process sends; meanwhile the first upload arrives.
    world.fault("upload nth=1 hold-answer");
    let (stored, ()) = tokio::join!(world.put("new content", Some(&old)), async {
        world.sim.unanswered(1).await;
        world.sim.holds().release_first(true);
        until_stored(&world, 3).await;
        world.sim.holds().release(true);
    });
    stored.expect("goes on");
    assert_eq!(world.contents().await, ["new content"]);
    assert_eq!(world.uploads(), 3);
}

#[tokio::test]
async fn an_upload_that_arrives_after_two_deaths_is_found_by_the_third_process() {
    let world = World::start().await;
    let old = put(&*world.process(), "d/f", b"old").await.expect("stored");
    world.die_with_the_upload_on_its_way("new content", &old).await;
    world.die("upload nth=1 hold-answer", "new content", Some(&old)).await;
    world.sim.holds().release(true);
    until_stored(&world, 3).await;
    world.put("new content", Some(&old)).await.expect("goes on");
    assert_eq!(world.contents().await, ["new content"]);
    assert_eq!(world.uploads(), 3, "nothing that has arrived is sent again");
}

#[tokio::test]
async fn what_somebody_moved_away_is_no_late_arrival() {
    let world = World::start().await;
    let old = put(&*world.process(), "d/f", b"old").await.expect("stored");
    world.die("end.pl nth=1 hold-answer", "new content", Some(&old)).await;
    let (backend, new) = world.arrived(11).await;
    backend.rename(&new, &path("d/safe")).await.expect("moved");
    world.put("newer", Some(&old)).await.expect("stored");
    assert_eq!(world.contents().await, ["newer", "new content"]);
}

/// Listings that show nothing of what is there.
const LATE: Duration = Duration::from_secs(86_400);

#[tokio::test]
async fn an_upload_that_is_known_and_does_not_say_where_it_is_is_looked_for_in_its_folder() {
    let world = World::start().await;
    let old = put(&*world.process(), "f", b"old").await.expect("stored");
    world.fault("end.pl nth=1 hold-answer");
    let first = world.process();
    tokio::select! {
        result = put_by(&first, &world, "f", "new content", &old) => panic!("{result:?}"),
        () = world.sim.unanswered(1) => {}
    }
    world.sim.faults().clear();
    world.sim.set_lag(LATE);
    world.fault("file/info every missing-field folder_id");
    let next = world.process();
    let (stored, ()) = tokio::join!(put_by(&next, &world, "f", "new content", &old), async {
        while world.sim.stats().of("file/info") < 1 {
            tokio::task::yield_now().await;
        }
        world.sim.set_lag(Duration::ZERO);
    });
    stored.expect("goes on");
    world.sim.faults().clear();
    let found = (world.contents_of("").await, world.uploads());
    assert_eq!(
        found,
        (vec!["new content".to_owned()], 2),
        "nothing that has arrived is sent again"
    );
}

#[tokio::test]
async fn an_upload_that_went_to_the_top_folder_is_brought_to_its_own_by_the_next_process() {
    for (content, uploads) in [("new content", 2), ("newer content", 3)] {
        let world = World::start().await;
        let old = put(&*world.process(), "d/f", b"old").await.expect("stored");
        world.fault("upload nth=1 wrong-folder");
        world.die("end.pl nth=1 hold-answer", "new content", Some(&old)).await;
        world.put(content, Some(&old)).await.expect("goes on");
        assert_eq!((world.contents().await, world.uploads()), (vec![content.to_owned()], uploads));
        let top = list(&*world.process(), "").await.expect("lists");
        assert!(top.iter().all(Entry::is_dir), "{top:?}");
    }
}

#[tokio::test]
async fn an_upload_that_went_to_the_top_folder_is_removed_there_when_nobody_goes_on() {
    let world = World::start().await;
    let old = put(&*world.process(), "d/f", b"old").await.expect("stored");
    world.fault("upload nth=1 wrong-folder");
    world.die("end.pl nth=1 hold-answer", "new content", Some(&old)).await;
    let checkpoint = world.checkpoint("new content");
    world.process().abandon(&path("d/f"), &checkpoint).await.expect("abandoned");
    assert_eq!(world.contents().await, ["old"]);
    let top = list(&*world.process(), "").await.expect("lists");
    assert!(top.iter().all(Entry::is_dir), "{top:?}");
}

/// What this very process stores.
async fn put_by(
    process: &Arc<dyn Backend>,
    world: &World,
    name: &str,
    content: &str,
    old: &Entry,
) -> Result<Entry> {
    let body = BytesSource::body(content.to_owned());
    process.put(&path(name), body, world.options(content, Some(old))).await
}

#[tokio::test]
async fn a_note_of_before_a_version_was_verified_does_not_take_that_version_for_one_that_was_not() {
    for end in ["the same content", "newer"] {
        let world = World::start().await;
        let old = put(&*world.process(), "d/f", b"old").await.expect("stored");
        world.die("end.pl nth=1 hold-answer", "the same content", Some(&old)).await;
        let before = world.note.load().await.expect("kept");
        let process = world.process();
        // It is stored and verified, and the old version stays because 1fichier refuses to remove it.
        world.fault("file/rm every ko 403 Something new #777");
        let put = put_by(&process, &world, "d/f", end, &old).await;
        put.expect_err("two files of one name are no success");
        world.sim.faults().clear();
        let note = Arc::new(Kept(Mutex::new(before)));
        let checkpoint = Checkpoint { note, ..world.checkpoint("the same content") };
        process.abandon(&path("d/f"), &checkpoint).await.expect("abandoned");
        assert_eq!(world.contents().await, [end]);
    }
}

#[tokio::test]
async fn what_arrives_after_it_was_given_up_is_an_old_version_of_what_is_stored_next() {
    let world = World::start().await;
    let old = put(&*world.process(), "d/f", b"old").await.expect("stored");
    world.die_with_the_upload_on_its_way("new content", &old).await;
    let process = world.process();
    process.abandon(&path("d/f"), &world.checkpoint("new content")).await.expect("abandoned");
    world.fault("upload nth=1 hold-answer");
    let put = put_by(&process, &world, "d/f", "another version", &old);
    let (stored, ()) = tokio::join!(put, async {
        world.sim.unanswered(1).await;
        world.sim.holds().release_first(true);
        until_stored(&world, 3).await;
        world.sim.holds().release(true);
    });
    stored.expect("stored");
    assert_eq!(world.contents().await, ["another version"]);
    assert_eq!(world.sim.stored().len(), 1, "with what shows later");
}

#[tokio::test]
async fn what_arrives_late_of_an_upload_of_another_size_is_found_by_the_third_process() {
    let world = World::start().await;
    let old = put(&*world.process(), "d/f", b"old").await.expect("stored");
    world.die_with_the_upload_on_its_way("new content", &old).await;
    world.die("upload nth=1 hold-answer", "another version", Some(&old)).await;
    world.sim.holds().release(true);
    until_stored(&world, 3).await;
    world.put("another version", Some(&old)).await.expect("goes on");
    assert_eq!(world.contents().await, ["another version"]);
}

#[tokio::test]
async fn a_second_try_of_a_process_looks_for_what_the_one_before_it_had_sent() {
    let world = World::start().await;
    let old = put(&*world.process(), "f", b"old").await.expect("stored");
    world.fault("upload nth=1 hold-whole");
    let first = world.process();
    tokio::select! {
        result = put_by(&first, &world, "f", "new content", &old) => panic!("{result:?}"),
        () = world.sim.holds().arrived() => {}
    }
    world.sim.faults().clear();
    let process = world.process();
    let put = || put_by(&process, &world, "f", "new content", &old);
    // What becomes of the upload of this process is not known either.
    world.sim.set_lag(LATE);
    world.fault("upload nth=1 lose-answer");
    world.fault("end.pl every dead-report");
    let unclear = put().await;
    world.sim.faults().clear();
    world.sim.set_lag(Duration::ZERO);
    world.sim.holds().release(true);
    until_stored(&world, 3).await;
    assert!(unclear.is_err(), "{unclear:?}");
    put().await.expect("found");
    let found = (world.contents_of("").await, world.uploads());
    assert_eq!(found, (vec!["new content".to_owned()], 3));
    assert_eq!(world.sim.stored().len(), 1, "with what shows later");
}

#[tokio::test]
async fn what_stayed_of_a_transfer_that_was_given_up_is_replaced_though_no_listing_shows_it_yet() {
    let world = World::start().await;
    put(&*world.process(), "other", b"other").await.expect("stored");
    let put_new = |process: Arc<dyn Backend>, content: &'static str, options: PutOptions| async move {
        process.put(&path("f"), BytesSource::body(content), options).await
    };
    world.fault("end.pl nth=1 hold-answer");
    let options = world.options("content", None);
    tokio::select! {
        result = put_new(world.process(), "content", options) => panic!("{result:?}"),
        () = world.sim.unanswered(1) => {}
    }
    world.sim.faults().clear();
    world.sim.set_lag(LATE);
    // The source has changed, so nobody goes on; the only file of its name stays, and is not listed yet.
    let process = world.process();
    process.abandon(&path("f"), &world.checkpoint("content")).await.expect("abandoned");
    let options = world.options("another version", None);
    put_new(process, "another version", options).await.expect("stored");
    world.sim.set_lag(Duration::ZERO);
    assert_eq!(world.contents_of("").await, ["another version", "other"]);
}

#[tokio::test]
async fn a_report_that_names_another_address_does_not_hide_what_was_sent() {
    let world = World::start().await;
    put(&*world.process(), "other", b"other").await.expect("stored");
    let old = put(&*world.process(), "d/f", b"old").await.expect("stored");
    world.die("end.pl nth=1 hold-answer", "new content", Some(&old)).await;
    world.fault("end.pl every stranger-address other");
    let checkpoint = world.checkpoint("new content");
    world.process().abandon(&path("d/f"), &checkpoint).await.expect("abandoned");
    assert_eq!(world.contents().await, ["old"]);
    assert_eq!(world.sim.stored().len(), 2);
}
