//! Large bodies that are stored as parts: in every order, with one part repeated, continued by another process, and not
//! visible before all parts are there.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use ketch_core::facets::{Claims, LeftoverState};
use ketch_core::hash::hash_bytes;
use ketch_core::multipart::{Part, cut};
use ketch_core::source::{BytesSource, ExactSource, HashingSource};
use ketch_core::{
    Body, ByteStream, Checkpoint, Error, ErrorKind, HashAlgo, Leftover, Note, PartRules,
    PutOptions, RelPath, Result, Retry, Source,
};
use tokio::sync::Notify;

use super::Harm;
use super::bodies::SOURCE_ERROR;
use super::case::{Case, case, sends_parts};
use super::context::{Context, expect_error, path};

pub(super) const CASES: &[Case] = &[
    case!(bodies_of_every_size_around_a_part_are_stored, sends_parts),
    case!(parts_that_end_in_any_order_are_one_content, sends_parts),
    case!(a_part_that_fails_is_read_again_and_no_other_is, sends_parts),
    case!(a_body_that_must_be_read_in_order_is_stored, sends_parts),
    case!(content_with_another_digest_than_listed_is_never_complete, sends_parts),
    case!(an_interrupted_upload_is_gone_on_with, sends_parts),
    case!(a_dropped_upload_is_gone_on_with, sends_parts),
    case!(another_version_of_the_source_begins_anew, sends_parts),
    case!(a_part_that_was_changed_is_not_believed, sends_parts),
    case!(an_upload_that_the_remote_forgot_begins_anew, sends_parts),
    case!(an_abandoned_upload_leaves_nothing, sends_parts),
    case!(an_upload_that_nobody_will_go_on_with_leaves_nothing, sends_parts),
    case!(an_upload_of_a_job_that_is_over_is_found_and_removed, sends_parts),
];

const JOB: u32 = 0x70a7;

/// A note in memory, as long as the trial lives.
#[derive(Debug, Default)]
struct Kept(Mutex<Option<Bytes>>);

#[async_trait]
impl Note for Kept {
    async fn load(&self) -> Result<Option<Bytes>> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    async fn save(&self, note: Bytes) -> Result<()> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(note);
        Ok(())
    }
}

fn checkpoint(note: &Arc<Kept>, source: &str, keeps: bool) -> Checkpoint {
    Checkpoint {
        job: JOB,
        source: source.into(),
        note: Arc::clone(note) as Arc<dyn Note>,
        keep: Arc::new(AtomicBool::new(keeps)),
    }
}

fn rules(context: &Context) -> PartRules {
    context.claimed().put_parts.expect("the case needs it")
}

/// Enough for three parts and a short one.
fn content(context: &Context, tag: u64) -> Bytes {
    let rules = rules(context);
    let size = rules.from.max(3 * rules.part_bytes) + 100;
    context.noise(tag, usize::try_from(size).expect("a size for tests"))
}

/// What happens when a part of a body is read.
#[derive(Debug, Clone, Copy)]
enum Then {
    /// It ends after the others that are before it in the order.
    Turn(usize),
    /// Its first so many readings fail; `true`: in a way that may pass.
    Fail(u32, bool),
    /// It never ends.
    Hang,
}

/// A body that can be read in any order, and counts what is read of each part.
#[derive(Debug)]
struct Watched {
    content: Bytes,
    parts: Vec<Part>,
    then: HashMap<u32, Then>,
    reads: Mutex<HashMap<u32, u32>>,
    turn: Arc<(AtomicU64, Notify)>,
    hangs: Arc<Notify>,
}

impl Watched {
    fn new(
        context: &Context,
        content: &Bytes,
        then: impl IntoIterator<Item = (u32, Then)>,
    ) -> Arc<Self> {
        Arc::new(Watched {
            content: content.clone(),
            parts: cut(content.len() as u64, &rules(context)),
            then: then.into_iter().collect(),
            reads: Mutex::default(),
            turn: Arc::default(),
            hangs: Arc::default(),
        })
    }

    fn reads(&self) -> HashMap<u32, u32> {
        self.reads.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl Source for Watched {
    fn size(&self) -> Option<u64> {
        Some(self.content.len() as u64)
    }

    fn any_order(&self) -> bool {
        true
    }

    async fn open(&self, range: Range<u64>) -> Result<ByteStream> {
        let is_in = |part: &&Part| part.range.contains(&range.start);
        let number = self.parts.iter().find(is_in).map_or(0, |part| part.number);
        let read = {
            let mut reads = self.reads.lock().unwrap_or_else(PoisonError::into_inner);
            let count = reads.entry(number).or_insert(0);
            *count += 1;
            *count
        };
        let piece = self.content.slice(range.start as usize..range.end as usize);
        let (first, last) = (piece.slice(..piece.len() / 2), piece.slice(piece.len() / 2..));
        let (then, turn) = (self.then.get(&number).copied(), Arc::clone(&self.turn));
        let hangs = Arc::clone(&self.hangs);
        let ending = futures::stream::once(async move {
            match then {
                Some(Then::Fail(times, passes)) if read <= times => {
                    let retry = if passes { Retry::Backoff } else { Retry::Never };
                    let kind = if passes { ErrorKind::Unavailable } else { SOURCE_ERROR };
                    Err(Error::new(kind, "the source broke on purpose").with_retry(retry))
                }
                Some(Then::Hang) => {
                    hangs.notify_one();
                    std::future::pending().await
                }
                Some(Then::Turn(mine)) => {
                    loop {
                        let next = turn.1.notified();
                        if turn.0.load(Ordering::SeqCst) >= mine as u64 {
                            break;
                        }
                        next.await;
                    }
                    turn.0.fetch_add(1, Ordering::SeqCst);
                    turn.1.notify_waiters();
                    Ok(last)
                }
                _ => Ok(last),
            }
        });
        Ok(futures::stream::iter([Ok(first)]).chain(ending).boxed())
    }
}

async fn leftovers(context: &Context, is_claimed: bool, removes: bool) -> Vec<Leftover> {
    let claims: Claims = Arc::new(move |_| is_claimed);
    let Some(resume) = context.backend().facets().resume.clone() else { return Vec::new() };
    match resume.leftovers(&path("d"), &claims, removes).await {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        Err(error) => panic!("leftovers: {error:?}"),
    }
}

/// A put of `d/f` with `body`, and how much of it was there from before.
async fn put(context: &Context, body: Body, checkpoint: Option<Checkpoint>) -> (Result<()>, u64) {
    let kept = Arc::new(AtomicU64::new(0));
    let options = PutOptions { checkpoint, kept: Some(Arc::clone(&kept)), ..PutOptions::default() };
    let stored = context.backend().put(&path("d/f"), body, options).await;
    (stored.map(|_| ()), kept.load(Ordering::Relaxed))
}

/// A put of which the last part cannot be read.
async fn interrupt(context: &Context, content: &Bytes, checkpoint: Checkpoint) {
    let last = cut(content.len() as u64, &rules(context)).len() as u32 - 1;
    let body = Watched::new(context, content, [(last, Then::Fail(u32::MAX, false))]);
    let (put, _) = put(context, body, Some(checkpoint)).await;
    expect_error(put, &[SOURCE_ERROR]);
    context.expect_nothing("d/f").await;
}

/// A put that goes on, and how much was there from before.
async fn go_on(context: &Context, content: &Bytes, checkpoint: Checkpoint) -> u64 {
    let (put, kept) = put(context, Watched::new(context, content, []), Some(checkpoint)).await;
    put.expect("stored");
    context.expect_file("d/f", content).await;
    assert_eq!(leftovers(context, true, false).await, [], "nothing is left of what is stored");
    kept
}

async fn bodies_of_every_size_around_a_part_are_stored(context: &Context) {
    let rules = rules(context);
    let (part, from) = (rules.part_bytes, rules.from);
    let around = [from, part, 2 * part, 3 * part];
    let mut sizes: Vec<u64> =
        around.into_iter().flat_map(|size| [size - 1, size, size + 1]).collect();
    sizes.extend([from + part / 3, from + 1_000, 2 * part + 1_001]);
    for size in sizes {
        let content = context.noise(size, usize::try_from(size).expect("a size for tests"));
        let body = Watched::new(context, &content, []);
        let stored = context.backend().put(&path("d/f"), body, PutOptions::default()).await;
        context.check_entry(&stored.expect("stored"), "d/f", &content).await;
        context.expect_file("d/f", &content).await;
    }
}

async fn parts_that_end_in_any_order_are_one_content(context: &Context) {
    let content = content(context, 1);
    let rules = rules(context);
    let at_once = rules.at_once.min(3);
    let orders: &[&[u32]] = match at_once {
        0 | 1 => return context.skip("one part at a time"),
        2 => &[&[0, 1], &[1, 0]],
        _ => &[&[0, 1, 2], &[0, 2, 1], &[1, 0, 2], &[1, 2, 0], &[2, 0, 1], &[2, 1, 0]],
    };
    let algos = [HashAlgo::Blake3, HashAlgo::Crc64Nvme];
    for order in orders {
        let turns = order.iter().enumerate().map(|(turn, part)| (*part, Then::Turn(turn)));
        let watched = Watched::new(context, &content, turns);
        let hashing = Arc::new(HashingSource::new(watched, algos.to_vec()));
        let body = ExactSource::body(Arc::clone(&hashing) as Body);
        let (stored, _) = put(context, body, None).await;
        stored.expect("stored");
        context.expect_file("d/f", &content).await;
        let expected = hash_bytes(&algos, &content);
        assert_eq!(hashing.hashes(), Some(expected), "one proof whatever the order {order:?}");
    }
}

async fn a_part_that_fails_is_read_again_and_no_other_is(context: &Context) {
    let content = content(context, 1);
    let body = Watched::new(context, &content, [(1, Then::Fail(1, true))]);
    let (stored, _) = put(context, Arc::clone(&body) as Body, None).await;
    stored.expect("stored at the second try of one part");
    context.expect_file("d/f", &content).await;
    for (number, reads) in body.reads() {
        assert_eq!(reads, 1 + u32::from(number == 1), "part {number}");
    }
}

async fn a_body_that_must_be_read_in_order_is_stored(context: &Context) {
    let content = content(context, 1);
    let body = HashingSource::new(BytesSource::body(content.clone()), vec![HashAlgo::Md5]);
    let (stored, _) = put(context, Arc::new(body), None).await;
    stored.expect("stored");
    context.expect_file("d/f", &content).await;
}

async fn content_with_another_digest_than_listed_is_never_complete(context: &Context) {
    let content = content(context, 1);
    for algo in [HashAlgo::Blake3, HashAlgo::Crc64Nvme, HashAlgo::Sha256] {
        let listed = hash_bytes(&[algo], b"what was listed").get(algo).cloned().expect("computed");
        let source = HashingSource::new(BytesSource::body(content.clone()), Vec::new());
        let body = ExactSource::body(Arc::new(source.expecting(listed)));
        let note = Arc::default();
        let (stored, _) = put(context, body, Some(checkpoint(&note, "one", true))).await;
        expect_error(stored, &[ErrorKind::Corrupt]);
        context.expect_nothing("d/f").await;
        assert_eq!(leftovers(context, true, false).await, []);
    }
}

async fn an_interrupted_upload_is_gone_on_with(context: &Context) {
    let content = content(context, 1);
    let note = Arc::default();
    for _ in 0..2 {
        interrupt(context, &content, checkpoint(&note, "one", true)).await;
        let left = leftovers(context, true, false).await;
        assert!(left.iter().all(|left| left.state == LeftoverState::Claimed), "{left:?}");
    }
    let kept = go_on(context, &content, checkpoint(&note, "one", true)).await;
    assert!(kept > 0, "some of its parts were there");
}

async fn a_dropped_upload_is_gone_on_with(context: &Context) {
    let content = content(context, 1);
    let last = cut(content.len() as u64, &rules(context)).len() as u32 - 1;
    let (note, body) = (Arc::default(), Watched::new(context, &content, [(last, Then::Hang)]));
    let hangs = Arc::clone(&body.hangs);
    tokio::select! {
        (stored, _) = put(context, body, Some(checkpoint(&note, "one", true))) => {
            panic!("a part that never ends cannot be stored: {stored:?}")
        }
        () = hangs.notified() => {}
    }
    context.expect_nothing("d/f").await;
    go_on(context, &content, checkpoint(&note, "one", true)).await;
}

async fn another_version_of_the_source_begins_anew(context: &Context) {
    let (one, two) = (content(context, 1), content(context, 2));
    let note = Arc::default();
    interrupt(context, &one, checkpoint(&note, "one", true)).await;
    let kept = go_on(context, &two, checkpoint(&Arc::default(), "two", true)).await;
    assert_eq!(kept, 0);
}

async fn a_part_that_was_changed_is_not_believed(context: &Context) {
    let content = content(context, 1);
    let note = Arc::default();
    interrupt(context, &content, checkpoint(&note, "one", true)).await;
    context.damage("d/f", Harm::Content).await;
    go_on(context, &content, checkpoint(&note, "one", true)).await;
}

async fn an_upload_that_the_remote_forgot_begins_anew(context: &Context) {
    let content = content(context, 1);
    let note = Arc::default();
    interrupt(context, &content, checkpoint(&note, "one", true)).await;
    context.damage("d/f", Harm::Record).await;
    let kept = go_on(context, &content, checkpoint(&note, "one", true)).await;
    assert_eq!(kept, 0);
}

async fn an_abandoned_upload_leaves_nothing(context: &Context) {
    let content = content(context, 1);
    let note = Arc::default();
    let checkpoint = checkpoint(&note, "one", true);
    interrupt(context, &content, checkpoint.clone()).await;
    for _ in 0..2 {
        context.backend().abandon(&path("d/f"), &checkpoint).await.expect("abandoned");
        assert_eq!(leftovers(context, true, false).await, []);
    }
    context.expect_nothing("d/f").await;
}

async fn an_upload_that_nobody_will_go_on_with_leaves_nothing(context: &Context) {
    let content = content(context, 1);
    let note = Arc::default();
    interrupt(context, &content, checkpoint(&note, "one", false)).await;
    assert_eq!(leftovers(context, true, false).await, []);
    let last = cut(content.len() as u64, &rules(context)).len() as u32 - 1;
    let body = Watched::new(context, &content, [(last, Then::Fail(u32::MAX, false))]);
    let (stored, _) = put(context, body, None).await;
    expect_error(stored, &[SOURCE_ERROR]);
    assert_eq!(leftovers(context, true, false).await, []);
}

async fn an_upload_of_a_job_that_is_over_is_found_and_removed(context: &Context) {
    let content = content(context, 1);
    let note = Arc::default();
    interrupt(context, &content, checkpoint(&note, "one", true)).await;
    let file = |found: Vec<Leftover>| -> Vec<(RelPath, LeftoverState)> {
        found.into_iter().map(|left| (left.path, left.state)).collect()
    };
    let dead = [(path("d/f"), LeftoverState::Dead)];
    assert_eq!(file(leftovers(context, false, false).await), dead);
    assert_eq!(file(leftovers(context, false, true).await), dead);
    assert_eq!(leftovers(context, false, false).await, []);
}
