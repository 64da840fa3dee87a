//! What the service says decides about people's only copies: an answer is evidence, and what it leads to is proven first.

use std::collections::BTreeMap;

use crate::Scene;

/// A file that exists nowhere else.
const PRECIOUS: &str = "the only copy of this";

impl Scene {
    /// One with a precious file in the account that no source has.
    fn with_a_stranger() -> Scene {
        let scene = Scene::new();
        scene.home.write("mine/keep", PRECIOUS);
        scene.run("copy mine box:own").expect(0);
        scene
    }

    /// Everything in the account by its content, with how often each is there.
    fn contents(&self) -> BTreeMap<String, usize> {
        let mut contents = BTreeMap::new();
        for (_, content) in self.server.files() {
            *contents.entry(String::from_utf8(content).unwrap()).or_insert(0) += 1;
        }
        contents
    }

    /// The content of each path of the account.
    fn paths(&self) -> Vec<(String, String)> {
        let files = self.server.files().into_iter();
        let mut files: Vec<_> =
            files.map(|(path, content)| (path, String::from_utf8(content).unwrap())).collect();
        files.sort();
        files
    }

    /// Fails unless the account holds exactly these contents, each once.
    #[track_caller]
    fn holds_once(&self, wanted: &[&str]) {
        let wanted: BTreeMap<String, usize> =
            wanted.iter().map(|content| ((*content).to_owned(), 1)).collect();
        assert_eq!(self.contents(), wanted);
    }
}

#[test]
fn a_report_that_names_another_file_of_the_account_removes_nothing() {
    for when in ["next=1", "every"] {
        for lie in ["stranger", "stranger-address"] {
            let scene = Scene::with_a_stranger();
            scene.server.fault(&format!("end.pl {when} {lie} own/keep"));
            scene.home.write("src/f", "new");
            scene.run("copy src box:there").expect(0);
            scene.holds_once(&[PRECIOUS, "new"]);
            // An overwrite is no other thing.
            scene.server.fault(&format!("end.pl {when} {lie} own/keep"));
            scene.home.write("src/f", "newer");
            scene.run("copy src box:there").expect(0);
            scene.holds_once(&[PRECIOUS, "newer"]);
        }
    }
}

#[test]
fn a_report_that_names_a_copy_elsewhere_moves_nothing_and_removes_nothing() {
    let scene = Scene::with_a_stranger();
    // The same name, size and digest.
    scene.server.fault("end.pl every stranger own/keep");
    scene.run("copy mine box:there").expect(0);
    assert_eq!(scene.contents(), BTreeMap::from([(PRECIOUS.to_owned(), 2)]));
    let paths: Vec<String> = scene.paths().into_iter().map(|(path, _)| path).collect();
    assert_eq!(paths, ["own/keep", "there/keep"]);
}

#[test]
fn a_file_that_others_move_out_of_the_tree_while_a_sync_runs_is_never_removed() {
    for moment in 1..=5 {
        let scene = Scene::new();
        scene.home.write("old/a/f", PRECIOUS);
        scene.home.write("old/a/other", "other");
        scene.home.write("old/b/more", "more");
        scene.run("copy old box:there").expect(0);
        scene.home.write("out/x", "x");
        scene.run("copy out box:kept").expect(0);
        scene.home.write("src/a/other", "other");
        scene.home.write("src/b/more", "more");
        let before = scene.server.stat("folder/ls");
        scene.server.fault(&format!("folder/ls nth={moment} move there/a/f > kept/g"));
        let run = scene.run("sync --max-delete 100% src box:there");
        let was_moved = scene.server.stat("folder/ls") - before >= moment;
        let paths = scene.paths();
        let is_there = paths.contains(&("kept/g".to_owned(), PRECIOUS.to_owned()));
        assert_eq!(is_there, was_moved, "{moment}: {paths:?} {}", run.stderr);
        scene.server.fault("clear");
        scene.run("sync --max-delete 100% src box:there").expect(0);
        scene.run("check src box:there").expect(0);
    }
}

#[test]
fn a_file_that_was_moved_to_where_the_source_has_it_is_not_removed_as_extra_of_its_old_folder() {
    for moment in 1..=4 {
        let scene = Scene::new();
        scene.home.write("old/a/f", PRECIOUS);
        scene.home.write("old/a/other", "other");
        scene.home.write("old/b/more", "more");
        scene.run("copy old box:there").expect(0);
        scene.home.write("src/a/other", "other");
        scene.home.write("src/b/more", "more");
        scene.home.write("src/b/f", PRECIOUS);
        scene.server.fault(&format!("folder/ls nth={moment} move there/a/f > there/b/f"));
        let run = scene.run("sync --max-delete 100% src box:there");
        assert!(scene.contents().contains_key(PRECIOUS), "{moment}: {}", run.stderr);
        scene.server.fault("clear");
        if run.code == 0 {
            scene.run("check src box:there").expect(0);
        } else {
            // The next run finds it where it is.
            scene.run("sync --max-delete 100% src box:there").expect(0);
            scene.run("check src box:there").expect(0);
        }
        scene.holds_once(&[PRECIOUS, "other", "more"]);
    }
}
