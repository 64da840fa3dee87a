//! The commands about single things and about what a remote can do beside holding files.

use clap::{Args, Subcommand, ValueEnum};

use super::{FilterArgs, LocalArgs, RawPlace, RecentArgs, place, yes_or_no};

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum ServiceCommand {
    /// Print a public link (URL) to a file or folder.
    #[command(after_help = "Example: ketch link work:photos/2026/sea.jpg")]
    Link(LinkArgs),
    /// Print everything that the remote shows about one file or folder.
    #[command(after_help = "Example: ketch stat work:photos/2026/sea.jpg")]
    Stat(StatArgs),
    /// Draw the tree of files below a folder.
    #[command(after_help = "Example: ketch tree --max-depth 2 work:photos")]
    Tree(TreeArgs),
    /// Count the files below a folder, and their bytes.
    #[command(after_help = "Example: ketch size work:photos --include '*.jpg'")]
    Size(SizeArgs),
    /// Remove the parts of interrupted transfers that no job will finish, below a folder.
    ///
    /// Listings do not show parts. A part stays if a process works on it or an interrupted job can continue it.
    #[command(after_help = "Example: ketch cleanup --dry-run /mnt/backup")]
    Cleanup(RemoveArgs),
    /// Delete a folder that is empty.
    #[command(after_help = "Example: ketch rmdir work:photos/2025")]
    Rmdir(RmdirArgs),
    /// Delete a folder and everything in it, without filters.
    ///
    /// A folder is deleted only after its listing was complete and everything in it was deleted.
    #[command(after_help = "Example: ketch purge --dry-run work:photos/2025")]
    Purge(RemoveArgs),
    /// Store standard input as a file.
    #[command(after_help = "Example: ketch rcat work:notes/today.txt < today.txt")]
    Rcat(PlaceArgs),
    /// Print how much space a remote has.
    ///
    /// 1fichier answers this once in five minutes; in between, every process shows the last answer.
    #[command(after_help = "Example: ketch about work:")]
    About(PlaceArgs),
    /// Find files of the same name, or the same content, in a folder, and keep one of them.
    ///
    /// Without --rule ketch asks which file to keep if it runs on a terminal; otherwise it only lists what it finds.
    #[command(after_help = "Example: ketch dedupe --rule newest work:photos")]
    Dedupe(DedupeArgs),
    /// Make the remote itself download URLs.
    #[command(after_help = "Example: ketch copyurl --wait https://example.com/a.iso work:images")]
    Copyurl(CopyurlArgs),
    /// Copy a file from a public link of another account into a folder, within the remote.
    #[command(after_help = "Example: ketch import 'https://1fichier.com/?0123456789' work:films")]
    Import(ImportArgs),
    /// Change attributes of files.
    #[command(
        subcommand,
        after_help = "Example: ketch attr set --description 'a sea' work:sea.jpg"
    )]
    Attr(AttrCommand),
    /// Make the remote scan a file for viruses; the remote removes an infected file.
    #[command(after_help = "Example: ketch scan work:setup.exe")]
    Scan(PlaceArgs),
}

impl ServiceCommand {
    /// What the command is called.
    pub(crate) fn verb(&self) -> &'static str {
        match self {
            ServiceCommand::Link(_) => "link",
            ServiceCommand::Stat(_) => "stat",
            ServiceCommand::Tree(_) => "tree",
            ServiceCommand::Size(_) => "size",
            ServiceCommand::Cleanup(_) => "cleanup",
            ServiceCommand::Rmdir(_) => "rmdir",
            ServiceCommand::Purge(_) => "purge",
            ServiceCommand::Rcat(_) => "rcat",
            ServiceCommand::About(_) => "about",
            ServiceCommand::Dedupe(_) => "dedupe",
            ServiceCommand::Copyurl(_) => "copyurl",
            ServiceCommand::Import(_) => "import",
            ServiceCommand::Attr(AttrCommand::Set(_)) => "attr set",
            ServiceCommand::Scan(_) => "scan",
        }
    }
}

/// One thing.
#[derive(Debug, Args)]
pub(crate) struct PlaceArgs {
    /// The file or folder.
    #[arg(value_name = "PLACE", value_parser = place())]
    pub(crate) place: RawPlace,
}

/// `stat`.
#[derive(Debug, Args)]
pub(crate) struct StatArgs {
    /// The file or folder.
    #[arg(value_name = "PLACE", value_parser = place())]
    pub(crate) place: RawPlace,
    /// How old the listing of the folder may be.
    #[command(flatten)]
    pub(crate) recent: RecentArgs,
}

/// `link`.
#[derive(Debug, Args)]
pub(crate) struct LinkArgs {
    /// The file or folder.
    #[arg(value_name = "PLACE", value_parser = place())]
    pub(crate) place: RawPlace,
    /// How old the listing of the folder may be.
    #[command(flatten)]
    pub(crate) recent: RecentArgs,
    /// Print a URL of the content itself, which works for a short time only.
    #[arg(long, env = "KETCH_DIRECT", hide_env_values = true, value_parser = yes_or_no())]
    pub(crate) direct: bool,
    /// Set a password; other users of this machine can see it here, so give it in KETCH_PASSWORD.
    #[arg(long, env = "KETCH_PASSWORD", hide_env_values = true, value_name = "TEXT", value_parser = place())]
    pub(crate) password: Option<RawPlace>,
    /// Make a public folder private again.
    #[arg(long, env = "KETCH_UNLINK", hide_env_values = true, value_parser = yes_or_no(), conflicts_with_all = ["direct", "password"])]
    pub(crate) unlink: bool,
    /// When the link expires; no remote of this release supports this.
    #[arg(long, env = "KETCH_EXPIRE", hide_env_values = true, value_name = "TIME")]
    pub(crate) expire: Option<String>,
}

/// `tree`.
#[derive(Debug, Args)]
pub(crate) struct TreeArgs {
    /// The folder.
    #[arg(value_name = "PLACE", value_parser = place())]
    pub(crate) place: RawPlace,
    /// How old the listing of the folder may be.
    #[command(flatten)]
    pub(crate) recent: RecentArgs,
    /// Go at most this many folders deep.
    #[arg(long, env = "KETCH_MAX_DEPTH", hide_env_values = true, value_name = "N")]
    pub(crate) max_depth: Option<usize>,
    /// Show folders only.
    #[arg(short = 'd', long, env = "KETCH_DIRS_ONLY", hide_env_values = true, value_parser = yes_or_no())]
    pub(crate) dirs_only: bool,
    /// The local disk.
    #[command(flatten)]
    pub(crate) local: LocalArgs,
}

/// `size`.
#[derive(Debug, Args)]
pub(crate) struct SizeArgs {
    /// The folder or file.
    #[arg(value_name = "PLACE", value_parser = place())]
    pub(crate) place: RawPlace,
    /// How old the listing of the folder may be.
    #[command(flatten)]
    pub(crate) recent: RecentArgs,
    /// What takes part.
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    /// The local disk.
    #[command(flatten)]
    pub(crate) local: LocalArgs,
}

/// `rmdir`.
#[derive(Debug, Args)]
pub(crate) struct RmdirArgs {
    /// How old the listing of the folder may be.
    #[command(flatten)]
    pub(crate) recent: RecentArgs,
    /// What is removed.
    #[command(flatten)]
    pub(crate) remove: RemoveArgs,
}

/// `cleanup` and `purge`, which look for themselves.
#[derive(Debug, Args)]
pub(crate) struct RemoveArgs {
    /// The folder.
    #[arg(value_name = "PLACE", value_parser = place())]
    pub(crate) place: RawPlace,
    /// Print what would be deleted, and delete nothing.
    #[arg(short = 'n', long, env = "KETCH_DRY_RUN", hide_env_values = true, value_parser = yes_or_no())]
    pub(crate) dry_run: bool,
}

/// `dedupe`.
#[derive(Debug, Args)]
pub(crate) struct DedupeArgs {
    /// The folder.
    #[arg(value_name = "PLACE", value_parser = place())]
    pub(crate) place: RawPlace,
    /// Treat files with the same content in one folder as duplicates, whatever their names.
    #[arg(long, env = "KETCH_BY_HASH", hide_env_values = true, value_parser = yes_or_no())]
    pub(crate) by_hash: bool,
    /// Which of several duplicates to keep.
    #[arg(long, env = "KETCH_RULE", hide_env_values = true, value_name = "RULE")]
    pub(crate) rule: Option<DedupeRule>,
    /// Print what would be deleted, and delete nothing.
    #[arg(short = 'n', long, env = "KETCH_DRY_RUN", hide_env_values = true, value_parser = yes_or_no())]
    pub(crate) dry_run: bool,
}

/// Which of several duplicates is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DedupeRule {
    /// The one that was stored last.
    Newest,
    /// The one that was stored first.
    Oldest,
    /// The one with the most bytes; if several have as many, the newest of these.
    Largest,
    /// The one with the fewest bytes; if several have as few, the newest of these.
    Smallest,
    /// All of them; each one but the newest gets a number in its name.
    Rename,
    /// All of them; ketch only lists them.
    List,
}

/// `copyurl`.
#[derive(Debug, Args)]
pub(crate) struct CopyurlArgs {
    /// The URLs, and last the folder of the remote.
    #[arg(value_name = "URL… PLACE", required = true, num_args = 2.., value_parser = place())]
    pub(crate) words: Vec<RawPlace>,
    /// Wait until the remote is done, and print the result for each URL.
    #[arg(long, env = "KETCH_WAIT", hide_env_values = true, value_parser = yes_or_no())]
    pub(crate) wait: bool,
    /// Make the remote send this header too, such as 'Cookie: a=b'.
    #[arg(long, env = "KETCH_HEADER", hide_env_values = true, value_name = "NAME: VALUE", value_parser = place())]
    pub(crate) header: Vec<RawPlace>,
}

/// `import`.
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// The public link.
    #[arg(value_name = "URL", value_parser = place())]
    pub(crate) url: RawPlace,
    /// The folder of the remote.
    #[arg(value_name = "PLACE", value_parser = place())]
    pub(crate) place: RawPlace,
    /// The password of the link; other users of this machine can see it here, so give it in KETCH_PASSWORD.
    #[arg(long, env = "KETCH_PASSWORD", hide_env_values = true, value_name = "TEXT", value_parser = place())]
    pub(crate) password: Option<RawPlace>,
}

/// `attr …`.
#[derive(Debug, Subcommand)]
pub(crate) enum AttrCommand {
    /// Change attributes of files; attributes that are not given stay as they are.
    #[command(after_help = "Example: ketch attr set --description 'a sea' work:sea.jpg")]
    Set(AttrArgs),
}

/// `attr set`.
#[derive(Debug, Args)]
pub(crate) struct AttrArgs {
    /// The files.
    #[arg(value_name = "FILE", required = true, value_parser = place())]
    pub(crate) places: Vec<RawPlace>,
    /// A description of the file; an empty text removes it.
    #[arg(long, env = "KETCH_DESCRIPTION", hide_env_values = true, value_name = "TEXT")]
    pub(crate) description: Option<String>,
    /// The password for downloads; an empty text removes it. Other users can see it here, so give it in KETCH_PASSWORD.
    #[arg(long, env = "KETCH_PASSWORD", hide_env_values = true, value_name = "TEXT", value_parser = place())]
    pub(crate) password: Option<RawPlace>,
    /// Whether browsers show the file instead of saving it.
    #[arg(long, env = "KETCH_INLINE", hide_env_values = true, value_name = "true|false")]
    pub(crate) inline: Option<bool>,
    /// Whether the owner pays for downloads by volume.
    #[arg(long, env = "KETCH_CDN", hide_env_values = true, value_name = "true|false")]
    pub(crate) cdn: Option<bool>,
    /// Whether downloads come without TLS.
    #[arg(long, env = "KETCH_NO_SSL", hide_env_values = true, value_name = "true|false")]
    pub(crate) no_ssl: Option<bool>,
    /// Only this network may download, such as 192.0.2.0/24.
    #[arg(long, env = "KETCH_ALLOW_NETWORK", hide_env_values = true, value_name = "NETWORK")]
    pub(crate) allow_network: Vec<String>,
    /// Only this country may download, by its two letters.
    #[arg(long, env = "KETCH_ALLOW_COUNTRY", hide_env_values = true, value_name = "COUNTRY")]
    pub(crate) allow_country: Vec<String>,
    /// Only this user may download, by e-mail address.
    #[arg(long, env = "KETCH_ALLOW_USER", hide_env_values = true, value_name = "MAIL")]
    pub(crate) allow_user: Vec<String>,
    /// Only paying users may download.
    #[arg(long, env = "KETCH_ALLOW_PREMIUM", hide_env_values = true, value_parser = yes_or_no())]
    pub(crate) allow_premium: bool,
    /// Everyone may download.
    #[arg(long, env = "KETCH_ALLOW_ALL", hide_env_values = true, value_parser = yes_or_no(),
        conflicts_with_all = ["allow_network", "allow_country", "allow_user", "allow_premium"])]
    pub(crate) allow_all: bool,
}
