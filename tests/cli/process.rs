//! `ketch` as a process: exit codes, pipes, signals.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Home, json_lines, outcome};

#[test]
fn version_and_help_go_to_standard_output() {
    let home = Home::new();
    let outcome = home.expect(0, &["--version"]);
    assert_eq!(outcome.stdout, format!("ketch {}\n", env!("CARGO_PKG_VERSION")));
    assert!(home.expect(0, &["--help"]).stdout.contains("sandbox:"));
    assert!(home.expect(0, &["help", "sync"]).stdout.contains("--max-delete"));
    assert!(home.expect(0, &["help"]).stdout.contains("check"));
    let codes = home.expect(0, &["help", "exit-codes"]).stdout;
    for code in [0, 1, 2, 3, 4, 5, 7, 20, 21, 22, 23, 24, 129, 130, 143] {
        assert!(codes.lines().any(|line| line.starts_with(&format!("{code:>4}  "))), "{codes}");
    }
}

#[test]
fn a_line_that_makes_no_sense_is_2() {
    let home = Home::new();
    for arguments in [
        &["frobnicate"][..],
        &["sync", "a"],
        &["sync", "--frobnicate", "a", "b"],
        &["sync", "-c", "--size-only", "a", "b"],
        &["sync", "--transfers", "0", "a", "b"],
        &["sync", "--max-delete", "x", "a", "b"],
        &["sync", "", "b"],
        &["help", "frobnicate"],
    ] {
        let outcome = home.expect(2, arguments);
        assert_eq!(outcome.stdout, "");
        assert!(!outcome.stderr.is_empty());
    }
    home.expect(2, &[]);
    let lines = json_lines(&home.expect(2, &["--json", "sync", "a"]).stdout);
    assert_eq!(lines[0]["exit_code"], 2);
}

#[test]
fn a_reader_that_goes_away_is_no_news() {
    let home = Home::new();
    home.write("a/x", &"text\n".repeat(200_000));
    let mut command = home.command();
    command.args(["cat", "a/x"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    let mut first = String::new();
    let mut stdout = BufReader::with_capacity(16, child.stdout.take().expect("piped"));
    stdout.read_line(&mut first).expect("a line");
    drop(stdout);
    let output = child.wait_with_output().expect("it ends");
    assert_eq!((first.as_str(), output.status.code()), ("text\n", Some(141)));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn a_full_disk_behind_standard_output_is_1() {
    let home = Home::new();
    home.write("a/x", "text");
    for arguments in [
        &["cat", "a/x"][..],
        &["ls", "a"],
        &["config", "path"],
        &["help"],
        &["--json", "sync", "a", "b"],
    ] {
        let full = File::create("/dev/full").expect("Linux has it");
        let mut child = home
            .command()
            .args(arguments)
            .stdout(full)
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut stderr = String::new();
        child.stderr.take().expect("piped").read_to_string(&mut stderr).expect("text");
        assert_eq!(child.wait().expect("it ends").code(), Some(1), "{arguments:?}");
        assert!(stderr.contains("standard output cannot be written"), "{stderr}");
    }
}

#[test]
fn a_signal_ends_a_job_with_its_summary() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
        let home = Home::new();
        for name in ["x", "y", "z"] {
            home.write(&format!("a/{name}"), &"0123456789abcdef".repeat(8 * 1024));
        }
        let mut command = home.command();
        // Half a minute, if nobody ended it.
        command.args(["--json", "copy", "--bwlimit", "10K", "--transfers", "1", "a", "b"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        let mut text = String::new();
        while !text.contains("\"progress\"") {
            assert!(stdout.read_line(&mut text).expect("a line") > 0, "{text}");
        }
        let started = Instant::now();
        let id = Pid::from_child(&child);
        kill_process(id, signal).expect("it runs");
        // The second one ends it at once. Two that come while the program has no turn are one, so there may be more.
        while child.try_wait().expect("a child").is_none() {
            std::thread::sleep(Duration::from_millis(200));
            kill_process(id, signal).expect("it is there until it is waited for");
        }
        stdout.read_to_string(&mut text).expect("text");
        let output = child.wait_with_output().expect("it ends");
        assert!(started.elapsed() < Duration::from_secs(10));
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{stderr}");
        assert!(stderr.contains("stopped: "), "{stderr}");
        let lines = json_lines(&text);
        assert_eq!(lines.last().expect("a summary")["exit_code"], code);
    }
}

/// Ten seconds are the program's own.
#[test]
fn one_sigterm_ends_a_job_in_the_end_and_takes_back_what_was_being_written() {
    let home = Home::new();
    home.write("a/x", &"0123456789abcdef".repeat(512 * 1024));
    let mut command = home.command();
    // More than an hour, if nobody ended it.
    command.args(["--json", "copy", "--bwlimit", "1K", "a", "b"]);
    let mut child =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
    let mut text = String::new();
    while !text.contains("\"progress\"") {
        assert!(stdout.read_line(&mut text).expect("a line") > 0, "{text}");
    }
    kill_process(Pid::from_child(&child), Signal::TERM).expect("it runs");
    stdout.read_to_string(&mut text).expect("text");
    let output = child.wait_with_output().expect("it ends");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(143), "{stderr}");
    assert_eq!(json_lines(&text).last().expect("a summary")["job_is_open"], true);
    let left: Vec<_> = std::fs::read_dir(home.path("b")).into_iter().flatten().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn progress_lines_appear_only_where_they_are_wanted() {
    let home = Home::new();
    home.write("a/x", "text");
    assert!(!home.expect(0, &["sync", "a", "b"]).stderr.contains("items"));
    let quiet = home.expect(0, &["-q", "sync", "a", "c"]);
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), ("", ""));
    let colored = outcome(home.command().args(["--color", "always", "ls", "none"]));
    assert!(colored.stderr.starts_with("\x1b[31mketch:\x1b[0m "), "{}", colored.stderr);
}

#[test]
fn the_first_signal_lets_what_is_running_finish() {
    let home = Home::new();
    for number in 0..20 {
        home.write(&format!("a/{number:02}"), &"0123456789abcdef".repeat(2 * 1024));
    }
    let mut command = home.command();
    command.args(["--json", "copy", "--bwlimit", "50K", "--transfers", "1", "a", "b"]);
    let mut child =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
    let mut text = String::new();
    while !text.contains("\"file_done\"") {
        assert!(stdout.read_line(&mut text).expect("a line") > 0, "{text}");
    }
    kill_process(Pid::from_child(&child), Signal::INT).expect("it runs");
    stdout.read_to_string(&mut text).expect("text");
    let output = child.wait_with_output().expect("it ends");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{stderr}");
    let lines = json_lines(&text);
    let counts = &lines.last().expect("a summary")["counts"];
    let copied = counts["copied"].as_u64().expect("a count");
    assert!((1..20).contains(&copied) && counts["failed"] == 0, "{counts}");
    let done = lines.iter().filter(|line| line["type"] == "file_done").count();
    assert_eq!(done as u64, copied);
}

#[test]
fn a_reader_that_does_not_read_does_not_keep_a_signal_waiting() {
    let home = Home::new();
    home.write("a/x", &"text\n".repeat(200_000));
    let mut command = home.command();
    command.args(["cat", "a/x"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    let mut stdout = child.stdout.take().expect("piped");
    let mut first = [0; 1];
    stdout.read_exact(&mut first).expect("a byte");
    std::thread::sleep(Duration::from_millis(200));
    let started = Instant::now();
    kill_process(Pid::from_child(&child), Signal::INT).expect("it runs");
    assert_eq!(child.wait().expect("it ends").code(), Some(130));
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[test]
fn flags_can_be_set_from_the_environment() {
    let home = Home::new();
    home.write("a/x", "text");
    let run = |variables: &[(&str, &str)]| {
        let mut command = home.command();
        command.envs(variables.iter().copied()).args(["sync", "a", "b"]);
        outcome(&mut command)
    };
    assert!(run(&[("KETCH_DRY_RUN", "1")]).stdout.starts_with("copy    x"));
    assert!(run(&[("KETCH_DRY_RUN", "0"), ("KETCH_VERBOSE", "1")]).stderr.contains("copied   x"));
    assert_eq!(run(&[("KETCH_TRANSFERS", "none")]).code, 2);
    let outcome = run(&[("KETCH_JSON", "1")]);
    assert_eq!(json_lines(&outcome.stdout).last().expect("a summary")["exit_code"], 0);
}

#[test]
fn the_sandbox_works_where_few_files_may_be_open() {
    for limit in ["64", "32"] {
        let home = Home::new();
        for number in 0..60 {
            home.write(&format!("a/d{number}/f"), &"0123456789abcdef".repeat(1_024));
        }
        home.write("a/big", &"0123456789abcdef".repeat(256 * 1_024));
        let run = |arguments: &[&str]| {
            let ketch = home.command();
            let mut command = std::process::Command::new("sh");
            command.args(["-c", "ulimit -n \"$0\" && exec \"$@\"", limit]).arg(ketch.get_program());
            command.args(arguments).current_dir(home.path("")).stdin(Stdio::null()).env_clear();
            command.envs(ketch.get_envs().filter_map(|(name, value)| Some((name, value?))));
            outcome(&mut command)
        };
        for arguments in [
            &["copy", "a", "sandbox:z"][..],
            &["check", "a", "sandbox:z"],
            &["copy", "sandbox:z", "b"],
        ] {
            let outcome = run(arguments);
            assert_eq!(outcome.code, 0, "{limit} {arguments:?}: {}", outcome.stderr);
        }
        assert_eq!(crate::support::tree(&home.path("b")).len(), 61);
    }
}
