//! One pattern: parsed into tokens, because pruning needs its structure, and compiled to a regular expression.

use regex::{Regex, RegexBuilder};

use super::class::{Dialect, parse_class};
use super::error::{PatternError, PatternProblem};
use super::escape::{Escape, parse_escape, push_character};
use super::expression::parse_expression;

/// Longer than any path that a file system or 1fichier can hold, with room for alternatives.
const PATTERN_CHARACTERS: usize = 64 * 1024;
/// Keeps the recursion of the parser, and of the regex engine's, far from the end of the stack.
const BRACE_LEVELS: usize = 32;
/// Bounds what a hostile pattern such as `{{(\w{999}){999}}}` can make us allocate.
const COMPILED_BYTES: usize = 2 * 1024 * 1024;

/// A part of a pattern. The texts are regular expressions that are complete in themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// Exactly this character.
    Character(char),
    /// `?`: one character, not `/`.
    AnyCharacter,
    /// `*`: any run of characters without `/`.
    Star,
    /// `**`: any run of characters.
    DoubleStar,
    /// `[…]` or an escape such as `\d`: one character out of a set, which may hold `/`.
    Set(String),
    /// `{…,…}`
    Alternatives(Vec<Vec<Token>>),
    /// `{{…}}`: anything.
    Expression(String),
}

/// A parsed pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Glob {
    /// Whether it started with `/`, which is then not among the tokens.
    pub(super) anchored: bool,
    pub(super) tokens: Vec<Token>,
}

impl Glob {
    /// Parses a pattern. Whether its expressions fit together is only known after [`Glob::to_regex`].
    pub(super) fn parse(text: &str) -> Result<Glob, PatternError> {
        let characters: Vec<char> = text.chars().collect();
        if characters.is_empty() {
            return Err(PatternError::new(0, PatternProblem::Empty));
        }
        if characters.len() > PATTERN_CHARACTERS {
            let (length, limit) = (characters.len(), PATTERN_CHARACTERS);
            return Err(PatternError::new(limit, PatternProblem::TooLong { length, limit }));
        }
        let anchored = characters[0] == '/';
        let mut parser = Parser { characters: &characters, index: usize::from(anchored) };
        let tokens = parser.sequence(0)?;
        match parser.peek() {
            None => Ok(Glob { anchored, tokens }),
            // Commas are characters at the top level, so only a closing brace can stop the sequence early.
            Some(_) => Err(PatternError::new(parser.index, PatternProblem::UnopenedBrace)),
        }
    }

    /// The text of the regular expression that matches what the pattern matches.
    pub(super) fn to_expression(&self) -> String {
        let mut output = String::from(if self.anchored { "^" } else { "(?:^|/)" });
        push_tokens(&mut output, &self.tokens);
        output.push('$');
        output
    }

    /// Compiles the pattern; an error has no place in the pattern and is reported for its start.
    pub(super) fn to_regex(&self, ignore_case: bool) -> Result<Regex, PatternError> {
        compile(&self.to_expression(), ignore_case).map_err(|problem| PatternError::new(0, problem))
    }
}

/// Compiles within the size limit. A line feed is a character of a name like any other.
pub(super) fn compile(expression: &str, ignore_case: bool) -> Result<Regex, PatternProblem> {
    RegexBuilder::new(expression)
        .dot_matches_new_line(true)
        .case_insensitive(ignore_case)
        .size_limit(COMPILED_BYTES)
        .build()
        .map_err(|error| {
            // The engine draws a picture of several lines; its last line is the sentence.
            let text = error.to_string();
            let reason = text.rsplit("error: ").next().unwrap_or(&text);
            PatternProblem::Expression { reason: reason.trim().replace('\n', " ") }
        })
}

fn push_tokens(output: &mut String, tokens: &[Token]) {
    for token in tokens {
        match token {
            Token::Character(character) => push_character(output, *character),
            Token::AnyCharacter => output.push_str("[^/]"),
            Token::Star => output.push_str("[^/]*"),
            Token::DoubleStar => output.push_str(".*"),
            Token::Set(text) => output.push_str(text),
            Token::Alternatives(alternatives) => {
                for (number, alternative) in alternatives.iter().enumerate() {
                    output.push_str(if number == 0 { "(?:" } else { "|" });
                    push_tokens(output, alternative);
                }
                output.push(')');
            }
            Token::Expression(text) => {
                output.push_str("(?:");
                output.push_str(text);
                output.push(')');
            }
        }
    }
}

struct Parser<'a> {
    characters: &'a [char],
    index: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<char> {
        self.characters.get(self.index).copied()
    }

    /// Tokens up to the end, to a `}`, or, inside braces, to a `,`; the stopper is left.
    fn sequence(&mut self, level: usize) -> Result<Vec<Token>, PatternError> {
        let mut tokens = Vec::new();
        while let Some(character) = self.peek() {
            let start = self.index;
            let token = match character {
                '}' => break,
                ',' if level > 0 => break,
                '*' => self.stars()?,
                '?' => {
                    self.index += 1;
                    Token::AnyCharacter
                }
                '[' => {
                    let (text, next) = parse_class(self.characters, start, Dialect::Glob)?;
                    self.index = next;
                    Token::Set(text)
                }
                ']' => return Err(PatternError::new(start, PatternProblem::UnopenedClass)),
                '{' if self.characters.get(start + 1) == Some(&'{') => self.expression()?,
                '{' => self.alternatives(level + 1)?,
                '\\' => {
                    let (escape, next) = parse_escape(self.characters, start)?;
                    self.index = next;
                    match escape {
                        Escape::Character(character) => Token::Character(character),
                        Escape::Set(text) => Token::Set(text),
                    }
                }
                _ => {
                    self.index += 1;
                    Token::Character(character)
                }
            };
            tokens.push(token);
        }
        Ok(tokens)
    }

    fn stars(&mut self) -> Result<Token, PatternError> {
        let start = self.index;
        while self.peek() == Some('*') {
            self.index += 1;
        }
        match self.index - start {
            1 => Ok(Token::Star),
            2 => Ok(Token::DoubleStar),
            _ => Err(PatternError::new(start, PatternProblem::TooManyStars)),
        }
    }

    fn alternatives(&mut self, level: usize) -> Result<Token, PatternError> {
        let start = self.index;
        if level > BRACE_LEVELS {
            let problem = PatternProblem::TooDeep { limit: BRACE_LEVELS };
            return Err(PatternError::new(start, problem));
        }
        let mut alternatives = Vec::new();
        loop {
            // Steps over the opening brace first, then over each comma.
            self.index += 1;
            alternatives.push(self.sequence(level)?);
            match self.peek() {
                Some(',') => {}
                Some(_) => {
                    self.index += 1;
                    return Ok(Token::Alternatives(alternatives));
                }
                None => return Err(PatternError::new(start, PatternProblem::UnclosedBrace)),
            }
        }
    }

    fn expression(&mut self) -> Result<Token, PatternError> {
        let start = self.index;
        let unclosed = || PatternError::new(start, PatternProblem::UnclosedExpression);
        let inside = start + 2;
        let offset = self.characters[inside..]
            .windows(2)
            .position(|pair| pair == ['}', '}'])
            .ok_or_else(unclosed)?;
        // The last two braces of a run close, so that `{{a{2}}}` ends in a repetition.
        let end = inside + offset;
        let run = self.characters[end..].iter().take_while(|&&character| character == '}').count();
        self.index = end + run;
        parse_expression(self.characters, inside, self.index - 2).map(Token::Expression)
    }
}
