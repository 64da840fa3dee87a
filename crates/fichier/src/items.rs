//! What is in a folder: files, folders, and changes of them. Plain data that knows no account and makes no call.

use std::collections::HashMap;
use std::time::SystemTime;

use ketch_core::{Digest, Error, ErrorKind, Result};

use crate::links::{digest, without_tail};
use crate::types::{Item, SubFolder};
use crate::{dates, names};

/// A file of a folder; its name is in core form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileItem {
    pub(crate) name: String,
    pub(crate) url: String,
    pub(crate) size: Option<u64>,
    pub(crate) date: Option<SystemTime>,
    pub(crate) hash: Option<Digest>,
}

/// A folder in a folder; its name is in core form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FolderItem {
    pub(crate) name: String,
    pub(crate) id: u64,
    pub(crate) date: Option<SystemTime>,
}

/// All that is in one folder.
#[derive(Debug, Clone, Default)]
pub(crate) struct FolderListing {
    pub(crate) folders: Vec<FolderItem>,
    pub(crate) files: Vec<FileItem>,
}

impl FolderListing {
    /// The folder of that name; with several, the oldest.
    pub(crate) fn folder(&self, name: &str) -> Option<&FolderItem> {
        self.folders.iter().filter(|folder| folder.name == name).min_by_key(|folder| folder.id)
    }

    /// All folders of that name.
    pub(crate) fn folders_of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a FolderItem> {
        self.folders.iter().filter(move |folder| folder.name == name)
    }

    /// All files of that name, the newest first.
    pub(crate) fn files(&self, name: &str) -> Vec<&FileItem> {
        let mut files: Vec<_> = self.files.iter().filter(|file| file.name == name).collect();
        files.sort_by(|left, right| (right.date, &right.url).cmp(&(left.date, &left.url)));
        files
    }

    /// Is nothing in it?
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn len(&self) -> usize {
        self.folders.len() + self.files.len()
    }

    /// Enters a change.
    pub(crate) fn apply(&mut self, change: &Change) {
        match change {
            Change::AddFile(file) => {
                self.files.retain(|known| known.url != file.url);
                self.files.push(file.clone());
            }
            Change::RemoveFile(url) => self.files.retain(|known| known.url != *url),
            Change::AddFolder(folder) => {
                self.folders.retain(|known| known.id != folder.id);
                self.folders.push(folder.clone());
            }
            Change::RemoveFolder(id) => self.folders.retain(|known| known.id != *id),
        }
    }
}

/// A change this process made in a folder.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    AddFile(FileItem),
    RemoveFile(String),
    AddFolder(FolderItem),
    RemoveFolder(u64),
}

impl Change {
    /// Is this the removal of what `other` adds, or the other way round?
    pub(crate) fn undoes(&self, other: &Change) -> bool {
        match (self, other) {
            (Change::AddFile(file), Change::RemoveFile(url))
            | (Change::RemoveFile(url), Change::AddFile(file)) => file.url == *url,
            (Change::AddFolder(folder), Change::RemoveFolder(id))
            | (Change::RemoveFolder(id), Change::AddFolder(folder)) => folder.id == *id,
            _ => false,
        }
    }

    pub(crate) fn is_removal(&self) -> bool {
        matches!(self, Change::RemoveFile(_) | Change::RemoveFolder(_))
    }
}

/// Which of these addresses were listed last in which folder.
pub(crate) type Places = HashMap<String, u64>;

/// A file as it is listed.
pub(crate) fn file(item: Item) -> Result<FileItem> {
    if !item.url.starts_with("http") {
        let message = "the answer makes no sense: a file has no address";
        return Err(Error::new(ErrorKind::Protocol, message));
    }
    Ok(FileItem {
        name: names::to_core(&item.filename),
        url: without_tail(item.url),
        size: item.size,
        date: item.date.as_deref().and_then(dates::parse),
        hash: item.checksum.as_deref().and_then(digest),
    })
}

pub(crate) fn folder(folder: SubFolder) -> FolderItem {
    FolderItem {
        name: names::to_core(&folder.name),
        id: folder.id,
        date: folder.create_date.as_deref().and_then(dates::parse),
    }
}
