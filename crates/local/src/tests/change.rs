//! Deleting, renaming, copying, times and folders.

use std::os::unix::fs::PermissionsExt;
use std::time::{SystemTime, UNIX_EPOCH};

use ketch_core::Expect;

use super::*;
use crate::Fsync;

#[tokio::test]
async fn only_the_listed_version_is_deleted_and_what_is_gone_is_a_success() {
    let place = place();
    place.write("d/f", "old");
    let entry = place.stat("d/f").await;
    place.write("d/f", "newer");
    assert_eq!(kind(place.backend.delete_one(&entry).await), ErrorKind::Changed);
    assert_eq!(std::fs::read(place.file("d/f")).expect("kept"), b"newer");
    let (dir, file) = (place.stat("d").await, place.stat("d/f").await);
    assert_eq!(kind(place.backend.delete_one(&dir).await), ErrorKind::InvalidInput);
    for _ in 0..2 {
        place.backend.delete_one(&file).await.expect("deleted");
    }
    for _ in 0..2 {
        place.backend.delete_one(&dir).await.expect("deleted");
        place.backend.delete_one(&file).await.expect("the folder is gone with it");
    }
    place.write("d", "a file now");
    assert_eq!(kind(place.backend.delete_one(&dir).await), ErrorKind::Changed);
    place.link("d", "link");
    let link = place.stat("link").await;
    assert_eq!(kind(place.backend.delete_one(&link).await), ErrorKind::InvalidInput);
    let link_as_dir = Entry::dir(path("link"));
    assert_eq!(kind(place.backend.delete_one(&link_as_dir).await), ErrorKind::Changed);
}

#[tokio::test]
async fn a_file_that_moves_replaces_a_file_and_makes_the_folders_above() {
    let place = place();
    place.write("a", "content");
    place.write("b", "replaced");
    let moved = place.backend.rename(&place.stat("a").await, &path("b")).await.expect("moved");
    assert_eq!(moved, place.stat("b").await);
    let moved = place.backend.rename(&moved, &path("new/deep/c")).await.expect("moved");
    assert_eq!(place.read(&moved).await.expect("read"), b"content");
    assert_eq!(place.raw_names(), ["c", "deep", "new"]);
    let same = place.backend.rename(&moved, &path("new/deep/c")).await.expect("nothing to do");
    assert_eq!(same.size, Some(7));
    let onto_a_folder = place.backend.rename(&same, &path("new")).await;
    assert_eq!(kind(onto_a_folder), ErrorKind::AlreadyExists);
    place.write("new/deep/c", "changed");
    assert_eq!(kind(place.backend.rename(&moved, &path("x")).await), ErrorKind::Changed);
}

#[tokio::test]
async fn a_file_that_moves_onto_its_own_hard_link_leaves_one_name() {
    let place = place();
    place.write("a", "content");
    std::fs::hard_link(place.file("a"), place.file("b")).expect("linked");
    place.backend.rename(&place.stat("a").await, &path("b")).await.expect("moved");
    assert_eq!(place.raw_names(), ["b"]);
}

#[tokio::test]
async fn a_folder_that_moves_replaces_nothing() {
    let place = place();
    place.write("a/f", "");
    place.write("file", "");
    std::fs::create_dir(place.file("empty")).expect("made");
    let dir = place.stat("a").await;
    for obstacle in ["file", "empty"] {
        let result = place.backend.rename(&dir, &path(obstacle)).await;
        assert_eq!(kind(result), ErrorKind::AlreadyExists);
    }
    let into_itself = place.backend.rename(&dir, &path("a/b")).await;
    assert_eq!(kind(into_itself), ErrorKind::InvalidInput);
    let moved = place.backend.rename(&dir, &path("b/c")).await.expect("moved");
    assert!(moved.is_dir());
    assert_eq!(place.names("b/c").await, ["f"]);
    assert_eq!(kind(place.backend.rename(&dir, &path("x")).await), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_copy_has_content_time_and_permissions_of_its_original() {
    let place = place();
    for length in [0, 5, 3 * 1024 * 1024 + 1] {
        place.write("a", vec![7; length]);
        std::fs::set_permissions(place.file("a"), PermissionsExt::from_mode(0o700)).expect("set");
        let original = place.stat("a").await;
        let copied = place.backend.copy(&original, &path("d/b"), PutOptions::default()).await;
        let copied = copied.expect("copied");
        assert_eq!(copied, place.stat("d/b").await);
        assert_eq!((copied.size, copied.mtime), (original.size, original.mtime));
        assert!(place.read(&copied).await.expect("read") == vec![7; length]);
        let mode = std::fs::metadata(place.file("d/b")).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        assert_eq!(place.stat("a").await, original);
    }
    let time = UNIX_EPOCH + Duration::new(1_000_000_000, 123_456_789);
    let original = place.stat("a").await;
    let options = PutOptions { mtime: Some(time), expect: Expect::Absent, ..PutOptions::default() };
    let copied = place.backend.copy(&original, &path("c"), options.clone()).await.expect("copied");
    assert_eq!(copied.mtime, Some(time));
    let again = place.backend.copy(&original, &path("c"), options).await;
    assert_eq!(kind(again), ErrorKind::Changed);
    place.write("a", "changed");
    let stale = place.backend.copy(&original, &path("d/b"), PutOptions::default()).await;
    assert_eq!(kind(stale), ErrorKind::Changed);
    assert_eq!(place.raw_names(), ["a", "b", "c", "d"]);
}

#[tokio::test]
async fn times_are_kept_to_the_nanosecond_and_clamped_where_the_disk_ends() {
    let place = place();
    let early = UNIX_EPOCH - Duration::new(1_000_000, 1);
    for time in [early, UNIX_EPOCH, UNIX_EPOCH + Duration::new(4_000_000_000, 999_999_999)] {
        let options = PutOptions { mtime: Some(time), ..PutOptions::default() };
        let put = place.put_with("f", "x", options).await.expect("put");
        assert_eq!(put.mtime, Some(time));
        assert_eq!(place.stat("f").await, put);
        let later = time + Duration::from_nanos(1);
        let set = place.backend.set_mtime(&put, later).await.expect("set");
        assert_eq!(set.mtime, Some(later));
        assert_eq!(place.stat("f").await, set);
        assert_eq!(kind(place.backend.set_mtime(&put, later).await), ErrorKind::Changed);
    }
    let far = UNIX_EPOCH + Duration::from_secs(i64::MAX as u64);
    let options = PutOptions { mtime: Some(far), ..PutOptions::default() };
    let clamped = place.put_with("f", "x", options).await.expect("put");
    assert!(clamped.mtime.is_some_and(|time| time > SystemTime::now()));
}

#[tokio::test]
async fn folders_are_made_with_those_above_and_never_over_a_file() {
    let place = place();
    place.write("file", "");
    for _ in 0..2 {
        place.backend.make_dir(&path("a/b/c"), None).await.expect("made");
    }
    assert!(place.stat("a/b/c").await.is_dir());
    for obstacle in ["file", "file/below"] {
        let result = place.backend.make_dir(&path(obstacle), None).await;
        assert_eq!(kind(result), ErrorKind::AlreadyExists);
    }
    let made: Vec<_> = (0..16)
        .map(|_| {
            let backend = Arc::clone(&place.backend);
            tokio::spawn(async move { backend.make_dir(&path("many/at/once"), None).await })
        })
        .collect();
    for result in made {
        result.await.expect("ended").expect("made");
    }
    let root = LocalBackend::open(place.file("new/root"), LocalOptions::default());
    root.make_dir(&RelPath::root(), None).await.expect("made");
    let dir = root.stat(&RelPath::root()).await.expect("there");
    root.delete_one(&dir).await.expect("deleted");
    assert!(!place.file("new/root").exists());
}

#[tokio::test]
async fn every_policy_stores_and_room_is_reported() {
    for fsync in [Fsync::None, Fsync::File, Fsync::All] {
        let place = place_with(LocalOptions { fsync, ..LocalOptions::default() });
        let put = place.put("a/b/f", "content").await.expect("put");
        let moved = place.backend.rename(&put, &path("c/f")).await.expect("moved");
        assert_eq!(place.read(&moved).await.expect("read"), b"content");
        let usage = place.backend.usage().await.expect("known");
        let (total, free) = (usage.total.expect("known"), usage.free.expect("known"));
        assert!(total >= free && total >= usage.used.expect("known"));
    }
}

#[tokio::test]
async fn options_are_read_from_texts_and_wrong_ones_are_refused() {
    use ketch_core::factory::ConnectRequest;
    let open = |name: &str, value: &str| {
        crate::FACTORY.connect(ConnectRequest {
            name: "here:".into(),
            root: "/tmp".into(),
            options: [(name, value)].into_iter().collect(),
            ..ConnectRequest::default()
        })
    };
    for (name, value) in
        [("links", "skip"), ("links", "follow"), ("fsync", "none"), ("fsync", "all")]
    {
        assert_eq!(open(name, value).await.expect("built").name(), "here:");
    }
    for (name, value) in [("links", "maybe"), ("fsync", ""), ("colour", "red")] {
        assert_eq!(kind(open(name, value).await), ErrorKind::InvalidInput);
    }
}

#[tokio::test]
async fn a_file_that_another_place_of_the_machine_lends_is_copied_and_its_faults_are_the_lenders() {
    let (here, there) = (place(), place());
    there.write("d/f", "content");
    there.write("d/large", vec![7; 300_000]);
    for name in ["d/f", "d/large"] {
        let entry = there.stat(name).await;
        let lent = there.files().as_local_file(&entry);
        let copied = here.files().copy_from(&lent, &path(name), PutOptions::default()).await;
        let copied = copied.expect("copied");
        assert_eq!(copied, here.stat(name).await);
        assert_eq!((copied.size, copied.mtime), (entry.size, entry.mtime));
        let content = |place: &Place| std::fs::read(place.file(name)).expect("there");
        assert!(content(&here) == content(&there));
        let kept = here.stat(name).await;
        there.write(name, "changed meanwhile");
        let refused = here.files().copy_from(&lent, &path(name), PutOptions::default()).await;
        let error = refused.expect_err("another version");
        assert_eq!(error.kind(), ErrorKind::Changed);
        assert_eq!(error.remote(), Some(there.backend.name()), "{error}");
        assert_eq!(here.stat(name).await, kept);
    }
    let foreign =
        Entry { handle: Some("https://example.invalid/".into()), ..here.stat("d/f").await };
    let refused = here.backend.copy(&foreign, &path("x"), PutOptions::default()).await;
    assert_eq!(kind(refused), ErrorKind::InvalidInput);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn after_the_end_nothing_of_the_place_that_lent_files_is_open() {
    let (here, there) = (place(), place());
    there.write("d/f", "content");
    let lent = there.files().as_local_file(&there.stat("d/f").await);
    here.files().copy_from(&lent, &path("d/f"), PutOptions::default()).await.expect("copied");
    there.backend.finish().await.expect("ended");
    here.backend.finish().await.expect("ended");
    let folder = std::fs::canonicalize(there.file("")).expect("there");
    let open = std::fs::read_dir("/proc/self/fd").expect("listed").filter_map(|entry| {
        let target = std::fs::read_link(entry.ok()?.path()).ok()?;
        target.starts_with(&folder).then_some(target)
    });
    assert_eq!(open.count(), 0);
}

#[tokio::test]
async fn a_folder_that_is_made_anew_between_two_puts_gets_the_second() {
    let (here, there) = (place(), place());
    there.write("d/f", "content");
    there.write("d/g", "content");
    let lend = async |name: &str| there.files().as_local_file(&there.stat(name).await);
    for round in 0..3 {
        here.files()
            .copy_from(&lend("d/f").await, &path("d/f"), PutOptions::default())
            .await
            .expect("copied");
        here.put("d/p", "put").await.expect("put");
        let away = format!("away{round}");
        std::fs::rename(here.file("d"), here.file(&away)).expect("moved");
        if round > 0 {
            std::fs::create_dir(here.file("d")).expect("made");
        }
        here.files()
            .copy_from(&lend("d/g").await, &path("d/g"), PutOptions::default())
            .await
            .expect("copied");
        assert_eq!(here.names("d").await, ["g"]);
        assert_eq!(here.names(&away).await, ["f", "p"]);
        std::fs::remove_dir_all(here.file("d")).expect("removed");
        here.put("d/p", "put").await.expect("put");
        assert_eq!(here.names("d").await, ["p"]);
    }
}
