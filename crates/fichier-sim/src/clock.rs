//! The emulator's clock: wall time that follows tokio's clock, so that a test that pauses or
//! advances tokio time moves file dates, token lives and report lives with it.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// The form of every date of the API.
const FORM: &str = "%Y-%m-%d %H:%M:%S";

/// Wall time anchored to a tokio instant, spoken in French local time.
#[derive(Debug)]
pub(crate) struct Clock {
    base: Timestamp,
    started: Instant,
    paris: TimeZone,
}

impl Clock {
    /// A clock that shows the present moment now.
    pub(crate) fn new() -> Self {
        // The zone data is compiled in, so the fallback is for a broken build only.
        let paris = TimeZone::get("Europe/Paris").unwrap_or(TimeZone::UTC);
        Self { base: Timestamp::now(), started: Instant::now(), paris }
    }

    /// The present moment.
    pub(crate) fn timestamp(&self) -> Timestamp {
        let elapsed = SignedDuration::try_from(self.started.elapsed()).unwrap_or_default();
        self.base.saturating_add(elapsed).unwrap_or(self.base)
    }

    /// The present moment in whole seconds since 1970, the resolution of the service.
    pub(crate) fn seconds(&self) -> i64 {
        self.timestamp().as_second()
    }

    /// `YYYY-MM-DD HH:MM:SS` in French local time, as every `date` field has it.
    pub(crate) fn french(&self, seconds: i64) -> String {
        let moment = Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH);
        moment.to_zoned(self.paris.clone()).strftime(FORM).to_string()
    }

    /// The value of the HTTP `Date` header.
    pub(crate) fn http_date(&self) -> String {
        let printer = jiff::fmt::rfc2822::DateTimePrinter::new();
        printer.timestamp_to_rfc9110_string(&self.timestamp()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn dates_are_french_in_summer_and_in_winter() {
        let clock = Clock::new();
        // The proof of the reference: 12:57:25 GMT was shown as 14:57:25.
        assert_eq!(clock.french(1_624_366_645), "2021-06-22 14:57:25");
        assert_eq!(clock.french(1_609_459_200), "2021-01-01 01:00:00");
    }

    #[tokio::test(start_paused = true)]
    async fn the_clock_follows_the_clock_of_tokio() {
        let clock = Clock::new();
        let before = clock.seconds();
        tokio::time::advance(std::time::Duration::from_secs(3600)).await;
        assert_eq!(clock.seconds(), before + 3600);
    }
}
