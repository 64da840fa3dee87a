//! `stat`, and backends opened at other roots of the same place.

use ketch_core::{Backend, EntryKind, ErrorKind, PutOptions, RelPath};

use super::case::{Case, case, folders};
use super::context::{Context, expect_error, names_of, path, try_list, try_read};

pub(super) const CASES: &[Case] = &[
    case!(a_file_shows_its_kind_and_size),
    case!(a_folder_is_a_folder),
    case!(an_empty_folder_is_a_folder, folders),
    case!(a_missing_name_is_not_found),
    case!(below_a_file_nothing_is_found),
    case!(the_root_is_a_folder),
    case!(name_and_location_say_where_it_is),
    case!(a_folder_opened_as_root_shows_the_same_files),
    case!(a_missing_root_is_usable_and_the_first_put_makes_it),
    case!(a_deep_missing_root_is_not_the_root_above_it),
    case!(a_root_that_is_a_file_says_so),
    case!(a_root_below_a_file_is_missing),
];

const NOT_FOUND: &[ErrorKind] = &[ErrorKind::NotFound];

async fn a_file_shows_its_kind_and_size(context: &Context) {
    context.put("d/f", "12345").await;
    let entry = context.stat("d/f").await;
    assert_eq!((entry.kind, entry.size), (EntryKind::File, Some(5)));
    assert_eq!(entry.path.as_str(), "d/f");
}

async fn a_folder_is_a_folder(context: &Context) {
    context.put("d/e/f", "1").await;
    for name in ["d", "d/e"] {
        let entry = context.stat(name).await;
        assert_eq!((entry.kind, entry.size), (EntryKind::Dir, None), "{name}");
        assert_eq!(entry.path.as_str(), name);
    }
}

async fn an_empty_folder_is_a_folder(context: &Context) {
    context.make_dir("d").await;
    assert_eq!(context.stat("d").await.kind, EntryKind::Dir);
}

async fn a_missing_name_is_not_found(context: &Context) {
    context.put("d/f", "1").await;
    for name in ["x", "d/x", "x/y", "x/y/z", "d/F"] {
        expect_error(context.backend().stat(&path(name)).await, NOT_FOUND);
    }
}

async fn below_a_file_nothing_is_found(context: &Context) {
    context.put("f", "1").await;
    for name in ["f/x", "f/x/y"] {
        expect_error(context.backend().stat(&path(name)).await, NOT_FOUND);
    }
}

async fn the_root_is_a_folder(context: &Context) {
    let entry = context.stat("").await;
    assert!(entry.is_dir() && entry.path.is_root());
    context.put("f", "1").await;
    assert!(context.stat("").await.is_dir());
}

async fn name_and_location_say_where_it_is(context: &Context) {
    let (top, same, below) = (context.backend(), context.reopen(""), context.reopen("d/e"));
    assert!(!top.name().is_empty());
    assert_eq!(top.location(), same.location());
    let location = below.location();
    let rest = location.strip_prefix(&top.location()).map(|rest| rest.trim_start_matches('/'));
    assert_eq!(rest, Some("d/e"), "{location:?} is within {:?}", top.location());
    assert_ne!(location, context.reopen("d/e2").location());
    assert_eq!(top.scope(), below.scope());
    assert_eq!(top.capabilities(), below.capabilities());
}

async fn a_folder_opened_as_root_shows_the_same_files(context: &Context) {
    context.put("d/e/f", "12345").await;
    let below = context.reopen("d/e");
    let entry = below.stat(&path("f")).await.expect("there");
    assert_eq!((entry.path.as_str(), entry.size), ("f", Some(5)));
    let listed = try_list(&*below, "").await.expect("listed");
    assert_eq!(names_of(&listed), ["f"]);
    assert_eq!(listed[0].path.as_str(), "f");
    assert_eq!(try_read(&*below, &listed[0], None).await.expect("read"), "12345");
    put(&*below, "g", "67").await;
    context.expect_file("d/e/g", b"67").await;
    below.delete_one(&listed[0]).await.expect("deleted");
    context.expect_nothing("d/e/f").await;
}

async fn a_missing_root_is_usable_and_the_first_put_makes_it(context: &Context) {
    let below = context.reopen("new/deep");
    expect_error(below.stat(&RelPath::root()).await, NOT_FOUND);
    expect_error(below.stat(&path("f")).await, NOT_FOUND);
    expect_error(try_list(&*below, "").await, NOT_FOUND);
    put(&*below, "d/f", "1").await;
    assert!(below.stat(&RelPath::root()).await.expect("there now").is_dir());
    assert_eq!(names_of(&try_list(&*below, "").await.expect("there now")), ["d"]);
    context.expect_file("new/deep/d/f", b"1").await;
}

async fn a_deep_missing_root_is_not_the_root_above_it(context: &Context) {
    context.put("same", "1").await;
    context.put("no/same", "2").await;
    for root in ["no/such", "no/such/deep", "not/at/all"] {
        let below = context.reopen(root);
        expect_error(below.stat(&path("same")).await, NOT_FOUND);
        expect_error(below.stat(&RelPath::root()).await, NOT_FOUND);
        expect_error(try_list(&*below, "").await, NOT_FOUND);
    }
}

async fn a_root_that_is_a_file_says_so(context: &Context) {
    context.put("d/f", "12345").await;
    let file = context.reopen("d/f");
    let entry = file.stat(&RelPath::root()).await.expect("there");
    assert_eq!((entry.kind, entry.size), (EntryKind::File, Some(5)));
    assert!(entry.path.is_root());
    expect_error(try_list(&*file, "").await, NOT_FOUND);
    expect_error(file.stat(&path("x")).await, NOT_FOUND);
}

async fn a_root_below_a_file_is_missing(context: &Context) {
    context.put("f", "1").await;
    let below = context.reopen("f/x");
    expect_error(below.stat(&RelPath::root()).await, NOT_FOUND);
    expect_error(try_list(&*below, "").await, NOT_FOUND);
}

async fn put(backend: &dyn Backend, name: &str, content: &'static str) {
    let body = ketch_core::source::BytesSource::body(content);
    backend.put(&path(name), body, PutOptions::default()).await.expect("stored");
}
