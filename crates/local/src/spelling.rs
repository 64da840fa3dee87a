//! Finds out whether a folder finds its names in other spellings, and which of its names it finds under a given spelling.
//!
//! Some file systems tell this for each folder (ext4, f2fs, a file system in memory). On others an existing name is looked
//! up with its letters in the other case, or, if no name tells and the caller may write, a file that is made for it and
//! removed. The answer is remembered for each file system.

use std::collections::{HashMap, HashSet};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use ketch_core::names::{aside, core_from_bytes};
use rustix::fs::{self, AtFlags, FsWord, Mode, OFlags, RawDir, SeekFrom, Stat};
use rustix::io::{self, Errno, retry_on_intr};

use crate::beneath::system_name;
use crate::stat::identity;
use crate::unique::create_unique;

/// File systems that tell for each folder whether it ignores case.
const TELLING: &[FsWord] = &[0xEF53, 0xF2F5_2010, 0x0102_1994, 0xCA45_1A4E];
/// A file system that never does.
const BTRFS: FsWord = 0x9123_683E;
/// The mark of a folder that does.
const FOLDING: u32 = 0x4000_0000;
/// Names that are tried at most to find out.
const TRIES: usize = 16;
/// File systems that are remembered; more than are ever mounted below one place.
const REMEMBERED: usize = 1024;
/// Room for names that are read at a time.
const NAMES_BYTES: usize = 32 * 1024;

/// What is known of file systems by their device numbers.
#[derive(Debug, Default)]
pub(crate) struct Spellings(Mutex<HashMap<u64, Answer>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// Each folder tells.
    Ask,
    Folds,
    Exact,
}

impl Spellings {
    /// Does this folder find its names in other spellings, as far as its file system says so, or is known? No name is read.
    pub(crate) fn told(&self, folder: BorrowedFd<'_>) -> io::Result<Option<bool>> {
        let device = fs::fstat(folder)?.st_dev;
        let known = self.known().get(&device).copied();
        let answer = match known {
            Some(answer) => Some(answer),
            None => {
                let told = told_by_kind(retry_on_intr(|| fs::fstatfs(folder))?.f_type);
                told.inspect(|told| self.remember(device, *told))
            }
        };
        Ok(answer.map(|answer| answer.of(folder)))
    }

    /// Does this folder, which has these names and no others, find them in other spellings? `None`: its names do not tell.
    pub(crate) fn fold<'a>(
        &self,
        folder: BorrowedFd<'_>,
        names: impl Iterator<Item = &'a str>,
    ) -> Option<bool> {
        let stat = fs::fstat(folder).ok()?; // Unknown, then.
        let known = self.known().get(&stat.st_dev).copied();
        let answer = match known {
            Some(answer) => Some(answer),
            None => {
                let found = find_out(folder, names);
                found.inspect(|found| self.remember(stat.st_dev, *found))
            }
        };
        answer.map(|answer| answer.of(folder))
    }

    /// The same, by what the folder is called in the one above it, for a folder whose own names do not tell.
    pub(crate) fn fold_by_own_name(&self, folder: BorrowedFd<'_>, name: &str) -> Option<bool> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let above = fs::openat(folder, "..", flags, Mode::empty()).ok()?;
        let (own, stat) = (look(above.as_fd(), name).ok()?, fs::fstat(folder).ok()?);
        // Not by a link, not above a mount, and not by a name that the folder has no more.
        let is_own = identity(&own) == identity(&stat);
        let is_one_system = fs::fstat(&above).ok()?.st_dev == stat.st_dev;
        if !is_own || !is_one_system || !has_letters(name) {
            return None;
        }
        let answer = match look(above.as_fd(), &turned(name)) {
            Err(Errno::NOENT) => Answer::Exact,
            Ok(found) if identity(&found) == identity(&own) => Answer::Folds,
            _ => return None,
        };
        self.remember(stat.st_dev, answer);
        Some(answer.of(folder))
    }

    /// The same, by a file that is made for it and removed.
    pub(crate) fn fold_of_new(&self, folder: &OwnedFd) -> io::Result<bool> {
        // Locked until it is removed, so that no job treats it as a dead part.
        let (file, own) = create_unique(folder, c"spelling", 0o600)?;
        let found = look(folder.as_fd(), &turned(&core_from_bytes(own.to_bytes())));
        fs::unlinkat(folder, own.as_c_str(), AtFlags::empty())?;
        drop(file);
        let folds = match found {
            Ok(_) => true,
            Err(Errno::NOENT) => false,
            Err(errno) => return Err(errno),
        };
        let answer = if folds { Answer::Folds } else { Answer::Exact };
        self.remember(fs::fstat(folder)?.st_dev, answer);
        Ok(folds)
    }

    fn remember(&self, device: u64, answer: Answer) {
        let mut known = self.known();
        if known.len() < REMEMBERED {
            known.insert(device, answer);
        }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Answer>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Answer {
    /// What it is for `folder`.
    fn of(self, folder: BorrowedFd<'_>) -> bool {
        match self {
            Answer::Ask => {
                fs::ioctl_getflags(folder).is_ok_and(|flags| flags.bits() & FOLDING != 0)
            }
            Answer::Folds => true,
            Answer::Exact => false,
        }
    }
}

/// What is known of every file system of a kind.
fn told_by_kind(kind: FsWord) -> Option<Answer> {
    match kind {
        BTRFS => Some(Answer::Exact),
        _ => TELLING.contains(&kind).then_some(Answer::Ask),
    }
}

/// `None`: there is no name by which it could be told.
fn find_out<'a>(folder: BorrowedFd<'_>, names: impl Iterator<Item = &'a str>) -> Option<Answer> {
    let system = retry_on_intr(|| fs::fstatfs(folder)).ok()?; // Unknown, then.
    if let Some(told) = told_by_kind(system.f_type) {
        return Some(told);
    }
    tell(names, |name| look(folder, name))
}

/// What the names of a folder tell about it; all of its names are given, and `look` looks one up.
fn tell<'a>(
    names: impl Iterator<Item = &'a str>,
    look: impl Fn(&str) -> io::Result<Stat>,
) -> Option<Answer> {
    let names: Vec<&str> = names.collect();
    let listed: HashSet<&str> = names.iter().copied().collect();
    let tried = names.iter().filter(|name| has_letters(name)).take(TRIES);
    let mut answers = tried.filter_map(|name| {
        let other = turned(name);
        // Both are there: they are two, or one of them is a link to the other.
        if listed.contains(other.as_str()) {
            return None;
        }
        let (own, found) = (look(name).ok()?, look(&other));
        match found {
            Err(Errno::NOENT) => Some(Answer::Exact),
            Ok(found) if identity(&found) == identity(&own) => Some(Answer::Folds),
            // If one file has another inode number at each look, numbers do not distinguish the two.
            Ok(_) if own.st_nlink == 1 && identity(&look(name).ok()?) != identity(&own) => {
                Some(Answer::Folds)
            }
            _ => None,
        }
    });
    answers.next()
}

fn look(folder: BorrowedFd<'_>, name: &str) -> io::Result<Stat> {
    let name = system_name(name)?;
    retry_on_intr(|| fs::statat(folder, name.as_c_str(), AtFlags::SYMLINK_NOFOLLOW))
}

fn has_letters(name: &str) -> bool {
    name.bytes().any(|byte| byte.is_ascii_alphabetic())
}

/// With its letters in the other case.
fn turned(name: &str) -> String {
    let turn = |c: char| match c.is_ascii_lowercase() {
        true => c.to_ascii_uppercase(),
        false => c.to_ascii_lowercase(),
    };
    name.chars().map(turn).collect()
}

/// For each of `wanted`: the name under which the folder lists what it finds there.
pub(crate) fn listed_as(
    folder: BorrowedFd<'_>,
    wanted: &[String],
) -> io::Result<Vec<Option<String>>> {
    let names = names_of(folder)?;
    let listed: HashSet<&str> = names.iter().map(String::as_str).collect();
    let mut objects: Option<HashMap<(u64, u64), Vec<&str>>> = None;
    let mut found = Vec::with_capacity(wanted.len());
    for name in wanted {
        if listed.contains(name.as_str()) {
            found.push(Some(name.clone()));
            continue;
        }
        let stat = match look(folder, name) {
            Ok(stat) => stat,
            // A text that cannot be a name finds nothing.
            Err(Errno::NOENT | Errno::INVAL | Errno::NAMETOOLONG | Errno::ILSEQ) => {
                found.push(None);
                continue;
            }
            Err(errno) => return Err(errno),
        };
        let objects = match &mut objects {
            Some(objects) => objects,
            none => none.insert(objects_of(folder, &names)?),
        };
        let same = |other: &&&str| other.to_lowercase() == name.to_lowercase();
        let of_object = objects.get(&identity(&stat)).map(Vec::as_slice).unwrap_or_default();
        // If a file has several names, the one that differs least; by spelling, if inode numbers tell nothing.
        let by_spelling = || names.iter().find(|other| other.to_lowercase() == name.to_lowercase());
        let best = of_object.iter().find(same).or_else(|| of_object.first());
        found.push(best.map(|best| (*best).to_owned()).or_else(|| by_spelling().cloned()));
    }
    Ok(found)
}

/// The names in a folder, in core form.
pub(crate) fn names_of(folder: BorrowedFd<'_>) -> io::Result<Vec<String>> {
    // They may have been read by this descriptor before.
    fs::seek(folder, SeekFrom::Start(0))?;
    let mut buffer = Vec::with_capacity(NAMES_BYTES);
    let mut names = Vec::new();
    let mut reader = RawDir::new(folder, buffer.spare_capacity_mut());
    while let Some(found) = reader.next() {
        match found {
            Ok(found) if matches!(found.file_name().to_bytes(), b"." | b"..") => {}
            Ok(found) => names.push(core_from_bytes(found.file_name().to_bytes())),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(names)
}

/// The names of each object.
fn objects_of<'a>(
    folder: BorrowedFd<'_>,
    names: &'a [String],
) -> io::Result<HashMap<(u64, u64), Vec<&'a str>>> {
    let mut objects: HashMap<_, Vec<&str>> = HashMap::new();
    for name in names {
        match look(folder, name) {
            Ok(stat) => objects.entry(identity(&stat)).or_default().push(name),
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(objects)
}

/// Renames `from` in the folder to `to`, another spelling that finds the same file. It uses a third name in between,
/// because the system does nothing when both names are one. If the process dies in between, the file has the third name and
/// is listed.
pub(crate) fn respell(folder: BorrowedFd<'_>, from: &str, to: &str) -> io::Result<()> {
    let between = system_name(&aside(to, fastrand::u32(..)))?;
    let (from, to) = (system_name(from)?, system_name(to)?);
    fs::renameat(folder, from.as_c_str(), folder, between.as_c_str())?;
    let renamed = match fs::statat(folder, to.as_c_str(), AtFlags::SYMLINK_NOFOLLOW) {
        // It was another name after all, which belongs to another file.
        Ok(_) => Err(Errno::EXIST),
        Err(Errno::NOENT) => fs::renameat(folder, between.as_c_str(), folder, to.as_c_str()),
        Err(errno) => Err(errno),
    };
    renamed.inspect_err(|_| {
        // The error of the first rename says more.
        let _ = fs::renameat(folder, between.as_c_str(), folder, from.as_c_str());
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_an_exact_file_system_finds_no_other_spelling() {
        let scratch = tempfile::tempdir().expect("scratch");
        std::fs::write(scratch.path().join("Name"), "1").expect("written");
        std::fs::hard_link(scratch.path().join("Name"), scratch.path().join("other"))
            .expect("linked");
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let folder = fs::open(scratch.path(), flags, Mode::empty()).expect("opened");
        let wanted = ["Name", "name", "other", "none"].map(str::to_owned);
        let found = listed_as(folder.as_fd(), &wanted).expect("readable");
        assert_eq!(found, [Some("Name".to_owned()), None, Some("other".to_owned()), None]);
        let names = ["Name", "other"].into_iter();
        let spellings = Spellings::default();
        // In memory and on most disks each folder says it; elsewhere a name tells.
        assert_ne!(spellings.fold(folder.as_fd(), names), Some(true));
        assert_eq!(spellings.fold_of_new(&folder), Ok(false));
        assert_eq!(names_of(folder.as_fd()).expect("readable").len(), 2, "nothing is left");
    }

    #[test]
    fn a_file_that_is_another_one_is_never_taken_for_another_spelling() {
        let scratch = tempfile::tempdir().expect("scratch");
        for name in ["own", "other"] {
            std::fs::write(scratch.path().join(name), "").expect("written");
        }
        let stat = |name: &str| fs::stat(scratch.path().join(name)).expect("there");
        let (own, other) = (stat("own"), stat("other"));
        let many = (0..3 * TRIES).map(|number| format!("{number}"));
        let many: Vec<String> = ["README".to_owned()].into_iter().chain(many).collect();
        let all = || many.iter().map(String::as_str);
        // The other spelling is far behind what is tried, as all of an exact folder are.
        let found = tell(all().chain(["readme"]), |name| match name {
            "README" => Ok(own),
            "readme" => Ok(other),
            _ => Err(Errno::NOENT),
        });
        assert_eq!(found, None);
        // It came while the folder was looked at.
        let look = |name: &str| Ok(if name == "README" { own } else { other });
        assert_eq!(tell(all(), look), None);
        assert_eq!(tell(all(), |_| Ok(own)), Some(Answer::Folds));
        let exact = |name: &str| if name == "README" { Ok(own) } else { Err(Errno::NOENT) };
        assert_eq!(tell(all(), exact), Some(Answer::Exact));
        let number = std::cell::Cell::new(1_000);
        let loose = |_: &str| {
            number.set(number.get() + 1);
            let mut stat = own;
            stat.st_ino = number.get();
            Ok(stat)
        };
        assert_eq!(tell(all(), loose), Some(Answer::Folds));
        assert_eq!(tell([].into_iter(), |_| Ok(own)), None);
    }

    #[test]
    fn a_folder_without_names_says_by_its_own_name_whether_it_folds() {
        let scratch = tempfile::tempdir().expect("scratch");
        std::fs::create_dir(scratch.path().join("Empty")).expect("made");
        std::fs::create_dir(scratch.path().join("1")).expect("made");
        let open = |name: &str| {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY;
            fs::open(scratch.path().join(name), flags, Mode::empty()).expect("opened")
        };
        let (empty, digit) = (open("Empty"), open("1"));
        let spellings = Spellings::default();
        assert_eq!(spellings.fold_by_own_name(digit.as_fd(), "1"), None);
        assert_eq!(spellings.fold_by_own_name(empty.as_fd(), "Other"), None, "not its name");
        assert_eq!(spellings.fold_by_own_name(empty.as_fd(), "Empty"), Some(false));
        // From then on it is known of the file system, and no name is read.
        assert_eq!(spellings.told(digit.as_fd()), Ok(Some(false)));
    }

    #[test]
    fn another_spelling_takes_the_place_of_the_first() {
        let scratch = tempfile::tempdir().expect("scratch");
        std::fs::create_dir(scratch.path().join("Dir")).expect("made");
        let folder = fs::open(scratch.path(), OFlags::PATH, Mode::empty()).expect("opened");
        respell(folder.as_fd(), "Dir", "dir").expect("renamed");
        assert!(scratch.path().join("dir").exists() && !scratch.path().join("Dir").exists());
        std::fs::create_dir(scratch.path().join("Dir")).expect("made");
        // Two names here: nothing is replaced.
        assert_eq!(respell(folder.as_fd(), "Dir", "dir"), Err(Errno::EXIST));
        assert!(scratch.path().join("dir").exists() && scratch.path().join("Dir").exists());
    }
}
