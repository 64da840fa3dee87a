//! `ls`, `cat`, `mkdir`, `delete`, remotes and the configuration.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use crate::support::{Home, tree};

/// The key every sandbox accepts.
const KEY: &str = "sandbox-KEY_0123456789abcdefghi=";

#[test]
fn ls_shows_folders_files_and_json() {
    let home = Home::new();
    home.write("a/x.txt", "one");
    home.write("a/d/y.txt", "four");
    home.write("a/e\x1b[2J\n", "odd");
    let names = |arguments: &[&str]| -> Vec<String> {
        let outcome = home.expect(0, arguments);
        outcome.stdout.lines().map(|line| line[35.min(line.len())..].to_owned()).collect()
    };
    assert_eq!(names(&["ls", "--include", "*.txt", "a"]), ["d/", "x.txt"]);
    assert_eq!(names(&["ls", "-R", "--include", "*.txt", "a"]), ["d/", "d/y.txt", "x.txt"]);
    assert_eq!(names(&["ls", "a/x.txt"]), ["x.txt"]);
    // A pipe gets the bytes, JSON its own escapes.
    assert!(home.expect(0, &["ls", "a"]).stdout.contains("e\x1b[2J\n"));
    let lines = home.json(0, &["ls", "-R", "a"]);
    let odd = lines.iter().find(|line| line["path"] == "e\x1b[2J\n").expect("the odd one");
    assert_eq!((&odd["type"], &odd["size"]), (&"file".into(), &3.into()));
    home.expect(0, &["copy", "a/x.txt", "sandbox:s"]);
    let lines = home.json(0, &["ls", "sandbox:s"]);
    assert_eq!(lines[0]["hashes"]["whirlpool"].as_str().expect("a digest").len(), 128);
    home.expect(3, &["ls", "none"]);
}

#[test]
fn cat_writes_files_one_after_the_other() {
    let home = Home::new();
    home.write("a/x.txt", "one\n");
    home.write("a/y.txt", "two\n");
    home.expect(0, &["copy", "a", "sandbox:s"]);
    let outcome = home.expect(0, &["cat", "a/y.txt", "sandbox:s/x.txt"]);
    assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("two\none\n", ""));
    std::os::unix::fs::symlink("x.txt", home.path("a/link")).expect("a link");
    assert_eq!(home.expect(0, &["cat", "a/link"]).stdout, "one\n");
    home.expect(4, &["cat", "a/none"]);
    home.expect(4, &["cat", "sandbox:s/none"]);
    home.expect(4, &["cat", "a"]);
    home.expect(2, &["--json", "cat", "a/x.txt"]);
}

#[test]
fn mkdir_makes_all_folders_and_may_be_repeated() {
    let home = Home::new();
    for place in ["a/b/c", "sandbox:a/b/c"] {
        home.expect(0, &["mkdir", "-n", place]);
        home.expect(3, &["ls", place]);
        home.expect(0, &["mkdir", place]);
        home.expect(0, &["mkdir", place]);
        assert_eq!(home.expect(0, &["ls", place]).stdout, "");
    }
}

#[test]
fn delete_takes_files_and_leaves_folders() {
    let home = Home::new();
    for name in ["x.bak", "d/y.bak", "d/e/z.bak", "d/f/kept.txt"] {
        home.write(&format!("a/{name}"), "text");
    }
    let outcome = home.expect(0, &["delete", "-n", "--include", "*.bak", "a"]);
    assert_eq!(outcome.stdout, "delete  d/e/z.bak\ndelete  d/y.bak\ndelete  x.bak\n");
    assert_eq!(tree(&home.path("a")).len(), 4);
    home.expect(0, &["copy", "a", "sandbox:s"]);
    for place in ["a", "sandbox:s"] {
        home.expect(0, &["delete", "--include", "*.bak", place]);
        home.expect(0, &["ls", &format!("{place}/d/e")]);
        let outcome = home.expect(0, &["delete", "-v", "--exclude", "kept*", "--rmdirs", place]);
        assert!(outcome.stderr.contains("deleted  d/e/"), "{}", outcome.stderr);
        home.expect(3, &["ls", &format!("{place}/d/e")]);
        home.expect(0, &["delete", &format!("{place}/d/f/kept.txt")]);
        assert_eq!(home.expect(0, &["ls", &format!("{place}/d/f")]).stdout, "");
    }
    home.expect(3, &["delete", "none"]);
}

#[test]
fn an_unreadable_folder_costs_its_own_files_only() {
    if rustix::process::geteuid().is_root() {
        return; // Nothing is unreadable to root.
    }
    let home = Home::new();
    home.write("a/x", "1");
    home.write("a/d/y", "1");
    fs::set_permissions(home.path("a/d"), fs::Permissions::from_mode(0o000)).expect("rights");
    let outcome = home.expect(23, &["delete", "--rmdirs", "a"]);
    fs::set_permissions(home.path("a/d"), fs::Permissions::from_mode(0o700)).expect("rights");
    assert!(outcome.stderr.contains("failed: "), "{}", outcome.stderr);
    assert_eq!(tree(&home.path("a")).len(), 1);
}

#[test]
fn an_unknown_remote_is_explained() {
    let home = Home::new();
    let outcome = home.expect(1, &["sync", "work:a", "b"]);
    assert!(outcome.stderr.contains("there is no remote `work:`"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("ketch remote add work"), "{}", outcome.stderr);
    home.expect(2, &["sync", ":fichier", "b"]);
    let outcome = home.expect(1, &["ls", ":fishier:a"]);
    assert!(outcome.stderr.contains("known: fichier, s3, local"), "{}", outcome.stderr);
}

#[test]
fn a_wrong_key_is_21_and_no_output_holds_a_key() {
    let home = Home::new();
    let server = home.serve();
    home.write("a/x.txt", "one");
    home.expect(0, &["sync", "a", &server.place(KEY, "s")]);
    let wrong = "CANARY-KEY_0123456789abcdefghij=";
    for arguments in
        [&["sync", "a"][..], &["--json", "sync", "a"], &["ls"], &["-vvv", "remote", "test"]]
    {
        let place = server.place(wrong, "s");
        let outcome = home.expect(21, &[arguments, &[place.as_str()]].concat());
        let all = outcome.stdout + &outcome.stderr;
        assert!(!all.contains("CANARY"), "{all}");
        assert!(all.contains("api_key=***"), "{all}");
    }
    let outcome = home.expect(2, &["ls", &server.place(wrong, "s"), "surplus"]);
    assert!(!outcome.stderr.contains("CANARY"), "{}", outcome.stderr);
}

#[test]
fn a_remote_is_added_listed_tested_and_used() {
    let home = Home::new();
    let server = home.serve();
    let url = server.place(KEY, "");
    let url = url.split('"').nth(1).expect("quoted").to_owned();
    let api_url = format!("api_url={url}");
    let mut command = home.command();
    command.args(["remote", "add", "work", "fichier", &api_url, "pace=off"]).stdin(Stdio::piped());
    let mut child = command.stderr(Stdio::piped()).spawn().expect("it starts");
    child.stdin.take().expect("piped").write_all(format!("{KEY}\n").as_bytes()).expect("written");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success());
    assert!(!String::from_utf8_lossy(&output.stderr).contains(KEY));
    let mode = fs::metadata(home.path("config.toml")).expect("written").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let outcome = home.expect(0, &["remote", "list"]);
    assert_eq!(outcome.stdout, "work:  fichier  (file)\nsandbox:  fichier  (built in)\n");
    let outcome = home.expect(0, &["remote", "test", "work:"]);
    assert!(outcome.stdout.starts_with("work: works\n"), "{}", outcome.stdout);
    home.write("a/x.txt", "one");
    home.expect(0, &["sync", "a", "work:a"]);
    home.expect(0, &["check", "a", "work:a"]);
    home.expect(1, &["remote", "add", "work", "fichier"]);
    home.expect(2, &["remote", "add", "more", "fichier"]);
    let outcome = home.expect(2, &["remote", "add", "more", "fichier", "apikey=CANARY"]);
    assert!(outcome.stderr.contains("knows only api_key") && !outcome.stderr.contains("CANARY"));

    fs::set_permissions(home.path("config.toml"), fs::Permissions::from_mode(0o644))
        .expect("rights");
    let outcome = home.expect(1, &["ls", "work:"]);
    assert!(outcome.stderr.contains("chmod 600"), "{}", outcome.stderr);
    assert!(!outcome.stderr.contains(KEY));
    // What needs no remote needs no configuration.
    home.expect(0, &["ls", "a"]);

    let mut command = home.command();
    command.env_remove("KETCH_CONFIG").args(["ls", "box:a"]);
    command.env("KETCH_REMOTE_BOX_TYPE", "fichier").env("KETCH_REMOTE_BOX_API_URL", url);
    command.env("KETCH_REMOTE_BOX_API_KEY", "cmd:echo $SANDBOX").env("SANDBOX", KEY);
    command.env("KETCH_REMOTE_BOX_PACE", "off");
    let outcome = crate::support::outcome(&mut command);
    assert!(outcome.code == 0 && outcome.stdout.ends_with("x.txt\n"), "{}", outcome.stderr);
}

#[test]
fn config_path_follows_the_environment() {
    let home = Home::new();
    let expected = format!("{}\n", home.path("config.toml").display());
    assert_eq!(home.expect(0, &["config", "path"]).stdout, expected);
    let outcome =
        crate::support::outcome(home.command().env_remove("KETCH_CONFIG").args(["config", "path"]));
    assert_eq!(outcome.stdout, format!("{}\n", home.path(".config/ketch/config.toml").display()));
}

#[test]
fn a_sandbox_in_use_names_the_process() {
    let home = Home::new();
    let _server = home.serve();
    let mut command = home.command();
    command.env("KETCH_SANDBOX_STATE", home.path("served")).args(["ls", "sandbox:"]);
    let outcome = crate::support::outcome(&mut command);
    assert_eq!(outcome.code, 1);
    assert!(outcome.stderr.contains("in use by process "), "{}", outcome.stderr);
}
