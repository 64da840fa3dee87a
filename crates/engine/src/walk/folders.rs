//! A walk folder by folder, the next folders listed ahead.
//!
//! A folder's entries are found after its listing came to its end, so a listing that fails on its way shows nothing.

use std::collections::VecDeque;
use std::sync::Arc;

use ketch_core::{Entry, Error, ErrorKind, ListOptions, RelPath, Result, compare_keys};
use tokio_util::task::AbortOnDropHandle;

use super::all::Key;
use super::{Found, Gone, Out, Shown, Walk};
use crate::listing::{Collector, Listing, ROOM_BYTES, Room};

/// How many entries are searched for folders to list ahead.
const WINDOW: usize = 1024;

/// Lists folders.
#[derive(Debug)]
pub(super) struct Folders {
    walk: Walk,
    /// What is up to this key was found already.
    after: Option<Key>,
    room: Room,
}

/// A listed folder.
struct Folder {
    listing: Listing,
    /// What is shown next.
    window: VecDeque<Next>,
    is_read: bool,
    has_others: bool,
    last: Option<Key>,
}

struct Next {
    entry: Entry,
    has_duplicates: bool,
    /// It was shown already, and not everything in it was.
    is_shown: bool,
}

type ListingTask = AbortOnDropHandle<Result<Folder>>;

/// A folder on the current path, and the listings of its sub-folders that were started ahead.
struct Frame {
    folder: Folder,
    /// The number of the next entry in the folder.
    next: usize,
    next_ahead: usize,
    ahead: VecDeque<(usize, ListingTask)>,
    /// Of several folders of this name it was said that they are not entered.
    ambiguous: Option<RelPath>,
}

impl Frame {
    fn new(folder: Folder) -> Self {
        Frame { folder, next: 0, next_ahead: 0, ahead: VecDeque::new(), ambiguous: None }
    }

    fn dir(&self) -> &RelPath {
        &self.folder.listing.dir
    }

    /// The listing of the folder that comes as number `index`, if it was started ahead.
    fn take_started(&mut self, index: usize) -> Option<ListingTask> {
        match self.ahead.pop_front() {
            Some((started, task)) if started == index => Some(task),
            other => {
                self.ahead.extend(other);
                self.next_ahead = self.next_ahead.max(index + 1);
                None
            }
        }
    }
}

impl Folder {
    /// Reads more entries, unless enough are waiting. Errors: those of [`Listing::take`].
    fn fill(&mut self, folders: &Folders) -> Result<()> {
        if self.window.len() > WINDOW / 2 {
            return Ok(());
        }
        while !self.is_read && self.window.len() < WINDOW {
            let Some((entry, _)) = self.listing.take()? else {
                self.is_read = true;
                break;
            };
            let key = (entry.path.clone(), entry.is_dir());
            let has_duplicates = self.last.as_ref() == Some(&key);
            if has_duplicates
                && let Some(before) = self.window.back_mut()
                && (&before.entry.path, before.entry.is_dir()) == (&key.0, key.1)
            {
                before.has_duplicates = true;
            }
            self.last = Some(key);
            if !folders.walk.shows(&entry) {
                self.has_others = true;
                continue;
            }
            let is_shown = folders.is_behind(&entry);
            if is_shown && !folders.is_on_the_way(&entry) {
                continue;
            }
            self.window.push_back(Next { entry, has_duplicates, is_shown });
        }
        Ok(())
    }
}

impl Folders {
    /// Walks to the end, or to the error that ends the walk.
    pub(super) async fn run(
        walk: Walk,
        after: Option<Key>,
        out: &mut Out,
    ) -> std::result::Result<(), Gone> {
        let room = Room::new(ROOM_BYTES, walk.scratch.clone());
        let folders = Arc::new(Folders { walk, after, room });
        let mut stack = Vec::new();
        let top = folders.walk.top.clone();
        match folders.list(top.clone()).await {
            Ok(folder) => stack.push(Frame::new(folder)),
            Err(error) => _ = out.fail(top, error).await?,
        }
        while let Some(frame) = stack.last_mut() {
            if let Err(error) = frame.folder.fill(&folders) {
                let dir = frame.dir().clone();
                stack.pop();
                if !out.fail(dir, error).await? {
                    return Ok(());
                }
                continue;
            }
            let Some(next) = frame.folder.window.pop_front() else {
                let (dir, has_others) = (frame.dir().clone(), frame.folder.has_others);
                stack.pop();
                out.say(Found::End { dir, has_others }).await?;
                continue;
            };
            let index = frame.next;
            frame.next += 1;
            let is_entered = folders.enters(&next);
            let dir = next.entry.path.clone();
            let is_ambiguous = next.entry.is_dir() && next.has_duplicates;
            if !next.is_shown {
                let is_last = Some(frame.folder.window.is_empty());
                let Next { entry, has_duplicates, .. } = next;
                let shown = Shown { entry, has_duplicates, is_last };
                out.say(Found::Entry(Box::new(shown))).await?;
            }
            if is_ambiguous && frame.ambiguous.as_ref() != Some(&dir) {
                frame.ambiguous = Some(dir.clone());
                let text = "there are several of that name, so none of them is entered";
                let error = Error::new(ErrorKind::AlreadyExists, text).with_path(&dir);
                out.say(Found::Failed { dir: dir.clone(), error }).await?;
            }
            if !is_entered {
                continue;
            }
            let task = frame.take_started(index).unwrap_or_else(|| folders.start(&dir));
            folders.list_ahead(&mut stack);
            // What is known already must not wait for a slow listing.
            out.flush().await?;
            let listed = task
                .await
                .unwrap_or_else(|_| Err(Error::new(ErrorKind::Io, "a listing task stopped")));
            match listed {
                Ok(folder) => stack.push(Frame::new(folder)),
                Err(error) => {
                    if !out.fail(dir, error).await? {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    /// Starts listings of the next folders, the nearest first, until enough are in progress.
    fn list_ahead(self: &Arc<Self>, stack: &mut [Frame]) {
        let under_way: usize = stack.iter().map(|frame| frame.ahead.len()).sum();
        let mut room = self.walk.lookahead.max(1).saturating_sub(under_way);
        for frame in stack.iter_mut().rev() {
            frame.next_ahead = frame.next_ahead.max(frame.next);
            while room > 0 {
                let index = frame.next_ahead;
                let Some(next) = frame.folder.window.get(index - frame.next) else { break };
                frame.next_ahead += 1;
                if self.enters(next) {
                    let task = self.start(&next.entry.path);
                    frame.ahead.push_back((index, task));
                    room -= 1;
                }
            }
        }
    }

    fn start(self: &Arc<Self>, dir: &RelPath) -> ListingTask {
        let (folders, dir) = (Arc::clone(self), dir.clone());
        AbortOnDropHandle::new(tokio::spawn(async move { folders.list(dir).await }))
    }

    async fn list(&self, dir: RelPath) -> Result<Folder> {
        let place = &self.walk.place;
        let named =
            |error: Error| error.with_operation("list").with_remote(place.name()).with_path(&dir);
        let mut stream = place.list(&dir, ListOptions::default());
        let mut collector = Collector::new(&dir, place.capabilities().list_order, &self.room);
        while let Some(page) = stream.next_page().await {
            collector.push(page?).map_err(named)?;
        }
        self.walk.progress.listed(collector.len());
        let mut listing = collector.finish()?;
        listing.head.show_each();
        let window = VecDeque::new();
        let mut folder = Folder { listing, window, is_read: false, has_others: false, last: None };
        folder.fill(self)?;
        Ok(folder)
    }

    fn enters(&self, next: &Next) -> bool {
        let Walk { top, depth, .. } = &self.walk;
        let levels = next.entry.path.depth() - top.depth();
        let is_within_depth = depth.is_none_or(|depth| levels < depth.max(1));
        next.entry.is_dir() && !next.has_duplicates && is_within_depth
    }

    /// Was it found already?
    fn is_behind(&self, entry: &Entry) -> bool {
        self.after.as_ref().is_some_and(|(path, is_dir)| {
            let key = (entry.path.as_str(), entry.is_dir());
            compare_keys(key, (path.as_str(), *is_dir)).is_le()
        })
    }

    /// Is it a folder of which not everything was found?
    fn is_on_the_way(&self, entry: &Entry) -> bool {
        let is_in_it =
            |(path, is_dir): &Key| path.is_within(&entry.path) && (*is_dir || *path != entry.path);
        entry.is_dir() && self.after.as_ref().is_some_and(is_in_it)
    }
}
