//! Changes: made at the remote first, and then recorded.

use ketch_core::source::Passed;

use super::*;
use crate::record::{FileFact, identity};

impl Inner {
    pub(super) async fn put(
        &self,
        path: &RelPath,
        body: Body,
        options: PutOptions,
    ) -> Result<Entry> {
        check_name(path)?;
        self.check_above(path)?;
        if self.is_kept_here(body.size(), options.is_link) {
            let content = self.pull(&body, options.is_link).await?;
            return self.keep(path, content, &options).await;
        }
        let (mtime, mode) = (options.mtime.or_else(|| Some(SystemTime::now())), options.mode);
        let options = self.for_remote(path, options)?;
        let stored = self.remote.put(path, Arc::clone(&body), options).await?;
        let blake3 = match body.passed(HashAlgo::Blake3) {
            Passed::Digest(digest) => digest.as_bytes().try_into().ok(),
            Passed::NotTaken | Passed::NotYet => None,
        };
        Ok(self.learn(stored, mtime, mode, blake3).await)
    }

    /// Options without what only the catalogue knows: what it alone holds is nothing to the remote.
    fn for_remote(&self, path: &RelPath, options: PutOptions) -> Result<PutOptions> {
        let kept = self.with_view(|view| view.kept(path));
        let expect = match options.expect {
            Expect::Entry(entry) if Kept::of(&entry).is_some() => {
                if kept.is_none_or(|kept| kept.version != entry.version) {
                    let message = "what was to be replaced is not the version that was listed";
                    return Err(Error::new(ErrorKind::Changed, message));
                }
                Expect::Absent
            }
            Expect::Absent if kept.is_some() => {
                let message = "something of that name appeared meanwhile";
                return Err(Error::new(ErrorKind::Changed, message));
            }
            expect => expect,
        };
        Ok(PutOptions { expect, ..options })
    }

    /// Writes down what is known of a file that the remote has stored, and returns it with that.
    async fn learn(
        &self,
        stored: Entry,
        mtime: Option<SystemTime>,
        mode: Option<u32>,
        blake3: Option<[u8; 32]>,
    ) -> Entry {
        let known = stored.size.zip(identity(&stored, self.shown()));
        let Some((size, identity)) = known else { return Entry { mtime: None, ..stored } };
        let fact = FileFact { size, identity, mtime, mode, blake3 };
        let entry = fact.decorate(stored);
        {
            let mut state = self.state();
            if state.has_room(&entry.path) {
                state.set(&entry.path, Fact::File(fact));
            }
        }
        self.store_many().await;
        entry
    }

    pub(super) async fn delete(&self, entries: &[Entry]) -> Vec<Result<()>> {
        // Files that the remote holds and that follow one another travel together.
        let is_plain = |entry: &Entry| Kept::of(entry).is_none() && !entry.is_dir();
        let mut results = Vec::with_capacity(entries.len());
        for run in entries.chunk_by(|one, next| is_plain(one) && is_plain(next)) {
            match run {
                [entry] if Kept::of(entry).is_some() => results.push(self.let_go(entry).await),
                [entry] if entry.is_dir() => results.push(self.delete_folder(entry).await),
                files => results.extend(self.delete_files(files).await),
            }
        }
        results
    }

    /// Removes files that the remote holds, in one call.
    async fn delete_files(&self, files: &[Entry]) -> Vec<Result<()>> {
        let results = self.remote.delete(files).await;
        let mut state = self.state();
        for (entry, _) in files.iter().zip(&results).filter(|(_, result)| result.is_ok()) {
            state.forget(&entry.path);
        }
        results
    }

    async fn delete_folder(&self, entry: &Entry) -> Result<()> {
        let not_empty = || Error::new(ErrorKind::InvalidInput, "the folder is not empty");
        self.look(None).await?;
        let holds = self.with_view(|view| {
            view.records.below(&entry.path).iter().any(|path| view.kept(path).is_some())
        });
        // Nothing that is in a folder which is gone is there, so it does not keep it either.
        if holds && self.remote.stat(&entry.path).await.is_ok() {
            return Err(not_empty());
        }
        match self.remote.delete_one(entry).await {
            Err(error) if error.kind() == ErrorKind::InvalidInput => {
                self.clear_own(&entry.path).await?;
                self.remote.delete_one(entry).await?;
            }
            deleted => deleted?,
        }
        if entry.path.is_root() {
            // Nothing of this is left to be stored, or the folder would be made again for it.
            self.book.lock().await.begin_anew();
            let mut state = self.state();
            state.records = Records::default();
            state.stored = state.changes;
            return Ok(());
        }
        let mut state = self.state();
        for path in state.records.below(&entry.path) {
            state.forget(&path);
        }
        Ok(())
    }

    /// Removes the catalogues of a folder that has nothing else in it: of a root that was below this one.
    async fn clear_own(&self, dir: &RelPath) -> Result<()> {
        let listing = self.remote.list(dir, ListOptions::default());
        let listed: Vec<Entry> = listing.try_collect().await?;
        if listed.iter().any(|entry| !entry.is_file() || !is_own_path(&entry.path)) {
            return Err(Error::new(ErrorKind::InvalidInput, "the folder is not empty"));
        }
        // What the own one holds is known; another may hold what nothing here shows.
        if !dir.is_root() {
            for entry in &listed {
                if book::holds_anything(&*self.remote, entry).await? {
                    let message = "the folder is not empty: a catalogue of its own holds empty files or links";
                    return Err(Error::new(ErrorKind::InvalidInput, message));
                }
            }
        }
        for entry in &listed {
            self.remote.delete_one(entry).await?;
        }
        Ok(())
    }

    pub(super) async fn make_dir(&self, path: &RelPath) -> Result<()> {
        check_name(path)?;
        self.check_above(path)?;
        if self.with_view(|view| view.kept(path)).is_some() {
            return Err(Error::new(ErrorKind::AlreadyExists, "a file of that name is there"));
        }
        self.remote.make_dir(path, None).await
    }

    pub(super) async fn copy(
        &self,
        from: &Entry,
        to: &RelPath,
        options: PutOptions,
    ) -> Result<Entry> {
        check_name(to)?;
        self.check_above(to)?;
        let (mtime, mode) = (options.mtime.or(from.mtime), options.mode.or(from.mode));
        if let Some(kept) = Kept::of(from) {
            let is_link = from.kind == ketch_core::EntryKind::Link;
            let options = PutOptions { mtime, mode, is_link, ..options };
            return self.keep(to, kept.content, &options).await;
        }
        let options = self.for_remote(to, options)?;
        let copied = self.remote.copy(from, to, options).await?;
        let known = self.with_digests_of(copied, from);
        Ok(self.learn(known, mtime, mode, blake3_of(from)).await)
    }

    /// The identity of a copied or moved file, if the remote does not show its digest again.
    fn with_digests_of(&self, entry: Entry, from: &Entry) -> Entry {
        match (&entry.hashes, &from.hashes) {
            (None, Some(hashes)) if entry.size == from.size => {
                let hashes = Some(hashes.clone());
                Entry { hashes, ..entry }
            }
            _ => entry,
        }
    }

    pub(super) async fn rename(&self, from: &Entry, to: &RelPath) -> Result<Entry> {
        check_name(to)?;
        self.check_above(to)?;
        if let Some(kept) = Kept::of(from) {
            if kept.location != self.about.location {
                return Err(Error::unsupported("rename"));
            }
            if from.path == *to {
                return self.stat(to).await;
            }
            let is_link = from.kind == ketch_core::EntryKind::Link;
            let (mtime, mode) = (from.mtime, from.mode);
            let options = PutOptions { mtime, mode, is_link, ..PutOptions::default() };
            let moved = self.keep(to, kept.content, &options).await?;
            self.let_go(from).await?;
            return Ok(moved);
        }
        if from.is_dir() {
            return self.rename_folder(from, to).await;
        }
        let moved = self.remote.rename(from, to).await?;
        if from.path != *to {
            self.state().forget(&from.path);
        }
        let known = self.with_digests_of(moved, from);
        Ok(self.learn(known, from.mtime, from.mode, blake3_of(from)).await)
    }

    /// ORDER: the catalogue's own entries in the folder are stored under both paths before the folder moves. Entries in a
    /// folder that does not exist are not shown.
    async fn rename_folder(&self, from: &Entry, to: &RelPath) -> Result<Entry> {
        self.look(None).await?;
        if *to == from.path || to.is_within(&from.path) {
            return self.remote.rename(from, to).await;
        }
        let (below, holds, changes) = {
            let mut state = self.state();
            let below = state.records.below(&from.path);
            let mut holds = false;
            for path in &below {
                let record = state.records.get(path).cloned();
                let moved = path.relative_to(&from.path).map(|rest| to.join_path(&rest));
                if let (Some(record), Some(moved)) = (record, moved) {
                    holds |= record.fact.content().is_some();
                    state.set(&moved, record.fact);
                }
            }
            (below, holds, state.changes)
        };
        if holds {
            self.store(changes).await?;
        }
        let renamed = self.remote.rename(from, to).await;
        let mut state = self.state();
        for path in below {
            match (&renamed, path.relative_to(&from.path)) {
                (Ok(_), _) => state.forget(&path),
                (Err(_), Some(rest)) => state.forget(&to.join_path(&rest)),
                (Err(_), None) => {}
            }
        }
        renamed
    }

    pub(super) async fn set_metadata(&self, entry: &Entry, metadata: &Metadata) -> Result<Entry> {
        self.look(None).await?;
        let Metadata { mtime: new_mtime, mode: new_mode } = *metadata;
        let new_mode = new_mode.map(|mode| mode & ketch_core::MODE_MASK);
        if Kept::of(entry).is_some() {
            return self.change_kept(entry, |fact| match fact {
                Fact::Empty { mode, mtime } => {
                    Fact::Empty { mode: new_mode.or(mode), mtime: new_mtime.or(mtime) }
                }
                Fact::Link { target, mtime } => Fact::Link { target, mtime: new_mtime.or(mtime) },
                other => other,
            });
        }
        let now = self.find_version(entry).await?;
        let known = self.with_view(|view| view.decorate(now.clone()));
        let (mtime, mode) = (new_mtime.or(known.mtime), new_mode.or(known.mode));
        Ok(self.learn(now, mtime, mode, blake3_of(&known)).await)
    }

    /// Changes what is known of what the catalogue alone holds, if it still is what `entry` shows.
    fn change_kept(&self, entry: &Entry, change: impl FnOnce(Fact) -> Fact) -> Result<Entry> {
        let mut state = self.state();
        let known = state.records.get(&entry.path).map(|record| record.fact.clone());
        let shown =
            |fact: &Fact| fact.entry(entry.path.clone(), &self.about.location, self.shown());
        let gone = || Error::new(ErrorKind::NotFound, "there is nothing of that name");
        let (fact, now) =
            known.and_then(|fact| shown(&fact).map(|now| (fact, now))).ok_or_else(gone)?;
        if now.kind != entry.kind || now.version != entry.version {
            let message = "it is not the version that was listed";
            return Err(Error::new(ErrorKind::Changed, message));
        }
        let fact = change(fact);
        let now = shown(&fact).ok_or_else(gone)?;
        state.set(&entry.path, fact);
        Ok(now)
    }

    /// The file that `entry` shows, as the remote shows it now; it may be one of several of that name.
    async fn find_version(&self, entry: &Entry) -> Result<Entry> {
        let is_it = |now: &Entry| now.version == entry.version && now.handle == entry.handle;
        let now = self.remote.stat(&entry.path).await?;
        if is_it(&now) {
            return Ok(now);
        }
        let parent = entry.path.parent().unwrap_or_else(RelPath::root);
        let listing = self.remote.list(&parent, ListOptions::default());
        let listed: Vec<Entry> = listing.try_collect().await?;
        let found = listed.into_iter().find(|now| now.path == entry.path && is_it(now));
        found.ok_or_else(|| Error::new(ErrorKind::Changed, "it is not the version that was listed"))
    }
}

fn blake3_of(entry: &Entry) -> Option<[u8; 32]> {
    let known = [&entry.hashes, &entry.claimed].into_iter().flatten();
    let digest = known.filter_map(|hashes| hashes.get(HashAlgo::Blake3)).next()?;
    digest.as_bytes().try_into().ok()
}

fn check_name(path: &RelPath) -> Result<()> {
    if is_own_path(path) {
        let message = "names like this are ketch's own, for catalogues";
        return Err(Error::new(ErrorKind::InvalidInput, message));
    }
    Ok(())
}
