//! The exact names of `--files-from`: a set, without patterns.

use std::collections::{BTreeSet, HashSet};

use super::rules::content;
use super::spec::FilterSpec;

/// The listed files and the folders on the way to them.
#[derive(Debug, Clone, Default)]
pub(super) struct FileList {
    /// Ordered, so that reports and [`FileList::describe`] are the same each time.
    files: BTreeSet<String>,
    folders: HashSet<String>,
}

impl FileList {
    /// The list of a spec, or `None` when it has neither kind of list. An empty list is a list.
    pub(super) fn new(spec: &FilterSpec) -> Option<FileList> {
        if spec.files_from.is_none() && spec.files_from_raw.is_none() {
            return None;
        }
        let mut list = FileList::default();
        for line in spec.files_from.iter().flatten() {
            list.add(content(line).unwrap_or_default());
        }
        for line in spec.files_from_raw.iter().flatten() {
            list.add(line);
        }
        Some(list)
    }

    /// Whether exactly this file is listed.
    pub(super) fn has_file(&self, path: &str) -> bool {
        self.files.contains(path)
    }

    /// Whether a listed file is somewhere below the folder.
    pub(super) fn has_folder(&self, path: &str) -> bool {
        self.folders.contains(path)
    }

    /// The normalised names, in order.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(String::as_str)
    }

    /// A short text that differs when the list differs. The list itself may have a million names.
    pub(super) fn describe(&self) -> String {
        // FNV-1a, because the text is stored in plans and must be the same in every build. NUL is in no name.
        let mut digest: u64 = 0xcbf2_9ce4_8422_2325;
        for byte in self.files.iter().flat_map(|name| name.bytes().chain([0])) {
            digest = (digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        format!("files {} with digest {digest:016x}", self.files.len())
    }

    /// Adds a name in the form in which listings report it: no `/` at the ends, no empty and no `.` elements.
    fn add(&mut self, line: &str) {
        let elements: Vec<&str> =
            line.split('/').filter(|element| !element.is_empty() && *element != ".").collect();
        if elements.is_empty() {
            return;
        }
        let name = elements.join("/");
        let mut folder = name.as_str();
        while let Some((parent, _)) = folder.rsplit_once('/') {
            // A known folder brought its parents with it.
            if !self.folders.insert(parent.to_owned()) {
                break;
            }
            folder = parent;
        }
        self.files.insert(name);
    }
}
