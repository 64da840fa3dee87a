//! The grammar of places: `remote:path`, `remote,key=value:path`, `:type,key=value:path`, or a local path.
//!
//! It is rclone's, quoting included: a value that starts with `"` or `'` goes to the next one of these, and a doubled one
//! inside stands for itself. A word without `:`, or with a `/` before the first one, is a local path. Option values may be
//! keys, so they are never shown.
//!
//! A path with the mark `‛` can be read in two ways: as the bytes a shell hands over, or as `ls` and `--json` show it. A
//! path on this machine is first taken as bytes, because shells complete it; one on a remote as it is shown, because nothing
//! else tells its names. Where nothing is at the one, the other is meant.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;

use ketch_core::names::{bytes_from_core, core_from_bytes, core_from_shown};
use secrecy::SecretString;

/// Option values, which may be secrets; `Debug` shows none.
pub(crate) type Options = BTreeMap<String, SecretString>;

/// A place as it was typed.
#[derive(Debug, Clone)]
pub(crate) struct Location {
    /// What it is in.
    pub(crate) base: Base,
    /// Options given with it.
    pub(crate) options: Options,
    /// The path, in core form.
    pub(crate) path: String,
    /// What else the path may mean.
    pub(crate) other: Option<String>,
}

/// What a place is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Base {
    /// The local disk.
    Local,
    /// A remote of the configuration, or `sandbox`.
    Named(String),
    /// A remote made on the spot.
    OfType(String),
}

/// Why a text is not a place. Holds nothing of the text, which may have a key in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LocationError {
    Empty,
    BadName,
    NoColon,
    NoKey,
    BadKey,
    UnclosedQuote,
    AfterQuote,
}

impl fmt::Display for LocationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LocationError::Empty => "a place is empty: give a path, or `.` for this folder",
            LocationError::BadName => {
                "the name of a remote has letters, digits, `_`, `-`, `.`, `+`, `@` and inner spaces (write `./…` for a \
                 local path with `:`)"
            }
            LocationError::NoColon => "a place such as `:type,key=value:path` lacks its last `:`",
            LocationError::NoKey => "an option has no name (write `key=value`)",
            LocationError::BadKey => "the name of an option has letters, digits and `_`",
            LocationError::UnclosedQuote => "a quoted value is not closed",
            LocationError::AfterQuote => "after a quoted value comes `,` or `:`",
        })
    }
}

impl Location {
    /// Reads a word of the command line.
    pub(crate) fn parse(word: &OsStr) -> Result<Self, LocationError> {
        let mut place = parse(&core_from_bytes(word.as_bytes()))?;
        let shown = core_from_shown(&bytes_from_core(&place.path));
        if shown != place.path {
            place.other = Some(match place.base {
                Base::Local => shown,
                Base::Named(_) | Base::OfType(_) => std::mem::replace(&mut place.path, shown),
            });
        }
        Ok(place)
    }

    /// Reads a place that was put on record as it was shown.
    pub(crate) fn of_record(shown: &str) -> Result<Self, LocationError> {
        parse(shown)
    }

    /// The other place that may be meant.
    pub(crate) fn other(&self) -> Option<Location> {
        let path = self.other.clone()?;
        Some(Location { path, other: None, ..self.clone() })
    }

    /// The folder that holds this place and its name in it; `None` when the place is a root.
    pub(crate) fn split(&self) -> Option<(Location, String)> {
        let path = self.path.trim_end_matches('/');
        let (parent, name) = match path.rfind('/') {
            Some(0) => ("/", &path[1..]),
            Some(at) => (&path[..at], &path[at + 1..]),
            None if self.base == Base::Local => (".", path),
            None => ("", path),
        };
        if matches!(name, "" | "." | "..") {
            return None;
        }
        let folder = Location { path: parent.to_owned(), other: None, ..self.clone() };
        Some((folder, name.to_owned()))
    }

    /// The place in one line, with every option value hidden.
    pub(crate) fn redacted(&self) -> String {
        let base = match &self.base {
            Base::Local => return self.path.clone(),
            Base::Named(name) => name.clone(),
            Base::OfType(kind) => format!(":{kind}"),
        };
        let options: String = self.options.keys().map(|key| format!(",{key}=***")).collect();
        format!("{base}{options}:{}", self.path)
    }
}

/// Is `name` fit for a remote?
pub(crate) fn is_remote_name(name: &str) -> bool {
    let fits = |c: char| c.is_alphanumeric() || "_-.+@ ".contains(c);
    !name.is_empty()
        && name.chars().all(fits)
        && !name.starts_with(['-', ' '])
        && !name.ends_with(' ')
}

fn parse(text: &str) -> Result<Location, LocationError> {
    if text.is_empty() {
        return Err(LocationError::Empty);
    }
    let place =
        |base, options, path: &str| Location { base, options, path: path.to_owned(), other: None };
    let local = || place(Base::Local, Options::new(), text);
    let on_the_fly = text.starts_with(':');
    if !text.contains(':') {
        return Ok(local());
    }
    let body = if on_the_fly { &text[1..] } else { text };
    let Some(end) = body.find([':', ',', '/']) else {
        return if on_the_fly { Err(LocationError::NoColon) } else { Ok(local()) };
    };
    let (name, rest) = body.split_at(end);
    if rest.starts_with('/') {
        // A slash before any colon: a local path, unless a connection string was begun.
        return if on_the_fly { Err(LocationError::BadName) } else { Ok(local()) };
    }
    if !is_remote_name(name) {
        return Err(LocationError::BadName);
    }
    let base = match on_the_fly {
        true => Base::OfType(name.to_owned()),
        false => Base::Named(name.to_owned()),
    };
    let (options, path) = match rest.strip_prefix(',') {
        Some(rest) => parse_options(rest)?,
        None => (Options::new(), &rest[1..]),
    };
    Ok(place(base, options, path))
}

/// Options up to the `:` that ends them, and the path after it.
fn parse_options(mut rest: &str) -> Result<(Options, &str), LocationError> {
    let mut options = Options::new();
    loop {
        let end = rest.find([':', ',', '=']).ok_or(LocationError::NoColon)?;
        let (key, after) = rest.split_at(end);
        if key.is_empty() {
            return Err(LocationError::NoKey);
        }
        if !key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err(LocationError::BadKey);
        }
        let (value, after) = match after.strip_prefix('=') {
            Some(after) => parse_value(after)?,
            None => ("true".to_owned(), after),
        };
        options.insert(key.to_owned(), SecretString::from(value));
        if let Some(path) = after.strip_prefix(':') {
            return Ok((options, path));
        }
        rest = &after[1..];
        if let Some(path) = rest.strip_prefix(':') {
            return Ok((options, path));
        }
    }
}

/// A value, and the rest from the `,` or `:` after it.
fn parse_value(text: &str) -> Result<(String, &str), LocationError> {
    let Some(quote) = text.chars().next().filter(|c| matches!(c, '"' | '\'')) else {
        let end = text.find([':', ',']).ok_or(LocationError::NoColon)?;
        return Ok((text[..end].to_owned(), &text[end..]));
    };
    let mut value = String::new();
    let mut rest = &text[1..];
    loop {
        let end = rest.find(quote).ok_or(LocationError::UnclosedQuote)?;
        value.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.chars().next() {
            Some(c) if c == quote => {
                value.push(quote);
                rest = &rest[1..];
            }
            Some(',' | ':') => return Ok((value, rest)),
            Some(_) => return Err(LocationError::AfterQuote),
            None => return Err(LocationError::NoColon),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;

    fn show(text: &str) -> String {
        match parse(text) {
            Err(error) => format!("{error:?}"),
            Ok(Location { base, options, path, other: _ }) => {
                let options: Vec<_> = options
                    .iter()
                    .map(|(key, value)| format!("{key}={}", value.expose_secret()))
                    .collect();
                format!("{base:?} {options:?} {path}")
            }
        }
    }

    #[test]
    fn the_grammar_is_rclones() {
        for (text, expected) in [
            ("", "Empty"),
            ("a", "Local [] a"),
            ("a,b=c", "Local [] a,b=c"),
            ("/a:b", "Local [] /a:b"),
            ("./a:b", "Local [] ./a:b"),
            ("a/b:c", "Local [] a/b:c"),
            ("work:", "Named(\"work\") [] "),
            ("work:a/b:c", "Named(\"work\") [] a/b:c"),
            ("work:/a", "Named(\"work\") [] /a"),
            ("my work.2:a", "Named(\"my work.2\") [] a"),
            ("wörk:a", "Named(\"wörk\") [] a"),
            ("-work:a", "BadName"),
            ("work :a", "BadName"),
            ("wo*rk:a", "BadName"),
            ("::a", "BadName"),
            (":", "NoColon"),
            (":fichier", "NoColon"),
            (":fichier/a:b", "BadName"),
            (":fichier:a", "OfType(\"fichier\") [] a"),
            (":fichier,api_key=K=/+:a", "OfType(\"fichier\") [\"api_key=K=/+\"] a"),
            (
                ":fichier,api_key=K,pace=off:a,b:c",
                "OfType(\"fichier\") [\"api_key=K\", \"pace=off\"] a,b:c",
            ),
            ("work,pace=off:a", "Named(\"work\") [\"pace=off\"] a"),
            (":t,flag:a", "OfType(\"t\") [\"flag=true\"] a"),
            (":t,flag,b=1:a", "OfType(\"t\") [\"b=1\", \"flag=true\"] a"),
            (":t,a=:b", "OfType(\"t\") [\"a=\"] b"),
            (":t,a=1,:b", "OfType(\"t\") [\"a=1\"] b"),
            (":t,u=\"http://h:1/v1\":a", "OfType(\"t\") [\"u=http://h:1/v1\"] a"),
            (":t,u='http://h:1/v1',b=2:a", "OfType(\"t\") [\"b=2\", \"u=http://h:1/v1\"] a"),
            (":t,u=\"a\"\"b\":c", "OfType(\"t\") [\"u=a\\\"b\"] c"),
            (":t,u='a''b':c", "OfType(\"t\") [\"u=a'b\"] c"),
            (":t,u='a\"b':c", "OfType(\"t\") [\"u=a\\\"b\"] c"),
            (":t,u=a\"b:c", "OfType(\"t\") [\"u=a\\\"b\"] c"),
            (":t,u=\"a:b", "UnclosedQuote"),
            (":t,u=\"a\"b:c", "AfterQuote"),
            (":t,u=\"a\"", "NoColon"),
            (":t,=a:b", "NoKey"),
            (":t,:b", "NoKey"),
            (":t,a b=c:d", "BadKey"),
            (":t,a=b", "NoColon"),
        ] {
            assert_eq!(show(text), expected, "{text}");
        }
    }

    #[test]
    fn a_file_is_found_in_the_folder_above_it() {
        let check = |text: &str, expected: Option<(&str, &str)>| {
            let split = parse(text).expect("legal").split();
            let found = split.as_ref().map(|(place, name)| (place.redacted(), name.as_str()));
            let expected = expected.map(|(place, name)| (place.to_owned(), name));
            assert_eq!(found, expected, "{text}");
        };
        check("a/b.txt", Some(("a", "b.txt")));
        check("b.txt", Some((".", "b.txt")));
        check("b.txt/", Some((".", "b.txt")));
        check("/b.txt", Some(("/", "b.txt")));
        check("/a/b.txt", Some(("/a", "b.txt")));
        check("work:b.txt", Some(("work:", "b.txt")));
        check("work:a/b.txt", Some(("work:a", "b.txt")));
        for root in ["work:", "/", ".", "..", "a/.."] {
            check(root, None);
        }
    }

    #[test]
    fn a_path_with_a_mark_means_what_is_shown_on_remotes_and_bytes_on_this_machine() {
        for (word, path, other) in [
            ("a‛FF".as_bytes(), "a‛‛FF", Some("a‛FF")),
            (b"a\xff", "a‛FF", None),
            ("work:a‛FF".as_bytes(), "a‛FF", Some("a‛‛FF")),
            (b"work:a\xff", "a‛FF", None),
            ("work:a‛‛FF".as_bytes(), "a‛‛FF", Some("a‛‛‛‛FF")),
            ("work:x‛y".as_bytes(), "x‛‛y", None),
            (b"work:plain", "plain", None),
        ] {
            let place = Location::parse(OsStr::from_bytes(word)).expect("legal");
            assert_eq!((&*place.path, place.other.as_deref()), (path, other), "{word:?}");
        }
    }

    #[test]
    fn values_are_never_shown() {
        let place = parse(":fichier,api_key=CANARY,pace=off:a").expect("legal");
        assert_eq!(place.redacted(), ":fichier,api_key=***,pace=***:a");
        assert!(!format!("{place:?}").contains("CANARY"));
    }
}
