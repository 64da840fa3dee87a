//! What changes the content: checked against what the caller expects, and done in one step under the lock.

use super::*;

impl MemoryBackend {
    /// Does what the caller expects at `to` hold?
    fn check_expect(&self, tree: &Folder, to: &RelPath, expect: &Expect) -> Result<()> {
        let mut nodes = tree.nodes(to).iter();
        if nodes.any(|node| !matches!(node, Node::File(_))) {
            let message = "a folder has that name";
            return Err(Error::new(ErrorKind::AlreadyExists, message));
        }
        match expect {
            Expect::Anything => Ok(()),
            Expect::Absent if tree.nodes(to).is_empty() => Ok(()),
            Expect::Absent => Err(changed()),
            Expect::Entry(entry) => {
                let id = self.place(entry).id;
                let version = entry.version.as_deref();
                let is_it = |file: &File| {
                    id.is_none_or(|id| id == file.id)
                        && version.is_none_or(|version| *version == *format!("v{}", file.id))
                };
                if tree.files(to).any(is_it) { Ok(()) } else { Err(changed()) }
            }
        }
    }

    /// Puts `file` in place of what `expect` says; everything of that name without it.
    fn store(&self, tree: &mut Folder, to: &RelPath, file: File, expect: &Expect) -> Result<()> {
        self.check_expect(tree, to, expect)?;
        tree.check_folder(&to.parent().unwrap_or_else(RelPath::root))?;
        let replaced = match expect {
            Expect::Entry(entry) => self.place(entry).id,
            Expect::Anything | Expect::Absent => None,
        };
        tree.take(
            to,
            |node| matches!(node, Node::File(file) if replaced.is_none_or(|id| id == file.id)),
        );
        tree.insert(to, Node::File(file), SystemTime::now())
    }

    pub(super) fn check_names(&self, path: &RelPath) -> Result<()> {
        if path.is_root() {
            return Err(Error::new(ErrorKind::InvalidInput, "the root is a folder"));
        }
        let Some(max) = self.capabilities.name_max_bytes else { return Ok(()) };
        match path.parts().find(|part| part.len() > max) {
            Some(part) => {
                let message = format!("a name of {} bytes, {max} can be stored", part.len());
                Err(Error::new(ErrorKind::InvalidInput, message))
            }
            None => Ok(()),
        }
    }

    fn check_size(&self, size: Option<u64>) -> Result<()> {
        let refuse = |message: &str| Err(Error::new(ErrorKind::Unsupported, message));
        match (size, self.capabilities.put_max) {
            (None, _) if !self.capabilities.put_unsized => refuse("stores no body of unknown size"),
            (Some(0), _) if !self.capabilities.put_empty => refuse("stores no empty files"),
            (Some(size), Some(max)) if size > max => {
                refuse(&format!("stores no more than {max} bytes in a file"))
            }
            _ => Ok(()),
        }
    }

    pub(super) async fn try_put(
        &self,
        path: &RelPath,
        body: Body,
        options: PutOptions,
    ) -> Result<Entry> {
        let to = self.full(path);
        self.check_names(&to)?;
        if options.is_link {
            return Err(Error::new(ErrorKind::Unsupported, "keeps no symbolic links"));
        }
        self.check_size(body.size())?;
        self.with_tree(|tree| self.check_expect(tree, &to, &options.expect))?;
        if let Some((rules, size)) = self.capabilities.put_parts.zip(body.size())
            && size >= rules.from
        {
            let content = self.put_parts(&to, &body, size, &options, &rules).await?;
            return self.store_content(path, &to, content, &options);
        }
        let checkpoint = options.checkpoint.as_ref().filter(|_| self.capabilities.put_resume);
        let receiving = Receiving::new(&self.volume.parts, &to, checkpoint);
        let content = self.pull(&body, receiving).await?;
        self.check_size(Some(content.len() as u64))?;
        self.store_content(path, &to, content, &options)
    }

    fn store_content(
        &self,
        path: &RelPath,
        to: &RelPath,
        content: Bytes,
        options: &PutOptions,
    ) -> Result<Entry> {
        let file = self.file(content, options.mtime);
        let entry = self.entry(path.clone(), &Node::File(file.clone()));
        self.with_tree(|tree| self.store(tree, to, file, &options.expect))?;
        Ok(entry)
    }

    pub(super) fn try_copy(
        &self,
        from: &Entry,
        path: &RelPath,
        options: &PutOptions,
    ) -> Result<Entry> {
        let to = self.full(path);
        self.check_names(&to)?;
        let account = self.account();
        let mut account = lock(&account);
        if !from.is_file() {
            return Err(Error::new(ErrorKind::InvalidInput, "only files are copied"));
        }
        let found = self.find_file(&account, from)?;
        let mtime = options.mtime.or(Some(found.mtime));
        let file = self.file(found.content.clone(), mtime);
        let entry = self.entry(path.clone(), &Node::File(file.clone()));
        self.store(self.own(&mut account), &to, file, &options.expect)?;
        Ok(entry)
    }

    pub(super) fn try_rename(&self, from: &Entry, path: &RelPath) -> Result<Entry> {
        let to = self.full(path);
        self.check_names(&to)?;
        let account = self.account();
        let mut account = lock(&account);
        let place = self.place(from);
        let here = place.volume == self.volume.id;
        let node = match from.kind {
            EntryKind::File => Node::File(self.find_file(&account, from)?.clone()),
            EntryKind::Dir => {
                let tree = account.get(&place.volume).ok_or_else(foreign)?;
                if place.path.is_root() || (here && to != place.path && to.is_within(&place.path)) {
                    let message = "a folder cannot be moved into itself";
                    return Err(Error::new(ErrorKind::InvalidInput, message));
                }
                Node::Dir(tree.folder(&place.path).ok_or_else(not_found)?.clone())
            }
            EntryKind::Link | EntryKind::Special(_) => return Err(special()),
        };
        let entry = self.entry(path.clone(), &node);
        if here && to == place.path {
            return Ok(entry);
        }
        let is_file = matches!(node, Node::File(_));
        let target = self.own(&mut account);
        let obstacle = |node: &Node| !is_file || !matches!(node, Node::File(_));
        if target.nodes(&to).iter().any(obstacle) {
            return Err(Error::new(ErrorKind::AlreadyExists, "something has that name already"));
        }
        let parent = to.parent().unwrap_or_else(RelPath::root);
        target.check_folder(&parent)?;
        let source = account.get_mut(&place.volume).ok_or_else(foreign)?;
        source.take(&place.path, |node| match (node, place.id) {
            (Node::File(file), Some(id)) => file.id == id,
            (Node::File(_), None) => is_file,
            (Node::Dir(_), _) => !is_file,
            (Node::Special(_), _) => false,
        });
        self.prune_above(source, &place.path);
        let target = self.own(&mut account);
        target.take(&to, |node| matches!(node, Node::File(_)));
        target.insert(&to, node, SystemTime::now())?;
        Ok(entry)
    }

    pub(super) fn try_delete(&self, entry: &Entry) -> Result<()> {
        let account = self.account();
        let mut account = lock(&account);
        let place = self.place(entry);
        let is_meant = match entry.kind {
            EntryKind::File => match self.find_file(&account, entry) {
                Ok(file) => Some(file.id),
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
                Err(error) => return Err(error),
            },
            EntryKind::Dir if place.path.is_root() => {
                return Err(Error::new(ErrorKind::InvalidInput, "the root stays"));
            }
            EntryKind::Dir => None,
            EntryKind::Link | EntryKind::Special(_) => return Err(special()),
        };
        let tree = account.get_mut(&place.volume).ok_or_else(foreign)?;
        if is_meant.is_none() && tree.folder(&place.path).is_some_and(|folder| !folder.is_empty()) {
            return Err(Error::new(ErrorKind::InvalidInput, "the folder is not empty"));
        }
        tree.take(&place.path, |node| match (node, is_meant) {
            (Node::File(file), Some(id)) => file.id == id,
            (Node::Dir(_), None) => true,
            _ => false,
        });
        self.prune_above(tree, &place.path);
        Ok(())
    }

    fn own<'a>(&self, account: &'a mut Account) -> &'a mut Folder {
        account.get_mut(&self.volume.id).expect("a volume has a tree")
    }

    /// Without folders of their own, a folder ends with its last file.
    pub(super) fn prune_above(&self, tree: &mut Folder, path: &RelPath) {
        if !self.capabilities.dirs
            && let Some(parent) = path.parent()
        {
            tree.prune(&parent);
        }
    }
}
