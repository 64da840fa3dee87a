//! Many pieces of short work on few threads.
//!
//! A hop to another thread and back costs more than copying a small file. Pieces that wait at the same time are therefore
//! done one after another by one thread, and their results are given back together. Only for work of microseconds: a piece
//! that waits for the disk would hold up those behind it.

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ketch_core::{Error, ErrorKind, Result};
use tokio::sync::oneshot;

/// Pieces that are done before their results are given back.
const BATCH_PIECES: usize = 32;
/// Threads at most.
const THREADS_MAX: usize = 4;

thread_local! {
    /// The folder that was checked last in the batch that this thread works on; zero for none, `None` outside of batches.
    static LOOKED_AT: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Was folder `number` checked by an earlier piece of the batch that this thread works on? It is checked once for some
/// dozens of small files, and not again for each of them.
pub(crate) fn was_looked_at(number: u64) -> bool {
    LOOKED_AT.get() == Some(number)
}

/// Records that folder `number` was checked. Outside of batches this is forgotten at once.
pub(crate) fn look_at(number: u64) {
    LOOKED_AT.set(LOOKED_AT.get().map(|_| number));
}

/// For as long as this exists, the thread works on a batch.
struct InBatch;

impl InBatch {
    fn begin() -> Self {
        LOOKED_AT.set(Some(0));
        InBatch
    }
}

impl Drop for InBatch {
    fn drop(&mut self) {
        LOOKED_AT.set(None);
    }
}

/// Does a piece of work, and returns the function that delivers its result.
type Piece = Box<dyn FnOnce() -> Delivery + Send>;
type Delivery = Box<dyn FnOnce() + Send>;

/// The waiting pieces, and how many threads work on them.
#[derive(Default)]
struct State {
    waiting: VecDeque<Piece>,
    threads: usize,
}

/// A queue of short work. Bounded by its callers: each waits for its own piece.
pub(crate) struct Batcher {
    state: Mutex<State>,
    threads: usize,
}

impl std::fmt::Debug for Batcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batcher").field("threads", &self.threads).finish_non_exhaustive()
    }
}

impl Default for Batcher {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Batcher { state: Mutex::default(), threads: cores.min(THREADS_MAX) }
    }
}

impl Batcher {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does `work` on another thread.
    ///
    /// CANCEL: dropped before `work` has begun, it never begins; after that it runs to its end and its result is dropped.
    pub(crate) async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (sender, receiver) = oneshot::channel();
        let piece = move || -> Delivery {
            if sender.is_closed() {
                return Box::new(|| ());
            }
            let result = work();
            // The receiver was dropped: the result is not wanted.
            Box::new(move || drop(sender.send(result)))
        };
        self.push(Box::new(piece));
        receiver.await.unwrap_or_else(|_| {
            Err(Error::new(ErrorKind::Io, "a thread of the disk stopped; this is a bug"))
        })
    }

    fn push(self: &Arc<Self>, piece: Piece) {
        let mut state = self.state();
        state.waiting.push_back(piece);
        if state.threads < self.threads {
            state.threads += 1;
            drop(state);
            Thread::start(Arc::clone(self));
        }
    }
}

/// One thread's part in a batcher.
struct Thread {
    batcher: Arc<Batcher>,
    is_counted: bool,
}

impl Thread {
    fn start(batcher: Arc<Batcher>) {
        // Not joined: it ends by itself when nothing waits.
        drop(tokio::task::spawn_blocking(move || Thread { batcher, is_counted: true }.work()));
    }

    fn work(mut self) {
        while let Some(pieces) = self.take() {
            let in_batch = InBatch::begin();
            let deliveries: Vec<Delivery> = pieces.into_iter().map(|piece| piece()).collect();
            drop(in_batch);
            deliveries.into_iter().for_each(|deliver| deliver());
        }
    }

    /// This thread's share of the waiting pieces. `None`: there are none, and the thread is not counted any more.
    fn take(&mut self) -> Option<Vec<Piece>> {
        let mut state = self.batcher.state();
        let share = state.waiting.len().div_ceil(self.batcher.threads).min(BATCH_PIECES);
        if share == 0 {
            // Under the same lock, so that the next caller starts a thread.
            state.threads -= 1;
            self.is_counted = false;
            return None;
        }
        Some(state.waiting.drain(..share).collect())
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        // A piece panicked. Another thread takes the pieces behind it.
        if self.is_counted {
            Thread::start(Arc::clone(&self.batcher));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[tokio::test(flavor = "multi_thread")]
    async fn every_piece_is_done_once_and_answered_by_its_own_result() {
        let batcher = Arc::new(Batcher::default());
        let done = Arc::new(AtomicUsize::new(0));
        for _ in 0..20 {
            let pieces = (0..200).map(|number| {
                let (batcher, done) = (Arc::clone(&batcher), Arc::clone(&done));
                async move {
                    let work = move || {
                        done.fetch_add(1, Ordering::Relaxed);
                        Ok(number)
                    };
                    assert_eq!(batcher.run(work).await.expect("done"), number);
                }
            });
            futures::future::join_all(pieces).await;
        }
        assert_eq!(done.load(Ordering::Relaxed), 4_000);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_folder_is_known_within_a_batch_and_to_nobody_else() {
        let batcher = Arc::new(Batcher::default());
        for _ in 0..50 {
            // Whatever the piece before knew, a batch of its own begins with nothing.
            let known = batcher.run(|| {
                let before = was_looked_at(7);
                look_at(7);
                Ok((before, was_looked_at(7), was_looked_at(8)))
            });
            assert_eq!(known.await.expect("done"), (false, true, false));
        }
        look_at(7);
        assert!(!was_looked_at(7), "outside of a batch nothing is known");
        let broken = batcher.run(|| -> Result<()> {
            look_at(7);
            panic!("on purpose")
        });
        assert_eq!(broken.await.expect_err("broken").kind(), ErrorKind::Io);
        let known = tokio::task::spawn_blocking(|| was_looked_at(7)).await.expect("ended");
        assert!(!known, "also after a panic");
    }

    #[tokio::test]
    async fn a_piece_that_panics_fails_alone() {
        let batcher = Arc::new(Batcher::default());
        for _ in 0..10 {
            let broken = batcher.run(|| -> Result<()> { panic!("on purpose") });
            assert_eq!(broken.await.expect_err("broken").kind(), ErrorKind::Io);
            assert_eq!(batcher.run(|| Ok(1)).await.expect("goes on"), 1);
        }
    }

    #[tokio::test]
    async fn a_piece_that_nobody_wants_is_not_begun() {
        let batcher = Arc::new(Batcher::default());
        let begun = Arc::new(AtomicUsize::new(0));
        let (open, gate) = std::sync::mpsc::channel::<()>();
        let (gate, waiting) = (Arc::new(Mutex::new(gate)), Arc::new(AtomicUsize::new(0)));
        let mut blocked = Vec::new();
        for _ in 0..batcher.threads {
            let (batcher, gate) = (Arc::clone(&batcher), Arc::clone(&gate));
            let waiting = Arc::clone(&waiting);
            blocked.push(tokio::spawn(async move {
                let wait = move || {
                    waiting.fetch_add(1, Ordering::Relaxed);
                    Ok(gate.lock().expect("not poisoned").recv().is_ok())
                };
                batcher.run(wait).await
            }));
        }
        while waiting.load(Ordering::Relaxed) < batcher.threads {
            tokio::task::yield_now().await;
        }
        let counted = Arc::clone(&begun);
        let unwanted = batcher.run(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            Ok(())
        });
        assert!(futures::FutureExt::now_or_never(unwanted).is_none(), "it waits");
        for blocked in blocked {
            open.send(()).expect("somebody waits");
            blocked.await.expect("ended").expect("done");
        }
        batcher.run(|| Ok(())).await.expect("everything before it is over");
        assert_eq!(begun.load(Ordering::Relaxed), 0);
    }
}
