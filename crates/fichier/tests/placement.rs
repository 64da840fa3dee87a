//! Where things are: uploads that arrive in another folder, and listings that leave folders out.

mod common;

use std::sync::Arc;

use common::{list, names, path, put, put_with, read};
use ketch_core::source::BytesSource;
use ketch_core::{Backend, ErrorKind, Expect, PutOptions};
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

    fn open(&self) -> Arc<dyn Backend> {
        common::open("", &[("api_url", self.sim.api_url().as_str()), ("api_key", SANDBOX_KEY)])
    }

    fn fault(&self, text: &str) {
        self.sim.faults().inject(text.parse().expect("a fault"));
    }
}

#[tokio::test]
async fn a_file_that_arrived_in_the_top_folder_is_moved_to_its_own() {
    let world = World::start().await;
    let backend = world.open();
    let old = put(&*backend, "other", b"other").await.expect("stored");
    world.fault("upload next=1 wrong-folder");
    let stored = put(&*backend, "a/b/f", b"content").await.expect("stored");
    assert_eq!(names(&*backend, "").await, ["a/", "other"]);
    assert_eq!(names(&*backend, "a/b").await, ["a/b/f"]);
    assert_eq!(read(&*backend, &stored, None).await.expect("read"), b"content");
    assert_eq!(names(&*world.open(), "a/b").await, ["a/b/f"], "for everybody");
    assert_eq!(read(&*backend, &old, None).await.expect("read"), b"other");
}

#[tokio::test]
async fn a_folder_that_was_deleted_while_a_file_was_sent_to_it_is_made_again() {
    let world = World::start().await;
    let (backend, other) = (world.open(), world.open());
    backend.make_dir(&path("a/b"), None).await.expect("made");
    let there = other.stat(&path("a/b")).await.expect("there");
    other.delete_one(&there).await.expect("deleted by somebody else");
    let stored = put_with(&*backend, "a/b/f", BytesSource::body("content"), absent()).await;
    let stored = stored.expect("stored");
    assert_eq!(names(&*backend, "").await, ["a/"]);
    assert_eq!(names(&*world.open(), "a/b").await, ["a/b/f"]);
    assert_eq!(read(&*backend, &stored, None).await.expect("read"), b"content");
    assert_eq!(world.sim.stats().of("upload"), 1, "nothing is sent twice");
}

#[tokio::test]
async fn a_file_that_can_be_put_nowhere_is_removed_and_the_item_has_changed() {
    let world = World::start().await;
    let backend = world.open();
    backend.make_dir(&path("a"), None).await.expect("made");
    world.fault("upload next=1 wrong-folder");
    world.fault("file/mv next=1 ko 403 Bad destination #1");
    let error = put(&*backend, "a/f", b"content").await.expect_err("nowhere");
    assert_eq!(error.kind(), ErrorKind::Changed);
    assert_eq!(world.sim.stats().files, 0);
}

#[tokio::test]
async fn where_a_file_arrived_is_asked_once_for_many() {
    let world = World::start().await;
    let backend = world.open();
    for number in 0..5 {
        put(&*backend, &format!("a/{number}"), b"content").await.expect("stored");
    }
    assert_eq!(world.sim.stats().of("file/info"), 1);
    // Nobody answers: what is stored and verified is stored.
    world.fault("file/info every ko 403 Resource not allowed #631");
    put(&*backend, "b/f", b"content").await.expect("stored");
    assert_eq!(names(&*backend, "b").await, ["b/f"]);
}

#[tokio::test]
async fn sub_folders_that_are_left_out_are_never_taken_for_none() {
    // Seen once, the field is always there.
    let world = World::start().await;
    let backend = world.open();
    put(&*backend, "a/b/f", b"content").await.expect("stored");
    assert_eq!(names(&*backend, "a/b").await, ["a/b/f"], "an empty list of folders is seen");
    world.fault("folder/ls next=1 no-sub-folders");
    let error = list(&*backend, "a").await.expect_err("not complete");
    assert_eq!(error.kind(), ErrorKind::Protocol);
    assert_eq!(names(&*backend, "a").await, ["a/b/"]);

    // Nothing is known of the server: it is asked again.
    let backend = world.open();
    world.fault("folder/ls next=1 no-sub-folders");
    assert_eq!(names(&*backend, "a").await, ["a/b/"]);

    // A server that leaves it out twice does so where there are none, and is asked once from then on.
    let backend = world.open();
    assert_eq!(names(&*backend, "").await, ["a/"]);
    assert_eq!(names(&*backend, "a").await, ["a/b/"]);
    world.fault("folder/ls every no-sub-folders");
    world.sim.reset_stats();
    for calls in [2, 3] {
        assert_eq!(names(&*backend, "a/b").await, ["a/b/f"]);
        assert_eq!(world.sim.stats().of("folder/ls"), calls);
    }
}

fn absent() -> PutOptions {
    PutOptions { expect: Expect::Absent, ..PutOptions::default() }
}
