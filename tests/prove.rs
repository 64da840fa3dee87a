//! Proofs that are interrupted or that cannot be finished: the built program, killed where it hurts, against the emulator
//! in another process whose counters say what was read again.

#![expect(clippy::unwrap_used, reason = "tests")]

#[path = "support/mod.rs"]
mod support;

use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use support::{Home, Server, finish};

/// Of a file with parts, the smallest part there is.
const PART: usize = 4 << 20;
/// What the emulator may send beside content: heads and listings.
const TALK: u64 = 256 * 1024;

/// How a run is ended.
#[derive(Clone, Copy, Debug)]
enum End {
    Kill,
    InterruptTwice,
}

impl End {
    /// Starts the command, waits until a download hangs, and ends it.
    fn in_the_middle(self, command: &mut Command, server: &Server) {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        server.held();
        let id = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        let code = match self {
            End::Kill => {
                kill_process(id, Signal::KILL).unwrap();
                None
            }
            End::InterruptTwice => {
                kill_process(id, Signal::INT).unwrap();
                // The first may have ended it already.
                let _ = kill_process(id, Signal::INT);
                Some(130)
            }
        };
        assert_eq!(child.wait().unwrap().code(), code, "{self:?}");
        server.clear();
    }
}

fn content(seed: u64, bytes: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut content = vec![0; bytes];
    random.fill(&mut content);
    content
}

/// The counts of the last line.
fn counts(command: &mut Command) -> Value {
    let run = finish(command).expect(0);
    let last = run.stdout.lines().last().unwrap();
    serde_json::from_str::<Value>(last).unwrap()["counts"].clone()
}

/// Ends what `command` makes in the middle of the fifth of six downloads, and runs it again: what that counted. It asks for
/// two of them, and the run after it, because that one came to its end, for all.
fn ended_in_the_fifth_part(end: End, server: &Server, command: impl Fn() -> Command) -> Value {
    server.fault(&format!("download nth=5 hold-after {}", PART / 2));
    end.in_the_middle(&mut command(), server);
    let (requests, sent) = (server.stat("download"), server.stat("bytes_out"));
    let again = counts(&mut command());
    let (requests, sent) = (server.stat("download") - requests, server.stat("bytes_out") - sent);
    assert_eq!(requests, 2, "{end:?}");
    assert!((2 * PART as u64..2 * PART as u64 + TALK).contains(&sent), "{end:?}: {sent}");
    assert_eq!(counts(&mut command())["resumed"], 0, "{end:?}");
    again
}

#[test]
fn a_verification_that_was_ended_goes_on_within_one_part() {
    let (home, parts) = (Home::in_memory(), 6);
    let server = home.serve("served", "off");
    home.write("a/large", content(1, parts * PART));
    home.run(["manifest", "create", "a", "-o", "m"]).expect(0);
    let place = server.place("x", ",pace=off");
    home.run(["copy", "a", &place]).expect(0);
    for end in [End::Kill, End::InterruptTwice] {
        let verify = || {
            let mut command = home.command();
            let arguments =
                ["--json", "manifest", "verify", "m", &place, "--download", "--checkers", "1"];
            command.args(arguments);
            command
        };
        let counts = ended_in_the_fifth_part(end, &server, verify);
        assert_eq!((counts["ok"].as_u64(), counts["resumed"].as_u64()), (Some(1), Some(4)));
    }
}

#[test]
fn a_check_by_download_that_was_ended_reads_no_pair_again_that_was_equal() {
    let (home, files) = (Home::in_memory(), 6);
    let server = home.serve("served", "off");
    for number in 0..files {
        home.write(format!("a/f{number}"), content(number, PART));
    }
    let place = server.place("x", ",pace=off");
    home.run(["copy", "a", &place]).expect(0);
    for end in [End::Kill, End::InterruptTwice] {
        let check = || {
            let mut command = home.command();
            command.args(["--json", "check", "a", &place, "--download", "--checkers", "1"]);
            command
        };
        let counts = ended_in_the_fifth_part(end, &server, check);
        assert_eq!((counts["equal"].as_u64(), counts["resumed"].as_u64()), (Some(6), Some(4)));
    }
}

#[test]
fn a_manifest_that_cannot_read_a_file_to_its_end_leaves_the_old_one_and_nothing_else() {
    let home = Home::in_memory();
    let server = home.serve("served", "off");
    for number in 0..4 {
        home.write(format!("a/f{number}"), content(number, PART));
    }
    let place = server.place("x", ",pace=off");
    home.run(["copy", "a", &place]).expect(0);
    home.write("out/m", "old");
    home.write("out/m.minisig", "old");
    let create = |place: &str| {
        let words = ["manifest", "create", place, "--download", "--checkers", "1", "-o", "out/m"];
        words.map(str::to_owned)
    };
    let names = || support::tree(&home.path("out"));
    let before = names();
    // The second file is not to be had, also when it is read once more; the others are.
    server.fault("download nth=2 flip 50000\ndownload nth=3 flip 50000");
    home.run(create(&place)).expect(23).says("no new manifest");
    assert_eq!(names(), before);
    drop(server);
    // Stopped, and killed, while it reads. A server for each, because what is held outlives who asked for it.
    for end in [End::InterruptTwice, End::Kill] {
        let server = home.serve("served", "off");
        let place = server.place("x", ",pace=off");
        server.fault("download nth=3 hold-after 2000000");
        end.in_the_middle(home.command().args(create(&place)), &server);
        let after = names();
        assert!(before.iter().all(|(name, content)| after.get(name) == Some(content)), "{end:?}");
        assert_eq!(after.len() > before.len(), matches!(end, End::Kill), "{end:?}");
    }
    let server = home.serve("served", "off");
    let place = server.place("x", ",pace=off");
    // What the killed one left is taken up by the next; an old signature does not stay beside a new manifest.
    home.run(create(&place)).expect(0);
    let names: Vec<_> = names().into_keys().collect();
    assert_eq!(names, [std::path::PathBuf::from("m")]);
    home.run(["manifest", "verify", "out/m", "a"]).expect(0);
}
