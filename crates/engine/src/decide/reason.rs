//! Why something is done or left: a word for machines and a line for people. Decides nothing.

use std::fmt;

use ketch_core::{Hint, Special};

/// Why an item is acted on or left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The destination does not have it.
    Missing,
    /// The sizes differ.
    SizeDiffers,
    /// The modification times differ and nothing says that the content is equal.
    TimeDiffers,
    /// The digests differ.
    HashDiffers,
    /// The source is newer than the stored copy and no digest says that the content is equal.
    SourceNewer,
    /// A file on one side and a symbolic link on the other.
    KindDiffers,
    /// Everything is transferred again, as asked for.
    Asked,
    /// Size and modification time are equal.
    SameSizeAndTime,
    /// Size and digest are equal.
    SameHash,
    /// Size and digest are equal, and the digest is one that an uploader wrote down.
    SameClaim,
    /// Everything is transferred again, and an interrupted run has transferred this version of it.
    Arrived,
    /// The sizes are equal and nothing else is compared.
    SameSize,
    /// The content is equal and only the modification time differs, or the permissions where those are kept beside it.
    OnlyTimeDiffers,
    /// The destination has a newer one, which `--update` keeps.
    DestinationNewer,
    /// The destination has one, which `--ignore-existing` keeps.
    Existing,
    /// The source does not have it.
    Extra,
    /// The destination stores no empty files.
    EmptyFile,
    /// The destination stores no empty files, and what it has of that name is an older content.
    EmptyFileOverOld,
    /// The destination keeps no symbolic links.
    LinkNotKept,
    /// The file is larger than the destination takes.
    TooLarge,
    /// The destination must know the size beforehand and the source does not tell it.
    UnknownSize,
    /// Neither file nor folder.
    Special(Special),
    /// One side has a file and the other a folder, or something that must not be replaced.
    Clash,
    /// A side does not tell the size, and nothing else says that the contents are equal.
    CannotTell,
    /// The source has several of that name.
    AmbiguousSource,
    /// The destination has several of that name, and the newest is not equal to the source.
    AmbiguousDestination,
    /// It looks equal and no digest proves it, so a move keeps it at the source.
    Unproven,
    /// The digest of the stored copy is not known, and nothing else was to count.
    NoDigest,
    /// What is there is the source's own, reached by another name.
    OneThing,
    /// The destination finds its names regardless of case or of how an accent is written, and the source has another file or
    /// folder that it would find under this name.
    NameFolds,
}

impl Reason {
    /// The stable word for plans and JSON lines.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Missing => "missing",
            Reason::SizeDiffers => "size_differs",
            Reason::TimeDiffers => "time_differs",
            Reason::HashDiffers => "hash_differs",
            Reason::SourceNewer => "source_newer",
            Reason::KindDiffers => "kind_differs",
            Reason::Asked => "asked",
            Reason::SameSizeAndTime => "same_size_and_time",
            Reason::SameHash => "same_hash",
            Reason::SameClaim => "same_claim",
            Reason::SameSize => "same_size",
            Reason::Arrived => "arrived",
            Reason::OnlyTimeDiffers => "only_time_differs",
            Reason::DestinationNewer => "destination_newer",
            Reason::Existing => "existing",
            Reason::Extra => "extra",
            Reason::EmptyFile => "empty_file",
            Reason::EmptyFileOverOld => "empty_file_over_old",
            Reason::LinkNotKept => "link_not_kept",
            Reason::TooLarge => "too_large",
            Reason::UnknownSize => "unknown_size",
            Reason::Special(_) => "special",
            Reason::Clash => "clash",
            Reason::CannotTell => "cannot_tell",
            Reason::AmbiguousSource => "ambiguous_source",
            Reason::AmbiguousDestination => "ambiguous_destination",
            Reason::Unproven => "unproven",
            Reason::NoDigest => "no_digest",
            Reason::OneThing => "one_thing",
            Reason::NameFolds => "name_folds",
        }
    }

    /// What a person can do about it, if one thing helps.
    pub fn hint(&self) -> Option<Hint> {
        match self {
            Reason::LinkNotKept => Some(Hint::FollowLinks),
            Reason::Special(special) => special.hint(),
            _ => None,
        }
    }
}

/// The reason as a person reads it.
impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reason::Missing => "not at the destination",
            Reason::SizeDiffers => "sizes differ",
            Reason::TimeDiffers => "modification times differ",
            Reason::HashDiffers => "digests differ",
            Reason::SourceNewer => "source is newer than the stored copy",
            Reason::KindDiffers => "a file on one side and a symbolic link on the other",
            Reason::Asked => "asked for",
            Reason::SameSizeAndTime => "same size and modification time",
            Reason::SameHash => "same digest",
            Reason::SameClaim => "same digest, which is only claimed",
            Reason::SameSize => "same size",
            Reason::Arrived => "transferred by the run that was interrupted",
            Reason::OnlyTimeDiffers => "only the modification time or the permissions differ",
            Reason::DestinationNewer => "destination is newer",
            Reason::Existing => "exists at the destination",
            Reason::Extra => "not at the source",
            Reason::EmptyFile => "the destination stores no empty files",
            Reason::EmptyFileOverOld => {
                "the source file is empty now and the destination stores no empty files: it keeps the old content"
            }
            Reason::LinkNotKept => {
                "a symbolic link, and the destination keeps none"
            }
            Reason::TooLarge => "larger than the destination takes (it would have to be split, which a later release brings)",
            Reason::UnknownSize => "the source does not tell its size and the destination must know it",
            Reason::Special(special) => special.describe(),
            Reason::Clash => {
                "a file on one side and a folder or something else on the other: rename or remove one of them"
            }
            Reason::CannotTell => "a side does not tell the size",
            Reason::AmbiguousSource => {
                "the source has several of that name: rename or remove all but one"
            }
            Reason::AmbiguousDestination => {
                "the destination has several of that name: rename or remove all but one"
            }
            Reason::Unproven => {
                "kept at the source: size and time are equal and no digest proves that the content is"
            }
            Reason::NoDigest => "no digest of the stored copy is known",
            Reason::OneThing => "what the destination has there is the source's own, under another name: it is left alone",
            Reason::NameFolds => {
                "the destination takes it for another spelling of a name that the source has, too: rename one of them"
            }
        })
    }
}
