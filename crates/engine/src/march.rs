//! Walks both trees in step: folder by folder, in key order, with the next folders listed ahead.
//!
//! The unit is a *pair of folders*. That keeps promise 1 simple (what is missing in a folder is concluded only from the
//! completed listing of that very folder), and keeps a `copy` from listing folders of the destination that the source does
//! not have, which matters where a listing costs seconds. Held in memory: the listings of the folders on the current path
//! and of the folders listed ahead, packed and bounded (see `listing`), and some joined pairs of each.

use std::collections::VecDeque;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use ketch_core::{Backend, Error, ErrorKind, RelPath, Result, View};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use self::folder::{Folder, Folders, Found, Sides};
use crate::filter::Filter;
use crate::join::Pair;
use crate::progress::Progress;

mod flat;
mod folder;
mod spelling;

/// Steps that are sent together, so that one send carries many.
const BATCH_STEPS: usize = 256;
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
#[expect(
    clippy::large_enum_variant,
    reason = "pairs are few beside what is counted, and a box for each costs more"
)]
#[derive(Debug)]
pub enum Step {
    /// What both sides have under one key.
    Pair(Pair),
    /// Consecutive files that both sides have and that need nothing (see [`March::settles`]).
    Equal {
        /// How many; at least one.
        count: u64,
        /// The last of them.
        last: RelPath,
    },
    /// A folder that only the destination has holds an entry that a filter excludes, so it cannot be deleted.
    Occupied {
        /// The folder.
        dir: RelPath,
    },
    /// A folder could not be listed to its end: nothing is known about its contents, and the march does not enter it.
    Failed {
        /// Whose listing it was.
        side: Side,
        /// The folder.
        dir: RelPath,
        /// Why.
        error: Error,
    },
    /// Nothing that was said so far counts, and nothing follows: a flat listing is not in the order that was promised, or a side
    /// must be looked at folder by folder. The same march without [`March::flat`] says everything.
    Anew,
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
    /// Skip everything up to this key (a path, and whether it is a folder's), because an earlier march saw it: folders
    /// before it are not listed.
    pub after: Option<(RelPath, bool)>,
    /// Places that list everything at once are asked to. Then a march may end with [`Step::Anew`].
    pub flat: bool,
    /// May the march's caller change the destination? See [`ketch_core::ListOptions`].
    pub may_change: bool,
    /// Folders listed ahead.
    pub lookahead: usize,
    /// Use what the destination remembers of a folder instead of a listing, if the destination can prove it and if it has
    /// the same names and sizes as the source.
    pub recall: bool,
    /// Decides whether two files of one name need nothing. Such files are only counted, where the folder is listed, and no
    /// step is sent for each.
    pub settles: Option<Settles>,
    /// Do not enter folders that only the source has: the action applies to the whole folder.
    pub whole: bool,
    /// The job is a move: of names that the destination would treat as one, all stay at the source.
    pub moves: bool,
    /// A file may be made at the destination for a moment, to find out whether it ignores case.
    pub may_write: bool,
    /// Where listings are stored that have no room in memory; `None` = the system's folder for temporary files.
    pub scratch: Option<PathBuf>,
    /// Where listed entries are counted.
    pub progress: Progress,
}

/// Decides whether two files of one name need nothing.
#[derive(Clone)]
pub struct Settles(pub Arc<Decides>);

/// Takes two files of one name: the source's and the destination's.
pub type Decides = dyn Fn(&View<'_>, &View<'_>) -> bool + Send + Sync;

impl fmt::Debug for Settles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Settles")
    }
}

/// The steps of a march. Dropping it stops the listings.
#[derive(Debug)]
pub struct Steps {
    batches: mpsc::Receiver<Vec<Step>>,
    current: std::vec::IntoIter<Step>,
    _task: AbortOnDropHandle<()>,
}

impl Steps {
    /// The next step; `None` when both trees have been walked to their end, as far as they could be listed.
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
            let folders = Arc::new(Folders::new(self));
            let mut marcher = Marcher { folders, sender, batch: Vec::new() };
            // The receiver was dropped: no more steps are wanted.
            let _ = marcher.run().await;
        });
        Steps { batches, current: Vec::new().into_iter(), _task: AbortOnDropHandle::new(task) }
    }
}

type ListingTask = AbortOnDropHandle<Opened>;

/// A folder that was listed on both sides and joined as far as its window goes, or the error.
type Opened = std::result::Result<Folder, (Side, Error)>;

/// One folder on the current path, and the listings of its sub-folders that were started ahead.
struct Frame {
    folder: Folder,
    /// The number of the next step in the folder.
    next: usize,
    next_ahead: usize,
    ahead: VecDeque<(usize, ListingTask)>,
}

struct Marcher {
    folders: Arc<Folders>,
    sender: mpsc::Sender<Vec<Step>>,
    batch: Vec<Step>,
}

/// The receiver wants no more steps.
struct Gone;

impl Marcher {
    async fn run(&mut self) -> std::result::Result<(), Gone> {
        if flat::applies(&self.folders.march) {
            flat::Joining::new(&self.folders).run(self).await?;
            return self.flush().await;
        }
        let both = Sides { source: true, destination: true };
        let root = Arc::clone(&self.folders).open(RelPath::root(), both).await;
        let mut stack = Vec::new();
        stack.extend(self.enter(RelPath::root(), root).await?);
        while let Some(frame) = stack.last_mut() {
            if let Err(error) = frame.folder.fill(&self.folders) {
                let dir = frame.folder.dir().clone();
                stack.pop();
                self.push(Step::Failed { side: Side::Source, dir, error }).await?;
                continue;
            }
            if frame.folder.take_found_occupied() {
                let dir = frame.folder.dir().clone();
                self.push(Step::Occupied { dir }).await?;
            }
            let Some(found) = frame.folder.pop() else {
                stack.pop();
                continue;
            };
            let index = frame.next;
            frame.next += 1;
            let pair = match found {
                Found::Equal { count, last } => {
                    self.push(Step::Equal { count, last }).await?;
                    continue;
                }
                Found::Pair(pair) => pair,
            };
            let is_behind = self.folders.is_behind(&pair);
            let Some(sides) = self.folders.sides_to_enter(&pair) else {
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
            // Steps that are known already must not wait for a slow listing.
            self.flush().await?;
            let opened = task.await.unwrap_or_else(|_| {
                Err((Side::Source, Error::new(ErrorKind::Io, "a listing task stopped")))
            });
            stack.extend(self.enter(dir, opened).await?);
        }
        self.flush().await
    }

    /// The folder to march over next, or the failure to report.
    async fn enter(
        &mut self,
        dir: RelPath,
        opened: Opened,
    ) -> std::result::Result<Option<Frame>, Gone> {
        match opened {
            Ok(folder) => {
                Ok(Some(Frame { folder, next: 0, next_ahead: 0, ahead: VecDeque::new() }))
            }
            Err((side, error)) => {
                self.push(Step::Failed { side, dir, error }).await?;
                Ok(None)
            }
        }
    }

    /// Starts listings of the next folders, the nearest first, until enough are in progress.
    fn list_ahead(&self, stack: &mut [Frame]) {
        let under_way: usize = stack.iter().map(|frame| frame.ahead.len()).sum();
        let mut room = self.folders.march.lookahead.saturating_sub(under_way);
        for frame in stack.iter_mut().rev() {
            frame.next_ahead = frame.next_ahead.max(frame.next);
            while room > 0 {
                let index = frame.next_ahead;
                let Some(found) = frame.folder.ahead(index - frame.next) else { break };
                frame.next_ahead += 1;
                let Found::Pair(pair) = found else { continue };
                if let Some(sides) = self.folders.sides_to_enter(pair) {
                    let task = self.start_listing(pair.path(), sides);
                    frame.ahead.push_back((index, task));
                    room -= 1;
                }
            }
        }
    }

    fn start_listing(&self, dir: &RelPath, sides: Sides) -> ListingTask {
        let listing = Arc::clone(&self.folders).open(dir.clone(), sides);
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
