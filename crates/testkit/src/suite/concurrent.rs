//! Many at the same time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::StreamExt;
use futures::future::join_all;
use ketch_core::source::BytesSource;
use ketch_core::{ErrorKind, Expect, PutOptions};

use super::case::{Case, case};
use super::context::{Context, contents, names_of, path, try_list, try_read};

pub(super) const CASES: &[Case] = &[
    case!(many_writers_of_different_files_all_succeed),
    case!(many_writers_into_new_folders_make_each_folder_once),
    case!(of_many_writers_to_one_name_one_whole_content_survives),
    case!(many_delete_the_same_file),
    case!(a_listing_among_changes_has_all_that_did_not_change),
    case!(two_backends_of_one_place_see_each_others_work),
];

/// Runs `work` as tasks of their own, so that they run on several threads.
async fn at_once<T: Send + 'static>(work: Vec<impl Future<Output = T> + Send + 'static>) -> Vec<T> {
    let tasks = join_all(work.into_iter().map(tokio::spawn)).await;
    tasks.into_iter().map(|task| task.expect("no panic")).collect()
}

async fn many_writers_of_different_files_all_succeed(context: &Context) {
    let content = |number: u64| context.noise(number, 1_000 * (number as usize % 7 + 1));
    let writers = (0..64).map(|number| {
        let (backend, body) = (Arc::clone(context.backend()), BytesSource::body(content(number)));
        async move { backend.put(&path(&format!("d/f{number}")), body, PutOptions::default()).await }
    });
    for stored in at_once(writers.collect()).await {
        stored.expect("stored");
    }
    assert_eq!(context.list("d").await.len(), 64);
    let files = (0..64).map(|number| async move {
        context.expect_file(&format!("d/f{number}"), &content(number)).await;
    });
    futures::stream::iter(files).buffer_unordered(8).collect::<Vec<()>>().await;
}

async fn many_writers_into_new_folders_make_each_folder_once(context: &Context) {
    let writers = (0..24).map(|number| {
        let backend = Arc::clone(context.backend());
        let options = PutOptions { expect: Expect::Absent, ..PutOptions::default() };
        let name = format!("a/b{}/c/f{number}", number % 3);
        async move { backend.put(&path(&name), BytesSource::body("content"), options).await }
    });
    for stored in at_once(writers.collect()).await {
        stored.expect("stored");
    }
    let afresh = context.afresh();
    let listed = async |dir: &str| names_of(&try_list(&*afresh, dir).await.expect("listed"));
    assert_eq!(listed("").await, ["a"]);
    assert_eq!(listed("a").await, ["b0", "b1", "b2"]);
    for number in 0..3 {
        assert_eq!(listed(&format!("a/b{number}")).await, ["c"]);
        assert_eq!(listed(&format!("a/b{number}/c")).await.len(), 8);
    }
}

async fn of_many_writers_to_one_name_one_whole_content_survives(context: &Context) {
    let wholes: Vec<_> =
        (0..16).map(|number| context.noise(number, 20_000 + number as usize * 1_000)).collect();
    let writers = wholes.iter().cloned().map(|content| {
        let backend = Arc::clone(context.backend());
        let body = BytesSource::body(content);
        async move { backend.put(&path("d/f"), body, PutOptions::default()).await }
    });
    let stored = at_once(writers.collect()).await;
    let mut done = 0;
    for stored in stored {
        match stored {
            Ok(_) => done += 1,
            Err(error) => assert_eq!(error.kind(), ErrorKind::Changed, "{error:?}"),
        }
    }
    assert!(done > 0, "one of them succeeds");
    let found = context.contents("d/f").await;
    assert_eq!(found.len(), 1, "one entry is left");
    assert!(wholes.contains(&found[0]), "and it is whole");
    assert_eq!(context.names("d").await, ["f"]);
}

async fn many_delete_the_same_file(context: &Context) {
    let entry = context.put("d/f", "content").await;
    context.put("d/g", "stays").await;
    let deletes = (0..16).map(|_| {
        let (backend, entry) = (Arc::clone(context.backend()), entry.clone());
        async move { backend.delete_one(&entry).await }
    });
    for deleted in at_once(deletes.collect()).await {
        deleted.expect("deleted, or gone already");
    }
    context.expect_nothing("d/f").await;
    context.expect_file("d/g", b"stays").await;
}

async fn a_listing_among_changes_has_all_that_did_not_change(context: &Context) {
    let still: Vec<String> = (0..40).map(|number| format!("still{number:02}")).collect();
    for name in &still {
        context.put_new(&format!("d/{name}"), "content").await;
    }
    let is_done = AtomicBool::new(false);
    let change = async {
        for number in 0..30 {
            let entry = context.put_new(&format!("d/moving{number}"), "content").await;
            if number % 3 != 0 {
                context.backend().delete_one(&entry).await.expect("deleted");
            }
        }
        is_done.store(true, Ordering::Relaxed);
    };
    let look = async {
        while !is_done.load(Ordering::Relaxed) {
            let mut names = context.names("d").await;
            names.retain(|name| name.starts_with("still"));
            assert_eq!(names, still, "each once");
            tokio::task::yield_now().await;
        }
    };
    futures::join!(change, look);
    assert_eq!(context.list("d").await.len(), still.len() + 10);
}

async fn two_backends_of_one_place_see_each_others_work(context: &Context) {
    let other = context.reopen("");
    context.put("d/f", "by the first").await;
    let entry = other.stat(&path("d/f")).await.expect("there");
    assert_eq!(try_read(&*other, &entry, None).await.expect("read"), "by the first");
    other
        .put(&path("d/g"), BytesSource::body("by the second"), PutOptions::default())
        .await
        .expect("stored");
    assert_eq!(contents(&**context.backend(), "d/g").await, ["by the second"]);
    other.delete_one(&entry).await.expect("deleted");
    context.expect_nothing("d/f").await;
}
