//! Kinds of errors, and that what is not claimed is refused as such.

use std::time::SystemTime;

use ketch_core::{Capabilities, ErrorKind, PutOptions, Retry};

use super::bodies::Script;
use super::case::{Case, case, copies, empty_bodies, folders, ranges, renames, unsized_bodies};
use super::context::{Context, expect_error, path, try_read};

pub(super) const CASES: &[Case] = &[
    case!(an_empty_body_that_is_not_claimed_is_refused, |claimed| {
        unclaimed(empty_bodies(claimed), "no put_empty")
    }),
    case!(an_unknown_size_that_is_not_claimed_is_refused, |claimed| {
        unclaimed(unsized_bodies(claimed), "no put_unsized")
    }),
    case!(a_range_that_is_not_claimed_is_refused, |claimed| {
        unclaimed(ranges(claimed), "no read_range")
    }),
    case!(a_copy_that_is_not_claimed_is_refused, |claimed| {
        unclaimed(copies(claimed), "no copy")
    }),
    case!(a_rename_that_is_not_claimed_is_refused, |claimed| {
        unclaimed(renames(claimed), "no rename")
    }),
    case!(a_folder_that_is_not_claimed_is_refused, |claimed| {
        unclaimed(folders(claimed), "no dirs")
    }),
    case!(a_time_that_is_not_claimed_is_refused, |claimed: &Capabilities| {
        claimed.set_mtime.then_some("no set_mtime")
    }),
    case!(what_is_missing_is_not_worth_another_attempt),
    case!(usage_is_plausible_or_unsupported),
    case!(capabilities_agree_with_each_other),
    case!(closing_twice_is_fine),
];

const UNSUPPORTED: &[ErrorKind] = &[ErrorKind::Unsupported];

fn unclaimed(missing: Option<&'static str>, what: &'static str) -> Option<&'static str> {
    missing.is_none().then_some(what)
}

async fn an_empty_body_that_is_not_claimed_is_refused(context: &Context) {
    let stored = context.try_put("d/f", "".into(), PutOptions::default()).await;
    expect_error(stored, UNSUPPORTED);
    context.expect_nothing("d/f").await;
    context.put("d/f", "old").await;
    let stored = context.try_put("d/f", "".into(), PutOptions::default()).await;
    expect_error(stored, UNSUPPORTED);
    context.expect_file("d/f", b"old").await;
}

async fn an_unknown_size_that_is_not_claimed_is_refused(context: &Context) {
    let body = Script::new("content").declares(None).body();
    let stored = context.backend().put(&path("f"), body, PutOptions::default()).await;
    expect_error(stored, UNSUPPORTED);
    context.expect_nothing("f").await;
}

async fn a_range_that_is_not_claimed_is_refused(context: &Context) {
    let entry = context.put("f", "content").await;
    expect_error(try_read(&**context.backend(), &entry, Some(1..3)).await, UNSUPPORTED);
}

async fn a_copy_that_is_not_claimed_is_refused(context: &Context) {
    let entry = context.put("f", "content").await;
    let copied = context.backend().copy(&entry, &path("g"), PutOptions::default()).await;
    expect_error(copied, UNSUPPORTED);
    context.expect_nothing("g").await;
}

async fn a_rename_that_is_not_claimed_is_refused(context: &Context) {
    let entry = context.put("f", "content").await;
    expect_error(context.backend().rename(&entry, &path("g")).await, UNSUPPORTED);
    context.expect_file("f", b"content").await;
}

async fn a_folder_that_is_not_claimed_is_refused(context: &Context) {
    expect_error(context.backend().make_dir(&path("d"), None).await, UNSUPPORTED);
}

async fn a_time_that_is_not_claimed_is_refused(context: &Context) {
    let entry = context.put("f", "content").await;
    let set = context.backend().set_mtime(&entry, SystemTime::UNIX_EPOCH).await;
    expect_error(set, UNSUPPORTED);
}

async fn what_is_missing_is_not_worth_another_attempt(context: &Context) {
    let entry = context.put("d/f", "1").await;
    context.backend().delete_one(&entry).await.expect("deleted");
    let stat = context.backend().stat(&path("d/f")).await.map(|_| ());
    let read = try_read(&**context.backend(), &entry, None).await.map(|_| ());
    for result in [stat, read] {
        let error = expect_error(result, &[ErrorKind::NotFound]);
        assert_eq!(error.retry(), Retry::Never);
        assert!(!error.is_fatal());
    }
}

async fn usage_is_plausible_or_unsupported(context: &Context) {
    context.put("f", "content").await;
    match context.backend().usage().await {
        Ok(usage) => {
            let (total, used) = (usage.total.unwrap_or(u64::MAX), usage.used.unwrap_or(0));
            assert!(used <= total && usage.free.unwrap_or(0) <= total, "{usage:?}");
        }
        usage => _ = expect_error(usage, UNSUPPORTED),
    }
}

async fn capabilities_agree_with_each_other(context: &Context) {
    let claimed = context.claimed();
    assert!(!claimed.set_mtime || claimed.mtime.is_some(), "times that are set are kept");
    assert_ne!(claimed.put_max, Some(0));
    assert_ne!(claimed.name_max_bytes, Some(0));
    let mut algos = claimed.hashes.to_vec();
    algos.sort();
    algos.dedup();
    assert_eq!(algos.len(), claimed.hashes.len(), "each digest is claimed once");
    assert_eq!(claimed, context.reopen("").capabilities(), "the same whenever it is asked");
}

async fn closing_twice_is_fine(context: &Context) {
    context.put("f", "content").await;
    for _ in 0..2 {
        context.backend().finish().await.expect("closes");
    }
    let afresh = context.afresh();
    afresh.finish().await.expect("closes unused");
    let afresh = context.afresh();
    assert_eq!(super::context::contents(&*afresh, "f").await, ["content"]);
}
