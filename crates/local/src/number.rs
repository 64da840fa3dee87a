//! The inode numbers of files, and whether they mean something on a file system.
//!
//! Some file systems give a file another number at each look or mount. There the number is not part of a version, or a file
//! would never be the one that was listed. This is found out by calling `stat` for one file several times, once for each
//! disk below the root.

use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;

use ketch_core::Entry;
use rustix::fs::{self, FileType, Stat};
use rustix::io;

use crate::root::Root;
use crate::stat::{differs_in_number, is_version_of};

impl Root {
    /// `stat` of a name or a descriptor, without its number where numbers mean nothing; `again` looks once more. Folders
    /// keep theirs.
    pub(crate) fn settle(&self, stat: Stat, again: impl Fn() -> io::Result<Stat>) -> Stat {
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            return stat;
        }
        let is_known = self.numbered_device.load(Ordering::Relaxed) == stat.st_dev;
        if !is_known && !self.has_loose_numbers.load(Ordering::Relaxed) {
            match are_loose(&stat, &again) {
                true => self.has_loose_numbers.store(true, Ordering::Relaxed),
                false => self.numbered_device.store(stat.st_dev, Ordering::Relaxed),
            }
        }
        self.masked(stat)
    }

    /// The same without another `stat`.
    pub(crate) fn masked(&self, mut stat: Stat) -> Stat {
        let is_folder = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        if self.has_loose_numbers.load(Ordering::Relaxed) && !is_folder {
            stat.st_ino = 0;
        }
        stat
    }

    /// What an open file is.
    pub(crate) fn fstat(&self, file: &OwnedFd) -> io::Result<Stat> {
        let look = || fs::fstat(file);
        Ok(self.settle(look()?, look))
    }

    /// Is an open file, which is `stat`, the version that `entry` shows? A difference in nothing but the number counts only
    /// if the number stays what it is.
    pub(crate) fn is_version_of(&self, entry: &Entry, stat: &Stat, file: &OwnedFd) -> bool {
        if is_version_of(entry, stat) {
            return true;
        }
        // Found out late: the first check of this disk saw the same number twice.
        let looked = fs::fstat(file).and_then(|first| Ok((first, fs::fstat(file)?)));
        let Ok((first, second)) = looked else { return false };
        if first.st_ino != second.st_ino {
            self.has_loose_numbers.store(true, Ordering::Relaxed);
        }
        self.has_loose_numbers.load(Ordering::Relaxed)
            && entry.version.as_ref().is_some_and(|known| differs_in_number(known, stat))
    }
}

/// Does one file have three numbers in three calls of `stat`, and is otherwise the same?
fn are_loose(first: &Stat, again: &impl Fn() -> io::Result<Stat>) -> bool {
    let facts = |stat: &Stat| {
        (stat.st_size, stat.st_mtime, stat.st_mtime_nsec, stat.st_ctime, stat.st_ctime_nsec)
    };
    let differs = |left: &Stat, right: &Stat| {
        left.st_ino != right.st_ino && left.st_dev == right.st_dev && facts(left) == facts(right)
    };
    // If `stat` fails, that proves nothing.
    let Some(second) = again().ok().filter(|second| differs(first, second)) else { return false };
    again().is_ok_and(|third| differs(&second, &third) && differs(first, &third))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::sync::Arc;

    fn root() -> (tempfile::TempDir, Arc<Root>, Stat) {
        let scratch = tempfile::tempdir().expect("scratch");
        std::fs::write(scratch.path().join("f"), "content").expect("written");
        let stat = fs::stat(scratch.path().join("f")).expect("there");
        let root = Arc::new(Root::new(scratch.path(), Default::default()));
        (scratch, root, stat)
    }

    fn numbered(mut stat: Stat, number: u64) -> Stat {
        stat.st_ino = number;
        stat
    }

    #[test]
    fn a_number_that_changes_at_each_look_is_no_part_of_a_version() {
        let (_scratch, root, stat) = root();
        let next = Cell::new(1_000);
        let again = || {
            next.set(next.get() + 1);
            Ok(numbered(stat, next.get()))
        };
        assert_eq!(root.settle(stat, again).st_ino, 0);
        assert_eq!(root.settle(numbered(stat, 5), again).st_ino, 0);
    }

    #[test]
    fn a_version_with_another_change_time_is_another_one_without_numbers_too() {
        use crate::options::{Inodes, LocalOptions};
        use ketch_core::{EntryKind, RelPath};
        let (scratch, _, stat) = root();
        let options = LocalOptions { inodes: Inodes::Ignore, ..LocalOptions::default() };
        let root = Root::new(scratch.path(), options);
        let path = RelPath::new("f").expect("legal");
        let entry = crate::entry::entry(path, EntryKind::File, &stat);
        let folder = fs::open(scratch.path(), fs::OFlags::PATH, fs::Mode::empty());
        let flags = fs::OFlags::RDONLY;
        let file =
            fs::openat(folder.expect("there"), "f", flags, fs::Mode::empty()).expect("there");
        assert!(root.is_version_of(&entry, &numbered(stat, 7), &file));
        let check = |change: fn(&mut Stat)| {
            let mut other = numbered(stat, 7);
            change(&mut other);
            assert!(!root.is_version_of(&entry, &other, &file), "{other:?}");
        };
        check(|stat| stat.st_ctime += 1);
        check(|stat| stat.st_ctime_nsec ^= 1);
        check(|stat| stat.st_mtime_nsec ^= 1);
        check(|stat| stat.st_size += 1);
    }

    #[test]
    fn a_file_that_is_replaced_between_two_looks_has_a_number_still() {
        let (_scratch, root, stat) = root();
        let again = || Ok(numbered(stat, 7));
        assert_eq!(root.settle(stat, again).st_ino, stat.st_ino);
        let (_scratch, other, _) = self::root();
        let next = Cell::new(1_000);
        let newer = || {
            next.set(next.get() + 1);
            let mut newer = numbered(stat, next.get());
            newer.st_size += 1;
            Ok(newer)
        };
        assert_eq!(other.settle(stat, newer).st_ino, stat.st_ino);
    }
}
