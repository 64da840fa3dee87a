//! `ketch help …`.

use std::fmt::Write as _;

use crate::args::{HelpArgs, definition};
use crate::context::{Context, Done};
use crate::exit;
use crate::problem::{Problem, Result};

/// Prints help on a command or a topic.
pub(crate) fn run(context: &Context, args: &HelpArgs) -> Result<Done> {
    let text = match &args.topic[..] {
        [topic] if topic == "exit-codes" => exit_codes(),
        words => {
            let mut command = definition(words).ok_or_else(|| {
                let topic = words.join(" ");
                Problem::usage(format!(
                    "there is no command or topic `{topic}` (`ketch help` lists all)"
                ))
            })?;
            command.render_long_help().to_string()
        }
    };
    context.console.bytes(text.as_bytes())?;
    Ok(Done::ok())
}

fn exit_codes() -> String {
    exit::TABLE.iter().fold(String::new(), |mut text, (code, meaning)| {
        let _ = writeln!(text, "{code:>4}  {meaning}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_line() {
        let text = exit_codes();
        assert_eq!(text.lines().count(), exit::TABLE.len());
        for (code, meaning) in exit::TABLE {
            assert!(text.contains(&format!("{code:>4}  {meaning}\n")));
        }
    }
}
