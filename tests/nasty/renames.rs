//! A move within one account: files by their addresses, folders whole.

use crate::Scene;

impl Scene {
    /// Two files below `box:a`, one in a folder of its own.
    fn with_a_folder() -> Scene {
        let scene = Scene::new();
        scene.home.write("src/f", "one");
        scene.home.write("src/deep/er/g", "two");
        scene.run("copy src box:a").expect(0);
        scene
    }

    #[track_caller]
    fn shows(&self, wanted: &[(&str, &str)]) {
        let mut files: Vec<_> = self.server.files();
        files.sort();
        let wanted: Vec<_> = wanted
            .iter()
            .map(|(path, content)| ((*path).to_owned(), content.as_bytes().to_vec()))
            .collect();
        assert_eq!(files, wanted);
    }

    fn moves_of_files(&self) -> u64 {
        self.server.stat("file/mv") + self.server.stat("file/rename")
    }

    #[track_caller]
    fn has_folders(&self, wanted: u64) {
        assert_eq!(self.server.stat("folders"), wanted);
    }
}

#[test]
fn a_file_gets_to_another_folder_in_one_call() {
    let scene = Scene::with_a_folder();
    scene.run("move box:a/f box:a/deep").expect(0);
    scene.shows(&[("a/deep/er/g", "two"), ("a/deep/f", "one")]);
    assert_eq!((scene.moves_of_files(), scene.server.stat("upload")), (1, 2));
}

#[test]
fn a_folder_that_gets_another_name_is_moved_whole() {
    for (to, folders) in [("b", 3), ("a-too", 3), ("new/place", 4)] {
        for option in ["", " --delete-empty-src-dirs"] {
            let scene = Scene::with_a_folder();
            let dry = scene.run(&format!("move --dry-run box:a box:{to}")).expect(0);
            assert!(dry.stderr.contains("would move whole folders 1"), "{}", dry.stderr);
            scene.shows(&[("a/deep/er/g", "two"), ("a/f", "one")]);
            let run = scene.run(&format!("move box:a box:{to}{option}")).expect(0);
            assert!(run.stderr.contains("whole folders moved 1"), "{}", run.stderr);
            scene.shows(&[(&format!("{to}/deep/er/g"), "two"), (&format!("{to}/f"), "one")]);
            assert_eq!(scene.moves_of_files(), 0, "no file by itself");
            scene.has_folders(folders);
            // What has moved is not there any more.
            scene.run(&format!("move box:a box:{to}")).expect(3);
        }
    }
}

#[test]
fn a_folder_that_the_destination_lacks_is_moved_whole_and_others_are_joined() {
    let scene = Scene::with_a_folder();
    scene.home.write("more/deep/h", "three");
    scene.run("copy more box:b").expect(0);
    scene.run("move box:a box:b").expect(0);
    scene.shows(&[("b/deep/er/g", "two"), ("b/deep/h", "three"), ("b/f", "one")]);
    assert_eq!(scene.moves_of_files(), 1, "f by itself, er whole");
    assert_eq!(scene.server.stat("folder/mv"), 1);
}

#[test]
fn with_a_filter_what_is_left_out_stays() {
    let scene = Scene::with_a_folder();
    scene.run("move --exclude f box:a box:b").expect(0);
    scene.shows(&[("a/f", "one"), ("b/deep/er/g", "two")]);
}

#[test]
fn two_folders_of_one_name_are_both_moved() {
    let scene = Scene::with_a_folder();
    scene.home.write("other/x", "three");
    scene.run("copy other box:c").expect(0);
    // Another client gives the second folder the name of the first.
    scene.server.fault("folder/ls nth=1 move c > a/deep");
    scene.run("ls box:");
    scene.server.fault("clear");
    scene.run("move box:a/deep box:d").expect(0);
    scene.shows(&[("a/f", "one"), ("d/er/g", "two"), ("d/x", "three")]);
}

#[test]
fn two_files_of_one_name_in_two_folders_of_one_name_both_stay() {
    let scene = Scene::with_a_folder();
    scene.home.write("other/er", "three");
    scene.home.write("more/er", "four");
    scene.run("copy other box:c").expect(0);
    scene.run("copy more box:a/deeper").expect(0);
    // Another client gives two folders one name, and both have a file of one name.
    scene.server.fault("folder/ls nth=1 move c > a/deeper");
    scene.run("ls box:");
    scene.server.fault("clear");
    scene.run("move box:a/deeper box:d").expect(23);
    let mut contents: Vec<_> =
        scene.server.files().into_iter().map(|(_, content)| content).collect();
    contents.sort();
    assert_eq!(contents, [&b"four"[..], b"one", b"three", b"two"]);
}

#[test]
fn a_folder_whose_move_is_not_answered_is_moved_once_and_lost_nowhere() {
    for fault in [
        "folder/mv next=1 lose-answer",
        "folder/rename next=1 lose-answer",
        "folder/mv next=1 reset",
        "folder/mv next=1 ko 403 Something new #777",
    ] {
        let scene = Scene::with_a_folder();
        scene.server.fault(fault);
        let run = scene.run("move box:a box:new/b");
        scene.server.fault("clear");
        if run.code != 0 {
            scene.run("move box:a box:new/b").expect(0);
        }
        scene.shows(&[("new/b/deep/er/g", "two"), ("new/b/f", "one")]);
    }
}

#[test]
fn a_folder_that_others_moved_or_made_meanwhile_is_left_alone() {
    let scene = Scene::with_a_folder();
    scene.run("plan move box:a box:b -o plan").expect(0);
    scene.home.write("more/h", "three");
    scene.run("copy more box:b").expect(0);
    scene.run("apply plan").expect(23);
    scene.shows(&[("a/deep/er/g", "two"), ("a/f", "one"), ("b/h", "three")]);
    scene.run("purge box:b").expect(0);
    scene.run("apply plan").expect(0);
    scene.shows(&[("b/deep/er/g", "two"), ("b/f", "one")]);
}

#[test]
fn everything_in_the_account_is_moved_one_by_one_because_the_top_stays() {
    let scene = Scene::with_a_folder();
    let inside = scene.run("move box: box:inside");
    assert_ne!(inside.code, 0, "into itself: {}", inside.stderr);
    scene.shows(&[("a/deep/er/g", "two"), ("a/f", "one")]);
    scene.run("move box:a box:").expect(0);
    scene.shows(&[("deep/er/g", "two"), ("f", "one")]);
    assert_eq!(scene.server.stat("folder/mv"), 1);
}

#[test]
fn a_move_of_a_folder_whose_process_dies_at_any_of_its_calls_is_ended_by_the_next_run() {
    // To another folder under another name it is two calls.
    for moment in [
        "folder/mv nth=1 hold",
        "folder/mv nth=1 hold-answer",
        "folder/mv nth=2 hold",
        "folder/mv nth=2 hold-answer",
    ] {
        let scene = Scene::with_a_folder();
        scene.server.fault(moment);
        scene.kill_when_held("move box:a box:new/b");
        // What is moved already is not there any more.
        let run = scene.run("move box:a box:new/b");
        let expected = if moment == "folder/mv nth=1 hold" { 0 } else { 3 };
        assert_eq!(run.code, expected, "{moment}: {}", run.stderr);
        scene.shows(&[("new/b/deep/er/g", "two"), ("new/b/f", "one")]);
    }
}

impl Scene {
    /// A folder that was moved to `box:new` and not renamed there yet.
    fn with_half_a_move() -> Scene {
        let scene = Scene::with_a_folder();
        scene.server.fault("folder/mv nth=2 hold");
        scene.kill_when_held("move box:a box:new/b");
        scene.shows(&[("new/a/deep/er/g", "two"), ("new/a/f", "one")]);
        scene
    }
}

#[test]
fn a_look_and_a_dry_run_do_not_end_what_a_move_of_a_folder_has_left_half_done() {
    let scene = Scene::with_half_a_move();
    for command in [
        "ls box:a",
        "check box:a box:new",
        "move --dry-run box:a box:new/b",
        "plan move box:a box:new/b -o plan",
    ] {
        scene.run(command).expect(3);
        scene.shows(&[("new/a/deep/er/g", "two"), ("new/a/f", "one")]);
    }
    scene.run("move box:a box:new/b").expect(3);
    scene.shows(&[("new/b/deep/er/g", "two"), ("new/b/f", "one")]);
}

#[test]
fn what_others_renamed_keeps_its_name_after_half_a_move() {
    let scene = Scene::with_half_a_move();
    scene.server.fault("folder/ls nth=1 move new/a > new/mine");
    scene.run("ls box:");
    scene.server.fault("clear");
    scene.run("move box:a box:new/b").expect(3);
    scene.shows(&[("new/mine/deep/er/g", "two"), ("new/mine/f", "one")]);
}
