//! How long the rest of a job takes. Pure: time comes in as a value.
//!
//! A thousand small files take longer than one file with as many bytes, so the model has two costs, one for each item and
//! one for each byte, and fits both to what was measured. Older measurements count less, so the estimate follows a
//! connection that gets slower.

use std::time::Duration;

/// The factor by which a measurement counts less after each later one.
const DECAY: f64 = 0.99;
/// Measurements that are needed before there is an estimate.
const FEWEST: u32 = 5;
/// Bytes are counted in these, so that both costs are of the same order.
const UNIT: f64 = 1024.0 * 1024.0;

/// The two costs, computed from the measurements.
#[derive(Debug, Clone, Default)]
pub struct Estimate {
    last: Option<(Duration, u64, u64)>,
    stretches: u32,
    /// Sums over stretches of the products of items, bytes and seconds.
    items_items: f64,
    items_bytes: f64,
    bytes_bytes: f64,
    items_time: f64,
    bytes_time: f64,
}

impl Estimate {
    /// Adds what was done up to `elapsed`: items with an outcome, and bytes.
    pub fn sample(&mut self, elapsed: Duration, items: u64, bytes: u64) {
        let Some((before, items_before, bytes_before)) = self.last.replace((elapsed, items, bytes))
        else {
            return;
        };
        let seconds = elapsed.saturating_sub(before).as_secs_f64();
        let items = items.saturating_sub(items_before) as f64;
        let bytes = bytes.saturating_sub(bytes_before) as f64 / UNIT;
        if seconds <= 0.0 {
            return;
        }
        let fold = |sum: &mut f64, value: f64| *sum = *sum * DECAY + value;
        fold(&mut self.items_items, items * items);
        fold(&mut self.items_bytes, items * bytes);
        fold(&mut self.bytes_bytes, bytes * bytes);
        fold(&mut self.items_time, items * seconds);
        fold(&mut self.bytes_time, bytes * seconds);
        if items > 0.0 || bytes > 0.0 {
            self.stretches = self.stretches.saturating_add(1);
        }
    }

    /// How long so many items and bytes will take; `None` while there are too few measurements.
    pub fn left(&self, items: u64, bytes: u64) -> Option<Duration> {
        if self.stretches < FEWEST {
            return None;
        }
        let (item, byte) = self.costs();
        let seconds = item * items as f64 + byte * (bytes as f64 / UNIT);
        Duration::try_from_secs_f64(seconds).ok()
    }

    /// Seconds an item and seconds a unit of bytes: the least squares that are not negative.
    fn costs(&self) -> (f64, f64) {
        let only_items = || (ratio(self.items_time, self.items_items), 0.0);
        let only_bytes = || (0.0, ratio(self.bytes_time, self.bytes_bytes));
        let determinant = self.items_items * self.bytes_bytes - self.items_bytes * self.items_bytes;
        // All items have one size, so it does not matter how the cost is split.
        if determinant <= 1e-6 * self.items_items * self.bytes_bytes {
            return if self.bytes_bytes > 0.0 { only_bytes() } else { only_items() };
        }
        let item =
            (self.items_time * self.bytes_bytes - self.bytes_time * self.items_bytes) / determinant;
        let byte =
            (self.bytes_time * self.items_items - self.items_time * self.items_bytes) / determinant;
        match (item < 0.0, byte < 0.0) {
            (false, false) => (item, byte),
            (true, _) => only_bytes(),
            (false, true) => only_items(),
        }
    }
}

fn ratio(above: f64, below: f64) -> f64 {
    if below > 0.0 { above / below } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Claim O10: after a tenth of a steady run the estimate is within a fifth.
    #[test]
    fn after_a_tenth_of_a_steady_run_the_estimate_is_within_a_fifth() {
        for (item_seconds, byte_seconds) in [(0.02, 1e-7), (0.4, 1e-8), (0.0, 1e-6), (0.001, 2e-8)]
        {
            for seed in 0..20 {
                let mut random = fastrand::Rng::with_seed(seed);
                // Mostly small, some large, in any order.
                let sizes: Vec<u64> = (0..3_000)
                    .map(|_| {
                        if random.u8(..20) == 0 {
                            random.u64(..5_000_000)
                        } else {
                            random.u64(..20_000)
                        }
                    })
                    .collect();
                let cost = |size: u64| item_seconds + byte_seconds * size as f64;
                let whole: f64 = sizes.iter().map(|size| cost(*size)).sum();
                let (mut now, mut bytes, mut next) = (0.0, 0, 0.0);
                let mut estimate = Estimate::default();
                for (index, size) in sizes.iter().enumerate() {
                    if now >= next {
                        estimate.sample(Duration::from_secs_f64(now), index as u64, bytes);
                        next = now + whole / 400.0;
                    }
                    if now >= whole / 10.0 {
                        let (items_left, bytes_left) =
                            (sizes.len() - index, sizes[index..].iter().sum());
                        let left =
                            estimate.left(items_left as u64, bytes_left).expect("enough seen");
                        let error = (left.as_secs_f64() - (whole - now)).abs() / (whole - now);
                        assert!(
                            error <= 0.2,
                            "seed {seed}: {error} off at costs {item_seconds} {byte_seconds}"
                        );
                        break;
                    }
                    now += cost(*size);
                    bytes += size;
                }
            }
        }
    }

    #[test]
    fn small_files_after_large_ones_are_not_taken_for_fast_bytes() {
        // What goes by bytes alone would say: 10 KiB left, so no time at all.
        let mut estimate = Estimate::default();
        let (mut now, mut items, mut bytes) = (0.0, 0, 0);
        for stretch in 0..100_u64 {
            let large = stretch % 2 == 0;
            let (more, size) = if large { (1, 50 << 20) } else { (10, 10 * 1024) };
            now += more as f64 * 0.1 + size as f64 / 1e8;
            items += more;
            bytes += size;
            estimate.sample(Duration::from_secs_f64(now), items, bytes);
        }
        let left = estimate.left(1_000, 1_000 * 1024).expect("enough seen").as_secs_f64();
        assert!((90.0..115.0).contains(&left), "{left}");
    }

    #[test]
    fn nothing_is_said_before_enough_was_seen() {
        let mut estimate = Estimate::default();
        assert_eq!(estimate.left(1, 1), None);
        for second in 0..60 {
            estimate.sample(Duration::from_secs(second), 0, 0);
        }
        assert_eq!(estimate.left(1, 1), None, "waiting is no progress");
    }
}
