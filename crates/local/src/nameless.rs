//! Files that have no name until they are whole (`O_TMPFILE`): if the process is killed before, nothing is left of them.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::Ordering;

use rustix::fs::{self, AtFlags, Mode, OFlags};
use rustix::io::{self, Errno, retry_on_intr};

use crate::mover::copy_through;
use crate::root::Root;

/// A file without any name. `None` where there are none.
pub(crate) fn create_nameless(
    root: &Root,
    folder: &OwnedFd,
    mode: u32,
) -> io::Result<Option<OwnedFd>> {
    if !root.nameless.load(Ordering::Relaxed) {
        return Ok(None);
    }
    let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
    match retry_on_intr(|| fs::openat(folder, c".", flags, Mode::from_raw_mode(mode))) {
        Ok(file) => Ok(Some(file)),
        // The last is what a system says that takes it for opening the folder.
        Err(Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS | Errno::PERM | Errno::ISDIR) => {
            root.nameless.store(false, Ordering::Relaxed);
            Ok(None)
        }
        Err(errno) => Err(errno),
    }
}

/// Gives an open file without a name a name, which must be free.
pub(crate) fn link_descriptor(file: &OwnedFd, folder: &OwnedFd, name: &CStr) -> io::Result<()> {
    match fs::linkat(file, c"", folder, name, AtFlags::EMPTY_PATH) {
        // Before Linux 6.10 only a privileged process may do that.
        Err(Errno::NOENT | Errno::PERM) => {}
        other => return other,
    }
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    fs::linkat(fs::CWD, path, folder, name, AtFlags::SYMLINK_FOLLOW)
}

/// The first `size` bytes of one file, as the content of another.
pub(crate) fn copy_again(from: &OwnedFd, to: &OwnedFd, size: u64) -> io::Result<()> {
    let mut buffer = Vec::new();
    let mut at = 0;
    while at < size {
        let got = copy_through(from, to, at, size - at, &mut buffer)?;
        if got == 0 {
            return Err(Errno::IO);
        }
        at += got;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write::write_all;
    use bytes::Bytes;
    use std::path::Path;

    fn folder(path: &Path) -> OwnedFd {
        fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).expect("opened")
    }

    #[test]
    fn a_file_gets_a_name_that_is_free_and_no_other() {
        let scratch = tempfile::tempdir().expect("scratch");
        let (root, folder) =
            (Root::new(scratch.path(), Default::default()), folder(scratch.path()));
        let make = || create_nameless(&root, &folder, 0o600).expect("made");
        let Some(file) = make() else {
            eprintln!("there are no files without names here");
            return;
        };
        write_all(&file, &[Bytes::from("new")], 0).expect("written");
        assert_eq!(std::fs::read_dir(scratch.path()).expect("there").count(), 0);
        std::fs::write(scratch.path().join("taken"), "old").expect("written");
        assert_eq!(link_descriptor(&file, &folder, c"taken"), Err(Errno::EXIST));
        assert_eq!(link_descriptor(&file, &folder, c"free"), Ok(()));
        let content = |name: &str| std::fs::read(scratch.path().join(name)).expect("there");
        assert_eq!((content("taken"), content("free")), (b"old".to_vec(), b"new".to_vec()));
        drop(make());
        assert_eq!(std::fs::read_dir(scratch.path()).expect("there").count(), 2);
    }

    #[test]
    fn a_copy_of_all_bytes_is_made_or_none_is_said_to_be() {
        let scratch = tempfile::tempdir().expect("scratch");
        let content: Vec<u8> = (0..150_000_u32).map(|number| number as u8).collect();
        let path = |name: &str| scratch.path().join(name);
        std::fs::write(path("from"), &content).expect("written");
        let from = OwnedFd::from(std::fs::File::open(path("from")).expect("opened"));
        let to = OwnedFd::from(std::fs::File::create(path("to")).expect("made"));
        copy_again(&from, &to, content.len() as u64).expect("copied");
        assert_eq!(std::fs::read(path("to")).expect("there"), content);
        assert_eq!(copy_again(&from, &to, content.len() as u64 + 1), Err(Errno::IO));
    }
}
