//! Makes an entry of what the system says about one name.

use std::cell::OnceCell;
use std::ffi::CStr;
use std::os::fd::BorrowedFd;

use ketch_core::{Entry, EntryKind, MODE_MASK, Page, RelPath, Special, View};
use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::{self, Errno, retry_on_intr};

use crate::beneath::Way;
use crate::fence::{climb, leads_to};
use crate::names::is_temporary;
use crate::options::Links;
use crate::root::Root;
use crate::stat::{VERSION_BYTES, identity, kind_of, size, write_version};

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
