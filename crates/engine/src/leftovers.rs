//! Reports dead parts of interrupted transfers in folders that a job has listed, and removes them if that is wanted.
//!
//! A part that cannot be removed is reported and is not a failure, because it is not content.

use std::collections::HashSet;
use std::sync::Arc;

use ketch_core::facets::{self, Resume};
use ketch_core::{Backend, Leftover, LeftoverState, RelPath, Result};

use crate::digest::blocking;
use crate::filter::units::format_size;
use crate::journal::Jobs;

/// Whose parts stay.
#[derive(Debug, Clone, Default)]
pub(crate) struct Claims {
    /// The jobs of this machine. `None`: it is not known which parts they can continue, so all parts stay.
    pub(crate) jobs: Option<Jobs>,
    /// The job that is ending now and will not be continued.
    pub(crate) over: Option<u32>,
}

/// Checks the folders in which `side` met parts. Returns the notices.
pub(crate) async fn clear(
    side: &Arc<dyn Backend>,
    claims: Claims,
    removes: bool,
) -> Option<String> {
    let resume = side.facets().resume.clone()?;
    let folders = resume.folders_with_leftovers();
    if folders.is_empty() {
        return None;
    }
    let removes = removes && claims.jobs.is_some();
    let name = side.name();
    match sweep(&*resume, &folders, claims, removes).await {
        Ok((0, _)) => None,
        Ok((count, bytes)) => Some(text(name, count, bytes, removes)),
        Err(error) => Some(format!("what interrupted transfers left cannot be removed: {error}")),
    }
}

/// How many there are, or were, and how many bytes they take.
async fn sweep(
    resume: &dyn Resume,
    folders: &[RelPath],
    claims: Claims,
    removes: bool,
) -> Result<(u64, u64)> {
    let Claims { jobs, over } = claims;
    let claimed = match jobs {
        Some(jobs) => blocking(move |_| jobs.claims()).await?,
        None => HashSet::new(),
    };
    let is_claimed: facets::Claims =
        Arc::new(move |number| Some(number) != over && claimed.contains(&number));
    let (mut count, mut bytes) = (0, 0_u64);
    for folder in folders {
        let found = resume.leftovers(folder, &is_claimed, removes).await?;
        let is_dead = |left: &&Leftover| left.state == LeftoverState::Dead;
        for left in found.iter().filter(is_dead) {
            count += 1;
            bytes = bytes.saturating_add(left.bytes);
        }
    }
    Ok((count, bytes))
}

fn text(name: &str, count: u64, bytes: u64, is_removed: bool) -> String {
    let parts = if count == 1 { "part" } else { "parts" };
    let size = format_size(bytes);
    match is_removed {
        true => format!("removed {count} {parts} of interrupted transfers ({size}) from {name}"),
        false => format!(
            "{count} {parts} of interrupted transfers ({size}) in {name}, which listings do not show \
             (`ketch cleanup` removes what nobody goes on with)"
        ),
    }
}
