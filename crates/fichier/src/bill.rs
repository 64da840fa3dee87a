//! What a plan costs at 1fichier: calls by kind, and the time that the limits give them at least. Pure.

use std::time::Duration;

use ketch_core::bill::{Bill, Work};

use crate::bounds::CHANGED_MAX;
use crate::bounds::{ASKED_MAX, LOOKED_INTO_MAX};

/// The distances that calls keep.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tariff {
    /// Between any two.
    pub(crate) any: Duration,
    /// Between two listings.
    pub(crate) listings: Duration,
    /// How many calls in how long, if a budget is set.
    pub(crate) budget: Option<(u64, Duration)>,
}

/// What removals cost beside the calls that remove: few files are asked about one by one; of many the folders are looked at.
struct Looks {
    /// Folders that have been listed too long ago by then and are listed anew.
    listings: u64,
    proofs: u64,
    /// How often what was seen is removed before more is looked at.
    rounds: u64,
}

fn looks(removed: u64, listings: u64) -> Looks {
    if removed <= ASKED_MAX as u64 {
        return Looks { listings: 0, proofs: removed, rounds: 1 };
    }
    let most = LOOKED_INTO_MAX as u64;
    let late = removed.min(listings).saturating_sub(most);
    let rounds = 1 + late.div_ceil(most);
    // One look at the folder above them each time.
    Looks { listings: late, proofs: rounds, rounds }
}

/// Requests to upload nodes and download hosts are no calls, and wait for nothing.
pub(crate) fn bill(work: &Work, tariff: &Tariff) -> Bill {
    let batches = |files: u64| files.div_ceil(CHANGED_MAX as u64);
    let looks = looks(work.files_removed, work.listings);
    let kinds = [
        ("listings", work.listings + looks.listings),
        ("folders made", work.folders_made),
        ("upload servers", work.uploads),
        // One for the first upload into each folder: did it arrive there? And for removals: are they where they should be?
        ("proofs", work.upload_folders + looks.proofs),
        ("copies", batches(work.copies)),
        (
            "removals",
            batches(work.files_removed).max(looks.rounds.min(work.files_removed))
                + work.folders_removed,
        ),
        ("download addresses", work.reads),
    ];
    let calls: Vec<_> = kinds.into_iter().filter(|(_, count)| *count > 0).collect();
    let mut bill = Bill { calls, time: Duration::ZERO };
    let gaps = |count: u64, gap: Duration| {
        gap.saturating_mul(u32::try_from(count.saturating_sub(1)).unwrap_or(u32::MAX))
    };
    let total = bill.total();
    bill.time = gaps(total, tariff.any).max(gaps(work.listings + looks.listings, tariff.listings));
    if let Some((most, span)) = tariff.budget {
        let spans = total.saturating_sub(1) / most.max(1);
        bill.time = bill.time.max(span.saturating_mul(u32::try_from(spans).unwrap_or(u32::MAX)));
    }
    bill
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARIFF: Tariff =
        Tariff { any: Duration::from_millis(500), listings: Duration::from_secs(3), budget: None };

    #[test]
    fn a_bill_names_the_calls_of_each_kind_and_the_time_they_take() {
        let work = Work {
            listings: 1,
            uploads: 12,
            upload_folders: 10,
            folders_made: 10,
            ..Work::default()
        };
        let made = bill(&work, &TARIFF);
        assert_eq!(
            made.calls,
            [("listings", 1), ("folders made", 10), ("upload servers", 12), ("proofs", 10)]
        );
        assert_eq!((made.total(), made.time), (33, Duration::from_secs(16)));
    }

    #[test]
    fn listings_and_budgets_take_the_longest() {
        let check = |work: Work, budget, seconds| {
            let tariff = Tariff { budget, ..TARIFF };
            assert_eq!(bill(&work, &tariff).time, Duration::from_secs(seconds));
        };
        check(Work { listings: 11, ..Work::default() }, None, 30);
        check(
            Work { reads: 200, ..Work::default() },
            Some((100, Duration::from_secs(3_600))),
            3_600,
        );
        check(Work { reads: 99, ..Work::default() }, Some((100, Duration::from_secs(3_600))), 49);
        // Three removals and one proof.
        let check_exactly = |work: Work, time| assert_eq!(bill(&work, &TARIFF).time, time);
        let removed = Work { files_removed: 500, folders_removed: 2, ..Work::default() };
        check_exactly(removed, Duration::from_millis(1_500));
        check(Work::default(), None, 0);
    }
}
