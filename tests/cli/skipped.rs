//! What is skipped, passed over or cannot be looked at has a line, and keeps exit code 0 away from commands that were to
//! take everything.

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;

use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::support::{Home, outcome, tree};

fn pipe(home: &Home, path: &str) {
    mknodat(CWD, home.path(path), FileType::Fifo, Mode::from_raw_mode(0o600), 0).expect("a pipe");
}

/// A file, links to a file and to a folder outside, a link to nowhere, a pipe and a socket.
fn all_kinds(home: &Home, folder: &str) {
    home.write(&format!("{folder}/d/f"), "1");
    home.write("outside/kept", "kept");
    for (to, name) in [("../../outside/kept", "l"), ("../../outside", "m"), ("/nowhere", "n")] {
        symlink(to, home.path(&format!("{folder}/d/{name}"))).expect("a link");
    }
    pipe(home, &format!("{folder}/d/p"));
    drop(UnixListener::bind(home.path(&format!("{folder}/d/s"))).expect("a socket"));
}

#[test]
fn purge_removes_everything_that_is_there_and_nothing_that_it_points_to() {
    let home = Home::new();
    all_kinds(&home, "t");
    let before = home.expect(0, &["purge", "-n", "t"]);
    assert_eq!(before.stdout.lines().count(), 8, "{}", before.stdout);
    assert!(home.path("t/d/p").symlink_metadata().expect("there").file_type().is_fifo());
    home.expect(0, &["purge", "t"]);
    assert!(!home.path("t").exists());
    assert_eq!(home.read("outside/kept"), "kept");
    // A link is no folder, whatever it points to.
    symlink("outside", home.path("link")).expect("a link");
    let refused = home.expect(3, &["purge", "link"]).stderr;
    // `delete` would follow it.
    assert!(refused.contains("symbolic link") && !refused.contains("delete"), "{refused}");
    assert_eq!(home.read("outside/kept"), "kept");
}

#[test]
fn delete_names_what_it_passes_over_and_ends_with_25() {
    let home = Home::new();
    all_kinds(&home, "t");
    let outcome = home.expect(25, &["delete", "--rmdirs", "t"]);
    for name in ["d/l: ", "d/m: ", "d/n: ", "d/p: ", "d/s: "] {
        assert!(outcome.stderr.contains(name), "{name}: {}", outcome.stderr);
    }
    assert!(outcome.stderr.contains("passed over 5"), "{}", outcome.stderr);
    assert!(!home.path("t/d/f").exists() && home.path("t/d/p").exists());
    // What a filter leaves out was asked to stay.
    home.expect(0, &["delete", "--exclude", "/d/**", "t"]);
    let lines = home.json(25, &["delete", "t"]);
    assert_eq!(lines.last().expect("a summary")["counts"]["passed_over"], 5);
}

#[test]
fn check_is_not_0_over_what_it_did_not_compare() {
    let home = Home::new();
    home.write("a/f", "1");
    home.write("b/f", "1");
    home.expect(0, &["check", "a", "b"]);
    symlink("f", home.path("a/l")).expect("a link");
    symlink("other", home.path("b/l")).expect("a link");
    pipe(&home, "b/p");
    let outcome = home.expect(25, &["check", "--combined", "list", "a", "b"]);
    assert!(outcome.stdout.contains("! l  (not compared: a symbolic link"), "{}", outcome.stdout);
    assert!(outcome.stdout.contains("! p  (not compared: a socket, pipe"), "{}", outcome.stdout);
    assert!(outcome.stderr.contains("2 passed over"), "{}", outcome.stderr);
    assert_eq!(home.read("list"), "= f\n! l\n! p\n");
    // Only what the destination has does not matter one way.
    assert_eq!(home.expect(25, &["check", "--one-way", "a", "b"]).stdout.lines().count(), 1);
    assert_eq!(home.expect(1, &["check", "--links", "keep", "--exclude", "p", "a", "b"]).code, 1);
    home.write("b/f", "2");
    home.expect(1, &["check", "a", "b"]);
}

#[test]
fn a_sync_tells_what_stays_at_the_destination_and_why() {
    let home = Home::new();
    home.write("a/f", "1");
    home.write("b/f", "1");
    home.write("b/kept/x.tmp", "1");
    home.write("b/linked/y", "1");
    symlink("/nowhere", home.path("b/linked/l")).expect("a link");
    let outcome = home.expect(0, &["sync", "--exclude", "*.tmp", "a", "b"]);
    for line in [
        "note: kept: kept: ",
        "note: linked: kept: ",
        "note: linked/l: it stays at the destination: ",
    ] {
        assert!(outcome.stderr.contains(line), "{line}: {}", outcome.stderr);
    }
    assert!(home.path("b/kept/x.tmp").exists() && !home.path("b/linked/y").exists());
}

#[test]
fn a_list_of_marks_calls_nothing_equal_that_was_not_compared() {
    let home = Home::new();
    home.write("a/same", "1");
    home.write("a/other", "1");
    home.write("a/empty", "");
    home.write("b/other", "22");
    symlink("same", home.path("a/l")).expect("a link");
    home.expect(0, &["copy", "a/same", "b"]);
    home.expect(
        0,
        &["copy", "--ignore-existing", "--exclude", "empty", "--combined", "list", "a", "b"],
    );
    assert_eq!(home.read("list"), "! l\n! other\n! same\n");
    home.expect(0, &["copy", "--combined", "list", "a", "sandbox:x"]);
    assert_eq!(home.read("list").lines().filter(|line| line.starts_with('!')).count(), 2);
}

#[test]
fn an_empty_folder_is_moved_when_both_ends_of_it_are_asked_for() {
    let home = Home::new();
    home.write("a/d/f", "1");
    fs::create_dir_all(home.path("a/e/g")).expect("folders");
    let flags = ["--create-empty-src-dirs", "--delete-empty-src-dirs"];
    home.expect(0, &[&["move", "a", "b"], &flags[..]].concat());
    assert!(home.path("b/e/g").is_dir() && home.path("b/d/f").is_file());
    assert!(!home.path("a/e").exists() && !home.path("a/d").exists());
    // A folder that cannot be made stays where it is.
    fs::create_dir_all(home.path("a/h/i")).expect("folders");
    home.write("b/h", "a file in its place");
    let outcome = home.run(&[&["move", "a", "b"], &flags[..]].concat());
    assert_ne!(outcome.code, 0);
    assert!(home.path("a/h/i").is_dir());
}

#[test]
fn only_allow_empty_source_allows_an_empty_source() {
    let home = Home::new();
    fs::create_dir_all(home.path("a/folder")).expect("folders");
    home.write("b/f", "1");
    for limit in ["100%", "1000", "1"] {
        home.expect(7, &["sync", "--max-delete", limit, "a", "b"]);
        assert_eq!(home.read("b/f"), "1");
    }
    home.expect(0, &["sync", "--allow-empty-source", "a", "b"]);
    assert!(tree(&home.path("b")).is_empty());
}

#[test]
fn folders_are_made_empty_only_where_an_include_rule_names_them() {
    let home = Home::new();
    for folder in ["001/004", "002", "x/001/5"] {
        fs::create_dir_all(home.path(&format!("s/{folder}"))).expect("folders");
    }
    home.expect(0, &["copy", "s", "d", "--create-empty-src-dirs", "--include", "001/**"]);
    assert!(home.path("d/001/004").is_dir() && home.path("d/x/001/5").is_dir());
    assert!(!home.path("d/002").exists());
    home.expect(0, &["copy", "s", "e", "--create-empty-src-dirs", "--include", "/001/**"]);
    assert!(home.path("e/001/004").is_dir() && !home.path("e/x").exists());
    // A pattern that names no folder says nothing about folders.
    home.expect(0, &["copy", "s", "g", "--create-empty-src-dirs", "--include", "*.jpg"]);
    assert!(home.path("g/002").is_dir());
}

#[test]
fn what_can_be_shown_is_shown_and_each_error_is_told() {
    let home = Home::new();
    home.write("a/a/1", "1");
    home.write("a/no/hidden", "1");
    home.write("a/z/2", "22");
    home.write("a/zz/3", "333");
    let shut = |mode| {
        for folder in ["a/no", "a/zz"] {
            fs::set_permissions(home.path(folder), fs::Permissions::from_mode(mode))
                .expect("rights");
        }
    };
    home.unprivileged();
    shut(0o000);
    let run = |arguments: &[&str]| outcome(home.unprivileged().args(arguments));
    for (arguments, shown) in [
        (&["ls", "-R", "a"][..], "z/2"),
        (&["tree", "a"], "2\n"),
        (&["size", "a"], "files  2\n"),
        (&["hashsum", "sha256", "a"], "  z/2\n"),
        (&["dedupe", "--rule", "list", "a"], ""),
    ] {
        let outcome = run(arguments);
        assert_eq!(outcome.code, 23, "{arguments:?}: {}", outcome.stderr);
        assert!(outcome.stdout.contains(shown), "{arguments:?}: {}", outcome.stdout);
        let told = outcome.stderr.lines().filter(|line| line.starts_with("ketch: "));
        assert_eq!(told.count(), 2, "{arguments:?}: {}", outcome.stderr);
    }
    let outcome = run(&["manifest", "create", "a", "-o", "m"]);
    assert!(
        outcome.code == 23 && outcome.stderr.contains("no: ") && outcome.stderr.contains("zz: ")
    );
    assert!(!home.path("m").exists());
    shut(0o755);
}

#[test]
fn cat_writes_every_file_that_it_can() {
    let home = Home::new();
    home.write("a", "1");
    home.write("b", "2");
    let outcome = home.expect(4, &["cat", "a", "missing", "b"]);
    assert_eq!(outcome.stdout, "12");
    assert!(outcome.stderr.contains("missing"), "{}", outcome.stderr);
    fs::create_dir(home.path("d")).expect("a folder");
    assert_eq!(home.expect(4, &["cat", "missing", "d", "a"]).stdout, "1");
    home.expect(4, &["cat", "missing"]);
}

#[test]
fn what_helps_with_a_link_is_said_by_every_command_in_words_and_in_json() {
    let home = Home::new();
    home.write("a/f", "1");
    home.expect(0, &["manifest", "create", "a", "-o", "manifest"]);
    fs::remove_file(home.path("a/f")).expect("removed");
    symlink("/nowhere", home.path("a/f")).expect("a link");
    let cases: [(i32, &[&str]); 6] = [
        (0, &["ls", "a"]),
        (0, &["stat", "a/f"]),
        (25, &["delete", "a"]),
        (0, &["hashsum", "sha256", "a"]),
        (0, &["manifest", "create", "a", "-o", "new"]),
        (23, &["manifest", "verify", "manifest", "a"]),
    ];
    for (code, arguments) in cases {
        let outcome = home.expect(code, arguments);
        let told = format!("{}{}", outcome.stdout, outcome.stderr);
        assert!(
            told.contains("--links keep copies the link, --links follow"),
            "{arguments:?}: {told}"
        );
        let lines = home.json(code, arguments);
        let hint = |line: &serde_json::Value| line["hint"].as_str().map(str::to_owned);
        let hints: Vec<String> = lines.iter().filter_map(hint).collect();
        assert_eq!(hints, ["keep_or_follow_links"], "{arguments:?}: {lines:?}");
    }
}
