//! Values of the command line that several flags share.

use std::path::Path;

use ketch_engine::filter::units::parse_size;

use crate::problem::{Problem, Result};

/// A size given to `flag`.
pub(crate) fn size(flag: &str, text: &str) -> Result<u64> {
    parse_size(text).map_err(|error| Problem::usage(format!("{flag}: {error}")))
}

/// Is this the name of standard input or output?
pub(crate) fn is_dash(path: &Path) -> bool {
    path.as_os_str() == "-"
}
