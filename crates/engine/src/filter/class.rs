//! Character classes, `[a-z]`, parsed by RE2's rules and written out for Rust's regex engine.
//!
//! Copying the text through would be wrong: in Rust's dialect `[a[b]` opens a nested set and `&&`, `--`, `~~` are set
//! operations, while in RE2 all of these are characters.

use super::error::{PatternError, PatternProblem};
use super::escape::{Escape, parse_escape, push_character};

const NAMES: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct",
    "space", "upper", "word", "xdigit",
];

/// In which language the class stands; the two differ in its first characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// A pattern: `!` negates as `^` does, and `[]` is an error.
    Glob,
    /// Inside `{{…}}`: `!` is a character, and a `]` that comes first is one too.
    Expression,
}

/// Parses the class whose `[` is at `start`; returns it as regular expression text with the index after its `]`.
pub(super) fn parse_class(
    characters: &[char],
    start: usize,
    dialect: Dialect,
) -> Result<(String, usize), PatternError> {
    let at = |index: usize| characters.get(index).copied();
    let unclosed = || PatternError::new(start, PatternProblem::UnclosedClass);
    let mut output = String::from("[");
    let mut index = start + 1;
    if at(index) == Some('^') || (dialect == Dialect::Glob && at(index) == Some('!')) {
        output.push('^');
        index += 1;
    }
    if dialect == Dialect::Glob && at(index) == Some(']') {
        return Err(PatternError::new(index, PatternProblem::EmptyClass));
    }
    let first = index;
    loop {
        let character = at(index).ok_or_else(unclosed)?;
        if character == ']' && index > first {
            output.push(']');
            return Ok((output, index + 1));
        }
        if let Some((name, next)) = parse_name(characters, index)? {
            output.push_str(&name);
            index = next;
            continue;
        }
        let item = index;
        let (low, next) = parse_item(characters, index)?;
        index = next;
        let low = match low {
            Escape::Set(text) => {
                output.push_str(&text);
                continue;
            }
            Escape::Character(low) => low,
        };
        push_character(&mut output, low);
        // A `-` before the closing bracket is a character; any other after a character makes a range.
        if at(index) == Some('-') && at(index + 1).is_some_and(|after| after != ']') {
            let (Escape::Character(high), next) = parse_item(characters, index + 1)? else {
                return Err(PatternError::new(item, PatternProblem::BackwardRange));
            };
            if high < low {
                return Err(PatternError::new(item, PatternProblem::BackwardRange));
            }
            output.push('-');
            push_character(&mut output, high);
            index = next;
        }
    }
}

/// `[:alpha:]` or `[:^alpha:]`; `None` where the text is not of that form and `[` is a character.
fn parse_name(characters: &[char], start: usize) -> Result<Option<(String, usize)>, PatternError> {
    // The longest name is six letters, with `[:^` before and `:]` after it.
    const LONGEST: usize = 11;
    let rest = &characters[start..];
    if !rest.starts_with(&['[', ':']) {
        return Ok(None);
    }
    let Some(end) = rest.windows(2).skip(2).take(LONGEST).position(|pair| pair == [':', ']'])
    else {
        return Ok(None);
    };
    let text: String = rest[..end + 4].iter().collect();
    let name = text.trim_start_matches("[:").trim_end_matches(":]");
    if !NAMES.contains(&name.strip_prefix('^').unwrap_or(name)) {
        return Err(PatternError::new(start, PatternProblem::UnknownClassName));
    }
    Ok(Some((text, start + end + 4)))
}

/// One character, plain or escaped, or an escaped set.
fn parse_item(characters: &[char], index: usize) -> Result<(Escape, usize), PatternError> {
    match characters.get(index) {
        Some('\\') => parse_escape(characters, index),
        Some(&character) => Ok((Escape::Character(character), index + 1)),
        None => Err(PatternError::new(index, PatternProblem::UnclosedClass)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(dialect: Dialect, text: &str, yes: &str, no: &str) {
        let characters: Vec<char> = text.chars().collect();
        let (class, next) = parse_class(&characters, 0, dialect).expect(text);
        assert_eq!(next, characters.len(), "{text}");
        let regex = regex::Regex::new(&format!("^{class}$")).expect(&class);
        for (characters, expected) in [(yes, true), (no, false)] {
            for character in characters.chars() {
                let mut buffer = [0; 4];
                let found = regex.is_match(character.encode_utf8(&mut buffer));
                assert_eq!(found, expected, "{text} as {class} on {character:?}");
            }
        }
    }

    fn check_error(dialect: Dialect, text: &str, position: usize, problem: PatternProblem) {
        let characters: Vec<char> = text.chars().collect();
        let found = parse_class(&characters, 0, dialect);
        assert_eq!(found, Err(PatternError::new(position, problem)), "{text}");
    }

    #[test]
    fn classes_hold_what_they_say() {
        use Dialect::{Expression, Glob};
        for dialect in [Glob, Expression] {
            check(dialect, "[abc]", "abc", "dAB!");
            check(dialect, "[a-c]", "abc", "d-");
            check(dialect, "[^a-c]", "d/-\n", "abc");
            check(dialect, "[a^]", "a^", "b");
            check(dialect, "[-a]", "-a", "b");
            check(dialect, "[a-]", "-a", "b");
            check(dialect, "[a-c-e]", "abc-e", "d");
            check(dialect, r"[a\-c]", "a-c", "b");
            check(dialect, r"[\d_]", "09_", "a٣");
            check(dialect, r"[^\d]", "a٣/", "09");
            check(dialect, r"[\D5]", "a5", "4");
            check(dialect, r"[\w]", "aZ0_", "é-");
            check(dialect, r"[\s]", " \t\n\r\u{c}", "\u{b}\u{a0}a");
            check(dialect, r"[\]\[]", "][", "\\");
            check(dialect, "[a[b]", "a[b", "&]");
            check(dialect, "[a&&b]", "a&b", "c");
            check(dialect, "[a~~b]", "a~b", "c");
            check(dialect, "[+--]", "+,-", "./");
            check(dialect, "[[:alpha:]_]", "aZ_", "0:[é");
            check(dialect, "[[:^alpha:]]", "0é", "aZ");
            check(dialect, "[[:x]", "[:x", "a");
            check(dialect, "[ #.]", " #.", "a");
            check(dialect, "[é-ï]", "éêï", "eð");
        }
        check(Glob, "[!a-c]", "d!", "abc");
        check(Glob, "[!!]", "a", "!");
        check(Glob, "[a!]", "a!", "b");
        check(Expression, "[!a]", "!a", "b");
        check(Expression, "[]a]", "]a", "b");
        check(Expression, "[^]a]", "b", "]a");
    }

    #[test]
    fn wrong_classes_say_where() {
        use Dialect::{Expression, Glob};
        check_error(Glob, "[", 0, PatternProblem::UnclosedClass);
        check_error(Glob, "[a", 0, PatternProblem::UnclosedClass);
        check_error(Glob, "[a-", 0, PatternProblem::UnclosedClass);
        check_error(Glob, "[]", 1, PatternProblem::EmptyClass);
        check_error(Glob, "[!]", 2, PatternProblem::EmptyClass);
        check_error(Glob, "[^]", 2, PatternProblem::EmptyClass);
        check_error(Expression, "[]", 0, PatternProblem::UnclosedClass);
        check_error(Glob, "[xz-a]", 2, PatternProblem::BackwardRange);
        check_error(Glob, "[a--b]", 1, PatternProblem::BackwardRange);
        check_error(Glob, r"[a-\d]", 1, PatternProblem::BackwardRange);
        check_error(Glob, "[[:foo:]]", 1, PatternProblem::UnknownClassName);
        check_error(Glob, r"[\q]", 1, PatternProblem::UnknownEscape);
        check_error(Glob, r"[\", 1, PatternProblem::TrailingBackslash);
    }
}
