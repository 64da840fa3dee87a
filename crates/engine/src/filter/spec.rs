//! What the command line said about filters, before any of it is understood.

use std::time::SystemTime;

/// The filter options of one job, grouped by kind in the order in which rclone assembles them.
///
/// The order of the fields is the order of the rules: position on the command line counts only within one kind. The
/// default takes everything.
#[derive(Debug, Clone, Default)]
pub struct FilterSpec {
    /// Patterns of `--include`. Any of these, or any line in `include_from`, adds "exclude everything" as last rule.
    pub include: Vec<String>,
    /// Lines of the `--include-from` files, unprocessed: blank lines and comments are skipped here.
    ///
    /// Split file contents with `split('\n')`, not `lines()`: an empty file must give one blank line. It asks for
    /// nothing, so it must exclude everything; an empty vector would mean that the option was not given.
    pub include_from: Vec<String>,
    /// Patterns of `--exclude`.
    pub exclude: Vec<String>,
    /// Lines of the `--exclude-from` files, unprocessed.
    pub exclude_from: Vec<String>,
    /// Rules of `--filter`: `+ pattern`, `- pattern`, or `!` to drop all rules so far. Not trimmed.
    pub filter: Vec<String>,
    /// Lines of the `--filter-from` files, unprocessed, each a rule as in `filter`.
    pub filter_from: Vec<String>,
    /// Lines of `--files-from`: exact names, trimmed, with blank lines and `#` or `;` comments skipped. `Some` with no
    /// line takes nothing. Cannot be combined with rules, sizes or ages.
    pub files_from: Option<Vec<String>>,
    /// Lines of `--files-from-raw`: exact names taken verbatim. Adds to `files_from`, with the same restrictions.
    pub files_from_raw: Option<Vec<String>>,
    /// Makes all patterns match regardless of case. Names of `files_from` stay exact.
    pub ignore_case: bool,
    /// The smallest size in bytes that is taken.
    pub min_size: Option<u64>,
    /// The largest size in bytes that is taken.
    pub max_size: Option<u64>,
    /// `--max-age` as a point in time: files modified before it are left out.
    pub modified_after: Option<SystemTime>,
    /// `--min-age` as a point in time: files modified later than it are left out.
    pub modified_before: Option<SystemTime>,
    /// How many levels of names are visited: 1 is the files of the top folder. As in rclone, 0 is no limit.
    pub max_depth: Option<usize>,
}
