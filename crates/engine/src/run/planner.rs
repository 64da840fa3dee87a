//! From what the march finds to actions: decisions, digests where a decision needs them, and what needs no action settled.

use super::*;
use crate::decide::{Decision, decide};
use crate::march::{March, Step};
use crate::settings::Compare;
use ketch_core::Entry;

/// What became of one step.
pub(super) enum Found {
    /// Nothing at all.
    Nothing,
    /// Something to do, or something to be told of.
    Action(Action),
    /// Something went wrong while looking.
    Failed(Failure),
}

impl Runner {
    /// Marches over both trees and sends every action that changes something, in key order, until nobody receives any
    /// more. Everything else is settled here.
    pub(super) async fn plan(self: Arc<Self>, actions: mpsc::Sender<Action>) -> Result<()> {
        let context = &self.context;
        let march = March {
            source: Arc::clone(&context.source),
            destination: Arc::clone(&context.destination),
            filter: Arc::clone(&context.settings.filter),
            enter_extra: context.kind == JobKind::Sync,
            lookahead: context.settings.checkers.max(1),
            progress: context.progress.clone(),
        };
        let mut unseen: HashSet<String> =
            context.settings.filter.listed_files().map(str::to_owned).collect();
        let steps = futures::stream::unfold(march.start(), |mut steps| async move {
            steps.next().await.map(|step| (step, steps))
        });
        let found = steps
            .map(|step| {
                self.count(&step);
                if !unseen.is_empty() {
                    mark_seen(&step, &mut unseen);
                }
                let runner = Arc::clone(&self);
                async move { runner.consider(step).await }
            })
            // In order, because deletions are read backwards to have children before parents.
            .buffered(context.settings.checkers.max(1));
        let mut found = Box::pin(found);
        let (mut deletions, mut items, mut bytes) = (0, 0, 0);
        while let Some(found) = found.next().await {
            let action = match self.settle(found?).await {
                Some(action) => action,
                None => continue,
            };
            let size = match &action {
                Action::Copy { source, .. } => source.size.unwrap_or(0),
                _ => 0,
            };
            deletions += u64::from(matches!(action, Action::Delete { .. }));
            items += 1;
            bytes = u64::saturating_add(bytes, size);
            context.progress.planned(size);
            if actions.send(action).await.is_err() {
                return Ok(());
            }
        }
        drop(found);
        for name in unseen {
            let path = RelPath::new(&name).unwrap_or_else(|_| RelPath::root());
            let text = format!("`{name}` was listed to be transferred and is not at the source");
            let error = Error::new(ErrorKind::NotFound, text);
            let failure = Failure { at_source: true, ..Failure::new(&path, "find", &error) };
            self.add_failure(failure).await;
        }
        context.progress.finish_listing();
        self.tell(Event::Planned { items, bytes, deletions }).await;
        Ok(())
    }

    fn count(&self, step: &Step) {
        if let Step::Pair(pair) = step {
            let state = &mut *self.state();
            state.source_files += u64::from(pair.source.as_ref().is_some_and(Entry::is_file));
            let report = &mut state.report;
            report.source_entries += u64::from(pair.source.is_some());
            report.destination_entries += u64::from(pair.destination.is_some());
        }
    }

    /// What to do about one step. `Err` ends the job.
    async fn consider(&self, step: Step) -> Result<Found> {
        let pair = match step {
            Step::Pair(pair) => pair,
            Step::Occupied { dir } => {
                self.state().occupy(dir);
                return Ok(Found::Nothing);
            }
            Step::Failed { dir, error, .. } => return self.consider_failure(dir, error),
        };
        let comparison = match decide(pair, &self.rules()) {
            Decision::Nothing => return Ok(Found::Nothing),
            Decision::Act(action) => return Ok(Found::Action(action)),
            Decision::Compare(comparison) => comparison,
        };
        let equal = self.context.settings.digests.same_content(
            (&self.context.source, &comparison.source),
            (&self.context.destination, &comparison.destination),
            comparison.algo,
        );
        Ok(match equal.await {
            Ok(equal) => Found::Action(comparison.resolve(equal)),
            Err(error) if error.is_fatal() => return Err(error),
            // A file whose digest the remote does not show is transferred rather than taken for equal, or for broken.
            Err(error)
                if error.kind() == ErrorKind::Unsupported
                    && self.context.settings.compare != Compare::Checksum =>
            {
                Found::Action(comparison.resolve(false))
            }
            Err(error) => Found::Failed(self.failure(&comparison.source.path, "compare", &error)),
        })
    }

    fn consider_failure(&self, dir: RelPath, error: Error) -> Result<Found> {
        // Without the root of a side there is no job.
        if dir.is_root() || error.is_fatal() {
            return Err(error);
        }
        let failure = self.failure(&dir, "list", &error);
        // Nothing in this folder was planned for deletion, and the folder itself must stay too.
        self.state().hold_deletions_in(dir);
        Ok(Found::Failed(failure))
    }

    /// Writes down what needs no action; gives back what does.
    async fn settle(&self, found: Found) -> Option<Action> {
        match found {
            Found::Nothing => None,
            Found::Failed(failure) => {
                self.add_failure(failure).await;
                None
            }
            Found::Action(Action::Skip { path, reason }) => {
                self.state().report.unchanged += 1;
                if self.context.settings.report_unchanged {
                    self.tell(Event::Unchanged { path, reason }).await;
                }
                None
            }
            Found::Action(Action::NotStorable { path, reason }) => {
                self.state().report.not_storable += 1;
                let outcome = Outcome::NotStorable;
                self.tell(Event::ItemDone { path, outcome, reason, size: None }).await;
                None
            }
            Found::Action(Action::Refuse { path, reason }) => {
                let error = Error::new(refusal_kind(reason), reason.to_string());
                self.add_failure(Failure::new(&path, "copy", &error)).await;
                None
            }
            Found::Action(action) => Some(action),
        }
    }
}

fn refusal_kind(reason: Reason) -> ErrorKind {
    match reason {
        Reason::TooLarge | Reason::UnknownSize | Reason::EmptyFileOverOld => ErrorKind::Unsupported,
        _ => ErrorKind::AlreadyExists,
    }
}

fn mark_seen(step: &Step, unseen: &mut HashSet<String>) {
    if let Step::Pair(pair) = step
        && let Some(source) = &pair.source
    {
        unseen.remove(source.path.as_str());
    }
}
