//! What a person can do about an error, as data.
//!
//! A backend or the engine knows what helps; only the program that uses them knows how a person asks for it: with
//! `--links follow` on the command line, with a button in another program. So their texts name no options; they have a hint.

/// What a person can do about an error or about an item that was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Hint {
    /// Copy symbolic links as links, or follow them.
    KeepOrFollowLinks,
    /// Copy symbolic links as links.
    KeepLinks,
    /// Copy what symbolic links point to.
    FollowLinks,
    /// Compare sizes instead of digests.
    CompareSizes,
    /// Read the stored content to compute what the remote does not tell.
    ReadContent,
    /// Do not force stored files to the disk (fsync).
    ForceNothing,
    /// Start the job from the beginning, without the records of the earlier run.
    StartAnew,
    /// Look at the list of jobs.
    ListJobs,
    /// Forget the job and its records.
    ForgetJob,
    /// Let ketch write the plan.
    MakePlan,
    /// Name the attributes to change.
    NameAttributes,
    /// Give the password of the file in the options of the remote, or take the password of one's own file away.
    OpenFile,
    /// Set a password on the file.
    CloseFile,
    /// Ask for a link to the folder instead of one to its content.
    LinkFolder,
    /// Look how much space is free.
    LookAtRoom,
    /// Wait for a new listing.
    Refresh,
    /// Compare the digest of every file.
    CompareDigests,
    /// Read both sides, or compare sizes only.
    ReadOrCompareSizes,
    /// Allow an empty source.
    AllowEmptySource,
    /// Allow this many deletions.
    AllowDeletions(u64),
    /// Allow this many bytes to be transferred.
    AllowTransfer(u64),
}

impl Hint {
    /// Every hint that has no number.
    pub const ALL: [Hint; 19] = [
        Hint::KeepOrFollowLinks,
        Hint::KeepLinks,
        Hint::FollowLinks,
        Hint::CompareSizes,
        Hint::ReadContent,
        Hint::ForceNothing,
        Hint::StartAnew,
        Hint::ListJobs,
        Hint::ForgetJob,
        Hint::MakePlan,
        Hint::NameAttributes,
        Hint::OpenFile,
        Hint::CloseFile,
        Hint::LinkFolder,
        Hint::LookAtRoom,
        Hint::Refresh,
        Hint::CompareDigests,
        Hint::ReadOrCompareSizes,
        Hint::AllowEmptySource,
    ];

    /// The stable word for the records of a job and for JSON lines.
    pub fn as_str(self) -> &'static str {
        match self {
            Hint::KeepOrFollowLinks => "keep_or_follow_links",
            Hint::KeepLinks => "keep_links",
            Hint::FollowLinks => "follow_links",
            Hint::CompareSizes => "compare_sizes",
            Hint::ReadContent => "read_content",
            Hint::ForceNothing => "force_nothing",
            Hint::StartAnew => "start_anew",
            Hint::ListJobs => "list_jobs",
            Hint::ForgetJob => "forget_job",
            Hint::MakePlan => "make_plan",
            Hint::NameAttributes => "name_attributes",
            Hint::OpenFile => "open_file",
            Hint::CloseFile => "close_file",
            Hint::LinkFolder => "link_folder",
            Hint::LookAtRoom => "look_at_room",
            Hint::Refresh => "refresh",
            Hint::CompareDigests => "compare_digests",
            Hint::ReadOrCompareSizes => "read_or_compare_sizes",
            Hint::AllowEmptySource => "allow_empty_source",
            Hint::AllowDeletions(_) => "allow_deletions",
            Hint::AllowTransfer(_) => "allow_transfer",
        }
    }

    /// The hint of that word; `None` for words of later versions, and for hints with a number, which the word lacks.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|hint| hint.as_str() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hint_has_a_word_of_its_own() {
        for (index, hint) in Hint::ALL.into_iter().enumerate() {
            assert_eq!(Hint::from_word(hint.as_str()), Some(hint));
            assert!(!Hint::ALL[..index].contains(&hint));
        }
        assert_eq!(Hint::from_word("of a later version"), None);
    }
}
