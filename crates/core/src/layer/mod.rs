//! Layers: backends around a backend that change no names and no bytes.
//!
//! [`Stack`] composes them in the one legal order, inside to outside: raw backend, timeout (each attempt has a deadline),
//! limit (per remote; each attempt takes a slot), retry (the only code in the program that repeats requests). Other orders
//! would be wrong: a deadline around the retry would count the waits of the retry, and a retry that waits inside of the limit
//! would hold a slot that other requests need.
//!
//! Every layer adds operation, remote and path to errors that lack them, and each may be dropped at any time: all waiting
//! happens in the caller's own future or stream.

mod context;
mod effort;
mod evidence;
mod gate;
mod limit;
mod resume;
mod retry;
mod stack;
mod tap;
mod timed;
mod timeout;

#[cfg(test)]
mod tests_limit;
#[cfg(test)]
mod tests_parts;
#[cfg(test)]
mod tests_put;
#[cfg(test)]
mod tests_retry;
#[cfg(test)]
pub(crate) mod tests_script;
#[cfg(test)]
mod tests_stack;
#[cfg(test)]
mod tests_streams;
#[cfg(test)]
mod tests_timeout;

pub use effort::{Observer, RetrySettings};
pub use limit::LimitSettings;
pub use stack::Stack;
pub use timeout::TimeoutSettings;
