//! HTTP/1.1 over sockets the emulator owns.
//!
//! A framework hides the socket, and half of what the emulator is for happens there: resets after
//! so many bytes, bodies shorter than announced, bodies that are read slowly or not at all.

mod connection;
mod request;
mod response;

pub(crate) use connection::{Connection, Traffic};
pub(crate) use request::Request;
pub(crate) use response::{Body, Finish, Response, Transfer, Watcher};
