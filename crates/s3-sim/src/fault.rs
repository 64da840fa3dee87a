//! The script that makes the emulator fail: `KIND WHEN EFFECT`, one fault a line.
//!
//! * KIND: `any`, or a kind of request as [`crate::Stats`] counts them: `buckets`, `bucket-create`, `bucket-head`, `list`,
//!   `head`, `get`, `put`, `copy`, `delete`, `delete-many`, `create`, `part`, `parts`, `uploads`, `complete`, `abort`.
//! * WHEN: `every`, `nth=N` (only the Nth of the kind from now on), `first=N` (the first N), `from=N` (the Nth and all after it).
//! * EFFECT: `slowdown [SECONDS]` (503 with `Retry-After`), `error STATUS` (500 to 599), `reset` (nothing is done), `lost` (it
//!   is done, and the connection closes without an answer), `hold` (nothing is done and nothing is said), `error-in-200`
//!   (nothing is done, the status is 200 and the body is an error), `cut BYTES` (the body ends early), `unordered` (a listing
//!   whose entries are turned around), `ignore-conditions`, `wrong-etag` (the answer shows another ETag), `wrong-bytes`
//!   (one bit of the body that is sent is another), `not-implemented` (501).
//!   `any every skew SECONDS` sets the clock instead.

use std::str::FromStr;

/// What a fault does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    SlowDown(u64),
    Error(u16),
    Reset,
    Lost,
    Hold,
    ErrorIn200,
    Cut(usize),
    Unordered,
    IgnoreConditions,
    WrongEtag,
    WrongBytes,
    NotImplemented,
    Skew(i64),
}

/// Which requests of its kind a fault is for, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct When {
    from: u64,
    to: u64,
}

/// One line of the script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    kind: String,
    when: When,
    pub(crate) effect: Effect,
    seen: u64,
}

/// A line that is no fault.
#[derive(Debug, thiserror::Error)]
#[error("{line:?} is no fault: {expected} was expected")]
pub struct ScriptError {
    line: String,
    expected: &'static str,
}

const KINDS: &[&str] = &[
    "any",
    "buckets",
    "bucket-create",
    "bucket-head",
    "list",
    "head",
    "get",
    "put",
    "copy",
    "delete",
    "delete-many",
    "create",
    "part",
    "parts",
    "uploads",
    "complete",
    "abort",
];

impl FromStr for Fault {
    type Err = ScriptError;

    fn from_str(line: &str) -> Result<Fault, ScriptError> {
        let wrong = |expected| ScriptError { line: line.to_owned(), expected };
        let words: Vec<&str> = line.split_whitespace().collect();
        let [kind, when, effect, rest @ ..] = words.as_slice() else {
            return Err(wrong("KIND WHEN EFFECT"));
        };
        if !KINDS.contains(kind) {
            return Err(wrong("a kind of request"));
        }
        let count = |text: &str| text.parse::<u64>().ok().filter(|count| *count > 0);
        let when = match when.split_once('=') {
            None if *when == "every" => Some(When { from: 1, to: u64::MAX }),
            Some(("nth", text)) => count(text).map(|nth| When { from: nth, to: nth }),
            Some(("first", text)) => count(text).map(|last| When { from: 1, to: last }),
            Some(("from", text)) => count(text).map(|from| When { from, to: u64::MAX }),
            _ => None,
        };
        let when = when.ok_or_else(|| wrong("every, nth=N, first=N or from=N"))?;
        let effect = match (*effect, rest) {
            ("slowdown", []) => Some(Effect::SlowDown(1)),
            ("slowdown", [seconds]) => seconds.parse().ok().map(Effect::SlowDown),
            ("error", [status]) => {
                status.parse().ok().filter(|status| (500..=599).contains(status)).map(Effect::Error)
            }
            ("reset", []) => Some(Effect::Reset),
            ("lost", []) => Some(Effect::Lost),
            ("hold", []) => Some(Effect::Hold),
            ("error-in-200", []) => Some(Effect::ErrorIn200),
            ("cut", [bytes]) => bytes.parse().ok().map(Effect::Cut),
            ("unordered", []) => Some(Effect::Unordered),
            ("ignore-conditions", []) => Some(Effect::IgnoreConditions),
            ("wrong-etag", []) => Some(Effect::WrongEtag),
            ("wrong-bytes", []) => Some(Effect::WrongBytes),
            ("not-implemented", []) => Some(Effect::NotImplemented),
            ("skew", [seconds]) => seconds.parse().ok().map(Effect::Skew),
            _ => None,
        };
        let effect = effect.ok_or_else(|| wrong("an effect"))?;
        Ok(Fault { kind: (*kind).to_owned(), when, effect, seen: 0 })
    }
}

/// The faults that are armed.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<Fault>);

impl Faults {
    pub(crate) fn arm(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Counts a request, and says what happens to it.
    pub(crate) fn of(&mut self, kind: &str) -> Vec<Effect> {
        let mut effects = Vec::new();
        for fault in self.0.iter_mut().filter(|fault| fault.kind == "any" || fault.kind == kind) {
            fault.seen += 1;
            if (fault.when.from..=fault.when.to).contains(&fault.seen) {
                effects.push(fault.effect);
            }
        }
        effects
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_for_the_requests_that_it_names() {
        for (when, expected) in [
            ("every", [true, true, true]),
            ("nth=2", [false, true, false]),
            ("first=2", [true, true, false]),
            ("from=2", [false, true, true]),
        ] {
            let mut faults = Faults::default();
            faults.arm(format!("put {when} reset").parse().expect("a fault"));
            assert!(faults.of("get").is_empty());
            let seen = [0; 3].map(|_| !faults.of("put").is_empty());
            assert_eq!(seen, expected, "{when}");
        }
    }

    #[test]
    fn what_is_no_fault_is_refused() {
        for line in [
            "",
            "put every",
            "put never reset",
            "putt every reset",
            "put nth=0 reset",
            "put every cut",
            "put every error 404",
            "put every reset now",
        ] {
            assert!(line.parse::<Fault>().is_err(), "{line}");
        }
    }
}
