//! Calls that are made at the same time and travel in one request.
//!
//! The first caller of a key opens a batch and starts its task; every caller that comes before the task takes the batch
//! joins it. The task takes it when it may send, so the wait for one's turn is the time in which others can join, and no caller waits more
//! than [`JOIN_WAIT`] longer than alone. A task lives as long as a caller waits for it.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ketch_core::{Error, ErrorKind, Result};
use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;

/// For how long the first one waits for others when it need not wait for its turn.
const JOIN_WAIT: Duration = Duration::from_millis(2);

/// The batches that can be joined, by key.
pub(crate) struct Batches<K, T, R>(Arc<Mutex<HashMap<K, Open<T, R>>>>);

struct Open<T, R> {
    members: Arc<Mutex<Vec<Member<T, R>>>>,
    task: Arc<AbortOnDropHandle<()>>,
}

/// One caller and what it wants.
pub(crate) struct Member<T, R> {
    pub(crate) item: T,
    reply: oneshot::Sender<R>,
}

impl<T, R> Member<T, R> {
    /// Does the caller still wait?
    pub(crate) fn is_wanted(&self) -> bool {
        !self.reply.is_closed()
    }

    /// Answers the caller. Gives everything back when no caller waits for it any more.
    pub(crate) fn answer(self, result: R) -> Option<(T, R)> {
        self.reply.send(result).err().map(|result| (self.item, result))
    }
}

/// What a batch's task takes its members from.
pub(crate) struct Turn<K: Eq + Hash, T, R> {
    all: Arc<Mutex<HashMap<K, Open<T, R>>>>,
    key: K,
    members: Arc<Mutex<Vec<Member<T, R>>>>,
}

impl<K: Eq + Hash, T, R> Turn<K, T, R> {
    /// Closes the batch and returns the callers in it that still wait; none, when called again.
    pub(crate) fn take(&self) -> Vec<Member<T, R>> {
        let mut all = lock(&self.all);
        if all.get(&self.key).is_some_and(|open| Arc::ptr_eq(&open.members, &self.members)) {
            all.remove(&self.key);
        }
        let members = std::mem::take(&mut *lock(&self.members));
        members.into_iter().filter(Member::is_wanted).collect()
    }
}

impl<K, T, R> Default for Batches<K, T, R> {
    fn default() -> Self {
        Batches(Arc::default())
    }
}

impl<K, T, R> fmt::Debug for Batches<K, T, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Batches")
    }
}

impl<K, T, R> Batches<K, T, R>
where
    K: Eq + Hash + Clone + Send + 'static,
    T: Send + 'static,
    R: Send + 'static,
{
    /// Joins the open batch of `key` if `item` `fits` to what is in it, or opens one, whose task `start` makes.
    ///
    /// CANCEL: dropped before the batch is taken, the item is not in it. Dropped later, the request goes on for the others.
    pub(crate) async fn join<F>(
        &self,
        key: K,
        item: T,
        fits: impl Fn(&T, &mut dyn Iterator<Item = &T>) -> bool,
        start: impl FnOnce(Turn<K, T, R>) -> F,
    ) -> Result<R>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let task = {
            let mut all = lock(&self.0);
            let open = all.get(&key).filter(|open| {
                let members = lock(&open.members);
                fits(&item, &mut members.iter().map(|member| &member.item))
            });
            let member = Member { item, reply };
            match open {
                Some(open) => {
                    lock(&open.members).push(member);
                    Arc::clone(&open.task)
                }
                None => {
                    let members = Arc::new(Mutex::new(vec![member]));
                    let turn = Turn {
                        all: Arc::clone(&self.0),
                        key: key.clone(),
                        members: Arc::clone(&members),
                    };
                    let work = start(turn);
                    let task = tokio::spawn(async move {
                        tokio::time::sleep(JOIN_WAIT).await;
                        work.await;
                    });
                    let task = Arc::new(AbortOnDropHandle::new(task));
                    all.insert(key, Open { members, task: Arc::clone(&task) });
                    task
                }
            }
        };
        let result = answer.await;
        drop(task);
        result.map_err(|_| Error::new(ErrorKind::Io, "a request for several files was given up"))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::sync::Semaphore;

    type Numbers = Batches<&'static str, u32, (u32, usize)>;

    async fn add(
        numbers: &Numbers,
        gate: &Arc<Semaphore>,
        runs: &Arc<AtomicUsize>,
        item: u32,
    ) -> Result<(u32, usize)> {
        let (gate, runs) = (Arc::clone(gate), Arc::clone(runs));
        let fits = |_: &u32, others: &mut dyn Iterator<Item = &u32>| others.count() < 3;
        numbers
            .join("key", item, fits, |turn| async move {
                gate.acquire().await.expect("open").forget();
                runs.fetch_add(1, Ordering::Relaxed);
                let members = turn.take();
                let count = members.len();
                for member in members {
                    let item = member.item;
                    let _ = member.answer((item, count));
                }
            })
            .await
    }

    #[tokio::test]
    async fn those_who_come_before_the_turn_travel_together_and_get_their_own_answer() {
        let (numbers, runs) = (Numbers::default(), Arc::default());
        let gate = Arc::new(Semaphore::new(0));
        let calls = futures::future::join_all((0..7).map(|item| add(&numbers, &gate, &runs, item)));
        let open = async {
            tokio::task::yield_now().await;
            gate.add_permits(3);
        };
        let (answers, ()) = futures::join!(calls, open);
        let answers: Vec<_> = answers.into_iter().map(|answer| answer.expect("answered")).collect();
        assert_eq!(answers, [(0, 3), (1, 3), (2, 3), (3, 3), (4, 3), (5, 3), (6, 1)]);
        assert_eq!(runs.load(Ordering::Relaxed), 3);
        assert!(lock(&numbers.0).is_empty(), "nothing is left open");
    }

    #[tokio::test]
    async fn who_is_dropped_before_the_turn_is_not_in_the_request() {
        let (numbers, runs) = (Numbers::default(), Arc::default());
        let gate = Arc::new(Semaphore::new(0));
        let mut first = Box::pin(add(&numbers, &gate, &runs, 1));
        assert!(futures::poll!(&mut first).is_pending());
        let mut second = Box::pin(add(&numbers, &gate, &runs, 2));
        assert!(futures::poll!(&mut second).is_pending());
        drop(first);
        gate.add_permits(1);
        assert_eq!(second.await.expect("answered"), (2, 1));
    }

    #[tokio::test]
    async fn a_task_that_nobody_waits_for_ends() {
        let (numbers, gate) = (Numbers::default(), Arc::new(Semaphore::new(0)));
        let ended = Arc::new(());
        let witness = Arc::clone(&ended);
        let fits = |_: &u32, _: &mut dyn Iterator<Item = &u32>| true;
        let mut call = Box::pin(numbers.join("key", 1, fits, |turn| async move {
            let _members = turn.take();
            let _witness = witness;
            let _never = gate.acquire().await;
        }));
        assert!(futures::poll!(&mut call).is_pending());
        tokio::task::yield_now().await;
        drop(call);
        // When the task is taken down is the runtime's affair.
        while Arc::strong_count(&ended) > 1 {
            tokio::task::yield_now().await;
        }
    }
}
