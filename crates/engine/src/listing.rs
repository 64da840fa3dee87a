//! The complete listing of one folder on one side, in key order, in bounded memory.
//!
//! Entries stay packed as they came ([`ketch_core::Page`]). All listings of a job share a [`Room`] of memory. A listing
//! that finds no more room is written whole to a file without a name and read back piece by piece. A listing that comes in
//! no order is sorted in runs of bounded size, which are merged while they are read. This module knows no backends.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ketch_core::{
    Entry, Error, ErrorKind, Order, PackedKey, Page, RelPath, Result, View, compare_keys,
};

use self::cursor::Cursor;
use self::scratch::Scratch;

mod cursor;
mod scratch;

pub(crate) use self::cursor::Head;

/// Bytes of packed listings that all folders of a job have in memory together; about 200 000 entries.
pub(crate) const ROOM_BYTES: usize = 16 << 20;
/// Bytes of a listing that are always in memory: folders with some thousand files never need a file.
const OWN_BYTES: usize = 1 << 20;
/// Bytes of entries without order that are sorted at a time.
const RUN_BYTES: usize = 4 << 20;
/// Bytes of a run that are read back at a time.
const PIECE_BYTES: usize = 16 << 10;

/// What all listings of a job may have in memory together, and where the rest goes.
#[derive(Debug, Clone)]
pub(crate) struct Room {
    left: Arc<AtomicUsize>,
    /// Where files without a name are made; `None` = the system's folder for temporary files.
    folder: Option<PathBuf>,
}

impl Room {
    pub(crate) fn new(bytes: usize, folder: Option<PathBuf>) -> Self {
        Room { left: Arc::new(AtomicUsize::new(bytes)), folder }
    }

    fn take(&self, bytes: usize) -> bool {
        let take = |left: usize| left.checked_sub(bytes);
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }

    fn give_back(&self, bytes: usize) {
        self.left.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// Packed entries in memory, counted in the room that they have beyond [`OWN_BYTES`].
#[derive(Debug)]
struct Pieces {
    pieces: VecDeque<Vec<u8>>,
    bytes: usize,
    taken: usize,
    room: Room,
}

impl Pieces {
    fn new(room: &Room) -> Self {
        Pieces { pieces: VecDeque::new(), bytes: 0, taken: 0, room: room.clone() }
    }

    /// Adds a piece, or returns it when there is no room.
    fn push(&mut self, piece: Vec<u8>) -> std::result::Result<(), Vec<u8>> {
        let length = piece.len();
        if self.bytes + length > OWN_BYTES {
            if !self.room.take(length) {
                return Err(piece);
            }
            self.taken += length;
        }
        self.bytes += length;
        self.pieces.push_back(piece);
        Ok(())
    }

    /// Takes a piece that has been in memory until now.
    fn push_anyway(&mut self, piece: Vec<u8>) {
        if let Err(piece) = self.push(piece) {
            self.bytes += piece.len();
            self.pieces.push_back(piece);
        }
    }

    fn pop(&mut self) -> Option<Vec<u8>> {
        let piece = self.pieces.pop_front()?;
        let freed = piece.len().min(self.taken);
        self.taken -= freed;
        self.room.give_back(freed);
        Some(piece)
    }
}

impl Drop for Pieces {
    fn drop(&mut self) {
        self.room.give_back(self.taken);
    }
}

/// A listing that is being read.
#[derive(Debug)]
pub(crate) struct Collector {
    dir: RelPath,
    order: Order,
    pieces: Pieces,
    /// The runs that had no room in memory.
    scratch: Option<Scratch>,
    dirs: Dirs,
    /// The last entry, packed.
    last: Vec<u8>,
    count: u64,
    folding: Option<bool>,
}

impl Collector {
    /// No entry yet of `dir`, whose entries will come in `order`.
    pub(crate) fn new(dir: &RelPath, order: Order, room: &Room) -> Self {
        Collector {
            dir: dir.clone(),
            order,
            pieces: Pieces::new(room),
            scratch: None,
            dirs: Dirs::default(),
            last: Vec::new(),
            count: 0,
            folding: None,
        }
    }

    /// How many entries came so far.
    pub(crate) fn len(&self) -> u64 {
        self.count
    }

    /// What the listing said about the folder ([`Page::folding`]).
    pub(crate) fn folding(&self) -> Option<bool> {
        self.folding
    }

    /// All names, if they are still in memory.
    pub(crate) fn names(&self) -> Option<Vec<String>> {
        if self.scratch.is_some() {
            return None;
        }
        let mut names = Vec::new();
        for piece in &self.pieces.pieces {
            let mut rest = &piece[..];
            while let Some((view, length)) = View::first(rest) {
                names.push(view.name.to_owned());
                rest = &rest[length..];
            }
        }
        Some(names)
    }

    /// Adds the next page. Errors: `Protocol` for entries that are not in the order that was promised, or of another folder;
    /// `Io` when a file for what has no room cannot be written.
    pub(crate) fn push(&mut self, page: Page) -> Result<()> {
        if *page.dir() != self.dir && !page.is_empty() {
            return Err(Error::new(ErrorKind::Protocol, "the listing shows another folder"));
        }
        self.count += page.len() as u64;
        self.folding = page.folding().or(self.folding);
        let mut is_in_order = true;
        let mut last = PackedKey::first(&self.last).map(|(key, _)| key);
        for key in page.keys() {
            is_in_order &= last.is_none_or(|last| last <= key);
            last = Some(key);
            if key.is_dir() {
                self.dirs.push(key.name());
            }
        }
        if page.is_unsorted() {
            self.order = Order::Unspecified;
        }
        // ORDER: the join relies on it, so a promise of order is checked.
        if self.order == Order::Key && !is_in_order {
            let text = "the listing is not in the order this remote promises";
            return Err(Error::new(ErrorKind::Protocol, text));
        }
        if !page.is_empty() {
            self.last.clear();
            self.last.extend_from_slice(page.last());
        }
        let without_room = match self.pieces.push(page.into_bytes()) {
            Ok(()) if self.order == Order::Key || self.pieces.bytes < RUN_BYTES => return Ok(()),
            Ok(()) => None,
            Err(piece) => Some(piece),
        };
        self.spill(without_room)
    }

    /// Writes everything to the file: as the next part of the one run, or as a sorted run of its own.
    fn spill(&mut self, more: Option<Vec<u8>>) -> Result<()> {
        let scratch = match &mut self.scratch {
            Some(scratch) => scratch,
            none => none.insert(Scratch::new(self.pieces.room.folder.as_deref())?),
        };
        let pieces = std::iter::from_fn(|| self.pieces.pop()).chain(more);
        match self.order {
            Order::Key => {
                scratch.begin_run(true);
                for piece in pieces {
                    scratch.write(&piece)?;
                }
            }
            Order::Unspecified => {
                scratch.begin_run(false);
                sorted(pieces.collect(), |piece| scratch.write(&piece))?;
            }
        }
        self.pieces.bytes = 0;
        Ok(())
    }

    /// The complete listing. Errors: `Io`, as for [`Collector::push`].
    pub(crate) fn finish(mut self) -> Result<Listing> {
        if self.order == Order::Unspecified {
            self.dirs.sort();
            let mut run = Pieces::new(&self.pieces.room);
            sorted(std::iter::from_fn(|| self.pieces.pop()).collect(), |piece| {
                run.push_anyway(piece);
                Ok(())
            })?;
            self.pieces = run;
        }
        let runs = self.scratch.map(Scratch::finish).transpose()?.unwrap_or_default();
        let mut cursors: Vec<_> = runs.into_iter().map(Cursor::of_file).collect();
        match cursors.pop_if(|_| self.order == Order::Key) {
            // The entries in memory follow those in the file.
            Some(cursor) => cursors.push(cursor.then(self.pieces)),
            None => cursors.push(Cursor::of_pieces(self.pieces)),
        }
        let head = Head::new(cursors)?;
        Ok(Listing { dir: self.dir, head, dirs: self.dirs })
    }
}

/// Sorts packed entries by key, the newest of equal ones first, and hands them on in pieces.
fn sorted(pieces: Vec<Vec<u8>>, mut take: impl FnMut(Vec<u8>) -> Result<()>) -> Result<()> {
    let mut views = Vec::new();
    for piece in &pieces {
        let mut rest = &piece[..];
        while let Some((view, length)) = View::first(rest) {
            let (packed, after) = rest.split_at(length);
            views.push((view.key(), view.time, packed));
            rest = after;
        }
    }
    views.sort_by(|(left, left_time, _), (right, right_time, _)| {
        left.cmp(right).then_with(|| right_time.cmp(left_time))
    });
    let mut piece = Vec::new();
    for (_, _, packed) in views {
        if piece.len() + packed.len() > PIECE_BYTES && !piece.is_empty() {
            take(std::mem::take(&mut piece))?;
        }
        piece.extend_from_slice(packed);
    }
    if piece.is_empty() { Ok(()) } else { take(piece) }
}

/// The complete entries of one folder on one side, to be read once in key order.
#[derive(Debug)]
pub(crate) struct Listing {
    pub(crate) dir: RelPath,
    pub(crate) head: Head,
    /// The folders in it.
    pub(crate) dirs: Dirs,
}

impl Listing {
    /// The next entry, and whether there are several of its key.
    ///
    /// Errors: `Io` when a listing that had no room in memory cannot be read back.
    pub(crate) fn take(&mut self) -> Result<Option<(Entry, bool)>> {
        self.head.fill()?;
        let Some(view) = self.head.view() else { return Ok(None) };
        let taken = (view.to_entry(&self.dir)?, self.head.has_duplicates());
        self.head.pass();
        Ok(Some(taken))
    }
}

/// The names of the folders of a listing, to be searched: the length of the name and four bytes each.
#[derive(Debug, Default)]
pub(crate) struct Dirs {
    text: String,
    /// Where each name ends in the text.
    ends: Vec<u32>,
}

impl Dirs {
    fn push(&mut self, name: &str) {
        self.text.push_str(name);
        // Four gigabytes of names of folders in one folder are not told apart; they would not be in memory either.
        self.ends.push(u32::try_from(self.text.len()).unwrap_or(u32::MAX));
    }

    fn name(&self, number: usize) -> &str {
        let start = if number == 0 { 0 } else { self.ends[number - 1] as usize };
        self.text.get(start..self.ends[number] as usize).unwrap_or_default()
    }

    fn sort(&mut self) {
        let mut names: Vec<&str> = (0..self.ends.len()).map(|number| self.name(number)).collect();
        names.sort_by(|left, right| compare_keys((left, true), (right, true)));
        let mut sorted = Dirs::default();
        names.into_iter().for_each(|name| sorted.push(name));
        *self = sorted;
    }

    /// Is there a folder of that name?
    pub(crate) fn has(&self, name: &str) -> bool {
        let (mut low, mut high) = (0, self.ends.len());
        while low < high {
            let middle = low + (high - low) / 2;
            match compare_keys((self.name(middle), true), (name, true)) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Equal => return true,
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        false
    }
}

#[cfg(test)]
mod tests;
