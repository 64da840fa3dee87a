//! One case: its name, what a backend must claim for it, and what it does.

use futures::future::LocalBoxFuture;
use ketch_core::Capabilities;

use super::context::Context;

/// One case of the suite. It fails by a panic.
pub(super) struct Case {
    /// Path of the module it is in, which ends in the topic.
    pub(super) module: &'static str,
    pub(super) name: &'static str,
    /// What is missing among the capabilities for the case to apply.
    pub(super) needs: Need,
    pub(super) run: for<'a> fn(&'a Context) -> LocalBoxFuture<'a, ()>,
}

/// `None` when the case applies, else what is not claimed.
pub(super) type Need = fn(&Capabilities) -> Option<&'static str>;

impl Case {
    pub(super) fn full_name(&self) -> String {
        let topic = self.module.rsplit("::").next().unwrap_or(self.module);
        format!("{topic}::{}", self.name)
    }
}

/// Makes a [`Case`] of an `async fn(&Context)`; without a need it applies to every backend.
macro_rules! case {
    ($name:ident) => {
        case!($name, $crate::suite::case::always)
    };
    ($name:ident, $needs:expr) => {
        $crate::suite::case::Case {
            module: module_path!(),
            name: stringify!($name),
            needs: $needs,
            run: |context| Box::pin($name(context)),
        }
    };
}
pub(super) use case;

pub(super) fn always(_claimed: &Capabilities) -> Option<&'static str> {
    None
}

fn unless(is_claimed: bool, what: &'static str) -> Option<&'static str> {
    (!is_claimed).then_some(what)
}

pub(super) fn ranges(claimed: &Capabilities) -> Option<&'static str> {
    unless(claimed.read_range, "read_range")
}

pub(super) fn unsized_bodies(claimed: &Capabilities) -> Option<&'static str> {
    unless(claimed.put_unsized, "put_unsized")
}

pub(super) fn empty_bodies(claimed: &Capabilities) -> Option<&'static str> {
    unless(claimed.put_empty, "put_empty")
}

pub(super) fn modes(claimed: &Capabilities) -> Option<&'static str> {
    unless(claimed.set_mode, "set_mode")
}

pub(super) fn links(claimed: &Capabilities) -> Option<&'static str> {
    unless(claimed.links, "links")
}

pub(super) fn largest_body(claimed: &Capabilities) -> Option<&'static str> {
    unless(claimed.put_max.is_some(), "put_max")
}

pub(super) fn key_order(claimed: &Capabilities) -> Option<&'static str> {
    unless(claimed.list_order == ketch_core::Order::Key, "list_order")
}

pub(super) fn recursive_listings(claimed: &Capabilities) -> Option<&'static str> {
    unless(claimed.list_recursive, "list_recursive")
}

pub(super) fn folders(claimed: &Capabilities) -> Option<&'static str> {
    unless(claimed.dirs, "dirs")
}

pub(super) fn duplicates(claimed: &Capabilities) -> Option<&'static str> {
    unless(claimed.duplicates, "duplicates")
}

pub(super) fn copies(claimed: &Capabilities) -> Option<&'static str> {
    unless(claimed.copy, "copy")
}

pub(super) fn renames(claimed: &Capabilities) -> Option<&'static str> {
    unless(claimed.rename, "rename")
}

pub(super) fn rename_of_folders(claimed: &Capabilities) -> Option<&'static str> {
    renames(claimed).or(folders(claimed))
}

pub(super) fn times(claimed: &Capabilities) -> Option<&'static str> {
    unless(claimed.mtime.is_some(), "mtime")
}

pub(super) fn setting_times(claimed: &Capabilities) -> Option<&'static str> {
    times(claimed).or(unless(claimed.set_mtime, "set_mtime"))
}

pub(super) fn folder_times(claimed: &Capabilities) -> Option<&'static str> {
    unless(claimed.dir_times, "dir_times")
}

pub(super) fn copies_with_times(claimed: &Capabilities) -> Option<&'static str> {
    copies(claimed).or(times(claimed))
}

pub(super) fn digests(claimed: &Capabilities) -> Option<&'static str> {
    unless(!claimed.hashes.is_empty(), "hashes")
}

pub(super) fn claims(claimed: &Capabilities) -> Option<&'static str> {
    unless(!claimed.claimed_hashes.is_empty(), "claimed_hashes")
}

pub(super) fn resumes(claimed: &Capabilities) -> Option<&'static str> {
    unless(claimed.put_resume, "put_resume")
}

pub(super) fn sends_parts(claimed: &Capabilities) -> Option<&'static str> {
    unless(claimed.put_parts.is_some(), "put_parts")
}

pub(super) fn longest_name(claimed: &Capabilities) -> Option<&'static str> {
    unless(claimed.name_max_bytes.is_some(), "name_max_bytes")
}
