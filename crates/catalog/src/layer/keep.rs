//! Empty files and links, which only the catalogue holds. They are stored before they are reported done.

use ketch_core::source::{collect, open_exact};

use super::*;

/// The longest path that a link can point to, in bytes.
const TARGET_MAX: usize = 4095;

impl Inner {
    /// Must the catalogue hold this, because the remote cannot?
    pub(super) fn is_kept_here(&self, size: Option<u64>, is_link: bool) -> bool {
        let remote = self.remote.capabilities();
        match is_link {
            true => !remote.links && self.about.capabilities.links,
            false => size == Some(0) && !remote.put_empty && self.about.capabilities.put_empty,
        }
    }

    /// Pulls the body of an empty file or a link, to its end.
    pub(super) async fn pull(&self, body: &Body, is_link: bool) -> Result<bytes::Bytes> {
        let content = collect(open_exact(&**body).await?, TARGET_MAX).await?;
        if is_link && (content.is_empty() || content.contains(&0)) {
            let message = "no link can point to nothing, or to a path with a NUL in it";
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        Ok(content)
    }

    /// Holds `content` at `path` from now on.
    ///
    /// ORDER: it is first stored in a catalogue, where a file of the remote with that name hides it; then that file is
    /// removed.
    pub(super) async fn keep(
        &self,
        path: &RelPath,
        content: bytes::Bytes,
        options: &PutOptions,
    ) -> Result<Entry> {
        self.look(None).await?;
        let replaced = self.find_replaced(path, &options.expect).await?;
        if let Some(parent) = path.parent().filter(|parent| !parent.is_root()) {
            self.remote.make_dir(&parent, None).await?;
        }
        let mtime = options.mtime.or_else(|| Some(SystemTime::now()));
        let fact = match options.is_link {
            true => Fact::Link { target: content, mtime },
            false => Fact::Empty { mtime, mode: options.mode },
        };
        self.hold(path, fact.clone()).await?;
        for entry in &replaced {
            self.remote.delete_one(entry).await?;
        }
        let entry = fact.entry(path.clone(), &self.about.location, self.shown());
        entry.ok_or_else(|| Error::unsupported("put"))
    }

    /// Writes `fact` down and stores it, or leaves what was known before.
    async fn hold(&self, path: &RelPath, fact: Fact) -> Result<()> {
        let (before, changes) = {
            let mut state = self.state();
            if !state.has_room(path) {
                let message = format!("the catalogue is full ({RECORDS_MAX} paths)");
                return Err(Error::new(ErrorKind::Quota, message));
            }
            (state.set(path, fact.clone()), state.changes)
        };
        let stored = self.store(changes).await;
        if stored.is_err() {
            let mut state = self.state();
            if state.records.get(path).is_some_and(|record| record.fact == fact) {
                // It may have been stored even so, so a later record takes it back.
                let before = before.map_or(Fact::Gone, |record| record.fact);
                state.set(path, before);
            }
        }
        stored
    }

    /// The files of the remote that are replaced, as far as the caller says what there is.
    async fn find_replaced(&self, path: &RelPath, expect: &Expect) -> Result<Vec<Entry>> {
        let changed = |text| Err(Error::new(ErrorKind::Changed, text));
        let kept = self.with_view(|view| view.kept(path));
        match expect {
            Expect::Absent if kept.is_some() => {
                changed("something of that name appeared meanwhile")
            }
            Expect::Absent => Ok(Vec::new()),
            Expect::Entry(entry) if Kept::of(entry).is_some() => {
                let is_it = |kept: &Entry| kept.kind == entry.kind && kept.version == entry.version;
                match kept.is_some_and(|kept| is_it(&kept)) {
                    true => Ok(Vec::new()),
                    false => changed("what was to be replaced is not the version that was listed"),
                }
            }
            Expect::Entry(entry) => match self.remote.stat(path).await {
                Ok(now) if now.version == entry.version && now.handle == entry.handle => {
                    Ok(vec![now])
                }
                Ok(_) => changed("what was to be replaced is not the version that was listed"),
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    changed("what was to be replaced is gone")
                }
                Err(error) => Err(error),
            },
            Expect::Anything => {
                let parent = path.parent().unwrap_or_else(RelPath::root);
                let listed = self.remote.list(&parent, ListOptions::default()).try_collect().await;
                let listed: Vec<Entry> = match listed {
                    Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
                    listed => listed?,
                };
                let mut there: Vec<_> =
                    listed.into_iter().filter(|entry| entry.path == *path).collect();
                if there.iter().any(|entry| !entry.is_file()) {
                    let message = "a folder of that name is there";
                    return Err(Error::new(ErrorKind::AlreadyExists, message));
                }
                there.dedup();
                Ok(there)
            }
        }
    }

    /// Removes what the catalogue alone holds. What is gone already is success.
    pub(super) async fn let_go(&self, entry: &Entry) -> Result<()> {
        self.look(None).await?;
        let Some(now) = self.with_view(|view| view.kept(&entry.path)) else { return Ok(()) };
        if now.kind != entry.kind || now.version != entry.version {
            let message = "it is not the version that was listed";
            return Err(Error::new(ErrorKind::Changed, message));
        }
        self.hold(&entry.path, Fact::Gone).await
    }

    /// Nothing can be below what the catalogue holds as a file or link.
    pub(super) fn check_above(&self, path: &RelPath) -> Result<()> {
        let blocked = self.with_view(|view| {
            path.ancestors().find(|above| !above.is_root() && view.kept(above).is_some())
        });
        match blocked {
            None => Ok(()),
            Some(above) => {
                let message = format!("`{above}` is a file, a folder is needed there");
                Err(Error::new(ErrorKind::AlreadyExists, message))
            }
        }
    }
}
