//! The planner of a job: marches over both trees, decides about each step, and puts the actions on record through the
//! ledger, with the totals and the bill of the plan. It does nothing of what it plans, and does not know who does it.

use ketch_core::compare_keys;

use super::overlap::Overlap;
use super::*;
use crate::decide::needs_nothing;
use crate::journal::Status;
use crate::march::{March, Settles, Step};

mod adopt;
mod bills;
mod consider;
mod limits;
mod open;
mod passed_over;
mod settle;
mod spelling;
mod times;
mod totals;
mod whole;

use self::consider::Found;
pub(super) use self::spelling::Respelling;

/// Steps that are settled together, with one write of the plan.
const CHUNK_STEPS: usize = 256;
/// After so many steps without an action, a mark is written.
const MARK_STEPS: usize = 1024;

/// See the top of the file.
#[derive(Debug)]
pub(super) struct Planner {
    context: Arc<Context>,
    ledger: Arc<Ledger>,
    kept: Arc<Kept>,
    /// Asked only what it can do.
    transfers: Arc<Transfers>,
    state: Mutex<Plan>,
}

/// What is known of the plan besides the records.
#[derive(Debug, Default)]
struct Plan {
    /// Deletions planned so far by this process, and bytes.
    deletions: u64,
    planned_bytes: u64,
    /// The same as work for the remotes, if one of them counts its calls.
    tally: Option<Tally>,
    /// Names that the destination spells in another way than the source.
    respell: Vec<Respelling>,
    /// Both sides are listed folder by folder, because a flat listing cannot be relied on.
    walks_folders: bool,
    /// The plan is to be made anew.
    is_anew: bool,
    /// Items of the plan before this number do not count.
    valid_from: u64,
}

impl Planner {
    pub(super) fn new(
        context: &Arc<Context>,
        ledger: &Arc<Ledger>,
        kept: &Arc<Kept>,
        transfers: &Arc<Transfers>,
    ) -> Self {
        let is_counted =
            [&context.source, &context.destination].into_iter().any(|side| counts_calls(&**side));
        let state = Plan {
            tally: is_counted.then(|| Tally::new(context.destination.capabilities())),
            valid_from: kept.mark().valid_from,
            ..Plan::default()
        };
        Planner {
            context: Arc::clone(context),
            ledger: Arc::clone(ledger),
            kept: Arc::clone(kept),
            transfers: Arc::clone(transfers),
            state: Mutex::new(state),
        }
    }

    fn state(&self) -> MutexGuard<'_, Plan> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Finds out where the two places overlap, and remembers it for the whole job.
    ///
    /// Errors: `InvalidInput` if the job must not run because of it, or because of its settings.
    pub(super) async fn look_for_overlap(&self) -> Result<&Overlap> {
        job_can_start(&self.context.rules())?;
        let overlap = overlap::find(&self.context).await?;
        Ok(self.context.overlap.get_or_init(|| overlap))
    }

    /// Must this process plan? Otherwise an earlier one made the whole plan.
    pub(super) fn is_to_be_planned(&self) -> bool {
        !self.kept.is_planned()
    }

    /// Is the plan to be made once more? Asked when it is made.
    pub(super) fn is_anew(&self) -> bool {
        self.state().is_anew
    }

    /// Items on record before this number do not count.
    pub(super) fn valid_from(&self) -> u64 {
        self.state().valid_from
    }

    /// Counts what earlier processes planned, and tells what of it is still to be done.
    pub(super) async fn take_up_resumed(&self) -> Result<()> {
        if self.kept.is_resumed() {
            self.ledger.set_listed(Listed::of(self.kept.mark()));
            self.tell_stored_bill().await?;
        }
        Ok(())
    }

    /// Tells, where no times are kept, by what files count as unchanged.
    pub(super) async fn tell_how_files_are_compared(&self) {
        let rules = self.context.rules();
        let by_time = self.context.settings.compare == Compare::SizeAndTime;
        let sides = [&self.context.source, &self.context.destination];
        let blind = sides.into_iter().find(|side| side.capabilities().mtime.is_none());
        let is_fixed = self.context.clock.is_fixed();
        let blind = blind.or_else(|| is_fixed.then_some(&self.context.destination));
        if let Some(blind) = blind.filter(|_| by_time) {
            let digest = rules.source.common_hash(rules.destination);
            let text = format!(
                "{} keeps no modification times: a file of equal size counts as unchanged{}",
                blind.name(),
                match digest {
                    Some(algo) => format!(
                        " unless it is newer than the stored copy and its {algo} digest differs"
                    ),
                    None => " unless it is newer than the stored copy".to_owned(),
                }
            );
            let hint = digest.map(|_| Hint::CompareDigests);
            self.ledger.tell(Event::Reminder { place: blind.name().to_owned(), text, hint }).await;
        }
    }

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
                let planner = Arc::clone(&self);
                async move { (key, passed, planner.consider(step).await) }
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
        self.refuse_unseen(unseen).await?;
        self.ledger.complete(self.mark(&mut place))?;
        context.progress.finish_listing();
        self.tell_plan().await;
        Ok(())
    }

    /// Files that were listed to be transferred and that the source's listings did not show are failures.
    async fn refuse_unseen(&self, unseen: HashSet<String>) -> Result<()> {
        // A file before the point from which planning continues was seen by an earlier process.
        for name in unseen.into_iter().filter(|name| !self.is_behind(name)) {
            let path = RelPath::new(&name).unwrap_or_else(|_| RelPath::root());
            let text = format!("`{name}` was listed to be transferred and is not at the source");
            let error = Error::new(ErrorKind::NotFound, text);
            let failure = Failure { at_source: true, ..Failure::new(&path, "find", &error) };
            self.refuse(failure, Status::Failed).await?;
        }
        Ok(())
    }

    /// Tells the totals of a plan that is whole, and its bill.
    async fn tell_plan(&self) {
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
    fn march(&self, after: Option<(RelPath, bool)>, settles: Option<Settles>) -> March {
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
        let planner = Arc::clone(self);
        is_silent.then(|| {
            Settles(Arc::new(move |source, destination| {
                needs_nothing(source, destination, &planner.context.rules())
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

fn mark_seen(step: &Step, unseen: &mut HashSet<String>) {
    if let Step::Pair(pair) = step
        && let Some(source) = &pair.source
    {
        unseen.remove(source.path.as_str());
    }
}
