//! Symbolic links that are kept, and permissions of new files.

use std::os::unix::fs::PermissionsExt;

use ketch_core::{EntryKind, Expect};

use super::*;

fn keeping() -> Place {
    place_with(LocalOptions { links: Links::Keep, ..LocalOptions::default() })
}

fn link_options(expect: Expect) -> PutOptions {
    PutOptions { is_link: true, expect, ..PutOptions::default() }
}

fn target(place: &Place, below: &str) -> PathBuf {
    std::fs::read_link(place.file(below)).expect("a link")
}

#[tokio::test]
async fn a_link_is_listed_as_one_and_its_content_is_where_it_points() {
    let place = keeping();
    place.write("d/f", "content");
    place.link("d", "to-folder");
    place.link("nowhere", "broken");
    assert_eq!(place.names("").await, ["broken", "d", "to-folder"]);
    let entry = place.stat("to-folder").await;
    assert_eq!((entry.kind, entry.size), (EntryKind::Link, Some(1)));
    assert_eq!(place.read(&entry).await.expect("read"), b"d");
    let disk = place.backend.disk().expect("a disk");
    let opened = disk.open(&entry).expect("opened");
    let mut buffer = [0; 8];
    assert_eq!(opened.read_at(&mut buffer, 0).expect("read"), 1);
    // Nothing is looked for behind one.
    assert!(place.backend.stat(&path("to-folder/f")).await.is_err());
}

#[tokio::test]
async fn a_link_that_was_replaced_is_not_the_one_that_was_listed() {
    let place = keeping();
    place.link("one", "l");
    let listed = place.stat("l").await;
    std::fs::remove_file(place.file("l")).expect("removed");
    place.link("two", "l");
    assert_eq!(kind(place.read(&listed).await), ErrorKind::Changed);
    assert_eq!(kind(place.backend.delete_one(&listed).await), ErrorKind::Changed);
    let over = link_options(Expect::Entry(Box::new(listed)));
    assert_eq!(kind(place.put_with("l", "three", over).await), ErrorKind::Changed);
    assert_eq!(target(&place, "l"), PathBuf::from("two"));
    assert_eq!(place.raw_names(), ["l"]);
}

#[tokio::test]
async fn no_link_leads_a_new_one_out_of_the_root() {
    let place = keeping();
    std::fs::create_dir(place.scratch.path().join("outside")).expect("made");
    place.write("f", "content");
    place.link("../outside", "out");
    let put = place.put_with("out/new", "f", link_options(Expect::Absent)).await;
    assert_eq!(kind(put), ErrorKind::Denied);
    // A file that takes the place of a link does not go where it points, nor has it its permissions.
    place.link("../outside/new", "l");
    place.put("l", "content").await.expect("stored");
    assert!(place.stat("l").await.is_file());
    let mode = std::fs::metadata(place.file("l")).expect("there").permissions().mode();
    assert_eq!(mode & 0o777 & 0o022, 0, "{mode:o}");
    assert!(!place.scratch.path().join("outside/new").exists());
}

#[tokio::test]
async fn what_no_link_can_point_to_is_refused_and_nothing_is_left() {
    let place = keeping();
    for content in ["", "a\0b"] {
        let put = place.put_with("l", content, link_options(Expect::Absent)).await;
        assert_eq!(kind(put), ErrorKind::InvalidInput, "{content:?}");
    }
    let long = byte_body(vec![b'x'; 5000]);
    let put = place.put_body("l", long, link_options(Expect::Absent)).await;
    assert_eq!(kind(put), ErrorKind::InvalidInput);
    assert!(!place.file("l").exists());
}

#[tokio::test]
async fn where_links_are_skipped_one_is_neither_stored_nor_replaced() {
    let place = place();
    let put = place.put_with("l", "f", link_options(Expect::Absent)).await;
    assert_eq!(kind(put), ErrorKind::Unsupported);
    place.write("f", "content");
    place.link("f", "l");
    assert_eq!(kind(place.put("l", "content").await), ErrorKind::Denied);
}

#[tokio::test]
async fn a_new_file_has_the_permissions_that_are_asked_for_and_an_old_one_keeps_its_own() {
    let place = place();
    let mode_of = |name: &str| {
        std::fs::metadata(place.file(name)).expect("there").permissions().mode() & 0o7777
    };
    for (name, mode, expect) in [
        ("a", 0o700, Expect::Absent),
        ("b", 0o440, Expect::Anything),
        ("c", 0o4755, Expect::Absent),
    ] {
        let options = PutOptions { mode: Some(mode), expect, ..PutOptions::default() };
        let entry = place.put_with(name, "content", options).await.expect("stored");
        assert_eq!(entry.mode, Some(mode_of(name)));
        assert_eq!(mode_of(name), mode & 0o777, "{name}: nothing makes it run as another");
    }
    let options = PutOptions { mode: Some(0o644), ..PutOptions::default() };
    place.put_with("a", "new content", options).await.expect("stored");
    assert_eq!(mode_of("a"), 0o700);
}
