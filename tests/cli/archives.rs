//! Archiving and hashing in one pass: the manifest that a `copy` leaves, and the ways in which it leaves none.

use std::fs;

use serde_json::Value;

use crate::support::{Home, tree};

fn summary(lines: &[Value]) -> &Value {
    lines.last().expect("a summary")
}

fn files(home: &Home) {
    home.write("a/d/one", "one");
    home.write("a/d/two", "two");
    home.write("a/empty", "");
    // It has parts.
    home.write("a/large", &"0123456789abcdef".repeat(300_000));
}

fn count(lines: &[Value], name: &str) -> u64 {
    summary(lines)["counts"][name].as_u64().expect("a count")
}

#[test]
fn a_copy_leaves_a_manifest_without_reading_anything_twice() {
    let home = Home::new();
    files(&home);
    let lines = home.json(0, &["copy", "a", "b", "--manifest", "m.gz"]);
    assert_eq!((count(&lines, "copied"), count(&lines, "digest_bytes_read")), (4, 0));
    assert_eq!(summary(&lines)["manifest"]["counts"]["entries"], 4);
    let root = &summary(&lines)["manifest"]["root"];
    let lines = home.json(0, &["manifest", "verify", "m.gz", "b"]);
    assert_eq!((count(&lines, "ok"), &summary(&lines)["root"]), (4, root));
    // It says what reading says, parts included.
    home.expect(0, &["manifest", "create", "b", "-o", "read", "--no-cache"]);
    home.expect(0, &["manifest", "diff", "m.gz", "read"]);
    let lines = home.json(0, &["manifest", "verify", "read", "b"]);
    assert_eq!(&summary(&lines)["root"], root);
    // Nothing of it is left in the records of the job.
    let left = fs::read_dir(home.path(".state/ketch/jobs")).expect("jobs");
    for job in left {
        assert!(!job.expect("a job").path().join("facts.redb").exists());
    }
}

#[test]
fn what_was_there_before_is_in_the_manifest_too_and_is_read_once() {
    let home = Home::new();
    files(&home);
    home.expect(0, &["copy", "a", "b"]);
    home.write("b/extra", "extra");
    home.write("a/new", "new");
    let lines = home.json(0, &["copy", "a", "b", "--manifest", "m"]);
    assert_eq!((count(&lines, "copied"), count(&lines, "digest_files_read")), (1, 5));
    home.expect(0, &["manifest", "verify", "m", "b"]);
    assert!(home.read("m").contains("\"path\":\"extra\""));
    // A sync has no extra files.
    home.expect(0, &["sync", "a", "b", "--manifest", "m"]);
    assert!(!home.read("m").contains("\"path\":\"extra\""));
    home.expect(0, &["manifest", "verify", "m", "b"]);
}

#[test]
fn a_manifest_in_the_destination_is_no_part_of_itself() {
    let home = Home::new();
    files(&home);
    for arguments in [
        &["copy", "a", "b", "--manifest", "b/M"][..],
        &["copy", "a", "b", "--manifest", "b/M"],
        &["sync", "a", "b", "--manifest", "b/M", "--exclude", "/M"],
        &["manifest", "create", "b", "-o", "b/M"],
        &["manifest", "update", "b/M", "b"],
    ] {
        home.expect(0, arguments);
        let lines = home.json(0, &["manifest", "verify", "b/M", "b"]);
        assert_eq!((count(&lines, "ok"), count(&lines, "extra")), (4, 0), "{arguments:?}");
        assert_eq!(tree(&home.path("b")).len(), 5, "{arguments:?}");
    }
    let before = home.read("b/M");
    let outcome = home.expect(2, &["sync", "a", "b", "--manifest", "b/M"]);
    assert!(outcome.stderr.contains("--exclude"), "{}", outcome.stderr);
    assert_eq!(home.read("b/M"), before);
}

#[test]
fn a_job_that_did_not_do_everything_leaves_the_old_manifest() {
    let home = Home::new();
    files(&home);
    home.write("m", "old");
    // A file where the source has a folder: one item fails.
    home.write("b/d", "in the way");
    let lines = home.json(23, &["copy", "a", "b", "--manifest", "m"]);
    assert_eq!(summary(&lines)["manifest"], Value::Null);
    assert_eq!(home.read("m"), "old");
    home.expect(0, &["copy", "-n", "a", "c", "--manifest", "m"]);
    home.expect(2, &["plan", "copy", "a", "c", "--manifest", "m"]);
    assert_eq!(home.read("m"), "old");
    // Where it cannot be written nothing is done at all.
    home.expect(1, &["copy", "a", "c", "--manifest", "nowhere/m"]);
    assert!(!home.path("c").exists());
    assert_eq!(fs::read_dir(home.path(".")).expect("home").filter(is_unfinished).count(), 0);
}

fn is_unfinished(entry: &std::io::Result<fs::DirEntry>) -> bool {
    let name = entry.as_ref().expect("readable").file_name();
    name.to_string_lossy().contains("ketch-new")
}

#[test]
fn the_manifest_of_an_upload_has_the_digests_of_both_sides() {
    let home = Home::new();
    files(&home);
    home.expect(0, &["copy", "a", "sandbox:x", "--manifest", "m"]);
    assert!(
        home.read("m")
            .lines()
            .skip(1)
            .take(3)
            .all(|line| { line.contains("\"blake3\"") && line.contains("\"whirlpool\"") })
    );
    let lines = home.json(0, &["manifest", "verify", "m", "sandbox:x", "--download"]);
    assert_eq!(count(&lines, "ok"), 3);
    // The empty file cannot be stored there; it is all that is missing, or extra on the other side.
    let lines = home.json(1, &["manifest", "verify", "m", "a"]);
    assert_eq!((count(&lines, "ok"), count(&lines, "extra")), (3, 1));
}
