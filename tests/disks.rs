//! Disks that do what others do not: they lose bytes and say so late, list sizes that are not true, keep no times or coarse
//! ones, refuse what is optional. Skipped, with a word on why, where nothing can be mounted.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

#[path = "support/fuse.rs"]
mod fuse;
mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;

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

/// The names of ketch's own in a folder.
fn parts(home: &Home, folder: &str) -> Vec<String> {
    let Ok(names) = fs::read_dir(home.path(folder)) else { return Vec::new() };
    let names = names.map(|name| name.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.contains(".ketch-")).collect()
}

/// Ends a copy of `a/big` to `b` by a kill, when it has begun.
fn killed_copy(home: &Home) {
    home.write("a/big", vec![7; 40_000_000]);
    let mut child = home
        .command()
        .args(["copy", "a", "b", "--bwlimit", "8M"])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    // Until it can be gone on with.
    while !parts(home, "b").iter().any(|name| name.ends_with(".ledger")) {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it could be killed");
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn parts_that_nobody_goes_on_with_are_told_of_and_removed_by_the_next_job_there() {
    let home = Home::new();
    killed_copy(&home);
    // Another machine, or a container that starts anew.
    fs::remove_dir_all(home.path("state")).unwrap();
    for arguments in [["copy", "--dry-run", "a", "b"], ["check", "a", "b", "--one-way"]] {
        let run = home.run(arguments);
        assert!(run.stderr.contains("1 part of interrupted transfers"), "{}", run.stderr);
        assert_eq!(parts(&home, "b").len(), 2, "{arguments:?} changes nothing");
    }
    home.run(["copy", "a", "b"]).expect(0).says("removed 1 part of interrupted transfers");
    assert!(parts(&home, "b").is_empty(), "{:?}", parts(&home, "b"));
    home.run(["check", "a", "b"]).expect(0);
}

#[test]
fn cleanup_removes_dead_parts_and_leaves_those_of_open_jobs() {
    let home = Home::new();
    killed_copy(&home);
    home.write("b/d/.x.ketch-0000dead.part", "dead");
    home.write("b/d/.y.ketch-0000dead.ledger", "dead");
    let all = home.run(["ls", "-R", "b"]).expect(0);
    assert!(!all.stdout.contains("ketch"), "{}", all.stdout);
    let dry = home.run(["cleanup", "--dry-run", "b"]).expect(0).says("would remove 2 parts");
    assert!(dry.stdout.contains("d/.x.ketch-0000dead.part"), "{}", dry.stdout);
    assert_eq!(parts(&home, "b/d").len(), 2);
    home.run(["cleanup", "b"]).expect(0).says("1 belong to interrupted jobs");
    assert!(parts(&home, "b/d").is_empty());
    assert_eq!(parts(&home, "b").len(), 2, "the job goes on with them");
    let json = home.run(["--json", "cleanup", "b"]).expect(0).stdout;
    let last = json.lines().last().unwrap();
    let last: serde_json::Value = serde_json::from_str(last).unwrap();
    assert_eq!((&last["removed"], &last["claimed"]), (&0.into(), &1.into()));
    home.run(["copy", "a", "b"]).expect(0);
    assert!(parts(&home, "b").is_empty());
    home.run(["cleanup", "sandbox:"]).expect(0).says("nothing to clean up");
}

#[test]
fn purge_and_rmdir_remove_dead_parts() {
    let home = Home::new();
    for folder in ["p", "p/d", "r"] {
        home.write(format!("{folder}/.x.ketch-0000dead.part"), "dead");
        home.write(format!("{folder}/.x.ketch-0000dead.ledger"), "dead");
    }
    home.write("p/d/f", "content");
    home.run(["rmdir", "r"]).expect(0);
    home.run(["purge", "p"]).expect(0);
    assert!(!home.path("r").exists() && !home.path("p").exists());
}

fn mode_of(home: &Home, name: &str) -> u32 {
    fs::metadata(home.path(name)).unwrap().permissions().mode() & 0o777
}

fn set_mode(home: &Home, name: &str, mode: u32) {
    fs::set_permissions(home.path(name), fs::Permissions::from_mode(mode)).unwrap();
}

/// Runs the binary under a umask.
fn run_under(home: &Home, umask: &str, arguments: &[&str]) -> support::Run {
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", &format!("umask {umask}; exec \"$@\""), "sh"]);
    support::finish(&mut support::behind(shell, home.command().args(arguments)))
}

#[test]
fn what_is_private_at_the_source_is_private_at_the_destination() {
    for (umask, open_file, open_folder) in [("022", 0o644, 0o755), ("077", 0o600, 0o700)] {
        for command in ["copy", "sync", "move"] {
            let home = Home::new();
            home.write("a/private/deep/f", "secret");
            home.write("a/private/large", vec![7; 300_000]);
            home.write("a/open/f", "content");
            home.write("a/open/key", "secret");
            home.write("a/closed/f", "content");
            for (name, mode) in [
                ("a/private", 0o700),
                ("a/private/deep", 0o777),
                ("a/private/large", 0o640),
                ("a/open", 0o777),
                ("a/open/f", 0o666),
                ("a/open/key", 0o600),
                ("a/closed", 0o500),
                ("a", 0o755),
            ] {
                set_mode(&home, name, mode);
            }
            let run = run_under(&home, umask, &[command, "a", "b"]).expect(0);
            // A file that is moved within a disk is the same file, with all it had.
            let (large, open_file) = match command {
                "move" => (0o640, 0o666),
                _ => (0o640 & open_file, open_file),
            };
            for (name, mode) in [
                ("b/private", 0o700),
                ("b/private/deep", open_folder),
                ("b/private/large", large),
                ("b/open", open_folder),
                ("b/open/f", open_file),
                ("b/open/key", 0o600),
                ("b/closed", 0o500),
                ("b", open_folder),
            ] {
                let found = mode_of(&home, name);
                assert_eq!(found, mode, "{command} {name} {found:o}: {}", run.stderr);
            }
            assert_eq!(read(&home, "b/private/deep/f"), "secret");
        }
    }
}

#[test]
fn what_is_made_private_later_becomes_private_at_the_destination_and_nothing_is_opened() {
    let home = Home::new();
    for name in ["f", "g", "h", "tool"] {
        home.write(format!("a/d/{name}"), "content");
        set_mode(&home, &format!("a/d/{name}"), 0o644);
    }
    set_mode(&home, "a/d", 0o755);
    run_under(&home, "022", &["copy", "a", "b"]).expect(0);
    set_mode(&home, "a/d/f", 0o600);
    set_mode(&home, "a/d", 0o700);
    // Changed as well: what replaces it is private from the first moment.
    home.write("a/d/g", "other content");
    set_mode(&home, "a/d/g", 0o600);
    // Made private by a person, or fit to be run: it stays so.
    set_mode(&home, "b/d/h", 0o600);
    set_mode(&home, "b/d/tool", 0o755);
    run_under(&home, "022", &["sync", "a", "b"]).expect(0);
    for (name, mode) in [("f", 0o600), ("g", 0o600), ("h", 0o600), ("tool", 0o755)] {
        assert_eq!(mode_of(&home, &format!("b/d/{name}")), mode, "{name}");
    }
    assert_eq!(mode_of(&home, "b/d"), 0o700);
    let again = home.run(["--json", "sync", "a", "b"]).expect(0).stdout;
    let counts = counts(&again);
    assert_eq!((&counts["unchanged"], &counts["times_set"]), (&4.into(), &0.into()), "{counts}");
    // Also where contents are compared.
    set_mode(&home, "a/d/tool", 0o400);
    home.run(["copy", "--checksum", "a", "b"]).expect(0);
    assert_eq!(mode_of(&home, "b/d/tool"), 0o700);
}

/// What the first `progress` line says by which something of a file was read.
fn shown_while_held(home: &Home, mount: &Mount, arguments: &[&str]) -> serde_json::Value {
    use std::io::BufRead;
    let mut child = home
        .command()
        .arg("--json")
        .args(arguments)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
    let mut lines =
        lines.map(|line| serde_json::from_str::<serde_json::Value>(&line.unwrap()).unwrap());
    // Ends when the command does, which is when the mount lets go: it is told before, or never.
    let shown = lines.find(|line| line["type"] == "progress" && line["bytes"].as_u64() > Some(0));
    mount.release();
    lines.for_each(drop);
    assert!(child.wait().unwrap().success());
    shown.expect("a progress line that says how far it is")
}

#[test]
fn a_copy_that_the_system_makes_and_a_check_show_how_far_they_are() {
    const MIB: u64 = 1024 * 1024;
    for command in ["copy", "check"] {
        let home = Home::new();
        home.write("real/d/large", vec![7; 64 * MIB as usize]);
        home.write("b/small", "small");
        home.write("real/d/small", "small");
        if command == "check" {
            home.write("b/large", vec![7; 64 * MIB as usize]);
        }
        let faults = Faults { holds_from: Some(40 * MIB), ..Faults::default() };
        let Some(mount) = mount(&home, faults) else { return };
        let shown = shown_while_held(&home, &mount, &[command, "m/d", "b"]);
        let bytes = shown["bytes"].as_u64().unwrap();
        assert!(bytes < 64 * MIB, "{command}: {shown}");
        assert!(shown["bytes_total"].as_u64() >= Some(64 * MIB), "{command}: {shown}");
        assert_eq!(shown["active"][0]["path"], "large", "{command}: {shown}");
    }
}
