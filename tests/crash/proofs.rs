//! Manifests that are written or gone through while the process is killed: at each call that changes a disk.

use std::fs;
use std::process::Command;

use serde_json::Value;

use super::tracer::{Strike, run};
use super::{MOST_CALLS, seed};
use crate::support::{Home, finish};

/// Of a file with parts, the smallest part there is.
const PART: usize = 4 << 20;
const PARTS: usize = 3;
/// Small files: more marks than are written at a time.
const FILES: usize = 400;
/// The exit code of a verification that found damage.
const DAMAGED: i32 = 22;

fn content(seed: u64, bytes: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut content = vec![0; bytes];
    random.fill(&mut content);
    content
}

/// The counts of the last line of a run that ends with `code`.
fn counts(command: &mut Command, code: i32) -> Value {
    let run = finish(command).expect(code);
    let last = run.stdout.lines().last().unwrap();
    serde_json::from_str::<Value>(last).unwrap()["counts"].clone()
}

#[test]
fn a_scrub_that_is_killed_at_any_call_goes_on_behind_what_it_had_marked_and_forgets_no_damage() {
    let home = Home::in_memory();
    home.write("a/large", content(1, PARTS * PART));
    for number in 0..FILES {
        home.write(format!("a/small/{number}"), number.to_string());
    }
    let rotten = home.path("a/small/17");
    home.run(["manifest", "create", "a", "-o", "m"]).expect(0);
    let before = fs::metadata(&rotten).unwrap().modified().unwrap();
    fs::write(&rotten, "71").unwrap();
    fs::File::open(&rotten).unwrap().set_modified(before).unwrap();
    let verify = || {
        let mut command = home.command();
        command.args(["--json", "manifest", "verify", "m", "a", "--checkers", "1"]);
        command
    };
    // All but the rotten one, of the large file each part.
    let all = (FILES - 1 + PARTS) as u64;
    let mut gone_on_with = Vec::new();
    for call in 1..MOST_CALLS {
        // The first time there is none.
        drop(fs::remove_dir_all(home.path("state")));
        fs::create_dir(home.path("state")).unwrap();
        let first = run(&verify(), &home.path("state"), Strike::KillAfter(call));
        let is_struck = first.struck.is_some();
        assert_eq!(first.run.code, if is_struck { -1 } else { DAMAGED }, "call {call}");
        let again = counts(&mut verify(), DAMAGED);
        let number = |name: &str| again[name].as_u64().unwrap();
        assert_eq!((number("rotted"), number("ok")), (1, FILES as u64), "call {call}: {again}");
        if !is_struck {
            assert_eq!(number("resumed"), 0, "it had come to its end");
            break;
        }
        gone_on_with.push(number("resumed"));
    }
    // Marks are written some hundred at a time or every second; the end of a run takes them away.
    assert!(gone_on_with.iter().any(|marks| (1..all).contains(marks)), "{gone_on_with:?}");
    assert!(gone_on_with.contains(&all), "{all} of {gone_on_with:?}");
}

#[test]
fn a_copy_with_a_manifest_that_is_killed_at_any_call_leaves_the_old_manifest_or_a_right_new_one() {
    let seed = seed();
    eprintln!("seed {seed}");
    let step = if std::env::var_os("KETCH_CRASH_ALL").is_some() { 1 } else { 5 };
    let copy = |home: &Home| {
        let mut command = home.command();
        command.args(["copy", "a", "b", "--manifest", "out/m"]);
        command
    };
    for call in (1 + seed as usize % step..MOST_CALLS).step_by(step) {
        let home = Home::in_memory();
        for (name, bytes) in [("a/one", 10), ("a/sub/two", 100_000), ("a/three", 0)] {
            home.write(name, content(bytes as u64, bytes));
        }
        home.write("out/m", "the old one");
        let first = run(&copy(&home), &home.path(""), Strike::KillAfter(call));
        let is_struck = first.struck.is_some();
        let is_old = fs::read(home.path("out/m")).unwrap() == b"the old one";
        assert!(is_struck || !is_old, "call {call}: the job ended and wrote none");
        if !is_old {
            home.run(["manifest", "verify", "out/m", "b"]).expect(0);
        }
        finish(&mut copy(&home)).expect(0);
        let verified =
            counts(home.command().args(["--json", "manifest", "verify", "out/m", "b"]), 0);
        assert_eq!(verified["ok"], 3, "call {call}: {verified}");
        let names: Vec<_> = fs::read_dir(home.path("out")).unwrap().collect();
        assert_eq!(names.len(), 1, "call {call}: {names:?}");
        if !is_struck {
            return;
        }
    }
    panic!("the calls have no end");
}
