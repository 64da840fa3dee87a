//! What a file pattern says about folders, so that whole trees need not be listed.
//!
//! Folders are tested as `path/`. Two questions matter, and both answers must err towards listing: an include rule
//! asks which folders *may* hold a match, an exclude rule which folders hold *nothing but* matches.

use super::glob::{Glob, Token};

/// The folders that may hold a file which the pattern matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Holders {
    /// Any folder may.
    Every,
    /// Only folders that one of these patterns matches; none at all when empty, as the top folder is always listed.
    Matching(Vec<Glob>),
}

/// The folders that must be visited for an include pattern.
///
/// A pattern without a leading `/` can match below any folder. One with alternatives that are nested or hold a `/` or
/// `**`, or with an expression, is not taken apart either. Of any other, each beginning that can end in a `/` is a
/// folder on the way to a match.
pub(super) fn holders(glob: &Glob) -> Holders {
    if !glob.anchored || glob.tokens.iter().any(is_opaque) {
        return Holders::Every;
    }
    beginnings(glob)
}

/// The folders that an include pattern takes for themselves, also when nothing is in them: those it names on the way to
/// what it matches, and every one where it names none. As in rclone.
pub(super) fn own_folders(glob: &Glob) -> Holders {
    let names_none = !glob.anchored && !glob.tokens.iter().any(crosses_folders);
    if names_none || glob.tokens.iter().any(is_opaque) {
        return Holders::Every;
    }
    beginnings(glob)
}

/// Each beginning of the pattern that can end in a `/`.
fn beginnings(glob: &Glob) -> Holders {
    let mut globs: Vec<Glob> = Vec::new();
    for (index, token) in glob.tokens.iter().enumerate() {
        let beginning = match token {
            Token::DoubleStar => &glob.tokens[..=index],
            _ if crosses_folders(token) => &glob.tokens[..index],
            _ => continue,
        };
        // A path never starts with a slash, so nothing can match what begins with one.
        if beginning.is_empty() {
            continue;
        }
        let mut tokens = beginning.to_vec();
        tokens.push(Token::Character('/'));
        let holder = Glob { anchored: glob.anchored, tokens };
        if !globs.contains(&holder) {
            globs.push(holder);
        }
    }
    Holders::Matching(globs)
}

/// Whether the pattern, when it matches `folder/`, also matches every path that starts so.
///
/// True when it ends in `**`: whatever matched before it still does. An expression right before the `**` could look at
/// the end of the text, so a slash must stand between them.
pub(super) fn covers_below(glob: &Glob) -> bool {
    match glob.tokens.as_slice() {
        [] => false,
        [before @ .., Token::DoubleStar] => {
            before.last() == Some(&Token::Character('/')) || !before.iter().any(holds_expression)
        }
        [..] => false,
    }
}

/// Whether `**` occurs in the pattern, on any level.
pub(super) fn has_double_star(tokens: &[Token]) -> bool {
    tokens.iter().any(|token| match token {
        Token::DoubleStar => true,
        Token::Alternatives(alternatives) => {
            alternatives.iter().any(|tokens| has_double_star(tokens))
        }
        _ => false,
    })
}

fn holds_expression(token: &Token) -> bool {
    match token {
        Token::Expression(_) => true,
        Token::Alternatives(alternatives) => alternatives.iter().flatten().any(holds_expression),
        _ => false,
    }
}

/// Whether the token defeats the splitting of the pattern at slashes.
fn is_opaque(token: &Token) -> bool {
    match token {
        Token::Expression(_) => true,
        Token::Alternatives(alternatives) => alternatives.iter().flatten().any(|inner| {
            matches!(inner, Token::Alternatives(_) | Token::Expression(_)) || crosses_folders(inner)
        }),
        _ => false,
    }
}

/// Whether a `/` can be among what the token matches.
fn crosses_folders(token: &Token) -> bool {
    match token {
        Token::Character(character) => *character == '/',
        Token::AnyCharacter | Token::Star => false,
        Token::DoubleStar | Token::Expression(_) => true,
        // Asking the engine is simpler and surer than a second reading of the class. A set that does not compile is
        // reported when the pattern is compiled; until then, any answer on the side of listing is right.
        Token::Set(text) => regex::Regex::new(text).map_or(true, |regex| regex.is_match("/")),
        Token::Alternatives(alternatives) => alternatives.iter().flatten().any(crosses_folders),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `expected`: `None` for every folder, else the patterns of folders as the user would write them.
    fn check_holders(text: &str, expected: Option<&[&str]>) {
        let expected = match expected {
            None => Holders::Every,
            Some(texts) => {
                Holders::Matching(texts.iter().map(|text| Glob::parse(text).expect(text)).collect())
            }
        };
        assert_eq!(holders(&Glob::parse(text).expect(text)), expected, "{text}");
    }

    #[test]
    fn include_patterns_name_the_folders_on_the_way() {
        check_holders("*", None);
        check_holders("*.jpg", None);
        check_holders("a/*.jpg", None);
        check_holders("**", None);
        check_holders("/*", Some(&[]));
        check_holders("/*.jpg", Some(&[]));
        check_holders("//*.jpg", Some(&[]));
        check_holders("/a/*.jpg", Some(&["/a/"]));
        check_holders("/a/b/*.jpg", Some(&["/a/", "/a/b/"]));
        check_holders("/*/*/*.jpg", Some(&["/*/", "/*/*/"]));
        check_holders("/a/b/", Some(&["/a/", "/a/b/"]));
        check_holders("/**", Some(&["/**/"]));
        check_holders("/a**", Some(&["/a**/"]));
        check_holders("/a**b**c", Some(&["/a**/", "/a**b**/"]));
        check_holders("/a**b/c", Some(&["/a**/", "/a**b/"]));
        check_holders("/var/spool/**/ncw", Some(&["/var/", "/var/spool/", "/var/spool/**/"]));
        check_holders("/a/{x,y}/*.{j,p}", Some(&["/a/", "/a/{x,y}/"]));
        check_holders("/a/{x,y/z}/d", None);
        check_holders("/a/{x,y**}/d", None);
        check_holders("/a/{x,{y,z}}/d", None);
        check_holders("/a/{x,[^y]}/d", None);
        check_holders("/a/{{x}}/d", None);
        check_holders("/a/[xy]/d", Some(&["/a/", "/a/[xy]/"]));
        check_holders("/a/[^y]b", Some(&["/a/", "/a//"]));
        check_holders(r"/a\/b", Some(&["/a/"]));
        check_holders(r"/a\D", Some(&["/a/"]));
        check_holders(r"/a\dc", Some(&[]));
    }

    #[test]
    fn include_patterns_take_the_folders_they_name() {
        let check = |text: &str, expected: Option<&[&str]>| {
            let parse = |text: &&str| Glob::parse(text).expect(text);
            let expected = expected.map_or(Holders::Every, |texts| {
                Holders::Matching(texts.iter().map(parse).collect())
            });
            assert_eq!(own_folders(&Glob::parse(text).expect(text)), expected, "{text}");
        };
        check("*.jpg", None);
        check("a/*.jpg", Some(&["a/"]));
        check("001/**", Some(&["001/", "001/**/"]));
        check("**", Some(&["**/"]));
        check("/*.jpg", Some(&[]));
        check("/a/b/*.jpg", Some(&["/a/", "/a/b/"]));
        check("a/{{x}}/d", None);
    }

    #[test]
    fn only_patterns_that_end_in_two_stars_cover_a_folder() {
        for (text, expected) in [
            ("a/**", true),
            ("**", true),
            ("a**", true),
            ("{a,b/c}/**", true),
            ("{{a|b}}/**", true),
            ("{{/$|a}}**", false),
            ("{x,{{/$}},y}**", false),
            ("**[^x]", false),
            ("a/**/b", false),
            ("a/{b,**}", false),
            (r"a\**", false),
            ("a/", false),
            ("/", false),
        ] {
            assert_eq!(covers_below(&Glob::parse(text).expect(text)), expected, "{text}");
        }
    }
}
