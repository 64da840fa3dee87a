//! Listings and `stat`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixListener;

use ketch_core::{Entry, EntryKind, Special};
use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};

use super::*;

#[tokio::test]
async fn a_name_that_is_not_utf8_survives_a_round_trip() {
    let place = place();
    for raw in [&b"a\xffb"[..], b"\xe2\x80\x9b", b"\xe2\x80\x9bFE", b"new\nline \x1b[1m", b" "] {
        let file = place.file("").join(OsStr::from_bytes(raw));
        std::fs::write(&file, raw).expect("written");
        let listed = place.try_list("").await.expect("listed").pop().expect("one");
        assert_eq!(place.read(&listed).await.expect("read"), raw);
        assert_eq!(place.backend.stat(&listed.path).await.expect("there"), listed);
        place.backend.delete_one(&listed).await.expect("deleted");
        let put = place.backend.put(&listed.path, byte_body(raw.to_vec()), PutOptions::default());
        assert_eq!(put.await.expect("put").path, listed.path);
        assert_eq!(std::fs::read(&file).expect("same name on the disk"), raw);
        std::fs::remove_file(&file).expect("removed");
    }
}

#[tokio::test]
async fn links_sockets_pipes_and_devices_are_listed_as_what_they_are() {
    let place = place();
    place.write("file", "x");
    place.write("dir/inside", "x");
    place.link("file", "link");
    place.link("dir", "link-to-dir");
    place.link("nowhere", "broken");
    let _socket = UnixListener::bind(place.file("socket")).expect("bound");
    mknodat(CWD, place.file("pipe"), FileType::Fifo, Mode::RUSR, 0).expect("made");
    let device = place.file("null");
    // Only the administrator may make one.
    let device = mknodat(CWD, device, FileType::CharacterDevice, Mode::RUSR, makedev(1, 3)).is_ok();
    let symlink = EntryKind::Special(Special::Symlink);
    let other = EntryKind::Special(Special::Device);
    let mut expected = vec![
        ("broken", symlink),
        ("dir", EntryKind::Dir),
        ("file", EntryKind::File),
        ("link", symlink),
        ("link-to-dir", symlink),
        ("null", other),
        ("pipe", other),
        ("socket", other),
    ];
    expected.retain(|(name, _)| device || *name != "null");
    let entries = place.try_list("").await.expect("listed");
    let found: Vec<_> = entries.iter().map(|entry| (entry.path.as_str(), entry.kind)).collect();
    assert_eq!(found, expected);
    for entry in &entries {
        assert_eq!(&place.backend.stat(&entry.path).await.expect("there"), entry);
        if !entry.is_file() {
            assert_eq!(kind(place.read(entry).await), ErrorKind::InvalidInput);
        }
    }
}

#[tokio::test]
async fn eleven_hundred_entries_come_complete_and_in_key_order() {
    let place = place();
    for number in 0..1100 {
        match number % 11 {
            0 => std::fs::create_dir(place.file(&format!("x{number}"))).expect("made"),
            1 => place.write(&format!("x{}.txt", number - 1), ""),
            _ => place.write(&format!("x{number}-"), ""),
        }
    }
    let entries = place.try_list("").await.expect("listed");
    assert_eq!(entries.len(), 1100);
    assert!(entries.is_sorted_by(|left, right| Entry::compare_key(left, right).is_lt()));
}

#[tokio::test]
async fn parts_of_ketch_are_hidden_and_look_alikes_are_not() {
    let place = place();
    place.write(".a.ketch-0123abcd.part", "half");
    place.write(".a.ketch-0123abcX.part", "mine");
    place.write(".dir.ketch-0123abcd.part/f", "mine");
    let expected = [".a.ketch-0123abcX.part", ".dir.ketch-0123abcd.part"];
    assert_eq!(place.names("").await, expected);
    let hidden = path(".a.ketch-0123abcd.part");
    assert_eq!(kind(place.backend.stat(&hidden).await), ErrorKind::NotFound);
    assert_eq!(kind(place.put(hidden.as_str(), "x").await), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn a_folder_that_is_not_there_or_is_a_file_is_an_error() {
    let place = place();
    place.write("file", "x");
    place.write("dir/f", "x");
    assert_eq!(kind(place.try_list("missing").await), ErrorKind::NotFound);
    assert_eq!(kind(place.try_list("file").await), ErrorKind::NotFound);
    assert_eq!(kind(place.try_list("file/below").await), ErrorKind::NotFound);
    let listing = place.backend.list(&path("dir"), ListOptions::default());
    std::fs::remove_dir_all(place.file("dir")).expect("removed");
    assert_eq!(kind(listing.try_collect::<Vec<_>>().await), ErrorKind::NotFound);
    std::fs::remove_dir_all(place.file("")).expect("removed");
    assert_eq!(kind(place.try_list("").await), ErrorKind::NotFound);
    assert_eq!(kind(place.backend.stat(&RelPath::root()).await), ErrorKind::NotFound);
}

/// Between the opening and the reading: what `rustix::fs::Dir` takes for an empty folder.
#[tokio::test]
async fn trap_a_folder_that_is_removed_while_it_is_open_is_not_empty_but_gone() {
    let scratch = tempfile::tempdir().expect("scratch");
    let dir = scratch.path().join("dir");
    std::fs::create_dir(&dir).expect("made");
    let open = std::fs::File::open(&dir).expect("opened");
    std::fs::remove_dir(&dir).expect("removed");
    // The descriptor still works as a root, through /proc.
    use std::os::fd::AsRawFd;
    let root = format!("/proc/self/fd/{}", open.as_raw_fd());
    let backend = LocalBackend::open(root.into(), LocalOptions::default());
    let listing = backend.list(&RelPath::root(), ListOptions::default());
    assert_eq!(kind(listing.try_collect::<Vec<_>>().await), ErrorKind::NotFound);
}

#[tokio::test]
async fn the_root_is_a_folder_or_a_file_or_a_link_to_one() {
    let place = place();
    place.write("file", "abc");
    place.link(".", "here");
    place.link("file", "alias");
    assert!(place.stat("").await.is_dir());
    for name in ["file", "alias"] {
        let opened = LocalBackend::open(place.file(name), LocalOptions::default());
        let entry = opened.stat(&RelPath::root()).await.expect("there");
        assert_eq!((entry.path.is_root(), entry.size), (true, Some(3)));
        let read = opened.read(&entry, ReadOptions::default()).await.expect("opens");
        assert_eq!(ketch_core::source::collect(read, 10).await.expect("reads"), "abc");
    }
    let opened = LocalBackend::open(place.file("here"), LocalOptions::default());
    assert_eq!(opened.stat(&path("file")).await.expect("there").size, Some(3));
}

#[test]
fn locations_are_equal_for_one_folder_and_prefixes_for_folders_in_it() {
    let place = place();
    place.write("a/b/f", "");
    place.link("a", "link");
    let location =
        |below: &str| LocalBackend::open(place.file(below), LocalOptions::default()).location();
    assert_eq!(location("a"), location("link/"));
    assert_eq!(location("a/missing/../b"), location("link/b/."));
    assert_eq!(location("link/new/deep"), format!("{}/new/deep", location("a")));
    let all = LocalBackend::open("/".into(), LocalOptions::default()).location();
    assert!(location("a").strip_prefix(&all).is_some_and(|rest| rest.starts_with('/')));
    let relative = LocalBackend::open("src".into(), LocalOptions::default());
    assert!(relative.location().ends_with("/src"));
    assert_eq!(relative.name(), "src");
}

#[tokio::test]
async fn a_folder_that_is_looked_at_in_many_pieces_is_listed_whole_and_in_order() {
    let place = place();
    let mut expected = Vec::new();
    for number in 0..5_000 {
        let name = match number % 500 {
            // Between the folder's name and its key there are others: `d7-x` and `d7.x` come before `d7/`.
            0 => format!("d{number}"),
            1 => format!("d{}-x", number - 1),
            2 => format!("d{}.x", number - 2),
            3 => format!("d{}0", number - 3),
            4 => format!("é{number} ‛"),
            _ => format!("f{number:06}"),
        };
        match number % 500 {
            0 => std::fs::create_dir(place.file(&name)).expect("made"),
            _ => std::fs::write(place.file(&name), "").expect("written"),
        }
        expected.push(ketch_core::names::core_from_bytes(name.as_bytes()));
    }
    let entries = place.try_list("").await.expect("listed");
    assert!(entries.is_sorted_by(|left, right| left.compare_key(right).is_lt()));
    let mut found: Vec<_> = entries.iter().map(|entry| entry.path.to_string()).collect();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    for entry in entries.iter().step_by(499) {
        assert_eq!(&place.backend.stat(&entry.path).await.expect("there"), entry);
    }
}

#[tokio::test]
async fn names_that_change_while_a_folder_is_listed_are_missing_only_when_they_are_gone() {
    let place = place();
    for number in 0..5_000 {
        place.write(&format!("f{number:06}"), "");
    }
    // The last names are looked at after the first ones have been handed out.
    let listing = |place: &Place| place.backend.list(&path(""), ListOptions::default());
    let mut entries = listing(&place);
    assert!(entries.next().await.expect("one").is_ok());
    std::fs::remove_file(place.file("f004999")).expect("removed");
    let rest: Vec<_> = entries.try_collect().await.expect("a name that is gone is not missing");
    assert_eq!(rest.len(), 4_998);
    let mut entries = listing(&place);
    assert!(entries.next().await.expect("one").is_ok());
    std::fs::remove_file(place.file("f004998")).expect("removed");
    std::fs::create_dir(place.file("f004998")).expect("made");
    let rest: Result<Vec<_>> = entries.try_collect().await;
    assert_eq!(kind(rest), ErrorKind::Changed);
}
