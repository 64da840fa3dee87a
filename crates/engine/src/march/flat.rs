//! Both trees as two streams in key order, joined while they stream by.
//!
//! For places that list everything below a folder at once, in the order of their keys, which is ours: a million objects are a
//! thousand requests, and no folder of them is asked for by itself. The other side may be such a place, too, or is walked
//! folder by folder in the same order. In memory are a page of each flat side, and the listings of the folders on the current
//! path of the other one.
//!
//! What is missing on a flat side is concluded when its stream has passed the key. So the order is checked, and a stream that
//! departs from it says that nothing concluded from it counts ([`Step::Anew`]).

use std::cmp::Ordering;
use std::collections::VecDeque;

use ketch_core::{Entry, EntryKind, compare_keys};

use super::folder::{Folders, Sides};
use super::*;
use crate::flat::{self, Flat};
use crate::listing::Listing;

/// Steps that may wait until it is known whether a folder has the name of a file.
const HELD_STEPS: usize = 1024;

const SIDES: [Side; 2] = [Side::Source, Side::Destination];

/// What a side shows next.
#[derive(Debug)]
struct Item {
    entry: Entry,
    /// The side has several of that key; this is the newest.
    has_duplicates: bool,
}

impl Item {
    fn key(&self) -> (&str, bool) {
        (self.entry.path.as_str(), self.entry.is_dir())
    }
}

/// Why a side ends early.
#[derive(Debug)]
enum Broken {
    /// One folder of a side that is walked could not be listed. The others go on.
    Folder(RelPath, Error),
    /// A flat listing failed.
    Whole(Error),
    /// A flat listing is not in order, so nothing that was concluded from it counts.
    Order,
    /// The side must be walked folder by folder for another reason.
    Unfit,
}

/// One side, in key order.
#[derive(Debug)]
enum Stream {
    Flat(Box<Flat>),
    Walk(Box<Walk>),
}

/// A side that is walked folder by folder, without those that are not entered.
#[derive(Debug)]
struct Walk {
    folders: Arc<Folders>,
    side: Side,
    /// The folders on the current path that were entered.
    levels: Vec<Listing>,
}

impl Walk {
    async fn next(&mut self) -> std::result::Result<Option<Item>, Broken> {
        loop {
            let Some(level) = self.levels.last_mut() else { return Ok(None) };
            let dir = level.dir.clone();
            match level.take() {
                Ok(Some((entry, has_duplicates))) => {
                    return Ok(Some(Item { entry, has_duplicates }));
                }
                Ok(None) => _ = self.levels.pop(),
                Err(error) => {
                    self.levels.pop();
                    return Err(Broken::Folder(dir, error));
                }
            }
        }
    }

    async fn enter(&mut self, dir: &RelPath) -> std::result::Result<(), Broken> {
        let listed = self.folders.list_one(self.side, dir).await;
        let broken = |error| Broken::Folder(dir.clone(), error);
        let collector = listed.map_err(broken)?;
        // Names of several spellings are found folder by folder.
        if self.side == Side::Destination
            && collector.len() > 0
            && self.folders.may_fold(dir, &collector).await.map_err(broken)?
        {
            return Err(Broken::Unfit);
        }
        self.levels.push(collector.finish().map_err(broken)?);
        Ok(())
    }
}

impl Stream {
    async fn next(&mut self) -> std::result::Result<Option<Item>, Broken> {
        match self {
            Stream::Flat(flat) => match flat.next_newest().await {
                Ok(shown) => {
                    Ok(shown.map(|(entry, has_duplicates)| Item { entry, has_duplicates }))
                }
                Err(flat::Broken::Failed(error)) => Err(Broken::Whole(error)),
                Err(flat::Broken::Order) => Err(Broken::Order),
            },
            Stream::Walk(walk) => walk.next().await,
        }
    }

    /// The folder that was shown last is entered.
    async fn enter(&mut self, dir: &RelPath) -> std::result::Result<(), Broken> {
        match self {
            Stream::Flat(_) => Ok(()),
            Stream::Walk(walk) => walk.enter(dir).await,
        }
    }

    /// What is in this folder, which may have been entered already, is passed over.
    fn pass_over(&mut self, dir: &RelPath) {
        match self {
            Stream::Flat(flat) => flat.skip(dir),
            Stream::Walk(walk) => {
                walk.levels.retain(|level| level.dir != *dir && !level.dir.is_within(dir));
            }
        }
    }
}

/// Is this march made over flat listings? One that begins in the middle is not, and none that goes by what the destination
/// remembers of its folders.
pub(super) fn applies(march: &March) -> bool {
    let is_flat = |side: &Arc<dyn Backend>| side.capabilities().list_recursive;
    // A copy lists the folders of the destination that the source has, and no more, so a flat listing of it is worth while only
    // where the whole destination is looked at.
    let destination = march.enter_extra && is_flat(&march.destination);
    let remembers = march.recall && march.destination.facets().snapshot.is_some();
    march.flat
        && (is_flat(&march.source) || destination)
        && march.after.is_none()
        && !remembers
        && !march.whole
}

/// A file whose name a folder may still have: that has a larger key, behind `name-x` and `name.x`.
struct OpenFile {
    path: RelPath,
    sides: Sides,
}

impl OpenFile {
    /// Does its pair wait? Of a file that both sides have nothing depends on a folder.
    fn waits(&self) -> bool {
        self.sides.source != self.sides.destination
    }
}

/// A joined march over two streams.
pub(super) struct Joining {
    folders: Arc<Folders>,
    source: Stream,
    destination: Stream,
    left: Option<Item>,
    right: Option<Item>,
    /// Sides that have shown everything.
    ended: Sides,
    /// Steps in order, which wait for the first file of which it is not known yet whether a folder has its name.
    held: VecDeque<Step>,
    /// Files whose name a folder may still have.
    files: Vec<OpenFile>,
    /// Folders of the destination alone, from the root down, and whether that they are occupied was said.
    extra: Vec<(RelPath, bool)>,
}

impl Joining {
    pub(super) fn new(folders: &Arc<Folders>) -> Self {
        let march = &folders.march;
        let side = |side: Side, is_wanted: bool| {
            let backend = match side {
                Side::Source => &march.source,
                Side::Destination => &march.destination,
            };
            let may_change = side == Side::Destination && march.may_change;
            match is_wanted && backend.capabilities().list_recursive {
                true => {
                    let flat =
                        Flat::new(backend, &RelPath::root(), may_change, march.progress.clone());
                    Stream::Flat(Box::new(flat))
                }
                false => Stream::Walk(Box::new(Walk {
                    folders: Arc::clone(folders),
                    side,
                    levels: Vec::new(),
                })),
            }
        };
        Joining {
            source: side(Side::Source, true),
            destination: side(Side::Destination, march.enter_extra),
            folders: Arc::clone(folders),
            left: None,
            right: None,
            ended: Sides { source: false, destination: false },
            held: VecDeque::new(),
            files: Vec::new(),
            extra: Vec::new(),
        }
    }

    /// Marches to the end.
    pub(super) async fn run(mut self, out: &mut Marcher) -> std::result::Result<(), Gone> {
        for side in SIDES {
            let entered = self.side(side).enter(&RelPath::root()).await;
            if let Err(broken) = entered
                && !self.tell(side, broken, out).await?
            {
                return Ok(());
            }
        }
        loop {
            // Once more, because what one side says may take away what the other one had shown.
            for side in SIDES.into_iter().chain(SIDES) {
                if self.wants(side) && !self.advance(side, out).await? {
                    return Ok(());
                }
            }
            let order = match (&self.left, &self.right) {
                (Some(left), Some(right)) => compare_keys(left.key(), right.key()),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => break,
            };
            let left = if order.is_le() { self.left.take() } else { None };
            let right = if order.is_ge() { self.right.take() } else { None };
            let pair = pair_of(left, right);
            let taken = sides_of(&pair);
            let dir = pair.is_dir().then(|| pair.path().clone());
            let is_entered = self.take_pair(pair, out).await?;
            if let Some(dir) = dir
                && !self.enter(&dir, taken, is_entered, out).await?
            {
                return Ok(());
            }
        }
        self.flush(out, true).await
    }

    /// Enters a folder on the sides that have it, or passes over it. `false`: the march is over.
    async fn enter(
        &mut self,
        dir: &RelPath,
        sides: Sides,
        is_entered: bool,
        out: &mut Marcher,
    ) -> std::result::Result<bool, Gone> {
        for side in SIDES.into_iter().filter(|side| sides.has(*side)) {
            if !is_entered {
                self.side(side).pass_over(dir);
                continue;
            }
            if let Err(broken) = self.side(side).enter(dir).await {
                // Nothing is concluded of what is in it on the other side.
                self.other(side).pass_over(dir);
                return self.tell(side, broken, out).await;
            }
        }
        Ok(true)
    }

    fn side(&mut self, side: Side) -> &mut Stream {
        match side {
            Side::Source => &mut self.source,
            Side::Destination => &mut self.destination,
        }
    }

    fn other(&mut self, side: Side) -> &mut Stream {
        match side {
            Side::Source => &mut self.destination,
            Side::Destination => &mut self.source,
        }
    }

    /// Is the next item of a side to be taken?
    fn wants(&self, side: Side) -> bool {
        let shown = match side {
            Side::Source => &self.left,
            Side::Destination => &self.right,
        };
        shown.is_none() && !self.ended.has(side)
    }

    /// Takes the next item of a side. `false`: the march is over.
    async fn advance(&mut self, side: Side, out: &mut Marcher) -> std::result::Result<bool, Gone> {
        loop {
            match self.side(side).next().await {
                Ok(Some(item)) if flat::is_unusable(&item.entry) => {
                    self.say_unusable(side, item, out).await?;
                }
                Ok(item) => {
                    match side {
                        Side::Source => self.ended.source = item.is_none(),
                        Side::Destination => self.ended.destination = item.is_none(),
                    }
                    match side {
                        Side::Source => self.left = item,
                        Side::Destination => self.right = item,
                    }
                    return Ok(true);
                }
                Err(broken) => {
                    if let Broken::Folder(dir, _) = &broken {
                        // Nothing is concluded of the rest of it on the other side.
                        let other = match side {
                            Side::Source => &mut self.right,
                            Side::Destination => &mut self.left,
                        };
                        other.take_if(|item| item.entry.path.is_within(dir));
                        let dir = dir.clone();
                        self.other(side).pass_over(&dir);
                    }
                    if !self.tell(side, broken, out).await? {
                        return Ok(false);
                    }
                }
            }
        }
    }

    /// Says that a side has a name that is no path. It is compared with nothing: its place in the listing is that of the name,
    /// which no other side can have.
    async fn say_unusable(
        &mut self,
        side: Side,
        item: Item,
        out: &mut Marcher,
    ) -> std::result::Result<(), Gone> {
        let folder = item.entry.path.parent();
        let pair = match side {
            Side::Source => pair_of(Some(item), None),
            Side::Destination => pair_of(None, Some(item)),
        };
        let extra = self.extra.iter_mut().find(|(dir, _)| Some(dir) == folder.as_ref());
        if side == Side::Destination
            && let Some((dir, is_said)) = extra
            && !std::mem::replace(is_said, true)
        {
            let dir = dir.clone();
            self.say(Step::Occupied { dir }, out).await?;
        }
        match self.folders.admits(&pair) {
            true => self.say(Step::Pair(pair), out).await,
            false => Ok(()),
        }
    }

    /// Says what is broken. `false`: the march is over.
    async fn tell(
        &mut self,
        side: Side,
        broken: Broken,
        out: &mut Marcher,
    ) -> std::result::Result<bool, Gone> {
        match broken {
            Broken::Folder(dir, error) => {
                let is_root = dir.is_root();
                self.say(Step::Failed { side, dir, error }, out).await?;
                if is_root {
                    self.flush(out, true).await?;
                }
                Ok(!is_root)
            }
            Broken::Whole(error)
                if side == Side::Destination
                    && error.kind() == ErrorKind::NotFound
                    && matches!(&self.destination, Stream::Flat(flat) if !flat.has_begun()) =>
            {
                match self.folders.is_shown(&RelPath::root()).await {
                    // Nothing is there, so nothing is extra.
                    Ok(false) => Ok(true),
                    Ok(true) => self.fail_whole(side, error, out).await,
                    Err(error) => self.fail_whole(side, error, out).await,
                }
            }
            Broken::Whole(error) => self.fail_whole(side, error, out).await,
            Broken::Order | Broken::Unfit => {
                // What waits counts no more than what was said.
                out.push(Step::Anew).await?;
                Ok(false)
            }
        }
    }

    async fn fail_whole(
        &mut self,
        side: Side,
        error: Error,
        out: &mut Marcher,
    ) -> std::result::Result<bool, Gone> {
        let error = error.with_operation("list");
        self.say(Step::Failed { side, dir: RelPath::root(), error }, out).await?;
        self.flush(out, true).await?;
        Ok(false)
    }

    /// Takes a pair, which may have to wait. Is it a folder that is entered?
    async fn take_pair(
        &mut self,
        mut pair: Pair,
        out: &mut Marcher,
    ) -> std::result::Result<bool, Gone> {
        let path = pair.path().clone();
        self.extra.retain(|(dir, _)| path.is_within(dir) && path != *dir);
        let key = (path.as_str(), pair.is_dir());
        // The key of a folder of that name is behind us.
        self.files.retain(|file| compare_keys(key, (file.path.as_str(), true)).is_le());
        let sides = sides_of(&pair);
        if pair.is_dir() {
            self.find_clash(&mut pair, sides);
        } else {
            self.files.push(OpenFile { path: path.clone(), sides });
        }
        let is_admitted = self.folders.admits(&pair);
        let special = |entry: &Entry| matches!(entry.kind, EntryKind::Special(_));
        let occupies = !is_admitted || pair.destination.as_ref().is_some_and(special);
        let is_entered = is_admitted && self.folders.sides_to_enter(&pair).is_some();
        if occupies
            && let Some((dir, is_said)) = self.extra.last_mut()
            && path.parent().as_ref() == Some(dir)
            && !std::mem::replace(is_said, true)
        {
            let dir = dir.clone();
            self.say(Step::Occupied { dir }, out).await?;
        }
        if is_entered && pair.source.is_none() {
            self.extra.push((path, false));
        }
        if is_admitted {
            self.say(Step::Pair(pair), out).await?;
        }
        Ok(is_entered)
    }

    /// Has the other side a file of the name of this folder? Then neither replaces the other.
    fn find_clash(&mut self, dir: &mut Pair, sides: Sides) {
        let path = dir.path().clone();
        let Some(file) = self.files.iter().find(|file| file.path == path) else { return };
        dir.clash = sides.source != sides.destination
            && SIDES.into_iter().any(|side| !sides.has(side) && file.sides.has(side));
        let is_file_clash =
            file.waits() && SIDES.into_iter().any(|side| !file.sides.has(side) && sides.has(side));
        for step in &mut self.held {
            if let Step::Pair(held) = step
                && is_file_clash
                && *held.path() == path
            {
                held.clash = true;
            }
        }
    }

    async fn say(&mut self, step: Step, out: &mut Marcher) -> std::result::Result<(), Gone> {
        self.held.push_back(step);
        self.flush(out, false).await
    }

    /// Hands on what waits, up to a file whose name a folder may still have; with `all` everything.
    async fn flush(&mut self, out: &mut Marcher, all: bool) -> std::result::Result<(), Gone> {
        while let Some(step) = self.held.pop_front() {
            let waits = match &step {
                Step::Pair(pair) => {
                    self.files.iter().any(|file| file.waits() && file.path == *pair.path())
                }
                _ => false,
            };
            if waits && !all && self.held.len() < HELD_STEPS {
                self.held.push_front(step);
                return Ok(());
            }
            out.push(step).await?;
        }
        Ok(())
    }
}

fn sides_of(pair: &Pair) -> Sides {
    Sides { source: pair.source.is_some(), destination: pair.destination.is_some() }
}

fn pair_of(left: Option<Item>, right: Option<Item>) -> Pair {
    let split = |item: Option<Item>| match item {
        Some(Item { entry, has_duplicates }) => (Some(entry), has_duplicates),
        None => (None, false),
    };
    let (source, source_duplicates) = split(left);
    let (destination, destination_duplicates) = split(right);
    Pair {
        source,
        destination,
        source_duplicates,
        destination_duplicates,
        clash: false,
        folds: false,
    }
}
