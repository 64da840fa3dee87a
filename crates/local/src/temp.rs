//! A file that is written under a name of ketch's own, and gets its final name in one step when it is whole.
//!
//! If it is dropped before that, the file is removed, unless a later process of the same job can continue it (see `part`).
//! A write that is still in progress then has only a descriptor, and cannot bring the name back.
//!
//! A file that is made in one piece of work and replaces nothing has no name at all until it is whole, if the file system
//! can do that (`O_TMPFILE`): this is one change of the folder instead of two, and leaves nothing after a kill.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use ketch_core::{Entry, EntryKind, Error, ErrorKind, Expect, RelPath, Result, narrowed};
use rustix::fs::{self, AtFlags, Mode, RenameFlags, Stat};
use rustix::io::{self, Errno};
use tokio_util::sync::CancellationToken;

use crate::beneath::system_name;
use crate::entry::{Folder, Seen, entry};
use crate::error::{changed, not_forced};
use crate::lenient::close_once;
use crate::lock::is_gone;
use crate::nameless::{copy_again, create_nameless, link_descriptor};
use crate::names::{NAME_MAX, is_temporary};
use crate::options::Fsync;
use crate::part::{self, GoOn, Opened, Progress};
use crate::root::{Place, Root};
use crate::stat::{is_version_of, size};
use crate::unique::create_unique;

/// Permissions of a file that does not have its name yet.
const PRIVATE: u32 = 0o600;

/// A file without its name yet.
#[derive(Debug)]
pub(crate) struct Temp {
    /// Where the bytes go.
    pub(crate) file: Arc<OwnedFd>,
    root: Arc<Root>,
    path: RelPath,
    folder: Arc<Place>,
    name: CString,
    /// `None`: it has no name at all.
    own_name: Option<CString>,
    /// It has its final permissions.
    has_mode: bool,
    /// How far it is complete, if a later process can continue it.
    pub(crate) progress: Option<Arc<Progress>>,
    is_named: bool,
}

/// What a file gets together with its name.
#[derive(Debug)]
pub(crate) struct Finish {
    /// How many bytes were written.
    pub(crate) size: u64,
    /// Its modification time; `None` = now.
    pub(crate) mtime: Option<SystemTime>,
    /// Permissions if it replaces nothing; the umask is applied to them.
    pub(crate) mode: u32,
    /// The permissions of the source, if they are known: a file that replaces another gives group and others nothing that
    /// the source does not.
    pub(crate) source_mode: Option<u32>,
    /// What may be replaced.
    pub(crate) expect: Expect,
    /// Cancels the work, until the last moment.
    pub(crate) cancel: CancellationToken,
    /// The whole content is in memory: making the part, filling it and giving it its name are one piece of work, so a check
    /// need not be repeated.
    pub(crate) at_once: bool,
}

impl Finish {
    /// The rename itself finds out whether something is there.
    fn is_left_to_the_system(&self) -> bool {
        self.at_once && matches!(self.expect, Expect::Absent)
    }
}

/// Can a file be stored under that name at all? Answers before any byte is moved.
pub(crate) fn check_name(path: &RelPath) -> Result<()> {
    let refuse = |message| Err(Error::new(ErrorKind::InvalidInput, message).with_path(path));
    let Some(name) = path.name() else { return refuse("the root is a folder".to_owned()) };
    let name = ketch_core::names::bytes_from_core(name);
    if name.len() > NAME_MAX {
        return refuse(format!("the name is {} bytes long, of {NAME_MAX} at most", name.len()));
    }
    if is_temporary(&name) {
        return refuse("names like this are ketch's own, for parts of files".to_owned());
    }
    Ok(())
}

impl Temp {
    /// Makes the folders above `path` and an empty file beside it, unless the target is already seen to differ from what is
    /// expected. With `going_on` it opens the existing part, if there is one.
    pub(crate) fn create(
        root: Arc<Root>,
        path: RelPath,
        finish: &Finish,
        going_on: Option<GoOn<'_>>,
    ) -> Result<Temp> {
        check_name(&path)?;
        let folder = open_place(&root, &path)?;
        let fail = |errno| root.error(errno, &path);
        let name = system_name(path.name().unwrap_or_default()).map_err(fail)?;
        let mut mode = PRIVATE;
        if finish.is_left_to_the_system() {
            mode = finish.mode & 0o777;
        } else {
            check_target(&root, folder.descriptor.as_fd(), &name, &path, &finish.expect)?;
        }
        let nameless = match finish.is_left_to_the_system() {
            true => create_nameless(&root, &folder.descriptor, mode).map_err(fail)?,
            false => None,
        };
        let opened = match going_on {
            Some(going_on) if nameless.is_none() => {
                part::open(&folder, &name, going_on, mode).map_err(fail)?
            }
            Some(_) | None => None,
        };
        let (file, own_name, is_new, progress) = match (nameless, opened) {
            (Some(file), _) => (file, None, true, None),
            (None, Some(Opened { file, name, is_new, progress })) => {
                (file, Some(name), is_new, Some(Arc::new(progress)))
            }
            (None, None) => {
                let (file, own_name) =
                    create_unique(&folder.descriptor, &name, mode).map_err(fail)?;
                (file, Some(own_name), true, None)
            }
        };
        let has_mode = is_new && finish.is_left_to_the_system();
        let file = Arc::new(file);
        Ok(Temp { file, root, path, folder, name, own_name, has_mode, progress, is_named: false })
    }

    /// Gives the file its name: whole, with its time, on the disk as far as the options say, and only if what it replaces
    /// is what `finish.expect` says.
    ///
    /// Errors: `Changed`; `AlreadyExists` when a folder has the name; `CommitUnknown` when the file has its name but the
    /// folder could not be forced to the disk.
    pub(crate) fn commit(mut self, finish: &Finish) -> Result<Entry> {
        let (root, path) = (Arc::clone(&self.root), self.path.clone());
        let fail = |errno| root.error(errno, &path);
        if !self.has_mode {
            let target = self.check_target(&finish.expect)?;
            let mode = self.mode(target.as_ref(), finish).map_err(fail)?;
            self.root.set_permissions(&self.file, mode).map_err(fail)?;
        }
        if let Some(mtime) = finish.mtime {
            self.root.set_time(&self.file, mtime).map_err(fail)?;
        }
        let syncs = self.root.options.fsync != Fsync::None;
        self.root.force(&self.file).map_err(fail)?;
        // ORDER: the file is closed without an error before it gets its name.
        close_once(&self.file).map_err(fail)?;
        if !finish.at_once {
            self.check_written(finish.size)?;
        }
        // A file without a name was begun a moment ago, in a folder that was checked then, or by a piece of the same batch.
        if self.own_name.is_some() && !self.root.is_in_place(&self.folder).map_err(fail)? {
            // A folder that was moved away while the file was written would take the file along.
            self.root.forget_folders();
            let message = "its folder was replaced by another meanwhile";
            return Err(changed(message).with_path(&self.path));
        }
        if !self.has_mode && (syncs || !finish.at_once) {
            self.check_target(&finish.expect)?;
        }
        if finish.cancel.is_cancelled() {
            return Err(Error::cancelled());
        }
        let absent = matches!(finish.expect, Expect::Absent);
        let published = match self.link_nameless(finish) {
            Some(linked) => linked.map(|()| true),
            None => self.publish(absent),
        };
        self.is_named = published.map_err(|errno| match errno {
            Errno::EXIST if absent => appeared(&path),
            errno => fail(errno),
        })?;
        if let Some(progress) = self.progress.take() {
            progress.close();
        }
        self.root
            .force_folder(self.folder.descriptor.as_fd())
            .map_err(|errno| not_forced("stored", &self.path, errno))?;
        // By the descriptor and not by the name, which may be another program's file by now.
        let stat = self.root.fstat(&self.file).map_err(fail)?;
        Ok(entry(self.path.clone(), EntryKind::File, &stat))
    }

    /// Gives a file without any name its name, which must be free. `None`: it has a name of its own, or has got one because
    /// this cannot be done here.
    fn link_nameless(&mut self, finish: &Finish) -> Option<io::Result<()>> {
        if self.own_name.is_some() {
            return None;
        }
        match link_descriptor(&self.file, &self.folder.descriptor, &self.name) {
            Err(Errno::NOENT | Errno::PERM | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {}
            other => return Some(other),
        }
        match self.make_again(finish) {
            Ok((file, own_name)) => {
                self.root.nameless.store(false, Ordering::Relaxed);
                (self.file, self.own_name) = (Arc::new(file), Some(own_name));
                None
            }
            Err(errno) => Some(Err(errno)),
        }
    }

    /// The same file once more, with a name of its own.
    fn make_again(&self, finish: &Finish) -> io::Result<(OwnedFd, CString)> {
        let (file, own_name) =
            create_unique(&self.folder.descriptor, &self.name, finish.mode & 0o777)?;
        let made = copy_again(&self.file, &file, finish.size).and_then(|()| {
            if let Some(mtime) = finish.mtime {
                self.root.set_time(&file, mtime)?;
            }
            self.root.force(&file)?;
            close_once(&file)
        });
        if let Err(errno) = made {
            // If it cannot be removed it is swept later; why it could not be made says more.
            let _ = fs::unlinkat(&self.folder.descriptor, own_name.as_c_str(), AtFlags::empty());
            return Err(errno);
        }
        Ok((file, own_name))
    }

    /// Renames, and tells whether the own name is gone with that.
    fn publish(&self, absent: bool) -> io::Result<bool> {
        let own = self.own_name.as_deref().ok_or(Errno::NOENT)?;
        let (folder, name) = (&self.folder.descriptor, self.name.as_c_str());
        if !absent {
            return fs::renameat(folder, own, folder, name).map(|()| true);
        }
        match fs::renameat_with(folder, own, folder, name, RenameFlags::NOREPLACE) {
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {}
            other => return other.map(|()| true),
        }
        link_new(folder, own, name)
    }

    fn check_target(&self, expect: &Expect) -> Result<Option<Stat>> {
        check_target(&self.root, self.folder.descriptor.as_fd(), &self.name, &self.path, expect)
    }

    /// Is everything there that was written, and under its own name?
    fn check_written(&self, expected: u64) -> Result<()> {
        let fail = |errno| self.root.error(errno, &self.path);
        let stat = fs::fstat(&*self.file).map_err(fail)?;
        if let Some(own_name) = &self.own_name
            && is_gone(&self.folder.descriptor, own_name, &self.file).map_err(fail)?
        {
            return Err(changed("its part was removed meanwhile").with_path(&self.path));
        }
        let written = size(&stat);
        if written == expected {
            return Ok(());
        }
        let message = format!("the disk holds {written} of {expected} bytes");
        Err(Error::new(ErrorKind::Corrupt, message).with_path(&self.path))
    }

    /// The permissions: those of the file that is replaced, but no wider than usual if that one has another owner.
    fn mode(&self, target: Option<&Stat>, finish: &Finish) -> io::Result<Mode> {
        let usual = finish.mode & 0o777 & !umask();
        let Some(target) = target else { return Ok(Mode::from_raw_mode(usual)) };
        let own = fs::fstat(&*self.file)?;
        let kept = target.st_mode & 0o777;
        let kept = finish.source_mode.map_or(kept, |mode| narrowed(EntryKind::File, kept, mode));
        let same_owner = (own.st_uid, own.st_gid) == (target.st_uid, target.st_gid);
        Ok(Mode::from_raw_mode(if same_owner { kept } else { kept & usual }))
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        if self.is_named {
            return;
        }
        if let Some(progress) = &self.progress {
            if progress.is_to_be_kept() {
                // The folder is remembered: if the job ends all the same, no process will continue the part.
                self.root.saw_leftover(&self.path.parent().unwrap_or_else(RelPath::root));
                return;
            }
            progress.close();
        }
        let Some(own_name) = &self.own_name else { return };
        match fs::unlinkat(&self.folder.descriptor, own_name.as_c_str(), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => {
                tracing::warn!(path = ?self.path, name = ?own_name, %errno, "a part could not be removed");
            }
        }
    }
}

/// The folder that is to hold `path`, made if it is not there.
pub(crate) fn open_place(root: &Root, path: &RelPath) -> Result<Arc<Place>> {
    if let Some(kept) = root.kept_folder(path)
        && root.was_in_place(&kept).unwrap_or(false)
    {
        return Ok(kept);
    }
    let parent = path.parent().unwrap_or_else(RelPath::root);
    let folder = root.make_folder(&parent)?;
    root.keep_folder(parent, folder).map_err(|errno| root.error(errno, path))
}

/// Compares `expect` with what is at the target now, and returns what would be replaced.
pub(crate) fn check_target(
    root: &Root,
    folder: BorrowedFd<'_>,
    name: &CStr,
    path: &RelPath,
    expect: &Expect,
) -> Result<Option<Stat>> {
    let parent = path.parent().unwrap_or_else(RelPath::root);
    let found = match Folder::new(root, folder, &parent).look(name, path.clone()) {
        Ok(found) => Some(found),
        Err(Errno::NOENT) => None,
        Err(errno) => return Err(root.error(errno, path)),
    };
    let refuse = |error: Error| Err(error.with_path(path));
    let kind = found.as_ref().map(|seen| seen.entry.kind);
    match (kind, expect) {
        (None, Expect::Anything | Expect::Absent) => Ok(None),
        (None, Expect::Entry(_)) => refuse(changed("what was to be replaced is gone")),
        (Some(_), Expect::Absent) => refuse(appeared(path)),
        (Some(EntryKind::File), Expect::Anything) => Ok(found.map(|seen| seen.stat)),
        // The permissions of a link mean nothing, so they are not shown.
        (Some(EntryKind::Link), Expect::Anything) => Ok(None),
        (Some(EntryKind::File | EntryKind::Link), Expect::Entry(known)) => match found {
            Some(Seen { stat, .. }) if is_version_of(known, &stat) => {
                Ok((kind == Some(EntryKind::File)).then_some(stat))
            }
            _ => refuse(changed("what was to be replaced is not the version that was listed")),
        },
        (Some(EntryKind::Dir), Expect::Anything) => {
            refuse(Error::new(ErrorKind::AlreadyExists, "a folder has that name"))
        }
        (Some(EntryKind::Special(special)), Expect::Anything) => {
            let message = format!("{} has that name and is not replaced", special.describe());
            refuse(Error::new(ErrorKind::Denied, message).with_hint(special.hint()))
        }
        (Some(EntryKind::Dir | EntryKind::Special(_)), Expect::Entry(_)) => {
            refuse(changed("what was to be replaced is no longer a file"))
        }
    }
}

pub(crate) fn appeared(path: &RelPath) -> Error {
    changed("something of that name appeared meanwhile").with_path(path)
}

/// Gives a file another name that must be free, without `RENAME_NOREPLACE`: with a hard link, which replaces nothing
/// either, or, where there are none, after checking just before. Returns whether the first name is gone.
fn link_new(folder: &OwnedFd, own: &CStr, name: &CStr) -> io::Result<bool> {
    match fs::linkat(folder, own, folder, name, AtFlags::empty()) {
        Err(Errno::PERM | Errno::NOSYS | Errno::OPNOTSUPP) => {}
        other => return other.map(|()| false),
    }
    match fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => fs::renameat(folder, own, folder, name).map(|()| true),
        Ok(_) => Err(Errno::EXIST),
        Err(errno) => Err(errno),
    }
}

/// The umask of this process. The system call that tells it also sets it, for all threads, so it is read from `/proc`.
fn umask() -> u32 {
    static UMASK: OnceLock<u32> = OnceLock::new();
    *UMASK.get_or_init(|| {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("Umask:"));
        line.and_then(|octal| u32::from_str_radix(octal.trim(), 8).ok()).unwrap_or(0o022)
    })
}

#[cfg(test)]
mod tests {
    use rustix::fs::OFlags;

    use super::*;

    fn small(root: &Arc<Root>, finish: &Finish, content: &'static str) -> Temp {
        let path = RelPath::new("sub/f").expect("legal");
        let temp = Temp::create(Arc::clone(root), path, finish, None).expect("made");
        crate::write::write_all(&temp.file, &[content.into()], 0).expect("written");
        temp
    }

    fn names(folder: &std::path::Path) -> Vec<std::ffi::OsString> {
        let entries = std::fs::read_dir(folder).expect("there");
        entries.map(|entry| entry.expect("readable").file_name()).collect()
    }

    #[test]
    fn a_small_new_file_is_made_the_same_with_and_without_a_name_of_its_own() {
        let mtime = Some(SystemTime::UNIX_EPOCH);
        for (nameless, is_refused) in [(true, false), (true, true), (false, false)] {
            let scratch = tempfile::tempdir().expect("scratch");
            let root = Arc::new(Root::new(scratch.path(), Default::default()));
            root.nameless.store(nameless, Ordering::Relaxed);
            let (expect, cancel) = (Expect::Absent, CancellationToken::new());
            let (mode, source_mode) = (0o640, None);
            let finish =
                Finish { size: 7, mtime, mode, source_mode, expect, cancel, at_once: true };
            let mut temp = small(&root, &finish, "content");
            let folder = scratch.path().join("sub");
            let has_own = temp.own_name.is_some();
            assert_eq!(names(&folder).len(), usize::from(has_own));
            if is_refused && !has_own {
                // As where a descriptor cannot be given a name.
                let (file, own_name) = temp.make_again(&finish).expect("made again");
                (temp.file, temp.own_name) = (Arc::new(file), Some(own_name));
            }
            let entry = temp.commit(&finish).expect("stored");
            assert_eq!((entry.size, entry.mtime), (Some(7), mtime));
            assert_eq!(names(&folder), ["f"]);
            assert_eq!(std::fs::read(folder.join("f")).expect("there"), b"content");
            let mode = fs::stat(folder.join("f")).expect("there").st_mode & 0o777;
            assert_eq!(mode, 0o640 & !umask());
            drop(small(&root, &finish, "another"));
            let error = small(&root, &finish, "another").commit(&finish).expect_err("it is taken");
            assert_eq!(error.kind(), ErrorKind::Changed);
            assert_eq!(names(&folder), ["f"]);
            assert_eq!(std::fs::read(folder.join("f")).expect("there"), b"content");
        }
    }

    #[test]
    fn a_hard_link_replaces_nothing_either() {
        let scratch = tempfile::tempdir().expect("scratch");
        let folder = fs::open(scratch.path(), OFlags::PATH, Mode::empty()).expect("opened");
        std::fs::write(scratch.path().join("own"), "new").expect("written");
        std::fs::write(scratch.path().join("taken"), "old").expect("written");
        assert_eq!(link_new(&folder, c"own", c"taken"), Err(Errno::EXIST));
        assert_eq!(link_new(&folder, c"own", c"free"), Ok(false));
        let content = |name: &str| std::fs::read(scratch.path().join(name)).expect("there");
        assert_eq!((content("taken"), content("free")), (b"old".to_vec(), b"new".to_vec()));
    }

    #[test]
    fn the_umask_is_the_one_the_system_applies() {
        let scratch = tempfile::tempdir().expect("scratch");
        std::fs::write(scratch.path().join("f"), "").expect("written");
        let mode = fs::stat(scratch.path().join("f")).expect("there").st_mode & 0o777;
        assert_eq!(mode, 0o666 & !umask());
    }
}
