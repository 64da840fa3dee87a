//! What a job did, in a line and a list for a person.

use std::time::Duration;

use ketch_engine::filter::units::{format_duration, format_size};
use ketch_engine::{CheckReport, Failure, Report};

use crate::hints;
use crate::output::{Console, Level};

/// Failures that are listed without `-v`.
const LISTED: usize = 20;

/// Tells how a `copy` or `sync` ended.
pub(crate) fn tell_report(console: &Console, report: &Report, dry_run: bool) {
    let quiet_level = if report.is_success() { Level::Normal } else { Level::Error };
    console.tell(quiet_level, &report_line(report, dry_run));
    tell_failures(console, report);
}

/// Tells what failed, and why the job ended before its end.
pub(crate) fn tell_failures(console: &Console, report: &Report) {
    let shown = if console.tells(Level::Item) { usize::MAX } else { LISTED };
    for failure in report.failures.iter().take(shown) {
        console.tell_error(&failure_line(failure));
    }
    let listed = report.failures.len().min(shown) as u64;
    if report.failed > listed {
        console.tell_error(&format!("and {} more failed (-v shows more)", report.failed - listed));
    }
    if report.deletions_held > 0 {
        console.tell_error(&format!(
            "{} deletions were held back, because something in their folder failed or the job was stopped",
            report.deletions_held
        ));
    }
    if report.passed_over > 0 {
        console.tell_error(&format!(
            "{} items are not in the plan that was finished, or are not as it planned them (the command by itself makes \
             a new plan)",
            report.passed_over
        ));
    }
    if let Some(error) = &report.fatal {
        console.tell_error(&hints::told(error));
    }
    if report.is_open {
        console.tell(
            Level::Normal,
            "the same command lists both sides again and sends nothing twice (--fresh forgets this job)",
        );
    }
}

/// The line of a failure names its path, and says it once.
fn failure_line(failure: &Failure) -> String {
    let path = failure.path.as_str();
    let message = hints::with(&failure.message, failure.hint);
    if path.is_empty() || message.contains(&format!(": {path}: ")) {
        format!("failed: {message}")
    } else {
        format!("failed: {path}: {}: {message}", failure.operation)
    }
}

fn report_line(report: &Report, dry_run: bool) -> String {
    let mut parts = Vec::new();
    let did = |done: &'static str, would: &'static str| if dry_run { would } else { done };
    let bytes = format_size(report.bytes);
    let copies = did("copied", "would copy");
    if report.copied > 0 || report.deleted + report.renamed + report.dirs_moved == 0 {
        parts.push(format!("{copies} {} ({bytes})", files(report.copied)));
    }
    if report.bytes_kept > 0 {
        parts.push(format!("{} were there from before", format_size(report.bytes_kept)));
    }
    let mut add = |count: u64, text: &str| {
        if count > 0 {
            parts.push(format!("{text} {count}"));
        }
    };
    add(report.copied_by_remote, "of these by the remote itself");
    add(report.unverified, "of these without a digest to verify them by");
    add(report.renamed, did("renamed", "would rename"));
    add(report.times_set, did("times set", "would set times"));
    add(report.dirs_made, did("folders made", "would make folders"));
    add(report.dirs_moved, did("whole folders moved", "would move whole folders"));
    add(
        report.sources_removed - report.renamed.min(report.sources_removed),
        did("removed at the source", "would remove at the source"),
    );
    add(report.deleted, did("deleted", "would delete"));
    add(report.kept, "folders kept");
    add(report.unchanged, "unchanged");
    add(report.unchanged_claimed, "of these by a digest that is only claimed");
    add(report.not_storable, "not stored");
    add(report.vanished, "vanished");
    add(report.changed, "changed meanwhile");
    add(report.failed, "failed");
    add(report.deletions_held, "deletions held back");
    if let Some(before) = report.before.filter(|before| before.done > 0) {
        parts.push(format!("after {} items before the interruption", before.done));
    }
    let stopped = if report.stopped { "stopped: " } else { "" };
    format!(
        "{stopped}{}{}",
        parts.join(", "),
        time(if dry_run { 0 } else { report.bytes }, report.elapsed)
    )
}

/// Tells how a `check` ended.
pub(crate) fn tell_check(console: &Console, report: &CheckReport) {
    let open = report.errors + report.unverifiable + report.not_storable;
    let level = if report.differences() + open == 0 { Level::Normal } else { Level::Error };
    console.tell(level, &check_line(report));
    if let Some(error) = &report.fatal {
        console.tell_error(&hints::told(error));
    }
}

fn check_line(report: &CheckReport) -> String {
    let by = report.algo.map_or_else(|| "digest".to_owned(), |algo| algo.to_string());
    let remembered = report.equal_remembered;
    let mut parts = vec![match report.equal {
        equal if remembered > 0 => format!(
            "{} equal: {} read, {remembered} by remembered digests (--no-cache reads all)",
            files(equal),
            equal - remembered,
        ),
        equal if equal > 0 && equal == report.equal_by_content => {
            format!("{} equal byte for byte", files(equal))
        }
        equal if report.equal_by_content > 0 => format!(
            "{} equal, {} of them byte for byte and {} by digest",
            files(equal),
            report.equal_by_content,
            report.equal_by_hash
        ),
        equal if equal == report.equal_by_hash => format!("{} equal by {by}", files(equal)),
        equal => format!("{} equal, {} of them by {by}", files(equal), report.equal_by_hash),
    }];
    if report.algo.is_none()
        && report.equal_by_content + report.equal_by_hash + report.equal_remembered == 0
    {
        parts[0] = format!("{} of equal size", files(report.equal));
    }
    if report.equal_claimed > 0 {
        let claimed = report.equal_claimed;
        parts.push(format!(
            "{claimed} of them by a {by} that is only claimed (--download reads all)"
        ));
    }
    let mut add = |count: u64, text: &str| {
        if count > 0 {
            parts.push(format!("{count} {text}"));
        }
    };
    add(report.differing, "differ");
    add(report.missing_on_destination, "missing at the destination");
    add(report.missing_on_source, "missing at the source");
    add(report.not_storable, "passed over");
    add(report.unverifiable, "could not be compared");
    add(report.errors, "could not be read");
    let stopped = if report.stopped { "stopped: " } else { "" };
    format!("{stopped}{}{}", parts.join(", "), time(0, report.elapsed))
}

fn files(count: u64) -> String {
    if count == 1 { "1 file".to_owned() } else { format!("{count} files") }
}

fn time(bytes: u64, elapsed: Duration) -> String {
    let seconds = elapsed.as_secs_f64();
    let speed = match bytes {
        1.. if seconds > 0.0 => format!(" ({}/s)", format_size((bytes as f64 / seconds) as u64)),
        _ => String::new(),
    };
    format!(", in {}{speed}", format_duration(elapsed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ketch_core::{Error, ErrorKind, HashAlgo, RelPath};

    #[test]
    fn a_report_is_one_line() {
        let report = Report {
            copied: 2,
            bytes: 3 * 1024 * 1024,
            unchanged: 5,
            deleted: 1,
            elapsed: Duration::from_secs(2),
            ..Report::default()
        };
        assert_eq!(
            report_line(&report, false),
            "copied 2 files (3.00 MiB), deleted 1, unchanged 5, in 2s (1.50 MiB/s)"
        );
        assert_eq!(
            report_line(&Report { bytes: 0, ..report }, true),
            "would copy 2 files (0 B), would delete 1, unchanged 5, in 2s"
        );
    }

    #[test]
    fn a_check_says_by_what() {
        let report = CheckReport {
            equal: 4,
            equal_by_hash: 4,
            differing: 1,
            algo: Some(HashAlgo::Whirlpool),
            ..CheckReport::default()
        };
        assert_eq!(check_line(&report), "4 files equal by whirlpool, 1 differ, in 0s");
    }

    #[test]
    fn a_check_of_disks_says_that_bytes_were_compared() {
        let report = CheckReport { equal: 4, equal_by_content: 4, ..CheckReport::default() };
        assert_eq!(check_line(&report), "4 files equal byte for byte, in 0s");
        let report = CheckReport { equal: 5, equal_by_hash: 1, ..report };
        let line = "5 files equal, 4 of them byte for byte and 1 by digest, in 0s";
        assert_eq!(check_line(&report), line);
        let report = CheckReport { equal: 2, equal_by_hash: 2, ..CheckReport::default() };
        assert_eq!(check_line(&report), "2 files equal by digest, in 0s");
        let report = CheckReport { equal_remembered: 7, equal: 10, equal_by_content: 3, ..report };
        let line = "10 files equal: 3 read, 7 by remembered digests (--no-cache reads all), in 0s";
        assert_eq!(check_line(&report), line);
    }

    #[test]
    fn a_failure_names_its_path_once() {
        let path = RelPath::new("a/b").unwrap();
        let check = |error: Error, expected: &str| {
            assert_eq!(failure_line(&Failure::new(&path, "copy", &error)), expected);
        };
        let error = || Error::new(ErrorKind::Denied, "no rights");
        check(error(), "failed: a/b: copy: no rights");
        check(error().with_operation("put").with_path(&path), "failed: put: a/b: no rights");
    }
}
