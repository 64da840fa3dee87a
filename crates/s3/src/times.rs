//! Times as rclone keeps them in the metadata of objects: seconds since 1970 as a decimal number, without zeros at its end.

use std::time::SystemTime;

use ketch_core::{seconds_and_nanoseconds, time_of};

/// The name of the metadata that holds the time.
pub(crate) const MTIME: &str = "mtime";

/// A time as it is stored.
pub(crate) fn to_text(time: SystemTime) -> String {
    let (seconds, nanoseconds) = seconds_and_nanoseconds(time);
    // Below zero the parts are counted from zero on, as a person writes the number.
    let (sign, seconds, nanoseconds) = match (seconds < 0, nanoseconds) {
        (false, _) => ("", seconds.unsigned_abs(), nanoseconds),
        (true, 0) => ("-", seconds.unsigned_abs(), 0),
        (true, part) => ("-", (seconds + 1).unsigned_abs(), 1_000_000_000 - part),
    };
    let fraction = format!("{nanoseconds:09}");
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{sign}{seconds}{point}{fraction}")
}

/// The time that a text means; `None` when it is none. Digits beyond nanoseconds do not count.
pub(crate) fn from_text(text: &str) -> Option<SystemTime> {
    let text = text.trim();
    let (is_before, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let is_number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.len() + fraction.len() == 0 || !is_number(whole) || !is_number(fraction) {
        return None;
    }
    let seconds: i64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let nine = fraction.get(..9).unwrap_or(fraction);
    let nanoseconds: u32 = format!("{nine:0<9}").parse().ok()?;
    match (is_before, nanoseconds) {
        (false, _) => time_of((seconds, nanoseconds)),
        (true, 0) => time_of((-seconds, 0)),
        (true, part) => time_of((-seconds - 1, 1_000_000_000 - part)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn times_are_written_as_rclone_does_and_read_back() {
        let half_before = UNIX_EPOCH - Duration::from_millis(1_500);
        for (text, time) in [
            ("0", UNIX_EPOCH),
            ("1700000000", UNIX_EPOCH + Duration::from_secs(1_700_000_000)),
            ("1700000000.123456789", UNIX_EPOCH + Duration::new(1_700_000_000, 123_456_789)),
            ("1.5", UNIX_EPOCH + Duration::from_millis(1_500)),
            ("0.000000001", UNIX_EPOCH + Duration::from_nanos(1)),
            ("-1.5", half_before),
            ("-0.5", UNIX_EPOCH - Duration::from_millis(500)),
            ("-2", UNIX_EPOCH - Duration::from_secs(2)),
        ] {
            assert_eq!(to_text(time), text);
            assert_eq!(from_text(text), Some(time), "{text}");
        }
        assert_eq!(from_text("1.50"), from_text("1.5"));
        assert_eq!(from_text("1.1234567899"), from_text("1.123456789"));
        for wrong in ["", "-", ".", "1e9", "2023-01-01", "1.-5", "99999999999999999999"] {
            assert_eq!(from_text(wrong), None, "{wrong}");
        }
    }
}
