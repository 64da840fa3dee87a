//! Between what 1fichier lists and the entries of the contract.

use std::sync::Arc;

use ketch_core::{Entry, EntryKind, Error, ErrorKind, Hashes, RelPath, Result, Special};

use crate::items::{FileItem, FolderItem, FolderListing};
use crate::names;
use crate::places::Below;
use crate::tree::TOP;

/// What an entry's handle says: enough to act on it without a listing, also for another remote of the account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Handle {
    /// A file at its address, when seen in this folder.
    File { folder: u64, url: String },
    /// A folder by its number, when seen in this folder.
    Folder { parent: u64, id: u64 },
}

/// How the handle of a file begins that was recalled and not listed.
const RECALLED: &str = "recalled";

impl Handle {
    fn write(&self) -> Box<str> {
        match self {
            Handle::File { folder, url } => format!("file {folder} {url}").into(),
            Handle::Folder { parent, id } => format!("folder {parent} {id}").into(),
        }
    }

    /// The same for what changes no tree: there the top folder, whose entry has no handle, is a folder as well.
    pub(crate) fn of_any(entry: &Entry) -> Result<Handle> {
        match entry.handle {
            None if entry.is_dir() => Ok(Handle::Folder { parent: TOP, id: TOP }),
            _ => Handle::of(entry),
        }
    }

    /// Reads the handle of an entry.
    pub(crate) fn of(entry: &Entry) -> Result<Handle> {
        let text = entry.handle.as_deref().unwrap_or_default();
        let mut parts = text.splitn(3, ' ');
        let (kind, place, what) = (parts.next(), parts.next(), parts.next());
        let place = place.and_then(|place| place.parse().ok());
        match (kind, place, what) {
            (Some("file" | RECALLED), Some(folder), Some(url)) if entry.is_file() => {
                Ok(Handle::File { folder, url: url.to_owned() })
            }
            (Some("folder"), Some(parent), Some(id)) if entry.is_dir() => {
                let id = id.parse().map_err(|_| not_ours())?;
                Ok(Handle::Folder { parent, id })
            }
            _ => Err(not_ours()),
        }
    }
}

/// The same entries, marked as ones that nobody has seen in their folder just now.
pub(crate) fn recalled(mut entries: Vec<Entry>) -> Vec<Entry> {
    for entry in &mut entries {
        let handle = entry.handle.as_deref().and_then(|handle| handle.strip_prefix("file "));
        if let Some(rest) = handle {
            entry.handle = Some(format!("{RECALLED} {rest}").into());
        }
    }
    entries
}

/// Is it one of them? Before anything is removed because of it, its folder must be listed.
pub(crate) fn is_recalled(entry: &Entry) -> bool {
    entry.handle.as_deref().is_some_and(|handle| handle.starts_with(RECALLED))
}

fn not_ours() -> Error {
    Error::new(ErrorKind::InvalidInput, "the entry is not one of a 1fichier remote")
}

/// The address and the folder of a file's entry.
pub(crate) fn file_of(entry: &Entry) -> Result<(u64, String)> {
    match Handle::of(entry)? {
        Handle::File { folder, url } => Ok((folder, url)),
        Handle::Folder { .. } => Err(Error::new(ErrorKind::InvalidInput, "a folder is not a file")),
    }
}

/// The entry of a file.
pub(crate) fn file(path: RelPath, folder: u64, file: &FileItem) -> Entry {
    let handle = Handle::File { folder, url: file.url.clone() };
    // The content of an address never changes, so the address is the version.
    let version = file.url.rsplit_once('?').map_or(file.url.as_str(), |(_, id)| id);
    Entry {
        path,
        kind: EntryKind::File,
        size: file.size,
        mtime: file.date,
        version: Some(version.into()),
        handle: Some(handle.write()),
        claimed: None,
        hashes: file.hash.clone().map(|digest| Box::new(Hashes::of(digest))),
        mode: None,
    }
}

/// The entry of a folder.
pub(crate) fn folder(path: RelPath, parent: u64, folder: &FolderItem) -> Entry {
    let handle = Handle::Folder { parent, id: folder.id };
    Entry { mtime: folder.date, handle: Some(handle.write()), ..Entry::dir(path) }
}

/// All entries of the folders that are seen as `dir`, of which there are several where others gave several the same name.
/// `below` are the folders to show, each with the number of the one it is in.
pub(crate) fn all(
    dir: &RelPath,
    listings: &[(u64, Arc<FolderListing>)],
    below: &[Below],
) -> Vec<Entry> {
    let folders = below.iter().map(|below| match names::child(dir, &below.item.name) {
        Ok(path) if below.can_be_entered => folder(path, below.parent, &below.item),
        Ok(path) | Err(path) => unusable(path),
    });
    let mut entries: Vec<Entry> = folders.collect();
    for (id, listing) in listings {
        // Of several files of one name and one second, the one that `stat` shows comes first.
        let mut files: Vec<&FileItem> = listing.files.iter().collect();
        files.sort_by(|left, right| (right.date, &right.url).cmp(&(left.date, &left.url)));
        entries.extend(files.into_iter().map(|item| match names::child(dir, &item.name) {
            Ok(path) => file(path, *id, item),
            Err(shown) => unusable(shown),
        }));
    }
    entries
}

/// The entry of what no path can address, shown as that one.
pub(crate) fn unusable(shown: RelPath) -> Entry {
    Entry::bare(shown, EntryKind::Special(Special::UnusableName))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(name: &str) -> FileItem {
        let url = "https://1fichier.com/?abc".to_owned();
        FileItem { name: name.into(), url, size: Some(3), date: None, hash: None }
    }

    #[test]
    fn a_handle_is_read_as_it_was_written() {
        let entry = file(RelPath::root(), 7, &item("a"));
        let expected = Handle::File { folder: 7, url: "https://1fichier.com/?abc".into() };
        assert_eq!(Handle::of(&entry).expect("ours"), expected);
        assert_eq!(entry.version.as_deref(), Some("abc"));
        let item = FolderItem { name: "a".into(), id: 9, date: None };
        let entry = folder(RelPath::root(), 7, &item);
        assert_eq!(Handle::of(&entry).expect("ours"), Handle::Folder { parent: 7, id: 9 });
        for handle in [None, Some(""), Some("file"), Some("file x y"), Some("folder 1 2")] {
            let entry = Entry { handle: handle.map(Into::into), ..Entry::file(RelPath::root(), 1) };
            assert!(Handle::of(&entry).is_err(), "{handle:?}");
        }
    }

    #[test]
    fn names_that_no_path_can_hold_are_shown_and_not_addressed() {
        let folders = vec![FolderItem { name: "..".into(), id: 1, date: None }];
        let files = vec![item("a/b"), item(""), item("good"), item("good")];
        let item = folders.into_iter().next().expect("one");
        let below = [Below { parent: 0, item, can_be_entered: true }];
        let listing = Arc::new(FolderListing { folders: Vec::new(), files });
        let entries = all(&RelPath::root(), &[(0, listing)], &below);
        let shown: Vec<_> =
            entries.iter().map(|entry| (entry.path.as_str(), entry.is_file())).collect();
        assert_eq!(
            shown,
            [("．．", false), ("a／b", false), ("␀", false), ("good", true), ("good", true)]
        );
        assert!(entries[..3].iter().all(|entry| entry.handle.is_none()
            && entry.kind == EntryKind::Special(Special::UnusableName)));
    }
}
