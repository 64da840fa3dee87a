//! Everything the handlers share: the account, the clock, the rules, the limits, the faults.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use crate::clock::Clock;
use crate::faults::Faults;
use crate::holds::Holds;
use crate::http::{Request, Traffic};
use crate::lag::Lag;
use crate::limiter::Limiter;
use crate::stats::{Counters, LoggedRequest, Stats, StoredFile};
use crate::store::{Store, StoreError};
use crate::token::Tokens;
use crate::{Limits, Rules, SimOptions};

/// One emulated service.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    pub(crate) faults: Faults,
    pub(crate) holds: Arc<Holds>,
    pub(crate) tokens: Tokens,
    pub(crate) lag: Lag,
    pub(crate) fetches: crate::fetches::Fetches,
    pub(crate) traffic: Arc<Traffic>,
    pub(crate) address: SocketAddr,
    api_keys: Vec<String>,
    revoked_keys: Vec<String>,
    rules: Mutex<Rules>,
    limiter: Mutex<Limiter>,
    counters: Mutex<Counters>,
}

/// What an `Authorization` header is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    /// One of the configured keys.
    Known,
    /// A configured dead key.
    Revoked,
    /// A key nobody knows, or a header that is no bearer key.
    Unknown,
    /// No header.
    Absent,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // None of these values is left half changed by a panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl World {
    /// Puts the parts together.
    pub(crate) fn new(store: Store, options: &SimOptions, address: SocketAddr) -> Self {
        Self {
            store,
            clock: Clock::new(),
            faults: Faults::default(),
            holds: Arc::default(),
            tokens: Tokens::default(),
            lag: Lag::default(),
            fetches: crate::fetches::Fetches::default(),
            traffic: Arc::default(),
            address,
            api_keys: options.api_keys.clone(),
            revoked_keys: options.revoked_keys.clone(),
            rules: Mutex::new(options.rules.clone()),
            limiter: Mutex::new(Limiter::new(options.limits.clone())),
            counters: Mutex::default(),
        }
    }

    /// The rules of this moment.
    pub(crate) fn rules(&self) -> Rules {
        lock(&self.rules).clone()
    }

    /// Replaces the rules.
    pub(crate) fn set_rules(&self, rules: Rules) {
        *lock(&self.rules) = rules;
    }

    /// Replaces the limits and forgets what they remembered.
    pub(crate) fn set_limits(&self, limits: Limits) {
        *lock(&self.limiter) = Limiter::new(limits);
    }

    /// Asks the limits; a refusal is counted as a flood.
    pub(crate) fn admit(&self, endpoint: &str, cost: crate::limiter::Cost) -> bool {
        let admitted = lock(&self.limiter).admit(endpoint, cost, Instant::now());
        if !admitted {
            lock(&self.counters).floods += 1;
        }
        admitted
    }

    /// Tells the limits about the status of an answer of the API host.
    pub(crate) fn note_status(&self, status: u16) {
        if matches!(status, 401 | 403 | 404 | 410) {
            lock(&self.limiter).note_refusal(Instant::now());
        }
    }

    /// Judges the key of a request.
    pub(crate) fn key(&self, request: &Request) -> Key {
        if request.header("authorization").is_none() {
            return Key::Absent;
        }
        let has = |keys: &[String], key: &str| keys.iter().any(|known| known == key);
        match request.bearer() {
            Some(key) if has(&self.api_keys, key) => Key::Known,
            Some(key) if has(&self.revoked_keys, key) => Key::Revoked,
            Some(_) | None => Key::Unknown,
        }
    }

    /// Counts and logs a request.
    pub(crate) fn note_request(&self, endpoint: &str, request: &Request) {
        let path = match request.query.as_str() {
            "" => request.path.clone(),
            query => format!("{}?{query}", request.path),
        };
        let logged = LoggedRequest {
            method: request.method.clone(),
            path,
            host: request.header("host").unwrap_or_default().to_owned(),
            has_authorization: request.header("authorization").is_some(),
            has_known_key: self.key(request) == Key::Known,
        };
        lock(&self.counters).note(endpoint, logged);
    }

    /// Changes a counter.
    pub(crate) fn count(&self, change: impl FnOnce(&mut Counters)) {
        change(&mut lock(&self.counters));
    }

    /// Forgets the counters and the log.
    pub(crate) fn reset_stats(&self) {
        *lock(&self.counters) = Counters::default();
    }

    /// The counters of this moment.
    pub(crate) fn stats(&self) -> Stats {
        use std::sync::atomic::Ordering::Relaxed;
        let (files, folders) = self.store.read(|tables| tables.counts());
        Stats {
            bytes_in: self.traffic.received.load(Relaxed),
            bytes_out: self.traffic.sent.load(Relaxed),
            files,
            folders,
            held: self.holds.waiting() as u64,
            ..lock(&self.counters).stats()
        }
    }

    /// All files of the account, and with them what the next sweeps will make visible.
    pub(crate) fn stored(&self) -> Vec<StoredFile> {
        self.store.read(|tables| {
            let files = tables.account_files().chain(tables.waiting_files());
            files
                .map(|file| {
                    let folder = tables.path(file.folder.unwrap_or(0));
                    let path = format!("{folder}/{}", file.name);
                    let path = path.trim_start_matches('/').to_owned();
                    StoredFile { path, content: self.store.blob_path(&file.id) }
                })
                .collect()
        })
    }

    /// Makes uploads visible whose report nobody fetched, and forgets old reports.
    pub(crate) fn sweep(&self) -> Result<(), StoreError> {
        let (store_after, life) = {
            let rules = lock(&self.rules);
            (rules.store_after.as_secs(), rules.report_life.as_secs())
        };
        // Spans are hours at most; a wrapped one would only sweep too little.
        self.store.sweep(self.clock.seconds(), store_after as i64, life as i64)
    }
}
