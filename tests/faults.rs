//! Faults from the outside, through the built binary: hostile answers, full disks, signals, kills. The numbers are the
//! rows of the fault catalogue.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use support::{Home, Server, behind, finish, tree};

fn place(server: &Server) -> String {
    server.place("there", ",pace=off,pace_scale=1000")
}

#[test]
fn a_wrong_key_is_one_clear_line_and_exit_code_21() {
    let home = Home::new();
    home.write("source/file", "content");
    let server = home.serve("sim", "off");
    let key = "KETCHCANARYKETCHCANARYKETCHCANAR";
    let wrong = place(&server).replace(support::SANDBOX_KEY, key);
    let run = home.run(["sync", "-vv", "source", &wrong]).expect(21).says("console/params.pl");
    assert!(!run.stderr.contains(key), "promise 9: the key must not be shown:\n{}", run.stderr);
    assert_eq!(server.stat("files"), 0);
}

#[test]
fn a_key_that_was_revoked_is_not_asked_with_again() {
    let home = Home::new();
    home.write("source/file", "content");
    let server = home.serve("sim", "off");
    server.fault("* every ko 403 No such user #93");
    home.run(["sync", "source", &place(&server)]).expect(21);
    let calls =
        server.log().iter().filter(|entry| entry["path"].to_string().contains("/v1/")).count();
    assert!(calls <= 2, "a 403 is never repeated blindly: {calls} calls");
}

#[test]
fn an_unknown_remote_and_a_missing_source_say_what_to_do() {
    let home = Home::new();
    home.write("source/file", "content");
    home.run(["sync", "source", "nosuch:there"]).says("remote add");
    let run = home.run(["sync", "missing", "sandbox:there"]).expect(3);
    assert_eq!(run.stderr.lines().filter(|line| line.contains("missing")).count(), 1, "{run:?}");
}

#[test]
fn fault_12_an_unreachable_host_is_exit_code_5() {
    let home = Home::new();
    home.write("source/file", "content");
    // A port that was free a moment ago and that nobody listens on.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let place = format!(
        ":fichier,api_key={},api_url=\"http://127.0.0.1:{port}/v1\",pace_scale=1000:there",
        support::SANDBOX_KEY
    );
    let run = home.command().args(["check", "source", &place]).env("KETCH_RETRIES", "1").output();
    let code = run.unwrap().status.code();
    assert_eq!(code, Some(5));
}

#[test]
fn a_request_that_fails_is_repeated_by_one_layer_only() {
    let home = Home::new();
    let server = home.serve("sim", "off");
    server.fault("folder/ls every status 500");
    let run = home.run(["-v", "ls", &place(&server)]).expect(5);
    let asked = server.log();
    let asked = asked.iter().filter(|entry| entry["path"].to_string().contains("folder/ls"));
    assert_eq!(asked.count(), 5, "{}", run.stderr);
    assert_eq!(run.stderr.matches(" again in ").count(), 4, "{}", run.stderr);
}

#[test]
fn fault_17_html_instead_of_json_is_never_an_empty_listing() {
    let home = Home::new();
    home.write("source/keep", "content");
    home.write("source/gone", "content");
    let server = home.serve("sim", "off");
    home.run(["sync", "source", &place(&server)]).expect(0);
    fs::remove_file(home.path("source/gone")).unwrap();
    server.fault("folder/ls every html 200 Please log in to the portal");
    server.fault("file/ls every html 200 Please log in to the portal");
    let run = home.run(["sync", "source", &place(&server)]);
    assert_ne!(run.code, 0);
    assert!(run.stderr.contains("JSON was expected"), "{}", run.stderr);
    assert_eq!(server.stat("files"), 2, "nothing was deleted");
}

#[test]
fn fault_14_a_flood_is_waited_out_and_the_job_ends_well() {
    let home = Home::new();
    for number in 0..4 {
        home.write(format!("source/{number}"), number.to_string());
    }
    let server = home.serve("sim", "off");
    server.fault("upload/get_upload_server nth=2 flood 412");
    home.run(["sync", "source", &place(&server)]).expect(0);
    assert_eq!(server.stat("files"), 4);
}

#[test]
fn a_flood_is_told_with_the_seconds_that_are_left() {
    let home = Home::new();
    home.write("source/file", "content");
    let server = home.serve("sim", "off");
    server.fault("upload/get_upload_server nth=1 flood 412");
    // A minute of the documented wait takes some seconds, and progress is told once a second.
    let place = server.place("there", ",pace=off,pace_scale=15");
    let run = home.run(["sync", "--json", "source", &place]).expect(0);
    let lines =
        run.stdout.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let waits: Vec<_> =
        lines.map(|line| line["waiting"].clone()).filter(|wait| wait.is_object()).collect();
    assert!(!waits.is_empty(), "{}", run.stdout);
    for wait in waits {
        assert!(wait["seconds_left"].as_u64().is_some_and(|left| left > 0), "{wait}");
        assert!(wait["why"].as_str().is_some_and(|why| why.contains("asked too often")), "{wait}");
    }
}

#[test]
fn end_pl_that_asks_to_wait_is_asked_again_and_nothing_is_sent_twice() {
    let home = Home::new();
    home.write("source/program.exe", "MZ");
    let server = home.serve("sim", "off");
    server.fault("end.pl next=3 please-wait");
    server.fault("end.pl nth=5 no-links");
    home.run(["sync", "source", &place(&server)]).expect(0);
    assert_eq!((server.stat("files"), server.stat("upload")), (1, 1));
}

#[test]
fn fault_2_and_27_a_lost_answer_leaves_no_duplicate() {
    let home = Home::new();
    home.write("source/a", "content a");
    home.write("source/b", vec![7; 300_000]);
    let server = home.serve("sim", "off");
    server.fault("upload next=1 lose-answer");
    server.fault("upload nth=2 reset-after 100000");
    home.run(["sync", "--transfers", "1", "source", &place(&server)]).expect(0);
    assert_eq!(server.stat("files"), 2, "each name once");
    home.run(["check", "source", &place(&server)]).expect(0);
}

#[test]
fn fault_25_a_file_that_was_damaged_on_arrival_is_sent_again_and_the_old_one_stays_until_then() {
    let home = Home::new();
    home.write("source/file", "version 1");
    let server = home.serve("sim", "off");
    home.run(["sync", "source", &place(&server)]).expect(0);
    home.write("source/file", "version two");
    server.fault("upload next=1 damage");
    home.run(["sync", "source", &place(&server)]).expect(0);
    home.run(["check", "source", &place(&server)]).expect(0);
    home.write("source/file", "version three!");
    server.fault("upload every damage");
    home.run(["sync", "source", &place(&server)]).expect(22);
    server.fault("clear");
    let kept = home.run(["cat", &format!("{}/file", place(&server))]).expect(0);
    assert_eq!(kept.stdout, "version two", "promise 2: the old content stays");
    assert_eq!(server.stat("files"), 1);
}

#[test]
fn fault_67_a_node_or_redirect_elsewhere_gets_neither_file_nor_key() {
    let home = Home::new();
    home.write("source/file", "content");
    let foreign = TcpListener::bind("127.0.0.1:0").unwrap();
    foreign.set_nonblocking(true).unwrap();
    let port = foreign.local_addr().unwrap().port();
    for (number, fault) in [
        "upload/get_upload_server every node evil.example.com".to_owned(),
        "upload/get_upload_server every node 169.254.169.254".to_owned(),
        format!("upload/get_upload_server every node 127.0.0.1:{port}"),
        format!("folder/ls every redirect http://127.0.0.1:{port}/v1/folder/ls.cgi"),
        format!("folder/mkdir every redirect http://127.0.0.1:{port}/v1/folder/mkdir.cgi"),
    ]
    .into_iter()
    .enumerate()
    {
        let server = home.serve(&format!("sim {number}"), "off");
        server.fault(&fault);
        let run = home.run(["sync", "source", &place(&server)]);
        assert_ne!(run.code, 0, "{fault}");
        assert!(foreign.accept().is_err(), "{fault}: somebody called the foreign host");
        assert_eq!(server.stat("files"), 0, "{fault}");
    }
}

#[test]
fn promise_9_the_key_goes_to_the_api_and_the_upload_node_only() {
    let home = Home::new();
    home.write("source/file", "content");
    let server = home.serve("sim", "off");
    home.run(["sync", "source", &place(&server)]).expect(0);
    home.run(["copy", &place(&server), "back"]).expect(0);
    for entry in server.log() {
        let path = entry["path"].as_str().unwrap();
        let may = path.starts_with("/v1/") || path.starts_with("/upload.cgi");
        assert_eq!(entry["has_authorization"].as_bool(), Some(may), "{entry}");
    }
}

#[test]
fn fault_1_3_and_7_damaged_downloads_are_resumed_and_never_stored_short() {
    let home = Home::new();
    let big: Vec<u8> = (0..700_000_u32).map(|number| (number % 241) as u8).collect();
    home.write("source/big", &big);
    let server = home.serve("sim", "off");
    home.run(["sync", "source", &place(&server)]).expect(0);
    for fault in [
        "download next=1 reset-after 123456",
        "download next=1 short 654321",
        "download next=1 close-delimited 654321",
        "download next=1 flip 4711",
        "download next=1 html 200 Please wait for your turn",
        "download next=1 gzip",
        "download next=1 expire",
    ] {
        server.fault(fault);
        let _ = fs::remove_dir_all(home.path("back"));
        home.run(["copy", &place(&server), "back"]).expect(0);
        assert!(fs::read(home.path("back/big")).unwrap() == big, "{fault}");
        server.fault("clear");
    }
    server.fault("download every flip 1");
    let _ = fs::remove_dir_all(home.path("back"));
    home.run(["copy", &place(&server), "back"]).expect(22);
    assert!(!home.path("back/big").exists(), "promise 2: nothing damaged is stored");
}

#[test]
fn fault_54_hostile_names_never_leave_the_destination() {
    let home = Home::new();
    home.write("source/fine", "content");
    let server = home.serve("sim", "off");
    home.run(["sync", "source", &place(&server)]).expect(0);
    for name in ["../evil", "/evil", "a/../../evil", "..", ".", "evil\u{1b}[2J"] {
        server.fault(&format!("folder/ls every hostile-name {name}"));
        server.fault(&format!("file/ls every hostile-name {name}"));
        let run = home.run(["copy", &place(&server), "back"]);
        assert!(!home.path("evil").exists(), "{name:?} left the destination");
        assert!(!run.stderr.contains('\u{1b}'), "no control character reaches the terminal");
        server.fault("clear");
    }
    assert_eq!(fs::read(home.path("back/fine")).unwrap(), b"content");
}

#[test]
fn fault_61_duplicates_are_told_of_and_never_guessed_about() {
    let home = Home::new();
    home.write("source/file", "one");
    let server = home.serve("sim", "off");
    home.run(["sync", "source", &place(&server)]).expect(0);
    // Another client puts a second file of that name beside it.
    let root = server.call("folder/ls", &serde_json::json!({ "folder_id": 0 }));
    let folder = &root["sub_folders"][0]["id"];
    let listed = server.call("file/ls", &serde_json::json!({ "folder_id": folder }));
    let copy = serde_json::json!({ "urls": [listed["items"][0]["url"]], "folder_id": folder });
    assert_eq!(server.call("file/cp", &copy)["status"], "OK");
    assert_eq!(server.stat("files"), 2);
    home.write("source/file", "three");
    let run = home.run(["sync", "source", &place(&server)]).expect(23);
    run.says("several of that name");
    assert_eq!(server.stat("files"), 2, "nothing was guessed");
}

#[test]
fn fault_70_a_listing_that_is_cut_is_an_error_and_deletes_nothing() {
    let home = Home::new();
    home.write("source/keep", "content");
    home.write("source/gone", "content");
    let server = home.serve("sim", "off");
    home.run(["sync", "source", &place(&server)]).expect(0);
    fs::remove_file(home.path("source/gone")).unwrap();
    for fault in ["truncated-json", "missing-field items", "missing-field sub_folders"] {
        server.fault(&format!("folder/ls every {fault}"));
        server.fault(&format!("file/ls every {fault}"));
        home.run(["sync", "source", &place(&server)]);
        server.fault("clear");
        let listing = home.run(["ls", &place(&server)]).expect(0);
        assert!(listing.stdout.contains("keep"), "{fault}: {listing:?}");
    }
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().unwrap();
    String::from_utf8_lossy(&output.stdout).trim() == "0"
}

#[test]
fn fault_31_a_full_disk_ends_the_job_with_exit_code_7_and_leaves_no_part() {
    let home = Home::new();
    home.write("source/1", vec![1; 30_000]);
    home.write("source/2", vec![2; 300_000]);
    home.write("source/3", vec![3; 30_000]);
    let mount = home.path("small");
    fs::create_dir(&mount).unwrap();
    let mounted = is_root()
        && Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=128k", "tmpfs"])
            .arg(&mount)
            .status()
            .is_ok_and(|status| status.success());
    if !mounted {
        eprintln!("a small file system cannot be mounted here: nothing was tested");
        return;
    }
    let run = home.run(["copy", "--transfers", "1", "source", "small"]);
    let left = tree(&mount);
    Command::new("umount").arg(&mount).status().unwrap();
    run.expect(7).says("no space left");
    for (path, content) in left {
        assert_eq!(content, fs::read(home.path("source").join(&path)).unwrap(), "{path:?}");
    }
}

#[test]
fn fault_37_an_unreadable_folder_is_its_own_failure_and_keeps_its_twin() {
    let home = Home::new();
    for name in ["open/a", "shut/b", "top"] {
        home.write(format!("source/{name}"), name);
        home.write(format!("destination/{name}"), name);
    }
    home.write("destination/shut/only here", "kept");
    home.write("destination/open/extra", "deleted");
    fs::set_permissions(home.path("source/shut"), fs::Permissions::from_mode(0o000)).unwrap();
    let mut command = home.command();
    if is_root() {
        let binary = home.path("ketch");
        fs::copy(command.get_program(), &binary).unwrap();
        for folder in ["", "state", "cache", "config", "data", "home"] {
            fs::create_dir_all(home.path(folder)).unwrap();
        }
        let owned = Command::new("chown").args(["-R", "65534:65534"]).arg(home.path("")).status();
        assert!(owned.unwrap().success());
        let mut dropped = Command::new("setpriv");
        dropped.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
        let mut copied = Command::new(binary);
        copied.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command = behind(dropped, copied.current_dir(home.path("")));
    }
    let run = finish(command.args(["sync", "source", "destination"]));
    fs::set_permissions(home.path("source/shut"), fs::Permissions::from_mode(0o755)).unwrap();
    let run = run.expect(23);
    assert!(run.stderr.contains("shut"), "{run:?}");
    assert!(home.path("destination/shut/only here").exists(), "promise 1");
    assert!(!home.path("destination/open/extra").exists(), "healthy folders reach their deletions");
}

#[test]
fn fault_40_a_file_that_changes_while_it_is_read_is_never_stored_torn() {
    let home = Home::new();
    let path = home.write("source/busy", vec![0; 4_000_000]);
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let writer = std::thread::spawn({
        let stop = stop.clone();
        move || {
            let mut round = 0_u8;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                round = round.wrapping_add(1);
                fs::write(&path, vec![round; 4_000_000]).unwrap();
            }
        }
    });
    for _ in 0..10 {
        home.run(["copy", "source", "destination"]);
        if let Ok(stored) = fs::read(home.path("destination/busy")) {
            let first = stored.first().copied();
            assert!(stored.iter().all(|byte| Some(*byte) == first), "a torn file was stored");
        }
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    writer.join().unwrap();
}

/// Promise 2, fault 47: whenever the process dies, every path holds its old or its new content, and a rerun converges.
#[test]
fn fault_47_killed_at_any_time_every_path_holds_old_or_new_and_a_rerun_converges() {
    let seed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().subsec_nanos();
    eprintln!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed.into());
    let home = Home::new();
    for round in 0..12_u8 {
        for number in 0..40 {
            let size = random.usize(1..200_000);
            home.write(format!("source/d{}/f{number}", number % 5), vec![round + 1; size]);
        }
        let before = match home.path("destination").exists() {
            true => tree(&home.path("destination")),
            false => Default::default(),
        };
        let wanted = tree(&home.path("source"));
        let mut child = home
            .command()
            .args(["sync", "--ignore-times", "source", "destination"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(random.u64(5..120)));
        child.kill().unwrap();
        child.wait().unwrap();
        if home.path("destination").exists() {
            for (path, content) in tree(&home.path("destination")) {
                let is_part = path.to_string_lossy().contains(".ketch-");
                let whole =
                    before.get(&path) == Some(&content) || wanted.get(&path) == Some(&content);
                assert!(is_part || whole, "seed {seed}, round {round}: {path:?} is torn");
            }
        }
    }
    home.run(["sync", "source", "destination"]).expect(0);
    home.run(["check", "source", "destination"]).expect(0);
}

#[test]
fn fault_53_a_reader_that_goes_away_and_a_full_device_are_no_panic() {
    let home = Home::new();
    for number in 0..2_000 {
        home.write(format!("many/{number}"), "");
    }
    let mut child = home
        .command()
        .args(["ls", "many"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut told = String::new();
    child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    child.wait().unwrap();
    assert!(!told.contains("panicked"), "{told}");

    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = home.command().args(["ls", "many"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
}
