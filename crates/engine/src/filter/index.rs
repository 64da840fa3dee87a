//! Which of many rules matches first, found without asking each.
//!
//! Most rules are plain names, whole folders (`name/**`) or a name with one `*` in it. These are looked up; only the others
//! are asked one by one, and of those only the ones before the first that was found. A pattern is compared as a regular
//! expression says, and the tests hold this against that.

use std::borrow::Cow;
use std::collections::HashMap;

use regex::Regex;

use super::error::PatternError;
use super::glob::{Glob, Token};

/// What one rule matches.
#[derive(Debug, Clone)]
pub(super) enum Matcher {
    /// Every path.
    Every,
    /// A path that ends in this, from the start of an element on; the whole path where it is anchored.
    Whole { anchored: bool, text: String },
    /// A path with this in it, from the start of an element on; at its start where it is anchored. It ends in a slash.
    Below { anchored: bool, text: String },
    /// A last element that starts and ends like this; of one element in all where it is anchored.
    Around { anchored: bool, before: String, after: String },
    /// Anything else.
    Matching(Regex),
}

impl Matcher {
    /// What the pattern matches.
    pub(super) fn of(glob: &Glob, ignore_case: bool) -> Result<Matcher, PatternError> {
        match simple(glob)
            .and_then(|matcher| if ignore_case { folded(matcher) } else { Some(matcher) })
        {
            Some(matcher) => Ok(matcher),
            None => glob.to_regex(ignore_case).map(Matcher::Matching),
        }
    }
}

fn simple(glob: &Glob) -> Option<Matcher> {
    let anchored = glob.anchored;
    let text = |tokens: &[Token]| -> Option<String> {
        tokens
            .iter()
            .map(|token| match token {
                Token::Character(character) => Some(*character),
                _ => None,
            })
            .collect()
    };
    match glob.tokens.as_slice() {
        [Token::DoubleStar] => Some(Matcher::Every),
        [before @ .., Token::Character('/'), Token::DoubleStar] => {
            text(before).map(|text| Matcher::Below { anchored, text: text + "/" })
        }
        tokens => match tokens.iter().position(|token| *token == Token::Star) {
            None => text(tokens).map(|text| Matcher::Whole { anchored, text }),
            Some(star) => {
                let (before, after) = (text(&tokens[..star])?, text(&tokens[star + 1..])?);
                let is_one_name = !before.contains('/') && !after.contains('/');
                is_one_name.then_some(Matcher::Around { anchored, before, after })
            }
        },
    }
}

/// The same regardless of case, for texts of which that is simple.
fn folded(matcher: Matcher) -> Option<Matcher> {
    let lower = |text: String| text.is_ascii().then(|| text.to_ascii_lowercase());
    Some(match matcher {
        Matcher::Whole { anchored, text } => Matcher::Whole { anchored, text: lower(text)? },
        Matcher::Below { anchored, text } => Matcher::Below { anchored, text: lower(text)? },
        Matcher::Around { anchored, before, after } => {
            Matcher::Around { anchored, before: lower(before)?, after: lower(after)? }
        }
        Matcher::Every | Matcher::Matching(_) => matcher,
    })
}

/// A path in which each character that equals an ASCII letter regardless of case is that letter.
fn fold(path: &str) -> Cow<'_, str> {
    let lower = |c: char| match c {
        'ſ' => 's',
        '\u{212A}' => 'k',
        c => c.to_ascii_lowercase(),
    };
    if path.chars().all(|c| lower(c) == c) {
        return Cow::Borrowed(path);
    }
    path.chars().map(lower).collect::<String>().into()
}

/// Texts, each with the number of the first rule that has it.
type Numbers = HashMap<String, usize>;

/// Names with one `*`, of which the parts before and after it have these lengths.
#[derive(Debug, Clone)]
struct Around {
    lengths: (usize, usize),
    before: HashMap<String, Numbers>,
}

/// Numbered rules.
#[derive(Debug, Clone, Default)]
pub(super) struct Index {
    /// Anchored and not, in this order, here and below.
    whole: [Numbers; 2],
    below: [Numbers; 2],
    /// The most slashes in a text of `below`.
    slashes: usize,
    around: [Vec<Around>; 2],
    /// Those that are asked one by one, in order.
    others: Vec<(usize, Option<Regex>)>,
}

impl Index {
    /// Adds a rule; each has a higher number than those before it.
    pub(super) fn add(&mut self, number: usize, matcher: Matcher) {
        let side = |anchored: bool| usize::from(!anchored);
        match matcher {
            Matcher::Every => self.others.push((number, None)),
            Matcher::Matching(regex) => self.others.push((number, Some(regex))),
            Matcher::Whole { anchored, text } => {
                self.whole[side(anchored)].entry(text).or_insert(number);
            }
            Matcher::Below { anchored, text } => {
                self.slashes = self.slashes.max(text.matches('/').count());
                self.below[side(anchored)].entry(text).or_insert(number);
            }
            Matcher::Around { anchored, before, after } => {
                let lengths = (before.len(), after.len());
                let all = &mut self.around[side(anchored)];
                let at = match all.iter().position(|known| known.lengths == lengths) {
                    Some(at) => at,
                    None => {
                        all.push(Around { lengths, before: HashMap::new() });
                        all.len() - 1
                    }
                };
                all[at].before.entry(before).or_default().entry(after).or_insert(number);
            }
        }
    }

    /// The first rule that matches the path.
    pub(super) fn first(&self, path: &str, ignore_case: bool) -> Option<usize> {
        let looked_up = match ignore_case {
            true => self.look_up(&fold(path)),
            false => self.look_up(path),
        };
        let limit = looked_up.unwrap_or(usize::MAX);
        let before = self.others.iter().take_while(|(number, _)| *number < limit);
        let mut matching = before
            .filter(|(_, regex)| regex.as_ref().is_none_or(|regex| regex.is_match(path)))
            .map(|(number, _)| *number);
        matching.next().or(looked_up)
    }

    fn look_up(&self, path: &str) -> Option<usize> {
        let mut first = None;
        let mut found = |number: Option<&usize>| {
            if let Some(number) = number
                && first.is_none_or(|first| *number < first)
            {
                first = Some(*number);
            }
        };
        let [anchored, anywhere] = &self.whole;
        if !anchored.is_empty() {
            found(anchored.get(path));
        }
        if !anywhere.is_empty() {
            starts(path).for_each(|start| found(anywhere.get(&path[start..])));
        }
        let [anchored, anywhere] = &self.below;
        let is_below = |numbers: &Numbers, start: usize, found: &mut dyn FnMut(Option<&usize>)| {
            let slashes = path[start..].match_indices('/').take(self.slashes);
            slashes.for_each(|(slash, _)| found(numbers.get(&path[start..=start + slash])));
        };
        if !anchored.is_empty() {
            is_below(anchored, 0, &mut found);
        }
        if !anywhere.is_empty() {
            starts(path).for_each(|start| is_below(anywhere, start, &mut found));
        }
        let name = &path[path.rfind('/').map_or(0, |slash| slash + 1)..];
        let [anchored, anywhere] = &self.around;
        let is_top = name.len() == path.len();
        for around in anchored.iter().filter(|_| is_top).chain(anywhere) {
            let (before, after) = around.lengths;
            if before + after > name.len() {
                continue;
            }
            let parts = name.get(..before).zip(name.get(name.len() - after..));
            found(parts.and_then(|(before, after)| around.before.get(before)?.get(after)));
        }
        first
    }
}

/// Where the elements of a path start.
fn starts(path: &str) -> impl Iterator<Item = usize> {
    std::iter::once(0).chain(path.match_indices('/').map(|(slash, _)| slash + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The first rule that matches, by asking each as a regular expression.
    fn one_by_one(globs: &[Glob], path: &str, ignore_case: bool) -> Option<usize> {
        let matches = |glob: &Glob| glob.to_regex(ignore_case).expect("compiles").is_match(path);
        globs.iter().position(matches)
    }

    fn indexed(globs: &[Glob], ignore_case: bool) -> Index {
        let mut index = Index::default();
        for (number, glob) in globs.iter().enumerate() {
            index.add(number, Matcher::of(glob, ignore_case).expect("compiles"));
        }
        index
    }

    #[test]
    fn ten_thousand_plain_rules_are_looked_up_and_not_asked() {
        let globs: Vec<Glob> = (0..10_000)
            .flat_map(|number| {
                [format!("other{number}"), format!("/d{number}/**"), format!("*.x{number}")]
            })
            .map(|text| Glob::parse(&text).expect("legal"))
            .collect();
        let index = indexed(&globs, false);
        assert!(index.others.is_empty());
        assert_eq!(index.first("a/other7", false), Some(21));
        assert_eq!(index.first("d9/a/b", false), Some(28));
        assert_eq!(index.first("a/d9/b", false), None);
        assert_eq!(index.first("a/b.x5", false), Some(17));
        assert_eq!(index.around[1].len(), 4, "one for each length");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]
        #[test]
        fn the_first_rule_is_the_one_that_is_found_one_by_one(
            texts in proptest::collection::vec("/?[aAkKsS\u{212A}ſé/b]{1,3}[*]{0,2}[ab/.é]{0,2}(/[*][*])?|[?ab]{1,3}|\\{a,b/\\}", 0..12),
            paths in proptest::collection::vec("[aAkKsS\u{212A}ſéb.]{0,3}(/[aAkKsé b.]{0,3}){0,3}", 1..8),
            ignore_case in any::<bool>(),
        ) {
            let globs: Vec<Glob> = texts.iter().filter_map(|text| Glob::parse(text).ok()).collect();
            let index = indexed(&globs, ignore_case);
            for path in &paths {
                prop_assert_eq!(index.first(path, ignore_case), one_by_one(&globs, path, ignore_case), "{:?} {}", &texts, path);
            }
        }
    }
}
