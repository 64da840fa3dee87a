//! The flags of the commands that go through trees: filters, comparison, speed.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use ketch_core::HashAlgo;

use super::{RawPlace, RecentArgs, pattern, place, yes_or_no};

/// `copy` and `sync`.
#[derive(Debug, Args)]
pub(crate) struct CopyArgs {
    /// Where the files come from.
    #[arg(value_name = "SOURCE", value_parser = place())]
    pub(crate) source: RawPlace,
    /// The folder that they go into.
    #[arg(value_name = "DESTINATION", value_parser = place())]
    pub(crate) destination: RawPlace,
    /// Print the plan, and change nothing.
    #[arg(short = 'n', long, env = "KETCH_DRY_RUN", hide_env_values = true, value_parser = yes_or_no())]
    pub(crate) dry_run: bool,
    /// Do only the items that an earlier run did not do: give the file of its --report, or the name of its job.
    #[arg(long, env = "KETCH_RETRY_FAILED", hide_env_values = true, value_name = "FILE|JOB")]
    pub(crate) retry_failed: Option<PathBuf>,
    /// The limits of the job.
    #[command(flatten)]
    pub(crate) limits: LimitArgs,
    /// The records of the job.
    #[command(flatten)]
    pub(crate) records: RecordArgs,
    /// Also make folders that hold no files.
    #[arg(long, env = "KETCH_CREATE_EMPTY_SRC_DIRS", hide_env_values = true, value_parser = yes_or_no())]
    pub(crate) create_empty_src_dirs: bool,
    /// Do not set the modification times of folders. By default a job between two local places gives folders the times that they
    /// have at the source.
    #[arg(long, env = "KETCH_NO_DIR_TIMES", hide_env_values = true, value_parser = yes_or_no())]
    pub(crate) no_dir_times: bool,
    /// How files are compared.
    #[command(flatten)]
    pub(crate) compare: CompareArgs,
    /// How content is verified.
    #[command(flatten)]
    pub(crate) verify: VerifyArgs,
    /// What takes part.
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    /// How fast.
    #[command(flatten)]
    pub(crate) speed: SpeedArgs,
    /// The digest cache.
    #[command(flatten)]
    pub(crate) cache: CacheArgs,
    /// The local disk.
    #[command(flatten)]
    pub(crate) local: LocalArgs,
}

/// `move`.
#[derive(Debug, Args)]
pub(crate) struct MoveArgs {
    /// As of `copy`.
    #[command(flatten)]
    pub(crate) copy: CopyArgs,
    /// Remove folders of the source in which nothing is left.
    #[arg(long, env = "KETCH_DELETE_EMPTY_SRC_DIRS", hide_env_values = true, value_parser = yes_or_no())]
    pub(crate) delete_empty_src_dirs: bool,
}

/// `plan …`.
#[derive(Debug, Subcommand)]
pub(crate) enum PlanCommand {
    /// Plan a copy.
    #[command(after_help = "Example: ketch plan copy -o plan.jsonl ~/photos work:photos")]
    Copy(PlanArgs<CopyArgs>),
    /// Plan a sync.
    #[command(after_help = "Example: ketch plan sync -o plan.jsonl ~/photos work:photos")]
    Sync(PlanArgs<CopyArgs>),
    /// Plan a move.
    #[command(after_help = "Example: ketch plan move -o plan.jsonl ~/done work:archive")]
    Move(PlanArgs<MoveArgs>),
    /// Print a plan for people.
    #[command(after_help = "Example: ketch plan show plan.jsonl")]
    Show {
        /// The plan.
        #[arg(value_name = "PLAN")]
        file: PathBuf,
    },
}

/// `plan copy`, `plan sync`, `plan move`.
#[derive(Debug, Args)]
pub(crate) struct PlanArgs<A: Args> {
    /// What is planned.
    #[command(flatten)]
    pub(crate) job: A,
    /// Write the plan to this file; by default, and with -, the plan goes to standard output.
    #[arg(short = 'o', long, env = "KETCH_OUTPUT", hide_env_values = true, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

/// `apply`.
#[derive(Debug, Args)]
pub(crate) struct ApplyArgs {
    /// The file that `ketch plan -o` wrote.
    #[arg(value_name = "PLAN")]
    pub(crate) plan: PathBuf,
    /// The source, if the plan hides an option that is needed to reach it.
    #[arg(long, env = "KETCH_SOURCE", hide_env_values = true, value_name = "PLACE", value_parser = place())]
    pub(crate) source: Option<RawPlace>,
    /// The destination, if the plan hides an option that is needed to reach it.
    #[arg(long, env = "KETCH_DESTINATION", hide_env_values = true, value_name = "PLACE", value_parser = place())]
    pub(crate) destination: Option<RawPlace>,
    /// The limits of the job.
    #[command(flatten)]
    pub(crate) limits: LimitArgs,
    /// The records of the job.
    #[command(flatten)]
    pub(crate) records: RecordArgs,
    /// How content is verified.
    #[command(flatten)]
    pub(crate) verify: VerifyArgs,
    /// The digest cache.
    #[command(flatten)]
    pub(crate) cache: CacheArgs,
    /// How fast.
    #[command(flatten)]
    pub(crate) speed: SpeedArgs,
    /// The local disk.
    #[command(flatten)]
    pub(crate) local: LocalArgs,
}

/// The limits of a job; a plan above one of them changes nothing at all.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Limits")]
pub(crate) struct LimitArgs {
    /// Change nothing at all if the plan deletes more than this: a number, or a share of the destination's entries such as 10%.
    /// By default: more than half of them, and more than ten.
    #[arg(long, env = "KETCH_MAX_DELETE", hide_env_values = true, value_name = "N|N%")]
    pub(crate) max_delete: Option<String>,
    /// Change nothing at all if the plan transfers more than this; a bare number is KiB.
    #[arg(long, env = "KETCH_MAX_TRANSFER", hide_env_values = true, value_name = "SIZE")]
    pub(crate) max_transfer: Option<String>,
    /// Let a sync from a source without any file delete everything at the destination.
    #[arg(long, env = "KETCH_ALLOW_EMPTY_SOURCE", hide_env_values = true, value_parser = yes_or_no())]
    pub(crate) allow_empty_source: bool,
}

/// The records of a job.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Records")]
pub(crate) struct RecordArgs {
    /// Forget the interrupted job between the two places and remove its parts, instead of continuing from them.
    #[arg(long, env = "KETCH_FRESH", hide_env_values = true, value_parser = yes_or_no())]
    pub(crate) fresh: bool,
    /// Keep no records; after an interruption the job starts from the beginning.
    #[arg(long, env = "KETCH_NO_JOURNAL", hide_env_values = true, value_parser = yes_or_no())]
    pub(crate) no_journal: bool,
    /// Write the outcome of each item to this file, as JSON lines.
    #[arg(long, env = "KETCH_REPORT", hide_env_values = true, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    /// Write every path to this file, with a mark: = needs nothing, + new, * replaced, - deleted, ! failed or not compared.
    #[arg(long, env = "KETCH_COMBINED", hide_env_values = true, value_name = "FILE")]
    pub(crate) combined: Option<PathBuf>,
    /// If the job succeeds, write a manifest of the destination to this file, with the digests computed during the job.
    // Another name than of `repair`, which trusts what it is given: a manifest is not replaced because it was to be used.
    #[arg(long, env = "KETCH_WRITE_MANIFEST", hide_env_values = true, value_name = "FILE")]
    pub(crate) manifest: Option<PathBuf>,
}

/// How content is verified, and what happens if source files change during the job.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Verification")]
pub(crate) struct VerifyArgs {
    /// How to verify a transfer.
    #[arg(
        long,
        env = "KETCH_VERIFY",
        hide_env_values = true,
        value_name = "HOW",
        default_value = "hash"
    )]
    pub(crate) verify: VerifyHow,
    /// What to do if a source file changes while it is read, or goes away before.
    #[arg(
        long,
        env = "KETCH_ON_CHANGED",
        hide_env_values = true,
        value_name = "WHAT",
        default_value = "retry"
    )]
    pub(crate) on_changed: OnChangedWhat,
}

/// How content is verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum VerifyHow {
    /// Not at all; every destination still checks that all bytes arrived.
    None,
    /// By size.
    Size,
    /// By the size and the strongest digest that the destination shows.
    Hash,
    /// By reading the stored file back.
    ReadBack,
}

/// What happens if source files change or go away during the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnChangedWhat {
    /// Try a file that changes once more at the end; report a file that went away.
    Retry,
    /// Report both; neither is a failure.
    Skip,
    /// Both are failures.
    Fail,
}

/// `check`.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// One side.
    #[arg(value_name = "SOURCE", value_parser = place())]
    pub(crate) source: RawPlace,
    /// The other side.
    #[arg(value_name = "DESTINATION", value_parser = place())]
    pub(crate) destination: RawPlace,
    /// Compare sizes only.
    #[arg(long, env = "KETCH_SIZE_ONLY", hide_env_values = true, value_parser = yes_or_no())]
    pub(crate) size_only: bool,
    /// Ignore files that only the destination has.
    #[arg(long, env = "KETCH_ONE_WAY", hide_env_values = true, value_parser = yes_or_no())]
    pub(crate) one_way: bool,
    /// Read the content on both sides instead of trusting the digests in listings.
    #[arg(long, env = "KETCH_DOWNLOAD", hide_env_values = true, value_parser = yes_or_no())]
    pub(crate) download: bool,
    /// Compare by this digest. By default by the strongest digest that both sides have, and between two disks byte for byte.
    #[arg(long, env = "KETCH_DIGEST", hide_env_values = true, value_name = "DIGEST", value_parser = digest_name)]
    pub(crate) digest: Option<HashAlgo>,
    /// Write every path to this file, with a mark: = equal, * differs, + only at the source, - only at the destination,
    /// ! could not be compared.
    #[arg(long, env = "KETCH_COMBINED", hide_env_values = true, value_name = "FILE")]
    pub(crate) combined: Option<PathBuf>,
    /// Write the paths of files that differ to this file.
    #[arg(long, env = "KETCH_DIFFER", hide_env_values = true, value_name = "FILE")]
    pub(crate) differ: Option<PathBuf>,
    /// Write the paths of files that are equal to this file.
    #[arg(long = "match", env = "KETCH_MATCH", hide_env_values = true, value_name = "FILE")]
    pub(crate) matching: Option<PathBuf>,
    /// Write the paths of files that the source lacks to this file.
    #[arg(long, env = "KETCH_MISSING_ON_SRC", hide_env_values = true, value_name = "FILE")]
    pub(crate) missing_on_src: Option<PathBuf>,
    /// Write the paths of files that the destination lacks to this file.
    #[arg(long, env = "KETCH_MISSING_ON_DST", hide_env_values = true, value_name = "FILE")]
    pub(crate) missing_on_dst: Option<PathBuf>,
    /// Write the paths of files that could not be compared to this file.
    #[arg(long, env = "KETCH_ERROR", hide_env_values = true, value_name = "FILE")]
    pub(crate) error: Option<PathBuf>,
    /// What takes part.
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    /// How fast.
    #[command(flatten)]
    pub(crate) speed: SpeedArgs,
    /// The digest cache.
    #[command(flatten)]
    pub(crate) cache: CacheArgs,
    /// The local disk.
    #[command(flatten)]
    pub(crate) local: LocalArgs,
}

/// `delete`.
#[derive(Debug, Args)]
pub(crate) struct DeleteArgs {
    /// The folder whose files are deleted, or one file.
    #[arg(value_name = "PLACE", value_parser = place())]
    pub(crate) place: RawPlace,
    /// How old the listing may be that a single file is found by.
    #[command(flatten)]
    pub(crate) recent: RecentArgs,
    /// Print what would be deleted, and delete nothing.
    #[arg(short = 'n', long, env = "KETCH_DRY_RUN", hide_env_values = true, value_parser = yes_or_no())]
    pub(crate) dry_run: bool,
    /// Also delete folders below that are empty afterwards.
    #[arg(long, env = "KETCH_RMDIRS", hide_env_values = true, value_parser = yes_or_no())]
    pub(crate) rmdirs: bool,
    /// What takes part.
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    /// The local disk.
    #[command(flatten)]
    pub(crate) local: LocalArgs,
}

/// How two files of one name are compared.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Comparison")]
pub(crate) struct CompareArgs {
    /// Compare by size and digest, and not by modification time.
    #[arg(short = 'c', long, env = "KETCH_CHECKSUM", hide_env_values = true, value_parser = yes_or_no())]
    pub(crate) checksum: bool,
    /// Compare by size only, and not by modification time.
    #[arg(long, env = "KETCH_SIZE_ONLY", hide_env_values = true, value_parser = yes_or_no())]
    pub(crate) size_only: bool,
    /// Transfer every file again, also those that look equal.
    #[arg(short = 'I', long, env = "KETCH_IGNORE_TIMES", hide_env_values = true, value_parser = yes_or_no())]
    pub(crate) ignore_times: bool,
    /// Skip files that are newer at the destination.
    #[arg(short = 'u', long, env = "KETCH_UPDATE", hide_env_values = true, value_parser = yes_or_no())]
    pub(crate) update: bool,
    /// Skip files that the destination already has.
    #[arg(long, env = "KETCH_IGNORE_EXISTING", hide_env_values = true, value_parser = yes_or_no())]
    pub(crate) ignore_existing: bool,
    /// Treat two modification times as equal if they differ by less than this.
    #[arg(long, env = "KETCH_MODIFY_WINDOW", hide_env_values = true, value_name = "DURATION")]
    pub(crate) modify_window: Option<String>,
}

/// What takes part in a job.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Filters")]
pub(crate) struct FilterArgs {
    /// Include only files that match this pattern; patterns are those of rclone, such as `*.jpg` or `/dir/**`.
    #[arg(long, env = "KETCH_INCLUDE", hide_env_values = true, value_name = "PATTERN", value_parser = pattern())]
    pub(crate) include: Vec<String>,
    /// Read include patterns from this file; - is standard input.
    #[arg(long, env = "KETCH_INCLUDE_FROM", hide_env_values = true, value_name = "FILE")]
    pub(crate) include_from: Vec<PathBuf>,
    /// Exclude files that match this pattern.
    #[arg(long, env = "KETCH_EXCLUDE", hide_env_values = true, value_name = "PATTERN", value_parser = pattern())]
    pub(crate) exclude: Vec<String>,
    /// Read exclude patterns from this file.
    #[arg(long, env = "KETCH_EXCLUDE_FROM", hide_env_values = true, value_name = "FILE")]
    pub(crate) exclude_from: Vec<PathBuf>,
    /// Add a rule: `+ PATTERN`, `- PATTERN`, or `!` to drop all rules so far.
    #[arg(
        long,
        env = "KETCH_FILTER",
        hide_env_values = true,
        value_name = "RULE",
        value_parser = pattern(),
        allow_hyphen_values = true
    )]
    pub(crate) filter: Vec<String>,
    /// Read filter rules from this file.
    #[arg(long, env = "KETCH_FILTER_FROM", hide_env_values = true, value_name = "FILE")]
    pub(crate) filter_from: Vec<PathBuf>,
    /// Include exactly the files named in this file, one on each line; a line that begins with # or ; is a comment.
    #[arg(long, env = "KETCH_FILES_FROM", hide_env_values = true, value_name = "FILE")]
    pub(crate) files_from: Vec<PathBuf>,
    /// Like --files-from, but every character of a line belongs to the name: no comments, and spaces at the ends count.
    #[arg(long, env = "KETCH_FILES_FROM_RAW", hide_env_values = true, value_name = "FILE")]
    pub(crate) files_from_raw: Vec<PathBuf>,
    /// Exclude files below this size; a bare number is KiB.
    #[arg(long, env = "KETCH_MIN_SIZE", hide_env_values = true, value_name = "SIZE")]
    pub(crate) min_size: Option<String>,
    /// Exclude files above this size; a bare number is KiB.
    #[arg(long, env = "KETCH_MAX_SIZE", hide_env_values = true, value_name = "SIZE")]
    pub(crate) max_size: Option<String>,
    /// Exclude files younger than this duration, or modified after this date.
    #[arg(long, env = "KETCH_MIN_AGE", hide_env_values = true, value_name = "AGE")]
    pub(crate) min_age: Option<String>,
    /// Exclude files older than this duration, or modified before this date.
    #[arg(long, env = "KETCH_MAX_AGE", hide_env_values = true, value_name = "AGE")]
    pub(crate) max_age: Option<String>,
    /// Go down at most this many levels; 1 is the top folder alone.
    #[arg(long, env = "KETCH_MAX_DEPTH", hide_env_values = true, value_name = "LEVELS")]
    pub(crate) max_depth: Option<usize>,
    /// Match patterns regardless of case.
    #[arg(long, env = "KETCH_IGNORE_CASE", hide_env_values = true, value_parser = yes_or_no())]
    pub(crate) ignore_case: bool,
}

/// How fast a job works.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Speed")]
pub(crate) struct SpeedArgs {
    /// Transfer this many files at the same time; by default ketch finds out how many help.
    #[arg(long, env = "KETCH_TRANSFERS", hide_env_values = true, value_name = "N",
          value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) transfers: Option<u16>,
    /// List this many folders ahead and compute this many digests at the same time.
    #[arg(long, env = "KETCH_CHECKERS", hide_env_values = true, value_name = "N", default_value_t = 8,
          value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) checkers: u16,
    /// Transfer at most this many bytes per second; a bare number is KiB.
    #[arg(
        long,
        env = "KETCH_BWLIMIT",
        hide_env_values = true,
        value_name = "SIZE|off",
        default_value = "off"
    )]
    pub(crate) bwlimit: String,
    /// Read this many ranges of one large file at the same time.
    #[arg(long, env = "KETCH_MULTI_THREAD_STREAMS", hide_env_values = true, value_name = "N", default_value_t = 4,
          value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) multi_thread_streams: u16,
    /// Read a file in several ranges at the same time if it has at least this size.
    #[arg(
        long,
        env = "KETCH_MULTI_THREAD_CUTOFF",
        hide_env_values = true,
        value_name = "SIZE",
        default_value = "64M"
    )]
    pub(crate) multi_thread_cutoff: String,
    /// Use at most this many bytes of memory for the buffers of all transfers.
    #[arg(
        long,
        env = "KETCH_BUFFER_SIZE",
        hide_env_values = true,
        value_name = "SIZE",
        default_value = "256M"
    )]
    pub(crate) buffer_size: String,
}

/// Whether digests of local files are remembered.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Digest cache")]
pub(crate) struct CacheArgs {
    /// Do not use the digest cache: read every local file whose digest is needed, and remember none.
    #[arg(long, env = "KETCH_NO_CACHE", hide_env_values = true, value_parser = yes_or_no())]
    pub(crate) no_cache: bool,
}

/// Reads the name of a digest.
pub(crate) fn digest_name(text: &str) -> Result<HashAlgo, String> {
    let named = |algo: &HashAlgo| algo.as_str().eq_ignore_ascii_case(text);
    HashAlgo::BY_STRENGTH.into_iter().find(named).ok_or_else(|| {
        let known: Vec<_> = HashAlgo::BY_STRENGTH.iter().map(|algo| algo.as_str()).collect();
        format!("known: {}", known.join(", "))
    })
}

/// How the local disk is treated.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Local disk")]
pub(crate) struct LocalArgs {
    /// What to do with symbolic links.
    #[arg(long, env = "KETCH_LINKS", hide_env_values = true, value_name = "WHAT")]
    pub(crate) links: Option<Links>,
    /// Follow symbolic links, like --links=follow.
    #[arg(short = 'L')]
    pub(crate) follow_links: bool,
    /// What to force to the disk (fsync).
    #[arg(long, env = "KETCH_FSYNC", hide_env_values = true, value_name = "WHAT")]
    pub(crate) fsync: Option<Fsync>,
    /// Ignore inode numbers, for disks on which the number of a file changes at each mount or each time it is read.
    #[arg(long, env = "KETCH_IGNORE_INODES", hide_env_values = true, value_parser = yes_or_no())]
    pub(crate) ignore_inodes: bool,
}

/// What is done with symbolic links.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Links {
    /// Report them and leave them alone.
    Skip,
    /// Copy what they point to.
    Follow,
    /// Copy them as links, to a destination that can store links.
    Keep,
}

/// What is forced to the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Fsync {
    /// Nothing.
    None,
    /// The content of each file, before it gets its final name.
    File,
    /// The content of each file, and its folder.
    All,
}
