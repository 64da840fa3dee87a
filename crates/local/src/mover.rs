//! Copies bytes of one file to the same offset of another, in the best way that works between the two.
//!
//! Within one file system the system moves them (`copy_file_range`). Between two it does not, but hands the pages it has
//! of the one file to the other (`sendfile`), which is one copy of the bytes in memory less than reading and writing, and no
//! memory of this process. Reading and writing always works. Reading ahead with another thread was tried instead and took as
//! much of the processor as reading and writing and, on two busy cores, as much time or more.

use std::os::fd::OwnedFd;

use rustix::buffer::spare_capacity;
use rustix::fs::{self, SeekFrom};
use rustix::io::{self, Errno, pread, pwrite, retry_on_intr};

/// Bytes that the system copies before the code checks whether to continue.
const STEP_BYTES: u64 = 16 * 1024 * 1024;
/// Bytes that pass through this process at a time, if they must: few enough to stay in the cache of the processor.
const BUFFER_BYTES: usize = 128 * 1024;

/// If one way fails, the next one continues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    CopyRange,
    Send,
    ReadAndWrite,
}

/// Moves the bytes of one file.
#[derive(Debug)]
pub(crate) struct Mover<'a> {
    from: &'a OwnedFd,
    to: &'a OwnedFd,
    way: Way,
    buffer: Vec<u8>,
}

impl<'a> Mover<'a> {
    pub(crate) fn new(from: &'a OwnedFd, to: &'a OwnedFd) -> Self {
        Mover { from, to, way: Way::CopyRange, buffer: Vec::new() }
    }

    /// The same for files so short that no other way is worth a try.
    pub(crate) fn of_short(from: &'a OwnedFd, to: &'a OwnedFd) -> Self {
        Mover { way: Way::ReadAndWrite, ..Mover::new(from, to) }
    }

    /// Moves some of the `wanted` bytes from `at` on and tells how many; 0: the file ends there.
    pub(crate) fn step(&mut self, at: u64, wanted: u64) -> io::Result<u64> {
        let few = wanted.min(STEP_BYTES);
        // Some file systems return 0 for what they cannot copy, so only a read is trusted to find the end.
        if self.way == Way::CopyRange {
            match copy_range(self.from, self.to, at, few)? {
                Some(got) if got > 0 => return Ok(got),
                _ => self.way = Way::Send,
            }
        }
        if self.way == Way::Send {
            match send(self.from, self.to, at, few)? {
                Some(got) if got > 0 => return Ok(got),
                _ => self.way = Way::ReadAndWrite,
            }
        }
        copy_through(self.from, self.to, at, wanted, &mut self.buffer)
    }
}

/// `None` when it cannot be done this way.
fn copy_range(from: &OwnedFd, to: &OwnedFd, at: u64, wanted: u64) -> io::Result<Option<u64>> {
    let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
    let (mut read_at, mut write_at) = (at, at);
    some_unless_impossible(retry_on_intr(|| {
        fs::copy_file_range(from, Some(&mut read_at), to, Some(&mut write_at), wanted)
    }))
}

/// `None` when it cannot be done this way. Moves the position of `to`, which no code here uses.
fn send(from: &OwnedFd, to: &OwnedFd, at: u64, wanted: u64) -> io::Result<Option<u64>> {
    let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
    let mut read_at = at;
    let sent = fs::seek(to, SeekFrom::Start(at))
        .and_then(|_| retry_on_intr(|| fs::sendfile(to, from, Some(&mut read_at), wanted)));
    some_unless_impossible(sent)
}

/// An error of the disk is an error; that this way does not work is not.
fn some_unless_impossible(moved: io::Result<usize>) -> io::Result<Option<u64>> {
    match moved {
        Ok(got) => Ok(Some(got as u64)),
        Err(errno @ (Errno::NOSPC | Errno::DQUOT | Errno::FBIG | Errno::IO)) => Err(errno),
        Err(_) => Ok(None),
    }
}

/// Copies at most `wanted` bytes from `at` on by way of `buffer`; 0 at the end of the file.
pub(crate) fn copy_through(
    from: &OwnedFd,
    to: &OwnedFd,
    at: u64,
    wanted: u64,
    buffer: &mut Vec<u8>,
) -> io::Result<u64> {
    buffer.clear();
    buffer.reserve_exact(BUFFER_BYTES);
    retry_on_intr(|| pread(from, spare_capacity(buffer), at))?;
    buffer.truncate(usize::try_from(wanted).unwrap_or(usize::MAX));
    write_at(to, buffer, at)?;
    Ok(buffer.len() as u64)
}

/// Writes all of `bytes` from `at` on.
pub(crate) fn write_at(to: &OwnedFd, bytes: &[u8], at: u64) -> io::Result<()> {
    let mut written = 0;
    while written < bytes.len() {
        let got = retry_on_intr(|| pwrite(to, &bytes[written..], at + written as u64))?;
        if got == 0 {
            return Err(Errno::IO);
        }
        written += got;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::path::Path;

    fn made(path: &Path, content: &[u8]) -> OwnedFd {
        std::fs::write(path, content).expect("written");
        OwnedFd::from(File::options().read(true).write(true).open(path).expect("opened"))
    }

    #[test]
    fn every_way_moves_the_bytes_asked_for_to_their_place_and_finds_the_end() {
        let scratch = tempfile::tempdir().expect("scratch");
        let mut content = vec![0; 3 * BUFFER_BYTES + 5];
        fastrand::Rng::with_seed(3).fill(&mut content);
        let from = made(&scratch.path().join("from"), &content);
        for way in [Way::CopyRange, Way::Send, Way::ReadAndWrite] {
            let path = scratch.path().join(format!("{way:?}"));
            let to = made(&path, b"");
            let mut mover = Mover { way, ..Mover::new(&from, &to) };
            // From the back to the front, so that each piece must find its place.
            for at in [3 * BUFFER_BYTES, 2 * BUFFER_BYTES, BUFFER_BYTES + 7, 0] {
                let (mut at, end) = (at as u64, content.len().min(at + BUFFER_BYTES + 7) as u64);
                while at < end {
                    let got = mover.step(at, end - at).expect("moved");
                    assert!(got > 0 && got <= end - at, "{way:?} moved {got}");
                    at += got;
                }
            }
            assert_eq!(mover.way, way, "it works here");
            assert!(std::fs::read(&path).expect("there") == content, "{way:?}");
            assert_eq!(mover.step(content.len() as u64, 1).expect("the end"), 0, "{way:?}");
            assert_eq!(std::fs::metadata(&path).expect("there").len(), content.len() as u64);
        }
    }

    #[test]
    fn bytes_get_from_one_file_system_to_another() {
        let (Ok(one), Ok(other)) = (tempfile::tempdir_in("/dev/shm"), tempfile::tempdir()) else {
            println!("skipped: there is no /dev/shm");
            return;
        };
        let content = vec![5; BUFFER_BYTES + 1];
        let from = made(&one.path().join("from"), &content);
        let to = made(&other.path().join("to"), b"");
        let mut mover = Mover::new(&from, &to);
        let mut at = 0;
        while at < content.len() as u64 {
            at += mover.step(at, content.len() as u64 - at).expect("moved");
        }
        assert!(std::fs::read(other.path().join("to")).expect("there") == content);
    }
}
