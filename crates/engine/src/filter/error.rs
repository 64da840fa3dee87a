//! What can be wrong with filter options. Every message names the rule, the place in it and what is allowed there.

use std::fmt;

/// Why a [`FilterSpec`](super::FilterSpec) was refused. All of these are usage errors: nothing has been touched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FilterError {
    /// The pattern of a rule cannot be understood.
    #[error("{origin}: {problem}: {rule:?}")]
    Pattern {
        /// Where the rule came from.
        origin: RuleOrigin,
        /// The rule as it was written.
        rule: String,
        /// The place and the problem; positions count within the pattern, after `+ ` or `- `.
        problem: PatternError,
    },
    /// A rule is neither `+ pattern` nor `- pattern` nor `!`.
    #[error(
        "{origin}: at character 1: a rule is \"+ pattern\", \"- pattern\" or \"!\", with one space: {rule:?}"
    )]
    MalformedRule {
        /// Where the rule came from.
        origin: RuleOrigin,
        /// The rule as it was written.
        rule: String,
    },
    /// A list of files was combined with rules, sizes or ages.
    #[error("a list of files cannot be combined with other filters, and there are {other}")]
    FilesFromCombined {
        /// What stands in the way.
        other: Condition,
    },
    /// The smallest size is above the largest.
    #[error("the smallest size is above the largest, so no file can match: {min} > {max} bytes")]
    SizesExcludeAll {
        /// The smallest size asked for.
        min: u64,
        /// The largest size asked for.
        max: u64,
    },
    /// The ages leave no point in time.
    #[error("the lowest age is above the highest, so no file can match")]
    AgesExcludeAll,
}

/// Where a rule was written, for messages: `exclude rules of files, line 3`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleOrigin {
    /// The list of rules in the [`FilterSpec`](super::FilterSpec).
    pub source: RuleSource,
    /// Counts from 1: lines of files (comments included), occurrences of other rules.
    pub number: usize,
}

/// A condition of a [`FilterSpec`](super::FilterSpec), named like its field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Condition {
    /// Rules of this list.
    Rules(RuleSource),
    /// `min_size`
    MinSize,
    /// `max_size`
    MaxSize,
    /// `modified_after`
    ModifiedAfter,
    /// `modified_before`
    ModifiedBefore,
}

impl fmt::Display for Condition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Condition::Rules(source) => source.text(),
            Condition::MinSize => "a smallest size",
            Condition::MaxSize => "a largest size",
            Condition::ModifiedAfter => "a highest age",
            Condition::ModifiedBefore => "a lowest age",
        })
    }
}

/// The list of a [`FilterSpec`](super::FilterSpec) that a rule is in, named like its field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RuleSource {
    /// `include`
    Include,
    /// `include_from`
    IncludeFrom,
    /// `exclude`
    Exclude,
    /// `exclude_from`
    ExcludeFrom,
    /// `filter`
    Filter,
    /// `filter_from`
    FilterFrom,
}

impl RuleSource {
    fn text(self) -> &'static str {
        match self {
            RuleSource::Include => "include rules",
            RuleSource::IncludeFrom => "include rules of files",
            RuleSource::Exclude => "exclude rules",
            RuleSource::ExcludeFrom => "exclude rules of files",
            RuleSource::Filter => "rules",
            RuleSource::FilterFrom => "rules of files",
        }
    }

    /// Whether the rules are lines of files, which may hold comments.
    pub(super) fn is_file(self) -> bool {
        match self {
            RuleSource::IncludeFrom | RuleSource::ExcludeFrom | RuleSource::FilterFrom => true,
            RuleSource::Include | RuleSource::Exclude | RuleSource::Filter => false,
        }
    }
}

impl fmt::Display for RuleOrigin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}, {} {}", self.source.text(), self.unit(), self.number)
    }
}

impl RuleOrigin {
    /// What `number` counts: `line` or `number`.
    pub fn unit(self) -> &'static str {
        if self.source.is_file() { "line" } else { "number" }
    }
}

/// A problem in one pattern and the place of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("at character {}: {problem}", position + 1)]
pub struct PatternError {
    /// Index of the offending character, counted in characters from 0.
    pub position: usize,
    /// What is wrong there.
    pub problem: PatternProblem,
}

impl PatternError {
    pub(super) fn new(position: usize, problem: PatternProblem) -> PatternError {
        PatternError { position, problem }
    }
}

/// What can be wrong in a pattern; each text says what is allowed instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PatternProblem {
    /// Nothing to match.
    #[error("the pattern is empty: \"**\" matches everything")]
    Empty,
    /// The pattern is longer than any path could need.
    #[error("the pattern has {length} characters, {limit} are allowed")]
    TooLong {
        /// Characters in the pattern.
        length: usize,
        /// The limit.
        limit: usize,
    },
    /// Three or more stars.
    #[error("too many stars: \"*\" is any part of a name, \"**\" crosses folders")]
    TooManyStars,
    /// `[` without `]`.
    #[error("mismatched '[': close the class with ']', or write \"\\[\"")]
    UnclosedClass,
    /// `]` without `[`.
    #[error("mismatched ']': open a class with '[', or write \"\\]\"")]
    UnopenedClass,
    /// `[]`, `[!]` or `[^]`.
    #[error("the class is empty: write \"\\]\" for a ']' in a class")]
    EmptyClass,
    /// `[z-a]`.
    #[error("the range runs backwards: write the lower character first, or \"\\-\" for a '-'")]
    BackwardRange,
    /// `[[:name:]]` with an unknown name.
    #[error(
        "unknown class name: alnum, alpha, ascii, blank, cntrl, digit, graph, lower, print, \
         punct, space, upper, word and xdigit exist"
    )]
    UnknownClassName,
    /// `{` without `}`.
    #[error("mismatched '{{': close the alternatives with '}}', or write \"\\{{\"")]
    UnclosedBrace,
    /// `}` without `{`.
    #[error("mismatched '}}': open alternatives with '{{', or write \"\\}}\"")]
    UnopenedBrace,
    /// Braces in braces in braces, and so on.
    #[error("braces are nested too deep: {limit} levels are allowed")]
    TooDeep {
        /// The limit.
        limit: usize,
    },
    /// `{{` without `}}`.
    #[error("mismatched '{{{{': close the regular expression with '}}}}'")]
    UnclosedExpression,
    /// A pattern that ends in a backslash.
    #[error("nothing follows the backslash: write \"\\\\\" for a backslash")]
    TrailingBackslash,
    /// A backslash before a letter or digit without a meaning.
    #[error(
        "unknown escape: a backslash goes before punctuation, or is one of \
         \\d \\D \\w \\W \\s \\S \\a \\f \\n \\r \\t \\v \\xHH \\p"
    )]
    UnknownEscape,
    /// A regular expression that does not compile, or that is too large when compiled.
    #[error("invalid regular expression: {reason}")]
    Expression {
        /// What the regex engine said.
        reason: String,
    },
}
