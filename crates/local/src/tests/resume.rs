//! Going on with what an interrupted `put` or copy left behind, and never believing what is wrong with it.

use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use ketch_core::{Checkpoint, Note};
use rustix::fs::{FlockOperation, flock};

use super::*;
use crate::ledger::{Ledger, Maker};
use crate::options::Fsync;

const RANGE: usize = Maker::Put.range_bytes() as usize;
const COPY_RANGE: usize = Maker::Copy.range_bytes() as usize;
/// Two whole ranges and a piece.
const SENT: usize = 2 * RANGE + 2_000_000;
/// Bytes that come at a time.
const PIECE: usize = 100_000;
/// What the file will have.
const ALL: usize = SENT + 300_000;

const PART: &str = ".f.ketch-0000beef.part";
const LEDGER: &str = ".f.ketch-0000beef.ledger";

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

pub(super) fn checkpoint(source: &str, keep: bool) -> Checkpoint {
    Checkpoint {
        job: 0xbeef,
        source: source.into(),
        note: Arc::new(NoNote),
        keep: Arc::new(AtomicBool::new(keep)),
    }
}

pub(super) fn with(checkpoint: Checkpoint) -> PutOptions {
    PutOptions { checkpoint: Some(checkpoint), ..PutOptions::default() }
}

fn content() -> Bytes {
    let mut bytes = vec![0; ALL];
    fastrand::Rng::with_seed(7).fill(&mut bytes);
    bytes.into()
}

/// The first `sent` bytes of a body, and then an error. What is asked for is counted.
#[derive(Debug, Clone)]
struct Breaking {
    content: Bytes,
    sent: usize,
    asked: Arc<AtomicU64>,
}

fn breaking(content: &Bytes, sent: usize) -> Breaking {
    Breaking { content: content.clone(), sent, asked: Arc::default() }
}

fn cut(content: &Bytes) -> Vec<Bytes> {
    content.chunks(PIECE).map(|piece| content.slice_ref(piece)).collect()
}

#[async_trait]
impl Source for Breaking {
    fn size(&self) -> Option<u64> {
        Some(self.content.len() as u64)
    }

    async fn open(&self, range: Range<u64>) -> Result<ByteStream> {
        self.asked.fetch_add(range.end - range.start, Ordering::Relaxed);
        let end = (range.end as usize).min(self.sent);
        let start = (range.start as usize).min(end);
        let broken = (end as u64) < range.end;
        let error = broken.then(|| Err(Error::new(ErrorKind::Unavailable, "broken on purpose")));
        let pieces = cut(&self.content.slice(start..end)).into_iter().map(Ok);
        Ok(futures::stream::iter(pieces.chain(error).collect::<Vec<_>>()).boxed())
    }
}

/// What is kept, and after it the rest of the source, as the engine puts them together.
#[derive(Debug)]
struct Joined {
    kept: Body,
    rest: Breaking,
}

#[async_trait]
impl Source for Joined {
    fn size(&self) -> Option<u64> {
        self.rest.size()
    }

    async fn open(&self, range: Range<u64>) -> Result<ByteStream> {
        assert_eq!(range, 0..ALL as u64, "a put asks for all");
        let kept = self.kept.size().expect("known");
        let first = self.kept.open(0..kept).await?;
        Ok(first.chain(self.rest.open(kept..range.end).await?).boxed())
    }
}

impl Place {
    async fn partial(&self, checkpoint: &Checkpoint) -> Option<Body> {
        self.backend.partial(&path("f"), checkpoint).await.expect("looked at")
    }

    async fn kept_bytes(&self, checkpoint: &Checkpoint) -> usize {
        match self.partial(checkpoint).await {
            Some(body) => body.size().expect("known") as usize,
            None => 0,
        }
    }

    /// A `put` of `f` that breaks after [`SENT`] bytes and leaves what it has.
    async fn interrupt(&self, content: &Bytes) {
        let _removed = std::fs::remove_file(self.file("f"));
        let options = with(checkpoint("one", true));
        let put = self.put_body("f", Arc::new(breaking(content, SENT)), options).await;
        assert_eq!(kind(put), ErrorKind::Unavailable);
        assert_eq!(self.raw_names(), [LEDGER, PART]);
        assert!(self.names("").await.is_empty(), "neither is listed");
    }

    /// A `put` of `f` from what is kept, or from the start, after which it has `content` and nothing else is there. Tells
    /// how many bytes the source was asked for.
    async fn go_on(&self, source: &str, content: &Bytes) -> usize {
        let checkpoint = checkpoint(source, true);
        let rest = breaking(content, ALL);
        let asked = Arc::clone(&rest.asked);
        let body: Body = match self.partial(&checkpoint).await {
            Some(kept) => Arc::new(Joined { kept, rest }),
            None => Arc::new(rest),
        };
        let put = self.put_body("f", body, with(checkpoint)).await.expect("put");
        assert_eq!(put.size, Some(content.len() as u64));
        assert!(std::fs::read(self.file("f")).expect("there") == content[..], "the right bytes");
        assert_eq!(self.raw_names(), ["f"]);
        asked.load(Ordering::Relaxed) as usize
    }

    fn change(&self, name: &str, at: usize) {
        let options = std::fs::File::options().read(true).write(true).open(self.file(name));
        let file = options.expect("there");
        let mut byte = [0];
        file.read_exact_at(&mut byte, at as u64).expect("read");
        file.write_all_at(&[byte[0] ^ 1], at as u64).expect("changed");
    }
}

#[tokio::test]
async fn an_interrupted_put_is_gone_on_with_and_its_ranges_are_not_asked_for_again() {
    let (place, content) = (place(), content());
    place.interrupt(&content).await;
    assert_eq!(place.kept_bytes(&checkpoint("one", true)).await, 2 * RANGE);
    assert_eq!(place.go_on("one", &content).await, ALL - 2 * RANGE);
    // Twice interrupted: what the second one added is kept as well.
    std::fs::remove_file(place.file("f")).expect("removed");
    let first = Arc::new(breaking(&content, RANGE + 2 * PIECE));
    place.put_body("f", first, with(checkpoint("one", true))).await.expect_err("broken");
    assert_eq!(place.kept_bytes(&checkpoint("one", true)).await, RANGE);
    let kept = place.partial(&checkpoint("one", true)).await.expect("kept");
    let second = Arc::new(Joined { kept, rest: breaking(&content, SENT) });
    place.put_body("f", second, with(checkpoint("one", true))).await.expect_err("broken");
    assert_eq!(place.go_on("one", &content).await, ALL - 2 * RANGE);
}

#[tokio::test]
async fn nothing_stays_when_nobody_will_go_on_or_there_is_no_whole_range() {
    let (place, content) = (place(), content());
    for (keep, sent) in [(false, SENT), (true, RANGE - 1), (true, 10)] {
        let body = Arc::new(breaking(&content, sent));
        let put = place.put_body("f", body, with(checkpoint("one", keep))).await;
        assert_eq!(kind(put), ErrorKind::Unavailable);
        assert!(place.raw_names().is_empty(), "{keep} {sent}");
    }
    let put = place.put_body("f", Arc::new(breaking(&content, SENT)), PutOptions::default()).await;
    assert_eq!(kind(put), ErrorKind::Unavailable);
    assert!(place.raw_names().is_empty(), "without a checkpoint");
    // What an earlier process left goes with a failure, too, also with one before the part is opened.
    for sent in [0, SENT] {
        place.interrupt(&content).await;
        let body = Arc::new(breaking(&content, sent));
        let put = place.put_body("f", body, with(checkpoint("one", false))).await;
        assert_eq!(kind(put), ErrorKind::Unavailable);
        assert!(place.raw_names().is_empty(), "{sent}");
    }
}

#[tokio::test]
async fn a_body_that_is_not_what_was_listed_is_not_gone_on_with() {
    let (place, content) = (place(), content());
    let short =
        Pieces { size: Some(ALL as u64), piece: content.slice(..SENT), count: 1, ends: true };
    let put = place.put_body("f", Arc::new(short), with(checkpoint("one", true))).await;
    assert_eq!(kind(put), ErrorKind::Changed);
    assert!(place.raw_names().is_empty());
}

#[tokio::test]
async fn a_dropped_put_keeps_what_was_whole() {
    let (place, content) = (place(), content());
    for keep in [true, false] {
        let (piece, count) = (content.slice(..PIECE), SENT / PIECE + 2);
        let body = Pieces { size: Some(ALL as u64), piece, count, ends: false };
        let mut put = Box::pin(place.put_body("f", Arc::new(body), with(checkpoint("one", keep))));
        // The ranges are written down beside the work.
        while place.kept_bytes(&checkpoint("one", keep)).await < 2 * RANGE {
            let step = tokio::time::timeout(Duration::from_millis(10), &mut put).await;
            assert!(step.is_err(), "the body never ends");
        }
        drop(put);
        match keep {
            true => assert_eq!(place.raw_names(), [LEDGER, PART]),
            false => assert!(place.raw_names().is_empty(), "removed at once"),
        }
        let mut sent = vec![0; ALL];
        let pattern = content[..PIECE].iter().cycle().take(ALL);
        sent.iter_mut().zip(pattern).for_each(|(to, from)| *to = *from);
        let kept = if keep { 2 * RANGE } else { 0 };
        assert_eq!(place.go_on("one", &sent.into()).await, ALL - kept);
        std::fs::remove_file(place.file("f")).expect("removed");
    }
}

#[tokio::test]
async fn what_is_left_of_another_version_or_job_is_not_gone_on_with() {
    let (place, content) = (place(), content());
    place.interrupt(&content).await;
    assert_eq!(place.kept_bytes(&checkpoint("two", true)).await, 0);
    let other_job = Checkpoint { job: 1, ..checkpoint("one", true) };
    assert_eq!(place.kept_bytes(&other_job).await, 0);
    assert_eq!(place.go_on("two", &content).await, ALL);
}

#[tokio::test]
async fn bytes_that_were_changed_are_not_believed_and_are_replaced() {
    let (place, content) = (place(), content());
    for (at, believed) in [(0, 0), (RANGE - 1, 0), (RANGE, RANGE), (2 * RANGE - 1, RANGE)] {
        place.interrupt(&content).await;
        place.change(PART, at);
        assert_eq!(place.kept_bytes(&checkpoint("one", true)).await, believed);
        assert_eq!(place.go_on("one", &content).await, ALL - believed);
    }
}

#[tokio::test]
async fn a_put_that_does_not_ask_what_is_kept_never_stores_what_is_left() {
    let (place, content) = (place(), content());
    for at in [0, 7, RANGE + 7, SENT, ALL - 1] {
        place.interrupt(&content).await;
        let mut other = content.to_vec();
        other[at] ^= 1;
        let body = byte_body(other.clone());
        place.put_body("f", body, with(checkpoint("one", true))).await.expect("put");
        assert!(std::fs::read(place.file("f")).expect("there") == other, "{at}");
        assert_eq!(place.raw_names(), ["f"]);
        std::fs::remove_file(place.file("f")).expect("removed");
    }
    // Shorter than what is left, known beforehand or not.
    for size in [Some(RANGE as u64 + 3), None] {
        place.interrupt(&content).await;
        let piece = content.slice(..RANGE + 3);
        let body = Pieces { size, piece: piece.clone(), count: 1, ends: true };
        place.put_body("f", Arc::new(body), with(checkpoint("one", true))).await.expect("put");
        assert!(std::fs::read(place.file("f")).expect("there") == piece);
        assert_eq!(place.raw_names(), ["f"]);
    }
}

#[tokio::test]
async fn a_ledger_that_is_torn_or_flipped_is_believed_only_before_that() {
    let (place, content) =
        (place_with(LocalOptions { fsync: Fsync::None, ..Default::default() }), content());
    place.interrupt(&content).await;
    let whole = std::fs::read(place.file(LEDGER)).expect("there");
    let record = whole.len() / 2 - crate::ledger::HEADER_BYTES / 2;
    for cut in [0, 1, crate::ledger::HEADER_BYTES, whole.len() - record, whole.len() - 1] {
        std::fs::write(place.file(LEDGER), &whole[..cut]).expect("written");
        let believed = if cut >= whole.len() - record { RANGE } else { 0 };
        assert_eq!(place.kept_bytes(&checkpoint("one", true)).await, believed, "cut at {cut}");
    }
    std::fs::write(place.file(LEDGER), &whole).expect("written");
    place.change(LEDGER, whole.len() - 1);
    assert_eq!(place.go_on("one", &content).await, ALL - RANGE);
    // A ledger that speaks of more than is there.
    place.interrupt(&content).await;
    let part = std::fs::File::options().write(true).open(place.file(PART)).expect("there");
    part.set_len(RANGE as u64 + 1).expect("cut");
    assert_eq!(place.go_on("one", &content).await, ALL - RANGE);
}

#[tokio::test]
async fn abandoning_leaves_nothing_and_a_ledger_alone_is_swept() {
    let (place, content) = (place(), content());
    place.interrupt(&content).await;
    place.backend.abandon(&path("f"), &checkpoint("one", true)).await.expect("abandoned");
    assert!(place.raw_names().is_empty());
    place.backend.abandon(&path("f"), &checkpoint("one", true)).await.expect("nothing to do");
    place.backend.abandon(&path("no/f"), &checkpoint("one", true)).await.expect("no folder");
    place.interrupt(&content).await;
    std::fs::remove_file(place.file(PART)).expect("removed");
    assert_eq!(place.kept_bytes(&checkpoint("one", true)).await, 0);
    assert!(place.raw_names().is_empty());
    place.interrupt(&content).await;
    std::fs::remove_file(place.file(PART)).expect("removed");
    place.interrupt(&content).await;
    assert_eq!(place.go_on("one", &content).await, ALL - 2 * RANGE);
}

#[tokio::test]
async fn a_file_of_the_job_that_is_small_leaves_nothing_of_an_earlier_one() {
    let (place, content) = (place(), content());
    place.interrupt(&content).await;
    place.put_with("f", "small", with(checkpoint("one", true))).await.expect("put");
    assert_eq!(place.raw_names(), ["f"]);
    assert_eq!(std::fs::read(place.file("f")).expect("there"), b"small");
}

#[tokio::test]
async fn a_link_in_place_of_a_part_is_neither_followed_nor_taken_for_one() {
    let (place, content) = (place(), content());
    place.write("other", "mine");
    place.link("other", PART);
    place.put_with("f", "content", with(checkpoint("one", true))).await.expect("put");
    assert_eq!(place.kept_bytes(&checkpoint("one", true)).await, 0);
    assert_eq!(place.raw_names(), [PART, "f", "other"]);
    // The name is ketch's own: what may be a link that was to get its name goes, and never what it points to.
    place.backend.abandon(&path("f"), &checkpoint("one", true)).await.expect("abandoned");
    assert_eq!(place.raw_names(), ["f", "other"]);
    // Another name of a part would see all that is written to it.
    std::fs::hard_link(place.file("other"), place.file(PART)).expect("linked");
    place.put_with("f", "new", with(checkpoint("one", true))).await.expect("put");
    assert_eq!(place.raw_names(), ["f", "other"]);
    assert_eq!(std::fs::read(place.file("other")).expect("kept"), b"mine");
    // A link in place of a ledger.
    std::fs::remove_file(place.file("f")).expect("removed");
    place.link("other", LEDGER);
    let body = Arc::new(breaking(&content, SENT));
    place.put_body("f", body, with(checkpoint("one", true))).await.expect_err("broken");
    assert_eq!(std::fs::read(place.file("other")).expect("kept"), b"mine");
    assert_eq!(place.raw_names(), [LEDGER, "other"], "without a ledger nothing is kept");
}

#[tokio::test]
async fn a_part_that_is_in_use_is_left_alone() {
    let (place, content) = (place(), content());
    place.interrupt(&content).await;
    let in_use = std::fs::File::open(place.file(PART)).expect("there");
    flock(&in_use, FlockOperation::LockExclusive).expect("locked");
    place
        .put_body("f", byte_body(content.clone()), with(checkpoint("one", true)))
        .await
        .expect("put");
    assert!(std::fs::read(place.file("f")).expect("there") == content);
    assert_eq!(place.raw_names(), [LEDGER, PART, "f"]);
    drop(in_use);
    place.backend.abandon(&path("f"), &checkpoint("one", true)).await.expect("abandoned");
    assert_eq!(place.raw_names(), ["f"]);
}

/// A source with holes, so that the copies of it cost neither room nor time.
fn copy_source(place: &Place) -> Vec<usize> {
    let file = std::fs::File::create(place.file("from")).expect("made");
    file.set_len(2 * COPY_RANGE as u64 + 10).expect("set");
    let marks = vec![0, COPY_RANGE - 1, COPY_RANGE, 2 * COPY_RANGE + 9];
    for at in &marks {
        file.write_all_at(b"x", *at as u64).expect("written");
    }
    marks
}

async fn copy_to_f(place: &Place, options: PutOptions) -> Result<Entry> {
    let from = place.stat("from").await;
    place.backend.copy(&from, &path("f"), options).await
}

fn check_copied(place: &Place, marks: &[usize]) {
    let copied = std::fs::File::open(place.file("f")).expect("there");
    assert_eq!(copied.metadata().expect("known").len(), 2 * COPY_RANGE as u64 + 10);
    for at in marks {
        let mut byte = [0];
        copied.read_exact_at(&mut byte, *at as u64).expect("read");
        assert_eq!(byte, *b"x", "at {at}");
    }
    assert_eq!(place.raw_names(), ["f", "from"]);
    std::fs::remove_file(place.file("f")).expect("removed");
}

#[tokio::test]
async fn a_copy_goes_on_with_what_is_equal_to_the_source() {
    let place = place_with(LocalOptions { fsync: Fsync::None, ..LocalOptions::default() });
    let marks = copy_source(&place);
    let mut ledger = Ledger::new(Maker::Copy, "one");
    let records = [ledger.header().to_vec(), ledger.push([0; 32]).to_vec()].concat();
    for changed in [None, Some(0), Some(COPY_RANGE / 2), Some(COPY_RANGE - 1)] {
        let part = std::fs::File::create(place.file(PART)).expect("made");
        part.set_len(COPY_RANGE as u64 + 77).expect("set");
        part.write_all_at(b"x", 0).expect("written");
        part.write_all_at(b"x", COPY_RANGE as u64 - 1).expect("written");
        part.write_all_at(b"rest that no record speaks of", COPY_RANGE as u64).expect("written");
        if let Some(at) = changed {
            part.write_all_at(b"!", at as u64).expect("written");
        }
        std::fs::write(place.file(LEDGER), &records).expect("written");
        assert_eq!(place.kept_bytes(&checkpoint("one", true)).await, 0, "not of a put");
        copy_to_f(&place, with(checkpoint("one", true))).await.expect("copied");
        check_copied(&place, &marks);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_is_dropped_at_any_time_is_gone_on_with() {
    let place = place_with(LocalOptions { fsync: Fsync::None, ..LocalOptions::default() });
    let marks = copy_source(&place);
    // Without its holes, so that there is some time in which a copy can be dropped.
    let source = std::fs::File::options().write(true).open(place.file("from")).expect("opened");
    for at in (0..2 * COPY_RANGE).step_by(1 << 20) {
        source.write_all_at(&[b'x'; 1 << 20], at as u64).expect("written");
    }
    let mut was_kept = 0;
    for milliseconds in [0, 5, 10, 20, 30, 40, 60, 80] {
        let copy = copy_to_f(&place, with(checkpoint("one", true)));
        let dropped = tokio::time::timeout(Duration::from_millis(milliseconds), copy).await;
        was_kept += u32::from(dropped.is_err() && place.file(LEDGER).exists());
        copy_to_f(&place, with(checkpoint("one", true))).await.expect("copied");
        place.eventually_holds(&["f", "from"]).await;
        check_copied(&place, &marks);
    }
    println!("{was_kept} of 8 drops left a ledger");
    let copy = copy_to_f(&place, with(checkpoint("one", false)));
    drop(tokio::time::timeout(Duration::from_millis(20), copy).await);
    let _ = std::fs::remove_file(place.file("f"));
    while place.raw_names() != ["from"] && place.raw_names() != ["f", "from"] {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(!place.file(PART).exists() && !place.file(LEDGER).exists());
}
