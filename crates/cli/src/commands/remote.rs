//! `ketch remote …`.

use std::time::Instant;

use futures::StreamExt;
use ketch_core::factory::{Factory, OptionInfo, REMOTE};
use ketch_core::{ListOptions, RelPath};
use ketch_engine::filter::units::format_duration;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use crate::args::{LocalArgs, RawPlace, RemoteAddArgs};
use crate::config::{self, Config, SANDBOX};
use crate::context::{Context, Done};
use crate::environment::Environment;
use crate::location::{Base, Location, Options, is_remote_name};
use crate::output::Level;
use crate::problem::{Problem, Result};
use crate::remotes::{KINDS, find_kind};
use crate::{secrets, settings};

/// Writes a remote into the configuration.
pub(crate) fn add(context: &Context, args: &RemoteAddArgs) -> Result<Done> {
    let console = &context.console;
    let name = args.name.strip_suffix(':').unwrap_or(&args.name);
    if !is_remote_name(name) || name == SANDBOX {
        return Err(Problem::usage(format!("a remote cannot be called `{name}`")));
    }
    let factory = find_kind(&args.kind).map_err(|problem| Problem { code: 2, ..problem })?;
    let mut options = args.options.iter().map(option).collect::<Result<Options>>()?;
    config::check_options(name, &factory, &options).map_err(Problem::usage)?;
    let path = context.config_file.clone().ok_or_else(|| {
        Problem::other("there is no place for a configuration: set HOME or KETCH_CONFIG")
    })?;
    // Without the environment: what is only there is not in the file.
    let config = Config::load(Some(&path), &Environment::default(), KINDS)?;
    if config.remotes.contains_key(name) {
        return Err(Problem::other(format!(
            "there is a remote `{name}:` in {} already",
            path.display()
        )));
    }
    for (option, value) in &options {
        let is_secret = factory.options.iter().any(|known| known.secret && known.name == option);
        if is_secret && !secrets::is_reference(value.expose_secret()) {
            console.tell_notice(&format!(
                "other users of this machine can see `{option}` while this runs, and the shell may keep it \
                 (leave it out to be asked for it)"
            ));
        }
    }
    if let Some(below) = options.get(REMOTE).filter(|_| factory.is_wrapper())
        && let Ok(below) = Location::of_record(below.expose_secret())
    {
        let mut remotes = context.remotes(&LocalArgs::default());
        remotes.look_for_keys(&below);
        context.warn_of_keys(&mut remotes);
    }
    ask_for_secrets(context, &factory, &mut options)?;
    let written =
        config::add_remote(&path, name, factory.kind, &options).map_err(Problem::other)?;
    console.tell(Level::Normal, &format!("added `{name}:` to {}", written.display()));
    console.event("remote", json!({ "name": name, "kind": factory.kind }))?;
    Ok(Done::ok())
}

fn option(raw: &RawPlace) -> Result<(String, SecretString)> {
    let text = raw.0.to_str().and_then(|text| text.split_once('='));
    // The word is not shown: it may be a key.
    let (name, value) =
        text.ok_or_else(|| Problem::usage("an option is written as `name=value`"))?;
    Ok((name.to_owned(), SecretString::from(value)))
}

fn ask_for_secrets(context: &Context, factory: &Factory, options: &mut Options) -> Result<()> {
    let is_wanted = |option: &&OptionInfo| option.secret && option.required;
    for option in factory.options.iter().filter(is_wanted) {
        if !option.is_missing(|name| options.contains_key(name)) {
            continue;
        }
        let prompt = || {
            context.console.tell(Level::Error, &format!("{} ({})", option.name, option.help));
        };
        let value = secrets::ask(prompt)
            .map_err(|error| Problem::other(format!("standard input: {error}")))?;
        if value.expose_secret().is_empty() {
            return Err(Problem::usage(format!(
                "the option `{}` is missing: give it on standard input, or as {}=file:PATH, env:NAME or cmd:COMMAND",
                option.name, option.name
            )));
        }
        options.insert(option.name.to_owned(), value);
    }
    Ok(())
}

/// Lists all remotes, without their options' values.
pub(crate) fn list(context: &Context) -> Result<Done> {
    let console = &context.console;
    let config = Config::load(context.config_file.as_deref(), &context.environment, KINDS)?;
    let built_in = [(SANDBOX, "fichier", "built in", None)];
    let configured = config.remotes.iter().map(|(name, remote)| {
        let from = if remote.from_environment { "environment" } else { "file" };
        (name.as_str(), remote.kind.as_str(), from, remote.problem.as_deref())
    });
    for (name, kind, from, problem) in configured.chain(built_in) {
        if console.is_json() {
            let body = json!({ "name": name, "kind": kind, "from": from, "problem": problem });
            console.event("remote", body)?;
            continue;
        }
        let kind = if kind.is_empty() { "?" } else { kind };
        let problem = problem.map_or_else(String::new, |why| format!("  cannot be used: {why}"));
        console.named_line("", &format!("{name}:"), &format!("  {kind}  ({from}){problem}"))?;
    }
    Ok(Done::ok())
}

/// Asks a remote for its top folder.
pub(crate) async fn test(context: &Context, place: &RawPlace) -> Result<Done> {
    let console = &context.console;
    let mut place = settings::place(place)?;
    let mut remotes = context.remotes(&LocalArgs::default());
    // The command is about remotes: a name without its colon is the name of one.
    if place.base == Base::Local && remotes.is_configured(&place.path)? {
        place = Location::of_record(&format!("{}:", place.path))
            .map_err(|error| Problem::usage(format!("{error}")))?;
    }
    let signals = context.signals()?;
    let backend = signals.guard(remotes.open(&place)).await?;
    context.warn_of_keys(&mut remotes);
    let name = place.redacted();
    let work = async {
        let started = Instant::now();
        backend.stat(&RelPath::root()).await?;
        let found = started.elapsed();
        let started = Instant::now();
        let mut listing = backend.list(&RelPath::root(), ListOptions::default());
        let mut entries = 0_u64;
        while let Some(entry) = listing.next().await {
            entry?;
            entries += 1;
        }
        Ok((found, started.elapsed(), entries))
    };
    let (found, listed, entries) = signals.guard(work).await?;
    let capabilities = backend.capabilities();
    let hashes: Vec<_> = capabilities.hashes.iter().map(|algo| algo.as_str()).collect();
    if console.is_json() {
        let body = json!({
            "name": name, "stat_seconds": found.as_secs_f64(), "list_seconds": listed.as_secs_f64(),
            "entries": entries, "hashes": hashes, "keeps_times": capabilities.mtime.is_some(),
        });
        console.event("remote", body)?;
    } else {
        console.named_line("", &name, " works")?;
        console.line(&format!("  found in {}", format_duration(found)))?;
        console.line(&format!("  listed in {}, {entries} entries", format_duration(listed)))?;
        let hashes = if hashes.is_empty() { "by reading".to_owned() } else { hashes.join(", ") };
        console.line(&format!("  digests: {hashes}"))?;
        let times = if capabilities.mtime.is_some() { "kept" } else { "not kept" };
        console.line(&format!("  modification times: {times}"))?;
    }
    remotes.close().await;
    Ok(Done::ok())
}
