//! One look at the whole account in place of many listings: what it saves, and that it never says more than it knows.

mod common;

use std::sync::Arc;

use common::{path, put};
use ketch_core::{Backend, ErrorKind, Expect, PutOptions};
use ketch_fichier::Fichier;
use ketch_fichier_sim::{Rules, SANDBOX_KEY, Sim, SimOptions};

const FOLDERS: usize = 6;

struct World {
    sim: Sim,
    folder: tempfile::TempDir,
}

impl World {
    /// With the files `0/f` to `5/f`, and a run that has listed all folders.
    async fn start() -> Self {
        let folder = tempfile::tempdir().expect("scratch");
        let sim = Sim::start(SimOptions::new(folder.path().join("sim"))).await.expect("starts");
        let world = World { sim, folder };
        let run = world.run();
        common::names(&*run, "").await;
        for number in 0..FOLDERS {
            put(&*run, &format!("{number}/f"), b"content").await.expect("stored");
        }
        drop(run);
        world.sim.reset_stats();
        world
    }

    /// A process on the machine that remembers, which may look at the whole account.
    fn run(&self) -> Arc<dyn Backend> {
        self.open("on", Some(&self.folder.path().join("state")))
    }

    /// Somebody else.
    fn elsewhere(&self) -> Arc<dyn Backend> {
        self.open("off", None)
    }

    fn open(&self, view: &str, state: Option<&std::path::Path>) -> Arc<dyn Backend> {
        let url = self.sim.api_url();
        let options = [("api_url", url.as_str()), ("api_key", SANDBOX_KEY), ("account_view", view)];
        Arc::new(Fichier::alone(&common::request("", &options, state)).expect("opens"))
    }

    /// The paths that a new run recalls of the top folder and of all below, and `?` for a folder that must be listed.
    async fn recalled(&self, run: &dyn Backend) -> Vec<String> {
        let mut found = Vec::new();
        for dir in std::iter::once(String::new()).chain((0..FOLDERS).map(|dir| dir.to_string())) {
            match run.cached_listing(&path(&dir)).await {
                Some(entries) => {
                    found.extend(entries.iter().map(|entry| entry.path.as_str().to_owned()));
                }
                None => found.push(format!("{dir}?")),
            }
        }
        found.sort();
        found
    }
}

fn all() -> Vec<String> {
    let mut all: Vec<String> = (0..FOLDERS).map(|number| number.to_string()).collect();
    all.extend((0..FOLDERS).map(|number| format!("{number}/f")));
    all.sort();
    all
}

fn nothing() -> Vec<String> {
    let mut all: Vec<String> = (0..FOLDERS).map(|number| format!("{number}?")).collect();
    all.push("?".to_owned());
    all.sort();
    all
}

#[tokio::test]
async fn two_calls_tell_as_much_as_a_listing_of_every_folder() {
    let world = World::start().await;
    assert_eq!(world.recalled(&*world.run()).await, all());
    let stats = world.sim.stats();
    assert_eq!((stats.of("file/ls"), stats.of("file/info"), stats.of("folder/ls")), (1, 1, 0));
}

#[tokio::test]
async fn it_is_off_unless_it_was_asked_for() {
    let world = World::start().await;
    let run = world.open("off", Some(&world.folder.path().join("state")));
    assert_eq!(world.recalled(&*run).await, nothing());
    assert_eq!(world.sim.stats().of("file/ls"), 0);
}

#[tokio::test]
async fn a_folder_in_which_something_is_missing_or_changed_is_listed() {
    let world = World::start().await;
    let other = world.elsewhere();
    let gone = other.stat(&path("2/f")).await.expect("there");
    other.delete_one(&gone).await.expect("deleted");
    let old = other.stat(&path("4/f")).await.expect("there");
    other.rename(&old, &path("4/renamed")).await.expect("renamed");
    world.sim.reset_stats();
    let found = world.recalled(&*world.run()).await;
    let listed: Vec<_> = found.iter().filter(|path| path.ends_with('?')).collect();
    assert_eq!(listed, ["2?", "4?"], "{found:?}");
    assert_eq!(found.iter().filter(|path| path.ends_with("/f")).count(), FOLDERS - 2);
}

#[tokio::test]
async fn a_file_that_somebody_added_has_its_folder_listed_and_is_asked_about_once() {
    let world = World::start().await;
    let other = world.elsewhere();
    put(&*other, "3/new", b"theirs").await.expect("stored");
    put(&*other, "outside/new", b"theirs").await.expect("stored");
    world.sim.reset_stats();
    let found = world.recalled(&*world.run()).await;
    let listed: Vec<_> = found.iter().filter(|path| path.ends_with('?')).collect();
    assert_eq!(listed, ["3?"], "{found:?}");
    assert_eq!(world.sim.stats().of("file/info"), 3, "two files to place, and the proof");
    common::names(&*world.run(), "3").await;
    world.sim.reset_stats();
    // Without pace the account may be looked at again at once.
    let found = world.recalled(&*world.run()).await;
    assert!(found.iter().all(|path| !path.ends_with('?')), "{found:?}");
    assert_eq!(world.sim.stats().of("file/info"), 1, "where they are is remembered");
}

#[tokio::test]
async fn an_account_that_is_moved_about_is_not_believed() {
    let world = World::start().await;
    let other = world.elsewhere();
    // The proof is taken of one folder, whichever comes first.
    for number in 0..FOLDERS {
        let moved = other.stat(&path(&number.to_string())).await.expect("there");
        other.rename(&moved, &path(&format!("elsewhere-{number}"))).await.expect("moved");
    }
    assert_eq!(world.recalled(&*world.run()).await, nothing());
}

#[tokio::test]
async fn an_answer_that_is_cut_or_full_confirms_nothing() {
    let world = World::start().await;
    world.sim.set_rules(Rules { listing_entries: FOLDERS - 1, ..Rules::default() });
    let found = world.recalled(&*world.run()).await;
    // The one that is cut off may be anywhere: its folder is listed, and nothing is said to be missing.
    assert_eq!(found.iter().filter(|path| path.ends_with('?')).count(), 1, "{found:?}");
    let world = World::start().await;
    world.sim.faults().inject("file/ls next=1 empty-listing".parse().expect("a fault"));
    let found = world.recalled(&*world.run()).await;
    assert_eq!(found, nothing());
}

#[tokio::test]
async fn it_is_asked_for_once_an_hour_by_all_processes() {
    let world = World::start().await;
    let state = world.folder.path().join("state");
    let url = world.sim.api_url();
    let paced = || {
        let options = [
            ("api_url", url.as_str()),
            ("api_key", SANDBOX_KEY),
            ("account_view", "on"),
            ("pace", "documented"),
        ];
        Fichier::alone(&common::request("", &options, Some(&state))).expect("opens")
    };
    assert_eq!(world.recalled(&paced()).await, all());
    assert_eq!(world.recalled(&paced()).await, nothing(), "another process, a moment later");
    assert_eq!(world.sim.stats().of("file/ls"), 1);
}

#[tokio::test]
async fn nothing_is_removed_because_of_what_was_recalled() {
    let world = World::start().await;
    let run = world.run();
    let recalled = run.cached_listing(&path("1")).await;
    assert!(recalled.is_none(), "one folder alone is listed");
    run.cached_listing(&path("")).await.expect("confirmed");
    let old = run.cached_listing(&path("1")).await.expect("confirmed").remove(0);
    // Somebody moves it away before it is replaced: where it is now it is not ours to remove.
    let other = world.elsewhere();
    let moved = other.stat(&path("1/f")).await.expect("there");
    other.rename(&moved, &path("kept/f")).await.expect("moved");
    assert_eq!(run.delete_one(&old).await.expect_err("not listed").kind(), ErrorKind::Changed);
    let options = PutOptions { expect: Expect::Entry(Box::new(old)), ..PutOptions::default() };
    let body = ketch_core::source::BytesSource::body("newer".to_owned());
    common::put_with(&*run, "1/f", body, options).await.expect("stored");
    let other = world.elsewhere();
    assert_eq!(common::names(&*other, "kept").await, ["kept/f"]);
    assert_eq!(common::names(&*other, "1").await, ["1/f"]);
}

#[tokio::test]
async fn changes_of_our_own_are_known() {
    let world = World::start().await;
    let run = world.run();
    run.cached_listing(&path("")).await.expect("confirmed");
    put(&*run, "1/g", b"more").await.expect("stored");
    assert!(run.cached_listing(&path("1")).await.is_none(), "it is not as it was seen");
    assert!(run.cached_listing(&path("2")).await.is_some());
    drop(run);
    let run = world.run();
    run.cached_listing(&path("")).await.expect("confirmed");
    assert_eq!(run.cached_listing(&path("1")).await.expect("remembered as it is now").len(), 2);
}
