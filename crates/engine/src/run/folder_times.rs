//! Folders of the destination get the times they have at the source, last of all.
//!
//! Everything that is done in a folder makes its time the present, so before the first item of a folder is begun it is
//! written down what time the source's folder has; the folders above are written down with it, because they may be made
//! on the way. When everything else is done, what was written down is set. In memory are only the [`RECENT_FOLDERS`]
//! looked at last, so a folder to which a job comes back may be on the list twice: the first record is set last and counts,
//! which for a move is the time from before anything was taken away. Where nothing was done nothing is set, so a job with
//! nothing to do touches nothing.
//!
//! That a time cannot be set is told and is no failure: the content is there.

use std::collections::VecDeque;

use futures::TryStreamExt;
use ketch_core::{seconds_and_nanoseconds, time_of};

use super::*;
use crate::journal::FolderTime;

/// Folders that are known to be on the list.
const RECENT_FOLDERS: usize = 64;

/// What is known to be on the list of a job's folders.
#[derive(Debug)]
pub(super) struct FolderTimes {
    /// The latest first. Held while the source is asked, so that nobody begins in a folder before its time is known.
    recent: tokio::sync::Mutex<VecDeque<RelPath>>,
}

impl FolderTimes {
    /// `None`: folders keep whatever times they get.
    pub(super) fn new(context: &Context) -> Option<Self> {
        let (from, to) = (context.source.capabilities(), context.destination.capabilities());
        let wanted = context.settings.dir_times && !context.settings.dry_run;
        (wanted && from.dir_times && to.dir_times)
            .then(|| FolderTimes { recent: tokio::sync::Mutex::default() })
    }
}

impl Runner {
    /// Writes down the times of the folders that `action` changes, if they are not known to be on the list.
    pub(super) async fn note_folders(&self, action: &Action) -> Result<()> {
        let Some(times) = &self.folder_times else { return Ok(()) };
        let mut next = match action {
            Action::Copy { source, .. } => source.path.parent(),
            Action::Delete { entry } => entry.path.parent(),
            Action::MakeDir { path } => Some(path.clone()),
            // Of the source only: its folders are on the list since a file of them was moved.
            Action::RemoveSource { .. } | Action::RemoveSourceDir { .. } => None,
            Action::SetTime { .. }
            | Action::Skip { .. }
            | Action::NotStorable { .. }
            | Action::Refuse { .. } => None,
        };
        let mut recent = times.recent.lock().await;
        while let Some(folder) = next {
            if let Some(at) = recent.iter().position(|known| *known == folder) {
                // Those above it were written down with it.
                recent.swap(0, at);
                return Ok(());
            }
            // What the source does not have, or does not show, has no time to be kept.
            if let Ok(found) = self.context.source.stat(&folder).await
                && let Some(mtime) = found.mtime.filter(|_| found.is_dir())
            {
                let mtime = seconds_and_nanoseconds(mtime);
                self.records.folder(&FolderTime { path: folder.clone(), mtime })?;
            }
            next = folder.parent();
            recent.truncate(RECENT_FOLDERS - 1);
            recent.push_front(folder);
        }
        Ok(())
    }

    /// Sets what was written down, by this process and by earlier ones of the job.
    pub(super) async fn set_folder_times(&self) {
        if self.folder_times.is_none() || self.is_stopping() {
            return;
        }
        let text = match self.try_to_set_folder_times().await {
            Ok((_, None)) => return,
            Ok((failed, Some(error))) => {
                format!("{failed} folders did not get their times: {error}")
            }
            Err(error) => format!("not every folder got its time: {error}"),
        };
        self.tell(Event::Notice { path: None, text }).await;
    }

    /// How many could not be set, and why the first of them could not.
    async fn try_to_set_folder_times(&self) -> Result<(u64, Option<Error>)> {
        let Some(folders) = self.records.folders()? else { return Ok((0, None)) };
        // ORDER: of a move the first record of a folder counts, so it must be set after the others.
        let at_a_time = match self.context.kind {
            JobKind::Move => 1,
            JobKind::Copy | JobKind::Sync => self.context.settings.checkers.max(1),
        };
        let records = futures::stream::try_unfold(folders, |mut folders| async move {
            Ok::<_, Error>(folders.next()?.map(|record| (record, folders)))
        });
        let setting = records.map_ok(|FolderTime { path, mtime }| async move {
            let Some(mtime) = time_of(mtime) else { return Ok(None) }; // It was one once.
            let folder = Entry::dir(path);
            Ok(self.context.destination.set_mtime(&folder, mtime).await.err())
        });
        let setting = setting.try_buffered(at_a_time).try_fold((0_u64, None), fold);
        // CANCEL: a stop leaves the rest to a later process; the list is still there.
        tokio::select! {
            set = setting => set,
            () = self.stopping() => Ok((0, None)),
        }
    }
}

/// Counts failures and keeps one of them. A folder that is not there, because it was deleted or nothing came into it, is none.
async fn fold(
    (failed, first): (u64, Option<Error>),
    error: Option<Error>,
) -> Result<(u64, Option<Error>)> {
    Ok(match error.filter(|error| error.kind() != ErrorKind::NotFound) {
        Some(error) => (failed + 1, first.or(Some(error))),
        None => (failed, first),
    })
}
