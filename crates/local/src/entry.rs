//! Makes an entry of what the system says about one name.
//!
//! The version is inode, size, modification and change time. The device is not part of it: some file systems number it
//! anew at each mount, and a version may be kept in a plan.

use std::cell::OnceCell;
use std::ffi::CStr;
use std::os::fd::BorrowedFd;
use std::time::{SystemTime, UNIX_EPOCH};

use ketch_core::{Entry, EntryKind, MODE_MASK, Page, RelPath, Special, View, time_of};
use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, Stat, Timespec, Timestamps, UTIME_OMIT};
use rustix::io::{self, Errno, retry_on_intr};

use crate::fence::{climb, leads_to};
use crate::names::is_temporary;
use crate::open::Way;
use crate::options::Links;
use crate::root::Root;

/// What was seen under a name.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) entry: Entry,
    /// Of the thing itself: of the target where a link is followed.
    pub(crate) stat: Stat,
    /// The name is that of a symbolic link, followed or not.
    pub(crate) is_link: bool,
}

/// A folder whose names are looked at.
pub(crate) struct Folder<'a> {
    root: &'a Root,
    descriptor: BorrowedFd<'a>,
    path: &'a RelPath,
    above: OnceCell<Vec<(u64, u64)>>,
}

impl<'a> Folder<'a> {
    pub(crate) fn new(root: &'a Root, descriptor: BorrowedFd<'a>, path: &'a RelPath) -> Self {
        Folder { root, descriptor, path, above: OnceCell::new() }
    }

    /// Adds the entry with the name `raw`, which is `name` in paths, to the page. `Ok(false)`: it is not a folder and was
    /// to be one, or the reverse. `ENOENT` as for [`Folder::look`].
    ///
    /// Listings do this millions of times, so what is no link costs no allocation.
    pub(crate) fn page(
        &self,
        name: &str,
        raw: &CStr,
        is_dir: bool,
        page: &mut Page,
    ) -> io::Result<bool> {
        let own = self.stat(raw, AtFlags::SYMLINK_NOFOLLOW)?;
        let kind = kind_of(&own);
        if kind == EntryKind::Special(Special::Symlink) {
            // Never fails: it is a name of the folder.
            let path = self.path.join(name).map_err(|_| Errno::INVAL)?;
            let entry = self.seen(raw, own, path)?.entry;
            if entry.is_dir() == is_dir {
                page.push(&entry).map_err(|_| Errno::INVAL)?;
            }
            return Ok(entry.is_dir() == is_dir);
        }
        if kind == EntryKind::File && is_temporary(raw.to_bytes()) {
            self.root.saw_leftover(self.path);
            return Err(Errno::NOENT);
        }
        if (kind == EntryKind::Dir) != is_dir {
            return Ok(false);
        }
        page.push_view(&view(name, kind, &own, &mut [0; VERSION_BYTES]));
        Ok(true)
    }

    fn stat(&self, name: &CStr, flags: AtFlags) -> io::Result<Stat> {
        let look = || retry_on_intr(|| fs::statat(self.descriptor, name, flags));
        Ok(self.root.settle(look()?, look))
    }

    /// What is there under `name`, which is at `path`. `ENOENT` also for a part of ketch's own.
    pub(crate) fn look(&self, name: &CStr, path: RelPath) -> io::Result<Seen> {
        let own = self.stat(name, AtFlags::SYMLINK_NOFOLLOW)?;
        self.seen(name, own, path)
    }

    /// The same of what is `own` itself, followed or not.
    fn seen(&self, name: &CStr, own: Stat, path: RelPath) -> io::Result<Seen> {
        let is_link = FileType::from_raw_mode(own.st_mode) == FileType::Symlink;
        let (kind, stat) = match is_link {
            false => (kind_of(&own), own),
            true if self.root.options.links == Links::Keep => (EntryKind::Link, own),
            true if !self.root.follows_links() => (EntryKind::Special(Special::Symlink), own),
            true => match self.stat(name, AtFlags::empty()) {
                Ok(target) => (self.kind_of_target(name, &target)?, target),
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {
                    (EntryKind::Special(Special::BrokenSymlink), own)
                }
                Err(errno) => return Err(errno),
            },
        };
        if (kind == EntryKind::File || is_link) && is_temporary(name.to_bytes()) {
            self.root.saw_leftover(self.path);
            return Err(Errno::NOENT);
        }
        Ok(Seen { entry: entry(path, kind, &stat), stat, is_link })
    }

    fn kind_of_target(&self, name: &CStr, target: &Stat) -> io::Result<EntryKind> {
        let kind = kind_of(target);
        if kind == EntryKind::Dir {
            let above = match self.above.get() {
                Some(above) => above,
                None => {
                    let found = self.find_above()?;
                    self.above.get_or_init(|| found)
                }
            };
            if above.contains(&identity(target)) || self.is_fenced(name)? {
                return Ok(EntryKind::Special(Special::SymlinkLoop));
            }
        }
        Ok(kind)
    }

    /// Does the link `name` lead to a folder of the fence?
    fn is_fenced(&self, name: &CStr) -> io::Result<bool> {
        let fence = &self.root.options.fence;
        if fence.is_empty() {
            return Ok(false);
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match retry_on_intr(|| fs::openat(self.descriptor, name, flags, Mode::empty())) {
            Ok(target) => leads_to(fence, &self.root.path, target),
            // It leads elsewhere since it was looked at.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(true),
            Err(errno) => Err(errno),
        }
    }

    /// This folder, those above it on the way it was reached, and those above the root.
    fn find_above(&self) -> io::Result<Vec<(u64, u64)>> {
        let mut found = vec![identity(&fs::fstat(self.descriptor)?)];
        for path in self.path.ancestors() {
            let folder = self.root.open_folder(&path, Way::Follow)?;
            found.push(identity(&fs::fstat(&folder)?));
        }
        found.extend(climb(self.root.open_folder(&RelPath::root(), Way::Follow)?)?);
        Ok(found)
    }
}

/// The entry of a thing at `path` that is of `kind`.
pub(crate) fn entry(path: RelPath, kind: EntryKind, stat: &Stat) -> Entry {
    view("", kind, stat, &mut [0; VERSION_BYTES]).to_entry_at(path)
}

/// What is known of a thing that is of `kind`; its version is written to `text`.
fn view<'a>(
    name: &'a str,
    kind: EntryKind,
    stat: &Stat,
    text: &'a mut [u8; VERSION_BYTES],
) -> View<'a> {
    let mut view = View::bare(name, kind);
    view.time = Some((stat.st_mtime, stat.st_mtime_nsec as u32));
    if matches!(kind, EntryKind::File | EntryKind::Link) {
        view.size = Some(size(stat));
        view = view.with_version(write_version(stat, text));
    }
    if matches!(kind, EntryKind::File | EntryKind::Dir) {
        view.mode = Some(stat.st_mode & MODE_MASK);
    }
    view
}

/// File, folder or something else; a link counts as something that is not followed.
pub(crate) fn kind_of(stat: &Stat) -> EntryKind {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => EntryKind::File,
        FileType::Directory => EntryKind::Dir,
        FileType::Symlink => EntryKind::Special(Special::Symlink),
        _ => EntryKind::Special(Special::Device),
    }
}

/// Is the thing the version that `entry` shows?
pub(crate) fn is_version_of(entry: &Entry, stat: &Stat) -> bool {
    match &entry.version {
        Some(known) => *known == version(stat),
        None => entry.size.is_none_or(|known| known == size(stat)),
    }
}

/// Does `stat` differ from the version `known` in its number at most?
pub(crate) fn differs_in_number(known: &str, stat: &Stat) -> bool {
    // The number comes first, and the last digit of each is from the other half of the alphabet.
    let rest = |text: &str| {
        let is_last = |byte: &u8| DIGITS[32..].contains(byte);
        let end = text.as_bytes().iter().position(is_last)?;
        text.get(end + 1..).map(str::to_owned)
    };
    let known = rest(known);
    known.is_some() && known == rest(&version(stat))
}

/// All that tells versions of a file apart, in few characters: a listing holds as many of these as files.
pub(crate) fn version(stat: &Stat) -> Box<str> {
    write_version(stat, &mut [0; VERSION_BYTES]).into()
}

fn write_version<'a>(stat: &Stat, text: &'a mut [u8; VERSION_BYTES]) -> &'a str {
    let apart = zigzag(stat.st_ctime.wrapping_sub(stat.st_mtime));
    let (mtime, mtime_part) = (zigzag(stat.st_mtime), stat.st_mtime_nsec);
    let mut length = 0;
    for number in [stat.st_ino, size(stat), mtime, mtime_part, apart, stat.st_ctime_nsec] {
        put_digits(text, &mut length, number);
    }
    // Never fails: digits are ASCII.
    std::str::from_utf8(&text[..length]).unwrap_or_default()
}

/// The longest version.
const VERSION_BYTES: usize = 6 * NUMBER_DIGITS;
/// Digits of the largest number: five bits each.
const NUMBER_DIGITS: usize = 64_usize.div_ceil(5);
const DIGITS: &[u8; 64] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_-";

/// A number in digits of five bits. The last one is from the other half of the alphabet, so that no number is the beginning
/// of another.
fn put_digits(text: &mut [u8], length: &mut usize, mut number: u64) {
    while number >= 32 {
        text[*length] = DIGITS[(number % 32) as usize];
        *length += 1;
        number /= 32;
    }
    text[*length] = DIGITS[32 + number as usize];
    *length += 1;
}

/// Small for numbers near zero of either sign.
fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)).cast_unsigned()
}

/// The modification and the change time in what [`version`] gave.
pub(crate) fn times_of_version(version: &str) -> Option<(SystemTime, SystemTime)> {
    let mut rest = version.as_bytes();
    let mut numbers = [0; 6];
    for number in &mut numbers {
        *number = take_digits(&mut rest)?;
    }
    let [_, _, mtime, mtime_part, apart, ctime_part] = numbers;
    let part = |part: u64| u32::try_from(part).ok().filter(|part| *part < 1_000_000_000);
    let mtime = unzigzag(mtime);
    let ctime = mtime.wrapping_add(unzigzag(apart));
    let times = (system_time(mtime, part(mtime_part)?), system_time(ctime, part(ctime_part)?));
    rest.is_empty().then_some(times)
}

/// The number that [`put_digits`] wrote.
fn take_digits(rest: &mut &[u8]) -> Option<u64> {
    let (mut number, mut shift) = (0_u64, 0);
    loop {
        let (first, others) = rest.split_first()?;
        *rest = others;
        let digit = DIGITS.iter().position(|digit| digit == first)? as u64;
        number |= (digit % 32).checked_shl(shift)?;
        shift += 5;
        if digit >= 32 {
            return Some(number);
        }
    }
}

fn unzigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}

/// The modification time as entries show it.
pub(crate) fn mtime(stat: &Stat) -> Option<SystemTime> {
    time_of((stat.st_mtime, stat.st_mtime_nsec as u32))
}

pub(crate) fn size(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or(0)
}

/// Equal for two names of the same thing.
pub(crate) fn identity(stat: &Stat) -> (u64, u64) {
    (stat.st_dev, stat.st_ino)
}

fn system_time(seconds: i64, nanoseconds: u32) -> SystemTime {
    time_of((seconds, nanoseconds)).unwrap_or(UNIX_EPOCH)
}

/// The argument that sets this modification time and leaves the access time alone. A time the system cannot hold becomes
/// the nearest one it can.
pub(crate) fn timestamps(mtime: SystemTime) -> Timestamps {
    let (seconds, nanoseconds) = match mtime.duration_since(UNIX_EPOCH) {
        Ok(after) => (i64::try_from(after.as_secs()).unwrap_or(i64::MAX), after.subsec_nanos()),
        Err(before) => {
            let before = before.duration();
            let seconds = i64::try_from(before.as_secs()).map_or(i64::MIN, |seconds| -seconds);
            match before.subsec_nanos() {
                0 => (seconds, 0),
                part => (seconds.saturating_sub(1), 1_000_000_000 - part),
            }
        }
    };
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: seconds, tv_nsec: nanoseconds.into() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn every_number_of_a_version_tells_versions_apart() {
        let scratch = tempfile::NamedTempFile::new().expect("scratch");
        let stat = fs::stat(scratch.path()).expect("there");
        let change = |change: fn(&mut Stat, u64), number| {
            let mut other = stat;
            change(&mut other, number);
            version(&other)
        };
        let changes: [fn(&mut Stat, u64); 6] = [
            |stat, number| stat.st_ino = number,
            |stat, number| stat.st_size = number as i64,
            |stat, number| stat.st_mtime = number as i64,
            |stat, number| stat.st_mtime_nsec = number % 1_000_000_000,
            |stat, number| stat.st_ctime = -(number as i64),
            |stat, number| stat.st_ctime_nsec = number % 1_000_000_000,
        ];
        let mut seen = std::collections::BTreeSet::new();
        for change_one in changes {
            for number in [3, 31, 32, 33, 1 << 20, 999_999_998, 1 << 40, (1 << 40) + 1] {
                let version = change(change_one, number);
                assert!(version.len() < 80, "{version}");
                seen.insert(version);
            }
        }
        assert_eq!(seen.len(), 6 * 8);
        assert_eq!(version(&stat), version(&stat.clone()));
    }

    #[test]
    fn the_times_in_a_version_are_found_again() {
        let scratch = tempfile::NamedTempFile::new().expect("scratch");
        let stat = fs::stat(scratch.path()).expect("there");
        for (mtime, ctime) in
            [((1000, 1), (2000, 500_000_000)), ((-3, 1), (2000, 5)), ((-3, 1), (-9, 5))]
        {
            let mut stat = stat;
            (stat.st_mtime, stat.st_mtime_nsec) = mtime;
            (stat.st_ctime, stat.st_ctime_nsec) = ctime;
            let time =
                |(seconds, nanoseconds): (i64, u64)| system_time(seconds, nanoseconds as u32);
            let expected = Some((time(mtime), time(ctime)));
            assert_eq!(times_of_version(&version(&stat)), expected);
        }
        for other in ["v17", "", "7-5-1000.000000001-2000.500000000", "\"etag\""] {
            assert_eq!(times_of_version(other), None, "{other}");
        }
    }

    #[test]
    fn times_before_and_after_1970_keep_their_nanoseconds() {
        for (seconds, nanoseconds) in [(0, 0), (0, 1), (-1, 999_999_999), (-1, 0), (1 << 40, 5)] {
            let time = system_time(seconds, nanoseconds);
            let back = timestamps(time).last_modification;
            assert_eq!((back.tv_sec, back.tv_nsec), (seconds, nanoseconds.into()));
        }
        assert_eq!(system_time(-1, 500_000_000), UNIX_EPOCH - Duration::from_millis(500));
    }
}
