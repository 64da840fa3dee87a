//! Copies that the remote makes itself.

use std::time::{Duration, UNIX_EPOCH};

use ketch_core::{ErrorKind, Expect, PutOptions};

use super::case::{Case, case, copies, copies_with_times};
use super::context::{Context, apart, expect_error, path};

pub(super) const CASES: &[Case] = &[
    case!(a_copy_holds_the_content_and_the_source_stays, copies),
    case!(a_copy_replaces_what_is_there, copies),
    case!(a_copy_over_a_listed_entry_replaces_it, copies),
    case!(a_copy_and_its_source_change_apart, copies),
    case!(a_copy_is_shown_as_returned, copies),
    case!(a_copy_has_the_time_that_was_given, copies_with_times),
    case!(a_missing_source_is_not_found, copies),
    case!(a_source_that_was_replaced_is_not_copied_as_the_old_one, copies),
    case!(a_folder_is_not_replaced_by_a_copy, copies),
    case!(entries_of_one_scope_are_copied_between_roots, copies),
];

async fn copy(context: &Context, from: &str, to: &str) -> ketch_core::Entry {
    let entry = context.stat(from).await;
    let copied = context.backend().copy(&entry, &path(to), PutOptions::default()).await;
    copied.unwrap_or_else(|error| panic!("copy {from:?} to {to:?}: {error:?}"))
}

async fn a_copy_holds_the_content_and_the_source_stays(context: &Context) {
    let content = context.noise(1, 100_000);
    context.put("d/f", content.clone()).await;
    context.fill_dir("there").await;
    for to in ["d/g", "there/f", "there/g", "new/deep/f", "a + b", "d/f (copy) & more"] {
        copy(context, "d/f", to).await;
        context.expect_file(to, &content).await;
        context.expect_file("d/f", &content).await;
    }
}

async fn a_copy_replaces_what_is_there(context: &Context) {
    context.put("d/f", "new content").await;
    context.put("e/f", "old").await;
    context.put("d/g", "old too").await;
    for to in ["e/f", "d/g"] {
        copy(context, "d/f", to).await;
        context.expect_file(to, b"new content").await;
    }
    assert_eq!(context.names("d").await, ["f", "g"]);
}

async fn a_copy_over_a_listed_entry_replaces_it(context: &Context) {
    let from = context.put("f", "new content").await;
    let old = context.put("g", "old").await;
    let options = PutOptions { expect: Expect::Entry(Box::new(old)), ..PutOptions::default() };
    context.backend().copy(&from, &path("g"), options).await.expect("copied");
    context.expect_file("g", b"new content").await;
}

async fn a_copy_and_its_source_change_apart(context: &Context) {
    context.put("f", "one").await;
    copy(context, "f", "g").await;
    context.put("g", "another").await;
    context.expect_file("f", b"one").await;
    copy(context, "f", "h").await;
    context.backend().delete_one(&context.stat("f").await).await.expect("deleted");
    context.expect_file("h", b"one").await;
}

async fn a_copy_is_shown_as_returned(context: &Context) {
    context.put("d/f", "content").await;
    let returned = copy(context, "d/f", "e/g").await;
    context.check_entry(&returned, "e/g", b"content").await;
}

async fn a_copy_has_the_time_that_was_given(context: &Context) {
    let precision = context.claimed().mtime.expect("claimed");
    let from = context.put("f", "1").await;
    let mtime = UNIX_EPOCH + Duration::new(1_000_000_000, 123_456_789);
    let options = PutOptions { mtime: Some(mtime), ..PutOptions::default() };
    let copied = context.backend().copy(&from, &path("g"), options).await.expect("copied");
    for shown in [copied, context.stat("g").await] {
        assert!(apart(shown.mtime.expect("kept"), mtime) < precision, "{:?}", shown.mtime);
    }
}

async fn a_missing_source_is_not_found(context: &Context) {
    let entry = context.put("f", "1").await;
    context.backend().delete_one(&entry).await.expect("deleted");
    let copied = context.backend().copy(&entry, &path("g"), PutOptions::default()).await;
    expect_error(copied, &[ErrorKind::NotFound]);
    context.expect_nothing("g").await;
}

async fn a_source_that_was_replaced_is_not_copied_as_the_old_one(context: &Context) {
    let old = context.put("f", "old").await;
    context.put("f", "the new one").await;
    let copied = context.backend().copy(&old, &path("g"), PutOptions::default()).await;
    if old.version.is_some() || context.claimed().duplicates {
        expect_error(copied, &[ErrorKind::Changed, ErrorKind::NotFound]);
        context.expect_nothing("g").await;
    } else {
        context.skip("neither versions nor identities: such a remote cannot tell");
    }
}

async fn a_folder_is_not_replaced_by_a_copy(context: &Context) {
    let from = context.put("f", "1").await;
    context.fill_dir("d").await;
    let copied = context.backend().copy(&from, &path("d"), PutOptions::default()).await;
    expect_error(copied, &[ErrorKind::AlreadyExists, ErrorKind::InvalidInput, ErrorKind::Changed]);
    context.expect_file("d/inside", b"inside").await;
}

async fn entries_of_one_scope_are_copied_between_roots(context: &Context) {
    if context.backend().scope().is_none() {
        context.skip("not claimed: scope");
        return;
    }
    context.put("one/d/f", "content").await;
    let (one, two) = (context.reopen("one"), context.reopen("two"));
    let entry = one.stat(&path("d/f")).await.expect("there");
    two.copy(&entry, &path("e/f"), PutOptions::default()).await.expect("copied");
    context.expect_file("two/e/f", b"content").await;
    context.expect_file("one/d/f", b"content").await;
}
