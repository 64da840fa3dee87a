//! From an understood command line to an exit code: the runtime, the command, the last JSON line.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use clap::CommandFactory;
use ketch_engine::JobKind;
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

use crate::args::{
    CacheCommand, Cli, Command, CommonArgs, ConfigCommand, CopyArgs, JobsCommand, ManifestCommand,
    PlanCommand, RemoteCommand, SandboxCommand, When,
};
use crate::commands::{
    apply, cache, cat, check, config, copy, copyurl, delete, hashsum, help, jobs, ls, manifest,
    mkdir, plan, remote, sandbox, service, verify,
};
use crate::context::{Context, Done};
use crate::environment::Environment;
use crate::output::Console;
use crate::problem::{Problem, Result};
use crate::redact::redact;
use crate::{descriptors, exit, jsonl, logging};

/// How long threads that are still busy are waited for at the end.
const LINGER: Duration = Duration::from_millis(500);

/// Runs a command and gives its exit code.
pub(crate) fn run(cli: Cli) -> u8 {
    let environment = Environment::of_process();
    let console = Arc::new(Console::new(&cli.common, &environment));
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
    logging::begin(&context.console, &context.environment);
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
    task.await.unwrap_or_else(|stopped| match stopped.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(_) => Err(Problem::other("the job was stopped; this is a bug")),
    })
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
    let text = redact(&error.render().to_string(), &arguments);
    // If standard error is gone, the exit code still says it.
    let _ = io::stderr().write_all(text.as_bytes());
    let environment = Environment::of_process();
    let json = arguments.iter().any(|argument| argument == "--json")
        || environment.text("KETCH_JSON").is_some_and(|text| !matches!(text, "0" | "false" | "no"));
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

/// The definition of a command, by its words.
pub(crate) fn definition(words: &[String]) -> Option<clap::Command> {
    let mut command = Cli::command();
    // So that every command below knows the global flags and its full name.
    command.build();
    for word in words {
        command = command.find_subcommand(word)?.clone();
    }
    Some(command)
}
