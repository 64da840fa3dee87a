//! Turns the steps of the march into actions: makes decisions, gets digests where a decision needs them, and settles what
//! needs no action.

use super::*;
use crate::decide::{Decision, decide, needs_nothing};
use crate::digest::{Compared, Memory, Origin};
use crate::join::Pair;
use crate::journal::Status;
use crate::march::{March, Settles, Step};
use futures::TryStreamExt;
use ketch_core::EntrySource;
use ketch_core::source::open_exact;
use ketch_core::{EntryKind, compare_keys};

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

/// Steps that are settled together, with one write of the plan.
const CHUNK_STEPS: usize = 256;
/// After so many steps without an action, a mark is written.
const MARK_STEPS: usize = 1024;

impl Runner {
    /// Marches over both trees, from the point that earlier processes reached, and records all actions in key order. If
    /// there is a receiver, it sends each action after it is on record. Everything else is settled here.
    pub(super) async fn plan(self: Arc<Self>, tasks: Option<mpsc::Sender<Task>>) -> Result<()> {
        let context = &self.context;
        if let Some(action) = self.whole_root().await? {
            return self.plan_one(action, tasks).await;
        }
        let march = self.march(self.kept.mark().key.clone(), self.settles());
        let mut unseen: HashSet<String> =
            context.settings.filter.listed_files().map(str::to_owned).collect();
        let steps = futures::stream::unfold(march.start(), |mut steps| async move {
            steps.next().await.map(|step| (step, steps))
        });
        let found = steps
            .map(|step| {
                self.count(&step);
                let passed = passed_by(&step);
                if !unseen.is_empty() {
                    mark_seen(&step, &mut unseen);
                }
                let key = key_of(&step);
                let runner = Arc::clone(&self);
                async move { (key, passed, runner.consider(step).await) }
            })
            // In order, because deletions are read backwards so that children come before parents.
            .buffered(context.settings.checkers.max(1))
            .ready_chunks(CHUNK_STEPS);
        let mut found = Box::pin(found);
        if let Some(tally) = &mut self.state().tally {
            tally.listed(true, true);
        }
        let mut place = Place { key: self.kept.mark().key.clone(), steps: 0 };
        while let Some(chunk) = found.next().await {
            let mut ready = Vec::new();
            for (key, passed, found) in chunk {
                if matches!(found, Ok(Found::Anew)) {
                    self.begin_anew().await;
                    return Ok(());
                }
                let planned = self.settle(found?).await?;
                ready.extend(planned);
                place.key = key.or(place.key);
                place.steps = place.steps.saturating_add(passed);
            }
            if !ready.is_empty() || place.steps >= MARK_STEPS {
                // ORDER: no action is executed before it is on record.
                self.ledger.mark(self.mark(&mut place))?;
            }
            let Some(sender) = &tasks else { continue };
            for task in ready {
                if sender.send(task).await.is_err() {
                    return Ok(());
                }
            }
        }
        drop(found);
        // A file before the point from which planning continues was seen by an earlier process.
        for name in unseen.into_iter().filter(|name| !self.is_behind(name)) {
            let path = RelPath::new(&name).unwrap_or_else(|_| RelPath::root());
            let text = format!("`{name}` was listed to be transferred and is not at the source");
            let error = Error::new(ErrorKind::NotFound, text);
            let failure = Failure { at_source: true, ..Failure::new(&path, "find", &error) };
            let seq = self.ledger.plan(Planned::refusal(&failure))?;
            self.ledger.refused(seq, failure, Status::Failed).await;
        }
        self.ledger.complete(self.mark(&mut place))?;
        context.progress.finish_listing();
        let mark = self.kept.mark();
        let (items, bytes, deletions) = {
            let state = self.state();
            (
                self.ledger.planned() - state.valid_from,
                state.planned_bytes + mark.bytes,
                state.deletions + mark.deletions,
            )
        };
        self.ledger.tell(Event::Planned { items, bytes, deletions }).await;
        self.tell_bills().await;
        Ok(())
    }

    /// The plan so far does not count, and the next one is made folder by folder. What of it is under way is finished before.
    async fn begin_anew(&self) {
        {
            let state = &mut *self.state();
            state.walks_folders = true;
            state.is_anew = true;
        }
        let text = "a listing of everything at once cannot be relied on here, so both sides are listed folder by folder";
        self.ledger.tell(Event::Notice { path: None, text: text.to_owned(), hint: None }).await;
    }

    /// Forgets the plan that does not count. Nothing of it is under way.
    pub(super) fn forget_plan(&self) -> Result<()> {
        {
            let mark = self.kept.mark();
            let state = &mut *self.state();
            state.is_anew = false;
            state.valid_from = self.ledger.planned();
            (state.deletions, state.planned_bytes) = (0, 0);
            // What failed and may pass is planned once more.
            state.again.clear();
            self.ledger.set_listed(Listed::of(mark));
            if let Some(tally) = &mut state.tally {
                *tally = Tally::new(self.context.destination.capabilities());
            }
        }
        self.kept.forget_taken();
        self.context.progress.forget_planned();
        // ORDER: on record before anything of the next plan is.
        self.ledger.mark(self.mark(&mut Place { key: self.kept.mark().key.clone(), steps: 0 }))
    }

    /// Makes a plan of this one action.
    async fn plan_one(&self, action: Action, tasks: Option<mpsc::Sender<Task>>) -> Result<()> {
        self.ledger.saw(Listed { source_entries: 1, ..Listed::default() });
        let task = self.settle(Found::Action(action)).await?;
        self.ledger.complete(self.mark(&mut Place { key: None, steps: 0 }))?;
        self.context.progress.finish_listing();
        self.ledger
            .tell(Event::Planned { items: self.ledger.planned(), bytes: 0, deletions: 0 })
            .await;
        self.tell_bills().await;
        if let Some((sender, task)) = tasks.zip(task) {
            // If the receiver was dropped, it wants nothing more.
            let _ = sender.send(task).await;
        }
        Ok(())
    }

    /// A march over both trees, starting after `after`.
    pub(super) fn march(&self, after: Option<(RelPath, bool)>, settles: Option<Settles>) -> March {
        let context = &self.context;
        March {
            source: Arc::clone(&context.source),
            destination: Arc::clone(&context.destination),
            filter: Arc::clone(&context.settings.filter),
            enter_extra: context.kind == JobKind::Sync,
            after,
            may_change: !context.settings.dry_run,
            lookahead: context.settings.checkers.max(1),
            // A remembered listing is not enough to remove anything.
            recall: context.settings.compare == Compare::Checksum && context.kind != JobKind::Move,
            settles,
            whole: self.moves_whole(),
            flat: !self.state().walks_folders,
            moves: context.kind == JobKind::Move,
            may_write: !context.settings.dry_run,
            scratch: context.settings.plan_folder.clone(),
            progress: context.progress.clone(),
        }
    }

    /// Sends the bill of the plan for each side that counts calls.
    async fn tell_bills(&self) {
        let work = self.state().tally.as_mut().map(Tally::finish);
        let Some((mut source, mut destination)) = work else { return };
        if !self.context.settings.dry_run {
            // These listings have been made.
            (source.listings, destination.listings) = (0, 0);
        }
        self.tell_bill(source, destination).await;
    }

    /// The mark: how far planning has come, with what was not on record yet.
    fn mark(&self, place: &mut Place) -> Mark {
        place.steps = 0;
        let before = self.kept.mark();
        let state = self.state();
        Mark {
            key: place.key.clone(),
            deletions: before.deletions + state.deletions,
            bytes: before.bytes.saturating_add(state.planned_bytes),
            valid_from: state.valid_from,
            ..Mark::default()
        }
    }

    fn is_behind(&self, name: &str) -> bool {
        let after = self.kept.mark().key.as_ref();
        after.is_some_and(|(path, is_dir)| {
            compare_keys((name, false), (path.as_str(), *is_dir)).is_le()
        })
    }

    /// The function that settles two equal files where they are listed. There is none if events for unchanged files or a
    /// bill are wanted, or if equal files still need an action.
    fn settles(self: &Arc<Self>) -> Option<Settles> {
        let settings = &self.context.settings;
        let is_silent = !settings.report_unchanged
            && self.context.kind != JobKind::Move
            && settings.filter.listed_files().next().is_none()
            && self.kept.open().next().is_none()
            && self.state().tally.is_none();
        let runner = Arc::clone(self);
        is_silent.then(|| {
            Settles(Arc::new(move |source, destination| {
                needs_nothing(source, destination, &runner.context.rules())
            }))
        })
    }

    fn count(&self, step: &Step) {
        let more = match step {
            Step::Equal { count, .. } => Listed {
                source_files: *count,
                source_entries: *count,
                destination_entries: *count,
                unchanged: *count,
            },
            Step::Pair(pair) => {
                if let Some(tally) = &mut self.state().tally {
                    tally.saw(pair, self.context.kind == JobKind::Sync);
                }
                Listed {
                    source_files: u64::from(pair.source.as_ref().is_some_and(Entry::is_file)),
                    source_entries: u64::from(pair.source.is_some()),
                    destination_entries: u64::from(pair.destination.is_some()),
                    unchanged: 0,
                }
            }
            Step::Occupied { .. } | Step::Failed { .. } | Step::Anew => return,
        };
        self.ledger.saw(more);
    }

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
        let pair = match step {
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
        let path = pair.path().clone();
        let pair = match self.with_times(pair).await {
            Ok(pair) => pair,
            Err(error) if error.is_fatal() => return Err(error),
            Err(error) => return Ok(Found::Failed(self.ledger.failure(&path, "look at", &error))),
        };
        let has_arrived = self.has_arrived(&pair);
        self.tell_of_special(&pair).await;
        self.note_spelling(&pair);
        let emptied = self.source_dir_to_remove(&pair);
        let empty = pair.source.as_ref().filter(|source| is_listed_empty(source)).cloned();
        let may_delete = self.context.kind == JobKind::Sync;
        let wanted = pair.source.as_ref().filter(|source| may_delete && source.is_file()).cloned();
        let comparison = match decide(pair, &self.context.rules()) {
            Decision::Nothing if emptied.is_some() => {
                let Some(entry) = emptied else { return Ok(Found::Nothing) };
                return Ok(Found::Action(Action::RemoveSourceDir { entry }));
            }
            Decision::Nothing => return Ok(Found::Nothing),
            Decision::Act(Action::Copy { source, .. }) if has_arrived => {
                let (path, reason) = (source.path, Reason::Arrived);
                return Ok(Found::Action(Action::Skip { path, reason }));
            }
            Decision::Act(
                action @ (Action::NotStorable { reason: Reason::EmptyFile, .. }
                | Action::Refuse { reason: Reason::EmptyFileOverOld, .. }),
            ) => {
                let Some(empty) = empty else { return Ok(Found::Action(action)) };
                return match self.read_empty(&empty).await {
                    Ok(()) => Ok(Found::Action(action)),
                    Err(error) if error.is_fatal() => Err(error),
                    Err(error) => {
                        Ok(Found::Failed(self.ledger.failure(&empty.path, "read", &error)))
                    }
                };
            }
            // If both sides have the folder, only its permissions are set, by an action of its own.
            Decision::Act(action @ (Action::MakeDir { .. } | Action::SetTime { .. })) => {
                return Ok(match emptied {
                    Some(entry) => Found::Both(action, Action::RemoveSourceDir { entry }),
                    None => Found::Action(action),
                });
            }
            Decision::Act(action) => {
                if let (Action::Refuse { .. }, Some(source)) = (&action, wanted) {
                    self.ledger.with_unstored(|all| all.add(&source));
                }
                return Ok(Found::Action(action));
            }
            Decision::Compare(comparison) => comparison,
        };
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

    /// Writes the outcomes of items that need no action, and records the actions.
    async fn settle(&self, found: Found) -> Result<Option<Task>> {
        let action = match found {
            Found::Nothing | Found::Anew => return Ok(None),
            Found::Failed(failure) => {
                let seq = self.ledger.plan(Planned::refusal(&failure))?;
                self.ledger.refused(seq, failure, Status::Failed).await;
                return Ok(None);
            }
            Found::Both(first, last) => {
                let task = Box::pin(self.settle(Found::Action(first))).await?;
                Box::pin(self.settle(Found::Action(last))).await?;
                return Ok(task);
            }
            Found::Action(action) => action,
        };
        let size = size_of(&action).unwrap_or(0);
        match action {
            Action::Skip { path, reason } => {
                self.ledger.unchanged(path, reason).await;
                Ok(None)
            }
            Action::NotStorable { path, reason } => {
                let (word, text) = (reason.as_str().into(), reason.to_string().into());
                let hint = reason.hint().map(|hint| hint.as_str().into());
                let planned = Planned::Leave { path: path.clone(), reason: word, text, hint };
                let seq = self.ledger.plan(planned)?;
                let action = Action::NotStorable { path, reason };
                let task = Task::new(seq, action, false);
                self.ledger.succeeded(&task, Outcome::NotStorable.into()).await;
                Ok(None)
            }
            Action::Refuse { path, reason } => {
                let error = Error::new(refusal_kind(reason), reason.to_string());
                let failure =
                    Failure { hint: reason.hint(), ..Failure::new(&path, "copy", &error) };
                let seq = self.ledger.plan(Planned::refusal(&failure))?;
                self.ledger.refused(seq, failure, Status::Refused).await;
                Ok(None)
            }
            action => {
                let is_deletion = matches!(action, Action::Delete { .. });
                if let Some(tally) = &mut self.state().tally {
                    let moves = self.context.kind == JobKind::Move;
                    tally.add(&action, self.transfers.can_copy_by_remote(), moves);
                }
                let Ok(planned) = Planned::from_action(action.clone()) else { return Ok(None) };
                let seq = self.ledger.plan(planned)?;
                {
                    let mut state = self.state();
                    state.deletions += u64::from(is_deletion);
                    state.planned_bytes = state.planned_bytes.saturating_add(size);
                }
                self.context.progress.planned(size);
                let is_last = is_deletion || matches!(action, Action::RemoveSourceDir { .. });
                let is_stored = self.kept.is_taken_by(&action);
                Ok((!is_last).then(|| Task::new(seq, action, is_stored)))
            }
        }
    }
}

fn is_listed_empty(entry: &Entry) -> bool {
    entry.is_file() && entry.size == Some(0)
}

/// How far planning has come.
struct Place {
    key: Option<(RelPath, bool)>,
    /// Steps since the last mark.
    steps: usize,
}

/// The key of what a step is about; `None` for a step that is about no single entry.
fn key_of(step: &Step) -> Option<(RelPath, bool)> {
    match step {
        Step::Pair(pair) => Some((pair.path().clone(), pair.is_dir())),
        Step::Equal { last, .. } => Some((last.clone(), false)),
        Step::Occupied { .. } | Step::Failed { .. } | Step::Anew => None,
    }
}

/// How many pairs a step stands for.
fn passed_by(step: &Step) -> usize {
    match step {
        Step::Equal { count, .. } => usize::try_from(*count).unwrap_or(usize::MAX),
        Step::Pair(_) | Step::Occupied { .. } | Step::Failed { .. } | Step::Anew => 1,
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
