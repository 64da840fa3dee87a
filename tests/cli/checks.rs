//! `check` of single files and of places that are not there, and a configuration with a mistake in it.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::support::Home;

#[test]
fn two_files_are_compared_whatever_they_are_called() {
    let home = Home::new();
    for (name, content) in [("a/f", "1"), ("b/f", "1"), ("x", "1"), ("y", "2"), ("z", "22")] {
        home.write(name, content);
    }
    for (left, right, code, line) in [
        ("a/f", "b/f", 0, ""),
        ("a/f", "x", 0, ""),
        ("x", "y", 1, "* x  (contents differ)\n"),
        ("x", "z", 1, "* x  (sizes differ)\n"),
        ("a/f", "b", 0, ""),
        ("x", "b", 1, "+ x  (not at the destination)\n"),
    ] {
        for more in [&[][..], &["--download"], &["--digest", "md5"]] {
            let outcome = home.run(&[&["check", left, right], more].concat());
            assert_eq!(outcome.code, code, "{left} {right} {more:?}: {}", outcome.stderr);
            assert_eq!(outcome.stdout.is_empty(), line.is_empty(), "{left} {right}");
        }
        assert_eq!(home.run(&["check", "--no-cache", left, right]).stdout, line);
    }
    home.expect(0, &["copy", "x", "sandbox:d"]);
    home.expect(0, &["check", "a/f", "sandbox:d/x"]);
    home.expect(1, &["check", "sandbox:d/x", "y"]);
}

#[test]
fn a_check_of_what_is_not_there_is_no_difference() {
    let home = Home::new();
    home.write("a/f", "1");
    for (left, right) in [
        ("a", "gone"),
        ("gone", "a"),
        ("a/f", "gone"),
        ("a/f", "a/gone"),
        ("a", "a/f"),
        ("a", "sandbox:gone"),
        ("sandbox:gone", "a"),
    ] {
        let outcome = home.expect(3, &["check", left, right]);
        assert!(outcome.stdout.is_empty() && !outcome.stderr.is_empty(), "{left} {right}");
    }
}

#[test]
fn a_mistake_in_one_remote_leaves_the_others_usable() {
    let home = Home::new();
    home.write("d/f", "1");
    let config = "stray = 1\n[good]\ntype = \"local\"\n[\"bad:name\"]\ntype = \"local\"\n[bad]\ntype = \"local\"\nlnks = \"keep\"\n";
    home.write("config.toml", config);
    fs::set_permissions(home.path("config.toml"), fs::Permissions::from_mode(0o600))
        .expect("rights");
    home.expect(0, &["ls", "good:d"]);
    for command in [&["ls", "bad:d"][..], &["remote", "test", "bad:"]] {
        let outcome = home.expect(1, command);
        assert!(outcome.stderr.contains("`lnks`"), "{}", outcome.stderr);
    }
    let list = home.expect(0, &["remote", "list"]).stdout;
    assert!(list.contains("good:  local  (file)\n"), "{list}");
    for name in ["bad:  local  (file)  cannot be used: ", "bad:name:  ", "stray:  "] {
        let line = list.lines().find(|line| line.starts_with(name)).expect(name);
        assert!(line.contains("cannot be used: "), "{line}");
    }
    home.expect(0, &["remote", "add", "more", "local"]);
    home.expect(0, &["ls", "more:d"]);
    home.expect(0, &["ls", "sandbox:"]);
}
