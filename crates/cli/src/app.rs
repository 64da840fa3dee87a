//! From an understood command line to an exit code: the runtime, the command, the last JSON line.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use clap::error::{ContextKind, ContextValue};
use clap::{CommandFactory, Parser};
use ketch_engine::JobKind;
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

use crate::args::{
    CacheCommand, Cli, Command, CommonArgs, ConfigCommand, CopyArgs, JobsCommand, ManifestCommand,
    PlanCommand, RemoteCommand, SandboxCommand, When, flag_value,
};
use crate::commands::{
    apply, cache, cat, check, config, copy, copyurl, delete, hashsum, help, jobs, ls, manifest,
    mkdir, plan, remote, sandbox, service, verify,
};
use crate::config::PREFIX;
use crate::context::{Context, Done};
use crate::environment::Environment;
use crate::output::Console;
use crate::problem::{Problem, Result};
use crate::redact::redact;
use crate::term::escape;
use crate::{descriptors, exit, jsonl, logging};

/// How long threads that are still busy are waited for at the end.
const LINGER: Duration = Duration::from_millis(500);

/// Runs a command and gives its exit code.
pub(crate) fn run(cli: Cli) -> u8 {
    let environment = Environment::of_process();
    let console = Arc::new(Console::new(&cli.common, &environment));
    tell_unknown_variables(&console, &environment);
    let config_file = cli.common.config.clone().or_else(|| environment.config_file());
    let context = Arc::new(Context { console, environment, config_file });
    let name = verb(&cli.command);
    let done = dispatch(&context, cli.command)
        .unwrap_or_else(|problem| Done::problem(&problem, &context.console));
    finish(&context.console, name, done)
}

fn dispatch(context: &Arc<Context>, command: Command) -> Result<Done> {
    match command {
        Command::Help(ref args) => return help::run(context, args),
        Command::Cache(command) => return cache::run(context, &command),
        Command::Config(ConfigCommand::Path) => return config::path(context),
        Command::Remote(RemoteCommand::Add(args)) => return remote::add(context, &args),
        Command::Remote(RemoteCommand::List) => return remote::list(context),
        _ => {}
    }
    descriptors::raise()?;
    logging::begin(&context.console, &context.environment)?;
    let runtime = runtime()?;
    let result = runtime.block_on(async {
        match command {
            Command::Copy(args) => run_job(context, JobKind::Copy, args, false).await,
            Command::Sync(args) => run_job(context, JobKind::Sync, args, false).await,
            Command::Move(args) => {
                let empty_dirs = args.delete_empty_src_dirs;
                run_job(context, JobKind::Move, args.copy, empty_dirs).await
            }
            Command::Plan(command) => plan::run(context, &command).await,
            Command::Apply(args) => apply::run(context, &args).await,
            Command::Jobs(command) => jobs::run(context, &command).await,
            Command::Check(args) => check::run(context, &args).await,
            Command::Hashsum(args) => hashsum::run(context, &args).await,
            Command::Manifest(ManifestCommand::Create(args)) => {
                manifest::run_create(context, &args).await
            }
            Command::Manifest(ManifestCommand::Update(args)) => {
                manifest::run_update(context, &args).await
            }
            Command::Manifest(ManifestCommand::Verify(args)) => {
                verify::run_verify(context, &args).await
            }
            Command::Manifest(ManifestCommand::Diff(args)) => manifest::run_diff(context, &args),
            Command::Repair(args) => verify::run_repair(context, &args).await,
            Command::Ls(args) => ls::run(context, &args).await,
            Command::Cat(args) => cat::run(context, &args).await,
            Command::Mkdir(args) => mkdir::run(context, &args).await,
            Command::Delete(args) => delete::run(context, &args).await,
            Command::Service(command) => service::run(context, &command).await,
            Command::Remote(RemoteCommand::Jobs { place, id }) => {
                copyurl::jobs(context, &place, id).await
            }
            Command::Remote(RemoteCommand::Test { place }) => remote::test(context, &place).await,
            Command::Sandbox(SandboxCommand::Serve(args)) => sandbox::serve(context, &args).await,
            Command::Remote(_) | Command::Config(_) | Command::Help(_) | Command::Cache(_) => {
                Ok(Done::ok())
            }
        }
    });
    runtime.shutdown_timeout(LINGER);
    result
}

/// Runs a job as a task like those that do its items: what they tell it then costs no switch to the main thread.
async fn run_job(
    context: &Arc<Context>,
    kind: JobKind,
    args: CopyArgs,
    delete_empty_source_dirs: bool,
) -> Result<Done> {
    let context = Arc::clone(context);
    let task = tokio::spawn(async move {
        copy::run(&context, kind, &args, delete_empty_source_dirs, None).await
    });
    // A panic has ended the process by now.
    task.await.unwrap_or_else(|_| Err(Problem::other("the job was stopped; this is a bug")))
}

fn runtime() -> Result<Runtime> {
    let runtime = Builder::new_multi_thread().enable_all().build();
    runtime.map_err(|error| Problem::other(format!("the runtime cannot be started: {error}")))
}

fn verb(command: &Command) -> &'static str {
    match command {
        Command::Copy(_) => "copy",
        Command::Sync(_) => "sync",
        Command::Move(_) => "move",
        Command::Plan(PlanCommand::Show { .. }) => "plan show",
        Command::Plan(_) => "plan",
        Command::Apply(_) => "apply",
        Command::Jobs(JobsCommand::List) => "jobs list",
        Command::Jobs(JobsCommand::Show { .. }) => "jobs show",
        Command::Jobs(JobsCommand::Resume { .. }) => "jobs resume",
        Command::Jobs(JobsCommand::Forget { .. }) => "jobs forget",
        Command::Check(_) => "check",
        Command::Hashsum(_) => "hashsum",
        Command::Manifest(ManifestCommand::Create(_)) => "manifest create",
        Command::Manifest(ManifestCommand::Update(_)) => "manifest update",
        Command::Manifest(ManifestCommand::Verify(_)) => "manifest verify",
        Command::Manifest(ManifestCommand::Diff(_)) => "manifest diff",
        Command::Repair(_) => "repair",
        Command::Ls(_) => "ls",
        Command::Cat(_) => "cat",
        Command::Mkdir(_) => "mkdir",
        Command::Delete(_) => "delete",
        Command::Service(command) => command.verb(),
        Command::Remote(RemoteCommand::Jobs { .. }) => "remote jobs",
        Command::Cache(CacheCommand::Stats) => "cache stats",
        Command::Cache(CacheCommand::Clear) => "cache clear",
        Command::Remote(RemoteCommand::Add(_)) => "remote add",
        Command::Remote(RemoteCommand::List) => "remote list",
        Command::Remote(RemoteCommand::Test { .. }) => "remote test",
        Command::Sandbox(_) => "sandbox serve",
        Command::Config(_) => "config path",
        Command::Help(_) => "help",
    }
}

/// Writes the last JSON line and hands everything to the reader. If that fails, that is how the command ended.
fn finish(console: &Console, command: &str, done: Done) -> u8 {
    let mut body = json!({ "command": command, "exit_code": done.code });
    if let (Value::Object(body), Value::Object(more)) = (&mut body, done.summary) {
        body.extend(more);
    }
    let hashed = jsonl::hashed_bytes();
    if !hashed.is_empty() {
        body["hashed_bytes"] = hashed.into();
    }
    let written = console.event("summary", body).and_then(|()| console.flush_at_end());
    match written {
        Err(problem) if done.code == exit::OK => Done::problem(&problem, console).code,
        Ok(()) | Err(_) => done.code,
    }
}

/// Prints what clap has to say: help, the version, or why the command line makes no sense.
pub(crate) fn explain(error: &clap::Error) -> u8 {
    if !error.use_stderr() {
        let written = error.print().and_then(|()| io::stdout().flush());
        return match written.map_err(|error| Problem::output(&error)) {
            Ok(()) => exit::OK,
            Err(problem) => problem.code,
        };
    }
    let arguments: Vec<_> = std::env::args_os().collect();
    let environment = Environment::of_process();
    let shown = harmless_arguments(&arguments).and_then(|words| Cli::try_parse_from(words).err());
    let mut text = redact(&shown.as_ref().unwrap_or(error).render().to_string(), &arguments);
    if let Some(name) = variable_of(error, &arguments, &environment) {
        text.push_str(&format!("\nThe value is that of the environment variable {name}.\n"));
    }
    let lines: Vec<_> = text.lines().map(|line| escape(line).into_owned() + "\n").collect();
    // If standard error is gone, the exit code still says it.
    let _ = io::stderr().write_all(lines.concat().as_bytes());
    let json = arguments.iter().any(|argument| argument == "--json")
        || environment.text("KETCH_JSON").and_then(flag_value) == Some(true);
    if json {
        let common = CommonArgs {
            json,
            verbose: 0,
            quiet: 0,
            progress: When::Never,
            progress_always: false,
            color: When::Never,
            config: None,
        };
        let console = Console::new(&common, &environment);
        let first = text.lines().next().unwrap_or_default();
        let done = Done::with(exit::USAGE, json!({ "error": first }));
        return finish(&console, "", done);
    }
    exit::USAGE
}

/// The command line as it may be shown, if it may not be shown as it is: what it says may have names in it.
fn harmless_arguments(arguments: &[std::ffi::OsString]) -> Option<Vec<String>> {
    // ORDER: keys go first, because they are looked for as they are.
    let shown = |argument: &std::ffi::OsString| {
        let word = redact(&argument.to_string_lossy(), std::slice::from_ref(argument));
        escape(&word).into_owned()
    };
    let words: Vec<_> = arguments.iter().map(shown).collect();
    let differs = words.iter().zip(arguments).any(|(word, argument)| argument != word.as_str());
    differs.then_some(words)
}

/// The variable that a value comes from that makes no sense.
fn variable_of(
    error: &clap::Error,
    arguments: &[std::ffi::OsString],
    environment: &Environment,
) -> Option<String> {
    let Some(ContextValue::String(shown)) = error.get(ContextKind::InvalidArg) else { return None };
    // Shown as `--flag <VALUE>`, or as `--flag...` where it counts.
    let flag = shown.split([' ', '=']).next()?.trim_end_matches('.');
    let variable = |prefix: &str| {
        format!("{prefix}{}", flag.trim_start_matches('-').to_ascii_uppercase().replace('-', "_"))
    };
    let is_typed =
        arguments.iter().any(|argument| argument.to_string_lossy().split('=').next() == Some(flag));
    let known = ["KETCH_", "KETCH_SANDBOX_", "KETCH_WRITE_"].map(variable);
    known.into_iter().find(|name| !is_typed && environment.get(name).is_some())
}

/// Tells of variables that look like ketch's and mean nothing to it: most are a slip of the pen.
fn tell_unknown_variables(console: &Console, environment: &Environment) {
    let names: Vec<&str> = environment.names_with("KETCH_").collect();
    if names.is_empty() {
        return;
    }
    let mut known: BTreeSet<String> = OTHER_VARIABLES.map(str::to_owned).into();
    add_variables(&Cli::command(), &mut known);
    for name in names {
        // Other variables may belong to the user, such as one with a key that the configuration names.
        if !name.starts_with(PREFIX) && is_slip(name, &known) {
            console.tell_notice(&format!("the environment variable {name} means nothing to ketch"));
        }
    }
}

/// Is it one of these names with a letter or two wrong?
fn is_slip(name: &str, known: &BTreeSet<String>) -> bool {
    !known.contains(name) && known.iter().any(|known| distance(name, known) <= 2)
}

/// How many letters have to be put in, taken out or replaced to make one name of the other.
fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (line, own) in from.bytes().enumerate() {
        let mut before = row[0];
        row[0] = line + 1;
        for (column, other) in to.bytes().enumerate() {
            let replaced = before + usize::from(own != other);
            before = row[column + 1];
            row[column + 1] = replaced.min(before + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
}

/// Variables that belong to no flag.
const OTHER_VARIABLES: [&str; 5] =
    ["KETCH_CONFIG", "KETCH_LOG", "KETCH_BOOT", "KETCH_SANDBOX_STATE", "KETCH_SANDBOX_LIMITS"];

fn add_variables(command: &clap::Command, known: &mut BTreeSet<String>) {
    let names = command.get_arguments().filter_map(|argument| argument.get_env());
    known.extend(names.filter_map(|name| name.to_str()).map(str::to_owned));
    command.get_subcommands().for_each(|command| add_variables(command, known));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;

    #[test]
    fn a_key_is_not_shown_whatever_characters_it_has() {
        for key in [&b"CANARY\x01CANARY"[..], b"CANARY\xffCANARY", b"CANARY\x1b[2JCANARY\xff"] {
            let place = [b":fichier,api_key=", key, b":x"].concat();
            let words = ["ketch", "copy", "a", "b"].map(OsString::from);
            let words: Vec<_> = words.into_iter().chain([OsString::from_vec(place)]).collect();
            let shown = harmless_arguments(&words).expect("it may not be shown");
            let error = Cli::try_parse_from(&shown).expect_err("one place too many");
            for text in [shown.concat(), redact(&error.render().to_string(), &words)] {
                assert!(!text.contains("CANARY") && text.contains("***"), "{text}");
            }
        }
    }

    #[test]
    fn only_what_looks_like_a_slip_is_told() {
        let mut known: BTreeSet<String> = OTHER_VARIABLES.map(str::to_owned).into();
        add_variables(&Cli::command(), &mut known);
        for (name, expected) in [
            ("KETCH_TRANSFERS", false),
            ("KETCH_TRANSFER", true),
            ("KETCH_TRANFSERS", true),
            ("KETCH_DRYRUN", true),
            ("KETCH_FICHIER_KEY", false),
            ("KETCH_TEST_SECRET", false),
        ] {
            assert_eq!(is_slip(name, &known), expected, "{name}");
        }
        assert_eq!(distance("KETCH_LOG", "KETCH_CONFIG"), 4);
        assert_eq!((distance("", "ab"), distance("ab", ""), distance("ab", "ab")), (2, 2, 0));
    }
}
