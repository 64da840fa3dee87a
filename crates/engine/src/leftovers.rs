//! Reports dead parts of interrupted transfers in folders that a job has listed, and removes them if that is wanted.
//!
//! A part that cannot be removed is reported and is not a failure, because it is not content.

use std::collections::HashSet;
use std::sync::Arc;

use ketch_core::facets::{self, Resume};
use ketch_core::{Backend, Leftover, LeftoverState, RelPath, Result};

use crate::blocking::blocking;
use crate::event::Event;
use crate::open_jobs::OpenJobs;

/// Whose parts stay.
#[derive(Debug, Clone, Default)]
pub(crate) struct Claims {
    /// The jobs of this machine. `None`: it is not known which parts they can continue, so all parts stay.
    pub(crate) jobs: Option<Arc<dyn OpenJobs>>,
    /// The job that is ending now and will not be continued.
    pub(crate) over: Option<u32>,
}

/// Checks the folders in which `side` met parts. Returns what is to be told.
pub(crate) async fn clear(side: &Arc<dyn Backend>, claims: Claims, removes: bool) -> Option<Event> {
    let resume = side.facets().resume.clone()?;
    let folders = resume.folders_with_leftovers();
    if folders.is_empty() {
        return None;
    }
    let removes = removes && claims.jobs.is_some();
    let place = side.name().to_owned();
    match sweep(&*resume, &folders, claims, removes).await {
        Ok((0, _)) => None,
        Ok((parts, bytes)) => Some(Event::Leftovers { place, parts, bytes, is_removed: removes }),
        Err(error) => {
            let text = format!("what interrupted transfers left cannot be removed: {error}");
            Some(Event::Notice { path: None, text, hint: None })
        }
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
