//! Commands about single things, and about what a remote can do beside holding files.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use crate::support::{Home, Server, outcome};

const KEY: &str = "sandbox-KEY_0123456789abcdefghi=";

/// A home whose remote `box:` is a sandbox of its own.
fn boxed() -> (Home, Server) {
    boxed_with("pace = \"off\"")
}

fn boxed_with(pace: &str) -> (Home, Server) {
    let home = Home::new();
    let server = home.serve();
    let url = server.url();
    let text =
        format!("[box]\ntype = \"fichier\"\napi_key = \"{KEY}\"\napi_url = \"{url}\"\n{pace}\n");
    home.write("config.toml", &text);
    let private = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(home.path("config.toml"), private).expect("changed");
    (home, server)
}

fn lines(text: &str) -> Vec<&str> {
    text.lines().collect()
}

#[test]
fn a_link_is_printed_and_an_end_is_refused_with_what_to_do() {
    let (home, _server) = boxed();
    home.write("src/f", "content");
    home.expect(0, &["copy", "src", "box:d"]);
    let file = home.expect(0, &["link", "box:d/f"]);
    assert!(file.stdout.starts_with("https://1fichier.com/?"), "{}", file.stdout);
    assert_eq!(lines(&file.stdout).len(), 1);
    let folder = home.expect(0, &["link", "box:d"]);
    assert!(folder.stdout.starts_with("https://1fichier.com/dir/"), "{}", folder.stdout);
    let direct = home.expect(0, &["link", "--direct", "box:d/f"]);
    assert!(direct.stdout.starts_with("http://127.0.0.1"), "{}", direct.stdout);
    assert!(direct.stderr.contains("5m") && direct.stderr.contains("30m"), "{}", direct.stderr);
    let line = &home.json(0, &["link", "--direct", "box:d/f"])[0];
    assert_eq!((line["type"].as_str(), line["lasts_seconds"].as_u64()), (Some("link"), Some(1800)));
    let refused = home.expect(2, &["link", "--expire", "1d", "box:d/f"]);
    assert!(refused.stderr.contains("--direct"), "{}", refused.stderr);
    home.expect(3, &["link", "box:missing"]);
    let local = home.expect(1, &["link", "src/f"]);
    assert!(local.stderr.contains("cannot do `link`"), "{}", local.stderr);
}

#[test]
fn stat_tells_what_the_remote_knows_and_no_password() {
    let (home, _server) = boxed();
    home.write("src/f.txt", "content");
    home.expect(0, &["copy", "src", "box:d"]);
    home.expect(
        0,
        &["attr", "set", "--description", "a few words", "--inline", "true", "box:d/f.txt"],
    );
    let told = home.expect(0, &["stat", "box:d/f.txt"]).stdout;
    for expected in [
        "size            7",
        "whirlpool       ",
        "link            https://1fichier.com/?",
        "folder          d",
        "description     a few words",
        "inline          yes",
        "has_password    no",
    ] {
        assert!(told.contains(expected), "{expected}: {told}");
    }
    let line = &home.json(0, &["stat", "box:d"])[0];
    assert_eq!(line["kind"], "dir");
    assert_eq!(line["details"]["files"], 1);
    let local = home.expect(0, &["stat", "src/f.txt"]).stdout;
    assert!(local.contains("size            7"), "{local}");
    home.expect(0, &["link", "--password", "CANARY-secret", "box:d/f.txt"]);
    let refused = home.expect(0, &["stat", "box:d/f.txt"]);
    assert!(refused.stdout.contains("refused         a password"), "{}", refused.stdout);
    assert!(!format!("{}{}", refused.stdout, refused.stderr).contains("CANARY"));
}

#[test]
fn trees_are_drawn_and_counted() {
    let (home, _server) = boxed();
    for (file, content) in [("src/a/b/f", "1"), ("src/a/g", "22"), ("src/z", "333")] {
        home.write(file, content);
    }
    home.expect(0, &["copy", "src", "box:d"]);
    let drawn = home.expect(0, &["tree", "box:d"]).stdout;
    let expected = [
        "box:d",
        "├── a/",
        "│   ├── b/",
        "│   │   └── f",
        "│   └── g",
        "└── z",
        "",
        "2 folders, 3 files (6 B)",
    ];
    assert_eq!(lines(&drawn), expected);
    let drawn = home.expect(0, &["tree", "--max-depth", "1", "-d", "box:d"]).stdout;
    assert_eq!(lines(&drawn)[..2], ["box:d", "└── a/"]);
    assert_eq!(lines(&home.expect(0, &["tree", "src"]).stdout)[1..], expected[1..]);
    let size = home.expect(0, &["size", "box:d"]).stdout;
    assert_eq!(lines(&size), ["files  3", "bytes  6 (6 B)"]);
    let summary = home.json(0, &["size", "--include", "g", "box:d"]).pop().expect("a line");
    assert_eq!((&summary["counts"]["files"], &summary["counts"]["bytes"]), (&1.into(), &2.into()));
}

#[test]
fn folders_are_removed_empty_or_with_everything() {
    let (home, _server) = boxed();
    for file in ["src/a/b/f", "src/a/g", "src/z"] {
        home.write(file, "content");
    }
    home.expect(0, &["copy", "src", "box:d"]);
    let refused = home.expect(1, &["rmdir", "box:d/a"]);
    assert!(refused.stderr.contains("not empty"), "{}", refused.stderr);
    let dry = home.expect(0, &["purge", "-n", "box:d/a"]).stdout;
    assert_eq!(lines(&dry), ["delete  a/b/f", "delete  a/b/", "delete  a/g", "delete  a/"]);
    home.expect(0, &["purge", "box:d/a"]);
    assert_eq!(lines(&home.expect(0, &["tree", "box:d"]).stdout)[1..2], ["└── z"]);
    home.expect(0, &["mkdir", "box:d/empty"]);
    home.expect(0, &["rmdir", "box:d/empty"]);
    home.expect(3, &["rmdir", "box:d/empty"]);
    home.expect(3, &["purge", "box:d/z"]);
    home.expect(0, &["purge", "src"]);
    assert!(!home.path("src").exists());
}

#[test]
fn standard_input_becomes_a_file_of_any_size() {
    let (home, _server) = boxed();
    for (size, place) in [(5, "box:d/small"), (9 << 20, "box:d/large"), (5, "there/local")] {
        let content = vec![b'x'; size];
        let mut command = home.command();
        command.args(["rcat", place]).stdin(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        child.stdin.take().expect("piped").write_all(&content).expect("taken");
        assert_eq!(child.wait().expect("it ends").code(), Some(0), "{place}");
        let found = outcome(home.command().args(["cat", place])).stdout;
        assert!(found.as_bytes() == content, "{place}: {} bytes", found.len());
    }
    home.expect(2, &["rcat", "box:"]);
}

#[test]
fn the_room_of_an_account_is_asked_for_once_for_all_processes() {
    let (home, server) = boxed();
    let first = home.expect(0, &["about", "box:"]).stdout;
    assert!(lines(&first)[0].starts_with("total   "), "{first}");
    let paced = home.read("config.toml").replace("pace = \"off\"\n", "");
    home.write("config.toml", &paced);
    home.expect(0, &["about", "box:"]);
    let before = server.requests("user/info");
    assert_eq!(home.expect(0, &["about", "box:"]).stdout, first);
    assert_eq!(server.requests("user/info"), before);
    assert!(home.json(0, &["about", "box:"])[0]["free"].is_u64());
}

/// Stores three versions of `d/f`, one beside the other.
fn triple(home: &Home) {
    for (number, content) in ["1", "22", "1"].into_iter().enumerate() {
        home.write(&format!("v{number}/f"), content);
        // Into another folder, and moved from there: nothing is replaced.
        home.expect(0, &["copy", &format!("v{number}"), &format!("box:v{number}")]);
    }
    home.expect(0, &["mkdir", "box:d"]);
    let links: Vec<String> = (0..3)
        .map(|number| {
            home.expect(0, &["link", &format!("box:v{number}/f")]).stdout.trim().to_owned()
        })
        .collect();
    let server = home.read("config.toml");
    let url = server.lines().find_map(|line| line.strip_prefix("api_url = ")).expect("given");
    let url = url.trim_matches('"');
    let address = url.trim_start_matches("http://").trim_end_matches("/v1");
    let folder = home.json(0, &["stat", "box:d"])[0]["details"]["id"].as_u64().expect("a number");
    let urls: Vec<String> = links.iter().map(|link| format!("\"{link}\"")).collect();
    let body = format!("{{\"urls\":[{}],\"destination_folder_id\":{folder}}}", urls.join(","));
    let answer = crate::support::post(address, "/v1/file/mv.cgi", KEY, &body);
    assert!(answer.contains("\"moved\":3"), "{answer}");
}

#[test]
fn duplicates_are_listed_and_a_rule_leaves_one() {
    let (home, _server) = boxed();
    triple(&home);
    let listed = home.expect(1, &["dedupe", "box:d"]);
    assert_eq!(lines(&listed.stdout).len(), 3, "{}", listed.stdout);
    assert!(listed.stderr.contains("--rule"), "{}", listed.stderr);
    let groups = home.json(0, &["dedupe", "--rule", "list", "box:"]);
    assert_eq!(groups[0]["files"].as_array().map(Vec::len), Some(3));
    let by_hash = home.json(0, &["dedupe", "--by-hash", "-n", "--rule", "newest", "box:d"]);
    assert_eq!(by_hash.last().expect("a line")["counts"]["deleted"], 1, "two have one content");
    home.expect(0, &["dedupe", "--rule", "largest", "box:d"]);
    assert_eq!(home.expect(0, &["cat", "box:d/f"]).stdout, "22");
    assert_eq!(lines(&home.expect(0, &["ls", "box:d"]).stdout).len(), 1);
}

#[test]
fn duplicates_are_renamed_and_deleting_a_name_deletes_all_of_it() {
    let (home, _server) = boxed();
    triple(&home);
    home.expect(0, &["dedupe", "--rule", "rename", "box:d"]);
    let names = home.expect(0, &["ls", "box:d"]).stdout;
    assert!(
        names.contains(" f\n") && names.contains(" f-1\n") && names.contains(" f-2\n"),
        "{names}"
    );

    let (home, _server) = boxed();
    triple(&home);
    home.expect(0, &["delete", "box:d/f"]);
    assert_eq!(home.expect(0, &["ls", "box:d"]).stdout, "");
}

#[test]
fn the_remote_downloads_by_itself_and_is_waited_for() {
    let (home, _server) = boxed();
    let asked = home.expect(0, &["copyurl", "https://example.com/a.txt", "box:d"]);
    let id = asked.stdout.trim().to_owned();
    assert!(home.expect(0, &["remote", "jobs", "box:"]).stdout.contains(&id));
    home.expect(0, &["remote", "jobs", "box:", &id]);
    let told = home.expect(0, &["remote", "jobs", "box:", &id]).stdout;
    assert!(told.starts_with("https://example.com/a.txt  https://1fichier.com/?"), "{told}");
    let addresses = ["https://example.com/b.txt", "https://example.com/missing"];
    let failed = home.expect(23, &["copyurl", "--wait", addresses[0], addresses[1], "box:d"]);
    assert!(failed.stdout.starts_with(addresses[0]), "{}", failed.stdout);
    assert!(failed.stderr.contains(addresses[1]), "{}", failed.stderr);
    assert_eq!(home.expect(0, &["cat", "box:d/b.txt"]).stdout, addresses[0]);
    let header = ["copyurl", "--header", "nonsense", addresses[0], "box:d"];
    assert!(home.expect(2, &header).stderr.contains("Name: value"));
}

#[test]
fn somebody_elses_link_is_imported() {
    let (home, _server) = boxed();
    home.write("src/f", "content");
    home.expect(0, &["copy", "src", "box:theirs"]);
    let link = home.expect(0, &["link", "box:theirs/f"]).stdout;
    home.expect(0, &["import", link.trim(), "box:mine"]);
    assert_eq!(home.expect(0, &["cat", "box:mine/f"]).stdout, "content");
    assert!(home.expect(0, &["scan", "box:mine/f"]).stdout.starts_with("clean"));
}

/// Calls that the emulator has counted.
fn calls(server: &Server) -> u64 {
    let endpoints = [
        "folder/ls",
        "file/ls",
        "folder/mkdir",
        "upload/get_upload_server",
        "file/info",
        "file/rm",
    ];
    endpoints.iter().map(|endpoint| server.requests(endpoint)).sum()
}

/// The bills that a command tells, by what they add up to.
fn bills(home: &Home, arguments: &[&str]) -> Vec<u64> {
    let lines = home.json(0, arguments);
    let bills = lines.into_iter().filter(|line| line["type"] == "bill");
    bills.map(|bill| bill["total"].as_u64().expect("a number")).collect()
}

fn hundred_files(home: &Home) {
    for folder in 0..10 {
        for file in 0..10 {
            home.write(&format!("src/d{folder}/f{file}"), &format!("content of {file}"));
        }
    }
}

#[test]
fn the_bill_is_what_the_emulator_counts() {
    // At the top, and two folders down. A twentieth of the documented distances: what is late by less is not late.
    for place in ["box:", "box:backup/files"] {
        let (home, server) = boxed_with("pace_scale = 20");
        hundred_files(&home);
        let check = |most: u64| {
            let arguments = ["sync", "--max-delete", "100%", "--dry-run", "src", place];
            let told = bills(&home, &arguments);
            let before = calls(&server);
            home.expect(0, &["sync", "--max-delete", "100%", "src", place]);
            let made = calls(&server) - before;
            assert_eq!(told, [made], "{place}");
            assert!(made <= most, "{place}: {made} calls, {most} allowed");
        };
        check(45);
        check(12);
        for folder in 0..10 {
            for file in 0..5 {
                std::fs::remove_file(home.path(&format!("src/d{folder}/f{file}"))).expect("there");
            }
        }
        // The listings of this run are looks; one more at the folder above them all, and one removal for all of them. Two
        // folders down a file says where that one is, which is not known beforehand.
        let arguments = ["sync", "--max-delete", "100%", "--dry-run", "src", place];
        let told = bills(&home, &arguments);
        let before = calls(&server);
        home.expect(0, &["sync", "--max-delete", "100%", "src", place]);
        let made = calls(&server) - before;
        assert!(told.len() == 1 && told[0].abs_diff(made) <= 1, "{told:?} told, {made} made");
        assert!(made <= if place == "box:" { 13 } else { 15 }, "{place}: {made} calls");
        check(12);
    }
}

#[test]
fn a_plan_that_is_applied_says_what_it_costs_before() {
    let (home, server) = boxed_with("pace_scale = 20");
    hundred_files(&home);
    home.expect(0, &["sync", "src/d0", "box:d0"]);
    home.write("src/d0/f0", "another content");
    home.expect(0, &["plan", "sync", "-o", "plan", "src", "box:"]);
    let before = calls(&server);
    let told = bills(&home, &["apply", "plan"]);
    let made = calls(&server) - before;
    // Whether a folder is made or found made by another file is a matter of who comes first.
    assert!(told.len() == 1 && told[0].abs_diff(made) <= 10, "{told:?} told, {made} made");
}

#[test]
fn a_job_that_is_gone_on_with_says_what_the_rest_costs() {
    let (home, server) = boxed_with("pace_scale = 20");
    for folder in 0..6 {
        for file in 0..5 {
            home.write(&format!("src/d{folder}/f{file}"), &"x".repeat(4_000));
        }
    }
    let mut command = home.command();
    command.args(["--json", "sync", "--bwlimit", "8K", "src", "box:"]);
    let stopped = home.stop_after(&mut command, "file_done", 5);
    assert_eq!(stopped.code, 130, "{}\n{}", stopped.stdout, stopped.stderr);
    let before = calls(&server);
    let lines = home.json(0, &["sync", "--bwlimit", "off", "src", "box:"]);
    let made = calls(&server) - before;
    let kinds: Vec<&str> = lines.iter().filter_map(|line| line["type"].as_str()).collect();
    let first = |kind| kinds.iter().position(|other| *other == kind).expect("told");
    assert!(first("bill") < first("file_done"), "{kinds:?}");
    let told = &lines[first("bill")];
    let total = told["total"].as_u64().expect("a number");
    // What had arrived is asked about, which nobody knows beforehand.
    assert!(total > 0 && total.abs_diff(made) <= 12, "{told} told, {made} made");
}

#[test]
fn whirlpool_is_taken_once_of_what_is_sent_and_not_at_all_by_size() {
    let check = |verify: &str, whirlpool: Option<u64>| {
        let (home, _server) = boxed();
        // Small ones travel together, the large one alone and hashed on a thread of its own.
        let sizes = [1_000, 2_000, 9 << 20];
        for (index, size) in sizes.into_iter().enumerate() {
            home.write(&format!("src/f{index}"), &"7".repeat(size));
        }
        let lines = home.json(0, &["copy", "--verify", verify, "src", "box:"]);
        let summary = lines.last().expect("a summary");
        assert_eq!(summary["type"], "summary");
        assert_eq!(summary["hashed_bytes"]["whirlpool"].as_u64(), whirlpool, "{summary}");
        let equal = home.json(0, &["check", "src", "box:"]);
        assert_eq!(equal.last().expect("a summary")["counts"]["equal_by_hash"], 3);
    };
    check("hash", Some(3_000 + (9 << 20)));
    check("size", None);
}

#[test]
fn a_dry_run_says_how_many_calls_the_job_needs_and_it_needs_about_as_many() {
    let (home, server) = boxed();
    for folder in 0..3 {
        for file in 0..4 {
            home.write(&format!("src/d{folder}/f{file}"), "content");
        }
    }
    let bill = |arguments: &[&str]| {
        let lines = home.json(0, arguments);
        let bill = lines.into_iter().find(|line| line["type"] == "bill").expect("told");
        (bill["total"].as_u64().expect("a number"), bill)
    };
    let (needed, told) = bill(&["sync", "--dry-run", "src", "box:"]);
    let kinds = [("listings", 1), ("folders made", 3), ("upload servers", 3), ("proofs", 3)];
    for (kind, count) in kinds {
        assert_eq!(told["calls"][kind], count, "{told}");
    }
    let before = calls(&server);
    home.expect(0, &["sync", "src", "box:"]);
    let made = calls(&server) - before;
    // A file that is read late misses its upload and takes one more.
    assert!((needed..=needed + 12).contains(&made), "{needed} told, {made} made");
    let shown = home.expect(0, &["sync", "--dry-run", "src", "box:"]).stderr;
    assert!(shown.contains("box: needs about 4 calls (listings 4)"), "{shown}");
    let back = home.expect(0, &["copy", "--dry-run", "box:", "back"]).stderr;
    assert!(back.contains("needs about 16 calls (listings 4, download addresses 12)"), "{back}");
}
