//! `ketch cache …`: what is remembered of local files.

use ketch_engine::filter::units::format_size;
use ketch_engine::state::DigestCache;
use serde_json::json;

use crate::args::CacheCommand;
use crate::context::{Context, Done};
use crate::output::Level;
use crate::problem::{Problem, Result};

/// Shows or forgets it.
pub(crate) fn run(context: &Context, command: &CacheCommand) -> Result<Done> {
    let path = context.environment.digest_cache().ok_or_else(|| {
        Problem::other("there is no place for a cache: set HOME or XDG_CACHE_HOME")
    })?;
    let other = |error: &dyn std::fmt::Display| Problem::other(error.to_string());
    let console = &context.console;
    match command {
        CacheCommand::Stats => {
            let stats = match path.exists() {
                true => {
                    let cache = DigestCache::open(&path).map_err(|error| other(&error))?;
                    cache.stats().map_err(|error| other(&error))?
                }
                // Asking does not make one.
                false => ketch_engine::state::CacheStats::default(),
            };
            if console.is_json() {
                let body = json!({
                    "path": path.to_string_lossy(), "files": stats.files, "pairs": stats.pairs,
                    "bytes": stats.bytes,
                });
                console.event("cache", body)?;
            } else {
                console.line(&format!("{}", path.display()))?;
                console.line(&format!("  {} files with digests", stats.files))?;
                console.line(&format!("  {} pairs of equal files", stats.pairs))?;
                console.line(&format!("  {} on the disk", format_size(stats.bytes)))?;
            }
        }
        CacheCommand::Clear => {
            if path.exists() {
                // Opened first, so that it is not taken away from a job that is using it.
                drop(DigestCache::open(&path).map_err(|error| other(&error))?);
                std::fs::remove_file(&path).map_err(|error| other(&error))?;
            }
            console.tell(Level::Normal, "the digest cache is empty");
        }
    }
    Ok(Done::ok())
}
