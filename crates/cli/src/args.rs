//! The command line as clap sees it: raw values, nothing checked beyond their form.
//!
//! Places are kept as [`RawPlace`], whose `Debug` shows nothing: a connection string may hold a key.

mod job;
mod prove;
mod service;

use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use clap::builder::{OsStringValueParser, StringValueParser, TypedValueParser};
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use ketch_core::names::core_from_bytes;

pub(crate) use job::{
    ApplyArgs, CacheArgs, CheckArgs, CompareArgs, CopyArgs, DeleteArgs, FilterArgs, Fsync,
    LimitArgs, Links, LocalArgs, MoveArgs, OnChangedWhat, PlanCommand, RecordArgs, SpeedArgs,
    VerifyArgs, VerifyHow,
};

pub(crate) use prove::{
    CacheCommand, HashsumArgs, ManifestCommand, ManifestCreateArgs, ManifestDiffArgs,
    ManifestUpdateArgs, ManifestVerifyArgs, ReadArgs, RepairArgs,
};

pub(crate) use service::{
    AttrArgs, AttrCommand, CopyurlArgs, DedupeArgs, DedupeRule, ImportArgs, LinkArgs, PlaceArgs,
    RemoveArgs, RmdirArgs, ServiceCommand, SizeArgs, StatArgs, TreeArgs,
};

/// ketch copies, syncs, moves and checks files between two places, and proves that they arrived.
#[derive(Debug, Parser)]
#[command(
    name = "ketch",
    version,
    disable_help_subcommand = true,
    subcommand_required = true,
    arg_required_else_help = true,
    max_term_width = 100,
    after_help = "A place is `remote:path`, `:type,key=value:path` or a local path (`./a:b` is local too).\n\
                  `sandbox:` needs no account: an emulator of 1fichier inside ketch.\n\n\
                  Example: ketch sync ~/photos sandbox:photos"
)]
pub(crate) struct Cli {
    /// The flags of every command.
    #[command(flatten)]
    pub(crate) common: CommonArgs,
    /// The verb.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags of every command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Output and configuration")]
pub(crate) struct CommonArgs {
    /// Print JSON lines on standard output, as described in docs/EVENTS.md.
    #[arg(long, global = true, env = "KETCH_JSON", hide_env_values = true, value_parser = yes_or_no())]
    pub(crate) json: bool,
    /// Print each item that was done, and why; -vv also prints files that needed nothing and requests that are sent again.
    #[arg(short, long, global = true, env = "KETCH_VERBOSE", hide_env_values = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Print errors only.
    #[arg(short, long, global = true, env = "KETCH_QUIET", hide_env_values = true, action = clap::ArgAction::Count)]
    pub(crate) quiet: u8,
    /// When to show progress bars.
    #[arg(
        long,
        global = true,
        env = "KETCH_PROGRESS",
        hide_env_values = true,
        value_name = "WHEN",
        default_value = "auto"
    )]
    pub(crate) progress: When,
    /// Show progress bars, like --progress=always.
    #[arg(short = 'P', global = true)]
    pub(crate) progress_always: bool,
    /// When to use colours.
    #[arg(
        long,
        global = true,
        env = "KETCH_COLOR",
        hide_env_values = true,
        value_name = "WHEN",
        default_value = "auto"
    )]
    pub(crate) color: When,
    /// Read this configuration file instead of the default one.
    #[arg(long, global = true, env = "KETCH_CONFIG", hide_env_values = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

/// When something is done that depends on the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum When {
    /// On a terminal.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Copy files that the destination lacks or has in another version; delete nothing.
    ///
    /// A folder as source always means its contents; a trailing slash makes no difference. A file as source goes into the
    /// destination folder under its own name.
    #[command(after_help = "Example: ketch copy ~/photos work:photos --exclude '*.tmp'")]
    Copy(CopyArgs),
    /// Make the destination equal to the source, and delete what only the destination has.
    ///
    /// Deletions come last. ketch deletes nothing in a folder in which a listing or a transfer failed, and nothing at all if
    /// the plan deletes more than --max-delete allows.
    #[command(after_help = "Example: ketch sync --dry-run ~/photos sandbox:photos")]
    Sync(CopyArgs),
    /// Copy files, and remove each one at the source after it was verified at the destination.
    ///
    /// ketch removes a file only after it verified the copy and found the source unchanged. If the destination already has
    /// the file, ketch removes it at the source if the digests are equal. Within one account 1fichier itself moves the files.
    #[command(after_help = "Example: ketch move ~/done work:archive --delete-empty-src-dirs")]
    Move(MoveArgs),
    /// Write a plan of a copy, sync or move to a file, to read it and apply it later.
    #[command(
        subcommand,
        after_help = "Example: ketch plan sync -o plan.jsonl ~/photos work:photos"
    )]
    Plan(PlanCommand),
    /// Execute a plan, each item only if both sides are still as they were when it was planned.
    #[command(after_help = "Example: ketch apply plan.jsonl")]
    Apply(ApplyArgs),
    /// List and show jobs, and finish interrupted ones.
    #[command(subcommand, after_help = "Example: ketch jobs list")]
    Jobs(JobsCommand),
    /// Compare two places by content or digest; change nothing.
    #[command(after_help = "Example: ketch check ~/photos work:photos --one-way")]
    Check(CheckArgs),
    /// List a folder.
    #[command(after_help = "Example: ketch ls -R work:photos")]
    Ls(LsArgs),
    /// Write the content of files to standard output.
    #[command(after_help = "Example: ketch cat work:notes/today.txt")]
    Cat(CatArgs),
    /// Make a folder, and the folders above it if they are missing.
    #[command(after_help = "Example: ketch mkdir work:photos/2026")]
    Mkdir(MkdirArgs),
    /// Delete the files below a folder, or one file; folders stay.
    #[command(after_help = "Example: ketch delete --dry-run --include '*.bak' work:photos")]
    Delete(DeleteArgs),
    /// Print the digests of files as sha256sum, b3sum and rclone do, or check them.
    #[command(after_help = "Example: ketch hashsum sha256 ~/photos > photos.sha256")]
    Hashsum(HashsumArgs),
    /// Write a manifest of a place, and verify later that the place still holds the same files.
    #[command(
        subcommand,
        after_help = "Example: ketch manifest create ~/archive -o archive.manifest.zst"
    )]
    Manifest(ManifestCommand),
    /// Replace damaged files by undamaged ones, and fetch only the damaged ranges.
    #[command(
        after_help = "Example: ketch repair ~/archive --from work:archive --manifest archive.manifest.zst"
    )]
    Repair(RepairArgs),
    /// Show or clear the digest cache.
    #[command(subcommand, after_help = "Example: ketch cache stats")]
    Cache(CacheCommand),
    /// Add, list and test remotes.
    #[command(subcommand, after_help = "Example: ketch remote add work fichier")]
    Remote(RemoteCommand),
    /// Run the emulator of 1fichier, for other programs.
    #[command(
        subcommand,
        after_help = "Example: ketch sandbox serve --port 4000 --limits documented/100"
    )]
    Sandbox(SandboxCommand),
    /// Single files and folders, and other services of a remote.
    #[command(flatten)]
    Service(ServiceCommand),
    /// Show where the configuration is.
    #[command(subcommand, after_help = "Example: ketch config path")]
    Config(ConfigCommand),
    /// Explain a command, or the topic exit-codes.
    #[command(after_help = "Example: ketch help exit-codes")]
    Help(HelpArgs),
}

/// `jobs …`.
#[derive(Debug, Subcommand)]
pub(crate) enum JobsCommand {
    /// List all jobs on record, the newest first.
    #[command(after_help = "Example: ketch jobs list")]
    List,
    /// Show a job and the items that it did not do.
    #[command(after_help = "Example: ketch jobs show 3fa91c02")]
    Show {
        /// The name of the job, or the beginning of it.
        #[arg(value_name = "JOB")]
        job: String,
    },
    /// Finish the plan of an interrupted job; without a name, that of the newest one.
    #[command(after_help = "Example: ketch jobs resume 3fa91c02")]
    Resume {
        /// The name of the job, or the beginning of it.
        #[arg(value_name = "JOB")]
        job: Option<String>,
    },
    /// Remove the records of jobs, and the parts that an interrupted job left at its destination.
    #[command(after_help = "Example: ketch jobs forget 3fa91c02")]
    Forget {
        /// The names of the jobs, or the beginnings of them.
        #[arg(value_name = "JOB", required = true)]
        jobs: Vec<String>,
    },
}

/// How old a listing may be that is shown.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(crate) struct RecentArgs {
    /// Use only a new listing, and wait until the remote allows one; by default a listing may be some minutes old.
    #[arg(long, env = "KETCH_REFRESH", hide_env_values = true, value_parser = yes_or_no())]
    pub(crate) refresh: bool,
}

/// `ls`.
#[derive(Debug, Args)]
pub(crate) struct LsArgs {
    /// The folder or file.
    #[arg(value_name = "PLACE", value_parser = place())]
    pub(crate) place: RawPlace,
    /// Include everything below the folder.
    #[arg(short = 'R', long, env = "KETCH_RECURSIVE", hide_env_values = true, value_parser = yes_or_no())]
    pub(crate) recursive: bool,
    /// How old the listing may be.
    #[command(flatten)]
    pub(crate) recent: RecentArgs,
    /// What takes part.
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    /// The local disk.
    #[command(flatten)]
    pub(crate) local: LocalArgs,
}

/// `cat`.
#[derive(Debug, Args)]
pub(crate) struct CatArgs {
    /// The files, in the order in which ketch writes them.
    #[arg(value_name = "FILE", required = true, value_parser = place())]
    pub(crate) places: Vec<RawPlace>,
    /// How old the listing of the folder may be.
    #[command(flatten)]
    pub(crate) recent: RecentArgs,
    /// The local disk.
    #[command(flatten)]
    pub(crate) local: LocalArgs,
}

/// `mkdir`.
#[derive(Debug, Args)]
pub(crate) struct MkdirArgs {
    /// The folder.
    #[arg(value_name = "PLACE", value_parser = place())]
    pub(crate) place: RawPlace,
    /// Print what would be made, and make nothing.
    #[arg(short = 'n', long, env = "KETCH_DRY_RUN", hide_env_values = true, value_parser = yes_or_no())]
    pub(crate) dry_run: bool,
    /// How old the listing of the folder may be.
    #[command(flatten)]
    pub(crate) recent: RecentArgs,
}

/// `remote …`.
#[derive(Debug, Subcommand)]
pub(crate) enum RemoteCommand {
    /// Write a remote into the configuration file; ketch asks for a key that is not given.
    #[command(after_help = "Example: ketch remote add work fichier < key.txt")]
    Add(RemoteAddArgs),
    /// List all remotes.
    #[command(after_help = "Example: ketch remote list")]
    List,
    /// List the downloads that `ketch copyurl` asked a remote to make, or show the result of one.
    #[command(after_help = "Example: ketch remote jobs work:")]
    Jobs {
        /// The remote.
        #[arg(value_name = "REMOTE:", value_parser = place())]
        place: RawPlace,
        /// The number of one download.
        #[arg(value_name = "ID")]
        id: Option<u64>,
    },
    /// List the top folder of a remote, and print how long that takes.
    #[command(after_help = "Example: ketch remote test work:")]
    Test {
        /// The remote.
        #[arg(value_name = "REMOTE:", value_parser = place())]
        place: RawPlace,
    },
}

/// `remote add`.
#[derive(Debug, Args)]
pub(crate) struct RemoteAddArgs {
    /// The name of the remote.
    pub(crate) name: String,
    /// Its type: fichier, s3, local, catalog or alias.
    #[arg(value_name = "TYPE")]
    pub(crate) kind: String,
    /// Options of that type; a value may be file:PATH, env:NAME or cmd:COMMAND.
    #[arg(value_name = "OPTION=VALUE", value_parser = place())]
    pub(crate) options: Vec<RawPlace>,
}

/// `sandbox …`.
#[derive(Debug, Subcommand)]
pub(crate) enum SandboxCommand {
    /// Serve the emulator on a loopback port until Ctrl-C.
    #[command(after_help = "Example: ketch sandbox serve --port 4000 --limits documented/100")]
    Serve(ServeArgs),
}

/// `sandbox serve`.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Listen on this port of 127.0.0.1; 0 takes any free one.
    #[arg(
        long,
        env = "KETCH_SANDBOX_PORT",
        hide_env_values = true,
        value_name = "PORT",
        default_value_t = 0
    )]
    pub(crate) port: u16,
    /// Keep the files of the sandbox in this folder.
    #[arg(long, env = "KETCH_SANDBOX_STATE", hide_env_values = true, value_name = "FOLDER")]
    pub(crate) state: Option<PathBuf>,
    /// Enforce the limits of 1fichier: off, documented, documented/N (N times faster), or a list such as global=3/1s,folder=30s.
    #[arg(long, env = "KETCH_SANDBOX_LIMITS", hide_env_values = true, value_name = "LIMITS")]
    pub(crate) limits: Option<String>,
}

/// `config …`.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print the path of the configuration file, also if it does not exist yet.
    #[command(after_help = "Example: ketch config path")]
    Path,
}

/// `help`.
#[derive(Debug, Args)]
pub(crate) struct HelpArgs {
    /// A command, or exit-codes.
    #[arg(value_name = "TOPIC")]
    pub(crate) topic: Vec<String>,
}

/// A place, or an option, as it was typed.
#[derive(Clone)]
pub(crate) struct RawPlace(pub(crate) OsString);

// It may hold a key.
impl fmt::Debug for RawPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RawPlace(***)")
    }
}

fn place() -> impl TypedValueParser<Value = RawPlace> {
    OsStringValueParser::new().map(RawPlace)
}

/// A pattern, in core form: the bytes that were typed are the bytes that names are compared with.
fn pattern() -> impl TypedValueParser<Value = String> {
    OsStringValueParser::new().map(|text| core_from_bytes(text.as_bytes()))
}

/// What a variable says about a flag; a flag that is given says `true`.
fn yes_or_no() -> impl TypedValueParser<Value = bool> {
    StringValueParser::new().try_map(|text| {
        flag_value(&text)
            .ok_or("a flag is switched on by 1, true, yes or on, and off by 0, false, no or off")
    })
}

/// Whether a text switches a flag on or off; `None` when it says neither. An empty variable counts as not set.
pub(crate) fn flag_value(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" | "t" | "y" => Some(true),
        "" | "0" | "false" | "no" | "off" | "f" | "n" => Some(false),
        _ => None,
    }
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

#[cfg(test)]
mod tests;
