//! Backslash escapes, which are the same in patterns, in classes and in `{{…}}`.
//!
//! RE2 and Rust's regex engine disagree on them: `\d` is ASCII in the one and Unicode in the other, `\<` a character in
//! the one and an assertion in the other. So every escape is parsed here and written out again in a form about which
//! there is no doubt.

use super::error::{PatternError, PatternProblem};

/// What one escape stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Escape {
    /// Exactly this character.
    Character(char),
    /// A set of characters, as text that is valid both inside and outside `[…]`.
    Set(String),
}

/// Parses the escape whose backslash is at `start`; returns it with the index after it.
pub(super) fn parse_escape(
    characters: &[char],
    start: usize,
) -> Result<(Escape, usize), PatternError> {
    let unknown = || PatternError::new(start, PatternProblem::UnknownEscape);
    let at = |index: usize| characters.get(index).copied();
    let Some(letter) = at(start + 1) else {
        return Err(PatternError::new(start, PatternProblem::TrailingBackslash));
    };
    let next = start + 2;
    let character = |character: char| Ok((Escape::Character(character), next));
    let set = |text: &str| Ok((Escape::Set(text.to_owned()), next));
    match letter {
        'd' => set("[0-9]"),
        'D' => set("[^0-9]"),
        'w' => set("[0-9A-Za-z_]"),
        'W' => set("[^0-9A-Za-z_]"),
        // RE2's \s has no vertical tab.
        's' => set(r"[\t\n\x0C\r\x20]"),
        'S' => set(r"[^\t\n\x0C\r\x20]"),
        'a' => character('\u{07}'),
        'f' => character('\u{0C}'),
        'n' => character('\n'),
        'r' => character('\r'),
        't' => character('\t'),
        'v' => character('\u{0B}'),
        'x' => parse_hexadecimal(characters, start),
        'p' | 'P' => parse_unicode_set(characters, start),
        '0'..='7' => {
            let length = characters[start + 1..]
                .iter()
                .take(3)
                .take_while(|digit| digit.is_digit(8))
                .count();
            // A lone digit other than 0 would be a back reference, which a linear-time engine cannot have.
            if letter != '0' && length < 2 {
                return Err(unknown());
            }
            let digits = &characters[start + 1..start + 1 + length];
            numbered(digits, 8)
                .map(|c| (Escape::Character(c), next + length - 1))
                .ok_or_else(unknown)
        }
        _ if letter.is_ascii() && !letter.is_ascii_alphanumeric() => character(letter),
        _ => Err(unknown()),
    }
}

/// Writes a character so that it means itself in any place of a regular expression, under any flags.
pub(super) fn push_character(output: &mut String, character: char) {
    if character.is_ascii() && !character.is_ascii_alphanumeric() {
        output.push_str(&format!("\\x{{{:X}}}", u32::from(character)));
    } else {
        output.push(character);
    }
}

/// `\x41` or `\x{1F600}`.
fn parse_hexadecimal(characters: &[char], start: usize) -> Result<(Escape, usize), PatternError> {
    let unknown = || PatternError::new(start, PatternProblem::UnknownEscape);
    let (digits, next) = match characters.get(start + 2) {
        Some('{') => {
            let end = closing_brace(characters, start + 3).ok_or_else(unknown)?;
            (&characters[start + 3..end], end + 1)
        }
        _ => (characters.get(start + 2..start + 4).ok_or_else(unknown)?, start + 4),
    };
    numbered(digits, 16).map(|c| (Escape::Character(c), next)).ok_or_else(unknown)
}

/// `\pL`, `\p{Greek}`, and `\P…` for the opposite.
fn parse_unicode_set(characters: &[char], start: usize) -> Result<(Escape, usize), PatternError> {
    let unknown = || PatternError::new(start, PatternProblem::UnknownEscape);
    let letter = characters[start + 1];
    let (name, next) = match characters.get(start + 2) {
        Some('{') => {
            let end = closing_brace(characters, start + 3).ok_or_else(unknown)?;
            (&characters[start + 3..end], end + 1)
        }
        Some(_) => (&characters[start + 2..start + 3], start + 3),
        None => return Err(unknown()),
    };
    let name: String = name.iter().collect();
    let known = name.chars().all(|c| c.is_ascii_alphabetic() || matches!(c, '_' | '^'));
    let text = format!("\\{letter}{{{name}}}");
    if !known || regex::Regex::new(&text).is_err() {
        return Err(unknown());
    }
    Ok((Escape::Set(text), next))
}

/// Index of the next `}`, looked for only as far as the longest script name could reach.
fn closing_brace(characters: &[char], start: usize) -> Option<usize> {
    const LONGEST_NAME: usize = 64;
    characters
        .get(start..)?
        .iter()
        .take(LONGEST_NAME)
        .position(|&character| character == '}')
        .map(|offset| start + offset)
}

/// The character with this number, if there is one. Bounded, so that no number of digits overflows.
fn numbered(digits: &[char], radix: u32) -> Option<char> {
    const LONGEST_NUMBER: usize = 7;
    if digits.is_empty() || digits.len() > LONGEST_NUMBER {
        return None;
    }
    let mut value = 0;
    for digit in digits {
        value = value * radix + digit.to_digit(radix)?;
    }
    char::from_u32(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<&str>) {
        let characters: Vec<char> = text.chars().collect();
        let found = parse_escape(&characters, 0).ok().map(|(escape, next)| {
            let mut output = match escape {
                Escape::Character(character) => character.to_string(),
                Escape::Set(text) => text,
            };
            output.extend(&characters[next..]);
            output
        });
        assert_eq!(found.as_deref(), expected, "{text}");
    }

    #[test]
    fn escapes_follow_re2() {
        check(r"\*x", Some("*x"));
        check(r"\\x", Some("\\x"));
        check(r"\<", Some("<"));
        check(r"\_", Some("_"));
        check(r"\dx", Some("[0-9]x"));
        check(r"\x414", Some("A4"));
        check(r"\x{1F600}!", Some("😀!"));
        check(r"\1012", Some("A2"));
        check(r"\0", Some("\0"));
        check(r"\pLx", Some(r"\p{L}x"));
        check(r"\P{Greek}", Some(r"\P{Greek}"));
        for wrong in [
            r"\",
            r"\1",
            r"\8",
            r"\z",
            r"\é",
            r"\x",
            r"\x4",
            r"\xZZ",
            r"\x{",
            r"\x{}",
            r"\x{110000}",
            r"\x{FFFFFFFFF}",
            r"\p",
            r"\p{",
            r"\p{Nothing}",
            r"\pé",
            r"\Q",
        ] {
            check(wrong, None);
        }
    }
}
