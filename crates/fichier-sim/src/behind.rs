//! How far listings lag.

use std::time::Duration;

/// How far listings lag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behind {
    /// They show what was there so long ago.
    Time(Duration),
    /// They show what was there before the last so many changes, however fast those came.
    Changes(usize),
}

impl Default for Behind {
    fn default() -> Self {
        Behind::Time(Duration::ZERO)
    }
}
