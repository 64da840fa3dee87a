//! Deletions that are asked for one by one and at the same time, in one request: what is asked for while a request is on its way
//! goes with the next one. Nobody waits for others that may come.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ketch_core::{Error, ErrorKind, Result, Retry};
use tokio::sync::oneshot;

/// An object that is to be deleted.
#[derive(Debug)]
pub(crate) struct Removal {
    pub(crate) bucket: String,
    pub(crate) key: String,
    /// Only this version, where the service checks that.
    pub(crate) version: Option<String>,
}

#[derive(Debug)]
struct Waiting {
    removal: Removal,
    told: oneshot::Sender<Result<()>>,
}

/// What waits to be deleted. Bounded by the callers that wait.
#[derive(Debug, Default)]
pub(crate) struct Removals {
    waiting: Mutex<Vec<Waiting>>,
    /// Held by the caller whose request is on its way.
    sending: tokio::sync::Mutex<()>,
}

impl Removals {
    /// Deletes an object with `delete`, which takes those of one bucket and gives a result for each.
    ///
    /// CANCEL: a caller that is dropped while its request carries others lets them fail with an error that is worth a repetition.
    pub(crate) async fn remove<D: Future<Output = Vec<Result<()>>>>(
        &self,
        removal: Removal,
        delete: impl Fn(String, Vec<Removal>) -> D,
    ) -> Result<()> {
        let (told, mut result) = oneshot::channel();
        self.waiting().push(Waiting { removal, told });
        let _one = self.sending.lock().await;
        // Another caller's request may have carried it.
        if let Ok(result) = result.try_recv() {
            return result;
        }
        let all = std::mem::take(&mut *self.waiting());
        let mut buckets: BTreeMap<String, Vec<Waiting>> = BTreeMap::new();
        // Of a caller that does not wait any more nothing is deleted.
        for waiting in all.into_iter().filter(|waiting| !waiting.told.is_closed()) {
            buckets.entry(waiting.removal.bucket.clone()).or_default().push(waiting);
        }
        for (bucket, all) in buckets {
            let (removals, told): (Vec<_>, Vec<_>) =
                all.into_iter().map(|waiting| (waiting.removal, waiting.told)).unzip();
            for (told, result) in told.into_iter().zip(delete(bucket, removals).await) {
                // A caller that does not wait any more has nothing to do about it either.
                drop(told.send(result));
            }
        }
        result.try_recv().unwrap_or_else(|_| {
            let text = "the request that carried this deletion was given up";
            Err(Error::new(ErrorKind::Unavailable, text).with_retry(Retry::Backoff))
        })
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
