//! Symbolic links: kept as what they are, byte for byte, or refused.

use std::time::{Duration, UNIX_EPOCH};

use ketch_core::{Entry, EntryKind, ErrorKind, Expect, PutOptions, Result};

use super::case::{Case, case, links};
use super::context::{Context, expect_error};

pub(super) const CASES: &[Case] = &[
    case!(a_link_comes_back_as_it_was, links),
    case!(a_link_and_a_file_replace_each_other, links),
    case!(a_link_that_is_not_expected_is_left_alone, links),
    case!(a_link_is_deleted_and_what_it_points_to_stays, links),
    case!(a_link_is_refused_where_none_are_kept, |claimed| { claimed.links.then_some("no links") }),
];

/// As long as a path can be, and as a name on a disk may be that is not UTF-8.
const TARGETS: [&[u8]; 4] = [b"f", b"../else where/\n", b"/nowhere/at all", b"caf\xe9"];

async fn put_link(context: &Context, name: &str, target: &[u8], expect: Expect) -> Result<Entry> {
    let mtime = Some(UNIX_EPOCH + Duration::new(1_500_000_000, 5));
    let options = PutOptions { is_link: true, mtime, expect, ..PutOptions::default() };
    context.try_put(name, target.to_vec().into(), options).await
}

/// What is there under that name is this link, in every view.
async fn check_link(context: &Context, name: &str, returned: &Entry, target: &[u8]) {
    let parent = super::context::path(name).parent().expect("not the root");
    let listed = context.list(parent.as_str()).await;
    let listed: Vec<_> = listed.iter().filter(|entry| entry.path.as_str() == name).collect();
    assert_eq!(listed.len(), 1, "{name:?} is listed once");
    let afresh = context.afresh().stat(&super::context::path(name)).await.expect("there");
    for entry in [returned, listed[0], &context.stat(name).await, &afresh] {
        assert_eq!((entry.kind, entry.size), (EntryKind::Link, Some(target.len() as u64)));
        assert_eq!(context.read(entry).await, target, "{name:?}");
        if context.claimed().mtime.is_some() {
            assert_eq!(entry.mtime, returned.mtime, "{name:?}");
        }
    }
}

async fn a_link_comes_back_as_it_was(context: &Context) {
    for (number, target) in TARGETS.into_iter().enumerate() {
        let name = format!("d/link{number}");
        let made = put_link(context, &name, target, Expect::Absent).await.expect("stored");
        check_link(context, &name, &made, target).await;
    }
    let range = Some(1..3);
    let entry = context.stat("d/link2").await;
    let part = super::context::try_read(&**context.backend(), &entry, range).await;
    assert_eq!(part.expect("read"), TARGETS[2][1..3]);
}

async fn a_link_and_a_file_replace_each_other(context: &Context) {
    let file = context.put("x", "content").await;
    let over = Expect::Entry(Box::new(file));
    let link = put_link(context, "x", b"first", over).await.expect("stored");
    check_link(context, "x", &link, b"first").await;
    let over = Expect::Entry(Box::new(link));
    let link = put_link(context, "x", b"second", over).await.expect("stored");
    check_link(context, "x", &link, b"second").await;
    let options = PutOptions { expect: Expect::Entry(Box::new(link)), ..PutOptions::default() };
    let file = context.try_put("x", "content".into(), options).await.expect("stored");
    context.check_entry(&file, "x", b"content").await;
    context.expect_file("x", b"content").await;
}

async fn a_link_that_is_not_expected_is_left_alone(context: &Context) {
    let link = put_link(context, "x", b"first", Expect::Absent).await.expect("stored");
    let again = put_link(context, "x", b"second", Expect::Absent).await;
    expect_error(again, &[ErrorKind::Changed]);
    check_link(context, "x", &link, b"first").await;
}

async fn a_link_is_deleted_and_what_it_points_to_stays(context: &Context) {
    context.put("f", "content").await;
    let link = put_link(context, "x", b"f", Expect::Absent).await.expect("stored");
    context.backend().delete_one(&link).await.expect("deleted");
    context.expect_nothing("x").await;
    context.expect_file("f", b"content").await;
    context.backend().delete_one(&link).await.expect("gone already");
}

async fn a_link_is_refused_where_none_are_kept(context: &Context) {
    let put = put_link(context, "x", b"f", Expect::Absent).await;
    expect_error(put, &[ErrorKind::Unsupported]);
    context.expect_nothing("x").await;
}
