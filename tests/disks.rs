//! Disks that do what others do not: they lose bytes and say so late, list sizes that are not true, keep no times or coarse
//! ones, refuse what is optional. Skipped, with a word on why, where nothing can be mounted.

#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "support/fuse.rs"]
mod fuse;
mod support;

use std::fs;

use fuse::{Faults, Mount, Times};
use support::{Home, tree};

/// Shows the folder `real` of a home at its folder `m`.
fn mount(home: &Home, faults: Faults) -> Option<Mount> {
    Mount::new(home.path("real"), home.path("m"), faults)
}

fn read(home: &Home, name: &str) -> String {
    fs::read_to_string(home.path(name)).unwrap()
}

/// The counts of a job, from its last JSON line.
fn counts(stdout: &str) -> serde_json::Value {
    let last = stdout.lines().last().unwrap();
    serde_json::from_str::<serde_json::Value>(last).unwrap()["counts"].clone()
}

#[test]
fn what_is_lost_when_a_file_is_closed_gets_no_name() {
    let home = Home::new();
    home.write("a/lost", "new");
    home.write("a/lost-large", vec![7; 300_000]);
    home.write("a/kept", "kept");
    home.write("real/old/lost", "what was there");
    let Some(_mount) = mount(&home, Faults { close_fails: Some("lost"), ..Faults::default() })
    else {
        return;
    };
    for fsync in ["none", "file"] {
        let run = home.run(["copy", "a", "m/b", "--fsync", fsync]).expect(23);
        assert!(run.stderr.contains("input/output error"), "{}", run.stderr);
        assert_eq!(fs::read_dir(home.path("real/b")).unwrap().count(), 1, "only `kept`");
        assert_eq!(read(&home, "real/b/kept"), "kept");
        home.run(["copy", "a", "m/old", "--fsync", fsync]).expect(23);
        assert_eq!(read(&home, "real/old/lost"), "what was there");
    }
    home.run(["move", "a", "m/c"]).expect(23);
    assert_eq!(read(&home, "a/lost"), "new", "it stays at the source");
    // What ketch itself writes down is looked at in the same way.
    for arguments in [
        ["plan", "copy", "a", "other", "-o", "m/lost.plan"],
        ["manifest", "create", "a", "-o", "m/lost.jsonl", "-q"],
        ["check", "a", "a", "--combined", "m/lost.txt", "-q"],
    ] {
        let run = home.run(arguments);
        assert_ne!(run.code, 0, "{arguments:?}: {}", run.stderr);
        assert!(!home.path("m/lost.plan").exists() && !home.path("m/lost.jsonl").exists());
    }
    let output = fs::File::create(home.path("m/lost-output")).unwrap();
    let status = home.command().args(["ls", "a"]).stdout(output).status().unwrap();
    assert!(!status.success(), "standard output was a file that could not be closed");
}

#[test]
fn a_size_that_is_not_true_is_found_out_by_everything_that_reads() {
    let home = Home::new();
    home.write("real/d/doc", "precious");
    home.write("real/d/doc2", "x");
    home.write("same/doc", "");
    home.write("same/doc2", "x");
    let Some(_mount) = mount(&home, Faults { empty_name: Some("doc"), ..Faults::default() }) else {
        return;
    };
    for arguments in [
        ["copy", "m/d", "b"],
        ["move", "m/d", "c"],
        ["check", "m/d", "same"],
        ["check", "same", "m/d"],
        ["copy", "m/d", "sandbox:s"],
    ] {
        let run = home.run(arguments);
        assert_ne!(run.code, 0, "{arguments:?}: {}", run.stderr);
        let text = format!("{}{}", run.stdout, run.stderr);
        assert!(text.contains("holds more"), "{arguments:?}: {text}");
    }
    for arguments in [vec!["cat", "m/d/doc"], vec!["hashsum", "blake3", "m/d"]] {
        let run = home.run(&arguments);
        assert_ne!(run.code, 0, "{arguments:?}: {}", run.stderr);
    }
    home.run(["manifest", "create", "m/d", "-o", "list.jsonl"]);
    let list = fs::read_to_string(home.path("list.jsonl")).unwrap_or_default();
    assert!(!list.contains("\"doc\""), "{list}");
    assert_eq!(read(&home, "real/d/doc"), "precious");
    assert!(!home.path("b/doc").exists() && !home.path("c/doc").exists());
    assert_eq!(read(&home, "b/doc2"), "x");
}

#[test]
fn files_that_the_system_makes_up_are_not_stored_short_or_empty() {
    let home = Home::new();
    // A size of 0 with content, and a size of 4096 with few bytes.
    for (file, name) in
        [("/proc/version", "version"), ("/sys/kernel/mm/transparent_hugepage/enabled", "enabled")]
    {
        let Ok(content) = fs::read(file) else {
            println!("skipped: there is no {file}");
            continue;
        };
        let run = home.run(["copy", file, "p"]);
        let stored = fs::read(home.path("p").join(name)).ok();
        match run.code {
            0 => assert_eq!(stored, Some(content), "{file}"),
            _ => assert_eq!(stored, None, "{file}: {}", run.stderr),
        }
    }
}
