//! The amounts of a running job: how much is listed, planned, done and on its way.
//!
//! Byte counts never travel as events: [`Progress`] holds them as atomics that a display samples, so that reporting does not
//! cost more when transfers are fast.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use ketch_core::RelPath;
use ketch_core::bill::Bill;

/// Amounts of a running job. All clones share the same numbers.
#[derive(Debug, Clone, Default)]
pub struct Progress(Arc<Amounts>);

#[derive(Debug, Default)]
struct Amounts {
    listed: AtomicU64,
    planned_items: AtomicU64,
    planned_bytes: AtomicU64,
    done_items: AtomicU64,
    done_bytes: AtomicU64,
    kept_bytes: AtomicU64,
    failed_items: AtomicU64,
    listing_done: AtomicBool,
    active: Mutex<BTreeMap<u64, Active>>,
    bills: Mutex<BTreeMap<String, Bill>>,
    next_active: AtomicU64,
}

#[derive(Debug)]
struct Active {
    path: RelPath,
    size: Option<u64>,
    /// How much of it is at the destination.
    bytes: Arc<AtomicU64>,
    /// How much of that was there from an earlier try.
    kept: Arc<AtomicU64>,
}

impl Active {
    fn moved(&self) -> u64 {
        let kept = self.kept.load(Ordering::Relaxed);
        self.bytes.load(Ordering::Relaxed).saturating_sub(kept)
    }
}

/// One moment of a job's amounts.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Entries seen on both sides.
    pub listed: u64,
    /// Items to act on; a lower bound until `listing_done`.
    pub planned_items: u64,
    /// Bytes to transfer; a lower bound until `listing_done`.
    pub planned_bytes: u64,
    /// Items with an outcome.
    pub done_items: u64,
    /// Bytes transferred, those of running items included.
    pub done_bytes: u64,
    /// Bytes that the destination had from earlier tries; `done_bytes` is without them.
    pub kept_bytes: u64,
    /// Items that failed.
    pub failed_items: u64,
    /// Are the totals final?
    pub listing_done: bool,
    /// Running transfers: path, size and bytes so far, the oldest first.
    pub active: Vec<(RelPath, Option<u64>, u64)>,
    /// The last bill of each remote that counts calls.
    pub bills: Vec<(String, Bill)>,
}

impl Progress {
    /// The amounts now.
    pub fn snapshot(&self) -> Snapshot {
        let amounts = &*self.0;
        let get = |amount: &AtomicU64| amount.load(Ordering::Relaxed);
        let running = lock(&amounts.active);
        let sum = |amount: &dyn Fn(&Active) -> u64| {
            running.values().fold(0_u64, |sum, active| sum.saturating_add(amount(active)))
        };
        let (moved, kept) = (sum(&Active::moved), sum(&|active| get(&active.kept)));
        let active: Vec<_> = running
            .values()
            .map(|active| (active.path.clone(), active.size, get(&active.bytes)))
            .collect();
        drop(running);
        Snapshot {
            listed: get(&amounts.listed),
            planned_items: get(&amounts.planned_items),
            planned_bytes: get(&amounts.planned_bytes),
            done_items: get(&amounts.done_items),
            done_bytes: get(&amounts.done_bytes).saturating_add(moved),
            kept_bytes: get(&amounts.kept_bytes).saturating_add(kept),
            failed_items: get(&amounts.failed_items),
            listing_done: amounts.listing_done.load(Ordering::Relaxed),
            active,
            bills: lock(&amounts.bills)
                .iter()
                .map(|(remote, bill)| (remote.clone(), bill.clone()))
                .collect(),
        }
    }

    pub(crate) fn billed(&self, remote: &str, bill: &Bill) {
        lock(&self.0.bills).insert(remote.to_owned(), bill.clone());
    }

    /// Items with an outcome, and bytes transferred, those of running items included.
    pub(crate) fn work_done(&self) -> (u64, u64) {
        let amounts = &*self.0;
        let running = lock(&amounts.active)
            .values()
            .fold(0_u64, |sum, active| sum.saturating_add(active.moved()));
        let bytes = amounts.done_bytes.load(Ordering::Relaxed).saturating_add(running);
        (amounts.done_items.load(Ordering::Relaxed), bytes)
    }

    pub(crate) fn listed(&self, entries: u64) {
        self.0.listed.fetch_add(entries, Ordering::Relaxed);
    }

    pub(crate) fn planned(&self, bytes: u64) {
        self.0.planned_items.fetch_add(1, Ordering::Relaxed);
        self.0.planned_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Everything is planned: these are the totals.
    pub fn planned_all(&self, items: u64, bytes: u64) {
        self.0.planned_items.store(items, Ordering::Relaxed);
        self.0.planned_bytes.store(bytes, Ordering::Relaxed);
        self.finish_listing();
    }

    /// What was planned so far does not count.
    pub(crate) fn forget_planned(&self) {
        self.0.planned_items.store(0, Ordering::Relaxed);
        self.0.planned_bytes.store(0, Ordering::Relaxed);
        self.0.listing_done.store(false, Ordering::Relaxed);
    }

    pub(crate) fn finish_listing(&self) {
        self.0.listing_done.store(true, Ordering::Relaxed);
    }

    pub(crate) fn done(&self, bytes: u64) {
        self.0.done_items.fetch_add(1, Ordering::Relaxed);
        self.0.done_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The destination had so much of an item that is done.
    pub(crate) fn kept(&self, bytes: u64) {
        self.0.kept_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn failed(&self) {
        self.0.done_items.fetch_add(1, Ordering::Relaxed);
        self.0.failed_items.fetch_add(1, Ordering::Relaxed);
    }

    /// Shows a transfer as running until the guard is dropped. Its bytes count while it runs.
    pub(crate) fn start(&self, path: &RelPath, size: Option<u64>) -> ActiveGuard {
        let id = self.0.next_active.fetch_add(1, Ordering::Relaxed);
        let bytes = Arc::new(AtomicU64::new(0));
        let kept = Arc::new(AtomicU64::new(0));
        let active =
            Active { path: path.clone(), size, bytes: Arc::clone(&bytes), kept: Arc::clone(&kept) };
        lock(&self.0.active).insert(id, active);
        ActiveGuard { progress: self.clone(), id, bytes, kept }
    }
}

/// A running transfer. Dropping it removes the transfer, and the bytes that it had counted, from the amounts.
#[derive(Debug)]
pub(crate) struct ActiveGuard {
    progress: Progress,
    id: u64,
    bytes: Arc<AtomicU64>,
    kept: Arc<AtomicU64>,
}

impl ActiveGuard {
    /// Where it is said how much of this transfer the destination had before.
    pub(crate) fn kept(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.kept)
    }

    /// Where the bytes of this transfer are counted.
    pub(crate) fn counter(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.bytes)
    }
}

impl Drop for ActiveGuard {
    fn drop(&mut self) {
        lock(&self.progress.0.active).remove(&self.id);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
