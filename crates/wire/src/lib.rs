//! HTTP as remotes need it: clients, what a failure of the network means, bodies that are watched while they are sent, the
//! clock of the server, and a gate that adapts to what the server takes.
//!
//! Knows nothing of any remote, of jobs or of options. **It repeats nothing**: a request is repeated by the layer `retry` of
//! [`ketch_core::layer`], a part of a large body by [`ketch_core::multipart`], an item by the engine. Nothing else repeats.
//!
//! The traps of the HTTP client are closed here: no redirect is followed, no referrer is sent, errors never hold a URL (a
//! query may be a secret), answers are read with a bound, and a body that is shorter or longer than was said is an error.

mod answer;
mod client;
mod fault;
mod gate;
mod send;
mod skew;
pub mod text;
pub mod xml;

pub use answer::{Answer, Download, download, exact, read};
pub use client::{ClientSettings, Purpose, client};
pub use fault::{Fault, Peer, SERVER, fault};
pub use gate::{Gate, Turn};
pub use send::{Sent, Upload, send};
pub use skew::Skew;

pub use reqwest::{Client, Method, RequestBuilder, Response, Url};
