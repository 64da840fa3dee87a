//! A walk over a flat listing, while it streams by.
//!
//! A folder has ended when the stream has passed its keys, so the order is checked. A listing that fails on its way is gone on
//! with folder by folder behind the last key: one folder that cannot be listed must not hide the others.

use ketch_core::{Entry, ErrorKind, RelPath};

use super::{Found, Gone, Out, Shown, Walk};
use crate::flat::{Broken, Flat, is_unusable};

/// A key: a path, and whether it is a folder's.
pub(super) type Key = (RelPath, bool);

/// How the listing ended.
pub(super) enum Ended {
    /// Everything was found, or the error was said that ends a walk.
    Whole,
    /// It failed. Everything up to this key was found.
    Failed(Option<Key>),
    /// It is not in key order, so nothing that was found counts.
    Unordered,
}

/// A folder on the current path.
struct Level {
    dir: RelPath,
    has_others: bool,
}

struct All<'a> {
    walk: &'a Walk,
    out: &'a mut Out,
    levels: Vec<Level>,
    /// Files of one key. Whether there are several is known when the next key comes.
    held: Vec<Entry>,
    /// The last key of which everything was said.
    after: Option<Key>,
}

/// Lists everything at once.
pub(super) async fn walk(walk: &Walk, out: &mut Out) -> std::result::Result<Ended, Gone> {
    let mut flat = Flat::new(&walk.place, &walk.top, false, walk.progress.clone());
    let top = Level { dir: walk.top.clone(), has_others: false };
    let mut all = All { walk, out, levels: vec![top], held: Vec::new(), after: None };
    loop {
        if !flat.is_at_hand() {
            // What is known already must not wait for a slow listing.
            all.out.flush().await?;
        }
        match flat.next().await {
            Ok(Some(entry)) if entry.is_dir() => {
                let dir = entry.path.clone();
                if !all.enter(entry).await? {
                    flat.skip(&dir);
                }
            }
            Ok(Some(entry)) if is_unusable(&entry) => {
                // Where it stands says nothing about its name, so it is no key to go on behind.
                all.release().await?;
                all.close(&entry.path, false).await?;
                let after = all.after.clone();
                all.show(entry, false).await?;
                all.after = after;
            }
            Ok(Some(entry)) => {
                if all.held.first().is_some_and(|held| held.path != entry.path) {
                    all.release().await?;
                }
                all.held.push(entry);
            }
            Ok(None) => {
                all.release().await?;
                while let Some(level) = all.levels.pop() {
                    all.end(level).await?;
                }
                return Ok(Ended::Whole);
            }
            Err(Broken::Order) => return Ok(Ended::Unordered),
            Err(Broken::Failed(error)) => {
                let is_missing = error.kind() == ErrorKind::NotFound && !flat.has_begun();
                if is_missing || error.is_fatal() || error.kind() == ErrorKind::Cancelled {
                    all.out.fail(walk.top.clone(), error).await?;
                    return Ok(Ended::Whole);
                }
                return Ok(Ended::Failed(all.after));
            }
        }
    }
}

impl All<'_> {
    /// A folder comes next. `false`: it takes no part.
    async fn enter(&mut self, entry: Entry) -> std::result::Result<bool, Gone> {
        self.release().await?;
        self.close(&entry.path, true).await?;
        // It comes twice where a folder of its own follows on a path that implies it.
        if self.levels.last().is_some_and(|level| level.dir == entry.path) {
            return Ok(true);
        }
        let dir = entry.path.clone();
        let is_shown = self.show(entry, false).await?;
        if is_shown {
            self.levels.push(Level { dir, has_others: false });
        }
        Ok(is_shown)
    }

    /// Shows the files of the key that is passed.
    async fn release(&mut self) -> std::result::Result<(), Gone> {
        let held = std::mem::take(&mut self.held);
        let Some(first) = held.first() else { return Ok(()) };
        let path = first.path.clone();
        self.close(&path, false).await?;
        let has_duplicates = held.len() > 1;
        for entry in held {
            self.show(entry, has_duplicates).await?;
        }
        Ok(())
    }

    /// Shows an entry of the innermost folder, if it takes part.
    async fn show(
        &mut self,
        entry: Entry,
        has_duplicates: bool,
    ) -> std::result::Result<bool, Gone> {
        self.after = Some((entry.path.clone(), entry.is_dir()));
        if !self.walk.shows(&entry) {
            if let Some(level) = self.levels.last_mut() {
                level.has_others = true;
            }
            return Ok(false);
        }
        let shown = Shown { entry, has_duplicates, is_last: None };
        self.out.say(Found::Entry(Box::new(shown))).await?;
        Ok(true)
    }

    /// Ends the folders that the stream has passed when it comes to `path`.
    async fn close(&mut self, path: &RelPath, is_dir: bool) -> std::result::Result<(), Gone> {
        let holds = |level: &Level| path.is_within(&level.dir) && (is_dir || *path != level.dir);
        while let Some(level) = self.levels.pop_if(|level| !holds(level)) {
            self.end(level).await?;
        }
        Ok(())
    }

    async fn end(&mut self, level: Level) -> std::result::Result<(), Gone> {
        let Level { dir, has_others } = level;
        self.out.say(Found::End { dir, has_others }).await
    }
}
