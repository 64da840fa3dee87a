//! The compiled filter and the two questions it answers.

use std::time::{Duration, SystemTime};

use ketch_core::{Entry, EntryKind};

use super::error::{Condition, FilterError, RuleSource};
use super::files::FileList;
use super::rules::Rules;
use super::spec::FilterSpec;

/// Decides which files take part in a job, and which folders need not be listed for that.
///
/// Paths are relative to the top folder, separated by `/`, without one at either end. Answers depend on the arguments
/// only, so one filter may be shared by all tasks of a job.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    names: Names,
    min_size: Option<u64>,
    max_size: Option<u64>,
    modified_after: Option<SystemTime>,
    modified_before: Option<SystemTime>,
    max_depth: Option<usize>,
    /// What it was made of.
    identity: Box<str>,
}

/// How names are judged; the two ways exclude each other.
#[derive(Debug, Clone)]
enum Names {
    Rules(Box<Rules>),
    Listed(FileList),
}

impl Default for Names {
    fn default() -> Names {
        Names::Rules(Box::default())
    }
}

impl Filter {
    /// Compiles what the command line said.
    ///
    /// Fails on the first rule that cannot be understood, when lists of files are combined with rules, sizes or ages,
    /// and when sizes or ages contradict each other. The work is bounded: hostile patterns fail, they do not hang.
    pub fn new(spec: &FilterSpec) -> Result<Filter, FilterError> {
        let names = match FileList::new(spec) {
            Some(_) if let Some(other) = other_filter(spec) => {
                return Err(FilterError::FilesFromCombined { other });
            }
            Some(list) => Names::Listed(list),
            None => Names::Rules(Box::new(Rules::new(spec)?)),
        };
        if let (Some(min), Some(max)) = (spec.min_size, spec.max_size)
            && min > max
        {
            return Err(FilterError::SizesExcludeAll { min, max });
        }
        if let (Some(after), Some(before)) = (spec.modified_after, spec.modified_before)
            && after > before
        {
            return Err(FilterError::AgesExcludeAll);
        }
        Ok(Filter {
            names,
            min_size: spec.min_size,
            max_size: spec.max_size,
            modified_after: spec.modified_after,
            modified_before: spec.modified_before,
            max_depth: spec.max_depth.filter(|&depth| depth > 0),
            identity: blake3::hash(format!("{spec:?}").as_bytes()).to_hex().as_str().into(),
        })
    }

    /// The filter that takes every file.
    pub fn everything() -> Filter {
        Filter::default()
    }

    /// A digest of everything that the filter was made of. Two filters that are made of the same decide the same.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// Whether no option narrows the job, so that callers may use operations on whole trees.
    ///
    /// Rules that happen to match everything still count as narrowing.
    pub fn admits_everything(&self) -> bool {
        let Filter {
            names,
            min_size,
            max_size,
            modified_after,
            modified_before,
            max_depth,
            identity: _,
        } = self;
        matches!(names, Names::Rules(rules) if rules.is_empty())
            && min_size.is_none()
            && max_size.is_none()
            && modified_after.is_none()
            && modified_before.is_none()
            && max_depth.is_none()
    }

    /// Whether a file somewhere below the folder may be taken; a folder with `false` need not be listed.
    ///
    /// The top folder, `""`, is always listed. Slashes at the ends of `path` are ignored. `true` promises nothing;
    /// `false` promises that [`Filter::admits_file`] refuses every path below, however deep.
    pub fn admits_dir(&self, path: &str) -> bool {
        let path = path.trim_matches('/');
        if path.is_empty() {
            return true;
        }
        // The files of a folder are one level deeper than its name.
        self.admits_depth(levels(path) + 1)
            && match &self.names {
                Names::Rules(rules) => rules.admit_folder(path),
                Names::Listed(list) => list.has_folder(path),
            }
    }

    /// Whether the folder takes part for itself, also when nothing is in it: whether a pattern that includes something names
    /// it, and none leaves it out. Never without [`Filter::admits_dir`].
    pub fn admits_empty_dir(&self, path: &str) -> bool {
        let path = path.trim_matches('/');
        self.admits_dir(path)
            && match &self.names {
                Names::Rules(rules) => rules.admit_own_folder(path),
                Names::Listed(list) => list.has_folder(path),
            }
    }

    /// Whether the file takes part: names, depth, size and age must all agree.
    ///
    /// What is not known (`None`) is not held against the file: a size or time filter then lets it pass.
    pub fn admits_file(&self, path: &str, size: Option<u64>, modified: Option<SystemTime>) -> bool {
        self.admits_size(size)
            && self.admits_time(modified)
            && self.admits_depth(levels(path))
            && match &self.names {
                Names::Rules(rules) => rules.admit_file(path),
                Names::Listed(list) => list.has_file(path),
            }
    }

    /// Whether the entry takes part: a folder if it must be listed, anything else as a file. Only files and links have a size and
    /// a time that count.
    pub fn admits(&self, entry: &Entry) -> bool {
        let path = entry.path.as_str();
        match entry.kind {
            EntryKind::Dir => self.admits_dir(path),
            EntryKind::File | EntryKind::Link => self.admits_file(path, entry.size, entry.mtime),
            EntryKind::Special(_) => self.admits_file(path, None, None),
        }
    }

    /// The names of `--files-from` in byte order, normalised to the form in which listings report them. Empty without
    /// such a list. The caller can strike out what it saw and report the rest as missing.
    pub fn listed_files(&self) -> impl Iterator<Item = &str> {
        let list = match &self.names {
            Names::Listed(list) => Some(list),
            Names::Rules(_) => None,
        };
        list.into_iter().flat_map(FileList::names)
    }

    /// The filter on one line, for logs and for the identity of a plan.
    ///
    /// The same options give the same text in every run and build, and filters that could decide differently give
    /// different texts. A list of files is given by its digest. Ages appear as points in time.
    pub fn describe(&self) -> String {
        let mut parts = Vec::new();
        match &self.names {
            Names::Rules(rules) if rules.is_empty() => {}
            Names::Rules(rules) => parts.push(rules.describe()),
            Names::Listed(list) => parts.push(list.describe()),
        }
        parts.extend(self.min_size.map(|bytes| format!("size >= {bytes}")));
        parts.extend(self.max_size.map(|bytes| format!("size <= {bytes}")));
        parts.extend(self.modified_after.map(|time| format!("modified >= {}", seconds(time))));
        parts.extend(self.modified_before.map(|time| format!("modified <= {}", seconds(time))));
        parts.extend(self.max_depth.map(|depth| format!("depth <= {depth}")));
        if parts.is_empty() { "everything".to_owned() } else { parts.join("; ") }
    }

    fn admits_size(&self, size: Option<u64>) -> bool {
        let Some(size) = size else { return true };
        self.min_size.is_none_or(|min| size >= min) && self.max_size.is_none_or(|max| size <= max)
    }

    fn admits_time(&self, modified: Option<SystemTime>) -> bool {
        let Some(modified) = modified else { return true };
        self.modified_after.is_none_or(|after| modified >= after)
            && self.modified_before.is_none_or(|before| modified <= before)
    }

    fn admits_depth(&self, levels: usize) -> bool {
        self.max_depth.is_none_or(|limit| levels <= limit)
    }
}

/// How many names a path consists of.
fn levels(path: &str) -> usize {
    path.bytes().filter(|&byte| byte == b'/').count() + 1
}

/// The first condition that a list of files cannot be combined with. Depth is no filter on files but a limit of the walk.
fn other_filter(spec: &FilterSpec) -> Option<Condition> {
    [
        (!spec.include.is_empty(), Condition::Rules(RuleSource::Include)),
        (!spec.include_from.is_empty(), Condition::Rules(RuleSource::IncludeFrom)),
        (!spec.exclude.is_empty(), Condition::Rules(RuleSource::Exclude)),
        (!spec.exclude_from.is_empty(), Condition::Rules(RuleSource::ExcludeFrom)),
        (!spec.filter.is_empty(), Condition::Rules(RuleSource::Filter)),
        (!spec.filter_from.is_empty(), Condition::Rules(RuleSource::FilterFrom)),
        (spec.min_size.is_some(), Condition::MinSize),
        (spec.max_size.is_some(), Condition::MaxSize),
        (spec.modified_after.is_some(), Condition::ModifiedAfter),
        (spec.modified_before.is_some(), Condition::ModifiedBefore),
    ]
    .into_iter()
    .find_map(|(given, condition)| given.then_some(condition))
}

/// A point in time as seconds since 1970 with nanoseconds; negative before.
fn seconds(time: SystemTime) -> String {
    let show = |sign: &str, distance: Duration| {
        format!("{sign}{}.{:09}", distance.as_secs(), distance.subsec_nanos())
    };
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => show("", since),
        Err(before) => show("-", before.duration()),
    }
}
