//! Each nastiness of 1fichier that has a precedent (section 11 of the API reference), and each error that a user of it can
//! meet, through the built binary: the outcome, what was asked how often, and that no duplicate is left.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

mod support;

#[path = "nasty/calls.rs"]
mod calls;
#[path = "nasty/deaths.rs"]
mod deaths;
#[path = "nasty/errors.rs"]
mod errors;
#[path = "nasty/evidence.rs"]
mod evidence;
#[path = "nasty/floods.rs"]
mod floods;
#[path = "nasty/large.rs"]
mod large;
#[path = "nasty/manners.rs"]
mod manners;
#[path = "nasty/model.rs"]
mod model;
#[path = "nasty/renames.rs"]
mod renames;

use std::process::Stdio;

use support::{Home, Run, SANDBOX_KEY, Server};

/// A home, an emulator, and a remote `box:` on it whose waits are a thousandth.
struct Scene {
    home: Home,
    server: Server,
}

impl Scene {
    fn new() -> Scene {
        Scene::limited("off", "off")
    }

    fn limited(limits: &str, pace: &str) -> Scene {
        use std::os::unix::fs::PermissionsExt;
        let home = Home::new();
        let server = home.serve("sim", limits);
        let config = format!(
            "[box]\ntype = \"fichier\"\napi_key = \"{SANDBOX_KEY}\"\napi_url = \"http://{}/v1\"\n{pace}\n",
            server.address
        );
        let config = config.replace("\noff\n", "\npace = \"off\"\npace_scale = \"1000\"\n");
        let path = home.write("config/ketch/config.toml", config);
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
        Scene { home, server }
    }

    /// Injects one fault a line.
    fn with(self, faults: &str) -> Scene {
        self.server.fault(faults);
        self
    }

    fn run(&self, command: &str) -> Run {
        self.home.run(command.split(' '))
    }

    /// Kills a command when the server holds one of its requests, and drops that request.
    fn kill_when_held(&self, command: &str) {
        let mut child = self.home.command();
        child.args(command.split(' ')).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = child.spawn().unwrap();
        self.server.held();
        child.kill().unwrap();
        child.wait().unwrap();
        self.server.clear();
    }

    fn api_requests(&self) -> usize {
        let is_call =
            |seen: &&serde_json::Value| seen["path"].as_str().unwrap().starts_with("/v1/");
        self.server.log().iter().filter(is_call).count()
    }

    /// Copies three files up under these faults and expects that each is there once, and that nobody was asked too often.
    #[track_caller]
    fn copies_three(self, uploads: std::ops::RangeInclusive<u64>) {
        for name in ["a", "b", "d/c"] {
            self.home.write(format!("src/{name}"), format!("content of {name}"));
        }
        self.run("copy src box:there").expect(0);
        self.server.fault("clear");
        assert_eq!(self.server.stat("files"), 3, "each file once");
        assert!(uploads.contains(&self.server.stat("upload")), "{}", self.server.stat("upload"));
        self.run("check src box:there").expect(0);
    }

    /// Brings one file down under these faults and expects it whole.
    #[track_caller]
    fn brings_one(self, faults: &str, calls: &str, most: u64) {
        self.home.write("src/f", vec![7; 300_000]);
        self.run("copy src box:there").expect(0);
        self.server.fault(faults);
        self.run("copy box:there back").expect(0);
        assert_eq!(std::fs::read(self.home.path("back/f")).unwrap(), vec![7; 300_000]);
        assert!(self.server.stat(calls) <= most, "{}", self.server.stat(calls));
    }
}

#[test]
fn a_refusal_is_one_whatever_its_status_and_without_a_reason_and_is_not_repeated() {
    for fault in [
        "folder/ls every ko 200 Resource not allowed #99999",
        "folder/ls every ko 403 Resource not allowed #1",
        "folder/ls every ko-silent",
    ] {
        let scene = Scene::new().with(fault);
        let run = scene.run("ls box:");
        assert!(run.code != 0 && run.stdout.is_empty(), "{fault}: {run:?}", run = run.stderr);
        assert_eq!(scene.api_requests(), 1, "{fault}");
    }
}

#[test]
fn no_403_is_ever_repeated_blindly() {
    for fault in ["folder/ls", "folder/mkdir", "upload/get_upload_server"] {
        let scene = Scene::new().with(&format!("{fault} every ko 403 Something new #777"));
        scene.home.write("src/d/f", "content");
        let run = scene.run("copy src box:there");
        assert_ne!(run.code, 0);
        // An item is tried once more at the end of the job, and a refused folder is looked for: not more.
        assert!(scene.server.stat(fault) <= 4, "{fault}: {}", scene.server.stat(fault));
    }
}

#[test]
fn a_token_that_is_refused_once_without_a_reason_is_asked_for_again() {
    Scene::new().brings_one(
        "download/get_token nth=1 ko 200 Try again #5",
        "download/get_token",
        2,
    );
}

#[test]
fn reports_that_want_patience_are_asked_for_again_and_nothing_is_sent_twice() {
    Scene::new()
        .with("end.pl nth=1 please-wait\nend.pl nth=2 no-links\nend.pl nth=3 please-wait")
        .copies_three(2..=3);
}

#[test]
fn a_report_with_two_links_for_one_file_leaves_one_file() {
    Scene::new().with("end.pl every two-links").copies_three(2..=3);
}

#[test]
fn a_report_that_is_dead_leaves_the_listing_to_tell_and_nothing_is_sent_twice() {
    Scene::new().with("end.pl every dead-report").copies_three(2..=3);
}

#[test]
fn a_node_that_cannot_open_its_storage_is_replaced_by_another() {
    Scene::new().with("upload next=2 cannot-open").copies_three(3..=6);
}

#[test]
fn an_upload_that_is_reset_is_sent_again_and_there_once() {
    Scene::new().with("upload next=2 reset-after 200").copies_three(3..=6);
}

#[test]
fn an_answer_without_its_location_is_no_failure() {
    Scene::new().with("upload every no-location").copies_three(2..=3);
}

#[test]
fn what_was_stored_although_the_connection_was_reset_is_found_and_not_sent_again() {
    Scene::new().with("upload next=1 lose-answer").copies_three(2..=3);
}

#[test]
fn a_file_that_landed_in_the_top_folder_is_moved_to_its_own() {
    let scene = Scene::new().with("upload every wrong-folder");
    scene.home.write("src/f", "content");
    scene.run("copy src box:there").expect(0);
    assert_eq!(scene.run("ls box:there").stdout.lines().count(), 1);
    assert_eq!(scene.server.stat("files"), 1);
}

#[test]
fn listings_that_lag_neither_bring_back_what_was_removed_nor_send_anything_twice() {
    let scene =
        Scene::new().with("file/ls every hide 2\nfolder/ls every hide 2\nfolder/ls every linger 2");
    scene.home.write("src/f", "old");
    scene.run("copy src box:there").expect(0);
    scene.server.fault("clear");
    scene.home.write("src/f", "newer");
    scene.run("copy src box:there").expect(0);
    assert_eq!(scene.server.stat("files"), 1);
    assert_eq!(scene.run("cat box:there/f").stdout, "newer");
}

#[test]
fn a_page_in_place_of_the_content_is_never_stored() {
    Scene::new().brings_one("download nth=1 html Erreur", "download/get_token", 3);
}

#[test]
fn a_file_that_was_damaged_on_its_way_down_is_read_again() {
    Scene::new().brings_one("download nth=1 flip 1000", "download", 4);
}

#[test]
fn a_token_that_dies_in_the_middle_costs_one_more_and_the_read_goes_on() {
    let faults = "download nth=1 reset-after 100000\ndownload nth=2 expire";
    Scene::new().brings_one(faults, "download/get_token", 2);
}

#[test]
fn integers_as_texts_nulls_new_fields_and_other_spellings_change_nothing() {
    Scene::new()
        .with(
            "* every integers-as-strings\n* every nulls\n* every extra-fields\n\
             * every underscore-content-type\nend.pl every integers-as-strings",
        )
        .copies_three(2..=3);
}

#[test]
fn sub_folders_that_are_left_out_when_there_are_none_are_none_and_once_only_are_not() {
    let scene = Scene::new();
    scene.home.write("src/d/f", "content");
    scene.run("copy src box:there").expect(0);
    scene.server.fault("folder/ls nth=1 no-sub-folders");
    assert_eq!(scene.run("ls -R box:").expect(0).stdout.lines().count(), 3);
}

#[test]
fn two_processes_on_one_account_at_once_meet_no_flood_and_leave_no_duplicate() {
    let scene = Scene::limited("documented/100", "pace_scale = \"100\"");
    for number in 0..20 {
        scene.home.write(format!("one/d{}/a{number}", number % 4), format!("one {number}"));
        scene.home.write(format!("two/d{}/b{number}", number % 4), format!("two {number}"));
    }
    // Without records no process holds the place, so both work in the same folders.
    let begin = |source: &str| {
        let mut command = scene.home.command();
        command.args(["copy", source, "box:there", "--transfers", "20", "--no-journal"]);
        command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    };
    for child in [begin("one"), begin("two")] {
        let output = child.wait_with_output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{told}");
    }
    assert_eq!((scene.server.stat("files"), scene.server.stat("floods")), (40, 0));
    let listed = scene.run("ls -R box:").expect(0).stdout;
    let names: std::collections::BTreeSet<&str> = listed.lines().collect();
    // Forty files, four folders, and the one they are in.
    assert_eq!((names.len(), listed.lines().count()), (45, 45), "{listed}");
}

#[test]
fn a_look_at_the_whole_account_spares_listings_and_hides_no_difference() {
    let pace = "pace = \"off\"\npace_scale = \"1000\"\naccount_view = \"on\"";
    let scene = Scene::limited("off", pace);
    for folder in 0..6 {
        scene.home.write(format!("src/{folder}/f"), format!("content of {folder}"));
    }
    let calls = |command: &str, code| {
        let before = scene.api_requests();
        scene.run(command).expect(code);
        scene.api_requests() - before
    };
    scene.run("copy src box:").expect(0);
    // The top folder and six below it; one look and one proof.
    assert_eq!(calls("check src box:", 0), 2);
    assert_eq!(calls("sync --checksum src box:", 0), 2);
    // An edit of the same size, a file that is new and one that is gone are found, in whichever way.
    scene.home.write("src/1/f", "CONTENT of 1");
    scene.home.write("src/2/new", "new");
    std::fs::remove_file(scene.home.path("src/3/f")).unwrap();
    let told = scene.run("check src box:").expect(1);
    for name in ["1/f", "2/new", "3/f"] {
        assert!(told.stdout.contains(name), "{name}: {}", told.stdout);
    }
    scene.run("sync --checksum --max-delete 100% src box:").expect(0);
    scene.run("check --download src box:").expect(0);
    assert_eq!(scene.server.stat("files"), 6);
}
