//! Applies the rate limits to the requests of the API host.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use crate::Limits;

/// What a request counts as, beyond being a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cost {
    /// Nothing further.
    Plain,
    /// A listing of one folder.
    Folder(u64),
    /// A listing of the whole account.
    Account,
    /// A look at the account.
    User,
}

/// The memory of the rate limits.
#[derive(Debug)]
pub(crate) struct Limiter {
    limits: Limits,
    recent: VecDeque<Instant>,
    refusals: VecDeque<Instant>,
    last: HashMap<Counter, Instant>,
    locked: HashMap<String, Instant>,
    banned_until: Option<Instant>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Counter {
    AnyListing,
    /// Endpoint and folder.
    Folder(String, u64),
    Account,
    User,
    UserAddress,
}

/// Requests that arrive this share of a gap early are let through: arrival jitters by
/// milliseconds, and a client that keeps exactly to the rules must not be punished for it.
const TOLERANCE: f64 = 0.05;

fn tolerant(gap: Duration) -> Duration {
    gap.mul_f64(1.0 - TOLERANCE)
}

impl Limiter {
    /// A limiter that has seen nothing yet.
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            recent: VecDeque::new(),
            refusals: VecDeque::new(),
            last: HashMap::new(),
            locked: HashMap::new(),
            banned_until: None,
        }
    }

    /// Whether this request may go on. A refusal locks its endpoint; requests during a lock do not
    /// prolong it, and refused requests count for no other rule.
    pub(crate) fn admit(&mut self, endpoint: &str, cost: Cost, now: Instant) -> bool {
        if self.banned_until.is_some_and(|until| now < until) {
            return false;
        }
        if self.locked.get(endpoint).is_some_and(|until| now < *until) {
            return false;
        }
        let counters = self.counters(endpoint, cost);
        let too_early = |(counter, gap): &(Counter, Duration)| {
            let last = self.last.get(counter);
            last.is_some_and(|last| now.duration_since(*last) < tolerant(*gap))
        };
        if counters.iter().any(too_early) || self.is_global_full(now) {
            self.locked.insert(endpoint.to_owned(), now + self.limits.lock);
            return false;
        }
        if self.limits.global.is_some() {
            self.recent.push_back(now);
        }
        for (counter, _) in counters {
            self.last.insert(counter, now);
        }
        true
    }

    fn is_global_full(&mut self, now: Instant) -> bool {
        let Some(rate) = self.limits.global else { return false };
        let span = tolerant(rate.span);
        while self.recent.front().is_some_and(|first| now.duration_since(*first) >= span) {
            self.recent.pop_front();
        }
        self.recent.len() >= rate.requests as usize
    }

    fn counters(&self, endpoint: &str, cost: Cost) -> Vec<(Counter, Duration)> {
        let limits = &self.limits;
        let candidates = match cost {
            Cost::Plain => Vec::new(),
            Cost::Folder(id) => vec![
                (Counter::Folder(endpoint.to_owned(), id), limits.folder),
                (Counter::AnyListing, limits.listing),
            ],
            Cost::Account => {
                vec![(Counter::Account, limits.account), (Counter::AnyListing, limits.listing)]
            }
            Cost::User => {
                vec![(Counter::User, limits.user), (Counter::UserAddress, limits.user_ip)]
            }
        };
        candidates.into_iter().filter_map(|(counter, gap)| Some((counter, gap?))).collect()
    }

    /// Counts an answer that repeats at the client's peril: 401, 403, 404 or 410.
    pub(crate) fn note_refusal(&mut self, now: Instant) {
        let Some(rate) = self.limits.ban else { return };
        if self.banned_until.is_some_and(|until| now < until) {
            return;
        }
        self.refusals.push_back(now);
        while self.refusals.front().is_some_and(|first| now.duration_since(*first) >= rate.span) {
            self.refusals.pop_front();
        }
        if self.refusals.len() >= rate.requests as usize {
            self.refusals.clear();
            self.banned_until = Some(now + self.limits.lock);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Admits requests at the given milliseconds and returns which were let through.
    fn run(limiter: &mut Limiter, start: Instant, requests: &[(u64, &str, Cost)]) -> Vec<bool> {
        let admit = |(at, endpoint, cost): &(u64, &str, Cost)| {
            limiter.admit(endpoint, *cost, start + Duration::from_millis(*at))
        };
        requests.iter().map(admit).collect()
    }

    fn documented() -> (Limiter, Instant) {
        (Limiter::new(Limits::documented()), Instant::now())
    }

    #[tokio::test(start_paused = true)]
    async fn three_a_second_pass_and_a_fourth_locks_its_endpoint_only() {
        let (mut limiter, start) = documented();
        let passed = run(
            &mut limiter,
            start,
            &[
                (0, "file/rm", Cost::Plain),
                (1, "file/rm", Cost::Plain),
                (2, "file/rm", Cost::Plain),
                (500, "file/rm", Cost::Plain),
                (1100, "file/mv", Cost::Plain),
                (29_000, "file/rm", Cost::Plain),
                (30_600, "file/rm", Cost::Plain),
            ],
        );
        assert_eq!(passed, [true, true, true, false, true, false, true]);
    }

    #[tokio::test(start_paused = true)]
    async fn exactly_spaced_requests_with_jitter_are_never_flooded() {
        let (mut limiter, start) = documented();
        let mut random = fastrand::Rng::with_seed(1);
        for request in 1..200_u64 {
            let at = request * 1000 / 3 + random.u64(0..10);
            assert!(limiter.admit("file/info", Cost::Plain, start + Duration::from_millis(at)));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_folder_waits_30_s_for_each_listing_endpoint_on_its_own() {
        let (mut limiter, start) = documented();
        let passed = run(
            &mut limiter,
            start,
            &[
                (0, "file/ls", Cost::Folder(5)),
                (3000, "folder/ls", Cost::Folder(5)),
                (6000, "file/ls", Cost::Folder(6)),
                (29_900, "file/ls", Cost::Folder(5)),
                (33_000, "file/ls", Cost::Folder(6)),
                (40_000, "file/ls", Cost::Folder(5)),
                (40_001, "folder/ls", Cost::Folder(5)),
            ],
        );
        assert_eq!(passed, [true, true, true, true, false, false, true]);
    }

    #[tokio::test(start_paused = true)]
    async fn two_listings_are_3_s_apart_and_the_lock_ends() {
        let (mut limiter, start) = documented();
        let passed = run(
            &mut limiter,
            start,
            &[
                (0, "file/ls", Cost::Folder(1)),
                (1000, "file/ls", Cost::Folder(2)),
                (5000, "file/ls", Cost::Folder(2)),
                (5001, "folder/ls", Cost::Folder(2)),
                (31_100, "file/ls", Cost::Folder(2)),
            ],
        );
        assert_eq!(passed, [true, false, false, true, true]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_account_is_listed_once_an_hour_and_looked_at_once_in_5_minutes() {
        let (mut limiter, start) = documented();
        let passed = run(
            &mut limiter,
            start,
            &[
                (0, "file/ls", Cost::Account),
                (0, "user/info", Cost::User),
                (200_000, "user/info", Cost::User),
                (300_000, "user/info", Cost::User),
                (1_800_000, "file/ls", Cost::Account),
                (3_600_000, "file/ls", Cost::Account),
            ],
        );
        assert_eq!(passed, [true, true, false, true, false, true]);
    }

    #[tokio::test(start_paused = true)]
    async fn repeated_refusals_lock_everything_for_a_while() {
        let (mut limiter, start) = documented();
        for request in 0..20 {
            limiter.note_refusal(start + Duration::from_millis(request * 500));
        }
        let passed = run(
            &mut limiter,
            start,
            &[(9600, "file/mv", Cost::Plain), (40_000, "file/mv", Cost::Plain)],
        );
        assert_eq!(passed, [false, true]);
    }
}
