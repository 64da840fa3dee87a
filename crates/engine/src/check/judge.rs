//! What two listings say of a pair, before anything is read. Decides without a call.

use super::*;

impl Checker {
    /// What can be said about one step without reading. `Err` ends the check.
    pub(super) fn judge(&self, step: Step) -> Result<Judged> {
        let pair = match step {
            Step::Pair(pair) => pair,
            // What the step says counts for the whole check, and not for one file.
            Step::Anew | Step::Occupied { .. } | Step::Equal { .. } => {
                return Ok(Judged::Nothing);
            }
            Step::Failed { dir, error, .. } if dir.is_root() || error.is_fatal() => {
                return Err(error);
            }
            Step::Failed { dir, error, .. } => {
                let verdict = Verdict::Error(error.kind(), error.to_string(), error.hint());
                return Ok(Judged::Verdict(dir, verdict));
            }
        };
        let path = pair.path().clone();
        Ok(match self.judge_pair(pair) {
            Known::Nothing => Judged::Nothing,
            Known::Verdict(verdict) => Judged::Verdict(path, verdict),
            Known::Compare(source, destination) => Judged::Compare(source, destination),
        })
    }

    pub(super) fn judge_pair(&self, pair: Pair) -> Known {
        let unverifiable =
            |text: &str| Known::Verdict(Verdict::Unverifiable(text.to_owned(), None));
        if pair.source_duplicates {
            return unverifiable("the source has several of that name");
        }
        if pair.folds {
            return unverifiable(
                "the destination takes it for another spelling of a name that the source has, too",
            );
        }
        if pair.destination_duplicates {
            return unverifiable("the destination has several of that name");
        }
        if pair.clash && pair.source.is_some() {
            return unverifiable("a file on one side and a folder or something else on the other");
        }
        match (pair.source, pair.destination) {
            (Some(source), None) => {
                self.judge_source_only(&source).map_or(Known::Nothing, Known::Verdict)
            }
            // A clash has its verdict at the source's entry.
            (None, Some(_)) if pair.clash => Known::Nothing,
            (None, Some(Entry { kind: EntryKind::Special(special), .. })) => {
                match self.settings.one_way {
                    true => Known::Nothing,
                    false => {
                        Known::Verdict(Verdict::NotStorable(special.describe(), special.hint()))
                    }
                }
            }
            (None, Some(destination)) => {
                match destination.has_content() && !self.settings.one_way {
                    true => Known::Verdict(Verdict::MissingOnSource),
                    false => Known::Nothing,
                }
            }
            (Some(source), Some(destination)) => match (source.kind, destination.kind) {
                (EntryKind::File, EntryKind::File) | (EntryKind::Link, EntryKind::Link) => {
                    self.judge_sizes(source, destination)
                }
                (EntryKind::Special(special), _) => {
                    Known::Verdict(Verdict::NotStorable(special.describe(), special.hint()))
                }
                // In a `sync` one replaces the other, so this is a difference, and not something that could not be
                // compared.
                (EntryKind::File, EntryKind::Link) | (EntryKind::Link, EntryKind::File) => {
                    Known::Verdict(Verdict::ContentDiffers)
                }
                (EntryKind::Dir, EntryKind::Dir) => Known::Nothing,
                _ => unverifiable("not a file on both sides"),
            },
            (None, None) => Known::Nothing,
        }
    }

    pub(super) fn judge_sizes(&self, source: Entry, destination: Entry) -> Known {
        let sizes = source.size.zip(destination.size);
        match (sizes, self.method) {
            (Some((left, right)), _) if left != right => Known::Verdict(Verdict::SizeDiffers),
            (Some(_), Method::Size) => Known::Verdict(Verdict::Equal(Evidence::Size)),
            (None, Method::Size) => {
                let text = "a side does not tell the size".to_owned();
                Known::Verdict(Verdict::Unverifiable(text, None))
            }
            (_, Method::Digest(_) | Method::Content | Method::Download | Method::None) => {
                Known::Compare(source, destination)
            }
        }
    }

    pub(super) fn judge_source_only(&self, source: &Entry) -> Option<Verdict> {
        match source.kind {
            EntryKind::Dir => None,
            EntryKind::Special(special) => {
                Some(Verdict::NotStorable(special.describe(), special.hint()))
            }
            EntryKind::File
                if source.size == Some(0) && !self.destination.backend.capabilities().put_empty =>
            {
                Some(Verdict::NotStorable("the destination stores no empty files", None))
            }
            EntryKind::Link if !self.destination.backend.capabilities().links => {
                Some(Verdict::NotStorable(
                    "the destination keeps no symbolic links",
                    Some(Hint::FollowLinks),
                ))
            }
            EntryKind::File | EntryKind::Link => Some(Verdict::MissingOnDestination),
        }
    }
}

/// What is known about a step before anything is read.
pub(super) enum Judged {
    Nothing,
    Verdict(RelPath, Verdict),
    Compare(Entry, Entry),
}

/// The same for a pair.
pub(super) enum Known {
    Nothing,
    Verdict(Verdict),
    Compare(Entry, Entry),
}
