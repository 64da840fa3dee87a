//! Storing: whole or not at all.

use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicBool, Ordering};

use ketch_core::Expect;

use super::*;

const MIB: usize = 1024 * 1024;

async fn put_pieces(place: &Place, below: &str, pieces: Pieces) -> Result<Entry> {
    place.put_body(below, Arc::new(pieces), PutOptions::default()).await
}

fn pieces(length: usize, count: usize, size: Option<usize>) -> Pieces {
    let size = size.map(|size| size as u64);
    Pieces { size, piece: vec![7; length].into(), count, ends: true }
}

#[tokio::test]
async fn bodies_of_every_size_and_cut_arrive_whole() {
    let place = place();
    let cuts =
        [(0, 0), (1, 1), (1000, 3), (1, 3000), (MIB, 1), (MIB, 3), (MIB - 1, 3), (5 * MIB, 1)];
    for (length, count) in cuts {
        for is_known in [true, false] {
            let all = length * count;
            let body = pieces(length, count, is_known.then_some(all));
            let put = put_pieces(&place, "d/f", body).await.expect("put");
            assert_eq!(put.size, Some(all as u64));
            assert_eq!(put, place.stat("d/f").await);
            let content = std::fs::read(place.file("d/f")).expect("there");
            assert!(content == vec![7; all], "{length} x {count}");
        }
    }
    assert_eq!(place.raw_names(), ["d", "f"]);
}

#[tokio::test]
async fn short_and_long_sources_leave_nothing_behind() {
    let place = place();
    place.write("old", "old");
    for (length, count, size) in [
        (10, 1, 11),
        (10, 1, 9),
        (MIB, 4, 4 * MIB + 1),
        (MIB, 4, 4 * MIB - 1),
        (MIB, 4, 1),
        (0, 0, 1),
    ] {
        for name in ["new", "old"] {
            let result = put_pieces(&place, name, pieces(length, count, Some(size))).await;
            assert_eq!(kind(result), ErrorKind::Changed);
            place.eventually_holds(&["old"]).await;
        }
    }
    assert_eq!(std::fs::read(place.file("old")).expect("kept"), b"old");
}

#[tokio::test]
async fn a_dropped_put_leaves_nothing_behind() {
    let place = place();
    for (length, count) in [(10, 1), (MIB, 1), (MIB, 3), (MIB / 2, 5)] {
        let body = Pieces { ends: false, ..pieces(length, count, None) };
        let mut put = Box::pin(put_pieces(&place, "f", body));
        // From the second megabyte on a part is on the disk.
        let parts = usize::from(length * count >= MIB);
        loop {
            let waited = tokio::time::timeout(Duration::from_millis(50), &mut put).await;
            assert!(waited.is_err(), "the body never ends");
            if place.raw_names().len() >= parts {
                break;
            }
        }
        assert_eq!(place.raw_names().len(), parts);
        assert!(place.names("").await.is_empty(), "a part is never listed");
        drop(put);
        assert!(place.raw_names().is_empty(), "removed at once");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_dropped_while_a_write_is_under_way_leaves_nothing_behind() {
    let place = place();
    for microseconds in (0..12_000).step_by(150) {
        let body = Pieces { ends: false, ..pieces(MIB, 64, None) };
        let put = put_pieces(&place, "f", body);
        let _dropped = tokio::time::timeout(Duration::from_micros(microseconds), put).await;
    }
    place.eventually_holds(&[]).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(place.raw_names().is_empty(), "nothing comes back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_put_dropped_at_any_time_is_whole_or_absent() {
    let place = place();
    for round in 0..200 {
        let put = place.put("f", "content");
        let _dropped = tokio::time::timeout(Duration::from_micros(round * 2), put).await;
        if let Ok(content) = std::fs::read(place.file("f")) {
            assert_eq!(content, b"content");
        }
    }
    place.put("f", "content").await.expect("put");
    place.eventually_holds(&["f"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_sees_the_old_content_or_the_new_and_never_a_part() {
    let place = place();
    place.put("f", "").await.expect("put");
    let stop = Arc::new(AtomicBool::new(false));
    let reader = {
        let (file, stop) = (place.file("f"), Arc::clone(&stop));
        std::thread::spawn(move || {
            let mut seen = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                let content = std::fs::read(&file).expect("there at any time");
                let first = content.first().copied().unwrap_or(0);
                assert_eq!(content.len(), usize::from(first) * 100_000, "never a part");
                assert!(content.iter().all(|byte| *byte == first), "never a mixture");
                seen += 1;
            }
            seen
        })
    };
    for round in 0..60_u8 {
        let number = round % 30;
        let content = vec![number; usize::from(number) * 100_000];
        let put = place.put_body("f", byte_body(content), PutOptions::default());
        put.await.expect("put");
    }
    stop.store(true, Ordering::Relaxed);
    assert!(reader.join().expect("the reader saw no part") > 0);
}

#[tokio::test]
async fn an_obstacle_where_nothing_was_expected_is_kept() {
    let place = place();
    place.write("f", "mine");
    std::fs::create_dir(place.file("d")).expect("made");
    place.link("nowhere", "link");
    for obstacle in ["f", "d", "link"] {
        let options = PutOptions { expect: Expect::Absent, ..PutOptions::default() };
        assert_eq!(kind(place.put_with(obstacle, "x", options).await), ErrorKind::Changed);
    }
    // It appears while the body is on its way.
    let (sender, receiver) = futures::channel::mpsc::unbounded::<Bytes>();
    let body = Arc::new(Channel(std::sync::Mutex::new(Some(receiver))));
    let options = PutOptions { expect: Expect::Absent, ..PutOptions::default() };
    let mut put = Box::pin(place.put_body("late", body, options));
    sender.unbounded_send(vec![7; 2 * MIB].into()).expect("sent");
    assert!(tokio::time::timeout(Duration::from_millis(100), &mut put).await.is_err());
    place.write("late", "mine");
    drop(sender);
    assert_eq!(kind(put.await), ErrorKind::Changed);
    assert_eq!(std::fs::read(place.file("f")).expect("kept"), b"mine");
    assert_eq!(std::fs::read(place.file("late")).expect("kept"), b"mine");
    assert_eq!(place.raw_names(), ["d", "f", "late", "link"]);
    let options = PutOptions { expect: Expect::Absent, ..PutOptions::default() };
    assert_eq!(place.put_with("new", "x", options).await.expect("put").size, Some(1));
}

/// A body that a test feeds.
#[derive(Debug)]
struct Channel(std::sync::Mutex<Option<futures::channel::mpsc::UnboundedReceiver<Bytes>>>);

#[async_trait]
impl Source for Channel {
    fn size(&self) -> Option<u64> {
        None
    }

    fn replayable(&self) -> bool {
        false
    }

    async fn open(&self, _range: Range<u64>) -> Result<ByteStream> {
        let receiver = self.0.lock().expect("not poisoned").take().expect("opened once");
        Ok(receiver.map(Ok).boxed())
    }
}

#[tokio::test]
async fn only_the_expected_version_is_replaced() {
    let place = place();
    place.write("f", "old");
    let known = place.stat("f").await;
    let expecting = |entry: &Entry| PutOptions {
        expect: Expect::Entry(Box::new(entry.clone())),
        ..PutOptions::default()
    };
    let put = place.put_with("f", "new", expecting(&known)).await.expect("put");
    assert_eq!(kind(place.put_with("f", "x", expecting(&known)).await), ErrorKind::Changed);
    assert_eq!(place.read(&put).await.expect("kept"), b"new");
    std::fs::remove_file(place.file("f")).expect("removed");
    assert_eq!(kind(place.put_with("f", "x", expecting(&put)).await), ErrorKind::Changed);
    std::fs::create_dir(place.file("f")).expect("made");
    assert_eq!(kind(place.put_with("f", "x", expecting(&put)).await), ErrorKind::Changed);
    assert_eq!(place.raw_names(), ["f"]);
}

#[tokio::test]
async fn folders_and_special_things_are_never_replaced() {
    let place = place();
    place.write("d/f", "");
    place.link("d/f", "link");
    place.write("file", "");
    assert_eq!(kind(place.put("d", "x").await), ErrorKind::AlreadyExists);
    assert_eq!(kind(place.put("", "x").await), ErrorKind::InvalidInput);
    assert_eq!(kind(place.put("link", "x").await), ErrorKind::Denied);
    assert_eq!(kind(place.put("file/below", "x").await), ErrorKind::AlreadyExists);
    assert_eq!(place.raw_names(), ["d", "f", "file", "link"]);
}

#[tokio::test]
async fn names_of_255_bytes_fit_and_longer_ones_are_refused_before_anything_is_done() {
    let place = place();
    for name in ["n".repeat(255), format!("{}é", "n".repeat(253)), "‛FF".repeat(255)] {
        let put = place.put_body(&name, byte_body(vec![1; 3 * MIB]), PutOptions::default());
        let put = put.await.expect("put");
        assert_eq!(place.names("").await, [name]);
        place.backend.delete_one(&put).await.expect("deleted");
    }
    for name in ["n".repeat(256), "é".repeat(128)] {
        assert_eq!(
            kind(place.put_body(&name, byte_body("x"), PutOptions::default()).await),
            ErrorKind::InvalidInput
        );
        assert_eq!(kind(place.backend.make_dir(&path(&name), None).await), ErrorKind::InvalidInput);
    }
    assert!(place.raw_names().is_empty());
}

#[tokio::test]
async fn permissions_are_the_usual_ones_or_those_of_the_file_that_is_replaced() {
    let place = place();
    let mode = |name: &str| {
        let found = std::fs::metadata(place.file(name)).expect("there");
        found.permissions().mode() & 0o7777
    };
    place.write("usual", "");
    place.put("new", "x").await.expect("put");
    assert_eq!(mode("new"), mode("usual"));
    for kept in [0o600, 0o755, 0o444] {
        std::fs::set_permissions(place.file("new"), PermissionsExt::from_mode(kept)).expect("set");
        place.put("new", "x").await.expect("put");
        assert_eq!(mode("new"), kept);
    }
}

#[tokio::test]
async fn a_folder_that_is_replaced_meanwhile_is_reported() {
    let place = place();
    let (sender, receiver) = futures::channel::mpsc::unbounded::<Bytes>();
    let body = Arc::new(Channel(std::sync::Mutex::new(Some(receiver))));
    let mut put = Box::pin(place.put_body("d/f", body, PutOptions::default()));
    sender.unbounded_send(vec![7; 2 * MIB].into()).expect("sent");
    let has_part = || std::fs::read_dir(place.file("d")).is_ok_and(|names| names.count() > 0);
    while !has_part() {
        assert!(tokio::time::timeout(Duration::from_millis(50), &mut put).await.is_err());
    }
    std::fs::rename(place.file("d"), place.file("away")).expect("moved");
    std::fs::create_dir(place.file("d")).expect("made");
    drop(sender);
    assert_eq!(kind(put.await), ErrorKind::Changed);
    assert_eq!(place.raw_names(), ["away", "d"]);
}
