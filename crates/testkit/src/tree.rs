//! Trees of files as values: written as text, made at random, stored and read back.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use ketch_core::source::{BytesSource, collect};
use ketch_core::{Backend, ListOptions, PutOptions, ReadOptions, RelPath};

use crate::MemoryBackend;

/// Files by path with their content; a path that ends in `/` is a folder and has none.
pub type Tree = BTreeMap<String, Bytes>;

/// Reads a tree from lines `path = content` and `folder/`. Blank lines and spaces around both mean nothing.
pub fn tree(text: &str) -> Tree {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let read = lines.map(|line| match line.split_once('=') {
        Some((path, content)) => {
            (path.trim().to_owned(), Bytes::copy_from_slice(content.trim().as_bytes()))
        }
        None => {
            assert!(line.ends_with('/'), "{line:?} is neither `path = content` nor `folder/`");
            (line.to_owned(), Bytes::new())
        }
    });
    read.collect()
}

/// What a random tree looks like.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// How many files.
    pub files: usize,
    /// How many folders they are spread over, at most.
    pub folders: usize,
    /// The longest content.
    pub bytes_max: usize,
    /// Whether files may be empty.
    pub empty_files: bool,
}

impl Default for Shape {
    fn default() -> Self {
        Shape { files: 30, folders: 8, bytes_max: 64, empty_files: true }
    }
}

/// A tree of this shape; the same `seed` gives the same tree. Names are short, so that trees of different seeds share many,
/// and sort awkwardly (`a`, `a.`, `a/`, `a0`).
pub fn random_tree(seed: u64, shape: Shape) -> Tree {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut folders = vec![String::new()];
    for _ in 0..shape.folders {
        let above = random.choice(&folders).expect("the root is one").clone();
        folders.push(format!("{above}{}/", random_name(&mut random)));
    }
    let mut tree = Tree::new();
    for _ in 0..shape.files {
        let above = random.choice(&folders).expect("the root is one").clone();
        // A file never has the name of a folder: its name has the end that no folder has.
        let path = format!("{above}{}-f", random_name(&mut random));
        tree.insert(path, random_bytes(&mut random, shape));
    }
    tree
}

fn random_name(random: &mut fastrand::Rng) -> String {
    let ends = ["", "", ".", "0", " ", "!", "é"];
    let letter = random.choice(["a", "b", "c", "d"]).expect("not empty");
    format!("{letter}{}", random.choice(ends).expect("not empty"))
}

fn random_bytes(random: &mut fastrand::Rng, shape: Shape) -> Bytes {
    let least = usize::from(!shape.empty_files);
    let mut bytes = vec![0; random.usize(least..=shape.bytes_max.max(least))];
    random.fill(&mut bytes);
    bytes.into()
}

/// `length` bytes that do not repeat, the same for the same `seed`.
pub fn noise(seed: u64, length: usize) -> Bytes {
    let mut bytes = vec![0; length];
    fastrand::Rng::with_seed(seed).fill(&mut bytes);
    bytes.into()
}

/// Seeds `backend` with all of `tree`.
pub fn seed_all(backend: &MemoryBackend, tree: &Tree) {
    for (path, content) in tree {
        match path.strip_suffix('/') {
            Some(folder) => backend.seed_dir(folder),
            None => backend.seed(path, content),
        }
    }
}

/// Stores all of `tree` through the trait.
pub async fn put_all(backend: &dyn Backend, tree: &Tree) {
    for (path, content) in tree {
        let stored = match path.strip_suffix('/') {
            Some(folder) => backend.make_dir(&legal(folder), None).await,
            None => {
                let body = BytesSource::body(content.clone());
                backend.put(&legal(path), body, PutOptions::default()).await.map(|_| ())
            }
        };
        stored.unwrap_or_else(|error| panic!("{path:?} is stored: {error:?}"));
    }
}

/// All files with size as listed and content as read, and all folders (with a `/` at the end, size 0). Panics at the first
/// failure and at duplicates.
pub async fn walk_all(backend: &dyn Backend) -> BTreeMap<String, (u64, Bytes)> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![RelPath::root()];
    while let Some(folder) = waiting.pop() {
        let listing = backend.list(&folder, ListOptions::default());
        let entries: Vec<_> = listing.try_collect().await.expect("the listing is complete");
        for entry in entries {
            let (path, value) = if entry.is_file() {
                let stream = backend.read(&entry, ReadOptions::default()).await.expect("opens");
                let content = collect(stream, usize::MAX).await.expect("is read to its end");
                let size = entry.size.unwrap_or(content.len() as u64);
                (entry.path.to_string(), (size, content))
            } else {
                if entry.is_dir() {
                    waiting.push(entry.path.clone());
                }
                (format!("{}/", entry.path), (0, Bytes::new()))
            };
            let twice = found.insert(path, value);
            assert!(twice.is_none(), "{} is there twice", entry.path);
        }
    }
    found
}

/// The files of [`walk_all`] with their content.
pub async fn files_of(backend: &dyn Backend) -> Tree {
    let all = walk_all(backend).await.into_iter();
    all.filter(|(path, _)| !path.ends_with('/'))
        .map(|(path, (_, content))| (path, content))
        .collect()
}

/// A memory backend with the content of `text` (see [`tree`]).
pub fn memory(name: &str, text: &str) -> Arc<MemoryBackend> {
    let backend = MemoryBackend::new(name);
    seed_all(&backend, &tree(text));
    Arc::new(backend)
}

fn legal(path: &str) -> RelPath {
    RelPath::new(path).expect("a legal path")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_tree_that_is_written_is_the_one_that_is_read() {
        let backend = memory("m", "a = 1\n d/b = two words \n e/\n");
        let found = walk_all(&*backend).await;
        let shown: Vec<_> =
            found.iter().map(|(path, (size, _))| format!("{path} {size}")).collect();
        assert_eq!(shown, ["a 1", "d/ 0", "d/b 9", "e/ 0"]);
    }

    #[tokio::test]
    async fn random_trees_are_the_same_for_the_same_seed_and_can_be_stored() {
        for seed in 0..50 {
            let tree = random_tree(seed, Shape::default());
            assert_eq!(tree, random_tree(seed, Shape::default()), "seed {seed}");
            let backend = MemoryBackend::new("m");
            put_all(&backend, &tree).await;
            assert_eq!(files_of(&backend).await, tree, "seed {seed}");
        }
        assert_ne!(random_tree(1, Shape::default()), random_tree(2, Shape::default()));
    }
}
