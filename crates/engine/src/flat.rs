//! Everything below a folder of a place that lists everything at once, as one stream in key order.
//!
//! The order is checked while it streams by, and folders that only the paths of files say are shown once, before what is in
//! them. This module knows one side; what is concluded from the stream is the business of those that read it (`march`,
//! `walk`).

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use futures::StreamExt;
use futures::stream::BoxStream;
use ketch_core::{
    Backend, Entry, EntryKind, Error, ListOptions, Page, RelPath, Result, Special, compare_keys,
};

use crate::progress::Progress;

/// Why a flat listing ends early.
#[derive(Debug)]
pub(crate) enum Broken {
    /// It failed.
    Failed(Error),
    /// It is not in key order, so nothing that was concluded from it counts.
    Order,
}

/// Does it stand for a name that is no path? Then its place in the listing says nothing about its name.
pub(crate) fn is_unusable(entry: &Entry) -> bool {
    entry.kind == EntryKind::Special(Special::UnusableName)
}

/// A flat listing that is being read.
pub(crate) struct Flat {
    top: RelPath,
    pages: BoxStream<'static, Result<Page>>,
    waiting: VecDeque<Entry>,
    /// The last key of the listing.
    last: Option<(RelPath, bool)>,
    /// The folders above what was shown last, from the root down; files imply them.
    open: Vec<RelPath>,
    /// What is in this folder is passed over.
    skipped: Option<RelPath>,
    /// Listed, and shown next.
    ahead: Option<Entry>,
    progress: Progress,
}

impl fmt::Debug for Flat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flat").field("last", &self.last).finish_non_exhaustive()
    }
}

impl Flat {
    /// Asks for everything below the folder `top`. Only where [`ketch_core::Capabilities::list_recursive`] says so.
    pub(crate) fn new(
        backend: &Arc<dyn Backend>,
        top: &RelPath,
        may_change: bool,
        progress: Progress,
    ) -> Self {
        let options = ListOptions { recursive: true, may_change, after: None };
        Flat {
            top: top.clone(),
            pages: backend.list(top, options).into_pages(),
            waiting: VecDeque::new(),
            last: None,
            open: Vec::new(),
            skipped: None,
            ahead: None,
            progress,
        }
    }

    /// Did the listing show anything?
    pub(crate) fn has_begun(&self) -> bool {
        self.last.is_some()
    }

    /// Has the next entry come already, so that nothing is waited for?
    pub(crate) fn is_at_hand(&self) -> bool {
        self.ahead.is_some() || !self.waiting.is_empty()
    }

    /// The next listed entry that is not passed over.
    async fn listed(&mut self) -> std::result::Result<Option<Entry>, Broken> {
        loop {
            if let Some(entry) = self.waiting.pop_front() {
                // It stands for a key that is no path, at the place of that key. Its folder is right, and its name is not.
                let is_unusable = is_unusable(&entry);
                let key = (entry.path.as_str(), entry.is_dir());
                let last = self.last.as_ref().map(|(path, is_dir)| (path.as_str(), *is_dir));
                if !is_unusable && last.is_some_and(|last| compare_keys(last, key).is_gt()) {
                    return Err(Broken::Order);
                }
                if !is_unusable {
                    self.last = Some((entry.path.clone(), entry.is_dir()));
                }
                let is_skipped = self.skipped.as_ref().is_some_and(|dir| entry.path.is_within(dir));
                if is_skipped {
                    continue;
                }
                return Ok(Some(entry));
            }
            let Some(page) = self.pages.next().await else { return Ok(None) };
            let page = page.map_err(Broken::Failed)?;
            self.progress.listed(page.len() as u64);
            let dir = page.dir().clone();
            let entries: Result<Vec<Entry>> =
                page.views().map(|view| view.to_entry(&dir)).collect();
            self.waiting.extend(entries.map_err(Broken::Failed)?);
        }
    }

    /// The next entry, or the next folder that the path of a file says. Each of several entries of one key is shown.
    pub(crate) async fn next(&mut self) -> std::result::Result<Option<Entry>, Broken> {
        let entry = match self.ahead.take() {
            Some(entry) => entry,
            None => match self.listed().await? {
                Some(entry) => entry,
                None => return Ok(None),
            },
        };
        self.open.retain(|dir| entry.path.is_within(dir) && entry.path != *dir);
        // A file implies the folders above it, each of which is shown once.
        let deepest = self.open.last().unwrap_or(&self.top);
        let missing = entry.path.ancestors().find(|above| {
            !above.is_root() && above.parent().unwrap_or_else(RelPath::root) == *deepest
        });
        if let Some(dir) = missing {
            self.open.push(dir.clone());
            self.ahead = Some(entry);
            return Ok(Some(Entry::dir(dir)));
        }
        if entry.is_dir() {
            self.open.push(entry.path.clone());
        }
        Ok(Some(entry))
    }

    /// The same with only the newest of several entries of one key, and whether there are several files of it.
    pub(crate) async fn next_newest(
        &mut self,
    ) -> std::result::Result<Option<(Entry, bool)>, Broken> {
        let Some(mut shown) = self.next().await? else { return Ok(None) };
        let mut has_duplicates = false;
        // A folder that a path says: what comes next is in it.
        if self.ahead.is_some() {
            return Ok(Some((shown, has_duplicates)));
        }
        while let Some(next) = self.listed().await? {
            let is_other = next.path != shown.path || next.is_dir() != shown.is_dir();
            if is_other || is_unusable(&next) || is_unusable(&shown) {
                self.ahead = Some(next);
                break;
            }
            has_duplicates |= !next.is_dir();
            if next.mtime > shown.mtime {
                shown = next;
            }
        }
        Ok(Some((shown, has_duplicates)))
    }

    /// Passes over what is in this folder, which was shown last.
    pub(crate) fn skip(&mut self, dir: &RelPath) {
        self.ahead.take_if(|ahead| ahead.path.is_within(dir));
        self.open.retain(|open| open != dir);
        self.skipped = Some(dir.clone());
    }
}
