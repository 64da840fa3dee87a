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
mod adopt;
mod again;
mod apart;
mod bills;
mod clock;
mod consider;
mod context;
mod delete;
mod ending;
mod folder_times;
mod item;
mod kept;
mod ledger;
mod left;
mod limits;
mod overlap;
mod passed_over;
mod planner;
mod respell;
mod roots;
mod settle;
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
use self::planner::Planner;
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
    let roots = Arc::new(Roots::look(&context).await);
    let ledger = Arc::new(Ledger::new(&context, events, &records, &kept, &roots));
    let transfers = Arc::new(Transfers::new(
        Arc::clone(&context.source),
        Arc::clone(&context.destination),
        &context.settings,
    ));
    let runner = Arc::new(Runner {
        planner: Arc::new(Planner::new(&context, &ledger, &kept, &transfers)),
        ledger,
        roots,
        folder_times: folder_times::FolderTimes::new(&context),
        adapt: Mutex::new(places(&context)),
        began: tokio::time::Instant::now(),
        learner: Mutex::new(Learner::new(context.clock)),
        transfers,
        context,
        kept,
        state: Mutex::default(),
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
                runner.respell(runner.planner.spellings()).await;
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
    planner: Arc<Planner>,
    transfers: Arc<Transfers>,
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
    /// Items that were started and have no outcome yet.
    begun: HashMap<u64, (RelPath, &'static str)>,
}

impl Runner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `Ok(false)` = there is nothing to do.
    async fn can_start(&self) -> Result<bool> {
        let overlap = self.planner.look_for_overlap().await?;
        if let Some(name) = overlap.spelling.clone() {
            self.respell_place(name).await?;
        }
        Ok(!overlap.is_same)
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
            self.planner.adopt(plan).await?;
            return self.act_on_stored().await;
        }
        self.planner.tell_how_files_are_compared().await;
        self.planner.take_up_resumed().await?;
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
            return self.planner.look_for_what_was_passed_over(self.clock_as_learnt()).await;
        }
        Ok(())
    }

    /// The last step of a job: ends transfers that were begun and are not wanted any more, and deletes what is extra.
    async fn end_with_deletions(self: &Arc<Self>) -> Result<()> {
        self.remove_what_was_left().await;
        self.roots.may_delete().await?;
        self.delete_all(self.ledger.deletions()?, self.planner.valid_from()).await
    }

    async fn copy_while_listing(self: &Arc<Self>) -> Result<()> {
        // What earlier processes planned comes first, so that what they had begun is finished before anything new.
        self.act_on(self.stored_tasks(self.planner.valid_from())?).await;
        while self.planner.is_to_be_planned() && !self.context.is_stopping() {
            let (sender, mut tasks) = mpsc::channel(ACTION_QUEUE);
            let planning =
                AbortOnDropHandle::new(tokio::spawn(Arc::clone(&self.planner).plan(Some(sender))));
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

    /// Does everything that is on record and has no outcome yet.
    async fn act_on_stored(self: &Arc<Self>) -> Result<()> {
        self.act_on(self.stored_tasks(self.planner.valid_from())?).await;
        self.try_again().await;
        self.end_with_deletions().await
    }

    async fn plan_then_act(self: &Arc<Self>) -> Result<()> {
        while self.planner.is_to_be_planned() {
            let planning =
                AbortOnDropHandle::new(tokio::spawn(Arc::clone(&self.planner).plan(None)));
            tokio::select! {
                planned = finish(planning) => planned?,
                () = self.context.stopping() => return Ok(()),
            }
            if !self.takes_anew()? {
                break;
            }
        }
        let admitted = self.planner.is_within_limits();
        // A dry run shows the plan, and then says why a limit would stop it.
        if admitted.is_err() && !self.context.settings.dry_run {
            return admitted;
        }
        self.act_on_stored().await?;
        admitted
    }

    /// Is the plan to be made once more? Asked after each, when nothing of it is under way.
    fn takes_anew(&self) -> Result<bool> {
        let is_anew = self.planner.is_anew();
        if is_anew {
            // What failed and may pass is planned once more.
            self.state().again.clear();
            self.planner.forget_plan()?;
        }
        Ok(is_anew)
    }
}

async fn finish(planning: AbortOnDropHandle<Result<()>>) -> Result<()> {
    planning
        .await
        .unwrap_or_else(|_| Err(Error::new(ErrorKind::Io, "planning stopped; this is a bug")))
}
