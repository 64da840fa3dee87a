//! What listings may lack although they are complete.

use std::fmt;

/// The word of a place that holds some things where a listing can miss them.
pub trait Gaps: fmt::Debug + Send + Sync + 'static {
    /// Why empty files and links that are here may be missing from what was listed so far; `None` = none may be. A caller that
    /// deletes what this place lacks leaves those alone then. No I/O.
    fn may_lack(&self) -> Option<String>;
}
