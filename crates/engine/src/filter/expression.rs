//! The inside of `{{…}}`: RE2's dialect, rewritten for Rust's regex engine.
//!
//! The two are close enough that most text is copied. Escapes and classes are rewritten by their own modules; what is
//! left here is `\Q…\E`, the assertions, and braces, which RE2 takes literally when they are no repetition.

use super::class::{Dialect, parse_class};
use super::error::PatternError;
use super::escape::{Escape, parse_escape, push_character};

/// Rewrites the characters from `start` to `end`, and proves that they are one complete regular expression, so that
/// no stray parenthesis can join it with the pattern around it.
pub(super) fn parse_expression(
    characters: &[char],
    start: usize,
    end: usize,
) -> Result<String, PatternError> {
    // Escapes and classes must not look for their end beyond the expression.
    let characters = &characters[..end];
    let mut output = String::new();
    let mut index = start;
    while let Some(&character) = characters.get(index) {
        match character {
            '\\' => index = push_escape(&mut output, characters, index)?,
            '[' => {
                let (class, next) = parse_class(characters, index, Dialect::Expression)?;
                output.push_str(&class);
                index = next;
            }
            '{' => {
                let length = repetition_length(&characters[index..]);
                match length {
                    0 => push_character(&mut output, '{'),
                    _ => output.extend(&characters[index..index + length]),
                }
                index += length.max(1);
            }
            '}' => {
                push_character(&mut output, '}');
                index += 1;
            }
            _ => {
                output.push(character);
                index += 1;
            }
        }
    }
    match super::glob::compile(&output, false) {
        Ok(_) => Ok(output),
        Err(problem) => Err(PatternError::new(start, problem)),
    }
}

/// Rewrites the escape at `start` and returns the index after it.
fn push_escape(
    output: &mut String,
    characters: &[char],
    start: usize,
) -> Result<usize, PatternError> {
    let assertion = match characters.get(start + 1) {
        Some('Q') => return Ok(push_quoted(output, characters, start + 2)),
        Some('A') => r"\A",
        Some('z') => r"\z",
        Some('b') => r"(?-u:\b)",
        // The ASCII form could match inside a character and is refused for text; between characters this is the same.
        Some('B') => r"\B",
        _ => {
            let (escape, next) = parse_escape(characters, start)?;
            match escape {
                Escape::Character(character) => push_character(output, character),
                Escape::Set(text) => output.push_str(&text),
            }
            return Ok(next);
        }
    };
    output.push_str(assertion);
    Ok(start + 2)
}

/// Writes everything up to `\E`, or to the end without one, as plain characters; returns the index after it.
fn push_quoted(output: &mut String, characters: &[char], start: usize) -> usize {
    let rest = &characters[start..];
    let length = rest.windows(2).position(|pair| pair == ['\\', 'E']);
    for &character in &rest[..length.unwrap_or(rest.len())] {
        push_character(output, character);
    }
    length.map_or(characters.len(), |length| start + length + 2)
}

/// The length of `{2}`, `{2,}` or `{2,3}` at the start of `characters`, or 0 when it is none of these.
fn repetition_length(characters: &[char]) -> usize {
    let digits = |from: usize| {
        characters[from..].iter().take_while(|character| character.is_ascii_digit()).count()
    };
    let low = digits(1);
    if low == 0 {
        return 0;
    }
    let mut index = 1 + low;
    if characters.get(index) == Some(&',') {
        index += 1;
        index += digits(index);
    }
    if characters.get(index) == Some(&'}') { index + 1 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, yes: &[&str], no: &[&str]) {
        let characters: Vec<char> = text.chars().collect();
        let output = parse_expression(&characters, 0, characters.len()).expect(text);
        let regex = regex::Regex::new(&format!("(?s)^(?:{output})$")).expect(&output);
        for name in yes {
            assert!(regex.is_match(name), "{text} as {output} must match {name:?}");
        }
        for name in no {
            assert!(!regex.is_match(name), "{text} as {output} must not match {name:?}");
        }
    }

    #[test]
    fn expressions_mean_what_they_mean_in_re2() {
        check("jpe?g", &["jpg", "jpeg"], &["jpeeg"]);
        check(r"\d+", &["019"], &["٣", "", "a"]);
        check(r"[\d]{2,3}", &["01", "012"], &["0", "0123"]);
        check("a{,2}", &["a{,2}"], &["a", "aa"]);
        check("a{x}", &["a{x}"], &["a"]);
        check(r"\Qa.b*\E+", &["a.b*", "a.b**"], &["axb"]);
        check(r"\Qa.b", &["a.b"], &["axb"]);
        check(r"\<a\>", &["<a>"], &["a"]);
        check(r"a\bé", &["aé"], &[]);
        check(r"a\Bb", &["ab"], &[]);
        check("[a[b&&]c", &["[c", "&c"], &["c"]);
        check("(?i)jpg", &["JPG"], &[]);
        check("a|b", &["a", "b"], &["ab"]);
        check("a.c", &["a\nc", "a/c"], &["ac"]);
        check("", &[""], &["a"]);
    }

    #[test]
    fn incomplete_or_huge_expressions_are_refused() {
        for wrong in ["(", ")", "a)(b", "*", r"\1", r"\", "[a", "(?=a)", r"(\w{1000}){1000}"] {
            let characters: Vec<char> = wrong.chars().collect();
            assert!(parse_expression(&characters, 0, characters.len()).is_err(), "{wrong}");
        }
    }
}
