//! `plan`, `apply`, `move`, `jobs`, reports, and going on with what was interrupted.

use std::fs;

use serde_json::Value;

use crate::support::{Home, tree};

fn lines_of(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect()
}

/// A job over many small files that was stopped in the middle: its bandwidth is small, and it gets a SIGINT twice.
fn interrupted(home: &Home) -> String {
    for folder in 0..6 {
        for file in 0..5 {
            home.write(&format!("a/d{folder}/f{file}"), &"x".repeat(4_000));
        }
    }
    let mut command = home.command();
    command.args([
        "copy",
        "--json",
        "--transfers",
        "1",
        "--checkers",
        "1",
        "--bwlimit",
        "40K",
        "a",
        "b",
    ]);
    let outcome = home.stop_after(&mut command, "file_done", 6);
    assert_eq!(outcome.code, 130, "{}\n{}", outcome.stdout, outcome.stderr);
    let lines = lines_of(&outcome.stdout);
    let summary = lines.last().expect("a summary");
    assert_eq!((&summary["stopped"], &summary["job_is_open"]), (&true.into(), &true.into()));
    summary["job"].as_str().expect("a job").to_owned()
}

#[test]
fn a_job_that_was_stopped_is_listed_shown_and_gone_on_with_by_the_same_command() {
    let home = Home::new();
    let id = interrupted(&home);
    let list = home.expect(0, &["jobs", "list"]).stdout;
    assert!(list.contains(&id) && list.contains("open") && list.contains("copy a -> b"), "{list}");
    let show = home.json(0, &["jobs", "show", &id[..4]]);
    assert_eq!(show[0]["state"], "open");

    let before = tree(&home.path("b")).len() as u64;
    let arguments = ["copy", "--transfers", "1", "--checkers", "1", "--bwlimit", "off", "a", "b"];
    // How fast it goes is not what makes it another job.
    let outcome = home.expect(0, &arguments);
    assert!(outcome.stderr.contains(&format!("interrupted job {id}")), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("items before the interruption"), "{}", outcome.stderr);
    assert_eq!(tree(&home.path("a")), tree(&home.path("b")));
    assert!((5..30).contains(&before), "{before}");
    let list = home.json(0, &["jobs", "list"]);
    assert_eq!(list[0]["state"], "done");
    assert_eq!(list.len(), 2, "one job and the summary");
}

#[test]
fn jobs_resume_runs_the_command_again_where_it_was_begun_and_forget_removes_the_records() {
    let home = Home::new();
    let id = interrupted(&home);
    let mut command = home.command();
    // From another folder: the places were relative.
    command.current_dir("/").args(["jobs", "resume"]);
    let outcome = crate::support::outcome(&mut command);
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    assert_eq!(tree(&home.path("a")), tree(&home.path("b")));
    assert!(home.expect(1, &["jobs", "resume", &id]).stderr.contains("has ended"));
    assert!(home.expect(1, &["jobs", "resume"]).stderr.contains("no job is open"));
    home.expect(0, &["jobs", "forget", &id]);
    assert_eq!(home.expect(0, &["jobs", "list"]).stdout, "");
    assert_eq!(home.expect(3, &["jobs", "show", &id]).code, 3);
}

#[test]
fn fresh_begins_anew_and_the_interrupted_job_is_over() {
    let home = Home::new();
    let id = interrupted(&home);
    let outcome = home.expect(0, &["copy", "--fresh", "a", "b"]);
    assert!(!outcome.stderr.contains("interrupted"), "{}", outcome.stderr);
    let list = home.json(0, &["jobs", "list"]);
    let old = list.iter().find(|job| job["job"] == id.as_str()).expect("on record");
    assert_eq!(old["state"], "replaced");
}

#[test]
fn a_plan_is_made_shown_and_applied_and_what_changed_since_is_left_alone() {
    let home = Home::new();
    for (name, content) in [("a/new", "new"), ("a/over", "longer now"), ("a/same", "same")] {
        home.write(name, content);
    }
    home.write("b/over", "old");
    home.write("b/d/extra", "extra");
    home.expect(0, &["copy", "a/same", "b"]);
    let outcome = home.expect(0, &["plan", "sync", "-o", "plan.jsonl", "a", "b"]);
    assert!(outcome.stderr.contains("2 files to transfer"), "{}", outcome.stderr);
    assert!(!home.path("b/new").exists(), "a plan changes nothing");
    let show = home.expect(0, &["plan", "show", "plan.jsonl"]).stdout;
    for part in ["sync a to b", "copy       new", "delete     d/extra", "sizes differ"] {
        assert!(show.contains(part), "{part} is not in\n{show}");
    }
    let printed = home.expect(0, &["plan", "sync", "a", "b"]).stdout;
    let lines = lines_of(&printed);
    assert_eq!((&lines[0]["type"], &lines[0]["v"]), (&"plan".into(), &1.into()));
    assert_eq!(lines.last().expect("totals")["deletions"], 2);

    home.write("b/over", "a stranger");
    let outcome = home.expect(23, &["apply", "plan.jsonl"]);
    assert!(outcome.stderr.contains("over"), "{}", outcome.stderr);
    assert_eq!((home.read("b/over"), home.read("b/new")), ("a stranger".into(), "new".into()));
    assert!(
        !home.path("b/d").exists(),
        "a folder of its own is not held back by a failure elsewhere"
    );

    // Cut, edited, or for another place.
    let plan = home.read("plan.jsonl");
    home.write("cut.jsonl", &plan[..plan.len() / 2]);
    assert!(home.expect(1, &["apply", "cut.jsonl"]).stderr.contains("cut"));
    home.write("edited.jsonl", &plan.replace("\"new\"", "\"nEw\""));
    assert!(
        home.expect(1, &["apply", "edited.jsonl"]).stderr.contains("changed after it was made")
    );
    let outcome = home.expect(2, &["apply", "plan.jsonl", "--destination", "c"]);
    assert!(outcome.stderr.contains("the plan was made for"), "{}", outcome.stderr);
}

#[test]
fn plans_of_a_copy_and_of_a_move_are_applied_as_such() {
    for (verb, stays_at_source) in [("copy", true), ("move", false)] {
        let home = Home::new();
        home.write("a/d/new", "new");
        home.write("b/extra", "extra");
        home.expect(0, &["plan", verb, "-o", "plan.jsonl", "a", "b"]);
        let show = home.expect(0, &["plan", "show", "plan.jsonl"]).stdout;
        assert!(show.starts_with(&format!("{verb} a to b")), "{show}");
        assert!(!home.path("b/d/new").exists() && home.path("a/d/new").exists(), "{verb}");
        home.expect(0, &["apply", "plan.jsonl"]);
        assert_eq!((home.read("b/d/new"), home.read("b/extra")), ("new".into(), "extra".into()));
        assert_eq!(home.path("a/d/new").exists(), stays_at_source, "{verb}");
    }
}

#[test]
fn promise_1_a_plan_from_a_source_with_nothing_but_folders_deletes_nothing() {
    let home = Home::new();
    home.write("b/f", "content");
    fs::create_dir_all(home.path("a/d/e")).expect("makes folders");
    home.run(&["plan", "sync", "--max-delete", "100%", "a", "b", "-o", "plan.jsonl"]);
    let plan = lines_of(&fs::read_to_string(home.path("plan.jsonl")).expect("a plan"));
    assert_eq!(plan.last().expect("totals")["source_files"], 0);
    home.expect(7, &["apply", "plan.jsonl"]);
    assert!(home.path("b/f").exists());
}

#[test]
fn a_report_names_every_outcome_and_feeds_the_next_run() {
    let home = Home::new();
    home.write("a/fine", "1");
    home.write("a/clash", "a file here");
    home.write("b/clash/inner", "a folder there");
    let outcome = home.run(&["copy", "--report", "report.jsonl", "--combined", "marks", "a", "b"]);
    assert_eq!(outcome.code, 23, "{}", outcome.stderr);
    let lines = lines_of(&home.read("report.jsonl"));
    let status = |path: &str| {
        let line = lines.iter().find(|line| line["path"] == path).expect("a line");
        line["status"].as_str().expect("a word").to_owned()
    };
    assert_eq!((status("fine"), status("clash")), ("done".to_owned(), "refused".to_owned()));
    let fine = lines.iter().find(|line| line["path"] == "fine").expect("a line");
    assert_eq!((&fine["bytes"], &fine["attempts"]), (&1.into(), &1.into()));
    assert_eq!(lines.last().expect("an end")["type"], "report");
    let mut marks: Vec<_> = home.read("marks").lines().map(str::to_owned).collect();
    marks.sort();
    assert_eq!(marks, ["! clash", "+ fine"]);

    // Only what failed is done, whatever else there is.
    fs::remove_dir_all(home.path("b/clash")).expect("removed");
    home.write("a/later", "not meant");
    let lines = home.json(0, &["copy", "--retry-failed", "report.jsonl", "a", "b"]);
    assert_eq!(lines.last().expect("a summary")["counts"]["copied"], 1);
    assert!(home.path("b/clash").is_file() && !home.path("b/later").exists());
    let list = home.json(0, &["jobs", "list"]);
    let partial = list.iter().find(|job| job["state"] == "partial").expect("on record");
    let id = partial["job"].as_str().expect("a name");
    let shown = home.expect(0, &["jobs", "show", id]).stdout;
    assert!(shown.contains("refused") && shown.contains("clash"), "{shown}");
    fs::remove_file(home.path("b/clash")).expect("removed");
    home.expect(0, &["copy", "--retry-failed", id, "a", "b"]);
    assert!(home.path("b/clash").is_file());
}

#[test]
fn a_move_leaves_nothing_at_the_source_that_arrived() {
    let home = Home::new();
    home.write("a/one", "1");
    home.write("a/d/two", "2");
    home.write("b/d/two", "2");
    home.write("b/other", "stays");
    let outcome = home.expect(0, &["move", "--delete-empty-src-dirs", "a", "b"]);
    // One gets its new name, the other is there already.
    assert!(outcome.stderr.contains("renamed 1, removed at the source 1"), "{}", outcome.stderr);
    assert!(tree(&home.path("a")).is_empty() && !home.path("a/d").exists());
    assert_eq!((home.read("b/one"), home.read("b/d/two"), home.read("b/other")).0, "1");

    // Into the sandbox and on within it, where the account moves by itself.
    home.expect(0, &["move", "b", "sandbox:x"]);
    assert!(tree(&home.path("b")).is_empty());
    let lines = home.json(0, &["move", "sandbox:x", "sandbox:y"]);
    let counts = &lines.last().expect("a summary")["counts"];
    // The destination is not there, so the whole folder is moved.
    assert_eq!((&counts["dirs_moved"], &counts["failed"]), (&1.into(), &0.into()));
    assert_eq!(home.expect(0, &["cat", "sandbox:y/d/two"]).stdout, "2");
    home.expect(3, &["ls", "-R", "sandbox:x"]);
}

#[test]
fn limits_are_checked_before_anything_is_changed() {
    let home = Home::new();
    home.write("a/one", &"1".repeat(3_000));
    let outcome = home.expect(7, &["copy", "--max-transfer", "1K", "a", "b"]);
    assert!(outcome.stderr.contains("nothing was changed"), "{}", outcome.stderr);
    assert!(!home.path("b/one").exists());
    home.expect(0, &["copy", "--max-transfer", "1M", "a", "b"]);
    fs::remove_file(home.path("a/one")).expect("removed");
    let outcome = home.expect(7, &["sync", "a", "b"]);
    assert!(outcome.stderr.contains("--allow-empty-source"), "{}", outcome.stderr);
    home.expect(0, &["sync", "--allow-empty-source", "--max-delete", "5", "a", "b"]);
    assert!(!home.path("b/one").exists());
}

#[test]
fn verification_by_reading_back_and_by_nothing() {
    let home = Home::new();
    home.write("a/one", "content");
    for how in ["none", "size", "hash", "read-back"] {
        home.expect(0, &["copy", "--verify", how, "a", &format!("local-{how}")]);
        home.expect(0, &["copy", "--verify", how, "a", &format!("sandbox:{how}")]);
        home.expect(0, &["check", "a", &format!("sandbox:{how}")]);
        assert_eq!(tree(&home.path(&format!("local-{how}"))), tree(&home.path("a")));
    }
}

#[test]
fn a_place_that_a_job_works_on_is_refused_at_once() {
    let home = Home::new();
    home.write("a/big", &"x".repeat(200_000));
    // The first piece passes at once, so it is the second that keeps the job at work.
    home.write("a/more", &"x".repeat(200_000));
    let mut command = home.command();
    command.args(["copy", "--json", "--bwlimit", "1K", "a", "b"]);
    let mut child = home.wait_for(&mut command, "start");
    let outcome = home.expect(7, &["sync", "a", "b"]);
    let pid = format!("in use by process {}", child.id());
    assert!(outcome.stderr.contains(&pid), "{}", outcome.stderr);
    child.kill().expect("killed");
    child.wait().expect("ended");
    // The lock of a dead process is free.
    home.expect(0, &["sync", "a", "b"]);
}

#[test]
fn no_secret_is_ever_on_record() {
    let home = Home::new();
    home.write("a/file", "content");
    let server = home.serve();
    let key = ketch_fichier_sim::SANDBOX_KEY;
    let place = server.place(key, "x");
    home.expect(0, &["copy", "a", &place]);
    home.expect(0, &["plan", "copy", "-o", "plan.jsonl", "a", &place]);
    assert!(!home.read("plan.jsonl").contains(key), "promise 9");
    let (mut waiting, mut seen) = (vec![home.path(".state")], 0);
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                waiting.push(path);
                continue;
            }
            seen += 1;
            let content = fs::read(&path).expect("a file");
            assert!(!String::from_utf8_lossy(&content).contains(key), "promise 9: {path:?}");
        }
    }
    assert!(seen > 3, "{seen} files were looked at");
    let outcome = home.expect(2, &["apply", "plan.jsonl"]);
    assert!(outcome.stderr.contains("--destination"), "{}", outcome.stderr);
    home.expect(0, &["apply", "plan.jsonl", "--destination", &place]);
}

#[test]
fn a_second_signal_keeps_the_finished_ranges_of_a_large_file_as_a_kill_does() {
    use rustix::process::{Pid, Signal, kill_process};
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let home = Home::new();
        fs::create_dir(home.path("a")).expect("a folder");
        // Far more than is copied until the signals come: only the first range matters.
        let large = fs::File::create(home.path("a/large")).expect("a file");
        large.set_len(8 << 30).expect("a sparse file");
        let mut command = home.command();
        command.args(["copy", "-q", "--bwlimit", "32M", "a", "b"]);
        let mut child = command.spawn().expect("it starts");
        let left = || -> Vec<String> {
            let found = fs::read_dir(home.path("b")).into_iter().flatten();
            let names = found.map(|entry| entry.expect("an entry").file_name());
            names.map(|name| name.to_string_lossy().into_owned()).collect()
        };
        // The ledger is made with its first record.
        while left().len() < 2 {
            assert!(child.try_wait().expect("a child").is_none(), "it ended by itself");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let id = Pid::from_child(&child);
        let status = loop {
            kill_process(id, signal).expect("it is there until it is waited for");
            std::thread::sleep(std::time::Duration::from_millis(50));
            if let Some(status) = child.try_wait().expect("a child") {
                break status;
            }
        };
        assert_eq!(status.code(), Some(code));
        let names = left();
        assert_eq!(names.len(), 2, "the part and its ledger stay: {names:?}");
        // Another version is transferred from its beginning, and nothing of the old one is left.
        large.set_len(1_000).expect("shorter");
        home.expect(0, &["copy", "a", "b"]);
        assert_eq!(left(), ["large"]);
        assert_eq!(home.read("b/large").len(), 1_000);
    }
}

#[test]
fn jobs_resume_finishes_the_plan_as_it_was_and_tells_of_what_it_passed_over() {
    let home = Home::new();
    let id = interrupted(&home);
    home.write("a/d0/later", "new");
    let outcome = home.expect(23, &["jobs", "resume", &id]);
    assert!(outcome.stderr.contains("finishing the plan"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("1 items are not in the plan"), "{}", outcome.stderr);
    home.expect(0, &["copy", "a", "b"]);
    assert_eq!(tree(&home.path("a")), tree(&home.path("b")));

    // Other settings, also from the environment, and other folders make another plan.
    let home = Home::new();
    interrupted(&home);
    let mut command = home.command();
    command.env("KETCH_LINKS", "follow").args(["jobs", "resume"]);
    let outcome = crate::support::outcome(&mut command);
    assert_eq!(outcome.code, 7, "{}", outcome.stderr);
    assert!(outcome.stderr.contains("is not as it was"), "{}", outcome.stderr);
    fs::rename(home.path("a"), home.path("away")).expect("renamed");
    fs::create_dir(home.path("a")).expect("a folder");
    let outcome = home.expect(7, &["jobs", "resume"]);
    assert!(outcome.stderr.contains("the source is another folder now"), "{}", outcome.stderr);
    fs::remove_dir(home.path("a")).expect("removed");
    fs::rename(home.path("away"), home.path("a")).expect("renamed");
    home.expect(0, &["jobs", "resume"]);
    assert_eq!(tree(&home.path("a")), tree(&home.path("b")));
}

#[test]
fn going_on_is_told_also_when_quiet_and_the_dry_run_shows_what_the_run_does() {
    let home = Home::new();
    let id = interrupted(&home);
    home.write("a/d0/later", "new");
    let left = 31 - tree(&home.path("b")).len();
    let shown = home.json(0, &["copy", "-n", "a", "b"]);
    let going_on = shown.iter().find(|line| line["type"] == "going_on").expect("told");
    assert_eq!(going_on["job"], id.as_str());
    let shown = shown.iter().filter(|line| line["type"] == "file_done").count();
    let outcome = home.expect(0, &["copy", "-q", "--report", "report", "a", "b"]);
    assert!(outcome.stderr.contains(&format!("interrupted job {id}")), "{}", outcome.stderr);
    let done = lines_of(&home.read("report"));
    let done = done.iter().filter(|line| line["status"] == "done").count();
    assert_eq!((shown, done), (left, left));
    assert_eq!(tree(&home.path("a")), tree(&home.path("b")));
}

#[test]
fn a_job_with_a_relative_age_keeps_its_parts_and_takes_what_grew_old_meanwhile() {
    let home = Home::new();
    for number in 0..20 {
        home.write(&format!("a/f{number}"), &"x".repeat(4_000));
    }
    let mut command = home.command();
    let slow = ["copy", "--json", "--transfers", "1", "--bwlimit", "40K", "--max-age", "1d"];
    command.args(slow).args(["a", "b"]);
    let outcome = home.stop_after(&mut command, "file_done", 4);
    assert_eq!(outcome.code, 130, "{}", outcome.stderr);
    // The same command means another moment now, and is told of the interrupted one all the same.
    home.write("a/later", "new");
    let outcome = home.expect(0, &["copy", "--max-age", "1d", "a", "b"]);
    assert!(outcome.stderr.contains("interrupted job"), "{}", outcome.stderr);
    assert_eq!(tree(&home.path("a")), tree(&home.path("b")));
}

#[test]
fn a_job_to_the_sandbox_that_was_killed_is_finished_by_the_same_command() {
    let home = Home::new();
    for folder in 0..6 {
        for file in 0..5 {
            home.write(&format!("a/d{folder}/f{file}"), &"x".repeat(4_000));
        }
    }
    let mut command = home.command();
    let slow = ["copy", "--json", "--transfers", "2", "--bwlimit", "40K", "a", "sandbox:b"];
    // The emulator dies with it, and the next one has another port.
    let mut child = home.wait_for(command.args(slow), "file_done");
    child.kill().expect("killed");
    child.wait().expect("waited for");
    home.expect(0, &["copy", "a", "sandbox:b"]);
    home.expect(0, &["check", "a", "sandbox:b"]);
}
