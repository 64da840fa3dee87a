//! Texts that people hand over, and names in what ketch prints: input that means nothing is an error, and no name steers a
//! terminal or makes a line of its own.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use crate::support::{Home, outcome};

fn bytes(home: &Home, name: &str, content: &[u8]) {
    fs::write(home.path(name), content).expect("a file");
}

fn utf16(text: &str, unit: fn(u16) -> [u8; 2]) -> Vec<u8> {
    format!("\u{feff}{text}").encode_utf16().flat_map(unit).collect()
}

#[test]
fn lists_mean_the_same_with_a_mark_and_in_utf_16() {
    let home = Home::new();
    home.write("a/one", "1");
    home.write("a/zwö", "2");
    let lists = [
        "\u{feff}one\r\n".as_bytes().to_vec(),
        utf16("one\r\n", u16::to_le_bytes),
        utf16("one\n", u16::to_be_bytes),
    ];
    for (number, list) in lists.iter().enumerate() {
        bytes(&home, "list", list);
        for (flag, names) in [
            ("--exclude-from", &["zwö"][..]),
            ("--include-from", &["one"]),
            ("--files-from", &["one"]),
            ("--files-from-raw", &["one"]),
        ] {
            let to = format!("to{number}{flag}");
            home.expect(0, &["copy", flag, "list", "a", &to]);
            let found: Vec<_> =
                crate::support::tree(&home.path(&to)).into_iter().map(|file| file.0).collect();
            assert_eq!(found, names, "{flag} {list:?}");
        }
    }
    bytes(&home, "rules", &utf16("- zw*\n", u16::to_le_bytes));
    home.expect(0, &["copy", "--filter-from", "rules", "a", "b"]);
    assert!(!home.path("b/zwö").exists());
    for odd in [&b"one\0two\n"[..], b"o\0n\0e\0", b"\xff\xfeo\0n", b"\xff\xfe\0\0o\0\0\0"] {
        bytes(&home, "list", odd);
        for flag in [
            "--exclude-from",
            "--include-from",
            "--filter-from",
            "--files-from",
            "--files-from-raw",
        ] {
            home.expect(2, &["copy", flag, "list", "a", "c"]);
        }
    }
    assert!(!home.path("c").exists());
}

#[test]
fn a_list_that_names_nothing_is_an_error() {
    let home = Home::new();
    home.write("a/one", "1");
    home.write("b/kept", "1");
    for empty in ["", "\n\n", "# a comment\r\n", "\u{feff}", "/\n./\n"] {
        home.write("list", empty);
        let outcome =
            home.expect(2, &["sync", "--allow-empty-source", "--files-from", "list", "a", "b"]);
        assert!(outcome.stderr.contains("names no file"), "{}", outcome.stderr);
    }
    home.write("list", "");
    home.expect(2, &["check", "--files-from-raw", "list", "a", "b"]);
    assert_eq!(home.read("b/kept"), "1");
}

#[test]
fn a_sum_file_that_holds_nothing_proves_nothing() {
    let home = Home::new();
    home.write("a/f", "abc");
    let line = home.expect(0, &["hashsum", "sha256", "a"]).stdout;
    for (content, code) in [
        ("".as_bytes().to_vec(), 23),
        (b"# nothing\n\n".to_vec(), 23),
        ("\u{feff}".as_bytes().to_vec(), 23),
        (utf16(&line, u16::to_le_bytes), 23),
        (line.replace('f', "f\0").into_bytes(), 23),
        (line.replace("  f", "  gone").into_bytes(), 1),
        (format!("\u{feff}{line}").into_bytes(), 0),
        (line.replace('\n', "\r\n").into_bytes(), 0),
    ] {
        bytes(&home, "sums", &content);
        let outcome = home.run(&["hashsum", "sha256", "--check", "sums", "a"]);
        assert_eq!(outcome.code, code, "{content:?}: {}", outcome.stderr);
    }
}

#[test]
fn what_is_no_manifest_and_no_sum_file_is_no_difference() {
    let home = Home::new();
    home.write("a/f", "1");
    home.expect(0, &["manifest", "create", "a", "-o", "m"]);
    home.write("marked", &format!("\u{feff}{}", home.read("m")));
    bytes(&home, "wide", &utf16(&home.read("m"), u16::to_le_bytes));
    home.write("none", "");
    for (name, code) in [("marked", 23), ("wide", 23), ("none", 23), ("missing", 4), ("a", 23)] {
        home.expect(code, &["manifest", "verify", name, "a"]);
        home.expect(code, &["manifest", "diff", "m", name]);
        let checked = home.run(&["hashsum", "sha256", "--check", name, "a"]).code;
        assert!(checked == code, "{name}: {checked}");
    }
    home.expect(0, &["copy", "a", "b", "--report", "report"]);
    for odd in [format!("{{}}\nodd\n{}", home.read("report")), "odd".to_owned()] {
        home.write("report", &odd);
        home.expect(2, &["copy", "a", "b", "--retry-failed", "report"]);
    }
}

#[test]
fn sums_of_odd_names_pass_their_own_check_and_forge_no_line() {
    let home = Home::new();
    for name in ["n\r", "n\nfake: OK", "b\\c", "b\\nc", " s ", "\\"] {
        home.write(&format!("a/{name}"), name);
    }
    for digest in ["sha256", "md5", "blake3"] {
        let sums = home.expect(0, &["hashsum", digest, "a"]).stdout;
        assert_eq!(sums.lines().count(), 6, "{sums}");
        home.write("sums", &sums);
        let checked = home.expect(0, &["hashsum", digest, "--check", "sums", "a"]).stdout;
        assert_eq!(checked.lines().count(), 6, "{checked}");
        assert!(checked.lines().all(|line| line.ends_with(": OK") && !line.starts_with("fake")));
    }
}

#[test]
fn a_variable_that_makes_no_sense_is_an_error_that_names_it() {
    let home = Home::new();
    home.write("a/f", "1");
    for (name, value, code) in [
        ("KETCH_DRY_RUN", "maybe", 2),
        ("KETCH_ALLOW_EMPTY_SOURCE", "nein", 2),
        ("KETCH_IGNORE_CASE", "2", 2),
        ("KETCH_TRANSFERS", "many", 2),
        ("KETCH_VERBOSE", "loud", 2),
        ("KETCH_PROGRESS", "sometimes", 2),
        ("KETCH_LOG", "ketch=loud=x", 2),
        ("KETCH_DRY_RUN", "off", 0),
        ("KETCH_DRY_RUN", "", 0),
        ("KETCH_IGNORE_CASE", "Yes", 0),
    ] {
        let outcome = outcome(home.command().env(name, value).args(["copy", "a", "b"]));
        assert_eq!(outcome.code, code, "{name}={value}: {}", outcome.stderr);
        assert!(code == 0 || outcome.stderr.contains(name), "{name}={value}: {}", outcome.stderr);
        assert_eq!(home.path("b/f").exists(), code == 0);
        if code == 0 {
            fs::remove_dir_all(home.path("b")).expect("removed");
        }
    }
    let outcome = outcome(home.command().env("KETCH_DRYRUN", "1").args(["copy", "a", "b"]));
    assert!(outcome.stderr.contains("KETCH_DRYRUN means nothing"), "{}", outcome.stderr);
}

#[test]
fn patterns_meet_the_bytes_of_a_name_and_not_what_is_shown_of_it() {
    let home = Home::new();
    let names: [&[u8]; 4] = [b"b\xff", "x‛y".as_bytes(), "‛FF".as_bytes(), b"plain"];
    fs::create_dir(home.path("a")).expect("a folder");
    for name in names {
        fs::write(home.path("a").join(std::ffi::OsStr::from_bytes(name)), "1").expect("a file");
    }
    let check = |pattern: &[u8], taken: &[&[u8]]| {
        let mut ways = vec![OsString::from_vec(pattern.to_vec())];
        bytes(&home, "list", &[pattern, b"\n"].concat());
        ways.push("list".into());
        for (way, flag) in ways.iter().zip(["--include", "--include-from"]) {
            let _ = fs::remove_dir_all(home.path("b"));
            let mut command = home.command();
            command.args(["copy", "a", "b", flag]).arg(way);
            assert_eq!(outcome(&mut command).code, 0);
            let mut found: Vec<Vec<u8>> = fs::read_dir(home.path("b"))
                .into_iter()
                .flatten()
                .map(|entry| entry.expect("readable").file_name().into_vec())
                .collect();
            found.sort();
            let mut expected = taken.to_vec();
            expected.sort_unstable();
            assert_eq!(found, expected, "{flag} {}", String::from_utf8_lossy(pattern));
        }
    };
    check(b"b?", &[b"b\xff"]);
    check(b"b\xff", &[b"b\xff"]);
    check("x‛y".as_bytes(), &["x‛y".as_bytes()]);
    check(b"x?y", &["x‛y".as_bytes()]);
    check("‛FF".as_bytes(), &["‛FF".as_bytes()]);
    check("*‛*".as_bytes(), &["x‛y".as_bytes(), "‛FF".as_bytes()]);
    check(b"[^a-z]*", &["‛FF".as_bytes()]);
    check(b"??", &[b"b\xff"]);
}

#[test]
fn no_name_steers_a_terminal_whatever_prints_it() {
    let home = Home::new();
    let odd = "e\u{1b}[31m o\u{1b}]0;t\u{7} \u{9b}31m \u{202e} l\nfake\rx";
    home.write(&format!("a/{odd}"), "1");
    home.write(&format!("b/other{odd}"), "1");
    home.write("sums", &home.expect(0, &["hashsum", "sha256", "a"]).stdout);
    home.write("missing", &home.read("sums").replace("  e", "  gone e"));
    let one = format!("a/{odd}");
    let nowhere = format!("nowhere{odd}");
    for arguments in [
        &["ls", "a"][..],
        &["tree", "a"],
        &["stat", &one],
        &["size", &nowhere],
        &["hashsum", "sha256", "a"],
        &["hashsum", "md5", "--base64", "a"],
        &["hashsum", "sha256", "--check", "sums", "a"],
        &["hashsum", "sha256", "--check", "missing", "a"],
        &["plan", "sync", "-o", "-", "a", "b"],
        &["plan", "sync", "a", "b"],
        &["manifest", "create", "-o", "-", "a"],
        &["sync", "-n", "a", "b"],
        &["check", "a", "b"],
        &["check", "--combined", "-", "a", "b"],
        &["copy", "-vv", "a", "c"],
        &["copy", "--combined", "-", "a", "d"],
        &["delete", "-n", "a"],
        &["--json", "ls", "a"],
        &["ls", &one, odd],
        &["ls", "--include", &format!("[{odd}"), "a"],
    ] {
        let shown = home.on_terminal(arguments);
        // ketch's own: colours, and what draws progress lines.
        let own = without_colours(&shown);
        for odd in
            [&b"\x1b"[..], b"\x07", b"\xc2\x9b", "\u{202e}".as_bytes(), b"\nfake", b"\r\nfake"]
        {
            let found = own.windows(odd.len()).any(|window| window == odd);
            assert!(!found, "{arguments:?}: {}", String::from_utf8_lossy(&shown).escape_debug());
        }
    }
    assert!(!String::from_utf8_lossy(&home.on_terminal(&["tree", "b"])).contains("\\n1 folders"));
}

/// Without escapes of colours and of cursors that ketch itself writes.
fn without_colours(shown: &[u8]) -> Vec<u8> {
    let mut kept = Vec::new();
    let mut rest = shown;
    while let Some((first, others)) = rest.split_first() {
        if *first == 0x1b && others.first() == Some(&b'[') {
            let end =
                others[1..].iter().position(|byte| !matches!(byte, b'0'..=b'9' | b';' | b'?'));
            // A colour of ketch is never followed by what the name goes on with.
            if let Some(end) = end
                && !others[end + 2..].starts_with(b" o")
            {
                rest = &others[end + 2..];
                continue;
            }
        }
        kept.push(*first);
        rest = others;
    }
    kept
}
