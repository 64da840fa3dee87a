//! What is remembered of the folders that were listed, and what one look at the whole account proves of it. Makes no call.
//!
//! `file/ls` of `-1` shows the files of the account by address, name, size and digest, and not which folder they are in.
//! Together with what each folder held when it was last listed that is as good as listing them all again, as long as no
//! other client moves files and folders about. So it is used only where the user has said so (`account_view`), only for folders of
//! which every file is shown again unchanged while no file of the account is unexplained, and only by callers that change
//! nothing because of it. What it does not confirm is listed.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ketch_core::RelPath;
use serde::{Deserialize, Serialize};

use crate::bounds::LISTED_MAX;
use crate::items::{Change, FileItem, FolderItem, FolderListing};
use crate::links;

/// The version of the format. Another one is not read.
const VERSION: u32 = 1;
/// The most folders that are remembered, and the longest file that is read.
const FOLDERS_MAX: usize = 5_000;
const FILE_MAX_BYTES: u64 = 16 << 20;
/// For how long it is believed that no client has moved what is in a folder.
const BELIEVED_FOR: Duration = Duration::from_secs(24 * 3_600);
/// For how long a process uses what it has seen of the whole account.
const SEEN_FOR: Duration = Duration::from_secs(600);
/// What a look at the whole account costs beside the files it cannot explain: itself, and one proof.
const LOOK_CALLS: usize = 2;

/// Does a look at the whole account save calls, for so many folders below the one that is asked for (itself among them),
/// with so many files in all folders that are remembered, and so many files in the account that must be asked about?
pub(crate) fn saves_calls(folders: usize, files: usize, unexplained: usize) -> bool {
    // From so many files on the answer is cut.
    (1..LISTED_MAX).contains(&files) && LOOK_CALLS + unexplained < folders
}

/// The memory. Without a file nothing is remembered, also not within a process.
#[derive(Debug, Default)]
pub(crate) struct Known {
    file: Option<PathBuf>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    content: Content,
    seen: HashMap<RelPath, Seen>,
    is_read: bool,
    is_changed: bool,
}

#[derive(Debug)]
struct Seen {
    at: SystemTime,
    folder: u64,
    listing: Arc<FolderListing>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Content {
    v: u32,
    folders: BTreeMap<u64, Folder>,
    /// When there was more than can be remembered, in seconds since 1970.
    large: u64,
    /// Files that were in none of them, and the folder that they were in.
    elsewhere: BTreeMap<String, u64>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Folder {
    /// Seconds since 1970.
    listed: u64,
    folders: Vec<(String, u64)>,
    files: Vec<File>,
}

/// A file as it is written down.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct File {
    name: String,
    url: String,
    size: Option<u64>,
    date: Option<u64>,
    whirlpool: Option<String>,
}

/// A folder that is remembered, at its path.
pub(crate) type Place = (RelPath, u64);

impl Known {
    /// What is in `file`. Nothing is read yet.
    pub(crate) fn new(file: Option<PathBuf>) -> Self {
        Known { file, state: Mutex::default() }
    }

    /// Is anything remembered at all?
    pub(crate) fn is_on(&self) -> bool {
        self.file.is_some()
    }

    /// Remembers a complete listing.
    pub(crate) fn learn(&self, folder: u64, listing: &FolderListing) {
        self.change_with(|state| {
            state.seen.retain(|_, seen| seen.folder != folder);
            let folders = &mut state.content.folders;
            folders.remove(&folder);
            let files = folders.values().map(|folder| folder.files.len()).sum::<usize>();
            if folders.len() >= FOLDERS_MAX || files + listing.files.len() >= LISTED_MAX {
                state.content.large = seconds(SystemTime::now());
                return;
            }
            for file in &listing.files {
                state.content.elsewhere.remove(&file.url);
            }
            folders.insert(
                folder,
                Folder {
                    listed: seconds(SystemTime::now()),
                    folders: listing
                        .folders
                        .iter()
                        .map(|folder| (folder.name.clone(), folder.id))
                        .collect(),
                    files: listing.files.iter().map(File::new).collect(),
                },
            );
        });
    }

    /// Enters a change of our own into what is remembered of `folder`, if anything is.
    pub(crate) fn change(&self, folder: u64, change: &Change) {
        self.change_with(|state| {
            state.seen.retain(|_, seen| seen.folder != folder);
            if let Change::RemoveFolder(gone) = change {
                state.content.folders.remove(gone);
            }
            let Some(known) = state.content.folders.get_mut(&folder) else { return };
            match change {
                Change::AddFile(file) => {
                    known.files.retain(|old| old.url != file.url);
                    known.files.push(File::new(file));
                }
                Change::RemoveFile(url) => known.files.retain(|old| old.url != *url),
                Change::AddFolder(new) => {
                    known.folders.retain(|(_, id)| *id != new.id);
                    known.folders.push((new.name.clone(), new.id));
                    // It was made just now, so it is known to be empty.
                    let empty = Folder { listed: known.listed, folders: vec![], files: vec![] };
                    state.content.folders.entry(new.id).or_insert(empty);
                }
                Change::RemoveFolder(gone) => known.folders.retain(|(_, id)| id != gone),
            }
        });
    }

    /// Forgets what is remembered of a folder.
    pub(crate) fn forget(&self, folder: u64) {
        self.change_with(|state| {
            state.seen.retain(|_, seen| seen.folder != folder);
            state.content.folders.remove(&folder);
        });
    }

    /// The remembered folders at `path` and below, and how many files there are in all that are remembered.
    pub(crate) fn below(&self, path: &RelPath, folder: u64) -> (Vec<Place>, usize) {
        self.with(|state| {
            let now = seconds(SystemTime::now());
            let folders = &state.content.folders;
            let is_large = now.saturating_sub(state.content.large) < BELIEVED_FOR.as_secs();
            let files = match is_large {
                true => LISTED_MAX,
                false => folders.values().map(|folder| folder.files.len()).sum::<usize>(),
            };
            let mut places = vec![(path.clone(), folder)];
            let mut met = HashSet::from([folder]);
            let mut at = 0;
            while let Some((path, id)) = places.get(at).cloned() {
                let believed = |known: &&Folder| {
                    known.listed <= now && now - known.listed < BELIEVED_FOR.as_secs()
                };
                let Some(known) = folders.get(&id).filter(believed) else {
                    places.remove(at);
                    continue;
                };
                at += 1;
                for (name, below) in &known.folders {
                    if let Ok(path) = path.join(name)
                        && met.insert(*below)
                    {
                        places.push((path, *below));
                    }
                }
            }
            (places, files + state.content.elsewhere.len())
        })
        .unwrap_or_default()
    }

    /// The files of the account that no remembered folder has, and that were not elsewhere before.
    pub(crate) fn unexplained(&self, shown: &[FileItem]) -> Vec<String> {
        self.with(|state| {
            let files = state.content.folders.values().flat_map(|folder| &folder.files);
            let explained: HashSet<&str> = files.map(|file| file.url.as_str()).collect();
            let is_new =
                |url: &str| !explained.contains(url) && !state.content.elsewhere.contains_key(url);
            let urls = shown.iter().map(|file| file.url.as_str());
            urls.filter(|url| is_new(url)).map(str::to_owned).collect()
        })
        .unwrap_or_default()
    }

    /// Remembers which folder a file is in that none of the remembered ones has. One that it should be in is not right.
    pub(crate) fn place(&self, url: &str, folder: u64) {
        self.change_with(|state| {
            if state.content.folders.remove(&folder).is_none() {
                state.content.elsewhere.insert(url.to_owned(), folder);
            }
        });
    }

    /// Takes those of `places` for seen now of which the account shows every file as it is remembered. Returns one with a
    /// file in it, by whose place all can be proven, and how many they are.
    pub(crate) fn confirm(
        &self,
        places: &[Place],
        shown: &[FileItem],
    ) -> (Option<(Place, String)>, usize) {
        self.change_with(|state| {
            let shown: HashMap<&str, &FileItem> =
                shown.iter().map(|file| (file.url.as_str(), file)).collect();
            state.content.elsewhere.retain(|url, _| shown.contains_key(url.as_str()));
            let (mut proof, mut count) = (None, 0);
            for (path, id) in places {
                let Some(folder) = state.content.folders.get(id) else { continue };
                if !folder.files.iter().all(|file| file.is_shown(&shown)) {
                    continue;
                }
                if let (None, Some(file)) = (&proof, folder.files.first()) {
                    proof = Some(((path.clone(), *id), file.url.clone()));
                }
                count += 1;
                let listing = Arc::new(folder.listing());
                let seen = Seen { at: SystemTime::now(), folder: *id, listing };
                state.seen.insert(path.clone(), seen);
            }
            (proof, count)
        })
        .unwrap_or_default()
    }

    /// Takes back all that was confirmed, and what it was confirmed by.
    pub(crate) fn distrust(&self, places: &[Place]) {
        self.change_with(|state| {
            state.seen.clear();
            for (_, id) in places {
                state.content.folders.remove(id);
            }
        });
    }

    /// What is known to be in the folder at `path`, because the whole account was looked at a moment ago.
    pub(crate) fn seen(&self, path: &RelPath) -> Option<(u64, Arc<FolderListing>)> {
        self.with(|state| {
            let seen = state.seen.get(path)?;
            let is_young = seen.at.elapsed().is_ok_and(|age| age < SEEN_FOR);
            is_young.then(|| (seen.folder, Arc::clone(&seen.listing)))
        })
        .flatten()
    }

    /// Writes what has changed; what cannot be written is listed again by the next process.
    pub(crate) fn write(&self) {
        let Some(file) = &self.file else { return };
        let text = self.with(|state| {
            state.content.v = VERSION;
            let is_changed = std::mem::take(&mut state.is_changed);
            is_changed.then(|| serde_json::to_vec(&state.content))
        });
        if let Some(Some(text)) = text
            && let Err(error) =
                text.map_err(Into::into).and_then(|text| crate::state_files::replace(file, &text))
        {
            tracing::debug!(%error, ?file, "what the folders held cannot be remembered");
        }
    }

    fn with<T>(&self, step: impl FnOnce(&mut State) -> T) -> Option<T> {
        let file = self.file.as_ref()?;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.is_read {
            state.is_read = true;
            state.content = read(file).unwrap_or_default();
        }
        Some(step(&mut state))
    }

    /// The same, of what is written again for it.
    fn change_with<T>(&self, step: impl FnOnce(&mut State) -> T) -> Option<T> {
        self.with(|state| {
            state.is_changed = true;
            step(state)
        })
    }
}

impl Drop for Known {
    fn drop(&mut self) {
        self.write();
    }
}

impl File {
    pub(crate) fn new(file: &FileItem) -> Self {
        File {
            name: file.name.clone(),
            url: file.url.clone(),
            size: file.size,
            date: file.date.map(seconds),
            whirlpool: file.hash.as_ref().map(ToString::to_string),
        }
    }

    pub(crate) fn item(&self) -> FileItem {
        FileItem {
            name: self.name.clone(),
            url: self.url.clone(),
            size: self.size,
            date: self.date.map(|date| UNIX_EPOCH + Duration::from_secs(date)),
            hash: self.whirlpool.as_deref().and_then(links::digest),
        }
    }

    /// Does the account show this file, and as it was?
    fn is_shown(&self, shown: &HashMap<&str, &FileItem>) -> bool {
        let Some(file) = shown.get(self.url.as_str()) else { return false };
        // Without both digests it would be a size that is compared.
        let digest = file.hash.as_ref().map(ToString::to_string);
        file.name == self.name
            && file.size == self.size
            && digest.is_some()
            && digest == self.whirlpool
    }
}

impl Folder {
    fn listing(&self) -> FolderListing {
        let folder =
            |(name, id): &(String, u64)| FolderItem { name: name.clone(), id: *id, date: None };
        FolderListing {
            folders: self.folders.iter().map(folder).collect(),
            files: self.files.iter().map(File::item).collect(),
        }
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// What is in the file; `None` for none, for another version and for what makes no sense.
fn read(file: &std::path::Path) -> Option<Content> {
    let length = std::fs::metadata(file).ok()?.len();
    if length > FILE_MAX_BYTES {
        return None;
    }
    let content: Content = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
    (content.v == VERSION && content.folders.len() <= FOLDERS_MAX).then_some(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_account_is_looked_at_where_that_saves_calls() {
        for (folders, files, unexplained, expected) in [
            (0, 10, 0, false),
            (1, 10, 0, false),
            (2, 10, 0, false),
            (3, 10, 0, true),
            (3, 10, 1, false),
            (100, 10, 97, true),
            (100, 10, 98, false),
            (100, 0, 0, false),
            (100, LISTED_MAX - 1, 0, true),
            (100, LISTED_MAX, 0, false),
        ] {
            let found = saves_calls(folders, files, unexplained);
            assert_eq!(found, expected, "{folders} folders, {files} files, {unexplained}");
        }
    }

    #[test]
    fn more_files_than_a_look_shows_are_not_remembered() {
        let scratch = tempfile::tempdir().expect("scratch");
        let known = Known::new(Some(scratch.path().join("known.json")));
        let listing = |folder: usize, files: usize| FolderListing {
            folders: Vec::new(),
            files: (0..files)
                .map(|file| FileItem {
                    name: file.to_string(),
                    url: format!("https://1fichier.com/?{folder}x{file}"),
                    size: Some(1),
                    date: None,
                    hash: None,
                })
                .collect(),
        };
        known.learn(1, &listing(1, LISTED_MAX / 2));
        assert_eq!(known.below(&RelPath::root(), 1).1, LISTED_MAX / 2);
        known.learn(2, &listing(2, LISTED_MAX / 2));
        let (places, files) = known.below(&RelPath::root(), 1);
        assert_eq!((places.len(), files), (1, LISTED_MAX), "and no look is made");
        assert!(known.below(&RelPath::root(), 2).0.is_empty());
    }
}
