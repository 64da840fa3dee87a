//! Futures dropped at every point where they wait.

use bytes::Bytes;
use ketch_core::source::BytesSource;
use ketch_core::{ListOptions, PutOptions, ReadOptions, RelPath};

use futures::StreamExt;

use super::case::{Case, case, copies, folders, renames};
use super::context::{Context, contents, drop_after, path};

pub(super) const CASES: &[Case] = &[
    case!(looking_can_be_dropped_anywhere),
    case!(a_new_put_dropped_anywhere_is_whole_or_nothing),
    case!(an_overwrite_dropped_anywhere_is_old_or_new),
    case!(a_delete_dropped_anywhere_is_done_or_not),
    case!(a_rename_dropped_anywhere_loses_nothing, renames),
    case!(a_copy_dropped_anywhere_is_whole_or_nothing, copies),
    case!(a_folder_dropped_anywhere_is_there_or_not, folders),
];

/// More waits than any operation has in these cases; the loops end at the first future that is done.
const POLLS_MAX: usize = 400;

/// At each wait there are fewer interesting points the more there are.
fn polls() -> impl Iterator<Item = usize> {
    (0..24).chain((24..POLLS_MAX).step_by(17)).chain([usize::MAX])
}

async fn looking_can_be_dropped_anywhere(context: &Context) {
    let content = context.noise(1, 200_000);
    let entry = context.put("d/f", content.clone()).await;
    let (backend, target) = (context.backend(), path("d/f"));
    for polls in polls() {
        let stat = drop_after(backend.stat(&target), polls).await.transpose().expect("there");
        let listing = backend.list(&RelPath::root(), ListOptions::default()).count();
        let listed = drop_after(listing, polls).await;
        let read = async {
            let stream = backend.read(&entry, ReadOptions::default()).await.expect("opens");
            stream.for_each(|piece| async { drop(piece.expect("read")) }).await;
        };
        let read = drop_after(read, polls).await;
        if stat.is_some() && listed.is_some() && read.is_some() {
            break;
        }
    }
    context.expect_file("d/f", &content).await;
}

async fn put(context: &Context, name: &str, content: &Bytes, polls: usize) -> bool {
    let (target, body) = (path(name), BytesSource::body(content.clone()));
    let put = context.backend().put(&target, body, PutOptions::default());
    drop_after(put, polls).await.transpose().expect("stored").is_some()
}

async fn a_new_put_dropped_anywhere_is_whole_or_nothing(context: &Context) {
    let content = context.noise(1, 100_000);
    for polls in polls() {
        let name = format!("d/f{polls}");
        let is_done = put(context, &name, &content, polls).await;
        let found = contents(&*context.afresh(), &name).await;
        assert!(found.iter().all(|found| *found == content), "dropped after {polls} polls");
        assert!(found.len() == usize::from(is_done) || !is_done, "done after {polls} polls");
        context.put(&name, content.clone()).await;
        if is_done {
            return;
        }
    }
}

async fn an_overwrite_dropped_anywhere_is_old_or_new(context: &Context) {
    let (old, new) = (context.noise(1, 70_000), context.noise(2, 100_000));
    for polls in polls() {
        let name = format!("d/f{polls}");
        context.put(&name, old.clone()).await;
        let is_done = put(context, &name, &new, polls).await;
        if is_done {
            context.expect_file(&name, &new).await;
            return;
        }
        context.expect_one_of(&name, &[&old, &new]).await;
    }
}

async fn a_delete_dropped_anywhere_is_done_or_not(context: &Context) {
    for polls in polls() {
        let name = format!("d/f{polls}");
        let entry = context.put(&name, "content").await;
        let deleted = drop_after(context.backend().delete_one(&entry), polls).await;
        let is_done = deleted.transpose().expect("deleted").is_some();
        let found = contents(&*context.afresh(), &name).await;
        assert!(found.iter().all(|found| *found == "content") && found.len() <= 1);
        if is_done {
            context.expect_nothing(&name).await;
            return;
        }
        context.backend().delete_one(&entry).await.expect("deleted, or gone already");
        context.expect_nothing(&name).await;
    }
}

async fn a_rename_dropped_anywhere_loses_nothing(context: &Context) {
    for polls in polls() {
        let (from, to) = (format!("d/f{polls}"), format!("e/g{polls}"));
        let entry = context.put(&from, "content").await;
        let target = path(&to);
        let moved = drop_after(context.backend().rename(&entry, &target), polls).await;
        let is_done = moved.transpose().expect("moved").is_some();
        let afresh = context.afresh();
        // ORDER: what is still under way moves from the first of these to the last, by one of the names between if the
        // remote needs two calls, so looking in this order cannot miss it.
        let mut found = Vec::new();
        for name in [&from, &format!("d/g{polls}"), &format!("e/f{polls}"), &to] {
            found.extend(contents(&*afresh, name).await);
        }
        assert!(found.contains(&Bytes::from("content")), "lost when dropped after {polls} polls");
        assert!(found.iter().all(|found| *found == "content"));
        if is_done {
            context.expect_nothing(&from).await;
            context.expect_file(&to, b"content").await;
            return;
        }
    }
}

async fn a_copy_dropped_anywhere_is_whole_or_nothing(context: &Context) {
    let content = context.noise(1, 100_000);
    let entry = context.put("f", content.clone()).await;
    for polls in polls() {
        let to = format!("d/g{polls}");
        let target = path(&to);
        let copy = context.backend().copy(&entry, &target, PutOptions::default());
        let is_done = drop_after(copy, polls).await.transpose().expect("copied").is_some();
        let found = contents(&*context.afresh(), &to).await;
        assert!(found.iter().all(|found| *found == content), "dropped after {polls} polls");
        context.expect_file("f", &content).await;
        if is_done {
            context.expect_file(&to, &content).await;
            return;
        }
    }
}

async fn a_folder_dropped_anywhere_is_there_or_not(context: &Context) {
    for polls in polls() {
        let name = format!("a{polls}/b/c");
        let target = path(&name);
        let made = drop_after(context.backend().make_dir(&target, None), polls).await;
        let is_done = made.transpose().expect("made").is_some();
        context.make_dir(&name).await;
        assert_eq!(context.names(&format!("a{polls}")).await, ["b"]);
        assert_eq!(context.names(&format!("a{polls}/b")).await, ["c"]);
        if is_done {
            return;
        }
    }
}
