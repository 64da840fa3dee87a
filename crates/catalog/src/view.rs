//! Merges a listing of the remote and the records of the catalogue into one listing. Pure.

use std::collections::HashSet;

use ketch_core::{Entry, EntryKind, HashAlgo, Order, RelPath};

use crate::record::Fact;
use crate::records::Records;

/// The name of a catalogue, in the root of what it is about.
pub const NAME: &str = ".ketch-catalog.zst";
/// How ketch's own names begin: that one, and those of damaged catalogues that were renamed.
const OWN: &str = ".ketch-catalog";

/// Is it the name of a catalogue, or of a damaged one that was renamed? They are never content, in any folder.
pub fn is_own_name(name: &str) -> bool {
    name.starts_with(OWN)
}

/// Is a part of `path` such a name?
pub(crate) fn is_own_path(path: &RelPath) -> bool {
    path.parts().any(is_own_name)
}

/// What a view is made with beside the records.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) records: &'a Records,
    /// Where the catalogue is.
    pub(crate) location: &'a str,
    /// The digests that the remote shows.
    pub(crate) shown: &'a [HashAlgo],
}

impl View<'_> {
    /// `entry`, as the remote shows it, with what is known of it. A time the remote shows is when the file was stored, which
    /// here means nothing, so a file that is not known has none.
    pub(crate) fn decorate(&self, entry: Entry) -> Entry {
        if entry.kind != EntryKind::File {
            return entry;
        }
        match self.records.get(&entry.path).map(|record| &record.fact) {
            Some(Fact::File(file)) if file.is_of(&entry, self.shown) => file.decorate(entry),
            _ => Entry { mtime: None, ..entry },
        }
    }

    /// What the catalogue alone holds at `path`.
    pub(crate) fn kept(&self, path: &RelPath) -> Option<Entry> {
        self.records.get(path)?.fact.entry(path.clone(), self.location, self.shown)
    }

    /// The listing of `folder`. If the remote shows an entry of some name, that counts and not the catalogue's entry.
    pub(crate) fn merge(&self, folder: &RelPath, listed: Vec<Entry>, order: Order) -> Vec<Entry> {
        let is_content = |entry: &Entry| !entry.path.name().is_some_and(is_own_name);
        let mut entries: Vec<Entry> = listed.into_iter().filter(is_content).collect();
        let mut names = HashSet::new();
        let mut twice = HashSet::new();
        for entry in &entries {
            if !names.insert(entry.path.clone()) {
                twice.insert(entry.path.clone());
            }
        }
        for entry in &mut entries {
            // Which of several is the newest is told by when they were stored.
            if !twice.contains(&entry.path) {
                let bare = std::mem::replace(entry, Entry::dir(RelPath::root()));
                *entry = self.decorate(bare);
            }
        }
        for (name, record) in self.records.in_folder(folder) {
            let Ok(path) = folder.join(name) else { continue };
            if !names.contains(&path) {
                entries.extend(record.fact.entry(path, self.location, self.shown));
            }
        }
        if order == Order::Key {
            entries.sort_by(Entry::compare_key);
        }
        entries
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use ketch_core::hash::hash_bytes;

    use super::*;
    use crate::record::{FileFact, Record, identity};

    const SHOWN: &[HashAlgo] = &[HashAlgo::Md5];

    fn path(text: &str) -> RelPath {
        RelPath::new(text).expect("legal")
    }

    fn time(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    /// A file as the remote lists it: stored at 100.
    fn listed(text: &str, content: &str) -> Entry {
        let hashes = Some(Box::new(hash_bytes(SHOWN, content.as_bytes())));
        Entry { mtime: Some(time(100)), hashes, ..Entry::file(path(text), content.len() as u64) }
    }

    fn record(fact: Fact) -> Record {
        Record { at: 1, fact }
    }

    fn known(entry: &Entry) -> Record {
        record(Fact::File(FileFact {
            size: entry.size.expect("known"),
            identity: identity(entry, SHOWN).expect("it has a digest"),
            mtime: Some(time(7)),
            mode: Some(0o640),
            blake3: Some([9; 32]),
        }))
    }

    fn show(entry: &Entry) -> String {
        let time = entry
            .mtime
            .map(|time| time.duration_since(SystemTime::UNIX_EPOCH).expect("after").as_secs());
        format!("{} {:?} {time:?} {:?}", entry.path, entry.kind, entry.mode)
    }

    fn check(records: &Records, folder: &str, entries: Vec<Entry>, expected: &[&str]) {
        let view = View { records, location: "memory", shown: SHOWN };
        let merged = view.merge(&path(folder), entries, Order::Key);
        assert_eq!(merged.iter().map(show).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn what_is_known_counts_only_of_the_very_object_that_is_listed() {
        let mut records = Records::default();
        for name in ["same", "replaced", "gone"] {
            records.set(&path(name), known(&listed(name, "content")));
        }
        check(
            &records,
            "",
            vec![listed("same", "content"), listed("replaced", "CONTENT"), listed("new", "x")],
            &["new File None None", "replaced File None None", "same File Some(7) Some(416)"],
        );
    }

    #[test]
    fn what_the_catalogue_alone_holds_is_listed_where_the_remote_has_nothing_of_that_name() {
        let mut records = Records::default();
        let empty = || record(Fact::Empty { mtime: Some(time(3)), mode: Some(0o600) });
        for name in ["d/empty", "d/file", "d/folder", "d/below/empty", "empty"] {
            records.set(&path(name), empty());
        }
        let target = bytes::Bytes::from_static(b"to");
        records.set(&path("d/link"), record(Fact::Link { target, mtime: None }));
        records.set(&path("d/gone"), record(Fact::Gone));
        check(
            &records,
            "d",
            vec![listed("d/file", "x"), Entry::dir(path("d/folder")), Entry::dir(path("d/below"))],
            &[
                "d/below Dir None None",
                "d/empty File Some(3) Some(384)",
                "d/file File None None",
                "d/folder Dir None None",
                "d/link Link None None",
            ],
        );
    }

    #[test]
    fn catalogues_are_never_listed_and_several_of_one_name_keep_when_they_were_stored() {
        let mut records = Records::default();
        let twin = listed("twin", "content");
        records.set(&path("twin"), known(&twin));
        let own = [NAME, ".ketch-catalog.damaged-1.zst"].map(|name| listed(name, "x"));
        let all = own.into_iter().chain([twin.clone(), twin]).collect();
        check(&records, "", all, &["twin File Some(100) None", "twin File Some(100) None"]);
    }
}
