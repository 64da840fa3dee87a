//! The emulator over real sockets, spoken to by a client that knows nothing but bytes.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod calls;
mod client;
mod download;
mod faults;
mod limits;
mod state;
mod upload;
