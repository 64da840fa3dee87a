//! Finds the objects that names of a local place lead to, by device and inode, and by the mounts that show one folder at
//! two places.

use std::cell::Cell;
use std::ffi::{CString, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ketch_core::identity::{
    Above, Identities, Identity, Mark, ObjectId, Shared, Standing, seen_above,
};
use ketch_core::names::{bytes_from_core, core_from_bytes};
use ketch_core::{Error, RelPath, Result};
use rustix::fs::{self, AtFlags, Mode, OFlags, Stat};
use rustix::io::{self, Errno, retry_on_intr};

use crate::root::Root;
use crate::spelling;
use crate::stat::identity;
use crate::unique::create_unique;
use crate::volume::{Mounts, are_all_plain, is_plain_kind};

/// A place and what it is called.
#[derive(Debug)]
pub(crate) struct LocalIdentities {
    name: String,
    root: Arc<Root>,
    /// Marks that are there now.
    held: Mutex<Vec<Held>>,
}

/// A mark, locked, so that no job treats it as a dead part.
#[derive(Debug)]
struct Held {
    folder: OwnedFd,
    own: CString,
    _file: OwnedFd,
}

impl LocalIdentities {
    pub(crate) fn new(name: String, root: Arc<Root>) -> Self {
        LocalIdentities { name, root, held: Mutex::default() }
    }

    fn held(&self) -> MutexGuard<'_, Vec<Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The error if it cannot be found out where else this place is visible.
    fn unknown(&self, what: &str, errno: Errno) -> Error {
        let root = RelPath::root();
        let cause = self.root.error(errno, &root);
        let message = format!(
            "whether both places show the same files is not known: {what}: {}",
            cause.message()
        );
        let error = Error::new(cause.kind(), message).with_path(&root).with_hint_of(&cause);
        let error = error.with_source(cause);
        error.with_operation("look").with_remote(&self.name)
    }

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
        for path in place.ancestors() {
            let folder = match retry_on_intr(|| fs::open(path, flags, Mode::empty())) {
                Ok(folder) => folder,
                Err(Errno::NOENT | Errno::NOTDIR) => continue,
                Err(errno) => return Err(self.unknown("a folder cannot be opened", errno)),
            };
            let (file, own) = match create_unique(&folder, c"look", 0o600) {
                Ok(made) => made,
                // Where nothing can be written, nothing can be damaged.
                Err(Errno::ROFS) => return Ok(None),
                Err(errno) => {
                    return Err(self.unknown("no file can be made to find out", errno));
                }
            };
            let below = names(place.strip_prefix(path).unwrap_or(Path::new("")));
            let name = core_from_bytes(own.to_bytes());
            self.held().push(Held { folder, own, _file: file });
            return Ok(Some(Mark { name, folder: names(path), below }));
        }
        Ok(None)
    }

    fn unmark(&self, mark: &Mark) -> Result<()> {
        let is_it = |held: &Held| core_from_bytes(held.own.to_bytes()) == mark.name;
        let position = self.held().iter().position(is_it);
        let Some(held) = position.map(|at| self.held().swap_remove(at)) else { return Ok(()) };
        let root = RelPath::root();
        match fs::unlinkat(&held.folder, held.own.as_c_str(), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(self.explain(self.root.error(errno, &root), &root)),
        }
    }

    fn sees(&self, mark: &Mark) -> Result<Option<Shared>> {
        let place = self.root.canonical();
        let name = path_of(std::slice::from_ref(&mark.name));
        let failed = Cell::new(None);
        let is_in = |folder: &Path| {
            let file = folder.join(&name);
            let look = || fs::statat(fs::CWD, &file, AtFlags::SYMLINK_NOFOLLOW);
            match retry_on_intr(look) {
                Ok(_) => true,
                Err(Errno::NOENT | Errno::NOTDIR) => false,
                Err(errno) => {
                    failed.set(Some(errno));
                    false
                }
            }
        };
        if let Some(above) = place.ancestors().find(|folder| is_in(folder)) {
            let up = place.strip_prefix(above).unwrap_or(Path::new(""));
            return Ok(seen_above(&names(up), mark));
        }
        let ends = (0..mark.folder.len()).map(|start| &mark.folder[start..]);
        let mut seen = ends.filter(|end| is_in(&place.join(path_of(end))));
        match (seen.next(), failed.get()) {
            (Some(end), _) => Ok(Some(Shared {
                first: [end, &mark.below].concat().join("/"),
                second: String::new(),
            })),
            (None, Some(errno)) => Err(self.unknown("a folder cannot be looked at", errno)),
            (None, None) => Ok(None),
        }
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
            None if may_write => match spellings.fold_of_new(&folder) {
                // No name can be created in a folder that cannot be written to, so no two names can be one.
                Err(Errno::ROFS | Errno::ACCESS | Errno::PERM) => Ok(Some(false)),
                folds => folds.map(Some).map_err(fail),
            },
            answer => Ok(answer),
        }
    }

    fn listed_as(&self, dir: &RelPath, names: &[String]) -> Result<Vec<Option<String>>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let folder = match self.root.open(dir, flags, self.root.reading()) {
            // A folder that is not there yet has none of them.
            Err(Errno::NOENT) => return Ok(vec![None; names.len()]),
            folder => folder,
        };
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

/// How the objects of two descriptors are related; `left` and `right` are the names in their folders.
pub(crate) fn named(stat: &Stat, folder: &Stat, name: &str, is_certain: bool) -> Identity {
    Identity {
        object: object(stat),
        folder: object(folder),
        name: name.into(),
        links: links(stat),
        is_certain,
    }
}
