//! The rules as arithmetic: times in, a verdict out, no clock and no I/O. Times are milliseconds since 1970.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::bill::Tariff;
use crate::error::LOCKED_FOR;

/// Between any two calls: two a second, where three are documented and two observed (sections 4.1 and 4.2).
const ANY: u64 = 500;
/// Between any two listings.
const LISTINGS: u64 = 3_000;
/// Between two listings of one folder by one endpoint.
const SAME_FOLDER: u64 = 30_000;
/// Between two calls of user/info.
const USER_INFO: u64 = 300_000;
/// Between two listings of the whole account.
const ACCOUNT: u64 = HOUR;
/// How long the first flood lock is taken to last, and the longest.
const LOCK_FIRST: u64 = 30_000;
const LOCK_MAX: u64 = 300_000;
/// Which part of a pause it may be longer by.
const JITTER_SHARE: u64 = 16;
/// The time over which a budget of requests is kept, and the longest wait for it: a call has half an hour in all.
const HOUR: u64 = 3_600_000;
const BUDGET_WAIT: u64 = 20 * 60_000;
/// So many refusals in a minute are made at most: repeated ones are punished with a ban, after how many is not documented.
const REFUSALS: usize = 10;
const REFUSALS_SPAN: u64 = 60_000;
/// A flood this long after the end of the one before counts as the first.
const LOCK_FORGOTTEN: u64 = 600_000;

/// Which of the two listing calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listing {
    /// `file/ls.cgi`
    Files,
    /// `folder/ls.cgi`
    Folders,
}

/// What is to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Want {
    /// Any call that has no rule of its own.
    Call,
    /// A listing of a folder.
    Listing(Listing, u64),
    /// `user/info.cgi`
    UserInfo,
    /// A listing of the whole account.
    Account,
}

/// Whether a call may go now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Now; it has been noted.
    Go,
    /// Every call has to wait this long.
    WaitAny(Duration, Because),
    /// Every listing has to wait this long.
    WaitListing(Duration),
    /// Every call has to wait this long, because of a flood.
    WaitFlood(Duration),
    /// Only this folder has to wait this long.
    WaitOwn(Duration),
    /// The wait is too long for a call, of any kind.
    Refuse(Duration),
    /// The budget for the hour is used up, of so many calls, and the wait for it too long.
    RefuseBudget(Duration, usize),
    /// The wait is too long for a call, of this kind only.
    RefuseOwn(Duration),
}

/// What every call waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Because {
    /// The distance between two calls.
    Distance,
    /// The budget for the hour.
    Budget,
    /// Too many calls were refused.
    Refusals,
}

/// The times of the last calls, and what must be waited for.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct State {
    any: u64,
    listing: u64,
    folders: BTreeMap<String, u64>,
    user_info: u64,
    account: u64,
    pub(super) cooldown_until: u64,
    cooldown: u64,
    locked_until: u64,
    /// When the calls of the last hour were made; kept only for a budget.
    calls: VecDeque<u64>,
    /// When calls of the last minute were refused.
    refusals: VecDeque<u64>,
    pub(super) usage: Option<[Option<u64>; 3]>,
}

/// The distances, divided by the scale.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    any: u64,
    listings: u64,
    pub(super) same_folder: u64,
    user_info: u64,
    account: u64,
    lock_first: u64,
    lock_max: u64,
    pub(super) lock_forgotten: u64,
    locked: u64,
    /// How many calls in how long.
    budget: Option<(usize, u64)>,
    budget_wait: u64,
    /// In which time only so many refusals may be brought about; 0: in none.
    refusals_span: u64,
}

impl Rules {
    /// The documented rules. Not paced: no distances, but a lock-out is still waited for.
    pub(crate) fn new(paced: bool, scale: u32, requests_per_hour: Option<u32>) -> Self {
        let scaled = |wait: u64| wait.div_ceil(u64::from(scale.max(1)));
        // One more than asked for: times are whole milliseconds, cut off.
        let distance = |wait: u64| if paced { scaled(wait) + 1 } else { 0 };
        Rules {
            any: distance(ANY),
            listings: distance(LISTINGS),
            same_folder: distance(SAME_FOLDER),
            user_info: distance(USER_INFO),
            account: distance(ACCOUNT),
            lock_first: scaled(LOCK_FIRST),
            lock_max: scaled(LOCK_MAX),
            lock_forgotten: scaled(LOCK_FORGOTTEN),
            locked: scaled(LOCKED_FOR.as_millis() as u64),
            budget: requests_per_hour.map(|most| (most as usize, scaled(HOUR))),
            budget_wait: scaled(BUDGET_WAIT),
            refusals_span: distance(REFUSALS_SPAN),
        }
    }

    /// The same for a person.
    pub(super) fn tariff(&self) -> Tariff {
        Tariff {
            any: Duration::from_millis(self.any),
            listings: Duration::from_millis(self.listings),
            budget: self.budget.map(|(most, span)| (most as u64, Duration::from_millis(span))),
        }
    }

    /// Lets `want` go if every rule allows it now.
    pub(super) fn grant(&self, state: &mut State, now: u64, want: Want) -> Verdict {
        let locked = until(state.locked_until, now, self.locked);
        if locked > 0 {
            return Verdict::Refuse(Duration::from_millis(locked));
        }
        let short_of_budget = self.budget_wait(state, now);
        if short_of_budget > self.budget_wait {
            let most = self.budget.map_or(0, |(most, _)| most);
            return Verdict::RefuseBudget(Duration::from_millis(short_of_budget), most);
        }
        match want {
            Want::Call => {}
            Want::UserInfo => {
                let wait = since(state.user_info, now, self.user_info);
                if wait > 0 {
                    return Verdict::RefuseOwn(Duration::from_millis(wait));
                }
            }
            Want::Account => {
                let wait = since(state.account, now, self.account);
                if wait > 0 {
                    return Verdict::RefuseOwn(Duration::from_millis(wait));
                }
                let wait = since(state.listing, now, self.listings);
                if wait > 0 {
                    return Verdict::WaitListing(Duration::from_millis(wait));
                }
            }
            Want::Listing(endpoint, folder) => {
                let last = state.folders.get(&key(endpoint, folder)).copied().unwrap_or(0);
                let wait = since(last, now, self.same_folder);
                if wait > 0 {
                    return Verdict::WaitOwn(Duration::from_millis(wait));
                }
                let wait = since(state.listing, now, self.listings);
                if wait > 0 {
                    return Verdict::WaitListing(Duration::from_millis(wait));
                }
            }
        }
        let (wait, because) = [
            (since(state.any, now, self.any), Because::Distance),
            (short_of_budget, Because::Budget),
            (self.refusals_wait(state, now), Because::Refusals),
        ]
        .into_iter()
        .max_by_key(|(wait, _)| *wait)
        .unwrap_or((0, Because::Distance));
        let flood = until(state.cooldown_until, now, self.longest_pause());
        if flood > wait {
            return Verdict::WaitFlood(Duration::from_millis(flood));
        }
        if wait > 0 {
            return Verdict::WaitAny(Duration::from_millis(wait), because);
        }
        state.any = now;
        if self.budget.is_some() {
            state.calls.push_back(now);
        }
        match want {
            Want::Call => {}
            Want::UserInfo => state.user_info = now,
            Want::Account => (state.account, state.listing) = (now, now),
            Want::Listing(endpoint, folder) => {
                state.listing = now;
                state.folders.retain(|_, last| since(*last, now, self.same_folder) > 0);
                state.folders.insert(key(endpoint, folder), now);
            }
        }
        Verdict::Go
    }

    /// Are any distances kept?
    pub(super) fn keeps_distances(&self) -> bool {
        self.listings > 0
    }

    /// How long `want` would have to wait now, as far as the first rule says that is in its way.
    pub(super) fn wait(&self, state: &State, now: u64, want: Want) -> Duration {
        match self.grant(&mut state.clone(), now, want) {
            Verdict::Go => Duration::ZERO,
            Verdict::WaitAny(wait, _)
            | Verdict::WaitListing(wait)
            | Verdict::WaitFlood(wait)
            | Verdict::WaitOwn(wait)
            | Verdict::Refuse(wait)
            | Verdict::RefuseBudget(wait, _)
            | Verdict::RefuseOwn(wait) => wait,
        }
    }

    /// How long it is until the budget has room for one call.
    fn budget_wait(&self, state: &mut State, now: u64) -> u64 {
        let Some((most, span)) = self.budget else { return 0 };
        state.calls.retain(|at| since(*at, now, span) > 0);
        match state.calls.len().checked_sub(most).and_then(|first| state.calls.get(first)) {
            Some(first) => since(*first, now, span),
            None => 0,
        }
    }

    /// How long it is until another refusal would do no harm.
    fn refusals_wait(&self, state: &mut State, now: u64) -> u64 {
        state.refusals.retain(|at| since(*at, now, self.refusals_span) > 0);
        match state.refusals.len().checked_sub(REFUSALS).and_then(|at| state.refusals.get(at)) {
            Some(first) => since(*first, now, self.refusals_span),
            None => 0,
        }
    }

    /// Notes that a call was refused.
    pub(super) fn refused(&self, state: &mut State, now: u64) {
        if self.refusals_span > 0 {
            state.refusals.push_back(now);
            while state.refusals.len() > 2 * REFUSALS {
                state.refusals.pop_front();
            }
        }
    }

    /// Counts the distances to the next listing from now.
    pub(super) fn answered(&self, state: &mut State, now: u64, want: Want) {
        match want {
            Want::Listing(endpoint, folder) => {
                state.listing = now;
                state.folders.insert(key(endpoint, folder), now);
            }
            Want::Account => (state.account, state.listing) = (now, now),
            Want::Call | Want::UserInfo => {}
        }
    }

    /// Takes back that a folder was listed.
    pub(super) fn unsent(&self, state: &mut State, want: Want) {
        match want {
            Want::Listing(endpoint, folder) => {
                state.folders.remove(&key(endpoint, folder));
            }
            Want::Account => state.account = 0,
            Want::Call | Want::UserInfo => {}
        }
    }

    /// Begins a cooldown, twice as long as the last one if that was not long ago. Several answers to calls that were on
    /// their way together count as one flood. Returns how long it lasts: by `jitter`, at least 0 and below 1, up to a
    /// sixteenth more, so that machines that share an account do not all ask again at one moment.
    pub(super) fn flooded(&self, state: &mut State, now: u64, want: Want, jitter: f64) -> u64 {
        if want == Want::UserInfo {
            state.user_info = now;
            return self.user_info;
        }
        let left = until(state.cooldown_until, now, self.longest_pause());
        if left > 0 {
            return left;
        }
        let is_new = state.cooldown == 0
            || state.cooldown_until > now
            || now - state.cooldown_until > self.lock_forgotten;
        let wait = if is_new { self.lock_first } else { state.cooldown * 2 };
        state.cooldown = wait.min(self.lock_max);
        let pause = state.cooldown + ((state.cooldown / JITTER_SHARE) as f64 * jitter) as u64;
        state.cooldown_until = now + pause;
        pause
    }

    fn longest_pause(&self) -> u64 {
        self.lock_max + self.lock_max / JITTER_SHARE
    }

    /// Begins a long lock.
    pub(super) fn locked(&self, state: &mut State, now: u64) {
        state.locked_until = now + self.locked;
    }

    /// What user/info said, while it may not be asked again.
    pub(super) fn kept_usage(&self, state: &State, now: u64) -> Option<[Option<u64>; 3]> {
        state.usage.filter(|_| since(state.user_info, now, self.user_info) > 0)
    }
}

fn key(endpoint: Listing, folder: u64) -> String {
    match endpoint {
        Listing::Files => format!("file/{folder}"),
        Listing::Folders => format!("folder/{folder}"),
    }
}

/// How long to wait so that `distance` lies between `last` and now. A time in the future comes from a clock that was put
/// back: it counts as now when it is near, and not at all when it is farther than any call could be.
fn since(last: u64, now: u64, distance: u64) -> u64 {
    if last > now.saturating_add(distance) {
        return 0;
    }
    last.min(now).saturating_add(distance).saturating_sub(now)
}

/// How long it is until `end`; an end farther away than `longest` is no real one.
fn until(end: u64, now: u64, longest: u64) -> u64 {
    let wait = end.saturating_sub(now);
    if wait > longest { 0 } else { wait }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000_000;

    #[test]
    fn times_in_the_far_future_are_ignored() {
        let rules = Rules::new(true, 1, None);
        let mut state = State {
            any: u64::MAX,
            listing: NOW + 1_000_000,
            user_info: u64::MAX,
            cooldown_until: NOW + 10_000_000,
            cooldown: u64::MAX / 2,
            locked_until: u64::MAX,
            ..State::default()
        };
        state.folders.insert(key(Listing::Files, 1), u64::MAX);
        let want = Want::Listing(Listing::Files, 1);
        assert_eq!(rules.grant(&mut state, NOW, want), Verdict::Go);
        assert!(matches!(rules.grant(&mut state, NOW, want), Verdict::WaitOwn(_)));
        assert_eq!(rules.flooded(&mut state, NOW, Want::Call, 0.0), LOCK_FIRST);
    }

    #[test]
    fn a_pause_is_up_to_a_sixteenth_longer_and_the_next_one_is_not_longer_for_it() {
        let rules = Rules::new(true, 1, None);
        for jitter in [0.0, 0.5, 0.999] {
            let mut state = State::default();
            let mut now = NOW;
            for expected in [LOCK_FIRST, 2 * LOCK_FIRST, 4 * LOCK_FIRST, 8 * LOCK_FIRST, LOCK_MAX] {
                let pause = rules.flooded(&mut state, now, Want::Call, jitter);
                let more = (expected / JITTER_SHARE) as f64 * jitter;
                assert_eq!(pause, expected + more as u64);
                let verdict = rules.grant(&mut state, now, Want::Call);
                assert_eq!(verdict, Verdict::WaitFlood(Duration::from_millis(pause)));
                now += pause;
                assert_eq!(rules.grant(&mut state, now, Want::Call), Verdict::Go);
            }
        }
    }

    #[test]
    fn a_clock_that_was_put_back_a_little_costs_one_distance_at_most() {
        let rules = Rules::new(true, 1, None);
        let mut state = State { any: NOW + 400, ..State::default() };
        let verdict = rules.grant(&mut state, NOW, Want::Call);
        let wait = Duration::from_millis(ANY + 1);
        assert_eq!(verdict, Verdict::WaitAny(wait, Because::Distance));
    }

    #[test]
    fn no_more_refusals_are_brought_about_in_a_minute_than_do_no_harm() {
        let rules = Rules::new(true, 1, None);
        let (mut state, mut now, mut times) = (State::default(), NOW, Vec::new());
        while times.len() < 100 {
            match rules.grant(&mut state, now, Want::Call) {
                Verdict::Go => {
                    times.push(now);
                    rules.refused(&mut state, now + 20);
                }
                Verdict::WaitAny(wait, _) => now += wait.as_millis() as u64,
                other => panic!("{other:?}"),
            }
        }
        for window in times.windows(REFUSALS + 1) {
            assert!(window[REFUSALS] - window[0] > REFUSALS_SPAN, "{window:?}");
        }
    }

    #[test]
    fn the_file_forgets_folders_that_may_be_listed_again() {
        let rules = Rules::new(true, 1, None);
        let mut state = State::default();
        for folder in 0..1_000 {
            let now = NOW + folder * (LISTINGS + 1);
            let verdict = rules.grant(&mut state, now, Want::Listing(Listing::Folders, folder));
            assert_eq!(verdict, Verdict::Go);
        }
        assert!(state.folders.len() <= 12, "{}", state.folders.len());
    }
}
