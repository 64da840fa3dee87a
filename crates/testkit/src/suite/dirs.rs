//! Folders of their own.

use futures::future::join_all;
use ketch_core::{EntryKind, ErrorKind, RelPath};

use super::case::{Case, case, folders};
use super::context::{Context, expect_error, names_of, path, try_list};

pub(super) const CASES: &[Case] = &[
    case!(folders_above_are_made, folders),
    case!(a_folder_that_is_there_is_success, folders),
    case!(the_root_is_there_already, folders),
    case!(a_root_that_is_missing_is_made, folders),
    case!(a_file_is_not_replaced_by_a_folder, folders),
    case!(a_folder_that_is_made_again_is_empty, folders),
    case!(many_make_the_same_folder_and_there_is_one, folders),
];

async fn folders_above_are_made(context: &Context) {
    context.make_dir("a/b/c").await;
    for dir in ["a", "a/b", "a/b/c"] {
        assert_eq!(context.stat(dir).await.kind, EntryKind::Dir, "{dir}");
    }
    let afresh = context.afresh();
    assert_eq!(names_of(&try_list(&*afresh, "a/b").await.expect("listed")), ["c"]);
    assert!(try_list(&*afresh, "a/b/c").await.expect("listed").is_empty());
}

async fn a_folder_that_is_there_is_success(context: &Context) {
    context.make_dir("a/b").await;
    context.put("a/b/f", "1").await;
    context.make_dir("a/b").await;
    context.make_dir("a").await;
    let second = context.reopen("");
    second.make_dir(&path("a/b"), None).await.expect("is there");
    assert_eq!(context.names("").await, ["a"]);
    assert_eq!(context.names("a").await, ["b"]);
    context.expect_file("a/b/f", b"1").await;
}

async fn the_root_is_there_already(context: &Context) {
    context.make_dir("").await;
    assert!(context.list("").await.is_empty());
}

async fn a_root_that_is_missing_is_made(context: &Context) {
    let below = context.reopen("new/root");
    below.make_dir(&RelPath::root(), None).await.expect("made");
    assert!(try_list(&*below, "").await.expect("listed").is_empty());
    assert!(context.stat("new/root").await.is_dir());
}

async fn a_file_is_not_replaced_by_a_folder(context: &Context) {
    context.put("f", "file").await;
    expect_error(context.backend().make_dir(&path("f"), None).await, &[ErrorKind::AlreadyExists]);
    for below in ["f/x", "f/x/y"] {
        let made = context.backend().make_dir(&path(below), None).await;
        expect_error(made, &[ErrorKind::AlreadyExists, ErrorKind::InvalidInput]);
    }
    context.expect_file("f", b"file").await;
    assert_eq!(context.names("").await, ["f"]);
}

async fn a_folder_that_is_made_again_is_empty(context: &Context) {
    context.make_dir("d").await;
    context.backend().delete_one(&context.stat("d").await).await.expect("deleted");
    context.make_dir("d").await;
    assert!(context.list("d").await.is_empty());
    context.put("d/f", "1").await;
    context.expect_file("d/f", b"1").await;
}

async fn many_make_the_same_folder_and_there_is_one(context: &Context) {
    let target = path("a/b/c");
    let made = join_all((0..16).map(|_| context.backend().make_dir(&target, None))).await;
    for made in made {
        made.expect("made, or there already");
    }
    for (dir, expected) in [("", "a"), ("a", "b"), ("a/b", "c")] {
        let listed = try_list(&*context.afresh(), dir).await.expect("listed");
        assert_eq!(names_of(&listed), [expected]);
    }
}
