//! Both trees in step: folder by folder, in key order, the next folders listed ahead.
//!
//! The unit is a *pair of folders*. That keeps promise 1 simple (what is missing in a folder is concluded only from the
//! completed listing of that very folder), and keeps a `copy` from listing folders of the destination that the source does
//! not have, which matters where a listing costs seconds. Held in memory: the listings of the folders on the current path
//! and of the folders listed ahead (packed where they are large, see `listing`).

use std::collections::VecDeque;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use ketch_core::{
    Backend, Entry, EntryKind, Error, ErrorKind, ListOptions, Order, RelPath, Result, compare_keys,
};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use crate::event::Progress;
use crate::filter::Filter;
use crate::join::{self, Joined, Pair};
use crate::listing::Listing;

/// Steps that travel together, so that the channel is crossed once for many.
const BATCH_STEPS: usize = 256;
/// Pairs of one folder that are looked through for sub-folders to list ahead.
const WINDOW_PAIRS: usize = 1024;
/// Batches that may wait for the planner.
const QUEUE_BATCHES: usize = 4;

/// A side of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Where the files come from.
    Source,
    /// Where they go.
    Destination,
}

/// What the march found next.
#[derive(Debug)]
pub enum Step {
    /// What both sides have under one key.
    Pair(Pair),
    /// A folder that only the destination has holds something that takes no part, so it cannot be deleted.
    Occupied {
        /// The folder.
        dir: RelPath,
    },
    /// A folder could not be listed to its end: nothing is known about what is in it, and it is passed over.
    Failed {
        /// Whose listing it was.
        side: Side,
        /// The folder.
        dir: RelPath,
        /// Why.
        error: Error,
    },
}

/// What to march over.
#[derive(Debug, Clone)]
pub struct March {
    /// Where the files come from.
    pub source: Arc<dyn Backend>,
    /// Where they go.
    pub destination: Arc<dyn Backend>,
    /// What takes part.
    pub filter: Arc<Filter>,
    /// Enter folders that only the destination has.
    pub enter_extra: bool,
    /// Pass over everything up to this key (a path, and whether it is a folder's), as an earlier march saw it: folders that
    /// lie before it are not listed.
    pub after: Option<(RelPath, bool)>,
    /// Folders listed ahead.
    pub lookahead: usize,
    /// Take what the destination remembers of a folder in place of a listing, where it can prove that and where it shows
    /// the same names and sizes as the source.
    pub recall: bool,
    /// Where listed entries are counted.
    pub progress: Progress,
}

/// The steps of a march. Dropping it stops the listings.
#[derive(Debug)]
pub struct Steps {
    batches: mpsc::Receiver<Vec<Step>>,
    current: std::vec::IntoIter<Step>,
    _task: AbortOnDropHandle<()>,
}

impl Steps {
    /// The next step; `None` when both trees have been seen to their end, as far as they could be.
    pub async fn next(&mut self) -> Option<Step> {
        loop {
            if let Some(step) = self.current.next() {
                return Some(step);
            }
            self.current = self.batches.recv().await?.into_iter();
        }
    }
}

impl March {
    /// Starts marching on the current runtime.
    pub fn start(self) -> Steps {
        let (sender, batches) = mpsc::channel(QUEUE_BATCHES);
        let task = tokio::spawn(async move {
            let mut marcher = Marcher { march: Arc::new(self), sender, batch: Vec::new() };
            // The receiver went away: nobody wants more.
            let _ = marcher.run().await;
        });
        Steps { batches, current: Vec::new().into_iter(), _task: AbortOnDropHandle::new(task) }
    }

    async fn list_pair(self: Arc<Self>, dir: RelPath, sides: Sides) -> Listed {
        if self.recall
            && sides.source
            && sides.destination
            && let Some(known) = self.destination.recall(&dir).await
        {
            return self.list_recalled(dir, known).await;
        }
        let source = async {
            match sides.source {
                true => self.list_side(&self.source, &dir).await,
                false => Ok(Listing::new(&dir)),
            }
        };
        let destination = async {
            if !sides.destination {
                return Ok(Listing::new(&dir));
            }
            match self.list_side(&self.destination, &dir).await {
                // Nothing is there, so nothing is extra: this is complete knowledge.
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(Listing::new(&dir)),
                result => result,
            }
        };
        let (source, destination) = tokio::join!(source, destination);
        Listed { source, destination }
    }

    /// ORDER: what is remembered is never the reason to call anything missing or extra: with any difference in names, kinds
    /// or sizes the destination is listed.
    async fn list_recalled(&self, dir: RelPath, mut known: Vec<Entry>) -> Listed {
        let source = match self.entries(&self.source, &dir).await {
            Ok(source) => source,
            Err(error) => {
                return Listed { source: Err(error), destination: Ok(Listing::new(&dir)) };
            }
        };
        join::sort(&mut known);
        let look = |entry: &Entry| (entry.path.clone(), entry.kind, entry.size);
        let destination = match known.iter().map(look).eq(source.iter().map(look)) {
            true => {
                self.progress.listed(known.len() as u64);
                Ok(Listing::of_sorted(&dir, known))
            }
            false => match self.list_side(&self.destination, &dir).await {
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(Listing::new(&dir)),
                result => result,
            },
        };
        self.progress.listed(source.len() as u64);
        Listed { source: Ok(Listing::of_sorted(&dir, source)), destination }
    }

    /// All entries of a folder, sorted.
    async fn entries(&self, backend: &Arc<dyn Backend>, dir: &RelPath) -> Result<Vec<Entry>> {
        let stream = backend.list(dir, ListOptions::default());
        let mut entries: Vec<Entry> = stream.try_collect().await?;
        join::sort(&mut entries);
        Ok(entries)
    }

    async fn list_side(&self, backend: &Arc<dyn Backend>, dir: &RelPath) -> Result<Listing> {
        let mut stream = backend.list(dir, ListOptions::default());
        let listing = match backend.capabilities().list_order {
            Order::Unspecified => {
                let mut entries = Vec::new();
                while let Some(entry) = stream.next().await {
                    entries.push(entry?);
                }
                join::sort(&mut entries);
                Listing::of_sorted(dir, entries)
            }
            Order::Key => {
                let mut listing = Listing::new(dir);
                let mut is_in_order = true;
                while let Some(entry) = stream.next().await {
                    is_in_order &= listing.push(entry?);
                }
                // ORDER: the join relies on it, so a promise of order is checked.
                if !is_in_order {
                    let text = "the listing is not in the order this remote promises";
                    return Err(Error::new(ErrorKind::Protocol, text)
                        .with_operation("list")
                        .with_remote(backend.name())
                        .with_path(dir));
                }
                listing
            }
        };
        self.progress.listed(listing.len() as u64);
        Ok(listing)
    }

    /// Does a pair take part? The source decides where it has something of that name, by its own size and age: what the
    /// source has can be left out, but it never becomes "missing", and its twin at the destination never "extra".
    fn admits(&self, pair: &Pair) -> bool {
        let Some(entry) = pair.source.as_ref().or(pair.destination.as_ref()) else { return false };
        let path = entry.path.as_str();
        match entry.kind {
            EntryKind::Dir => self.filter.admits_dir(path),
            EntryKind::File | EntryKind::Link => {
                self.filter.admits_file(path, entry.size, entry.mtime)
            }
            EntryKind::Special(_) => self.filter.admits_file(path, None, None),
        }
    }

    /// Did an earlier march hand out this pair?
    fn is_behind(&self, pair: &Pair) -> bool {
        let Some((after, after_is_dir)) = &self.after else { return false };
        let key = (pair.path().as_str(), pair.is_dir());
        compare_keys(key, (after.as_str(), *after_is_dir)).is_le()
    }

    /// Did it hand out everything in it, too?
    fn is_passed(&self, pair: &Pair) -> bool {
        let inside = |after: &(RelPath, bool)| after.0.is_within(pair.path());
        self.is_behind(pair) && !(pair.is_dir() && self.after.as_ref().is_some_and(inside))
    }

    /// On which sides `pair` is a folder to be entered.
    fn sides_to_enter(&self, pair: &Pair) -> Option<Sides> {
        let ambiguous = pair.source_duplicates || pair.destination_duplicates;
        if !pair.is_dir() || pair.clash || ambiguous {
            return None;
        }
        let sides =
            Sides { source: pair.source.is_some(), destination: pair.destination.is_some() };
        (sides.source || self.enter_extra).then_some(sides)
    }
}

#[derive(Debug, Clone, Copy)]
struct Sides {
    source: bool,
    destination: bool,
}

struct Listed {
    source: Result<Listing>,
    destination: Result<Listing>,
}

type ListingTask = AbortOnDropHandle<Listed>;

/// One folder on the current path: what is still to be joined, the pairs that come next, and the listings of its
/// sub-folders that were started ahead.
struct Frame {
    dir: RelPath,
    /// Only the destination has it, and nothing was found in it yet that takes no part.
    may_be_occupied: bool,
    joined: Joined,
    window: VecDeque<Pair>,
    /// The number of the first pair of the window.
    next: usize,
    next_ahead: usize,
    ahead: VecDeque<(usize, ListingTask)>,
}

impl Frame {
    /// Fills the window, unless it is half full. Tells whether something was met that keeps the folder from being deleted.
    fn fill(&mut self, march: &March) -> bool {
        if self.window.len() > WINDOW_PAIRS / 2 {
            return false;
        }
        let mut is_occupied = false;
        while self.window.len() < WINDOW_PAIRS {
            let Some(pair) = self.joined.next() else { break };
            // ORDER: joined first and filtered then, so that a name the filter hides still counts as being there.
            let is_admitted = march.admits(&pair);
            let special = |entry: &Entry| matches!(entry.kind, EntryKind::Special(_));
            is_occupied |= !is_admitted || pair.destination.as_ref().is_some_and(special);
            if is_admitted && !march.is_passed(&pair) {
                self.window.push_back(pair);
            }
        }
        std::mem::take(&mut self.may_be_occupied) && {
            self.may_be_occupied = !is_occupied;
            is_occupied
        }
    }
}

struct Marcher {
    march: Arc<March>,
    sender: mpsc::Sender<Vec<Step>>,
    batch: Vec<Step>,
}

/// Nobody wants more steps.
struct Gone;

impl Marcher {
    async fn run(&mut self) -> std::result::Result<(), Gone> {
        let both = Sides { source: true, destination: true };
        let root = Arc::clone(&self.march).list_pair(RelPath::root(), both).await;
        let mut stack = Vec::new();
        stack.extend(self.open(RelPath::root(), false, root).await?);
        while let Some(frame) = stack.last_mut() {
            if frame.fill(&self.march) {
                let dir = frame.dir.clone();
                self.push(Step::Occupied { dir }).await?;
            }
            let Some(pair) = frame.window.pop_front() else {
                stack.pop();
                continue;
            };
            let index = frame.next;
            frame.next += 1;
            let is_behind = self.march.is_behind(&pair);
            let Some(sides) = self.march.sides_to_enter(&pair) else {
                if !is_behind {
                    self.push(Step::Pair(pair)).await?;
                }
                continue;
            };
            let dir = pair.path().clone();
            let task = match frame.ahead.pop_front() {
                Some((started, task)) if started == index => task,
                other => {
                    frame.ahead.extend(other);
                    frame.next_ahead = frame.next_ahead.max(index + 1);
                    self.start_listing(&dir, sides)
                }
            };
            if !is_behind {
                self.push(Step::Pair(pair)).await?;
            }
            self.list_ahead(&mut stack);
            // What is known already must not wait for a slow listing.
            self.flush().await?;
            let listed = task.await.unwrap_or_else(|_| Listed {
                source: Err(Error::new(ErrorKind::Io, "a listing task stopped")),
                destination: Ok(Listing::new(&dir)),
            });
            stack.extend(self.open(dir, !sides.source, listed).await?);
        }
        self.flush().await
    }

    /// Turns two listings into pairs, or into the failures they are.
    async fn open(
        &mut self,
        dir: RelPath,
        is_extra: bool,
        listed: Listed,
    ) -> std::result::Result<Option<Frame>, Gone> {
        match (listed.source, listed.destination) {
            (Ok(source), Ok(destination)) => {
                let joined = Joined::new(source, destination);
                Ok(Some(Frame {
                    dir,
                    may_be_occupied: is_extra,
                    joined,
                    window: VecDeque::new(),
                    next: 0,
                    next_ahead: 0,
                    ahead: VecDeque::new(),
                }))
            }
            (source, destination) => {
                // One folder is one failure: with both, the source's is told.
                let (side, error) = match (source, destination) {
                    (Err(error), _) => (Side::Source, error),
                    (Ok(_), Err(error)) => (Side::Destination, error),
                    (Ok(_), Ok(_)) => return Ok(None),
                };
                self.push(Step::Failed { side, dir, error }).await?;
                Ok(None)
            }
        }
    }

    /// Starts listings of the folders that come next, the nearest first, until enough are under way.
    fn list_ahead(&self, stack: &mut [Frame]) {
        let under_way: usize = stack.iter().map(|frame| frame.ahead.len()).sum();
        let mut room = self.march.lookahead.saturating_sub(under_way);
        for frame in stack.iter_mut().rev() {
            frame.next_ahead = frame.next_ahead.max(frame.next);
            while room > 0 {
                let index = frame.next_ahead;
                let Some(pair) = frame.window.get(index - frame.next) else { break };
                frame.next_ahead += 1;
                if let Some(sides) = self.march.sides_to_enter(pair) {
                    let task = self.start_listing(pair.path(), sides);
                    frame.ahead.push_back((index, task));
                    room -= 1;
                }
            }
        }
    }

    fn start_listing(&self, dir: &RelPath, sides: Sides) -> ListingTask {
        let listing = Arc::clone(&self.march).list_pair(dir.clone(), sides);
        AbortOnDropHandle::new(tokio::spawn(listing))
    }

    async fn push(&mut self, step: Step) -> std::result::Result<(), Gone> {
        self.batch.push(step);
        if self.batch.len() >= BATCH_STEPS { self.flush().await } else { Ok(()) }
    }

    async fn flush(&mut self) -> std::result::Result<(), Gone> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let batch = std::mem::take(&mut self.batch);
        self.sender.send(batch).await.map_err(|_| Gone)
    }
}
