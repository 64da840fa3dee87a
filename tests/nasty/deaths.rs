//! What a process that was killed had stored and not yet compared: the runs after it prove it or replace it, and never take it
//! for unchanged.

use crate::Scene;

impl Scene {
    /// Copies one file up, has the node damage it, and kills the process during the call `at`: before it hears of the damage,
    /// or when it is about to remove what is damaged.
    fn with_a_damaged_file(old: Option<&str>, at: &str) -> Scene {
        let scene = Scene::new();
        if let Some(old) = old {
            scene.home.write("src/d/f", old);
            scene.run("copy src box:there").expect(0);
        }
        scene.home.write("src/d/f", "the content");
        scene.server.fault(&format!("upload next=1 damage\n{at} next=1 hold"));
        scene.kill_when_held("copy src box:there");
        let is_damaged = |(path, content): &(String, Vec<u8>)| {
            path == "there/d/f" && content.len() == 11 && content != b"the content"
        };
        assert!(scene.server.files().iter().any(is_damaged), "the node has stored damage");
        scene
    }

    #[track_caller]
    fn holds_the_content(&self) {
        self.run("check src box:there").expect(0);
        let files = self.server.files();
        assert_eq!(files, [("there/d/f".to_owned(), b"the content".to_vec())]);
    }
}

const CALLS: [&str; 2] = ["end.pl", "file/rm"];

#[test]
fn what_a_killed_process_stored_damaged_is_replaced_by_the_next_run() {
    for old in [None, Some("an older and longer content"), Some("old content")] {
        for at in CALLS {
            let scene = Scene::with_a_damaged_file(old, at);
            scene.run("copy src box:there").expect(0);
            scene.holds_the_content();
        }
    }
}

#[test]
fn what_a_killed_process_stored_damaged_is_not_taken_for_unchanged_after_a_run_that_failed_too() {
    for (old, at) in [(None, CALLS[0]), (Some("an older and longer content"), CALLS[1])] {
        let scene = Scene::with_a_damaged_file(old, at);
        for _ in 0..2 {
            scene.server.fault("upload every reset-after 5");
            let run = scene.run("copy src box:there");
            assert_ne!(run.code, 0, "{}", run.stderr);
            scene.server.fault("clear");
        }
        scene.run("copy src box:there").expect(0);
        scene.holds_the_content();
    }
}

#[test]
fn damage_that_could_not_be_removed_is_not_taken_for_unchanged() {
    let scene = Scene::new();
    scene.home.write("src/d/f", "the content");
    scene.server.fault("upload every damage\nfile/rm every ko 403 Something new #777");
    let run = scene.run("copy src box:there");
    assert_ne!(run.code, 0, "{}", run.stderr);
    scene.server.fault("clear");
    scene.run("copy src box:there").expect(0);
    scene.holds_the_content();
}

#[test]
fn what_is_ignored_because_it_exists_stays_also_where_an_upload_was_killed() {
    let scene = Scene::with_a_damaged_file(None, "file/rm");
    let run = scene.run("copy --ignore-existing src box:there");
    // What is there is not what was sent, and this run may not replace it: that is no success.
    assert_ne!(run.code, 0, "{}", run.stderr);
    scene.run("copy src box:there").expect(0);
    scene.holds_the_content();
}

#[test]
fn one_answer_that_a_folder_is_gone_does_not_give_up_what_a_killed_process_stored() {
    let scene = Scene::new();
    scene.home.write("src/d/f", "an older and longer content");
    scene.run("copy src box:there").expect(0);
    scene.home.write("src/d/f", "the new content");
    // The new version is stored and proven, and the old one is about to go.
    scene.server.fault("file/rm next=1 hold");
    scene.kill_when_held("copy src box:there");
    assert_eq!(scene.server.stat("files"), 2);
    scene.home.write("src/d/f", "the content");
    scene.server.fault("folder/ls next=1 ko 404 Resource not found #469");
    // It may fail, and it must not forget.
    scene.run("copy src box:there");
    scene.server.fault("clear");
    scene.run("copy src box:there").expect(0);
    scene.holds_the_content();
}

#[test]
fn what_was_brought_after_its_folder_before_the_process_was_killed_is_there_once() {
    // When the file has been brought after, and when the old version in the moved folder is asked about.
    let moments = ["file/mv next=1 hold-answer", "file/info nth=2 hold"];
    let thirds = [None, Some("the third one"), Some("content of the second Version")];
    for (at, third) in moments.into_iter().flat_map(|at| thirds.map(|third| (at, third))) {
        let scene = Scene::new();
        scene.home.write("src/d/f", "an old content");
        scene.run("copy src box:there").expect(0);
        scene.home.write("src/d/f", "content of the second version");
        // Others move the folder when the new version is about to be sent into it.
        let moves = "upload/get_upload_server nth=1 move there/d > kept";
        scene.server.fault(&format!("{moves}\n{at}"));
        scene.kill_when_held("sync --max-delete 100% src box:there");
        if let Some(third) = third {
            scene.home.write("src/d/f", third);
        }
        scene.run("sync --checksum --max-delete 100% src box:there").expect(0);
        let files = scene.server.files();
        let count = |path: &str| files.iter().filter(|(known, _)| known == path).count();
        assert_eq!((count("there/d/f"), count("kept/f")), (1, 1), "{at} {third:?} {files:?}");
        scene.run("check src box:there").expect(0);
    }
}

#[test]
fn another_job_knows_what_a_killed_process_has_stored_while_listings_lag() {
    for old in [None, Some("an older and longer content")] {
        let scene = Scene::new();
        scene.home.write("src/d/g", "another file");
        if let Some(old) = old {
            scene.home.write("src/d/f", old);
        }
        scene.run("copy src box:there").expect(0);
        scene.server.lag("changes 40");
        scene.home.write("src/d/f", "the content");
        scene.server.fault("end.pl next=1 hold");
        scene.kill_when_held("copy src box:there");
        let there = || {
            let files = scene.server.files();
            files.into_iter().filter(|(path, _)| path == "there/d/f").count()
        };
        // A job with another destination, which knows nothing of the one that was killed. The old version is left to that one.
        scene.run("copy --checksum src/d box:there/d").expect(0);
        assert_eq!(there(), if old.is_none() { 1 } else { 2 }, "{old:?}");
        scene.run("copy src box:there").expect(0);
        assert_eq!(there(), 1, "{old:?}");
        scene.server.lag("0s");
        scene.run("check src box:there").expect(0);
    }
}
