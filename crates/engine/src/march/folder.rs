//! Lists one pair of folders and joins both listings, in one task.
//!
//! Files that are equal on both sides are only counted here, by reading packed entries. Everything else waits in a window,
//! from which sub-folders are listed ahead. This module does not know the order in which folders are entered.

use std::collections::VecDeque;

use futures::TryStreamExt;
use ketch_core::{Entry, EntryKind, ListOptions, Order, Page, compare_keys};

use super::spelling::{Spellings, has_twins, list_names};
use super::*;
use crate::blocking::blocking;
use crate::join::{Joined, Next};
use crate::listing::{Collector, ROOM_BYTES, Room};

/// How many pairs are searched for sub-folders to list ahead.
const WINDOW_PAIRS: usize = 1024;
/// Entries that are joined at a time; equal files among them do not count for the window.
const JOINED_AT_A_TIME: usize = 8192;

/// On which sides a folder is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sides {
    pub(super) source: bool,
    pub(super) destination: bool,
}

impl Sides {
    pub(super) fn has(self, side: Side) -> bool {
        match side {
            Side::Source => self.source,
            Side::Destination => self.destination,
        }
    }
}

/// What comes next in a folder.
#[expect(
    clippy::large_enum_variant,
    reason = "pairs are few beside what is counted, and a box for each costs more"
)]
#[derive(Debug)]
pub(super) enum Found {
    Pair(Pair),
    Equal { count: u64, last: RelPath },
}

/// Opens folders.
#[derive(Debug)]
pub(super) struct Folders {
    pub(super) march: March,
    room: Room,
}

/// An open folder.
#[derive(Debug)]
pub(super) struct Folder {
    dir: RelPath,
    /// Only the destination has it, and so far no excluded entry was found in it.
    may_be_occupied: bool,
    /// Something was found since it was last asked.
    is_found_occupied: bool,
    joined: Joined,
    /// `None`: what is not equal is another name.
    spellings: Option<Spellings>,
    is_joined: bool,
    window: VecDeque<Found>,
}

impl Folder {
    pub(super) fn dir(&self) -> &RelPath {
        &self.dir
    }

    /// Since this was last asked, was an entry found that keeps a folder which only the destination has from being deleted?
    pub(super) fn take_found_occupied(&mut self) -> bool {
        std::mem::take(&mut self.is_found_occupied)
    }

    /// Joins more entries, unless enough are waiting. Errors: those of [`Joined::next`].
    pub(super) fn fill(&mut self, folders: &Folders) -> Result<()> {
        if self.window.len() > WINDOW_PAIRS / 2 {
            return Ok(());
        }
        let mut path = PathText::new(&self.dir);
        let mut is_occupied = false;
        let (mut seen, mut equal) = (0, 0);
        while !self.is_joined && self.window.len() < WINDOW_PAIRS {
            seen += 1;
            if seen > JOINED_AT_A_TIME && (equal > 0 || !self.window.is_empty()) {
                break;
            }
            let settles = |source: &View<'_>, destination: &View<'_>| {
                folders.settles(&mut path, source, destination)
            };
            let pair = match self.joined.next(settles)? {
                Next::Equal => {
                    equal += 1;
                    continue;
                }
                Next::Pair(pair) => pair,
                Next::End => {
                    self.is_joined = true;
                    break;
                }
            };
            let pair = match &mut self.spellings {
                None => pair,
                Some(spellings) => match spellings.apply(pair) {
                    Some(pair) => pair,
                    None => continue,
                },
            };
            // ORDER: equal files are sent before the step that follows them, so that no mark is ahead of the plan.
            self.push_equal(std::mem::take(&mut equal));
            // ORDER: joined first and filtered then, so that a name which the filter hides still counts as existing.
            let is_admitted = folders.admits(&pair);
            let special = |entry: &Entry| matches!(entry.kind, EntryKind::Special(_));
            is_occupied |= !is_admitted || pair.destination.as_ref().is_some_and(special);
            if is_admitted && !folders.is_passed(&pair) {
                self.window.push_back(Found::Pair(pair));
            }
        }
        self.push_equal(equal);
        self.is_found_occupied |= self.may_be_occupied && is_occupied;
        self.may_be_occupied &= !is_occupied;
        Ok(())
    }

    fn push_equal(&mut self, count: u64) {
        if count > 0 {
            // Never the folder: it is a name of an entry.
            let last = self.dir.join(self.joined.equal()).unwrap_or_else(|_| self.dir.clone());
            self.window.push_back(Found::Equal { count, last });
        }
    }

    /// The next of the waiting steps.
    pub(super) fn pop(&mut self) -> Option<Found> {
        self.window.pop_front()
    }

    /// The waiting step `distance` after the next one, if there is one.
    pub(super) fn ahead(&self, distance: usize) -> Option<&Found> {
        self.window.get(distance)
    }
}

impl Folders {
    pub(super) fn new(march: March) -> Self {
        let room = Room::new(ROOM_BYTES, march.scratch.clone());
        Folders { march, room }
    }

    /// Lists a folder on the sides that have it, and joins its first entries.
    pub(super) async fn open(self: Arc<Self>, dir: RelPath, sides: Sides) -> Opened {
        let (source, destination) = self.list_pair(&dir, sides).await;
        // One folder is one failure: if both sides fail, the source's error is reported.
        let source = source.map_err(|error| (Side::Source, error))?;
        let destination = destination.map_err(|error| (Side::Destination, error))?;
        let spellings = self.find_spellings(&dir, &source, &destination).await;
        let spellings = spellings.map_err(|error| (Side::Destination, error))?;
        let source = source.finish().map_err(|error| (Side::Source, error))?;
        let destination = destination.finish().map_err(|error| (Side::Destination, error))?;
        let mut folder = Folder {
            dir,
            may_be_occupied: !sides.source,
            is_found_occupied: false,
            joined: Joined::new(source, destination),
            spellings,
            is_joined: false,
            window: VecDeque::new(),
        };
        folder.fill(&self).map_err(|error| (Side::Source, error))?;
        Ok(folder)
    }

    /// Finds names that are spellings of one another, if the destination finds a name in several spellings.
    async fn find_spellings(
        &self,
        dir: &RelPath,
        source: &Collector,
        destination: &Collector,
    ) -> Result<Option<Spellings>> {
        let march = &self.march;
        let folding = destination.folding();
        if folding == Some(false) || source.len() == 0 {
            return Ok(None);
        }
        let Some(identities) = march.destination.identities() else { return Ok(None) };
        let ask = async |may_write| {
            let (identities, dir) = (Arc::clone(&identities), dir.clone());
            blocking(move |_| identities.folds(&dir, may_write)).await
        };
        // ORDER: asked before any name is copied: most disks say it, and a folder may have more names than memory.
        let folding = match folding {
            None => ask(false).await?,
            known => known,
        };
        if folding == Some(false) {
            return Ok(None);
        }
        let own = match source.names() {
            Some(names) => names,
            None => list_names(&march.source, dir).await?,
        };
        if folding.is_none() {
            // It matters only where two names could be one. If nothing tells even then, they are treated as different
            // names.
            if !has_twins(&own) || ask(march.may_write).await? != Some(true) {
                return Ok(None);
            }
        }
        let there = match destination.names() {
            Some(names) => names,
            None => list_names(&march.destination, dir).await?,
        };
        let there = there.into_iter().collect();
        Spellings::find(march, identities, dir, own, &there).await.map(Some)
    }

    /// An empty folder.
    fn nothing(&self, dir: &RelPath) -> Collector {
        Collector::new(dir, Order::Unspecified, &self.room)
    }

    async fn list_pair(
        &self,
        dir: &RelPath,
        sides: Sides,
    ) -> (Result<Collector>, Result<Collector>) {
        let march = &self.march;
        if march.recall
            && sides.source
            && sides.destination
            && let Some(known) = march.destination.cached_listing(dir).await
        {
            return self.list_recalled(dir, known).await;
        }
        let source = async {
            match sides.source {
                true => self.list_side(&march.source, dir, ListOptions::default()).await,
                false => Ok(self.nothing(dir)),
            }
        };
        let destination = async {
            match sides.destination {
                true => self.list_destination(dir).await,
                false => Ok(self.nothing(dir)),
            }
        };
        tokio::join!(source, destination)
    }

    /// May the destination find the names of this folder in other spellings, too?
    pub(super) async fn may_fold(&self, dir: &RelPath, listed: &Collector) -> Result<bool> {
        let Some(identities) = self.march.destination.identities() else { return Ok(false) };
        let known = match listed.folding() {
            Some(folding) => Some(folding),
            None => {
                let dir = dir.clone();
                blocking(move |_| identities.folds(&dir, false)).await?
            }
        };
        Ok(known != Some(false))
    }

    /// The listing of a folder on one side.
    pub(super) async fn list_one(&self, side: Side, dir: &RelPath) -> Result<Collector> {
        match side {
            Side::Source => self.list_side(&self.march.source, dir, ListOptions::default()).await,
            Side::Destination => self.list_destination(dir).await,
        }
    }

    async fn list_destination(&self, dir: &RelPath) -> Result<Collector> {
        let options = ListOptions { may_change: self.march.may_change, ..ListOptions::default() };
        match self.list_side(&self.march.destination, dir, options).await {
            // Nothing is there, so nothing is extra: this is complete knowledge.
            Err(error) if error.kind() == ErrorKind::NotFound => match self.is_shown(dir).await? {
                true => {
                    let text =
                        "its own listing says that it is not there, and what is above it shows it";
                    let kind = ErrorKind::Unavailable;
                    Err(Error::new(kind, text).with_operation("list").with_source(error))
                }
                false => Ok(self.nothing(dir)),
            },
            result => result,
        }
    }

    /// Does the destination show the folder by a `stat`, although the listing said it is not there? One such answer would
    /// make the job store everything again, so it is not believed alone.
    pub(super) async fn is_shown(&self, dir: &RelPath) -> Result<bool> {
        let destination = &self.march.destination;
        let Some((parent, name)) = dir.parent().zip(dir.name()) else {
            return match destination.stat(dir).await {
                Ok(found) => Ok(found.is_dir()),
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
                Err(error) => Err(error),
            };
        };
        let mut above = destination.list(&parent, ListOptions::default());
        while let Some(page) = above.next_page().await {
            let page = match page {
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
                page => page?,
            };
            if page.views().any(|view| view.is_dir() && view.name == name) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// ORDER: nothing counts as missing or extra because of what is remembered: at any difference in names, kinds or sizes
    /// the destination is listed.
    async fn list_recalled(
        &self,
        dir: &RelPath,
        mut known: Vec<Entry>,
    ) -> (Result<Collector>, Result<Collector>) {
        let stream = self.march.source.list(dir, ListOptions::default());
        let mut source: Vec<Entry> = match stream.try_collect().await {
            Ok(source) => source,
            Err(error) => return (Err(error), Ok(self.nothing(dir))),
        };
        known.sort_by(Entry::compare_key);
        source.sort_by(Entry::compare_key);
        let look = |entry: &Entry| (entry.path.clone(), entry.kind, entry.size);
        let destination = match known.iter().map(look).eq(source.iter().map(look)) {
            true => self.collect(dir, &known),
            false => self.list_destination(dir).await,
        };
        (self.collect(dir, &source), destination)
    }

    /// Makes a listing of these entries.
    fn collect(&self, dir: &RelPath, entries: &[Entry]) -> Result<Collector> {
        let mut collector = Collector::new(dir, Order::Unspecified, &self.room);
        collector.push(Page::of(dir, entries)?)?;
        self.march.progress.listed(entries.len() as u64);
        Ok(collector)
    }

    async fn list_side(
        &self,
        backend: &Arc<dyn Backend>,
        dir: &RelPath,
        options: ListOptions,
    ) -> Result<Collector> {
        let named =
            |error: Error| error.with_operation("list").with_remote(backend.name()).with_path(dir);
        let mut stream = backend.list(dir, options);
        let mut collector = Collector::new(dir, backend.capabilities().list_order, &self.room);
        while let Some(page) = stream.next_page().await {
            collector.push(page?).map_err(named)?;
        }
        self.march.progress.listed(collector.len());
        Ok(collector)
    }

    /// Do two files need nothing?
    fn settles(&self, path: &mut PathText, source: &View<'_>, destination: &View<'_>) -> bool {
        let Some(settles) = &self.march.settles else { return false };
        // What an earlier march handed out is not to be counted again.
        if self.march.after.is_some() || !(settles.0)(source, destination) {
            return false;
        }
        let filter = &self.march.filter;
        filter.admits_everything()
            || filter.admits_file(path.of(source.name), source.size, source.mtime())
    }

    /// Does a pair take part? If the source has an entry of that name, the filter judges that entry by its size and age. So
    /// an excluded entry of the source is never "missing", and the destination's entry of that name is never "extra".
    pub(super) fn admits(&self, pair: &Pair) -> bool {
        let Some(entry) = pair.source.as_ref().or(pair.destination.as_ref()) else { return false };
        self.march.filter.admits(entry)
    }

    /// Did an earlier march hand out this pair?
    pub(super) fn is_behind(&self, pair: &Pair) -> bool {
        let Some((after, after_is_dir)) = &self.march.after else { return false };
        let key = (pair.path().as_str(), pair.is_dir());
        compare_keys(key, (after.as_str(), *after_is_dir)).is_le()
    }

    /// Did it also hand out everything in it?
    fn is_passed(&self, pair: &Pair) -> bool {
        let inside = |after: &(RelPath, bool)| after.0.is_within(pair.path());
        self.is_behind(pair) && !(pair.is_dir() && self.march.after.as_ref().is_some_and(inside))
    }

    /// On which sides `pair` is a folder to be entered.
    pub(super) fn sides_to_enter(&self, pair: &Pair) -> Option<Sides> {
        let ambiguous = pair.source_duplicates || pair.destination_duplicates;
        if !pair.is_dir() || pair.clash || pair.folds || ambiguous {
            return None;
        }
        let sides =
            Sides { source: pair.source.is_some(), destination: pair.destination.is_some() };
        if self.march.whole && sides.source && !sides.destination {
            return None;
        }
        (sides.source || self.march.enter_extra).then_some(sides)
    }
}

/// Builds paths in one folder, and reuses the memory if each path is needed only for a moment.
struct PathText {
    text: String,
    start: usize,
}

impl PathText {
    fn new(dir: &RelPath) -> Self {
        let mut text = dir.as_str().to_owned();
        if !dir.is_root() {
            text.push('/');
        }
        PathText { start: text.len(), text }
    }

    fn of(&mut self, name: &str) -> &str {
        self.text.truncate(self.start);
        self.text.push_str(name);
        &self.text
    }
}
