//! What comes out is what went in, in key order, wherever it was kept meanwhile.

use std::time::{Duration, UNIX_EPOCH};

use ketch_core::{Entry, EntryKind};
use proptest::prelude::*;

use super::*;

fn dir() -> RelPath {
    RelPath::new("a/folder").expect("legal")
}

fn page(entries: &[Entry]) -> Page {
    Page::of(&dir(), entries).expect("children")
}

/// Names of `many` files and folders, and of some twice; in no order.
fn entries(many: u64, seed: u64) -> Vec<Entry> {
    let entry = |number: u64| {
        let mixed = (number ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let path = dir().join(&format!("{:08x}-{number}", mixed >> 32)).expect("legal");
        let kind = if mixed.is_multiple_of(7) { EntryKind::Dir } else { EntryKind::File };
        let mtime = Some(UNIX_EPOCH + Duration::from_secs(mixed % 1_000));
        Entry { mtime, size: Some(mixed), ..Entry::bare(path, kind) }
    };
    let mut entries: Vec<Entry> = (0..many).map(entry).collect();
    let later = |entry: &Entry| Entry {
        mtime: entry.mtime.map(|time| time + Duration::from_secs(5_000)),
        ..entry.clone()
    };
    let again: Vec<Entry> = entries.iter().step_by(11).map(later).collect();
    entries.extend(again);
    entries
}

fn collect(entries: &[Entry], order: Order, room: &Room) -> Listing {
    let mut collector = Collector::new(&dir(), order, room);
    for some in entries.chunks(1_000) {
        collector.push(page(some)).expect("room");
    }
    collector.finish().expect("room")
}

/// Everything in it: the newest of each key, and whether there were several.
fn read(mut listing: Listing) -> Vec<(Entry, bool)> {
    let mut read = Vec::new();
    loop {
        listing.head.fill().expect("it can be read");
        let Some(view) = listing.head.view() else { return read };
        read.push((view.to_entry(&dir()).expect("legal"), listing.head.has_duplicates()));
        listing.head.pass();
    }
}

fn expected(entries: &[Entry]) -> Vec<(Entry, bool)> {
    let mut sorted = entries.to_vec();
    sorted
        .sort_by(|left, right| left.compare_key(right).then_with(|| right.mtime.cmp(&left.mtime)));
    let mut expected: Vec<(Entry, bool)> = Vec::new();
    for entry in sorted {
        match expected.last_mut() {
            Some((known, several)) if known.compare_key(&entry).is_eq() => *several = true,
            _ => expected.push((entry, false)),
        }
    }
    expected
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]
    #[test]
    fn a_listing_is_sorted_wherever_it_was_kept(
        many in prop_oneof![0_u64..50, Just(3_000), Just(40_000)],
        room in prop_oneof![Just(0), Just(ROOM_BYTES)],
        seed in any::<u64>(),
    ) {
        let entries = entries(many, seed);
        let room = Room::new(room, None);
        let all = room.left.load(Ordering::Relaxed);
        let listing = collect(&entries, Order::Unspecified, &room);
        for entry in entries.iter().step_by(97) {
            let name = entry.path.name().expect("not the root");
            prop_assert_eq!(listing.dirs.has(name), entry.is_dir());
        }
        let sorted = expected(&entries);
        prop_assert!(read(listing) == sorted);
        let single: Vec<Entry> = sorted.iter().map(|(entry, _)| entry.clone()).collect();
        let listing = collect(&single, Order::Key, &room);
        prop_assert_eq!(listing.scratch_was_used(), single.len() > 30_000 && all == 0);
        prop_assert!(read(listing).iter().map(|(entry, _)| entry).eq(&single));
        let mut collector = Collector::new(&dir(), Order::Key, &room);
        let (sorted_part, others) = entries.split_at(entries.len() / 2);
        for some in expected(sorted_part).chunks(2_000) {
            let some: Vec<Entry> = some.iter().map(|(entry, _)| entry.clone()).collect();
            collector.push(page(&some)).expect("in order");
        }
        for some in others.chunks(2_000) {
            collector.push(page(some).unsorted()).expect("it was said");
        }
        let read = read(collector.finish().expect("room"));
        prop_assert!(read.iter().map(|(entry, _)| entry).eq(&single));
        prop_assert_eq!(room.left.load(Ordering::Relaxed), all, "all room was given back");
    }
}

impl Listing {
    fn scratch_was_used(&self) -> bool {
        format!("{:?}", self.head).contains("Run {")
    }
}

#[test]
fn disorder_is_told_where_order_was_promised() {
    let file = |name: &str| Entry::file(dir().join(name).expect("legal"), 1);
    for (first, second) in [("b", "a"), ("a.b", "a"), ("b", "B")] {
        let room = Room::new(ROOM_BYTES, None);
        let mut within = Collector::new(&dir(), Order::Key, &room);
        let error = within.push(page(&[file(first), file(second)])).expect_err("disorder");
        assert_eq!(error.kind(), ErrorKind::Protocol);
        let mut between = Collector::new(&dir(), Order::Key, &room);
        between.push(page(&[file(first)])).expect("in order");
        let error = between.push(page(&[file(second)])).expect_err("disorder");
        assert_eq!(error.kind(), ErrorKind::Protocol);
    }
}

#[test]
fn a_page_of_another_folder_is_refused() {
    let elsewhere = RelPath::new("a").expect("legal");
    let mut page = Page::new(&elsewhere);
    page.push(&Entry::file(elsewhere.join("x").expect("legal"), 1)).expect("a child");
    let room = Room::new(ROOM_BYTES, None);
    let mut collector = Collector::new(&dir(), Order::Key, &room);
    assert_eq!(collector.push(page).expect_err("elsewhere").kind(), ErrorKind::Protocol);
}
