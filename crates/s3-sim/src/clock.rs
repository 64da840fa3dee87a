//! The clock of the emulator, which may be wrong by so many seconds, and times as S3 writes them.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// The time that is `skew` seconds ahead of the machine.
pub(crate) fn now(skew: i64) -> SystemTime {
    let by = Duration::from_secs(skew.unsigned_abs());
    let now = SystemTime::now();
    match skew < 0 {
        true => now.checked_sub(by),
        false => now.checked_add(by),
    }
    .unwrap_or(now)
}

fn format(time: SystemTime, form: &str) -> String {
    let time = Timestamp::try_from(time).unwrap_or(Timestamp::UNIX_EPOCH);
    time.to_zoned(TimeZone::UTC).strftime(form).to_string()
}

/// As the headers `Date` and `Last-Modified` have it.
pub(crate) fn http(time: SystemTime) -> String {
    format(time, "%a, %d %b %Y %H:%M:%S GMT")
}

/// As listings have it.
pub(crate) fn listed(time: SystemTime) -> String {
    format(time, "%Y-%m-%dT%H:%M:%S.000Z")
}

/// The time in a signature.
pub(crate) fn of_signature(text: &str) -> Option<SystemTime> {
    let civil = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", text).ok()?;
    Some(civil.to_zoned(TimeZone::UTC).ok()?.timestamp().into())
}
