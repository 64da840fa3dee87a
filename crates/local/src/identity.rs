//! What names of a local place lead to: device and inode, and the mounts that show one folder at two places.

use std::ffi::OsString;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use ketch_core::identity::{
    Above, Identities, Identity, Mark, ObjectId, Shared, Standing, seen_above,
};
use ketch_core::names::{bytes_from_core, core_from_bytes};
use ketch_core::{Error, RelPath, Result};
use rustix::fs::{self, AtFlags, Mode, OFlags, Stat};
use rustix::io::{self, Errno, retry_on_intr};

use crate::entry::identity;
use crate::names::temporary;
use crate::root::Root;
use crate::spelling;
use crate::volume::{Mounts, are_all_plain, is_plain_kind};

/// A place and what it is called.
#[derive(Debug)]
pub(crate) struct LocalIdentities {
    pub(crate) name: String,
    pub(crate) root: Arc<Root>,
}

impl LocalIdentities {
    fn explain(&self, error: Error, path: &RelPath) -> Error {
        error.with_operation("look").with_path(path).with_remote(&self.name)
    }
}

impl Identities for LocalIdentities {
    fn standing(&self) -> Result<Standing> {
        let place = self.root.canonical();
        let mut folders = Vec::new();
        for folder in place.ancestors() {
            let object = match retry_on_intr(|| fs::stat(folder)) {
                Ok(stat) => Some(object(&stat)),
                Err(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS) => None,
                Err(errno) => {
                    let root = RelPath::root();
                    return Err(self.explain(self.root.error(errno, &root), &root));
                }
            };
            folders.push(Above { name: name(folder), object });
        }
        let mounts = Mounts::now();
        let (regions, is_certain) = (mounts.regions(&place), are_all_plain(&place, &mounts));
        Ok(Standing { folders, regions, is_certain })
    }

    fn mark(&self) -> Result<Option<Mark>> {
        let place = self.root.canonical();
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        for folder in place.ancestors() {
            let Ok(opened) = retry_on_intr(|| fs::open(folder, flags, Mode::empty())) else {
                continue;
            };
            let name = temporary(b"look", fastrand::u32(..));
            let made = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
            let made = || {
                let mode = Mode::from_raw_mode(0o600);
                fs::openat(&opened, name.as_slice(), made | OFlags::CLOEXEC, mode)
            };
            // Where nothing can be made, nothing can be damaged.
            if retry_on_intr(made).is_err() {
                return Ok(None);
            }
            let below = place.strip_prefix(folder).unwrap_or(Path::new(""));
            let name = core_from_bytes(&name);
            return Ok(Some(Mark { name, folder: names(folder), below: names(below) }));
        }
        Ok(None)
    }

    fn unmark(&self, mark: &Mark) -> Result<()> {
        let file = Path::new("/")
            .join(path_of(&mark.folder))
            .join(path_of(std::slice::from_ref(&mark.name)));
        let root = RelPath::root();
        match fs::unlinkat(fs::CWD, &file, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(self.explain(self.root.error(errno, &root), &root)),
        }
    }

    fn sees(&self, mark: &Mark) -> Result<Option<Shared>> {
        let place = self.root.canonical();
        let name = path_of(std::slice::from_ref(&mark.name));
        let is_in = |folder: &Path| {
            fs::statat(fs::CWD, folder.join(&name), AtFlags::SYMLINK_NOFOLLOW).is_ok()
        };
        if let Some(above) = place.ancestors().find(|folder| is_in(folder)) {
            let up = place.strip_prefix(above).unwrap_or(Path::new(""));
            return Ok(seen_above(&names(up), mark));
        }
        let ends = (0..mark.folder.len()).map(|start| &mark.folder[start..]);
        let mut seen = ends.filter(|end| is_in(&place.join(path_of(end))));
        Ok(seen.next().map(|end| Shared {
            first: [end, &mark.below].concat().join("/"),
            second: String::new(),
        }))
    }

    fn of(&self, path: &RelPath) -> Result<Identity> {
        let fail = |errno| self.explain(self.root.error(errno, path), path);
        let (folder, own) = self.root.open_parent(path, self.root.reading()).map_err(fail)?;
        let look = || fs::statat(&folder, own.as_c_str(), AtFlags::SYMLINK_NOFOLLOW);
        let stat = retry_on_intr(look).map_err(fail)?;
        // A file can be mounted by itself, so both are asked.
        let above = fs::fstat(&folder).map_err(fail)?;
        let system = retry_on_intr(|| fs::fstatfs(folder.as_fd())).map_err(fail)?;
        let is_certain = is_plain_kind(system.f_type) && above.st_dev == stat.st_dev
            || stat.st_dev != above.st_dev && self.is_plain_itself(path);
        Ok(Identity {
            object: object(&stat),
            folder: object(&above),
            name: path.name().unwrap_or_default().into(),
            links: links(&stat),
            is_certain,
        })
    }

    fn folds(&self, dir: &RelPath, may_write: bool) -> Result<Option<bool>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let fail = |errno| self.explain(self.root.error(errno, dir), dir);
        let place = self.root.canonical();
        // With what the folder is called in the one above it.
        let open = |path: RelPath| {
            let folder = self.root.open(&path, flags, self.root.reading()).ok()?;
            Some((folder, path.name().map_or_else(|| name(&place), str::to_owned)))
        };
        let above_root = || {
            let flags = flags | OFlags::CLOEXEC;
            let open = |path: &Path| fs::open(path, flags, Mode::empty()).ok();
            place.ancestors().find_map(|path| Some((open(path)?, name(path))))
        };
        let above: Vec<RelPath> = dir.ancestors().collect();
        // The nearest one comes last: each folder may have an answer of its own.
        let inside = open(dir.clone()).or_else(|| above.into_iter().rev().find_map(open));
        let Some((folder, own)) = inside.or_else(above_root) else { return Ok(Some(false)) };
        let spellings = &self.root.spellings;
        // ORDER: names are read only where nothing else tells; a folder may have many.
        if let Some(folds) = spellings.told(folder.as_fd()).map_err(fail)? {
            return Ok(Some(folds));
        }
        if let Some(folds) = spellings.fold_by_own_name(folder.as_fd(), &own) {
            return Ok(Some(folds));
        }
        let names = spelling::names_of(folder.as_fd()).map_err(fail)?;
        match spellings.fold(folder.as_fd(), names.iter().map(String::as_str)) {
            // A folder that cannot be written to takes no name that could be one with another.
            None if may_write => Ok(Some(spellings.fold_of_new(folder.as_fd()).unwrap_or(false))),
            answer => Ok(answer),
        }
    }

    fn listed_as(&self, dir: &RelPath, names: &[String]) -> Result<Vec<Option<String>>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let folder = self.root.open(dir, flags, self.root.reading());
        let listed = folder.and_then(|folder| spelling::listed_as(folder.as_fd(), names));
        listed.map_err(|errno| self.explain(self.root.error(errno, dir), dir))
    }

    fn respell(&self, name: &str) -> Result<()> {
        let root = RelPath::root();
        self.respell_place(name).map_err(|errno| self.explain(self.root.error(errno, &root), &root))
    }
}

impl LocalIdentities {
    fn respell_place(&self, name: &str) -> io::Result<()> {
        let place = self.root.canonical();
        let (above, own) = place.parent().zip(place.file_name()).ok_or(Errno::BUSY)?;
        let own = core_from_bytes(own.as_encoded_bytes());
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = retry_on_intr(|| fs::open(above, flags, Mode::empty()))?;
        let names = spelling::listed_as(folder.as_fd(), &[own, name.to_owned()])?;
        match &names[..] {
            [Some(listed), Some(other)] if listed == other => {
                if listed == name {
                    Ok(())
                } else {
                    spelling::respell(folder.as_fd(), listed, name)
                }
            }
            _ => Err(Errno::OPNOTSUPP),
        }
    }

    /// Is what is mounted at `path` itself on a trusted file system?
    fn is_plain_itself(&self, path: &RelPath) -> bool {
        let flags = fs::OFlags::PATH | fs::OFlags::NOFOLLOW;
        let opened = self.root.open(path, flags, self.root.reading());
        let system = opened.and_then(|file| retry_on_intr(|| fs::fstatfs(&file)));
        system.is_ok_and(|system| is_plain_kind(system.f_type))
    }
}

fn object(stat: &Stat) -> ObjectId {
    let (device, number) = identity(stat);
    ObjectId { device, number }
}

/// How many names the object of `stat` has.
#[expect(clippy::useless_conversion, reason = "its width is not the same on every machine")]
fn links(stat: &Stat) -> u64 {
    u64::from(stat.st_nlink)
}

/// The names that a path is made of, in core form.
fn names(path: &Path) -> Vec<String> {
    let parts = path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(core_from_bytes(name.as_encoded_bytes())),
        _ => None,
    });
    parts.collect()
}

/// The path that these names make.
fn path_of(names: &[String]) -> PathBuf {
    names.iter().map(|name| OsString::from_vec(bytes_from_core(name))).collect()
}

fn name(folder: &Path) -> String {
    folder.file_name().map(|name| core_from_bytes(name.as_encoded_bytes())).unwrap_or_default()
}

/// What two descriptors' objects are to one another, `left` and `right` being the names in their folders.
pub(crate) fn named(stat: &Stat, folder: &Stat, name: &str, is_certain: bool) -> Identity {
    Identity {
        object: object(stat),
        folder: object(folder),
        name: name.into(),
        links: links(stat),
        is_certain,
    }
}
