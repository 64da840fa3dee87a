//! Moves of files and folders within the remote.

use ketch_core::{Entry, ErrorKind};

use super::case::{Case, case, rename_of_folders, renames};
use super::context::{Context, expect_error, path};

pub(super) const CASES: &[Case] = &[
    case!(a_file_moves_to_another_name_and_another_folder, renames),
    case!(names_between_source_and_target_are_left_alone, renames),
    case!(a_file_replaces_the_file_that_is_there, renames),
    case!(a_file_moved_to_where_it_is_stays, renames),
    case!(a_moved_file_is_shown_as_returned, renames),
    case!(a_missing_source_is_not_found, renames),
    case!(a_source_that_was_replaced_is_not_moved, renames),
    case!(a_file_does_not_replace_a_folder, renames),
    case!(a_folder_moves_with_all_that_is_in_it, rename_of_folders),
    case!(an_empty_folder_moves, rename_of_folders),
    case!(a_folder_replaces_nothing, rename_of_folders),
    case!(a_folder_does_not_move_into_itself, rename_of_folders),
    case!(entries_of_one_scope_move_between_roots, renames),
];

async fn rename(context: &Context, from: &str, to: &str) -> Entry {
    let entry = context.stat(from).await;
    let moved = context.backend().rename(&entry, &path(to)).await;
    moved.unwrap_or_else(|error| panic!("rename {from:?} to {to:?}: {error:?}"))
}

async fn a_file_moves_to_another_name_and_another_folder(context: &Context) {
    let content = context.noise(1, 10_000);
    context.put("d/f", content.clone()).await;
    context.fill_dir("there").await;
    let steps = ["d/g", "there/g", "there/h", "d/f", "there/x", "new/deep/y", "a + b & c", "d/F"];
    let mut from = "d/f";
    for to in steps {
        rename(context, from, to).await;
        context.expect_nothing(from).await;
        context.expect_file(to, &content).await;
        from = to;
    }
}

async fn names_between_source_and_target_are_left_alone(context: &Context) {
    for name in ["a/x", "a/y", "b/x"] {
        context.put(name, name.to_owned()).await;
    }
    // Whether the remote renames first or moves first, one of the two names on the way is taken.
    rename(context, "a/x", "b/y").await;
    context.expect_file("b/y", b"a/x").await;
    context.expect_file("a/y", b"a/y").await;
    context.expect_file("b/x", b"b/x").await;
    context.expect_nothing("a/x").await;
}

async fn a_file_replaces_the_file_that_is_there(context: &Context) {
    for (from, to) in [("d/f", "d/g"), ("d/f", "e/f"), ("d/f", "e/h")] {
        context.put(from, "new content").await;
        context.put(to, "old").await;
        rename(context, from, to).await;
        context.expect_nothing(from).await;
        context.expect_file(to, b"new content").await;
    }
    assert_eq!(context.names("e").await, ["f", "h"]);
}

async fn a_file_moved_to_where_it_is_stays(context: &Context) {
    context.put("d/f", "content").await;
    rename(context, "d/f", "d/f").await;
    context.expect_file("d/f", b"content").await;
}

async fn a_moved_file_is_shown_as_returned(context: &Context) {
    context.put("d/f", "content").await;
    let returned = rename(context, "d/f", "e/g").await;
    context.check_entry(&returned, "e/g", b"content").await;
}

async fn a_missing_source_is_not_found(context: &Context) {
    let entry = context.put("f", "1").await;
    context.put("g", "obstacle").await;
    context.backend().delete_one(&entry).await.expect("deleted");
    for to in ["h", "g"] {
        let moved = context.backend().rename(&entry, &path(to)).await;
        expect_error(moved, &[ErrorKind::NotFound]);
    }
    context.expect_file("g", b"obstacle").await;
}

async fn a_source_that_was_replaced_is_not_moved(context: &Context) {
    let old = context.put("f", "old").await;
    context.put("f", "the new one").await;
    let moved = context.backend().rename(&old, &path("g")).await;
    if old.version.is_some() || context.claimed().duplicates {
        expect_error(moved, &[ErrorKind::Changed, ErrorKind::NotFound]);
        context.expect_file("f", b"the new one").await;
        context.expect_nothing("g").await;
    } else {
        context.skip("neither versions nor identities: such a remote cannot tell");
    }
}

const OBSTACLE: &[ErrorKind] =
    &[ErrorKind::AlreadyExists, ErrorKind::InvalidInput, ErrorKind::Changed];

async fn a_file_does_not_replace_a_folder(context: &Context) {
    let entry = context.put("f", "1").await;
    context.fill_dir("d").await;
    expect_error(context.backend().rename(&entry, &path("d")).await, OBSTACLE);
    context.expect_file("d/inside", b"inside").await;
    context.expect_file("f", b"1").await;
}

async fn a_folder_moves_with_all_that_is_in_it(context: &Context) {
    context.put("d/a", "1").await;
    context.put("d/e/b", "2").await;
    context.fill_dir("there").await;
    let mut from = "d";
    for to in ["d2", "there/d2", "there/d3", "new/deep/d4", "d"] {
        let moved = rename(context, from, to).await;
        assert!(moved.is_dir() && moved.path.as_str() == to, "{moved:?}");
        context.expect_nothing(from).await;
        context.expect_file(&format!("{to}/a"), b"1").await;
        context.expect_file(&format!("{to}/e/b"), b"2").await;
        from = to;
    }
}

async fn an_empty_folder_moves(context: &Context) {
    context.make_dir("d").await;
    rename(context, "d", "e/f").await;
    context.expect_nothing("d").await;
    assert!(context.list("e/f").await.is_empty());
}

async fn a_folder_replaces_nothing(context: &Context) {
    context.put("d/a", "1").await;
    context.fill_dir("full").await;
    context.make_dir("empty").await;
    context.put("file", "2").await;
    let entry = context.stat("d").await;
    for to in ["full", "empty", "file"] {
        expect_error(context.backend().rename(&entry, &path(to)).await, OBSTACLE);
        context.expect_file("d/a", b"1").await;
    }
    context.expect_file("full/inside", b"inside").await;
    context.expect_file("file", b"2").await;
    assert_eq!(context.names("full").await, ["inside"]);
}

async fn a_folder_does_not_move_into_itself(context: &Context) {
    context.put("d/e/a", "1").await;
    let entry = context.stat("d").await;
    for to in ["d/x", "d/e/x"] {
        let moved = context.backend().rename(&entry, &path(to)).await;
        expect_error(moved, &[ErrorKind::InvalidInput]);
        context.expect_file("d/e/a", b"1").await;
    }
}

async fn entries_of_one_scope_move_between_roots(context: &Context) {
    if context.backend().scope().is_none() {
        context.skip("not claimed: scope");
        return;
    }
    context.put("one/d/f", "content").await;
    let (one, two) = (context.reopen("one"), context.reopen("two"));
    let entry = one.stat(&path("d/f")).await.expect("there");
    two.rename(&entry, &path("e/g")).await.expect("moved");
    let afresh = context.afresh();
    assert_eq!(super::context::contents(&*afresh, "two/e/g").await, ["content"]);
    assert!(super::context::contents(&*afresh, "one/d/f").await.is_empty());
}
