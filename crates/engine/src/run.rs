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

mod context;
mod executor;
mod item;
mod kept;
mod ledger;
mod overlap;
mod planner;
mod roots;
mod unstored;

use self::context::{Context, known_clock, prove_versions, remembered_digest};
use self::executor::Executor;
use self::item::{Task, path_of, size_of};
use self::kept::Kept;
use self::ledger::{Ledger, Listed};
use self::planner::Planner;
use self::roots::Roots;

/// Actions of a `copy` that may wait between planning and execution: so far ahead its totals are known.
const ACTION_QUEUE: usize = 16 * 1024;
/// Runs a job to its end.
pub(crate) async fn run(
    mut request: Request,
    events: mpsc::Sender<Event>,
    progress: Progress,
) -> Report {
    let started = Instant::now();
    let going_on = going_on(&request);
    let records = match records(&mut request) {
        Ok(records) => records,
        Err(error) => return Report { fatal: Some(error), ..Report::default() },
    };
    let (job, journal, plan) = Job::of(request, records, events, progress).await;
    if let Some(going_on) = going_on {
        job.ledger.tell(going_on).await;
    }
    if let Err(error) = job.run(journal.as_ref(), plan).await {
        job.ledger.ended_by(error);
    }
    job.executor.flush_both().await;
    job.executor.remember_clock().await;
    job.executor.clear_leftovers(journal.as_ref()).await;
    job.ledger.end(journal, started)
}

/// What is told first of a job that continues another one.
fn going_on(request: &Request) -> Option<Event> {
    match (&request.journal, &request.recalled) {
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
    }
}

/// The records of the journal, or those of this process only.
fn records(request: &mut Request) -> Result<Arc<Records>> {
    match &request.journal {
        Some(journal) => Ok(Arc::clone(&journal.records)),
        None => {
            let memory = request.recalled.take().map(|recalled| recalled.memory);
            let folder = request.settings.plan_folder.as_deref();
            Records::unnamed(folder, memory.unwrap_or_default()).map(Arc::new)
        }
    }
}

/// A running job: the order of its phases. The [`Planner`] finds out what is to be done, the [`Executor`] does it, and the
/// [`Ledger`] keeps what came of it.
#[derive(Debug)]
struct Job {
    context: Arc<Context>,
    ledger: Arc<Ledger>,
    roots: Arc<Roots>,
    planner: Arc<Planner>,
    executor: Arc<Executor>,
}

impl Job {
    /// Makes the parts of a job. Returns also what only its beginning and its end need.
    async fn of(
        request: Request,
        records: Arc<Records>,
        events: mpsc::Sender<Event>,
        progress: Progress,
    ) -> (Self, Option<Journal>, Option<PlanFile>) {
        let Request { kind, source, destination, settings, stop, journal, plan, recalled: _ } =
            request;
        let settings = Arc::new(settings);
        let source_location = match &journal {
            Some(journal) => journal.header.identity.source_location.clone(),
            None => source.location(),
        };
        let finishes_plan = journal.as_ref().is_some_and(|journal| journal.finishes_plan);
        let context = Arc::new(Context {
            is_strict: plan.is_some() || finishes_plan,
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
        let kept = Arc::new(Kept::new(&records, source_location));
        let roots = Arc::new(Roots::look(&context).await);
        let ledger = Arc::new(Ledger::new(&context, events, &records, &kept, &roots));
        let transfers = Arc::new(Transfers::new(
            Arc::clone(&context.source),
            Arc::clone(&context.destination),
            &context.settings,
        ));
        let planner = Arc::new(Planner::new(&context, &ledger, &kept, &transfers));
        let executor = Arc::new(Executor::new(&context, &ledger, &kept, &transfers));
        (Job { context, ledger, roots, planner, executor }, journal, plan)
    }

    async fn run(&self, journal: Option<&Journal>, plan: Option<PlanFile>) -> Result<()> {
        let overlap = self.planner.look_for_overlap().await?;
        if let Some(name) = overlap.spelling.clone() {
            self.executor.respell_place(name).await?;
        }
        if overlap.is_same {
            return Ok(());
        }
        self.run_steps(journal, plan).await?;
        self.roots.is_still_there().await?;
        self.executor.respell(self.planner.spellings()).await;
        self.executor.set_folder_times().await;
        Ok(())
    }

    async fn run_steps(&self, journal: Option<&Journal>, plan: Option<PlanFile>) -> Result<()> {
        if let Some(journal) = journal.filter(|_| !self.context.settings.dry_run) {
            self.executor.clear_up_after(journal).await;
            self.executor.end_what_is_of_no_use().await;
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
        if journal.is_some_and(|journal| journal.finishes_plan)
            && !self.ledger.is_root_moved()
            && !self.context.is_stopping()
        {
            let clock = self.executor.clock_as_learnt();
            return self.planner.look_for_what_was_passed_over(clock).await;
        }
        Ok(())
    }

    async fn copy_while_listing(&self) -> Result<()> {
        // What earlier processes planned comes first, so that what they had begun is finished before anything new.
        self.executor.act_on_stored(self.planner.valid_from()).await?;
        while self.planner.is_to_be_planned() && !self.context.is_stopping() {
            let (sender, mut tasks) = mpsc::channel(ACTION_QUEUE);
            let planning =
                AbortOnDropHandle::new(tokio::spawn(Arc::clone(&self.planner).plan(Some(sender))));
            let tasks = futures::stream::poll_fn(move |context| tasks.poll_recv(context));
            self.executor.act_on(tasks.map(Ok)).await;
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
        self.end_with_deletions().await
    }

    async fn plan_then_act(&self) -> Result<()> {
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
            self.executor.forget_again();
            self.planner.forget_plan()?;
        }
        Ok(is_anew)
    }

    /// Does everything that is on record and has no outcome yet.
    async fn act_on_stored(&self) -> Result<()> {
        self.executor.act_on_stored(self.planner.valid_from()).await?;
        self.end_with_deletions().await
    }

    /// The last steps of a job: tries again what failed and may pass, ends transfers that were begun and are not wanted any
    /// more, and deletes what is extra.
    async fn end_with_deletions(&self) -> Result<()> {
        self.executor.try_again().await;
        self.executor.remove_what_was_left().await;
        self.roots.may_delete().await?;
        self.executor.delete_all(self.ledger.deletions()?, self.planner.valid_from()).await
    }
}

async fn finish(planning: AbortOnDropHandle<Result<()>>) -> Result<()> {
    planning
        .await
        .unwrap_or_else(|_| Err(Error::new(ErrorKind::Io, "planning stopped; this is a bug")))
}
