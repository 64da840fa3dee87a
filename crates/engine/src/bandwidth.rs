//! One bandwidth for all transfers of a job together.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Lets a fixed number of bytes a second pass.
#[derive(Debug)]
pub struct Bandwidth {
    bytes_per_second: u64,
    next_free: Mutex<Instant>,
}

impl Bandwidth {
    /// A limit of `bytes_per_second`, at least 1.
    pub fn new(bytes_per_second: u64) -> Self {
        Bandwidth {
            bytes_per_second: bytes_per_second.max(1),
            next_free: Mutex::new(Instant::now()),
        }
    }

    /// Waits until `bytes` may pass. Callers are served in the order they came.
    pub async fn pass(&self, bytes: u64) {
        let start = {
            let mut next_free = self.next_free.lock().unwrap_or_else(PoisonError::into_inner);
            let start = (*next_free).max(Instant::now());
            let takes = Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64);
            *next_free = start + takes;
            start
        };
        tokio::time::sleep_until(start).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn no_more_than_the_limit_passes() {
        let bandwidth = Bandwidth::new(1_000);
        let begin = Instant::now();
        for _ in 0..11 {
            bandwidth.pass(500).await;
        }
        // The first passes at once, the eleventh when ten times 500 bytes have had their time.
        assert_eq!(begin.elapsed().as_secs(), 5);
    }
}
