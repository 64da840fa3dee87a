//! The flags of the commands that prove what a place holds: digests, manifests, the digest cache.

use clap::Subcommand;

/// `cache …`.
#[derive(Debug, Subcommand)]
pub(crate) enum CacheCommand {
    /// Say how much is remembered of local files.
    #[command(after_help = "Example: ketch cache stats")]
    Stats,
    /// Forget all of it.
    #[command(after_help = "Example: ketch cache clear")]
    Clear,
}
