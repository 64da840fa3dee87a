//! The words of the command line for what a person can do: options and commands.
//!
//! Everything below the command line names what helps as a [`Hint`], and what is wrong with a filter as data. Knows nothing of
//! where it is printed.

use std::borrow::Cow;

use ketch_core::{Error, Hint};
use ketch_engine::filter::{Condition, FilterError, RuleOrigin, RuleSource};

/// What to type.
fn words(hint: Hint) -> Option<Cow<'static, str>> {
    let words = match hint {
        Hint::KeepOrFollowLinks => "--links keep copies the link, --links follow what it points to",
        Hint::KeepLinks => "--links keep keeps them",
        Hint::FollowLinks => "--links follow copies what it points to",
        Hint::CompareSizes => "--size-only compares sizes",
        Hint::ReadContent => "--download reads it",
        Hint::ForceNothing => "--fsync none does not ask for it",
        Hint::StartAnew => "--fresh starts anew",
        Hint::ListJobs => "`ketch jobs list` shows all",
        Hint::ForgetJob => "`ketch jobs forget JOB` forgets it",
        Hint::MakePlan => "`ketch plan -o FILE` makes one",
        Hint::NameAttributes => "--description, --password and others, see `ketch attr set --help`",
        Hint::OpenFile => "`ketch attr set --password ''` takes the password of your own file away",
        Hint::CloseFile => "`ketch attr set --password` closes it",
        Hint::LinkFolder => "without --direct there is one of the folder",
        Hint::LookAtRoom => "`ketch about` shows how much room there is",
        Hint::Refresh => "--refresh waits for a new listing",
        Hint::CompareDigests => "--checksum compares every digest",
        Hint::ReadOrCompareSizes => "--download reads both sides, --size-only compares sizes",
        Hint::AllowEmptySource => "--allow-empty-source allows it",
        Hint::AllowDeletions(count) => {
            return Some(format!("--max-delete {count} allows it").into());
        }
        Hint::AllowTransfer(bytes) => {
            return Some(format!("--max-transfer {bytes}B allows it").into());
        }
        _ => return None,
    };
    Some(words.into())
}

/// A line with what a person can do about it.
pub(crate) fn with(text: &str, hint: Option<Hint>) -> String {
    match hint.and_then(words) {
        Some(words) => format!("{text} ({words})"),
        None => text.to_owned(),
    }
}

/// The line of an error with what a person can do about it.
pub(crate) fn told(error: &Error) -> String {
    with(&error.to_string(), error.hint())
}

/// What is wrong with a filter, in the names of the options.
pub(crate) fn of_filter(error: &FilterError) -> String {
    match error {
        FilterError::Pattern { origin, rule, problem } => {
            format!("{}: {problem}: {rule:?}", place(*origin))
        }
        FilterError::MalformedRule { origin, rule } => format!(
            "{}: at character 1: a rule is \"+ pattern\", \"- pattern\" or \"!\", with one space: {rule:?}",
            place(*origin)
        ),
        FilterError::FilesFromCombined { other } => format!(
            "--files-from and --files-from-raw cannot be combined with other filters: {}",
            condition(*other)
        ),
        FilterError::SizesExcludeAll { min, max } => {
            format!("--min-size is above --max-size, so no file can match: {min} > {max} bytes")
        }
        FilterError::AgesExcludeAll => {
            "--min-age is above --max-age, so no file can match".to_owned()
        }
        other => other.to_string(),
    }
}

fn place(origin: RuleOrigin) -> String {
    format!("{}, {} {}", option(origin.source), origin.unit(), origin.number)
}

fn condition(condition: Condition) -> &'static str {
    match condition {
        Condition::Rules(source) => option(source),
        Condition::MinSize => "--min-size",
        Condition::MaxSize => "--max-size",
        Condition::ModifiedAfter => "--max-age",
        Condition::ModifiedBefore => "--min-age",
        _ => "another option",
    }
}

fn option(source: RuleSource) -> &'static str {
    match source {
        RuleSource::Include => "--include",
        RuleSource::IncludeFrom => "--include-from",
        RuleSource::Exclude => "--exclude",
        RuleSource::ExcludeFrom => "--exclude-from",
        RuleSource::Filter => "--filter",
        RuleSource::FilterFrom => "--filter-from",
        _ => "an option",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ketch_core::ErrorKind;
    use ketch_engine::filter::{Filter, FilterSpec};

    #[test]
    fn every_hint_has_words() {
        for hint in Hint::ALL {
            assert!(words(hint).is_some(), "{hint:?}");
        }
        let error = Error::new(ErrorKind::Quota, "the account is full");
        assert_eq!(told(&error), "the account is full");
        let error = error.with_hint(Hint::LookAtRoom);
        let expected = "the account is full (`ketch about` shows how much room there is)";
        assert_eq!(told(&error), expected);
    }

    #[test]
    fn what_is_wrong_with_a_filter_names_the_option() {
        let rules = |rules: &[&str]| rules.iter().map(|rule| (*rule).to_owned()).collect();
        let check = |spec: FilterSpec, expected: &str| {
            let told = of_filter(&Filter::new(&spec).expect_err(expected));
            assert!(told.starts_with(expected), "{told}");
        };
        check(
            FilterSpec { filter: rules(&["- a", "- a/***"]), ..FilterSpec::default() },
            "--filter, number 2: at character 3: too many stars",
        );
        check(
            FilterSpec { exclude_from: rules(&["a", "[", "b"]), ..FilterSpec::default() },
            "--exclude-from, line 2: at character 1: ",
        );
        check(
            FilterSpec { min_size: Some(2), max_size: Some(1), ..FilterSpec::default() },
            "--min-size is above --max-size, so no file can match: 2 > 1 bytes",
        );
        check(
            FilterSpec {
                files_from: Some(rules(&["a"])),
                max_size: Some(1),
                ..FilterSpec::default()
            },
            "--files-from and --files-from-raw cannot be combined with other filters: --max-size",
        );
    }
}
