//! `copy`, `sync` and `check`.

use std::fs;

use serde_json::Value;

use crate::support::{Home, tree};

fn count(lines: &[Value], name: &str) -> u64 {
    lines.last().expect("a summary")["counts"][name].as_u64().expect("a count")
}

#[test]
fn a_changed_byte_is_found_by_check_and_repaired_by_checksum() {
    let home = Home::new();
    home.write("photos/a.txt", "one");
    home.write("photos/deep/down/b.txt", "two");
    let lines = home.json(0, &["sync", "photos", "sandbox:p"]);
    assert_eq!(count(&lines, "copied"), 2);
    assert_eq!(lines[0]["type"], "start");

    let outcome = home.expect(0, &["check", "photos", "sandbox:p"]);
    assert_eq!(outcome.stdout, "");
    assert!(outcome.stderr.contains("2 files equal by whirlpool"), "{}", outcome.stderr);

    // Of the same size, and old, so that neither size nor time can tell.
    home.write("photos/a.txt", "oNe");
    let old = fs::File::options().write(true).open(home.path("photos/a.txt")).expect("a file");
    old.set_modified(std::time::UNIX_EPOCH).expect("a time");
    let outcome = home.expect(1, &["check", "photos", "sandbox:p"]);
    assert_eq!(outcome.stdout, "* a.txt  (whirlpool digests differ)\n");

    let lines = home.json(0, &["sync", "--checksum", "photos", "sandbox:p"]);
    assert_eq!((count(&lines, "copied"), count(&lines, "unchanged")), (1, 1));
    home.expect(0, &["check", "photos", "sandbox:p"]);
    let lines = home.json(0, &["sync", "--checksum", "photos", "sandbox:p"]);
    assert_eq!((count(&lines, "copied"), count(&lines, "unchanged")), (0, 2));
    let plan = lines.iter().find(|line| line["type"] == "plan").expect("a plan");
    assert_eq!(plan["items"], 0);
}

#[test]
fn what_is_in_the_sandbox_comes_back() {
    let home = Home::new();
    home.write("a/x.txt", "one");
    home.write("a/d/y z.txt", "two");
    home.expect(0, &["sync", "a", "sandbox:in"]);
    // Both sides in one account.
    home.expect(0, &["sync", "sandbox:in", "sandbox:out/further"]);
    home.expect(0, &["sync", "sandbox:out/further", "b"]);
    assert_eq!(tree(&home.path("a")), tree(&home.path("b")));
}

#[test]
fn a_dry_run_prints_the_plan_and_changes_nothing() {
    let home = Home::new();
    home.write("a/new.txt", "new");
    home.write("a/same.txt", "same");
    home.write("b/old.txt", "old");
    home.expect(0, &["copy", "a/same.txt", "b"]);
    let before = tree(&home.path("b"));
    let outcome = home.expect(0, &["sync", "-n", "a", "b"]);
    assert_eq!(
        outcome.stdout,
        "copy    new.txt  (not at the destination, 3 B)\ndelete  old.txt  (not at the source)\n"
    );
    assert!(outcome.stderr.contains("would copy 1 file"), "{}", outcome.stderr);
    assert_eq!(tree(&home.path("b")), before);
    home.expect(0, &["sync", "--dry-run", "a", "sandbox:x"]);
    assert_eq!(home.expect(0, &["ls", "sandbox:"]).stdout, "");
}

#[test]
fn an_empty_source_deletes_nothing() {
    let home = Home::new();
    fs::create_dir(home.path("a")).expect("a folder");
    home.write("b/kept.txt", "kept");
    let outcome = home.expect(7, &["sync", "a", "b"]);
    assert!(outcome.stderr.contains("--allow-empty-source"), "{}", outcome.stderr);
    assert_eq!(home.read("b/kept.txt"), "kept");
    home.expect(0, &["sync", "--allow-empty-source", "a", "b"]);
    assert!(tree(&home.path("b")).is_empty());
}

#[test]
fn a_file_as_source_goes_into_the_destination_folder() {
    let home = Home::new();
    home.write("a/x.txt", "one");
    home.write("a/y.txt", "two");
    home.write("b/kept.txt", "kept");
    home.expect(0, &["sync", "a/x.txt", "b"]);
    let names: Vec<_> = tree(&home.path("b")).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["kept.txt", "x.txt"]);
    home.expect(0, &["check", "a/x.txt", "b"]);
    home.expect(0, &["copy", "a/x.txt", "sandbox:f"]);
    home.expect(0, &["copy", "sandbox:f/x.txt", "c"]);
    assert_eq!(home.read("c/x.txt"), "one");
    let outcome = home.expect(2, &["copy", "--exclude", "y*", "a/x.txt", "b"]);
    assert!(outcome.stderr.contains("one file"), "{}", outcome.stderr);
}

#[test]
fn a_missing_source_is_3() {
    let home = Home::new();
    for command in ["copy", "sync", "check"] {
        let outcome = home.expect(3, &[command, "none", "b"]);
        assert!(outcome.stderr.starts_with("ketch: ") && outcome.stderr.contains("none"));
        assert_eq!(outcome.stderr.lines().count(), 1, "{}", outcome.stderr);
    }
    home.expect(3, &["sync", "sandbox:none", "b"]);
    let lines = home.json(3, &["sync", "none", "b"]);
    assert_eq!(lines.last().expect("a summary")["exit_code"], 3);
    assert!(!home.path("b").exists());
}

#[test]
fn filters_leave_out_on_both_sides() {
    let home = Home::new();
    home.write("a/x.txt", "one");
    home.write("a/x.tmp", "tmp");
    home.write("b/y.tmp", "mine");
    home.write("rules", "# these\n- *.tmp\n");
    home.expect(0, &["sync", "--exclude", "*.tmp", "a", "b"]);
    let names = |folder: &str| -> Vec<String> {
        tree(&home.path(folder)).into_iter().map(|(name, _)| name).collect()
    };
    assert_eq!(names("b"), ["x.txt", "y.tmp"]);
    home.expect(0, &["sync", "--filter-from", "rules", "a", "c"]);
    assert_eq!(names("c"), ["x.txt"]);
    home.expect(0, &["sync", "--filter", "- *.tmp", "a", "d"]);
    assert_eq!(names("d"), ["x.txt"]);
    let mut command = home.command();
    command.env("KETCH_EXCLUDE", "*.txt").args(["sync", "a", "e"]);
    assert_eq!(crate::support::outcome(&mut command).code, 0);
    assert_eq!(names("e"), ["x.tmp"]);
    home.expect(2, &["sync", "--exclude", "[", "a", "b"]);
    home.expect(2, &["sync", "--exclude-from", "none", "a", "b"]);
}

#[test]
fn a_listed_file_that_is_not_there_is_a_failure() {
    let home = Home::new();
    home.write("a/x.txt", "one");
    home.write("a/y.txt", "two");
    home.write("list", "x.txt\nnone.txt\n");
    let outcome = home.expect(24, &["copy", "--files-from", "list", "a", "b"]);
    assert!(outcome.stderr.contains("none.txt"), "{}", outcome.stderr);
    assert_eq!(tree(&home.path("b")), [("x.txt".to_owned(), "one".to_owned())]);
}

#[test]
fn json_tells_every_item_and_ends_with_the_summary() {
    let home = Home::new();
    home.write("a/x.txt", "one");
    home.write("a/same.txt", "same");
    home.expect(0, &["copy", "a/same.txt", "b"]);
    std::os::unix::fs::symlink("x.txt", home.path("a/link")).expect("a link");
    let lines = home.json(0, &["sync", "-vv", "a", "b"]);
    let of =
        |kind: &str| -> Vec<&Value> { lines.iter().filter(|line| line["type"] == kind).collect() };
    assert_eq!(of("unchanged")[0]["path"], "same.txt");
    let done = of("file_done");
    assert_eq!(done.len(), 2, "{lines:?}");
    let outcome =
        |path: &str| done.iter().find(|line| line["path"] == path).expect(path)["outcome"].clone();
    assert_eq!((outcome("x.txt"), outcome("link")), ("copied".into(), "not_storable".into()));
    let summary = lines.last().expect("a summary");
    assert_eq!((&summary["exit_code"], &summary["command"]), (&0.into(), &"sync".into()));
}

#[test]
fn three_thousand_links_are_ten_lines_and_a_count() {
    let home = Home::new();
    fs::create_dir(home.path("a")).expect("a folder");
    for number in 0..3_000 {
        std::os::unix::fs::symlink("x", home.path(&format!("a/{number}"))).expect("a link");
    }
    let outcome = home.expect(0, &["copy", "a", "b"]);
    assert_eq!(outcome.stderr.lines().count(), 12, "{}", outcome.stderr);
    assert!(outcome.stderr.contains("and 2990 more"), "{}", outcome.stderr);
}

#[test]
fn check_writes_rclones_lists() {
    let home = Home::new();
    for (name, left, right) in [
        ("same", Some("1"), Some("1")),
        ("differ", Some("1"), Some("2")),
        ("left", Some("1"), None),
        ("right", None, Some("1")),
    ] {
        left.inspect(|text| home.write(&format!("a/{name}"), text));
        right.inspect(|text| home.write(&format!("b/{name}"), text));
    }
    let outcome = home.expect(
        1,
        &[
            "check",
            "a",
            "b",
            "--combined",
            "-",
            "--differ",
            "d",
            "--match",
            "m",
            "--missing-on-src",
            "s",
            "--missing-on-dst",
            "t",
            "--error",
            "e",
        ],
    );
    assert_eq!(outcome.stdout, "* differ\n+ left\n- right\n= same\n");
    let lists: String = ["d", "m", "s", "t", "e"].map(|name| home.read(name)).concat();
    assert_eq!(lists, "differ\nsame\nright\nleft\n");
    let outcome = home.expect(1, &["check", "--one-way", "a", "b"]);
    assert_eq!(outcome.stdout, "* differ  (contents differ)\n+ left  (not at the destination)\n");
    home.expect(0, &["check", "--size-only", "--exclude", "left", "--exclude", "right", "a", "b"]);
    home.expect(1, &["check", "--download", "a", "b"]);
    let lines = home.json(1, &["check", "a", "b"]);
    assert_eq!(lines.iter().filter(|line| line["type"] == "check").count(), 4);
}

#[test]
fn a_link_to_the_other_side_is_told_of_and_neither_copied_nor_followed_into() {
    let home = Home::new();
    home.write("s/x.txt", "one");
    home.write("d/kept.txt", "two");
    home.write("far/z.txt", "three");
    std::os::unix::fs::symlink("../d", home.path("s/l")).expect("a link");
    std::os::unix::fs::symlink("../far", home.path("s/far")).expect("a link");
    for _ in 0..3 {
        let outcome = home.expect(0, &["copy", "--links", "follow", "s", "d"]);
        assert!(outcome.stderr.contains("the other side of the job"), "{}", outcome.stderr);
        let names: Vec<_> = tree(&home.path("d")).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["far/z.txt", "kept.txt", "x.txt"]);
    }
    // The link was not compared, so the answer is not that everything is equal.
    home.expect(25, &["check", "--one-way", "--links", "follow", "s", ":local:d"]);
    // The other way round: what a link at the destination leads to is no extra.
    std::os::unix::fs::symlink("../s", home.path("d/back")).expect("a link");
    home.expect(0, &["sync", "--links", "follow", ":local:s", "d"]);
    assert_eq!((home.read("s/x.txt"), home.read("far/z.txt")), ("one".into(), "three".into()));
    assert_eq!(home.read("d/x.txt"), "one");
    assert!(!home.path("d/kept.txt").exists());
}
