//! The clock of a server, learnt from its answers: signatures are made by that one.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

/// A difference up to here is not one of the clocks.
const SMALL: Duration = Duration::from_secs(60);

/// How far the clock of a server is ahead of the one here, in seconds.
#[derive(Debug, Default)]
pub struct Skew(AtomicI64);

impl Skew {
    /// Learns from the `Date` of an answer that has just come. Returns whether the clocks turned out to differ otherwise than
    /// was known.
    pub fn learn(&self, date: Option<SystemTime>, now: SystemTime) -> bool {
        let Some(date) = date else { return false };
        let ahead = match date.duration_since(now) {
            Ok(ahead) => ahead.as_secs() as i64,
            Err(behind) => -(behind.duration().as_secs() as i64),
        };
        let skew = if ahead.unsigned_abs() <= SMALL.as_secs() { 0 } else { ahead };
        let known = self.0.swap(skew, Ordering::Relaxed);
        known.abs_diff(skew) > SMALL.as_secs()
    }

    /// The time there.
    pub fn there(&self, now: SystemTime) -> SystemTime {
        let ahead = self.0.load(Ordering::Relaxed);
        let distance = Duration::from_secs(ahead.unsigned_abs());
        if ahead >= 0 { now + distance } else { now - distance }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_far_off_is_learnt_and_a_small_difference_is_not() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let skew = Skew::default();
        for (offset, differs, there) in [
            (30_i64, false, 0_i64),
            (3_600, true, 3_600),
            (-7_200, true, -7_200),
            (-7_190, false, -7_190),
            (5, true, 0),
        ] {
            let move_by = |time: SystemTime, by: i64| match by >= 0 {
                true => time + Duration::from_secs(by.unsigned_abs()),
                false => time - Duration::from_secs(by.unsigned_abs()),
            };
            assert_eq!(skew.learn(Some(move_by(now, offset)), now), differs, "{offset}");
            assert_eq!(skew.there(now), move_by(now, there), "{offset}");
        }
        assert!(!skew.learn(None, now));
    }
}
