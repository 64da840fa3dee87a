//! Compares two places and changes nothing: one verdict for each file, by digest wherever there is one.

mod compare;
mod judge;
mod read;

use std::collections::HashSet;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use futures::StreamExt;
use judge::Judged;
use ketch_core::{
    Backend, Entry, EntryKind, Error, ErrorKind, HashAlgo, Hint, RelPath, Result, source_identity,
};
use read::{read_again, read_digest};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;

use crate::bandwidth::Bandwidth;
use crate::blocking::blocking;
use crate::compare::Comparer;
use crate::digest::{AtHand, Digests, Memory, Origin};
use crate::event::{EVENT_QUEUE, Event, Progress};
use crate::join::Pair;
use crate::leftovers::{Claims, clear};
use crate::march::{March, Step};
use crate::place::Place;
use crate::report::{CheckReport, Evidence, Verdict};
use crate::settings::{Compare, Settings, Stop};
use crate::state::Marks;

/// Steps that are judged together, so that many small files cost one hop to another thread.
const BATCH_STEPS: usize = 256;
/// Files above this size have a hop of their own.
const BATCHED_BYTES: u64 = 1024 * 1024;

/// How a check works.
#[derive(Debug, Clone, Default)]
pub struct CheckSettings {
    /// Filter, parallelism and bandwidth; of the comparisons only [`Compare::SizeOnly`] makes a difference.
    pub settings: Settings,
    /// Files that only the destination has do not count as differences.
    pub one_way: bool,
    /// Read both sides to their end where no common digest is known, instead of refusing.
    pub download: bool,
    /// Compare by this digest, instead of by the strongest that both sides have or byte for byte.
    pub digest: Option<HashAlgo>,
    /// What an interrupted run of the same check had found equal. With [`CheckSettings::download`] these files are not read
    /// again. Removed when the check comes to its end.
    pub marks: Option<Arc<Marks>>,
    /// Compare these two files, of whatever names, and nothing else.
    pub pair: Option<Box<(Entry, Entry)>>,
    /// Equal files are counted, but no event is sent for them.
    pub equal_is_silent: bool,
}

/// A running check.
#[derive(Debug)]
pub struct CheckJob {
    /// The verdicts. The channel closes when the check ends.
    pub events: mpsc::Receiver<Event>,
    /// Amounts, to be sampled.
    pub progress: Progress,
    handle: JoinHandle<CheckReport>,
}

impl CheckJob {
    /// Waits for the end.
    pub async fn report(self) -> CheckReport {
        drop(self.events);
        self.handle.await.unwrap_or_else(|panic| CheckReport {
            fatal: Some(
                Error::new(ErrorKind::Io, "the check panicked; this is a bug").with_source(panic),
            ),
            ..CheckReport::default()
        })
    }
}

/// Starts a check on the current runtime.
pub fn start(
    source: Arc<dyn Backend>,
    destination: Arc<dyn Backend>,
    settings: CheckSettings,
    stop: Stop,
) -> CheckJob {
    let (sender, events) = mpsc::channel(EVENT_QUEUE);
    let progress = Progress::default();
    let bandwidth = settings.settings.bandwidth.map(Bandwidth::new);
    let checker = Checker {
        method: Method::choose(&*source, &*destination, &settings),
        digests: settings.settings.digests.clone(),
        at_once: Semaphore::new(settings.settings.checkers.max(1)),
        source: Place::new(&source),
        destination: Place::new(&destination),
        settings,
        bandwidth,
        events: sender,
        progress: progress.clone(),
        report: Mutex::default(),
    };
    CheckJob { events, progress, handle: tokio::spawn(checker.run(stop)) }
}

/// How two files of one name are compared.
#[derive(Debug, Clone, Copy)]
enum Method {
    /// By a digest that both sides have: from listings, from reading local files, or remembered from sending the file.
    Digest(HashAlgo),
    /// Byte for byte: both sides are disks of this machine.
    Content,
    /// By reading both sides.
    Download,
    /// By size alone, as asked for.
    Size,
    /// Not at all: there is no common digest, and neither reading nor comparing sizes was allowed.
    None,
}

impl Method {
    fn choose(source: &dyn Backend, destination: &dyn Backend, settings: &CheckSettings) -> Self {
        let (here, there) = (source.capabilities(), destination.capabilities());
        match (settings.settings.compare, settings.digest, here.common_hash(there)) {
            (Compare::SizeOnly, _, _) => Method::Size,
            _ if settings.download => Method::Download,
            (_, Some(algo), _) if here.has_hash(algo) && there.has_hash(algo) => {
                Method::Digest(algo)
            }
            (_, Some(_), _) => Method::None,
            _ if source.disk().is_some() && destination.disk().is_some() => Method::Content,
            (_, None, Some(algo)) => Method::Digest(algo),
            (_, None, None) => Method::None,
        }
    }
}

struct Checker {
    method: Method,
    source: Place,
    destination: Place,
    digests: Digests,
    settings: CheckSettings,
    bandwidth: Option<Bandwidth>,
    /// Comparisons that may read at the same time.
    at_once: Semaphore,
    events: mpsc::Sender<Event>,
    progress: Progress,
    report: Mutex<CheckReport>,
}

impl Checker {
    fn report(&self) -> MutexGuard<'_, CheckReport> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn run(mut self, stop: Stop) -> CheckReport {
        let started = Instant::now();
        if matches!(self.method, Method::None) {
            let places = [&self.source, &self.destination];
            let algo = self.digests.common_remembered(places, self.settings.digest).await;
            self.method = algo.map_or(Method::None, Method::Digest);
        }
        let result = tokio::select! {
            result = self.compare_trees() => result,
            () = stop.stopping() => Ok(()),
        };
        self.tell_of_leftovers().await;
        let mut report = std::mem::take(&mut *self.report());
        report.fatal = result.err();
        report.stopped = stop.is_stopping();
        report.algo = match self.method {
            Method::Digest(algo) => Some(algo),
            Method::Download => Some(HashAlgo::Blake3),
            Method::Content | Method::Size | Method::None => None,
        };
        report.digests = self.digests.counts();
        let (digests, marks) = (self.digests.clone(), self.settings.marks.take());
        let is_complete = report.fatal.is_none() && !report.stopped;
        let written = tokio::task::spawn_blocking(move || {
            digests.finish();
            match marks.and_then(Arc::into_inner) {
                Some(marks) if is_complete => marks.remove(),
                // Dropping them writes them down.
                Some(_) | None => {}
            }
        });
        // A panic in there loses only marks, which save time.
        let _ = written.await;
        report.elapsed = started.elapsed();
        report
    }

    async fn tell_of_leftovers(&self) {
        for place in [&self.source, &self.destination] {
            let claims = Claims { jobs: self.settings.settings.jobs.clone(), over: None };
            if let Some(event) = clear(&place.backend, claims, false).await {
                // A reader of events that went away does not stop a check.
                let _ = self.events.send(event).await;
            }
        }
    }

    async fn compare_trees(&self) -> Result<()> {
        if matches!(self.method, Method::None) {
            let text = format!(
                "{} and {} have no {} in common, so equal sizes would prove nothing",
                self.source.backend.name(),
                self.destination.backend.name(),
                self.settings.digest.map_or("digest".to_owned(), |algo| format!("{algo} digest")),
            );
            let error = Error::new(ErrorKind::Unsupported, text).with_operation("check");
            return Err(error.with_hint(Hint::ReadOrCompareSizes));
        }
        if let Some(pair) = &self.settings.pair {
            let (source, destination) = (**pair).clone();
            let step = Step::Pair(Pair::of(source, destination));
            for Told { path, verdict, bytes } in self.judge_all(vec![step]).await? {
                self.write_down(path, verdict, bytes).await;
            }
            self.progress.finish_listing();
            return Ok(());
        }
        if !self.compare_all(true).await? {
            self.begin_anew().await;
            self.compare_all(false).await?;
        }
        Ok(())
    }

    /// Marches over both trees. `false`: nothing that was said counts, and the trees must be compared without `flat`.
    async fn compare_all(&self, flat: bool) -> Result<bool> {
        let settings = &self.settings.settings;
        let march = March {
            source: Arc::clone(&self.source.backend),
            destination: Arc::clone(&self.destination.backend),
            filter: Arc::clone(&settings.filter),
            enter_extra: !self.settings.one_way,
            after: None,
            may_change: false,
            lookahead: settings.checkers.max(1),
            recall: true,
            settles: None,
            whole: false,
            flat,
            moves: false,
            may_write: false,
            scratch: settings.plan_folder.clone(),
            progress: self.progress.clone(),
        };
        let mut unseen: HashSet<String> =
            settings.filter.listed_files().map(str::to_owned).collect();
        let mut is_void = false;
        let state = (march.start(), self.progress.clone(), false);
        let steps = futures::stream::unfold(state, |(mut steps, progress, is_void)| async move {
            let Some(step) = steps.next().await else {
                if !is_void {
                    progress.finish_listing();
                }
                return None;
            };
            let is_void = matches!(step, Step::Anew);
            Some((step, (steps, progress, is_void)))
        });
        let verdicts = steps
            .ready_chunks(BATCH_STEPS)
            .map(|mut steps| {
                for step in &steps {
                    if let Step::Pair(Pair { source: Some(source), .. }) = step {
                        unseen.remove(source.path.as_str());
                    }
                }
                steps.retain(|step| {
                    let takes_back =
                        matches!(step, Step::Anew) || flat && self.has_broken_off(step);
                    is_void |= takes_back;
                    !takes_back
                });
                self.judge_all(steps)
            })
            .buffered(settings.checkers.max(1));
        let mut verdicts = Box::pin(verdicts);
        while let Some(judged) = verdicts.next().await {
            for Told { path, verdict, bytes } in judged? {
                self.write_down(path, verdict, bytes).await;
            }
        }
        drop(verdicts);
        if is_void {
            return Ok(false);
        }
        for name in unseen {
            let text = format!("`{name}` was listed to be checked and is not at the source");
            let path = RelPath::new(&name).unwrap_or_else(|_| RelPath::root());
            self.progress.planned(0);
            self.write_down(path, Verdict::Error(ErrorKind::NotFound, text, None), 0).await;
        }
        Ok(true)
    }

    /// Did a listing of everything at once break off? Then one folder may be the reason, which must not hide the others.
    fn has_broken_off(&self, step: &Step) -> bool {
        let Step::Failed { dir, error, .. } = step else { return false };
        let places = [&self.source, &self.destination];
        let lists_all = |place: &&Place| place.backend.capabilities().list_recursive;
        let may_pass = !error.is_fatal()
            && !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Cancelled);
        dir.is_root() && may_pass && places.iter().any(lists_all)
    }

    /// Takes back what was said so far.
    async fn begin_anew(&self) {
        *self.report() = CheckReport::default();
        self.progress.forget_planned();
        // A reader of events that went away does not stop a check.
        let _ = self.events.send(Event::Anew).await;
    }

    /// The verdicts on some steps, in their order. `Err` ends the check.
    async fn judge_all(&self, steps: Vec<Step>) -> Result<Vec<Told>> {
        let mut judged: Vec<Option<Told>> = Vec::with_capacity(steps.len());
        // Where the verdict of each comparison belongs.
        let (mut small, mut single) = (Vec::new(), Vec::new());
        for step in steps {
            match self.judge(step)? {
                Judged::Nothing => {}
                Judged::Verdict(path, verdict) => {
                    self.progress.planned(0);
                    judged.push(Some(Told { path, verdict, bytes: 0 }));
                }
                Judged::Compare(source, destination) => {
                    self.progress.planned(source.size.unwrap_or(0));
                    let at_hand = matches!(self.method, Method::Content);
                    let is_small = source.size.is_some_and(|size| size <= BATCHED_BYTES);
                    let pair = (judged.len(), source, destination);
                    if at_hand && is_small {
                        small.push(pair)
                    } else {
                        single.push(pair)
                    }
                    judged.push(None);
                }
            }
        }
        let singles = futures::future::try_join_all(single.into_iter().map(
            |(index, source, destination)| async move {
                let shown = self.progress.start(&source.path, source.size);
                let verdict = self.compare_files(&source, &destination, shown.counter()).await?;
                Ok((index, source, verdict))
            },
        ));
        let (smalls, singles) =
            futures::future::try_join(self.compare_small(small), singles).await?;
        for (index, source, verdict) in smalls.into_iter().chain(singles) {
            let bytes = source.size.unwrap_or(0);
            judged[index] = Some(Told { path: source.path, verdict, bytes });
        }
        Ok(judged.into_iter().flatten().collect())
    }

    /// The fingerprint of two versions; `None` if other versions could not be told apart.
    fn fingerprint(&self, source: &Entry, destination: &Entry) -> Option<[u8; 16]> {
        let tells = |entry: &Entry| {
            entry.version.is_some() || entry.handle.is_some() || entry.hashes.is_some()
        };
        let disks = [&self.source.disk, &self.destination.disk];
        let prove = || disks.into_iter().flatten().all(|disk| disk.proves_versions());
        (tells(source) && tells(destination) && prove()).then(|| {
            Marks::fingerprint(&[&source_identity("", source), &source_identity("", destination)])
        })
    }

    /// Room for one more comparison that reads.
    async fn permit(&self) -> Result<tokio::sync::SemaphorePermit<'_>> {
        self.at_once.acquire().await.map_err(|_| Error::cancelled())
    }

    async fn write_down(&self, path: RelPath, verdict: Verdict, bytes: u64) {
        {
            let mut report = self.report();
            match &verdict {
                Verdict::Equal(evidence) => {
                    report.equal += 1;
                    report.equal_by_hash += u64::from(matches!(
                        evidence,
                        Evidence::Digest(_) | Evidence::Remembered(Some(_))
                    ));
                    report.equal_claimed += u64::from(matches!(evidence, Evidence::Claimed(_)));
                    report.equal_by_content += u64::from(*evidence == Evidence::Content);
                    report.equal_remembered +=
                        u64::from(matches!(evidence, Evidence::Remembered(_)));
                }
                Verdict::SizeDiffers
                | Verdict::HashDiffers(_)
                | Verdict::ClaimDiffers(_)
                | Verdict::ContentDiffers => {
                    report.differing += 1;
                }
                Verdict::MissingOnDestination => report.missing_on_destination += 1,
                Verdict::MissingOnSource => report.missing_on_source += 1,
                Verdict::NotStorable(..) => report.not_storable += 1,
                Verdict::Unverifiable(..) => report.unverifiable += 1,
                Verdict::Error(kind, ..) => {
                    report.errors += 1;
                    if !report.error_kinds.contains(kind) {
                        report.error_kinds.push(*kind);
                    }
                }
            }
        }
        self.progress.done(bytes);
        if self.settings.equal_is_silent && matches!(verdict, Verdict::Equal(_)) {
            return;
        }
        // A reader of events that went away does not stop a check.
        let _ = self.events.send(Event::Checked { path, verdict }).await;
    }
}

/// The verdict on one file.
struct Told {
    path: RelPath,
    verdict: Verdict,
    /// How many bytes of the source the comparison read.
    bytes: u64,
}

/// What a comparison says. `Err` ends the check.
fn verdict(compared: Result<(bool, Evidence)>) -> Result<Verdict> {
    match compared {
        Ok((true, evidence)) => Ok(Verdict::Equal(evidence)),
        Ok((false, Evidence::Digest(algo) | Evidence::Remembered(Some(algo)))) => {
            Ok(Verdict::HashDiffers(algo))
        }
        Ok((false, Evidence::Claimed(algo))) => Ok(Verdict::ClaimDiffers(algo)),
        Ok((false, Evidence::Content | Evidence::Remembered(None))) => Ok(Verdict::ContentDiffers),
        Ok((false, Evidence::Size)) => Ok(Verdict::SizeDiffers),
        Err(error) if error.is_fatal() || error.kind() == ErrorKind::Cancelled => Err(error),
        Err(error) if error.kind() == ErrorKind::Unsupported => {
            Ok(Verdict::Unverifiable(error.message().to_owned(), error.hint()))
        }
        Err(error) => Ok(Verdict::Error(error.kind(), error.to_string(), error.hint())),
    }
}
