//! The verbs, one a module. Each opens its places, does its work and gives back a [`crate::context::Done`].

pub(crate) mod about;
pub(crate) mod apply;
pub(crate) mod attr;
pub(crate) mod cache;
pub(crate) mod cat;
pub(crate) mod check;
pub(crate) mod config;
pub(crate) mod copy;
pub(crate) mod copyurl;
pub(crate) mod dedupe;
pub(crate) mod delete;
pub(crate) mod help;
pub(crate) mod job;
pub(crate) mod jobs;
pub(crate) mod link;
pub(crate) mod ls;
pub(crate) mod mkdir;
pub(crate) mod plan;
pub(crate) mod rcat;
pub(crate) mod remote;
pub(crate) mod sandbox;
pub(crate) mod service;
pub(crate) mod stat;
pub(crate) mod tree;
