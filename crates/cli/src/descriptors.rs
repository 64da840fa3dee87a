//! How many files this process may have open: as many as the system allows, and a clear word when that is too few.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::problem::{Problem, Result};

/// Below this a job waits for files that only itself could close: its records take about 15, and each transfer 4.
const FEWEST: u64 = 32;

/// From here on nothing has to be spared.
const FEW: u64 = FIXED + 30 * FOR_EACH;
/// What a process has open beside transfers: its records, the runtime, and a sandbox.
const FIXED: u64 = 24;
/// What a transfer has open: a file, one that is written, and both ends of two connections.
const FOR_EACH: u64 = 8;

/// Raises the limit that a shell sets to the one that the system sets.
///
/// Errors: when the limit is too low for any job, so that nothing has been begun.
pub(crate) fn raise() -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    // A system that refuses leaves the old limit, which is judged next.
    let current = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    match too_few(current) {
        Some(text) => Err(Problem::other(text)),
        None => Ok(()),
    }
}

/// How many connections a remote may use, where few files may be open: in the sandbox each has two ends in this process.
/// `None`: as many as it likes.
pub(crate) fn connections() -> Option<usize> {
    connections_within(getrlimit(Resource::Nofile).current)
}

fn connections_within(limit: Option<u64>) -> Option<usize> {
    let limit = limit.filter(|limit| *limit < FEW)?;
    let most = limit.saturating_sub(FIXED) / FOR_EACH;
    Some(usize::try_from(most).unwrap_or(1).max(1))
}

/// `None` is no limit.
fn too_few(limit: Option<u64>) -> Option<String> {
    let limit = limit.filter(|limit| *limit < FEWEST)?;
    Some(format!(
        "this process may have only {limit} files open, and ketch needs {FEWEST}: raise the limit (`ulimit -n 1024`)"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_limits_below_what_a_job_needs_are_too_few() {
        for (limit, is_too_few) in
            [(None, false), (Some(1024), false), (Some(32), false), (Some(31), true)]
        {
            assert_eq!(too_few(limit).is_some(), is_too_few, "{limit:?}");
        }
    }

    #[test]
    fn connections_are_spared_only_where_few_files_may_be_open() {
        for (limit, most) in [
            (None, None),
            (Some(1024), None),
            (Some(FEW), None),
            (Some(FEW - 1), Some(29)),
            (Some(64), Some(5)),
            (Some(32), Some(1)),
            (Some(8), Some(1)),
        ] {
            assert_eq!(connections_within(limit), most, "{limit:?}");
        }
    }
}
