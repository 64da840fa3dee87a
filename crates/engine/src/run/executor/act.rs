//! Does one item, and decides what its error means for the job.

use std::sync::atomic::Ordering;

use super::again::Again;
use super::apart::Apart;
use super::*;
use crate::run::item::{Acted, operation_of, would_be};
use crate::transfer::Transfer;

impl Executor {
    /// Does one item and writes down its one outcome.
    pub(super) async fn act(self: &Arc<Self>, mut task: Task, last_try: bool) {
        let operation = operation_of(&task.action);
        let path = path_of(&task.action).clone();
        self.state().begun.insert(task.seq, (path.clone(), operation));
        let started = Instant::now();
        task.attempts += 1;
        let result = self.try_task(&mut task).await;
        task.milliseconds += started.elapsed().as_millis() as u64;
        self.state().begun.remove(&task.seq);
        if let Err(error) = &result
            && matches!(error.kind(), ErrorKind::Throttled | ErrorKind::Unavailable)
        {
            self.adapt().pressed(self.began.elapsed());
        }
        match result {
            Ok(acted) => self.ledger.succeeded(&task, acted).await,
            Err(error) if !last_try && self.is_worth_another_try(&task.action, &error) => {
                tracing::debug!(%error, "tried again at the end");
                self.state().again.push((task, error));
            }
            Err(error) => self.ledger.failed(&task, operation, error).await,
        }
    }

    /// Does one item; an item from an old plan only after both sides were checked.
    async fn try_task(self: &Arc<Self>, task: &mut Task) -> Result<Acted> {
        if task.is_stored && !self.context.settings.dry_run {
            let action = task.action.clone();
            match self.look_at_stored(task.seq, action).await? {
                Again::Act(action) => task.action = action,
                Again::Done(acted) => return Ok(acted),
                Again::Stranger => {
                    let text = "it is not as it was when the plan was made";
                    return Err(Error::new(ErrorKind::Changed, text)
                        .with_operation("look")
                        .with_path(path_of(&task.action)));
                }
            }
            // Checked now; a second try does its own check.
            task.is_stored = false;
        }
        self.do_action(task).await
    }

    async fn do_action(self: &Arc<Self>, task: &Task) -> Result<Acted> {
        let destination = &self.context.destination;
        if self.context.settings.dry_run {
            return Ok(Acted { bytes: size_of(&task.action), ..would_be(&task.action).into() });
        }
        // The plan may be older than the overlap of the two places.
        let of_source = matches!(task.action, Action::RemoveSourceDir { .. });
        if !of_source && self.context.is_owned(path_of(&task.action)) {
            let error = Error::new(ErrorKind::InvalidInput, Reason::OneThing.to_string());
            return Err(error.with_path(path_of(&task.action)));
        }
        self.note_folders(&task.action).await?;
        match &task.action {
            Action::Copy { source, replaces, .. } if self.context.kind == JobKind::Move => {
                self.move_file(task, source, replaces.as_deref()).await
            }
            Action::Copy { source, replaces, .. } => {
                let (acted, _) = self.copy_file(task, source, replaces.as_deref()).await?;
                Ok(acted)
            }
            Action::SetTime { source, destination: entry } => {
                match self.set_facts(source, entry).await? {
                    true => Ok(Outcome::TimeSet.into()),
                    false => Ok(Outcome::NotStorable.into()),
                }
            }
            Action::MakeDir { path } => {
                // If the place keeps permissions, the folder has just been made with those of the source's.
                destination.make_dir(path, None).await?;
                Ok(Outcome::DirMade.into())
            }
            Action::MoveDir { source } => match destination.rename(source, &source.path).await {
                // Of this one: what looks like one folder may be several.
                Err(error) if error.kind() == ErrorKind::Unsupported => {
                    self.move_files_of(task, source).await?;
                    Ok(Outcome::DirMoved.into())
                }
                moved => moved.map(|_| Outcome::DirMoved.into()),
            },
            Action::Delete { entry } => match destination.delete_one(entry).await {
                Err(error) if entry.is_dir() && error.kind() == ErrorKind::InvalidInput => {
                    Ok(Outcome::Kept.into())
                }
                result => result.map(|()| Outcome::Deleted.into()),
            },
            Action::RemoveSource { source, destination: entry } => {
                // The verified copy must still be there, because other programs may work on the place too.
                let now = destination.stat(&entry.path).await?;
                if !again::is_same_version(entry, &now) {
                    let text = "it changed at the destination after it was compared, so it stays at the source";
                    return Err(self.changed(&entry.path, text));
                }
                self.keep_time(source, &now).await?;
                self.remove_source(source, &now).await?;
                Ok(Outcome::SourceRemoved.into())
            }
            Action::RemoveSourceDir { entry } if !self.is_made(entry).await? => {
                Ok(Outcome::Kept.into())
            }
            Action::RemoveSourceDir { entry } => {
                match self.context.source.delete_one(entry).await {
                    Err(error) if error.kind() == ErrorKind::InvalidInput => {
                        Ok(Outcome::Kept.into())
                    }
                    result => result.map(|()| Outcome::SourceRemoved.into()),
                }
            }
            Action::Skip { .. } | Action::NotStorable { .. } | Action::Refuse { .. } => {
                Err(Error::unsupported("act"))
            }
        }
    }

    async fn copy_file(
        self: &Arc<Self>,
        task: &Task,
        source: &Entry,
        replaces: Option<&Entry>,
    ) -> Result<(Acted, Entry)> {
        let guard = self.context.progress.start(&source.path, source.size);
        let size = source.size;
        if self.context.settings.report_started {
            self.ledger.tell(Event::ItemStarted { path: source.path.clone(), size }).await;
        }
        let checkpoint = self.kept.checkpoint(task.seq, source);
        let counter = guard.counter();
        let transfer = Transfer {
            entry: source,
            replaces,
            counter: Arc::clone(&counter),
            kept: guard.kept(),
            checkpoint,
        };
        let done = self.transfers.transfer(transfer).await?;
        self.learn_time(source.mtime.filter(|_| source.is_file()), done.stored.mtime).await;
        self.learn_mode(source, &done.stored).await;
        if self.context.remembers_arrivals() {
            self.kept.arrived(source, &done.stored)?;
        }
        if !done.verified {
            self.ledger.unverified();
        }
        if !done.verified && self.context.kind == JobKind::Move {
            let text = "it was copied and stays at the source: the destination shows no digest to prove the copy by";
            return Err(Error::new(ErrorKind::Unsupported, text).with_operation("move"));
        }
        let passed = counter.load(Ordering::Relaxed);
        let all = size.or((passed > 0).then_some(passed));
        let (bytes, kept) = (all.map(|all| all.saturating_sub(done.kept)), done.kept);
        Ok((Acted { outcome: done.outcome, hashes: done.hashes, bytes, kept }, done.stored))
    }

    /// Moves one file. The remote itself moves it if nothing is replaced and both sides are one account. It is renamed if
    /// both are on one file system. Otherwise it is copied, verified, checked once more, and only then removed.
    pub(super) async fn move_file(
        self: &Arc<Self>,
        task: &Task,
        source: &Entry,
        replaces: Option<&Entry>,
    ) -> Result<Acted> {
        let to = &self.context.destination;
        if replaces.is_none() && self.transfers.are_one_scope() && to.capabilities().rename {
            match to.rename(source, &source.path).await {
                Ok(_) => return Ok(Outcome::MovedByRemote.into()),
                // Of this one: a remote may hold what only it can remove.
                Err(error) if error.kind() == ErrorKind::Unsupported => {}
                Err(error) => return Err(error),
            }
        }
        if self.transfers.take(source, replaces).await?.is_some() {
            return Ok(Outcome::Renamed.into());
        }
        let (acted, stored) = self.copy_file(task, source, replaces).await?;
        self.remove_source(source, &stored).await?;
        Ok(Acted { outcome: Outcome::Moved, ..acted })
    }

    /// Removes a file at the source of a move, if it still is the version that was copied, and is another object than
    /// `there`, its verified copy.
    async fn remove_source(&self, source: &Entry, there: &Entry) -> Result<()> {
        let from = &self.context.source;
        let now = match from.stat(&source.path).await {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            result => result?,
        };
        if !again::is_same_version(source, &now) {
            let text = "it changed after it was copied, so it stays at the source";
            return Err(self.changed(&source.path, text).with_remote(from.name()));
        }
        match self.set_apart(&now, there).await? {
            Apart::AsListed(entry) => from.delete_one(&entry).await,
            Apart::SetAside(entry) => {
                let deleted = from.delete_one(&entry).await;
                if deleted.is_err() {
                    // The error says why it could not be deleted; that it has another name now is in the listing.
                    let _ = from.rename(&entry, &source.path).await;
                }
                deleted
            }
        }
    }

    fn changed(&self, path: &RelPath, text: &str) -> Error {
        Error::new(ErrorKind::Changed, text).with_operation("move").with_path(path)
    }

    /// Does the destination have the folder, if it was to be made there?
    async fn is_made(&self, dir: &Entry) -> Result<bool> {
        let settings = &self.context.settings;
        let is_wanted = settings.create_empty_dirs
            && self.context.destination.capabilities().dirs
            && settings.filter.admits_empty_dir(dir.path.as_str());
        if !is_wanted {
            return Ok(true);
        }
        match self.context.destination.stat(&dir.path).await {
            Ok(entry) => Ok(entry.is_dir()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn keep_time(&self, source: &Entry, entry: &Entry) -> Result<()> {
        // A source that keeps no modification times shows when a file was stored; that time is not copied.
        let keeps = self.context.destination.capabilities().set_mtime
            && self.context.source.capabilities().mtime.is_some();
        if !keeps {
            return Ok(());
        }
        self.set_facts(source, entry).await.map(drop)
    }

    /// Gives `entry` of the destination the time and permissions of `source`. `false`: the destination does not set its
    /// time, which is not a failure; permissions that cannot be removed are one.
    async fn set_facts(&self, source: &Entry, entry: &Entry) -> Result<bool> {
        let to = &self.context.destination;
        let mut now = None;
        let mut is_time_kept = true;
        // The times of folders are set at the end of the job.
        let differs = !source.is_dir() && entry.mtime != source.mtime;
        if let Some(mtime) = source.mtime.filter(|_| differs) {
            match to.set_mtime(entry, mtime).await {
                Ok(set) => {
                    self.learn_time(Some(mtime).filter(|_| entry.is_file()), set.mtime).await;
                    now = Some(set);
                }
                Err(error) => {
                    self.accept_fixed_times(error).await?;
                    is_time_kept = false;
                }
            }
        }
        let now = now.as_ref().unwrap_or(entry);
        let Some(mode) = self.context.rules().wanted_mode(now.kind, source.mode, now.mode) else {
            return Ok(is_time_kept);
        };
        let set = to.set_mode(now, mode).await?;
        self.learn_mode(source, &set).await;
        Ok(is_time_kept)
    }
}
