//! Walks one place in key order: what every command that looks at one side is made of.
//!
//! A place that lists everything at once is asked to, if everything is wanted. Any other is walked folder by folder, with the
//! next folders listed ahead. Both ways find the same. The rules for those that read what is found:
//!
//! * [`Found::End`] comes after everything that is in a folder, and only if its listing came to its end. Nothing may be
//!   removed, and nothing concluded to be missing, in a folder before that.
//! * [`Found::Failed`] is said once for a folder that could not be listed, and then no `End` comes of it or of what is in it.
//!   Of a folder that is listed by itself no entry is found then. The other folders are walked as if nothing had happened.
//! * [`Found::Anew`] takes back everything that was found so far: a listing of everything at once is not in the order that was
//!   promised. What follows is the whole place once more, folder by folder.
//!
//! Held in memory: the listings of the folders on the current path and of those listed ahead, packed and bounded (see
//! `listing`), or a page of a flat listing. This module knows nothing of what its readers do.

use std::path::PathBuf;
use std::sync::Arc;

use futures::StreamExt;
use futures::stream::BoxStream;
use ketch_core::{Backend, Entry, Error, RelPath, Result};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use self::folders::Folders;
use crate::filter::Filter;
use crate::progress::Progress;

mod all;
mod folders;
mod gather;

pub use self::gather::{Gather, WholeFolder};

/// What is sent together.
const BATCH: usize = 256;
/// Batches that may wait for the reader.
const QUEUE_BATCHES: usize = 4;
/// Folders listed ahead, if nothing else was asked for.
const LOOKAHEAD: usize = 8;

/// What to walk over.
#[derive(Debug, Clone)]
pub struct Walk {
    /// The place.
    pub place: Arc<dyn Backend>,
    /// The folder of it that is walked.
    pub top: RelPath,
    /// What takes part.
    pub filter: Arc<Filter>,
    /// How many levels of folders are listed: with 1 only what is directly in the top folder is found. `None` = all.
    pub depth: Option<usize>,
    /// Only folders are shown.
    pub only_dirs: bool,
    /// Folders listed ahead; at least 1.
    pub lookahead: usize,
    /// A place that lists everything at once is asked to. Then [`Found::Anew`] may come.
    pub flat: bool,
    /// Where listings are stored that have no room in memory; `None` = the system's folder for temporary files.
    pub scratch: Option<PathBuf>,
    /// Where listed entries are counted.
    pub progress: Progress,
}

/// What was found next.
#[derive(Debug)]
pub enum Found {
    /// Something that takes part.
    Entry(Box<Shown>),
    /// Everything in this folder was found.
    End {
        /// The folder.
        dir: RelPath,
        /// Something in it was not shown, because it takes no part.
        has_others: bool,
    },
    /// This folder could not be listed to its end: nothing may be concluded of what is in it.
    Failed {
        /// The folder; never the top folder, without which there is nothing.
        dir: RelPath,
        /// Why.
        error: Error,
    },
    /// Nothing that was found so far counts. Everything is found once more.
    Anew,
}

/// An entry that takes part.
#[derive(Debug, Clone, PartialEq)]
pub struct Shown {
    /// The entry.
    pub entry: Entry,
    /// Its folder has several of that name and kind. Each of them is shown, one after the other.
    pub has_duplicates: bool,
    /// Nothing else of its folder will be shown. `None`: that is not known yet.
    pub is_last: Option<bool>,
}

impl Walk {
    /// A walk over everything in `place`.
    pub fn new(place: &Arc<dyn Backend>) -> Self {
        Walk {
            place: Arc::clone(place),
            top: RelPath::root(),
            filter: Arc::new(Filter::everything()),
            depth: None,
            only_dirs: false,
            lookahead: LOOKAHEAD,
            flat: true,
            scratch: None,
            progress: Progress::default(),
        }
    }

    /// Starts walking on the current runtime.
    pub fn start(self) -> Walking {
        let (sender, batches) = mpsc::channel(QUEUE_BATCHES);
        let task = tokio::spawn(async move {
            let top = self.top.clone();
            let mut out = Out { sender, top, batch: Vec::new(), has_sent: false };
            // The receiver was dropped: no more is wanted.
            let _ = run(self, &mut out).await;
        });
        Walking { batches, current: Vec::new().into_iter(), _task: AbortOnDropHandle::new(task) }
    }

    /// Is everything listed at once? Only if everything is wanted.
    fn is_flat(&self) -> bool {
        self.flat
            && self.place.capabilities().list_recursive
            && self.depth.is_none()
            && self.filter.listed_files().next().is_none()
    }

    fn shows(&self, entry: &Entry) -> bool {
        self.filter.admits(entry) && (entry.is_dir() || !self.only_dirs)
    }
}

async fn run(walk: Walk, out: &mut Out) -> std::result::Result<(), Gone> {
    let after = match walk.is_flat() {
        false => None,
        true => match all::walk(&walk, out).await? {
            all::Ended::Whole => return out.flush().await,
            all::Ended::Failed(after) => after,
            all::Ended::Unordered => {
                out.take_back().await?;
                None
            }
        },
    };
    Folders::run(walk, after, out).await?;
    out.flush().await
}

/// What a walk finds. Dropping it stops the listings.
#[derive(Debug)]
pub struct Walking {
    batches: mpsc::Receiver<Vec<Result<Found>>>,
    current: std::vec::IntoIter<Result<Found>>,
    _task: AbortOnDropHandle<()>,
}

impl Walking {
    /// What was found next; `None` when the place was walked to its end, as far as it could be listed.
    ///
    /// Errors: that of the top folder, without which there is nothing, and those that every other folder would give, too. An error
    /// is the last that comes.
    pub async fn next(&mut self) -> Option<Result<Found>> {
        loop {
            if let Some(found) = self.current.next() {
                return Some(found);
            }
            self.current = self.batches.recv().await?.into_iter();
        }
    }

    /// The same as a stream.
    pub fn into_stream(self) -> BoxStream<'static, Result<Found>> {
        let next = |mut walking: Walking| async move {
            let found = walking.next().await?;
            Some((found, walking))
        };
        futures::stream::unfold(self, next).boxed()
    }
}

/// Where what is found goes.
struct Out {
    sender: mpsc::Sender<Vec<Result<Found>>>,
    top: RelPath,
    batch: Vec<Result<Found>>,
    has_sent: bool,
}

/// The receiver wants no more.
struct Gone;

impl Out {
    async fn say(&mut self, found: Found) -> std::result::Result<(), Gone> {
        self.batch.push(Ok(found));
        if self.batch.len() >= BATCH { self.flush().await } else { Ok(()) }
    }

    /// Says that a folder failed. `false`: that ends the walk.
    async fn fail(&mut self, dir: RelPath, error: Error) -> std::result::Result<bool, Gone> {
        if dir == self.top || error.is_fatal() {
            self.batch.push(Err(error));
            self.flush().await?;
            return Ok(false);
        }
        self.say(Found::Failed { dir, error }).await?;
        Ok(true)
    }

    async fn flush(&mut self) -> std::result::Result<(), Gone> {
        if self.batch.is_empty() {
            return Ok(());
        }
        self.has_sent = true;
        let batch = std::mem::take(&mut self.batch);
        self.sender.send(batch).await.map_err(|_| Gone)
    }

    /// What was said does not count.
    async fn take_back(&mut self) -> std::result::Result<(), Gone> {
        self.batch.clear();
        if self.has_sent { self.say(Found::Anew).await } else { Ok(()) }
    }
}
