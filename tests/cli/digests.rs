//! What was read once is not read again: the digest cache, in `check` and in `sync --checksum`.

use std::fs;

use serde_json::Value;

use crate::support::Home;

/// More runs than any clock needs to move on.
const MANY: usize = 2_000;

fn count(lines: &[Value], name: &str) -> u64 {
    lines.last().expect("a summary")["counts"][name].as_u64().expect("a count")
}

/// Runs until a run reads nothing: what was written a moment ago is read again until the clock has moved on.
#[track_caller]
fn until_nothing_is_read(home: &Home, arguments: &[&str]) -> Vec<Value> {
    for _ in 0..MANY {
        let lines = home.json(0, arguments);
        if count(&lines, "digest_bytes_read") == 0 {
            assert_eq!(count(&lines, "digest_files_read"), 0);
            return lines;
        }
    }
    panic!("{arguments:?} reads data in every one of {MANY} runs");
}

/// Writes a file and gives it a time of long ago.
fn write_old(home: &Home, below: &str, content: &str) {
    home.write(below, content);
    let file = fs::File::options().write(true).open(home.path(below)).expect("a file");
    file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000))
        .expect("a time");
}

#[test]
fn a_second_check_of_disks_reads_no_data() {
    let home = Home::new();
    for number in 0..20 {
        for side in ["a", "b"] {
            home.write(&format!("{side}/d{}/f{number}", number % 3), &"x".repeat(number * 100));
        }
    }
    let lines = home.json(0, &["check", "a", "b"]);
    assert_eq!((count(&lines, "equal"), count(&lines, "equal_by_content")), (20, 20));
    // The empty one has no bytes to read.
    assert_eq!(count(&lines, "digest_files_read"), 40);
    let lines = until_nothing_is_read(&home, &["check", "a", "b"]);
    assert_eq!((count(&lines, "equal"), count(&lines, "digests_from_cache")), (20, 40));

    // One byte of one file, with its size and time as before: this pair is read, and only this.
    let time = fs::metadata(home.path("b/d1/f7")).expect("a file").modified().expect("a time");
    home.write("b/d1/f7", &format!("{}y", "x".repeat(699)));
    let file = fs::File::options().write(true).open(home.path("b/d1/f7")).expect("a file");
    file.set_modified(time).expect("a time");
    let lines = home.json(1, &["check", "a", "b"]);
    assert_eq!((count(&lines, "equal"), count(&lines, "differing")), (19, 1));
    assert_eq!(count(&lines, "digest_files_read"), 2);
    let verdict = lines.iter().find(|line| line["verdict"] == "content_differs");
    assert_eq!(verdict.expect("a verdict")["path"], "d1/f7");

    let all = home.json(1, &["check", "--no-cache", "a", "b"]);
    assert_eq!((count(&all, "digest_files_read"), count(&all, "digests_from_cache")), (40, 0));
}

#[test]
fn sync_by_checksum_finds_an_edit_of_the_same_size_and_reads_nothing_else() {
    let home = Home::new();
    for number in 0..12 {
        write_old(&home, &format!("a/f{number:02}"), &format!("content of {number:02}"));
    }
    let sync = ["sync", "--checksum", "a", "sandbox:s"];
    assert_eq!(count(&home.json(0, &sync), "copied"), 12);
    let lines = until_nothing_is_read(&home, &sync);
    assert_eq!((count(&lines, "unchanged"), count(&lines, "copied")), (12, 0));
    write_old(&home, "a/f05", "content of 5!");
    let lines = home.json(0, &sync);
    assert_eq!((count(&lines, "unchanged"), count(&lines, "copied")), (11, 1));
    assert_eq!((count(&lines, "digest_files_read"), count(&lines, "digests_from_cache")), (1, 11));
    // The checks share what the sync had learnt.
    let lines = until_nothing_is_read(&home, &["check", "a", "sandbox:s"]);
    assert_eq!(count(&lines, "equal_by_hash"), 12);
}

#[test]
fn the_cache_can_be_looked_at_and_emptied() {
    let home = Home::new();
    home.write("a/f", "x");
    home.write("b/f", "x");
    let files = |home: &Home| {
        let lines = home.json(0, &["cache", "stats"]);
        (lines[0]["files"].as_u64().expect("a count"), lines[0]["pairs"].as_u64().expect("a count"))
    };
    assert_eq!(files(&home), (0, 0));
    assert!(!home.path(".cache").exists(), "asking makes no cache");
    until_nothing_is_read(&home, &["check", "a", "b"]);
    assert_eq!(files(&home), (0, 1));
    until_nothing_is_read(&home, &["check", "--digest", "sha256", "a", "b"]);
    assert_eq!(files(&home), (2, 1));
    let outcome = home.expect(0, &["cache", "clear"]);
    assert!(outcome.stderr.contains("empty"), "{}", outcome.stderr);
    assert_eq!(files(&home), (0, 0));
    home.expect(0, &["cache", "clear"]);
    let lines = home.json(0, &["check", "a", "b"]);
    assert_eq!(count(&lines, "digest_files_read"), 2);
}

#[test]
fn a_cache_that_cannot_be_used_is_told_only_when_asked() {
    let home = Home::new();
    home.write("a/f", "x");
    home.write("b/f", "x");
    // A folder where the file should be.
    fs::create_dir_all(home.path(".cache/ketch/digests.redb")).expect("a folder");
    let outcome = home.expect(0, &["check", "a", "b"]);
    assert_eq!(outcome.stderr.lines().count(), 1, "{}", outcome.stderr);
    let outcome = home.expect(0, &["-v", "check", "a", "b"]);
    assert!(outcome.stderr.contains("without the digest cache: "), "{}", outcome.stderr);
}

#[test]
fn a_digest_that_is_asked_for_is_the_one_compared_by() {
    let home = Home::new();
    home.write("a/f", "x");
    home.write("b/f", "y");
    let outcome = home.expect(1, &["check", "--digest", "md5", "a", "b"]);
    assert_eq!(outcome.stdout, "* f  (md5 digests differ)\n");
    home.expect(0, &["copy", "a", "sandbox:s"]);
    let outcome = home.expect(7, &["check", "--digest", "md5", "a", "sandbox:s"]);
    assert!(outcome.stderr.contains("no md5 digest in common"), "{}", outcome.stderr);
    home.expect(2, &["check", "--digest", "crc", "a", "b"]);
}
