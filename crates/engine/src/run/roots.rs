//! Detects that a side goes away during the job: both roots are checked again before anything is deleted, and at the end.
//!
//! A listing that was complete when it was made says nothing about now. When the disk of the source is unmounted, or
//! another folder takes its place, every file seems to have gone away. One file that goes away is not a failure; many are.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::*;
use crate::report::Failure;
use crate::settings::OnChanged;

/// So many files, each in a folder that is still there, may go away during a job before the job fails.
const FEW_VANISHED: u64 = 10;

/// The roots of both sides, and what the job saw of files that went away.
#[derive(Debug)]
pub(super) struct Roots {
    context: Arc<Context>,
    /// Which folders the two sides were when the job began. `None`: not known, or not there yet.
    source: Option<String>,
    destination: Option<String>,
    /// Files that went away at the source before they were read.
    went_away: AtomicU64,
    /// So much went away at the source that the source itself may be going away.
    is_going_away: AtomicBool,
}

impl Roots {
    /// Asks both sides now. If that fails for a side, the error of its listing will say so.
    pub(super) async fn look(context: &Arc<Context>) -> Self {
        let source = context.source.root_identity().await.ok().flatten();
        let destination = context.destination.root_identity().await.ok().flatten();
        Roots {
            context: Arc::clone(context),
            source,
            destination,
            went_away: AtomicU64::new(0),
            is_going_away: AtomicBool::new(false),
        }
    }

    /// Are both sides still the folders that they were when the job began?
    pub(super) async fn is_still_there(&self) -> Result<()> {
        if self.context.is_stopping() {
            return Ok(());
        }
        let sides = [
            ("source", &self.source, &self.context.source),
            ("destination", &self.destination, &self.context.destination),
        ];
        for (which, before, side) in sides {
            let Some(before) = before else { continue };
            let what = match side.root_identity().await {
                Ok(Some(now)) if now == *before => continue,
                Ok(None) => continue,
                Ok(Some(_)) => "is another folder now than when the job began",
                Err(error) if error.kind() == ErrorKind::NotFound => "is not there any more",
                Err(error) => return Err(error),
            };
            let name = side.name();
            let text = format!(
                "the {which} {name} {what}, so nothing more is done and nothing is deleted (is its disk mounted?)"
            );
            return Err(Error::new(ErrorKind::Changed, text)
                .with_operation(self.context.kind.as_str())
                .with_remote(name));
        }
        Ok(())
    }

    /// May extra entries be deleted, now that everything else is done?
    pub(super) async fn may_delete(&self) -> Result<()> {
        if self.context.settings.dry_run {
            return Ok(());
        }
        self.is_still_there().await?;
        if !self.is_going_away.load(Ordering::SeqCst) {
            return Ok(());
        }
        let text = "too much went away at the source while the job ran, so nothing was deleted (is its disk mounted? \
                    the same command looks at everything again)";
        Err(Error::new(ErrorKind::Changed, text)
            .with_operation(self.context.kind.as_str())
            .with_remote(self.context.source.name()))
    }

    /// Does this failure mean that the source itself is going away, and not only one file?
    pub(super) async fn is_source_going_away(&self, failure: &Failure) -> bool {
        match self.context.settings.on_changed {
            OnChanged::Skip => return false,
            OnChanged::Retry | OnChanged::Fail => {}
        }
        let is_many = self.went_away.fetch_add(1, Ordering::SeqCst) + 1 > FEW_VANISHED;
        let is_going = is_many || {
            let parent = failure.path.parent().unwrap_or_else(RelPath::root);
            let parent = self.context.source.stat(&parent).await;
            parent.is_err_and(|error| error.kind() == ErrorKind::NotFound)
        };
        if is_going {
            self.is_going_away.store(true, Ordering::SeqCst);
        }
        is_going
    }
}
