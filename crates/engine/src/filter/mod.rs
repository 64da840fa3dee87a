//! Which entries take part in a job: rclone's filter language, and the value filters beside it.
//!
//! Everything here is pure. The command line reads rule files, resolves ages into times and hands over a
//! [`FilterSpec`]; a [`Filter`] answers two questions about relative paths: may this folder hold anything, and does
//! this file take part. Nothing here opens a file, asks the clock or knows a backend.
//!
//! # The language
//!
//! Rules form one ordered list; the first that matches decides, and no match means "take it". A pattern that starts
//! with `/` is anchored at the top folder; any other matches from the start of any path element. The end is always
//! anchored. `*` and `?` stay inside one name, `**` crosses folders, `{a,b}` are alternatives, `[a-z]` is a class,
//! `\c` takes `c` literally, `\d \w \s` are ASCII classes, `{{…}}` is a regular expression in RE2's dialect. A trailing
//! `/` makes a folder rule; `- folder/` also excludes every file below.
//!
//! # Pruning never changes the result
//!
//! A folder is left unlisted only when no file below it can be taken. That is rclone's documented promise
//! ("may affect performance, but normally not the result"), and here it is an invariant, tested as a property:
//! **if [`Filter::admits_file`] takes a path, [`Filter::admits_dir`] takes each of its parents.**
//!
//! # Deliberate differences from rclone
//!
//! * `[!x]` negates, as rclone's manual and every shell say. In rclone 1.75 it is a class that contains `!`.
//! * An include rule without a leading `/` keeps every folder: `+ a/c.txt` takes `p/a/c.txt`, as the manual says. On
//!   remotes without recursive listing rclone prunes `p` and loses the file; on the others it does not.
//! * An exclude rule prunes only folders it excludes as a whole. In rclone `- **[^x]` prunes a folder because `[^x]`
//!   matches the slash after its name, although the rule does not match all the files below.
//! * `**` and the `.` of a regular expression match a line feed too, so no file escapes a rule by an odd name.
//! * What rclone accepts and then misreads is an error here: an empty pattern, a trailing `\`, a `{{…}}` that is not
//!   one complete expression, a literal `]` outside a class without a backslash, sizes or ages that leave nothing.
//! * What rclone rejects only by the limits of its scanner works here: `[\]]`, `/a/[^/]*`, `\x{41}`, `\p{Greek}`.
//!
//! As in rclone, a negated class and `\D \W \S` can match `/`.
//!
//! # Names
//!
//! Paths and patterns come in core form ([`ketch_core::names`]) and are compared as the names they stand for: `‛` is one
//! character, and so is each byte that is not UTF-8.

mod class;
mod error;
mod escape;
mod expression;
mod files;
mod folders;
mod glob;
mod index;
mod names;
mod rules;
mod select;
mod spec;
#[cfg(test)]
mod tests;
pub mod units;

pub use error::{Condition, FilterError, PatternError, PatternProblem, RuleOrigin, RuleSource};
pub use select::Filter;
pub use spec::FilterSpec;
