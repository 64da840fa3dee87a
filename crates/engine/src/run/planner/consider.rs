//! What is to be done about one step of the march: decides, and gets digests and times where a decision needs them.

use futures::TryStreamExt;
use ketch_core::source::open_exact;
use ketch_core::{EntryKind, EntrySource};

use super::*;
use crate::decide::{Comparison, Decision, decide};
use crate::digest::{Compared, Memory, Origin};
use crate::join::Pair;
use crate::march::Step;

/// The result of one step.
pub(super) enum Found {
    /// Nothing at all.
    Nothing,
    /// Something to do or to report.
    Action(Action),
    /// Two actions; the second one is done after everything else.
    Both(Action, Action),
    /// Something failed while planning.
    Failed(Failure),
    /// What was found so far does not count ([`Step::Anew`]).
    Anew,
}

impl Planner {
    /// What to do about one step, except for entries of the destination that belong to the source. `Err` ends the job.
    pub(super) async fn consider(&self, step: Step) -> Result<Found> {
        let found = self.consider_step(step).await?;
        let Found::Action(action) = &found else { return Ok(found) };
        let changes = !matches!(
            action,
            Action::Skip { .. } | Action::NotStorable { .. } | Action::RemoveSourceDir { .. }
        );
        let path = path_of(action);
        if changes && self.context.is_owned(path) {
            let (path, reason) = (path.clone(), Reason::OneThing);
            return Ok(Found::Action(Action::Refuse { path, reason }));
        }
        Ok(found)
    }

    async fn consider_step(&self, step: Step) -> Result<Found> {
        let mut pair = match step {
            Step::Pair(pair) => pair,
            Step::Equal { .. } => return Ok(Found::Nothing),
            Step::Anew => return Ok(Found::Anew),
            Step::Occupied { dir } => {
                self.ledger.occupy(dir);
                return Ok(Found::Nothing);
            }
            Step::Failed { dir, error, .. } => return self.consider_failure(dir, error),
        };
        if let Some(action) = self.gone_on_with(&pair) {
            return Ok(Found::Action(action));
        }
        if let Some(action) = self.whole_of(&pair) {
            return Ok(Found::Action(action));
        }
        if let Err(error) = self.add_times(&mut pair).await {
            if let Some(source) = pair.source.as_ref().filter(|source| source.is_file()) {
                self.ledger.with_unstored(|all| all.add(source));
            }
            return self.failed_at(pair.path(), "look at", error);
        }
        self.consider_pair(pair).await
    }

    async fn consider_pair(&self, pair: Pair) -> Result<Found> {
        let has_arrived = self.has_arrived(&pair);
        self.tell_of_special(&pair).await;
        self.note_spelling(&pair);
        let emptied = self.source_dir_to_remove(&pair);
        let empty = pair.source.as_ref().filter(|source| is_listed_empty(source)).cloned();
        let may_delete = self.context.kind == JobKind::Sync;
        let wanted = pair.source.as_ref().filter(|source| may_delete && source.is_file()).cloned();
        let action = match decide(pair, &self.context.rules()) {
            Decision::Nothing => {
                return Ok(match emptied {
                    Some(entry) => Found::Action(Action::RemoveSourceDir { entry }),
                    None => Found::Nothing,
                });
            }
            Decision::Compare(comparison) => return self.compare(comparison).await,
            Decision::Act(action) => action,
        };
        match (action, empty) {
            (Action::Copy { source, .. }, _) if has_arrived => {
                let (path, reason) = (source.path, Reason::Arrived);
                Ok(Found::Action(Action::Skip { path, reason }))
            }
            (
                action @ (Action::NotStorable { reason: Reason::EmptyFile, .. }
                | Action::Refuse { reason: Reason::EmptyFileOverOld, .. }),
                Some(empty),
            ) => match self.read_empty(&empty).await {
                Ok(()) => Ok(Found::Action(action)),
                Err(error) => self.failed_at(&empty.path, "read", error),
            },
            // If both sides have the folder, only its permissions are set, by an action of its own.
            (action @ (Action::MakeDir { .. } | Action::SetTime { .. }), _) => Ok(match emptied {
                Some(entry) => Found::Both(action, Action::RemoveSourceDir { entry }),
                None => Found::Action(action),
            }),
            (action, _) => {
                if let (Action::Refuse { .. }, Some(source)) = (&action, wanted) {
                    self.ledger.with_unstored(|all| all.add(&source));
                }
                Ok(Found::Action(action))
            }
        }
    }

    /// Settles two files whose content must be compared.
    async fn compare(&self, comparison: Comparison) -> Result<Found> {
        let memory = match comparison.acts_if_equal() {
            true => Memory::IsNoProof,
            false => Memory::Counts,
        };
        let equal = self.context.settings.digests.same_content(
            (&self.context.source, &comparison.source),
            (&self.context.destination, &comparison.destination),
            comparison.algo,
            memory,
        );
        Ok(match equal.await {
            Ok(Compared { is_equal, origin, algo: _ }) => {
                Found::Action(comparison.resolve(is_equal, origin == Origin::Claimed))
            }
            Err(error) if error.is_fatal() => return Err(error),
            // A file whose digest the remote does not show is transferred; it counts neither as equal nor as damaged.
            Err(error)
                if error.kind() == ErrorKind::Unsupported
                    && self.context.settings.compare != Compare::Checksum =>
            {
                Found::Action(comparison.resolve(false, false))
            }
            // The same if there are only remembered digests: after the transfer its digest is remembered.
            Err(error)
                if error.kind() == ErrorKind::Unsupported && self.context.remembered.is_some() =>
            {
                Found::Action(comparison.resolve_unknown())
            }
            Err(error) => {
                self.ledger.with_unstored(|all| all.add(&comparison.source));
                Found::Failed(self.ledger.failure(&comparison.source.path, "compare", &error))
            }
        })
    }

    /// An error of one entry while planning. One that ends the job is returned.
    fn failed_at(&self, path: &RelPath, operation: &'static str, error: Error) -> Result<Found> {
        match error.is_fatal() {
            true => Err(error),
            false => Ok(Found::Failed(self.ledger.failure(path, operation, &error))),
        }
    }

    /// Reads a file that is listed as empty to its end, because only reading shows whether it is empty.
    ///
    /// Errors: `Changed` when it holds anything.
    async fn read_empty(&self, empty: &Entry) -> Result<()> {
        let source = EntrySource::new(Arc::clone(&self.context.source), empty.clone());
        let content = open_exact(&source).await?;
        content.try_for_each(|_| std::future::ready(Ok(()))).await
    }

    /// An extra link, pipe or socket stays, and a notice says so.
    async fn tell_of_special(&self, pair: &Pair) {
        if self.context.kind != JobKind::Sync || pair.source.is_some() || pair.clash {
            return;
        }
        let Some(Entry { path, kind: EntryKind::Special(special), .. }) = &pair.destination else {
            return;
        };
        let text = format!("it stays at the destination: {}", special.describe());
        let hint = special.hint();
        self.ledger.tell(Event::Notice { path: Some(path.clone()), text, hint }).await;
    }

    /// The folder that a move removes at the source when nothing is left in it.
    fn source_dir_to_remove(&self, pair: &Pair) -> Option<Box<Entry>> {
        let wanted = self.context.kind == JobKind::Move
            && self.context.settings.delete_empty_source_dirs
            && !pair.clash
            && !pair.source_duplicates;
        let source = pair.source.as_ref().filter(|source| wanted && source.is_dir())?;
        Some(Box::new(source.clone()))
    }

    fn consider_failure(&self, dir: RelPath, error: Error) -> Result<Found> {
        // If the root of a side cannot be listed, the job ends.
        if dir.is_root() || error.is_fatal() {
            return Err(error);
        }
        let failure = self.ledger.failure(&dir, "list", &error);
        // Nothing in this folder was planned for deletion, and the folder itself must stay too.
        self.ledger.hold_deletions_in(dir);
        Ok(Found::Failed(failure))
    }
}

fn is_listed_empty(entry: &Entry) -> bool {
    entry.is_file() && entry.size == Some(0)
}
