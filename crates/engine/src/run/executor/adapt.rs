//! How many items are worked on at the same time, found out by trying: pure, with time and amounts from outside.
//!
//! It begins with [`START`] and measures how much is done in windows of [`WINDOW`] in which every slot is taken. It tries
//! more items; if they are clearly faster, it keeps the larger number and tries more again. If they are not, it goes back,
//! and waits some windows, longer each time, before the next try. It tries upwards and downwards in turns. If fewer items
//! are as fast, it keeps the smaller number, because each item costs memory and load on the remote. If a remote refuses a
//! request because the job asks too much, the number is halved at once.

use std::time::Duration;

/// Items at the same time at the beginning.
pub(crate) const START: usize = 4;
/// Items at the same time at most. Each transfer that passes through this machine holds a few MiB.
pub(crate) const MOST: usize = 16;
/// Tries do not go below this; refusals can.
const LEAST: usize = 2;
/// What is measured at once; after a change of the number one window passes unmeasured.
pub(super) const WINDOW: Duration = Duration::from_secs(1);
/// A window is closed after this time even if not enough items ended in it: large files count by their progress.
const LONG_WINDOW: Duration = Duration::from_secs(5);
/// What an item counts in addition to its bytes.
const ITEM_BYTES: f64 = 65_536.0;
/// A larger number must be faster by at least this share, and by half of what it would gain if speed grew with the number.
const LEAST_GAIN: f64 = 0.05;
/// A smaller number may be slower by this share.
const MOST_LOSS: f64 = 0.03;
/// For this long a number at which a request was refused is not tried again.
const WARY: Duration = Duration::from_secs(300);
/// Windows between two tries: the first value, and the largest.
const PATIENCE: u32 = 4;
const MOST_PATIENCE: u32 = 64;

/// What was done since the job began.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Amounts {
    pub(super) items: u64,
    pub(super) bytes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Trying {
    /// Nothing; for so many windows.
    Nothing(u32),
    /// The window after a change is not measured; the next one is compared with the rate of the number before.
    More {
        before: usize,
        rate: f64,
        is_settling: bool,
    },
    Fewer {
        before: usize,
        rate: f64,
        is_settling: bool,
    },
}

/// Finds the number.
#[derive(Debug)]
pub(super) struct Adapt {
    limit: usize,
    /// `None`: the number was given.
    most: Option<usize>,
    trying: Trying,
    is_upward_next: bool,
    patience: u32,
    /// The mean rate of the windows since the last change.
    rate: f64,
    /// When the window began, and what was done then.
    window: Option<(Duration, Amounts)>,
    halved: Option<Duration>,
    /// The number at which something was refused last.
    refused_at: usize,
}

impl Adapt {
    /// Always `limit`.
    pub(super) fn fixed(limit: usize) -> Self {
        Adapt { most: None, ..Adapt::within(limit.max(1)).at(limit.max(1)) }
    }

    /// Between one and `most`, never above [`MOST`].
    pub(super) fn within(most: usize) -> Self {
        let most = most.clamp(1, MOST);
        Adapt {
            limit: START.min(most),
            most: Some(most),
            trying: Trying::Nothing(0),
            is_upward_next: true,
            // The first try needs only one window to be compared with.
            patience: 1,
            rate: 0.0,
            window: None,
            halved: None,
            refused_at: usize::MAX,
        }
    }

    fn at(self, limit: usize) -> Self {
        Adapt { limit, ..self }
    }

    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// Is the number still being adapted?
    pub(super) fn is_adaptive(&self) -> bool {
        self.most.is_some()
    }

    /// Would a look at `now` find out anything?
    pub(super) fn is_due(&self, now: Duration) -> bool {
        let is_over = |(began, _): (Duration, Amounts)| now.saturating_sub(began) >= WINDOW;
        self.is_adaptive() && self.window.is_none_or(is_over)
    }

    /// There are free slots and nothing waits for them: the speed says nothing about the number now.
    pub(super) fn is_idle(&mut self) {
        self.window = None;
    }

    /// Takes a look at `now`, counted from the beginning of the job, while every place is taken and more items wait.
    pub(super) fn look(&mut self, now: Duration, amounts: Amounts) {
        let Some(most) = self.most else { return };
        let Some((began, before)) = self.window else {
            self.window = Some((now, amounts));
            return;
        };
        let passed = now.saturating_sub(began);
        let items = amounts.items.saturating_sub(before.items);
        if passed < WINDOW || (items < self.limit as u64 && passed < LONG_WINDOW) {
            return;
        }
        if self.halved.is_some_and(|halved| now.saturating_sub(halved) >= WARY) {
            self.refused_at = usize::MAX;
        }
        let most = most.min(self.refused_at.saturating_sub(1)).max(1);
        let bytes = amounts.bytes.saturating_sub(before.bytes);
        let rate = (bytes as f64 + items as f64 * ITEM_BYTES) / passed.as_secs_f64();
        self.window = Some((now, amounts));
        self.measured(rate, most);
    }

    /// A side refused a request because the job asks too much: halves the number. Refusals that come together count once.
    pub(super) fn pressed(&mut self, now: Duration) {
        let is_again = self.halved.is_some_and(|halved| now.saturating_sub(halved) < WINDOW);
        if self.most.is_none() || is_again {
            return;
        }
        self.halved = Some(now);
        self.refused_at = self.limit;
        self.limit = (self.limit / 2).max(1);
        self.window = None;
        self.is_upward_next = true;
        self.rest(MOST_PATIENCE / 4);
    }

    fn measured(&mut self, rate: f64, most: usize) {
        match self.trying {
            Trying::More { before, rate: was, is_settling: true } => {
                self.trying = Trying::More { before, rate: was, is_settling: false };
            }
            Trying::Fewer { before, rate: was, is_settling: true } => {
                self.trying = Trying::Fewer { before, rate: was, is_settling: false };
            }
            Trying::More { before, rate: was, .. } => {
                let half = (self.limit as f64 / before as f64 - 1.0) / 2.0;
                if rate >= was * (1.0 + half.max(LEAST_GAIN)) {
                    self.rate = rate;
                    self.is_upward_next = true;
                    self.rest(PATIENCE);
                    self.try_another(most);
                } else {
                    self.limit = before;
                    self.is_upward_next = false;
                    self.rest(self.patience.saturating_mul(2).clamp(PATIENCE, MOST_PATIENCE));
                }
            }
            Trying::Fewer { before, rate: was, .. } => {
                let is_as_good = rate >= was * (1.0 - MOST_LOSS);
                if !is_as_good {
                    self.limit = before;
                }
                self.is_upward_next = !is_as_good;
                self.rest(self.patience.saturating_mul(2).clamp(PATIENCE, MOST_PATIENCE));
            }
            Trying::Nothing(windows) => {
                let windows = windows + 1;
                self.rate += (rate - self.rate) / f64::from(windows);
                self.trying = Trying::Nothing(windows);
                if windows >= self.patience {
                    self.try_another(most);
                }
            }
        }
    }

    fn rest(&mut self, patience: u32) {
        self.patience = patience;
        self.trying = Trying::Nothing(0);
    }

    fn try_another(&mut self, most: usize) {
        let (before, rate) = (self.limit, self.rate);
        // Steps of a quarter; the very first ones are longer, because less is lost by going too far than by going slowly.
        let step = if self.patience <= PATIENCE { before.div_ceil(2) } else { before.div_ceil(4) };
        if self.is_upward_next && before < most {
            self.limit = (before + step).min(most);
            self.trying = Trying::More { before, rate, is_settling: true };
        } else if !self.is_upward_next && before > LEAST {
            self.limit = before.saturating_sub(before.div_ceil(4)).max(LEAST);
            self.trying = Trying::Fewer { before, rate, is_settling: true };
        } else {
            self.is_upward_next = !self.is_upward_next;
            self.rest(self.patience.max(PATIENCE));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A job in which `rate` bytes pass a second at so many items at once, in items of 1 MiB.
    struct Scene {
        adapt: Adapt,
        now: Duration,
        bytes: f64,
    }

    const MIB: f64 = 1_048_576.0;

    impl Scene {
        fn new(adapt: Adapt) -> Self {
            Scene { adapt, now: Duration::ZERO, bytes: 0.0 }
        }

        /// Lets time pass and gives the numbers that were seen.
        fn run(&mut self, seconds: u64, rate: impl Fn(usize) -> f64) -> Vec<usize> {
            let mut seen = Vec::new();
            for _ in 0..seconds * 10 {
                self.now += Duration::from_millis(100);
                self.bytes += rate(self.adapt.limit()) / 10.0;
                let amounts =
                    Amounts { items: (self.bytes / MIB) as u64, bytes: self.bytes as u64 };
                if self.adapt.is_due(self.now) {
                    self.adapt.look(self.now, amounts);
                }
                seen.push(self.adapt.limit());
            }
            seen
        }
    }

    /// `each` MiB a second for every item up to `most` at once.
    fn up_to(most: usize, each: f64) -> impl Fn(usize) -> f64 {
        move |at_once| at_once.min(most) as f64 * each * MIB
    }

    fn mean(seen: &[usize]) -> f64 {
        seen.iter().sum::<usize>() as f64 / seen.len() as f64
    }

    #[test]
    fn the_number_settles_near_where_more_gives_nothing() {
        for (saturates_at, from, to) in [
            (1, 1.5, 2.6),
            (2, 1.9, 2.8),
            (3, 2.5, 3.8),
            (6, 5.0, 7.0),
            (10, 8.5, 11.5),
            (100, 14.0, 16.0),
        ] {
            for each in [0.5, 3.0, 40.0] {
                let mut scene = Scene::new(Adapt::within(100));
                let seen = scene.run(900, up_to(saturates_at, each));
                assert_eq!(seen[0], START);
                let settled = mean(&seen[seen.len() / 3..]);
                assert!(settled >= from && settled <= to, "{saturates_at}, {each}: {settled}");
                assert!(seen.iter().all(|number| (1..=MOST).contains(number)));
            }
        }
    }

    #[test]
    fn it_is_tried_less_and_less_often() {
        let mut scene = Scene::new(Adapt::within(100));
        let changes = |seen: &[usize]| seen.windows(2).filter(|pair| pair[0] != pair[1]).count();
        let early = changes(&scene.run(60, up_to(6, 10.0)));
        scene.run(400, up_to(6, 10.0));
        let late = changes(&scene.run(60, up_to(6, 10.0)));
        assert!(late < early && late <= 2, "{early} changes, then {late}");
    }

    #[test]
    fn where_more_gives_less_there_are_few() {
        let mut scene = Scene::new(Adapt::within(100));
        // A disk with one head.
        let seen = scene.run(600, |at_once| 100.0 * MIB / at_once as f64);
        assert!(mean(&seen[seen.len() / 2..]) < 2.7, "{:?}", mean(&seen));
    }

    #[test]
    fn a_bound_is_never_passed_and_a_number_that_was_given_never_changes() {
        for most in [1, 2, 3, 5] {
            let mut scene = Scene::new(Adapt::within(most));
            assert!(scene.run(300, up_to(50, 10.0)).iter().all(|number| *number <= most));
        }
        for given in [1, 3, 40] {
            let mut scene = Scene::new(Adapt::fixed(given));
            assert!(!scene.adapt.is_adaptive());
            scene.adapt.pressed(Duration::from_secs(1));
            assert!(scene.run(100, up_to(50, 10.0)).iter().all(|number| *number == given));
        }
    }

    #[test]
    fn refusals_halve_the_number_once_for_all_that_come_together() {
        let mut scene = Scene::new(Adapt::within(100));
        scene.run(100, up_to(50, 10.0));
        assert_eq!(scene.adapt.limit(), MOST);
        for _ in 0..5 {
            scene.adapt.pressed(scene.now);
        }
        assert_eq!(scene.adapt.limit(), MOST / 2);
        let seen = scene.run(10, up_to(50, 10.0));
        assert!(seen.iter().all(|number| *number == MOST / 2), "it stays for a while");
        for expected in [4, 2, 1, 1] {
            scene.now += WINDOW;
            scene.adapt.pressed(scene.now);
            assert_eq!(scene.adapt.limit(), expected);
        }
        // And it comes back when nothing is refused any more.
        scene.run(900, up_to(50, 10.0));
        assert!(scene.adapt.limit() >= MOST / 2, "{}", scene.adapt.limit());
    }

    #[test]
    fn what_is_done_with_free_places_says_nothing() {
        let mut adapt = Adapt::within(100);
        let mut amounts = Amounts::default();
        for tenth in 0..1_000 {
            amounts.bytes += 10_000_000;
            amounts.items += 10;
            // Every half of a second there is nothing to do.
            match tenth % 5 {
                0 => adapt.is_idle(),
                _ => adapt.look(Duration::from_millis(tenth * 100), amounts),
            }
        }
        assert_eq!(adapt.limit(), START);
    }

    #[test]
    fn a_side_that_becomes_faster_is_noticed() {
        let mut scene = Scene::new(Adapt::within(100));
        scene.run(300, up_to(3, 10.0));
        assert!(scene.adapt.limit() <= 4);
        scene.run(600, up_to(50, 10.0));
        assert!(scene.adapt.limit() >= 8, "{}", scene.adapt.limit());
    }
}
