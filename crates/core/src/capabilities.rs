//! What a remote can do, as data.
//!
//! Every field is read by the engine or the conformance suite; a field that is not read is deleted. A wrapper computes its
//! own value from the inner one, so it claims no capability that it does not have.

use std::time::Duration;

use crate::hash::HashAlgo;

/// In which order a listing delivers the entries of one folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Order {
    /// The canonical order, by sort keys ([`crate::compare_keys`]).
    Key,
    /// No order that can be relied on: the walk sorts each folder.
    #[default]
    Unspecified,
}

/// How many items a remote takes in one request. A caller that has several for one folder makes the calls at the same time,
/// and the backend puts them into one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Gather {
    /// Items of one request.
    pub items: usize,
    /// Files up to this size are gathered.
    pub item_bytes: u64,
    /// Bytes of one request.
    pub bytes: u64,
}

/// What changing facts beside the content costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum MetadataCost {
    /// One small call, or none.
    #[default]
    Call,
    /// A copy of the file onto itself, made by the remote.
    Copy,
}

/// How a remote takes a large object in upload parts (S3: multipart upload).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PartRules {
    /// A body of at least this many bytes is sent in upload parts.
    pub from: u64,
    /// The length of every part except the last; a power of two.
    pub part_bytes: u64,
    /// The most parts that one object may have. A larger object has longer parts.
    pub parts_max: u32,
    /// Parts that are sent at the same time.
    pub at_once: usize,
}

/// What a remote can do. The default can do nothing optional.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Capabilities {
    /// Order of one folder's listing.
    pub list_order: Order,
    /// `list` can show everything below a folder at once, in the order of sort keys ([`crate::ListOptions::recursive`]).
    pub list_recursive: bool,
    /// `read` honours a range, and several ranges of one entry may be read at the same time.
    pub read_range: bool,
    /// Reading costs no network: digests can be computed by reading the content.
    pub read_local: bool,
    /// `put` takes a body of unknown size.
    pub put_unsized: bool,
    /// `put` takes an empty body.
    pub put_empty: bool,
    /// Symbolic links are kept as [`crate::EntryKind::Link`]: the body of a `put` is the path that the link points to.
    pub links: bool,
    /// The largest body `put` takes, in bytes; `None` = no limit known.
    pub put_max: Option<u64>,
    /// `copy` works between entries of the same [`crate::About::scope`].
    pub copy: bool,
    /// `rename` works.
    pub rename: bool,
    /// `rename` moves a folder with everything in it in one step.
    pub rename_dir: bool,
    /// Folders exist on their own: an empty one can be made, is listed and can be deleted.
    pub dirs: bool,
    /// Two entries of one folder may have the same name.
    pub duplicates: bool,
    /// How finely the modification time of the *content* is kept. `None` = it is not kept, and the time an entry shows
    /// is when it was stored: fit to be shown and for `--update`, never a sign that two files are equal.
    pub mtime: Option<Duration>,
    /// Listings do not show the modification time that is kept: [`crate::facets::Inspect`] finds it out, and so does `stat`. What
    /// a listing shows then has no time.
    pub mtime_by_inspect: bool,
    /// `set_metadata` sets the time of a file that exists.
    pub set_mtime: bool,
    /// Folders have modification times of their own, and `set_metadata` works on a folder.
    pub dir_times: bool,
    /// `set_metadata` sets permissions: they are kept as facts beside the content, so they follow those of the source. Not
    /// true of a disk, where permissions say who may use the file.
    pub set_mode: bool,
    /// Files and folders have permissions that the system enforces, and `set_metadata` takes some away and never adds
    /// any: a disk.
    pub narrow_mode: bool,
    /// What `set_metadata` costs, where it works.
    pub metadata_cost: MetadataCost,
    /// Digests that listings or `put` report for free and that the remote attests ([`crate::Entry::hashes`]), any order.
    pub hashes: &'static [HashAlgo],
    /// Digests that an uploader may have written down ([`crate::Entry::claimed`]), any order. `put` writes down those that
    /// its body has taken ([`crate::Source::passed`]).
    pub claimed_hashes: &'static [HashAlgo],
    /// The longest name of one file or folder in bytes, if known.
    pub name_max_bytes: Option<usize>,
    /// `put` stores a large body in upload parts, and reads these in any order if the body allows it.
    pub put_parts: Option<PartRules>,
    /// An interrupted `put` of a large file leaves a part that [`crate::facets::Resume::partial`] can return.
    pub put_resume: bool,
    /// Files that one request deletes; 0 and 1: each takes a request of its own. A caller that has many hands so many at a time
    /// to `delete`.
    pub deletes_at_once: usize,
    /// How many files it accepts or serves at the same time before it refuses some; `None` = any number.
    pub at_once: Option<usize>,
    /// Small items of one folder go into one request if the calls are made at the same time; `None` = each has its own.
    pub gather: Option<Gather>,
}

impl Capabilities {
    /// Is a digest with `algo` available, from the listing or by reading without network?
    pub fn has_hash(&self, algo: HashAlgo) -> bool {
        self.read_local || self.hashes.contains(&algo)
    }

    /// The strongest digest that both sides have without moving content over a network.
    pub fn common_hash(&self, other: &Capabilities) -> Option<HashAlgo> {
        HashAlgo::BY_STRENGTH.into_iter().find(|algo| self.has_hash(*algo) && other.has_hash(*algo))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_common_hash_is_the_strongest_that_both_have() {
        let disk = Capabilities { read_local: true, ..Capabilities::default() };
        let whirl = Capabilities { hashes: &[HashAlgo::Whirlpool], ..Capabilities::default() };
        let old =
            Capabilities { hashes: &[HashAlgo::Md5, HashAlgo::Sha1], ..Capabilities::default() };
        let check = |left: &Capabilities, right: &Capabilities, expected| {
            assert_eq!(left.common_hash(right), expected);
            assert_eq!(right.common_hash(left), expected);
        };
        check(&disk, &disk, Some(HashAlgo::Blake3));
        check(&disk, &whirl, Some(HashAlgo::Whirlpool));
        check(&disk, &old, Some(HashAlgo::Sha1));
        check(&whirl, &old, None);
        check(&Capabilities::default(), &disk, None);
    }
}
