//! The entries of one folder.
//!
//! All names are read first and sorted, with the kinds that the system shows for them. Then `stat` is called in that order,
//! for some names at a time, relative to the folder's descriptor: for a large folder only the names are in memory together.
//! A name that has vanished in between is not listed; any other failure fails the listing, so that no existing entry can be
//! missing from a listing that ended well. A name that has become a folder, or is no folder any more, would come in the
//! wrong place and fails the listing too. `rustix::fs::Dir` is not used because it reports the end of the folder when the
//! folder is removed while it is read.
//!
//! In a folder with more than [`NAMES_AT_A_TIME`] names, so many are read, sorted and listed, and then the next ones; the
//! listing says that it has no order from there on.

use std::ffi::{CStr, CString};
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use futures::stream;
use ketch_core::names::{bytes_from_core, core_from_bytes};
use ketch_core::{EntryStream, Error, Page, RelPath, Result, compare_keys};
use rustix::fs::{FileType, OFlags, RawDir};
use rustix::io::Errno;
use tokio_util::sync::CancellationToken;

use crate::entry::Folder;
use crate::error::changed;
use crate::root::{Hop, Root, finish, start};

/// Bytes of names that are asked for at a time.
const NAMES_BYTES: usize = 64 * 1024;
/// Names for which `stat` is called in one piece of work.
const LOOK_NAMES: usize = 2048;
/// Names that are in memory together: about 35 bytes each.
const NAMES_AT_A_TIME: usize = 250_000;

/// The complete listing of `dir` in key order, as far as a folder has one (see above), or an error.
///
/// CANCEL: when it is dropped, the piece of work in progress ends and no other begins.
pub(crate) fn list(root: Arc<Root>, dir: RelPath) -> EntryStream {
    enum Next {
        Open(Arc<Root>, RelPath),
        Looking(Hop<(Page, Option<Looking>)>),
        End,
    }
    let cancel = CancellationToken::new();
    let stops_when_dropped = cancel.clone().drop_guard();
    EntryStream::of_pages(stream::try_unfold(
        (Next::Open(root, dir), cancel, stops_when_dropped),
        |(next, cancel, guard)| async move {
            let hop = match next {
                Next::Open(root, dir) => {
                    let cancel = cancel.clone();
                    start(move || Looking::open(root, dir, &cancel)?.step(&cancel))
                }
                Next::Looking(hop) => hop,
                Next::End => return Ok(None),
            };
            let (page, rest) = finish(hop).await?;
            // The next names are looked at while these are worked on.
            let next = match rest {
                Some(looking) => {
                    let cancel = cancel.clone();
                    Next::Looking(start(move || looking.step(&cancel)))
                }
                None => Next::End,
            };
            Ok(Some((page, (next, cancel, guard))))
        },
    ))
}

/// A folder that is being listed.
struct Looking {
    root: Arc<Root>,
    dir: RelPath,
    descriptor: OwnedFd,
    names: Names,
    next: usize,
    /// Names came before these.
    is_continued: bool,
    /// The folder finds names in other spellings; `None` = that cannot be told by its names.
    folding: Option<bool>,
}

impl Looking {
    fn open(root: Arc<Root>, dir: RelPath, cancel: &CancellationToken) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let descriptor =
            root.open(&dir, flags, root.reading()).map_err(|errno| root.error(errno, &dir))?;
        let names = Names::default();
        let mut looking =
            Looking { root, dir, descriptor, names, next: 0, is_continued: false, folding: None };
        looking.read_names(cancel)?;
        looking.folding = looking.find_folding();
        Ok(looking)
    }

    /// Reads the next names, in place of those that were looked at.
    fn read_names(&mut self, cancel: &CancellationToken) -> Result<()> {
        let Looking { root, dir, descriptor, .. } = self;
        let folder = Folder::new(root, descriptor.as_fd(), dir);
        self.names = Names::read(root, dir, &folder, descriptor.as_fd(), cancel)?;
        self.next = 0;
        Ok(())
    }

    fn find_folding(&self) -> Option<bool> {
        // Some of the names do not tell: another spelling may be among the others.
        let names = if self.names.are_all { &self.names.index[..] } else { &[] };
        let names = names.iter().map(|name| self.names.core(name));
        self.root.spellings.fold(self.descriptor.as_fd(), names)
    }

    fn step(mut self, cancel: &CancellationToken) -> Result<(Page, Option<Self>)> {
        let folder = Folder::new(&self.root, self.descriptor.as_fd(), &self.dir);
        let end = self.names.index.len().min(self.next + LOOK_NAMES);
        let mut page = Page::with_capacity(&self.dir, end - self.next);
        for name in &self.names.index[self.next..end] {
            if cancel.is_cancelled() {
                return Err(Error::cancelled());
            }
            let core = self.names.core(name);
            let seen = match name.is_plain {
                true => folder.page(core, self.names.raw(name), name.is_dir, &mut page),
                false => match CString::new(bytes_from_core(core)) {
                    Ok(raw) => folder.page(core, &raw, name.is_dir, &mut page),
                    Err(_) => Err(Errno::INVAL),
                },
            };
            // Never the folder: the name is one of it.
            let path = || self.dir.join(core).unwrap_or_else(|_| self.dir.clone());
            match seen {
                Ok(true) | Err(Errno::NOENT) => {}
                Ok(false) => {
                    let message = "it was replaced by something else while it was listed";
                    return Err(changed(message).with_path(&path()));
                }
                Err(errno) => return Err(self.root.error(errno, &path())),
            }
        }
        drop(folder);
        page = page.with_folding(self.folding);
        self.next = end;
        if self.is_continued {
            page = page.unsorted();
        }
        if end < self.names.index.len() {
            return Ok((page, Some(self)));
        }
        if self.names.are_all {
            return Ok((page, None));
        }
        self.read_names(cancel)?;
        self.is_continued = true;
        Ok((page, Some(self)))
    }
}

/// Names of a folder in key order, each in core form and followed by a zero.
#[derive(Default)]
struct Names {
    text: String,
    index: Vec<Name>,
    /// The folder has no other.
    are_all: bool,
}

/// One of them. Its place fits: there are [`NAMES_AT_A_TIME`] and as many as come with the last of them.
struct Name {
    start: u32,
    length: u16,
    is_dir: bool,
    /// It is the same on the disk.
    is_plain: bool,
}

impl Names {
    fn core(&self, name: &Name) -> &str {
        &self.text[name.range()]
    }

    fn raw(&self, name: &Name) -> &CStr {
        let Range { start, end } = name.range();
        // Always ends in a zero and has none before it.
        CStr::from_bytes_until_nul(&self.text.as_bytes()[start..=end]).unwrap_or_default()
    }

    fn read(
        root: &Root,
        dir: &RelPath,
        folder: &Folder<'_>,
        descriptor: BorrowedFd<'_>,
        cancel: &CancellationToken,
    ) -> Result<Self> {
        let fail = |errno| root.error(errno, dir);
        let mut buffer = Vec::with_capacity(NAMES_BYTES);
        let mut reader = RawDir::new(descriptor, buffer.spare_capacity_mut());
        let mut names = Names::default();
        loop {
            // What the system handed over with the last name would be lost.
            if names.index.len() >= NAMES_AT_A_TIME && reader.is_buffer_empty() {
                break;
            }
            let Some(found) = reader.next() else {
                names.are_all = true;
                break;
            };
            if cancel.is_cancelled() {
                return Err(Error::cancelled());
            }
            let found = match found {
                Ok(found) if matches!(found.file_name().to_bytes(), b"." | b"..") => continue,
                Ok(found) => found,
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(fail(errno)),
            };
            let is_dir = match found.file_type() {
                FileType::Directory => true,
                FileType::Symlink if !root.follows_links() => false,
                // It depends on what it points to, or the file system does not say.
                FileType::Symlink | FileType::Unknown => {
                    match folder.look(found.file_name(), dir.clone()) {
                        Ok(seen) => seen.entry.is_dir(),
                        Err(Errno::NOENT) => continue,
                        Err(errno) => return Err(fail(errno)),
                    }
                }
                _ => false,
            };
            names.push(found.file_name().to_bytes(), is_dir);
        }
        let Names { text, index, .. } = &mut names;
        let core = |name: &Name| &text[name.range()];
        index.sort_unstable_by(|left, right| {
            compare_keys((core(left), left.is_dir), (core(right), right.is_dir))
        });
        // A folder that is changed while it is read may show one name twice.
        index.dedup_by(|left, right| core(left) == core(right));
        Ok(names)
    }

    fn push(&mut self, raw: &[u8], is_dir: bool) {
        let start = self.text.len();
        let is_plain = match std::str::from_utf8(raw) {
            Ok(plain) if plain.is_ascii() => {
                self.text.push_str(plain);
                true
            }
            _ => {
                let core = core_from_bytes(raw);
                self.text.push_str(&core);
                core.as_bytes() == raw
            }
        };
        // A name on the disk has 255 bytes at most, so both fit.
        let length = u16::try_from(self.text.len() - start).unwrap_or(u16::MAX);
        self.text.push('\0');
        let start = u32::try_from(start).unwrap_or(u32::MAX);
        self.index.push(Name { start, length, is_dir, is_plain });
    }
}

impl Name {
    fn range(&self) -> Range<usize> {
        let start = self.start as usize;
        start..start + usize::from(self.length)
    }
}
