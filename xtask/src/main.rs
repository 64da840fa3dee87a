//! Project chores, reached as `cargo xtask`. Knows cargo and nothing of the product.

#![expect(clippy::print_stderr, reason = "a command for people")]

mod bench;

use std::process::{Command, ExitCode};

const USAGE: &str = "\
usage: cargo xtask COMMAND

  test     every test of the workspace
  check    what CI runs: format, lints, documentation, every test
           (--slow: also a sync of ten million files in bounded memory)
  bench    ketch beside other tools (`cargo xtask bench --help` says more)
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(("bench", rest)) = arguments.split_first().map(|(first, rest)| (&**first, rest)) {
        return match bench::bench(rest) {
            Ok(()) => ExitCode::SUCCESS,
            Err(problem) => {
                eprintln!("xtask: {problem}");
                ExitCode::FAILURE
            }
        };
    }
    let steps: &[&[&str]] = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["test"] => &[TEST],
        ["check"] => &[FORMAT, LINT, DOCUMENT, TEST],
        ["check", "--slow"] => &[FORMAT, LINT, DOCUMENT, TEST, SCALING],
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    for step in steps {
        eprintln!("$ cargo {}", step.join(" "));
        if let Err(problem) = run(step) {
            eprintln!("xtask: {problem}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

const FORMAT: &[&str] = &["fmt", "--all", "--check"];
const LINT: &[&str] =
    &["clippy", "--workspace", "--all-targets", "--locked", "--", "--deny", "warnings"];
const DOCUMENT: &[&str] = &["doc", "--workspace", "--no-deps", "--locked"];
const TEST: &[&str] = &["test", "--workspace", "--locked"];

/// Ten million files on each side.
const SCALING: &[&str] = &[
    "test",
    "--release",
    "--locked",
    "--package",
    "ketch-engine",
    "--test",
    "scaling",
    "--",
    "--nocapture",
];

/// Runs cargo. `Err` says what failed.
fn run(step: &[&str]) -> Result<(), String> {
    let mut command = Command::new(env!("CARGO"));
    if step == SCALING {
        command.env("KETCH_SCALING", "10000000");
    }
    let status = command
        .args(step)
        .env("RUSTDOCFLAGS", "--deny rustdoc::broken_intra_doc_links")
        .status()
        .map_err(|error| format!("cargo cannot be started: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("cargo {} failed", step[0])) }
}
