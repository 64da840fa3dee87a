//! Files with holes: a copy has the same bytes and takes no more room.

use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};

use super::resume::{checkpoint, with};
use super::system::SmallDisk;
use super::*;
use crate::ledger::{Ledger, Maker};
use crate::options::Fsync;

/// A block of every file system that tests meet.
const BLOCK: u64 = 64 * 1024;
const RANGE: u64 = Maker::Copy.range_bytes();

fn make(place: &Place, name: &str, size: u64, written: &[(u64, u64)]) {
    let file = File::create(place.file(name)).expect("made");
    file.set_len(size).expect("set");
    for (start, end) in written {
        let length = usize::try_from(end - start).expect("short");
        file.write_all_at(&vec![7; length], *start).expect("written");
    }
}

fn room(place: &Place, name: &str) -> u64 {
    std::fs::metadata(place.file(name)).expect("there").blocks() * 512
}

fn is_known_here(place: &Place) -> bool {
    make(place, "probe", 16 * BLOCK, &[]);
    let is_known = room(place, "probe") < BLOCK;
    std::fs::remove_file(place.file("probe")).expect("removed");
    if !is_known {
        println!("skipped: files have no holes here");
    }
    is_known
}

/// Equal byte for byte, compared a piece at a time.
fn assert_equal(place: &Place, one: &str, other: &str) {
    let open = |name| File::open(place.file(name)).expect("opened");
    let (one, other) = (open(one), open(other));
    let length = one.metadata().expect("known").len();
    assert_eq!(other.metadata().expect("known").len(), length);
    let (mut left, mut right) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    let mut at = 0;
    while at < length {
        let wanted = (length - at).min(1 << 20) as usize;
        one.read_exact_at(&mut left[..wanted], at).expect("read");
        other.read_exact_at(&mut right[..wanted], at).expect("read");
        assert!(left[..wanted] == right[..wanted], "the same from {at} on");
        at += wanted as u64;
    }
}

async fn copy(place: &Place, options: PutOptions) -> Entry {
    let from = place.stat("from").await;
    place.backend.copy(&from, &path("f"), options).await.expect("copied")
}

#[tokio::test]
async fn a_copy_has_holes_where_its_original_has_them() {
    let place = place();
    if !is_known_here(&place) {
        return;
    }
    let check = async |about: &str, size: u64, written: &[(u64, u64)]| {
        make(&place, "from", size, written);
        let copied = copy(&place, PutOptions::default()).await;
        assert_eq!(copied.size, Some(size), "{about}");
        assert_equal(&place, "from", "f");
        let (before, after) = (room(&place, "from"), room(&place, "f"));
        assert!(after <= before, "{about}: {after} bytes of the disk for {before}");
        std::fs::remove_file(place.file("f")).expect("removed");
    };
    check("short, nothing but a hole", BLOCK / 2, &[]).await;
    check("short, a hole at the end", BLOCK, &[(0, 10)]).await;
    check("short, a hole at the start", BLOCK, &[(BLOCK - 10, BLOCK)]).await;
    check("nothing but a hole", 100 * BLOCK + 1, &[]).await;
    check("nothing but a hole over several ranges", 3 * RANGE + 1, &[]).await;
    check("a hole at the start", 40 * BLOCK, &[(20 * BLOCK, 40 * BLOCK)]).await;
    check("a hole at the end", 40 * BLOCK + 5, &[(0, 20 * BLOCK + 7)]).await;
    let many: Vec<_> = (0..20).map(|n| (3 * n * BLOCK + 5, (3 * n + 1) * BLOCK)).collect();
    check("many holes", 64 * BLOCK, &many).await;
    let over = [(RANGE - BLOCK, RANGE + BLOCK), (2 * RANGE - 1, 2 * RANGE)];
    check("bytes over the end of a range", 2 * RANGE + BLOCK, &over).await;
}

#[tokio::test]
async fn a_copy_without_holes_takes_its_room_as_before() {
    let place = place();
    if !is_known_here(&place) {
        return;
    }
    make(&place, "from", 20 * BLOCK, &[(0, 20 * BLOCK)]);
    copy(&place, PutOptions::default()).await;
    assert_equal(&place, "from", "f");
    assert!(room(&place, "f") >= 20 * BLOCK);
}

#[tokio::test]
async fn a_copy_with_holes_is_gone_on_with_and_keeps_them() {
    let place = place_with(LocalOptions { fsync: Fsync::None, ..LocalOptions::default() });
    if !is_known_here(&place) {
        return;
    }
    let mut ledger = Ledger::new(Maker::Copy, "one");
    let records =
        [ledger.header().to_vec(), ledger.push([0; 32]).to_vec(), ledger.push([0; 32]).to_vec()];
    // What the part has in common with the source; the record speaks of two ranges of nothing else but holes.
    let written = [(10, 20), (2 * RANGE + BLOCK, 2 * RANGE + 2 * BLOCK)];
    for changed in [None, Some(5), Some(RANGE + BLOCK)] {
        make(&place, "from", 3 * RANGE + BLOCK, &written);
        make(&place, ".f.ketch-0000beef.part", 2 * RANGE, &[(10, 20)]);
        if let Some(at) = changed {
            let part = File::options().write(true).open(place.file(".f.ketch-0000beef.part"));
            part.expect("opened").write_all_at(b"!", at).expect("written");
        }
        std::fs::write(place.file(".f.ketch-0000beef.ledger"), records.concat()).expect("written");
        copy(&place, with(checkpoint("one", true))).await;
        assert_equal(&place, "from", "f");
        assert!(room(&place, "f") <= room(&place, "from"), "changed at {changed:?}");
        assert_eq!(place.raw_names(), ["f", "from"]);
        std::fs::remove_file(place.file("f")).expect("removed");
    }
}

#[tokio::test]
async fn ranges_that_are_all_hole_are_recorded_and_the_part_is_as_long_as_that() {
    let place = place();
    if !is_known_here(&place) {
        return;
    }
    let Some(disk) = SmallDisk::mount("size=1m,mode=777") else { return };
    make(&place, "from", 3 * RANGE, &[(2 * RANGE + 5, 2 * RANGE + 2_000_000)]);
    let from = place.stat("from").await;
    let there = LocalBackend::open(disk.0.path().to_owned(), LocalOptions::default());
    let copy = || {
        let lent = place.files().as_local_file(&from);
        let options = with(checkpoint("one", true));
        let there = &there;
        async move {
            let files = there.facets().local_files.clone().expect("a disk has files");
            files.copy_from(&lent, &path("f"), options).await
        }
    };
    // The disk is full when the bytes come, and two ranges of nothing but a hole have gone before.
    assert_eq!(kind(copy().await), ErrorKind::Quota);
    let part = std::fs::metadata(disk.0.path().join(".f.ketch-0000beef.part")).expect("kept");
    assert!(part.len() >= 2 * RANGE, "{} bytes", part.len());
    let ledger = std::fs::read(disk.0.path().join(".f.ketch-0000beef.ledger")).expect("kept");
    assert!(Ledger::parse(Maker::Copy, "one", &ledger).len() >= 1);
    disk.resize("size=4m");
    assert_eq!(copy().await.expect("copied").size, Some(3 * RANGE));
    let copied = std::fs::metadata(disk.0.path().join("f")).expect("there");
    assert!(copied.blocks() * 512 < 3_000_000, "{} blocks", copied.blocks());
    let mut found = vec![0; 2_000_000];
    let file = File::open(disk.0.path().join("f")).expect("opened");
    file.read_exact_at(&mut found, 2 * RANGE).expect("read");
    assert!(found[..5] == [0; 5] && found[5..] == vec![7; 1_999_995]);
    assert_eq!(std::fs::read_dir(disk.0.path()).expect("there").count(), 1);
}
