//! An emulator of 1fichier.com over real HTTP: its calls, its rules, its limits, its odd moods.
//!
//! It is written from the wire reference alone and shares no code with the client, so that a
//! misreading of the one is not hidden by the same misreading of the other. One process plays the
//! API host, the upload nodes and the download hosts. The state folder survives a kill.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use ketch_fichier_sim::{Canned, Effect, Fault, Sim, SimOptions, Site};
//!
//! let sim = Sim::start(SimOptions::new("/tmp/sandbox")).await?;
//! sim.faults().inject(Fault::next(2, Site::call("file/ls"), Effect::Answer(Canned::flood(412))));
//! sim.faults().inject("download nth=1 reset-after 1000".parse()?);
//! sim.set_limits("documented/100".parse()?);
//! println!("{}", sim.api_url());
//! sim.shutdown().await;
//! # Ok(())
//! # }
//! ```

mod api;
mod arguments;
mod behind;
mod call;
mod clock;
mod debug;
mod download;
mod error;
mod fault;
mod faults;
mod fetches;
pub mod grammar;
mod holds;
mod http;
mod json;
mod lag;
mod lease;
mod limiter;
mod limits;
mod multipart;
mod names;
mod options;
mod others;
mod page;
mod plant;
mod range;
mod report;
mod server;
mod shared;
mod sim;
mod stats;
mod store;
mod token;
mod upload;
mod world;

pub use error::SimError;
pub use fault::{Canned, Effect, Fault, Site, When};
pub use faults::Faults;
pub use grammar::FaultError;
pub use holds::Holds;
pub use limits::{Limits, LimitsError, Rate};
pub use options::{ExistingFolder, ForbiddenFileName, Rules, SANDBOX_KEY, SimOptions};
pub use plant::Plant;
pub use sim::Sim;
pub use stats::{LoggedRequest, Stats, StoredFile};
