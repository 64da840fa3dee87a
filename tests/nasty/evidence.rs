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
        // Folders are listed at the same time, so `there/b` may have been listed before the file came to it. Then ketch
        // stored the file beside it. That is told, and put right by the person who moved it.
        let twins = scene.paths().iter().filter(|(path, _)| path == "there/b/f").count();
        if twins == 2 {
            run.expect(0);
            let told = scene.run("check src box:there").expect(23).stdout;
            assert!(told.contains("several of that name"), "{told}");
            scene.run("dedupe --rule newest box:there/b").expect(0);
        } else if run.code != 0 {
            // The next run finds it where it is.
            scene.run("sync --max-delete 100% src box:there").expect(0);
        }
        scene.run("check src box:there").expect(0);
        scene.holds_once(&[PRECIOUS, "other", "more"]);
    }
}

#[test]
fn of_many_deletions_none_takes_what_others_have_moved_or_renamed_meanwhile() {
    let moves = [
        ("there/a/extra0", "kept/g"),
        ("there/a/extra0", "there/a/renamed"),
        ("there/c/extra3", "there/b/extra9"),
        ("there/b", "kept/b"),
        ("there", "kept/there"),
    ];
    for (from, to) in moves {
        // What is under another name in the tree before the plan is made is deleted under that one.
        let first = if to.starts_with("kept") { 1 } else { 6 };
        for moment in first..=20 {
            let scene = Scene::new();
            for (index, folder) in ["a", "b", "c"].iter().enumerate() {
                scene.home.write(format!("src/{folder}/keep"), format!("keep {folder}"));
                scene.home.write(format!("old/{folder}/keep"), format!("keep {folder}"));
                for extra in 0..4 {
                    let content = format!("extra {}", index * 4 + extra);
                    scene.home.write(format!("old/{folder}/extra{extra}"), content);
                }
            }
            scene.run("copy old box:there").expect(0);
            scene.home.write("out/x", "x");
            scene.run("copy out box:kept").expect(0);
            let before = scene.server.stat("folder/ls");
            scene.server.fault(&format!("folder/ls nth={moment} move {from} > {to}"));
            let run = scene.run("sync --max-delete 100% src box:there");
            if scene.server.stat("folder/ls") - before < moment {
                break;
            }
            let paths: Vec<String> = scene.paths().into_iter().map(|(path, _)| path).collect();
            let is_below = |path: &String| *path == to || path.starts_with(&format!("{to}/"));
            // The folder above them all is known by its number, so what is below it is found again.
            let least = if from == "there" {
                3
            } else if from == "there/b" {
                5
            } else {
                1
            };
            let moved = paths.iter().filter(|path| is_below(path)).count();
            assert!(moved >= least, "{from} > {to} at {moment}: {paths:?} {}", run.stderr);
        }
    }
}

#[test]
fn an_extra_that_may_be_the_only_copy_of_what_could_not_be_stored_is_not_deleted() {
    let scene = Scene::new();
    for (path, content) in
        [("a/x", "the content"), ("a/old", "no longer at the source"), ("b/y", "y")]
    {
        scene.home.write(format!("src/{path}"), content);
    }
    scene.run("copy src box:there").expect(0);
    std::fs::remove_file(scene.home.path("src/a/old")).unwrap();
    // The source has moved it, and 1fichier does not take it at its new place.
    std::fs::rename(scene.home.path("src/a/x"), scene.home.path("src/b/x")).unwrap();
    scene.server.fault("upload/get_upload_server every ko 403 Something new #777");
    let paths = || {
        let mut paths: Vec<String> =
            scene.server.files().into_iter().map(|(path, _)| path).collect();
        paths.sort();
        paths
    };
    for _ in 0..2 {
        let run = scene.run("sync --max-delete 100% src box:there");
        assert_ne!(run.code, 0, "{}", run.stderr);
        assert!(paths().contains(&"there/a/x".to_owned()), "{:?} {}", paths(), run.stderr);
    }
    scene.server.fault("clear");
    scene.run("sync --max-delete 100% src box:there").expect(0);
    assert_eq!(paths(), ["there/b/x", "there/b/y"]);
}

#[test]
fn a_folder_that_lists_itself_has_an_end_and_nothing_is_deleted_through_it() {
    for name in ["loop", "d"] {
        let scene = Scene::new();
        scene.home.write("src/d/f", PRECIOUS);
        scene.home.write("src/d/e/g", "deep");
        scene.run("copy src box:there").expect(0);
        scene.server.fault(&format!("folder/ls every loop {name}"));
        for command in ["ls -R box:there", "tree box:", "size box:", "check src box:there"] {
            scene.run(command);
        }
        for command in [
            "sync --max-delete 100% src box:there",
            "sync --max-delete 100% --checksum src box:there",
            "sync --max-delete 100% box:there back",
        ] {
            scene.run(command);
            scene.holds_once(&[PRECIOUS, "deep"]);
        }
        assert_eq!(std::fs::read(scene.home.path("back/d/f")).unwrap(), PRECIOUS.as_bytes());
        // The copy of a loop has an end, too.
        assert!(!scene.home.path(format!("back/{name}/{name}")).exists(), "{name}");
    }
}

#[test]
fn a_folder_that_is_listed_in_two_places_loses_nothing_in_one_of_them() {
    let scene = Scene::new();
    scene.home.write("src/a/f", PRECIOUS);
    scene.home.write("src/b/g", "other");
    scene.run("copy src box:there").expect(0);
    scene.server.fault("folder/ls every alias there/a");
    scene.run("sync --max-delete 100% src box:there");
    scene.holds_once(&[PRECIOUS, "other"]);
}

#[test]
fn one_answer_that_something_is_not_there_is_not_believed() {
    for fault in ["ko 404 Resource not found #469", "ko 404 Folder not found #511", "status 404"] {
        for moment in 1..=4 {
            for command in [
                "copy src box:there",
                "sync --max-delete 100% src box:there",
                "move --no-journal src2 box:there",
            ] {
                let scene = Scene::new();
                for source in ["src", "src2"] {
                    scene.home.write(format!("{source}/d/f"), PRECIOUS);
                    scene.home.write(format!("{source}/d/e/g"), "deep");
                }
                scene.run("copy src box:there").expect(0);
                scene.server.fault(&format!("folder/ls nth={moment} {fault}"));
                let run = scene.run(command);
                scene.server.fault("clear");
                assert_eq!(scene.server.stat("folders"), 3, "{fault} {moment} {command}");
                scene.holds_once(&[PRECIOUS, "deep"]);
                if run.code != 0 {
                    scene.run(command).expect(0);
                    scene.holds_once(&[PRECIOUS, "deep"]);
                }
            }
        }
    }
}

#[test]
fn a_top_folder_that_is_never_found_is_an_error_and_nothing_is_concluded() {
    let scene = Scene::new();
    scene.home.write("src/d/f", PRECIOUS);
    scene.run("copy src box:").expect(0);
    scene.home.write("back/mine", "mine");
    scene.server.fault("folder/ls every ko 404 Resource not found #469");
    for command in ["copy src box:", "sync --max-delete 100% src box:", "ls box:", "check src box:"]
    {
        assert_ne!(scene.run(command).code, 0, "{command}");
    }
    assert_ne!(scene.run("sync --max-delete 100% box: back").code, 0);
    assert!(scene.home.path("back/mine").exists());
    scene.server.fault("clear");
    scene.holds_once(&[PRECIOUS]);
}

#[test]
fn what_listings_do_not_show_yet_is_neither_stored_again_nor_made_again() {
    let scene = Scene::new();
    for number in 0..20 {
        scene.home.write(format!("src/d{}/f{number}", number % 3), format!("content {number}"));
    }
    scene.server.lag("60s");
    for command in ["copy src box:there", "copy src box:there", "sync src box:there"] {
        scene.run(command).expect(0);
        assert_eq!(
            (scene.server.stat("files"), scene.server.stat("folders")),
            (20, 4),
            "{command}"
        );
    }
    scene.run("check src box:there").expect(0);
    // What was removed is still shown, and must be stored again when it is wanted again.
    scene.run("delete box:there/d0/f0").expect(0);
    scene.run("copy src box:there").expect(0);
    assert_eq!(scene.server.stat("files"), 20);
    scene.home.write("src/d1/f1", "another content");
    for _ in 0..2 {
        scene.run("sync src box:there").expect(0);
        assert_eq!(scene.server.stat("files"), 20);
    }
    scene.run("check src box:there").expect(0);
}

#[test]
fn what_others_take_away_right_after_it_was_stored_is_not_called_there_however_many_they_are() {
    let scene = Scene::new();
    for number in 0..100 {
        scene.home.write(format!("src/f{number}"), format!("content {number}"));
    }
    scene.run("copy src box:there").expect(0);
    let takes: Vec<String> =
        (0..100).map(|number| format!("* nth=1 take there/f{number}")).collect();
    scene.server.fault(&takes.join("\n"));
    // It may say that it does not know; what it does not say is that they are there.
    for _ in 0..2 {
        let run = scene.run("copy src box:there");
        assert!(run.code != 0 || scene.server.stat("files") == 100, "{}", run.stderr);
    }
    assert_eq!(scene.server.stat("files"), 100);
}

#[test]
fn an_old_version_whose_removal_was_refused_is_removed_by_the_next_job() {
    for (refusal, next) in [
        ("ko 403 Something new #777", "sync src box:there"),
        ("ko 403 Something new #777", "copy src box:there"),
        ("status 500", "sync src box:there"),
        ("ko 200 Resource not allowed #631", "move src box:there"),
    ] {
        let scene = Scene::new();
        scene.home.write("src/f", "old");
        scene.run("copy src box:there").expect(0);
        scene.home.write("src/f", "new version");
        scene.server.fault(&format!("file/rm every {refusal}"));
        let run = scene.run("sync src box:there");
        assert_ne!(run.code, 0, "{refusal}: two files of one name are no success");
        assert_eq!(scene.server.stat("files"), 2);
        scene.server.fault("clear");
        // What only looks changes nothing, and does not show it.
        scene.run("check src box:there").expect(0);
        assert_eq!(scene.run("ls box:there").expect(0).stdout.lines().count(), 1);
        scene.run("sync --dry-run src box:there").expect(0);
        assert_eq!(scene.server.stat("files"), 2);
        scene.run(next).expect(0);
        scene.holds_once(&["new version"]);
    }
}

#[test]
fn an_old_version_that_stayed_goes_with_the_new_one_and_is_not_brought_back() {
    for command in
        ["delete box:there/f", "purge box:there", "sync --max-delete 100% empty box:there"]
    {
        let scene = Scene::new();
        scene.home.write("src/f", "old");
        scene.run("copy src box:there").expect(0);
        scene.home.write("src/f", "new version");
        scene.home.write("empty/other", "other");
        scene.server.fault("file/rm every ko 403 Something new #777");
        assert_ne!(scene.run("sync src box:there").code, 0);
        scene.server.fault("clear");
        scene.run(command).expect(0);
        let contents = scene.contents();
        assert!(
            !contents.contains_key("old") && !contents.contains_key("new version"),
            "{command}"
        );
    }
}

#[test]
fn a_name_that_no_text_can_hold_is_one_unusable_name_and_the_rest_of_its_folder_is_there() {
    let scene = Scene::new();
    scene.home.write("src/f", "content");
    scene.home.write("src/d/g", "deep");
    scene.run("copy src box:there").expect(0);
    scene.server.fault("folder/ls every lone-surrogate");
    let listed = scene.run("ls -R box:there").stdout;
    assert!(listed.contains(" f\n") && listed.contains(" d/g\n"), "{listed}");
    scene.run("copy box:there back");
    assert_eq!(std::fs::read(scene.home.path("back/d/g")).unwrap(), b"deep");
    scene.run("sync --max-delete 100% src box:there");
    scene.holds_once(&["content", "deep"]);
}

#[test]
fn what_cannot_be_addressed_cannot_be_purged_and_that_is_said() {
    for name in ["..", "."] {
        let scene = Scene::new();
        scene.home.write("src/f", "content");
        scene.home.write("src/d/g", "deep");
        scene.run("copy src box:there").expect(0);
        scene.server.fault(&format!("folder/ls nth=1 move there/d/g > there/d/{name}"));
        scene.run("ls box:");
        scene.server.fault("clear");
        let run = scene.run("purge box:there");
        assert!(scene.contents().contains_key("deep"));
        assert_ne!(run.code, 0, "{}", run.stderr);
        assert_ne!(scene.run("rmdir box:there/d").code, 0);
    }
}

#[test]
fn two_folders_of_one_name_are_shown_as_one_that_holds_what_is_in_both() {
    let scene = Scene::new();
    scene.home.write("src/d/f", "one");
    scene.home.write("src/e/g", "two");
    scene.run("copy src box:there").expect(0);
    // Another client gives the second folder the name of the first.
    scene.server.fault("folder/ls nth=1 move there/e > there/d");
    scene.run("ls box:");
    scene.server.fault("clear");
    let listed = scene.run("ls -R box:there").expect(0).stdout;
    for path in [" d/f\n", " d/g\n"] {
        assert_eq!(listed.matches(path).count(), 1, "{listed}");
    }
    assert_eq!(scene.run("ls box:there").expect(0).stdout.lines().count(), 1);
    scene.run("copy box:there back").expect(0);
    assert_eq!(std::fs::read(scene.home.path("back/d/g")).unwrap(), b"two");
    // What is there is found in whichever it is, and stored nowhere else.
    scene.run("sync back box:there").expect(0);
    scene.holds_once(&["one", "two"]);
    scene.home.write("back/d/g", "two, changed");
    scene.run("sync back box:there").expect(0);
    scene.holds_once(&["one", "two, changed"]);
    scene.run("purge box:there").expect(0);
    assert_eq!((scene.server.stat("files"), scene.server.stat("folders")), (0, 0));
}

#[test]
fn a_folder_of_exactly_as_many_files_as_are_listed_is_complete() {
    let scene = Scene::new();
    scene.server.plant("plant", "5000 0 many");
    assert_eq!(scene.run("ls box:many").expect(0).stdout.lines().count(), 5_000);
}

#[test]
fn a_listing_without_folders_or_sizes_is_never_taken_for_all_there_is() {
    let scene = Scene::new();
    scene.home.write("src/d/f", "content");
    scene.home.write("src/top", "top");
    scene.run("copy src box:there").expect(0);
    scene.home.write("back/d/mine", "mine");
    for is_fresh in [false, true] {
        if is_fresh {
            std::fs::remove_dir_all(scene.home.path("state")).unwrap();
        }
        scene.server.fault("folder/ls every no-sub-folders");
        for command in ["ls box:there", "ls -R box:", "stat box:there/d", "check src box:there"] {
            assert_ne!(scene.run(command).code, 0, "{is_fresh} {command}");
        }
        assert_ne!(scene.run("sync --max-delete 100% box:there back").code, 0);
        assert!(scene.home.path("back/d/mine").exists(), "nothing was deleted");
        scene.server.fault("clear");
        scene.server.fault("folder/ls every null-field size");
        // The size is asked for.
        let listed = scene.run("ls box:there").expect(0).stdout;
        assert!(listed.contains("3 ") && listed.contains(" top"), "{listed}");
        scene.server.fault("file/info every null-field size");
        for command in ["ls box:there", "stat box:there/top"] {
            assert_ne!(scene.run(command).code, 0, "{is_fresh} {command}");
        }
        scene.server.fault("clear");
    }
    scene.run("check src box:there").expect(0);
}

#[test]
fn a_removal_that_is_answered_with_not_found_is_not_believed_while_the_file_is_known() {
    let scene = Scene::new();
    scene.home.write("old/d/f", "extra");
    scene.home.write("old/d/other", "other");
    scene.run("copy old box:there").expect(0);
    scene.home.write("src/d/other", "other");
    scene.server.fault("file/rm next=1 ko 404 Resource not found #469");
    scene.run("sync --max-delete 100% src box:there");
    scene.server.fault("clear");
    // Nothing hides it from the next run.
    scene.run("sync --max-delete 100% src box:there").expect(0);
    scene.holds_once(&["other"]);
}
