//! Abilities that only some remotes have, as optional objects, each with a small trait of its own.
//!
//! A facet belongs to a place. A layer passes on all facets of the backend below it, in one expression, which names the facets
//! that the layer withholds or changes:
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
    /// Reads files with calls that block, where reading them costs no network. These reads bypass the layers, so a layer that
    /// counts, slows down or changes reads withholds the facet or gives its own.
    pub disk: Option<Arc<dyn Disk>>,
    /// Which object a name leads to, on the disks of this machine, where two names may lead to one object. It protects against a
    /// copy of a place onto itself, so a layer withholds it only if its entries are not objects of a disk.
    pub identities: Option<Arc<dyn Identities>>,
    /// Files that the system copies or moves from one place on this machine's disks to another.
    pub local_files: Option<Arc<dyn LocalFiles>>,
    /// The parts that interrupted transfers left.
    pub resume: Option<Arc<dyn Resume>>,
    /// How many calls work takes, and how long.
    pub cost: Option<Arc<dyn Cost>>,
    /// Earlier listings that are known to be still true, where finding this out costs less than a new listing.
    pub snapshot: Option<Arc<dyn Snapshot>>,
    /// Facts about many files at once that listings do not show.
    pub inspect: Option<Arc<dyn Inspect>>,
    /// How much space there is.
    pub usage: Option<Arc<dyn ReportUsage>>,
    /// Which folder the root leads to now.
    pub root: Option<Arc<dyn Root>>,
    /// Which entries complete listings may lack.
    pub gaps: Option<Arc<dyn Gaps>>,
    /// Services beside storing files. No layer is around them: a call waits for its turn and is never repeated.
    pub services: Option<Arc<dyn Services>>,
}

static NONE: LazyLock<Facets> = LazyLock::new(Facets::default);

impl Facets {
    /// No facets.
    pub fn none() -> &'static Facets {
        &NONE
    }

    /// The same facets, with `guard` around each call of `local_files`, `resume`, `inspect`, `usage` and `root`, which make
    /// requests to the remote.
    ///
    /// The others are passed on unchanged: `disk`, `identities`, `cost`, `snapshot` and `gaps` answer from memory or block by
    /// contract, and no call of `services` may be repeated.
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
