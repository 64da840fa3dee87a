//! The listings of the last minutes, shared by the processes of one machine, with the changes that each of them made.
//!
//! Each folder has a small file: its first line is a complete listing with the time at which it was asked for, every line
//! after it one change. A listing is written beside and renamed, a change is appended, both under one lock, so a process
//! that dies leaves nothing half done. What is in here may have been changed by others since: it is for people who look,
//! and for nothing that concludes from what is missing (`looks`).

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::items::{Change, FolderItem, FolderListing};
use crate::known;
use crate::state_files::append_line;
use crate::state_files::replace;

/// For how long a listing is kept. Longer than it is shown: a change is carried over to listings that lag.
const LIFE: Duration = Duration::from_secs(600);
/// The longest file that is read.
const FILE_MAX_BYTES: u64 = 16 << 20;
/// The end of the names of files that are listings.
const END: &str = "listing";

/// The files, in one folder. Without it nothing is shared.
#[derive(Debug, Default)]
pub(crate) struct Board {
    folder: Option<PathBuf>,
}

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
struct Listed {
    /// When it was asked for, in milliseconds since 1970.
    asked: u64,
    folders: Vec<Folder>,
    files: Vec<known::File>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Folder {
    name: String,
    id: u64,
    /// Seconds since 1970.
    made: Option<u64>,
}

/// Every other line: when, and one of four.
#[derive(Debug, Serialize, Deserialize)]
struct Noted {
    at: u64,
    change: NotedChange,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum NotedChange {
    AddFile(known::File),
    RemoveFile(String),
    AddFolder(Folder),
    RemoveFolder(u64),
}

/// What a file holds.
#[derive(Debug, Default)]
struct Sheet {
    listed: Option<Listed>,
    notes: Vec<(u64, Change)>,
}

impl Board {
    /// The board in `folder`, which need not be there.
    pub(crate) fn new(folder: Option<PathBuf>) -> Self {
        Board { folder }
    }

    /// Shows a complete listing that was asked for at `asked`.
    pub(crate) fn post(&self, id: u64, listing: &FolderListing, asked: SystemTime) {
        let asked = milliseconds(asked);
        self.change(|folder| {
            let path = path(folder, id);
            let listed = Listed {
                asked,
                folders: listing.folders.iter().map(Folder::new).collect(),
                files: listing.files.iter().map(known::File::new).collect(),
            };
            let mut text = serde_json::to_vec(&listed)?;
            text.push(b'\n');
            // What others changed while it was on its way; and a listing that lags must not bring back what was removed.
            let oldest = asked.saturating_sub(LIFE.as_millis() as u64);
            for (at, change) in read(&path).notes {
                if at >= asked || (at >= oldest && change.is_removal()) {
                    text.extend(line(at, &change)?);
                }
            }
            replace(&path, &text)
        });
    }

    /// Notes a change of our own.
    pub(crate) fn note(&self, id: u64, change: &Change) {
        self.change(|folder| {
            let path = path(folder, id);
            if std::fs::metadata(&path).map_or(true, |found| found.len() == 0) {
                append_line(&path, b"null\n".to_vec())?;
            }
            append_line(&path, line(milliseconds(SystemTime::now()), change)?)
        });
    }

    /// Takes a folder off, because what is in it is not known any more.
    pub(crate) fn forget(&self, id: u64) {
        self.change(|folder| match std::fs::remove_file(path(folder, id)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        });
    }

    /// The listing of a folder with all changes that are known of, and how old it is.
    pub(crate) fn get(&self, id: u64) -> Option<(Duration, FolderListing)> {
        let sheet = read(&path(self.folder.as_ref()?, id));
        let listed = sheet.listed?;
        // A time in the future comes from a clock that was put back and proves nothing.
        let age = milliseconds(SystemTime::now()).checked_sub(listed.asked)?;
        let mut listing = listed.listing();
        for (_, change) in &sheet.notes {
            listing.apply(change);
        }
        Some((Duration::from_millis(age), listing))
    }

    /// Removes what is shown to no process any more.
    pub(crate) fn sweep(&self) {
        self.change(|folder| {
            for entry in std::fs::read_dir(folder)? {
                let path = entry?.path();
                let is_old = path
                    .metadata()
                    .and_then(|metadata| metadata.modified())
                    .is_ok_and(|time| time.elapsed().is_ok_and(|age| age > LIFE));
                if is_old && path.extension().is_some_and(|end| end == END) {
                    std::fs::remove_file(path)?;
                }
            }
            Ok(())
        });
    }

    /// Does one step while no other process does one. What cannot be written is listed again by the next process.
    fn change(&self, step: impl FnOnce(&Path) -> std::io::Result<()>) {
        let Some(folder) = &self.folder else { return };
        let result = lock(folder).and_then(|_lock| step(folder));
        if let Err(error) = result {
            tracing::debug!(%error, ?folder, "listings cannot be shared with other processes");
        }
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        if self.folder.as_ref().is_some_and(|folder| folder.is_dir()) {
            self.sweep();
        }
    }
}

fn lock(folder: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true);
    let path = folder.join("lock");
    let file = match options.open(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            std::fs::create_dir_all(folder)?;
            options.open(&path)?
        }
        other => other?,
    };
    file.lock()?;
    Ok(file)
}

fn path(folder: &Path, id: u64) -> PathBuf {
    folder.join(format!("{id}.{END}"))
}

fn line(at: u64, change: &Change) -> std::io::Result<Vec<u8>> {
    let change = match change {
        Change::AddFile(file) => NotedChange::AddFile(known::File::new(file)),
        Change::RemoveFile(url) => NotedChange::RemoveFile(url.clone()),
        Change::AddFolder(folder) => NotedChange::AddFolder(Folder::new(folder)),
        Change::RemoveFolder(id) => NotedChange::RemoveFolder(*id),
    };
    let mut text = serde_json::to_vec(&Noted { at, change })?;
    text.push(b'\n');
    Ok(text)
}

/// What is in a file. A line that makes no sense was cut by the end of a process, and is none; so are all after it.
fn read(path: &Path) -> Sheet {
    let is_short = std::fs::metadata(path).is_ok_and(|metadata| metadata.len() <= FILE_MAX_BYTES);
    let text = is_short.then(|| std::fs::read(path).ok()).flatten().unwrap_or_default();
    let mut lines = text.split(|byte| *byte == b'\n');
    let listed = lines.next().and_then(|line| serde_json::from_slice(line).ok()).flatten();
    let mut notes: Vec<(u64, Change)> = Vec::new();
    for noted in lines.map_while(|line| serde_json::from_slice::<Noted>(line).ok()) {
        let change = noted.change.into_change();
        notes.retain(|(_, old)| !change.undoes(old));
        notes.push((noted.at, change));
    }
    Sheet { listed, notes }
}

impl Listed {
    fn listing(&self) -> FolderListing {
        FolderListing {
            folders: self.folders.iter().map(Folder::item).collect(),
            files: self.files.iter().map(known::File::item).collect(),
        }
    }
}

impl NotedChange {
    fn into_change(self) -> Change {
        match self {
            NotedChange::AddFile(file) => Change::AddFile(file.item()),
            NotedChange::RemoveFile(url) => Change::RemoveFile(url),
            NotedChange::AddFolder(folder) => Change::AddFolder(folder.item()),
            NotedChange::RemoveFolder(id) => Change::RemoveFolder(id),
        }
    }
}

impl Folder {
    fn new(folder: &FolderItem) -> Self {
        let seconds = |time: SystemTime| milliseconds(time) / 1_000;
        Folder { name: folder.name.clone(), id: folder.id, made: folder.date.map(seconds) }
    }

    fn item(&self) -> FolderItem {
        let date = self.made.map(|made| UNIX_EPOCH + Duration::from_secs(made));
        FolderItem { name: self.name.clone(), id: self.id, date }
    }
}

fn milliseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::items::FileItem;

    fn file(name: &str) -> FileItem {
        let url = format!("https://1fichier.com/?{name}");
        FileItem { name: name.into(), url, size: Some(1), date: None, hash: None }
    }

    fn listing(names: &[&str]) -> FolderListing {
        FolderListing {
            folders: vec![FolderItem { name: "d".into(), id: 9, date: Some(UNIX_EPOCH) }],
            files: names.iter().map(|name| file(name)).collect(),
        }
    }

    fn shown(board: &Board) -> Vec<String> {
        let mut names: Vec<String> = board
            .get(1)
            .map(|(_, listing)| listing.files.into_iter().map(|file| file.name).collect())
            .unwrap_or_default();
        names.sort();
        names
    }

    #[test]
    fn another_process_sees_the_listing_with_all_changes_since_it_was_asked_for() {
        let scratch = tempfile::tempdir().expect("scratch");
        let (one, two) = (
            Board::new(Some(scratch.path().join("board"))),
            Board::new(Some(scratch.path().join("board"))),
        );
        assert!(two.get(1).is_none());
        // A change without a listing is kept for the one that is on its way.
        let asked = SystemTime::now();
        one.note(1, &Change::RemoveFile(file("gone").url));
        one.note(1, &Change::AddFile(file("new")));
        assert!(two.get(1).is_none());
        two.post(1, &listing(&["gone", "there"]), asked);
        assert_eq!(shown(&one), ["new", "there"]);
        // Listed again, with a lag: what was removed stays so, what was added is for the listing to show.
        std::thread::sleep(Duration::from_millis(2));
        one.post(1, &listing(&["gone", "there"]), SystemTime::now());
        assert_eq!(shown(&two), ["there"]);
        // Moved away and back again.
        two.note(1, &Change::AddFile(file("gone")));
        std::thread::sleep(Duration::from_millis(2));
        one.post(1, &listing(&["gone", "there"]), SystemTime::now());
        assert_eq!(shown(&two), ["gone", "there"]);
        two.note(1, &Change::AddFolder(FolderItem { name: "e".into(), id: 10, date: None }));
        two.note(1, &Change::RemoveFolder(9));
        let folders = one.get(1).expect("shared").1.folders;
        assert_eq!(folders, [FolderItem { name: "e".into(), id: 10, date: None }]);
        two.forget(1);
        assert!(one.get(1).is_none());
    }

    #[test]
    fn a_line_that_was_cut_is_none_and_nonsense_is_no_listing() {
        let scratch = tempfile::tempdir().expect("scratch");
        let board = Board::new(Some(scratch.path().to_owned()));
        board.post(1, &listing(&["a"]), SystemTime::now());
        board.note(1, &Change::AddFile(file("b")));
        let path = path(scratch.path(), 1);
        let whole = std::fs::read(&path).expect("written");
        std::fs::write(&path, &whole[..whole.len() - 4]).expect("cut");
        assert_eq!(shown(&board), ["a"]);
        for text in ["", "null\n", "{", "[]", "\0\0"] {
            std::fs::write(&path, text).expect("written");
            assert!(board.get(1).is_none(), "{text:?}");
        }
        board.post(1, &listing(&["a"]), SystemTime::now() + Duration::from_secs(60));
        assert!(board.get(1).is_none(), "a clock that was put back proves nothing");
    }
}
