//! Disks that do what others do not: they lose bytes and say so late, list sizes that are not true, keep no times or coarse
//! ones, refuse what is optional. Skipped, with a word on why, where nothing can be mounted.

#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "support/fuse.rs"]
mod fuse;
mod support;

use std::fs;

use fuse::{Faults, Mount, Times};
use support::Home;

/// Shows the folder `real` of a home at its folder `m`.
fn mount(home: &Home, faults: Faults) -> Option<Mount> {
    Mount::new(home.path("real"), home.path("m"), faults)
}

fn read(home: &Home, name: &str) -> String {
    fs::read_to_string(home.path(name)).unwrap()
}

/// The counts of a job, from its last JSON line.
fn counts(stdout: &str) -> serde_json::Value {
    let last = stdout.lines().last().unwrap();
    serde_json::from_str::<serde_json::Value>(last).unwrap()["counts"].clone()
}

#[test]
fn what_is_lost_when_a_file_is_closed_gets_no_name() {
    let home = Home::new();
    home.write("a/lost", "new");
    home.write("a/lost-large", vec![7; 300_000]);
    home.write("a/kept", "kept");
    home.write("real/old/lost", "what was there");
    let Some(_mount) = mount(&home, Faults { close_fails: Some("lost"), ..Faults::default() })
    else {
        return;
    };
    for fsync in ["none", "file"] {
        let run = home.run(["copy", "a", "m/b", "--fsync", fsync]).expect(23);
        assert!(run.stderr.contains("input/output error"), "{}", run.stderr);
        assert_eq!(fs::read_dir(home.path("real/b")).unwrap().count(), 1, "only `kept`");
        assert_eq!(read(&home, "real/b/kept"), "kept");
        home.run(["copy", "a", "m/old", "--fsync", fsync]).expect(23);
        assert_eq!(read(&home, "real/old/lost"), "what was there");
    }
    home.run(["move", "a", "m/c"]).expect(23);
    assert_eq!(read(&home, "a/lost"), "new", "it stays at the source");
    // What ketch itself writes down is looked at in the same way.
    for arguments in [
        ["plan", "copy", "a", "other", "-o", "m/lost.plan"],
        ["manifest", "create", "a", "-o", "m/lost.jsonl", "-q"],
        ["check", "a", "a", "--combined", "m/lost.txt", "-q"],
    ] {
        let run = home.run(arguments);
        assert_ne!(run.code, 0, "{arguments:?}: {}", run.stderr);
        assert!(!home.path("m/lost.plan").exists() && !home.path("m/lost.jsonl").exists());
    }
    let output = fs::File::create(home.path("m/lost-output")).unwrap();
    let status = home.command().args(["ls", "a"]).stdout(output).status().unwrap();
    assert!(!status.success(), "standard output was a file that could not be closed");
}

#[test]
fn a_size_that_is_not_true_is_found_out_by_everything_that_reads() {
    let home = Home::new();
    home.write("real/d/doc", "precious");
    home.write("real/d/doc2", "x");
    home.write("same/doc", "");
    home.write("same/doc2", "x");
    let Some(_mount) = mount(&home, Faults { empty_name: Some("doc"), ..Faults::default() }) else {
        return;
    };
    for arguments in [
        ["copy", "m/d", "b"],
        ["move", "m/d", "c"],
        ["check", "m/d", "same"],
        ["check", "same", "m/d"],
        ["copy", "m/d", "sandbox:s"],
    ] {
        let run = home.run(arguments);
        assert_ne!(run.code, 0, "{arguments:?}: {}", run.stderr);
        let text = format!("{}{}", run.stdout, run.stderr);
        assert!(text.contains("holds more"), "{arguments:?}: {text}");
    }
    for arguments in [vec!["cat", "m/d/doc"], vec!["hashsum", "blake3", "m/d"]] {
        let run = home.run(&arguments);
        assert_ne!(run.code, 0, "{arguments:?}: {}", run.stderr);
    }
    home.run(["manifest", "create", "m/d", "-o", "list.jsonl"]);
    let list = fs::read_to_string(home.path("list.jsonl")).unwrap_or_default();
    assert!(!list.contains("\"doc\""), "{list}");
    assert_eq!(read(&home, "real/d/doc"), "precious");
    assert!(!home.path("b/doc").exists() && !home.path("c/doc").exists());
    assert_eq!(read(&home, "b/doc2"), "x");
}

#[test]
fn files_that_the_system_makes_up_are_not_stored_short_or_empty() {
    let home = Home::new();
    // A size of 0 with content, and a size of 4096 with few bytes.
    for (file, name) in
        [("/proc/version", "version"), ("/sys/kernel/mm/transparent_hugepage/enabled", "enabled")]
    {
        let Ok(content) = fs::read(file) else {
            println!("skipped: there is no {file}");
            continue;
        };
        let run = home.run(["copy", file, "p"]);
        let stored = fs::read(home.path("p").join(name)).ok();
        match run.code {
            0 => assert_eq!(stored, Some(content), "{file}"),
            _ => assert_eq!(stored, None, "{file}: {}", run.stderr),
        }
    }
}

#[test]
fn a_disk_with_coarse_or_clamped_times_has_no_work_in_the_second_run() {
    const SECOND: u64 = 1_000_000_000;
    let coarse = Faults { grain: SECOND, ..Faults::default() };
    let even = Faults { grain: 2 * SECOND, ..Faults::default() };
    let late = Faults { grain: SECOND, earliest: Some(315_532_800), ..Faults::default() };
    for faults in [coarse, even, late] {
        let home = Home::new();
        for (number, seconds) in [(1, 1_600_000_001), (2, 1_600_000_002), (3, 1_000)] {
            let file = home.write(format!("a/f{number}"), number.to_string());
            set_time(&file, seconds, 123_456_789);
        }
        let Some(_mount) = mount(&home, faults) else { return };
        home.run(["copy", "a", "m/b"]).expect(0);
        let counts = counts(&home.run(["--json", "sync", "a", "m/b"]).expect(0).stdout);
        assert_eq!(counts["unchanged"], 3, "{faults:?}: {counts}");
        for name in ["times_set", "digest_files_read", "copied"] {
            assert_eq!(counts[name], 0, "{faults:?}: {counts}");
        }
        // What is changed within the second, with a time of another second or of another size, is still found.
        let file = home.write("a/f1", "9");
        set_time(&file, 1_600_000_005, 5);
        home.run(["sync", "a", "m/b"]).expect(0);
        assert_eq!(read(&home, "real/b/f1"), "9");
    }
}

#[test]
fn a_disk_that_sets_no_times_gets_the_content_and_is_told_of_once() {
    for times in [Times::Refused, Times::Ignored] {
        let home = Home::new();
        for number in 0..5 {
            let file = home.write(format!("a/d/f{number}"), number.to_string());
            set_time(&file, 1_600_000_000, 123_456_789);
        }
        let Some(_mount) = mount(&home, Faults { times, ..Faults::default() }) else { return };
        let run = home.run(["copy", "a", "m/b"]).expect(0);
        assert_eq!(
            run.stderr.matches("does not set modification times").count(),
            1,
            "{}",
            run.stderr
        );
        assert_eq!(read(&home, "real/b/d/f3"), "3");
        let counts = counts(&home.run(["--json", "sync", "a", "m/b"]).expect(0).stdout);
        assert_eq!(counts["unchanged"], 5, "{times:?}: {counts}");
        for name in ["times_set", "digest_files_read", "copied"] {
            assert_eq!(counts[name], 0, "{times:?}: {counts}");
        }
        // A source that is newer than the stored copy is compared.
        home.write("a/d/f3", "x");
        set_time(&home.path("a/d/f3"), 4_000_000_000, 0);
        home.run(["sync", "a", "m/b"]).expect(0);
        assert_eq!(read(&home, "real/b/d/f3"), "x");
        // Files that another program left there get no times either, and that is no failure.
        home.write("real/c/d/f1", "1");
        home.run(["copy", "a", "m/c", "--no-cache"]).expect(0);
        home.run(["move", "a", "m/c", "--no-cache"]).expect(0);
        assert!(!home.path("a/d/f1").exists());
    }
}

#[test]
fn a_disk_that_knows_no_fsync_gets_the_content() {
    let home = Home::new();
    home.write("a/f", "one");
    let Some(_mount) = mount(&home, Faults { refuses_fsync: true, ..Faults::default() }) else {
        return;
    };
    for fsync in ["file", "all"] {
        let run = home.run(["copy", "a", &format!("m/{fsync}"), "--fsync", fsync]).expect(0);
        assert_eq!(run.stderr.matches("--fsync none").count(), 1, "{}", run.stderr);
        assert_eq!(read(&home, &format!("real/{fsync}/f")), "one");
    }
    // Also with everything of ketch's own on such a disk.
    let mut command = home.command();
    for name in ["CONFIG", "STATE", "CACHE"] {
        command.env(format!("XDG_{name}_HOME"), home.path("m/own"));
    }
    support::finish(command.args(["copy", "a", "b"])).expect(0);
    home.run(["plan", "copy", "a", "c", "-o", "m/p.plan"]).expect(0);
    home.run(["manifest", "create", "a", "-o", "m/p.jsonl"]).expect(0);
}

#[test]
fn files_whose_numbers_change_at_each_look_are_read_replaced_moved_and_deleted() {
    let home = Home::new();
    home.write("real/s/f", "1");
    home.write("real/s/g", vec![7; 300_000]);
    home.write("a/h", "3");
    let Some(_mount) = mount(&home, Faults { loose_numbers: true, ..Faults::default() }) else {
        return;
    };
    home.run(["copy", "m/s", "b"]).expect(0);
    assert_eq!(fs::read(home.path("b/g")).unwrap(), vec![7; 300_000]);
    home.run(["check", "m/s", "b"]).expect(0);
    home.run(["copy", "a", "m/t"]).expect(0);
    home.write("a/h", "44");
    home.run(["copy", "a", "m/t"]).expect(0);
    assert_eq!(read(&home, "real/t/h"), "44");
    home.run(["move", "m/s", "c"]).expect(0);
    assert!(!home.path("real/s/f").exists() && home.path("c/f").exists());
    home.run(["purge", "m/t"]).expect(0);
    home.run(["copy", ":local,inodes=ignore:c", "m/u"]).expect(0);
}

fn set_time(file: &std::path::Path, seconds: i64, part: i64) {
    use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_OMIT};
    let times = Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: seconds, tv_nsec: part },
    };
    rustix::fs::utimensat(CWD, file, &times, AtFlags::empty()).unwrap();
}
