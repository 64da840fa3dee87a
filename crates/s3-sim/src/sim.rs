//! A running emulator: what tests hold.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};
use std::{io, thread};

use bytes::Bytes;
use tokio::sync::watch;

use crate::fault::{Effect, Fault, ScriptError};
use crate::rules::Rules;
use crate::server::{Shared, serve};
use crate::stats::Stats;
use crate::store::{Bucket, Object, Part};

/// A running emulator. Dropped, it stops, and what it stored is gone.
#[derive(Debug)]
pub struct Sim {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<watch::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Sim {
    /// Starts one on a free port of this machine, in a thread of its own.
    ///
    /// Errors: no port, no thread.
    pub fn start(rules: Rules) -> io::Result<Sim> {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::new(rules));
        let (stop, stopped) = watch::channel(());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let serving = Arc::clone(&shared);
        let thread = thread::Builder::new().name("s3-sim".to_owned()).spawn(move || {
            runtime.block_on(async move {
                if let Ok(listener) = tokio::net::TcpListener::from_std(listener) {
                    serve(listener, serving, stopped).await;
                }
            });
        })?;
        Ok(Sim { address, shared, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it is: `http://127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What was asked so far.
    pub fn stats(&self) -> Stats {
        self.shared.state().stats.clone()
    }

    /// Arms a fault; the module `fault` has the grammar.
    ///
    /// Errors: a line that is no fault.
    pub fn fault(&self, line: &str) -> Result<(), ScriptError> {
        let fault: Fault = line.parse()?;
        let mut state = self.shared.state();
        match fault.effect {
            Effect::Skew(seconds) => state.skew = seconds,
            _ => state.faults.arm(fault),
        }
        Ok(())
    }

    /// Disarms every fault and sets the clock right.
    pub fn heal(&self) {
        let mut state = self.shared.state();
        state.faults.clear();
        state.skew = 0;
    }

    /// Waits until that many requests were held by the fault `hold`; `false` when that takes too long.
    pub fn wait_until_held(&self, count: u64, most: Duration) -> bool {
        let end = std::time::Instant::now() + most;
        while *self.shared.held.borrow() < count {
            if std::time::Instant::now() > end {
                return false;
            }
            thread::sleep(Duration::from_millis(5));
        }
        true
    }

    /// Makes a bucket, or keeps the one that is there.
    pub fn make_bucket(&self, bucket: &str) {
        self.shared.state().store.buckets.entry(bucket.to_owned()).or_default();
    }

    /// Stores an object behind the back of every client; the bucket is made.
    pub fn store(&self, bucket: &str, key: &str, body: impl Into<Bytes>) {
        let object = Object::new(body.into(), Vec::new(), SystemTime::now());
        let mut state = self.shared.state();
        let bucket = state.store.buckets.entry(bucket.to_owned()).or_default();
        bucket.objects.insert(key.to_owned(), object);
    }

    /// What an object holds.
    pub fn body(&self, bucket: &str, key: &str) -> Option<Bytes> {
        self.with(bucket, |bucket| bucket.objects.get(key).map(|object| object.body.clone()))?
    }

    /// What is kept beside an object under that name of a header.
    pub fn beside(&self, bucket: &str, key: &str, name: &str) -> Option<String> {
        self.with(bucket, |bucket| {
            let beside = &bucket.objects.get(key)?.beside;
            beside.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
        })?
    }

    /// The keys of a bucket in their order.
    pub fn keys(&self, bucket: &str) -> Vec<String> {
        self.with(bucket, |bucket| bucket.objects.keys().cloned().collect()).unwrap_or_default()
    }

    /// The keys of the open uploads of a bucket, with how many parts each has.
    pub fn open_uploads(&self, bucket: &str) -> Vec<(String, usize)> {
        let of = |bucket: &mut Bucket| {
            let all = bucket.uploads.values();
            all.map(|upload| (upload.key.clone(), upload.parts.len())).collect()
        };
        self.with(bucket, of).unwrap_or_default()
    }

    /// Changes the first byte of the first part of every open upload of that key. The emulator then shows the digest of what it
    /// has, as a service does.
    pub fn damage_parts(&self, bucket: &str, key: &str) {
        self.with(bucket, |bucket| {
            for upload in bucket.uploads.values_mut().filter(|upload| upload.key == key) {
                let Some(mut first) = upload.parts.first_entry() else { continue };
                let mut bytes = first.get().body.to_vec();
                if let Some(byte) = bytes.first_mut() {
                    *byte ^= 1;
                }
                let stored = first.get().stored;
                first.insert(Part::new(bytes.into(), stored));
            }
        });
    }

    /// Forgets every open upload of that key.
    pub fn forget_uploads(&self, bucket: &str, key: &str) {
        self.with(bucket, |bucket| bucket.uploads.retain(|_, upload| upload.key != key));
    }

    fn with<T>(&self, bucket: &str, look: impl FnOnce(&mut Bucket) -> T) -> Option<T> {
        self.shared.state().store.buckets.get_mut(bucket).map(look)
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        // Closing the channel ends the server.
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the server has been printed, and the test that misses its answer fails.
            drop(thread.join());
        }
    }
}
