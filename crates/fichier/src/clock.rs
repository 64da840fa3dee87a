//! The time of the machine.

use std::time::{Duration, SystemTime};

/// The time since the beginning of 1970; zero for a clock that is before it.
pub(crate) fn since_1970() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}
