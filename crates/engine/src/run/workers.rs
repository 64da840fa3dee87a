//! So many items at a time, until there are no more or the job is stopped.

use futures::stream::FuturesUnordered;

use super::*;

/// One item's task on the runtime.
type Running = AbortOnDropHandle<bool>;

impl Runner {
    /// Runs tasks until there are no more or the job is stopped. Small items that the destination gathers have more places
    /// than others, so that they meet there.
    pub(super) async fn act_on(self: &Arc<Self>, tasks: impl Stream<Item = Result<Task>>) {
        let work = self.work(tasks);
        tokio::select! {
            () = work => {}
            () = self.context.stop.now.cancelled() => {}
            // CANCEL: what a later process can go on with is left where it is.
            () = self.grace_is_over() => self.records.keep_parts(),
        }
        if let Err(error) = self.records.flush() {
            self.fatal(error);
        }
        // What was dropped has an outcome, too.
        let dropped = std::mem::take(&mut self.state().begun);
        for (seq, (path, operation)) in dropped {
            let task = Task::new(seq, Action::MakeDir { path }, false);
            self.failed(&task, operation, Error::cancelled()).await;
        }
    }

    async fn work(self: &Arc<Self>, tasks: impl Stream<Item = Result<Task>>) {
        let many = self.context.settings.transfers.max(1);
        let (from, to) =
            (self.context.source.capabilities(), self.context.destination.capabilities());
        // A disk gathers what it copies from a disk by itself; it is no reason to read more from a network at the same
        // time, or to begin more than was asked for where bytes are slowed down or one at a time is wanted.
        let is_free = self.context.settings.bandwidth.is_none() && many > 1;
        let is_copied_at_once = from.read_local && is_free;
        let gather = to.gather.filter(|_| !to.read_local || is_copied_at_once);
        let mut places =
            Places { many, many_small: gather.map_or(1, |gather| gather.items.max(1)) };
        let mut tasks = std::pin::pin!(tasks.take_until(self.stopping()));
        let mut running = FuturesUnordered::new();
        while let Some(task) = tasks.next().await {
            let task = match task {
                Ok(task) => task,
                Err(error) => return self.fatal(error),
            };
            let is_small =
                gather.is_some_and(|gather| is_gathered(&task.action, gather.item_bytes));
            while !places.take(is_small) {
                self.one_ended(&mut running, &mut places).await;
            }
            let runner = Arc::clone(self);
            // CANCEL: dropping the handle aborts the task, and `put` takes back what it was writing.
            let handle: Running = AbortOnDropHandle::new(tokio::spawn(async move {
                runner.act(task, false).await;
                is_small
            }));
            running.push(handle);
        }
        while !running.is_empty() {
            self.one_ended(&mut running, &mut places).await;
        }
    }

    async fn one_ended(&self, running: &mut FuturesUnordered<Running>, places: &mut Places) {
        match running.next().await {
            Some(Ok(was_small)) => places.give_back(was_small),
            Some(Err(error)) if error.is_panic() => {
                self.fatal(Error::new(ErrorKind::Io, "an item's task panicked; this is a bug"));
                places.give_back(false);
            }
            Some(Err(_)) | None => places.give_back(false),
        }
    }

    /// Ends some time after the first stop.
    async fn grace_is_over(&self) {
        self.context.stop.gently.cancelled().await;
        tokio::time::sleep(self.context.settings.stop_grace).await;
    }
}

/// Room for items.
struct Places {
    many: usize,
    many_small: usize,
}

impl Places {
    fn take(&mut self, is_small: bool) -> bool {
        let room = if is_small { &mut self.many_small } else { &mut self.many };
        let taken = *room > 0;
        *room -= usize::from(taken);
        taken
    }

    fn give_back(&mut self, was_small: bool) {
        if was_small { self.many_small += 1 } else { self.many += 1 }
    }
}

fn is_gathered(action: &Action, item_bytes: u64) -> bool {
    match action {
        Action::Copy { source, .. } => source.size.is_some_and(|size| size <= item_bytes),
        _ => false,
    }
}
