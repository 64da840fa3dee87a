//! The `ketch` command: reads the command line, hands it over, and gives back an exit code.
//!
//! Nothing happens before the command line is understood, so that `--version` costs nothing.

mod app;
mod args;
mod bill;
mod commands;
mod config;
mod context;
mod descriptors;
mod environment;
mod exit;
mod filters;
mod hints;
mod jsonl;
mod leftovers;
mod location;
mod logging;
mod manifest_file;
mod notices;
mod output;
mod panics;
mod problem;
mod redact;
mod reminders;
mod remotes;
mod reports;
mod sandbox;
mod secrets;
mod settings;
mod signals;
mod summary;
mod teller;
mod term;
mod text_file;
mod values;
mod waits;
mod watch;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    panics::end_the_process();
    let code = match args::Cli::try_parse() {
        Ok(cli) => app::run(cli),
        Err(error) => app::explain(&error),
    };
    ExitCode::from(code)
}
