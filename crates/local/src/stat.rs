//! What the system says about one thing, in ketch's terms: kind, size, times, version and identity.
//!
//! The version is inode, size, modification and change time. The device is not part of it: some file systems number it
//! anew at each mount, and a version may be kept in a plan. Makes no system calls.

use std::time::{SystemTime, UNIX_EPOCH};

use ketch_core::{Entry, EntryKind, Special, time_of};
use rustix::fs::{FileType, Stat, Timespec, Timestamps, UTIME_OMIT};

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

pub(crate) fn write_version<'a>(stat: &Stat, text: &'a mut [u8; VERSION_BYTES]) -> &'a str {
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
pub(crate) const VERSION_BYTES: usize = 6 * NUMBER_DIGITS;
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
    use rustix::fs;
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
