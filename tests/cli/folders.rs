//! The modification times of folders: those of the source, where something was done, and nowhere else.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::time::{Duration, SystemTime};

use crate::support::{Home, outcome};

const FOLDERS: [&str; 4] = ["", "/a", "/a/b", "/c"];

/// A time that no test makes by itself, another one for each number.
fn time(number: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000 + number * 86_400, 123_456_789)
}

fn set_time(home: &Home, folder: &str, to: SystemTime) {
    File::open(home.path(folder)).expect("there").set_modified(to).expect("set");
}

fn time_of(home: &Home, folder: &str) -> SystemTime {
    fs::metadata(home.path(folder)).expect("there").modified().expect("known")
}

fn is_new(home: &Home, folder: &str) -> bool {
    time_of(home, folder) > time(1_000)
}

/// `a/b` has a file and `a` has only `a/b`, so that folders are made on the way; `c` has a file of its own.
fn with_source() -> Home {
    let home = Home::new();
    home.write("src/a/b/deep", "1");
    home.write("src/c/f", "2");
    home.write("src/c/g", "3");
    set_times(&home);
    home
}

fn set_times(home: &Home) {
    for (number, folder) in FOLDERS.iter().enumerate() {
        set_time(home, &format!("src{folder}"), time(number as u64));
    }
}

#[track_caller]
fn check_times(home: &Home, destination: &str) {
    for (number, folder) in FOLDERS.iter().enumerate() {
        let found = time_of(home, &format!("{destination}{folder}"));
        assert_eq!(found, time(number as u64), "{destination}{folder}");
    }
}

/// What tells that somebody was there: a time that cannot be chosen.
fn touched(home: &Home) -> Vec<(i64, i64)> {
    let change = |folder: &&str| {
        let found = fs::metadata(home.path(&format!("dst{folder}"))).expect("there");
        (found.ctime(), found.ctime_nsec())
    };
    FOLDERS.iter().map(change).collect()
}

#[test]
fn folders_get_the_times_of_the_source_and_a_second_run_touches_none() {
    let home = with_source();
    home.expect(0, &["copy", "--dry-run", "src", "dst"]);
    assert!(!home.path("dst").exists());
    home.expect(0, &["copy", "src", "dst"]);
    check_times(&home, "dst");
    let before = touched(&home);
    for verb in ["copy", "sync"] {
        let lines = home.json(0, &[verb, "src", "dst"]);
        assert!(!lines.iter().any(|line| line["type"] == "file_done"), "{lines:?}");
        assert_eq!(touched(&home), before, "{verb}");
    }
}

#[test]
fn what_a_sync_changes_or_deletes_in_a_folder_leaves_it_with_the_time_of_the_source() {
    let home = with_source();
    home.expect(0, &["sync", "src", "dst"]);
    let before = touched(&home);
    fs::remove_file(home.path("src/c/g")).expect("removed");
    home.write("dst/a/extra/f", "extra");
    set_times(&home);
    home.expect(0, &["sync", "src", "dst"]);
    assert!(!home.path("dst/c/g").exists() && !home.path("dst/a/extra").exists());
    check_times(&home, "dst");
    assert_eq!(touched(&home)[2], before[2], "nothing was done in a/b");
}

#[test]
fn an_empty_folder_that_is_made_has_its_time_too() {
    let home = with_source();
    fs::create_dir(home.path("src/c/empty")).expect("made");
    set_time(&home, "src/c/empty", time(9));
    set_times(&home);
    home.expect(0, &["copy", "--create-empty-src-dirs", "src", "dst"]);
    check_times(&home, "dst");
    assert_eq!(time_of(&home, "dst/c/empty"), time(9));
}

#[test]
fn a_move_leaves_folders_with_the_times_they_had_before_it() {
    let home = with_source();
    home.expect(0, &["move", "--delete-empty-src-dirs", "src", "dst"]);
    assert!(!home.path("src/a").exists());
    check_times(&home, "dst");
}

#[test]
fn a_plan_that_is_applied_leaves_the_times_of_the_source() {
    let home = with_source();
    home.expect(0, &["plan", "copy", "-o", "plan.jsonl", "src", "dst"]);
    home.expect(0, &["apply", "plan.jsonl"]);
    check_times(&home, "dst");
}

#[test]
fn the_times_of_folders_are_left_alone_when_that_is_asked_for() {
    let home = with_source();
    home.expect(0, &["copy", "--no-dir-times", "src", "dst"]);
    for folder in FOLDERS {
        assert!(is_new(&home, &format!("dst{folder}")), "{folder}");
    }
    let file = fs::metadata(home.path("dst/c/f")).expect("there").modified().expect("known");
    assert_eq!(file, time_of(&home, "src/c/f"), "files keep theirs");
}

#[test]
fn a_remote_without_times_of_folders_gives_none() {
    let home = with_source();
    home.expect(0, &["copy", "src", "sandbox:s"]);
    home.expect(0, &["copy", "sandbox:s", "back"]);
    assert!(is_new(&home, "back/a/b"));
    assert_eq!(home.read("back/a/b/deep"), "1");
}

#[test]
fn more_folders_than_are_remembered_all_get_their_times() {
    let home = Home::new();
    for number in 0..200 {
        home.write(&format!("src/{}/{number}/f", number % 7), "x");
    }
    for number in 0..200 {
        set_time(&home, &format!("src/{}/{number}", number % 7), time(number));
    }
    (0..7).for_each(|number| set_time(&home, &format!("src/{number}"), time(300 + number)));
    home.expect(0, &["copy", "src", "dst"]);
    for number in 0..200 {
        assert_eq!(time_of(&home, &format!("dst/{}/{number}", number % 7)), time(number));
    }
    for number in 0..7 {
        assert_eq!(time_of(&home, &format!("dst/{number}")), time(300 + number));
    }
}

#[test]
fn a_job_that_is_gone_on_with_sets_the_times_of_what_was_done_before() {
    let home = Home::new();
    for number in 0..12 {
        home.write(&format!("src/d{}/f{number}", number / 2), &"x".repeat(4_000));
    }
    (0..6).for_each(|number| set_time(&home, &format!("src/d{number}"), time(number)));
    let mut command = home.command();
    command.args(["--json", "copy", "--transfers", "1", "--bwlimit", "20K", "src", "dst"]);
    assert_eq!(home.stop_after(&mut command, "file_done", 4).code, 130);
    assert!(is_new(&home, "dst/d0"), "nothing is set while there is more to do");
    home.expect(0, &["copy", "--transfers", "1", "--bwlimit", "off", "src", "dst"]);
    for number in 0..6 {
        assert_eq!(time_of(&home, &format!("dst/d{number}")), time(number), "d{number}");
    }
}

fn mode_of(home: &Home, name: &str) -> u32 {
    fs::metadata(home.path(name)).expect("there").mode() & 0o777
}

fn set_mode(home: &Home, name: &str, mode: u32) {
    fs::set_permissions(home.path(name), fs::Permissions::from_mode(mode)).expect("set");
}

#[test]
fn a_folder_gets_what_the_source_has_now_and_not_what_an_interrupted_run_wrote_down() {
    for verb in ["copy", "sync"] {
        let home = Home::new();
        for file in 0..20 {
            home.write(&format!("src/d/f{file:02}"), &"x".repeat(4_000));
        }
        set_time(&home, "src/d", time(1));
        set_mode(&home, "src/d", 0o500);
        let mut command = home.command();
        command.args([verb, "--json", "--transfers", "1", "--bwlimit", "40K", "src", "dst"]);
        let stopped = home.stop_after(&mut command, "file_done", 3);
        assert_eq!(stopped.code, 130, "{}", stopped.stderr);
        set_mode(&home, "src/d", 0o755);
        home.write("src/d/new", "new");
        set_time(&home, "src/d", time(2));
        home.expect(0, &[verb, "src", "dst"]);
        assert_eq!(time_of(&home, "dst/d"), time(2), "{verb}");
        assert_eq!(mode_of(&home, "dst/d") & 0o700, 0o700, "{verb}");
    }
}

#[test]
fn a_folder_that_a_move_makes_private_is_removed_at_the_source_when_it_is_empty() {
    let home = Home::new();
    home.write("src/d/f", "1");
    home.write("dst/d/other", "2");
    set_mode(&home, "src/d", 0o700);
    set_mode(&home, "dst/d", 0o755);
    home.expect(0, &["move", "--delete-empty-src-dirs", "src", "dst"]);
    assert!(!home.path("src/d").exists());
    assert_eq!((mode_of(&home, "dst/d"), home.read("dst/d/f").as_str()), (0o700, "1"));
}

#[test]
fn a_copy_that_belongs_to_another_user_says_nothing_of_the_rest_of_the_place() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let home = Home::new();
    let set = |name: &str, number| set_time(&home, name, time(number));
    for name in ["src/a", "src/b"] {
        home.write(name, "old");
        set(name, 50);
    }
    let run = |arguments: &[&str]| {
        let mut command = home.unprivileged();
        // Given away with everything else; root's again.
        if home.path("dst/a").exists() {
            chown(home.path("dst/a"), Some(0), Some(0)).expect("root's");
        }
        outcome(command.args(arguments))
    };
    assert_eq!(run(&["copy", "src", "dst"]).code, 0);
    // The time of the one cannot be set.
    set("dst/a", 40);
    let first = run(&["copy", "src", "dst"]);
    assert_eq!(first.code, 0, "{}", first.stderr);
    assert!(!first.stderr.contains("does not set"), "{}", first.stderr);
    home.write("src/b", "new");
    set("src/b", 30);
    assert_eq!(run(&["copy", "src", "dst"]).code, 0);
    assert_eq!(home.read("dst/b"), "new");
    // The permissions of the one cannot be taken away: that is a failure of it, and a move leaves it.
    set("dst/a", 50);
    set_mode(&home, "src/a", 0o600);
    for verb in ["copy", "move"] {
        let run = run(&[verb, "src", "dst"]);
        assert_eq!(run.code, 23, "{verb}: {}", run.stderr);
        assert!(!run.stderr.contains("does not set"), "{verb}: {}", run.stderr);
        assert!(home.path("src/a").exists(), "{verb}");
    }
    assert!(!home.path("src/b").exists());
}
