//! The changes of files that wait to be asked for together (`gather`), as the account keeps them.

use ketch_core::Result;

use crate::batch::Batches;
use crate::error::Refusal;
use crate::removal::Removal;

/// The changes that wait for their turn.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub(crate) removals: Batches<(), Removal, Result<()>>,
    /// Held by the one batch of removals that is looked at and carried out.
    pub(crate) removing: tokio::sync::Mutex<()>,
    pub(crate) renames: Batches<(), (String, String), Result<()>>,
    pub(crate) moves: Batches<u64, String, Result<Option<String>>>,
    pub(crate) copies: Batches<u64, String, Copied>,
}

/// What became of a copy.
#[derive(Debug)]
pub(crate) enum Copied {
    /// The address of the copy.
    To(String),
    /// The call was for this file alone, or is no good for any.
    Refused(Refusal),
    /// Others were in the call as well, and it is not known which of them the refusal is about.
    Unclear,
}
