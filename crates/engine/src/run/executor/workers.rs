//! Runs several items at a time, until there are no more or the job is stopped.

use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio::task::JoinError;

use super::adapt::{Adapt, Amounts};
use super::*;

/// How many small items share one task of the runtime, if so many are waiting. They start and end together. A task costs
/// more than what a small file costs besides the disk.
const GROUP_ITEMS: usize = 16;

/// A task on the runtime, and the slots of its items.
type Running = BoxFuture<'static, Ended>;
type Ended = (Taken, std::result::Result<(), JoinError>);

impl Executor {
    /// Runs tasks until there are no more or the job is stopped. Small items that the destination gathers have more slots
    /// than others, so that it can gather many of them.
    pub(in crate::run) async fn act_on(self: &Arc<Self>, tasks: impl Stream<Item = Result<Task>>) {
        let work = self.work(tasks);
        tokio::select! {
            biased;
            () = work => {}
            () = self.context.stop.now.cancelled() => {}
            () = self.grace_is_over() => {}
        }
        self.ledger.flush();
        // Items that were dropped get an outcome, too.
        let dropped = std::mem::take(&mut self.state().begun);
        for (seq, (path, operation)) in dropped {
            let task = Task::new(seq, Action::MakeDir { path }, false);
            self.ledger.failed(&task, operation, Error::cancelled()).await;
        }
    }

    async fn work(self: &Arc<Self>, tasks: impl Stream<Item = Result<Task>>) {
        let (from, to) =
            (self.context.source.capabilities(), self.context.destination.capabilities());
        // A disk gathers what it copies from a disk by itself; it is no reason to read more from a network at the same
        // time, or to begin more than was asked for where bytes are slowed down or one at a time is wanted.
        let settings = &self.context.settings;
        let is_free = settings.bandwidth.is_none() && settings.transfers != Some(1);
        let is_copied_at_once = from.read_local && is_free;
        let gather = to.gather.filter(|_| !to.read_local || is_copied_at_once);
        let mut places =
            Places { taken: 0, many_small: gather.map_or(1, |gather| gather.items.max(1)) };
        let group_items = GROUP_ITEMS.min(places.many_small);
        let is_small =
            |task: &Task| gather.is_some_and(|gather| is_gathered(&task.action, gather.item_bytes));
        let tasks = tasks.take_until(self.context.stopping()).ready_chunks(group_items);
        let mut tasks = std::pin::pin!(tasks);
        let mut running = FuturesUnordered::new();
        while let Some(known) = self.next_tasks(&mut tasks, &mut running, &mut places).await {
            let mut group = Vec::with_capacity(known.len());
            for task in known {
                match task {
                    Ok(task) if is_small(&task) => group.push(task),
                    Ok(task) => {
                        // ORDER: what comes first begins first.
                        self.begin(std::mem::take(&mut group), true, &mut running, &mut places)
                            .await;
                        self.begin(vec![task], false, &mut running, &mut places).await;
                    }
                    Err(error) => return self.ledger.fatal(error),
                }
            }
            self.begin(group, true, &mut running, &mut places).await;
        }
        while !running.is_empty() {
            self.one_ended(&mut running, &mut places).await;
        }
    }

    /// The next tasks. While slots are free and nothing waits for them, nothing can be learnt about their number.
    async fn next_tasks<T>(
        &self,
        tasks: &mut (impl Stream<Item = T> + Unpin),
        running: &mut FuturesUnordered<Running>,
        places: &mut Places,
    ) -> Option<T> {
        if let Some(known) = tasks.next().now_or_never() {
            return known;
        }
        self.look_for_free_places(running, places);
        let known = tasks.next().await;
        self.look_for_free_places(running, places);
        known
    }

    fn look_for_free_places(&self, running: &mut FuturesUnordered<Running>, places: &mut Places) {
        while let Some(Some(ended)) = running.next().now_or_never() {
            self.ended(ended, places);
        }
        let mut adapt = self.adapt();
        if places.taken < adapt.limit() {
            adapt.is_idle();
        }
    }

    /// Begins items in a task of their own, when there is room for all of them.
    async fn begin(
        self: &Arc<Self>,
        tasks: Vec<Task>,
        are_small: bool,
        running: &mut FuturesUnordered<Running>,
        places: &mut Places,
    ) {
        if tasks.is_empty() {
            return;
        }
        let taken = Taken { items: tasks.len(), are_small };
        while !places.take(taken, self.adapt().limit()) {
            self.one_ended(running, places).await;
            self.look(places);
        }
        // An item that waited for its slot when the job was stopped is not started. It has no outcome.
        if self.context.is_stopping() {
            return places.give_back(taken);
        }
        self.look(places);
        let executor = Arc::clone(self);
        // CANCEL: dropping the handle aborts the task, and `put` takes back what it was writing.
        let handle = AbortOnDropHandle::new(tokio::spawn(async move {
            let acts = tasks.into_iter().filter(|_| !executor.context.is_stopping());
            futures::future::join_all(acts.map(|task| executor.act(task, false))).await;
        }));
        running.push(Box::pin(async move { (taken, handle.await) }));
    }

    async fn one_ended(&self, running: &mut FuturesUnordered<Running>, places: &mut Places) {
        let is_adaptive = self.adapt().is_adaptive();
        tokio::select! {
            next = running.next() => {
                let Some(next) = next else { return };
                self.ended(next, places);
            }
            // Large files take long to end, and show how far they are.
            () = tokio::time::sleep(adapt::WINDOW), if is_adaptive => {}
        }
    }

    fn ended(&self, (taken, ended): Ended, places: &mut Places) {
        if ended.is_err_and(|error| error.is_panic()) {
            self.ledger.fatal(Error::new(ErrorKind::Io, "an item's task panicked; this is a bug"));
        }
        places.give_back(taken);
    }

    /// Adapts the number of slots to the measured speed.
    fn look(&self, places: &Places) {
        let mut adapt = self.adapt();
        if places.taken < adapt.limit() {
            return;
        }
        let now = self.began.elapsed();
        if adapt.is_due(now) {
            let (items, bytes) = self.context.progress.work_done();
            adapt.look(now, Amounts { items, bytes });
        }
    }

    pub(super) fn adapt(&self) -> MutexGuard<'_, Adapt> {
        self.adapt.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends some time after the first stop.
    async fn grace_is_over(&self) {
        self.context.stop.gently.cancelled().await;
        tokio::time::sleep(self.context.settings.stop_grace).await;
    }
}

/// Room for items.
struct Places {
    /// Items in progress that are not small.
    taken: usize,
    /// Slots for small items.
    many_small: usize,
}

/// The slots of a task.
#[derive(Clone, Copy)]
struct Taken {
    items: usize,
    are_small: bool,
}

impl Places {
    fn take(&mut self, wanted: Taken, limit: usize) -> bool {
        if wanted.are_small {
            let is_enough = self.many_small >= wanted.items;
            self.many_small -= if is_enough { wanted.items } else { 0 };
            return is_enough;
        }
        // The number may now be smaller than the number of items in progress.
        let is_enough = self.taken + wanted.items <= limit;
        self.taken += if is_enough { wanted.items } else { 0 };
        is_enough
    }

    fn give_back(&mut self, taken: Taken) {
        let room = if taken.are_small { &mut self.many_small } else { &mut self.taken };
        match taken.are_small {
            true => *room += taken.items,
            false => *room -= taken.items,
        }
    }
}

fn is_gathered(action: &Action, item_bytes: u64) -> bool {
    match action {
        Action::Copy { source, .. } => source.size.is_some_and(|size| size <= item_bytes),
        _ => false,
    }
}
