//! The flags of the commands that prove what a place holds: digests, manifests, the digest cache.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use ketch_core::HashAlgo;

use super::job::digest_name;
use super::{CacheArgs, FilterArgs, LocalArgs, RawPlace, place, yes_or_no};

/// `cache …`.
#[derive(Debug, Subcommand)]
pub(crate) enum CacheCommand {
    /// Print how many files the cache holds digests of.
    #[command(after_help = "Example: ketch cache stats")]
    Stats,
    /// Clear the cache.
    #[command(after_help = "Example: ketch cache clear")]
    Clear,
}

/// `hashsum`.
#[derive(Debug, Args)]
pub(crate) struct HashsumArgs {
    /// The digest: blake3, sha256, whirlpool, sha1, md5, crc64nvme or crc32c.
    #[arg(value_name = "DIGEST", value_parser = digest_name)]
    pub(crate) digest: HashAlgo,
    /// The folder or file.
    #[arg(value_name = "PLACE", value_parser = place())]
    pub(crate) place: RawPlace,
    /// Check the place against this SUM file; - is standard input.
    #[arg(long, env = "KETCH_CHECK", hide_env_values = true, value_name = "FILE")]
    pub(crate) check: Option<PathBuf>,
    /// Print digests in base64, as rclone does.
    #[arg(long, env = "KETCH_BASE64", hide_env_values = true, value_parser = yes_or_no())]
    pub(crate) base64: bool,
    /// How files are read.
    #[command(flatten)]
    pub(crate) read: ReadArgs,
    /// What takes part.
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    /// The digest cache.
    #[command(flatten)]
    pub(crate) cache: CacheArgs,
    /// The local disk.
    #[command(flatten)]
    pub(crate) local: LocalArgs,
}

/// How files are read.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Reading")]
pub(crate) struct ReadArgs {
    /// Download files for which the remote shows no suitable digest.
    #[arg(long, env = "KETCH_DOWNLOAD", hide_env_values = true, value_parser = yes_or_no())]
    pub(crate) download: bool,
    /// List this many folders ahead and read this many files at the same time.
    #[arg(long, env = "KETCH_CHECKERS", hide_env_values = true, value_name = "N", default_value_t = 8,
          value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) checkers: u16,
    /// Read at most this many bytes per second from a remote; a bare number is KiB.
    #[arg(
        long,
        env = "KETCH_BWLIMIT",
        hide_env_values = true,
        value_name = "SIZE|off",
        default_value = "off"
    )]
    pub(crate) bwlimit: String,
}

/// `manifest …`.
#[derive(Debug, Subcommand)]
pub(crate) enum ManifestCommand {
    /// Write a manifest of a place: path, size, time and digests of every file.
    #[command(after_help = "Example: ketch manifest create ~/archive -o archive.manifest.zst")]
    Create(ManifestCreateArgs),
    /// Read a place, or a sample of it, and compare it with its manifest.
    #[command(
        after_help = "Example: ketch manifest verify archive.manifest.zst ~/archive --sample 1%"
    )]
    Verify(ManifestVerifyArgs),
    /// Compare two manifests.
    #[command(after_help = "Example: ketch manifest diff old.manifest new.manifest")]
    Diff(ManifestDiffArgs),
    /// Bring a manifest up to date; read only files whose size or time has changed.
    #[command(after_help = "Example: ketch manifest update archive.manifest.zst ~/archive")]
    Update(ManifestUpdateArgs),
}

/// `manifest create`.
#[derive(Debug, Args)]
pub(crate) struct ManifestCreateArgs {
    /// The folder.
    #[arg(value_name = "PLACE", value_parser = place())]
    pub(crate) place: RawPlace,
    /// Write the manifest to this file, compressed if it ends in .gz or .zst; - is standard output.
    #[arg(short, long, env = "KETCH_OUTPUT", hide_env_values = true, value_name = "FILE")]
    pub(crate) output: PathBuf,
    /// Sign it with this secret key of minisign; the signature is written beside it as .minisig.
    #[arg(long, env = "KETCH_SIGN", hide_env_values = true, value_name = "KEY")]
    pub(crate) sign: Option<PathBuf>,
    /// How files are read.
    #[command(flatten)]
    pub(crate) read: ReadArgs,
    /// What takes part.
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    /// The digest cache.
    #[command(flatten)]
    pub(crate) cache: CacheArgs,
    /// The local disk.
    #[command(flatten)]
    pub(crate) local: LocalArgs,
}

/// `manifest verify`.
#[derive(Debug, Args)]
pub(crate) struct ManifestVerifyArgs {
    /// The manifest.
    #[arg(value_name = "FILE")]
    pub(crate) manifest: PathBuf,
    /// The folder.
    #[arg(value_name = "PLACE", value_parser = place())]
    pub(crate) place: RawPlace,
    /// Read only this share of the place; each further run reads another share, until everything was read once.
    #[arg(long, env = "KETCH_SAMPLE", hide_env_values = true, value_name = "N%")]
    pub(crate) sample: Option<String>,
    /// Refuse a manifest that is not signed by this public key of minisign: its file, or the key itself.
    #[arg(long, env = "KETCH_KEY", hide_env_values = true, value_name = "KEY")]
    pub(crate) key: Option<String>,
    /// How files are read.
    #[command(flatten)]
    pub(crate) read: ReadArgs,
    /// What takes part.
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    /// The local disk.
    #[command(flatten)]
    pub(crate) local: LocalArgs,
}

/// `manifest diff`.
#[derive(Debug, Args)]
pub(crate) struct ManifestDiffArgs {
    /// The first manifest, usually the older one.
    #[arg(value_name = "FIRST")]
    pub(crate) first: PathBuf,
    /// The second manifest.
    #[arg(value_name = "SECOND")]
    pub(crate) second: PathBuf,
}

/// `manifest update`.
#[derive(Debug, Args)]
pub(crate) struct ManifestUpdateArgs {
    /// The manifest.
    #[arg(value_name = "FILE")]
    pub(crate) manifest: PathBuf,
    /// The folder.
    #[arg(value_name = "PLACE", value_parser = place())]
    pub(crate) place: RawPlace,
    /// Write the new manifest to this file, and leave the old one.
    #[arg(short, long, env = "KETCH_OUTPUT", hide_env_values = true, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Sign it with this secret key of minisign; the signature is written beside it as .minisig.
    #[arg(long, env = "KETCH_SIGN", hide_env_values = true, value_name = "KEY")]
    pub(crate) sign: Option<PathBuf>,
    /// How files are read.
    #[command(flatten)]
    pub(crate) read: ReadArgs,
    /// What takes part.
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    /// The digest cache.
    #[command(flatten)]
    pub(crate) cache: CacheArgs,
    /// The local disk.
    #[command(flatten)]
    pub(crate) local: LocalArgs,
}

/// `repair`.
#[derive(Debug, Args)]
pub(crate) struct RepairArgs {
    /// The folder with damaged files.
    #[arg(value_name = "PLACE", value_parser = place())]
    pub(crate) place: RawPlace,
    /// A place that has these files undamaged.
    #[arg(long, env = "KETCH_FROM", hide_env_values = true, value_name = "OTHER", value_parser = place())]
    pub(crate) from: RawPlace,
    /// The manifest with the right digests.
    #[arg(long, env = "KETCH_MANIFEST", hide_env_values = true, value_name = "FILE")]
    pub(crate) manifest: PathBuf,
    /// Print what would be repaired, and change nothing.
    #[arg(short = 'n', long, env = "KETCH_DRY_RUN", hide_env_values = true, value_parser = yes_or_no())]
    pub(crate) dry_run: bool,
    /// Refuse a manifest that is not signed by this public key of minisign: its file, or the key itself.
    #[arg(long, env = "KETCH_KEY", hide_env_values = true, value_name = "KEY")]
    pub(crate) key: Option<String>,
    /// How files are read.
    #[command(flatten)]
    pub(crate) read: ReadArgs,
    /// What takes part.
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    /// The local disk.
    #[command(flatten)]
    pub(crate) local: LocalArgs,
}
