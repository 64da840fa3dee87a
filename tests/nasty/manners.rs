//! Good manners: what is refused is not asked for again, and the limits are kept whatever else happens.

use crate::Scene;

/// Waits of a hundredth, and limits as much shorter, with a ban after twenty refusals in 0.6 s.
fn polite() -> Scene {
    Scene::limited("documented/100", "pace_scale = \"100\"")
}

/// A folder with `count` files, there and at `src`.
fn with_files(scene: Scene, count: usize) -> Scene {
    for number in 0..count {
        scene.home.write(format!("src/f{number}"), format!("content {number}"));
    }
    scene.run("copy src box:there").expect(0);
    scene
}

#[test]
fn a_folder_is_removed_when_a_listing_shows_it_empty_and_not_asked_about_before() {
    // A quarter of a minute, at this scale, in which what was removed is still counted.
    for scene in [polite(), Scene::limited("off", "pace = \"off\"\npace_scale = \"10\"")] {
        for folder in 0..12 {
            scene.home.write(format!("src/{folder}/f"), folder.to_string());
        }
        scene.run("copy src box:there").expect(0);
        scene.server.fault("file/rm every linger-for 150ms");
        scene.run("purge box:there").expect(0);
        // Twelve folders and the one they are in; one refusal told that removals lag.
        assert!(scene.server.stat("folder/rm") <= 14, "{}", scene.server.stat("folder/rm"));
        assert_eq!((scene.server.stat("floods"), scene.server.stat("files")), (0, 0));
        assert_eq!(scene.run("ls box:").expect(0).stdout, "");
    }
}

#[test]
fn a_folder_with_something_else_in_it_is_refused_at_once() {
    let scene = with_files(polite(), 1);
    scene.run("rmdir box:there").says("not empty");
    assert_eq!(scene.server.stat("folder/rm"), 1);
}

#[test]
fn a_free_account_asks_for_one_token_and_each_file_says_why() {
    for (fault, words, code) in [
        ("customer", "paying 1fichier account", 23),
        ("location", "from another address", 20),
        ("ko 403 Owner locked #620", "suspended", 23),
        ("ko 403 professional equipment, must have CDN #9", "network.html", 23),
    ] {
        for pace in ["off", "pace_scale = \"100\""] {
            let scene = with_files(Scene::limited("off", pace), 30);
            scene.server.fault(&format!("download/get_token every {fault}"));
            scene.run("copy box:there back").expect(code).says(words);
            assert_eq!(scene.server.stat("download/get_token"), 1, "{fault}");
        }
    }
}

#[test]
fn a_folder_that_cannot_be_made_is_asked_for_once() {
    for fault in ["ko-silent", "ko 403 Owner locked #620", "ko 403 No such user #93"] {
        let scene = polite();
        for number in 0..30 {
            scene.home.write(format!("src/d{}/f{number}", number % 3), number.to_string());
        }
        scene.server.fault(&format!("folder/mkdir every {fault}"));
        assert_ne!(scene.run("copy src box:there").code, 0);
        assert_eq!(scene.server.stat("folder/mkdir"), 1, "{fault}");
        assert_eq!(scene.server.stat("floods"), 0);
    }
}

#[test]
fn refusals_of_any_kind_stay_below_what_is_punished() {
    let scene = polite();
    for number in 0..40 {
        scene.home.write(format!("src/d{number}/f"), number.to_string());
    }
    scene.server.fault("upload/get_upload_server every ko 403 Something new #777");
    assert_ne!(scene.run("copy src box:there").code, 0);
    // A ban answers everything with a flood.
    assert_eq!(scene.server.stat("floods"), 0);
}

#[test]
fn a_token_that_the_whole_file_came_from_is_not_asked_again() {
    let scene = with_files(Scene::new(), 1);
    let asked = scene.server.stat("download/get_token");
    let two = scene.run("cat box:there/f0 box:there/f0").expect(0);
    assert_eq!(two.stdout, "content 0content 0");
    assert_eq!(scene.server.stat("download/get_token") - asked, 2);
}

#[test]
fn a_download_host_that_wants_a_pause_gets_a_short_one_and_the_reason_is_told() {
    let scene = with_files(Scene::limited("off", "pace = \"off\"\npace_scale = \"50\""), 3);
    scene.server.fault("download nth=1 status 429");
    let run = scene.run("-v copy box:there back").expect(0).says("download host");
    run.says("again in");
    assert_eq!(std::fs::read(scene.home.path("back/f0")).unwrap(), b"content 0");
}

#[test]
fn calls_that_are_used_up_by_a_budget_name_the_option_and_blame_nobody() {
    let scene = Scene::limited("off", "pace = \"off\"\nrequests_per_hour = \"3\"");
    for number in 0..3 {
        scene.run(&format!("mkdir box:d{number}"));
    }
    let run = scene.run("mkdir box:more").expect(20).says("requests_per_hour");
    assert!(!run.stderr.contains("does not take"), "{}", run.stderr);
}
