//! A job from its first listing to its report.
//!
//! A `copy` acts while it still lists. A `sync` plans to the end first, because promise 1 wants to know the number of
//! deletions before anything is changed; its plan waits on disk. Deletions come last, children before parents, and only in
//! folders in which everything else succeeded.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use futures::{Stream, StreamExt};
use ketch_core::{Backend, Entry, Error, ErrorKind, RelPath, Result, Retry};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::decide::{Action, Reason, Rules, job_can_start};
use crate::event::{Event, Progress};
use crate::job::JobKind;
use crate::plan::Planned;
use crate::report::{Failure, Outcome, Report};
use crate::settings::{Settings, Stop};
use crate::spool::{SpoolBackward, SpoolForward, SpoolWriter};
use crate::transfer::Transfers;

mod again;
mod delete;
mod overlap;
mod planner;

/// Actions that may wait between planning and running a `copy`.
const ACTION_QUEUE: usize = 1024;
/// Items that may be tried once more at the end.
const AGAIN_LIMIT: usize = 1_000;
/// Folders with failures that are remembered; beyond it every deletion is held.
const FAILED_DIRS_LIMIT: usize = 10_000;

/// What a job is made of.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) kind: JobKind,
    pub(crate) source: Arc<dyn Backend>,
    pub(crate) destination: Arc<dyn Backend>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) stop: Stop,
    pub(crate) events: mpsc::Sender<Event>,
    pub(crate) progress: Progress,
}

/// Runs a job to its end.
pub(crate) async fn run(context: Context) -> Report {
    let started = Instant::now();
    let transfers = Transfers::new(
        Arc::clone(&context.source),
        Arc::clone(&context.destination),
        &context.settings,
    );
    let runner = Arc::new(Runner {
        context,
        transfers,
        state: Mutex::default(),
        abort: CancellationToken::new(),
    });
    let result = match runner.can_start() {
        Ok(true) => runner.run_steps().await,
        Ok(false) => Ok(()),
        Err(error) => Err(error),
    };
    let mut report = std::mem::take(&mut runner.state().report);
    if let Err(error) = result {
        report.fatal.get_or_insert(error);
    }
    report.stopped = runner.context.stop.is_stopping();
    report.elapsed = started.elapsed();
    report
}

/// A running job.
#[derive(Debug)]
struct Runner {
    context: Context,
    transfers: Transfers,
    state: Mutex<State>,
    /// Set by an error that makes going on pointless.
    abort: CancellationToken,
}

#[derive(Debug, Default)]
struct State {
    report: Report,
    /// Items to be tried once more when everything else is done.
    again: Vec<(Action, Error)>,
    /// Folders in which something failed: nothing is deleted in them.
    failed_dirs: HashSet<RelPath>,
    /// Folders that only the destination has and that hold something which takes no part: they are kept.
    occupied_dirs: HashSet<RelPath>,
    /// Files that the source's listings showed.
    source_files: u64,
    /// Items that were begun and have no outcome yet.
    begun: HashMap<RelPath, &'static str>,
}

impl Runner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rules(&self) -> Rules<'_> {
        Rules {
            settings: &self.context.settings,
            delete_extra: self.context.kind == JobKind::Sync,
            source: self.context.source.capabilities(),
            destination: self.context.destination.capabilities(),
        }
    }

    /// `Ok(false)` = there is nothing to do.
    fn can_start(&self) -> Result<bool> {
        let refuse = |message| Error::new(ErrorKind::InvalidInput, message);
        job_can_start(&self.rules()).map_err(refuse)?;
        overlap::check(&self.context).map_err(refuse)
    }

    async fn run_steps(self: &Arc<Self>) -> Result<()> {
        self.tell_how_files_are_compared().await;
        match self.context.kind {
            JobKind::Copy => self.copy_while_listing().await?,
            JobKind::Sync => self.plan_then_sync().await?,
        }
        Ok(())
    }

    async fn tell_how_files_are_compared(&self) {
        let rules = self.rules();
        let by_time = self.context.settings.compare == crate::Compare::SizeAndTime;
        let sides = [&self.context.source, &self.context.destination];
        let blind = sides.into_iter().find(|side| side.capabilities().mtime.is_none());
        if let Some(blind) = blind.filter(|_| by_time) {
            let digest = rules.source.common_hash(rules.destination);
            let text = format!(
                "{} keeps no modification times: a file of equal size counts as unchanged{}",
                blind.name(),
                match digest {
                    Some(algo) => format!(
                        " unless it is newer than the stored copy and its {algo} digest differs \
                         (--checksum compares every digest)"
                    ),
                    None => " unless it is newer than the stored copy".to_owned(),
                }
            );
            self.tell(Event::Notice { path: None, text }).await;
        }
    }

    /// Starts planning; the actions come through the channel.
    fn start_planning(self: &Arc<Self>) -> (Planning, mpsc::Receiver<Action>) {
        let (sender, actions) = mpsc::channel(ACTION_QUEUE);
        (AbortOnDropHandle::new(tokio::spawn(Arc::clone(self).plan(sender))), actions)
    }

    async fn copy_while_listing(self: &Arc<Self>) -> Result<()> {
        let (planning, mut actions) = self.start_planning();
        let actions = futures::stream::poll_fn(move |context| actions.poll_recv(context));
        self.act_on(actions.map(Ok)).await;
        if !self.is_stopping()
            && let Err(error) = finish(planning).await
        {
            self.fatal(error);
        }
        self.try_again().await;
        Ok(())
    }

    async fn plan_then_sync(self: &Arc<Self>) -> Result<()> {
        let folder = self.context.settings.plan_folder.as_deref();
        let mut changes = SpoolWriter::create(folder)?;
        let mut deletions = SpoolWriter::create(folder)?;
        let (planning, mut actions) = self.start_planning();
        loop {
            let action = tokio::select! {
                action = actions.recv() => action,
                () = self.stopping() => return Ok(()),
            };
            let Some(action) = action else { break };
            let is_deletion = matches!(action, Action::Delete { .. });
            let list = if is_deletion { &mut deletions } else { &mut changes };
            if let Ok(planned) = Planned::from_action(action) {
                list.push(&planned)?;
            }
        }
        finish(planning).await?;
        let (source_files, destination_entries) = {
            let state = self.state();
            (state.source_files, state.report.destination_entries)
        };
        let admitted = self.context.settings.delete_limit.admits(
            deletions.len(),
            destination_entries,
            source_files,
        );
        let admitted = admitted
            .map_err(|message| Error::new(ErrorKind::InvalidInput, message).with_operation("sync"));
        // A dry run shows the plan and then says why it would not be run.
        if admitted.is_err() && !self.context.settings.dry_run {
            return admitted;
        }
        self.act_on(spooled(changes.into_forward()?)).await;
        self.try_again().await;
        self.delete_all(deletions.into_backward()?).await?;
        admitted
    }

    /// Runs actions, so many at a time, until there are no more or the job is stopped.
    async fn act_on(self: &Arc<Self>, actions: impl Stream<Item = Result<Action>>) {
        let at_a_time = self.context.settings.transfers.max(1);
        let work = actions
            .take_until(self.stopping())
            .map(|action| {
                let runner = Arc::clone(self);
                // CANCEL: dropping the handle aborts the task, and `put` takes back what it was writing.
                AbortOnDropHandle::new(tokio::spawn(async move {
                    match action {
                        Ok(action) => runner.act(action, false).await,
                        Err(error) => runner.fatal(error),
                    }
                }))
            })
            .buffer_unordered(at_a_time)
            .for_each(|ended| async {
                if ended.is_err_and(|error| error.is_panic()) {
                    let text = "an item's task panicked; this is a bug";
                    self.fatal(Error::new(ErrorKind::Io, text));
                }
            });
        tokio::select! {
            () = work => {}
            () = self.context.stop.now.cancelled() => {}
        }
        // What was dropped has an outcome, too.
        let dropped = std::mem::take(&mut self.state().begun);
        for (path, operation) in dropped {
            self.failed(&path, operation, Error::cancelled()).await;
        }
    }

    /// Does one action and writes down its one outcome.
    async fn act(&self, action: Action, last_try: bool) {
        let (path, operation) = match &action {
            Action::Copy { source, .. } => (source.path.clone(), "copy"),
            Action::SetTime { source, .. } => (source.path.clone(), "set time"),
            Action::MakeDir { path } => (path.clone(), "make folder"),
            Action::Delete { entry } => (entry.path.clone(), "delete"),
            // The planner settles these itself.
            Action::Skip { .. } | Action::NotStorable { .. } | Action::Refuse { .. } => return,
        };
        let size = match &action {
            Action::Copy { source, .. } => source.size,
            _ => None,
        };
        let reason = match &action {
            Action::Copy { reason, .. } => *reason,
            Action::SetTime { .. } => Reason::OnlyTimeDiffers,
            Action::Delete { .. } => Reason::Extra,
            _ => Reason::Missing,
        };
        self.state().begun.insert(path.clone(), operation);
        let result = self.try_action(&action).await;
        self.state().begun.remove(&path);
        match result {
            Ok(outcome) => self.succeeded(path, outcome, reason, size).await,
            Err(error) if !last_try && self.is_worth_another_try(&action, &error) => {
                tracing::debug!(%error, "tried again at the end");
                self.state().again.push((action, error));
            }
            Err(error) => self.failed(&path, operation, error).await,
        }
    }

    async fn try_action(&self, action: &Action) -> Result<Outcome> {
        let destination = &self.context.destination;
        let dry_run = self.context.settings.dry_run;
        match action {
            Action::Copy { .. } if dry_run => Ok(Outcome::Copied),
            Action::SetTime { .. } if dry_run => Ok(Outcome::TimeSet),
            Action::MakeDir { .. } if dry_run => Ok(Outcome::DirMade),
            Action::Delete { .. } if dry_run => Ok(Outcome::Deleted),
            Action::Copy { source, replaces, .. } => {
                let guard = self.context.progress.start(&source.path, source.size);
                let (path, size) = (source.path.clone(), source.size);
                self.tell(Event::ItemStarted { path, size }).await;
                let counter = guard.counter();
                let done = self.transfers.transfer(source, replaces.as_deref(), counter).await?;
                self.state().report.unverified += u64::from(!done.verified);
                Ok(done.outcome)
            }
            Action::SetTime { source, destination: entry } => match source.mtime {
                Some(mtime) => destination.set_mtime(entry, mtime).await.map(|_| Outcome::TimeSet),
                None => Ok(Outcome::TimeSet),
            },
            Action::MakeDir { path } => destination.make_dir(path).await.map(|()| Outcome::DirMade),
            Action::Delete { entry } => match destination.delete(entry).await {
                Err(error) if entry.is_dir() && error.kind() == ErrorKind::InvalidInput => {
                    Ok(Outcome::Kept)
                }
                result => result.map(|()| Outcome::Deleted),
            },
            Action::Skip { .. } | Action::NotStorable { .. } | Action::Refuse { .. } => {
                Err(Error::unsupported("act"))
            }
        }
    }

    async fn succeeded(&self, path: RelPath, outcome: Outcome, reason: Reason, size: Option<u64>) {
        let bytes = size.unwrap_or(0);
        {
            let report = &mut self.state().report;
            match outcome {
                Outcome::Copied => report.copied += 1,
                Outcome::CopiedByRemote => {
                    report.copied += 1;
                    report.copied_by_remote += 1;
                }
                Outcome::TimeSet => report.times_set += 1,
                Outcome::DirMade => report.dirs_made += 1,
                Outcome::Deleted => report.deleted += 1,
                Outcome::Kept => report.kept += 1,
                Outcome::Held => report.deletions_held += 1,
                Outcome::NotStorable => report.not_storable += 1,
            }
            report.bytes = report.bytes.saturating_add(bytes);
        }
        self.context.progress.done(bytes);
        self.tell(Event::ItemDone { path, outcome, reason, size }).await;
    }

    async fn failed(&self, path: &RelPath, operation: &'static str, error: Error) {
        let failure = self.failure(path, operation, &error);
        if error.is_fatal() {
            self.fatal(error);
        }
        self.add_failure(failure).await;
    }

    async fn add_failure(&self, failure: Failure) {
        {
            let mut state = self.state();
            let dir = failure.path.parent().unwrap_or_else(RelPath::root);
            state.hold_deletions_in(dir);
            state.report.add_failure(failure.clone(), &self.context.progress);
        }
        self.tell(Event::ItemFailed(failure)).await;
    }

    fn failure(&self, path: &RelPath, operation: &'static str, error: &Error) -> Failure {
        let failure = Failure::new(path, operation, error);
        let at_source = failure.at_source || error.remote() == Some(self.context.source.name());
        Failure { at_source, ..failure }
    }

    /// Ends the job: nothing new is taken.
    fn fatal(&self, error: Error) {
        self.state().report.fatal.get_or_insert(error);
        self.abort.cancel();
    }

    fn is_stopping(&self) -> bool {
        self.context.stop.is_stopping() || self.abort.is_cancelled()
    }

    async fn stopping(&self) {
        tokio::select! {
            () = self.context.stop.stopping() => {}
            () = self.abort.cancelled() => {}
        }
    }

    /// A reader of events that went away does not stop a job.
    async fn tell(&self, event: Event) {
        let _ = self.context.events.send(event).await;
    }
}

impl State {
    fn hold_deletions_in(&mut self, dir: RelPath) {
        if self.failed_dirs.len() < FAILED_DIRS_LIMIT {
            self.failed_dirs.insert(dir);
        }
    }

    fn occupy(&mut self, dir: RelPath) {
        if self.occupied_dirs.len() < FAILED_DIRS_LIMIT {
            self.occupied_dirs.insert(dir);
        }
    }

    fn must_hold_deletions_in(&self, dir: &RelPath) -> bool {
        self.failed_dirs.len() >= FAILED_DIRS_LIMIT || self.failed_dirs.contains(dir)
    }
}

type Planning = AbortOnDropHandle<Result<()>>;

async fn finish(planning: Planning) -> Result<()> {
    planning
        .await
        .unwrap_or_else(|_| Err(Error::new(ErrorKind::Io, "planning stopped; this is a bug")))
}

fn spooled(mut spool: SpoolForward) -> impl Stream<Item = Result<Action>> {
    futures::stream::poll_fn(move |_| {
        std::task::Poll::Ready(spool.next().map(|next| next.map(Planned::into_action)).transpose())
    })
}
