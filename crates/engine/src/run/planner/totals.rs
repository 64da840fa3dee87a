//! Counts the entries of both places, as far as the limit on deletions needs it.
//!
//! A plan file contains the numbers of its own listings, and a file can contain anything. So before a plan deletes, both
//! places are listed until enough entries are found for its deletions, or there are no more. For a plan within its limit
//! that is a few listings at most. Entries beyond the numbers in the file do not count.

use futures::StreamExt;
use ketch_core::ListOptions;

use super::*;
use crate::settings::DeleteLimit;

/// How many entries were found; each number is at most the wanted one.
pub(super) struct Seen {
    pub(super) source_files: u64,
    pub(super) destination_entries: u64,
}

impl Planner {
    /// Lists until as many entries are found as a plan with so many deletions needs to be within its limit.
    pub(super) async fn look_for_totals(&self, deletions: u64) -> Result<Seen> {
        if deletions == 0 {
            return Ok(Seen { source_files: u64::MAX, destination_entries: u64::MAX });
        }
        let wanted = wanted(self.context.settings.delete_limit, deletions);
        let destination_entries = match wanted {
            0 => u64::MAX,
            wanted => self.count_entries(&self.context.destination, wanted, |_| true).await?,
        };
        let source_files = self.count_entries(&self.context.source, 1, Entry::is_file).await?;
        // One is enough.
        let source_files = if source_files > 0 { u64::MAX } else { 0 };
        Ok(Seen { source_files, destination_entries })
    }

    /// Counts entries that `counts`, until there are as many as `wanted`.
    async fn count_entries(
        &self,
        place: &Arc<dyn Backend>,
        wanted: u64,
        counts: impl Fn(&Entry) -> bool,
    ) -> Result<u64> {
        let (mut found, mut folders) = (0, vec![RelPath::root()]);
        while let Some(folder) = folders.pop() {
            let mut entries = place.list(&folder, ListOptions::default());
            loop {
                let next = tokio::select! {
                    next = entries.next() => next,
                    () = self.context.stopping() => return Err(Error::cancelled()),
                };
                let Some(entry) = next else { break };
                let entry = entry?;
                found += u64::from(counts(&entry));
                if found >= wanted {
                    return Ok(found);
                }
                if entry.is_dir() {
                    folders.push(entry.path);
                }
            }
        }
        Ok(found)
    }
}

/// How many entries the destination must have for so many deletions to be within the limit; 0 = the limit does not depend
/// on it.
fn wanted(limit: DeleteLimit, deletions: u64) -> u64 {
    match limit {
        DeleteLimit::Guarded if deletions > 10 => deletions.saturating_mul(2),
        DeleteLimit::Guarded | DeleteLimit::Count(_) => 0,
        DeleteLimit::Percent(percent) => match u64::from(percent) {
            0 | 100.. => 0,
            percent => deletions.saturating_mul(100).div_ceil(percent),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wanted_is_just_enough_to_be_admitted() {
        for limit in [DeleteLimit::Guarded, DeleteLimit::Percent(1), DeleteLimit::Percent(33)] {
            for deletions in [1, 10, 11, 12, 99, 1_000] {
                let wanted = wanted(limit, deletions);
                assert!(limit.admits(deletions, wanted, 1).is_ok(), "{limit:?} {deletions}");
                if wanted > 1 {
                    assert!(
                        limit.admits(deletions, wanted - 1, 1).is_err(),
                        "{limit:?} {deletions}"
                    );
                }
            }
        }
    }
}
