//! What only some remotes have, beside the methods that each of them means: typed, optional objects that a backend is made with.
//!
//! A facet is part of a place and goes where the place goes: a layer hands on all facets of what is below it, in one expression,
//! and names in it the ones that it withholds or changes:
//!
//! ```ignore
//! Facets { disk: None, ..inner.facets().guarded(&guard) }
//! ```
//!
//! So a facet that is added later passes through every layer without a line in any of them.

mod gaps;
mod guard;
mod inspect;
mod local_files;
mod resume;
mod root;
mod snapshot;
mod usage;

use std::sync::{Arc, LazyLock};

use crate::bill::Cost;
use crate::disk::Disk;
use crate::identity::Identities;
use crate::services::Services;

pub use gaps::Gaps;
pub use guard::{Call, Guard};
pub use inspect::{Inspect, Wanted};
pub use local_files::{LocalFile, LocalFiles};
pub use resume::{Claims, Leftover, LeftoverState, Resume};
pub use root::Root;
pub use snapshot::Snapshot;
pub use usage::{ReportUsage, Usage};

/// The facets of one place. Fixed once it is connected; `None` = this place does not have it.
#[derive(Debug, Clone, Default)]
pub struct Facets {
    /// The files for calls that block, where reading them costs no network. What is read by it passes no layer, so a layer that
    /// counts, slows down or changes what is read withholds it or gives its own.
    pub disk: Option<Arc<dyn Disk>>,
    /// What names lead to, where one thing may be reached in two ways: on the disks of this machine. It protects against a copy
    /// of a place onto itself, so a layer withholds it only if its entries are no objects of a disk.
    pub identities: Option<Arc<dyn Identities>>,
    /// Files that two places of this machine's disks hand over to one another.
    pub local_files: Option<Arc<dyn LocalFiles>>,
    /// What interrupted transfers left.
    pub resume: Option<Arc<dyn Resume>>,
    /// What work costs in calls and time.
    pub cost: Option<Arc<dyn Cost>>,
    /// Listings that are known to be still true for less than a listing costs.
    pub snapshot: Option<Arc<dyn Snapshot>>,
    /// Facts about many files at once that listings do not show.
    pub inspect: Option<Arc<dyn Inspect>>,
    /// How much room there is.
    pub usage: Option<Arc<dyn ReportUsage>>,
    /// Which folder the root is.
    pub root: Option<Arc<dyn Root>>,
    /// What listings may lack.
    pub gaps: Option<Arc<dyn Gaps>>,
    /// What this remote can do beside holding files. No layer stands around it: a call waits for its turn and is not repeated.
    pub services: Option<Arc<dyn Services>>,
}

static NONE: LazyLock<Facets> = LazyLock::new(Facets::default);

impl Facets {
    /// Those of a place that has none.
    pub fn none() -> &'static Facets {
        &NONE
    }

    /// The same facets, with `guard` around each call that asks the remote something.
    ///
    /// What answers from memory or blocks by contract (`disk`, `identities`, `cost`, `snapshot`, `gaps`) is handed on as it is, and
    /// so are `services`, of which no call may be repeated.
    pub fn guarded<G: Guard>(&self, guard: &Arc<G>) -> Facets {
        // Taken apart without `..`: a facet that is added must be on one of the two sides.
        let Facets {
            disk,
            identities,
            local_files,
            resume,
            cost,
            snapshot,
            inspect,
            usage,
            root,
            gaps,
            services,
        } = self.clone();
        Facets {
            local_files: local_files
                .map(|inner| guard::around(guard, inner) as Arc<dyn LocalFiles>),
            resume: resume.map(|inner| guard::around(guard, inner) as Arc<dyn Resume>),
            inspect: inspect.map(|inner| guard::around(guard, inner) as Arc<dyn Inspect>),
            usage: usage.map(|inner| guard::around(guard, inner) as Arc<dyn ReportUsage>),
            root: root.map(|inner| guard::around(guard, inner) as Arc<dyn Root>),
            disk,
            identities,
            cost,
            snapshot,
            gaps,
            services,
        }
    }
}
