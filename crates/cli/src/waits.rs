//! What a remote has asked to wait for, so that the progress lines can say why nothing moves and for how long.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Shorter rests are the usual distance between requests.
const SHORTEST: Duration = Duration::from_secs(1);

/// A wait that is going on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wait {
    pub(crate) remote: String,
    pub(crate) why: &'static str,
    pub(crate) left: Duration,
}

/// The waits of this process: one for each remote, the one that ends last.
#[derive(Debug, Default)]
pub(crate) struct Waits(Mutex<BTreeMap<String, (Instant, &'static str)>>);

impl Waits {
    /// Nothing is asked of `remote` for so long.
    pub(crate) fn begin(&self, remote: &str, why: &'static str, wait: Duration, now: Instant) {
        let mut waits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waits.retain(|_, (until, _)| *until > now);
        let until = now + wait;
        if waits.get(remote).is_none_or(|(before, _)| *before < until) {
            waits.insert(remote.to_owned(), (until, why));
        }
    }

    /// The wait that goes on for longest.
    pub(crate) fn longest(&self, now: Instant) -> Option<Wait> {
        let waits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (remote, (until, why)) = waits.iter().max_by_key(|(_, (until, _))| *until)?;
        let left = until.saturating_duration_since(now);
        (left >= SHORTEST).then(|| Wait { remote: remote.clone(), why, left })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_wait_is_told_until_less_than_a_second_is_left() {
        let (waits, start) = (Waits::default(), Instant::now());
        let seconds = Duration::from_secs;
        assert_eq!(waits.longest(start), None);
        waits.begin("a:", "flood", seconds(30), start);
        waits.begin("a:", "routine", seconds(3), start);
        waits.begin("b:", "budget", seconds(10), start);
        let left = |at: u64| waits.longest(start + seconds(at)).map(|wait| (wait.why, wait.left));
        assert_eq!(left(0), Some(("flood", seconds(30))));
        assert_eq!(left(29), Some(("flood", seconds(1))));
        assert_eq!(waits.longest(start + Duration::from_millis(29_500)), None);
        assert_eq!(left(40), None);
    }
}
