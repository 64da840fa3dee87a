//! A job from its first listing to its report.
//!
//! A `copy` acts while it still lists. A `sync` plans to the end first, because the number of deletions must be known
//! before anything is changed (promise 1). Deletions come last, children before parents, and only in folders in which
//! everything else succeeded. The journal ([`crate::journal`]) records each action before it is executed and each outcome
//! after it, so that a later process can continue the job.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use futures::{Stream, StreamExt};
use ketch_core::{Backend, Entry, Error, ErrorKind, HashAlgo, Hint, RelPath, Result, Retry};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::bill::{Tally, counts_calls};
use crate::blocking::blocking;
use crate::clock::{Clock, Learner};
use crate::decide::{Action, Reason, Rules, job_can_start};
use crate::event::{Event, Progress};
use crate::journal::{
    Ended, Journal, LogBackward, Mark, Memory, PlanItem, PlanRecord, Records, damaged,
};
use crate::kind::JobKind;
use crate::leftovers::{Claims, clear};
use crate::place::Place;
use crate::plan::Planned;
use crate::plan_file::PlanFile;
use crate::report::{Failure, Outcome, Report};
use crate::request::Request;
use crate::settings::{Compare, Settings, Stop};
use crate::transfer::Transfers;

mod act;
mod adapt;
mod again;
mod apart;
mod clock;
mod context;
mod delete;
mod ending;
mod folder_times;
mod item;
mod kept;
mod ledger;
mod left;
mod overlap;
mod passed_over;
mod planner;
mod respell;
mod roots;
mod stored;
mod times;
mod totals;
mod unstored;
mod whole;
mod workers;

use self::context::{Context, known_clock, prove_versions, remembered_digest};
use self::item::{Task, path_of, size_of};
use self::kept::Kept;
use self::ledger::{Ledger, Listed};
use self::roots::Roots;

/// Actions of a `copy` that may wait between planning and execution: so far ahead its totals are known.
const ACTION_QUEUE: usize = 16 * 1024;
/// Items that may be tried once more at the end.
const AGAIN_LIMIT: usize = 1_000;

/// Runs a job to its end.
pub(crate) async fn run(
    request: Request,
    events: mpsc::Sender<Event>,
    progress: Progress,
) -> Report {
    let started = Instant::now();
    let Request { kind, source, destination, settings, stop, journal, plan, recalled } = request;
    let settings = Arc::new(settings);
    let going_on = match (&journal, &recalled) {
        (Some(journal), _) => journal.standing.map(|standing| Event::GoingOn {
            job: journal.header.id(),
            standing,
            finishes_plan: journal.finishes_plan,
        }),
        (None, Some(recalled)) => Some(Event::GoingOn {
            job: recalled.job.clone(),
            standing: recalled.standing,
            finishes_plan: false,
        }),
        (None, None) => None,
    };
    let records = match &journal {
        Some(journal) => Ok(Arc::clone(&journal.records)),
        None => {
            let memory = recalled.map_or_else(Memory::default, |recalled| recalled.memory);
            Records::unnamed(settings.plan_folder.as_deref(), memory).map(Arc::new)
        }
    };
    let records = match records {
        Ok(records) => records,
        Err(error) => return Report { fatal: Some(error), ..Report::default() },
    };
    let source_location = match &journal {
        Some(journal) => journal.header.identity.source_location.clone(),
        None => source.location(),
    };
    let kept = Arc::new(Kept::new(&records, source_location));
    let context = Arc::new(Context {
        is_strict: plan.is_some() || journal.as_ref().is_some_and(|journal| journal.finishes_plan),
        remembered: remembered_digest(&settings, &source, &destination).await,
        clock: known_clock(&settings, &*destination).await,
        proves_versions: prove_versions([&source, &destination]).await,
        overlap: OnceLock::new(),
        abort: CancellationToken::new(),
        kind,
        source,
        destination,
        settings,
        stop,
        progress,
    });
    let state = State {
        tally: [&context.source, &context.destination]
            .into_iter()
            .any(|side| counts_calls(&**side))
            .then(|| Tally::new(context.destination.capabilities())),
        valid_from: kept.mark().valid_from,
        ..State::default()
    };
    let roots = Arc::new(Roots::look(&context).await);
    let runner = Arc::new(Runner {
        ledger: Arc::new(Ledger::new(&context, events, &records, &kept, &roots)),
        roots,
        folder_times: folder_times::FolderTimes::new(&context),
        adapt: Mutex::new(places(&context)),
        began: tokio::time::Instant::now(),
        learner: Mutex::new(Learner::new(context.clock)),
        transfers: Transfers::new(
            Arc::clone(&context.source),
            Arc::clone(&context.destination),
            &context.settings,
        ),
        context,
        kept,
        state: Mutex::new(state),
    });
    if let Some(going_on) = going_on {
        runner.ledger.tell(going_on).await;
    }
    let result = match runner.can_start().await {
        Ok(true) => {
            let mut result = runner.run_steps(journal.as_ref(), plan).await;
            if result.is_ok() {
                result = runner.roots.is_still_there().await;
            }
            if result.is_ok() {
                runner.respell().await;
                runner.set_folder_times().await;
            }
            result
        }
        Ok(false) => Ok(()),
        Err(error) => Err(error),
    };
    if let Err(error) = result {
        runner.ledger.ended_by(error);
    }
    runner.flush_both().await;
    runner.remember_clock().await;
    runner.clear_leftovers(journal.as_ref()).await;
    runner.ledger.end(journal, started)
}

/// The number of items at a time that the user gave, or one that is found by trying, within what both sides accept.
fn places(context: &Context) -> adapt::Adapt {
    if let Some(given) = context.settings.transfers {
        return adapt::Adapt::fixed(given);
    }
    let both = [context.source.capabilities(), context.destination.capabilities()];
    let least = both.into_iter().filter_map(|side| side.at_once).min();
    adapt::Adapt::within(least.unwrap_or(adapt::MOST))
}

/// A running job.
#[derive(Debug)]
struct Runner {
    context: Arc<Context>,
    ledger: Arc<Ledger>,
    roots: Arc<Roots>,
    transfers: Transfers,
    kept: Arc<Kept>,
    /// `None`: the job does not set the times of folders.
    folder_times: Option<folder_times::FolderTimes>,
    /// What this job learns about how the destination stores modification times.
    learner: Mutex<Learner>,
    /// How many items at the same time.
    adapt: Mutex<adapt::Adapt>,
    began: tokio::time::Instant,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Items to be tried once more when everything else is done.
    again: Vec<(Task, Error)>,
    /// Deletions planned so far, and bytes.
    deletions: u64,
    planned_bytes: u64,
    /// The same as work for the remotes, if one of them counts its calls.
    tally: Option<Tally>,
    /// Names that the destination spells in another way than the source.
    respell: Vec<respell::Respelling>,
    /// Items that were started and have no outcome yet.
    begun: HashMap<u64, (RelPath, &'static str)>,
    /// Both sides are listed folder by folder, because a flat listing cannot be relied on.
    walks_folders: bool,
    /// The plan is to be made anew.
    is_anew: bool,
    /// Items of the plan before this number do not count.
    valid_from: u64,
}

impl Runner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `Ok(false)` = there is nothing to do.
    async fn can_start(&self) -> Result<bool> {
        job_can_start(&self.context.rules())?;
        let overlap = overlap::find(&self.context).await?;
        let is_same = overlap.is_same;
        let spelling = overlap.spelling.clone();
        let _ = self.context.overlap.set(overlap);
        if let Some(name) = spelling {
            self.respell_place(name).await?;
        }
        Ok(!is_same)
    }

    async fn run_steps(
        self: &Arc<Self>,
        journal: Option<&Journal>,
        plan: Option<PlanFile>,
    ) -> Result<()> {
        if let Some(journal) = journal.filter(|_| !self.context.settings.dry_run) {
            self.clear_up_after(journal).await;
            self.end_what_is_of_no_use().await;
        }
        if let Some(plan) = plan {
            return self.apply(plan).await;
        }
        self.tell_how_files_are_compared().await;
        if self.kept.is_resumed() {
            self.ledger.set_listed(Listed::of(self.kept.mark()));
            self.tell_stored_bill().await?;
        }
        let limits_are_asked_for = self.context.settings.max_transfer.is_some();
        match self.context.kind {
            JobKind::Copy | JobKind::Move if !limits_are_asked_for => {
                self.copy_while_listing().await?;
            }
            JobKind::Copy | JobKind::Move | JobKind::Sync => self.plan_then_act().await?,
        }
        let is_moved = self.ledger.is_root_moved();
        if journal.is_some_and(|journal| journal.finishes_plan)
            && !is_moved
            && !self.context.is_stopping()
        {
            return self.look_for_what_was_passed_over().await;
        }
        Ok(())
    }

    /// The last step of a job: ends transfers that were begun and are not wanted any more, and deletes what is extra.
    async fn end_with_deletions(self: &Arc<Self>) -> Result<()> {
        self.remove_what_was_left().await;
        self.roots.may_delete().await?;
        self.delete_all(self.ledger.deletions()?).await
    }

    async fn tell_how_files_are_compared(&self) {
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

    async fn copy_while_listing(self: &Arc<Self>) -> Result<()> {
        // What earlier processes planned comes first, so that what they had begun is finished before anything new.
        self.act_on(self.stored_tasks()?).await;
        while self.is_to_be_planned() && !self.context.is_stopping() {
            let (sender, mut tasks) = mpsc::channel(ACTION_QUEUE);
            let planning =
                AbortOnDropHandle::new(tokio::spawn(Arc::clone(self).plan(Some(sender))));
            let tasks = futures::stream::poll_fn(move |context| tasks.poll_recv(context));
            self.act_on(tasks.map(Ok)).await;
            if self.context.is_stopping() {
                break;
            }
            if let Err(error) = finish(planning).await {
                self.ledger.fatal(error);
            }
            if !self.takes_anew()? {
                break;
            }
        }
        self.try_again().await;
        self.end_with_deletions().await
    }

    async fn plan_then_act(self: &Arc<Self>) -> Result<()> {
        while self.is_to_be_planned() {
            let planning = AbortOnDropHandle::new(tokio::spawn(Arc::clone(self).plan(None)));
            tokio::select! {
                planned = finish(planning) => planned?,
                () = self.context.stopping() => return Ok(()),
            }
            if !self.takes_anew()? {
                break;
            }
        }
        let admitted = self.is_within_limits();
        // A dry run shows the plan, and then says why a limit would stop it.
        if admitted.is_err() && !self.context.settings.dry_run {
            return admitted;
        }
        self.act_on(self.stored_tasks()?).await;
        self.try_again().await;
        self.end_with_deletions().await?;
        admitted
    }

    fn is_to_be_planned(&self) -> bool {
        !self.kept.is_planned()
    }

    /// Is the plan to be made once more? Asked after each, when nothing of it is under way.
    fn takes_anew(&self) -> Result<bool> {
        let is_anew = self.state().is_anew;
        if is_anew {
            self.forget_plan()?;
        }
        Ok(is_anew)
    }

    /// Is the plan within every limit that was set?
    fn is_within_limits(&self) -> Result<()> {
        let settings = &self.context.settings;
        let resumed = self.kept.mark();
        let (source_files, destination_entries, deletions, bytes) = {
            let (listed, state) = (self.ledger.listed(), self.state());
            let deletions = state.deletions + resumed.deletions;
            let bytes = state.planned_bytes.saturating_add(resumed.bytes);
            (listed.source_files, listed.destination_entries, deletions, bytes)
        };
        let source_files = match settings.allow_empty_source {
            true => source_files.max(1),
            false => source_files,
        };
        let refuse = |error: Error| error.with_operation(self.context.kind.as_str());
        if self.context.kind == JobKind::Sync {
            settings
                .delete_limit
                .admits(deletions, destination_entries, source_files)
                .map_err(refuse)?;
        }
        match settings.max_transfer {
            Some(most) if bytes > most => {
                let text = format!(
                    "the plan transfers {bytes} bytes and {most} are allowed; nothing was changed"
                );
                let error = Error::new(ErrorKind::InvalidInput, text);
                Err(refuse(error.with_hint(Hint::AllowTransfer(bytes))))
            }
            _ => Ok(()),
        }
    }
}

async fn finish(planning: AbortOnDropHandle<Result<()>>) -> Result<()> {
    planning
        .await
        .unwrap_or_else(|_| Err(Error::new(ErrorKind::Io, "planning stopped; this is a bug")))
}
