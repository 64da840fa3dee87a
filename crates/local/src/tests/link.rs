//! `links = follow`.

use ketch_core::{EntryKind, Special};

use super::*;

#[tokio::test]
async fn followed_links_are_what_they_point_to_also_outside() {
    let place = following();
    std::fs::create_dir(place.scratch.path().join("outside")).expect("made");
    std::fs::write(place.scratch.path().join("outside/far"), "far").expect("written");
    place.write("dir/file", "near");
    place.link("../outside", "out");
    place.link("dir/file", "alias");
    place.link("nowhere", "broken");
    place.link("broken", "broken-twice");
    place.link("self", "self");
    place.link("dir/file/below", "through-a-file");
    let entries = place.try_list("").await.expect("listed");
    let found: Vec<_> = entries.iter().map(|entry| (entry.path.as_str(), entry.kind)).collect();
    let broken = EntryKind::Special(Special::BrokenSymlink);
    let expected = [
        ("alias", EntryKind::File),
        ("broken", broken),
        ("broken-twice", broken),
        ("dir", EntryKind::Dir),
        ("out", EntryKind::Dir),
        ("self", broken),
        ("through-a-file", broken),
    ];
    assert_eq!(found, expected);
    assert_eq!(place.read(&entries[0]).await.expect("read"), b"near");
    let far = place.try_list("out").await.expect("listed").pop().expect("one");
    assert_eq!((far.path.as_str(), far.size), ("out/far", Some(3)));
    assert_eq!(place.read(&far).await.expect("read"), b"far");
    assert_eq!(place.stat("out/far").await, far);
}

#[tokio::test]
async fn a_link_to_a_folder_above_itself_is_a_loop() {
    let place = following();
    place.write("a/b/f", "");
    place.link(".", "a/here");
    place.link("../..", "a/b/root");
    place.link("../../..", "a/b/above-the-root");
    place.link("../c", "a/to-c");
    place.write("c/f", "");
    place.link("../a", "c/to-a");
    let looped = EntryKind::Special(Special::SymlinkLoop);
    assert_eq!(place.stat("a/here").await.kind, looped);
    assert_eq!(place.stat("a/b/root").await.kind, looped);
    assert_eq!(place.stat("a/b/above-the-root").await.kind, looped);
    // Reached through the other link it leads back; reached directly it does not.
    assert_eq!(place.stat("c/to-a").await.kind, EntryKind::Dir);
    assert_eq!(place.stat("a/to-c").await.kind, EntryKind::Dir);
    assert_eq!(place.stat("a/to-c/to-a").await.kind, looped);
    let inside = place.try_list("a/to-c").await.expect("listed");
    assert!(inside.iter().any(|entry| entry.kind == looped));
}

#[tokio::test]
async fn a_link_to_the_fence_or_into_it_or_above_it_is_not_entered() {
    let scratch = tempfile::tempdir().expect("scratch");
    let at = |below: &str| scratch.path().join(below);
    for folder in ["s", "m/d/in", "m/beside", "m/deep"] {
        std::fs::create_dir_all(at(folder)).expect("made");
    }
    std::os::unix::fs::symlink("m/d", at("alias")).expect("linked");
    let links = [
        ("above", "../m"),
        ("beside", "../m/beside"),
        ("inside", "../m/d/in"),
        ("inside-by-alias", "../alias/in"),
        ("to", "../m/d"),
        ("to-by-alias", "../alias"),
        ("to-where-it-will-be", "../m/deep"),
    ];
    for (name, target) in links {
        std::os::unix::fs::symlink(target, at("s").join(name)).expect("linked");
    }
    let fenced = async |links: Links, fence: &[&str]| -> Vec<String> {
        let fence = fence.iter().map(|below| crate::canonical(at(below).to_str().expect("text")));
        let options = LocalOptions { links, fence: fence.collect(), ..LocalOptions::default() };
        let backend = LocalBackend::new(at("s"), options);
        let entries = backend.list(&RelPath::root(), ListOptions::default());
        let entries: Vec<_> = entries.try_collect().await.expect("listed");
        let looped = EntryKind::Special(Special::SymlinkLoop);
        let names = entries.iter().filter(|entry| entry.kind == looped);
        names.map(|entry| entry.path.as_str().to_owned()).collect()
    };
    let of_d = ["above", "inside", "inside-by-alias", "to", "to-by-alias"];
    assert_eq!(fenced(Links::Follow, &["m/d"]).await, of_d);
    assert_eq!(fenced(Links::Follow, &["alias"]).await, of_d);
    assert_eq!(fenced(Links::Follow, &["m/deep/not/yet"]).await, ["above", "to-where-it-will-be"]);
    // The own side is in the other one: a link within it stays a folder.
    std::os::unix::fs::symlink("own", at("s/within")).expect("linked");
    std::fs::create_dir(at("s/own")).expect("made");
    assert_eq!(fenced(Links::Follow, &["s"]).await, Vec::<String>::new());
    let outside = ["above", "beside", "inside", "inside-by-alias", "to", "to-by-alias"];
    assert_eq!(fenced(Links::Follow, &[""]).await[..6], outside);
    assert!(!fenced(Links::Follow, &[""]).await.contains(&"within".to_owned()));
    assert!(fenced(Links::Follow, &[]).await.is_empty());
    assert!(fenced(Links::Skip, &["m/d"]).await.is_empty());
}

#[tokio::test]
async fn nothing_is_written_through_a_followed_link() {
    let place = following();
    let outside = place.scratch.path().join("outside");
    std::fs::create_dir(&outside).expect("made");
    std::fs::write(outside.join("far"), "far").expect("written");
    place.link("../outside", "out");
    place.link("../outside/far", "alias");
    assert_eq!(kind(place.put("out/new", "x").await), ErrorKind::Denied);
    assert_eq!(kind(place.backend.make_dir(&path("out/new"), None).await), ErrorKind::Denied);
    let far = place.stat("out/far").await;
    assert_eq!(kind(place.backend.delete_one(&far).await), ErrorKind::Denied);
    let alias = place.stat("alias").await;
    let now = std::time::SystemTime::now();
    assert_eq!(kind(place.backend.set_mtime(&alias, now).await), ErrorKind::Denied);
    assert_eq!(kind(place.backend.rename(&alias, &path("moved")).await), ErrorKind::Unsupported);
    // The link itself is what is replaced and deleted.
    assert_eq!(place.put("alias", "mine").await.expect("put").size, Some(4));
    assert_eq!(std::fs::read(place.file("alias")).expect("a file now"), b"mine");
    place.link("../outside/far", "again");
    place.backend.delete_one(&place.stat("again").await).await.expect("deleted");
    assert_eq!(std::fs::read(outside.join("far")).expect("kept"), b"far");
    assert_eq!(std::fs::read_dir(&outside).expect("readable").count(), 1);
}
