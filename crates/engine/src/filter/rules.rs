//! The ordered rules of a filter, compiled into one list for files and one for folders.

use std::collections::HashSet;

use super::error::{FilterError, PatternError, RuleOrigin, RuleSource};
use super::folders::{Holders, covers_below, has_double_star, holders, own_folders};
use super::glob::{Glob, Token};
use super::index::{Index, Matcher};
use super::names::true_name;
use super::spec::FilterSpec;

/// Added last when anything was included by `--include` or `--include-from`.
const EVERYTHING: &str = "/**";

/// Whether a rule takes what it matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Action {
    Include,
    Exclude,
}

/// All rules in order. The default takes everything.
#[derive(Debug, Clone, Default)]
pub(super) struct Rules {
    /// The rules as written, for [`Rules::describe`].
    written: Vec<(Action, String)>,
    /// The same as a set, as rule files can have many thousand lines.
    known: HashSet<(Action, String)>,
    files: RuleList,
    /// Which folders may hold a file that is taken.
    folders: RuleList,
    /// Which folders are taken for themselves, also when nothing is in them.
    own: RuleList,
    ignore_case: bool,
}

impl Rules {
    /// Assembles the rules by kind, in rclone's order.
    pub(super) fn new(spec: &FilterSpec) -> Result<Rules, FilterError> {
        let mut rules = Rules { ignore_case: spec.ignore_case, ..Rules::default() };
        rules.add_source(RuleSource::Include, &spec.include)?;
        rules.add_source(RuleSource::IncludeFrom, &spec.include_from)?;
        rules.add_source(RuleSource::Exclude, &spec.exclude)?;
        rules.add_source(RuleSource::ExcludeFrom, &spec.exclude_from)?;
        rules.add_source(RuleSource::Filter, &spec.filter)?;
        rules.add_source(RuleSource::FilterFrom, &spec.filter_from)?;
        // Decided by the options and not by the rules in them: a list that turned out empty must not include
        // everything, and `!` does not take the promise of `--include` back.
        if !spec.include.is_empty() || !spec.include_from.is_empty() {
            let origin = RuleOrigin { source: RuleSource::Include, number: spec.include.len() };
            rules.add_pattern(origin, Action::Exclude, EVERYTHING)?;
        }
        Ok(rules)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.written.is_empty()
    }

    /// Whether the first rule that matches the file takes it.
    pub(super) fn admit_file(&self, path: &str) -> bool {
        self.files.is_empty() || self.files.admit(&true_name(path), self.ignore_case)
    }

    /// Whether any file below the folder may be taken. `path` is not empty and has no `/` at either end.
    pub(super) fn admit_folder(&self, path: &str) -> bool {
        self.folders.is_empty()
            || self.folders.admit(&format!("{}/", true_name(path)), self.ignore_case)
    }

    /// Whether the folder is taken for itself. `path` as in [`Rules::admit_folder`].
    pub(super) fn admit_own_folder(&self, path: &str) -> bool {
        self.own.is_empty() || self.own.admit(&format!("{}/", true_name(path)), self.ignore_case)
    }

    /// The rules as written, in order, on one line.
    pub(super) fn describe(&self) -> String {
        let rules: Vec<String> = self
            .written
            .iter()
            .map(|(action, pattern)| match action {
                Action::Include => format!("+ {pattern:?}"),
                Action::Exclude => format!("- {pattern:?}"),
            })
            .collect();
        let case = if self.ignore_case { " ignoring case" } else { "" };
        format!("rules{case} {}", rules.join(" "))
    }

    fn add_source(&mut self, source: RuleSource, lines: &[String]) -> Result<(), FilterError> {
        for (index, line) in lines.iter().enumerate() {
            let origin = RuleOrigin { source, number: index + 1 };
            let line = if source.is_file() {
                match content(line) {
                    Some(line) => line,
                    None => continue,
                }
            } else {
                line
            };
            match source {
                RuleSource::Include | RuleSource::IncludeFrom => {
                    self.add_pattern(origin, Action::Include, line)?;
                }
                RuleSource::Exclude | RuleSource::ExcludeFrom => {
                    self.add_pattern(origin, Action::Exclude, line)?;
                }
                RuleSource::Filter | RuleSource::FilterFrom => self.add_rule(origin, line)?,
            }
        }
        Ok(())
    }

    fn add_rule(&mut self, origin: RuleOrigin, rule: &str) -> Result<(), FilterError> {
        if rule == "!" {
            *self = Rules { ignore_case: self.ignore_case, ..Rules::default() };
            Ok(())
        } else if let Some(pattern) = rule.strip_prefix("+ ") {
            self.add_pattern(origin, Action::Include, pattern)
        } else if let Some(pattern) = rule.strip_prefix("- ") {
            self.add_pattern(origin, Action::Exclude, pattern)
        } else {
            Err(FilterError::MalformedRule { origin, rule: rule.to_owned() })
        }
    }

    fn add_pattern(
        &mut self,
        origin: RuleOrigin,
        action: Action,
        pattern: &str,
    ) -> Result<(), FilterError> {
        let written = (action, pattern.to_owned());
        // A repeated rule can never decide anything.
        if self.known.contains(&written) {
            return Ok(());
        }
        self.compile(action, pattern).map_err(|problem| FilterError::Pattern {
            origin,
            rule: pattern.to_owned(),
            problem,
        })?;
        self.known.insert(written.clone());
        self.written.push(written);
        Ok(())
    }

    fn compile(&mut self, action: Action, pattern: &str) -> Result<(), PatternError> {
        let mut glob = Glob::parse(&true_name(pattern))?;
        // "/" alone is the top folder: its slash was taken as the anchor.
        let for_folders = pattern == "/" || glob.tokens.last() == Some(&Token::Character('/'));
        if for_folders && action == Action::Exclude {
            glob.tokens.push(Token::DoubleStar);
        }
        let for_both = has_double_star(&glob.tokens);
        if !for_folders || for_both {
            self.files.add_glob(action, &glob, self.ignore_case)?;
            self.add_implied(action, pattern, &glob)?;
        }
        let prunes = action == Action::Include || covers_below(&glob);
        if (for_folders || for_both) && prunes {
            self.folders.add_glob(action, &glob, self.ignore_case)?;
            self.own.add_glob(action, &glob, self.ignore_case)?;
        }
        Ok(())
    }

    /// Adds the folder rules that a file rule implies.
    fn add_implied(
        &mut self,
        action: Action,
        pattern: &str,
        glob: &Glob,
    ) -> Result<(), PatternError> {
        match action {
            Action::Include => {
                let lists =
                    [(&mut self.folders, holders(glob)), (&mut self.own, own_folders(glob))];
                for (list, holders) in lists {
                    match holders {
                        Holders::Every => list.add_every(action),
                        Holders::Matching(globs) => {
                            for glob in &globs {
                                list.add_glob(action, glob, self.ignore_case)?;
                            }
                        }
                    }
                }
            }
            // Matches every file, so what no earlier rule wants need not be listed. No other exclude rule without
            // `**` can promise that.
            Action::Exclude if pattern == "*" => {
                self.folders.add_every(action);
                self.own.add_every(action);
            }
            Action::Exclude => {}
        }
        Ok(())
    }
}

/// The text of a line from a rule file, or `None` for a blank line or a comment.
pub(super) fn content(line: &str) -> Option<&str> {
    let line = line.trim();
    if line.is_empty() || line.starts_with(['#', ';']) { None } else { Some(line) }
}

/// Compiled rules of which the first that matches decides.
#[derive(Debug, Clone, Default)]
struct RuleList {
    /// What each rule says, in order.
    actions: Vec<Action>,
    index: Index,
    /// The expressions of the rules, so that none is tested twice.
    seen: HashSet<(Action, String)>,
}

impl RuleList {
    fn is_empty(&self) -> bool {
        self.actions.is_empty()
    }

    fn admit(&self, path: &str, ignore_case: bool) -> bool {
        match self.index.first(path, ignore_case).map(|number| self.actions[number]) {
            Some(Action::Exclude) => false,
            Some(Action::Include) | None => true,
        }
    }

    fn add_glob(
        &mut self,
        action: Action,
        glob: &Glob,
        ignore_case: bool,
    ) -> Result<(), PatternError> {
        let matcher = Matcher::of(glob, ignore_case)?;
        self.add(action, glob.to_expression(), matcher);
        Ok(())
    }

    fn add_every(&mut self, action: Action) {
        self.add(action, String::new(), Matcher::Every);
    }

    fn add(&mut self, action: Action, key: String, matcher: Matcher) {
        if self.seen.insert((action, key)) {
            self.index.add(self.actions.len(), matcher);
            self.actions.push(action);
        }
    }
}
