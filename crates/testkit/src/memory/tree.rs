//! The data behind a memory backend: folders of nodes, several of one name if the place allows it.

use std::collections::BTreeMap;
use std::time::SystemTime;

use bytes::Bytes;
use ketch_core::{Error, ErrorKind, Hashes, RelPath, Result, Special};

/// Something with a name in a folder.
#[derive(Debug, Clone)]
pub(super) enum Node {
    File(File),
    Dir(Folder),
    Special(Special),
}

/// Bytes with a name. A file that is replaced is another file: the id is the version.
#[derive(Debug, Clone)]
pub(super) struct File {
    pub(super) id: u64,
    pub(super) content: Bytes,
    pub(super) mtime: SystemTime,
    pub(super) hashes: Option<Hashes>,
    pub(super) claimed: Option<Hashes>,
}

/// A folder. Names that hold no node are not kept.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    pub(super) made: SystemTime,
    names: BTreeMap<String, Vec<Node>>,
}

impl Folder {
    pub(super) fn new(made: SystemTime) -> Self {
        Folder { made, names: BTreeMap::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// All nodes with their names, names in order.
    pub(super) fn children(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.names.iter().flat_map(|(name, nodes)| nodes.iter().map(move |node| (&**name, node)))
    }

    /// The folder at `path`; itself for the root.
    pub(super) fn folder(&self, path: &RelPath) -> Option<&Folder> {
        path.parts().try_fold(self, |folder, part| {
            folder.names.get(part)?.iter().find_map(|node| match node {
                Node::Dir(found) => Some(found),
                Node::File(_) | Node::Special(_) => None,
            })
        })
    }

    fn folder_mut(&mut self, path: &RelPath) -> Option<&mut Folder> {
        path.parts().try_fold(self, |folder, part| {
            folder.names.get_mut(part)?.iter_mut().find_map(|node| match node {
                Node::Dir(found) => Some(found),
                Node::File(_) | Node::Special(_) => None,
            })
        })
    }

    /// The folder at `path`, made with those above it if need be.
    pub(super) fn make_folder(&mut self, path: &RelPath, now: SystemTime) -> Result<&mut Folder> {
        let mut folder = self;
        for part in path.parts() {
            let nodes = folder.names.entry(part.to_owned()).or_default();
            if nodes.is_empty() {
                nodes.push(Node::Dir(Folder::new(now)));
            }
            folder = nodes
                .iter_mut()
                .find_map(|node| match node {
                    Node::Dir(found) => Some(found),
                    Node::File(_) | Node::Special(_) => None,
                })
                .ok_or_else(|| {
                    let message = format!("{part:?} in {path} is not a folder");
                    Error::new(ErrorKind::AlreadyExists, message)
                })?;
        }
        Ok(folder)
    }

    /// Can [`Folder::make_folder`] make `path`?
    pub(super) fn check_folder(&self, path: &RelPath) -> Result<()> {
        for above in path.ancestors().skip(1).chain((!path.is_root()).then(|| path.clone())) {
            let nodes = self.nodes(&above);
            if !nodes.is_empty() && !nodes.iter().any(|node| matches!(node, Node::Dir(_))) {
                let message = format!("{:?} is not a folder", above.as_str());
                return Err(Error::new(ErrorKind::AlreadyExists, message));
            }
        }
        Ok(())
    }

    /// What has this very path; nothing for the root.
    pub(super) fn nodes(&self, path: &RelPath) -> &[Node] {
        let found = path.parent().zip(path.name()).and_then(|(parent, name)| {
            self.folder(&parent).and_then(|folder| folder.names.get(name))
        });
        found.map_or(&[], |nodes| nodes.as_slice())
    }

    /// The files that have this very path.
    pub(super) fn files(&self, path: &RelPath) -> impl Iterator<Item = &File> {
        self.nodes(path).iter().filter_map(|node| match node {
            Node::File(file) => Some(file),
            Node::Dir(_) | Node::Special(_) => None,
        })
    }

    /// The files that have this very path, to be changed in place.
    pub(super) fn files_mut(&mut self, path: &RelPath) -> impl Iterator<Item = &mut File> {
        let nodes = path.parent().zip(path.name()).and_then(|(parent, name)| {
            self.folder_mut(&parent).and_then(|folder| folder.names.get_mut(name))
        });
        nodes.into_iter().flatten().filter_map(|node| match node {
            Node::File(file) => Some(file),
            Node::Dir(_) | Node::Special(_) => None,
        })
    }

    /// Adds `node` beside what has its path already.
    pub(super) fn insert(&mut self, path: &RelPath, node: Node, now: SystemTime) -> Result<()> {
        let (Some(parent), Some(name)) = (path.parent(), path.name()) else {
            return Err(Error::new(ErrorKind::InvalidInput, "the root is a folder"));
        };
        self.check_folder(&parent)?;
        let folder = self.make_folder(&parent, now)?;
        folder.names.entry(name.to_owned()).or_default().push(node);
        Ok(())
    }

    /// Takes away the nodes at `path` that `is_meant` is true of.
    pub(super) fn take(&mut self, path: &RelPath, is_meant: impl Fn(&Node) -> bool) -> Vec<Node> {
        let (Some(parent), Some(name)) = (path.parent(), path.name()) else { return Vec::new() };
        let Some(folder) = self.folder_mut(&parent) else { return Vec::new() };
        let Some(nodes) = folder.names.remove(name) else { return Vec::new() };
        let (taken, left): (Vec<_>, Vec<_>) = nodes.into_iter().partition(is_meant);
        if !left.is_empty() {
            folder.names.insert(name.to_owned(), left);
        }
        taken
    }

    /// Removes the empty folders at `path` and above it, up to the root.
    pub(super) fn prune(&mut self, path: &RelPath) {
        let mut next = Some(path.clone());
        while let Some(path) = next {
            self.take(&path, |node| matches!(node, Node::Dir(folder) if folder.is_empty()));
            next = path.parent();
        }
    }

    /// Calls `visit` with every node below and its path.
    pub(super) fn walk<'a>(&'a self, at: &RelPath, visit: &mut impl FnMut(RelPath, &'a Node)) {
        for (name, node) in self.children() {
            let path = at.join(name).expect("names in the tree come from paths");
            visit(path.clone(), node);
            if let Node::Dir(folder) = node {
                folder.walk(&path, visit);
            }
        }
    }
}
