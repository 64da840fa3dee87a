//! Interrupted puts: which part stays, how it is continued, and that wrong bytes are never used.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use ketch_core::source::{collect, open_all};
use ketch_core::{
    Body, ByteStream, Capabilities, Checkpoint, Error, ErrorKind, Note, PutOptions, Result, Source,
};
use tokio::sync::Notify;

use super::Harm;
use super::bodies::{SOURCE_ERROR, Script};
use super::case::{Case, case, resumes};
use super::context::{Context, expect_error, path};

pub(super) const CASES: &[Case] = &[
    case!(an_interrupted_put_is_gone_on_with_and_not_asked_for_again, resumes),
    case!(a_dropped_put_keeps_what_it_had, resumes),
    case!(a_put_that_is_interrupted_twice_keeps_what_both_had, resumes),
    case!(another_version_of_the_source_is_not_gone_on_with, resumes),
    case!(another_job_is_not_gone_on_with, resumes),
    case!(content_that_was_changed_is_not_believed, resumes),
    case!(a_torn_record_is_not_believed, resumes),
    case!(an_abandoned_put_leaves_nothing, resumes),
    case!(a_put_that_nobody_will_go_on_with_leaves_nothing, resumes),
    case!(without_the_claim_nothing_is_kept, |claimed: &Capabilities| {
        claimed.put_resume.then_some("no put_resume")
    }),
];

const JOB: u32 = 0x5eed;

/// A note of a job whose processes keep nothing but what the backend itself keeps.
#[derive(Debug)]
struct NoNote;

#[async_trait]
impl Note for NoNote {
    async fn load(&self) -> Result<Option<Bytes>> {
        Ok(None)
    }

    async fn save(&self, _note: Bytes) -> Result<()> {
        Ok(())
    }
}

fn checkpoint(source: &str) -> Checkpoint {
    Checkpoint {
        job: JOB,
        source: source.into(),
        note: Arc::new(NoNote),
        keep: Arc::new(AtomicBool::new(true)),
    }
}

fn options(checkpoint: Checkpoint) -> PutOptions {
    PutOptions { checkpoint: Some(checkpoint), ..PutOptions::default() }
}

/// A body that counts the bytes it is asked for, after what is kept of it.
#[derive(Debug)]
struct GoingOn {
    kept: Option<Body>,
    rest: Script,
    size: u64,
    asked: Arc<AtomicU64>,
}

#[async_trait]
impl Source for GoingOn {
    fn size(&self) -> Option<u64> {
        Some(self.size)
    }

    async fn open(&self, range: Range<u64>) -> Result<ByteStream> {
        let kept = self.kept.as_ref().and_then(|kept| kept.size()).unwrap_or(0);
        let first = range.start.min(kept)..range.end.min(kept);
        let rest = range.start.max(kept)..range.end.max(kept);
        let mut parts = Vec::new();
        if let Some(kept) = self.kept.as_ref().filter(|_| !first.is_empty()) {
            parts.push(kept.open(first).await?);
        }
        if !rest.is_empty() {
            self.asked.fetch_add(rest.end - rest.start, Ordering::Relaxed);
            parts.push(self.rest.open(rest).await?);
        }
        Ok(futures::stream::iter(parts).flatten().boxed())
    }
}

/// What is to be stored in these cases: enough that an interruption near its end keeps some of it.
fn content(context: &Context, tag: u64) -> Bytes {
    context.noise(tag, context.interrupted_bytes() + 100_000)
}

/// The first bytes of `content`, in a body that declares all of them.
fn first_of(context: &Context, content: &Bytes) -> Script {
    Script::new(content.slice(..context.interrupted_bytes())).declares(Some(content.len() as u64))
}

/// A put of `d/f` that fails near the end of `content`.
async fn interrupt(context: &Context, content: &Bytes, checkpoint: Checkpoint) {
    let body = first_of(context, content).fails().body();
    let put = context.backend().put(&path("d/f"), body, options(checkpoint)).await;
    expect_error(put, &[SOURCE_ERROR]);
    context.expect_nothing("d/f").await;
    if let Ok(entries) = super::context::try_list(&**context.backend(), "d").await {
        assert!(entries.is_empty(), "what is kept is never listed: {entries:?}");
    }
}

/// What is kept of `d/f`, which must be the first bytes of `content`.
async fn kept(context: &Context, content: &Bytes, source: &str) -> (Option<Body>, u64) {
    let kept =
        context.afresh().partial(&path("d/f"), &checkpoint(source)).await.expect("looked at");
    let Some(body) = kept else { return (None, 0) };
    let size = body.size().expect("it is known how much is kept");
    assert!(size > 0 && size <= content.len() as u64, "{size} of {} bytes", content.len());
    let stream = open_all(&*body).await.expect("opened");
    let bytes = collect(stream, usize::MAX).await.expect("read");
    assert!(bytes == content[..size as usize], "what is kept is the beginning of the content");
    (Some(body), size)
}

/// Puts `d/f` from what is kept and the rest, and returns how many bytes were kept and asked for.
async fn go_on(context: &Context, content: &Bytes, source: &str) -> (u64, u64) {
    let (body, size) = kept(context, content, source).await;
    let asked = Arc::new(AtomicU64::new(0));
    let body = Arc::new(GoingOn {
        kept: body,
        rest: Script::new(content.clone()),
        size: content.len() as u64,
        asked: Arc::clone(&asked),
    });
    let stored = context.backend().put(&path("d/f"), body, options(checkpoint(source))).await;
    let stored = stored.expect("stored");
    context.check_entry(&stored, "d/f", content).await;
    context.expect_file("d/f", content).await;
    assert_eq!(context.names("d").await, ["f"]);
    let (left, _) = kept(context, content, source).await;
    assert!(left.is_none(), "nothing is kept of what is stored");
    (size, asked.load(Ordering::Relaxed))
}

/// The folder `d` holds nothing at all, listed or not.
async fn expect_nothing_left(context: &Context) {
    let folder = match context.backend().stat(&path("d")).await {
        Ok(folder) => folder,
        Err(error) => return assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}"),
    };
    if context.claimed().dirs {
        let removed = context.backend().delete_one(&folder).await;
        removed.unwrap_or_else(|error| panic!("the folder holds something: {error:?}"));
    }
}

async fn an_interrupted_put_is_gone_on_with_and_not_asked_for_again(context: &Context) {
    let content = content(context, 1);
    interrupt(context, &content, checkpoint("one")).await;
    let (kept, asked) = go_on(context, &content, "one").await;
    assert!(kept > 0, "an interruption after {} bytes keeps some", context.interrupted_bytes());
    assert_eq!(asked, content.len() as u64 - kept, "what is kept is not asked for again");
}

async fn a_dropped_put_keeps_what_it_had(context: &Context) {
    let content = content(context, 1);
    let reached = Arc::new(Notify::new());
    let body = first_of(context, &content).hangs(Arc::clone(&reached)).body();
    let target = path("d/f");
    let put = context.backend().put(&target, body, options(checkpoint("one")));
    tokio::select! {
        stored = put => panic!("a body without end cannot be stored: {stored:?}"),
        () = reached.notified() => {}
    }
    context.expect_nothing("d/f").await;
    let (kept, asked) = go_on(context, &content, "one").await;
    assert!(kept > 0);
    assert_eq!(asked, content.len() as u64 - kept);
}

async fn a_put_that_is_interrupted_twice_keeps_what_both_had(context: &Context) {
    let content = content(context, 1);
    interrupt(context, &content, checkpoint("one")).await;
    let (body, size) = kept(context, &content, "one").await;
    let body = Arc::new(GoingOn {
        kept: body,
        rest: first_of(context, &content).fails(),
        size: content.len() as u64,
        asked: Arc::default(),
    });
    let put = context.backend().put(&path("d/f"), body, options(checkpoint("one"))).await;
    expect_error(put, &[SOURCE_ERROR]);
    let (kept, asked) = go_on(context, &content, "one").await;
    assert!(kept >= size, "{kept} of {size} bytes are still kept");
    assert_eq!(asked, content.len() as u64 - kept);
}

async fn another_version_of_the_source_is_not_gone_on_with(context: &Context) {
    let (one, two) = (content(context, 1), content(context, 2));
    interrupt(context, &one, checkpoint("one")).await;
    let (kept, asked) = go_on(context, &two, "two").await;
    assert_eq!((kept, asked), (0, two.len() as u64));
}

async fn another_job_is_not_gone_on_with(context: &Context) {
    let content = content(context, 1);
    interrupt(context, &content, checkpoint("one")).await;
    let other = Checkpoint { job: JOB + 1, ..checkpoint("one") };
    let kept = context.backend().partial(&path("d/f"), &other).await.expect("looked at");
    assert!(kept.is_none());
    context.backend().abandon(&path("d/f"), &other).await.expect("nothing to do");
    let (kept, _) = go_on(context, &content, "one").await;
    assert!(kept > 0, "the other job's is still there");
}

async fn content_that_was_changed_is_not_believed(context: &Context) {
    let content = content(context, 1);
    interrupt(context, &content, checkpoint("one")).await;
    context.damage("d/f", Harm::Content).await;
    let (kept, asked) = go_on(context, &content, "one").await;
    assert_eq!((kept, asked), (0, content.len() as u64), "its first byte was changed");
}

async fn a_torn_record_is_not_believed(context: &Context) {
    let content = content(context, 1);
    interrupt(context, &content, checkpoint("one")).await;
    let (_, before) = kept(context, &content, "one").await;
    context.damage("d/f", Harm::Record).await;
    let (kept, asked) = go_on(context, &content, "one").await;
    assert!(kept < before, "{kept} of {before} bytes with a torn record");
    assert_eq!(asked, content.len() as u64 - kept);
}

async fn an_abandoned_put_leaves_nothing(context: &Context) {
    let content = content(context, 1);
    for _ in 0..2 {
        let gone = context.backend().abandon(&path("d/f"), &checkpoint("one")).await;
        gone.expect("nothing to abandon is success");
        interrupt(context, &content, checkpoint("one")).await;
        let gone = context.afresh().abandon(&path("d/f"), &checkpoint("one")).await;
        gone.expect("abandoned");
        let (body, _) = kept(context, &content, "one").await;
        assert!(body.is_none());
        expect_nothing_left(context).await;
    }
    context.put("d/f", "there").await;
    context.backend().abandon(&path("d/f"), &checkpoint("one")).await.expect("nothing to do");
    context.expect_file("d/f", b"there").await;
}

async fn a_put_that_nobody_will_go_on_with_leaves_nothing(context: &Context) {
    let content = content(context, 1);
    let dropped = Checkpoint { keep: Arc::new(AtomicBool::new(false)), ..checkpoint("one") };
    // The second one takes away what the first one left.
    for checkpoint in [checkpoint("one"), dropped] {
        interrupt(context, &content, checkpoint).await;
    }
    let (body, _) = kept(context, &content, "one").await;
    assert!(body.is_none());
    expect_nothing_left(context).await;
    let body = first_of(context, &content).fails().body();
    let put = context.backend().put(&path("d/f"), body, PutOptions::default()).await;
    expect_error(put, &[SOURCE_ERROR]);
    expect_nothing_left(context).await;
}

async fn without_the_claim_nothing_is_kept(context: &Context) {
    let content = context.noise(1, 200_000);
    let body = Script::new(content.slice(..150_000)).declares(Some(200_000)).fails().body();
    let put = context.backend().put(&path("d/f"), body, options(checkpoint("one"))).await;
    assert!(put.is_err_and(|error: Error| error.kind() == SOURCE_ERROR));
    context.expect_nothing("d/f").await;
    let kept =
        context.backend().partial(&path("d/f"), &checkpoint("one")).await.expect("looked at");
    assert!(kept.is_none());
    context.backend().abandon(&path("d/f"), &checkpoint("one")).await.expect("nothing to do");
}
