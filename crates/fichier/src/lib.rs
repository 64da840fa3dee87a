//! 1fichier.com as a backend.
//!
//! The service has no paths, no overwrite, no resumable upload and no settable time; files are addresses, folders are
//! numbers, and how often one may ask decides whether a client is usable at all. So this crate keeps three things that the
//! service does not: an index from paths to numbers (`tree`), the listings of the last half minute (`cache`, and
//! `board` for people who look), and the times of its own calls (`pace`).

mod account;
mod account_view;
mod api;
mod arrival;
mod asked;
mod backend;
mod batch;
mod batched;
mod bill;
mod board;
mod bounds;
mod cache;
mod change;
mod clock;
mod dates;
mod debts;
mod download;
mod ended;
mod entries;
mod error;
mod evidence;
mod facets;
mod gather;
mod given_up;
mod hosts;
mod http;
mod index;
mod items;
mod json;
mod known;
mod links;
mod listing;
mod locks;
mod looks;
mod lost;
mod moving;
mod multipart;
mod names;
mod note;
mod owed;
mod pace;
mod pending;
mod placement;
mod places;
mod proof;
mod recent;
mod removal;
mod replace;
mod report;
mod resume;
mod second_calls;
mod seek;
mod send;
mod sending;
mod sent;
mod services;
mod settings;
mod shared;
mod state_files;
mod target;
mod text;
mod tokens;
mod tree;
mod types;
mod upload;
mod verify;
mod window;
mod windows;

pub use backend::{FACTORY, Fichier, layered, raw};
