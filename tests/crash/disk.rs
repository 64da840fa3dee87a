//! A disk that forgets what was not forced to it: which content each file had at its last sync, and which names came and
//! went since their folder was synced. After a kill it sets a folder back to what a power cut might have left.
//!
//! Content: a file is set back to what it held at its last successful `fsync`, one that never had any is empty (what xfs
//! does). A file that was there before the run began counts as synced then.
//!
//! Names, two ways. [`Names::Kept`]: what was created, renamed and removed stays so. [`Names::Lost`]: each folder directly
//! below the home counts as a disk of its own, and on each of them the latest changes of names are taken back, in
//! reverse order, back to some point not before the last change that a sync of its folder forced out. So a disk always
//! holds its names as they were at *one* moment: that is how file systems with a journal behave (ext4, xfs, btrfs). A sync
//! of a file forces out no name here, although most file systems do more than that.
//!
//! A file that comes back like this has its content and its time, but another number and another change time than before,
//! which nothing can set. On a real disk it would have the old ones, so a program that takes it for a stranger is excused.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::calls::Act;

/// A file, whatever its names are. Numbers of inodes are used again, so the time of birth belongs to it.
type Identity = (u64, u64, Option<SystemTime>);

fn identity(metadata: &Metadata) -> Identity {
    (metadata.dev(), metadata.ino(), metadata.created().ok())
}

/// What a power cut does to names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    Kept,
    /// Taken back as far as possible, or by the seed to some point.
    Lost(Option<u64>),
}

/// A change of a name that is about to be made.
#[derive(Debug)]
pub struct Intent {
    act: Act,
    path: PathBuf,
    target: Option<PathBuf>,
    /// The file that the change would make vanish. A copy, because a second name for it would change its change time,
    /// which tells versions apart.
    vanishing: Option<Vanishing>,
    /// Whether what the change makes was there before.
    was_there: bool,
    /// Whether what the change removes or replaces was a folder.
    was_folder: bool,
}

/// What the disk holds of a file, and the time that it shows.
#[derive(Debug)]
struct Vanishing {
    content: Vec<u8>,
    modified: SystemTime,
}

/// A change that was made, with what takes it back.
#[derive(Debug)]
struct Change {
    intent: Intent,
    is_safe: bool,
}

/// The memory of one run.
#[derive(Debug)]
pub struct Disk {
    home: PathBuf,
    synced: HashMap<Identity, Vec<u8>>,
    dirty: HashSet<Identity>,
    new: HashSet<Identity>,
    changes: BTreeMap<PathBuf, Vec<Change>>,
}

impl Disk {
    /// A disk on which everything below `home` is safe.
    pub fn new(home: &Path) -> Disk {
        let (synced, dirty, new, changes) = Default::default();
        Disk { home: home.to_owned(), synced, dirty, new, changes }
    }

    /// The content of `path` is about to change.
    pub fn touch(&mut self, path: &Path) {
        let Ok(metadata) = fs::metadata(path) else { return };
        if !metadata.is_file() {
            return;
        }
        let identity = identity(&metadata);
        if metadata.nlink() == 0 && !self.synced.contains_key(&identity) {
            // It has no name yet, and gets one when it is whole.
            self.new.insert(identity);
        }
        if !self.synced.contains_key(&identity) && !self.new.contains(&identity) {
            self.synced.insert(identity, fs::read(path).unwrap_or_default());
        }
        self.dirty.insert(identity);
    }

    /// What the disk itself holds of a file.
    fn held(&self, path: &Path, metadata: &Metadata) -> Vec<u8> {
        let identity = identity(metadata);
        if self.dirty.contains(&identity) {
            return self.synced.get(&identity).cloned().unwrap_or_default();
        }
        fs::read(path).unwrap_or_default()
    }

    /// A sync of `path` succeeded.
    pub fn sync(&mut self, path: &Path) {
        let Ok(metadata) = fs::metadata(path) else { return };
        if metadata.is_dir() {
            let parent = Some(path);
            let changes = self.changes.entry(self.volume(path)).or_default();
            let holds = |change: &Change| {
                let intent = &change.intent;
                intent.path.parent() == parent
                    || intent.target.as_ref().is_some_and(|target| target.parent() == parent)
            };
            // What came before it is out too: a journal is written in order.
            let safe = changes.iter().rposition(holds).map_or(0, |last| last + 1);
            changes[..safe].iter_mut().for_each(|change| change.is_safe = true);
            return;
        }
        let identity = identity(&metadata);
        self.synced.insert(identity, fs::read(path).unwrap_or_default());
        self.dirty.remove(&identity);
    }

    /// A name is about to change.
    pub fn intend(&mut self, act: Act, path: &Path, target: Option<&Path>) -> Option<Intent> {
        let name = match act {
            Act::Remove | Act::RemoveFolder | Act::Open | Act::MakeFolder => path,
            Act::Rename => target?,
            Act::Link => target.unwrap_or(path),
            Act::Write | Act::Resize | Act::Sync | Act::Attributes => return None,
        };
        let found = fs::symlink_metadata(name).ok();
        let is_folder = found.as_ref().is_some_and(Metadata::is_dir);
        let vanishes = matches!(act, Act::Remove | Act::Rename);
        let vanishing = found.as_ref().filter(|found| vanishes && found.is_file()).map(|found| {
            let content = self.held(name, found);
            Vanishing { content, modified: found.modified().unwrap() }
        });
        if act == Act::Open {
            self.touch(path);
        }
        Some(Intent {
            act,
            path: path.to_owned(),
            target: target.map(Path::to_owned),
            vanishing,
            was_there: found.is_some(),
            was_folder: is_folder,
        })
    }

    /// The change was made.
    pub fn done(&mut self, intent: Intent) {
        if intent.act == Act::Open {
            if intent.was_there {
                return;
            }
            if let Ok(metadata) = fs::metadata(&intent.path) {
                self.new.insert(identity(&metadata));
                self.dirty.insert(identity(&metadata));
            }
        }
        let volume = self.volume(&intent.path);
        self.changes.entry(volume).or_default().push(Change { intent, is_safe: false });
    }

    /// The process died while the change was on its way: it counts if it can be seen.
    pub fn settle(&mut self, intent: Intent) {
        let is_gone = |path: &Path| fs::symlink_metadata(path).is_err();
        let was_made = match intent.act {
            Act::Remove | Act::RemoveFolder | Act::Rename => {
                (intent.was_there || intent.act == Act::Rename) && is_gone(&intent.path)
            }
            Act::Open | Act::MakeFolder => !intent.was_there && !is_gone(&intent.path),
            Act::Link => {
                let made = intent.target.as_deref().unwrap_or(&intent.path);
                !intent.was_there && !is_gone(made)
            }
            Act::Write | Act::Resize | Act::Sync | Act::Attributes => false,
        };
        if was_made {
            self.done(intent);
        }
    }

    /// The folder directly below the home that holds `path`.
    fn volume(&self, path: &Path) -> PathBuf {
        let inside = path.strip_prefix(&self.home).unwrap_or(path);
        inside.iter().next().map(PathBuf::from).unwrap_or_default()
    }

    /// Cuts the power: the home is now what the disk knew. `true`: a file came back that was replaced or removed.
    pub fn power_cut(self, names: Names) -> bool {
        let mut came_back = false;
        if let Names::Lost(seed) = names {
            let mut random = seed.map(fastrand::Rng::with_seed);
            for changes in self.changes.values() {
                let safe = changes.iter().filter(|change| change.is_safe).count();
                let kept = match &mut random {
                    Some(random) => random.usize(safe..=changes.len()),
                    None => safe,
                };
                for change in changes[kept..].iter().rev() {
                    came_back |= change.intent.vanishing.is_some();
                    take_back(&change.intent)
                        .unwrap_or_else(|error| panic!("{change:?} cannot be taken back: {error}"));
                }
            }
        }
        let mut waiting = vec![self.home.clone()];
        while let Some(folder) = waiting.pop() {
            for entry in fs::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                let metadata = fs::symlink_metadata(&path).unwrap();
                if metadata.is_dir() {
                    waiting.push(path);
                } else if self.dirty.contains(&identity(&metadata)) {
                    let content = self.held(&path, &metadata);
                    // The time may have got to the disk although the bytes did not.
                    write(&path, &content, metadata.modified().unwrap()).unwrap();
                }
            }
        }
        came_back
    }
}

fn write(path: &Path, content: &[u8], modified: SystemTime) -> io::Result<()> {
    fs::write(path, content)?;
    File::options().write(true).open(path)?.set_modified(modified)
}

fn take_back(intent: &Intent) -> io::Result<()> {
    let Intent { act, path, target, vanishing, was_folder, .. } = intent;
    let target = target.as_deref().unwrap_or(path);
    let restore = |path: &Path| match vanishing {
        Some(Vanishing { content, modified }) => write(path, content, *modified),
        None => Ok(()),
    };
    match act {
        Act::Open => fs::remove_file(path),
        Act::Link => fs::remove_file(target),
        // What another thread was just making in it goes with it.
        Act::MakeFolder => fs::remove_dir_all(path),
        Act::RemoveFolder => fs::create_dir(path),
        Act::Remove => restore(path),
        Act::Rename => {
            fs::rename(target, path)?;
            if *was_folder { fs::create_dir(target) } else { restore(target) }
        }
        Act::Write | Act::Resize | Act::Sync | Act::Attributes => Ok(()),
    }
}
