//! The trees that are measured, made from a seed, and the proof that a copy of one is right. Knows no tool.

use std::fs::{self, File, FileTimes};
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::{Duration, SystemTime};

/// The modification time of everything that is made.
const MADE: u64 = 1_700_000_000;

/// A small generator of numbers, the same on every machine.
#[derive(Debug)]
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) fn new(seed: u64) -> Self {
        Numbers(seed)
    }

    /// The next number (SplitMix64).
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// The next number of a normal distribution around zero (Box and Muller).
    fn normal(&mut self) -> f64 {
        let mut even = || (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        let (one, other) = (even().max(f64::MIN_POSITIVE), even());
        (-2.0 * one.ln()).sqrt() * (std::f64::consts::TAU * other).cos()
    }

    /// Fills `bytes` with noise.
    pub(crate) fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let number = self.next().to_le_bytes();
            chunk.copy_from_slice(&number[..chunk.len()]);
        }
    }
}

/// A file of `bytes` bytes at `path`.
pub(crate) fn make_file(numbers: &mut Numbers, path: &Path, bytes: u64) -> io::Result<()> {
    let mut file = File::create(path)?;
    let mut buffer = vec![0; 1 << 20];
    let mut left = bytes;
    while left > 0 {
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        numbers.fill(&mut buffer[..length]);
        file.write_all(&buffer[..length])?;
        left -= length as u64;
    }
    let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(MADE);
    file.set_times(FileTimes::new().set_modified(modified))
}

/// `folders` folders of `files` files of `bytes` bytes each.
pub(crate) fn make_tree(
    root: &Path,
    seed: u64,
    folders: u64,
    files: u64,
    bytes: u64,
) -> io::Result<()> {
    let mut numbers = Numbers::new(seed);
    for folder in 0..folders {
        let folder = root.join(format!("folder-{folder:05}"));
        fs::create_dir_all(&folder)?;
        for file in 0..files {
            make_file(&mut numbers, &folder.join(format!("file-{file:07}.dat")), bytes)?;
        }
    }
    Ok(())
}

/// The middle size of a mixed tree, how far the logarithms of the sizes are apart, and the largest size.
const MIDDLE_BYTES: f64 = 65_536.0;
const SPREAD: f64 = 2.0;
const LARGEST_BYTES: u64 = 256 << 20;
/// Files of one folder of a mixed tree.
const MIXED_FOLDER_FILES: u64 = 50;

/// `total` bytes in files whose sizes are log-normal: half of the files below 64 KiB, most of the bytes in files of MiB.
pub(crate) fn make_mixed(root: &Path, seed: u64, total: u64) -> io::Result<()> {
    let mut numbers = Numbers::new(seed);
    let mut left = total;
    let mut number = 0;
    while left > 0 {
        let size = MIDDLE_BYTES * (SPREAD * numbers.normal()).exp();
        let bytes = (size as u64).clamp(1, LARGEST_BYTES).min(left);
        let folder = root.join(format!("folder-{:04}", number / MIXED_FOLDER_FILES));
        fs::create_dir_all(&folder)?;
        make_file(&mut numbers, &folder.join(format!("file-{number:06}.dat")), bytes)?;
        left -= bytes;
        number += 1;
    }
    Ok(())
}

/// What is different between a tree and its copy; `None` when nothing is.
pub(crate) fn difference(tree: &Path, copy: &Path) -> io::Result<Option<String>> {
    let mut names = names(tree)?;
    let mut copied = self::names(copy)?;
    names.sort();
    copied.sort();
    if names != copied {
        return Ok(Some(format!("{} holds other names than {}", copy.display(), tree.display())));
    }
    for name in names {
        let (left, right) = (tree.join(&name), copy.join(&name));
        let differs = if left.is_dir() {
            difference(&left, &right)?
        } else if same_content(&left, &right)? {
            None
        } else {
            Some(format!("{} is not what was copied", right.display()))
        };
        if differs.is_some() {
            return Ok(differs);
        }
    }
    Ok(None)
}

fn names(folder: &Path) -> io::Result<Vec<std::ffi::OsString>> {
    fs::read_dir(folder)?.map(|found| Ok(found?.file_name())).collect()
}

fn same_content(left: &Path, right: &Path) -> io::Result<bool> {
    let (mut left, mut right) = (File::open(left)?, File::open(right)?);
    if left.metadata()?.len() != right.metadata()?.len() {
        return Ok(false);
    }
    let (mut one, mut other) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    loop {
        let got = left.read(&mut one)?;
        if got == 0 {
            return Ok(true);
        }
        right.read_exact(&mut other[..got])?;
        if one[..got] != other[..got] {
            return Ok(false);
        }
    }
}
