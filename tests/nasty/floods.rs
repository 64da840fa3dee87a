//! Floods and locks: waited out, given up, told.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use crate::Scene;

#[test]
fn floods_of_every_wording_are_waited_out_on_every_endpoint() {
    Scene::new()
        .with(
            "folder/ls nth=1 flood 374\nfolder/mkdir nth=1 flood 412\nfile/info nth=1 flood 1032\n\
             upload/get_upload_server nth=1 user-locked\nupload/get_upload_server nth=3 too-many 1",
        )
        .copies_three(2..=3);
}

#[test]
fn a_flood_without_end_is_given_up_after_the_patience_and_nothing_is_concluded_from_it() {
    // Half an hour is 1.8 seconds.
    let scene = Scene::new();
    for number in 0..20 {
        scene.home.write(format!("src/d{}/f{number}", number % 5), number.to_string());
    }
    scene.run("copy src box:there").expect(0);
    scene.server.fault("folder/ls every flood");
    let before = scene.api_requests();
    let run = scene.run("ls box:there").expect(20);
    run.says("flood_patience").says("did not help").says("#374");
    // 30 s, 1, 2, 4 and five times 5 minutes.
    assert!(scene.api_requests() - before <= 10, "{}", scene.api_requests() - before);
    std::fs::remove_dir_all(scene.home.path("src/d1")).unwrap();
    scene.run("sync --max-delete 100% src box:there").expect(20).says("flood_patience");
    scene.run("check src box:there").expect(20).says("flood_patience");
    assert_eq!(scene.server.stat("files"), 20, "nothing was deleted");
    scene.server.fault("clear");
    scene.server.fault("upload/get_upload_server every user-locked");
    let before = scene.server.stat("upload/get_upload_server");
    scene.run("copy src box:elsewhere").expect(20).says("#223").says("flood_patience");
    // Each of the five folders asks after every pause, ten times at most, and what is on its way together is one flood.
    let asked = scene.server.stat("upload/get_upload_server") - before;
    assert!(asked <= 50, "{asked}");
    assert_eq!(scene.server.stat("files"), 20);
    scene.server.fault("clear");
    scene.run("copy src box:elsewhere").expect(0);
}

#[test]
fn without_patience_a_flood_is_told_at_once() {
    let scene = Scene::limited("off", "pace = \"off\"\nflood_patience = \"0\"");
    scene.server.fault("* every flood 412");
    scene.run("ls box:").expect(20).says("it was not waited for").says("#412");
    assert_eq!(scene.api_requests(), 1);
}

#[test]
fn ctrl_c_ends_the_wait_for_a_flood() {
    let scene = Scene::limited("off", "pace = \"off\"").with("folder/ls every flood");
    for command in ["ls box:", "sync src box:"] {
        scene.home.write("src/f", "content");
        let mut ketch = scene.home.command();
        let ketch = ketch.args(command.split(' ')).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = ketch.spawn().unwrap();
        let mut told = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        // Told before the wait; the first one lasts 30 s and the last of them ends after 27 minutes.
        while !line.contains("asked too often") {
            line.clear();
            assert!(told.read_line(&mut line).unwrap() > 0, "{command}: nothing is waited for");
        }
        let id = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        for _ in 0..2 {
            // The second may come when it has ended.
            let _ = rustix::process::kill_process(id, rustix::process::Signal::INT);
        }
        told.read_to_string(&mut line).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(130), "{command}: {line}");
    }
}

#[test]
fn a_lock_without_the_word_flood_is_reported_at_once_in_both_of_its_forms() {
    for fault in ["* every ip-locked", "* every ip-locked-text"] {
        // A lock of a thousandth of an hour would be waited for.
        let scene = Scene::limited("off", "pace = \"off\"").with(fault);
        scene.run("ls box:").expect(20).says("for about an hour");
        assert_eq!(scene.api_requests(), 1, "{fault}");
        // The next process knows of it.
        scene.run("ls box:").expect(20);
        assert_eq!(scene.api_requests(), 1, "{fault}");
    }
}
