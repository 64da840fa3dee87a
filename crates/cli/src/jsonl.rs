//! JSON lines: the envelope of each, and the words for what is in them. The schema is docs/EVENTS.md; fields are only ever
//! added.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use ketch_core::bill::Bill;
use ketch_core::{Entry, EntryKind, Error, HashAlgo, Hashes, Hint, hash};
use ketch_engine::event::Snapshot;
use ketch_engine::report::{Evidence, Verdict};
use ketch_engine::{CheckReport, DigestCounts, Event, Report};
use serde::Serialize;
use serde_json::{Value, json};

use crate::leftovers::leftovers_line;
use crate::waits::Wait;

/// The version of the schema.
const VERSION: u8 = 1;

#[derive(Serialize)]
struct Line<'a> {
    v: u8,
    r#type: &'a str,
    ts: String,
    #[serde(flatten)]
    body: Value,
}

/// One line, without its end.
pub(crate) fn line(kind: &str, body: Value) -> String {
    line_at(kind, body, Timestamp::now())
}

fn line_at(kind: &str, body: Value, now: Timestamp) -> String {
    let ts = format!("{now:.3}");
    let line = Line { v: VERSION, r#type: kind, ts, body };
    serde_json::to_string(&line).unwrap_or_else(|_| {
        // An object of texts and numbers always is JSON.
        format!("{{\"v\":{VERSION},\"type\":\"{kind}\"}}")
    })
}

/// The line of an event of a job; `None` for those that have none.
pub(crate) fn event(event: &Event, dry_run: bool) -> Option<(&'static str, Value)> {
    Some(match event {
        Event::Notice { path, text, hint } => {
            ("notice", json!({ "path": path, "text": text, "hint": hint.map(Hint::as_str) }))
        }
        Event::Leftovers { place, parts, bytes, is_removed } => {
            let text = leftovers_line(place, *parts, *bytes, *is_removed);
            ("notice", json!({ "path": null, "text": text }))
        }
        Event::Reminder { place: _, text, hint } => {
            ("notice", json!({ "path": null, "text": text, "hint": hint.map(Hint::as_str) }))
        }
        Event::GoingOn { job, standing, finishes_plan } => (
            "going_on",
            json!({
                "job": job, "finishes_plan": finishes_plan, "items": standing.planned,
                "items_final": standing.is_planned, "done": standing.done,
                "bytes": standing.done_bytes,
            }),
        ),
        Event::Planned { items, bytes, deletions } => {
            ("plan", json!({ "items": items, "bytes": bytes, "deletions": deletions }))
        }
        Event::Bill { remote, bill } => {
            let body = bill_body(remote, bill);
            ("bill", body)
        }
        // Told by the command, which begins its lists anew.
        Event::Anew => return None,
        Event::ItemStarted { .. } | Event::Action(_) => return None,
        Event::ItemDone { path, outcome, reason, size, record } => (
            "file_done",
            json!({
                "path": path, "outcome": outcome.as_str(), "reason": reason.as_str(), "size": size,
                "dry_run": dry_run, "status": record.status.as_str(), "digests": record.digests,
                "milliseconds": record.milliseconds, "attempts": record.attempts,
            }),
        ),
        Event::ItemFailed { failure, is_failure, record } => (
            "file_error",
            json!({
                "path": failure.path, "operation": failure.operation, "kind": failure.kind.as_str(),
                "message": failure.message, "hint": failure.hint.map(Hint::as_str), "status": record.status.as_str(),
                "is_failure": is_failure, "attempts": record.attempts,
            }),
        ),
        Event::Unchanged { path, reason } => {
            ("unchanged", json!({ "path": path, "reason": reason.as_str() }))
        }
        Event::Checked { path, verdict } => {
            let (word, digest, text) = verdict_parts(verdict);
            let hint = hint_of(verdict).map(Hint::as_str);
            let body = json!({ "path": path, "verdict": word, "digest": digest, "text": text, "hint": hint });
            ("check", body)
        }
    })
}

fn verdict_parts(verdict: &Verdict) -> (&'static str, Option<&'static str>, Option<String>) {
    match verdict {
        Verdict::Equal(Evidence::Digest(algo) | Evidence::Remembered(Some(algo))) => {
            ("equal", Some(algo.as_str()), None)
        }
        Verdict::Equal(Evidence::Claimed(algo)) => ("equal_claimed", Some(algo.as_str()), None),
        Verdict::Equal(Evidence::Size | Evidence::Content | Evidence::Remembered(None)) => {
            ("equal", None, None)
        }
        Verdict::ContentDiffers => ("content_differs", None, None),
        Verdict::SizeDiffers => ("size_differs", None, None),
        Verdict::HashDiffers(algo) => ("hash_differs", Some(algo.as_str()), None),
        Verdict::ClaimDiffers(algo) => ("claim_differs", Some(algo.as_str()), None),
        Verdict::MissingOnDestination => ("missing_on_destination", None, None),
        Verdict::MissingOnSource => ("missing_on_source", None, None),
        Verdict::NotStorable(text, _) => ("not_storable", None, Some((*text).to_owned())),
        Verdict::Unverifiable(text, _) => ("unverifiable", None, Some(text.clone())),
        Verdict::Error(_, text, _) => ("error", None, Some(text.clone())),
    }
}

fn hint_of(verdict: &Verdict) -> Option<Hint> {
    match verdict {
        Verdict::NotStorable(_, hint)
        | Verdict::Unverifiable(_, hint)
        | Verdict::Error(_, _, hint) => *hint,
        _ => None,
    }
}

/// What ended a job or a check before its end, for its summary.
pub(crate) struct Fatal {
    /// The line of the error.
    pub(crate) text: Option<String>,
    /// The word of what a person can do about it.
    pub(crate) hint: Option<&'static str>,
}

impl Fatal {
    pub(crate) fn of(error: Option<&Error>) -> Fatal {
        Fatal {
            text: error.map(ToString::to_string),
            hint: error.and_then(Error::hint).map(Hint::as_str),
        }
    }
}

/// The body of a `progress` line.
pub(crate) fn progress(
    snapshot: &Snapshot,
    speed: u64,
    left: Option<Duration>,
    wait: Option<&Wait>,
) -> Value {
    let wait = wait.map(|Wait { remote, why, left }| {
        json!({ "remote": remote, "why": why, "seconds_left": left.as_secs() })
    });
    let active = snapshot.active.iter();
    let active: Vec<_> = active
        .map(|(path, size, bytes)| json!({ "path": path, "size": size, "bytes": bytes }))
        .collect();
    json!({
        "listed": snapshot.listed,
        "items": snapshot.done_items,
        "items_total": snapshot.planned_items,
        "bytes": snapshot.done_bytes,
        "bytes_kept": snapshot.kept_bytes,
        "bytes_total": snapshot.planned_bytes,
        "failed": snapshot.failed_items,
        "totals_final": snapshot.listing_done,
        "bytes_per_second": speed,
        "seconds_left": left.map(|left| left.as_secs()),
        "waiting": wait,
        "bills": snapshot.bills.iter().map(|(remote, bill)| bill_body(remote, bill)).collect::<Vec<_>>(),
        "active": active,
    })
}

fn bill_body(remote: &str, bill: &Bill) -> Value {
    let calls = bill.calls.iter().map(|(kind, count)| ((*kind).to_owned(), (*count).into()));
    let calls: serde_json::Map<String, Value> = calls.collect();
    let seconds = bill.time.as_secs();
    json!({ "remote": remote, "calls": calls, "total": bill.total(), "seconds": seconds })
}

/// The counts of a `copy`, `sync` or `delete`.
pub(crate) fn counts(report: &Report) -> Value {
    json!({
        "source_entries": report.source_entries,
        "destination_entries": report.destination_entries,
        "copied": report.copied,
        "copied_by_remote": report.copied_by_remote,
        "renamed": report.renamed,
        "bytes": report.bytes,
        "bytes_kept": report.bytes_kept,
        "times_set": report.times_set,
        "dirs_made": report.dirs_made,
        "dirs_moved": report.dirs_moved,
        "deleted": report.deleted,
        "unverified": report.unverified,
        "kept": report.kept,
        "unchanged": report.unchanged,
        "unchanged_claimed": report.unchanged_claimed,
        "not_storable": report.not_storable,
        "sources_removed": report.sources_removed,
        "vanished": report.vanished,
        "changed": report.changed,
        "done": report.done,
        "done_before": report.before.map(|before| before.done),
        "failed": report.failed,
        "deletions_held": report.deletions_held,
        "passed_over": report.passed_over,
    })
}

/// The counts of a `check`.
pub(crate) fn check_counts(report: &CheckReport) -> Value {
    json!({
        "equal": report.equal,
        "equal_by_hash": report.equal_by_hash,
        "equal_by_content": report.equal_by_content,
        "equal_remembered": report.equal_remembered,
        "equal_claimed": report.equal_claimed,
        "differing": report.differing,
        "missing_on_destination": report.missing_on_destination,
        "missing_on_source": report.missing_on_source,
        "not_storable": report.not_storable,
        "unverifiable": report.unverifiable,
        "errors": report.errors,
        "digest": report.algo.map(|algo| algo.as_str()),
        "resumed": report.resumed,
        "digest_files_read": report.digests.files_read,
        "digest_bytes_read": report.digests.bytes_read,
        "digests_from_cache": report.digests.from_cache,
    })
}

/// How much was read for digests, to be added to the counts of a command.
pub(crate) fn add_digest_counts(counts: &mut Value, digests: DigestCounts) {
    counts["digest_files_read"] = digests.files_read.into();
    counts["digest_bytes_read"] = digests.bytes_read.into();
    counts["digests_from_cache"] = digests.from_cache.into();
}

/// Bytes that this process took into digests, by their names: what proofs cost. Kinds that were not taken are left out.
pub(crate) fn hashed_bytes() -> serde_json::Map<String, Value> {
    let all = HashAlgo::BY_STRENGTH.into_iter().map(|algo| (algo, hash::hashed_bytes(algo)));
    all.filter(|(_, bytes)| *bytes > 0)
        .map(|(algo, bytes)| (algo.to_string(), bytes.into()))
        .collect()
}

/// An entry of a listing: its `type` and its body.
pub(crate) fn entry(entry: &Entry) -> (&'static str, Value) {
    let kind = match entry.kind {
        EntryKind::File => "file",
        EntryKind::Dir => "dir",
        EntryKind::Link => "symlink",
        EntryKind::Special(_) => "special",
    };
    let mtime = entry.mtime.and_then(time_text);
    let mut body = json!({
        "path": entry.path, "size": entry.size, "mtime": mtime,
        "hashes": by_name(entry.hashes.as_deref()), "claimed": by_name(entry.claimed.as_deref()),
    });
    if let EntryKind::Special(special) = entry.kind {
        body["text"] = special.describe().into();
        body["hint"] = special.hint().map(Hint::as_str).into();
    }
    (kind, body)
}

/// Digests by the names of their algorithms.
fn by_name(hashes: Option<&Hashes>) -> serde_json::Map<String, Value> {
    let digests = hashes.into_iter().flat_map(Hashes::iter);
    digests.map(|digest| (digest.algo().to_string(), digest.to_string().into())).collect()
}

/// RFC 3339, in UTC; `None` for times outside of the calendar.
fn time_text(time: SystemTime) -> Option<String> {
    Timestamp::try_from(time).ok().map(|time| time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ketch_core::RelPath;
    use ketch_engine::Outcome;
    use ketch_engine::decide::Reason;
    use ketch_engine::journal::{ItemOutcome, Status};

    #[test]
    fn a_claimed_digest_is_shown_apart_from_those_that_the_remote_attests() {
        let digests = |text: &str, algo| Some(Box::new(hash::hash_bytes(&[algo], text.as_bytes())));
        let file = Entry::file(RelPath::new("f").unwrap(), 1);
        let file = Entry {
            hashes: digests("1", HashAlgo::Sha256),
            claimed: digests("1", HashAlgo::Md5),
            ..file
        };
        let (kind, body) = entry(&file);
        assert_eq!((kind, body["claimed"]["md5"].as_str().map(str::len)), ("file", Some(32)));
        assert_eq!(body["hashes"]["sha256"].as_str().map(str::len), Some(64));
        assert!(body["hashes"]["md5"].is_null() && body["claimed"]["sha256"].is_null());
    }

    #[test]
    fn a_line_has_version_type_and_time_first() {
        let event = Event::ItemDone {
            path: RelPath::new("a/b").unwrap(),
            outcome: Outcome::Copied,
            reason: Reason::Missing,
            size: Some(3),
            record: Box::new(ItemOutcome::new(
                RelPath::new("a/b").unwrap(),
                Status::Done,
                "copied",
            )),
        };
        let (kind, body) = super::event(&event, true).unwrap();
        assert_eq!(
            line_at(kind, body, Timestamp::UNIX_EPOCH),
            "{\"v\":1,\"type\":\"file_done\",\"ts\":\"1970-01-01T00:00:00.000Z\",\"attempts\":0,\"digests\":{},\
             \"dry_run\":true,\"milliseconds\":0,\"outcome\":\"copied\",\"path\":\"a/b\",\"reason\":\"missing\",\
             \"size\":3,\"status\":\"done\"}"
        );
    }

    #[test]
    fn every_type_is_in_the_schema() {
        let schema = include_str!("../../../docs/EVENTS.md");
        let words = [
            "start",
            "plan",
            "file_done",
            "file_error",
            "unchanged",
            "notice",
            "progress",
            "check",
            "summary",
            "file",
            "dir",
            "special",
            "symlink",
            "remote",
            "sandbox",
            "link",
            "stat",
            "about",
            "duplicates",
            "fetch_begun",
            "fetch",
            "scan",
            "config",
            "item",
            "report",
            "job",
            "cache",
            "sum",
            "sum_check",
            "verify",
            "difference",
            "repair",
        ];
        for word in words {
            assert!(schema.contains(&format!("`{word}`")), "{word} is not in docs/EVENTS.md");
        }
        let reports = [counts(&Report::default()), check_counts(&CheckReport::default())];
        let more = [progress(&Snapshot::default(), 0, None, None)];
        for field in reports.iter().chain(&more).filter_map(Value::as_object).flatten() {
            assert!(schema.contains(&format!("`{}`", field.0)), "{} is not in it", field.0);
        }
    }
}
