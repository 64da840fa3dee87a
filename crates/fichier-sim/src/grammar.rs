//! The text form of a [`Fault`], for command lines and for other processes.
//!
//! A fault is `WHERE WHEN WHAT [ARGUMENT]`, separated by spaces; the argument runs to the end of
//! the line.
//!
//! WHERE is `anything` (every request), `*` (every API call), a call such as `file/ls`, or `upload`, `end.pl`, `download`, `dir`.
//!
//! WHEN is `every`, `next=N` (the next N matching requests) or `nth=K` (only the K-th).
//!
//! WHAT, with the meaning told at [`Effect`]:
//!
//! | WHAT | argument |
//! |---|---|
//! | `answer` | `STATUS CONTENT-TYPE BODY…` |
//! | `json` | `STATUS BODY…` |
//! | `ko` | `STATUS MESSAGE…` |
//! | `flood` | number, 374 when absent |
//! | `user-locked`, `ip-locked`, `ip-locked-text`, `ko-silent`, `customer`, `location` | |
//! | `too-many` | seconds of `Retry-After`, absent: no header |
//! | `status` | an HTTP status, with an HTML body |
//! | `html` | text of an HTML page with status 200 |
//! | `redirect` | the `Location` |
//! | `reset`, `stall`, `lose-answer`, `hold`, `hold-answer` | |
//! | `delay`, `drip`, `linger-for` | a duration such as `700ms` |
//! | `node` | a host |
//! | `reset-after`, `stall-after`, `hold-after`, `short`, `close-delimited`, `flip` | bytes |
//! | `hide`, `linger` | listings |
//! | `no-location`, `wrong-folder`, `damage`, `cannot-open` | |
//! | `please-wait`, `no-links`, `two-links`, `dead-report`, `wrong-size`, `wrong-whirlpool`, `upper-case-whirlpool`, `no-whirlpool` | |
//! | `ignore-range`, `wrong-content-range`, `gzip`, `expire` | |
//! | `integers-as-strings`, `nulls`, `extra-fields`, `underscore-content-type`, `truncated-json`, `empty-listing`, `files-ignored`, `windows-ignored`, `count-cut` | |
//! | `no-sub-folders`, `lone-surrogate` | |
//! | `stranger`, `stranger-address`, `alias`, `take` | the path of a file or folder |
//! | `loop` | a name |
//! | `move` | `FROM > TO`, two paths |
//! | `missing-field`, `null-field` | the field |
//! | `hostile-name` | the name; `\n`, `\e`, `\0` and `\\` are unescaped |

use std::str::FromStr;
use std::time::Duration;

use crate::fault::{Canned, Effect, Fault, Site, When};
use crate::limits::parse_duration;

/// The text is not in the grammar of [`Fault`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("fault: {0}")]
pub struct FaultError(String);

impl FromStr for Fault {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, FaultError> {
        let (site, rest) = word(text);
        let (when, rest) = word(rest);
        let (what, argument) = word(rest);
        Ok(Self { site: site.parse()?, when: when.parse()?, effect: effect(what, argument)? })
    }
}

fn word(text: &str) -> (&str, &str) {
    let text = text.trim();
    text.split_once(char::is_whitespace).map_or((text, ""), |(word, rest)| (word, rest.trim()))
}

impl FromStr for Site {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, FaultError> {
        match text {
            "anything" => Ok(Self::Anything),
            "*" => Ok(Self::AnyCall),
            "upload" => Ok(Self::Upload),
            "end.pl" => Ok(Self::Report),
            "download" => Ok(Self::Download),
            "dir" => Ok(Self::Shared),
            call if call.contains('/') => Ok(Self::call(call)),
            other => Err(FaultError(format!("no such place: {other}"))),
        }
    }
}

impl FromStr for When {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, FaultError> {
        let wrong = || FaultError(format!("neither every nor next=N nor nth=K: {text}"));
        if text == "every" {
            return Ok(Self::Every);
        }
        let (kind, number) = text.split_once('=').ok_or_else(wrong)?;
        let number = number.parse().map_err(|_| wrong())?;
        match kind {
            "next" => Ok(Self::Next(number)),
            "nth" => Ok(Self::Nth(number)),
            _ => Err(wrong()),
        }
    }
}

fn number<T: FromStr>(text: &str) -> Result<T, FaultError> {
    text.parse().map_err(|_| FaultError(format!("no such number: {text}")))
}

fn duration(text: &str) -> Result<Duration, FaultError> {
    parse_duration(text).map_err(|error| FaultError(error.to_string()))
}

fn effect(what: &str, argument: &str) -> Result<Effect, FaultError> {
    if let Some(canned) = canned(what, argument)? {
        return Ok(Effect::Answer(canned));
    }
    Ok(match what {
        "reset" => Effect::Reset,
        "stall" => Effect::Stall,
        "lose-answer" => Effect::LoseAnswer,
        "hold" => Effect::Hold,
        "hold-answer" => Effect::HoldAnswer,
        "hold-whole" => Effect::HoldWhole,
        "hold-after" => Effect::HoldAfter(number(argument)?),
        "delay" => Effect::Delay(duration(argument)?),
        "node" => Effect::Node(argument.to_owned()),
        "reset-after" => Effect::ResetAfter(number(argument)?),
        "stall-after" => Effect::StallAfter(number(argument)?),
        "no-location" => Effect::NoLocation,
        "wrong-folder" => Effect::WrongFolder,
        "damage" => Effect::Damage,
        "hide" => Effect::Hide(number(argument)?),
        "linger" => Effect::Linger(number(argument)?),
        "linger-for" => Effect::LingerFor(duration(argument)?),
        "please-wait" => Effect::PleaseWait,
        "no-links" => Effect::NoLinks,
        "two-links" => Effect::TwoLinks,
        "dead-report" => Effect::DeadReport,
        "wrong-size" => Effect::WrongSize,
        "wrong-whirlpool" => Effect::WrongWhirlpool,
        "upper-case-whirlpool" => Effect::UpperCaseWhirlpool,
        "no-whirlpool" => Effect::NoWhirlpool,
        "short" => Effect::Short(number(argument)?),
        "close-delimited" => Effect::CloseDelimited(number(argument)?),
        "ignore-range" => Effect::IgnoreRange,
        "wrong-content-range" => Effect::WrongContentRange,
        "drip" => Effect::Drip(duration(argument)?),
        "flip" => Effect::Flip(number(argument)?),
        "gzip" => Effect::Gzip,
        "expire" => Effect::Expire,
        "integers-as-strings" => Effect::IntegersAsStrings,
        "nulls" => Effect::Nulls,
        "extra-fields" => Effect::ExtraFields,
        "underscore-content-type" => Effect::UnderscoreContentType,
        "no-sub-folders" => Effect::MissingField("sub_folders".to_owned()),
        "null-field" => Effect::NullField(argument.to_owned()),
        "missing-field" => Effect::MissingField(argument.to_owned()),
        "truncated-json" => Effect::TruncatedJson,
        "empty-listing" => Effect::EmptyListing,
        "hostile-name" => Effect::HostileName(unescape(argument)),
        "stranger" => Effect::Stranger(argument.to_owned()),
        "stranger-address" => Effect::StrangerAddress(argument.to_owned()),
        "loop" => Effect::Loop(argument.to_owned()),
        "alias" => Effect::Alias(argument.to_owned()),
        "lone-surrogate" => Effect::LoneSurrogate,
        "take" => Effect::Take(argument.to_owned()),
        "move" => {
            let wrong = || FaultError(format!("no `FROM > TO`: {argument}"));
            let (from, to) = argument.split_once(" > ").ok_or_else(wrong)?;
            Effect::Move { from: from.trim().to_owned(), to: to.trim().to_owned() }
        }
        "files-ignored" => Effect::FilesIgnored,
        "count-cut" => Effect::CountCut,
        "windows-ignored" => Effect::WindowsIgnored,
        other => return Err(FaultError(format!("no such effect: {other}"))),
    })
}

fn canned(what: &str, argument: &str) -> Result<Option<Canned>, FaultError> {
    let (first, rest) = word(argument);
    Ok(Some(match what {
        "answer" => {
            let (content_type, body) = word(rest);
            Canned::of(number(first)?, content_type, body)
        }
        "json" => Canned::json(number(first)?, rest),
        "ko" => Canned::ko(number(first)?, rest),
        "flood" => Canned::flood(if first.is_empty() { 374 } else { number(first)? }),
        "user-locked" => Canned::ko(403, "Flood detected: User Locked #223"),
        "ip-locked" => Canned::ko(403, "IP Locked #79"),
        "ip-locked-text" => Canned::of(403, "text/plain", "IP Locked"),
        "ko-silent" => Canned::json(403, r#"{"status":"KO"}"#),
        "customer" => Canned::ko(403, "Must be a customer (Premium, Access) #200"),
        "location" => Canned::ko(403, "Only 1 location allowed at a time #887"),
        "too-many" => {
            let flood = Canned::ko(429, "Flood detected: IP Locked #374");
            match first {
                "" => flood,
                seconds => flood.with_header("Retry-After", &number::<u64>(seconds)?.to_string()),
            }
        }
        "status" => Canned::page(number(first)?, "Erreur"),
        "html" => Canned::page(200, argument),
        "redirect" => Canned::redirect(argument),
        "cannot-open" => Canned::page(200, "Ne peut ouvrir le fichier destination"),
        _ => return Ok(None),
    }))
}

fn unescape(text: &str) -> String {
    let mut plain = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            plain.push(character);
            continue;
        }
        match characters.next() {
            Some('n') => plain.push('\n'),
            Some('e') => plain.push('\u{1b}'),
            Some('0') => plain.push('\0'),
            Some(other) => plain.push(other),
            None => plain.push('\\'),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_grammar_are_read() {
        let check = |text: &str, expected: Fault| assert_eq!(text.parse(), Ok(expected), "{text}");
        check(
            "file/ls next=2 flood 412",
            Fault::next(2, Site::call("file/ls"), Effect::Answer(Canned::flood(412))),
        );
        check(
            "* every ko 200 Resource not found #469",
            Fault::every(Site::AnyCall, Effect::Answer(Canned::ko(200, "Resource not found #469"))),
        );
        check(
            "upload nth=3 reset-after 1000",
            Fault::nth(3, Site::Upload, Effect::ResetAfter(1000)),
        );
        check(
            "download every drip 700ms",
            Fault::every(Site::Download, Effect::Drip(Duration::from_millis(700))),
        );
        check(
            r"file/ls next=1 hostile-name ../a\eb\nc",
            Fault::next(1, Site::call("file/ls"), Effect::HostileName("../a\u{1b}b\nc".to_owned())),
        );
        check(
            "* next=1 answer 503 text/plain go away",
            Fault::next(1, Site::AnyCall, Effect::Answer(Canned::of(503, "text/plain", "go away"))),
        );
        let (from, to) = ("a b/c".to_owned(), "d".to_owned());
        let moved = Effect::Move { from, to };
        check("folder/ls nth=2 move a b/c > d", Fault::nth(2, Site::call("folder/ls"), moved));
        check("anything nth=7 hold", Fault::nth(7, Site::Anything, Effect::Hold));
        check("upload next=1 hold-whole", Fault::next(1, Site::Upload, Effect::HoldWhole));
        check("upload next=1 hold-after 9", Fault::next(1, Site::Upload, Effect::HoldAfter(9)));
        for bad in [
            "",
            "upload",
            "upload every",
            "upload every fly",
            "nowhere every reset",
            "upload next=x reset",
        ] {
            assert!(bad.parse::<Fault>().is_err(), "{bad}");
        }
    }
}
