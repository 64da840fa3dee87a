//! `put`: the whole body or what was there before, whatever the body does.

use std::sync::Arc;

use bytes::Bytes;
use ketch_core::{ErrorKind, Expect, PutOptions};
use tokio::sync::Notify;

use super::bodies::{SOURCE_ERROR, SOURCE_MESSAGE, Script, Untouchable};
use super::case::{Case, case, empty_bodies, largest_body, unsized_bodies};
use super::context::{Context, expect_error, path, try_read};

pub(super) const CASES: &[Case] = &[
    case!(bodies_of_all_sizes_around_buffers_arrive_whole),
    case!(an_empty_body_is_stored, empty_bodies),
    case!(a_body_in_odd_pieces_arrives_whole),
    case!(a_body_of_unknown_size_arrives_whole, unsized_bodies),
    case!(an_empty_body_of_unknown_size_is_stored, |claimed| {
        unsized_bodies(claimed).or(empty_bodies(claimed))
    }),
    case!(a_body_larger_than_claimed_is_refused_unread, largest_body),
    case!(a_short_body_leaves_nothing),
    case!(a_long_body_leaves_nothing),
    case!(a_body_that_breaks_leaves_nothing),
    case!(a_body_of_unknown_size_that_breaks_leaves_nothing, unsized_bodies),
    case!(a_bad_body_leaves_the_old_content),
    case!(a_put_that_is_dropped_leaves_nothing),
    case!(a_put_that_is_dropped_leaves_the_old_content),
    case!(what_is_returned_is_what_is_shown),
    case!(folders_above_are_made),
    case!(an_overwrite_replaces_all_of_it),
    case!(an_overwrite_of_a_listed_entry_replaces_it),
    case!(an_overwrite_is_whole_for_a_reader_at_every_time),
    case!(absent_that_is_not_so_is_refused_or_loses_nothing),
    case!(a_listed_entry_that_was_replaced_is_refused_or_loses_nothing),
    case!(a_folder_is_not_replaced_by_a_file),
    case!(a_folder_that_was_not_seen_is_not_replaced_by_a_file),
    case!(a_file_is_not_replaced_by_a_folder),
    case!(the_root_cannot_be_a_file),
];

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

async fn put_script(
    context: &Context,
    name: &str,
    script: Script,
) -> Result<(), ketch_core::Error> {
    context.backend().put(&path(name), script.body(), PutOptions::default()).await.map(|_| ())
}

async fn bodies_of_all_sizes_around_buffers_arrive_whole(context: &Context) {
    let sizes = [1, 2, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1, MIB - 1, MIB, MIB + 1, 3 * MIB + 7];
    for (tag, size) in sizes.into_iter().enumerate() {
        let content = context.noise(tag as u64, size);
        let name = format!("f{size}");
        let entry = context.put(&name, content.clone()).await;
        assert_eq!(entry.size, Some(size as u64));
        context.expect_file(&name, &content).await;
    }
}

async fn an_empty_body_is_stored(context: &Context) {
    let entry = context.put("d/f", "").await;
    assert_eq!(entry.size, Some(0));
    context.expect_file("d/f", b"").await;
    context.put("d/g", "full").await;
    context.put("d/g", "").await;
    context.expect_file("d/g", b"").await;
}

async fn a_body_in_odd_pieces_arrives_whole(context: &Context) {
    for (tag, size, piece) in [(1, 300, 1), (2, 100_000, 7_919), (3, MIB, 300_007)] {
        let content = context.noise(tag, size);
        let script = Script::new(content.clone()).in_pieces_of(piece);
        put_script(context, "f", script).await.expect("stored");
        context.expect_file("f", &content).await;
    }
}

async fn a_body_of_unknown_size_arrives_whole(context: &Context) {
    for (tag, size) in [(1, 1), (2, 100), (3, MIB + 1)] {
        let content = context.noise(tag, size);
        let script = Script::new(content.clone()).declares(None);
        let body = script.body();
        let entry = context.backend().put(&path("f"), body, PutOptions::default()).await;
        assert_eq!(entry.expect("stored").size, Some(size as u64));
        context.expect_file("f", &content).await;
    }
}

async fn an_empty_body_of_unknown_size_is_stored(context: &Context) {
    put_script(context, "f", Script::new("").declares(None)).await.expect("stored");
    context.expect_file("f", b"").await;
}

async fn a_body_larger_than_claimed_is_refused_unread(context: &Context) {
    let max = context.claimed().put_max.expect("claimed");
    let body = Arc::new(Untouchable(max + 1));
    let stored = context.backend().put(&path("f"), body, PutOptions::default()).await;
    expect_error(stored, &[ErrorKind::Unsupported]);
    context.expect_nothing("f").await;
}

/// Content and declared size of bodies that declare more than they have, or less.
fn wrong_lengths(declares_more: bool) -> [(usize, u64); 6] {
    let pairs = [(1, 2), (999, 1_000), (100, 200_000), (64 * KIB, 64 * KIB + 1), (MIB, 2 * MIB)];
    let [a, b, c, d, e] = pairs.map(|(less, more)| match declares_more {
        true => (less, more as u64),
        false => (more, less as u64),
    });
    [a, b, c, d, e, if declares_more { (0, 10) } else { (MIB + 1, MIB as u64) }]
}

async fn a_short_body_leaves_nothing(context: &Context) {
    wrong_length_leaves_nothing(context, true).await;
}

async fn a_long_body_leaves_nothing(context: &Context) {
    wrong_length_leaves_nothing(context, false).await;
}

async fn wrong_length_leaves_nothing(context: &Context, declares_more: bool) {
    for (size, declared) in wrong_lengths(declares_more) {
        let script = Script::new(context.noise(1, size)).declares(Some(declared));
        let stored = put_script(context, "d/f", script).await;
        assert!(stored.is_err(), "{size} bytes declared as {declared} must not be stored");
        expect_error(stored, &[ErrorKind::Changed]);
        context.expect_nothing("d/f").await;
    }
    expect_no_remains(context, "d", &[]).await;
}

async fn a_body_that_breaks_leaves_nothing(context: &Context) {
    for (size, declared) in wrong_lengths(true) {
        let script = Script::new(context.noise(1, size)).declares(Some(declared)).fails();
        let error = expect_error(put_script(context, "d/f", script).await, &[SOURCE_ERROR]);
        assert_eq!(error.message(), SOURCE_MESSAGE, "the source's error comes back as it is");
        context.expect_nothing("d/f").await;
    }
    expect_no_remains(context, "d", &[]).await;
}

async fn a_body_of_unknown_size_that_breaks_leaves_nothing(context: &Context) {
    for size in [0, 100, MIB] {
        let script = Script::new(context.noise(1, size)).declares(None).fails();
        expect_error(put_script(context, "d/f", script).await, &[SOURCE_ERROR]);
        context.expect_nothing("d/f").await;
    }
    expect_no_remains(context, "d", &[]).await;
}

async fn a_bad_body_leaves_the_old_content(context: &Context) {
    let old = context.noise(1, 70_000);
    context.put("d/f", old.clone()).await;
    let content = context.noise(2, 100_000);
    for script in [
        Script::new(content.clone()).declares(Some(200_000)),
        Script::new(content.clone()).declares(Some(99_999)),
        Script::new(content.clone()).declares(Some(200_000)).fails(),
    ] {
        let stored = put_script(context, "d/f", script).await;
        expect_error(stored, &[ErrorKind::Changed, SOURCE_ERROR]);
        context.expect_file("d/f", &old).await;
    }
    expect_no_remains(context, "d", &["f"]).await;
}

/// Nothing but `expected` is in a folder that may not exist.
async fn expect_no_remains(context: &Context, dir: &str, expected: &[&str]) {
    for backend in [Arc::clone(context.backend()), context.afresh()] {
        match super::context::try_list(&*backend, dir).await {
            Ok(entries) => assert_eq!(super::context::names_of(&entries), expected),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
                assert!(expected.is_empty());
            }
        }
    }
}

/// Runs a put until all but the end of its body has been taken, and drops it there.
async fn drop_half_way(context: &Context, name: &str, content: Bytes) {
    let reached = Arc::new(Notify::new());
    let declared = Some(content.len() as u64 + 100_000);
    let body = Script::new(content).declares(declared).hangs(Arc::clone(&reached)).body();
    let target = path(name);
    let put = context.backend().put(&target, body, PutOptions::default());
    tokio::select! {
        stored = put => panic!("a body without end cannot be stored: {stored:?}"),
        () = reached.notified() => {}
    }
}

async fn a_put_that_is_dropped_leaves_nothing(context: &Context) {
    for size in [0, 100, MIB] {
        drop_half_way(context, "d/f", context.noise(1, size)).await;
        context.expect_nothing("d/f").await;
    }
    expect_no_remains(context, "d", &[]).await;
    context.put("d/f", "new").await;
    context.expect_file("d/f", b"new").await;
}

async fn a_put_that_is_dropped_leaves_the_old_content(context: &Context) {
    context.put("d/f", "old").await;
    for size in [0, 100, MIB] {
        drop_half_way(context, "d/f", context.noise(1, size)).await;
        context.expect_file("d/f", b"old").await;
    }
    expect_no_remains(context, "d", &["f"]).await;
    context.put("d/f", "new").await;
    context.expect_file("d/f", b"new").await;
}

async fn what_is_returned_is_what_is_shown(context: &Context) {
    let returned = context.put("d/f", "first content").await;
    context.check_entry(&returned, "d/f", b"first content").await;
    let returned = context.put("d/f", "second").await;
    context.check_entry(&returned, "d/f", b"second").await;
}

async fn folders_above_are_made(context: &Context) {
    context.put("a/b/c/d/f", "1").await;
    for dir in ["a", "a/b", "a/b/c", "a/b/c/d"] {
        assert!(context.stat(dir).await.is_dir(), "{dir}");
    }
    context.put("a/b/x/f", "2").await;
    assert_eq!(context.names("a/b").await, ["c", "x"]);
    context.expect_file("a/b/c/d/f", b"1").await;
    context.expect_file("a/b/x/f", b"2").await;
}

async fn an_overwrite_replaces_all_of_it(context: &Context) {
    let contents = [context.noise(1, 100_000), context.noise(2, 10), context.noise(3, 200_000)];
    for content in contents.iter().chain([&contents[2]]) {
        context.put("d/f", content.clone()).await;
        context.expect_file("d/f", content).await;
        assert_eq!(context.names("d").await, ["f"], "one entry of the name");
    }
}

async fn an_overwrite_of_a_listed_entry_replaces_it(context: &Context) {
    let mut known = context.put("d/f", "0").await;
    context.put("d/other", "other").await;
    for content in ["first", "second", "third"] {
        let expect = Expect::Entry(Box::new(known));
        let options = PutOptions { expect, ..PutOptions::default() };
        let returned = context.try_put("d/f", content.into(), options).await.expect("stored");
        context.expect_file("d/f", content.as_bytes()).await;
        let listed = context.list("d").await;
        let listed = listed.into_iter().find(|entry| entry.path.as_str() == "d/f");
        known = if content == "first" { returned } else { listed.expect("listed") };
    }
    context.expect_file("d/other", b"other").await;
}

async fn an_overwrite_is_whole_for_a_reader_at_every_time(context: &Context) {
    let wholes = [context.noise(1, 150_000), context.noise(2, 90_000)];
    context.put("d/f", wholes[0].clone()).await;
    let is_done = std::sync::atomic::AtomicBool::new(false);
    let write = async {
        for round in 1..=12 {
            context.put("d/f", wholes[round % 2].clone()).await;
        }
        is_done.store(true, std::sync::atomic::Ordering::Relaxed);
    };
    let read = async {
        while !is_done.load(std::sync::atomic::Ordering::Relaxed) {
            let entry = context.stat("d/f").await;
            match try_read(&**context.backend(), &entry, None).await {
                Ok(content) => assert!(wholes.contains(&content), "{} bytes", content.len()),
                // The version that `stat` saw may be gone before it is read or while it is, and the reader is told so.
                read => {
                    let kinds = [ErrorKind::Changed, ErrorKind::NotFound, ErrorKind::Corrupt];
                    expect_error(read, &kinds);
                }
            }
            let listed = context.list("d").await;
            assert!(!listed.is_empty(), "at every time one of the two is listed");
            tokio::task::yield_now().await;
        }
    };
    futures::join!(write, read);
    context.expect_file("d/f", &wholes[0]).await;
}

async fn absent_that_is_not_so_is_refused_or_loses_nothing(context: &Context) {
    context.put("d/f", "old").await;
    let options = PutOptions { expect: Expect::Absent, ..PutOptions::default() };
    let stored = context.try_put("d/f", "new".into(), options).await;
    expect_refusal_or_both(context, stored.map(|_| ()), b"old", b"new").await;
}

async fn a_listed_entry_that_was_replaced_is_refused_or_loses_nothing(context: &Context) {
    let listed = context.put("d/f", "first").await;
    let has_version = context.tells_versions(&listed);
    let other = context.reopen("");
    let body = Script::new("by another").body();
    other.put(&path("d/f"), body, PutOptions::default()).await.expect("stored");
    let options = PutOptions { expect: Expect::Entry(Box::new(listed)), ..PutOptions::default() };
    let stored = context.try_put("d/f", "mine".into(), options).await;
    if has_version || context.claimed().duplicates {
        expect_refusal_or_both(context, stored.map(|_| ()), b"by another", b"mine").await;
    } else {
        context.expect_one_of("d/f", &[b"by another", b"mine"]).await;
    }
}

/// A remote that can see what is there refuses and keeps it; one that cannot stores the new beside it.
async fn expect_refusal_or_both(
    context: &Context,
    stored: Result<(), ketch_core::Error>,
    old: &[u8],
    new: &[u8],
) {
    if stored.is_ok() && context.claimed().duplicates {
        let found = super::context::contents(&*context.afresh(), "d/f").await;
        assert!(found.iter().any(|content| content == new), "what was stored is there");
    } else {
        expect_error(stored, &[ErrorKind::Changed]);
        context.expect_file("d/f", old).await;
    }
}

const OBSTACLE: &[ErrorKind] = &[ErrorKind::AlreadyExists, ErrorKind::InvalidInput];

async fn a_folder_is_not_replaced_by_a_file(context: &Context) {
    context.fill_dir("d").await;
    let stored = context.try_put("d", "file".into(), PutOptions::default()).await;
    expect_error(stored, OBSTACLE);
    assert!(context.stat("d").await.is_dir());
    assert_eq!(context.names("").await, ["d"]);
    context.expect_file("d/inside", b"inside").await;
}

async fn a_folder_that_was_not_seen_is_not_replaced_by_a_file(context: &Context) {
    context.fill_dir("d").await;
    let options = PutOptions { expect: Expect::Absent, ..PutOptions::default() };
    let stored = context.try_put("d", "file".into(), options).await;
    // Where names need not be unique a remote may store the file beside the folder.
    if stored.is_err() || !context.claimed().duplicates {
        expect_error(stored, &[OBSTACLE, &[ErrorKind::Changed]].concat());
        assert_eq!(context.names("").await, ["d"]);
    }
    context.expect_file("d/inside", b"inside").await;
}

async fn a_file_is_not_replaced_by_a_folder(context: &Context) {
    context.put("f", "file").await;
    for name in ["f/x", "f/x/y"] {
        let stored = context.try_put(name, "below".into(), PutOptions::default()).await;
        expect_error(stored, OBSTACLE);
    }
    context.expect_file("f", b"file").await;
    assert_eq!(context.names("").await, ["f"]);
}

async fn the_root_cannot_be_a_file(context: &Context) {
    let stored = context.try_put("", "file".into(), PutOptions::default()).await;
    expect_error(stored, &[OBSTACLE, &[ErrorKind::Changed]].concat());
    assert!(context.stat("").await.is_dir());
}
