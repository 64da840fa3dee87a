//! Decides from the entry at a path whether a change whose answer was lost has happened. Pure; `None` means "cannot tell".
//!
//! A wrong yes loses data (the caller then deletes a source), a wrong no costs a repetition. So a size alone proves a
//! no, and never a yes where something of that size may have been there before.

use std::time::{Duration, SystemTime};

use crate::capabilities::Capabilities;
use crate::entry::{Entry, EntryKind};
use crate::hash::{HashAlgo, Hashes};
use crate::options::{Expect, PutOptions};

/// Is `found` the file that a put or copy of `size` bytes stored?
pub(super) fn is_stored(
    found: &Entry,
    size: Option<u64>,
    hashes: Option<&Hashes>,
    options: &PutOptions,
    capabilities: &Capabilities,
) -> Option<bool> {
    if found.kind != stored_kind(options) || differ(&found.size, &size) == Some(true) {
        return Some(false);
    }
    if let Some(same) = same_digest(found.hashes.as_deref(), hashes) {
        return Some(same);
    }
    match &options.expect {
        // Nothing was there, and now something of the right size is.
        Expect::Absent => differ(&found.size, &size).map(|differs| !differs),
        Expect::Entry(before) => match differ(&found.version, &before.version) {
            Some(is_new) => Some(is_new),
            // The same time proves nothing: files are replaced within one tick of a coarse clock.
            None => differ(&found.mtime, &before.mtime).filter(|is_new| *is_new),
        },
        Expect::Anything => {
            let same = same_time(found.mtime, options.mtime, capabilities)?;
            (same && differ(&found.size, &size).is_some()).then_some(true)
        }
    }
}

fn stored_kind(options: &PutOptions) -> EntryKind {
    if options.is_link { EntryKind::Link } else { EntryKind::File }
}

/// Is `found` the entry that was at `from` before a rename?
pub(super) fn is_moved(found: &Entry, from: &Entry, capabilities: &Capabilities) -> Option<bool> {
    if found.kind != from.kind || differ(&found.size, &from.size) == Some(true) {
        return Some(false);
    }
    if let Some(same) = same_digest(found.hashes.as_deref(), from.hashes.as_deref()) {
        return Some(same);
    }
    // A handle is compared and not looked into: the same handle is the same object.
    let is_same_object = differ(&found.version, &from.version) == Some(false)
        || differ(&found.handle, &from.handle) == Some(false);
    if is_same_object {
        return Some(true);
    }
    // Folders get new times when something in them changes.
    if found.has_content() { same_time(found.mtime, from.mtime, capabilities) } else { None }
}

/// The strongest digest of `found`, to compare with that of the body.
pub(super) fn strongest(found: &Entry) -> Option<&crate::hash::Digest> {
    found.hashes.as_deref()?.strongest()
}

fn same_digest(left: Option<&Hashes>, right: Option<&Hashes>) -> Option<bool> {
    let (left, right) = (left?, right?);
    HashAlgo::BY_STRENGTH.into_iter().find_map(|algo| Some(left.get(algo)? == right.get(algo)?))
}

fn differ<T: PartialEq>(left: &Option<T>, right: &Option<T>) -> Option<bool> {
    Some(left.as_ref()? != right.as_ref()?)
}

/// Are the times equal as finely as the remote keeps the time of content? `None` also when it does not keep it.
fn same_time(
    left: Option<SystemTime>,
    right: Option<SystemTime>,
    capabilities: &Capabilities,
) -> Option<bool> {
    let precision = capabilities.mtime?.max(Duration::from_nanos(1));
    let (left, right) = (left?, right?);
    let apart = left.duration_since(right).unwrap_or_else(|earlier| earlier.duration());
    Some(apart < precision)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::hash_bytes;
    use crate::path::RelPath;

    fn file(size: u64) -> Entry {
        Entry::file(RelPath::new("a").expect("legal"), size)
    }

    fn version(size: u64, version: &str) -> Entry {
        Entry { version: Some(version.into()), ..file(size) }
    }

    fn hashed(content: &str) -> Entry {
        let hashes = hash_bytes(&[HashAlgo::Md5], content.as_bytes());
        Entry { hashes: Some(Box::new(hashes)), ..file(content.len() as u64) }
    }

    fn time(seconds: u64) -> Option<SystemTime> {
        Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
    }

    fn timed(seconds: u64) -> Entry {
        Entry { mtime: time(seconds), ..file(3) }
    }

    const SECONDS: Capabilities = Capabilities {
        mtime: Some(Duration::from_secs(1)),
        list_order: crate::Order::Unspecified,
        list_recursive: false,
        read_range: false,
        read_local: false,
        put_unsized: false,
        put_empty: false,
        links: false,
        put_max: None,
        copy: false,
        rename: false,
        rename_dir: false,
        dirs: false,
        duplicates: false,
        mtime_by_inspect: false,
        deletes_at_once: 0,
        set_mtime: false,
        dir_times: false,
        set_mode: false,
        narrow_mode: false,
        metadata_cost: crate::capabilities::MetadataCost::Call,
        claimed_hashes: &[],
        hashes: &[],
        name_max_bytes: None,
        put_parts: None,
        put_resume: false,
        at_once: None,
        gather: None,
    };

    #[test]
    fn a_stored_body_is_recognised_only_by_what_was_not_there_before() {
        let check = |found: &Entry, expect: Expect, mtime: Option<SystemTime>, expected| {
            let options = PutOptions { expect: expect.clone(), mtime, ..PutOptions::default() };
            let judged = is_stored(found, Some(3), None, &options, &SECONDS);
            assert_eq!(judged, expected, "{found:?} after {expect:?}");
        };
        let before = |entry: Entry| Expect::Entry(Box::new(entry));
        check(&file(4), Expect::Absent, None, Some(false));
        check(&Entry::dir(file(3).path), Expect::Absent, None, Some(false));
        check(&file(3), Expect::Absent, None, Some(true));
        check(&Entry { size: None, ..file(3) }, Expect::Absent, None, None);
        check(&version(3, "new"), before(version(3, "old")), None, Some(true));
        check(&version(3, "old"), before(version(3, "old")), None, Some(false));
        check(&timed(9), before(timed(8)), None, Some(true));
        check(&timed(8), before(timed(8)), None, None);
        check(&file(3), before(file(3)), None, None);
        check(&file(3), Expect::Anything, time(8), None);
        check(&timed(8), Expect::Anything, time(8), Some(true));
        check(&timed(9), Expect::Anything, time(8), None);
    }

    #[test]
    fn digests_that_both_know_decide() {
        let check = |content: &str, expected| {
            let known = hashed("abc").hashes;
            let options = PutOptions { expect: Expect::Absent, ..PutOptions::default() };
            let judged = is_stored(&hashed(content), Some(3), known.as_deref(), &options, &SECONDS);
            assert_eq!(judged, Some(expected));
            assert_eq!(is_moved(&hashed(content), &hashed("abc"), &SECONDS), Some(expected));
        };
        check("abc", true);
        check("abd", false);
    }

    #[test]
    fn a_moved_entry_is_recognised_by_its_identity_or_time_and_not_by_size() {
        let check = |found: &Entry, from: &Entry, expected| {
            assert_eq!(is_moved(found, from, &SECONDS), expected, "{found:?} from {from:?}");
        };
        let handle = |text: &str| Entry { handle: Some(text.into()), ..file(3) };
        let folder = Entry::dir(file(3).path);
        check(&file(3), &file(3), None);
        check(&file(4), &file(3), Some(false));
        check(&folder, &file(3), Some(false));
        check(&folder, &folder, None);
        check(&version(3, "one"), &version(3, "one"), Some(true));
        check(&version(3, "two"), &version(3, "one"), None);
        check(&handle("one"), &handle("one"), Some(true));
        check(&handle("two"), &handle("one"), None);
        check(&timed(8), &timed(8), Some(true));
        check(&timed(9), &timed(8), Some(false));
    }
}
