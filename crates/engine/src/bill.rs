//! Counts what a plan will do at each side, so that the remote can say how many calls that takes. Pure.

use std::collections::{HashMap, HashSet};

use ketch_core::bill::Work;
use ketch_core::{Backend, Capabilities, Entry, Gather, MetadataCost, RelPath};

use crate::decide::Action;
use crate::join::Pair;

/// Folders whose small files are counted at the same time; when there are more, they are counted as already sent, which
/// makes the estimate a little higher.
const FOLDERS_OPEN: usize = 65_536;

/// Does this remote count calls? Where neither side does, nothing need be counted for a bill.
pub(crate) fn counts_calls(side: &dyn Backend) -> bool {
    side.estimate_cost(&Work { listings: 1, ..Work::default() }).is_some()
}

/// The work of a plan at its two sides.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    source: Work,
    destination: Work,
    gather: Option<Gather>,
    metadata_cost: MetadataCost,
    /// The small files of each folder, and their bytes.
    folders: HashMap<RelPath, (u64, u64)>,
    /// Folders of the source that the destination lacks, and that nothing was sent into yet.
    missing: HashSet<RelPath>,
    /// Folders that must be listed again because the plan was made earlier: at the source, and at the destination.
    looked_at: [HashSet<RelPath>; 2],
}

impl Tally {
    /// An empty count, for a destination with these capabilities.
    pub(crate) fn new(destination: &Capabilities) -> Self {
        Tally {
            gather: destination.gather,
            metadata_cost: destination.metadata_cost,
            ..Tally::default()
        }
    }

    /// Folders that were listed now, and will be listed again when the plan is executed later.
    pub(crate) fn listed(&mut self, source: bool, destination: bool) {
        self.source.listings += u64::from(source);
        self.destination.listings += u64::from(destination);
    }

    /// Adds what the listings showed under one name. `enters_extra`: also folders are listed that only the destination has.
    pub(crate) fn saw(&mut self, pair: &Pair, enters_extra: bool) {
        let is_dir = |entry: &Option<Entry>| entry.as_ref().is_some_and(Entry::is_dir);
        let (at_source, at_destination) = (is_dir(&pair.source), is_dir(&pair.destination));
        self.listed(at_source, at_destination && (at_source || enters_extra));
        if at_source && pair.destination.is_none() {
            self.lacks(pair.path().clone());
        }
    }

    /// A folder of the source that the destination lacks: it is made when something is stored in it.
    fn lacks(&mut self, folder: RelPath) {
        if self.missing.len() < FOLDERS_OPEN {
            self.missing.insert(folder);
        }
    }

    /// Counts the folders that must be made so that the folder `path` exists.
    fn make(&mut self, path: &RelPath) {
        let mut at = Some(path.clone());
        while let Some(folder) = at.filter(|folder| self.missing.remove(folder)) {
            self.destination.folders_made += 1;
            at = folder.parent();
        }
    }

    /// One more action. `by_remote`: files are copied and moved without passing through this machine.
    pub(crate) fn add(&mut self, action: &Action, by_remote: bool, removes_source: bool) {
        match action {
            Action::Copy { source, replaces, .. } => {
                self.destination.files_removed += u64::from(replaces.is_some());
                if let Some(folder) = source.path.parent() {
                    self.make(&folder);
                }
                if by_remote {
                    self.destination.copies += 1;
                } else {
                    self.source.reads += 1;
                    self.put(source);
                    self.source.files_removed += u64::from(removes_source);
                }
            }
            Action::MakeDir { path } => {
                self.missing.insert(path.clone());
                self.make(path);
            }
            Action::MoveDir { source } => {
                self.missing.remove(&source.path);
                if let Some(folder) = source.path.parent() {
                    self.make(&folder);
                }
                self.destination.copies += 1;
            }
            Action::Delete { entry } if entry.is_dir() => self.destination.folders_removed += 1,
            Action::Delete { .. } => self.destination.files_removed += 1,
            Action::RemoveSource { .. } => self.source.files_removed += 1,
            Action::RemoveSourceDir { .. } => self.source.folders_removed += 1,
            // Where it is a copy of the file onto itself, it counts as one.
            Action::SetTime { .. } => {
                self.destination.copies += u64::from(self.metadata_cost == MetadataCost::Copy);
            }
            Action::Skip { .. } | Action::NotStorable { .. } | Action::Refuse { .. } => {}
        }
    }

    /// One more action of a plan that was made earlier: both sides are checked first. If the plan does not show whether a
    /// folder of the destination exists, it is listed if it does and made if it does not, which is one call either way.
    pub(crate) fn add_stored(&mut self, action: &Action, by_remote: bool, removes_source: bool) {
        let (path, is_at_source, is_at_destination) = match action {
            Action::Copy { source, replaces, .. } => (&source.path, true, replaces.is_some()),
            Action::SetTime { source, .. } | Action::RemoveSource { source, .. } => {
                (&source.path, true, true)
            }
            Action::RemoveSourceDir { entry } | Action::MoveDir { source: entry } => {
                (&entry.path, true, false)
            }
            Action::Delete { entry } => (&entry.path, false, true),
            Action::MakeDir { path } => (path, false, false),
            Action::Skip { .. } | Action::NotStorable { .. } | Action::Refuse { .. } => return,
        };
        for folder in path.ancestors() {
            if is_at_source {
                self.look_at(0, &folder);
            }
            if is_at_destination || folder.is_root() {
                self.look_at(1, &folder);
            } else if self.looked_at[1].len() < FOLDERS_OPEN
                && self.looked_at[1].insert(folder.clone())
            {
                self.lacks(folder);
            }
        }
        self.add(action, by_remote, removes_source);
    }

    fn look_at(&mut self, side: usize, folder: &RelPath) {
        let seen = &mut self.looked_at[side];
        if seen.len() < FOLDERS_OPEN && seen.insert(folder.clone()) {
            self.listed(side == 0, side == 1);
        }
    }

    fn put(&mut self, file: &Entry) {
        let folder = file.path.parent().unwrap_or_else(RelPath::root);
        let size = file.size.unwrap_or(u64::MAX);
        let small = self.gather.is_some_and(|gather| size <= gather.item_bytes);
        if self.folders.len() >= FOLDERS_OPEN && !self.folders.contains_key(&folder) {
            self.send();
        }
        let open = self.folders.entry(folder).or_default();
        if small {
            *open = (open.0 + 1, open.1.saturating_add(size));
        } else {
            self.destination.uploads += 1;
        }
    }

    /// Counts the small files of all folders as requests.
    fn send(&mut self) {
        for (files, bytes) in std::mem::take(&mut self.folders).into_values() {
            self.destination.upload_folders += 1;
            let Some(gather) = self.gather else { continue };
            let by_files = files.div_ceil(gather.items.max(1) as u64);
            let by_bytes = bytes.div_ceil(gather.bytes.max(1));
            self.destination.uploads += if files == 0 { 0 } else { by_files.max(by_bytes).max(1) };
        }
    }

    /// The work at the source and at the destination.
    pub(crate) fn finish(&mut self) -> (Work, Work) {
        self.send();
        (self.source, self.destination)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::Reason;

    fn copy(path: &str, size: u64, replaces: bool) -> Action {
        let entry = Entry::file(RelPath::new(path).expect("legal"), size);
        let replaces = replaces.then(|| Box::new(entry.clone()));
        Action::Copy { source: Box::new(entry), replaces, reason: Reason::Missing }
    }

    #[test]
    fn small_files_of_one_folder_are_one_upload_until_they_are_too_many_or_too_much() {
        let gather = Gather { items: 3, item_bytes: 10, bytes: 20 };
        let capabilities = Capabilities { gather: Some(gather), ..Capabilities::default() };
        let check = |actions: &[Action], expected: (u64, u64, u64)| {
            let mut tally = Tally::new(&capabilities);
            actions.iter().for_each(|action| tally.add(action, false, false));
            let (source, work) = tally.finish();
            assert_eq!(source.reads, actions.len() as u64);
            assert_eq!((work.uploads, work.upload_folders, work.files_removed), expected);
        };
        check(&[copy("a/1", 1, false), copy("a/2", 1, true), copy("b/1", 1, false)], (2, 2, 1));
        check(&["1", "2", "3", "4"].map(|name| copy(name, 1, false)), (2, 1, 0));
        check(&["1", "2", "3"].map(|name| copy(name, 9, false)), (2, 1, 0));
        check(&[copy("a/1", 11, false), copy("a/2", 11, false)], (2, 1, 0));
        check(&[copy("a", 0, false)], (1, 1, 0));
    }

    #[test]
    fn a_folder_that_is_missing_is_made_once_and_only_if_something_comes_into_it() {
        let path = |text| RelPath::new(text).expect("legal");
        let mut tally = Tally::new(&Capabilities::default());
        ["a", "a/b", "empty", "made"].into_iter().for_each(|folder| tally.lacks(path(folder)));
        tally.add(&copy("a/b/1", 1, false), false, false);
        tally.add(&copy("a/b/2", 1, false), false, false);
        tally.add(&copy("there/1", 1, false), false, false);
        tally.add(&Action::MakeDir { path: path("made") }, false, false);
        assert_eq!(tally.finish().1.folders_made, 3);
    }

    #[test]
    fn of_a_plan_that_was_made_before_each_folder_costs_one_look_or_is_made() {
        let mut tally = Tally::new(&Capabilities::default());
        for name in ["new/1", "new/2", "old/1"] {
            tally.add_stored(&copy(name, 1, name == "old/1"), false, false);
        }
        let gone = Entry::file(RelPath::new("old/deep/gone").expect("legal"), 1);
        tally.add_stored(&Action::Delete { entry: Box::new(gone) }, false, false);
        let (source, work) = tally.finish();
        assert_eq!((source.listings, source.reads), (3, 3), "the top, `new` and `old`");
        assert_eq!((work.listings, work.folders_made), (3, 1), "the top, `old` and `old/deep`");
        assert_eq!((work.uploads, work.files_removed), (3, 2));
    }

    #[test]
    fn what_the_remote_does_by_itself_reads_nothing() {
        let mut tally = Tally::new(&Capabilities::default());
        tally.listed(true, false);
        tally.add(&copy("a", 1, false), true, false);
        tally.add(&copy("b", 1, false), false, true);
        let (source, destination) = tally.finish();
        assert_eq!((source.listings, source.reads, source.files_removed), (1, 1, 1));
        assert_eq!((destination.copies, destination.uploads, destination.listings), (1, 1, 0));
    }
}
