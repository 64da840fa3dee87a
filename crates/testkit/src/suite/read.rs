//! `read`: all of it or a range of it, of the version that was listed.

use futures::StreamExt;
use ketch_core::{EntryKind, ErrorKind, ReadOptions};

use super::case::{Case, case, ranges};
use super::context::{Context, expect_error, try_read};

pub(super) const CASES: &[Case] = &[
    case!(a_file_is_read_whole),
    case!(ranges_are_read_exactly, ranges),
    case!(ranges_of_one_entry_are_read_at_the_same_time, ranges),
    case!(a_read_that_is_dropped_harms_nothing),
    case!(reading_changes_nothing_that_is_shown),
    case!(a_file_that_was_replaced_is_not_read_as_the_old_one),
    case!(a_range_of_a_file_that_was_replaced_is_refused, ranges),
    case!(a_deleted_file_is_not_found),
    case!(a_folder_cannot_be_read),
];

async fn a_file_is_read_whole(context: &Context) {
    for (tag, size) in [(1, 1), (2, 1_000), (3, 300_001)] {
        let content = context.noise(tag, size);
        let returned = context.put("d/f", content.clone()).await;
        assert!(context.read(&returned).await == content, "{size} bytes, the entry of put");
        assert!(context.read(&context.stat("d/f").await).await == content, "{size} bytes, stat");
        assert!(context.read(&context.list("d").await[0]).await == content, "{size} bytes, list");
    }
}

async fn ranges_are_read_exactly(context: &Context) {
    let size = 200_000_u64;
    let content = context.noise(1, size as usize);
    let entry = context.put("f", content.clone()).await;
    let ranges = [
        0..size,
        0..1,
        0..100,
        1..2,
        50..51,
        65_535..65_537,
        131_072..size,
        size - 1..size,
        1..size,
    ];
    for range in ranges {
        let part = try_read(&**context.backend(), &entry, Some(range.clone())).await;
        let part = part.unwrap_or_else(|error| panic!("{range:?}: {error:?}"));
        assert_eq!(part.len() as u64, range.end - range.start, "length of {range:?}");
        let expected = content.slice(range.start as usize..range.end as usize);
        assert!(part == expected, "bytes of {range:?}");
    }
}

async fn ranges_of_one_entry_are_read_at_the_same_time(context: &Context) {
    let (count, part) = (8_u64, 40_000_u64);
    let content = context.noise(1, (count * part) as usize);
    let entry = context.put("f", content.clone()).await;
    let parts = (0..count).map(|number| {
        let range = number * part..(number + 1) * part;
        try_read(&**context.backend(), &entry, Some(range))
    });
    let parts = futures::future::join_all(parts).await;
    let parts: Vec<_> = parts.into_iter().map(|part| part.expect("read")).collect();
    assert!(parts.concat() == content);
}

async fn a_read_that_is_dropped_harms_nothing(context: &Context) {
    let content = context.noise(1, 1_000_000);
    let entry = context.put("f", content.clone()).await;
    for _ in 0..4 {
        let opened = context.backend().read(&entry, ReadOptions::default()).await;
        let mut stream = opened.expect("opens");
        stream.next().await.expect("a piece").expect("read");
    }
    drop(context.backend().read(&entry, ReadOptions::default()).await.expect("opens"));
    assert!(context.read(&entry).await == content);
}

async fn reading_changes_nothing_that_is_shown(context: &Context) {
    context.put("f", "content").await;
    let before = context.stat("f").await;
    context.read(&before).await;
    let after = context.stat("f").await;
    assert_eq!(
        (before.size, before.mtime, before.version, before.hashes),
        (after.size, after.mtime, after.version, after.hashes)
    );
}

async fn a_file_that_was_replaced_is_not_read_as_the_old_one(context: &Context) {
    let (old, new) = (context.noise(1, 100_000), context.noise(2, 100_000));
    let entry = context.put("f", old).await;
    context.put("f", new.clone()).await;
    let read = try_read(&**context.backend(), &entry, None).await;
    if context.tells_versions(&entry) {
        expect_error(read, &[ErrorKind::Changed]);
    } else if let Ok(read) = read {
        assert!(read == new, "what is read is whole");
    } else {
        expect_error(read, &[ErrorKind::Changed, ErrorKind::NotFound]);
    }
}

async fn a_range_of_a_file_that_was_replaced_is_refused(context: &Context) {
    let entry = context.put("f", context.noise(1, 100_000)).await;
    context.put("f", context.noise(2, 1_000)).await;
    let read = try_read(&**context.backend(), &entry, Some(50_000..60_000)).await;
    if context.tells_versions(&entry) {
        expect_error(read, &[ErrorKind::Changed]);
    } else {
        let kinds = [ErrorKind::Changed, ErrorKind::NotFound, ErrorKind::Corrupt];
        expect_error(read, &kinds);
    }
}

async fn a_deleted_file_is_not_found(context: &Context) {
    let entry = context.put("d/f", "1").await;
    context.put("d/other", "2").await;
    context.backend().delete_one(&entry).await.expect("deleted");
    expect_error(try_read(&**context.backend(), &entry, None).await, &[ErrorKind::NotFound]);
}

async fn a_folder_cannot_be_read(context: &Context) {
    context.fill_dir("d").await;
    let entry = context.stat("d").await;
    assert_eq!(entry.kind, EntryKind::Dir);
    let read = try_read(&**context.backend(), &entry, None).await;
    expect_error(read, &[ErrorKind::InvalidInput, ErrorKind::NotFound, ErrorKind::Changed]);
}
