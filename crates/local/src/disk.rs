//! The files of a local place for calls that block: opened, read and checked again by the rules of `read.rs`.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ketch_core::{Disk, DiskFile, Entry, EntryKind, Error, Result};
use rustix::io::{pread, retry_on_intr};

use crate::link;
use crate::read::{OpenFile, open_file};
use crate::root::Root;
use crate::stat::times_of_version;

/// A change within this time after another may get the same time stamp: the kernel stamps with a clock that ticks 100 to
/// 1000 times a second, and this is ten of the slowest ticks.
const TICK: Duration = Duration::from_millis(100);
/// The same where stamps are whole seconds (FAT: even ones).
const COARSE_TICK: Duration = Duration::from_secs(3);

/// A place and what it is called.
#[derive(Debug)]
pub(crate) struct LocalDisk {
    pub(crate) name: String,
    pub(crate) root: Arc<Root>,
}

impl Disk for LocalDisk {
    fn open(&self, entry: &Entry) -> Result<Box<dyn DiskFile>> {
        if entry.kind == EntryKind::Link {
            let target = link::read_target(&self.root, entry);
            let target = target.map_err(|error| explain(error, &self.name, entry))?;
            return Ok(Box::new(LinkTarget(target)));
        }
        let opened = open_file(&self.root, entry);
        let file = opened.map_err(|error| explain(error, &self.name, entry))?;
        let (name, root) = (self.name.clone(), Arc::clone(&self.root));
        Ok(Box::new(LocalFile { name, root, entry: entry.clone(), file }))
    }

    fn proves_versions(&self) -> bool {
        self.root.proves_versions()
    }

    fn is_settled(&self, entry: &Entry, time: SystemTime) -> bool {
        if !self.root.proves_versions() {
            return false;
        }
        let Some((mtime, ctime)) = entry.version.as_deref().and_then(times_of_version) else {
            return false;
        };
        // The change time tells how fine the clock is: unlike the other it cannot be chosen.
        let is_coarse = ctime.duration_since(SystemTime::UNIX_EPOCH).is_ok_and(is_whole_second);
        let tick = if is_coarse { COARSE_TICK } else { TICK };
        let is_older = |stamp: SystemTime| stamp.checked_add(tick).is_some_and(|end| end < time);
        is_older(mtime) && is_older(ctime)
    }
}

fn is_whole_second(since: Duration) -> bool {
    since.subsec_nanos() == 0
}

struct LocalFile {
    name: String,
    root: Arc<Root>,
    entry: Entry,
    file: OpenFile,
}

impl DiskFile for LocalFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            let room = &mut buffer[filled..];
            let at = offset.saturating_add(filled as u64);
            let got = retry_on_intr(|| pread(&self.file.descriptor, &mut *room, at))
                .map_err(|errno| self.root.error(errno, &self.entry.path))
                .map_err(|error| explain(error, &self.name, &self.entry))?;
            if got == 0 {
                break;
            }
            filled += got;
        }
        Ok(filled)
    }

    fn check_unchanged(&self) -> Result<()> {
        let checked = self.file.check_unchanged(&self.root, &self.entry);
        checked.map_err(|error| explain(error, &self.name, &self.entry))
    }
}

/// What a link pointed to when it was read; a link cannot be changed, only replaced.
struct LinkTarget(Vec<u8>);

impl DiskFile for LinkTarget {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(self.0.len());
        let got = buffer.len().min(self.0.len() - start);
        buffer[..got].copy_from_slice(&self.0[start..start + got]);
        Ok(got)
    }

    fn check_unchanged(&self) -> Result<()> {
        Ok(())
    }
}

fn explain(error: Error, name: &str, entry: &Entry) -> Error {
    error.with_operation("read").with_path(&entry.path).with_remote(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stat::version;
    use crate::{LocalBackend, LocalOptions};
    use ketch_core::{Backend, ErrorKind, RelPath};

    fn disk_with(content: &str) -> (tempfile::TempDir, Arc<dyn Disk>, LocalBackend) {
        let scratch = tempfile::tempdir().expect("scratch");
        std::fs::write(scratch.path().join("f"), content).expect("written");
        let backend = LocalBackend::new(scratch.path().to_owned(), LocalOptions::default());
        let disk = backend.facets().disk.clone().expect("it has one");
        (scratch, disk, backend)
    }

    async fn listed(backend: &LocalBackend) -> Entry {
        backend.stat(&RelPath::new("f").expect("legal")).await.expect("there")
    }

    #[tokio::test]
    async fn a_file_is_read_as_it_was_listed_or_not_at_all() {
        let (scratch, disk, backend) = disk_with("content");
        let entry = listed(&backend).await;
        let file = disk.open(&entry).expect("opens");
        let mut buffer = [0; 16];
        assert_eq!(file.read_at(&mut buffer, 3).expect("reads"), 4);
        assert_eq!(&buffer[..4], b"tent");
        file.check_unchanged().expect("nothing changed");
        std::fs::write(scratch.path().join("f"), "other content").expect("written");
        assert_eq!(file.check_unchanged().expect_err("it changed").kind(), ErrorKind::Changed);
        let error = disk.open(&entry).map(drop).expect_err("it is another version");
        assert_eq!(error.kind(), ErrorKind::Changed);
        assert_eq!(error.operation(), Some("read"));
    }

    #[tokio::test]
    async fn a_version_is_settled_only_when_the_clock_has_moved_on() {
        let (scratch, disk, backend) = disk_with("content");
        let entry = listed(&backend).await;
        let now = SystemTime::now();
        let check_text = |version: &str, time: SystemTime, expected: bool| {
            let entry = Entry { version: Some(version.into()), ..entry.clone() };
            assert_eq!(disk.is_settled(&entry, time), expected, "{version}");
        };
        let stat = rustix::fs::stat(scratch.path()).expect("there");
        // Modification and change time in milliseconds.
        let check = |mtime: u64, ctime: u64, time: SystemTime, expected: bool| {
            let parts = |millis: u64| ((millis / 1000) as i64, millis % 1000 * 1_000_000);
            let mut stat = stat;
            (stat.st_mtime, stat.st_mtime_nsec) = parts(mtime);
            (stat.st_ctime, stat.st_ctime_nsec) = parts(ctime);
            check_text(&version(&stat), time, expected);
        };
        let at = |seconds: u64, millis: u64| {
            SystemTime::UNIX_EPOCH + Duration::from_millis(seconds * 1000 + millis)
        };
        check(1_000_500, 1_000_500, at(1000, 550), false);
        check(1_000_500, 1_000_500, at(1000, 601), true);
        // A clock of whole seconds.
        check(1_000_000, 1_000_000, at(1002, 0), false);
        check(1_000_000, 1_000_000, at(1003, 1), true);
        // A modification time of the future proves nothing.
        check(2_000_500, 1_000_500, at(1500, 0), false);
        check_text("nonsense", now, false);
        assert!(!disk.is_settled(&Entry { version: None, ..entry.clone() }, now));
        // What was written a moment ago is not settled, and later it is.
        let written = entry.mtime.expect("a time");
        assert!(!disk.is_settled(&entry, written));
        assert!(disk.is_settled(&entry, written + Duration::from_secs(60)));
    }
}
