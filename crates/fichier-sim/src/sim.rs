//! The emulator as a value: started, steered, stopped.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::faults::Faults;
use crate::store::Store;
use crate::world::World;
use crate::{Holds, Limits, Rules, SimError, SimOptions, Stats, StoredFile, server};

/// A running emulator. Dropping it stops the server and frees the state folder.
#[derive(Debug)]
pub struct Sim {
    world: Arc<World>,
    stop: watch::Sender<bool>,
    server: JoinHandle<()>,
}

impl Sim {
    /// Opens the state folder, binds 127.0.0.1 and serves; connections are accepted when this
    /// returns. Needs a tokio runtime with time and I/O enabled.
    ///
    /// [`SimError::InUse`] when another emulator owns the folder.
    pub async fn start(options: SimOptions) -> Result<Self, SimError> {
        let store = Store::open(&options.state)?;
        let wanted = SocketAddr::from((Ipv4Addr::LOCALHOST, options.port));
        let listener =
            TcpListener::bind(wanted).await.map_err(SimError::io(format!("bind {wanted}")))?;
        let address = listener.local_addr().map_err(SimError::io(format!("bind {wanted}")))?;
        let world = Arc::new(World::new(store, &options, address));
        let (stop, stopped) = watch::channel(false);
        let server = tokio::spawn(server::run(listener, Arc::clone(&world), stopped));
        tracing::info!(%address, "emulator started");
        Ok(Self { world, stop, server })
    }

    /// The base of all calls, such as `http://127.0.0.1:4000/v1`.
    pub fn api_url(&self) -> String {
        format!("http://{}/v1", self.world.address)
    }

    /// Where the emulator listens.
    pub fn address(&self) -> SocketAddr {
        self.world.address
    }

    /// A copy of the counters and of the request log.
    pub fn stats(&self) -> Stats {
        self.world.stats()
    }

    /// Forgets counters and log; the bytes of the sockets go on counting.
    pub fn reset_stats(&self) {
        self.world.reset_stats();
    }

    /// Waits until so many requests in all have been left without an answer, which those of [`Holds`] need not be
    /// ([`crate::Effect::Stall`], [`crate::Effect::HoldAnswer`] and their like), each after it was carried out, if it is.
    pub async fn unanswered(&self, count: u64) {
        let mut held = self.world.traffic.held.subscribe();
        // The sender lives as long as the world.
        let _ = held.wait_for(|held| *held >= count).await;
    }

    /// The register of misbehaviour to inject.
    pub fn faults(&self) -> &Faults {
        &self.world.faults
    }

    /// The requests that wait because of a fault that holds them.
    pub fn holds(&self) -> &Holds {
        &self.world.holds
    }

    /// Puts many files into the account at once. Blocks for as long as writing them takes.
    ///
    /// Errors: what the disk says.
    pub fn plant(&self, wanted: &crate::Plant) -> Result<(), SimError> {
        crate::plant::plant(&self.world, wanted)
    }

    /// Every file of the account, in no order, with those uploads whose report nobody has fetched: they show sooner or
    /// later.
    pub fn stored(&self) -> Vec<StoredFile> {
        self.world.stored()
    }

    /// Replaces the limits; what they remembered is forgotten.
    pub fn set_limits(&self, limits: Limits) {
        self.world.set_limits(limits);
    }

    /// Lets every listing of a folder show what was there so long ago, by tokio's clock.
    pub fn set_lag(&self, behind: std::time::Duration) {
        self.world.lag.set_behind(crate::behind::Behind::Time(behind));
    }

    /// The rules of this moment.
    pub fn rules(&self) -> Rules {
        self.world.rules()
    }

    /// Replaces the rules.
    pub fn set_rules(&self, rules: Rules) {
        self.world.set_rules(rules);
    }

    /// Ends every connection and frees the state folder; both are done when this returns.
    pub async fn shutdown(mut self) {
        self.stop.send_replace(true);
        if let Err(error) = (&mut self.server).await {
            tracing::error!(%error, "the server ended badly");
        }
        self.world.store.close();
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        self.server.abort();
        // Connections may live a moment longer than this; a closed store takes nothing from them.
        self.world.store.close();
    }
}
