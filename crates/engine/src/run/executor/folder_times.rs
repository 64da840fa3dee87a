//! Gives folders of the destination the modification times of the source at the end of the job, and new folders the
//! permissions of the source when they are made.
//!
//! A folder is made with at most the permissions of the source's before anything comes into it. If the source's permissions
//! would keep the owner from working in the folder (`r-x`), they are set when everything else is done, in the deepest
//! folders first.
//!
//! Each change in a folder sets its time to the present. So before the first item of a folder is started, the job writes
//! the time of the source's folder to a list, together with those of the folders above, which may be made on the way. When
//! everything else is done, the folders on the list get the time that the source's folder has then, because the list may be
//! that of a run that was interrupted long ago. The time on the list is used only if the source's folder is gone, and in a
//! move, because removing files changed the time at the source. Memory holds only the last [`RECENT_FOLDERS`], so a folder
//! to which a job returns may be on the list twice. The first record is set last and counts; for a move that is the time
//! from before anything was removed. A job sets nothing in folders in which it did nothing, so a job with nothing to do
//! touches nothing.
//!
//! A time that cannot be set is reported and is not a failure: the content is there.

use std::collections::VecDeque;

use futures::TryStreamExt;
use ketch_core::{seconds_and_nanoseconds, time_of};

use super::*;
use crate::journal::FolderTime;

/// Folders that are known to be on the list.
const RECENT_FOLDERS: usize = 64;

/// What the owner of a folder may do in it.
const OWNER: u32 = 0o700;
/// Folders whose owner loses permissions at the end; if there are more, the others stay open to their owner only.
const CLOSED_FOLDERS: usize = 100_000;

/// What is known to be on the list of a job's folders.
#[derive(Debug)]
pub(super) struct FolderTimes {
    /// The latest first. Locked while the source is asked, so that no item starts in a folder before its time is known.
    recent: tokio::sync::Mutex<VecDeque<RelPath>>,
    /// Times are wanted.
    times: bool,
    /// Permissions are kept at both sides.
    modes: bool,
}

impl FolderTimes {
    /// `None`: folders keep whatever times they get.
    pub(super) fn new(context: &Context) -> Option<Self> {
        let (from, to) = (context.source.capabilities(), context.destination.capabilities());
        let times = context.settings.dir_times && from.dir_times && to.dir_times;
        let modes = from.narrow_mode && to.narrow_mode;
        let wanted = (times || modes) && !context.settings.dry_run;
        let recent = tokio::sync::Mutex::default();
        wanted.then_some(FolderTimes { recent, times, modes })
    }
}

impl Executor {
    /// Writes down the times of the folders that `action` changes, unless they are known to be on the list.
    pub(super) async fn note_folders(&self, action: &Action) -> Result<()> {
        let Some(times) = &self.folder_times else { return Ok(()) };
        let mut next = match action {
            Action::Copy { source, .. } => source.path.parent(),
            Action::Delete { entry } => entry.path.parent(),
            Action::MakeDir { path } => Some(path.clone()),
            Action::MoveDir { source } => source.path.parent(),
            // This changes the source only: its folders are on the list since one of their files was moved.
            Action::RemoveSource { .. } | Action::RemoveSourceDir { .. } => None,
            Action::SetTime { .. }
            | Action::Skip { .. }
            | Action::NotStorable { .. }
            | Action::Refuse { .. } => None,
        };
        let mut recent = times.recent.lock().await;
        let mut to_be_made = Vec::new();
        while let Some(folder) = next {
            if let Some(at) = recent.iter().position(|known| *known == folder) {
                // Those above it were written down with it.
                recent.swap(0, at);
                break;
            }
            // A folder that the source does not have or does not show has no time to keep.
            let found = self.context.source.stat(&folder).await.ok().filter(Entry::is_dir);
            let mode = found.as_ref().and_then(|found| found.mode).filter(|_| times.modes);
            let mtime = found.and_then(|found| found.mtime).filter(|_| times.times);
            let last_mode = mode.filter(|mode| mode & OWNER != OWNER);
            if mtime.is_some() || last_mode.is_some() {
                let (path, mtime) = (folder.clone(), mtime.map(seconds_and_nanoseconds));
                self.ledger.folder(&FolderTime { path, mtime, mode: last_mode })?;
            }
            to_be_made.extend(mode.map(|mode| (folder.clone(), mode)));
            next = folder.parent();
            recent.truncate(RECENT_FOLDERS - 1);
            recent.push_front(folder);
        }
        // Still locked: nothing is stored in a folder before it is made with its permissions.
        if !matches!(action, Action::Delete { .. }) {
            for (folder, mode) in to_be_made.into_iter().rev() {
                self.context.destination.make_dir(&folder, Some(mode)).await?;
            }
        }
        Ok(())
    }

    /// Sets what was written down, by this process and by earlier ones of the job.
    pub(in crate::run) async fn set_folder_times(&self) {
        if self.folder_times.is_none() || self.context.is_stopping() {
            return;
        }
        let text = match self.try_to_set_folder_times().await {
            Ok((_, None)) => return,
            Ok((failed, Some(error))) => {
                format!("{failed} folders did not get their times: {error}")
            }
            Err(error) => format!("not every folder got its time: {error}"),
        };
        self.ledger.tell(Event::Notice { path: None, text, hint: None }).await;
    }

    /// How many could not be set, and the error of the first one.
    async fn try_to_set_folder_times(&self) -> Result<(u64, Option<Error>)> {
        let Some(folders) = self.ledger.folders()? else { return Ok((0, None)) };
        // ORDER: of a move the first record of a folder counts, so it must be set after the others.
        let at_a_time = match self.context.kind {
            JobKind::Move => 1,
            JobKind::Copy | JobKind::Sync => self.context.settings.checkers.max(1),
        };
        let records = futures::stream::try_unfold(folders, |mut folders| async move {
            Ok::<_, Error>(folders.next()?.map(|record| (record, folders)))
        });
        let setting = records.map_ok(|FolderTime { path, mtime, mode: _ }| async move {
            let mtime = match (self.context.kind, mtime) {
                (JobKind::Move, noted) | (_, noted @ None) => noted,
                (JobKind::Copy | JobKind::Sync, noted) => {
                    match self.context.source.stat(&path).await {
                        Ok(now) if now.is_dir() => now.mtime.map(seconds_and_nanoseconds),
                        // It went away, or cannot be asked now: the time on the list is the last known one.
                        Ok(_) | Err(_) => noted,
                    }
                }
            };
            let Some(mtime) = mtime.and_then(time_of) else { return Ok(None) };
            let folder = Entry::dir(path);
            Ok(self.context.destination.set_mtime(&folder, mtime).await.err())
        });
        let setting = setting.try_buffered(at_a_time).try_fold((0_u64, None), fold);
        // CANCEL: a stop leaves the rest to a later process; the list is still there.
        let (failed, first) = tokio::select! {
            set = setting => set?,
            () = self.context.stopping() => return Ok((0, None)),
        };
        let (more, second) = self.try_to_close_folders().await?;
        Ok((failed + more, first.or(second)))
    }

    /// Removes from folders the permissions that would have kept this job from working in them, the deepest folders first.
    async fn try_to_close_folders(&self) -> Result<(u64, Option<Error>)> {
        let Some(mut folders) = self.ledger.folders()? else { return Ok((0, None)) };
        let mut closed = Vec::new();
        while let Some(FolderTime { path, mtime: _, mode }) = folders.next()? {
            if let Some(mode) = mode
                && closed.len() < CLOSED_FOLDERS
            {
                closed.push((path, mode));
            }
        }
        closed.sort_by_key(|(path, _)| std::cmp::Reverse(path.parts().count()));
        let mut failures = (0, None);
        for (path, noted) in closed {
            let set = async {
                // The record may come from an earlier run, and the source's folder may be open again.
                let mode = match self.context.source.stat(&path).await {
                    Ok(now) => now.mode.filter(|_| now.is_dir()),
                    Err(error) if error.kind() == ErrorKind::NotFound => Some(noted),
                    Err(error) => return Err(error),
                };
                let Some(mode) = mode.filter(|mode| mode & OWNER != OWNER) else { return Ok(()) };
                let folder = self.context.destination.stat(&path).await?;
                self.context.destination.set_mode(&folder, mode).await.map(drop)
            };
            failures = fold(failures, set.await.err()).await?;
        }
        Ok(failures)
    }
}

/// Counts failures and keeps one of them. A folder that does not exist, because it was deleted or nothing was stored in it,
/// is not a failure.
async fn fold(
    (failed, first): (u64, Option<Error>),
    error: Option<Error>,
) -> Result<(u64, Option<Error>)> {
    Ok(match error.filter(|error| error.kind() != ErrorKind::NotFound) {
        Some(error) => (failed + 1, first.or(Some(error))),
        None => (failed, first),
    })
}
