//! How long floods are waited for in all: a lock-out that never ends must not keep a job for ever.
//!
//! A *run* of floods begins with the first one and ends when every endpoint that reported one has answered as it should. The
//! pauses of a run are added up, whichever call they were for, because every call waits for them. What would make the sum
//! longer than the patience is not waited for, and until that pause is over no other call of this process waits either.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The waits of this process.
#[derive(Debug)]
pub(super) struct Patience {
    limit: Duration,
    /// A run this long after its last pause is over: nobody asked again what it was about.
    forgotten: Duration,
    run: Mutex<Option<Run>>,
}

#[derive(Debug)]
struct Run {
    /// Which endpoints have not answered well since.
    verbs: BTreeSet<&'static str>,
    /// The sum of the pauses so far.
    waited: Duration,
    /// When the latest pause ends.
    until: Instant,
    /// Was it too much?
    is_over: bool,
}

impl Patience {
    /// At most `limit` in a run.
    pub(super) fn new(limit: Duration, forgotten: Duration) -> Self {
        Patience { limit, forgotten, run: Mutex::default() }
    }

    /// At most so long may one call wait for pauses that others brought about.
    pub(super) fn limit(&self) -> Duration {
        self.limit
    }

    /// `verb` has reported a flood, after which every call pauses for `pause`. Fails with how long was waited in vain so far
    /// when that is too much.
    pub(super) fn flooded(&self, verb: &'static str, pause: Duration) -> Result<(), Duration> {
        let now = Instant::now();
        let mut run = self.lock();
        let run = match run.as_mut().filter(|run| now < run.until + self.forgotten) {
            Some(known) => known,
            None => run.insert(Run {
                verbs: BTreeSet::new(),
                waited: Duration::ZERO,
                until: now,
                is_over: false,
            }),
        };
        run.verbs.insert(verb);
        // Of a pause that goes on already only what comes on top of it counts.
        let more = (now + pause).saturating_duration_since(run.until.max(now));
        run.is_over |= run.waited + more > self.limit;
        run.until = run.until.max(now + pause);
        if run.is_over {
            return Err(run.waited);
        }
        run.waited += more;
        Ok(())
    }

    /// `verb` has answered as it should.
    pub(super) fn answered(&self, verb: &'static str) {
        let mut run = self.lock();
        if let Some(known) = run.as_mut() {
            known.verbs.remove(verb);
            if known.verbs.is_empty() {
                *run = None;
            }
        }
    }

    /// How long was waited in vain, if that was too long and the pause that follows is not over.
    pub(super) fn lost(&self) -> Option<Duration> {
        let run = self.lock();
        run.as_ref().filter(|run| run.is_over && Instant::now() < run.until).map(|run| run.waited)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Run>> {
        self.run.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn pauses_of_all_endpoints_add_up_until_each_has_answered() {
        let patience = Patience::new(10 * MINUTE, 10 * MINUTE);
        let flooded = |verb| patience.flooded(verb, 4 * MINUTE);
        assert_eq!(flooded("a"), Ok(()));
        // The same pause, told to another call.
        assert_eq!(flooded("b"), Ok(()));
        tokio::time::sleep(4 * MINUTE).await;
        patience.answered("a");
        assert_eq!(flooded("b"), Ok(()));
        tokio::time::sleep(4 * MINUTE).await;
        assert_eq!(patience.lost(), None);
        assert_eq!(flooded("b"), Err(8 * MINUTE));
        assert_eq!(patience.lost(), Some(8 * MINUTE));
        tokio::time::sleep(4 * MINUTE).await;
        // One more try is free, but not another wait.
        assert_eq!(patience.lost(), None);
        assert_eq!(flooded("b"), Err(8 * MINUTE));
        tokio::time::sleep(4 * MINUTE).await;
        patience.answered("b");
        assert_eq!(flooded("b"), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn an_old_run_is_forgotten_and_no_patience_is_no_wait() {
        let patience = Patience::new(10 * MINUTE, 10 * MINUTE);
        assert_eq!(patience.flooded("a", 9 * MINUTE), Ok(()));
        tokio::time::sleep(20 * MINUTE).await;
        assert_eq!(patience.flooded("a", 9 * MINUTE), Ok(()));
        let none = Patience::new(Duration::ZERO, 10 * MINUTE);
        assert_eq!(none.flooded("a", MINUTE), Err(Duration::ZERO));
    }
}
