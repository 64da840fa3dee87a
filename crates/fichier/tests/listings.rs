//! Listings: complete, or an error.

mod common;

use common::world::World;
use common::{list, names, put};
use ketch_core::ErrorKind;
use ketch_fichier_sim::Plant;

#[tokio::test]
async fn two_calls_list_a_folder_where_one_does_not() {
    let world = World::start().await;
    let mut rules = world.sim.rules();
    rules.folder_lists_files = false;
    world.sim.set_rules(rules);
    let backend = world.open("");
    put(&*backend, "d/f", b"x").await.expect("stored");
    assert_eq!(names(&*backend, "").await, ["d/"]);
    assert_eq!(names(&*backend, "d").await, ["d/f"]);
    world.fault("folder/ls every integers-as-strings");
    world.fault("file/ls every nulls");
    assert_eq!(names(&*backend, "d").await, ["d/f"]);
}

#[tokio::test]
async fn a_listing_that_is_cut_is_an_error() {
    let world = World::start().await;
    let backend = world.open("");
    for number in 0..4 {
        put(&*backend, &format!("d/f{number}"), b"x").await.expect("stored");
    }
    for honoured in [true, false] {
        let mut rules = world.sim.rules();
        rules.listing_entries = 3;
        rules.folder_lists_files = honoured;
        world.sim.set_rules(rules);
        let backend = world.open("");
        assert!(list(&*backend, "d").await.is_err());
    }
}

#[tokio::test]
async fn a_folder_of_more_files_than_a_listing_shows_is_walked_by_date() {
    let world = World::start().await;
    for (count, spacing, faults, most_calls) in [
        (11_000, 60, &[][..], 5),
        (5_100, 1, &["folder/ls every files-ignored"][..], 4),
        (5_100, 7, &["folder/ls every count-cut"][..], 2),
    ] {
        let folder = format!("every {spacing} s");
        world.sim.plant(&Plant { folder: folder.clone(), count, spacing }).expect("planted");
        faults.iter().for_each(|fault| world.fault(fault));
        let backend = world.open("");
        world.sim.reset_stats();
        let listed = names(&*backend, &folder).await;
        assert_eq!(listed.len(), count, "{folder}");
        assert!(listed.windows(2).all(|pair| pair[0] != pair[1]), "none twice");
        let calls = world.sim.stats().of("file/ls");
        assert!(calls <= most_calls, "{folder}: {calls} calls");
        world.sim.faults().clear();
    }
}

#[tokio::test]
async fn a_large_folder_that_cannot_be_walked_is_an_error_and_never_a_short_listing() {
    let world = World::start().await;
    for (folder, spacing, fault, words) in [
        ("dates ignored", 60, Some("file/ls every windows-ignored"), "does not list them by date"),
        ("one second", 0, None, "only by seconds"),
    ] {
        let folder = folder.to_owned();
        let planted = Plant { folder: folder.clone(), count: 5_001, spacing };
        world.sim.plant(&planted).expect("planted");
        fault.iter().for_each(|fault| world.fault(fault));
        let error = list(&*world.open(""), &folder).await.expect_err("incomplete");
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        assert!(error.message().contains(words), "{error}");
    }
}

#[tokio::test]
async fn listings_that_make_no_sense_are_errors_and_never_short() {
    let world = World::start().await;
    let backend = world.open("");
    put(&*backend, "d/f", b"x").await.expect("stored");
    for fault in [
        "folder/ls next=1 truncated-json",
        "folder/ls next=1 html please wait",
        "folder/ls next=1 json 200 {}",
        "folder/ls next=1 json 200 []",
        "folder/ls next=1 json 200 null",
        "folder/ls next=1 json 200 {\"status\":\"KO\"}",
        "folder/ls next=1 ko-silent",
        "folder/ls next=1 empty-listing",
        "folder/ls next=1 status 500",
        "folder/ls next=1 redirect https://evil.example/",
        "folder/ls next=1 reset",
        "folder/ls next=1 missing-field filename",
        "folder/ls next=1 no-sub-folders",
    ] {
        world.sim.faults().clear();
        world.fault(fault);
        let result = list(&*backend, "d").await;
        assert!(result.is_err(), "{fault}: {result:?}");
        assert_eq!(world.sim.faults().waiting(), 0, "{fault} was not met");
    }
    world.fault("folder/ls next=1 extra-fields");
    assert_eq!(names(&*backend, "d").await, ["d/f"]);
}
