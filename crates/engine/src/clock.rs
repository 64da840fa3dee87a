//! How a place stores the modification times that it is given.
//!
//! A disk may keep whole seconds, or even ones, or no time before 1980, or none at all. The job does not trust what the
//! disk says of itself. It compares the time that it set with the time that it finds afterwards, and remembers the result
//! for the place, so that the next run does not compare and set the same times again. Pure, but for [`Clocks`], which keeps
//! what is remembered.
//!
//! This never makes two different fine times equal: only exactly the time that the place makes of the source's time counts
//! as equal.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use ketch_core::{EntryKind, narrowed, seconds_and_nanoseconds, time_of};
use serde::{Deserialize, Serialize};

use crate::file::close;

/// The precisions that disks have, in nanoseconds, the finest first.
const GRAINS: [u64; 10] = [
    100,
    1_000,
    10_000,
    100_000,
    1_000_000,
    10_000_000,
    100_000_000,
    1_000_000_000,
    2_000_000_000,
    60_000_000_000,
];
const SECOND: i128 = 1_000_000_000;
/// If the time found is within this of the present, the place has set the present time (the clock of a server may differ).
const PRESENT: Duration = Duration::from_secs(24 * 60 * 60);
/// Places that are remembered.
const PLACES_MAX: usize = 1_000;
/// Bytes of the file of all places.
const FILE_LIMIT: u64 = 1024 * 1024;

/// How a place stores times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Clock {
    /// Times are rounded down to multiples of so many nanoseconds; 0 = they are kept exactly.
    grain: u64,
    /// The first and the last second that the place can store.
    earliest: Option<i64>,
    latest: Option<i64>,
    /// Times cannot be set.
    is_fixed: bool,
    /// Permissions cannot be taken away.
    ignores_modes: bool,
}

impl Clock {
    /// Are modification times useless here, because none can be set?
    pub fn is_fixed(&self) -> bool {
        self.is_fixed
    }

    /// Does the place ignore permissions that are set?
    pub fn ignores_modes(&self) -> bool {
        self.ignores_modes
    }

    /// The time that the place stores when it is given this one.
    pub fn kept(&self, time: SystemTime) -> SystemTime {
        let (seconds, part) = seconds_and_nanoseconds(time);
        let bounds = [
            self.earliest.filter(|earliest| seconds < *earliest),
            self.latest.filter(|latest| seconds > *latest),
        ];
        if let Some(bound) = bounds.into_iter().flatten().next() {
            return time_of((bound, 0)).unwrap_or(time);
        }
        cut((seconds, part), self.grain).unwrap_or(time)
    }

    /// Is `found` the time that the place stores when it is given `asked`, or `asked` itself?
    pub fn agree(&self, asked: SystemTime, found: SystemTime) -> bool {
        !self.is_fixed && (asked == found || self.kept(asked) == found)
    }

    /// What is known of the place after a file was given the time `asked` and has `found`, at `now`.
    fn after(self, asked: SystemTime, found: SystemTime, now: SystemTime) -> Clock {
        if self.agree(asked, found) {
            return self;
        }
        let is_cut = |grain: &u64| cut(seconds_and_nanoseconds(asked), *grain) == Some(found);
        if let Some(grain) = GRAINS.into_iter().find(is_cut) {
            return Clock { grain: self.grain.max(grain), is_fixed: false, ..self };
        }
        if apart(found, now) < PRESENT {
            return Clock { is_fixed: true, ..self };
        }
        let second = Some(seconds_and_nanoseconds(found).0);
        match found > asked {
            true => Clock { earliest: second.max(self.earliest), ..self },
            false => Clock { latest: [second, self.latest].into_iter().flatten().min(), ..self },
        }
    }
}

/// The time cut to a multiple of `grain`.
fn cut((seconds, part): (i64, u32), grain: u64) -> Option<SystemTime> {
    if grain == 0 {
        return time_of((seconds, part));
    }
    let all = i128::from(seconds) * SECOND + i128::from(part);
    let all = all - all.rem_euclid(i128::from(grain));
    let seconds = i64::try_from(all.div_euclid(SECOND)).ok()?;
    time_of((seconds, u32::try_from(all.rem_euclid(SECOND)).ok()?))
}

fn apart(left: SystemTime, right: SystemTime) -> Duration {
    left.duration_since(right).unwrap_or_else(|error| error.duration())
}

/// What a job learns about a place from the files whose times it sets.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Learner {
    clock: Clock,
    /// A fine time was kept exactly, so a single file with another result says nothing about the place.
    is_exact: bool,
    /// Times were found to be fixed; this is reported once.
    is_told: bool,
}

impl Learner {
    pub(crate) fn new(clock: Clock) -> Self {
        Learner { clock, is_exact: false, is_told: false }
    }

    pub(crate) fn clock(&self) -> Clock {
        self.clock
    }

    /// A file was given the time `asked` and has `found`. Returns whether to report that times cannot be set.
    pub(crate) fn learn(&mut self, asked: SystemTime, found: SystemTime, now: SystemTime) -> bool {
        // Finer than the finest step of a coarse disk.
        let is_fine = !seconds_and_nanoseconds(asked).1.is_multiple_of(100);
        if asked == found && is_fine {
            let ignores_modes = self.clock.ignores_modes;
            (self.clock, self.is_exact) = (Clock { ignores_modes, ..Clock::default() }, true);
        } else if !self.is_exact {
            self.clock = self.clock.after(asked, found, now);
        }
        self.clock.is_fixed && !std::mem::replace(&mut self.is_told, self.clock.is_fixed)
    }

    /// A file or folder should have at most the permissions `most`, and has `found`. Returns whether to report that the
    /// place keeps none.
    pub(crate) fn learn_mode(&mut self, kind: EntryKind, most: u32, found: u32) -> bool {
        let is_kept = narrowed(kind, found, most) == found;
        let is_private = most & 0o077 == 0;
        let before = self.clock.ignores_modes;
        if !is_kept {
            self.clock.ignores_modes = true;
        } else if is_private {
            self.clock.ignores_modes = false;
        }
        self.clock.ignores_modes && !before
    }

    /// The place refused to set a time. Returns whether to report that.
    pub(crate) fn refused(&mut self) -> bool {
        if !self.is_exact {
            self.clock.is_fixed = true;
        }
        !std::mem::replace(&mut self.is_told, true)
    }
}

/// What is remembered about all places, in a JSON file. It is a hint: if it is lost or damaged, one more comparison is
/// made.
#[derive(Debug, Clone, Default)]
pub struct Clocks(Option<PathBuf>);

impl Clocks {
    /// Remembers in the file `path`. The default remembers nothing.
    pub fn remembered(path: PathBuf) -> Self {
        Clocks(Some(path))
    }

    /// What is known about the place at `location`. Blocks.
    pub(crate) fn of(&self, location: &str) -> Clock {
        let all = self.0.as_deref().map(read).unwrap_or_default();
        all.get(location).copied().unwrap_or_default()
    }

    /// Remembers it. Blocks.
    ///
    /// Errors: what writing gives; what was remembered before is still there then.
    pub(crate) fn remember(&self, location: &str, clock: Clock) -> std::io::Result<()> {
        let Some(path) = &self.0 else { return Ok(()) };
        let mut all = read(path);
        match clock == Clock::default() {
            true => _ = all.remove(location),
            false => _ = all.insert(location.to_owned(), clock),
        }
        while all.len() > PLACES_MAX {
            all.pop_first();
        }
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        // Another process may write at the same time: the last one counts.
        let temporary = path.with_extension(format!("{}.new", std::process::id()));
        let write = || {
            let mut file = fs::File::create(&temporary)?;
            file.write_all(&serde_json::to_vec_pretty(&all)?)?;
            close(file)?;
            fs::rename(&temporary, path)
        };
        write().inspect_err(|_| {
            // The first error is the one that matters.
            let _ = fs::remove_file(&temporary);
        })
    }
}

fn read(path: &Path) -> BTreeMap<String, Clock> {
    let is_short = fs::metadata(path).is_ok_and(|found| found.len() <= FILE_LIMIT);
    let text = is_short.then(|| fs::read(path).ok()).flatten().unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64, part: u32) -> SystemTime {
        time_of((seconds, part)).expect("a time")
    }

    const NOW: i64 = 2_000_000_000;

    /// A time as seconds and nanoseconds.
    type Parts = (i64, u32);

    /// What is known after these pairs of what was asked for and what was found.
    fn learnt(pairs: &[(Parts, Parts)]) -> Clock {
        let mut learner = Learner::default();
        for (asked, found) in pairs {
            learner.learn(at(asked.0, asked.1), at(found.0, found.1), at(NOW, 0));
        }
        learner.clock()
    }

    #[test]
    fn what_a_place_makes_of_times_is_measured_by_what_was_set() {
        let seconds = learnt(&[((1001, 987_654_321), (1001, 0))]);
        assert!(seconds.agree(at(77, 500_000_000), at(77, 0)));
        assert!(!seconds.agree(at(77, 500_000_000), at(78, 0)));
        assert!(!seconds.agree(at(77, 500_000_000), at(77, 400_000_000)), "a finer time");
        let even = learnt(&[((1001, 987_654_321), (1000, 0))]);
        assert!(even.agree(at(79, 0), at(78, 0)) && !even.agree(at(79, 0), at(77, 0)));
        // Coarse in one file and coarser in another.
        let both = learnt(&[((1000, 123_456_789), (1000, 123_000_000)), ((1000, 5), (1000, 0))]);
        assert!(both.agree(at(5, 1_999_999), at(5, 1_000_000)));
        let clamped = learnt(&[((-1000, 0), (315_532_800, 0))]);
        assert!(clamped.agree(at(7, 3), at(315_532_800, 0)));
        assert!(!clamped.agree(at(315_532_801, 3), at(315_532_800, 0)));
        let late = learnt(&[((9_000_000_000, 0), (4_294_967_295, 0))]);
        assert!(late.agree(at(8_000_000_000, 0), at(4_294_967_295, 0)));
        let fixed = learnt(&[((1000, 5), (NOW, 7))]);
        assert!(fixed.is_fixed() && !fixed.agree(at(1, 0), at(1, 0)));
    }

    #[test]
    fn a_fine_time_that_is_kept_outweighs_what_single_files_show() {
        assert_eq!(learnt(&[((1000, 5), (1000, 0)), ((1000, 123), (1000, 123))]), Clock::default());
        assert_eq!(learnt(&[((1000, 123), (1000, 123)), ((1000, 5), (NOW, 0))]), Clock::default());
    }

    #[test]
    fn what_is_remembered_of_a_place_is_there_for_the_next_job_and_damage_is_nothing() {
        let scratch = tempfile::tempdir().expect("scratch");
        let path = scratch.path().join("k/times.json");
        let clocks = Clocks::remembered(path.clone());
        let clock = learnt(&[((1001, 987_654_321), (1001, 0))]);
        clocks.remember("local:/a", clock).expect("written");
        clocks.remember("local:/b", Clock::default()).expect("written");
        assert_eq!((clocks.of("local:/a"), clocks.of("local:/b")), (clock, Clock::default()));
        fs::write(&path, "{ nonsense").expect("written");
        assert_eq!(clocks.of("local:/a"), Clock::default());
        clocks.remember("local:/a", clock).expect("written anew");
        assert_eq!(clocks.of("local:/a"), clock);
        clocks.remember("local:/a", Clock::default()).expect("written");
        assert_eq!(clocks.of("local:/a"), Clock::default());
    }
}
