//! Removes what transfers that earlier processes left open have at the destination, where this run does not continue them.
//!
//! Transfers of versions that the source no longer has are ended before the destination is listed, because they may have
//! left two files of one name. Parts of a local disk have no note: the next transfer of the file finds its part, and parts
//! that no transfer used are removed at the end.

use super::*;

impl Executor {
    /// Ends open transfers of versions that the source no longer has, or that a filter now excludes.
    pub(in crate::run) async fn end_what_is_of_no_use(&self) {
        if !self.kept.is_on_disk() {
            return;
        }
        let (from, to) = (&self.context.source, &self.context.destination);
        for left in self.kept.open() {
            let path = &left.path;
            let is_of_use = match from.stat(path).await {
                Ok(now) => {
                    let takes_part = self.context.settings.filter.admits_file(
                        path.as_str(),
                        now.size,
                        now.mtime,
                    );
                    takes_part && self.kept.is_for(left, &now) && left.action.is_some()
                }
                Err(error) if error.kind() == ErrorKind::NotFound => false,
                // Not known: the listing of the folder will show it.
                Err(_) => true,
            };
            if is_of_use {
                continue;
            }
            match self.kept.abandon(left, &**to).await {
                Ok(()) => self.kept.is_over(path),
                Err(error) => self.tell_left(&error).await,
            }
        }
    }

    /// Removes everything that earlier processes left and that this run did not continue. A job that stays open keeps it.
    pub(in crate::run) async fn remove_what_was_left(&self) {
        if self.context.settings.dry_run || self.context.is_stopping() {
            return;
        }
        if let Err(error) = self.try_to_remove_what_was_left().await {
            self.tell_left(&error).await;
        }
    }

    async fn try_to_remove_what_was_left(&self) -> Result<()> {
        if !self.kept.is_on_disk() {
            return Ok(());
        }
        let Some(mut list) = self.kept.left()? else { return Ok(()) };
        let mut first_error = None;
        let mut is_all = true;
        while let Some(left) = list.next()? {
            if self.context.is_stopping() {
                return Ok(());
            }
            if left.note.is_some() && self.kept.is_taken(&left.path) {
                // A transfer that was tried again and failed may have stored a file that was not compared with the source.
                // The next run must not take that file for unchanged, so the note stays.
                is_all &= self.kept.is_ended(&left.path);
                continue;
            }
            let removed = self.kept.abandon(&left, &*self.context.destination).await;
            if let Err(error) = removed {
                first_error.get_or_insert(error);
            }
        }
        match first_error {
            Some(error) => Err(error),
            None if is_all => self.kept.is_cleared(),
            None => Ok(()),
        }
    }

    async fn tell_left(&self, error: &Error) {
        let text = format!("what an interrupted run left could not be removed: {error}");
        self.ledger.tell(Event::Notice { path: None, text, hint: None }).await;
    }
}
