//! The verbs, one a module. Each opens its places, does its work and gives back a [`crate::context::Done`].

pub(crate) mod apply;
pub(crate) mod cache;
pub(crate) mod cat;
pub(crate) mod check;
pub(crate) mod config;
pub(crate) mod copy;
pub(crate) mod delete;
pub(crate) mod hashsum;
pub(crate) mod help;
pub(crate) mod job;
pub(crate) mod jobs;
pub(crate) mod ls;
pub(crate) mod manifest;
pub(crate) mod mkdir;
pub(crate) mod plan;
pub(crate) mod remote;
pub(crate) mod sandbox;
pub(crate) mod verify;
