//! Each error that a user can meet: the exit code, and a text that says what to do.

use std::fs::File;

use crate::Scene;

#[test]
fn each_error_that_a_user_can_meet_says_what_to_do() {
    let refused = |endpoint: &str, text: &str| format!("{endpoint} every ko 403 {text}");
    let token = "download/get_token";
    for (fault, command, code, words) in [
        (refused("*", "Not authenticated #247"), "ls box:", 21, "console/params.pl"),
        (refused("*", "No such user #93"), "ls box:", 21, "console/params.pl"),
        (
            format!("{token} every customer"),
            "cat box:there/f",
            1,
            "listing, uploading and links work without one",
        ),
        (
            refused(token, "professional equipment, must have CDN credits #9"),
            "cat box:there/f",
            1,
            "network.html",
        ),
        (refused(token, "Owner locked #620"), "cat box:there/f", 1, "suspended"),
        (
            refused(token, "Password not provided. Resource not allowed #1"),
            "cat box:there/f",
            1,
            "password",
        ),
        (
            refused("folder/mkdir", "Invalid name #512"),
            "mkdir box:new",
            1,
            "does not take the name",
        ),
        (
            refused("upload/get_upload_server", "Quota reached #8"),
            "copy src box:more",
            7,
            "ketch about",
        ),
        (
            refused("upload/get_upload_server", "Owner locked #620"),
            "copy src box:more",
            23,
            "contact.html",
        ),
        (format!("{token} every location"), "cat box:there/f", 20, "from another address"),
        (
            String::from("upload every answer 413 text/html Trop gros"),
            "copy src box:more",
            23,
            "splitting comes with a later release",
        ),
        (String::from("clear"), "copy box:there/no/such back", 3, "nearest above it is `there`"),
        (String::from("clear"), "ls box:there/no/such", 3, "the nearest above it is `there`"),
    ] {
        let scene = Scene::new();
        scene.home.write("src/f", "content");
        scene.run("copy src box:there").expect(0);
        scene.server.fault(&fault);
        let run = scene.run(command);
        assert!(run.stderr.contains(words), "{fault}: {}", run.stderr);
        assert_eq!(run.code, code, "{fault}: {}", run.stderr);
    }
}

#[test]
fn a_file_that_is_too_large_is_refused_before_anything_is_sent() {
    let scene = Scene::new();
    scene.home.write("src/small", "content");
    let large = File::create(scene.home.path("src/large")).unwrap();
    // Without any content on the disk.
    large.set_len(300_000_000_001).unwrap();
    let run = scene.run("copy src box:there");
    assert!(run.code != 0 && run.stderr.contains("split"), "{}", run.stderr);
    assert_eq!((scene.server.stat("files"), scene.server.stat("upload")), (1, 1));
}

#[test]
fn another_location_is_told_and_not_asked_about_again_and_the_next_run_goes_on() {
    let scene = Scene::new();
    scene.home.write("src/f", "content");
    scene.run("copy src box:there").expect(0);
    scene.server.fault("download/get_token next=1 location");
    let before = scene.server.stat("download/get_token");
    scene.run("copy box:there back").expect(20).says("from another address");
    assert_eq!(scene.server.stat("download/get_token") - before, 1);
    scene.run("copy box:there back").expect(0);
    assert_eq!(std::fs::read(scene.home.path("back/f")).unwrap(), b"content");
    assert_eq!(scene.server.stat("download/get_token") - before, 2);
}

#[test]
fn a_file_with_a_password_is_shown_says_what_to_do_and_is_read_with_the_option() {
    let scene = Scene::new();
    scene.home.write("src/f", "content");
    scene.run("copy src box:there").expect(0);
    scene.run("attr set --password secret1 box:there/f").expect(0);
    let stat = scene.run("stat box:there/f").expect(0).stdout;
    assert!(stat.contains("https://1fichier.com/?") && stat.contains("refused"), "{stat}");
    scene.run("cat box:there/f").expect(1).says("file_password").says("attr set --password ''");
    scene.run("cat box,file_password=wrong12:there/f").expect(1).says("file_password");
    assert_eq!(scene.run("cat box,file_password=secret1:there/f").expect(0).stdout, "content");
    let stat = scene.run("stat box,file_password=secret1:there/f").expect(0).stdout;
    assert!(stat.contains("has_password    yes"), "{stat}");
    let told = scene.run("-vv cat box,file_password=wrong12:there/f");
    assert!(!told.stderr.contains("wrong12"), "{}", told.stderr);
    let taken = scene.home.run(["attr", "set", "--password", "", "box:there/f"]);
    assert_eq!(taken.code, 0, "{}", taken.stderr);
    assert_eq!(scene.run("cat box:there/f").expect(0).stdout, "content");
}

#[test]
fn commands_that_cannot_be_done_say_what_can() {
    let scene = Scene::new();
    scene.home.write("src/f", "content");
    scene.run("copy src box:there").expect(0);
    for (command, code, words) in [
        ("link box:", 1, "the top folder has no link"),
        ("link --direct box:there", 1, "without --direct"),
        ("link src/f", 1, "for remotes of 1fichier"),
        ("attr set box:there/f", 1, "--description"),
        ("rmdir box:there", 1, "ketch purge"),
        ("purge box:there/f", 3, "ketch delete"),
        ("rmdir box:none", 3, "nothing of that name"),
        ("cat box:there", 4, "ketch ls"),
        ("stat box:none/f", 3, "the nearest above it is the top"),
        ("copy src nobox:there", 1, "ketch remote add"),
        ("scan box:there", 4, "not a file"),
        ("hashsum sha256 box:there/f", 23, "--download"),
    ] {
        for json in ["", "--json "] {
            // Content cannot be JSON lines.
            if (command, json) == ("cat box:there", "--json ") {
                continue;
            }
            let run = scene.run(&format!("{json}{command}"));
            assert_eq!(run.code, code, "{json}{command}: {}", run.stderr);
            assert!(run.stderr.contains(words), "{json}{command}: {}", run.stderr);
            assert!(!run.stderr.contains("::"), "{json}{command}: {}", run.stderr);
            let last = run.stdout.lines().last().unwrap_or_default();
            assert!(json.is_empty() || last.contains("\"exit_code\""), "{command}: {last}");
        }
    }
}
