//! Reads sorted runs as one sequence in which every key comes once.

use std::cmp::Ordering;

use ketch_core::{PackedKey, Result, View};

use super::Pieces;
use super::scratch::Run;

/// A sorted run that is being read.
#[derive(Debug)]
pub(super) struct Cursor {
    file: Option<Run>,
    /// What follows what is in the file.
    pieces: Option<Pieces>,
    piece: Vec<u8>,
    at: usize,
}

impl Cursor {
    pub(super) fn of_file(run: Run) -> Self {
        Cursor { file: Some(run), pieces: None, piece: Vec::new(), at: 0 }
    }

    pub(super) fn of_pieces(pieces: Pieces) -> Self {
        Cursor { file: None, pieces: Some(pieces), piece: Vec::new(), at: 0 }
    }

    pub(super) fn then(self, pieces: Pieces) -> Self {
        Cursor { pieces: Some(pieces), ..self }
    }

    /// Makes the next entry readable; `false` = there is none.
    fn fill(&mut self) -> Result<bool> {
        while self.at >= self.piece.len() {
            self.at = 0;
            if let Some(run) = &mut self.file {
                if run.read(&mut self.piece)? {
                    continue;
                }
                self.file = None;
            }
            match self.pieces.as_mut().and_then(Pieces::pop) {
                Some(piece) => self.piece = piece,
                None => {
                    self.piece = Vec::new();
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    fn first(&self) -> Option<(View<'_>, usize)> {
        View::first(&self.piece[self.at..])
    }
}

/// The next entry of several sorted runs. Of several entries of one key it is the newest, and it is known that there are
/// more; or all of them come, where each is asked for.
#[derive(Debug, Default)]
pub(crate) struct Head {
    /// The first one has the least key, and the others are sorted by theirs.
    #[expect(clippy::vec_box, reason = "they change places with every entry")]
    cursors: Vec<Box<Cursor>>,
    packed: Vec<u8>,
    has_duplicates: bool,
    /// Each of several entries of one key is read.
    shows_each: bool,
}

impl Head {
    pub(super) fn new(cursors: Vec<Cursor>) -> Result<Self> {
        let mut filled = Vec::with_capacity(cursors.len());
        for mut cursor in cursors {
            if cursor.fill()? {
                filled.push(Box::new(cursor));
            }
        }
        filled.sort_by(|left, right| compare(left, right));
        Ok(Head { cursors: filled, packed: Vec::new(), has_duplicates: false, shows_each: false })
    }

    /// From now on each of several entries of one key is read.
    pub(crate) fn show_each(&mut self) {
        self.shows_each = true;
    }

    /// Makes the next entry readable, if there is one and the last one was passed. Errors: `Io`.
    pub(crate) fn fill(&mut self) -> Result<()> {
        if !self.packed.is_empty() {
            return Ok(());
        }
        self.has_duplicates = false;
        while let Some(cursor) = self.cursors.first_mut() {
            let rest = &cursor.piece[cursor.at..];
            let Some((key, length)) = PackedKey::first(rest) else { break };
            match PackedKey::first(&self.packed) {
                None => self.packed.extend_from_slice(&rest[..length]),
                Some((known, _)) if known == key && !self.shows_each => self.has_duplicates = true,
                Some(_) => break,
            }
            cursor.at += length;
            self.sort_first()?;
        }
        Ok(())
    }

    /// Puts the first cursor, which has advanced, where it belongs.
    fn sort_first(&mut self) -> Result<()> {
        let Some((first, others)) = self.cursors.split_first_mut() else { return Ok(()) };
        if !first.fill()? {
            self.cursors.remove(0);
            return Ok(());
        }
        let less = others.partition_point(|other| compare(other, first).is_lt());
        self.cursors[..=less].rotate_left(1);
        Ok(())
    }

    /// The next entry; `None` = there is no more, after [`Head::fill`].
    pub(crate) fn view(&self) -> Option<View<'_>> {
        View::first(&self.packed).map(|(view, _)| view)
    }

    /// Are there several of its key?
    pub(crate) fn has_duplicates(&self) -> bool {
        self.has_duplicates
    }

    /// Advances to the one after it.
    pub(crate) fn pass(&mut self) {
        self.packed.clear();
    }
}

/// By key, the newest of equal ones first.
fn compare(left: &Cursor, right: &Cursor) -> Ordering {
    match (left.first(), right.first()) {
        (Some((left, _)), Some((right, _))) => {
            left.key().cmp(&right.key()).then_with(|| right.time.cmp(&left.time))
        }
        (left, right) => left.is_none().cmp(&right.is_none()),
    }
}
