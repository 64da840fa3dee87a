//! Folders that a listing does not show as a whole: every command says so, and none takes a part for all there is.

use crate::Scene;

/// Every command that lists, on a place in the remote and with what is on this machine. `back` holds what `src` does.
const COMMANDS: [&str; 14] = [
    "ls box:many",
    "ls -R box:",
    "tree box:",
    "size box:many",
    "hashsum whirlpool box:many",
    "dedupe --rule newest box:many",
    "manifest create --output out.manifest box:many",
    "check src box:",
    "check box: back",
    "sync --max-delete 100% src box:",
    "sync --max-delete 100% box: back",
    "copy box: back",
    "move box: back",
    "delete box:many",
];

/// Nothing is gone, on either side, whatever is run; and all of it ends with a failure that says `words`.
#[track_caller]
fn refuses(scene: &Scene, files: u64, words: &str) {
    for folder in ["src", "back"] {
        scene.home.write(format!("{folder}/many/own"), "own");
        scene.home.write(format!("{folder}/kept/own"), "own");
    }
    for command in COMMANDS {
        let run = scene.run(command);
        assert_ne!(run.code, 0, "{command}: {}", run.stderr);
        // `check` tells what it could not compare among its answers.
        let told = format!("{}{}", run.stdout, run.stderr);
        assert!(told.contains(words), "{command}: {told}");
        let is_part = |line: &&str| line.contains("many/f0") || line.contains("many/d0");
        let listed = run.stdout.lines().filter(is_part).count();
        assert_eq!(listed, 0, "{command} shows a part of it: {}", run.stdout);
    }
    // `purge` removes folder by folder, and what it cannot see stays.
    let run = scene.run("purge box:many");
    assert!(run.code != 0 && run.stderr.contains(words), "purge: {}", run.stderr);
    for folder in ["src", "back"] {
        assert_eq!(std::fs::read(scene.home.path(format!("{folder}/many/own"))).unwrap(), b"own");
    }
    // What is beside the folder was synced: one small file.
    assert!((files..=files + 1).contains(&scene.server.stat("files")), "nothing was deleted");
}

#[test]
fn a_folder_of_more_folders_than_are_listed_is_told_of_by_every_command() {
    let scene = Scene::new();
    scene.server.plant("folders", "5001 many");
    refuses(&scene, 0, "5000 folders or more");
}

#[test]
fn a_folder_of_more_files_than_can_be_listed_is_told_of_by_every_command() {
    let scene = Scene::new();
    scene.server.plant("plant", "5001 0 many");
    refuses(&scene, 5_001, "the folder has 5001 files");
}

#[test]
fn a_folder_of_more_files_than_the_time_allows_is_told_of_after_one_listing() {
    let scene = Scene::new();
    let items: Vec<String> = (0..5_000)
        .map(|number| {
            format!(r#"{{"url":"http://1fichier.com/?{number}","filename":"{number}","size":1,"date":"2024-05-01 00:00:00"}}"#)
        })
        .collect();
    let answer = format!(
        r#"{{"status":"OK","files":250000,"sub_folders":[],"items":[{}]}}"#,
        items.join(",")
    );
    scene.server.fault(&format!("folder/ls every json 200 {answer}"));
    let run = scene.run("ls box:");
    assert!(run.code != 0 && run.stdout.is_empty(), "{}", run.stderr);
    run.says("the folder has 250000 files").says("too many for the time");
    assert_eq!(scene.api_requests(), 1);
    scene.home.write("back/f", "content");
    let run = scene.run("sync --max-delete 100% box: back");
    assert_ne!(run.code, 0);
    assert!(scene.home.path("back/f").exists(), "nothing was deleted");
}

#[test]
fn a_listing_with_fewer_files_than_are_told_of_is_no_listing() {
    let scene = Scene::new();
    scene.home.write("src/d/f", "content");
    scene.run("copy src box:there").expect(0);
    scene.run("copy box:there back").expect(0);
    scene.server.fault(
        "folder/ls every json 200 {\"status\":\"OK\",\"files\":2,\"sub_folders\":[],\"items\":[]}",
    );
    for command in ["ls box:there", "sync --max-delete 100% box:there back", "check box:there back"]
    {
        let run = scene.run(command);
        assert_ne!(run.code, 0, "{command}");
        assert!(run.stderr.contains("shows 0 of 2 files"), "{command}: {}", run.stderr);
    }
    assert!(scene.home.path("back/d/f").exists(), "nothing was deleted");
}
