//! An emulator of S3 in memory, over real HTTP/1.1.
//!
//! It verifies the signature of every request, the digests that requests carry, and the conditions under which they store and
//! delete; a script tells it to fail. It has its own HTTP, its own signatures and its own XML, so that it checks the client
//! instead of repeating its mistakes.
//!
//! Must not know: any crate of ketch. The client and the emulator meet only on the wire.

mod answer;
mod bucket;
mod call;
mod clock;
mod conditions;
mod digest;
mod fault;
mod http;
mod list;
mod multipart;
mod object;
mod removal;
mod rules;
mod server;
mod sign;
mod sim;
mod stats;
mod store;
mod text;

pub use fault::ScriptError;
pub use rules::{KEY, Rules, SECRET};
pub use sim::Sim;
pub use stats::Stats;
