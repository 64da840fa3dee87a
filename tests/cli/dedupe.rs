//! `dedupe` as a conversation on a terminal. What is typed is typed ahead: the terminal keeps it until it is asked for.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::support::{Home, Outcome, Server, post};

const KEY: &str = "sandbox-KEY_0123456789abcdefghi=";

/// A home whose remote `box:` is a sandbox with these files in `d`, each `(name, content)` beside the others of its name.
fn stored(files: &[(&str, &str)]) -> (Home, Server) {
    let home = Home::new();
    let server = home.serve();
    let url = server.url();
    let text = format!(
        "[box]\ntype = \"fichier\"\napi_key = \"{KEY}\"\napi_url = \"{url}\"\npace = \"off\"\n"
    );
    home.write("config.toml", &text);
    let private = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(home.path("config.toml"), private).expect("changed");
    home.expect(0, &["mkdir", "box:d"]);
    let folder = home.json(0, &["stat", "box:d"])[0]["details"]["id"].as_u64().expect("a number");
    let address = url.trim_start_matches("http://").trim_end_matches("/v1");
    for (number, (name, content)) in files.iter().enumerate() {
        // Into another folder, and moved from there: nothing is replaced.
        home.write(&format!("v{number}/{name}"), content);
        home.expect(0, &["copy", &format!("v{number}"), &format!("box:v{number}")]);
        let link = home.expect(0, &["link", &format!("box:v{number}/{name}")]).stdout;
        let link = link.trim();
        let body = format!("{{\"urls\":[\"{link}\"],\"destination_folder_id\":{folder}}}");
        let answer = post(address, "/v1/file/mv.cgi", KEY, &body);
        assert!(answer.contains("\"moved\":1"), "{answer}");
    }
    (home, server)
}

/// The command with a terminal as its standard input; what is typed on it; and the terminal's other end, to be kept.
fn on_terminal(home: &Home, arguments: &[&str], typed: &str) -> (Command, File) {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
    let ours = openpt(flags).expect("a terminal");
    grantpt(&ours).expect("granted");
    unlockpt(&ours).expect("unlocked");
    let name = ptsname(&ours, Vec::new()).expect("its name");
    let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY;
    let theirs = rustix::fs::open(&*name, flags, rustix::fs::Mode::empty()).expect("opened");
    let mut ours = File::from(ours);
    ours.write_all(typed.as_bytes()).expect("typed");
    let mut command = home.command();
    command.args(arguments).stdin(Stdio::from(theirs));
    (command, ours)
}

fn converse(home: &Home, arguments: &[&str], typed: &str) -> Outcome {
    let (mut command, _ours) = on_terminal(home, arguments, typed);
    crate::support::outcome(&mut command)
}

fn questions(outcome: &Outcome) -> usize {
    outcome.stderr.matches("keep which?").count()
}

/// How many files each name in `d` has, and the sizes of all of them.
fn left(home: &Home) -> Vec<(String, u64)> {
    let lines = home.json(0, &["ls", "box:d"]);
    let mut files: Vec<(String, u64)> = lines
        .iter()
        .filter(|line| line["type"] == "file")
        .map(|line| {
            (
                line["path"].as_str().expect("a path").to_owned(),
                line["size"].as_u64().expect("a size"),
            )
        })
        .collect();
    files.sort();
    files
}

fn files(expected: &[(&str, u64)]) -> Vec<(String, u64)> {
    expected.iter().map(|(name, size)| ((*name).to_owned(), *size)).collect()
}

/// Under which number the file of this size is offered, counted from 1.
fn number_of(home: &Home, size: u64, group: usize) -> usize {
    let groups = home.json(0, &["dedupe", "--rule", "list", "box:d"]);
    let files = groups[group]["files"].as_array().expect("files");
    1 + files.iter().position(|file| file["size"] == size).expect("it is offered")
}

#[test]
fn the_one_that_is_chosen_stays_and_what_makes_no_sense_is_asked_again() {
    let (home, _server) = stored(&[("f", "1"), ("f", "22"), ("f", "333")]);
    let number = number_of(&home, 2, 0);
    let typed = format!("x\n0\n4\n-1\n{number}\n");
    let outcome = converse(&home, &["dedupe", "box:d"], &typed);
    assert_eq!((outcome.code, questions(&outcome)), (0, 5), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("deleted 2 files"), "{}", outcome.stderr);
    assert_eq!(left(&home), files(&[("f", 2)]));
}

#[test]
fn what_is_skipped_stays_and_what_is_renamed_has_names_of_its_own() {
    let (home, _server) = stored(&[("f", "1"), ("f", "22"), ("g.x", "333"), ("g.x", "4444")]);
    let outcome = converse(&home, &["dedupe", "box:d"], "s\nr\n");
    assert_eq!((outcome.code, questions(&outcome)), (0, 2), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("renamed 1, left 1"), "{}", outcome.stderr);
    let sizes: Vec<u64> = left(&home).iter().map(|(_, size)| *size).collect();
    let names: Vec<String> = left(&home).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["f", "f", "g-1.x", "g.x"]);
    assert_eq!(sizes.iter().sum::<u64>(), 10);
}

#[test]
fn to_stop_keeps_what_was_chosen_and_asks_no_more() {
    let (home, _server) =
        stored(&[("f", "1"), ("f", "22"), ("g", "333"), ("g", "4444"), ("h", "5"), ("h", "66")]);
    let number = number_of(&home, 1, 0);
    let outcome = converse(&home, &["dedupe", "box:d"], &format!("{number}\nq\n"));
    assert_eq!((outcome.code, questions(&outcome)), (1, 2), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("deleted 1 files"), "{}", outcome.stderr);
    assert_eq!(left(&home), files(&[("f", 1), ("g", 3), ("g", 4), ("h", 1), ("h", 2)]));
}

#[test]
fn the_end_of_the_input_changes_nothing() {
    let (home, _server) = stored(&[("f", "1"), ("f", "22"), ("g", "333"), ("g", "4444")]);
    // Ctrl-D.
    let outcome = converse(&home, &["dedupe", "box:d"], "\u{4}");
    assert_eq!((outcome.code, questions(&outcome)), (1, 1), "{}", outcome.stderr);
    assert_eq!(left(&home).len(), 4);
    // No terminal at all: nothing is asked.
    let outcome = home.expect(1, &["dedupe", "box:d"]);
    assert_eq!(questions(&outcome), 0, "{}", outcome.stderr);
    assert!(outcome.stderr.contains("--rule"), "{}", outcome.stderr);
    assert_eq!(left(&home).len(), 4);
}

#[test]
fn by_content_one_of_those_that_are_equal_stays_and_none_gets_another_name() {
    let (home, _server) = stored(&[("f", "same"), ("g", "same"), ("h", "other")]);
    let offered = home.json(0, &["dedupe", "--by-hash", "--rule", "list", "box:d"]);
    let kept = offered[0]["files"][1]["path"].as_str().expect("two are equal");
    let outcome = converse(&home, &["dedupe", "--by-hash", "box:d"], "r\n2\n");
    assert_eq!((outcome.code, questions(&outcome)), (0, 2), "{}", outcome.stderr);
    assert!(!outcome.stderr.contains("r to rename"), "{}", outcome.stderr);
    assert_eq!(left(&home), files(&[(kept, 4), ("h", 5)]));
}

#[test]
fn a_dry_run_asks_and_deletes_nothing() {
    let (home, _server) = stored(&[("f", "1"), ("f", "22")]);
    let outcome = converse(&home, &["dedupe", "-n", "box:d"], "1\n");
    assert_eq!((outcome.code, questions(&outcome)), (0, 1), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("would delete 1 files"), "{}", outcome.stderr);
    assert_eq!(left(&home).len(), 2);
}

#[test]
fn ctrl_c_ends_a_question() {
    let (home, _server) = stored(&[("f", "1"), ("f", "22")]);
    let (mut command, _ours) = on_terminal(&home, &["dedupe", "box:d"], "");
    let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().expect("starts");
    let mut told = BufReader::new(child.stderr.take().expect("piped"));
    let mut line = String::new();
    while !line.contains("keep which?") {
        line.clear();
        assert!(told.read_line(&mut line).expect("a line") > 0, "it asks nothing");
    }
    let id = i32::try_from(child.id()).expect("a process");
    let id = rustix::process::Pid::from_raw(id).expect("a process");
    rustix::process::kill_process(id, rustix::process::Signal::INT).expect("it runs");
    told.read_to_string(&mut line).expect("it ends");
    assert_eq!(child.wait().expect("it ends").code(), Some(130), "{line}");
    assert_eq!(left(&home).len(), 2);
}
