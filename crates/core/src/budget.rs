//! One bound for all bytes that are buffered at the same time, shared by every transfer of a run.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A number of bytes that may be buffered. Cheap to clone; clones share the budget.
#[derive(Debug, Clone)]
pub struct ByteBudget {
    semaphore: Arc<Semaphore>,
    total: u32,
}

/// The right to keep a buffer. Given back when dropped.
#[derive(Debug)]
pub struct BytePermit(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

impl ByteBudget {
    /// A budget of `total` bytes; at least one byte, at most 4 GiB.
    pub fn new(total: u64) -> Self {
        let total = u32::try_from(total).unwrap_or(u32::MAX).max(1);
        ByteBudget { semaphore: Arc::new(Semaphore::new(total as usize)), total }
    }

    /// Waits until `bytes` may be buffered. First come, first served, so no caller starves. A caller that wants more than
    /// the whole budget gets the whole budget: so large a buffer may be kept only while there is no other.
    pub async fn acquire(&self, bytes: u64) -> BytePermit {
        let wish = u32::try_from(bytes).unwrap_or(u32::MAX).clamp(1, self.total);
        let permit = Arc::clone(&self.semaphore).acquire_many_owned(wish).await;
        BytePermit(permit.expect("the semaphore is never closed"))
    }

    /// Bytes that could be had at once now.
    pub fn available(&self) -> usize {
        self.semaphore.available_permits()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn permits_never_exceed_the_total_and_come_back() {
        let budget = ByteBudget::new(100);
        let first = budget.acquire(60).await;
        assert_eq!(budget.available(), 40);
        let mut second = Box::pin(budget.acquire(60));
        assert!(futures::poll!(&mut second).is_pending());
        drop(first);
        let _second = second.await;
        assert_eq!(budget.available(), 40);
    }

    #[tokio::test]
    async fn a_wish_above_the_total_is_granted_alone() {
        let budget = ByteBudget::new(100);
        let _all = budget.acquire(1_000_000).await;
        assert_eq!(budget.available(), 0);
    }
}
