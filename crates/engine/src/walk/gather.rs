//! Folders whose content is known whole, for readers that remove or rename something.
//!
//! Nothing may be removed because of a listing that did not come to its end. So what is found is held until its folder has
//! ended, and forgotten when the folder failed or everything is found anew. Pure: it asks nothing.

use ketch_core::{Entry, RelPath};

use super::{Found, Shown};

/// A folder in which everything was found.
#[derive(Debug, Clone, PartialEq)]
pub struct WholeFolder {
    /// Where it is.
    pub dir: RelPath,
    /// How its own folder shows it; `None` for the top folder of the walk.
    pub entry: Option<Entry>,
    /// What takes part in it, in key order: also the folders in it, which came as folders of their own before, unless they
    /// failed.
    pub entries: Vec<Shown>,
    /// It has something else, which takes no part.
    pub has_others: bool,
}

/// Holds what a walk finds until the folder of it has ended: what is in the folders on the current path.
#[derive(Debug)]
pub struct Gather {
    top: RelPath,
    levels: Vec<Level>,
}

#[derive(Debug)]
struct Level {
    dir: RelPath,
    entry: Option<Entry>,
    entries: Vec<Shown>,
}

impl Gather {
    /// For a walk over the folder `top`.
    pub fn new(top: &RelPath) -> Self {
        let level = Level { dir: top.clone(), entry: None, entries: Vec::new() };
        Gather { top: top.clone(), levels: vec![level] }
    }

    /// Takes what was found next, and returns the folder that has ended with it.
    pub fn take(&mut self, found: Found) -> Option<WholeFolder> {
        match found {
            Found::Entry(shown) => {
                // Of several folders of one name none is entered.
                let is_entered = shown.entry.is_dir() && !shown.has_duplicates;
                let entered = is_entered.then(|| shown.entry.clone());
                if let Some(level) = self.levels.last_mut() {
                    level.entries.push(*shown);
                }
                self.levels.extend(entered.map(|entry| Level {
                    dir: entry.path.clone(),
                    entry: Some(entry),
                    entries: Vec::new(),
                }));
                None
            }
            Found::End { dir, has_others } => {
                let Level { entry, entries, .. } = self.levels.pop_if(|level| level.dir == dir)?;
                Some(WholeFolder { dir, entry, entries, has_others })
            }
            Found::Failed { dir, .. } => {
                // And the folders in it that a listing of everything at once had begun to show.
                while self.levels.pop_if(|level| level.dir.is_within(&dir)).is_some() {}
                None
            }
            Found::Anew => {
                *self = Gather::new(&self.top);
                None
            }
        }
    }
}
