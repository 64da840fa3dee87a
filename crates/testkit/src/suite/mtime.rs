//! Modification times, and permissions beside the content: kept as finely as claimed, or not claimed at all.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ketch_core::{ErrorKind, Metadata, PutOptions};

use super::case::{Case, case, folder_times, modes, setting_times, times};
use super::context::{Context, apart, expect_error};

pub(super) const CASES: &[Case] = &[
    case!(the_precision_is_a_useful_one, times),
    case!(a_time_is_kept_as_finely_as_claimed, times),
    case!(times_before_1970_are_kept, times),
    case!(an_overwrite_brings_its_own_time, times),
    case!(a_time_is_set_and_the_content_stays, setting_times),
    case!(a_folder_has_the_time_that_was_set_until_it_changes, folder_times),
    case!(permissions_beside_the_content_are_kept, modes),
    case!(time_and_permissions_are_set_in_one_call, modes),
    case!(the_time_of_a_missing_file_cannot_be_set, setting_times),
    case!(a_time_that_is_not_kept_is_when_it_was_stored, |claimed| {
        claimed.mtime.is_some().then_some("no mtime")
    }),
];

const DAY: Duration = Duration::from_secs(24 * 3600);

fn after(seconds: u64, nanoseconds: u32) -> SystemTime {
    UNIX_EPOCH + Duration::new(seconds, nanoseconds)
}

async fn put_at(context: &Context, name: &str, mtime: SystemTime) -> ketch_core::Entry {
    let options = PutOptions { mtime: Some(mtime), ..PutOptions::default() };
    context.try_put(name, "content".into(), options).await.expect("stored")
}

async fn check(context: &Context, mtime: SystemTime) {
    let precision = context.claimed().mtime.expect("claimed");
    let returned = put_at(context, "f", mtime).await;
    context.backend().finish().await.expect("flushed");
    let listed = context.list("").await.remove(0);
    let afresh = context.afresh().stat(&super::context::path("f")).await.expect("there");
    for shown in [returned, listed, context.stat("f").await, afresh] {
        let shown = shown.mtime.expect("kept");
        assert!(apart(shown, mtime) < precision, "{mtime:?} is shown as {shown:?}");
    }
}

async fn the_precision_is_a_useful_one(context: &Context) {
    let precision = context.claimed().mtime.expect("claimed");
    assert!(precision > Duration::ZERO && precision <= Duration::from_secs(2), "{precision:?}");
}

async fn a_time_is_kept_as_finely_as_claimed(context: &Context) {
    for mtime in [
        after(1_000_000_000, 0),
        after(1_000_000_000, 123_456_789),
        after(1_700_000_000, 999_999_999),
        after(86_400, 1),
        after((1 << 31) + 5, 500_000_000),
        after(4_102_444_800, 0),
    ] {
        check(context, mtime).await;
    }
}

async fn times_before_1970_are_kept(context: &Context) {
    for before in [Duration::from_secs(1), Duration::new(86_400, 250_000_000)] {
        check(context, UNIX_EPOCH - before).await;
    }
}

async fn an_overwrite_brings_its_own_time(context: &Context) {
    for mtime in [after(1_500_000_000, 0), after(1_400_000_000, 0)] {
        check(context, mtime).await;
    }
    context.put("f", "without a time").await;
    let shown = context.stat("f").await.mtime.expect("kept");
    assert!(apart(shown, SystemTime::now()) < DAY, "without a time it is now, not {shown:?}");
}

async fn a_time_is_set_and_the_content_stays(context: &Context) {
    let precision = context.claimed().mtime.expect("claimed");
    let entry = put_at(context, "d/f", after(1_500_000_000, 0)).await;
    let mtime = after(1_234_567_890, 123_456_789);
    let returned = context.backend().set_mtime(&entry, mtime).await.expect("set");
    assert!(apart(returned.mtime.expect("kept"), mtime) < precision);
    context.check_entry(&returned, "d/f", b"content").await;
    context.expect_file("d/f", b"content").await;
    assert_eq!(context.read(&returned).await, "content", "what is returned can be read");
}

async fn a_folder_has_the_time_that_was_set_until_it_changes(context: &Context) {
    let precision = context.claimed().mtime.expect("claimed");
    put_at(context, "a/b/f", after(1_500_000_000, 0)).await;
    for (name, mtime) in [("a", after(1_234_567_890, 5_000)), ("a/b", after(1_300_000_000, 0))] {
        let folder = context.stat(name).await;
        let returned = context.backend().set_mtime(&folder, mtime).await.expect("set");
        let afresh = context.afresh().stat(&super::context::path(name)).await.expect("there");
        for shown in [returned, context.stat(name).await, afresh] {
            assert!(shown.is_dir());
            assert!(apart(shown.mtime.expect("kept"), mtime) < precision, "{name}: {shown:?}");
        }
    }
    let listed = context.list("a").await.remove(0);
    assert!(apart(listed.mtime.expect("kept"), after(1_300_000_000, 0)) < precision);
    context.expect_file("a/b/f", b"content").await;
    // What it holds sets the time of the folder, and of none above.
    context.put("a/b/g", "more").await;
    let now = context.stat("a/b").await.mtime.expect("kept");
    assert!(apart(now, SystemTime::now()) < DAY, "{now:?}");
    let above = context.stat("a").await.mtime.expect("kept");
    assert!(apart(above, after(1_234_567_890, 5_000)) < precision, "{above:?}");
    let missing = ketch_core::Entry::dir(super::context::path("none"));
    let set = context.backend().set_mtime(&missing, after(1_500_000_000, 0)).await;
    expect_error(set, &[ErrorKind::NotFound]);
    context.expect_nothing("none").await;
}

async fn permissions_beside_the_content_are_kept(context: &Context) {
    let mtime = after(1_500_000_000, 0);
    let options = PutOptions { mode: Some(0o640), mtime: Some(mtime), ..PutOptions::default() };
    let entry = context.try_put("d/f", "content".into(), options).await.expect("stored");
    assert_eq!(entry.mode, Some(0o640));
    let set = context.backend().set_mode(&entry, 0o4711).await.expect("set");
    context.backend().finish().await.expect("flushed");
    let afresh = context.afresh().stat(&super::context::path("d/f")).await.expect("there");
    for shown in [set, context.stat("d/f").await, context.list("d").await.remove(0), afresh] {
        assert_eq!(shown.mode, Some(0o711), "nothing makes it run as another");
        assert_eq!(shown.mtime, entry.mtime);
    }
    context.expect_file("d/f", b"content").await;
}

async fn time_and_permissions_are_set_in_one_call(context: &Context) {
    let entry = put_at(context, "d/f", after(1_500_000_000, 0)).await;
    let mtime = after(1_400_000_000, 0);
    let metadata = Metadata { mtime: Some(mtime), mode: Some(0o640) };
    let set = context.backend().set_metadata(&entry, &metadata).await.expect("set");
    let nothing = context.backend().set_metadata(&set, &Metadata::default()).await.expect("set");
    context.backend().finish().await.expect("stored");
    for shown in [set, nothing, context.stat("d/f").await] {
        assert_eq!((shown.mode, shown.mtime), (Some(0o640), Some(mtime)));
    }
    context.expect_file("d/f", b"content").await;
}

async fn the_time_of_a_missing_file_cannot_be_set(context: &Context) {
    let entry = context.put("f", "1").await;
    context.backend().delete_one(&entry).await.expect("deleted");
    let set = context.backend().set_mtime(&entry, after(1_500_000_000, 0)).await;
    expect_error(set, &[ErrorKind::NotFound]);
    context.expect_nothing("f").await;
}

async fn a_time_that_is_not_kept_is_when_it_was_stored(context: &Context) {
    let returned = put_at(context, "f", after(1_000_000_000, 0)).await;
    let listed = context.list("").await.remove(0);
    for shown in [returned.mtime, listed.mtime, context.stat("f").await.mtime].into_iter().flatten()
    {
        assert!(apart(shown, SystemTime::now()) < DAY, "{shown:?} is not when it was stored");
    }
}
