//! Takes keys out of messages that quote the command line.

use std::cmp::Reverse;
use std::ffi::OsString;

use crate::remotes::KINDS;
use crate::term::escape;

/// `message` without the values of options that `arguments` hold: in connection strings, and in `option=value` words of
/// secret options. It may quote them as they are, or with what steers a terminal escaped.
pub(crate) fn redact(message: &str, arguments: &[OsString]) -> String {
    let words: Vec<_> = arguments.iter().map(|argument| argument.to_string_lossy()).collect();
    let mut values: Vec<_> = words.iter().flat_map(|word| values(word)).collect();
    // A value may be the beginning of another.
    values.sort_unstable_by_key(|value| Reverse(value.len()));
    values.into_iter().fold(message.to_owned(), |message, value| {
        let debug = value.escape_debug().to_string();
        let message = message.replace(value, "***").replace(&*escape(value), "***");
        message.replace(&debug, "***")
    })
}

/// What may be secret in one word, whether or not it can be understood.
fn values(argument: &str) -> Vec<&str> {
    let secrets = KINDS.iter().flat_map(|kind| kind.options).filter(|option| option.secret);
    let mut found = Vec::new();
    for option in secrets {
        for (at, name) in argument.match_indices(option.name) {
            let Some(value) = argument[at + name.len()..].strip_prefix('=') else { continue };
            let value = value_at(value);
            if !value.is_empty() {
                found.push(value);
            }
        }
    }
    found
}

/// The value at the beginning of a text: to the quote that ends it, two of which are one in it, or to the next option or the path.
fn value_at(text: &str) -> &str {
    let Some(quote) = text.chars().next().filter(|first| matches!(first, '"' | '\'')) else {
        return &text[..text.find([',', ':']).unwrap_or(text.len())];
    };
    let inner = &text[1..];
    let mut end = 0;
    while let Some(at) = inner[end..].find(quote) {
        end += at;
        if !inner[end + 1..].starts_with(quote) {
            return &inner[..end];
        }
        end += 2;
    }
    inner
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_taken_out_wherever_they_are_quoted() {
        for argument in [
            ":fichier,api_key=CANARY:a",
            ":fichier,api_key=\"CANARY\",pace=off:a",
            ":fichier,api_key=CANARY",
            "api_key=CANARY",
            "--nonsense=:fichier,api_key=CANARY:a",
        ] {
            let message = format!("unexpected argument '{argument}' found");
            let shown = redact(&message, &[argument.into()]);
            assert!(!shown.contains("CANARY") && shown.contains("***"), "{shown}");
        }
        for argument in [
            ":fichier,api_key=CANARY\u{1}CANARY:a",
            ":fichier,api_key=\"CANARY:CANARY,CANARY\"\"CANARY\":a",
            ":fichier,api_key='CANARY:CANARY",
            ":fichier,api_key=CAN,api_key=CANARY:a",
        ] {
            let debug = format!("{argument:?}");
            for shown in [argument, &*escape(argument), &debug[1..debug.len() - 1]] {
                let shown = redact(&format!("unexpected '{shown}'"), &[argument.into()]);
                assert!(!shown.contains("CANARY") && !shown.contains("ARY"), "{shown}");
            }
        }
        assert_eq!(redact("no such thing 'a'", &["a".into()]), "no such thing 'a'");
    }
}
