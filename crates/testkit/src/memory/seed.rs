//! The helpers of tests: content is put in and looked at without the trait, synchronously and without checks.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use bytes::Bytes;
use ketch_core::{RelPath, Special};

use super::tree::Node;
use super::{MemoryBackend, seed_time};

impl MemoryBackend {
    /// Stores a file, in place of those of its name, with the time [`seed_time`].
    pub fn seed(&self, path: &str, content: impl AsRef<[u8]>) {
        self.seed_with_mtime(path, content, seed_time());
    }

    /// Stores a file, in place of those of its name. Where modification times are not kept `mtime` is when it was stored.
    pub fn seed_with_mtime(&self, path: &str, content: impl AsRef<[u8]>, mtime: SystemTime) {
        self.remove(path);
        self.insert(path, content, mtime);
    }

    /// Adds a file beside those of its name. Panics where duplicates cannot be.
    pub fn insert_duplicate(&self, path: &str, content: impl AsRef<[u8]>) {
        assert!(self.capabilities.duplicates, "{} has no duplicates", self.name);
        self.insert(path, content, seed_time());
    }

    fn insert(&self, path: &str, content: impl AsRef<[u8]>, mtime: SystemTime) {
        let mut file = self.file(Bytes::copy_from_slice(content.as_ref()), None);
        file.mtime = mtime;
        self.add(path, Node::File(file));
    }

    /// Makes a folder and those above it.
    pub fn seed_dir(&self, path: &str) {
        let path = self.full(&legal(path));
        self.with_tree(|tree| tree.make_folder(&path, seed_time()).map(|_| ()))
            .expect("no obstacle");
    }

    /// Puts something there that is neither a file nor a folder.
    pub fn seed_special(&self, path: &str, special: Special) {
        self.add(path, Node::Special(special));
    }

    fn add(&self, path: &str, node: Node) {
        let path = self.full(&legal(path));
        self.with_tree(|tree| tree.insert(&path, node, seed_time())).expect("no obstacle");
    }

    /// Takes away all that has this path, with what is below.
    pub fn remove(&self, path: &str) {
        let path = self.full(&legal(path));
        self.with_tree(|tree| {
            tree.take(&path, |_| true);
            self.prune_above(tree, &path);
        });
    }

    /// Sets the time of a file to now, truncated to what is kept.
    pub fn touch(&self, path: &str) {
        let mtime = self.file(Bytes::new(), None).mtime;
        let path = self.full(&legal(path));
        self.with_tree(|tree| {
            let file = tree.files_mut(&path).next().expect("a file is there");
            file.mtime = mtime;
        });
    }

    /// Flips a bit of a file's content and leaves everything that listings show as it was.
    pub fn corrupt(&self, path: &str) {
        let path = self.full(&legal(path));
        self.with_tree(|tree| {
            let file = tree.files_mut(&path).next().expect("a file is there");
            let mut content = file.content.to_vec();
            *content.last_mut().expect("an empty file has no bit to flip") ^= 1;
            file.content = content.into();
        });
    }

    /// All files by path. Of duplicates the one stored last.
    pub fn tree(&self) -> BTreeMap<String, Bytes> {
        let mut files = BTreeMap::new();
        self.walk(|path, node| {
            if let Node::File(file) = node {
                files.insert(path, file.content.clone());
            }
        });
        files
    }

    /// All files in path order with their times, duplicates each.
    pub fn files(&self) -> Vec<(String, Bytes, SystemTime)> {
        let mut files = Vec::new();
        self.walk(|path, node| {
            if let Node::File(file) = node {
                files.push((path, file.content.clone(), file.mtime));
            }
        });
        files
    }

    /// All folders by path, without the root.
    pub fn dirs(&self) -> BTreeSet<String> {
        let mut folders = BTreeSet::new();
        self.walk(|path, node| {
            if let Node::Dir(_) = node {
                folders.insert(path);
            }
        });
        folders
    }

    fn walk(&self, mut visit: impl FnMut(String, &Node)) {
        self.with_tree(|tree| {
            if let Some(folder) = tree.folder(&self.prefix) {
                folder.walk(&RelPath::root(), &mut |path, node| visit(path.to_string(), node));
            }
        });
    }
}

fn legal(path: &str) -> RelPath {
    RelPath::new(path).expect("a legal path")
}
