//! Takes keys out of messages that quote the command line.

use std::ffi::OsString;

use crate::remotes::KINDS;

/// `message` without the values of options that `arguments` hold: in connection strings, and in `option=value` words of
/// secret options.
pub(crate) fn redact(message: &str, arguments: &[OsString]) -> String {
    let mut message = message.to_owned();
    for argument in arguments.iter().filter_map(|argument| argument.to_str()) {
        for value in values(argument) {
            message = message.replace(value, "***");
        }
    }
    message
}

/// What may be secret in one word, whether or not it can be understood.
fn values(argument: &str) -> Vec<&str> {
    let secrets = KINDS.iter().flat_map(|kind| kind.options).filter(|option| option.secret);
    let mut found = Vec::new();
    for option in secrets {
        for (at, name) in argument.match_indices(option.name) {
            let Some(value) = argument[at + name.len()..].strip_prefix('=') else { continue };
            let value = value.trim_start_matches(['"', '\'']);
            let end = value.find([',', ':', '"', '\'']).unwrap_or(value.len());
            if end > 0 {
                found.push(&value[..end]);
            }
        }
    }
    found
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
        assert_eq!(redact("no such thing 'a'", &["a".into()]), "no such thing 'a'");
    }
}
