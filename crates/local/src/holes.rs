//! Finds where a file has bytes and where it has holes: ranges that take no room and read as zeros.

use std::ops::Range;
use std::os::fd::OwnedFd;

use rustix::fs::{self, SeekFrom, Stat};
use rustix::io::{self, Errno, retry_on_intr};

use crate::stat::size;

/// The unit of `st_blocks`, whatever the file system works with.
const BLOCK_BYTES: u64 = 512;

/// Does the file take less room than it is long? Then it has holes, or its file system packs it.
pub(crate) fn may_have_holes(stat: &Stat) -> bool {
    let blocks = u64::try_from(stat.st_blocks).unwrap_or(0);
    blocks.saturating_mul(BLOCK_BYTES) < size(stat)
}

/// The first part of `range` in `file` that is not a hole; an empty range at its end if it is all hole. If the file system
/// does not know its holes, everything counts as bytes.
///
/// Moves the position of the descriptor, which no code here uses.
pub(crate) fn next_data(file: &OwnedFd, range: Range<u64>) -> io::Result<Range<u64>> {
    if range.is_empty() {
        return Ok(range.end..range.end);
    }
    let start = match retry_on_intr(|| fs::seek(file, SeekFrom::Data(range.start))) {
        Ok(start) => start,
        // There is only a hole up to the end; if the file has become shorter, the check after the last byte finds it.
        Err(Errno::NXIO) => return Ok(range.end..range.end),
        Err(Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(range),
        Err(errno) => return Err(errno),
    };
    if start < range.start {
        return Ok(range); // It was not understood.
    }
    if start >= range.end {
        return Ok(range.end..range.end);
    }
    let end = match retry_on_intr(|| fs::seek(file, SeekFrom::Hole(start))) {
        Ok(end) if end > start => end.min(range.end),
        // The bytes went away meanwhile, or it was not understood: then what is read tells.
        Ok(_) | Err(Errno::NXIO | Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS) => range.end,
        Err(errno) => return Err(errno),
    };
    Ok(start..end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    const BLOCK: u64 = 64 * 1024;

    /// A file of `blocks` blocks in which those of `written` have bytes.
    fn file(blocks: u64, written: &[u64]) -> (tempfile::TempDir, OwnedFd) {
        let scratch = tempfile::tempdir().expect("scratch");
        let file = std::fs::File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(scratch.path().join("f"))
            .expect("made");
        file.set_len(blocks * BLOCK).expect("set");
        for block in written {
            file.write_all_at(&[7; BLOCK as usize], block * BLOCK).expect("written");
        }
        (scratch, file.into())
    }

    fn knows_holes(file: &OwnedFd) -> bool {
        let knows = fs::seek(file, SeekFrom::Data(0)) == Err(Errno::NXIO);
        if !knows {
            println!("skipped: no holes are known here");
        }
        knows
    }

    #[test]
    fn data_is_found_between_the_holes_and_within_the_range_asked_for() {
        let (_scratch, empty) = file(3, &[]);
        if !knows_holes(&empty) {
            return;
        }
        let check = |file: &OwnedFd, asked: Range<u64>, expected: Range<u64>| {
            let asked = asked.start * BLOCK..asked.end * BLOCK;
            let found = next_data(file, asked.clone()).expect("found");
            assert_eq!(found, expected.start * BLOCK..expected.end * BLOCK, "{asked:?}");
        };
        check(&empty, 0..3, 3..3);
        let (_scratch, file) = file(8, &[0, 3, 4]);
        check(&file, 0..8, 0..1);
        check(&file, 1..8, 3..5);
        check(&file, 4..8, 4..5);
        check(&file, 1..4, 3..4);
        check(&file, 1..2, 2..2);
        check(&file, 5..8, 8..8);
        check(&file, 8..8, 8..8);
        // The file is shorter than it was: reading it will find that.
        check(&file, 9..12, 12..12);
    }

    #[test]
    fn only_a_file_that_takes_less_room_than_it_is_long_is_looked_at_for_holes() {
        let (_scratch, sparse) = file(3, &[1]);
        if !knows_holes(&file(3, &[]).1) {
            return;
        }
        assert!(may_have_holes(&fs::fstat(&sparse).expect("known")));
        let (_scratch, full) = file(2, &[0, 1]);
        assert!(!may_have_holes(&fs::fstat(&full).expect("known")));
        let (_scratch, empty) = file(0, &[]);
        assert!(!may_have_holes(&fs::fstat(&empty).expect("known")));
    }
}
