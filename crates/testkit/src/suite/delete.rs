//! `delete`: a file or an empty folder, and only what was seen.

use ketch_core::{EntryKind, ErrorKind};

use super::case::{Case, case, duplicates, folders};
use super::context::{Context, contents, expect_error, try_list};

pub(super) const CASES: &[Case] = &[
    case!(a_file_that_is_deleted_is_gone_and_others_stay),
    case!(what_is_gone_already_is_success),
    case!(an_empty_folder_is_deleted, folders),
    case!(a_missing_folder_is_success, folders),
    case!(a_folder_that_is_not_empty_is_refused_and_keeps_all),
    case!(a_file_that_was_replaced_is_not_deleted),
    case!(one_of_two_duplicates_is_deleted, duplicates),
    case!(several_are_deleted_in_one_call_with_one_result_each),
    case!(a_folder_goes_in_one_call_after_what_is_in_it, folders),
];

async fn a_file_that_is_deleted_is_gone_and_others_stay(context: &Context) {
    for name in ["d/a", "d/b", "a"] {
        context.put(name, name.to_owned()).await;
    }
    let listed = context.list("d").await;
    let entry = listed.iter().find(|entry| entry.path.as_str() == "d/a").expect("listed");
    context.backend().delete_one(entry).await.expect("deleted");
    context.expect_nothing("d/a").await;
    context.expect_file("d/b", b"d/b").await;
    context.expect_file("a", b"a").await;
}

async fn what_is_gone_already_is_success(context: &Context) {
    let entry = context.put("d/e/f", "1").await;
    for _ in 0..3 {
        context.backend().delete_one(&entry).await.expect("deleted, or gone already");
    }
    context.expect_nothing("d/e/f").await;
    context.afresh().delete_one(&entry).await.expect("gone already");
}

async fn an_empty_folder_is_deleted(context: &Context) {
    context.make_dir("d/e").await;
    context.put("d/e/f", "1").await;
    context.backend().delete_one(&context.stat("d/e/f").await).await.expect("deleted");
    let folder = context.stat("d/e").await;
    assert_eq!(folder.kind, EntryKind::Dir, "a folder outlives its last file");
    context.backend().delete_one(&folder).await.expect("deleted");
    context.expect_nothing("d/e").await;
    assert_eq!(context.names("").await, ["d"]);
}

async fn a_missing_folder_is_success(context: &Context) {
    context.make_dir("d").await;
    let folder = context.stat("d").await;
    for _ in 0..2 {
        context.backend().delete_one(&folder).await.expect("deleted, or gone already");
    }
    context.expect_nothing("d").await;
}

async fn a_folder_that_is_not_empty_is_refused_and_keeps_all(context: &Context) {
    context.put("d/e/f", "1").await;
    context.put("d/g", "2").await;
    for name in ["d", "d/e"] {
        let folder = context.stat(name).await;
        expect_error(context.backend().delete_one(&folder).await, &[ErrorKind::InvalidInput]);
    }
    context.expect_file("d/e/f", b"1").await;
    context.expect_file("d/g", b"2").await;
}

async fn a_file_that_was_replaced_is_not_deleted(context: &Context) {
    let old = context.put("d/f", "old").await;
    context.put("d/f", "the new one").await;
    let deleted = context.backend().delete_one(&old).await;
    if context.tells_versions(&old) || deleted.is_err() {
        expect_error(deleted, &[ErrorKind::Changed]);
    } else if !context.claimed().duplicates {
        context.skip("neither versions nor identities: such a remote cannot tell");
        return;
    }
    context.expect_file("d/f", b"the new one").await;
}

async fn one_of_two_duplicates_is_deleted(context: &Context) {
    context.put("d/f", "one").await;
    context.duplicate("d/f", b"second").await;
    let backend = context.afresh();
    let listed = try_list(&*backend, "d").await.expect("listed");
    let second = listed.iter().find(|entry| entry.size == Some(6)).expect("listed");
    backend.delete_one(second).await.expect("deleted");
    assert_eq!(contents(&*backend, "d/f").await, ["one"]);
}

async fn several_are_deleted_in_one_call_with_one_result_each(context: &Context) {
    for name in ["d/a", "d/b", "d/c", "e/f"] {
        context.put(name, name.to_owned()).await;
    }
    let mut entries = Vec::new();
    for name in ["d/a", "e", "d/b", "d/a"] {
        entries.push(context.stat(name).await);
    }
    let mut results = context.backend().delete(&entries).await;
    assert_eq!(results.len(), entries.len(), "one result for each: {results:?}");
    expect_error(results.remove(1), &[ErrorKind::InvalidInput]);
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    for name in ["d/a", "d/b"] {
        context.expect_nothing(name).await;
    }
    for name in ["d/c", "e/f"] {
        context.expect_file(name, name.as_bytes()).await;
    }
    assert!(context.backend().delete(&[]).await.is_empty(), "nothing is asked, nothing is said");
}

async fn a_folder_goes_in_one_call_after_what_is_in_it(context: &Context) {
    for name in ["d/e/a", "d/e/b", "d/c"] {
        context.put(name, "1").await;
    }
    let mut entries = context.list("d/e").await;
    entries.push(context.stat("d/e").await);
    let results = context.backend().delete(&entries).await;
    assert!(results.len() == 3 && results.iter().all(Result::is_ok), "{results:?}");
    context.expect_nothing("d/e").await;
    context.expect_file("d/c", b"1").await;
}
