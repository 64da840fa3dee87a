//! What holds for all flags.

use super::*;
use clap::CommandFactory;

fn all(command: &clap::Command, found: &mut Vec<(String, clap::Command)>) {
    for sub in command.get_subcommands() {
        found.push((sub.get_name().to_owned(), sub.clone()));
        all(sub, found);
    }
}

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn every_long_flag_can_be_set_from_the_environment() {
    let mut commands = vec![("ketch".to_owned(), Cli::command())];
    all(&Cli::command(), &mut commands);
    for (name, command) in commands {
        for argument in command.get_arguments() {
            let Some(long) = argument.get_long() else { continue };
            if ["help", "version"].contains(&long) {
                continue;
            }
            let prefix = if name == "serve" { "KETCH_SANDBOX_" } else { "KETCH_" };
            let global = argument.is_global_set();
            let prefix = if global { "KETCH_" } else { prefix };
            // The one that writes a manifest and the one that trusts it are not one variable.
            let writes = long == "manifest" && name != "repair";
            let prefix = if writes { "KETCH_WRITE_" } else { prefix };
            let expected = format!("{prefix}{}", long.to_uppercase().replace('-', "_"));
            let found = argument.get_env().and_then(|name| name.to_str());
            assert_eq!(found, Some(expected.as_str()), "{name} --{long}");
            assert!(argument.get_help().is_some(), "{name} --{long} has no help");
        }
    }
}

#[test]
fn every_command_has_an_example() {
    let mut commands = Vec::new();
    all(&Cli::command(), &mut commands);
    for (name, command) in commands {
        let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        assert!(after.contains("Example: ketch "), "{name}");
    }
}

#[test]
fn a_key_in_a_place_is_not_shown_by_debug() {
    let line = ["ketch", "copy", ":fichier,api_key=CANARY:a", "b"];
    let cli = Cli::try_parse_from(line).expect("legal");
    assert!(!format!("{cli:?}").contains("CANARY"));
}
