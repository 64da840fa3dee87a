//! Actions as data: the JSON form of a plan on disk.
//!
//! The types here mirror those of the core, so that what is stored does not change when the core does.

use std::borrow::Cow;
use std::collections::BTreeMap;

use ketch_core::{
    Digest, Entry, EntryKind, HashAlgo, Hashes, Hint, MODE_MASK, RelPath, seconds_and_nanoseconds,
    time_of,
};
use serde::{Deserialize, Serialize};

use crate::decide::{Action, Reason};
use crate::outcome::Failure;

/// An item of a plan, as it is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Planned {
    /// See [`Action::Copy`].
    Copy {
        /// What is transferred.
        source: PlannedEntry,
        /// What the destination's listing showed there.
        replaces: Option<PlannedEntry>,
        /// Why.
        reason: PlannedReason,
    },
    /// See [`Action::SetTime`].
    SetTime {
        /// Whose time.
        source: PlannedEntry,
        /// Whose time is set.
        destination: PlannedEntry,
    },
    /// See [`Action::MakeDir`].
    MakeDir {
        /// Where.
        path: RelPath,
    },
    /// See [`Action::MoveDir`].
    MoveDir {
        /// The folder.
        source: PlannedEntry,
    },
    /// See [`Action::Delete`].
    Delete {
        /// What the destination's listing showed.
        entry: PlannedEntry,
    },
    /// See [`Action::RemoveSource`].
    RemoveSource {
        /// What is removed.
        source: PlannedEntry,
        /// What the destination has of it.
        destination: PlannedEntry,
    },
    /// See [`Action::RemoveSourceDir`].
    RemoveSourceDir {
        /// The folder.
        entry: PlannedEntry,
    },
    /// It cannot exist at the destination: reported, and nothing is done.
    Leave {
        /// What.
        path: RelPath,
        /// Why, in the words of [`Reason`].
        reason: Cow<'static, str>,
        /// Why, for a person.
        text: Cow<'static, str>,
        /// The word of what a person can do about it ([`Hint::as_str`]).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hint: Option<Cow<'static, str>>,
    },
    /// It cannot be done, or could not be listed or compared: a failure that was found while planning.
    Refuse {
        /// What.
        path: RelPath,
        /// What was tried: `copy`, `list`, `compare`, ….
        operation: Cow<'static, str>,
        /// The kind of the error.
        kind: Cow<'static, str>,
        /// The error's line.
        message: String,
        /// It was the source that could not be found or read.
        #[serde(default)]
        at_source: bool,
        /// The word of what a person can do about it ([`Hint::as_str`]).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hint: Option<Cow<'static, str>>,
    },
}

impl Planned {
    /// The path it is about.
    pub fn path(&self) -> &RelPath {
        match self {
            Planned::Copy { source: entry, .. }
            | Planned::SetTime { source: entry, .. }
            | Planned::MoveDir { source: entry }
            | Planned::Delete { entry }
            | Planned::RemoveSource { source: entry, .. }
            | Planned::RemoveSourceDir { entry } => &entry.path,
            Planned::MakeDir { path }
            | Planned::Leave { path, .. }
            | Planned::Refuse { path, .. } => path,
        }
    }

    /// The stable word.
    pub fn word(&self) -> &'static str {
        match self {
            Planned::Copy { .. } => "copy",
            Planned::SetTime { .. } => "set_time",
            Planned::MakeDir { .. } => "make_dir",
            Planned::MoveDir { .. } => "move_dir",
            Planned::Delete { .. } => "delete",
            Planned::RemoveSource { .. } => "remove_source",
            Planned::RemoveSourceDir { .. } => "remove_source_dir",
            Planned::Leave { .. } => "leave",
            Planned::Refuse { .. } => "refuse",
        }
    }

    /// Bytes that are to be transferred.
    pub fn bytes(&self) -> u64 {
        match self {
            Planned::Copy { source, .. } => source.size.unwrap_or(0),
            _ => 0,
        }
    }

    /// Why, in words for a person.
    pub fn explain(&self) -> String {
        match self {
            Planned::Copy { reason, .. } => reason.of_decision().to_string(),
            Planned::SetTime { .. } => Reason::OnlyTimeDiffers.to_string(),
            Planned::MakeDir { .. } | Planned::MoveDir { .. } => Reason::Missing.to_string(),
            Planned::Delete { .. } => Reason::Extra.to_string(),
            Planned::RemoveSource { .. } => "the destination has it".to_owned(),
            Planned::RemoveSourceDir { .. } => "if nothing is left in it".to_owned(),
            Planned::Leave { text, .. } => text.clone().into_owned(),
            Planned::Refuse { message, .. } => message.clone(),
        }
    }

    /// What a person can do about what is not done.
    pub fn hint(&self) -> Option<Hint> {
        match self {
            Planned::Leave { hint, .. } | Planned::Refuse { hint, .. } => {
                hint.as_deref().and_then(Hint::from_word)
            }
            _ => None,
        }
    }

    /// A failure that was found while planning, as an item of the plan.
    pub(crate) fn refusal(failure: &Failure) -> Self {
        Planned::Refuse {
            path: failure.path.clone(),
            operation: failure.operation.clone(),
            kind: Cow::Borrowed(failure.kind.as_str()),
            message: failure.message.clone(),
            at_source: failure.at_source,
            hint: failure.hint.map(|hint| hint.as_str().into()),
        }
    }
}

/// The reasons a stored copy can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each is the reason of the same name")]
pub enum PlannedReason {
    Missing,
    SizeDiffers,
    TimeDiffers,
    HashDiffers,
    SourceNewer,
    CannotTell,
    NoDigest,
    KindDiffers,
    Asked,
}

/// An entry as it is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedEntry {
    path: RelPath,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    dir: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    link: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    /// Permission bits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mode: Option<u32>,
    /// Seconds since 1970 rounded down, and nanoseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mtime: Option<(i64, u32)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    handle: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    hashes: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    claimed: BTreeMap<String, String>,
}

/// Digests as they are stored: name to hexadecimal digits.
fn stored_digests(hashes: Option<&Hashes>) -> BTreeMap<String, String> {
    let digests = hashes.into_iter().flat_map(Hashes::iter);
    digests.map(|digest| (digest.algo().to_string(), digest.to_string())).collect()
}

fn digests_of(stored: &BTreeMap<String, String>) -> Option<Box<Hashes>> {
    let mut hashes = Hashes::default();
    for algo in HashAlgo::BY_STRENGTH {
        let digest = stored.get(algo.as_str());
        if let Some(digest) = digest.and_then(|text| Digest::from_hex(algo, text)) {
            hashes.insert(digest);
        }
    }
    (hashes != Hashes::default()).then(|| Box::new(hashes))
}

impl PlannedReason {
    fn of_decision(self) -> Reason {
        match self {
            PlannedReason::Missing => Reason::Missing,
            PlannedReason::SizeDiffers => Reason::SizeDiffers,
            PlannedReason::TimeDiffers => Reason::TimeDiffers,
            PlannedReason::HashDiffers => Reason::HashDiffers,
            PlannedReason::SourceNewer => Reason::SourceNewer,
            PlannedReason::CannotTell => Reason::CannotTell,
            PlannedReason::NoDigest => Reason::NoDigest,
            PlannedReason::KindDiffers => Reason::KindDiffers,
            PlannedReason::Asked => Reason::Asked,
        }
    }
}

impl PlannedEntry {
    /// Its size, if known.
    pub fn size(&self) -> Option<u64> {
        self.size
    }

    /// Its path.
    pub fn path(&self) -> &RelPath {
        &self.path
    }
}

impl From<Entry> for PlannedEntry {
    fn from(entry: Entry) -> Self {
        PlannedEntry {
            dir: entry.is_dir(),
            link: entry.kind == EntryKind::Link,
            size: entry.size,
            mode: entry.mode,
            mtime: entry.mtime.map(seconds_and_nanoseconds),
            hashes: stored_digests(entry.hashes.as_deref()),
            claimed: stored_digests(entry.claimed.as_deref()),
            version: entry.version,
            handle: entry.handle,
            path: entry.path,
        }
    }
}

impl From<PlannedEntry> for Entry {
    fn from(stored: PlannedEntry) -> Self {
        Entry {
            hashes: digests_of(&stored.hashes),
            claimed: digests_of(&stored.claimed),
            path: stored.path,
            kind: match (stored.dir, stored.link) {
                (true, _) => EntryKind::Dir,
                (false, true) => EntryKind::Link,
                (false, false) => EntryKind::File,
            },
            mode: stored.mode.map(|mode| mode & MODE_MASK),
            size: stored.size,
            mtime: stored.mtime.and_then(time_of),
            version: stored.version,
            handle: stored.handle,
        }
    }
}

impl Planned {
    /// The stored form of an action; `Err` returns an action that needs no execution.
    pub fn from_action(action: Action) -> Result<Self, Action> {
        Ok(match action {
            Action::Copy { source, replaces, reason } => Planned::Copy {
                source: (*source).into(),
                replaces: replaces.map(|entry| (*entry).into()),
                reason: match reason {
                    Reason::Missing => PlannedReason::Missing,
                    Reason::SizeDiffers => PlannedReason::SizeDiffers,
                    Reason::TimeDiffers => PlannedReason::TimeDiffers,
                    Reason::HashDiffers => PlannedReason::HashDiffers,
                    Reason::SourceNewer => PlannedReason::SourceNewer,
                    Reason::CannotTell => PlannedReason::CannotTell,
                    Reason::NoDigest => PlannedReason::NoDigest,
                    Reason::KindDiffers => PlannedReason::KindDiffers,
                    _ => PlannedReason::Asked,
                },
            },
            Action::SetTime { source, destination } => {
                Planned::SetTime { source: (*source).into(), destination: (*destination).into() }
            }
            Action::MakeDir { path } => Planned::MakeDir { path },
            Action::MoveDir { source } => Planned::MoveDir { source: (*source).into() },
            Action::Delete { entry } => Planned::Delete { entry: (*entry).into() },
            Action::RemoveSource { source, destination } => Planned::RemoveSource {
                source: (*source).into(),
                destination: (*destination).into(),
            },
            Action::RemoveSourceDir { entry } => {
                Planned::RemoveSourceDir { entry: (*entry).into() }
            }
            other @ (Action::Skip { .. } | Action::NotStorable { .. } | Action::Refuse { .. }) => {
                return Err(other);
            }
        })
    }

    /// The action that was stored; `Err` returns an item that only reports something.
    pub fn into_action(self) -> Result<Action, Box<Self>> {
        let boxed = |entry: PlannedEntry| Box::new(Entry::from(entry));
        Ok(match self {
            Planned::Copy { source, replaces, reason } => Action::Copy {
                source: boxed(source),
                replaces: replaces.map(boxed),
                reason: reason.of_decision(),
            },
            Planned::SetTime { source, destination } => {
                Action::SetTime { source: boxed(source), destination: boxed(destination) }
            }
            Planned::MakeDir { path } => Action::MakeDir { path },
            Planned::MoveDir { source } => Action::MoveDir { source: boxed(source) },
            Planned::Delete { entry } => Action::Delete { entry: boxed(entry) },
            Planned::RemoveSource { source, destination } => {
                Action::RemoveSource { source: boxed(source), destination: boxed(destination) }
            }
            Planned::RemoveSourceDir { entry } => Action::RemoveSourceDir { entry: boxed(entry) },
            other @ (Planned::Leave { .. } | Planned::Refuse { .. }) => {
                return Err(Box::new(other));
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ketch_core::hash::hash_bytes;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_stored_is_what_was_decided(
            seconds in -2_000_000_000_i64..4_000_000_000, nanos in 0_u32..1_000_000_000,
            size: Option<u64>, text in "[^/\0]{1,12}",
        ) {
            prop_assume!(text != "." && text != "..");
            let mut entry = Entry::file(RelPath::new(&text).expect("legal"), 0);
            entry.size = size;
            entry.mtime = time_of((seconds, nanos));
            entry.handle = Some("https://1fichier.com/?abc".into());
            entry.hashes = Some(Box::new(hash_bytes(&[HashAlgo::Whirlpool], text.as_bytes())));
            let action = Action::Copy {
                source: Box::new(entry.clone()),
                replaces: Some(Box::new(entry)),
                reason: Reason::TimeDiffers,
            };
            let stored = Planned::from_action(action.clone()).expect("changes something");
            let line = serde_json::to_string(&stored).expect("serialises");
            let read: Planned = serde_json::from_str(&line).expect("parses");
            prop_assert_eq!(read.into_action(), Ok(action));
        }
    }
}
