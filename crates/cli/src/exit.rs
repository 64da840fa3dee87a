//! Finds the exit code for what happened. Pure; `ketch help exit-codes` prints the table here.

use std::collections::BTreeSet;

use ketch_core::ErrorKind;
use ketch_engine::{CheckReport, Failure, Report};

/// Everything was done.
pub(crate) const OK: u8 = 0;
/// Anything without a code of its own; differences found by `check`.
pub(crate) const OTHER: u8 = 1;
/// The command line makes no sense.
pub(crate) const USAGE: u8 = 2;
/// A folder is not there.
pub(crate) const NO_FOLDER: u8 = 3;
/// A file is not there.
pub(crate) const NO_FILE: u8 = 4;
/// The remote could not be reached.
pub(crate) const TEMPORARY: u8 = 5;
/// The job was refused, or could not continue.
pub(crate) const FATAL: u8 = 7;
/// The provider asks for a pause.
pub(crate) const COOLDOWN: u8 = 20;
/// The remote does not know who is asking.
pub(crate) const AUTHENTICATION: u8 = 21;
/// Transferred content is not what was sent.
pub(crate) const CORRUPT: u8 = 22;
/// Some items failed.
pub(crate) const PARTIAL: u8 = 23;
/// Source files changed or went away.
pub(crate) const SOURCE_CHANGED: u8 = 24;
/// Something was passed over, and nothing failed.
pub(crate) const PASSED_OVER: u8 = 25;
/// SIGHUP.
pub(crate) const HANG_UP: u8 = 129;
/// Ctrl-C.
pub(crate) const INTERRUPT: u8 = 130;
/// The reader of standard output went away.
pub(crate) const BROKEN_PIPE: u8 = 141;
/// SIGTERM.
pub(crate) const TERMINATE: u8 = 143;

/// Every code and what it says.
pub(crate) const TABLE: &[(u8, &str)] = &[
    (OK, "everything was done; `check` found both sides equal"),
    (
        OTHER,
        "`check`, `hashsum` or `manifest` found differences; any error that has no code of its own",
    ),
    (USAGE, "the command line is wrong"),
    (NO_FOLDER, "a folder does not exist, nor a file of that name"),
    (NO_FILE, "a file does not exist"),
    (TEMPORARY, "a remote could not be reached or does not work now; a later try may succeed"),
    (
        FATAL,
        "nothing was changed, or the job was ended: --max-delete, an empty source, overlapping places, \
         no common digest, no room, a read-only disk",
    ),
    (COOLDOWN, "the remote asks for a pause; nothing failed for another reason"),
    (AUTHENTICATION, "the remote does not accept the key"),
    (
        CORRUPT,
        "some items failed, at least one because the wrong content arrived; `manifest verify` found damage, or no \
         valid signature",
    ),
    (PARTIAL, "some items failed or could not be compared, or deletions were held back"),
    (
        SOURCE_CHANGED,
        "some items failed, all because the source file changed while it was read, or went away (with \
         --on-changed fail)",
    ),
    (
        PASSED_OVER,
        "nothing failed or differs, and `check`, `delete` or `purge` passed over something that is neither a file nor a \
         folder, or that one side cannot hold",
    ),
    (HANG_UP, "ended by SIGHUP"),
    (INTERRUPT, "ended by Ctrl-C"),
    (BROKEN_PIPE, "the reader of standard output went away"),
    (TERMINATE, "ended by SIGTERM"),
];

/// The code of an error that ended a command.
pub(crate) fn of_kind(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::NotFound => NO_FOLDER,
        ErrorKind::Throttled => COOLDOWN,
        ErrorKind::Unauthenticated => AUTHENTICATION,
        ErrorKind::Corrupt => CORRUPT,
        ErrorKind::Changed => SOURCE_CHANGED,
        ErrorKind::Unavailable | ErrorKind::CommitUnknown => TEMPORARY,
        ErrorKind::Quota => FATAL,
        ErrorKind::AlreadyExists
        | ErrorKind::Denied
        | ErrorKind::Unsupported
        | ErrorKind::InvalidInput
        | ErrorKind::Protocol
        | ErrorKind::Cancelled
        | ErrorKind::Io => OTHER,
    }
}

/// The code of an error that ended a whole job: here a refusal is one of the job.
pub(crate) fn of_fatal(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::InvalidInput | ErrorKind::Unsupported => FATAL,
        kind => of_kind(kind),
    }
}

/// The code of a `copy`, `sync` or `delete`. `signal` is that of the signal that stopped it.
pub(crate) fn of_report(report: &Report, signal: Option<u8>) -> u8 {
    if let Some(signal) = signal {
        return signal;
    }
    if let Some(error) = &report.fatal {
        return of_fatal(error.kind());
    }
    if report.failed == 0 {
        let is_part = report.deletions_held > 0 || report.stopped || report.passed_over > 0;
        return if is_part { PARTIAL } else { OK };
    }
    let failures = &report.failures;
    if failures.iter().any(|failure| failure.kind == ErrorKind::Corrupt) {
        return CORRUPT;
    }
    let of_source = |failure: &Failure| {
        failure.at_source && matches!(failure.kind, ErrorKind::Changed | ErrorKind::NotFound)
    };
    // Only if the report holds all of them, or nothing is known about the rest.
    let all_known = failures.len() as u64 == report.failed;
    if all_known && failures.iter().all(|failure| failure.kind == ErrorKind::Throttled) {
        return COOLDOWN;
    }
    if all_known && failures.iter().all(of_source) {
        return SOURCE_CHANGED;
    }
    PARTIAL
}

/// The code of a `check`.
pub(crate) fn of_check(report: &CheckReport, signal: Option<u8>) -> u8 {
    if let Some(signal) = signal {
        return signal;
    }
    if let Some(error) = &report.fatal {
        return of_fatal(error.kind());
    }
    if report.errors > 0 {
        return match report.error_kinds[..] {
            [
                kind @ (ErrorKind::Throttled | ErrorKind::Unauthenticated | ErrorKind::Unavailable),
            ] => of_kind(kind),
            _ => PARTIAL,
        };
    }
    if report.unverifiable > 0 || report.stopped {
        return PARTIAL;
    }
    let code = if report.differences() > 0 { OTHER } else { OK };
    with_passed_over(code, report.not_storable)
}

/// The code of a command that claims to be complete and passed over this many entries.
pub(crate) fn with_passed_over(code: u8, passed_over: u64) -> u8 {
    if code == OK && passed_over > 0 { PASSED_OVER } else { code }
}

/// The code of a command that continued after these errors, each of which was reported; `OK` if there were none. If all
/// errors have the same code, that one, else `PARTIAL`.
pub(crate) fn of_codes(codes: &BTreeSet<u8>) -> u8 {
    match (codes.first(), codes.len()) {
        (None, _) => OK,
        (Some(&code), 1) if code != OTHER => code,
        (Some(_), _) => PARTIAL,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ketch_core::{Error, RelPath};

    fn failed(kinds: &[ErrorKind]) -> Report {
        let failure =
            |kind: &ErrorKind| Failure::new(&RelPath::root(), "copy", &Error::new(*kind, "why"));
        let failures: Vec<_> = kinds.iter().map(failure).collect();
        Report { failed: failures.len() as u64, failures, ..Report::default() }
    }

    fn failed_at_source(kinds: &[ErrorKind]) -> Report {
        let mut report = failed(kinds);
        report.failures.iter_mut().for_each(|failure| failure.at_source = true);
        report
    }

    fn fatal(kind: ErrorKind) -> Report {
        Report { fatal: Some(Error::new(kind, "why")), ..Report::default() }
    }

    #[test]
    fn what_went_on_after_errors_ends_with_their_code_or_that_of_a_part() {
        for (codes, expected) in [
            (&[][..], OK),
            (&[OTHER], PARTIAL),
            (&[NO_FILE, NO_FILE], NO_FILE),
            (&[COOLDOWN], COOLDOWN),
            (&[NO_FILE, TEMPORARY], PARTIAL),
        ] {
            assert_eq!(of_codes(&codes.iter().copied().collect()), expected, "{codes:?}");
        }
        assert_eq!(with_passed_over(OK, 1), PASSED_OVER);
        assert_eq!(with_passed_over(OK, 0), OK);
        assert_eq!(with_passed_over(OTHER, 1), OTHER);
    }

    #[test]
    fn a_job_has_one_code() {
        use ErrorKind::*;
        let many = Report { failed: 2_000, ..failed_at_source(&[Changed]) };
        let mut both = failed_at_source(&[Changed, NotFound]);
        both.failures.extend(failed(&[NotFound]).failures);
        both.failed = 3;
        for (report, signal, expected) in [
            (Report::default(), None, 0),
            (Report::default(), Some(INTERRUPT), 130),
            (Report { stopped: true, ..failed(&[Corrupt]) }, Some(TERMINATE), 143),
            (fatal(NotFound), None, 3),
            (fatal(Unavailable), None, 5),
            (fatal(InvalidInput), None, 7),
            (fatal(Unsupported), None, 7),
            (fatal(Quota), None, 7),
            (fatal(Throttled), None, 20),
            (fatal(Unauthenticated), None, 21),
            (fatal(Protocol), None, 1),
            (fatal(Denied), None, 1),
            (failed(&[Denied, Corrupt]), None, 22),
            (failed(&[Denied, Changed]), None, 23),
            (failed_at_source(&[Changed, NotFound]), None, 24),
            (failed_at_source(&[Changed, Denied]), None, 23),
            (failed(&[Throttled, Throttled]), None, 20),
            (failed(&[Throttled, Denied]), None, 23),
            // A file that went away at the destination, or a folder of it.
            (failed(&[Changed]), None, 23),
            (failed(&[NotFound]), None, 23),
            (both, None, 23),
            (many, None, 23),
            (Report { deletions_held: 1, ..Report::default() }, None, 23),
        ] {
            assert_eq!(of_report(&report, signal), expected, "{report:?}");
        }
    }

    #[test]
    fn a_check_says_whether_it_could_compare_before_what_it_found() {
        use ErrorKind::*;
        let of = CheckReport::default;
        for (report, expected) in [
            (of(), 0),
            (CheckReport { equal: 5, not_storable: 1, ..of() }, 25),
            (CheckReport { differing: 1, ..of() }, 1),
            (CheckReport { missing_on_source: 1, ..of() }, 1),
            (CheckReport { missing_on_destination: 1, ..of() }, 1),
            (CheckReport { differing: 1, unverifiable: 1, ..of() }, 23),
            (CheckReport { errors: 1, error_kinds: vec![Denied], ..of() }, 23),
            (CheckReport { errors: 1, error_kinds: vec![Throttled], ..of() }, 20),
            (CheckReport { errors: 2, error_kinds: vec![Throttled, Denied], ..of() }, 23),
            (CheckReport { fatal: Some(Error::new(Unsupported, "no digest")), ..of() }, 7),
            (CheckReport { fatal: Some(Error::new(NotFound, "gone")), ..of() }, 3),
        ] {
            assert_eq!(of_check(&report, None), expected, "{report:?}");
        }
        assert_eq!(of_check(&of(), Some(HANG_UP)), 129);
    }

    #[test]
    fn every_code_that_is_given_is_in_the_table_once_and_in_order() {
        use ErrorKind::*;
        let codes: Vec<u8> = TABLE.iter().map(|(code, _)| *code).collect();
        assert!(codes.is_sorted_by(|left, right| left < right), "{codes:?}");
        let all = [
            NotFound,
            AlreadyExists,
            Denied,
            Unauthenticated,
            Quota,
            Throttled,
            Changed,
            Corrupt,
            CommitUnknown,
            Unsupported,
            InvalidInput,
            Unavailable,
            Protocol,
            Cancelled,
            Io,
        ];
        for kind in all {
            assert!(codes.contains(&of_kind(kind)) && codes.contains(&of_fatal(kind)));
        }
    }
}
