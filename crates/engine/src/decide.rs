//! What to do about one pair of entries. Pure: no I/O, no clock; every branch has a [`Reason`].
//!
//! Some answers need a digest that only reading can give; then [`Decision::Compare`] says which, and
//! [`Comparison::resolve`] turns the result into an action. Nothing here executes anything.

use std::time::{Duration, SystemTime};

use ketch_core::{
    Capabilities, Entry, EntryKind, Error, ErrorKind, HashAlgo, Hint, RelPath, View, narrowed,
};

use crate::clock::Clock;
use crate::join::Pair;
use crate::settings::{Compare, Settings};

mod reason;

pub use self::reason::Reason;

/// What to do with one item.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Transfer `source`, replacing `replaces`.
    Copy {
        /// What is transferred.
        source: Box<Entry>,
        /// What the destination's listing showed there.
        replaces: Option<Box<Entry>>,
        /// Why.
        reason: Reason,
    },
    /// Give the destination's file the source's modification time, and its permissions where those are kept beside it.
    SetTime {
        /// Whose time.
        source: Box<Entry>,
        /// Whose time is set.
        destination: Box<Entry>,
    },
    /// Make an empty folder.
    MakeDir {
        /// Where.
        path: RelPath,
    },
    /// Move a folder of the source with everything in it to where the destination has nothing, in one step.
    MoveDir {
        /// The folder.
        source: Box<Entry>,
    },
    /// Delete a file, or a folder after what was in it.
    Delete {
        /// What the destination's listing showed.
        entry: Box<Entry>,
    },
    /// Remove the source's file, because it was verified that the destination has it.
    RemoveSource {
        /// What is removed.
        source: Box<Entry>,
        /// What the destination has of it.
        destination: Box<Entry>,
    },
    /// Remove a folder of the source if nothing is left in it.
    RemoveSourceDir {
        /// The folder.
        entry: Box<Entry>,
    },
    /// Nothing is needed.
    Skip {
        /// What.
        path: RelPath,
        /// Why.
        reason: Reason,
    },
    /// It cannot exist at the destination: reported, and not a failure.
    NotStorable {
        /// What.
        path: RelPath,
        /// Why.
        reason: Reason,
    },
    /// It cannot be done; a failure of this item alone.
    Refuse {
        /// What.
        path: RelPath,
        /// Why.
        reason: Reason,
    },
}

/// What [`decide`] answers.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// Nothing at all: a folder on both sides, an extra file in a `copy`.
    Nothing,
    /// This.
    Act(Action),
    /// The action depends on whether the contents are equal.
    Compare(Comparison),
}

/// Two files whose digests must be known.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// The source's file.
    pub source: Box<Entry>,
    /// The destination's file.
    pub destination: Box<Entry>,
    /// Which digest.
    pub algo: HashAlgo,
    if_equal: IfEqual,
    if_different: Reason,
    ambiguous: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum IfEqual {
    Skip,
    SetTime,
    RemoveSource,
}

impl Comparison {
    /// Will a file be changed or removed because both are equal? Then a remembered digest is not enough.
    pub fn acts_if_equal(&self) -> bool {
        match self.if_equal {
            IfEqual::Skip => false,
            IfEqual::SetTime | IfEqual::RemoveSource => true,
        }
    }

    /// The action once it is known whether the contents are equal, and whether that rests on a claim.
    pub fn resolve(self, equal: bool, is_claim: bool) -> Action {
        let path = self.source.path.clone();
        match (equal, self.if_equal) {
            (true, IfEqual::Skip) => {
                let reason = if is_claim { Reason::SameClaim } else { Reason::SameHash };
                Action::Skip { path, reason }
            }
            (true, IfEqual::SetTime) => {
                Action::SetTime { source: self.source, destination: self.destination }
            }
            (true, IfEqual::RemoveSource) if self.ambiguous => {
                Action::Refuse { path, reason: Reason::AmbiguousDestination }
            }
            (true, IfEqual::RemoveSource) => {
                Action::RemoveSource { source: self.source, destination: self.destination }
            }
            (false, _) if self.ambiguous => {
                Action::Refuse { path, reason: Reason::AmbiguousDestination }
            }
            (false, _) => Action::Copy {
                source: self.source,
                replaces: Some(self.destination),
                reason: self.if_different,
            },
        }
    }

    /// The action when it cannot be known whether they are, because the digest of the stored copy is not remembered.
    pub fn resolve_unknown(self) -> Action {
        Comparison { if_different: Reason::NoDigest, ..self }.resolve(false, false)
    }
}

/// What a decision depends on, besides the pair.
#[derive(Debug)]
pub struct Rules<'a> {
    /// What the caller chose.
    pub settings: &'a Settings,
    /// Are extra entries of the destination deleted?
    pub delete_extra: bool,
    /// Is the source's file removed once it is verified that the destination has it?
    pub remove_source: bool,
    /// What the source can do.
    pub source: &'a Capabilities,
    /// What the destination can do.
    pub destination: &'a Capabilities,
    /// If the sides have no digest in common: the digest that is remembered from sending files to the destination. Used
    /// with `Compare::Checksum` only, and never to remove a file.
    pub remembered: Option<HashAlgo>,
    /// How the destination stores times.
    pub clock: Clock,
}

impl Rules<'_> {
    /// Times closer than this are equal; `None` when a side does not keep modification times.
    fn window(&self) -> Option<Duration> {
        if self.clock.is_fixed() {
            return None;
        }
        let precision = self.source.mtime?.max(self.destination.mtime?);
        Some(precision.max(self.settings.modify_window))
    }

    /// Do both sides keep modification times?
    pub fn keeps_times(&self) -> bool {
        self.window().is_some()
    }

    /// Do two files differ in size, or in time if both sides keep times? Their contents are not read.
    pub fn plainly_differ(&self, source: &Entry, destination: &Entry) -> bool {
        let sizes = source.size.zip(destination.size);
        let times = source.mtime.zip(destination.mtime);
        let are_apart = |window: Duration| {
            times.is_some_and(|(left, right)| {
                apart(left, right) >= window && !self.clock.agree(left, right)
            })
        };
        sizes.is_some_and(|(left, right)| left != right) || self.window().is_some_and(are_apart)
    }

    /// The digest by which the two sides can be compared.
    pub fn common_hash(&self) -> Option<HashAlgo> {
        // That two checksums are equal is no reason to remove anything.
        let counts = |algo: &HashAlgo| !(self.remove_source && algo.is_checksum());
        self.source.common_hash(self.destination).filter(counts)
    }

    /// The permissions that the destination's entry must get; `None` = they stay as they are.
    pub fn wanted_mode(
        &self,
        kind: EntryKind,
        source: Option<u32>,
        destination: Option<u32>,
    ) -> Option<u32> {
        if self.destination.set_mode && kind == EntryKind::File {
            return source.filter(|_| source != destination);
        }
        if !self.destination.narrow_mode || self.clock.ignores_modes() {
            return None;
        }
        let (source, destination) = source.zip(destination)?;
        let narrow = narrowed(kind, destination, source);
        (narrow != destination).then_some(narrow)
    }

    fn wants_mode(&self, source: Option<u32>, destination: Option<u32>) -> bool {
        self.wanted_mode(EntryKind::File, source, destination).is_some()
    }

    /// The digest by which `--checksum` compares.
    fn checksum(&self) -> Option<HashAlgo> {
        self.common_hash().or(self.remembered.filter(|_| !self.remove_source))
    }
}

/// What to do about `pair`.
pub fn decide(pair: Pair, rules: &Rules<'_>) -> Decision {
    match (pair.source, pair.destination) {
        (Some(source), _) if pair.source_duplicates => {
            refuse(&source.path, Reason::AmbiguousSource)
        }
        (Some(source), _) if pair.folds => refuse(&source.path, Reason::NameFolds),
        (Some(source), _) if matches!(source.kind, EntryKind::Special(_)) => {
            let EntryKind::Special(special) = source.kind else { return Decision::Nothing };
            let reason = Reason::Special(special);
            Decision::Act(Action::NotStorable { path: source.path, reason })
        }
        (Some(source), _) if source.kind == EntryKind::Link && !rules.destination.links => {
            let reason = Reason::LinkNotKept;
            Decision::Act(Action::NotStorable { path: source.path, reason })
        }
        (Some(source), None) if pair.clash => refuse(&source.path, Reason::Clash),
        (Some(source), None) if source.is_dir() => decide_new_dir(source, rules),
        (Some(source), None) => {
            Decision::Act(transfer(Box::new(source), None, Reason::Missing, rules))
        }
        (Some(source), Some(destination)) if is_file_against_link(&source, &destination) => {
            let path = source.path.clone();
            if pair.destination_duplicates {
                return refuse(&path, Reason::AmbiguousDestination);
            }
            if rules.settings.ignore_existing {
                return Decision::Act(Action::Skip { path, reason: Reason::Existing });
            }
            let replaces = Some(Box::new(destination));
            Decision::Act(transfer(Box::new(source), replaces, Reason::KindDiffers, rules))
        }
        (Some(source), Some(destination)) if source.kind != destination.kind => {
            refuse(&source.path, Reason::Clash)
        }
        (Some(source), Some(destination)) if source.is_dir() => {
            if pair.destination_duplicates {
                return refuse(&source.path, Reason::AmbiguousDestination);
            }
            match rules.wanted_mode(EntryKind::Dir, source.mode, destination.mode) {
                Some(_) => {
                    let (source, destination) = (Box::new(source), Box::new(destination));
                    Decision::Act(Action::SetTime { source, destination })
                }
                None => Decision::Nothing,
            }
        }
        (Some(source), Some(destination)) => {
            let ambiguous = pair.destination_duplicates;
            decide_both(Box::new(source), Box::new(destination), ambiguous, rules)
        }
        (None, Some(destination)) if rules.delete_extra && pair.destination_duplicates => {
            refuse(&destination.path, Reason::AmbiguousDestination)
        }
        (None, Some(destination)) => decide_extra(destination, pair.clash, rules),
        (None, None) => Decision::Nothing,
    }
}

/// Do two files of one name need nothing, so that nothing must be reported about them? `true` only if [`decide`] would
/// answer [`Action::Skip`]; `false` means nothing. It is used for listings and reads only packed entries.
pub fn needs_nothing(source: &View<'_>, destination: &View<'_>, rules: &Rules<'_>) -> bool {
    let are_files = source.kind == EntryKind::File && destination.kind == EntryKind::File;
    let size = source.size.filter(|size| destination.size == Some(*size));
    if !are_files || rules.remove_source || size.is_none() {
        return false;
    }
    match rules.settings.compare {
        Compare::SizeOnly => true,
        Compare::Checksum | Compare::IgnoreTimes => false,
        Compare::SizeAndTime => {
            let Some(window) = rules.window() else { return false };
            let times = || source.mtime().zip(destination.mtime());
            let are_same = source.time.is_some() && source.time == destination.time;
            let is_close =
                |(left, right)| apart(left, right) < window || rules.clock.agree(left, right);
            let are_close = || are_same || times().is_some_and(is_close);
            !window.is_zero() && are_close() && !rules.wants_mode(source.mode, destination.mode)
        }
    }
}

fn refuse(path: &RelPath, reason: Reason) -> Decision {
    Decision::Act(Action::Refuse { path: path.clone(), reason })
}

/// One is a file and the other a link that is kept: one replaces the other.
fn is_file_against_link(left: &Entry, right: &Entry) -> bool {
    left.has_content() && right.has_content() && left.kind != right.kind
}

fn decide_new_dir(source: Entry, rules: &Rules<'_>) -> Decision {
    let is_wanted = rules.settings.create_empty_dirs
        && rules.settings.filter.admits_empty_dir(source.path.as_str());
    if is_wanted && rules.destination.dirs {
        Decision::Act(Action::MakeDir { path: source.path })
    } else {
        Decision::Nothing
    }
}

fn decide_extra(destination: Entry, clash: bool, rules: &Rules<'_>) -> Decision {
    // A clash is reported once, at the source's entry; an entry that is neither file nor folder is never deleted.
    if !rules.delete_extra || clash || matches!(destination.kind, EntryKind::Special(_)) {
        return Decision::Nothing;
    }
    if destination.is_dir() && !rules.destination.dirs {
        return Decision::Nothing;
    }
    Decision::Act(Action::Delete { entry: Box::new(destination) })
}

/// A transfer, unless the destination cannot hold the file.
fn transfer(
    source: Box<Entry>,
    replaces: Option<Box<Entry>>,
    reason: Reason,
    rules: &Rules<'_>,
) -> Action {
    let path = source.path.clone();
    let limits = rules.destination;
    // Whether the destination keeps links was checked before.
    if source.kind == EntryKind::Link {
        return Action::Copy { source, replaces, reason };
    }
    match source.size {
        Some(0) if !limits.put_empty && replaces.is_some() => {
            Action::Refuse { path, reason: Reason::EmptyFileOverOld }
        }
        Some(0) if !limits.put_empty => Action::NotStorable { path, reason: Reason::EmptyFile },
        Some(size) if limits.put_max.is_some_and(|most| size > most) => {
            Action::Refuse { path, reason: Reason::TooLarge }
        }
        None if !limits.put_unsized => Action::Refuse { path, reason: Reason::UnknownSize },
        _ => Action::Copy { source, replaces, reason },
    }
}

/// Two files of one name. The steps are those of rclone (`rclone-compat.md` A.2), except that two sides without a common
/// digest or time never count as equal in silence when something says that they may differ.
fn decide_both(
    source: Box<Entry>,
    destination: Box<Entry>,
    ambiguous: bool,
    rules: &Rules<'_>,
) -> Decision {
    let (settings, both) = (rules.settings, Both { ambiguous, rules });
    if settings.ignore_existing {
        return both.skip(source, destination, Reason::Existing);
    }
    if settings.update && is_newer(&destination, &source, rules) {
        return both.skip(source, destination, Reason::DestinationNewer);
    }
    if settings.compare == Compare::IgnoreTimes {
        return both.replace(source, destination, Reason::Asked);
    }
    if let (Some(left), Some(right)) = (source.size, destination.size)
        && left != right
    {
        return both.replace(source, destination, Reason::SizeDiffers);
    }
    let sizes_known = source.size.is_some() && destination.size.is_some();
    let algo = rules.common_hash();
    match (settings.compare, algo) {
        (Compare::SizeOnly, _) if sizes_known => {
            return both.skip(source, destination, Reason::SameSize);
        }
        (Compare::SizeOnly, _) => return both.replace(source, destination, Reason::CannotTell),
        (Compare::Checksum, _) => match rules.checksum() {
            Some(algo) => {
                let if_equal = match rules.wants_mode(source.mode, destination.mode) {
                    true if !ambiguous => IfEqual::SetTime,
                    _ => IfEqual::Skip,
                };
                return both.compare(source, destination, algo, if_equal, Reason::HashDiffers);
            }
            // Without a common digest the job does not start; see `job_can_start`.
            None => return both.replace(source, destination, Reason::HashDiffers),
        },
        (Compare::SizeAndTime | Compare::IgnoreTimes, _) => {}
    }
    both.by_time(source, destination)
}

/// What may become of two files of one name.
struct Both<'a> {
    /// The destination has several of that name.
    ambiguous: bool,
    rules: &'a Rules<'a>,
}

impl Both<'_> {
    fn replace(&self, source: Box<Entry>, destination: Box<Entry>, reason: Reason) -> Decision {
        if self.ambiguous {
            return refuse(&source.path, Reason::AmbiguousDestination);
        }
        Decision::Act(transfer(source, Some(destination), reason, self.rules))
    }

    fn compare(
        &self,
        source: Box<Entry>,
        destination: Box<Entry>,
        algo: HashAlgo,
        if_equal: IfEqual,
        if_different: Reason,
    ) -> Decision {
        let if_equal = if self.rules.remove_source { IfEqual::RemoveSource } else { if_equal };
        let ambiguous = self.ambiguous;
        Decision::Compare(Comparison {
            source,
            destination,
            algo,
            if_equal,
            if_different,
            ambiguous,
        })
    }

    fn skip(&self, source: Box<Entry>, destination: Box<Entry>, reason: Reason) -> Decision {
        equal(source, destination, reason, self.ambiguous, self.rules)
    }

    /// Of files of equal size that are compared by their times.
    fn by_time(&self, source: Box<Entry>, destination: Box<Entry>) -> Decision {
        let (both, rules, ambiguous) = (self, self.rules, self.ambiguous);
        let sizes_known = source.size.is_some() && destination.size.is_some();
        let algo = rules.common_hash();
        let times = source.mtime.zip(destination.mtime);
        match (rules.window(), times) {
            (Some(window), Some((left, right))) => {
                if apart(left, right) < window || rules.clock.agree(left, right) {
                    let may_set = !rules.remove_source && !ambiguous;
                    if may_set && rules.wants_mode(source.mode, destination.mode) {
                        return Decision::Act(Action::SetTime { source, destination });
                    }
                    return both.skip(source, destination, Reason::SameSizeAndTime);
                }
                let if_equal =
                    if rules.destination.set_mtime { IfEqual::SetTime } else { IfEqual::Skip };
                match algo {
                    Some(algo) => {
                        both.compare(source, destination, algo, if_equal, Reason::TimeDiffers)
                    }
                    None => both.replace(source, destination, Reason::TimeDiffers),
                }
            }
            // The destination keeps modification times but does not know the one of this file: if the content is equal, it gets
            // the source's time.
            (Some(_), None) if source.mtime.is_some() && rules.destination.set_mtime => {
                match algo {
                    Some(algo) => both.compare(
                        source,
                        destination,
                        algo,
                        IfEqual::SetTime,
                        Reason::HashDiffers,
                    ),
                    None => both.skip(source, destination, Reason::SameSize),
                }
            }
            // A side keeps no modification time. The time the copy was stored still says whether the source changed since.
            (None, Some((left, right))) if rules.source.mtime.is_some() && left > right => {
                match algo {
                    Some(algo) => {
                        both.compare(source, destination, algo, IfEqual::Skip, Reason::SourceNewer)
                    }
                    None => both.replace(source, destination, Reason::SourceNewer),
                }
            }
            _ => match (known_digests_equal(&source, &destination, algo), algo) {
                (Some(true), _) => both.skip(source, destination, Reason::SameHash),
                (Some(false), _) => both.replace(source, destination, Reason::HashDiffers),
                (None, _) if sizes_known => both.skip(source, destination, Reason::SameSize),
                (None, Some(algo)) => {
                    both.compare(source, destination, algo, IfEqual::Skip, Reason::CannotTell)
                }
                (None, None) => both.replace(source, destination, Reason::CannotTell),
            },
        }
    }
}

/// How far two times lie from one another.
fn apart(left: SystemTime, right: SystemTime) -> Duration {
    left.duration_since(right).unwrap_or_else(|error| error.duration())
}

/// Two files that need no transfer. A move also removes the source's file, if a digest proves that both are equal.
fn equal(
    source: Box<Entry>,
    destination: Box<Entry>,
    reason: Reason,
    ambiguous: bool,
    rules: &Rules<'_>,
) -> Decision {
    let path = source.path.clone();
    let left_alone = matches!(reason, Reason::Existing | Reason::DestinationNewer);
    if !rules.remove_source || left_alone {
        return Decision::Act(Action::Skip { path, reason });
    }
    if ambiguous {
        return refuse(&path, Reason::AmbiguousDestination);
    }
    match (reason, rules.common_hash()) {
        (Reason::SameHash, _) => Decision::Act(Action::RemoveSource { source, destination }),
        (_, Some(algo)) => Decision::Compare(Comparison {
            source,
            destination,
            algo,
            if_equal: IfEqual::RemoveSource,
            if_different: Reason::HashDiffers,
            ambiguous,
        }),
        (_, None) => Decision::Act(Action::Skip { path, reason: Reason::Unproven }),
    }
}

/// Do digests that both listings gave for free agree? `None` = they did not give one in common.
fn known_digests_equal(left: &Entry, right: &Entry, algo: Option<HashAlgo>) -> Option<bool> {
    let algo = algo?;
    let left = left.hashes.as_ref()?.get(algo)?;
    let right = right.hashes.as_ref()?.get(algo)?;
    Some(left == right)
}

fn is_newer(destination: &Entry, source: &Entry, rules: &Rules<'_>) -> bool {
    let (Some(destination), Some(source)) = (destination.mtime, source.mtime) else {
        return false;
    };
    // Where no modification time is kept, the entry shows when the file was stored, with a precision of one second.
    let window = rules.window().unwrap_or(Duration::from_secs(1));
    destination.duration_since(source).is_ok_and(|ahead| ahead >= window)
}

/// Can a job with these rules tell equal from different at all? `Err` says why not and what to do.
///
/// Errors: `InvalidInput`.
pub fn job_can_start(rules: &Rules<'_>) -> Result<(), Error> {
    if rules.settings.compare == Compare::Checksum && rules.checksum().is_none() {
        let message = "digests are to be compared, and the two sides have none in common";
        let error = Error::new(ErrorKind::InvalidInput, message);
        return Err(error.with_hint(Hint::CompareSizes));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
