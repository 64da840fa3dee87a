//! Entries that a complete listing may lack.

use std::fmt;

/// A place whose complete listings may lack some entries: a catalogue can be missing or damaged.
pub trait Gaps: fmt::Debug + Send + Sync + 'static {
    /// Why the listings so far may lack empty files and links of this place; `None` = they lack none. If there is a reason, a
    /// caller must not delete empty files and links elsewhere because this place lacks them. No I/O.
    fn may_lack(&self) -> Option<String>;
}
