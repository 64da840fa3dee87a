//! The folder tree is remembered from run to run: what that saves, and that what is remembered wrongly does no harm.

mod common;

use std::sync::Arc;

use common::{list, names, path, put};
use ketch_core::{Backend, ErrorKind};
use ketch_fichier::Fichier;
use ketch_fichier_sim::{SANDBOX_KEY, Sim, SimOptions};

struct World {
    sim: Sim,
    folder: tempfile::TempDir,
}

impl World {
    /// With the file `a/b/c/f` and what a run that stored it remembers.
    async fn start() -> Self {
        let folder = tempfile::tempdir().expect("scratch");
        let sim = Sim::start(SimOptions::new(folder.path().join("sim"))).await.expect("starts");
        let world = World { sim, folder };
        put(&*world.run(), "a/b/c/f", b"content").await.expect("stored");
        world.sim.reset_stats();
        world
    }

    /// A run on the machine that remembers.
    fn run(&self) -> Arc<dyn Backend> {
        self.open(Some(&self.folder.path().join("state")))
    }

    /// A run on another machine.
    fn elsewhere(&self) -> Arc<dyn Backend> {
        self.open(None)
    }

    fn open(&self, state: Option<&std::path::Path>) -> Arc<dyn Backend> {
        let url = self.sim.api_url();
        let options = [("api_url", url.as_str()), ("api_key", SANDBOX_KEY)];
        Arc::new(Fichier::alone(&common::request("", &options, state)).expect("opens"))
    }
}

#[tokio::test]
async fn a_folder_that_an_earlier_run_knew_costs_one_listing_and_one_proof() {
    let world = World::start().await;
    assert_eq!(names(&*world.run(), "a/b/c").await, ["a/b/c/f"]);
    let stats = world.sim.stats();
    assert_eq!(
        (stats.of("folder/ls"), stats.of("file/info")),
        (2, 1),
        "pace is off, so it is listed again"
    );
    world.sim.reset_stats();
    assert_eq!(names(&*world.elsewhere(), "a/b/c").await, ["a/b/c/f"]);
    assert_eq!(world.sim.stats().of("folder/ls"), 4);
}

#[tokio::test]
async fn a_folder_that_was_moved_elsewhere_is_not_found_where_it_was() {
    let world = World::start().await;
    let other = world.elsewhere();
    let folder = other.stat(&path("a/b/c")).await.expect("there");
    other.rename(&folder, &path("a/moved")).await.expect("moved");
    let error = list(&*world.run(), "a/b/c").await.expect_err("moved away");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    put(&*world.run(), "a/b/c/g", b"new").await.expect("stored");
    assert_eq!(
        names(&*world.elsewhere(), "a/moved").await,
        ["a/moved/f"],
        "nothing is written there"
    );
    assert_eq!(names(&*world.elsewhere(), "a/b/c").await, ["a/b/c/g"]);
}

#[tokio::test]
async fn a_folder_above_that_was_moved_elsewhere_is_noticed() {
    let world = World::start().await;
    let other = world.elsewhere();
    let folder = other.stat(&path("a/b")).await.expect("there");
    other.rename(&folder, &path("z")).await.expect("moved");
    put(&*other, "a/b/c/other", b"another folder of that path").await.expect("stored");
    assert_eq!(names(&*world.run(), "a/b/c").await, ["a/b/c/other"]);
    assert_eq!(names(&*world.run(), "z/c").await, ["z/c/f"]);
}

#[tokio::test]
async fn a_folder_that_was_deleted_elsewhere_is_made_again() {
    let world = World::start().await;
    let other = world.elsewhere();
    let file = other.stat(&path("a/b/c/f")).await.expect("there");
    other.delete_one(&file).await.expect("deleted");
    for folder in ["a/b/c", "a/b"] {
        let folder = other.stat(&path(folder)).await.expect("there");
        other.delete_one(&folder).await.expect("deleted");
    }
    put(&*world.run(), "a/b/c/g", b"new").await.expect("stored");
    assert_eq!(names(&*world.elsewhere(), "a/b/c").await, ["a/b/c/g"]);
    assert_eq!(names(&*world.elsewhere(), "").await, ["a/"]);
}

#[tokio::test]
async fn what_is_remembered_has_no_key_in_it_and_may_be_damaged() {
    let world = World::start().await;
    let state = world.folder.path().join("state");
    let files =
        || std::fs::read_dir(&state).expect("readable").map(|file| file.expect("entry").path());
    assert!(files().count() > 0);
    for file in files() {
        let text = std::fs::read_to_string(&file).expect("text");
        assert!(!text.contains(SANDBOX_KEY), "{file:?}");
        std::fs::write(&file, &text[..text.len() / 2]).expect("written");
    }
    assert_eq!(names(&*world.run(), "a/b/c").await, ["a/b/c/f"]);
}
