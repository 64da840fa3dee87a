//! The comparison of two places, changing nothing: one verdict a file, by digest wherever a digest can be had.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use futures::StreamExt;
use ketch_core::{
    Backend, Digest, Entry, EntryKind, Error, ErrorKind, HashAlgo, MultiHasher, ReadOptions,
    RelPath, Result,
};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::bandwidth::Bandwidth;
use crate::digest::digest_of;
use crate::event::{EVENT_QUEUE, Event, Progress};
use crate::join::Pair;
use crate::march::{March, Step};
use crate::report::{CheckReport, Verdict};
use crate::settings::{Compare, Settings, Stop};

/// How a check works.
#[derive(Debug, Clone, Default)]
pub struct CheckSettings {
    /// Filter, parallelism and bandwidth; of the comparisons only [`Compare::SizeOnly`] makes a difference.
    pub settings: Settings,
    /// What only the destination has is no difference.
    pub one_way: bool,
    /// Read both sides to their end where no common digest is known, instead of refusing.
    pub download: bool,
}

/// A running check.
#[derive(Debug)]
pub struct CheckJob {
    /// What is found. The channel ends when the check has.
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
        source,
        destination,
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
    /// By a digest that both sides give, from listings or cheap reading.
    Digest(HashAlgo),
    /// By reading both sides.
    Download,
    /// By size alone, as asked for.
    Size,
    /// Not at all: there is no common digest and nobody allowed less.
    None,
}

impl Method {
    fn choose(source: &dyn Backend, destination: &dyn Backend, settings: &CheckSettings) -> Self {
        let common = source.capabilities().common_hash(destination.capabilities());
        match (settings.settings.compare, common) {
            (Compare::SizeOnly, _) => Method::Size,
            _ if settings.download => Method::Download,
            (_, Some(algo)) => Method::Digest(algo),
            (_, None) => Method::None,
        }
    }
}

struct Checker {
    method: Method,
    source: Arc<dyn Backend>,
    destination: Arc<dyn Backend>,
    settings: CheckSettings,
    bandwidth: Option<Bandwidth>,
    events: mpsc::Sender<Event>,
    progress: Progress,
    report: Mutex<CheckReport>,
}

impl Checker {
    fn report(&self) -> MutexGuard<'_, CheckReport> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn run(self, stop: Stop) -> CheckReport {
        let started = Instant::now();
        let result = tokio::select! {
            result = self.compare_trees() => result,
            () = stop.stopping() => Ok(()),
        };
        let mut report = std::mem::take(&mut *self.report());
        report.fatal = result.err();
        report.stopped = stop.is_stopping();
        report.algo = match self.method {
            Method::Digest(algo) => Some(algo),
            Method::Download => Some(HashAlgo::Blake3),
            Method::Size | Method::None => None,
        };
        report.elapsed = started.elapsed();
        report
    }

    async fn compare_trees(&self) -> Result<()> {
        if matches!(self.method, Method::None) {
            let text = format!(
                "{} and {} have no digest in common, so equal sizes would prove nothing \
                 (--download reads both sides, --size-only compares sizes)",
                self.source.name(),
                self.destination.name()
            );
            return Err(Error::new(ErrorKind::Unsupported, text).with_operation("check"));
        }
        let settings = &self.settings.settings;
        let march = March {
            source: Arc::clone(&self.source),
            destination: Arc::clone(&self.destination),
            filter: Arc::clone(&settings.filter),
            enter_extra: !self.settings.one_way,
            after: None,
            lookahead: settings.checkers.max(1),
            progress: self.progress.clone(),
        };
        let mut unseen: std::collections::HashSet<String> =
            settings.filter.listed_files().map(str::to_owned).collect();
        let steps = futures::stream::unfold(march.start(), |mut steps| async move {
            steps.next().await.map(|step| (step, steps))
        });
        let verdicts = steps
            .map(|step| {
                if let Step::Pair(Pair { source: Some(source), .. }) = &step {
                    unseen.remove(source.path.as_str());
                }
                self.judge(step)
            })
            .buffered(settings.checkers.max(1));
        let mut verdicts = Box::pin(verdicts);
        while let Some(judged) = verdicts.next().await {
            if let Some((path, verdict)) = judged? {
                self.write_down(path, verdict).await;
            }
        }
        drop(verdicts);
        for name in unseen {
            let text = format!("`{name}` was listed to be checked and is not at the source");
            let path = RelPath::new(&name).unwrap_or_else(|_| RelPath::root());
            self.write_down(path, Verdict::Error(ErrorKind::NotFound, text)).await;
        }
        self.progress.finish_listing();
        Ok(())
    }

    /// The verdict on one step; `None` for folders and what takes no part. `Err` ends the check.
    async fn judge(&self, step: Step) -> Result<Option<(RelPath, Verdict)>> {
        let pair = match step {
            Step::Pair(pair) => pair,
            Step::Occupied { .. } => return Ok(None),
            Step::Failed { dir, error, .. } if dir.is_root() || error.is_fatal() => {
                return Err(error);
            }
            Step::Failed { dir, error, .. } => {
                return Ok(Some((dir, Verdict::Error(error.kind(), error.to_string()))));
            }
        };
        let path = pair.path().clone();
        Ok(self.judge_pair(pair).await?.map(|verdict| (path, verdict)))
    }

    async fn judge_pair(&self, pair: Pair) -> Result<Option<Verdict>> {
        let several = |side: &str| {
            Ok(Some(Verdict::Unverifiable(format!("the {side} has several of that name"))))
        };
        if pair.source_duplicates {
            return several("source");
        }
        if pair.destination_duplicates {
            return several("destination");
        }
        if pair.clash && pair.source.is_some() {
            let text = "a file on one side and a folder or something else on the other";
            return Ok(Some(Verdict::Unverifiable(text.to_owned())));
        }
        match (pair.source, pair.destination) {
            (Some(source), None) => Ok(self.judge_source_only(&source)),
            // What clashes has its verdict at the source's entry.
            (None, Some(_)) if pair.clash => Ok(None),
            (None, Some(destination)) => {
                let is_file = destination.is_file() && !self.settings.one_way;
                Ok(is_file.then_some(Verdict::MissingOnSource))
            }
            (Some(source), Some(destination)) => match (source.kind, destination.kind) {
                (EntryKind::File, EntryKind::File) => {
                    self.compare_files(&source, &destination).await.map(Some)
                }
                (EntryKind::Special(special), _) => {
                    Ok(Some(Verdict::NotStorable(special.describe())))
                }
                (EntryKind::Dir, EntryKind::Dir) => Ok(None),
                _ => Ok(Some(Verdict::Unverifiable("not a file on both sides".to_owned()))),
            },
            (None, None) => Ok(None),
        }
    }

    fn judge_source_only(&self, source: &Entry) -> Option<Verdict> {
        match source.kind {
            EntryKind::Dir => None,
            EntryKind::Special(special) => Some(Verdict::NotStorable(special.describe())),
            EntryKind::File
                if source.size == Some(0) && !self.destination.capabilities().put_empty =>
            {
                Some(Verdict::NotStorable("the destination stores no empty files"))
            }
            EntryKind::File => Some(Verdict::MissingOnDestination),
        }
    }

    async fn compare_files(&self, source: &Entry, destination: &Entry) -> Result<Verdict> {
        if let (Some(left), Some(right)) = (source.size, destination.size)
            && left != right
        {
            return Ok(Verdict::SizeDiffers);
        }
        let (algo, digests) = match self.method {
            Method::Size | Method::None => {
                return Ok(match source.size.zip(destination.size) {
                    Some(_) => Verdict::Equal(None),
                    None => Verdict::Unverifiable("a side does not tell the size".to_owned()),
                });
            }
            Method::Digest(algo) => {
                let left = digest_of(&self.source, source, algo);
                let right = digest_of(&self.destination, destination, algo);
                (algo, tokio::join!(left, right))
            }
            Method::Download => {
                let left = self.read_digest(&self.source, source);
                let right = self.read_digest(&self.destination, destination);
                (HashAlgo::Blake3, tokio::join!(left, right))
            }
        };
        match digests {
            (Ok(left), Ok(right)) if left == right => Ok(Verdict::Equal(Some(algo))),
            (Ok(_), Ok(_)) => Ok(Verdict::HashDiffers(algo)),
            (Err(error), _) | (_, Err(error)) if error.is_fatal() => Err(error),
            (Err(error), _) | (_, Err(error)) if error.kind() == ErrorKind::Unsupported => {
                Ok(Verdict::Unverifiable(error.message().to_owned()))
            }
            (Err(error), _) | (_, Err(error)) => {
                Ok(Verdict::Error(error.kind(), error.to_string()))
            }
        }
    }

    /// The digest of what is really read, whatever a listing says.
    async fn read_digest(&self, backend: &Arc<dyn Backend>, entry: &Entry) -> Result<Digest> {
        let mut stream = backend.read(entry, ReadOptions::default()).await?;
        let mut hasher = MultiHasher::new(&[HashAlgo::Blake3]);
        while let Some(piece) = stream.next().await {
            let piece = piece?;
            if let Some(bandwidth) = &self.bandwidth {
                bandwidth.pass(piece.len() as u64).await;
            }
            hasher.update(&piece);
        }
        let hashes = hasher.finish();
        Ok(hashes.get(HashAlgo::Blake3).expect("the digest that was asked for").clone())
    }

    async fn write_down(&self, path: RelPath, verdict: Verdict) {
        {
            let mut report = self.report();
            match &verdict {
                Verdict::Equal(algo) => {
                    report.equal += 1;
                    report.equal_by_hash += u64::from(algo.is_some());
                }
                Verdict::SizeDiffers | Verdict::HashDiffers(_) => report.differing += 1,
                Verdict::MissingOnDestination => report.missing_on_destination += 1,
                Verdict::MissingOnSource => report.missing_on_source += 1,
                Verdict::NotStorable(_) => report.not_storable += 1,
                Verdict::Unverifiable(_) => report.unverifiable += 1,
                Verdict::Error(kind, _) => {
                    report.errors += 1;
                    if !report.error_kinds.contains(kind) {
                        report.error_kinds.push(*kind);
                    }
                }
            }
        }
        self.progress.done(0);
        // A reader of events that went away does not stop a check.
        let _ = self.events.send(Event::Checked { path, verdict }).await;
    }
}
