//! The conformance suite of backends and the doubles tests are made with.
//!
//! [`MemoryBackend`] is the contract as a program; [`Faulty`] breaks any backend at a chosen point; [`Recorder`] writes down
//! what a backend was asked; [`tree`] makes and reads trees; [`suite`] is what every backend must pass. This crate knows
//! no concrete backend but the one in memory.

mod faulty;
mod memory;
mod recorder;
pub mod suite;
pub mod tree;

pub use faulty::Faulty;
pub use memory::{KEPT_BYTES, MakeShape, MemoryBackend, SHAPES, seed_time};
pub use recorder::{Call, Recorder};
