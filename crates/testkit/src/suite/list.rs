//! `list`: complete, direct children only, or an error.

use std::collections::BTreeSet;

use futures::StreamExt;
use ketch_core::{Capabilities, Entry, ErrorKind, ListOptions, RelPath, Result};

use super::case::{Case, case, duplicates, folders, key_order, recursive_listings};
use super::context::{Context, expect_error, inspected, try_list};

pub(super) const CASES: &[Case] = &[
    case!(an_empty_root_lists_nothing),
    case!(entries_are_the_direct_children),
    case!(an_empty_folder_is_listed, folders),
    case!(many_entries_are_all_listed_once),
    case!(the_order_is_that_of_keys, key_order),
    case!(a_missing_folder_is_not_found),
    case!(a_file_cannot_be_listed),
    case!(duplicates_are_all_shown, duplicates),
    case!(a_listing_that_is_dropped_harms_nothing),
    case!(a_listing_ends_and_stays_ended),
    case!(everything_below_a_folder_is_listed_at_once_in_key_order, recursive_listings),
    case!(a_listing_of_everything_can_begin_behind_any_key, recursive_listings),
    case!(a_missing_folder_has_no_listing_of_everything, recursive_listings),
    case!(without_the_claim_nothing_lists_everything, |claimed: &Capabilities| {
        claimed.list_recursive.then_some("no list_recursive")
    }),
];

/// More than one page of any service that pages by the thousand.
const MANY: usize = 1_100;

async fn an_empty_root_lists_nothing(context: &Context) {
    assert!(context.list("").await.is_empty());
}

async fn entries_are_the_direct_children(context: &Context) {
    for name in ["a", "d/b", "d/e/c", "d/e/c2", "d.x/y"] {
        context.put(name, name.to_owned()).await;
    }
    let show = |entries: Vec<Entry>| -> BTreeSet<String> {
        let line = |entry: &Entry| format!("{} {:?} {:?}", entry.path, entry.kind, entry.size);
        entries.iter().map(line).collect()
    };
    let check = async |dir: &str, expected: &[&str]| {
        let expected: BTreeSet<String> = expected.iter().map(|line| (*line).to_owned()).collect();
        assert_eq!(show(context.list(dir).await), expected);
        assert_eq!(show(try_list(&*context.afresh(), dir).await.expect("listed")), expected);
    };
    check("", &["a File Some(1)", "d Dir None", "d.x Dir None"]).await;
    check("d", &["d/b File Some(3)", "d/e Dir None"]).await;
    check("d/e", &["d/e/c File Some(5)", "d/e/c2 File Some(6)"]).await;
}

async fn an_empty_folder_is_listed(context: &Context) {
    context.make_dir("d/e").await;
    assert_eq!(context.names("").await, ["d"]);
    assert_eq!(context.names("d").await, ["e"]);
    assert!(context.list("d/e").await.is_empty());
}

async fn many_entries_are_all_listed_once(context: &Context) {
    let names: Vec<String> = (0..MANY).map(|number| format!("f{number:04}")).collect();
    let puts = names.iter().map(|name| async move {
        context.put_new(&format!("d/{name}"), name.clone()).await;
    });
    futures::stream::iter(puts).buffer_unordered(16).collect::<Vec<()>>().await;
    assert_eq!(context.names("d").await, names);
    let afresh = try_list(&*context.afresh(), "d").await.expect("listed");
    assert_eq!(super::context::names_of(&afresh), names);
    let content = context.read(&context.stat("d/f0777").await).await;
    assert_eq!(content, "f0777");
}

async fn the_order_is_that_of_keys(context: &Context) {
    for name in
        ["a/x", "a.txt", "a0", "a-", "a!", "B", "b", "é", "e", "~", "A/x", "a b/x", "😀", "ﬀ"]
    {
        context.put(name, "1").await;
    }
    let listed = context.list("").await;
    let mut sorted = listed.clone();
    sorted.sort_by(Entry::compare_key);
    let paths = |entries: &[Entry]| entries.iter().map(|e| e.path.clone()).collect::<Vec<_>>();
    assert_eq!(paths(&listed), paths(&sorted));
}

async fn a_missing_folder_is_not_found(context: &Context) {
    context.put("d/f", "1").await;
    for dir in ["x", "d/x", "x/y/z"] {
        expect_error(try_list(&**context.backend(), dir).await, &[ErrorKind::NotFound]);
    }
}

async fn a_file_cannot_be_listed(context: &Context) {
    context.put("d/f", "1").await;
    for dir in ["d/f", "d/f/x"] {
        expect_error(try_list(&**context.backend(), dir).await, &[ErrorKind::NotFound]);
    }
}

async fn duplicates_are_all_shown(context: &Context) {
    context.put("d/f", "one").await;
    context.duplicate("d/f", b"second").await;
    let backend = context.afresh();
    let listed = try_list(&*backend, "d").await.expect("listed");
    assert_eq!(names_of_all(&listed), ["f", "f"]);
    let contents = super::context::contents(&*backend, "d/f").await;
    assert_eq!(contents, ["one", "second"], "each entry reads as itself");
}

fn names_of_all(entries: &[Entry]) -> Vec<&str> {
    entries.iter().filter_map(|entry| entry.path.name()).collect()
}

async fn a_listing_that_is_dropped_harms_nothing(context: &Context) {
    for name in ["a", "b", "c"] {
        context.put(name, "1").await;
    }
    let mut listing = context.backend().list(&RelPath::root(), ListOptions::default());
    listing.next().await.expect("an entry").expect("listed");
    drop(listing);
    drop(context.backend().list(&RelPath::root(), ListOptions::default()));
    assert_eq!(context.names("").await, ["a", "b", "c"]);
}

async fn a_listing_ends_and_stays_ended(context: &Context) {
    context.put("a", "1").await;
    let mut listing = context.backend().list(&RelPath::root(), ListOptions::default());
    while listing.next().await.transpose().expect("listed").is_some() {}
    let mut missing =
        context.backend().list(&super::context::path("missing"), ListOptions::default());
    assert!(missing.next().await.expect("an error").is_err());
    assert!(missing.next().await.is_none(), "after an error a listing has ended");
}

async fn list_all(
    context: &Context,
    dir: &str,
    after: Option<(RelPath, bool)>,
) -> Result<Vec<Entry>> {
    let options = ListOptions { recursive: true, after, ..ListOptions::default() };
    let dir = super::context::path(dir);
    futures::TryStreamExt::try_collect(context.backend().list(&dir, options)).await
}

/// Names on both sides of what a folder's key is.
const DEEP: [&str; 9] = ["a", "a-b/x", "a.b", "b/a/x", "b/a-x", "b/c/d/e", "b.c/f", "c/g", "c0"];

async fn fill_deep(context: &Context) {
    for name in DEEP {
        context.put_new(name, name.to_owned()).await;
    }
}

async fn everything_below_a_folder_is_listed_at_once_in_key_order(context: &Context) {
    fill_deep(context).await;
    for dir in ["", "b", "b/c"] {
        let listed = list_all(context, dir, None).await.expect("listed");
        assert!(listed.windows(2).all(|pair| pair[0].compare_key(&pair[1]).is_le()), "{listed:?}");
        let is_in = |name: &&str| {
            dir.is_empty() || name.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/'))
        };
        let mut expected: Vec<&str> = DEEP.into_iter().filter(is_in).collect();
        let mut files: Vec<&str> = listed
            .iter()
            .filter(|entry| entry.is_file())
            .map(|entry| entry.path.as_str())
            .collect();
        expected.sort_unstable();
        files.sort_unstable();
        assert_eq!(files, expected, "{dir:?}");
        let listed = inspected(&**context.backend(), listed).await.expect("still there");
        for entry in listed.iter().filter(|entry| entry.is_file()) {
            assert_eq!(*entry, context.stat(entry.path.as_str()).await, "as stat shows it");
        }
    }
}

async fn a_listing_of_everything_can_begin_behind_any_key(context: &Context) {
    fill_deep(context).await;
    let all = list_all(context, "", None).await.expect("listed");
    for (number, entry) in all.iter().enumerate() {
        let after = Some((entry.path.clone(), entry.is_dir()));
        let rest = list_all(context, "", after).await.expect("listed");
        assert_eq!(rest, all[number + 1..], "behind {}", entry.path);
    }
}

async fn a_missing_folder_has_no_listing_of_everything(context: &Context) {
    fill_deep(context).await;
    expect_error(list_all(context, "b/none", None).await, &[ErrorKind::NotFound]);
}

async fn without_the_claim_nothing_lists_everything(context: &Context) {
    fill_deep(context).await;
    if let Ok(listed) = list_all(context, "", None).await {
        // What does not know of it lists the folder: that can be told apart, and is never taken for everything.
        assert!(listed.iter().all(|entry| !entry.path.as_str().contains('/')), "{listed:?}");
    }
}
